//! Names that cannot be validated: what is ordered without them, when they are tried again and come back. Pure.
//!
//! ```text
//! fails --> Out --passes--> Joining --issued--> gone        (Passing first, if a re-issue is not cheap)
//! fails while it is served, at its renewal --> Served --passes--> gone
//!                                                 +--no time left--> the CA is asked --refuses--> Out
//! ```
//!
//! # Guarantees
//! - What is left out follows from the recorded shard alone, so that all replicas agree, and is recorded before the
//!   order that leaves it out.
//! - A name that stands in the certificate in use is left out only on the CA's own word, and at a renewal only once
//!   half of the time between the planned renewal and the expiry is over.
//! - A name keeps its shard: the plan does not know of any of this.
//!
//! # How it goes
//! - **The look** (`operator/src/self_check`, `operator/core/src/check.rs`). Every replica computes the same token for a
//!   shard, from its UID and the account's thumbprint, and answers it while the shard is claimed: no write is needed. All
//!   names of a shard at once, outside the budget, before newOrder. What may be our own fault (no connection, a resolver
//!   that fails) is held against a name only if another of the same round came through; if not, the CA is asked as if
//!   there were no look. A retry looks at one name that is served, too, for that reason.
//! - **The quarantine** stands on the shard (`status.quarantine`), and is written by compare-and-swap before the order that
//!   leaves the name out. An order's names are the shard's without those that are `Out` or `Passing`
//!   (`operator/src/shard/quarantine.rs`): so the target, the CSR, the check of the chain and `Ready` all follow from the
//!   recorded shard, and the plan knows nothing of it: a name keeps its shard.
//! - **A name that comes back** is part of the next order; until that is done, what is served counts as what is asked for,
//!   so that the shard stays ready. A re-issue between renewals is cheap three times in 7 days: CAs allow some 50
//!   certificates a week for a registered domain, and 5 for one set of names.
//! - **A retry at the CA** (`operator/src/shard/retry.rs`) is an order of that name alone up to its authorization, some five
//!   requests; the order that it joins finds it authorized already. A name that only the look has refused needs none, and
//!   is looked at every hour at least. The waits after the CA's refusals are such that no more than five fall into an hour,
//!   until the last half hour before the certificate in use expires.
//! - **Waits begin anew** after an edit of the issuer, of the profile, and by hand (`spec.retry`): each entry says under what
//!   it was tried. Other edits of the Certificate do not: names come and go all the time, and bear on no others.
//! - **What says nothing of a name is not held against it**: a quota, an account that is gone, an order that is lost. The name
//!   is put off, and keeps what is known of it.
//! - **Nothing that is served is lost in silence.** A look alone never takes a served name out: its authorization may
//!   still be valid, and the CA knows. At a renewal there is time: the old certificate serves all names, so the renewal
//!   waits for half of the time that is left from the planned renewal to the expiry (for 90 days, 15 days), or as long as
//!   the CA suggests to renew. Then the CA is asked with the name, and without it if it refuses. An edit does not wait: what
//!   is new must not be held up, so the CA is asked at once.
//! - **Pending authorizations of a failed order are not deactivated.** All challenges are answered before the order is
//!   polled, so there are next to none; each would cost a request, and they expire by themselves.
//! - A CA that names no name in its refusal fails the whole order, as under `Strict`.
//! - An IP address is a name like any other: in the plan it is its own registered domain, since CAs count it so, and a look
//!   at it needs no DNS.
//! - Looks go wherever a name leads. So nothing of an answer but its status is shown, redirects to addresses are not
//!   followed, and link-local addresses are not asked.

mod blame;
mod trial;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use sancho_core::order::Retry;
use sancho_core::renewal::{ask_again_time, look_again_time, retry_time};
use sancho_core::shown::shown_within;
use sancho_crds::{
    CertificateShard, CertificateShardSpec, CertificateShardStatus, FoundBy, IssuedStatus, NamePolicy,
    QuarantinePlace, QuarantinedName, condition, set_condition,
};

pub use self::blame::{blamed, is_blamed_alone};
pub use self::trial::Trial;
use super::decide::is_elsewhere;
use super::renewal::renewal_of_issued;
use crate::clock;
use crate::issuer::Edition;
use crate::target::target;

