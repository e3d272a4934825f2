//! The private keys: of which kind they are, and when they change.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use sancho_crds::Certificate;
use sancho_e2e::certificates::Leaf;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};
use serde_json::{Value, json};

use crate::stories::{FAST, apply_issuer, is_ready, judged, orders, ready, world};

const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn another_kind_of_key_reissues_and_another_rotation_policy_does_not() {
    let world = world(2, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    apply(&world, json!({ "algorithm": "ECDSA" }), &names(2)).await;
    ready(&world, "shop", PATIENCE).await;
    let first = leaves(&world).await;
    assert_eq!(orders(&world).await, 2);

    // Kept from now on; nothing is asked of the CA for that.
    let kept = json!({ "algorithm": "ECDSA", "rotationPolicy": "Never" });
    apply(&world, kept.clone(), &names(2)).await;
    settled(&world).await;
    assert_eq!(leaves(&world).await, first);

    // A new name re-issues its shard: with the same key, and not even the other one's certificate changes.
    let mut asked = names(2);
    asked.push("new.demo.example".into());
    apply_capped(&world, kept, &asked, 2).await;
    settled(&world).await;
    let second = leaves(&world).await;
    for (name, leaf) in &first {
        assert_eq!(second[name].public_key, leaf.public_key, "{name}");
    }
    let changed = first
        .iter()
        .filter(|(name, leaf)| second[*name].serial != leaf.serial);
    assert_eq!(changed.count(), 1);

    // Another kind re-issues all, whatever the policy is.
    let rsa = json!({ "algorithm": "RSA", "size": 2048, "rotationPolicy": "Never" });
    apply_capped(&world, rsa, &asked, 2).await;
    settled(&world).await;
    let third = leaves(&world).await;
    for (name, leaf) in &second {
        assert_ne!(third[name].public_key, leaf.public_key, "{name}");
        assert!(third[name].public_key.len() > 256, "{name} has no RSA key");
    }
    judged(&world, FAST);
}

/// Names in shards of one each.
async fn apply(world: &World, key: Value, asked: &[String]) {
    apply_capped(world, key, asked, 1).await;
}

async fn apply_capped(world: &World, key: Value, asked: &[String], max_names: u32) {
    let mut manifest = certificate("shop", "ca", asked, max_names);
    manifest["spec"]["privateKey"] = key;
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
}

/// Waits until the plan of the present generation is settled and its shards are ready.
async fn settled(world: &World) -> Certificate {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    wait_for("the edit to be carried out", PATIENCE, &[], async || {
        let certificate = certificates.get("shop").await?;
        let generation = certificate.metadata.generation;
        let plan = certificate
            .status
            .as_ref()
            .and_then(|status| status.plan.as_ref());
        let is_settled = plan.is_some_and(|plan| plan.settled && Some(plan.generation) == generation);
        Ok((is_settled && is_ready(&certificate)).then_some(certificate))
    })
    .await
    .unwrap()
}

/// The certificates by Secret, each with its own key.
async fn leaves(world: &World) -> BTreeMap<String, Leaf> {
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    let secrets = secrets.list(&Default::default()).await.unwrap();
    let tls = secrets
        .iter()
        .filter(|secret| secret.type_.as_deref() == Some("kubernetes.io/tls"));
    tls.map(|secret| {
        let data = secret.data.as_ref().unwrap();
        let leaf = Leaf::read(&data["tls.crt"].0).unwrap();
        assert!(leaf.is_of_key(&data["tls.key"].0).unwrap());
        (secret.name_any(), leaf)
    })
    .collect()
}
