//! The ends of a shard's way: adopt what is there, the key, publish, fail; and what the status says.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use sancho_core::order::Retry;
use sancho_core::renewal::retry_time;
use sancho_crds::{
    CertificateShard, CertificateShardStatus, IssuedStatus, ShardFailure, condition, set_condition,
};

use crate::acme::csr::{ShardKey, ShardKeyError};
use crate::chain::{self, ChainError, IssuedFacts};
use crate::clock;
use crate::context::{Context, full_name};
use crate::secrets::{self, SecretError};
use crate::shard::renewal::{plan_renewal, renewal_of, seed, show_planned};

/// A Secret of the shard's name exists and is not Sancho's.
pub const SECRET_NOT_OURS: &str = "SecretNotOurs";
/// A Secret could not be read or written.
pub const SECRET_NOT_WRITTEN: &str = "SecretNotWritten";
/// What the CA issued is not what was asked for.
pub const CHAIN_REFUSED: &str = "ChainRefused";
/// A Secret that is not ours is looked at again after this time: somebody may have mended it.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// What to do before an order.
pub enum Finish {
    /// Make one.
    Go,
    /// Record this; there is nothing to order.
    Record(Box<CertificateShardStatus>),
}

/// Why a step at the API server or with a key did not come about.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// The Secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The key.
    #[error(transparent)]
    Key(#[from] ShardKeyError),
}

/// Looks at the Secret before anything is asked of the CA: one that holds the wanted certificate is
/// taken as it is, one that is not ours ends the attempt.
pub async fn before_order(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
) -> Result<Finish, kube::Error> {
    let now = clock::now();
    let namespace = shard.namespace().unwrap_or_default();
    let present = match secrets::read(&context.secrets(&namespace), shard).await {
        Ok(present) => present,
        Err(error @ SecretError::NotOurs { .. }) => {
            let message = error.to_string();
            let retry = Retry::At(now.saturating_add(LOOK_AGAIN).unwrap_or(now));
            let news = shard
                .status
                .as_ref()
                .and_then(|status| status.failure.as_ref())
                .is_none_or(|failure| failure.reason != SECRET_NOT_OURS);
            if news {
                tell_failure(context, shard, SECRET_NOT_OURS, &message).await;
            }
            // Whatever was issued before, it is not in that Secret.
            let mut shard = shard.clone();
            if let Some(status) = shard.status.as_mut() {
                status.issued = None;
            }
            let shard = &shard;
            return Ok(Finish::Record(Box::new(failed(
                shard,
                target,
                SECRET_NOT_OURS,
                &message,
                retry,
            ))));
        }
        // Without a look at it nothing is asked of the CA.
        Err(error @ (SecretError::Conflict { .. } | SecretError::Api { .. })) => {
            let retry = Retry::At(now.saturating_add(LOOK_AGAIN).unwrap_or(now));
            let message = error.to_string();
            tell_failure(context, shard, SECRET_NOT_WRITTEN, &message).await;
            return Ok(Finish::Record(Box::new(failed(
                shard,
                target,
                SECRET_NOT_WRITTEN,
                &message,
                retry,
            ))));
        }
    };
    let Some(secret) = present else {
        return Ok(Finish::Go);
    };
    let Some(facts) = held(&secret, shard, target, now) else {
        return Ok(Finish::Go);
    };
    if let Err(error) = secrets::label(&context.secrets(&namespace), shard).await {
        tracing::warn!(shard = full_name(shard), %error, "a Secret did not get its label back");
    }
    Ok(Finish::Record(Box::new(
        conclude(context, shard, target, &facts).await,
    )))
}

/// What there is to record if the shard's Secret holds the wanted certificate already: a replica ended
/// between writing it and recording that, and its key has no other place any more.
pub async fn published(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
) -> Option<CertificateShardStatus> {
    let namespace = shard.namespace().unwrap_or_default();
    // An error shows, and is dealt with, when the Secret is written.
    let secret = secrets::read(&context.secrets(&namespace), shard).await.ok()??;
    let facts = held(&secret, shard, target, clock::now())?;
    Some(conclude(context, shard, target, &facts).await)
}

/// The wanted certificate, if `secret` holds it and it is not to be renewed yet.
fn held(secret: &Secret, shard: &CertificateShard, target: &str, now: Timestamp) -> Option<IssuedFacts> {
    if secret.annotations().get(secrets::TARGET_ANNOTATION)? != target {
        return None;
    }
    let (chain, key) = secrets::contents(secret)?;
    let facts = chain::check(&chain, &key, &shard.spec.dns_names, now).ok()?;
    (renewal_of(shard, facts.not_before, facts.not_after) > now).then_some(facts)
}