/// The reason of `Degraded` while names are left out.
pub const NAMES_QUARANTINED: &str = "NamesQuarantined";
/// The reason of `Degraded` while a name that is served holds its renewal up.
pub const RENEWAL_HELD_UP: &str = "RenewalHeldUp";
/// The reason of `Ready` if there is no name left to order, and they fail for different reasons.
pub const ALL_NAMES_QUARANTINED: &str = "AllNamesQuarantined";
/// A re-issue between two renewals, for names that come back, is cheap so many times in `JOIN_PERIOD`.
pub const CHEAP_JOINS: usize = 3;
/// See [`CHEAP_JOINS`]. CAs count certificates by the week.
const JOIN_PERIOD: SignedDuration = SignedDuration::from_hours(7 * 24);
/// One failed attempt at the CA counts as so many more, so that no more than five come in the first hour: what
/// Let's Encrypt allows a name.
const AT_CA: u32 = 1;
/// So many names are spelt out in a condition.
const SHOWN: usize = 3;
/// The most characters of a name's message: a standing record that is to be created has to fit.
const MESSAGE_MAX: usize = 640;

/// What was found wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name.
    pub name: String,
    /// Who found it.
    pub by: FoundBy,
    /// A CamelCase reason.
    pub reason: String,
    /// What is wrong and what can be done about it.
    pub message: String,
    /// When it may be tried again, if the CA says so.
    pub not_before: Option<Timestamp>,
}

/// Are all names of the shard wanted or none?
#[must_use]
pub fn is_strict(shard: &CertificateShard) -> bool {
    shard.spec.policy == Some(NamePolicy::Strict)
}

/// The entries that count: of names that are still the shard's.
#[must_use]
pub fn entries(shard: &CertificateShard) -> Vec<&QuarantinedName> {
    let status = shard.status.as_ref().filter(|_| !is_strict(shard));
    let recorded = status.map_or(&[][..], |status| &status.quarantine);
    let spec = &shard.spec;
    let is_its = |name: &String| {
        let mut all = [&spec.dns_names, &spec.ip_addresses, &spec.kept_names].into_iter();
        all.any(|names| names.contains(name))
    };
    recorded.iter().filter(|entry| is_its(&entry.name)).collect()
}

fn without(shard: &CertificateShard, places: &[QuarantinePlace]) -> Vec<String> {
    let entries = entries(shard);
    if entries.is_empty() {
        return shard.spec.names();
    }
    let gone: BTreeSet<&str> = entries
        .iter()
        .filter(|entry| places.contains(&entry.place))
        .map(|entry| entry.name.as_str())
        .collect();
    let mut names = shard.spec.names();
    names.retain(|name| !gone.contains(name.as_str()));
    names
}

/// The names of the next order.
#[must_use]
pub fn order_names(shard: &CertificateShard) -> Vec<String> {
    without(shard, &[QuarantinePlace::Out, QuarantinePlace::Passing])
}

/// The names that are to be served until those that come back are there: they hold nobody up.
#[must_use]
pub fn rest_names(shard: &CertificateShard) -> Vec<String> {
    use QuarantinePlace::{Joining, Out, Passing};
    without(shard, &[Out, Passing, Joining])
}

/// What the next order is for, at the CA whose directory is at `server`; see [`target`].
#[must_use]
pub fn order_target(shard: &CertificateShard, server: &str) -> String {
    target_of(shard, order_names(shard), server)
}

/// What an order of the shard for just these names is for.
pub(super) fn target_of(shard: &CertificateShard, names: Vec<String>, server: &str) -> String {
    // A hash of all names, whichever of the two fields they stand in.
    let spec = CertificateShardSpec {
        dns_names: names,
        ip_addresses: Vec::new(),
        kept_names: Vec::new(),
        ..shard.spec.clone()
    };
    target(&spec, server)
}

/// Is a certificate that was issued for `issued` what is asked for, save for names that come back just now, and in the
/// Secret that is asked for?
#[must_use]
pub fn is_wanted(shard: &CertificateShard, server: &str, issued: &str) -> bool {
    let is_for_it =
        issued == order_target(shard, server) || issued == target_of(shard, rest_names(shard), server);
    is_for_it && !is_elsewhere(shard)
}

/// The names of a certificate that was issued for `issued`, if that is what is asked for, save for names that come back
/// just now.
#[must_use]
pub fn names_issued(shard: &CertificateShard, server: &str, issued: &str) -> Option<Vec<String>> {
    let all = [order_names(shard), rest_names(shard)];
    all.into_iter()
        .find(|names| issued == target_of(shard, names.clone(), server))
}

