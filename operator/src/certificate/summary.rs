//! What a Certificate's status says: its shards added up. Pure, so that every replica says the same.

mod tally;

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use sancho_crds::{
    Certificate, CertificateShard, CertificateStatus, MADE_FOR_LABEL, PlanStatus, condition, set_condition,
    unset_condition,
};

use self::tally::Tally;
use super::revoked::revoking;
use super::wanted::Refused;
use crate::clock;
use crate::quotas::HeldBack;
use crate::quotas::published::{Stretch, granted, quotas, stretch};
use crate::shard::quarantine;
use crate::shard::reform::KEYSTORE_LACKING;
use crate::shard::revocation::REVOKING;

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
    status.names = u32::try_from(certificate.spec.name_count()).ok();
    status.waiting_for = Some(format!("an edit: {}", refused.reason));
    let Refused { reason, message } = refused;
    let conditions = &mut status.conditions;
    set_condition(conditions, "Ready", false, reason, message, generation, &now);
    for kind in ["Reconciling", "RateLimited"] {
        unset_condition(conditions, kind);
    }
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

/// What holds an order of these names back, given whether it is a renewal.
pub(super) type HoldingBack<'a> = &'a dyn Fn(&[String], bool) -> Option<HeldBack>;

/// The status of a Certificate whose plan is `plan` and whose shards are `shards`.
pub(super) fn summary(
    certificate: &Certificate,
    plan: Option<&PlanStatus>,
    shards: &[&CertificateShard],
    issuer: &IssuerState,
    holding_back: HoldingBack<'_>,
    wait: BudgetWait,
    now: Timestamp,
) -> CertificateStatus {
    let tally = Tally::of(shards, issuer, holding_back, now);
    let names = u32::try_from(certificate.spec.name_count()).unwrap_or(u32::MAX);
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
    let quarantined = u32::try_from(tally.quarantined.len()).unwrap_or(u32::MAX);
    status.quarantined_names = (quarantined > 0).then_some(quarantined);
    let was_degraded = condition(&status.conditions, "Degraded").is_some();
    status.not_after = tally.not_after.map(clock::time);
    status.waiting_for = waiting.clone();

    let stretched = issuer
        .server()
        .filter(|_| !tally.to_be_made.is_empty())
        .and_then(|server| {
            let open = tally.to_be_made.iter().map(Vec::as_slice);
            stretch(&quotas(server, open, granted(shards.iter().copied()), now))
        });
    let stretched = stretched.map(|Stretch { at_least, why }| {
        let long = rounded(at_least);
        format!("{long} or more until the last one, since {why}; fewer orders with more names each take less")
    });
    let revoking = revoking(certificate, shards);
    let time = clock::time(now);
    let conditions = &mut status.conditions;
    let mut set = |kind, value, reason: &str, message: &str| {
        set_condition(conditions, kind, value, reason, message, generation, &time);
    };
    // What was the matter and is no more.
    let mut over = vec!["Stalled"];
    let counts = format!(
        "{} of {names} names in {} of {total} shards",
        tally.ready_names, tally.ready_shards
    );
    if is_ready {
        let message = match tally.quarantined.len() {
            0 => format!("{names} names in {total} Secrets"),
            count => {
                let served = tally.ready_names;
                format!(
                    "{served} of {names} names in {total} Secrets; {count} cannot be validated, see Degraded"
                )
            }
        };
        let message = match to_be_named(certificate, shards) {
            Some(words) => format!("{message}; {words}"),
            None => message,
        };
        set("Ready", true, "Issued", &message);
        over.push("Reconciling");
    } else {
        let reason = tally.reason(is_planned, issuer);
        let stretched = stretched
            .as_ref()
            .map(|words| format!("; {words}"))
            .unwrap_or_default();
        let message = format!("{counts}; waits for {}{stretched}", waiting.unwrap_or_default());
        set("Ready", false, reason, &message);
        set("Reconciling", true, reason, &message);
    }
    let lacking = tally.lacking.iter().map(String::as_str);
    if quarantined > 0 {
        let entries: Vec<_> = tally.quarantined.iter().collect();
        let (reason, message) = quarantine::words(&entries);
        let parts: Vec<&str> = std::iter::once(message.as_str()).chain(lacking).collect();
        set("Degraded", true, reason, &parts.join("; "));
    } else if !tally.lacking.is_empty() {
        set(
            "Degraded",
            true,
            KEYSTORE_LACKING,
            &lacking.collect::<Vec<_>>().join("; "),
        );
    } else if was_degraded {
        set("Degraded", false, "AllNamesPass", "");
    }
    if let Some((value, reason, message)) = &revoking {
        set(REVOKING, *value, reason, message);
    }
    if tally.renewing.is_empty() {
        over.push("Renewing");
    } else {
        set("Renewing", true, "Renewing", &tally.renewing.join("; "));
    }
    match (tally.rate_limited.is_empty(), wait) {
        (false, _) => set("RateLimited", true, "QuotaUsedUp", &tally.rate_limited.join("; ")),
        (true, _) if stretched.is_some() => {
            set(
                "RateLimited",
                true,
                STRETCHED,
                stretched.as_deref().unwrap_or_default(),
            );
        }
        (true, BudgetWait::SaidByAnother) if waits_for_budget => {}
        (true, BudgetWait::Is(Some(wait))) if wait >= SHOWN_WAIT => {
            let message = format!(
                "{} until the request budget has come to all its orders",
                rounded(wait)
            );
            set("RateLimited", true, WAITS_FOR_BUDGET, &message);
        }
        (true, _) => over.push("RateLimited"),
    }
    for kind in over {
        unset_condition(&mut status.conditions, kind);
    }
    status
}

/// Of a longer list of Secrets only so many are told.
const SECRETS_SHOWN: usize = 10;

/// The Secrets of a Certificate that is made for an Ingress or a Gateway, if they are more than the one that it names.
fn to_be_named(certificate: &Certificate, shards: &[&CertificateShard]) -> Option<String> {
    let kind = certificate.labels().get(MADE_FOR_LABEL)?;
    let owners = certificate.owner_references().iter();
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    if shards.len() < 2 || owner.kind != *kind {
        return None;
    }
    let secrets: Vec<&str> = shards
        .iter()
        .filter(|shard| shard.spec.name_count() > 0)
        .take(SECRETS_SHOWN)
        .map(|shard| shard.spec.secret_name.as_str())
        .collect();
    let more = if shards.len() > SECRETS_SHOWN { " …" } else { "" };
    Some(format!(
        "{kind} {} has to name each of them: {}{more}",
        owner.name,
        secrets.join(", ")
    ))
}

/// The reason of `RateLimited` while the budget is what a Certificate waits for.
const WAITS_FOR_BUDGET: &str = "WaitsForBudget";
/// Its reason while the CA's published quotas make the plan take long.
const STRETCHED: &str = "StretchedByQuotas";
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

#[cfg(test)]
mod tests;