/// Is the certificate that was issued really not in its Secret any more? A watch may be behind. A Secret
/// that somebody put in its place, or took the label from, counts as gone.
pub async fn is_secret_gone(context: &Context, shard: &CertificateShard) -> bool {
    let namespace = shard.namespace().unwrap_or_default();
    let target = shard
        .status
        .as_ref()
        .and_then(|status| status.issued.as_ref())
        .map(|issued| &issued.target);
    match context
        .secrets(&namespace)
        .get_metadata_opt(&shard.spec.secret_name)
        .await
    {
        Ok(None) => true,
        Ok(Some(secret)) => {
            let annotations = secret.annotations();
            annotations.get(secrets::CERTIFICATE_ANNOTATION) != Some(&shard.spec.certificate)
                || annotations.get(secrets::TARGET_ANNOTATION) != target
                || !secret.labels().contains_key(secrets::CERTIFICATE_LABEL)
        }
        Err(_) => false,
    }
}

/// The CSR of the shard's next key, which is in its Secret by then.
pub async fn csr(context: &Context, shard: &CertificateShard) -> Result<Vec<u8>, FinishError> {
    let fresh = ShardKey::generate()?.to_pem();
    let namespace = shard.namespace().unwrap_or_default();
    let pem = secrets::next_key(&context.secrets(&namespace), shard, &fresh).await?;
    Ok(ShardKey::from_pem(pem.as_bytes())?.csr(&shard.spec.dns_names)?)
}

/// Checks the chain and writes the Secret. Returns what is to be recorded: that it is issued, or
/// that the chain or the Secret does not do.
pub async fn publish(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    chain: &str,
) -> Result<CertificateShardStatus, FinishError> {
    let namespace = shard.namespace().unwrap_or_default();
    let api = context.secrets(&namespace);
    let fresh = ShardKey::generate()?.to_pem();
    let key = secrets::next_key(&api, shard, &fresh).await?;
    let facts = match chain::check(
        chain.as_bytes(),
        key.as_bytes(),
        &shard.spec.dns_names,
        clock::now(),
    ) {
        Ok(facts) => facts,
        // A replica that has lost its claim may have published it and dropped the key.
        Err(error) => {
            return Ok(match published(context, shard, target).await {
                Some(status) => status,
                None => refused(context, shard, target, &error).await,
            });
        }
    };
    match secrets::publish(&api, shard, target, chain, &key).await {
        Ok(()) => Ok(conclude(context, shard, target, &facts).await),
        Err(error @ SecretError::NotOurs { .. }) => {
            let message = error.to_string();
            tell_failure(context, shard, SECRET_NOT_OURS, &message).await;
            Ok(failed(shard, target, SECRET_NOT_OURS, &message, Retry::Backoff))
        }
        Err(error) => Err(error.into()),
    }
}

async fn refused(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    error: &ChainError,
) -> CertificateShardStatus {
    let message = format!("the CA's certificate is not served: {error}");
    tell_failure(context, shard, CHAIN_REFUSED, &message).await;
    failed(shard, target, CHAIN_REFUSED, &message, Retry::Backoff)
}

/// The key is in the certificate's Secret now; its own goes, and then this is to be recorded. After
/// the record nobody would look for it.
async fn conclude(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    facts: &IssuedFacts,
) -> CertificateShardStatus {
    let namespace = shard.namespace().unwrap_or_default();
    if let Err(error) = secrets::forget_next_key(&context.secrets(&namespace), shard).await {
        // The next renewal would use it again; nothing is lost.
        tracing::warn!(shard = full_name(shard), %error, "a used key's Secret was not deleted");
    }
    issued(shard, target, facts)
}

/// An event about a certificate that is there.
pub async fn tell_issued(context: &Context, shard: &CertificateShard) {
    let Some(issued) = shard.status.as_ref().and_then(|status| status.issued.as_ref()) else {
        return;
    };
    let note = format!(
        "{} names in Secret {}, valid until {}",
        shard.spec.dns_names.len(),
        shard.spec.secret_name,
        issued.not_after.0
    );
    tracing::info!(
        shard = full_name(shard),
        certificate = shard.spec.certificate,
        note,
        "issued"
    );
    context.events.normal(shard, "Issued", "Issue", note).await;
}

