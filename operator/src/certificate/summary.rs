//! What a Certificate's status says: its shards added up. Pure, so that every replica says the same.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sancho_crds::{Certificate, CertificateShard, CertificateStatus, PlanStatus, condition, set_condition};

use super::wanted::Refused;
use crate::clock;
use crate::target::target;

/// What the issuer is like, as far as the shards' waiting goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IssuerState {
    /// There is none of that name.
    Missing {
        /// The issuer, in words.
        issuer: String,
    },
    /// It is there and not ready.
    NotReady {
        /// The issuer, in words.
        issuer: String,
        /// Its own condition's message.
        message: String,
        /// Its directory URL.
        server: String,
    },
    /// Nobody has looked at it yet, or its account is being made.
    Pending {
        /// The issuer, in words.
        issuer: String,
        /// Its directory URL.
        server: String,
    },
    /// Ready.
    Ready {
        /// Its directory URL.
        server: String,
    },
}

impl IssuerState {
    /// Its directory URL, if there is such an issuer.
    pub(super) fn server(&self) -> Option<&str> {
        match self {
            IssuerState::Missing { .. } => None,
            IssuerState::NotReady { server, .. }
            | IssuerState::Pending { server, .. }
            | IssuerState::Ready { server } => Some(server),
        }
    }
}

/// The status of a Certificate that cannot be planned. A valid certificate stays as it is.
pub(super) fn refused(certificate: &Certificate, refused: &Refused, now: Timestamp) -> CertificateStatus {
    let mut status = certificate.status.clone().unwrap_or_default();
    let (generation, now) = (certificate.metadata.generation, clock::time(now));
    status.observed_generation = generation;
    status.names = u32::try_from(certificate.spec.dns_names.len()).ok();
    status.waiting_for = Some(format!("an edit: {}", refused.reason));
    let Refused { reason, message } = refused;
    let conditions = &mut status.conditions;
    set_condition(conditions, "Ready", false, reason, message, generation, &now);
    set_condition(conditions, "Reconciling", false, reason, "", generation, &now);
    set_condition(conditions, "Stalled", true, reason, message, generation, &now);
    status
}

/// How long the budget takes to come to the last of a Certificate's shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BudgetWait {
    /// So long; nothing if none waits.
    Is(Option<Duration>),
    /// It waits, and another replica says how long; what it said stays. Replicas estimate
    /// a little differently, and would overwrite one another's words for ever.
    SaidByAnother,
}

/// The status of a Certificate whose plan is `plan` and whose shards are `shards`.
pub(super) fn summary(
    certificate: &Certificate,
    plan: Option<&PlanStatus>,
    shards: &[&CertificateShard],
    issuer: &IssuerState,
    wait: BudgetWait,
    now: Timestamp,
) -> CertificateStatus {
    let tally = Tally::of(shards, issuer, now);
    let names = u32::try_from(certificate.spec.dns_names.len()).unwrap_or(u32::MAX);
    let total = u32::try_from(shards.len()).unwrap_or(u32::MAX);
    let generation = certificate.metadata.generation;
    let is_planned = plan.is_some_and(|plan| plan.settled && Some(plan.generation) == generation);
    let is_ready = is_planned && total > 0 && tally.ready_shards == total;
    let waiting = (!is_ready).then(|| tally.waiting_for(is_planned, issuer));

    let mut status = certificate.status.clone().unwrap_or_default();
    let waits_for_budget = condition(&status.conditions, "RateLimited")
        .is_some_and(|limited| limited.reason == WAITS_FOR_BUDGET);
    status.observed_generation = generation;
    status.plan = plan.cloned();
    status.names = Some(names);
    status.ready_names = Some(tally.ready_names);
    status.ready = Some(format!("{}/{names}", tally.ready_names));
    status.shards = Some(total);
    status.ready_shards = Some(tally.ready_shards);
    status.not_after = tally.not_after.map(clock::time);
    status.waiting_for = waiting.clone();

    let time = clock::time(now);
    let conditions = &mut status.conditions;
    let mut set = |kind, value, reason: &str, message: &str| {
        set_condition(conditions, kind, value, reason, message, generation, &time);
    };
    let counts = format!(
        "{} of {names} names in {} of {total} shards",
        tally.ready_names, tally.ready_shards
    );
    if is_ready {
        set(
            "Ready",
            true,
            "Issued",
            &format!("{names} names in {total} Secrets"),
        );
        set("Reconciling", false, "Issued", "");
    } else {
        let reason = tally.reason(is_planned, issuer);
        let message = format!("{counts}; waits for {}", waiting.unwrap_or_default());
        set("Ready", false, reason, &message);
        set("Reconciling", true, reason, &message);
    }
    set("Stalled", false, if is_ready { "Issued" } else { "Planned" }, "");
    let renewing = if tally.renewing.is_empty() {
        "Idle"
    } else {
        "Renewing"
    };
    set(
        "Renewing",
        !tally.renewing.is_empty(),
        renewing,
        &tally.renewing.join("; "),
    );
    match (tally.rate_limited.is_empty(), wait) {
        (false, _) => set("RateLimited", true, "QuotaUsedUp", &tally.rate_limited.join("; ")),
        (true, BudgetWait::SaidByAnother) if waits_for_budget => {}
        (true, BudgetWait::Is(Some(wait))) if wait >= SHOWN_WAIT => {
            let message = format!(
                "{} until the request budget has come to all its orders",
                rounded(wait)
            );
            set("RateLimited", true, WAITS_FOR_BUDGET, &message);
        }
        (true, _) => set("RateLimited", false, "WithinQuota", ""),
    }
    status
}

