//! The Secrets that Sancho writes: certificates here, what they have besides in [`form`], keys that wait for theirs and
//! account keys in [`keys`].
//!
//! Assumption: whoever may write Secrets in a namespace may do what they like there; what is
//! guarded against is overwriting by mistake.

pub mod form;
pub mod keys;
pub mod keystore;
mod password;
pub mod ties;

use std::collections::BTreeMap;

use json_patch::jsonptr::PointerBuf;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use sancho_crds::{CertificateShard, RevocationReason};
use zeroize::Zeroizing;

use self::keystore::Asked;
use self::password::Keystores;
use crate::target::digest;

/// Says which Certificate's a Secret is; see [`label_value`].
pub const CERTIFICATE_LABEL: &str = "sancho.dev/certificate";
/// The Certificate's whole name.
pub const CERTIFICATE_ANNOTATION: &str = "sancho.dev/certificate-name";
/// What the certificate was issued for; see [`crate::target::target`].
pub const TARGET_ANNOTATION: &str = "sancho.dev/target";
/// The sharding group, so that an assignment can be rebuilt from Secrets.
pub const GROUP_ANNOTATION: &str = "sancho.dev/group";
/// The shard's number, for the same purpose.
pub const INDEX_ANNOTATION: &str = "sancho.dev/index";
/// The fingerprint of a chain in it that was revoked, and the reason: a shard's status, which knows it too, can be deleted.
pub const REVOKED_ANNOTATION: &str = "sancho.dev/revoked";
/// The field manager of all that Sancho applies.
pub const FIELD_MANAGER: &str = "sancho";

/// The type of a certificate's Secret.
pub const TLS_TYPE: &str = "kubernetes.io/tls";

const CERT: &str = "tls.crt";
const KEY: &str = "tls.key";

/// A Secret of that name exists and is not Sancho's, or another Certificate's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not to be overwritten.
    #[error(
        "Secret {name} exists and is not this Certificate's ({whose}): delete or rename it, or choose another spec.secretName"
    )]
    NotOurs {
        /// The Secret.
        name: String,
        /// Whose it is, in words.
        whose: String,
    },
    /// Somebody else wrote it at the same moment.
    #[error("Secret {name} was changed by somebody else at the same moment")]
    Conflict {
        /// The Secret.
        name: String,
    },
    /// The API server does not take it as it is: another time it does not either.
    #[error("Secret {name}: {message}")]
    Invalid {
        /// The Secret.
        name: String,
        /// The API server's words.
        message: String,
    },
    /// The API server refused or did not answer.
    #[error("Secret {name}: {message}")]
    Api {
        /// The Secret.
        name: String,
        /// The API server's words.
        message: String,
    },
}

/// A certificate name as a label's value: itself, or a hash if it is too long for one.
#[must_use]
pub fn label_value(name: &str) -> String {
    if name.len() <= 63 {
        name.to_owned()
    } else {
        format!("sha256-{}", digest([name]))
    }
}

/// Reads the Secret that `shard` writes. Nothing if there is none.
///
/// # Errors
/// [`SecretError::NotOurs`] if it may not be overwritten.
pub async fn read(api: &Api<Secret>, shard: &CertificateShard) -> Result<Option<Secret>, SecretError> {
    let name = &shard.spec.secret_name;
    match read_any(api, name).await? {
        Some(secret) => match foreign(&secret, &shard.spec.certificate) {
            Some(whose) => Err(SecretError::NotOurs {
                name: name.clone(),
                whose,
            }),
            None => Ok(Some(secret)),
        },
        None => Ok(None),
    }
}

/// Reads a Secret, whosever it is. Nothing if there is none.
///
/// # Errors
/// [`SecretError::Api`] if the API server refused or did not answer.
pub async fn read_any(api: &Api<Secret>, name: &str) -> Result<Option<Secret>, SecretError> {
    api.get_opt(name).await.map_err(|error| failed(name, &error))
}

/// Whose a Secret is, in words, if it is not `certificate`'s.
fn foreign(secret: &Secret, certificate: &str) -> Option<String> {
    match secret.annotations().get(CERTIFICATE_ANNOTATION) {
        Some(owner) if owner == certificate => None,
        Some(owner) => Some(format!("it belongs to Certificate {owner}")),
        None => Some("it was not made by Sancho".into()),
    }
}

/// The chain and the key in a Secret, as far as they are there.
#[must_use]
pub fn contents(secret: &Secret) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    let data = secret.data.as_ref()?;
    Some((
        data.get(CERT)?.0.clone(),
        Zeroizing::new(data.get(KEY)?.0.clone()),
    ))
}

/// The chain alone.
#[must_use]
pub fn chain(secret: &Secret) -> Option<&[u8]> {
    Some(secret.data.as_ref()?.get(CERT)?.0.as_slice())
}

