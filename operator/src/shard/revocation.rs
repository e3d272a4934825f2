//! What is to be done about revoking a shard's certificate. Pure: the shard, the annotation of its Secret, what the
//! Secret holds.
//!
//! # Guarantees
//! A certificate is revoked only once it stands in the shard's status by its fingerprint. A request is about the
//! certificate that is served when it is first looked at, and never about the one that takes its place:
//! - One on the Certificate comes as `spec.revoke`. `status.revokeSeen` says that it was acted on, or that a
//!   certificate came since, and goes away when `spec.revoke` does.
//! - One on the Secret is removed before another certificate may be written there.
//!
//! # How it goes
//! An annotation says why, on the Certificate (the planner copies it to the shards' specs) or on a Secret. Whoever drives
//! the shard records the serial number and the chain's fingerprint, then asks the CA, then records its answer
//! (`operator/src/shard/revocation.rs` decides, `revoke.rs` performs). So what a replica that died has begun is gone on with
//! for the same certificate; `alreadyRevoked` is done.
//!
//! - A request is about the certificate that is served when it is seen, and never about its successor. `status.revokeSeen`
//!   says that the Certificate's was acted on, until it goes away. A Secret's annotation is removed before anything else
//!   is written there: who publishes looks for it.
//! - It goes before everything else of its shard, an order under way included, which is dropped. A CA that refuses is asked
//!   ever more rarely, and what is due by itself goes on meanwhile: then the request ends without effect, and says so.
//! - A revoked certificate counts as none, though it stays in its Secret until the next one comes.

use jiff::Timestamp;
use sancho_core::order::reason;
use sancho_crds::{
    CertificateShard, CertificateShardStatus, REVOKE_ANNOTATION, RevocationAskedBy, RevocationReason,
    RevocationStatus, condition, set_condition, unset_condition,
};

use crate::clock;

/// The condition that tells of a revocation.
pub const REVOKING: &str = "Revoking";
/// Its reason while the CA is asked.
pub const ASKING: &str = "Asking";
/// Its reason while the CA refuses.
pub const REFUSED: &str = "Refused";
/// Its reason when the annotation's value is no reason to revoke.
pub const INVALID_REASON: &str = "InvalidReason";
/// Its reason when the certificate is revoked. That of `Ready` until there is another one.
pub const REVOKED: &str = "Revoked";
/// Its reason when nothing is asked for any more.
pub const NOT_ASKED: &str = "NotAsked";

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Record that this is what is to be revoked, and ask the CA.
    Revoke {
        /// Why.
        reason: RevocationReason,
        /// What has the annotation.
        asked_by: RevocationAskedBy,
    },
    /// There is nothing to revoke, or it is done: remove the Secret's annotation, if it is there.
    Finish,
    /// What was to be revoked is not asked for any more, or is not there.
    Drop(&'static str),
    /// Say that the annotation's value is no reason.
    Show(String),
    /// Say it no longer.
    Unshow,
}

/// What was asked for and is not done yet.
#[must_use]
pub fn pending(shard: &CertificateShard) -> Option<&RevocationStatus> {
    let revocation = shard.status.as_ref()?.revocation.as_ref()?;
    revocation.revoked.is_none().then_some(revocation)
}

/// Was the chain with this fingerprint revoked?
#[must_use]
pub fn is_revoked(shard: &CertificateShard, fingerprint: &str) -> bool {
    let revocation = shard
        .status
        .as_ref()
        .and_then(|status| status.revocation.as_ref());
    revocation.is_some_and(|revocation| revocation.revoked.is_some() && revocation.fingerprint == fingerprint)
}

/// Must the key that this chain is for not be used again?
#[must_use]
pub fn is_compromised(shard: &CertificateShard, fingerprint: &str) -> bool {
    let revocation = shard
        .status
        .as_ref()
        .and_then(|status| status.revocation.as_ref());
    revocation.is_some_and(|revocation| {
        revocation.reason == RevocationReason::KeyCompromise && revocation.fingerprint == fingerprint
    })
}

/// Does the annotation of a Secret that holds the chain with this fingerprint ask for a revocation that nobody has
/// recorded? Then nothing else may be written there.
#[must_use]
pub fn is_unseen(shard: &CertificateShard, annotation: Option<&str>, served: &str) -> bool {
    let known = shard
        .status
        .as_ref()
        .and_then(|status| status.revocation.as_ref());
    annotation.is_some_and(|text| RevocationReason::parse(text).is_ok())
        && known.is_none_or(|known| known.fingerprint != served)
}

