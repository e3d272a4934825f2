//! Secrets stay, or are deleted with their shard and their Certificate, as `secretDeletionPolicy` says.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use sancho_crds::{Certificate, CertificateShard};
use sancho_e2e::cluster::ClusterOptions;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World, WorldOptions};

use crate::stories::{FAST, apply_issuer, orders, ready, secrets, shards};

const PATIENCE: Duration = Duration::from_secs(90);

/// Asks for so many names in shards of one each, by this policy, and waits until that is so and the Secrets say so.
async fn apply(world: &World, count: u32, policy: Option<&str>) {
    let mut manifest = certificate("shop", "ca", &names(count), 1);
    if let Some(policy) = policy {
        manifest["spec"]["secretDeletionPolicy"] = policy.into();
    }
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    ready(world, "shop", PATIENCE).await;
    let all: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    wait_for("the Secrets to have their owners", PATIENCE, &[], async || {
        let present = shards(world).await;
        ensure!(present.len() == count as usize, "{} shards", present.len());
        for shard in present {
            let secret = all.get(&shard.spec.secret_name).await?;
            let is_own = |uid: &str| shard.uid().as_deref() == Some(uid);
            let owners = secret.owner_references();
            let is_owned = owners.len() == 1 && is_own(&owners[0].uid);
            let is_as_asked = if policy == Some("Delete") {
                is_owned
            } else {
                owners.is_empty()
            };
            ensure!(is_as_asked, "{} is owned by {owners:?}", shard.spec.secret_name);
        }
        Ok(Some(()))
    })
    .await
    .unwrap();
}

async fn delete(world: &World) {
    world.cluster.kubectl(&["delete", "scert", "shop"]).await.unwrap();
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let of_shards: Api<CertificateShard> = Api::namespaced(world.cluster.client(), "default");
    wait_for(
        "the Certificate and its shards to be gone",
        PATIENCE,
        &[],
        async || {
            let is_gone = certificates.get_opt("shop").await?.is_none();
            Ok((is_gone && of_shards.list(&Default::default()).await?.items.is_empty()).then_some(()))
        },
    )
    .await
    .unwrap();
}

async fn present(world: &World) -> BTreeSet<String> {
    secrets(world).await.into_keys().collect()
}

/// Waits until just these Secrets are there.
async fn left(world: &World, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|&name| name.to_owned()).collect();
    wait_for("the other Secrets to be deleted", PATIENCE, &[], async || {
        let present = present(world).await;
        ensure!(present == expected, "{present:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// Makes something that the garbage collector deletes, and waits until it has: by then it has seen what went before.
async fn collected(world: &World) {
    let manifests = r#"
apiVersion: v1
kind: ConfigMap
metadata: { name: owner, namespace: default }
"#;
    world.cluster.apply_yaml(manifests).await.unwrap();
    let kubectl = async |args: &[&str]| world.cluster.kubectl(args).await.unwrap();
    let uid = kubectl(&["get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}"]).await;
    let owned = format!(
        r#"
apiVersion: v1
kind: Secret
metadata:
  name: owned
  namespace: default
  ownerReferences: [{{ apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid} }}]
"#
    );
    world.cluster.apply_yaml(&owned).await.unwrap();
    kubectl(&["delete", "configmap", "owner"]).await;
    kubectl(&["wait", "--for=delete", "secret/owned", "--timeout=60s"]).await;
}

#[tokio::test]
async fn secrets_stay_or_go_with_their_shards_and_their_certificate_as_the_policy_says() {
    let world = World::start(WorldOptions {
        cluster: ClusterOptions {
            controller_manager: true,
            ..ClusterOptions::default()
        },
        ca: Some(CaOptions::default()),
        replicas: 2,
        ..WorldOptions::default()
    })
    .await
    .unwrap();
    apply_issuer(&world, FAST).await;

    // By default a retired shard's Secret stays, and so do all when the Certificate goes.
    apply(&world, 3, None).await;
    apply(&world, 2, None).await;
    delete(&world).await;
    collected(&world).await;
    left(&world, &["shop-tls", "shop-tls-1", "shop-tls-2"]).await;

    // They are used again, and follow the policy from then on.
    let before = orders(&world).await;
    apply(&world, 3, Some("Delete")).await;
    assert_eq!(
        (before, orders(&world).await),
        (0, 0),
        "what is there was not used again"
    );
    apply(&world, 2, Some("Delete")).await;
    left(&world, &["shop-tls", "shop-tls-1"]).await;

    // Back, in the same edit that retires a shard: it counts for that one already.
    apply(&world, 1, Some("Retain")).await;
    collected(&world).await;
    left(&world, &["shop-tls", "shop-tls-1"]).await;
    // And forth.
    apply(&world, 2, Some("Delete")).await;
    apply(&world, 2, Some("Retain")).await;
    delete(&world).await;
    collected(&world).await;
    left(&world, &["shop-tls", "shop-tls-1"]).await;

    apply(&world, 2, Some("Delete")).await;
    delete(&world).await;
    left(&world, &[]).await;
}
