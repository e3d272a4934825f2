//! What this process learns about the CA, and how that gets into the Lease.
//!
//! Evidence counts under the epoch that its permit was granted in, and under no other (I6). What ends an epoch
//! is written at once, and until the write is acknowledged no request is granted; counts go along with renewals.

use std::time::Duration;

use jiff::Timestamp;

use super::Limiter;
use super::pause::Refusal;
use super::slot::Sent;
use crate::contact::Contact;
use crate::discovery::{Cause, Evidence, Finding, SOON, Stage};
use crate::event::{PermitId, Throttle, Unreachable};
use crate::moment::Moment;
use crate::record::Record;
use crate::rules::Rule;

/// Two requests are back to back if the second leaves this soon after the first one's answer.
const BACK_TO_BACK: Duration = Duration::from_millis(50);
/// One connection that breaks off may be bad luck.
const LOST_IN_A_ROW: u32 = 2;

/// What this process has learned and the Lease does not say yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Learning {
    pub(super) evidence: Evidence,
    /// When the epoch began, if this process saw that; the epoch that it found when it started may be old.
    epoch_since: Option<Moment>,
    /// When more is to be tried, if nobody else does.
    try_at: Moment,
    pair: Pair,
    lost_in_a_row: u32,
    /// Whether the CA is reached. Nothing follows from it, so it waits for a write that is made anyway.
    pub(super) contact: Contact,
}

/// How far the test with two requests in a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Pair {
    #[default]
    Unsent,
    First(PermitId),
    Answered(Moment),
    Second(PermitId),
}

impl Limiter {
    /// The CA answered just now, at this time of day, as the next write of the Lease is to tell. Nothing is to be done.
    pub fn note_answer(&mut self, at: Timestamp) {
        self.learning.contact = self.learning.contact.then(&Contact::answer(at));
    }

    /// A request of this process got no answer. The same.
    pub fn note_failure(&mut self, at: Timestamp, reason: &str, message: &str) {
        let failure = Contact::failure(at, &self.me.process, reason, message);
        self.learning.contact = self.learning.contact.then(&failure);
    }

    /// The permit's request was answered.
    pub(super) fn learn_answer(
        &mut self,
        permit: PermitId,
        sent: Sent,
        throttle: Option<Throttle>,
        now: Moment,
    ) {
        self.learning.lost_in_a_row = 0;
        match throttle {
            Some(throttle) => {
                let spacing = self.effective_budget().spacing();
                let refusal = Refusal::from(throttle);
                self.paused.refused(refusal, sent.at, spacing, now);
            }
            None => self.paused.accepted(sent.at),
        }
        let Some(record) = self.view.record() else {
            return;
        };
        if !self.is_current(record, sent.epoch) {
            return;
        }
        let is_refused = throttle.is_some();
        let is_probe = record.discovery.outage.is_some();
        let learning = &mut self.learning;
        let finding = match (learning.pair, is_refused) {
            (Pair::Second(second), _) if second == permit && !is_probe => Some(Finding::Pair(!is_refused)),
            (_, true) => Some(Finding::Throttled {
                is_soon: learning.epoch_since.is_some_and(|since| now < since + SOON),
                endpoint: sent.endpoint,
            }),
            (_, false) if is_probe => Some(Finding::Back),
            (Pair::First(first), false) if first == permit => {
                learning.pair = Pair::Answered(now);
                None
            }
            (_, false) => None,
        };
        if !is_refused {
            let suspect = record.discovery.suspect.as_ref();
            learning.evidence.passed(sent.endpoint, sent.held_back, suspect);
        }
        learning.evidence.finding = learning.evidence.finding.or(finding);
    }

    /// The permit's request got no answer.
    pub(super) fn learn_loss(
        &mut self,
        permit: PermitId,
        sent: Sent,
        unreachable: Option<Unreachable>,
        now: Moment,
    ) {
        if self.learning.pair.is_about(permit) {
            self.learning.pair = Pair::Unsent;
        }
        let Some(unreachable) = unreachable else {
            return;
        };
        let Some(record) = self.view.record() else {
            return;
        };
        if !self.is_current(record, sent.epoch) {
            return;
        }
        let is_probe = record.discovery.outage.is_some();
        let spacing = self.effective_budget().spacing();
        self.learning.lost_in_a_row += 1;
        if is_probe || self.learning.lost_in_a_row >= LOST_IN_A_ROW {
            self.paused.refused(Refusal::default(), sent.at, spacing, now);
            let finding = Finding::Lost(Cause::from(unreachable));
            self.learning.evidence.finding.get_or_insert(finding);
        }
    }

