//! What several tests do with a world: apply, wait, look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, ClusterIssuer, condition};
use sancho_e2e::certificates::Leaf;
use sancho_e2e::checker::{Bounds, judge};
use sancho_e2e::front::{FrontOptions, RateLimit};
use sancho_e2e::manifests::{Budget, certificate, cluster_issuer};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::{NAMESPACE, ReplicaOptions};
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
    world_of(replicas, ReplicaOptions::default(), budget, ca).await
}

/// The same, of replicas of this kind.
pub async fn world_of(replicas: usize, replica: ReplicaOptions, budget: Budget, ca: CaOptions) -> World {
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
        replica,
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

/// Waits until the ClusterIssuer `ca` is `Ready`.
pub async fn issuer_ready(world: &World) {
    let issuers: Api<ClusterIssuer> = Api::all(world.cluster.client());
    wait_for(
        "ClusterIssuer ca to be ready",
        Duration::from_secs(90),
        &[],
        async || {
            let conditions = issuers.get("ca").await?.status.unwrap_or_default().conditions;
            let ready = condition(&conditions, "Ready");
            Ok(ready.filter(|ready| ready.status == "True").map(|_| ()))
        },
    )
    .await
    .unwrap();
}

/// Waits until the ClusterIssuer `ca` is not `Ready` for this reason, and both its condition and an event
/// about it say `advice`.
pub async fn issuer_not_ready(world: &World, reason: &str, advice: &str) {
    let issuers: Api<ClusterIssuer> = Api::all(world.cluster.client());
    told(world, "ClusterIssuer", "ca", reason, advice, async || {
        Ok(issuers.get("ca").await?.status.unwrap_or_default().conditions)
    })
    .await;
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
            Ok(is_ready(&certificate).then_some(certificate))
        },
    )
    .await
    .unwrap()
}

/// Whether a Certificate is `Ready` for its present generation.
pub fn is_ready(certificate: &Certificate) -> bool {
    let Some(status) = &certificate.status else {
        return false;
    };
    status.observed_generation == certificate.metadata.generation
        && condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Waits until a Certificate is not `Ready` for this reason, and both its condition and an event about it
/// say `advice`.
pub async fn not_ready(world: &World, name: &str, reason: &str, advice: &str) {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    told(world, "Certificate", name, reason, advice, async || {
        Ok(certificates
            .get(name)
            .await?
            .status
            .unwrap_or_default()
            .conditions)
    })
    .await;
}

/// Waits for a condition `Ready=False` and for a warning with this reason that both say `advice`.
async fn told(
    world: &World,
    kind: &str,
    name: &str,
    reason: &str,
    advice: &str,
    conditions: impl AsyncFn() -> Result<Vec<Condition>>,
) {
    let within = Duration::from_secs(90);
    let what = format!("the condition of {kind} {name} to say {reason}: … {advice} …");
    wait_for(&what, within, &[], async || {
        let conditions = conditions().await?;
        let ready = condition(&conditions, "Ready").context("no condition Ready")?;
        ensure!(
            ready.status == "False" && ready.reason == reason && ready.message.contains(advice),
            "it says {ready:?}"
        );
        Ok(Some(()))
    })
    .await
    .unwrap();
    let events: Api<Event> = Api::all(world.cluster.client());
    let what = format!("an event about {kind} {name} to say {reason}: … {advice} …");
    wait_for(&what, within, &[], async || {
        let events = events.list(&Default::default()).await?;
        Ok(events
            .iter()
            .any(|event| {
                let about = event.regarding.clone().unwrap_or_default();
                about.kind.as_deref() == Some(kind)
                    && about.name.as_deref() == Some(name)
                    && event.type_.as_deref() == Some("Warning")
                    && event.reason.as_deref() == Some(reason)
                    && event.note.as_deref().unwrap_or_default().contains(advice)
            })
            .then_some(()))
    })
    .await
    .unwrap();
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
            (Leaf::read(&chain).unwrap().dns_names.into_iter().collect(), chain),
        )
    })
    .collect()
}

/// All shards of the namespace `default`, in the order of their names.
pub async fn shards(world: &World) -> Vec<CertificateShard> {
    let shards: Api<CertificateShard> = Api::namespaced(world.cluster.client(), "default");
    // The API server closes idle connections, now and then just as one is used again.
    wait_for("a list of the shards", Duration::from_secs(30), &[], async || {
        Ok(Some(shards.list(&Default::default()).await?.items))
    })
    .await
    .unwrap()
}

/// Orders that were recorded, over all shards.
pub async fn orders(world: &World) -> u32 {
    let shards = shards(world).await;
    shards
        .iter()
        .filter_map(|shard| shard.status.as_ref()?.orders)
        .sum()
}

/// Waits until one of the replicas holds a slot of the only budget; says which.
pub async fn holding_replica(world: &World) -> usize {
    wait_for(
        "a replica to hold a slot",
        Duration::from_secs(30),
        &[],
        async || {
            let holders = holders(world).await;
            let mut replicas = world.replicas.iter();
            Ok(replicas.position(|replica| holders.contains(replica.name())))
        },
    )
    .await
    .unwrap()
}

/// Who holds slots of the only budget, as its Lease says.
pub async fn holders(world: &World) -> String {
    let leases: Api<Lease> = Api::namespaced(world.cluster.client(), NAMESPACE);
    let leases = leases.list(&Default::default()).await.unwrap();
    let budget = leases
        .iter()
        .find(|lease| lease.name_any().starts_with("sancho-budget"));
    budget
        .and_then(|lease| lease.spec.as_ref()?.holder_identity.clone())
        .unwrap_or_default()
}
