//! Several limiters share slots: turns, takeovers, pauses, trouble.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use sancho_limiter::{Budget, Event, Throttle};
use sancho_simulation::{Arrival, Cluster};

const SECOND: Duration = Duration::from_secs(1);
/// Kept back by no one: how far the network may push arrivals together.
const JITTER: f64 = 0.005;

/// I1 on every window that starts and ends with an arrival.
fn check_rate(arrivals: &[Arrival], budget: &Budget) {
    for (first, start) in arrivals.iter().enumerate() {
        for (count, end) in arrivals[first..].iter().enumerate().take(500) {
            let window = (end.at - start.at).as_secs_f64();
            let allowed = 1.0 + f64::from(budget.burst) + budget.requests_per_second * (window + JITTER);
            assert!(
                (count + 1) as f64 <= allowed + 1e-6,
                "{} arrivals in {window} s from {:?}",
                count + 1,
                start.at
            );
        }
    }
}

/// A renewal every 3 s, and two writes for each slot that changed hands.
fn check_writes(cluster: &Cluster) {
    let turns = cluster.record().unwrap().turns;
    let allowed = 0.35 * cluster.figures.seconds_held + 2.0 * turns as f64;
    assert!(
        cluster.figures.lease_writes as f64 <= allowed,
        "{} writes ({} conflicts), allowed {allowed:.1}: held {:.1} s, {turns} turns",
        cluster.figures.lease_writes,
        cluster.figures.lease_conflicts,
        cluster.figures.seconds_held
    );
}

fn arrivals(cluster: &Cluster) -> &[Arrival] {
    cluster.arrivals.as_deref().unwrap()
}

fn sent_by(cluster: &Cluster, replica: usize) -> usize {
    let by_it = arrivals(cluster)
        .iter()
        .filter(|arrival| arrival.replica == replica);
    by_it.count()
}

#[test]
fn three_replicas_at_sixty_a_second_hold_a_slot_each_and_share_the_work() {
    for watches in [true, false] {
        let budget = Budget::new(60.0, 10, 20);
        let mut cluster = Cluster::new(3, &budget).with_free_slots();
        cluster.watches = watches;
        for replica in 0..3 {
            cluster.demand(replica, 5000);
        }
        cluster.run_for(10 * SECOND);
        let held: Vec<usize> = (0..3).map(|replica| cluster.slots_held(replica)).collect();
        assert_eq!(held, [1, 1, 1], "watches: {watches}");
        cluster.run_for(15 * SECOND);
        let all = arrivals(&cluster).len();
        for replica in 0..3 {
            let sent = sent_by(&cluster, replica);
            assert!(
                sent * 100 >= all * 15,
                "{replica} sent {sent} of {all}, watches: {watches}"
            );
        }
        assert!(
            all as f64 >= 25.0 * 60.0 * 0.75,
            "{all} requests in 25 s, watches: {watches}"
        );
        assert_eq!(cluster.figures.throttled(), 0);
        check_rate(arrivals(&cluster), &budget);
        check_writes(&cluster);
    }
}

#[test]
fn three_replicas_take_turns_on_one_slot_without_losing_much_time() {
    for (watches, least) in [(true, 0.85), (false, 0.78)] {
        let budget = Budget::new(5.0, 0, 1);
        let mut cluster = Cluster::new(3, &budget).with_free_slots();
        cluster.watches = watches;
        for replica in 0..3 {
            cluster.demand(replica, 5000);
        }
        cluster.run_for(300 * SECOND);
        let all = arrivals(&cluster).len();
        for replica in 0..3 {
            let sent = sent_by(&cluster, replica);
            assert!(
                sent * 100 >= all * 20,
                "{replica} sent {sent} of {all}, watches: {watches}"
            );
        }
        let used = all as f64 / (300.0 * 5.0);
        assert!(used >= least, "{used} of the rate used, watches: {watches}");
        assert_eq!(cluster.figures.throttled(), 0);
        assert_eq!(cluster.ca().most_in_flight(), 1);
        check_rate(arrivals(&cluster), &budget);
        check_writes(&cluster);
    }
}

