//! The key that a shard's next certificate is for: kept → used again → made → its CSR.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use sancho_crds::{CertificateShard, RevocationReason, RotationPolicy};
use zeroize::Zeroizing;

use super::finish::FinishError;
use super::quarantine::order_names;
use super::revocation;
use crate::acme::csr::ShardKey;
use crate::acme::key_kind::KeyKind;
use crate::context::{Context, full_name};
use crate::secrets::{self, keys};

/// The CSR of the shard's next key, which is in a Secret of its own by then.
///
/// # Errors
/// [`FinishError`] if a Secret cannot be read or written, or the key cannot be made.
pub(super) async fn csr(context: &Context, shard: &CertificateShard) -> Result<Vec<u8>, FinishError> {
    let kind =
        KeyKind::of(shard.spec.private_key.as_ref()).map_err(|error| FinishError::Key(error.into()))?;
    let api = context.secrets(&shard.namespace().unwrap_or_default());
    let kept = keys::next_key(&api, shard).await?;
    if let Some(pem) = &kept {
        let is_used = rotation(shard) == RotationPolicy::Always && {
            // Whoever wrote it there may have ended before it was forgotten here.
            let secret = secrets::read(&api, shard).await?;
            secret.is_some_and(|secret| is_of(&secret, pem))
        };
        if let Some(key) = usable(pem.as_bytes(), kind).filter(|_| !is_used) {
            return Ok(key.csr(&order_names(shard))?);
        }
        tracing::info!(
            shard = full_name(shard),
            is_used,
            "the key that was kept for the next certificate is in use already or of another kind, and is made anew"
        );
        keys::forget_next_key(&api, shard).await?;
    }
    let again = match rotation(shard) {
        RotationPolicy::Always => None,
        RotationPolicy::Never => secrets::read(&api, shard)
            .await?
            .filter(|secret| !is_compromised(shard, secret))
            .and_then(|secret| in_use(&secret, kind)),
    };
    let pem = match again {
        Some(pem) => pem,
        // RSA keeps a thread busy for longer than a slot's renewal can wait.
        None => tokio::task::spawn_blocking(move || ShardKey::generate(kind))
            .await??
            .to_pem(),
    };
    let pem = keys::keep_next_key(&api, shard, &pem).await?;
    Ok(ShardKey::from_pem(pem.as_bytes())?.csr(&order_names(shard))?)
}

fn rotation(shard: &CertificateShard) -> RotationPolicy {
    let wanted = shard.spec.private_key.as_ref();
    wanted
        .and_then(|key| key.rotation_policy)
        .unwrap_or(RotationPolicy::Always)
}

/// The key in a certificate's Secret, if it is of this kind, as [`ShardKey::to_pem`] writes it.
fn in_use(secret: &Secret, kind: KeyKind) -> Option<Zeroizing<String>> {
    let (_, key) = secrets::contents(secret)?;
    usable(&key, kind).map(|key| key.to_pem())
}

/// Is this the key in the Secret?
fn is_of(secret: &Secret, pem: &str) -> bool {
    secrets::contents(secret).is_some_and(|(_, key)| key.as_slice() == pem.as_bytes())
}

/// Was the certificate in the Secret revoked because somebody else has its key?
fn is_compromised(shard: &CertificateShard, secret: &Secret) -> bool {
    if secrets::revoked(secret) == Some(RevocationReason::KeyCompromise) {
        return true;
    }
    let chain = secrets::chain(secret).map(crate::chain::fingerprint);
    chain.is_some_and(|fingerprint| revocation::is_compromised(shard, &fingerprint))
}

fn usable(pem: &[u8], kind: KeyKind) -> Option<ShardKey> {
    let key = ShardKey::from_pem(pem).ok()?;
    (key.kind() == Some(kind)).then_some(key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use sancho_crds::{CertificateShardStatus, RevocationAskedBy, RevocationStatus};

    use super::*;

    #[test]
    fn a_key_that_somebody_else_has_is_not_used_again() {
        let chain = b"chain".to_vec();
        let data = BTreeMap::from([("tls.crt".to_owned(), ByteString(chain.clone()))]);
        let secret = Secret {
            data: Some(data),
            ..Default::default()
        };
        let revoked_for = |reason| {
            let mut shard = CertificateShard::new("shop-0", Default::default());
            let revocation = RevocationStatus {
                serial: "01".into(),
                fingerprint: crate::chain::fingerprint(&chain),
                reason,
                asked_by: RevocationAskedBy::Secret,
                asked: crate::clock::time(crate::clock::now()),
                revoked: None,
                failures: None,
                next_try: None,
                error: None,
            };
            shard.status = Some(CertificateShardStatus {
                revocation: Some(revocation),
                ..Default::default()
            });
            is_compromised(&shard, &secret)
        };
        assert!(revoked_for(RevocationReason::KeyCompromise));
        assert!(!revoked_for(RevocationReason::Superseded));
        let other = CertificateShard::new("shop-0", Default::default());
        assert!(!is_compromised(&other, &secret));
        // A shard that was made anew knows it by the Secret, as long as the same chain is in it.
        let annotated = |value: String| {
            let mut secret = secret.clone();
            let annotations = [(secrets::REVOKED_ANNOTATION.to_owned(), value)];
            secret.metadata.annotations = Some(annotations.into());
            secret
        };
        let fingerprint = crate::chain::fingerprint(&chain);
        let compromised = annotated(format!("{fingerprint} keyCompromise"));
        assert!(is_compromised(&other, &compromised));
        for (value, expected) in [
            (
                format!("{fingerprint} superseded"),
                Some(RevocationReason::Superseded),
            ),
            (format!("{fingerprint} whatever"), None),
            (fingerprint.clone(), None),
            ("00 keyCompromise".to_owned(), None),
        ] {
            let secret = annotated(value);
            assert!(!is_compromised(&other, &secret), "{:?}", secret.metadata);
            assert_eq!(secrets::revoked(&secret), expected);
        }
    }

    #[test]
    fn the_key_in_use_is_used_again_only_if_it_is_of_the_kind_that_is_asked_for() {
        let key = ShardKey::generate(KeyKind::EcdsaP384).unwrap();
        let data = BTreeMap::from([
            ("tls.crt".to_owned(), ByteString(Vec::new())),
            ("tls.key".to_owned(), ByteString(key.to_pem().as_bytes().to_vec())),
        ]);
        let secret = Secret {
            data: Some(data),
            ..Default::default()
        };
        assert_eq!(in_use(&secret, KeyKind::EcdsaP384), Some(key.to_pem()));
        assert_eq!(in_use(&secret, KeyKind::EcdsaP256), None);
        assert_eq!(in_use(&Secret::default(), KeyKind::EcdsaP384), None);
        assert!(is_of(&secret, &key.to_pem()));
        let other = ShardKey::generate(KeyKind::EcdsaP384).unwrap();
        assert!(!is_of(&secret, &other.to_pem()) && !is_of(&Secret::default(), &key.to_pem()));
    }
}
