//! Namespaces share a budget fairly.

use std::time::Duration;

use kube::Api;
use sancho_crds::Certificate;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::CaOptions;

use crate::stories::{SLOW, apply_certificate, apply_issuer, is_ready, orders, world};

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
