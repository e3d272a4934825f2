//! The Secrets that Sancho writes: certificates, keys that wait for theirs, account keys.
//!
//! Assumption: whoever may write Secrets in a namespace may do what they like there; what is
//! guarded against is overwriting by mistake.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use sancho_crds::CertificateShard;
use zeroize::Zeroizing;

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
/// The field manager of all that Sancho applies.
pub const FIELD_MANAGER: &str = "sancho";

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
    let found = api.get_opt(name).await.map_err(|error| failed(name, &error))?;
    match found {
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

/// Writes `tls.crt` and `tls.key` together, in one request.
///
/// # Errors
/// [`SecretError::NotOurs`] if a Secret that is not this Certificate's has that name;
/// [`SecretError::Conflict`] if somebody wrote it between the look and the write.
pub async fn publish(
    api: &Api<Secret>,
    shard: &CertificateShard,
    target: &str,
    chain: &str,
    key: &str,
) -> Result<(), SecretError> {
    let name = &shard.spec.secret_name;
    let present = read(api, shard).await?;
    let mut secret = certificate_secret(shard, target, chain, key);
    let written = match present {
        None => {
            api.create(
                &PostParams {
                    field_manager: Some(FIELD_MANAGER.into()),
                    ..Default::default()
                },
                &secret,
            )
            .await
        }
        Some(present) => {
            // With these two the API server refuses the write if the Secret is another by now.
            secret.metadata.uid = present.metadata.uid;
            secret.metadata.resource_version = present.metadata.resource_version;
            api.patch(
                name,
                &PatchParams::apply(FIELD_MANAGER).force(),
                &Patch::Apply(&secret),
            )
            .await
        }
    };
    written.map(drop).map_err(|error| failed(name, &error))
}

fn certificate_secret(shard: &CertificateShard, target: &str, chain: &str, key: &str) -> Secret {
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
            ..Default::default()
        },
        type_: Some("kubernetes.io/tls".into()),
        data: Some(BTreeMap::from([
            (CERT.into(), ByteString(chain.as_bytes().to_vec())),
            (KEY.into(), ByteString(key.as_bytes().to_vec())),
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

/// The name of the Secret that holds a shard's next key until its certificate is there.
#[must_use]
pub fn next_key_name(shard: &CertificateShard) -> String {
    format!("{}-next-key", shard.name_any())
}

/// The shard's next key as PEM: the one in its Secret, else `fresh`, which is then in its Secret.
///
/// # Errors
/// [`SecretError::NotOurs`] if a Secret of that name is not this shard's.
pub async fn next_key(
    api: &Api<Secret>,
    shard: &CertificateShard,
    fresh: &str,
) -> Result<Zeroizing<String>, SecretError> {
    let name = next_key_name(shard);
    let owner = shard.controller_owner_ref(&());
    let secret = key_secret(&name, shard.namespace(), owner.clone(), fresh);
    match keep_or_create(api, &name, &secret).await? {
        None => Ok(Zeroizing::new(fresh.to_owned())),
        Some(present) => {
            let ours =
                owner.is_some_and(|owner| present.owner_references().iter().any(|o| o.uid == owner.uid));
            let pem = pem_key(&present);
            match pem {
                Some(pem) if ours => Ok(pem),
                _ => Err(SecretError::NotOurs {
                    name,
                    whose: "it holds no key of this shard".into(),
                }),
            }
        }
    }
}

/// Deletes the shard's next key. One that is not there is fine.
///
/// # Errors
/// [`SecretError::Api`] if the API server refused or did not answer.
pub async fn forget_next_key(api: &Api<Secret>, shard: &CertificateShard) -> Result<(), SecretError> {
    let name = next_key_name(shard);
    match api.delete(&name, &Default::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(failed(&name, &error)),
    }
}

/// An account's key as PEM: the one in its Secret, else `fresh`, which is then in its Secret.
///
/// # Errors
/// [`SecretError::NotOurs`] if the Secret has no `tls.key`.
pub async fn account_key(
    api: &Api<Secret>,
    name: &str,
    fresh: &str,
) -> Result<Zeroizing<String>, SecretError> {
    let secret = key_secret(name, None, None, fresh);
    match keep_or_create(api, name, &secret).await? {
        None => Ok(Zeroizing::new(fresh.to_owned())),
        Some(present) => pem_key(&present).ok_or_else(|| SecretError::NotOurs {
            name: name.to_owned(),
            whose: "it has no tls.key with a PEM private key".into(),
        }),
    }
}

/// The Secret that is there; nothing if `secret` was created, by this call alone.
async fn keep_or_create(
    api: &Api<Secret>,
    name: &str,
    secret: &Secret,
) -> Result<Option<Secret>, SecretError> {
    if let Some(present) = api.get_opt(name).await.map_err(|error| failed(name, &error))? {
        return Ok(Some(present));
    }
    match api
        .create(
            &PostParams {
                field_manager: Some(FIELD_MANAGER.into()),
                ..Default::default()
            },
            secret,
        )
        .await
    {
        Ok(_) => Ok(None),
        // Another replica was first: its key counts.
        Err(kube::Error::Api(status)) if status.code == 409 => api
            .get(name)
            .await
            .map(Some)
            .map_err(|error| failed(name, &error)),
        Err(error) => Err(failed(name, &error)),
    }
}

fn key_secret(name: &str, namespace: Option<String>, owner: Option<OwnerReference>, pem: &str) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace,
            owner_references: owner.map(|owner| vec![owner]),
            ..Default::default()
        },
        data: Some(BTreeMap::from([(
            KEY.into(),
            ByteString(pem.as_bytes().to_vec()),
        )])),
        type_: Some("Opaque".into()),
        ..Default::default()
    }
}

fn pem_key(secret: &Secret) -> Option<Zeroizing<String>> {
    let key = secret.data.as_ref()?.get(KEY)?;
    String::from_utf8(key.0.clone()).ok().map(Zeroizing::new)
}

fn failed(name: &str, error: &kube::Error) -> SecretError {
    match error {
        kube::Error::Api(status) if status.code == 409 => SecretError::Conflict {
            name: name.to_owned(),
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
