//! Adoption: a Secret that somebody else made becomes a shard's, if its Certificate asks for that and the Secret
//! holds a certificate that does. Nothing is asked of the CA.
//!
//! # Caveats
//! Nothing in a certificate says which ACME server issued it, so that it is the issuer's by the user's word.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use sancho_crds::CertificateShard;

use crate::acme::csr::ShardKey;
use crate::acme::key_kind::KeyKind;
use crate::chain::{self, ChainError, IssuedFacts};
use crate::context::{Context, full_name};
use crate::secrets::{self, SecretError};

/// What became of a Secret that somebody else made.
pub(super) enum Adoption {
    /// The Certificate does not ask for it.
    NotAsked,
    /// It cannot be used, for this reason.
    Unfit(Unfit),
    /// It is the shard's now.
    Adopted(IssuedFacts),
}

/// Why a Secret cannot be adopted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// Kubernetes changes no Secret's type.
    #[error("it is of type {0} and not kubernetes.io/tls")]
    Type(String),
    /// Not both are there.
    #[error("it has no tls.crt and tls.key")]
    Empty,
    /// Another certificate than the shard's.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Another key than the Certificate asks for.
    #[error("its key is not the one that spec.privateKey asks for: write there what it is, or leave it out")]
    Key,
    /// Nobody is to trust it any more.
    #[error("its certificate was revoked: delete it, and another one is issued")]
    Revoked,
}

/// Makes the Secret that `shard` writes its own, if it may. `target`: what the certificate is for.
///
/// # Errors
/// [`SecretError`] if the API server does not answer, or somebody wrote the Secret in between.
pub(super) async fn adopt(
    context: &Context,
    shard: &CertificateShard,
    target: &str,
    now: Timestamp,
) -> Result<Adoption, SecretError> {
    if shard.spec.adopt != Some(true) {
        return Ok(Adoption::NotAsked);
    }
    let api = context.secrets(&shard.namespace().unwrap_or_default());
    let Some(secret) = secrets::read_any(&api, &shard.spec.secret_name).await? else {
        return Ok(Adoption::Unfit(Unfit::Empty));
    };
    let facts = match fit(&secret, shard, now) {
        Ok(facts) => facts,
        Err(unfit) => return Ok(Adoption::Unfit(unfit)),
    };
    secrets::take_over(&api, shard, target, secret).await?;
    let note = format!(
        "Secret {} is taken over as it is, valid until {}",
        shard.spec.secret_name, facts.not_after
    );
    tracing::info!(shard = full_name(shard), note, "adopted");
    context.events.normal(shard, "Adopted", "Issue", note).await;
    Ok(Adoption::Adopted(facts))
}

