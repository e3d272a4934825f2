//! Namespaces share a budget fairly.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};
use sancho_crds::Certificate;
use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::manifests::{certificate, cluster_issuer, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::NAMESPACE;
use sancho_e2e::world::CaOptions;

use crate::plugin::sancho;
use crate::stories::{SLOW, apply_certificate, apply_issuer, is_ready, judged, orders, ready, world};

#[tokio::test]
async fn one_name_does_not_wait_for_another_namespaces_hundreds() {
    let world = world(2, SLOW, CaOptions::default()).await;
    apply_issuer(&world, SLOW).await;
    world
        .cluster
        .kubectl(&["create", "namespace", "tenant"])
        .await
        .unwrap();
    // Some 280 requests: a minute at 5 a second.
    apply_certificate(&world, "large", &names(120), 12).await;
    wait_for(
        "the first order to be recorded",
        Duration::from_secs(60),
        &[],
        async || Ok((orders(&world).await > 0).then_some(())),
    )
    .await
    .unwrap();

    let mut small = certificate("small", "ca", &["one.tenant.example".into()], 20);
    small["metadata"]["namespace"] = "tenant".into();
    world.cluster.apply_yaml(&small.to_string()).await.unwrap();
    let ready = async |namespace: &str, name: &str| -> anyhow::Result<bool> {
        let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), namespace);
        Ok(is_ready(&certificates.get(name).await?))
    };
    wait_for(
        "the single name to be ready",
        Duration::from_secs(60),
        &[],
        async || Ok(ready("tenant", "small").await?.then_some(())),
    )
    .await
    .unwrap();
    let before = world.front().unwrap().log().arrivals.len();
    assert!(!ready("default", "large").await.unwrap(), "the many were first");
    // It came in the middle, not near the end: the many have most of their requests to come.
    wait_for(
        "the many names to be ready",
        Duration::from_secs(120),
        &[],
        async || Ok(ready("default", "large").await?.then_some(())),
    )
    .await
    .unwrap();
    let after = world.front().unwrap().log().arrivals.len() - before;
    assert!(after >= 60, "{after} requests of the many came after the one");
}

#[tokio::test]
async fn two_issuers_of_one_ca_share_its_budget() {
    let world = world(3, SLOW, CaOptions::default()).await;
    apply_issuer(&world, SLOW).await;
    // A namespace's own issuer, with an account of its own; it has no budget to give.
    let front = world.front().unwrap();
    let mut own = cluster_issuer("own", &front.directory_url(), front.ca_pem(), None);
    own["kind"] = "Issuer".into();
    own["metadata"]["namespace"] = "default".into();
    world.cluster.apply_yaml(&own.to_string()).await.unwrap();
    let all = names(42);
    let mut by_own = certificate("by-own", "own", &all[..21], 7);
    by_own["spec"]["issuerRef"]["kind"] = "Issuer".into();
    world.cluster.apply_yaml(&by_own.to_string()).await.unwrap();
    apply_certificate(&world, "by-shared", &all[21..], 7).await;
    wait_for(
        "orders of both to be told at the budget",
        Duration::from_secs(60),
        &[],
        async || {
            let budget = sancho(&world, &["budget", "own", "-n", "default"]).await;
            let told = String::from_utf8_lossy(&budget.stdout).into_owned();
            let issuers = "\n  ClusterIssuers: ca\n  Issuers: default/own\n";
            Ok((told.contains(issuers) && told.contains("\n  shards of namespace default: ")).then_some(()))
        },
    )
    .await
    .unwrap();
    for name in ["by-own", "by-shared"] {
        ready(&world, name, Duration::from_secs(120)).await;
    }

    judged(&world, SLOW);
    let leases: Api<Lease> = Api::namespaced(world.cluster.client(), NAMESPACE);
    let leases = leases.list(&Default::default()).await.unwrap();
    let budgets = leases
        .iter()
        .filter(|lease| lease.name_any().starts_with("sancho-budget"));
    assert_eq!(budgets.count(), 1);
    let log = front.log();
    let accounts = log
        .arrivals
        .iter()
        .filter(|arrival| arrival.kind == RequestKind::NewAccount && arrival.status == Some(201));
    assert_eq!(accounts.count(), 2);
}
