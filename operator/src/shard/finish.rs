//! The ends of a shard's way: adopt what is there, conclude, fail; and what the status says.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use sancho_core::order::{Retry, reason};
use sancho_core::renewal::{Suggestion, obstacle_time, retry_time};
use sancho_crds::{
    ADOPT_ANNOTATION, CertificateShard, CertificateShardStatus, IssuedStatus, QuarantinePlace,
    QuarantinedName, RenewalInfoStatus, ShardFailure, condition, set_condition, unset_condition,
};

use super::adopt::{Adoption, adopt};
use crate::acme::csr::ShardKeyError;
use crate::chain::{self, IssuedFacts};
use crate::clock;
use crate::context::{Context, full_name};
use crate::renewal_info_status::to_status;
use crate::secrets::{self, SecretError, keys};
use crate::shard::decide::is_renewed_by_hand;
use crate::shard::quarantine::{self, order_names};
use crate::shard::renewal::{explanation, known_suggestion, plan_renewal, renewal_of, seed, show_planned};
use crate::shard::revocation;

/// A Secret of the shard's name exists and is not Sancho's.
pub const SECRET_NOT_OURS: &str = "SecretNotOurs";
/// A Secret of the shard's name is not Sancho's, and cannot be adopted either.
pub const SECRET_NOT_ADOPTED: &str = "SecretNotAdopted";
/// A Secret could not be read or written.
pub const SECRET_NOT_WRITTEN: &str = "SecretNotWritten";

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
    /// The task that was to make a key has ended.
    #[error("a key could not be generated: {0}")]
    Generation(#[from] tokio::task::JoinError),
    /// The shard could not be read.
    #[error("CertificateShard {shard}: {error}")]
    Shard {
        /// The shard.
        shard: String,
        /// What the API server answered.
        error: Box<kube::Error>,
    },
    /// Somebody else wrote the shard meanwhile.
    #[error("the shard was changed by somebody else")]
    Displaced,
}

/// Looks at the Secret before anything is asked of the CA: one that holds the wanted certificate is
/// taken as it is, one that is not ours ends the attempt. `account` is the account's URL.
pub async fn before_order(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    account: &str,
) -> Finish {
    let now = clock::now();
    let namespace = shard.namespace().unwrap_or_default();
    let present = match secrets::read(&context.secrets(&namespace), shard).await {
        Ok(present) => present,
        Err(error @ SecretError::NotOurs { .. }) => {
            return foreign(context, shard, target, &error, now).await;
        }
        // Without a look at it nothing is asked of the CA.
        Err(
            error @ (SecretError::Conflict { .. } | SecretError::Invalid { .. } | SecretError::Api { .. }),
        ) => {
            return unreadable(context, shard, target, &error, now).await;
        }
    };
    let Some(secret) = present else {
        return Finish::Go;
    };
    let Some(facts) = held(&secret, shard, target, now) else {
        return Finish::Go;
    };
    if let Err(error) = secrets::label(&context.secrets(&namespace), shard).await {
        tracing::warn!(shard = full_name(shard), %error, "a Secret did not get its label back");
    }
    match conclude(context, shard, target, account, &facts).await {
        Ok(status) => Finish::Record(Box::new(status)),
        Err(error) => unreadable(context, shard, target, &error, now).await,
    }
}

/// A Secret that is not ours: adopted if the Certificate asks for that, else left alone and looked at again.
async fn foreign(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    error: &SecretError,
    now: Timestamp,
) -> Finish {
    let (reason, message) = match adopt(context, shard, target, now).await {
        Ok(Adoption::Adopted(facts)) => {
            let mut status = match conclude(context, shard, target, "", &facts).await {
                Ok(status) => status,
                Err(error) => return unreadable(context, shard, target, &error, now).await,
            };
            // No account of ours has it: an order cannot say that it replaces it.
            if let Some(issued) = status.issued.as_mut() {
                issued.account_url = None;
            }
            return Finish::Record(Box::new(status));
        }
        Ok(Adoption::Unfit(why)) => (
            SECRET_NOT_ADOPTED,
            format!("{error}. It cannot be adopted ({ADOPT_ANNOTATION}): {why}"),
        ),
        Ok(Adoption::NotAsked) => (
            SECRET_NOT_OURS,
            format!(
                "{error}. If it holds a valid certificate of this issuer for the same names, the annotation \
                 {ADOPT_ANNOTATION}=true on the Certificate makes it its own"
            ),
        ),
        Err(error) => return unreadable(context, shard, target, &error, now).await,
    };
    let retry = look_again(shard, target, reason, now);
    tell_news(context, shard, target, reason, &message).await;
    // Whatever was issued before, it is not in that Secret.
    let mut shard = shard.clone();
    if let Some(status) = shard.status.as_mut() {
        status.issued = None;
    }
    let status = failed(&shard, target, reason, &message, retry);
    Finish::Record(Box::new(status))
}

