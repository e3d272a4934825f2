//! Names that move from one shard to another: what serves them keeps them until the other one does. Pure.
//!
//! plan → names that a certificate serves and that the plan has elsewhere → kept, until they are served there
//!
//! # Guarantees
//! - A name that is served and still asked for stays served while it moves: the certificate that has it is replaced by one
//!   without it, or left with its shard, only once that of its new shard has it.
//! - A shard without names of its own is there for what it keeps alone, and retired after.
//! - What is kept is part of what the shard asks for (`CertificateShardSpec::names`). So a certificate that has it all
//!   already is what is asked for, and no order is made to keep anything.
//!
//! # Caveats
//! Where its issuer takes fewer names than a shard has and keeps together, the shard begins no order meanwhile. That ends
//! once its renewal is due, by hand too, or its Secret is gone: then it goes on without what it kept. Of two that would wait
//! for one another so, the second goes on without.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use sancho_crds::{CertificateShard, CertificateShardSpec, IssuedStatus};

use super::wanted::Wanted;
use crate::context::Context;
use crate::shard::decide::{is_elsewhere, is_renewed_by_hand};
use crate::shard::quarantine::{is_wanted, names_issued};
use crate::shard::renewal::renewal_of_issued;

/// What there is today.
pub(super) struct Today<'a> {
    /// The Certificate's shards.
    pub(super) shards: Vec<&'a CertificateShard>,
    /// The names of the certificates in the Secrets of [`losing`] shards, by shard.
    pub(super) certified: HashMap<String, BTreeSet<String>>,
    /// Is the shard's Secret there?
    pub(super) has_secret: &'a (dyn Fn(&CertificateShard) -> bool + Send + Sync),
    /// The issuer's directory URL, as far as it is known.
    pub(super) server: Option<&'a str>,
    /// At most how many names the issuer takes.
    pub(super) most_names: u32,
    /// The wall clock.
    pub(super) now: Timestamp,
}

/// The shards that have a certificate and that `planned` takes names from which it gives to others: what their
/// certificates serve has to be known.
pub(super) fn losing<'a>(
    planned: &Wanted,
    shards: impl IntoIterator<Item = &'a CertificateShard>,
    now: Timestamp,
) -> Vec<&'a CertificateShard> {
    let homes = homes(planned);
    let loses = |shard: &&CertificateShard| {
        let own = shard.name_any();
        let is_elsewhere = |name: &String| homes.get(name).is_some_and(|home| **home != *own);
        valid(shard, now).is_some() && shard.spec.own_names().iter().any(is_elsewhere)
    };
    shards.into_iter().filter(loses).collect()
}

/// `planned`, with what shards have to keep, and with shards that are there for that alone.
pub(super) fn with_kept(mut planned: Wanted, today: &Today<'_>) -> Wanted {
    let keeps = |shard: &&CertificateShard| !shard.spec.kept_names.is_empty();
    if today.certified.is_empty() && !today.shards.iter().any(keeps) {
        return planned;
    }
    let homes = homes(&planned);
    let served = served(&homes, today);
    let Some((_, model)) = planned.shards.first() else {
        return planned;
    };
    let places: HashMap<&str, usize> = planned
        .shards
        .iter()
        .enumerate()
        .map(|(place, (name, _))| (name.as_str(), place))
        .collect();
    let mut shards = today.shards.clone();
    shards.sort_by_key(|shard| shard.name_any());
    let mut waiting = HashSet::new();
    let mut kept = Vec::new();
    for shard in shards {
        let Some(issued) = valid(shard, today.now) else {
            continue;
        };
        let name = shard.name_any();
        let place = places.get(name.as_str()).copied();
        let own = place.map(|place| &planned.shards[place].1);
        let names = candidates(shard, own, today);
        let open: Vec<&String> = names
            .iter()
            .filter_map(|name| homes.get(name).filter(|_| !served.contains(name)))
            .collect();
        if open.is_empty() {
            continue;
        }
        let spec = own.map_or_else(|| left(&shard.spec, model), Clone::clone);
        let others_wait = open.into_iter().any(|home| waiting.contains(home));
        let moved = names
            .iter()
            .filter(|name| homes.contains_key(*name))
            .cloned()
            .collect();
        match kept_by((shard, issued), &spec, (names, moved), others_wait, today) {
            Kept::Nothing => {}
            Kept::Serving(names) => kept.push((name, place, with(spec, names))),
            Kept::Waiting(names) => {
                waiting.insert(name.clone());
                kept.push((name, place, with(spec, names)));
            }
        }
    }
    for (name, place, spec) in kept {
        match place {
            Some(place) => planned.shards[place].1 = spec,
            None => planned.shards.push((name, spec)),
        }
    }
    planned
}

/// What a shard keeps.
enum Kept {
    /// Nothing.
    Nothing,
    /// These, and it goes on with whatever is to be done.
    Serving(BTreeSet<String>),
    /// These, and it begins no order.
    Waiting(BTreeSet<String>),
}

