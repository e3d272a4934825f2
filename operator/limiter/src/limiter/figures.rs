//! The figures that bind this process: what is configured, what the Lease says, and the slots' parts of it.

use super::Limiter;
use crate::budget::{Budget, Share, Source};
use crate::endpoint::Apart;
use crate::moment::Moment;
use crate::record::Record;

impl Limiter {
    pub(super) fn configure(&mut self, budget: Budget, source: Source, now: Moment) {
        // What JSON cannot hold must not get into the record.
        let budget = Budget {
            requests_per_second: budget.rate(),
            ..budget
        };
        let is_known = |(old, from): &(Budget, Source)| old.same_figures(&budget) && *from == source;
        if self.configured.as_ref().is_some_and(is_known) {
            // Told again: no reason to overrule what another replica has written since.
            return;
        }
        self.configured = Some((budget, source));
        self.configuration_is_news = self
            .view
            .record()
            .is_none_or(|record| !self.follows_configuration(record));
        if let Some(record) = self.view.record().cloned() {
            self.shrink_shares(&record, now);
        }
    }

    /// Does the record's budget come from what this process is configured with? What was found out since is
    /// no other budget.
    pub(super) fn follows_configuration(&self, record: &Record) -> bool {
        self.configured.as_ref().is_some_and(|(budget, source)| {
            let is_same = match (&record.discovery.ceiling, source) {
                (Some(ceiling), Source::Given | Source::Published) => ceiling.same_figures(budget),
                (None, Source::Discovered) => true,
                (None, Source::Given | Source::Published) | (Some(_), Source::Discovered) => false,
            };
            is_same && record.source == *source
        })
    }

    /// A figure that `record` lowers binds at once.
    pub(super) fn shrink_shares(&mut self, record: &Record, now: Moment) {
        let shares: Vec<(u32, Share, Apart<Option<Share>>)> = self
            .slots
            .keys()
            .map(|number| {
                let apart = self.shares_apart(record, *number);
                (*number, self.share(record, *number), apart)
            })
            .collect();
        for (number, share, apart) in shares {
            if let Some(slot) = self.slots.get_mut(&number) {
                let lower = slot.pacer.share().lower(share);
                // A part of an endpoint's own limit is not there yet, or binds at once if it is the smaller one.
                let lower_apart = Apart::each(|endpoint| {
                    let wanted = apart.get(endpoint).copied().flatten();
                    match (slot.share_apart(endpoint), wanted) {
                        (Some(held), Some(wanted)) => Some(held.lower(wanted)),
                        (None, wanted) => wanted,
                        (held, None) => held,
                    }
                });
                slot.reshare(lower, &lower_apart, now);
            }
        }
    }

    /// What slot `number` of `record` carries for this process: a part of the lower of the Lease's budget
    /// and its own configuration.
    pub(super) fn share(&self, record: &Record, number: u32) -> Share {
        let slots = u32::try_from(record.slots.len()).unwrap_or(u32::MAX);
        self.lowered(&record.budget).share(slots, number)
    }

    pub(super) fn shares_apart(&self, record: &Record, number: u32) -> Apart<Option<Share>> {
        let slots = u32::try_from(record.slots.len()).unwrap_or(u32::MAX);
        self.lowered(&record.budget).shares_apart(slots, number)
    }

    pub(super) fn lowered(&self, budget: &Budget) -> Budget {
        match &self.configured {
            Some((configured, Source::Given | Source::Published)) => budget.lower(configured),
            Some((_, Source::Discovered)) | None => budget.clone(),
        }
    }

    /// The budget that binds this process now.
    pub(super) fn effective_budget(&self) -> Budget {
        match (self.view.record(), &self.configured) {
            (Some(record), _) => self.lowered(&record.budget),
            (None, Some((budget, _))) => budget.clone(),
            (None, None) => Budget::unknown_ca(),
        }
    }
}