/// Writes `tls.crt` and `tls.key` together, in one request, in place of `present`, which [`read`] gave, with all that
/// the Certificate asks for of a Secret's form. A new Secret gets its form by a second request: server-side apply takes
/// out again only what it has put there itself. A form that the API server does not take is left out.
///
/// # Errors
/// [`SecretError::Conflict`] if somebody wrote it between the look and the write.
pub async fn publish(
    api: &Api<Secret>,
    shard: &CertificateShard,
    target: &str,
    chain: &str,
    key: &str,
    present: Option<Secret>,
) -> Result<(), SecretError> {
    let name = &shard.spec.secret_name;
    let plain = certificate_secret(shard, target, chain.as_bytes(), key.as_bytes());
    let present = match present {
        Some(present) => present,
        None => {
            let params = PostParams {
                field_manager: Some(FIELD_MANAGER.into()),
                ..Default::default()
            };
            let created = api.create(&params, &plain).await;
            let created = created.map_err(|error| failed(name, &error))?;
            if form::mark(&shard.spec).is_none() {
                return Ok(());
            }
            created
        }
    };
    // What they lack is told when the form is looked at.
    let keystores = password::keystores(api, shard, &present, chain.as_bytes(), key.as_bytes()).await?;
    match replace(api, present.clone(), formed(plain.clone(), shard, keystores.made)).await {
        // The certificate is not held up by its Secret's form, of which the next look at that tells.
        Err(SecretError::Invalid { .. }) if form::mark(&shard.spec).is_some() => {
            replace(api, present, plain).await
        }
        written => written,
    }
}

/// What came of a look at a Secret's form.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reformed {
    /// It was written.
    pub written: bool,
    /// What it still lacks, and what to do.
    pub lacking: Option<String>,
}

/// Gives the shard's Secret the form that its Certificate asks for, if it has another one. The certificate and the key
/// in it stay as they are.
///
/// # Errors
/// [`SecretError::NotOurs`] if there is another one's Secret of that name; [`SecretError::Conflict`] if somebody wrote
/// it between the look and the write.
pub async fn reform(api: &Api<Secret>, shard: &CertificateShard) -> Result<Reformed, SecretError> {
    let Some(present) = read(api, shard).await? else {
        return Ok(Reformed::default());
    };
    let (Some((chain, key)), Some(target)) =
        (contents(&present), present.annotations().get(TARGET_ANNOTATION))
    else {
        return Ok(Reformed::default());
    };
    let Keystores { made, lacking } = password::keystores(api, shard, &present, &chain, &key).await?;
    // As long as its certificate is the same, a keystore outlives its password.
    if lacking.is_some() && form::is_given(&present.metadata, &shard.spec) {
        return Ok(Reformed {
            written: false,
            lacking,
        });
    }
    let wanted = formed(certificate_secret(shard, target, &chain, &key), shard, made);
    let written = !form::is_same(&present, &wanted);
    if written {
        replace(api, present, wanted).await?;
    }
    Ok(Reformed { written, lacking })
}

fn formed(mut secret: Secret, shard: &CertificateShard, keystores: Vec<(Asked, Vec<u8>)>) -> Secret {
    form::give(&mut secret, &shard.spec, keystores);
    secret
}

/// Makes `present`, which somebody else made, the shard's: the certificate and the key in it stay as they are.
///
/// # Errors
/// [`SecretError::Conflict`] if somebody wrote it since it was read.
pub async fn take_over(
    api: &Api<Secret>,
    shard: &CertificateShard,
    target: &str,
    present: Secret,
) -> Result<(), SecretError> {
    let (chain, key) = contents(&present).unwrap_or_default();
    let keystores = password::keystores(api, shard, &present, &chain, &key).await?;
    let secret = formed(
        certificate_secret(shard, target, &chain, &key),
        shard,
        keystores.made,
    );
    replace(api, present, secret).await
}

async fn replace(api: &Api<Secret>, present: Secret, mut secret: Secret) -> Result<(), SecretError> {
    let name = present.name_any();
    // With these two the API server refuses the write if the Secret is another by now.
    secret.metadata.uid = present.metadata.uid;
    secret.metadata.resource_version = present.metadata.resource_version;
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    let written = api.patch(&name, &apply, &Patch::Apply(&secret)).await;
    let written = written.map_err(|error| failed(&name, &error))?;
    // What another manager has put there too, the maker of a Secret that was adopted.
    let surplus = form::surplus(&written, &secret);
    if surplus.is_empty() {
        return Ok(());
    }
    let none: BTreeMap<&str, ()> = surplus.into_iter().map(|field| (field, ())).collect();
    let patch = serde_json::json!({
        "metadata": { "resourceVersion": written.metadata.resource_version },
        "data": none,
    });
    let taken_out = api
        .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    taken_out.map(drop).map_err(|error| failed(&name, &error))
}

