//! Replicas whose clocks are an hour ahead of the CA's and an hour behind it, and one whose clock is two months ahead.

use std::time::Duration;

use anyhow::ensure;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use sancho_crds::Certificate;
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::certificates::Leaf;
use sancho_e2e::manifests::names;
use sancho_e2e::process::wait_for;
use sancho_e2e::programs;
use sancho_e2e::replica::{NAMESPACE, ReplicaOptions, SERVICE_ACCOUNT};
use sancho_e2e::world::{CaOptions, World};
use serde_json::json;

use crate::plugin::doctor_says;
use crate::stories::{FAST, apply_certificate, apply_issuer, judged, orders, ready, secrets, world};

const PATIENCE: Duration = Duration::from_secs(90);

/// A replica whose wall clock is ahead by so much.
fn ahead_by(offset: &str) -> ReplicaOptions {
    let library = programs::faketime().unwrap();
    let env = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME", offset),
        // Timers and the slots' validity go by clocks that nobody sets.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    ReplicaOptions {
        env: env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..ReplicaOptions::default()
    }
}

#[tokio::test]
async fn an_hour_between_the_clocks_of_two_replicas_and_the_ca_costs_no_order_and_no_request_too_many() {
    let pebble = PebbleOptions {
        // Two thirds of it are more than the two hours between the replicas.
        validity: Duration::from_secs(6 * 3600),
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let mut world = world(0, FAST, ca).await;
    for offset in ["+1h", "-1h"] {
        world.add_replica(ahead_by(offset)).await.unwrap();
    }
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(8), 2).await;
    ready(&world, "shop", PATIENCE).await;
    assert_eq!(orders(&world).await, 4);
    let before = secrets(&world).await;

    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let renew = json!({ "metadata": { "annotations": { "sancho.dev/renew": "now" } } });
    certificates
        .patch("shop", &PatchParams::default(), &Patch::Merge(renew))
        .await
        .unwrap();
    let after = wait_for("the certificates to be renewed", PATIENCE, &[], async || {
        let now = secrets(&world).await;
        let is_new = now.iter().all(|(name, secret)| before[name] != *secret);
        ensure!(is_new, "some are still the ones from before");
        Ok(Some(now))
    })
    .await
    .unwrap();
    for (_, chain) in after.values() {
        Leaf::read(chain).unwrap();
    }
    ready(&world, "shop", PATIENCE).await;
    assert_eq!(orders(&world).await, 8);
    // Both have worked: the clock of neither kept it from that.
    for replica in &world.replicas {
        let arrivals = world.front().unwrap().log().arrivals;
        let sent = arrivals
            .iter()
            .any(|arrival| arrival.client.contains(replica.name()));
        assert!(sent, "{} has asked the CA nothing", replica.name());
    }
    judged(&world, FAST);
}

/// By its own clock each certificate were to be renewed; by those of the API server and the CA none is.
#[tokio::test]
async fn a_clock_that_is_months_ahead_has_nothing_renewed_and_new_certificates_made_all_the_same() {
    let pebble = PebbleOptions {
        validity: Duration::from_secs(90 * 24 * 3600),
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let mut world = world(1, FAST, ca).await;
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(8), 2).await;
    ready(&world, "shop", PATIENCE).await;
    assert_eq!(orders(&world).await, 4);
    let before = secrets(&world).await;
    world.replicas[0].process().terminate().unwrap();

    world.add_replica(ahead_by("+75d")).await.unwrap();
    for value in ["one", "two"] {
        // Whatever else were due would have been asked for by the time that these are made.
        let name = [format!("{value}.blog.example")];
        apply_certificate(&world, value, &name, 20).await;
        ready(&world, value, PATIENCE).await;
    }
    assert_eq!(orders(&world).await, 6);
    let after = secrets(&world).await;
    for (secret, chain) in &before {
        assert_eq!(after[secret], *chain, "{secret}");
    }
    ready(&world, "shop", PATIENCE).await;
    judged(&world, FAST);

    // What it has written last has its own clock's time beside the API server's.
    let replica = world.replicas[1].name();
    let clock = format!("broken    clock of replica {replica}-");
    let next_step = "-> have that node keep time by NTP";
    let when = "d ahead of the API server's when it wrote Lease sancho-budget-";
    doctor_says(&world, &[&clock, when, next_step]).await;
    // Once a kubelet tells of its node, that is told in its place.
    runs_on_a_node_ahead_by(&world, replica, SignedDuration::from_hours(75 * 24)).await;
    let clock = format!("d ahead of the API server's ({replica})");
    doctor_says(
        &world,
        &["broken    clock of node far-ahead: 7", &clock, next_step],
    )
    .await;
}

/// A replica's Pod, and the Lease of its node as the kubelet there renews it. No kubelet runs here.
async fn runs_on_a_node_ahead_by(world: &World, replica: &str, ahead: SignedDuration) {
    let node = "far-ahead";
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": replica,
            "namespace": NAMESPACE,
            "labels": { "app.kubernetes.io/name": "sancho", "app.kubernetes.io/component": "operator" },
        },
        "spec": {
            "nodeName": node,
            "serviceAccountName": SERVICE_ACCOUNT,
            "automountServiceAccountToken": false,
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "operator",
                "image": "sancho:dev",
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    });
    world.cluster.apply_yaml(&pod.to_string()).await.unwrap();
    let leases: Api<Lease> = Api::namespaced(world.cluster.client(), "kube-node-lease");
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(node.into()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.into()),
            renew_time: Some(MicroTime(Timestamp::now() + ahead)),
            ..LeaseSpec::default()
        }),
    };
    leases.create(&PostParams::default(), &lease).await.unwrap();
}
