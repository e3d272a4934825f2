//! A chain goes into the shard's Secret: check it → look at the Secret → is the shard still as it was? → write.
//!
//! # Guarantees
//! A replica that was stopped or cut off since it downloaded the chain overwrites nothing. Whoever takes its place
//! writes the shard first. So if the shard is as it was after the Secret had been looked at, whatever is written to
//! the Secret later by another makes this write a conflict.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use sancho_core::order::Retry;
use sancho_crds::{CertificateShard, CertificateShardStatus, REVOKE_ANNOTATION, RevocationReason};

use super::finish::{FinishError, SECRET_NOT_OURS, conclude, failed, held, published, tell_news};
use super::revoke;
use crate::chain::{self, ChainError, IssuedFacts};
use crate::clock;
use crate::context::{Context, full_name};
use crate::secrets::{self, SecretError, keys};
use crate::shard::quarantine::order_names;
use crate::shard::revocation;

/// What the CA issued is not what was asked for.
pub const CHAIN_REFUSED: &str = "ChainRefused";

/// Checks the chain and writes the Secret. Returns what is to be recorded: that it is issued, or
/// that the chain or the Secret does not do.
///
/// # Errors
/// [`FinishError::Displaced`] if somebody else drives the shard by now, or the certificate that is served is to be
/// revoked first; else what keeps the Secret from being written.
pub async fn publish(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    account: &str,
    chain: &str,
) -> Result<CertificateShardStatus, FinishError> {
    let namespace = shard.namespace().unwrap_or_default();
    let api = context.secrets(&namespace);
    let key = keys::next_key(&api, shard).await?.unwrap_or_default();
    let now = clock::now();
    let facts = match chain::check(chain.as_bytes(), key.as_bytes(), &order_names(shard), now) {
        Ok(facts) => facts,
        // A replica that has lost its claim may have published it and dropped the key.
        Err(error) => {
            return Ok(match published(context, shard, target, account).await? {
                Some(status) => status,
                None => refused(context, shard, target, &error).await,
            });
        }
    };
    let present = match secrets::read(&api, shard).await {
        Err(error @ SecretError::NotOurs { .. }) => {
            return Ok(not_ours(context, shard, target, &error).await);
        }
        present => present?,
    };
    let annotation = present.as_ref().and_then(revoke::annotation);
    let is_to_be_revoked = present.as_ref().is_some_and(|secret| {
        let served = secrets::chain(secret).map(chain::fingerprint).unwrap_or_default();
        revocation::is_unseen(shard, annotation, &served)
    });
    if let Some(text) = annotation
        && !is_to_be_revoked
        && RevocationReason::parse(text).is_ok()
    {
        // It was about the certificate that goes, and must not be about the one that comes.
        secrets::unannotate(&api, &shard.spec.secret_name, REVOKE_ANNOTATION, text).await?;
        return Err(FinishError::Displaced);
    }
    if is_to_be_revoked || !is_unchanged(context, shard).await? {
        return Err(FinishError::Displaced);
    }
    if let Some(newer) = present
        .as_ref()
        .and_then(|secret| newer(secret, shard, target, &facts, now))
    {
        tracing::info!(
            shard = full_name(shard),
            "a newer certificate is in the Secret already"
        );
        return Ok(conclude(context, shard, target, account, &newer).await?);
    }
    secrets::publish(&api, shard, target, chain, &key, present).await?;
    Ok(conclude(context, shard, target, account, &facts).await?)
}

/// Is the shard as it was when this replica read or wrote it last? By a quorum read.
async fn is_unchanged(context: &Context, shard: &CertificateShard) -> Result<bool, FinishError> {
    let api = context.shards(&shard.namespace().unwrap_or_default());
    let present = api
        .get_metadata_opt(&shard.name_any())
        .await
        .map_err(|error| FinishError::Shard {
            shard: full_name(shard),
            error: Box::new(error),
        })?;
    Ok(present.is_some_and(|present| {
        (present.uid(), present.resource_version()) == (shard.uid(), shard.resource_version())
    }))
}

/// The certificate in `secret`, if it is the wanted one, is not the one that is to be replaced, and is younger than
/// the one with `facts`.
fn newer(
    secret: &Secret,
    shard: &CertificateShard,
    target: &str,
    facts: &IssuedFacts,
    now: Timestamp,
) -> Option<IssuedFacts> {
    let issued = shard.status.as_ref().and_then(|status| status.issued.as_ref());
    held(secret, shard, target, now).filter(|held| {
        let is_replaced = issued.is_some_and(|issued| issued.fingerprint == held.fingerprint);
        !is_replaced && held.not_before > facts.not_before
    })
}

async fn not_ours(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    error: &SecretError,
) -> CertificateShardStatus {
    let message = error.to_string();
    tell_news(context, shard, target, SECRET_NOT_OURS, &message).await;
    failed(shard, target, SECRET_NOT_OURS, &message, Retry::Backoff)
}

async fn refused(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    error: &ChainError,
) -> CertificateShardStatus {
    let message = format!("the CA's certificate is not served: {error}");
    tell_news(context, shard, target, CHAIN_REFUSED, &message).await;
    failed(shard, target, CHAIN_REFUSED, &message, Retry::Backoff)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use sancho_crds::{CertificateShardSpec, IssuedStatus, IssuerRef};

    use super::*;

    const TARGET: &str = "wanted";

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn shard() -> CertificateShard {
        let spec = CertificateShardSpec {
            certificate: "shop".into(),
            secret_name: "shop-tls".into(),
            issuer_ref: IssuerRef {
                name: "ca".into(),
                kind: None,
            },
            dns_names: vec!["a.example".into()],
            ..Default::default()
        };
        CertificateShard::new("shop-0", spec)
    }

    /// A Secret for `target` whose certificate is valid from the first of May on.
    fn secret(target: &str) -> (Secret, IssuedFacts) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 5, 1);
        params.not_after = date_time_ymd(2027, 5, 1);
        let (chain, key) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
        let names = ["a.example".to_owned()];
        let facts = chain::check(chain.as_bytes(), key.as_bytes(), &names, now()).unwrap();
        let secret = secrets::certificate_secret(&shard(), target, chain.as_bytes(), key.as_bytes());
        (secret, facts)
    }

    #[test]
    fn only_a_younger_certificate_for_the_same_that_is_not_to_be_replaced_is_kept() {
        let (there, held) = secret(TARGET);
        let issued_at = |days: i64| IssuedFacts {
            not_before: held.not_before + SignedDuration::from_hours(24 * days),
            fingerprint: "another".into(),
            ..held.clone()
        };
        let (older, younger) = (issued_at(-1), issued_at(1));
        assert_eq!(
            newer(&there, &shard(), TARGET, &older, now()).as_ref(),
            Some(&held)
        );
        assert_eq!(newer(&there, &shard(), TARGET, &younger, now()), None);
        let (other, _) = secret("something else");
        assert_eq!(newer(&other, &shard(), TARGET, &older, now()), None);
        // Two profiles of a CA may date their certificates back by different times.
        let mut renewed = shard();
        renewed.status = Some(CertificateShardStatus {
            issued: Some(IssuedStatus {
                target: TARGET.into(),
                fingerprint: held.fingerprint.clone(),
                not_before: clock::time(held.not_before),
                not_after: clock::time(held.not_after),
                renewal_time: clock::time(held.not_after),
                account_url: None,
                cert_id: None,
                renewal_info: None,
            }),
            ..Default::default()
        });
        assert_eq!(newer(&there, &renewed, TARGET, &older, now()), None);
    }
}
