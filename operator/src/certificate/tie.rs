//! The Secrets of a Certificate go with their shards, or do not, as its `secretDeletionPolicy` says.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use sancho_crds::CertificateShard;

use crate::context::Context;
use crate::found_by;
use crate::secrets::{label_value, ties};

/// The Secrets that are seen to have the label of the shard's Certificate.
fn labelled(context: &Context, shard: &CertificateShard) -> Vec<Arc<PartialObjectMeta<Secret>>> {
    let namespace = shard.namespace().unwrap_or_default();
    let label = label_value(&shard.spec.certificate);
    context.seen.secrets.find(&found_by::labelled(&namespace, &label))
}

/// Mends those Secrets of `own` that were seen not to be as their shards say. Says whether all are by now.
///
/// # Errors
/// What the API server answered; everything can be repeated.
pub(super) async fn secrets(context: &Context, own: &[&CertificateShard]) -> Result<bool, kube::Error> {
    let mut are_tied = true;
    let labelled = own
        .first()
        .map_or_else(Vec::new, |shard| labelled(context, shard));
    // Secrets of names that `spec.secretName` had before: they stay if this policy says so.
    for secret in &labelled {
        let owner = own.iter().find(|shard| ties::is_left_tied(secret, shard));
        if let Some(shard) = owner {
            let namespace = shard.namespace().unwrap_or_default();
            are_tied &= ties::tie(&context.secrets(&namespace), shard, &secret.name_any()).await?;
        }
    }
    let by_name: HashMap<String, Arc<PartialObjectMeta<Secret>>> = labelled
        .into_iter()
        .map(|secret| (secret.name_any(), secret))
        .collect();
    for shard in own {
        let (namespace, name) = (shard.namespace().unwrap_or_default(), &shard.spec.secret_name);
        let secret = by_name.get(name).cloned().or_else(|| {
            let reference = ObjectRef::<PartialObjectMeta<Secret>>::new_with(name, ()).within(&namespace);
            context.seen.secrets.get(&reference)
        });
        if secret.is_some_and(|secret| !ties::is_as_wanted(&secret, shard)) {
            are_tied &= ties::tie(&context.secrets(&namespace), shard, &shard.spec.secret_name).await?;
        }
    }
    Ok(are_tied)
}
