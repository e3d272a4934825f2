//! Names that cannot be validated: before the order by a look at their own paths, and after it by the CA's word.

use std::collections::BTreeSet;

use sancho_core::check;
use sancho_core::names::Name;
use sancho_core::order::{Failure, OrderState, Retry, Stage};
use sancho_crds::{FoundBy, QuarantinedName, ShardFailure};
use tracing::Instrument;

use super::{Driven, Presented, Stop, finish, give_back, present, still_claimed, unless_ending};
use crate::clock;
use crate::order_status::to_status;
use crate::queue::ShardKey;
use crate::routes::write::Written;
use crate::shard::aside;
use crate::shard::looks::{looks, route};
use crate::shard::quarantine::{self, Finding, Trial};
use crate::shard::standing;
use crate::solvers::dns01::DnsFault;
use crate::traces::TARGET;

/// After so many looks in a row, some seven minutes, what may pass counts as what does not.
const LASTING: u32 = 3;

impl Driven<'_> {
    /// Writes the routes for `names`.
    async fn route(&mut self, names: &[String]) -> Result<Written, Stop> {
        let _errand = self.issuer.budget.errand();
        // Whatever comes of it, some may be there from now on.
        self.is_routed = true;
        let written = tokio::select! {
            biased;
            written = route(self.context, self.recorder.shard(), names) => written?,
            () = self.context.is_ending() => return Err(Stop::SlotsLost),
        };
        self.is_routed = written.any();
        Ok(written)
    }

    /// Has the routes written for the challenges of a recorded order that are still to be answered.
    pub(super) async fn route_open_challenges(&mut self, state: &OrderState) -> Result<(), Stop> {
        if matches!(state.stage, Stage::New | Stage::Pending) {
            let names: Vec<String> = self.names.iter().map(Name::to_string).collect();
            self.route(&names).await?;
        }
        Ok(())
    }

    /// Looks at the path of each name before the CA is asked. Says whether an order is to be made now; if not, why is
    /// recorded.
    pub(super) async fn all_pass(&mut self) -> Result<bool, Stop> {
        // The CA is asked next, so that the slots are not to be given up as idle meanwhile.
        let _errand = self.issuer.budget.errand();
        let names: Vec<String> = self.names.iter().map(Name::to_string).collect();
        let looking = tracing::info_span!(target: TARGET, "look at names");
        let written = self.route(&names).instrument(looking.clone()).await?;
        let shard = self.recorder.shard().clone();
        let looking = looks(self.context, self.issuer, &shard, &names, &written).instrument(looking);
        // Not only until the slots are given up: what was begun comes to an end.
        let found = unless_ending(self.context, &mut self.recorder, looking).await?;
        let failure = self.recorder.status().failure;
        let holds_up = check::holds_up(&found, has_lasted(failure.as_ref(), &self.target));
        let is_strict = quarantine::is_strict(self.recorder.shard());
        let (mut failed, mut held_up) = (Vec::new(), Vec::new());
        for (name, finding) in names.iter().zip(found) {
            if let check::Finding::Failed(fault) = finding {
                let may_pass = holds_up && fault.is_passing() && !is_strict;
                let those = if may_pass { &mut held_up } else { &mut failed };
                those.push(Finding {
                    name: name.clone(),
                    by: FoundBy::Check,
                    reason: fault.reason().to_owned(),
                    message: fault.to_string(),
                    not_before: None,
                });
            }
        }
        still_claimed(self.context, self.issuer, &mut self.recorder).await?;
        if is_strict || failed.is_empty() {
            failed.append(&mut held_up);
            return self.put_look_off(&failed).await;
        }
        Ok(!self.record_findings(&failed).await?)
    }

    /// Ends the attempt for these findings without an order, and leaves nothing out. Says whether one is to
    /// be made all the same.
    async fn put_look_off(&mut self, findings: &[Finding]) -> Result<bool, Stop> {
        let Some(first) = findings.first() else {
            return Ok(true);
        };
        // A look from here can be wrong: before the certificate in use expires the CA itself is asked.
        if quarantine::is_urgent(self.recorder.shard(), clock::now()) {
            return Ok(true);
        }
        let message = format!("{}: {}", first.name, first.message);
        let message = match findings.len() - 1 {
            0 => message,
            more => format!("{message}; and {more} more"),
        };
        let (shard, reason) = (self.recorder.shard(), first.reason.as_str());
        finish::tell_news(self.context, shard, &self.target, reason, &message).await;
        let status = self.failed(reason, &message, Retry::Backoff);
        self.recorder.record(status).await?;
        Ok(false)
    }

    /// Has the TXT records of challenges by DNS seen, and those for DNS-01 written before. Nothing comes back if the order
    /// goes on later, or has ended.
    pub(super) async fn present(&mut self, state: OrderState) -> Result<Option<OrderState>, Stop> {
        let budget = &self.issuer.budget;
        if !aside::has_room(budget, self.recorder.shard(), &to_status(&self.target, &state)) {
            // It waits for a place among those that write.
            self.save_unmoved(&state).await?;
            return Ok(None);
        }
        let _errand = budget.errand();
        let key = ShardKey::of(self.recorder.shard());
        let (account, reread) = (&self.issuer.session, &mut self.reread);
        let presenting = present(
            self.context,
            &mut self.recorder,
            &self.target,
            state,
            account,
            reread,
        );
        let presented = tokio::select! {
            biased;
            presented = aside::stepping_aside(budget, &key, presenting) => Some(presented?),
            () = self.context.is_ending() => None,
        };
        let Some(presented) = presented else {
            give_back(&mut self.recorder).await;
            return Err(Stop::SlotsLost);
        };
        let (state, findings) = match presented {
            Presented::Seen(state) | Presented::Doubted(state) => return Ok(Some(state)),
            Presented::Waits => return Ok(None),
            Presented::Failed(state, findings) => (state, findings),
        };
        if quarantine::is_strict(self.recorder.shard()) {
            // As before the order: a look from here can be wrong.
            let is_urgent = quarantine::is_urgent(self.recorder.shard(), clock::now());
            if is_urgent && findings.iter().all(standing::is_about) {
                return Ok(Some(state.presented()));
            }
            if let Some(first) = findings.first() {
                let message = format!("{}: {}", first.name, first.message);
                let (shard, reason) = (self.recorder.shard(), first.reason.as_str());
                finish::tell_news(self.context, shard, &self.target, reason, &message).await;
                let status = self.failed(reason, &message, Retry::Backoff);
                self.recorder.record(status).await?;
            }
            return Ok(None);
        }
        if self.record_findings(&findings).await? {
            return Ok(None);
        }
        // Names that are served are taken out on the CA's word alone, and there is no time left to wait.
        Ok(Some(state.presented()))
    }

    /// Leaves out the names that the CA refuses, if it names them. Says whether that was so and is recorded: then the
    /// shard has not failed.
    pub(super) async fn leave_out(
        &mut self,
        reason: &str,
        message: &str,
        failure: &Failure,
    ) -> Result<bool, Stop> {
        let names = quarantine::blamed(reason, failure);
        if names.is_empty() || quarantine::is_strict(self.recorder.shard()) {
            return Ok(false);
        }
        let not_before = match failure.retry {
            Retry::At(at) => Some(at),
            Retry::Backoff => None,
        };
        let order = self.recorder.status().order;
        let own_words = |name: &str| {
            let authorizations = order.as_ref().map_or(&[][..], |order| &order.authorizations);
            let of_name = authorizations.iter().find(|a| a.name.as_deref() == Some(name));
            of_name.and_then(|a| a.error.clone())
        };
        let findings: Vec<Finding> = names
            .into_iter()
            .filter(|name| self.names.iter().any(|known| known.as_str() == name))
            .map(|name| Finding {
                message: own_words(&name).map_or_else(
                    || message.to_owned(),
                    |words| sancho_core::order::advised(reason, &words),
                ),
                name,
                by: FoundBy::Ca,
                reason: reason.to_owned(),
                not_before,
            })
            .collect();
        self.record_findings(&findings).await
    }

    /// Records what follows from findings, and ends the attempt; says whether anything did.
    async fn record_findings(&mut self, findings: &[Finding]) -> Result<bool, Stop> {
        let shard = self.recorder.shard();
        let served = finish::served(self.context, shard).await?;
        let now = clock::now();
        let before = self.recorder.status();
        // With names that come back it is one, too.
        let is_renewal = before
            .issued
            .as_ref()
            .is_some_and(|issued| quarantine::is_wanted(shard, &self.issuer.server, &issued.target));
        let trial = Trial::of(shard, self.issuer.terms.edition, now);
        let quarantine = quarantine::after(shard, findings, &served, is_renewal, &trial);
        if quarantine == before.quarantine || findings.is_empty() {
            return Ok(false);
        }
        let mut status = before.clone();
        status.order = None;
        status.claim = None;
        status.failure = None;
        status.quarantine = quarantine;
        quarantine::show(&mut status, shard, now);
        self.recorder.record(status).await?;
        let news: Vec<QuarantinedName> = self.recorder.status().quarantine;
        let known = |entry: &QuarantinedName| {
            before
                .quarantine
                .iter()
                .any(|old| (&old.name, old.place, &old.reason) == (&entry.name, entry.place, &entry.reason))
        };
        let news: Vec<&QuarantinedName> = news.iter().filter(|entry| !known(entry)).collect();
        let lost: BTreeSet<&str> = news
            .iter()
            .filter(|entry| entry.place == sancho_crds::QuarantinePlace::Out)
            .map(|entry| entry.name.as_str())
            .filter(|name| served.contains(*name))
            .collect();
        if !news.is_empty() {
            let (reason, mut words) = quarantine::words(&news);
            if !lost.is_empty() {
                let lost: Vec<&str> = lost.into_iter().collect();
                words = format!("the next certificate is without {}: {words}", lost.join(", "));
            }
            tracing::warn!(
                shard = crate::context::full_name(self.recorder.shard()),
                reason,
                words,
                "names cannot be validated"
            );
            finish::tell_failure(self.context, self.recorder.shard(), reason, &words).await;
        }
        Ok(true)
    }
}

/// Have attempts for `target` failed for so long for what may pass that it does not seem to?
fn has_lasted(failure: Option<&ShardFailure>, target: &str) -> bool {
    failure.is_some_and(|failure| {
        let is_passing = DnsFault::is_passing_reason(&failure.reason);
        is_passing && failure.target == target && failure.count >= LASTING
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn what_may_pass_has_lasted_after_three_attempts_for_the_same() {
        let failure = |reason: &str, count| ShardFailure {
            reason: reason.into(),
            message: String::new(),
            target: "t".into(),
            count,
            retry_time: clock::time(Timestamp::UNIX_EPOCH),
            generation: None,
            issuer_generation: None,
            issuer_created: None,
            profile: None,
            most_names: None,
            quota: None,
        };
        assert!(!has_lasted(None, "t"));
        assert!(!has_lasted(Some(&failure("DNSProviderFails", 2)), "t"));
        assert!(has_lasted(Some(&failure("DNSProviderFails", 3)), "t"));
        assert!(!has_lasted(Some(&failure("DNSProviderFails", 3)), "other"));
        assert!(!has_lasted(Some(&failure("ValidationFailed", 9)), "t"));
    }
}
