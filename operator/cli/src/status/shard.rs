//! One shard: what it has, what is under way, and what it waits for. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use sancho::issuer::Edition;
use sancho::shard::quarantine::Trial;
use sancho_crds::{
    CertificateShard, CertificateShardStatus, OrderStatus, QuarantinePlace, QuarantinedName, condition,
};

use super::ShardView;
use crate::quotas::Told;
use crate::span;
use crate::stand::{Stand, stand};

/// What a shard's Certificate says about the waiting of all its shards.
pub struct Owner {
    /// What they wait for whatever they are like themselves, if there is such: the issuer.
    pub obstacle: Option<String>,
    /// What one waits for that nothing else holds back.
    pub turn: &'static str,
}

/// The view of a shard, given what shards were `told` of quotas, and the `edition` of its issuer.
pub fn view(
    shard: &CertificateShard,
    owner: &Owner,
    told: &Told,
    edition: Edition,
    now: Timestamp,
) -> ShardView {
    let status = shard.status.clone().unwrap_or_default();
    let ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
    let mut open_names = BTreeMap::new();
    if let Some(order) = &status.order {
        open_names.extend(validations(order));
    }
    let trial = Trial::of(shard, edition, now);
    for entry in &status.quarantine {
        open_names.insert(entry.name.clone(), quarantined(entry, &trial));
    }
    let issued = status.issued.as_ref();
    let stand = stand(shard, told, edition, now);
    ShardView {
        name: shard.name_any(),
        secret: shard.spec.secret_name.clone(),
        names: shard.spec.name_count(),
        ready,
        state: state(shard, &status, ready, &stand, owner, now).join("; "),
        not_after: issued.map(|issued| issued.not_after.0),
        renewal_time: issued.map(|issued| issued.renewal_time.0),
        holder: status.claim.map(|claim| claim.holder),
        open_names,
    }
}

/// Where it stands, in words.
fn state(
    shard: &CertificateShard,
    status: &CertificateShardStatus,
    ready: bool,
    stand: &Stand,
    owner: &Owner,
    now: Timestamp,
) -> Vec<String> {
    let until = |at: Timestamp| span::text(at.duration_since(now));
    let mut state = Vec::new();
    if let Some(issued) = status.issued.as_ref().filter(|_| ready) {
        let expires = span::until(issued.not_after.0, now);
        state.push(match issued.renewal_time.0 {
            renewal if renewal <= now => format!("expires in {expires}, its renewal is due"),
            renewal => format!("expires in {expires}, renewed in {}", until(renewal)),
        });
    }
    if shard.spec.paused == Some(true) {
        state.push("paused".into());
    }
    let failure = status.failure.as_ref().filter(|_| status.order.is_none());
    let failed = failure.map(|failure| format!("{}: {}", failure.reason, failure.message));
    let mut wait = Vec::new();
    match stand {
        Stand::Done => return state,
        Stand::Paused => wait.extend(failed),
        Stand::UnderWay => {
            wait.push(status.order.as_ref().map_or("its order is begun".into(), order));
            wait.extend(own_words(shard, status));
            let put_off = status.order.as_ref().and_then(|order| order.not_before.as_ref());
            let again = put_off.map(|at| at.0).filter(|at| *at > now);
            wait.extend(again.map(|at| format!("looked at again in {}", until(at))));
        }
        Stand::Failed(at) => {
            wait.extend(failed);
            wait.push(format!("tried again in {}", until(*at)));
        }
        Stand::NoName(at) => {
            let next = at.map_or_else(String::new, |at| {
                format!("; the next is tried again in {}", until(at))
            });
            wait.push(format!("none of its names can be validated{next}"));
        }
        Stand::HeldUp(at) => wait.push(format!(
            "names that cannot be validated hold the renewal up, for {} at the most",
            until(*at)
        )),
        Stand::Quota(held_back) => {
            wait.extend(failed);
            wait.push(format!(
                "waits for {} ({})",
                held_back.words,
                until(held_back.until)
            ));
        }
        Stand::Turn => {
            wait.extend(failed.or_else(|| own_words(shard, status)));
            if owner.obstacle.is_none() {
                wait.push(format!("waits for {}", owner.turn));
            }
        }
    }
    let obstacle = owner.obstacle.iter();
    wait.extend(obstacle.map(|obstacle| format!("waits for {obstacle}")));
    state.extend(wait);
    state
}

/// What its own condition says, unless that is no more than that there is an order.
fn own_words(shard: &CertificateShard, status: &CertificateShardStatus) -> Option<String> {
    let said = ["Reconciling", "Renewing"]
        .into_iter()
        .filter_map(|kind| condition(&status.conditions, kind));
    let mut news = said.filter(|said| {
        said.status == "True"
            && said.reason != "Ordering"
            && said.observed_generation == shard.metadata.generation
    });
    let news = news.next()?;
    Some(format!("{}: {}", news.reason, news.message))
}

/// The order's stage, and how many of its names are how far.
fn order(order: &OrderStatus) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for authorization in &order.authorizations {
        *counts.entry(&authorization.state).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let names = if counts.is_empty() {
        String::new()
    } else {
        format!(" ({} of its names)", counts.join(", "))
    };
    format!("order {}{names}", order.stage)
}

/// The names of an order whose validation is open or has failed.
fn validations(order: &OrderStatus) -> BTreeMap<String, String> {
    let open = order
        .authorizations
        .iter()
        .filter(|authorization| authorization.state != "Valid");
    let words = open.filter_map(|authorization| {
        let name = authorization.name.clone()?;
        let words = match &authorization.error {
            Some(error) => format!("{}: {error}", authorization.state),
            None => authorization.state.clone(),
        };
        Some((name, words))
    });
    words.collect()
}

/// What becomes of a name that cannot be validated, by what bears on it now.
fn quarantined(entry: &QuarantinedName, trial: &Trial) -> String {
    let since = span::text(trial.now.duration_since(entry.since.0));
    let next = trial.time_of(entry).unwrap_or(entry.next_try.0);
    let next = span::text(next.duration_since(trial.now));
    let (reason, message) = (&entry.reason, &entry.message);
    let failing = |words| format!("{words} for {since}: {reason}: {message}; tried again in {next}");
    match entry.place {
        QuarantinePlace::Out => failing("left out"),
        QuarantinePlace::Served => failing("holds the renewal up"),
        QuarantinePlace::Passing => format!("comes back in {next}"),
        QuarantinePlace::Joining => "joins".to_owned(),
    }
}
