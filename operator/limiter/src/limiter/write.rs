//! What is written to the Lease, and what an acknowledged write grants.

use std::collections::BTreeMap;
use std::time::Duration;

use super::slot::{Phase, Slot};
use super::sync::{Full, Plan};
use super::view::Adoption;
use super::{Limiter, Turn};
use crate::budget::{Budget, Source};
use crate::contact::Contact;
use crate::discovery::{Discovery, Evidence};
use crate::endpoint::Apart;
use crate::event::{Action, WriteId, WriteOutcome};
use crate::holder::Waiter;
use crate::moment::Moment;
use crate::pacing::Pacer;
use crate::record::{Record, Row};
use crate::rules::Rule;

/// A write that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Write {
    id: WriteId,
    start: Moment,
    record: Record,
    /// The stamp on every row that it renews or takes; no other write has it.
    stamp: u64,
    /// The rows that it takes, as in [`Plan::takes`].
    takes: BTreeMap<u32, Option<Full>>,
    /// The end of the pause that it tells of.
    paused_until: Option<Moment>,
    /// It brings the configured budget.
    brings_budget: bool,
    /// What was learned that it tells of.
    evidence: Evidence,
    /// What was seen of the CA that it tells of.
    contact: Contact,
}

impl Write {
    /// Did it bring the budget that `record` shows, as far as can be told?
    pub(super) fn brought_budget(&self, record: &Record) -> bool {
        let (brought, shown) = (&self.record.discovery.ceiling, &record.discovery.ceiling);
        self.brings_budget && self.record.source == record.source && brought == shown
    }
}

impl Limiter {
    /// Sends `write` to replace `version`, or to create the Lease.
    ///
    /// I5: what it gives up is given up before.
    pub(super) fn send(&mut self, write: Write, version: Option<String>, turn: &mut Turn) {
        if self.keeps(Rule::ShrinkBeforeWrite) {
            self.slots.retain(|_, slot| slot.phase != Phase::Closed);
            self.shrink_shares(&write.record, turn.now);
        }
        self.next_write += 1;
        self.last_stamp = write.stamp;
        let (id, record) = (write.id, Box::new(write.record.clone()));
        if !self.keeps(Rule::GrowAfterAcknowledgement) {
            self.grant(&write, &write.record, turn.now);
        }
        self.writing = Some(write);
        turn.actions.push(Action::Write { id, record, version });
    }

    /// Takes note of how the write that is under way went.
    pub(super) fn written(&mut self, id: WriteId, outcome: WriteOutcome, turn: &mut Turn) {
        let Some(write) = self.writing.take_if(|write| write.id == id) else {
            return;
        };
        let now = turn.now;
        if !self.keeps(Rule::ShrinkBeforeWrite) {
            self.slots.retain(|_, slot| slot.phase != Phase::Closed);
        }
        match outcome {
            WriteOutcome::Acknowledged { version } => {
                let takeover = self.view.takeover(&self.durations);
                let record = write.record.clone();
                match self.view.adopt(record, version, now, true, takeover) {
                    Adoption::Stale | Adoption::Continued => {}
                    Adoption::NewTable => self.lapse(),
                }
                self.paused
                    .written(write.record.pause.as_ref(), write.paused_until);
                if write.brings_budget {
                    // It may have been configured anew, or back, while it was under way.
                    self.configuration_is_news =
                        self.configured.is_some() && !self.follows_configuration(&write.record);
                }
                self.learning.evidence.written(&write.evidence);
                if self.learning.contact == write.contact {
                    self.learning.contact = Contact::default();
                }
                self.follow_epoch(&write.record, now);
                self.grant(&write, &write.record, now);
                // A watch may have told of a later write already.
                if let Some(record) = self.view.record().cloned() {
                    self.drop_stolen(&record, turn);
                    self.shrink_shares(&record, now);
                }
            }
            // A conflict can be our own success, if something between us and the API server sent it twice.
            WriteOutcome::Conflict => self.uncertain = Some(write),
            WriteOutcome::Unknown => {
                self.learning.evidence.counted(&write.evidence);
                self.uncertain = Some(write);
            }
            WriteOutcome::Refused => self.quiet_until = now + self.durations.poll,
        }
    }