/// When the next of the shard's names is to be tried again or comes back, while its issuer is at this edition.
#[must_use]
pub fn next_try(shard: &CertificateShard, issuer: Edition, now: Timestamp) -> Option<Timestamp> {
    let entries = entries(shard);
    if entries.is_empty() {
        return None;
    }
    let trial = Trial::of(shard, issuer, now);
    entries.into_iter().filter_map(|entry| trial.time_of(entry)).min()
}

/// Until when a name that cannot be validated holds the renewal of `issued` up: half of the time between the planned
/// renewal and the expiry, but no longer than the CA suggests to renew; if all names fail, until the expiry. Nothing if
/// no name does.
#[must_use]
pub fn held_up_until(shard: &CertificateShard, issued: &IssuedStatus) -> Option<Timestamp> {
    let failing = failing_names(shard);
    (!failing.is_empty()).then(|| {
        patience(
            shard,
            issued,
            &failing,
            refused_names(shard).is_superset(&failing),
        )
    })
}

/// Is there no time left to wait for names that fail before the certificate in use is to be renewed?
#[must_use]
pub fn is_urgent(shard: &CertificateShard, now: Timestamp) -> bool {
    let issued = shard.status.as_ref().and_then(|status| status.issued.as_ref());
    issued.is_some_and(|issued| now >= patience(shard, issued, &BTreeSet::new(), false))
}

/// The names that the CA itself has refused.
fn refused_names(shard: &CertificateShard) -> BTreeSet<&str> {
    let entries = entries(shard).into_iter();
    entries
        .filter(|entry| entry.found_by == FoundBy::Ca)
        .map(|entry| entry.name.as_str())
        .collect()
}

/// The names that are served and fail.
fn failing_names(shard: &CertificateShard) -> BTreeSet<&str> {
    let entries = entries(shard).into_iter();
    entries
        .filter(|entry| entry.place == QuarantinePlace::Served)
        .map(|entry| entry.name.as_str())
        .collect()
}

/// How long these names may hold a renewal up. If there are no others, nobody is put at risk by it, provided that
/// the CA itself has refused them all: a look from here can be wrong.
fn patience(
    shard: &CertificateShard,
    issued: &IssuedStatus,
    failing: &BTreeSet<&str>,
    all_refused: bool,
) -> Timestamp {
    if all_refused
        && rest_names(shard)
            .iter()
            .all(|name| failing.contains(name.as_str()))
    {
        return issued.not_after.0;
    }
    let renewal = renewal_of_issued(shard, issued);
    let half = issued.not_after.0.duration_since(renewal) / 2;
    let latest = renewal.saturating_add(half).unwrap_or(renewal);
    let window = issued
        .renewal_info
        .as_ref()
        .and_then(|info| info.suggested_window.as_ref());
    window.map_or(latest, |window| latest.min(window.end.0).max(renewal))
}

/// The quarantine with which an order is begun: what passes comes along, what is no name of the shard any more is
/// forgotten. A name that is served and fails is asked for once more: it may be mended by now.
#[must_use]
pub fn before_order(shard: &CertificateShard) -> Vec<QuarantinedName> {
    let entries = entries(shard).into_iter().cloned();
    entries
        .map(|mut entry| {
            if entry.place == QuarantinePlace::Passing {
                entry.place = QuarantinePlace::Joining;
            }
            entry
        })
        .collect()
}

/// The quarantine after these findings of `trial`. `served`: the names of a valid certificate in use. `is_renewal`: the
/// order is for just those.
///
/// What is not served is left out. What is, holds a renewal up while there is time; and then only the CA's word
/// leaves it out. Nothing changes if the CA is to be asked all the same.
#[must_use]
pub fn after(
    shard: &CertificateShard,
    findings: &[Finding],
    served: &BTreeSet<String>,
    is_renewal: bool,
    trial: &Trial,
) -> Vec<QuarantinedName> {
    let now = trial.now;
    let issued = shard.status.as_ref().and_then(|status| status.issued.as_ref());
    let mut failing = failing_names(shard);
    failing.extend(findings.iter().map(|finding| finding.name.as_str()));
    let mut refused = refused_names(shard);
    for finding in findings.iter().filter(|finding| finding.by == FoundBy::Ca) {
        refused.insert(&finding.name);
    }
    let all_refused = refused.is_superset(&failing);
    let has_time =
        is_renewal && issued.is_some_and(|issued| now < patience(shard, issued, &failing, all_refused));
    let mut quarantine: Vec<QuarantinedName> = entries(shard).into_iter().cloned().collect();
    let mut holds_up = false;
    for finding in findings {
        let place = if !served.contains(&finding.name) {
            QuarantinePlace::Out
        } else if has_time {
            holds_up = true;
            QuarantinePlace::Served
        } else if finding.by == FoundBy::Ca {
            QuarantinePlace::Out
        } else {
            continue;
        };
        put(&mut quarantine, finding, place, trial);
    }
    if holds_up {
        // No order is made now; they come along when one is.
        for entry in &mut quarantine {
            if entry.place == QuarantinePlace::Joining {
                entry.place = QuarantinePlace::Passing;
                entry.count = entry.count.saturating_add(1);
                let next = retry_time(now, entry.count, trial.not_after, &entry.name);
                trial.mark(entry, next);
            }
        }
    }
    quarantine.sort_by(|one, other| one.name.cmp(&other.name));
    quarantine
}

