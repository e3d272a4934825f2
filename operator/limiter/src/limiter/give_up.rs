//! Which slots are on their way back, and how far.

use std::collections::BTreeMap;

use super::slot::Phase;
use super::{Limiter, Turn};
use crate::moment::Moment;
use crate::rules::Rule;

impl Limiter {
    /// Marks the slots to give up, and brings each a stage further: no more permits, all answered,
    /// connections closed. The write that releases it comes after.
    pub(super) fn give_up(&mut self, turn: &mut Turn) {
        self.drop_lapsed(turn);
        let now = turn.now;
        let due = self.due_back(turn);
        let answered_only = self.keeps(Rule::ReleaseOnlyAnswered);
        let mut to_close = false;
        for (number, slot) in &mut self.slots {
            let is_due = due.get(number).is_some_and(|from| *from <= now);
            slot.phase = match (slot.phase, is_due) {
                (Phase::Lapsed, _) => Phase::Lapsed,
                (_, false) => Phase::Open,
                (Phase::Open, true) => Phase::Draining,
                (phase, true) => phase,
            };
            let is_answered = slot.in_flight.is_empty() || !answered_only;
            to_close |= slot.phase == Phase::Draining && is_answered;
        }
        if to_close && self.closings == 0 {
            for slot in self.slots.values_mut() {
                if slot.phase == Phase::Draining && (slot.in_flight.is_empty() || !answered_only) {
                    slot.phase = Phase::Closing;
                }
            }
            self.close_connections(turn);
        }
    }

    pub(super) fn connections_closed(&mut self) {
        self.closings = self.closings.saturating_sub(1);
        if self.closings == 0 {
            for slot in self
                .slots
                .values_mut()
                .filter(|slot| slot.phase == Phase::Closing)
            {
                slot.phase = Phase::Closed;
            }
        }
    }

    fn drop_lapsed(&mut self, turn: &mut Turn) {
        let numbers: Vec<u32> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.phase == Phase::Lapsed && slot.in_flight.is_empty())
            .map(|(number, _)| *number)
            .collect();
        self.drop_slots(&numbers, turn);
    }

    /// The slots that are to be given up, each with the moment from which on.
    fn due_back(&self, turn: &mut Turn) -> BTreeMap<u32, Moment> {
        let now = turn.now;
        if self.shutting_down {
            return self.slots.keys().map(|number| (*number, now)).collect();
        }
        if !self.is_active(now) && !self.slots.is_empty() {
            let idle_from = self.active_at + self.durations.idle;
            if idle_from <= now {
                return self.slots.keys().map(|number| (*number, now)).collect();
            }
            turn.wake_at(idle_from);
        }
        let Some(record) = self.view.record() else {
            return BTreeMap::new();
        };
        let mut due = BTreeMap::new();
        for (number, is_surplus) in self.turns(record, now).to_release() {
            let Some(slot) = self.slots.get(&number) else {
                continue;
            };
            let earliest = slot.since + record.durations.hold_at_least;
            let latest = slot.since + record.durations.hold_at_most;
            // The last slot goes back when nothing is under way, in the end whatever is.
            let from = if is_surplus {
                now
            } else if slot.in_flight.is_empty() || slot.phase != Phase::Open {
                earliest
            } else {
                latest
            };
            due.insert(number, from);
            if from > now {
                turn.wake_at(from);
            }
        }
        // A table that is to shrink loses its last rows first.
        let target = self.effective_target(record);
        for number in self.slots.keys().filter(|number| **number >= target) {
            due.insert(*number, now);
        }
        due
    }
}
