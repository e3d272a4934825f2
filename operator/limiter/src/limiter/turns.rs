//! Whose turn it is: how many slots each replica may hold, and whose slots are released next.

use std::collections::{BTreeMap, BTreeSet};

use crate::holder::Holder;
use crate::record::Record;

/// A table from the point of view of one replica.
pub(super) struct Turns<'a> {
    record: &'a Record,
    me: &'a Holder,
    /// Live holders and their slots, longest held first.
    holders: BTreeMap<&'a Holder, Vec<u32>>,
    others_waiting: BTreeSet<&'a Holder>,
}

impl<'a> Turns<'a> {
    /// `is_dead` tells of each slot whether its holder's time is over.
    pub(super) fn new(record: &'a Record, me: &'a Holder, is_dead: impl Fn(u32) -> bool) -> Self {
        let mut rows: Vec<(u64, u32, &Holder)> = (0_u32..)
            .zip(&record.slots)
            .filter_map(|(number, row)| Some((row.turn, number, row.holder.as_ref()?)))
            .filter(|(_, number, holder)| *holder == me || !(me.succeeds(holder) || is_dead(*number)))
            .collect();
        rows.sort_unstable();
        let mut holders: BTreeMap<&Holder, Vec<u32>> = BTreeMap::new();
        for (_, number, holder) in rows {
            holders.entry(holder).or_default().push(number);
        }
        let others_waiting = record
            .waiting
            .iter()
            .map(|waiter| &waiter.holder)
            .filter(|holder| *holder != me && !me.succeeds(holder))
            .collect();
        Self {
            record,
            me,
            holders,
            others_waiting,
        }
    }

    /// What each replica keeps while others wait: an equal part, and at least one.
    fn fair_part(&self) -> usize {
        let mut replicas = self.others_waiting.clone();
        replicas.extend(self.holders.keys());
        replicas.insert(self.me);
        (self.record.slots.len() / replicas.len()).max(1)
    }

    /// How many slots this replica may hold: all if it is alone, an equal part (rounded up) beside other
    /// holders, and if it has none and others wait as well, the fair part.
    pub(super) fn goal(&self, others_stay_waiting: bool) -> usize {
        let holds_some = self.holders.contains_key(self.me);
        if others_stay_waiting && !holds_some {
            return self.fair_part();
        }
        let others = self.holders.keys().filter(|holder| **holder != self.me).count();
        self.record.slots.len().div_ceil(1 + others)
    }

    /// The place in the order in which free slots are taken. Waiters come first, as listed; who is not
    /// listed comes after them; holders last, those with the fewest slots first.
    pub(super) fn place(&self) -> usize {
        let waiting = self.others_waiting.len();
        match self.holders.get(self.me) {
            Some(own) => {
                let own = (own.len(), own.first());
                let before = self
                    .holders
                    .values()
                    .filter(|other| (other.len(), other.first()) < own)
                    .count();
                waiting + 1 + before
            }
            None => self.record.position(self.me).unwrap_or(waiting),
        }
    }

    /// This replica's slots that are due to be released for the waiters, and of each whether it is a surplus
    /// (released at once) or the last (released when its time is up).
    ///
    /// All replicas come to the same answer about the same table: slots are released one by one from whoever
    /// has most, the longest held first, until each waiter finds its fair part.
    pub(super) fn to_release(&self) -> Vec<(u32, bool)> {
        if self.others_waiting.is_empty() {
            return Vec::new();
        }
        let part = self.fair_part();
        let free = self.record.slots.iter().filter(|row| row.is_free()).count();
        let needed = (self.others_waiting.len() * part).saturating_sub(free);
        let mut holders = self.holders.clone();
        let mut own = Vec::new();
        for _ in 0..needed {
            let next = holders
                .iter()
                .filter(|(_, slots)| !slots.is_empty())
                .max_by_key(|(_, slots)| {
                    let turn = slots
                        .first()
                        .and_then(|n| self.record.slots.get(*n as usize))
                        .map(|r| r.turn);
                    (slots.len(), std::cmp::Reverse(turn))
                })
                .map(|(holder, _)| *holder);
            let Some(slots) = next.and_then(|holder| holders.get_mut(holder)) else {
                break;
            };
            let is_surplus = slots.len() > part;
            let number = slots.remove(0);
            if next == Some(self.me) {
                own.push((number, is_surplus));
            }
        }
        own
    }
}