fn with(spec: CertificateShardSpec, kept: BTreeSet<String>) -> CertificateShardSpec {
    CertificateShardSpec {
        kept_names: kept.into_iter().collect(),
        ..spec
    }
}

/// The names of its certificate that the plan does not give the shard, which is to have those of `own`.
fn candidates(
    shard: &CertificateShard,
    own: Option<&CertificateShardSpec>,
    today: &Today<'_>,
) -> BTreeSet<String> {
    let certified = today.certified.get(&shard.name_any());
    let had = shard.spec.own_names().into_iter();
    let had = had.filter(|name| certified.is_some_and(|certified| certified.contains(name)));
    let mut names: BTreeSet<String> = shard.spec.kept_names.iter().cloned().chain(had).collect();
    for name in own.map(CertificateShardSpec::own_names).unwrap_or_default() {
        names.remove(&name);
    }
    names
}

/// Is the shard's Secret there, as far as this replica has seen?
pub(super) fn has_secret(context: &Context, shard: &CertificateShard) -> bool {
    let seen = &context.seen.secrets;
    let namespace = shard.namespace().unwrap_or_default();
    let secret = ObjectRef::new_with(&shard.spec.secret_name, ()).within(&namespace);
    !seen.is_ready() || seen.get(&secret).is_some()
}

/// How long until one of the shards that keep names is to be renewed: what it keeps may have to go then.
pub(super) fn next_look(shards: &[&CertificateShard], now: Timestamp) -> Option<Duration> {
    let keeping = shards.iter().filter(|shard| !shard.spec.kept_names.is_empty());
    let renewals = keeping.filter_map(|shard| Some(renewal_of_issued(shard, valid(shard, now)?)));
    let next = renewals.filter(|at| *at > now).min()?;
    Duration::try_from(next.duration_since(now)).ok()
}

/// Which shard has each name.
fn homes(planned: &Wanted) -> HashMap<String, String> {
    let shards = planned.shards.iter();
    shards
        .flat_map(|(shard, spec)| {
            spec.own_names()
                .into_iter()
                .map(move |name| (name, shard.clone()))
        })
        .collect()
}

/// The names that the shards which they are planned for serve already.
fn served(homes: &HashMap<String, String>, today: &Today<'_>) -> HashSet<String> {
    let mut served = HashSet::new();
    for shard in &today.shards {
        let issued = valid(shard, today.now).filter(|_| !is_elsewhere(shard));
        let (Some(issued), Some(server)) = (issued, today.server) else {
            continue;
        };
        let own = shard.name_any();
        let names = names_issued(shard, server, &issued.target).unwrap_or_default();
        served.extend(names.into_iter().filter(|name| homes.get(name) == Some(&own)));
    }
    served
}

/// What a shard that is to be as `spec` says keeps of `all`, of which those that `moved` are still asked for. `others_wait`: who
/// is to have some of them waits itself.
fn kept_by(
    (shard, issued): (&CertificateShard, &IssuedStatus),
    spec: &CertificateShardSpec,
    (all, moved): (BTreeSet<String>, BTreeSet<String>),
    others_wait: bool,
    today: &Today<'_>,
) -> Kept {
    let with_all = CertificateShard {
        spec: with(spec.clone(), all.clone()),
        ..shard.clone()
    };
    // What another Secret is to have is issued for that; this one stays as it is.
    if is_elsewhere(&with_all) {
        return Kept::Nothing;
    }
    let is_due = today.now >= renewal_of_issued(&with_all, issued)
        || is_renewed_by_hand(&with_all)
        || !(today.has_secret)(shard);
    // Of an issuer that is not there nobody can tell.
    let is_as_issued = today
        .server
        .is_none_or(|server| is_wanted(&with_all, server, &issued.target));
    // Names that nobody asks for any more are no reason for an order either.
    if is_as_issued && !is_due {
        return Kept::Serving(all);
    }
    let count = spec.name_count() + moved.len();
    if u32::try_from(count).is_ok_and(|names| names <= today.most_names) {
        return Kept::Serving(moved);
    }
    match is_due || others_wait {
        true => Kept::Nothing,
        false => Kept::Waiting(moved),
    }
}

/// A shard that is no longer planned, and there for what it keeps: as it is, but for what an annotation or the policy of
/// the Certificate says of all shards.
fn left(today: &CertificateShardSpec, model: &CertificateShardSpec) -> CertificateShardSpec {
    CertificateShardSpec {
        dns_names: Vec::new(),
        ip_addresses: Vec::new(),
        retry: model.retry.clone(),
        paused: model.paused,
        revoke: model.revoke,
        secret_deletion_policy: model.secret_deletion_policy,
        ..today.clone()
    }
}

/// The certificate that the shard has, if it is still valid.
fn valid(shard: &CertificateShard, now: Timestamp) -> Option<&IssuedStatus> {
    let issued = shard.status.as_ref()?.issued.as_ref()?;
    (issued.not_after.0 > now).then_some(issued)
}

#[cfg(test)]
mod tests;