#[test]
fn five_replicas_on_three_slots_all_get_their_turn() {
    let budget = Budget::new(60.0, 10, 20);
    let mut cluster = Cluster::new(5, &budget).with_free_slots();
    for replica in 0..5 {
        cluster.demand(replica, 50_000);
    }
    cluster.run_for(120 * SECOND);
    let all = arrivals(&cluster).len();
    for replica in 0..5 {
        let sent = sent_by(&cluster, replica);
        assert!(sent * 100 >= all * 12, "{replica} sent {sent} of {all}");
    }
    assert!(all as f64 >= 120.0 * 60.0 * 0.85, "{all} requests");
    assert_eq!(cluster.figures.throttled(), 0);
    check_rate(arrivals(&cluster), &budget);
    check_writes(&cluster);
}

#[test]
fn a_replica_alone_takes_every_slot() {
    let budget = Budget::new(60.0, 10, 20);
    let mut cluster = Cluster::new(3, &budget).with_free_slots();
    cluster.demand(1, 5000);
    cluster.run_for(SECOND);
    assert_eq!(cluster.slots_held(1), 3);
    cluster.run_for(60 * SECOND);
    assert!(arrivals(&cluster).len() as f64 >= 60.0 * 60.0 * 0.93);
    assert_eq!(cluster.figures.throttled(), 0);
    check_writes(&cluster);
}

#[test]
fn a_fresh_cluster_waits_out_the_takeover_time_once() {
    let mut cluster = Cluster::new(3, &Budget::new(5.0, 0, 1));
    for replica in 0..3 {
        cluster.demand(replica, 100);
    }
    let start = cluster.now();
    cluster.run_for(18 * SECOND);
    let first = arrivals(&cluster)[0].at - start;
    assert!(first >= 15 * SECOND && first <= 16 * SECOND, "{first:?}");
}

#[test]
fn a_dead_holder_is_replaced_within_sixteen_seconds_and_a_spacing() {
    let mut cluster = Cluster::new(3, &Budget::new(1.0, 0, 1)).with_free_slots();
    cluster.demand(0, 1000);
    cluster.run_for(5 * SECOND);
    cluster.demand(1, 1000);
    cluster.demand(2, 1000);
    cluster.run_for(3 * SECOND);
    assert_eq!(cluster.slots_held(0), 1);
    cluster.kill(0);
    let died = cluster.now();
    cluster.run_for(20 * SECOND);
    let next = arrivals(&cluster)
        .iter()
        .find(|arrival| arrival.at > died)
        .unwrap()
        .at
        - died;
    assert!(next <= 16 * SECOND + Duration::from_millis(1040), "{next:?}");
}

#[test]
fn a_later_process_of_the_same_container_takes_its_slots_at_once() {
    let mut cluster = Cluster::new(2, &Budget::new(60.0, 10, 20)).with_free_slots();
    cluster.demand(0, 1000);
    cluster.run_for(5 * SECOND);
    cluster.restart(0);
    cluster.demand(0, 1000);
    cluster.run_for(SECOND / 10);
    assert_eq!(cluster.slots_held(0), 3);
}

#[test]
fn an_idle_budget_costs_no_reads_and_no_writes() {
    let mut cluster = Cluster::new(3, &Budget::new(60.0, 10, 20)).with_free_slots();
    for replica in 0..3 {
        cluster.demand(replica, 200);
    }
    cluster.run_for(40 * SECOND);
    assert_eq!(arrivals(&cluster).len(), 600);
    let (reads, writes) = (cluster.figures.lease_reads, cluster.figures.lease_writes);
    cluster.run_for(600 * SECOND);
    let figures = &cluster.figures;
    assert_eq!((figures.lease_reads, figures.lease_writes), (reads, writes));
    assert!(cluster.record().unwrap().slots.iter().all(|row| row.is_free()));
}