/// What is known of the certificate in `secret`, if it is one for `shard` that is valid `now`. A Certificate without
/// `privateKey` takes any key.
fn fit(secret: &Secret, shard: &CertificateShard, now: Timestamp) -> Result<IssuedFacts, Unfit> {
    let kind = secret.type_.as_deref().unwrap_or("Opaque");
    if kind != secrets::TLS_TYPE {
        return Err(Unfit::Type(kind.to_owned()));
    }
    let (chain, key) = secrets::contents(secret).ok_or(Unfit::Empty)?;
    let facts = chain::check(&chain, &key, &shard.spec.names(), now)?;
    if secrets::revoked(secret).is_some() {
        return Err(Unfit::Revoked);
    }
    let wanted = shard.spec.private_key.as_ref();
    let is_wanted = wanted.is_none_or(|wanted| {
        let key = ShardKey::from_pem(&key).ok().and_then(|key| key.kind());
        key.is_some() && key == KeyKind::of(Some(wanted)).ok()
    });
    if is_wanted { Ok(facts) } else { Err(Unfit::Key) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384};
    use sancho_crds::{CertificateShardSpec, IssuerRef, KeyAlgorithm, PrivateKey};

    use super::*;

    fn shard(name: &str, size: Option<u32>) -> CertificateShard {
        let spec = CertificateShardSpec {
            certificate: "shop".into(),
            secret_name: "shop-tls".into(),
            issuer_ref: IssuerRef {
                name: "ca".into(),
                kind: None,
            },
            dns_names: vec![name.into()],
            private_key: size.map(|size| PrivateKey {
                algorithm: Some(KeyAlgorithm::Ecdsa),
                size: Some(size),
                rotation_policy: None,
            }),
            ..Default::default()
        };
        CertificateShard::new("shop-0", spec)
    }

    /// A certificate of a P-384 key, as somebody else would leave it.
    fn secret(kind: &str) -> Secret {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let data = BTreeMap::from([
            ("tls.crt".to_owned(), ByteString(certificate.pem().into_bytes())),
            ("tls.key".to_owned(), ByteString(key.serialize_pem().into_bytes())),
        ]);
        Secret {
            type_: Some(kind.into()),
            data: Some(data),
            ..Default::default()
        }
    }

    /// cert-manager writes them so if its Certificate does not ask for PKCS#8. Made by OpenSSL, for `www.example` and a hundred
    /// years.
    #[test]
    fn keys_are_taken_in_the_forms_that_cert_manager_writes() {
        let rsa = PrivateKey {
            algorithm: Some(KeyAlgorithm::Rsa),
            size: Some(2048),
            rotation_policy: None,
        };
        let ecdsa = PrivateKey {
            algorithm: Some(KeyAlgorithm::Ecdsa),
            size: Some(256),
            rotation_policy: None,
        };
        for (chain, key, head, wanted, other) in [
            (
                include_str!("adopt/sec1.crt"),
                include_str!("adopt/sec1.key"),
                "-----BEGIN EC PRIVATE KEY-----",
                &ecdsa,
                &rsa,
            ),
            (
                include_str!("adopt/pkcs1.crt"),
                include_str!("adopt/pkcs1.key"),
                "-----BEGIN RSA PRIVATE KEY-----",
                &rsa,
                &ecdsa,
            ),
        ] {
            assert!(key.starts_with(head));
            let data = BTreeMap::from([
                ("tls.crt".to_owned(), ByteString(chain.as_bytes().to_vec())),
                ("tls.key".to_owned(), ByteString(key.as_bytes().to_vec())),
            ]);
            let secret = Secret {
                type_: Some("kubernetes.io/tls".into()),
                data: Some(data),
                ..Default::default()
            };
            let fits = |key: Option<&PrivateKey>| {
                let mut shard = shard("www.example", None);
                shard.spec.private_key = key.cloned();
                fit(&secret, &shard, Timestamp::now())
            };
            assert!(fits(None).is_ok() && fits(Some(wanted)).is_ok(), "{head}");
            assert_eq!(fits(Some(other)), Err(Unfit::Key), "{head}");
        }
    }

    #[test]
    fn only_a_certificate_for_the_same_names_with_a_key_that_is_asked_for_is_adopted() {
        let now = Timestamp::now();
        let tls = secret("kubernetes.io/tls");
        assert!(fit(&tls, &shard("a.example", None), now).is_ok());
        assert!(fit(&tls, &shard("a.example", Some(384)), now).is_ok());
        assert_eq!(fit(&tls, &shard("a.example", Some(256)), now), Err(Unfit::Key));
        let other = fit(&tls, &shard("b.example", None), now);
        assert!(
            matches!(other, Err(Unfit::Chain(ChainError::Names { .. }))),
            "{other:?}"
        );
        assert_eq!(
            fit(&secret("Opaque"), &shard("a.example", None), now),
            Err(Unfit::Type("Opaque".into()))
        );
        let empty = Secret {
            type_: Some("kubernetes.io/tls".into()),
            ..Default::default()
        };
        assert_eq!(fit(&empty, &shard("a.example", None), now), Err(Unfit::Empty));
    }
}
