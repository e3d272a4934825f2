//! What several tests do with a world: apply, wait, look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, ClusterIssuer, condition};
use sancho_e2e::certificates::dns_names;
use sancho_e2e::checker::{Bounds, judge};
use sancho_e2e::front::{FrontOptions, RateLimit};
use sancho_e2e::manifests::{Budget, certificate, cluster_issuer};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World, WorldOptions};

/// A CA that bears 5 requests a second and not one more.
pub const SLOW: Budget = Budget {
    rate: 5.0,
    burst: 0,
    in_flight: 16,
};
/// A CA that bears what a test on two cores can send.
pub const FAST: Budget = Budget {
    rate: 40.0,
    burst: 10,
    in_flight: 16,
};

/// A world whose CA bears exactly `budget`.
pub async fn world(replicas: usize, budget: Budget, ca: CaOptions) -> World {
    let front = FrontOptions {
        rate: Some(RateLimit {
            per_second: budget.rate,
            burst: budget.burst,
        }),
        ..ca.front
    };
    let ca = Some(CaOptions { front, ..ca });
    World::start(WorldOptions {
        ca,
        replicas,
        ..WorldOptions::default()
    })
    .await
    .unwrap()
}

/// Applies the ClusterIssuer `ca` for the world's CA.
pub async fn apply_issuer(world: &World, budget: Budget) {
    let front = world.front().unwrap();
    let issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), budget);
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
}

/// Applies a Certificate in the namespace `default`, by the ClusterIssuer `ca`, whose Secrets are called after it.
pub async fn apply_certificate(world: &World, name: &str, dns_names: &[String], max_names: u32) {
    let manifest = certificate(name, "ca", dns_names, max_names);
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
}

/// Judges what the CA has seen so far: nothing over the budget, and next to nothing refused.
pub fn judged(world: &World, budget: Budget) {
    let bounds = Bounds::new(budget.rate, budget.burst, Some(budget.in_flight));
    let verdict = judge(&world.front().unwrap().log(), &bounds);
    assert!(verdict.violations.is_empty(), "{:?}", verdict.violations);
    assert!(verdict.throttled <= 2, "{} throttled", verdict.throttled);
}

/// Waits until the ClusterIssuer `ca` has the condition `Ready` with this status, and returns reason and message.
pub async fn issuer_says(world: &World, status: &str, reason: &str) -> String {
    let issuers: Api<ClusterIssuer> = Api::all(world.cluster.client());
    wait_for(
        &format!("ClusterIssuer ca to be Ready={status} by {reason}"),
        Duration::from_secs(90),
        &[],
        async || {
            let issuer = issuers.get("ca").await?;
            let conditions = issuer.status.map(|status| status.conditions).unwrap_or_default();
            let ready = condition(&conditions, "Ready");
            Ok(ready
                .filter(|ready| ready.status == status && ready.reason == reason)
                .map(|ready| ready.message.clone()))
        },
    )
    .await
    .unwrap()
}

/// Waits until a Certificate is `Ready` for its present generation.
pub async fn ready(world: &World, name: &str, within: Duration) -> Certificate {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    wait_for(
        &format!("Certificate {name} to be ready"),
        within,
        &[],
        async || {
            let certificate = certificates.get(name).await?;
            let status = certificate.status.clone().unwrap_or_default();
            let is_current = status.observed_generation == certificate.metadata.generation;
            let is_ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
            Ok((is_current && is_ready).then_some(certificate))
        },
    )
    .await
    .unwrap()
}

/// Waits until a Certificate's `Ready` condition is `False` with this reason, and returns its message.
pub async fn not_ready(world: &World, name: &str, reason: &str) -> String {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    wait_for(
        &format!("Certificate {name} to say {reason}"),
        Duration::from_secs(90),
        &[],
        async || {
            let conditions = certificates
                .get(name)
                .await?
                .status
                .map(|status| status.conditions)
                .unwrap_or_default();
            let ready = condition(&conditions, "Ready");
            Ok(ready
                .filter(|ready| ready.status == "False" && ready.reason == reason)
                .map(|ready| ready.message.clone()))
        },
    )
    .await
    .unwrap()
}

/// The TLS Secrets of the namespace `default`: the names in each one's certificate, and its text.
pub async fn secrets(world: &World) -> BTreeMap<String, (BTreeSet<String>, Vec<u8>)> {
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    let secrets = secrets.list(&Default::default()).await.unwrap();
    let tls = secrets
        .iter()
        .filter(|secret| secret.type_.as_deref() == Some("kubernetes.io/tls"));
    tls.map(|secret| {
        let chain = secret.data.as_ref().unwrap()["tls.crt"].0.clone();
        (
            secret.name_any(),
            (dns_names(&chain).unwrap().into_iter().collect(), chain),
        )
    })
    .collect()
}

/// Orders that were recorded, over all shards.
pub async fn orders(world: &World) -> u32 {
    let shards: Api<CertificateShard> = Api::namespaced(world.cluster.client(), "default");
    let shards = shards.list(&Default::default()).await.unwrap();
    shards
        .iter()
        .filter_map(|shard| shard.status.as_ref()?.orders)
        .sum()
}
