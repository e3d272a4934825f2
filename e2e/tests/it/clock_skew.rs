//! Replicas whose clocks are an hour ahead of the CA's and an hour behind it.

use std::time::Duration;

use anyhow::ensure;
use kube::Api;
use kube::api::{Patch, PatchParams};
use sancho_crds::Certificate;
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::certificates::Leaf;
use sancho_e2e::manifests::names;
use sancho_e2e::process::wait_for;
use sancho_e2e::programs;
use sancho_e2e::replica::ReplicaOptions;
use sancho_e2e::world::CaOptions;
use serde_json::json;

use crate::stories::{FAST, apply_certificate, apply_issuer, judged, orders, ready, secrets, world};

const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn an_hour_between_the_clocks_of_two_replicas_and_the_ca_costs_no_order_and_no_request_too_many() {
    let library = programs::faketime().unwrap();
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
        let env = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME", offset),
            // Timers and the slots' validity go by clocks that nobody sets.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let options = ReplicaOptions {
            env: env
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            ..ReplicaOptions::default()
        };
        world.add_replica(options).await.unwrap();
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
