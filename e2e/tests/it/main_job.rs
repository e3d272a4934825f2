//! The main job: many names, several orders, several replicas, one budget.

use std::time::Duration;

use sancho_e2e::arrivals::{Arrival, RequestKind};
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::checker::{Bounds, judge};
use sancho_e2e::front::Fault;
use sancho_e2e::manifests::{Budget, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::{NAMESPACE, ReplicaOptions, SERVICE_ACCOUNT};
use sancho_e2e::world::{CaOptions, World, WorldOptions};

use crate::stories::{
    FAST, SLOW, apply_certificate, apply_issuer, holders, holding_replica, issuer_ready, judged, orders,
    ready, secrets, world,
};

#[tokio::test]
async fn forty_two_names_are_issued_by_three_replicas_although_the_holder_of_the_slot_is_killed() {
    let world = world(3, SLOW, CaOptions::default()).await;
    apply_issuer(&world, SLOW).await;
    let asked = names(42);
    apply_certificate(&world, "shop", &asked, 20).await;
    // The order of a killed replica is resumed, so one that is recorded is what to kill in the middle of.
    wait_for(
        "the first order to be recorded",
        Duration::from_secs(60),
        &[],
        async || Ok((orders(&world).await > 0).then_some(())),
    )
    .await
    .unwrap();
    let holder = holding_replica(&world).await;
    world.replicas[holder].process().kill();

    ready(&world, "shop", Duration::from_secs(180)).await;
    let issued = secrets(&world).await;
    let found: Vec<&str> = issued.keys().map(String::as_str).collect();
    assert_eq!(found, ["shop-tls", "shop-tls-1", "shop-tls-2"]);
    let mut certified: Vec<String> = issued.values().flat_map(|(names, _)| names.clone()).collect();
    certified.sort();
    assert_eq!(certified, asked);
    judged(&world, SLOW);
    assert!(orders(&world).await <= 3, "a recorded order was made again");
}

#[tokio::test]
async fn three_replicas_hold_a_slot_each_and_share_the_work() {
    let budget = Budget {
        rate: 60.0,
        burst: 10,
        in_flight: 16,
    };
    let world = world(3, budget, CaOptions::default()).await;
    apply_issuer(&world, budget).await;
    apply_certificate(&world, "shop", &names(400), 20).await;
    ready(&world, "shop", Duration::from_secs(300)).await;
    let log = world.front().unwrap().log();
    judged(&world, budget);
    for replica in &world.replicas {
        let part = log.requests_of(replica.name()) as f64 / log.arrivals.len() as f64;
        assert!(
            part >= 0.15,
            "{} sent {:.0} % of the requests",
            replica.name(),
            part * 100.0
        );
    }
    // What left is what there was leave for, and what the CA saw.
    let mut permits = 0.0;
    let mut answered = 0.0;
    for replica in &world.replicas {
        let metrics = replica.metrics().await.unwrap();
        permits += replica.metric("sancho_budget_permits_total").await.unwrap();
        // A word stands for a request without an answer.
        let answers = metrics.iter().filter(|(sample, _)| {
            let code = sample.split_once("code=\"").map(|(_, code)| code);
            sample.starts_with("sancho_ca_requests_total{")
                && code.is_some_and(|code| code.starts_with(|c: char| c.is_ascii_digit()))
        });
        answered += answers.map(|(_, value)| value).sum::<f64>();
        let rate = replica.metric("sancho_budget_requests_per_second").await.unwrap();
        // A refusal, of which there may be two, lowers it for a while.
        assert!((0.9 * budget.rate..=budget.rate).contains(&rate), "{rate}");
        assert_eq!(replica.metric("sancho_late_sends_total").await.unwrap(), 0.0);
    }
    let arrived = log.arrivals.len() as f64;
    assert_eq!(answered, arrived);
    assert!(permits >= arrived, "{permits} permits, {arrived} requests");
}

#[tokio::test]
async fn one_order_of_forty_two_names_takes_at_most_ninety_requests() {
    let pebble = PebbleOptions {
        nonce_reject_percent: Some(0),
        authz_reuse_percent: Some(0),
        ..PebbleOptions::default()
    };
    let world = world(
        1,
        FAST,
        CaOptions {
            pebble,
            ..CaOptions::default()
        },
    )
    .await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    let before = world.front().unwrap().log().arrivals.len();
    apply_certificate(&world, "shop", &names(42), 100).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    let requests = world.front().unwrap().log().arrivals.len() - before;
    assert!(requests <= 90, "{requests} requests");
    assert_eq!(orders(&world).await, 1);
}

#[tokio::test]
async fn a_replica_that_is_told_to_end_frees_its_slots_and_a_restarted_one_asks_the_ca_nothing() {
    let mut world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(3), 20).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    apply_certificate(&world, "more", &names(60), 20).await;
    end_with_orders_unanswered(&world).await;
    assert_eq!(holders(&world).await, "", "a slot was not given up");

    world.replicas[0].restart().await.unwrap();
    ready(&world, "more", Duration::from_secs(90)).await;
    assert_eq!(orders(&world).await, 4, "an order was made again");
    let before = world.front().unwrap().log().arrivals.len();
    world.replicas[0].process().terminate().unwrap();
    world.replicas[0]
        .process()
        .wait_exit(Duration::from_secs(15))
        .await
        .unwrap();
    world.replicas[0].restart().await.unwrap();
    world.replicas[0].ready().await.unwrap();
    apply_certificate(&world, "last", &names(1), 20).await;
    ready(&world, "last", Duration::from_secs(60)).await;
    let requests = world.front().unwrap().log().arrivals.len() - before;
    // Of the last Certificate alone: directory, nonce and one order of one name with its polls.
    assert!(requests <= 12, "{requests} requests");
}