async fn unreadable(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    error: &SecretError,
    now: Timestamp,
) -> Finish {
    let retry = look_again(shard, target, SECRET_NOT_WRITTEN, now);
    let message = error.to_string();
    tell_news(context, shard, target, SECRET_NOT_WRITTEN, &message).await;
    Finish::Record(Box::new(failed(
        shard,
        target,
        SECRET_NOT_WRITTEN,
        &message,
        retry,
    )))
}

/// When a Secret that is in the way is looked at again. Somebody may have mended it, and no watch tells of a Secret that is
/// not ours; an edit of the Certificate ends the wait.
fn look_again(shard: &CertificateShard, target: &str, reason: &str, now: Timestamp) -> Retry {
    let failure = shard.status.as_ref().and_then(|status| status.failure.as_ref());
    let is_same = |failure: &&ShardFailure| {
        failure.target == target
            && failure.reason == reason
            && failure.generation == shard.metadata.generation
    };
    let before = failure.filter(is_same).map_or(0, |failure| failure.count);
    Retry::At(obstacle_time(now, before.saturating_add(1), &seed(shard)))
}

/// What there is to record if the shard's Secret holds the wanted certificate already: a replica ended
/// between writing it and recording that, and its key has no other place any more.
///
/// # Errors
/// As [`conclude`].
pub async fn published(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    account: &str,
) -> Result<Option<CertificateShardStatus>, SecretError> {
    let namespace = shard.namespace().unwrap_or_default();
    // An error shows, and is dealt with, when the Secret is written.
    let secret = secrets::read(&context.secrets(&namespace), shard)
        .await
        .ok()
        .flatten();
    match secret.and_then(|secret| held(&secret, shard, target, clock::now())) {
        Some(facts) => conclude(context, shard, target, account, &facts).await.map(Some),
        None => Ok(None),
    }
}

