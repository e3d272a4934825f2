//! Secrets that hold a key alone: a shard's next one until its certificate is there, an account's, and the one that accounts at
//! DNS providers are hashed with.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Resource, ResourceExt};
use sancho_crds::CertificateShard;
use zeroize::Zeroizing;

use super::{FIELD_MANAGER, KEY, SecretError, failed};

/// The field of a key that is no private key of anything.
const HASH_KEY: &str = "key";

/// The name of the Secret that holds a shard's next key until its certificate is there.
#[must_use]
pub fn next_key_name(shard: &CertificateShard) -> String {
    format!("{}-next-key", shard.name_any())
}

/// The shard's next key as PEM, if it is in its Secret.
///
/// # Errors
/// [`SecretError::NotOurs`] if a Secret of that name is not this shard's.
pub async fn next_key(
    api: &Api<Secret>,
    shard: &CertificateShard,
) -> Result<Option<Zeroizing<String>>, SecretError> {
    let name = next_key_name(shard);
    let present = api.get_opt(&name).await.map_err(|error| failed(&name, &error))?;
    present.map(|present| own_key(&present, shard)).transpose()
}

/// The shard's next key as PEM: the one in its Secret, else `fresh`, which is then in its Secret.
///
/// # Errors
/// [`SecretError::NotOurs`] if a Secret of that name is not this shard's.
pub async fn keep_next_key(
    api: &Api<Secret>,
    shard: &CertificateShard,
    fresh: &str,
) -> Result<Zeroizing<String>, SecretError> {
    let name = next_key_name(shard);
    let owner = shard.controller_owner_ref(&());
    let secret = key_secret(&name, shard.namespace(), owner, (KEY, fresh));
    match keep_or_create(api, &name, &secret).await? {
        None => Ok(Zeroizing::new(fresh.to_owned())),
        Some(present) => own_key(&present, shard),
    }
}

/// The key in a Secret that is this shard's.
fn own_key(present: &Secret, shard: &CertificateShard) -> Result<Zeroizing<String>, SecretError> {
    let owner = shard.controller_owner_ref(&());
    let is_ours = owner.is_some_and(|owner| present.owner_references().iter().any(|o| o.uid == owner.uid));
    text(present, KEY)
        .filter(|_| is_ours)
        .ok_or_else(|| SecretError::NotOurs {
            name: present.name_any(),
            whose: "it holds no key of this shard".into(),
        })
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
    let secret = key_secret(name, None, None, (KEY, fresh));
    match keep_or_create(api, name, &secret).await? {
        None => Ok(Zeroizing::new(fresh.to_owned())),
        Some(present) => account_pem(&present),
    }
}

/// An account's key as PEM, if its Secret is there.
///
/// # Errors
/// [`SecretError::NotOurs`] if the Secret has no `tls.key`.
pub async fn present_account_key(
    api: &Api<Secret>,
    name: &str,
) -> Result<Option<Zeroizing<String>>, SecretError> {
    let present = api.get_opt(name).await.map_err(|error| failed(name, &error))?;
    present.map(|present| account_pem(&present)).transpose()
}

fn account_pem(present: &Secret) -> Result<Zeroizing<String>, SecretError> {
    text(present, KEY).ok_or_else(|| SecretError::NotOurs {
        name: present.name_any(),
        whose: "it has no tls.key with a PEM private key".into(),
    })
}

/// The key that something is hashed with: the one in the Secret's field `key`, else `fresh`, which is then there.
///
/// # Errors
/// [`SecretError::NotOurs`] if the Secret has no such field.
pub async fn hash_key(api: &Api<Secret>, name: &str, fresh: &str) -> Result<Zeroizing<String>, SecretError> {
    let secret = key_secret(name, None, None, (HASH_KEY, fresh));
    match keep_or_create(api, name, &secret).await? {
        None => Ok(Zeroizing::new(fresh.to_owned())),
        Some(present) => text(&present, HASH_KEY)
            .filter(|key| !key.is_empty())
            .ok_or_else(|| SecretError::NotOurs {
                name: name.to_owned(),
                whose: "it has no field key".into(),
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

fn key_secret(
    name: &str,
    namespace: Option<String>,
    owner: Option<OwnerReference>,
    (field, key): (&str, &str),
) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace,
            owner_references: owner.map(|owner| vec![owner]),
            ..Default::default()
        },
        data: Some(BTreeMap::from([(
            field.into(),
            ByteString(key.as_bytes().to_vec()),
        )])),
        type_: Some("Opaque".into()),
        ..Default::default()
    }
}

fn text(secret: &Secret, field: &str) -> Option<Zeroizing<String>> {
    let key = secret.data.as_ref()?.get(field)?;
    String::from_utf8(key.0.clone()).ok().map(Zeroizing::new)
}
