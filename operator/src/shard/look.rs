//! A look at what the CA suggests for a renewal (RFC 9773): claim → ask → record → tell.
//!
//! One replica makes it, by its claim as for an order. It changes when the certificate in use is renewed, and
//! nothing else.
//!
//! # When a certificate is renewed
//! At two thirds of its lifetime, or `renewBefore` (or `renewBeforePercentage` of the lifetime) ahead of its expiry, with a
//! jitter that the shard fixes (`operator/core/src/renewal.rs`). Where the CA's directory has `renewalInfo`, the CA is asked when it suggests to
//! renew (RFC 9773), and a moment of the window that it names, fixed by shard and window, counts instead:
//!
//! - A `renewBefore` that is given is the latest moment: the CA can bring a renewal forward, and not put it off. If none
//!   is given the CA's word counts alone, but no later than when a sixth of the lifetime is left.
//! - A new certificate is first asked about after a twenty-fourth of its lifetime, at most 6 h, and up to as long again by
//!   jitter: ten thousand that were issued in one night are asked about over 6 h, and a CA that wants everything renewed
//!   at once makes no endless loop. From then on once per Retry-After (a minute to a day; 6 h if there is none).
//! - A look is an unsigned GET on a permit like any other, by the one replica whose claim stands on the shard, after all
//!   orders in the queue (`Priority::RenewalInfo`). It costs two writes of the shard. One that is late by half an hour or
//!   more, because nobody ran or a clock has jumped, waits for the shard's own moment of each 6 h.
//! - No answer: tried again after 1, 2, 4, 8 and 16 min, and what was known counts on. An answer that is of no use, or no
//!   answer then either: the usual rule, and another look after 6 h or more.
//! - newOrder names the certificate that it replaces, if the same account issued it. A CA that refuses that is asked at
//!   once without it; this is no failed attempt.

use sancho_core::order::Reply;
use sancho_core::renewal::{CertId, Suggestion, heard};
use sancho_crds::{CertificateShard, CertificateShardStatus, Claim};

use super::drive::Stop;
use super::record::Recorder;
use super::renewal::{explanation, plan_renewal, seed, show_planned};
use crate::acme::error::SendError;
use crate::acme::session::Warmed;
use crate::clock;
use crate::context::{Context, full_name};
use crate::issuer::ReadyIssuer;
use crate::renewal_info_status::{from_status, to_status};

/// Asks about the certificate of the shard in `recorder`, and records what came of it.
///
/// # Errors
/// [`Stop`] if nothing was recorded: the CA suggests nothing, the slot has ended, somebody else wrote the shard.
pub(super) async fn look(
    context: &Context,
    issuer: &ReadyIssuer,
    mut recorder: Recorder,
) -> Result<(), Stop> {
    let Some((certificate, last)) = known(recorder.shard()) else {
        return Err(Stop::Nothing);
    };
    // Nothing is held up by it; see `Driven::send`.
    let warmed = tokio::select! {
        biased;
        warmed = issuer.session.warm(None) => warmed,
        () = issuer.budget.lost() => return Err(Stop::SlotsLost),
    };
    if issuer.session.lacks_renewal_info() {
        return Err(Stop::Nothing);
    }
    let mut status = recorder.status();
    status.claim = Some(Claim {
        holder: context.replica.clone(),
        busy_until: None,
    });
    recorder.record(status).await?;
    // Ends when the answer is recorded: until then no slot is released.
    let _unrecorded = issuer.budget.unrecorded().begin();
    let answer = match warmed {
        Ok(Warmed::Ready) => tokio::select! {
            biased;
            answer = issuer.session.renewal_info(&certificate) => answer,
            () = issuer.budget.lost() => return Err(Stop::SlotsLost),
        },
        Ok(Warmed::Throttled(answer)) => Ok(Some(answer)),
        // No profile was asked for.
        Ok(Warmed::NotOffered(_)) => Ok(None),
        Err(error) => Err(error),
    };
    let reply = match answer {
        Ok(Some(response)) => Reply::Response(response),
        // The directory was read anew, and has no entry any more.
        Ok(None) => {
            let mut status = recorder.status();
            status.claim = None;
            return Ok(recorder.record(status).await?);
        }
        Err(error) => in_vain(&error)?,
    };
    let seed = seed(recorder.shard());
    let heard = heard(&last, &reply, clock::now(), &seed);
    let before = recorder.status();
    recorder.record(with(recorder.shard(), &heard, &seed)).await?;
    tell(context, recorder.shard(), &before, &heard).await;
    Ok(())
}

/// What the look is about, and what is known by now.
fn known(shard: &CertificateShard) -> Option<(CertId, Suggestion)> {
    let issued = shard.status.as_ref()?.issued.as_ref()?;
    let certificate = issued.cert_id.as_ref()?.parse().ok()?;
    Some((certificate, from_status(issued.renewal_info.as_ref()?)))
}

/// What a request without an answer amounts to. That this process's slot has ended says nothing of the CA.
fn in_vain(error: &SendError) -> Result<Reply, Stop> {
    if !error.is_about_the_ca() {
        return Err(Stop::SlotsLost);
    }
    Ok(error.reply().unwrap_or(Reply::NotSent))
}

/// The shard's status with what was heard, its claim given up.
fn with(shard: &CertificateShard, heard: &Suggestion, seed: &str) -> CertificateShardStatus {
    let mut status = shard.status.clone().unwrap_or_default();
    status.claim = None;
    if let Some(issued) = status.issued.as_mut() {
        issued.renewal_info = Some(to_status(heard, seed));
    }
    plan_renewal(&mut status, shard);
    show_planned(&mut status, shard);
    status
}

/// A line in the log, and an event about an explanation that is new.
async fn tell(
    context: &Context,
    shard: &CertificateShard,
    before: &CertificateShardStatus,
    heard: &Suggestion,
) {
    let Some(issued) = shard.status.as_ref().and_then(|status| status.issued.as_ref()) else {
        return;
    };
    let (name, renewal) = (full_name(shard), issued.renewal_time.0);
    if let Some(error) = &heard.error {
        tracing::info!(shard = name, error, failures = heard.failures, next = %heard.next_look,
            "the CA's suggestion for the renewal could not be had");
        return;
    }
    let Some(info) = &heard.info else { return };
    let (start, end) = (info.window.start(), info.window.end());
    if before.issued.as_ref().map(|issued| issued.renewal_time.0) == Some(renewal) {
        tracing::debug!(shard = name, %start, %end, %renewal, next = %heard.next_look, "the renewal stays");
    } else {
        tracing::info!(shard = name, %start, %end, %renewal, next = %heard.next_look, "the CA suggests when to renew");
    }
    if let Some(url) = &info.explanation
        && explanation(before) != Some(url)
    {
        let note =
            format!("the CA suggests to renew from {start} to {end}, see {url}; planned for {renewal}");
        context
            .events
            .normal(shard, "RenewalSuggested", "Renew", note)
            .await;
    }
}