/// Is nothing open any more of what the Certificate asks for?
#[must_use]
pub fn is_settled(shard: &CertificateShard) -> bool {
    let has_none = shard.status.as_ref().is_none_or(|status| status.issued.is_none());
    pending(shard).is_none() && (has_none || !is_new(shard))
}

/// When there is something to do. `annotation`: what the Secret's says, as far as is known.
#[must_use]
pub fn due(shard: &CertificateShard, annotation: Option<&str>, now: Timestamp) -> Option<Timestamp> {
    if let Some(pending) = pending(shard) {
        let is_as_recorded = asked(shard, annotation, pending.asked_by) == Some(pending.reason);
        let next = pending.next_try.as_ref().map(|at| at.0);
        return Some(next.filter(|_| is_as_recorded).unwrap_or(now));
    }
    let is_issued = shard
        .status
        .as_ref()
        .is_some_and(|status| status.issued.is_some());
    let is_open = match annotation.map(RevocationReason::parse) {
        Some(Ok(_)) => true,
        Some(Err(unknown)) => !is_shown(shard, &unknown.to_string()),
        None => is_any_shown(shard),
    };
    (is_open || is_issued && is_new(shard)).then_some(now)
}

/// What to do, given the annotation of the Secret and the fingerprint of the chain in it, read just now.
#[must_use]
pub fn step(shard: &CertificateShard, annotation: Option<&str>, served: Option<&str>) -> Step {
    if let Some(pending) = pending(shard) {
        if served != Some(&pending.fingerprint) {
            return Step::Drop("its Secret has another one by now, or none");
        }
        return match asked(shard, annotation, pending.asked_by) {
            Some(reason) => Step::Revoke {
                reason,
                asked_by: pending.asked_by,
            },
            None => Step::Drop("it is not asked for any more"),
        };
    }
    let of = |reason, asked_by| match served {
        Some(served) if !is_revoked(shard, served) => Step::Revoke { reason, asked_by },
        _ => Step::Finish,
    };
    let of_certificate = shard.spec.revoke.filter(|_| is_new(shard));
    match (annotation.map(RevocationReason::parse), of_certificate) {
        (Some(Ok(reason)), _) => of(reason, RevocationAskedBy::Secret),
        (_, Some(reason)) => of(reason, RevocationAskedBy::Certificate),
        (Some(Err(unknown)), None) => {
            let words = unknown.to_string();
            match is_shown(shard, &words) {
                true => Step::Nothing,
                false => Step::Show(words),
            }
        }
        (None, None) if is_any_shown(shard) => Step::Unshow,
        (None, None) => Step::Nothing,
    }
}

/// Has the Certificate's request not been acted on?
fn is_new(shard: &CertificateShard) -> bool {
    let seen = shard.status.as_ref().and_then(|status| status.revoke_seen);
    shard.spec.revoke.is_some() && seen.is_none()
}

/// The reason that whoever asked gives now.
fn asked(
    shard: &CertificateShard,
    annotation: Option<&str>,
    asked_by: RevocationAskedBy,
) -> Option<RevocationReason> {
    match asked_by {
        RevocationAskedBy::Certificate => shard.spec.revoke,
        RevocationAskedBy::Secret => RevocationReason::parse(annotation?).ok(),
    }
}

fn is_shown(shard: &CertificateShard, words: &str) -> bool {
    shown(shard).is_some_and(|shown| shown == message(words))
}

fn is_any_shown(shard: &CertificateShard) -> bool {
    shown(shard).is_some()
}

fn shown(shard: &CertificateShard) -> Option<&str> {
    let revoking = condition(&shard.status.as_ref()?.conditions, REVOKING)?;
    (revoking.reason == INVALID_REASON).then_some(revoking.message.as_str())
}

fn message(words: &str) -> String {
    format!("annotation {REVOKE_ANNOTATION} of the Secret: {words}")
}

/// The status in which the Secret's annotation is said to have no reason; or is said so no longer.
#[must_use]
pub fn showing(shard: &CertificateShard, words: Option<&str>) -> CertificateShardStatus {
    let mut status = shard.status.clone().unwrap_or_default();
    match words {
        Some(words) => show(&mut status, shard, false, INVALID_REASON, &message(words)),
        None => show(&mut status, shard, false, NOT_ASKED, ""),
    }
    status
}

