//! What the chart installs, as Pods of a real node, from `helm install` to `helm uninstall`: `cargo e2e-node`. Linux and root.
//!
//! One world, and one step after the other, since a world takes a minute. It runs in namespaces of its own:
//! see [`sancho_e2e::node::sandbox`].

#![allow(clippy::unwrap_used, reason = "a failed test may panic, in its helpers too")]

mod ground;
mod network;
mod people;
mod steps;

use sancho_e2e::binaries;
use sancho_e2e::node::sandbox::{self, Inside};
use sancho_e2e::tools::{self, Tool};

use ground::Ground;

const THIS: &str = "what_the_chart_installs_works_as_pods_of_a_node";

#[tokio::test]
async fn what_the_chart_installs_works_as_pods_of_a_node() {
    match Inside::look().unwrap() {
        Some(inside) => {
            inside.prepare().unwrap();
            story(&inside).await;
        }
        None => outside().await,
    }
}

/// Builds what needs the network, and goes inside.
async fn outside() {
    let lacking = sandbox::lacking();
    assert!(lacking.is_none(), "{}", lacking.unwrap_or_default());
    let all: Vec<Tool> = Tool::all().collect();
    let built = tokio::task::spawn_blocking(move || tools::paths(&all));
    let mut needed = built.await.unwrap().unwrap();
    needed.push(tools::gateway_crds().await.unwrap());
    let operator = binaries::operator().await.unwrap();
    needed.push(operator.clone());
    needed.push(binaries::plugin().await.unwrap());
    sandbox::run_inside(THIS, &[("SANCHO_BINARY", &operator)], &needed)
        .await
        .unwrap();
}

async fn story(inside: &Inside) {
    // The harness has begun a line.
    println!();
    let ground = Ground::start(inside).await;
    steps::three_replicas_and_the_responder_become_ready(&ground).await;
    people::doctor_finds_nothing(&ground).await;
    steps::what_is_not_restricted_is_refused(&ground).await;
    steps::the_kubelets_lease_has_its_clock_beside_the_api_servers(&ground).await;
    network::anybody_gets_in_without_a_policy(&ground).await;
    steps::the_ca_reaches_the_responder_through_its_service(&ground).await;
    steps::an_upgrade_loses_no_order_of_names_behind_an_ingress(&ground).await;
    network::only_those_get_in_whom_the_policies_name(&ground).await;
    network::only_what_the_policies_name_gets_out(&ground).await;
    let silent = steps::a_replica_falls_silent(&ground).await;
    steps::a_killed_container_takes_its_slots_back_and_a_deleted_pod_is_replaced(&ground).await;
    steps::the_silent_one_is_started_anew(&ground, &silent).await;
    steps::one_replica_after_the_other_is_evicted(&ground).await;
    people::everything_is_told_in_the_end(&ground).await;
    steps::what_was_issued_outlives_an_uninstall(&ground).await;
    ground.say("all is well");
}
