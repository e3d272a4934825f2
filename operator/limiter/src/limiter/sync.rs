//! When to read and when to write the Lease.

use std::collections::BTreeMap;
use std::time::Duration;

use super::slot::{Phase, Slot};
use super::view::Lease;
use super::{Limiter, Turn};
use crate::discovery::Discovery;
use crate::endpoint::Endpoint;
use crate::event::Action;
use crate::moment::Moment;
use crate::record::{Record, Row};
use crate::rules::Rule;

/// What a write to the Lease would do, and whether it is due.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) due: bool,
    /// Rows to take, each with the moment at which its bucket is full; `None`: empty when granted.
    pub(super) takes: BTreeMap<u32, Option<Full>>,
    /// So many at the head of the waiting list are passed over.
    pub(super) passed_over: usize,
    /// When to look again.
    next: Option<Moment>,
}

impl Plan {
    fn look_at(&mut self, moment: Moment) {
        self.next = Some(self.next.map_or(moment, |next| next.min(moment)));
    }
}

/// When the buckets of a slot that is taken are full.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Full {
    /// The slot's own.
    pub(super) at: Moment,
    /// When its release was seen.
    seen: Moment,
    wait_apart: BTreeMap<Endpoint, u64>,
}

impl Full {
    /// That of an endpoint with a limit of its own; nothing if nobody has said: it is empty then.
    pub(super) fn apart(&self, endpoint: Endpoint) -> Option<Moment> {
        let wait = self.wait_apart.get(&endpoint).copied()?;
        Some(self.seen + Duration::from_millis(wait))
    }
}

impl Limiter {
    /// Reads or writes the Lease if that is due. At most one write is under way; a limiter without work does
    /// neither.
    pub(super) fn synchronise(&mut self, turn: &mut Turn) {
        let now = turn.now;
        if self.writing.is_some() || !self.has_business(now) {
            return;
        }
        if self.quiet_until > now {
            turn.wake_at(self.quiet_until);
            return;
        }
        if self.uncertain.is_some() {
            return self.read_lease(turn);
        }
        match &self.view.lease {
            Lease::Unseen => self.read_lease(turn),
            Lease::Absent => self.create(None, turn),
            Lease::Unreadable { version, .. } if self.newer_format().is_none() => {
                let version = version.clone();
                self.create(Some(version), turn);
            }
            Lease::Unreadable { .. } => self.poll(turn),
            Lease::Found { record, version } => {
                let mut plan = self.plan(record, now);
                if plan.due {
                    if self.view.at + self.durations.step < now {
                        return self.read_lease(turn);
                    }
                    let (write, version) = (self.compose(record, &plan, now), Some(version.clone()));
                    return self.send(write, version, turn);
                }
                if let Some(next) = plan.next.take() {
                    turn.wake_at(next);
                }
                if self.wants_slots(now) && self.slots.is_empty() {
                    self.poll(turn);
                }
            }
        }
    }

    /// Is there anything that the Lease matters for?
    fn has_business(&self, now: Moment) -> bool {
        let is_listed = |record: &Record| record.position(&self.me).is_some();
        self.wants_slots(now)
            || self.slots.values().any(Slot::is_renewed)
            || self.uncertain.is_some()
            || self.view.record().is_some_and(|record| {
                record.held_by(&self.me) > 0 || (self.shutting_down && is_listed(record))
            })
            || (self.demand > 0 && self.newer_format().is_some())
    }

    fn read_lease(&mut self, turn: &mut Turn) {
        if !self.reading {
            self.reading = true;
            turn.actions.push(Action::Read);
        }
    }

    fn poll(&mut self, turn: &mut Turn) {
        let next = self.view.at + self.durations.poll;
        if next <= turn.now {
            self.read_lease(turn);
        } else {
            turn.wake_at(next);
        }
    }

    /// A table for a Lease that is absent or damaged. Held slots run out first; nothing is held after that.
    fn create(&mut self, version: Option<String>, turn: &mut Turn) {
        if self.wants_slots(turn.now) {
            let write = self.compose_new(turn.now);
            self.send(write, version, turn);
        }
    }

    /// What is to be changed in `record`.
    fn plan(&self, record: &Record, now: Moment) -> Plan {
        let mut plan = Plan::default();
        let holds = self.slots.values().any(Slot::is_renewed);
        if holds {
            let renewal = self.renewed_at + self.renew_every(record);
            plan.due |= renewal <= now;
            plan.look_at(renewal.max(now));
            plan.due |= self.slots.values().any(|slot| slot.phase == Phase::Closed);
            plan.due |= self.configuration_is_news || self.can_resize(record);
            plan.due |= self.finding_is_due(record, now);
            if let Some(next_try) = self.next_try(record) {
                plan.look_at(next_try.max(now));
            }
            let is_shared = record.held_by(&self.me) < record.slots.len();
            plan.due |= self.paused.unwritten && is_shared && self.paused.until(now).is_some();
        }
        // Rows of this process that it does not use: a take that came too late, a release that failed.
        plan.due |= (0_u32..)
            .zip(&record.slots)
            .any(|(number, row)| row.holder.as_ref() == Some(&self.me) && !self.slots.contains_key(&number));
        if self.shutting_down {
            plan.due |= record.position(&self.me).is_some();
        } else if self.wants_slots(now) && self.slots.len() < record.slots.len() {
            self.plan_takes(record, &mut plan, now);
        }
        plan
    }

