//! What a user does in a run, and what Kubernetes does there that does not run here.

use std::collections::BTreeSet;

use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use sancho_crds::{ADOPT_ANNOTATION, Certificate, ClusterIssuer, RENEW_ANNOTATION};
use sancho_e2e::manifests::{certificate, cluster_issuer, names};
use sancho_e2e::world::World;
use serde_json::{Value, json};

use super::NAMES_A_SHARD;
use crate::crashes::story::{BAD, Step};
use crate::stories::{FAST, shards};

/// Does it; what comes of it is not waited for.
pub async fn perform(world: &World, step: Step) -> Result<()> {
    let client = world.cluster.client();
    let certificates: Api<Certificate> = Api::namespaced(client.clone(), "default");
    match step {
        Step::Apply(numbers) => apply(world, shop(numbers)).await?,
        Step::Group(numbers) => {
            let mut shop = shop(&[1, 2, 3]);
            shop["spec"]["secretDeletionPolicy"] = "Delete".into();
            if !numbers.is_empty() {
                let group = json!({ "name": "front", "dnsNames": chosen(numbers) });
                shop["spec"]["sharding"]["groups"] = json!([group]);
            }
            apply(world, shop).await?;
        }
        Step::Adopt(numbers) => {
            let mut shop = shop(numbers);
            shop["metadata"]["annotations"] = json!({ ADOPT_ANNOTATION: "true" });
            apply(world, shop).await?;
        }
        Step::Renew => {
            let annotated = json!({ "metadata": { "annotations": { RENEW_ANNOTATION: "now" } } });
            certificates
                .patch("shop", &PatchParams::default(), &Patch::Merge(annotated))
                .await?;
        }
        Step::Delete => {
            certificates.delete("shop", &DeleteParams::default()).await?;
        }
        Step::Disown => {
            let secrets: Api<Secret> = Api::namespaced(client, "default");
            let bare = json!({ "metadata": { "annotations": null, "labels": null } });
            for secret in secrets.list(&ListParams::default()).await? {
                secrets
                    .patch(&secret.name_any(), &PatchParams::default(), &Patch::Merge(&bare))
                    .await?;
            }
        }
        Step::Break => world.pebble()?.break_name(&bad_name()).await?,
        Step::Mend => world.pebble()?.mend_name(&bad_name()).await?,
    }
    Ok(())
}

/// Names by their numbers.
pub fn chosen(numbers: &[u32]) -> Vec<String> {
    let all = names(4);
    numbers.iter().map(|n| all[*n as usize - 1].clone()).collect()
}

/// The one that cannot be validated at times.
pub fn bad_name() -> String {
    names(BAD).remove(BAD as usize - 1)
}

/// The Certificate with these names.
fn shop(numbers: &[u32]) -> Value {
    certificate("shop", "ca", &chosen(numbers), NAMES_A_SHARD)
}

/// An issuer without an account yet, and this Certificate.
async fn apply(world: &World, shop: Value) -> Result<()> {
    let client = world.cluster.client();
    let front = world.front()?;
    let issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), FAST);
    let user = PatchParams::apply("user").force();
    let issuers: Api<ClusterIssuer> = Api::all(client.clone());
    issuers.patch("ca", &user, &Patch::Apply(issuer)).await?;
    let certificates: Api<Certificate> = Api::namespaced(client, "default");
    certificates.patch("shop", &user, &Patch::Apply(shop)).await?;
    Ok(())
}

/// Deletes the Secrets whose shard is gone, as the garbage collector does it. Says whether there was none.
pub async fn collected(world: &World) -> Result<bool> {
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    // Before the shards: one that is made in between has none of these.
    let listed = secrets.list(&ListParams::default()).await?;
    let present = shards(world).await;
    let present: BTreeSet<String> = present.iter().filter_map(ResourceExt::uid).collect();
    let mut is_clean = true;
    for secret in listed {
        let owners = secret.owner_references();
        if owners.is_empty() || owners.iter().any(|owner| present.contains(&owner.uid)) {
            continue;
        }
        is_clean = false;
        let preconditions = Preconditions {
            uid: secret.uid(),
            resource_version: secret.resource_version(),
        };
        let delete = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        secrets.delete(&secret.name_any(), &delete).await?;
    }
    Ok(is_clean)
}
