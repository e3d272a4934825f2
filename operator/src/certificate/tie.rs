//! The Secrets of a Certificate go with their shards, or do not, as its `secretDeletionPolicy` says.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use sancho_crds::CertificateShard;

use crate::context::Context;
use crate::secrets::ties;

/// Mends those Secrets of `own` that were seen not to be as their shards say. Says whether all are by now.
///
/// # Errors
/// What the API server answered; everything can be repeated.
pub(super) async fn secrets(context: &Context, own: &[&CertificateShard]) -> Result<bool, kube::Error> {
    let mut are_tied = true;
    for shard in own {
        let namespace = shard.namespace().unwrap_or_default();
        let reference =
            ObjectRef::<PartialObjectMeta<Secret>>::new_with(&shard.spec.secret_name, ()).within(&namespace);
        let secret = context.seen.secrets.get(&reference);
        if secret.is_some_and(|secret| !ties::is_as_wanted(&secret, shard)) {
            are_tied &= ties::tie(&context.secrets(&namespace), shard).await?;
        }
    }
    Ok(are_tied)
}