/// The status of a shard whose certificate is there.
fn issued(shard: &CertificateShard, target: &str, facts: &IssuedFacts) -> CertificateShardStatus {
    let mut status = shard.status.clone().unwrap_or_default();
    let renewal = renewal_of(shard, facts.not_before, facts.not_after);
    status.issued = Some(IssuedStatus {
        target: target.to_owned(),
        fingerprint: facts.fingerprint.clone(),
        not_before: clock::time(facts.not_before),
        not_after: clock::time(facts.not_after),
        renewal_time: clock::time(renewal),
    });
    status.order = None;
    status.claim = None;
    status.failure = None;
    show_planned(&mut status, shard);
    let (generation, now) = (shard.metadata.generation, clock::time(clock::now()));
    for kind in ["Reconciling", "Stalled", "Renewing"] {
        set_condition(
            &mut status.conditions,
            kind,
            false,
            "Issued",
            "",
            generation,
            &now,
        );
    }
    status
}

/// The status of a shard whose attempt has failed. A valid certificate stays `Ready`.
#[must_use]
pub fn failed(
    shard: &CertificateShard,
    target: &str,
    reason: &str,
    message: &str,
    retry: Retry,
) -> CertificateShardStatus {
    let mut status = shard.status.clone().unwrap_or_default();
    let now = clock::now();
    let before = status
        .failure
        .as_ref()
        .filter(|failure| failure.target == target)
        .map_or(0, |f| f.count);
    let count = before.saturating_add(1);
    let not_after = plan_renewal(&mut status, shard).map(|issued| issued.not_after.0);
    let retry_at = match retry {
        Retry::Backoff => retry_time(now, count, not_after, &seed(shard)),
        Retry::At(at) => at,
    };
    status.failure = Some(ShardFailure {
        reason: reason.to_owned(),
        message: message.to_owned(),
        target: target.to_owned(),
        count,
        retry_time: clock::time(retry_at),
    });
    status.order = None;
    status.claim = None;
    status.observed_generation = shard.metadata.generation;
    let words = format!("{message} (tried again at {retry_at})");
    let (generation, time) = (shard.metadata.generation, clock::time(now));
    let serves = serves(&status, target, now);
    if serves {
        set_condition(
            &mut status.conditions,
            "Renewing",
            true,
            reason,
            &words,
            generation,
            &time,
        );
    } else {
        set_condition(
            &mut status.conditions,
            "Ready",
            false,
            reason,
            &words,
            generation,
            &time,
        );
        set_condition(
            &mut status.conditions,
            "Reconciling",
            true,
            reason,
            &words,
            generation,
            &time,
        );
    }
    status
}

/// Is the wanted certificate in use and valid?
fn serves(status: &CertificateShardStatus, target: &str, now: Timestamp) -> bool {
    status
        .issued
        .as_ref()
        .is_some_and(|issued| issued.target == target && issued.not_after.0 > now)
}

/// What the status says while an order is under way.
pub fn show_working(status: &mut CertificateShardStatus, shard: &CertificateShard, target: &str) {
    let (generation, now) = (shard.metadata.generation, clock::time(clock::now()));
    status.observed_generation = generation;
    let stage = status
        .order
        .as_ref()
        .map_or("New", |order| order.stage.as_str())
        .to_owned();
    let message = format!("the order is {stage}");
    let is_renewal = serves(status, target, now.0);
    if is_renewal {
        set_condition(
            &mut status.conditions,
            "Renewing",
            true,
            "Ordering",
            &message,
            generation,
            &now,
        );
    } else {
        set_condition(
            &mut status.conditions,
            "Ready",
            false,
            "Ordering",
            &message,
            generation,
            &now,
        );
        set_condition(
            &mut status.conditions,
            "Reconciling",
            true,
            "Ordering",
            &message,
            generation,
            &now,
        );
    }
}

/// Notes what stands in the way of an order that is kept. Says whether that is news.
pub fn show_obstacle(
    status: &mut CertificateShardStatus,
    shard: &CertificateShard,
    reason: &str,
    message: &str,
) -> bool {
    let known =
        |kind| condition(&status.conditions, kind).is_some_and(|c| c.status == "True" && c.reason == reason);
    if known("Reconciling") || known("Renewing") {
        return false;
    }
    let (generation, now) = (shard.metadata.generation, clock::time(clock::now()));
    let renewing = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
    let kind = if renewing { "Renewing" } else { "Reconciling" };
    set_condition(
        &mut status.conditions,
        kind,
        true,
        reason,
        message,
        generation,
        &now,
    );
    if !renewing {
        set_condition(
            &mut status.conditions,
            "Ready",
            false,
            reason,
            message,
            generation,
            &now,
        );
    }
    true
}

/// An event about what went wrong.
pub async fn tell_failure(context: &Context, shard: &CertificateShard, reason: &str, message: &str) {
    context
        .events
        .warning(shard, reason, "Issue", message.to_owned())
        .await;
}
