//! The budget is kept while holders are stopped, the API server is away and the Lease is spoiled.

use std::time::Duration;

use sancho_e2e::api_proxy::ApiProxy;
use sancho_e2e::checker::{Bounds, judge};
use sancho_e2e::manifests::{Budget, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::{NAMESPACE, Replica, ReplicaOptions};
use sancho_e2e::world::{CaOptions, World};

use crate::plugin::sancho;
use crate::stories::{apply_certificate, apply_issuer, holders, judged, orders, ready, world};

/// What the CA bears: six orders take half a minute.
const BORNE: Budget = Budget {
    rate: 8.0,
    burst: 4,
    in_flight: 8,
};

/// A world in the middle of its work: so many orders of 20 names, the first of which is recorded.
async fn busy(mut world: World, count: u32, late: Option<&ApiProxy>) -> World {
    if let Some(proxy) = late {
        let options = ReplicaOptions {
            api_server: Some(proxy.api_server()),
            ..ReplicaOptions::default()
        };
        world.add_replica(options).await.unwrap().ready().await.unwrap();
    }
    apply_issuer(&world, BORNE).await;
    apply_certificate(&world, "shop", &names(20 * count), 20).await;
    wait_for(
        "the first order to be recorded",
        Duration::from_secs(90),
        &[],
        async || Ok((orders(&world).await > 0).then_some(())),
    )
    .await
    .unwrap();
    world
}

/// The replica that holds a slot.
async fn holder(world: &World) -> &Replica {
    wait_for(
        "a replica to hold a slot",
        Duration::from_secs(30),
        &[],
        async || {
            let holders = holders(world).await;
            Ok(world
                .replicas
                .iter()
                .find(|replica| holders.contains(replica.name())))
        },
    )
    .await
    .unwrap()
}

/// Requests that the CA has seen.
fn arrived(world: &World) -> usize {
    world.front().unwrap().log().arrivals.len()
}

/// Waits for further requests.
async fn goes_on(world: &World, within: Duration) {
    let before = arrived(world);
    wait_for("requests to go on", within, &[], async || {
        Ok((arrived(world) > before + 3).then_some(()))
    })
    .await
    .unwrap();
}

/// Waits until the CA has seen nothing for 3 s.
async fn falls_silent(world: &World, within: Duration) {
    let mut seen = arrived(world);
    let mut since = tokio::time::Instant::now();
    wait_for("silence at the CA", within, &[], async || {
        let now = arrived(world);
        if now != seen {
            (seen, since) = (now, tokio::time::Instant::now());
        }
        Ok((since.elapsed() >= Duration::from_secs(3)).then_some(()))
    })
    .await
    .unwrap();
}

/// All names are issued, no order was made twice, and the CA saw no more than it bears.
async fn all_is_well(world: &World, count: u32) {
    ready(world, "shop", Duration::from_secs(180)).await;
    assert_eq!(orders(world).await, count, "an order was lost or made twice");
    judged(world, BORNE);
}

/// The budget's Lease.
async fn lease(world: &World) -> String {
    let name = ["get", "leases", "-n", NAMESPACE, "-o", "name"];
    let all = world.cluster.kubectl(&name).await.unwrap();
    let budget = all.lines().find(|line| line.contains("sancho-budget"));
    budget.unwrap().trim().to_owned()
}

async fn annotate(world: &World, annotation: &str) {
    let lease = lease(world).await;
    world
        .cluster
        .kubectl(&["annotate", "--overwrite", "-n", NAMESPACE, &lease, annotation])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_holder_that_is_stopped_for_half_a_minute_is_replaced_and_wakes_without_a_slot() {
    let world = busy(world(3, BORNE, CaOptions::default()).await, 6, None).await;
    let stopped = holder(&world).await;
    stopped.process().stop().unwrap();
    let begin = tokio::time::Instant::now();
    // 15 s of takeover, and the steps of the waiting list.
    goes_on(&world, Duration::from_secs(30)).await;
    eprintln!(
        "others went on {:.1} s after the stop",
        begin.elapsed().as_secs_f64()
    );
    tokio::time::sleep_until(begin + Duration::from_secs(30)).await;
    stopped.process().resume().unwrap();
    ready(&world, "shop", Duration::from_secs(180)).await;
    assert_eq!(orders(&world).await, 6, "an order was lost or made twice");
    let late = stopped.metric("sancho_late_sends_total").await.unwrap();
    // What such a process was about to send leaves when it wakes: one request for its slot, and counted.
    let bounds = Bounds::new(BORNE.rate, BORNE.burst, Some(BORNE.in_flight));
    let verdict = judge(&world.front().unwrap().log(), &bounds);
    assert!(late <= 1.0, "{late} late");
    assert!(
        verdict.violations.len() as f64 <= late,
        "{:?}",
        verdict.violations
    );
    assert!(verdict.throttled <= 2, "{} throttled", verdict.throttled);
}

#[tokio::test]
async fn without_the_api_server_nothing_is_sent_and_afterwards_all_goes_on() {
    let world = busy(world(3, BORNE, CaOptions::default()).await, 6, None).await;
    world.cluster.apiserver().stop().unwrap();
    let begin = tokio::time::Instant::now();
    // The slots last for 10 s after their last renewal.
    falls_silent(&world, Duration::from_secs(20)).await;
    let silent = arrived(&world);
    tokio::time::sleep_until(begin + Duration::from_secs(40)).await;
    assert_eq!(arrived(&world), silent, "sent without a slot");
    world.cluster.apiserver().resume().unwrap();
    goes_on(&world, Duration::from_secs(45)).await;
    all_is_well(&world, 6).await;
}

#[tokio::test]
async fn a_replica_that_is_cut_off_from_the_api_server_stops_and_the_others_go_on() {
    let two = world(2, BORNE, CaOptions::default()).await;
    let proxy = ApiProxy::start(&two.cluster).await.unwrap();
    let world = busy(two, 12, Some(&proxy)).await;
    let cut_off = world.replicas.last().unwrap().name().to_owned();
    wait_for(
        "the one behind the proxy to hold a slot",
        Duration::from_secs(90),
        &[],
        async || Ok(holders(&world).await.contains(&cut_off).then_some(())),
    )
    .await
    .unwrap();
    proxy.cut();
    goes_on(&world, Duration::from_secs(45)).await;
    wait_for(
        "the others to hold the slot",
        Duration::from_secs(45),
        &[],
        async || {
            let holders = holders(&world).await;
            Ok((!holders.is_empty() && !holders.contains(&cut_off)).then_some(()))
        },
    )
    .await
    .unwrap();
    let log = world.front().unwrap().log();
    let sent = log.requests_of(&cut_off);
    goes_on(&world, Duration::from_secs(30)).await;
    assert_eq!(
        world.front().unwrap().log().requests_of(&cut_off),
        sent,
        "sent without a slot"
    );
    proxy.mend();
    ready(&world, "shop", Duration::from_secs(180)).await;
    // The one that is cut off does not hear of new tokens. A CA that asks it for one gets 404, and that order
    // is made again.
    assert!(orders(&world).await >= 12, "an order was lost");
    judged(&world, BORNE);
}

#[tokio::test]
async fn a_lease_that_is_deleted_or_spoiled_is_waited_out_and_a_newer_one_stops_the_sending() {
    let world = busy(world(3, BORNE, CaOptions::default()).await, 12, None).await;
    let name = lease(&world).await;
    world
        .cluster
        .kubectl(&["delete", "-n", NAMESPACE, &name])
        .await
        .unwrap();
    falls_silent(&world, Duration::from_secs(30)).await;
    goes_on(&world, Duration::from_secs(45)).await;

    annotate(&world, "budget.sancho.dev/slot-0=nonsense").await;
    falls_silent(&world, Duration::from_secs(30)).await;
    goes_on(&world, Duration::from_secs(45)).await;

    // Written by a release to come: this one must leave it alone.
    annotate(&world, "budget.sancho.dev/version=99").await;
    falls_silent(&world, Duration::from_secs(30)).await;
    let silent = arrived(&world);
    let said = sancho(&world, &["budget"]).await;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("nothing is sent: the budget's Lease has format version 99"),
        "{said}"
    );
    assert_eq!(arrived(&world), silent, "sent under a format that is not known");
    annotate(&world, "budget.sancho.dev/version=1").await;
    all_is_well(&world, 12).await;
}