    /// I6: does evidence from under `epoch` count?
    fn is_current(&self, record: &Record, epoch: u64) -> bool {
        epoch == record.epoch || !self.keeps(Rule::CountOncePerEpoch)
    }

    /// Takes note of the epoch of `record`: what was learned under another one is void.
    pub(super) fn follow_epoch(&mut self, record: &Record, now: Moment) {
        let before = self.learning.evidence.epoch;
        if before != record.epoch {
            let finding = self
                .learning
                .evidence
                .finding
                .filter(|_| !self.keeps(Rule::CountOncePerEpoch));
            self.learning.evidence = Evidence {
                finding,
                ..Evidence::about(record.epoch)
            };
            self.learning.epoch_since = (before != Evidence::default().epoch).then_some(now);
            self.learning.try_at = now + record.discovery.next_try;
            self.learning.pair = Pair::Unsent;
        }
    }

    /// What may be granted now, as far as the search goes.
    pub(super) fn leave(&self, now: Moment) -> Leave {
        if self.learning.evidence.finding.is_some() {
            return Leave::Nothing;
        }
        // Without a Lease to be seen, what is held runs out.
        let Some(record) = self.view.record() else {
            return Leave::Paced;
        };
        if record.discovery.outage.is_some() {
            return if self.keeps(Rule::OneProbe) {
                Leave::Probe
            } else {
                Leave::Paced
            };
        }
        if record.discovery.stage != Stage::Pair {
            return Leave::Paced;
        }
        match self.learning.pair {
            Pair::Answered(first) if now <= first + BACK_TO_BACK => Leave::AtOnce,
            Pair::Unsent | Pair::Answered(_) | Pair::First(_) | Pair::Second(_) => Leave::Rested,
        }
    }

    /// The permit was granted on leave of that kind.
    pub(super) fn granted(&mut self, permit: PermitId, leave: Leave) {
        match leave {
            Leave::AtOnce => self.learning.pair = Pair::Second(permit),
            Leave::Rested => self.learning.pair = Pair::First(permit),
            Leave::Nothing | Leave::Probe | Leave::Paced => {}
        }
    }

    /// Is there something to be written that cannot wait for the next renewal?
    pub(super) fn finding_is_due(&self, record: &Record, now: Moment) -> bool {
        let evidence = &self.learning.evidence;
        evidence.finding.is_some()
            || record.discovery.would_advance(&record.budget, evidence)
            || record.discovery.would_advance_apart(evidence)
            || self.try_is_due(record, now)
    }

    /// When the next try is due, if there is to be one.
    pub(super) fn next_try(&self, record: &Record) -> Option<Moment> {
        (record.discovery.may_try(&record.budget) && self.demand > 0).then_some(self.learning.try_at)
    }

    fn try_is_due(&self, record: &Record, now: Moment) -> bool {
        self.next_try(record).is_some_and(|at| at <= now)
    }

    /// Adds what was learned to `record`, which is about to be written; returns it.
    pub(super) fn teach(&self, record: &mut Record, now: Moment) -> Evidence {
        let evidence = self.learning.evidence.clone();
        let try_is_due = self.try_is_due(record, now);
        record.discovery.next_try = self.learning.try_at.since(now);
        let epoch = record.epoch;
        if record
            .discovery
            .learn(&mut record.budget, &evidence, try_is_due, epoch)
        {
            record.epoch = record.epoch.saturating_add(1);
        }
        evidence
    }
}

/// What may be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Nothing: what was found out is to be written first.
    Nothing,
    /// One request, on slot 0, with nothing else unanswered.
    Probe,
    /// What the slots' pacers allow.
    Paced,
    /// One request once the bucket is full: the first of two in a row.
    Rested,
    /// The second of two, whatever the pacer says.
    AtOnce,
}

impl Pair {
    fn is_about(self, permit: PermitId) -> bool {
        self == Self::First(permit) || self == Self::Second(permit)
    }
}