/// Writes down that a name has failed once more. If it was looked at before its time, because others of its shard were, only
/// its wait begins anew.
pub fn put(quarantine: &mut Vec<QuarantinedName>, finding: &Finding, place: QuarantinePlace, trial: &Trial) {
    let known = quarantine.iter().position(|entry| entry.name == finding.name);
    let before = known.map(|index| quarantine.swap_remove(index));
    let is_early = before.as_ref().is_some_and(|entry| {
        let is_look = (entry.found_by, finding.by) == (FoundBy::Check, FoundBy::Check);
        is_look && trial.time_of(entry).is_some_and(|at| at > trial.now)
    });
    let counted = before.as_ref().filter(|entry| !trial.is_begun_anew(entry));
    let count = counted.map_or(0, |entry| entry.count);
    let count = count.saturating_add(u32::from(!is_early));
    let retry = match finding.by {
        FoundBy::Check => look_again_time(trial.now, count, trial.not_after, &finding.name),
        FoundBy::Ca => {
            let weight = count.saturating_add(AT_CA);
            ask_again_time(trial.now, weight, trial.not_after, &finding.name)
        }
    };
    let mut entry = QuarantinedName {
        name: finding.name.clone(),
        place,
        found_by: finding.by,
        reason: finding.reason.clone(),
        message: shown_within(&finding.message, MESSAGE_MAX),
        since: before.map_or_else(|| clock::time(trial.now), |entry| entry.since),
        count,
        next_try: clock::time(trial.now),
        issuer_generation: None,
        issuer_created: None,
        asked: None,
    };
    trial.mark(
        &mut entry,
        finding.not_before.map_or(retry, |until| until.max(retry)),
    );
    quarantine.push(entry);
}

/// A name could not be tried, which says nothing of it: it is tried again when the CA says, or within the hour.
pub fn put_off(quarantine: &mut [QuarantinedName], name: &str, retry: Retry, trial: &Trial) {
    if let Some(entry) = quarantine.iter_mut().find(|entry| entry.name == name) {
        let usual = look_again_time(trial.now, u32::MAX, trial.not_after, name);
        let next = match retry {
            Retry::At(at) => at.max(retry_time(trial.now, 1, None, name)),
            Retry::Backoff => usual,
        };
        trial.mark(entry, next);
    }
}

/// A name of the quarantine can be validated again: it joins the next order, which is made at once if that is cheap,
/// else at the time that its entry then tells. One that is served all the time is simply forgotten.
pub fn passed(shard: &CertificateShard, quarantine: &mut Vec<QuarantinedName>, name: &str, now: Timestamp) {
    let moment = join_moment(shard, now);
    quarantine.retain(|entry| entry.name != name || entry.place != QuarantinePlace::Served);
    if let Some(entry) = quarantine.iter_mut().find(|entry| entry.name == name) {
        entry.place = if moment <= now {
            QuarantinePlace::Joining
        } else {
            QuarantinePlace::Passing
        };
        entry.next_try = clock::time(moment);
    }
}

/// When names may come back: at once if there is no certificate that could be re-issued, or if that is cheap, which
/// it is [`CHEAP_JOINS`] times a week; else as soon as it is again, or at the renewal.
fn join_moment(shard: &CertificateShard, now: Timestamp) -> Timestamp {
    let Some(status) = &shard.status else { return now };
    let Some(issued) = status.issued.as_ref().filter(|issued| issued.not_after.0 > now) else {
        return now;
    };
    let recent = recent_joins(status, now);
    let Some(index) = recent.len().checked_sub(CHEAP_JOINS) else {
        return now;
    };
    let cheap_again = recent[index].saturating_add(JOIN_PERIOD).unwrap_or(now);
    cheap_again.min(renewal_of_issued(shard, issued)).max(now)
}

