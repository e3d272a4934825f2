//! One step each, in the order of the story.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, ResourceExt};
use rustix::process::{Signal, kill_process};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::NAMESPACE;
use serde_json::json;

use super::ground::{
    BY_GATEWAY, BY_INGRESS, BY_SERVICE, Ground, is_ready, process_of, restarts, unrestricted_pod,
};
use super::{network, people};

/// How soon a container that was started anew must hold what its predecessor held.
const BACK: Duration = Duration::from_secs(3);

/// By the kubelet's probes, in a namespace that takes nothing but restricted Pods. The issuer comes by a Job, which is a
/// Pod as well.
pub async fn three_replicas_and_the_responder_become_ready(ground: &Ground) {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
    });
    ground.cluster.apply_yaml(&namespace.to_string()).await.unwrap();
    ground.helm("install", &json!({})).await.unwrap();
    let replicas = ground.three_replicas(Duration::from_secs(5)).await;
    let responders = ground.pods("responder").await.unwrap();
    assert_eq!(responders.len(), 2);
    assert!(responders.iter().all(is_ready), "{responders:?}");
    for issuer in [BY_SERVICE, BY_INGRESS, BY_GATEWAY] {
        let issuer = format!("clusterissuer/{issuer}");
        let ready = ["wait", "--for=condition=Ready", "--timeout=60s", &issuer];
        ground.cluster.kubectl(&ready).await.unwrap();
    }
    ground.say(&format!(
        "helm install: {} replicas and 2 responders are ready",
        replicas.len()
    ));
}

pub async fn what_is_not_restricted_is_refused(ground: &Ground) {
    let refused = ground.cluster.apply_yaml(&unrestricted_pod().to_string()).await;
    let told = format!("{:#}", refused.unwrap_err());
    assert!(told.contains(r#"violates PodSecurity "restricted"#), "{told}");
    ground.say("a Pod that is not restricted is refused");
}

/// By that `kubectl sancho doctor` tells how far a node's clock is off.
pub async fn the_kubelets_lease_has_its_clock_beside_the_api_servers(ground: &Ground) {
    let leases: Api<Lease> = Api::namespaced(ground.cluster.client(), "kube-node-lease");
    let mut first = None;
    let (renewed, noted) = wait_for(
        "the kubelet to renew its Lease",
        Duration::from_secs(60),
        &[],
        async || {
            let lease = leases.list(&Default::default()).await?.items.pop();
            let lease = lease.context("there is no Lease")?;
            let (renewed, noted) = clocks(&lease).context("it has not both times")?;
            let first = *first.get_or_insert(noted);
            Ok((noted > first).then_some((renewed, noted)))
        },
    )
    .await
    .unwrap();
    let ahead = renewed.duration_since(noted);
    assert!(ahead.abs() < SignedDuration::from_secs(10), "{ahead:?}");
    ground.say("the kubelet's Lease has the times of both clocks");
}

/// When a Lease was renewed last: by who did it, and by the API server.
fn clocks(lease: &Lease) -> Option<(Timestamp, Timestamp)> {
    let renewed = lease.spec.as_ref()?.renew_time.as_ref()?.0;
    let mut entries = lease.managed_fields().iter();
    let entry = entries.find(|entry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| fields.0.pointer("/f:spec/f:renewTime").is_some())
    })?;
    Some((renewed, entry.time.as_ref()?.0))
}

/// Every name has the Service's address: what answers is what kube-proxy leads to, and the CA asks no other way.
pub async fn the_ca_reaches_the_responder_through_its_service(ground: &Ground) {
    let service = ground.lead_names_to_the_responder().await;
    let names = ground.apply("first", BY_SERVICE, 20).await;
    ground.ready("first", Duration::from_secs(120)).await;
    let (issued, secrets) = ground.issued().await;
    assert_eq!(issued, names);
    assert_eq!(secrets, ["first-tls"]);
    ground.say(&format!("20 names are issued through the Service at {service}"));
    ground.judged(0).await;
}

/// 42 names, in the middle of whose issuance `helm upgrade` replaces all replicas, and has NetworkPolicies from then on.
pub async fn an_upgrade_loses_no_order_of_names_behind_an_ingress(ground: &Ground) {
    let before = ground.three_replicas(Duration::from_secs(30)).await;
    ground.lead_names_to_the_edge().await;
    people::plan(ground, "second", BY_INGRESS, 42, 3).await;
    let names = ground.apply("second", BY_INGRESS, 42).await;
    ground.first_order("second").await;
    people::status_of_what_is_under_way(ground, "second").await;
    people::budget(ground).await;
    let begin = Instant::now();
    let upgrade = async {
        ground.helm("upgrade", &network::policies(ground)).await.unwrap();
        begin.elapsed()
    };
    let issuance = async {
        ground.ready("second", Duration::from_secs(120)).await;
        begin.elapsed()
    };
    let (upgraded, issued) = tokio::join!(upgrade, issuance);
    ground.say(&format!(
        "helm upgrade took {:.0} s, 42 names behind an Ingress that were under way {:.0} s",
        upgraded.as_secs_f64(),
        issued.as_secs_f64()
    ));
    let after = ground.three_replicas(Duration::from_secs(30)).await;
    let stayed: BTreeSet<_> = before.intersection(&after).collect();
    assert!(stayed.is_empty(), "{stayed:?} are of the old revision");
    people::which(ground, names.last().unwrap(), "second-tls-2").await;
    ground.judged(0).await;
}