    /// Counts what `write` is shown to have brought by `shown`, the record as written or read later.
    ///
    /// Validity runs from the write's start, and only extends what has not expired.
    pub(super) fn grant(&mut self, write: &Write, shown: &Record, now: Moment) {
        let validity = self.durations.validity.min(shown.durations.validity);
        let start = if self.keeps(Rule::ValidFromStart) {
            write.start
        } else {
            now
        };
        let valid_until = start + validity;
        for (number, row) in (0_u32..).zip(&shown.slots) {
            if row.holder.as_ref() != Some(&self.me) || row.stamp != write.stamp {
                continue;
            }
            self.renewed_at = self.renewed_at.max(write.start);
            let (share, apart) = (self.share(shown, number), self.shares_apart(shown, number));
            let full = match (write.takes.get(&number), self.slots.get_mut(&number)) {
                (_, Some(slot)) => {
                    if slot.is_renewed() {
                        slot.valid_until = slot.valid_until.max(valid_until);
                        slot.reshare(share, &apart, now);
                    }
                    continue;
                }
                (Some(full), None) => full,
                // I4: it expired while the renewal was under way.
                (None, None) => continue,
            };
            if valid_until > now {
                let pacer = |share, full: Option<Moment>| match full {
                    Some(full) => Pacer::full_at(share, full),
                    None => Pacer::empty(share, now),
                };
                let own = Apart::each(|endpoint| {
                    let share = apart.get(endpoint).copied().flatten()?;
                    Some(pacer(share, full.as_ref().and_then(|full| full.apart(endpoint))))
                });
                let pacer = pacer(share, full.as_ref().map(|full| full.at));
                self.slots.insert(number, Slot::new(valid_until, now, pacer, own));
            }
        }
    }

    /// A table for a Lease without a usable one.
    pub(super) fn compose_new(&self, now: Moment) -> Write {
        let (budget, source) = self
            .configured
            .clone()
            .unwrap_or_else(|| (Budget::unknown_ca(), Source::Discovered));
        let incarnation = format!("{}-{}", self.me.process, now.as_micros());
        let mut record = Record::new(incarnation, budget, source, self.durations.clone());
        if !self.keeps(Rule::DoubtNewTable) {
            record.slots.iter_mut().for_each(|row| row.in_doubt = false);
        }
        record.waiting.push(self.as_waiter());
        record.pause = self.paused.to_write(None, record.revision, now);
        record.contact = self.learning.contact.clone();
        Write {
            brings_budget: true,
            ..self.write(record, self.last_stamp + 1, now)
        }
    }

    /// `base` with everything that is due.
    pub(super) fn compose(&self, base: &Record, plan: &Plan, now: Moment) -> Write {
        let mut record = base.clone();
        record.revision = record.revision.saturating_add(1);
        let brings_budget = self.configuration_is_news;
        if brings_budget && let Some((budget, source)) = &self.configured {
            let unknown = std::mem::take(&mut record.budget.unknown);
            let (discovery, first) = Discovery::start(budget, *source);
            record.budget = Budget { unknown, ..first };
            record.discovery = Discovery {
                unknown: std::mem::take(&mut record.discovery.unknown),
                ..discovery
            };
            record.source = *source;
            record.epoch = record.epoch.saturating_add(1);
        }
        let evidence = if brings_budget {
            Evidence::about(base.epoch)
        } else {
            self.teach(&mut record, now)
        };
        let stamp = self.next_stamp(base);
        self.release(&mut record, plan, stamp, now);
        self.resize(&mut record, stamp);
        for (number, row) in (0_u32..).zip(&mut record.slots) {
            let is_held = self
                .slots
                .get(&number)
                .is_some_and(|slot| slot.is_renewed() && slot.phase != Phase::Closed);
            if is_held && row.holder.as_ref() == Some(&self.me) {
                row.stamp = stamp;
                row.epoch = record.epoch;
            }
        }
        // New figures are made known first, and slots taken under them by a later write.
        let is_settled = record.epoch == base.epoch || base.slots.iter().all(|row| self.is_own_or_free(row));
        let takes = if is_settled {
            plan.takes.clone()
        } else {
            BTreeMap::new()
        };
        let takes: BTreeMap<_, _> = takes
            .into_iter()
            .filter(|(number, _)| (*number as usize) < record.slots.len())
            .collect();
        for number in takes.keys() {
            if let Some(row) = record.slots.get_mut(*number as usize) {
                record.turns = record.turns.saturating_add(1);
                let unknown = std::mem::take(&mut row.unknown);
                *row = Row {
                    holder: Some(self.me.clone()),
                    stamp,
                    epoch: record.epoch,
                    turn: record.turns,
                    wait: Duration::ZERO,
                    wait_apart: BTreeMap::new(),
                    in_doubt: false,
                    unknown,
                };
            }
        }
        self.edit_waiting(
            &mut record,
            if takes.is_empty() { 0 } else { plan.passed_over },
            now,
        );
        record.pause = self.paused.to_write(base.pause.as_ref(), record.revision, now);
        record.contact = base.contact.then(&self.learning.contact);
        Write {
            takes,
            brings_budget,
            evidence,
            ..self.write(record, stamp, now)
        }
    }