/// The wanted certificate, if `secret` holds it and it is not to be renewed yet.
pub(super) fn held(
    secret: &Secret,
    shard: &CertificateShard,
    target: &str,
    now: Timestamp,
) -> Option<IssuedFacts> {
    if secret.annotations().get(secrets::TARGET_ANNOTATION)? != target {
        return None;
    }
    let (chain, key) = secrets::contents(secret)?;
    let facts = chain::check(&chain, &key, &order_names(shard), now).ok()?;
    let issued = shard.status.as_ref().and_then(|status| status.issued.as_ref());
    if revocation::is_revoked(shard, &facts.fingerprint) || secrets::revoked(secret).is_some() {
        return None;
    }
    if is_renewed_by_hand(shard) && issued.is_some_and(|issued| issued.fingerprint == facts.fingerprint) {
        return None;
    }
    let suggested = known_suggestion(shard, &facts.fingerprint);
    (renewal_of(shard, facts.not_before, facts.not_after, suggested) > now).then_some(facts)
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

/// The names of the certificate in the shard's Secret, if that is valid.
pub async fn served(context: &Context, shard: &CertificateShard) -> Result<BTreeSet<String>, kube::Error> {
    let namespace = shard.namespace().unwrap_or_default();
    let secret = context
        .secrets(&namespace)
        .get_opt(&shard.spec.secret_name)
        .await?;
    let chain = secret.as_ref().and_then(secrets::chain);
    let issued = shard.status.as_ref().and_then(|status| status.issued.as_ref());
    let valid = issued.is_some_and(|issued| {
        issued.not_after.0 > clock::now()
            && chain.map(chain::fingerprint).as_ref() == Some(&issued.fingerprint)
    });
    let names = chain.filter(|_| valid).and_then(|chain| chain::names(chain).ok());
    Ok(names.unwrap_or_default().into_iter().collect())
}

/// The key is in the certificate's Secret now; its own goes, and then this is to be recorded. After
/// the record nobody would look for it, and the next certificate would have the same key.
///
/// # Errors
/// [`SecretError::Api`] if it is still there: nothing is recorded then, and all is looked at again.
pub(super) async fn conclude(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    account: &str,
    facts: &IssuedFacts,
) -> Result<CertificateShardStatus, SecretError> {
    let namespace = shard.namespace().unwrap_or_default();
    keys::forget_next_key(&context.secrets(&namespace), shard).await?;
    Ok(issued(shard, target, account, facts))
}

/// An event about a certificate that is there.
pub async fn tell_issued(context: &Context, shard: &CertificateShard) {
    let Some(issued) = shard.status.as_ref().and_then(|status| status.issued.as_ref()) else {
        return;
    };
    let note = format!(
        "{} names in Secret {}, valid until {}",
        order_names(shard).len(),
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
fn issued(
    shard: &CertificateShard,
    target: &str,
    account: &str,
    facts: &IssuedFacts,
) -> CertificateShardStatus {
    let mut status = shard.status.clone().unwrap_or_default();
    // What is found again keeps what is known of it.
    let renewal_info = known_suggestion(shard, &facts.fingerprint)
        .cloned()
        .or_else(|| facts.cert_id.as_ref().map(|_| not_asked_yet(shard, facts)));
    let renewal = renewal_of(shard, facts.not_before, facts.not_after, renewal_info.as_ref());
    quarantine::issued(&mut status, shard, clock::now());
    status.issued = Some(IssuedStatus {
        target: target.to_owned(),
        fingerprint: facts.fingerprint.clone(),
        not_before: clock::time(facts.not_before),
        not_after: clock::time(facts.not_after),
        renewal_time: clock::time(renewal),
        account_url: Some(account.to_owned()),
        cert_id: facts.cert_id.clone().map(String::from),
        renewal_info,
    });
    status.secret_name = Some(shard.spec.secret_name.clone());
    status.renewed = shard.spec.renew.clone();
    // What is asked for was about the certificate before.
    status.revoke_seen = shard.spec.revoke;
    status.order = None;
    status.claim = None;
    status.failure = None;
    show_planned(&mut status, shard);
    for kind in ["Reconciling", "Stalled", "Renewing"] {
        unset_condition(&mut status.conditions, kind);
    }
    quarantine::show(&mut status, shard, clock::now());
    status
}

fn not_asked_yet(shard: &CertificateShard, facts: &IssuedFacts) -> RenewalInfoStatus {
    let (seed, lifetime) = (seed(shard), facts.not_after.duration_since(facts.not_before));
    to_status(&Suggestion::none_yet(clock::now(), lifetime, &seed), &seed)
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
        .filter(|failure| failure.target == target && failure.generation == shard.metadata.generation)
        .map_or(0, |f| f.count);
    // A quota that is used up is no failed attempt.
    let is_quota = reason == reason::RATE_LIMITED && matches!(retry, Retry::At(_));
    let count = before.saturating_add(u32::from(!is_quota));
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
        retry_time: clock::time(clock::whole_second_after(retry_at)),
        generation: shard.metadata.generation,
        issuer_generation: None,
        issuer_created: None,
        profile: None,
        most_names: None,
        quota: None,
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

/// Is the wanted certificate in use and valid, save for names that come back?
fn serves(status: &CertificateShardStatus, target: &str, now: Timestamp) -> bool {
    let is_ready = || condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
    let joins = |entry: &QuarantinedName| entry.place == QuarantinePlace::Joining;
    let issued = status.issued.as_ref().filter(|issued| issued.not_after.0 > now);
    issued.is_some_and(|issued| issued.target == target || status.quarantine.iter().any(joins) && is_ready())
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
        let message = match explanation(status) {
            Some(url) => format!("{message}; why the CA suggests the renewal: {url}"),
            None => message,
        };
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

/// The same, with what the message says now: for who writes the status anyway.
pub fn show_obstacle_anew(
    status: &mut CertificateShardStatus,
    shard: &CertificateShard,
    reason: &str,
    message: &str,
) {
    if !show_obstacle(status, shard, reason, message) {
        let mut shown = status.conditions.iter_mut().filter(|c| c.reason == reason);
        if let Some(shown) = shown.find(|c| c.status == "True" && c.message != message) {
            message.clone_into(&mut shown.message);
        }
    }
}

/// Is a failure another one than the last attempt for the same target came to?
pub fn is_news(status: Option<&CertificateShardStatus>, target: &str, reason: &str) -> bool {
    status
        .and_then(|status| status.failure.as_ref())
        .is_none_or(|failure| failure.reason != reason || failure.target != target)
}

/// An event about what went wrong, if it did not go wrong in the same way before.
pub async fn tell_news(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    reason: &str,
    message: &str,
) {
    if is_news(shard.status.as_ref(), target, reason) {
        tell_failure(context, shard, reason, message).await;
    }
}

/// An event about what went wrong.
pub async fn tell_failure(context: &Context, shard: &CertificateShard, reason: &str, message: &str) {
    context
        .events
        .warning(shard, reason, "Issue", message.to_owned())
        .await;
}

#[cfg(test)]
mod tests;