/// The status in which the certificate with this serial number and fingerprint is to be revoked. An order under way is
/// dropped: its key may be the one that is not safe, and what it brings would take the certificate's place. One that was
/// begun after the CA had refused goes on.
#[must_use]
pub fn recorded(
    shard: &CertificateShard,
    (serial, fingerprint): (&str, &str),
    (reason, asked_by): (RevocationReason, RevocationAskedBy),
) -> CertificateShardStatus {
    let mut status = shard.status.clone().unwrap_or_default();
    let known = pending(shard).filter(|pending| pending.reason == reason).cloned();
    status.revoke_seen = shard.spec.revoke;
    if known.as_ref().is_none_or(|known| known.failures.is_none()) {
        status.order = None;
    }
    let message = format!("the certificate {serial} is to be revoked: {reason}");
    if known.is_none() {
        show(&mut status, shard, true, ASKING, &message);
    }
    status.revocation = Some(known.unwrap_or_else(|| RevocationStatus {
        serial: serial.to_owned(),
        fingerprint: fingerprint.to_owned(),
        reason,
        asked_by,
        asked: clock::time(clock::now()),
        revoked: None,
        failures: None,
        next_try: None,
        error: None,
    }));
    status
}

/// The status once the CA was asked in vain.
#[must_use]
pub fn refused(
    shard: &CertificateShard,
    at: Timestamp,
    words: &str,
    is_refused: bool,
) -> CertificateShardStatus {
    let mut status = shard.status.clone().unwrap_or_default();
    status.claim = None;
    if let Some(revocation) = status.revocation.as_mut() {
        revocation.failures = Some(revocation.failures.unwrap_or_default().saturating_add(1));
        revocation.next_try = Some(clock::time(clock::whole_second_after(at)));
        revocation.error = Some(words.to_owned());
        let RevocationStatus { serial, reason, .. } = revocation;
        let message = format!(
            "the certificate {serial} is not revoked ({reason}), and the CA is asked again at {at}: {words}"
        );
        let reason = if is_refused { REFUSED } else { ASKING };
        show(&mut status, shard, true, reason, &message);
    }
    status
}

/// The status once the certificate is revoked: there is none any more, and another one is to be made at once.
#[must_use]
pub fn revoked(shard: &CertificateShard) -> CertificateShardStatus {
    let mut status = shard.status.clone().unwrap_or_default();
    let now = clock::time(clock::now());
    status.claim = None;
    status.issued = None;
    // A quota's end would be waited for all the same, and others are held back by it.
    status.failure = status
        .failure
        .filter(|failure| failure.reason == reason::RATE_LIMITED);
    if let Some(revocation) = status.revocation.as_mut() {
        revocation.revoked = Some(now.clone());
        revocation.next_try = None;
        revocation.error = None;
        let RevocationStatus { serial, reason, .. } = revocation;
        let message = format!("the certificate {serial} is revoked: {reason}");
        show(&mut status, shard, false, REVOKED, &message);
        let generation = shard.metadata.generation;
        unset_condition(&mut status.conditions, "Renewing");
        for (kind, value) in [("Ready", false), ("Reconciling", true)] {
            set_condition(
                &mut status.conditions,
                kind,
                value,
                REVOKED,
                &message,
                generation,
                &now,
            );
        }
    }
    status
}

/// The status once nothing is to be revoked any more. `why`, if something was.
#[must_use]
pub fn dropped(shard: &CertificateShard, why: Option<&str>) -> CertificateShardStatus {
    let mut status = shard.status.clone().unwrap_or_default();
    status.claim = None;
    status.revoke_seen = shard.spec.revoke;
    if let Some(why) = why {
        let serial = status.revocation.take().map(|revocation| revocation.serial);
        let message = format!(
            "the certificate {} was not revoked: {why}",
            serial.unwrap_or_default()
        );
        show(&mut status, shard, false, NOT_ASKED, &message);
    }
    status
}

fn show(
    status: &mut CertificateShardStatus,
    shard: &CertificateShard,
    value: bool,
    reason: &str,
    message: &str,
) {
    let (generation, now) = (shard.metadata.generation, clock::time(clock::now()));
    set_condition(
        &mut status.conditions,
        REVOKING,
        value,
        reason,
        message,
        generation,
        &now,
    );
}

#[cfg(test)]
mod tests;