/// SIGTERM to the only replica while the CA takes its time with newOrder: nothing new is sent meanwhile, what is
/// answered is recorded, and then the process soon ends.
async fn end_with_orders_unanswered(world: &World) {
    const SLOW_ANSWER: Duration = Duration::from_secs(4);
    let front = world.front().unwrap();
    front.set_faults(|arrival| (arrival.kind == RequestKind::NewOrder).then_some(Fault::Delay(SLOW_ANSWER)));
    let is_open = |arrival: &Arrival| arrival.kind == RequestKind::NewOrder && arrival.ended_us.is_none();
    wait_for(
        "a newOrder to be unanswered",
        Duration::from_secs(30),
        &[],
        async || Ok(front.log().arrivals.iter().any(is_open).then_some(())),
    )
    .await
    .unwrap();
    world.replicas[0].process().terminate().unwrap();
    let told = front.now_us();
    let status = world.replicas[0]
        .process()
        .wait_exit(Duration::from_secs(15))
        .await
        .unwrap();
    let ended = front.now_us();
    assert!(
        status.success(),
        "{status}\n{}",
        world.replicas[0].process().log_tail(20)
    );
    front.set_faults(|_| None);
    let log = front.log();
    // What had leave already may have been on its way.
    let late = log
        .arrivals
        .iter()
        .filter(|arrival| arrival.at_us > told + 500_000);
    assert_eq!(late.count(), 0, "sent after SIGTERM");
    let answered = log
        .arrivals
        .iter()
        .filter_map(|arrival| arrival.ended_us)
        .max()
        .unwrap();
    let after = Duration::from_micros(ended - answered);
    println!("ended {after:?} after the last answer");
    // A second, and another for a machine that is busy with other tests.
    assert!(
        after < Duration::from_secs(2),
        "ended {after:?} after the last answer"
    );
    let is_made = |arrival: &&Arrival| arrival.kind == RequestKind::NewOrder && arrival.status == Some(201);
    assert_eq!(
        orders(world).await as usize,
        log.arrivals.iter().filter(is_made).count()
    );
}

#[tokio::test]
async fn the_checker_catches_replicas_that_each_keep_a_budget_of_their_own() {
    let mut world = World::start(WorldOptions {
        replicas: 0,
        ..WorldOptions::default()
    })
    .await
    .unwrap();
    let everything = [
        "create",
        "clusterrolebinding",
        "apart",
        "--clusterrole=cluster-admin",
    ];
    let subject = format!("--serviceaccount={NAMESPACE}:{SERVICE_ACCOUNT}");
    world
        .cluster
        .kubectl(&[&everything[..], &[&subject]].concat())
        .await
        .unwrap();
    for number in 0..3 {
        // A Lease in another namespace is another Lease.
        let namespace = format!("apart-{number}");
        world
            .cluster
            .kubectl(&["create", "namespace", &namespace])
            .await
            .unwrap();
        let flags = vec!["--namespace".to_owned(), namespace];
        let replica = world
            .add_replica(ReplicaOptions {
                flags,
                ..ReplicaOptions::default()
            })
            .await
            .unwrap();
        replica.ready().await.unwrap();
    }
    let one = Budget {
        rate: 1.0,
        burst: 0,
        in_flight: 1,
    };
    apply_issuer(&world, one).await;
    let bounds = Bounds::new(one.rate, one.burst, Some(one.in_flight));
    let verdict = wait_for(
        "the requests of three budgets",
        Duration::from_secs(90),
        &[],
        async || {
            let verdict = judge(&world.front()?.log(), &bounds);
            Ok((verdict.requests >= 3).then_some(verdict))
        },
    )
    .await
    .unwrap();
    assert!(verdict.violations.len() > 1, "{verdict:?}");
}
