//! What shards tell though their Certificates may be ready: names that cannot be validated, and quotas that are used up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use sancho::shard::quarantine::{Trial, entries};
use sancho_crds::{
    CertificateShard, FoundBy, QuarantinePlace, QuarantinedName, QuotaScope, ShardFailure, ShardQuota,
};

use super::SHOWN;
use crate::doctor::Finding;
use crate::doctor::Weight::{self, Broken, Doubtful};
use crate::editions::Editions;
use crate::span;

/// The names that cannot be validated, those first that nothing serves.
pub fn names(shards: &[CertificateShard], editions: &Editions, now: Timestamp) -> Vec<Finding> {
    let all = shards.iter();
    let mut names: Vec<(&CertificateShard, &QuarantinedName)> = all
        .flat_map(|shard| entries(shard).into_iter().map(move |entry| (shard, entry)))
        .collect();
    names.sort_by_key(|(_, entry)| weight(entry.place));
    let mut found: Vec<Finding> = names
        .iter()
        .take(SHOWN)
        .map(|(shard, entry)| {
            let trial = Trial::of(shard, editions.for_shard(shard), now);
            name(shard, entry, &trial)
        })
        .collect();
    if names.len() > SHOWN {
        found.push(Finding::trouble(
            Doubtful,
            "names",
            format!("{} more cannot be validated", names.len() - SHOWN),
            "kubectl sancho status NAME -n NAMESPACE tells those of a Certificate",
        ));
    }
    found
}

fn weight(place: QuarantinePlace) -> Weight {
    match place {
        QuarantinePlace::Out => Broken,
        QuarantinePlace::Served | QuarantinePlace::Passing | QuarantinePlace::Joining => Doubtful,
    }
}

fn name(shard: &CertificateShard, entry: &QuarantinedName, trial: &Trial) -> Finding {
    let QuarantinedName {
        name,
        place,
        found_by,
        reason,
        message,
        since,
        count: _,
        ..
    } = entry;
    let (namespace, certificate) = (shard.namespace().unwrap_or_default(), &shard.spec.certificate);
    let since = span::text(trial.now.duration_since(since.0));
    let next = trial.time_of(entry).unwrap_or(entry.next_try.0);
    let next = span::text(next.duration_since(trial.now));
    let by = match found_by {
        FoundBy::Check => "found by a look at its DNS and its path, before the CA is asked",
        FoundBy::Ca => "found by the CA",
    };
    let mend = format!(
        "mend that: it is tried again by itself in {next}; kubectl sancho status {certificate} -n {namespace} shows it"
    );
    let (found, next_step) = match place {
        QuarantinePlace::Out => (format!("left out for {since}: {reason}: {message} ({by})"), mend),
        QuarantinePlace::Served => (
            format!("holds the renewal up for {since}: {reason}: {message} ({by})"),
            mend,
        ),
        QuarantinePlace::Passing => (
            "can be validated again, and is not in the certificate yet".to_owned(),
            format!("wait: it comes back by itself in {next}"),
        ),
        QuarantinePlace::Joining => (
            "can be validated again, and is not in the certificate yet".to_owned(),
            "wait: it is part of the next order".to_owned(),
        ),
    };
    let about = format!("name {name} of Certificate {namespace}/{certificate}");
    Finding::trouble(weight(*place), about, found, next_step)
}

/// The quotas that are used up, each once.
pub fn quotas(shards: &[CertificateShard], now: Timestamp) -> Vec<Finding> {
    let mut latest: BTreeMap<(&str, String), (&CertificateShard, &ShardFailure)> = BTreeMap::new();
    for shard in shards {
        let failure = shard.status.as_ref().and_then(|status| status.failure.as_ref());
        let Some(failure) = failure.filter(|failure| failure.retry_time.0 > now) else {
            continue;
        };
        let Some(quota) = &failure.quota else { continue };
        let known = latest
            .entry((quota.account.as_str(), subject(quota)))
            .or_insert((shard, failure));
        if known.1.retry_time.0 < failure.retry_time.0 {
            *known = (shard, failure);
        }
    }
    let findings = latest
        .into_iter()
        .map(|((account, subject), (shard, failure))| {
            let until = failure.retry_time.0;
            let whose = format!("{}/{}", shard.namespace().unwrap_or_default(), shard.name_any());
            Finding::trouble(
                Doubtful,
                format!("quota of the CA for {subject}"),
                format!(
                    "used up until {until}: {} (said to shard {whose}, account {account})",
                    failure.message
                ),
                format!(
                    "wait: orders that it counts are made by themselves in {}, and all others now; or ask the CA for more",
                    span::text(until.duration_since(now))
                ),
            )
        });
    findings.collect()
}

fn subject(quota: &ShardQuota) -> String {
    match quota.scope {
        QuotaScope::Account => "the issuer's account".to_owned(),
        QuotaScope::RegisteredDomain => format!("the registered domain {}", quota.names.join(", ")),
        QuotaScope::Names if quota.names.len() > SHOWN => {
            format!("{} and other names", quota.names[..SHOWN].join(", "))
        }
        QuotaScope::Names => quota.names.join(", "),
    }
}