#[test]
fn a_retry_after_pauses_every_replica() {
    let mut cluster = Cluster::new(3, &Budget::new(60.0, 10, 20)).with_free_slots();
    for replica in 0..3 {
        cluster.demand(replica, 50_000);
    }
    cluster.run_for(20 * SECOND);
    cluster.refuse_next(Throttle {
        retry_after: Some(40 * SECOND),
    });
    cluster.run_for(SECOND);
    let refused = arrivals(&cluster)
        .iter()
        .find(|arrival| arrival.throttled)
        .unwrap()
        .at;
    cluster.run_for(60 * SECOND);
    let during = |arrival: &&Arrival| {
        let since = arrival.at.saturating_sub(refused);
        since > Duration::from_millis(60) && since < 40 * SECOND
    };
    assert_eq!(arrivals(&cluster).iter().filter(during).count(), 0);
    let senders = |from: Duration| {
        let late = arrivals(&cluster)
            .iter()
            .filter(|arrival| arrival.at > refused + from);
        late.map(|arrival| arrival.replica)
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    };
    assert_eq!(senders(41 * SECOND), 3, "all are back");
}

#[test]
fn a_shutdown_gives_the_slots_back_within_a_second() {
    let mut cluster = Cluster::new(2, &Budget::new(60.0, 10, 20)).with_free_slots();
    cluster.demand(0, 50_000);
    cluster.run_for(5 * SECOND);
    cluster.tell(0, Event::Shutdown);
    cluster.run_for(SECOND);
    assert!(cluster.is_settled(0));
    assert!(cluster.record().unwrap().slots.iter().all(|row| row.is_free()));
}

#[test]
fn a_dead_waiter_costs_a_step_and_not_a_takeover() {
    let budget = Budget::new(5.0, 0, 1);
    let mut cluster = Cluster::new(3, &budget).with_free_slots();
    cluster.demand(0, 5000);
    cluster.run_for(5 * SECOND);
    cluster.demand(1, 5000);
    cluster.run_for(SECOND);
    cluster.demand(2, 5000);
    cluster.run_for(SECOND);
    cluster.kill(1);
    cluster.run_for(13 * SECOND);
    assert_eq!(cluster.slots_held(2), 1);
    let gaps = arrivals(&cluster).windows(2).map(|pair| pair[1].at - pair[0].at);
    assert!(gaps.max().unwrap() < SECOND);
}

#[test]
fn trouble_of_every_kind_breaks_no_invariant() {
    for seed in 1..=8 {
        let budget = if seed % 2 == 0 {
            Budget::new(20.0, 5, 3)
        } else {
            Budget::new(5.0, 0, 1)
        };
        let mut cluster = Cluster::new(3, &budget);
        cluster.set_trouble(50);
        cluster.reseed(seed);
        for minute in 0..10 {
            for replica in 0..3 {
                let requests = cluster.random(600) as u32;
                cluster.demand(replica, requests);
            }
            let (replica, second) = (cluster.random(3) as usize, cluster.random(60));
            cluster.run_for(Duration::from_secs(second));
            match minute % 3 {
                0 => cluster.restart(replica),
                1 => cluster.delete_lease(),
                _ => {}
            }
            cluster.run_for(Duration::from_secs(60 - second));
        }
        check_rate(arrivals(&cluster), &budget);
        assert_eq!(
            cluster.figures.violations_shown,
            Vec::<String>::new(),
            "seed {seed}"
        );
        assert!(
            cluster.ca().most_in_flight() <= budget.max_in_flight,
            "seed {seed}"
        );
        assert!(
            arrivals(&cluster).len() > 400,
            "seed {seed}: {} requests",
            arrivals(&cluster).len()
        );
    }
}