/// The Secret that `shard` writes for `target`.
pub(crate) fn certificate_secret(shard: &CertificateShard, target: &str, chain: &[u8], key: &[u8]) -> Secret {
    let spec = &shard.spec;
    let mut annotations = BTreeMap::from([
        (CERTIFICATE_ANNOTATION.to_owned(), spec.certificate.clone()),
        (TARGET_ANNOTATION.to_owned(), target.to_owned()),
        (INDEX_ANNOTATION.to_owned(), spec.index.to_string()),
    ]);
    if let Some(group) = &spec.group {
        annotations.insert(GROUP_ANNOTATION.into(), group.clone());
    }
    Secret {
        metadata: ObjectMeta {
            name: Some(spec.secret_name.clone()),
            namespace: shard.namespace(),
            labels: Some(BTreeMap::from([(
                CERTIFICATE_LABEL.into(),
                label_value(&spec.certificate),
            )])),
            annotations: Some(annotations),
            owner_references: ties::own(shard).map(|own| vec![own]),
            ..Default::default()
        },
        type_: Some(TLS_TYPE.into()),
        data: Some(BTreeMap::from([
            (CERT.into(), ByteString(chain.to_vec())),
            (KEY.into(), ByteString(key.to_vec())),
        ])),
        ..Default::default()
    }
}

/// Gives the shard's Secret its label back, by which it is watched.
///
/// # Errors
/// [`SecretError::Api`] if the API server refused or did not answer.
pub async fn label(api: &Api<Secret>, shard: &CertificateShard) -> Result<(), SecretError> {
    let name = &shard.spec.secret_name;
    let value = label_value(&shard.spec.certificate);
    let patch = serde_json::json!({ "metadata": { "labels": { CERTIFICATE_LABEL: value } } });
    let written = api
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    written.map(drop).map_err(|error| failed(name, &error))
}

/// Writes at a Secret that the chain with this fingerprint was revoked, which may be in it no longer.
///
/// # Errors
/// [`SecretError::Api`] if the API server refused or did not answer.
pub async fn mark_revoked(
    api: &Api<Secret>,
    name: &str,
    fingerprint: &str,
    reason: RevocationReason,
) -> Result<(), SecretError> {
    let value = format!("{fingerprint} {reason}");
    let patch = serde_json::json!({ "metadata": { "annotations": { REVOKED_ANNOTATION: value } } });
    let written = api
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    match written {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        written => written.map(drop).map_err(|error| failed(name, &error)),
    }
}

/// Why the chain in a Secret was revoked, if the Secret says that it was.
#[must_use]
pub fn revoked(secret: &Secret) -> Option<RevocationReason> {
    let (fingerprint, reason) = secret.annotations().get(REVOKED_ANNOTATION)?.split_once(' ')?;
    let is_its = crate::chain::fingerprint(chain(secret)?) == fingerprint;
    RevocationReason::parse(reason).ok().filter(|_| is_its)
}

/// Removes an annotation of a Secret, if it still has this value.
///
/// # Errors
/// [`SecretError::Api`] if the API server refused or did not answer.
pub async fn unannotate(api: &Api<Secret>, name: &str, key: &str, value: &str) -> Result<(), SecretError> {
    let written = api
        .patch(name, &PatchParams::default(), &removal(key, value))
        .await;
    match written {
        // It is gone, or says something else.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 422) => Ok(()),
        written => written.map(drop).map_err(|error| failed(name, &error)),
    }
}

/// A patch that removes an annotation if it has this value, and is refused (422) if it does not.
#[must_use]
pub fn removal(key: &str, value: &str) -> Patch<()> {
    let path = PointerBuf::from_tokens(["metadata", "annotations", key]);
    Patch::Json(json_patch::Patch(vec![
        json_patch::PatchOperation::Test(json_patch::TestOperation {
            path: path.clone(),
            value: value.into(),
        }),
        json_patch::PatchOperation::Remove(json_patch::RemoveOperation { path }),
    ]))
}

/// What the API server's answer about Secret `name` means.
pub(crate) fn failed(name: &str, error: &kube::Error) -> SecretError {
    match error {
        kube::Error::Api(status) if status.code == 409 => SecretError::Conflict {
            name: name.to_owned(),
        },
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => SecretError::Invalid {
            name: name.to_owned(),
            message: status.message.clone(),
        },
        other => SecretError::Api {
            name: name.to_owned(),
            message: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(pairs: &[(&str, &str)]) -> Secret {
        let annotations = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Secret {
            metadata: ObjectMeta {
                annotations: Some(annotations),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    #[test]
    fn only_a_secret_of_this_certificate_is_ours() {
        assert_eq!(
            foreign(&annotated(&[(CERTIFICATE_ANNOTATION, "shop")]), "shop"),
            None
        );
        assert_eq!(
            foreign(&annotated(&[(CERTIFICATE_ANNOTATION, "blog")]), "shop").unwrap(),
            "it belongs to Certificate blog"
        );
        assert_eq!(
            foreign(&annotated(&[]), "shop").unwrap(),
            "it was not made by Sancho"
        );
    }

    #[test]
    fn a_long_name_still_makes_a_label() {
        assert_eq!(label_value("shop"), "shop");
        assert!(label_value(&"a".repeat(200)).len() <= 63);
    }
}