/// The reason of `RateLimited` while the budget is what a Certificate waits for.
const WAITS_FOR_BUDGET: &str = "WaitsForBudget";
/// A shorter wait is not worth a word.
const SHOWN_WAIT: Duration = Duration::from_secs(60);

/// A wait in round words: an estimate that is shown to the second would be written again every second,
/// and would not be right to the second.
fn rounded(wait: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = wait.as_secs();
    let (unit, word) = match seconds {
        ..HOUR => (MINUTE, "min"),
        HOUR..DAY => (HOUR, "h"),
        _ => (DAY, "days"),
    };
    let count = seconds / unit;
    let round = [1, 2, 3, 5, 7, 10, 15, 20, 30, 45]
        .into_iter()
        .rev()
        .find(|round| *round <= count);
    format!("about {} {word}", round.unwrap_or(count))
}

/// Shards added up.
#[derive(Default)]
struct Tally {
    ready_shards: u32,
    ready_names: u32,
    not_after: Option<Timestamp>,
    /// How many shards wait for what.
    waiting: BTreeMap<String, u32>,
    /// The first failure's reason.
    failure: Option<String>,
    renewing: Vec<String>,
    rate_limited: Vec<String>,
}

/// How many shards' words a condition's message takes.
const SHOWN: usize = 3;

impl Tally {
    fn of(shards: &[&CertificateShard], issuer: &IssuerState, now: Timestamp) -> Self {
        let mut tally = Self::default();
        for shard in shards {
            tally.add(shard, issuer, now);
        }
        tally
    }

    fn add(&mut self, shard: &CertificateShard, issuer: &IssuerState, now: Timestamp) {
        let default = Default::default();
        let status = shard.status.as_ref().unwrap_or(&default);
        let server = issuer.server();
        let issued = status.issued.as_ref().filter(|issued| issued.not_after.0 > now);
        if let Some(issued) = issued {
            let end = issued.not_after.0;
            self.not_after = Some(self.not_after.map_or(end, |earliest| earliest.min(end)));
        }
        // Without its issuer nobody can tell what is asked for: what is there counts.
        let is_wanted = |issued: &&sancho_crds::IssuedStatus| {
            server.is_none_or(|server| {
                issued.target == target(&shard.spec.dns_names, &shard.spec.issuer_ref, server)
            })
        };
        let says = |kind| condition(&status.conditions, kind).filter(|c| c.status == "True");
        if let Some(failure) = status.failure.as_ref().filter(|f| f.reason == "RateLimited")
            && self.rate_limited.len() < SHOWN
        {
            self.rate_limited.push(failure.message.clone());
        }
        if issued.filter(is_wanted).is_some() {
            self.ready_shards += 1;
            self.ready_names += u32::try_from(shard.spec.dns_names.len()).unwrap_or_default();
            if let Some(renewing) = says("Renewing")
                && self.renewing.len() < SHOWN
            {
                self.renewing
                    .push(format!("{}: {}", shard.spec.secret_name, renewing.message));
            }
            return;
        }
        let what = match (&status.failure, &status.order, says("Reconciling")) {
            (Some(failure), None, _) => {
                self.failure.get_or_insert_with(|| failure.reason.clone());
                format!("{}: {}", failure.reason, failure.message)
            }
            (_, Some(_), Some(reconciling)) if reconciling.reason != "Ordering" => {
                self.failure.get_or_insert_with(|| reconciling.reason.clone());
                format!("{}: {}", reconciling.reason, reconciling.message)
            }
            (_, Some(order), _) => format!("order {}", order.stage),
            (None, None, _) => "budget".to_owned(),
        };
        *self.waiting.entry(what).or_default() += 1;
    }

