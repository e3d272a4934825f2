//! A ClusterIssuer says which namespaces and domains may use it.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use sancho_crds::{Certificate, condition};
use sancho_e2e::manifests::{certificate, cluster_issuer, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};
use serde_json::{Value, json};

use crate::stories::{FAST, apply_certificate, is_ready, not_ready, orders, ready, secrets, world};

const REASON: &str = "NotAllowedByIssuer";

async fn allow(world: &World, allowed: Value) {
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), FAST);
    if !allowed.is_null() {
        issuer["spec"]["allowed"] = allowed;
    }
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
}

/// The orders that the CA has made. What it refused is not among them: Pebble refuses a nonce now and then, and a
/// `replaces` whose serial number is short.
fn new_orders(world: &World) -> usize {
    world.front().unwrap().log().orders()
}

#[tokio::test]
async fn who_may_not_use_a_cluster_issuer_is_told_and_costs_the_ca_nothing_and_keeps_what_it_has() {
    let world = world(2, FAST, CaOptions::default()).await;
    let create = ["create", "namespace", "team-a"];
    world.cluster.kubectl(&create).await.unwrap();
    allow(
        &world,
        json!({ "namespaces": ["team-*"], "domains": ["demo.example"] }),
    )
    .await;
    apply_certificate(&world, "shop", &names(2), 20).await;
    let mut of_team = certificate("shop", "ca", &names(2), 20);
    of_team["metadata"]["namespace"] = "team-a".into();
    world.cluster.apply_yaml(&of_team.to_string()).await.unwrap();
    let in_team: Api<Certificate> = Api::namespaced(world.cluster.client(), "team-a");
    wait_for(
        "the team's Certificate",
        Duration::from_secs(90),
        &[],
        async || Ok(is_ready(&in_team.get("shop").await?).then_some(())),
    )
    .await
    .unwrap();
    not_ready(
        &world,
        "shop",
        REASON,
        "ClusterIssuer ca does not allow namespace default",
    )
    .await;
    assert_eq!(orders(&world).await, 0);
    assert!(secrets(&world).await.is_empty());

    // The namespace comes in, and the domain it has is another.
    allow(
        &world,
        json!({ "namespaces": ["team-*", "default"], "domains": ["other.example"] }),
    )
    .await;
    let advice = "does not allow shop-0001.demo.example, shop-0002.demo.example: it allows other.example";
    not_ready(&world, "shop", REASON, advice).await;
    assert_eq!(orders(&world).await, 0);
    // Who has a certificate keeps it, and gets no other one.
    let of_team: Api<Secret> = Api::namespaced(world.cluster.client(), "team-a");
    let before = of_team.get("shop-tls").await.unwrap();
    let asked = new_orders(&world);
    let renew = [
        "annotate",
        "scert",
        "shop",
        "-n",
        "team-a",
        "sancho.dev/renew=now",
    ];
    world.cluster.kubectl(&renew).await.unwrap();
    wait_for(
        "the team to be told, too",
        Duration::from_secs(90),
        &[],
        async || {
            let status = in_team.get("shop").await?.status.unwrap_or_default();
            let reason = condition(&status.conditions, "Stalled").map(|stalled| stalled.reason.clone());
            ensure!(reason.as_deref() == Some(REASON), "{reason:?}");
            Ok(Some(()))
        },
    )
    .await
    .unwrap();
    assert_eq!(new_orders(&world), asked);

    // All may again: both come right, the renewal included.
    allow(&world, Value::Null).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    wait_for("the team's renewal", Duration::from_secs(90), &[], async || {
        let now = of_team.get("shop-tls").await?;
        let is_ready = is_ready(&in_team.get("shop").await?);
        Ok((is_ready && now.data != before.data).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(of_team.get("shop-tls").await.unwrap().uid(), before.uid());
    assert_eq!(new_orders(&world), asked + 2);
}