    /// Replicas that took their slots at once would renew them at once ever after, and most of those writes
    /// would meet a conflict: so each slot number has a period of its own.
    fn renew_every(&self, record: &Record) -> Duration {
        let first = self.slots.keys().next().copied().unwrap_or(0);
        self.durations.renew_every.min(record.durations.renew_every) + self.durations.step / 4 * first
    }

    fn plan_takes(&self, record: &Record, plan: &mut Plan, now: Moment) {
        let takeover = self.view.takeover(&self.durations);
        let takeover = if !self.keeps(Rule::TakeOverAfterValidity) {
            takeover / 4
        } else if !self.keeps(Rule::TakeOverTheDead) {
            Duration::MAX
        } else {
            takeover
        };
        let turns = self.turns(record, now);
        let place = turns.place();
        let held = self.slots.len();
        let others_stay = record
            .waiting
            .iter()
            .skip(place)
            .any(|waiter| waiter.holder != self.me);
        let goal = turns.goal(others_stay);
        let mut is_any_open = false;
        for (number, row) in (0_u32..).zip(&record.slots) {
            if self.slots.contains_key(&number) || held + plan.takes.len() >= goal {
                continue;
            }
            let own = row
                .holder
                .as_ref()
                .is_some_and(|holder| *holder == self.me || self.me.succeeds(holder));
            let index = number as usize;
            let Some(open) = self.view.open_from(index, takeover) else {
                continue;
            };
            let from = if own {
                now
            } else {
                // Who released it knows first, and lets those come first who have yet to see it.
                let grace = if row.is_free() && self.view.is_own_doing(index) {
                    self.durations.poll
                } else {
                    Duration::ZERO
                };
                open + record.durations.step * u32::try_from(place).unwrap_or(u32::MAX) + grace
            };
            is_any_open |= open <= now || own;
            if from > now {
                plan.look_at(from);
            } else if self.others_know_epoch(record, number, now) {
                plan.takes.insert(number, self.full_at(row, index, now));
                if !own {
                    plan.passed_over = place;
                }
            }
        }
        plan.due |= !plan.takes.is_empty();
        let is_listed = record.position(&self.me).is_some();
        plan.due |= held == 0 && !is_listed && !is_any_open;
    }

    /// When the bucket of a row that is taken at `now` is full; `None`: it is empty then.
    fn full_at(&self, row: &Row, index: usize, now: Moment) -> Option<Full> {
        if !row.is_free() {
            let full = Full {
                at: now,
                seen: now,
                wait_apart: BTreeMap::new(),
            };
            return (!self.keeps(Rule::EmptyAfterTakeover)).then_some(full);
        }
        let carried = if self.keeps(Rule::CarryWait) {
            row.wait
        } else {
            Duration::ZERO
        };
        self.view.seen_since(index).map(|seen| Full {
            at: seen + carried,
            seen,
            wait_apart: row.wait_apart.clone(),
        })
    }

    /// I5: do all others that hold a slot beside `number` know the figures of today?
    fn others_know_epoch(&self, record: &Record, number: u32, now: Moment) -> bool {
        let takeover = self.view.takeover(&self.durations);
        !self.keeps(Rule::WaitForEpoch)
            || (0_u32..).zip(&record.slots).all(|(other, row)| {
                let is_over = || {
                    self.view
                        .open_from(other as usize, takeover)
                        .is_some_and(|open| open <= now)
                };
                let is_others = row.holder.as_ref().is_some_and(|holder| *holder != self.me) || row.in_doubt;
                other == number || !is_others || row.epoch == record.epoch || is_over()
            })
    }

    /// The number of slots that the budget asks for.
    pub(super) fn effective_target(&self, record: &Record) -> u32 {
        match &self.configured {
            Some((budget, source)) if self.configuration_is_news => {
                Discovery::start(budget, *source).1.slots()
            }
            _ => record.budget.slots(),
        }
    }

    fn can_resize(&self, record: &Record) -> bool {
        let target = self.effective_target(record) as usize;
        record.slots.len() < target || (record.slots.len() > target && self.may_lose_last(record))
    }

    /// May the table lose its last row?
    pub(super) fn may_lose_last(&self, record: &Record) -> bool {
        let last = record.slots.last();
        last.is_some_and(|row| row.is_free() || !self.keeps(Rule::ShrinkByFreeRows))
    }
}