    fn reason<'a>(&'a self, is_planned: bool, issuer: &IssuerState) -> &'a str {
        match issuer {
            IssuerState::Missing { .. } => "IssuerNotFound",
            IssuerState::NotReady { .. } => "IssuerNotReady",
            IssuerState::Pending { .. } => "IssuerPending",
            IssuerState::Ready { .. } if !is_planned => "Planning",
            IssuerState::Ready { .. } => self.failure.as_deref().unwrap_or("Issuing"),
        }
    }

    fn waiting_for(&self, is_planned: bool, issuer: &IssuerState) -> String {
        match issuer {
            IssuerState::Missing { issuer } => format!("{issuer}, which does not exist: create it"),
            IssuerState::NotReady { issuer, message, .. } => format!("{issuer}: {message}"),
            IssuerState::Pending { issuer, .. } => format!("{issuer}, which gets its account"),
            IssuerState::Ready { .. } if !is_planned => "the plan".into(),
            IssuerState::Ready { .. } => {
                let parts: Vec<String> = self
                    .waiting
                    .iter()
                    .take(SHOWN)
                    .map(|(what, count)| {
                        if *count == 1 {
                            what.clone()
                        } else {
                            format!("{what} ({count} shards)")
                        }
                    })
                    .collect();
                sancho_core::shown::shown_within(&parts.join("; "), 512)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sancho_crds::{
        CertificateShardSpec, CertificateShardStatus, CertificateSpec, IssuedStatus, IssuerRef, ShardFailure,
    };

    const SERVER: &str = "https://ca/dir";

    const NO_WAIT: BudgetWait = BudgetWait::Is(None);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn certificate() -> Certificate {
        let spec = CertificateSpec {
            secret_name: "x".into(),
            issuer_ref: IssuerRef {
                name: "ca".into(),
                kind: None,
            },
            dns_names: vec!["a.example".into(), "b.example".into()],
            renew_before: None,
            sharding: None,
        };
        let mut certificate = Certificate::new("x", spec);
        certificate.metadata.generation = Some(2);
        certificate
    }

    fn shard(index: u32, name: &str, status: CertificateShardStatus) -> CertificateShard {
        let spec = CertificateShardSpec {
            certificate: "x".into(),
            group: None,
            index,
            secret_name: format!("x-{index}"),
            issuer_ref: IssuerRef {
                name: "ca".into(),
                kind: None,
            },
            dns_names: vec![name.into()],
            renew_before: None,
        };
        let mut shard = CertificateShard::new(&format!("x-{index}"), spec);
        shard.status = Some(status);
        shard
    }

    fn issued(name: &str, end: i64) -> CertificateShardStatus {
        let issuer = IssuerRef {
            name: "ca".into(),
            kind: None,
        };
        let issued = IssuedStatus {
            target: target(&[name.to_owned()], &issuer, SERVER),
            fingerprint: "00".into(),
            not_before: clock::time(at(0)),
            not_after: clock::time(at(end)),
            renewal_time: clock::time(at(end / 2)),
        };
        CertificateShardStatus {
            issued: Some(issued),
            ..Default::default()
        }
    }

    fn plan(settled: bool) -> PlanStatus {
        PlanStatus {
            generation: 2,
            hash: "h".into(),
            planner: "me".into(),
            settled,
        }
    }

    fn summed(first: CertificateShardStatus, second: CertificateShardStatus) -> CertificateStatus {
        let (a, b) = (shard(0, "a.example", first), shard(1, "b.example", second));
        let ready = IssuerState::Ready {
            server: SERVER.into(),
        };
        summary(
            &certificate(),
            Some(&plan(true)),
            &[&a, &b],
            &ready,
            NO_WAIT,
            at(100),
        )
    }

    fn says(status: &CertificateStatus, kind: &str) -> (String, String) {
        let found = condition(&status.conditions, kind).unwrap();
        (found.status.clone(), found.reason.clone())
    }

    #[test]
    fn all_issued_is_ready() {
        let status = summed(issued("a.example", 900), issued("b.example", 800));
        assert_eq!(says(&status, "Ready"), ("True".into(), "Issued".into()));
        assert_eq!(says(&status, "Reconciling").0, "False");
        assert_eq!(status.ready.as_deref(), Some("2/2"));
        assert_eq!(status.not_after, Some(clock::time(at(800))));
        assert_eq!(status.waiting_for, None);
    }

    #[test]
    fn what_is_not_there_yet_is_counted_and_named() {
        let status = summed(issued("a.example", 900), CertificateShardStatus::default());
        assert_eq!(says(&status, "Ready"), ("False".into(), "Issuing".into()));
        assert_eq!(status.ready.as_deref(), Some("1/2"));
        assert_eq!(status.waiting_for.as_deref(), Some("budget"));
    }

    #[test]
    fn an_expired_certificate_and_one_of_other_names_do_not_count() {
        assert_eq!(
            summed(issued("a.example", 50), issued("b.example", 900)).ready_names,
            Some(1)
        );
        assert_eq!(
            summed(issued("c.example", 900), issued("b.example", 900)).ready_names,
            Some(1)
        );
    }

    #[test]
    fn a_failure_is_shown_in_its_own_words() {
        let failure = ShardFailure {
            reason: "CAAForbids".into(),
            message: "CAA record for a.example".into(),
            target: "t".into(),
            count: 1,
            retry_time: clock::time(at(200)),
        };
        let failed = CertificateShardStatus {
            failure: Some(failure),
            ..Default::default()
        };
        let status = summed(failed, issued("b.example", 900));
        assert_eq!(says(&status, "Ready").1, "CAAForbids");
        assert!(status.waiting_for.unwrap().contains("CAA record for a.example"));
    }

    #[test]
    fn an_unsettled_plan_is_not_ready() {
        let shard = shard(0, "a.example", issued("a.example", 900));
        let ready = IssuerState::Ready {
            server: SERVER.into(),
        };
        let status = summary(
            &certificate(),
            Some(&plan(false)),
            &[&shard],
            &ready,
            NO_WAIT,
            at(100),
        );
        assert_eq!(says(&status, "Ready").1, "Planning");
    }

    #[test]
    fn a_missing_issuer_is_named() {
        let missing = IssuerState::Missing {
            issuer: "Issuer shop/ca".into(),
        };
        let status = summary(&certificate(), None, &[], &missing, NO_WAIT, at(100));
        assert_eq!(says(&status, "Ready").1, "IssuerNotFound");
        assert!(status.waiting_for.unwrap().contains("Issuer shop/ca"));
    }

    #[test]
    fn the_same_state_is_the_same_status() {
        let mut certificate = certificate();
        let shard = shard(0, "a.example", issued("a.example", 900));
        let ready = IssuerState::Ready {
            server: SERVER.into(),
        };
        let first = summary(
            &certificate,
            Some(&plan(true)),
            &[&shard],
            &ready,
            NO_WAIT,
            at(100),
        );
        certificate.status = Some(first.clone());
        assert_eq!(
            summary(
                &certificate,
                Some(&plan(true)),
                &[&shard],
                &ready,
                NO_WAIT,
                at(200)
            ),
            first
        );
    }

    #[test]
    fn a_wait_for_the_budget_is_told_in_round_words_by_one_replica() {
        let ready = IssuerState::Ready {
            server: SERVER.into(),
        };
        let shard = shard(0, "a.example", CertificateShardStatus::default());
        let told = |certificate: &Certificate, wait| {
            let status = summary(certificate, Some(&plan(true)), &[&shard], &ready, wait, at(100));
            let limited = condition(&status.conditions, "RateLimited").unwrap().clone();
            (status, limited.status, limited.message)
        };
        let mut certificate = certificate();
        let (_, is, _) = told(&certificate, BudgetWait::Is(Some(Duration::from_secs(59))));
        assert_eq!(is, "False");
        let (status, is, message) = told(&certificate, BudgetWait::Is(Some(Duration::from_secs(400))));
        assert_eq!(is, "True");
        assert_eq!(
            message,
            "about 5 min until the request budget has come to all its orders"
        );
        certificate.status = Some(status);
        let (_, is, message) = told(&certificate, BudgetWait::SaidByAnother);
        assert_eq!(
            (is.as_str(), message.as_str()),
            (
                "True",
                "about 5 min until the request budget has come to all its orders"
            )
        );
        let (_, is, _) = told(&certificate, BudgetWait::Is(None));
        assert_eq!(is, "False");
    }

    #[test]
    fn long_waits_are_told_in_hours_and_days() {
        let told = |hours: u64| rounded(Duration::from_secs(hours * 3600));
        assert_eq!(told(1), "about 1 h");
        assert_eq!(told(23), "about 20 h");
        assert_eq!(told(24 * 4), "about 3 days");
        assert_eq!(told(24 * 56), "about 45 days");
    }
}