    fn is_own_or_free(&self, row: &Row) -> bool {
        row.is_free() || row.holder.as_ref() == Some(&self.me)
    }

    /// Frees the slots that are given up, and the rows of this process that it does not use.
    fn release(&self, record: &mut Record, plan: &Plan, stamp: u64, now: Moment) {
        let shares: Vec<_> = (0_u32..)
            .zip(&record.slots)
            .map(|(number, _)| self.share(record, number))
            .collect();
        for ((number, row), share) in (0_u32..).zip(&mut record.slots).zip(shares) {
            if row.holder.as_ref() != Some(&self.me) || plan.takes.contains_key(&number) {
                continue;
            }
            let (wait, wait_apart) = match self.slots.get(&number) {
                Some(slot) if slot.phase == Phase::Closed => (slot.pacer.wait(now), slot.waits_apart(now)),
                Some(_) => continue,
                None => (Pacer::empty(share, now).wait(now), BTreeMap::new()),
            };
            let unknown = std::mem::take(&mut row.unknown);
            *row = Row {
                holder: None,
                stamp,
                wait,
                wait_apart,
                unknown,
                ..row.clone()
            };
        }
    }

    /// Brings the table to the length that the budget asks for, as far as its last rows are free.
    fn resize(&self, record: &mut Record, stamp: u64) {
        let target = self.effective_target(record) as usize;
        let before = record.slots.len();
        while record.slots.len() > target && self.may_lose_last(record) {
            record.slots.pop();
        }
        if record.slots.len() < target {
            let mut longer = record.clone();
            longer.slots.resize(target, Row::default());
            for number in before..target {
                let share = self.share(&longer, u32::try_from(number).unwrap_or(u32::MAX));
                let wait = share.interval * share.capacity;
                record.slots.push(Row {
                    stamp,
                    wait,
                    ..Row::default()
                });
            }
        }
        if record.slots.len() != before {
            record.epoch = record.epoch.saturating_add(1);
        }
    }

    fn edit_waiting(&self, record: &mut Record, passed_over: usize, now: Moment) {
        record.waiting.drain(..passed_over.min(record.waiting.len()));
        let holds = record.held_by(&self.me) > 0;
        let waits = !holds && self.wants_slots(now);
        record.waiting.retain(|waiter| !self.me.succeeds(&waiter.holder));
        if !waits {
            record.waiting.retain(|waiter| waiter.holder != self.me);
        } else if record.position(&self.me).is_none() {
            record.waiting.push(self.as_waiter());
        }
    }

    fn as_waiter(&self) -> Waiter {
        Waiter {
            holder: self.me.clone(),
            unknown: BTreeMap::new(),
        }
    }

    /// Higher than any stamp in `record` and any that this process ever used.
    fn next_stamp(&self, record: &Record) -> u64 {
        record
            .slots
            .iter()
            .map(|row| row.stamp)
            .fold(self.last_stamp, u64::max)
            + 1
    }

    fn write(&self, record: Record, stamp: u64, start: Moment) -> Write {
        Write {
            id: WriteId(self.next_write),
            start,
            record,
            stamp,
            takes: BTreeMap::new(),
            paused_until: self.paused.latest(),
            brings_budget: false,
            evidence: Evidence::about(self.learning.evidence.epoch),
            contact: self.learning.contact.clone(),
        }
    }
}
