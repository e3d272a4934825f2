//! Whether a Secret goes when its shard does: by a reference to the shard as its owner, which Kubernetes' garbage
//! collector acts on. Its shard goes when it is retired, or with its Certificate.
//!
//! # Caveats
//! A policy that was edited counts once the Secret has, or has lost, that reference: a second or so later.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Resource, ResourceExt};
use sancho_crds::{CertificateShard, GROUP, SecretDeletionPolicy};

use super::{CERTIFICATE_ANNOTATION, FIELD_MANAGER};

/// The reference to `shard` that its Secret is to have, if it is to go with it.
pub(super) fn own(shard: &CertificateShard) -> Option<OwnerReference> {
    match shard.spec.secret_deletion_policy {
        Some(SecretDeletionPolicy::Delete) => shard.owner_ref(&()),
        Some(SecretDeletionPolicy::Retain) | None => None,
    }
}

/// Has the Secret of `shard` the references that it is to have? One that is another's is none of its business.
#[must_use]
pub fn is_as_wanted(secret: &PartialObjectMeta<Secret>, shard: &CertificateShard) -> bool {
    let owner = secret.annotations().get(CERTIFICATE_ANNOTATION);
    owner != Some(&shard.spec.certificate) || wanted(secret, shard) == secret.owner_references()
}

/// Would `secret`, which was the Secret of `shard` under another name, go with it though it is to stay?
#[must_use]
pub fn is_left_tied(secret: &PartialObjectMeta<Secret>, shard: &CertificateShard) -> bool {
    secret.name_any() != shard.spec.secret_name
        && own(shard).is_none()
        && secret
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == shard.metadata.uid.as_ref())
}

/// Gives the Secret `name` of `shard` the reference, or takes it away, as the shard's spec says. One that is not there, or is
/// another's, is left alone. Says whether it is so now; if not, somebody wrote the Secret at the same moment.
///
/// # Errors
/// What the API server answered.
pub async fn tie(api: &Api<Secret>, shard: &CertificateShard, name: &str) -> Result<bool, kube::Error> {
    let Some(secret) = api.get_metadata_opt(name).await? else {
        return Ok(true);
    };
    if is_as_wanted(&secret, shard) {
        return Ok(true);
    }
    let patch = serde_json::json!({ "metadata": {
        "uid": secret.metadata.uid,
        "resourceVersion": secret.metadata.resource_version,
        "ownerReferences": wanted(&secret, shard),
    } });
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    match api.patch_metadata(name, &params, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

/// The references of others, and the shard's own. One to an earlier shard would have the Secret deleted.
fn wanted(secret: &PartialObjectMeta<Secret>, shard: &CertificateShard) -> Vec<OwnerReference> {
    let is_of_shard = |owner: &OwnerReference| {
        owner.kind == CertificateShard::kind(&()) && owner.api_version.split('/').next() == Some(GROUP)
    };
    let (present, own) = (secret.owner_references(), own(shard));
    let is_own = |owner: &OwnerReference| own.as_ref().is_some_and(|own| own.uid == owner.uid);
    let is_kept = |owner: &&OwnerReference| !is_of_shard(owner) || is_own(owner);
    let mut wanted: Vec<OwnerReference> = present.iter().filter(is_kept).cloned().collect();
    if !present.iter().any(is_own) {
        wanted.extend(own);
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(uid: &str, policy: Option<SecretDeletionPolicy>) -> CertificateShard {
        let mut shard = CertificateShard::new("shop-0", Default::default());
        shard.metadata.uid = Some(uid.into());
        shard.spec.certificate = "shop".into();
        shard.spec.secret_deletion_policy = policy;
        shard
    }

    fn secret(owners: Vec<OwnerReference>) -> PartialObjectMeta<Secret> {
        let mut secret = PartialObjectMeta::default();
        secret.metadata.annotations = Some([(CERTIFICATE_ANNOTATION.into(), "shop".into())].into());
        secret.metadata.owner_references = Some(owners);
        secret
    }

    #[test]
    fn a_secret_has_its_shard_for_an_owner_if_it_is_to_go_with_it_and_keeps_what_others_say() {
        let (deleting, retaining) = (
            shard("1", Some(SecretDeletionPolicy::Delete)),
            shard("1", Some(SecretDeletionPolicy::Retain)),
        );
        let own = own(&deleting).unwrap();
        let other = OwnerReference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            name: "other".into(),
            uid: "9".into(),
            ..Default::default()
        };
        let earlier = self::own(&shard("0", Some(SecretDeletionPolicy::Delete))).unwrap();
        let plain = secret(vec![other.clone()]);
        assert_eq!(wanted(&plain, &deleting), [other.clone(), own.clone()]);
        assert!(is_as_wanted(&plain, &retaining) && is_as_wanted(&plain, &shard("1", None)));
        let tied = secret(vec![own.clone(), other.clone()]);
        assert!(is_as_wanted(&tied, &deleting));
        assert_eq!(wanted(&tied, &retaining), std::slice::from_ref(&other));
        let left = secret(vec![earlier, other.clone()]);
        assert_eq!(wanted(&left, &deleting), [other.clone(), own]);
        assert_eq!(wanted(&left, &retaining), [other]);
    }

    #[test]
    fn the_secret_of_another_certificate_is_left_alone() {
        let mut secret = secret(Vec::new());
        secret.metadata.annotations = Some([(CERTIFICATE_ANNOTATION.into(), "blog".into())].into());
        assert!(is_as_wanted(
            &secret,
            &shard("1", Some(SecretDeletionPolicy::Delete))
        ));
    }
}