/// A replica's process is stopped, one without a slot, and the kubelet finds it not ready. No other one can be evicted
/// then. Gives its Pod's name.
pub async fn a_replica_falls_silent(ground: &Ground) -> String {
    ground.apply("third", BY_GATEWAY, 120).await;
    ground.first_order("third").await;
    let holder = holder(ground).await;
    let replicas = ground.three_replicas(Duration::from_secs(30)).await;
    let (holders, others): (Vec<_>, Vec<_>) = replicas
        .into_iter()
        .partition(|name| holder.starts_with(name.as_str()));
    let silent = others.into_iter().next().unwrap();
    kill_process(process_of(&silent).unwrap(), Signal::STOP).unwrap();
    let begin = Instant::now();
    let pods: Api<Pod> = Api::namespaced(ground.cluster.client(), NAMESPACE);
    wait_for(
        "the stopped replica to be found not ready",
        Duration::from_secs(60),
        &[],
        async || Ok((!is_ready(&pods.get(&silent).await?)).then_some(())),
    )
    .await
    .unwrap();
    ground.say(&format!(
        "a replica that was stopped is not ready after {:.0} s",
        begin.elapsed().as_secs_f64()
    ));
    ground.evictions_allowed(0).await;
    is_not_evicted(ground, &holders[0]).await;
    ground.say("no other one can be evicted meanwhile");
    silent
}

pub async fn a_killed_container_takes_its_slots_back_and_a_deleted_pod_is_replaced(ground: &Ground) {
    let old = holder(ground).await;
    let pods = ground.pods("operator").await.unwrap();
    let mut names = pods.iter().map(ResourceExt::name_any);
    let pod = names.find(|name| old.starts_with(name.as_str())).unwrap();
    let process = process_of(&pod).unwrap();
    kill_process(process, Signal::KILL).unwrap();
    let killed = Instant::now();
    wait_for(
        "the container to run again",
        Duration::from_secs(30),
        &[],
        async || Ok(process_of(&pod).filter(|other| *other != process)),
    )
    .await
    .unwrap();
    let started = Instant::now();
    wait_for(
        "its slot to be its own again",
        Duration::from_secs(30),
        &[],
        async || {
            let holder = ground.holder().await?;
            Ok(holder.filter(|holder| holder.starts_with(&pod) && *holder != old))
        },
    )
    .await
    .unwrap();
    ground.say(&format!(
        "a container that was killed runs again after {:.1} s, and has its slot {:.1} s later",
        (started - killed).as_secs_f64(),
        started.elapsed().as_secs_f64()
    ));
    assert!(started.elapsed() <= BACK, "{:?}", started.elapsed());

    let deleted = ["delete", "pod", &pod, "-n", NAMESPACE, "--wait=false"];
    ground.cluster.kubectl(&deleted).await.unwrap();
    ground.ready("third", Duration::from_secs(120)).await;
    let pods = ground.pods("operator").await.unwrap();
    assert!(pods.iter().all(|other| other.name_any() != pod));
    ground.say("120 names behind a Gateway are issued although its Pod was deleted then");
    // Between the CA's receipt of a newOrder and the record of its answer a kill costs an order.
    ground.judged(1).await;
}

/// By its liveness probe: after a minute, and the time that a Pod has to end.
pub async fn the_silent_one_is_started_anew(ground: &Ground, silent: &str) {
    let pods: Api<Pod> = Api::namespaced(ground.cluster.client(), NAMESPACE);
    wait_for(
        "the stopped replica to be started anew",
        Duration::from_secs(180),
        &[],
        async || {
            let pod = pods.get(silent).await?;
            Ok((restarts(&pod) > 0 && is_ready(&pod)).then_some(()))
        },
    )
    .await
    .unwrap();
    let replicas = ground.three_replicas(Duration::from_secs(60)).await;
    assert!(replicas.contains(silent));
    ground.say("the one that was stopped is started anew by its liveness probe");
}

/// As a drain of the node asks for it.
pub async fn one_replica_after_the_other_is_evicted(ground: &Ground) {
    ground.evictions_allowed(1).await;
    let replicas = ground.three_replicas(Duration::from_secs(30)).await;
    let mut names = replicas.iter();
    let (first, second) = (names.next().unwrap(), names.next().unwrap());
    ground.evict(first).await.unwrap();
    is_not_evicted(ground, second).await;
    let after = ground.three_replicas(Duration::from_secs(60)).await;
    assert!(!after.contains(first), "{first} is still there");
    ground.say("one that is evicted is replaced, and the next one cannot be before");
}

pub async fn what_was_issued_outlives_an_uninstall(ground: &Ground) {
    let (names, secrets) = ground.issued().await;
    assert_eq!(secrets.len(), ground.shards().await.unwrap().len());
    let uninstall = ["uninstall", "sancho", "--namespace", NAMESPACE, "--wait"];
    ground.cluster.helm(&uninstall).await.unwrap();
    wait_for("all Pods to be gone", Duration::from_secs(60), &[], async || {
        let pods: Api<Pod> = Api::namespaced(ground.cluster.client(), NAMESPACE);
        Ok(pods
            .list(&Default::default())
            .await?
            .items
            .is_empty()
            .then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(ground.issued().await, (names, secrets));
    let own: Api<Secret> = Api::namespaced(ground.cluster.client(), NAMESPACE);
    own.get("ca-account").await.unwrap();
    ground.shards().await.unwrap();
    ground.say("helm uninstall: no Pod is left, and every Secret");
}

async fn is_not_evicted(ground: &Ground, pod: &str) {
    let told = format!("{:#}", ground.evict(pod).await.unwrap_err());
    assert!(
        told.contains("would violate the pod's disruption budget"),
        "{told}"
    );
}

/// The process that holds the slot, waited for.
async fn holder(ground: &Ground) -> String {
    wait_for(
        "somebody to hold the slot",
        Duration::from_secs(30),
        &[],
        async || ground.holder().await,
    )
    .await
    .unwrap()
}