fn recent_joins(status: &CertificateShardStatus, now: Timestamp) -> Vec<Timestamp> {
    let joins = status.joins.iter().map(|at| at.0);
    joins.filter(|at| now.duration_since(*at) < JOIN_PERIOD).collect()
}

/// The status's quarantine and joins once a certificate for [`order_names`] is there.
pub fn issued(status: &mut CertificateShardStatus, shard: &CertificateShard, now: Timestamp) {
    let has_joined = |entry: &QuarantinedName| entry.place == QuarantinePlace::Joining;
    let joined = entries(shard).into_iter().any(has_joined);
    let before = status.issued.as_ref();
    let is_extra = joined && before.is_some_and(|issued| now < issued.renewal_time.0);
    let mut joins = recent_joins(status, now);
    if is_extra {
        joins.push(now);
    }
    status.joins = joins.into_iter().map(clock::time).collect();
    use QuarantinePlace::{Out, Passing};
    status.quarantine = entries(shard)
        .into_iter()
        .filter(|entry| matches!(entry.place, Out | Passing))
        .cloned()
        .collect();
}

/// Says in the conditions which names are left out or fail, and that none is left if that is so.
pub fn show(status: &mut CertificateShardStatus, shard: &CertificateShard, now: Timestamp) {
    let shown = CertificateShard {
        status: Some(status.clone()),
        ..shard.clone()
    };
    let entries = entries(&shown);
    let (generation, time) = (shard.metadata.generation, clock::time(now));
    if entries.is_empty() {
        if condition(&status.conditions, "Degraded").is_some() {
            let conditions = &mut status.conditions;
            set_condition(
                conditions,
                "Degraded",
                false,
                "AllNamesPass",
                "",
                generation,
                &time,
            );
        }
        return;
    }
    let (reason, message) = words(&entries);
    let conditions = &mut status.conditions;
    set_condition(conditions, "Degraded", true, reason, &message, generation, &time);
    if order_names(&shown).is_empty() {
        status.observed_generation = generation;
        let reason = reason_of_all(&entries).to_owned();
        for (kind, value) in [("Ready", false), ("Reconciling", true)] {
            let conditions = &mut status.conditions;
            set_condition(conditions, kind, value, &reason, &message, generation, &time);
        }
    }
}

/// The reason that all these names share, or a word for several.
#[must_use]
pub fn reason_of_all<'a>(entries: &[&'a QuarantinedName]) -> &'a str {
    match entries {
        [first, others @ ..] if others.iter().all(|other| other.reason == first.reason) => &first.reason,
        _ => ALL_NAMES_QUARANTINED,
    }
}

/// A reason and a bounded message about these names.
#[must_use]
pub fn words(entries: &[&QuarantinedName]) -> (&'static str, String) {
    let is_left_out = entries.iter().any(|entry| entry.place != QuarantinePlace::Served);
    let reason = if is_left_out {
        NAMES_QUARANTINED
    } else {
        RENEWAL_HELD_UP
    };
    (reason, few(entries.iter().map(|entry| word(entry))))
}

/// What is to be said of names, of the first few alone.
#[must_use]
pub fn few(words: impl ExactSizeIterator<Item = String>) -> String {
    let more = words.len().saturating_sub(SHOWN);
    let mut parts: Vec<String> = words.take(SHOWN).collect();
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    shown_within(&parts.join("; "), 1024)
}

/// What is to be said of one name.
#[must_use]
pub fn word(entry: &QuarantinedName) -> String {
    let QuarantinedName {
        name,
        place,
        reason,
        message,
        next_try,
        ..
    } = entry;
    let at = next_try.0;
    match place {
        QuarantinePlace::Out => {
            format!("{name} is left out: {reason}: {message} (tried again at {at})")
        }
        QuarantinePlace::Served => format!(
            "{name} is served by the certificate in use and holds its renewal up: {reason}: {message} (tried again at {at})"
        ),
        QuarantinePlace::Passing => format!(
            "{name} can be validated again and comes back at {at}: its certificate was re-issued {CHEAP_JOINS} times \
             in 7 days for names that came back"
        ),
        QuarantinePlace::Joining => {
            format!("{name} can be validated again and is part of the next order")
        }
    }
}

#[cfg(test)]
mod tests;
