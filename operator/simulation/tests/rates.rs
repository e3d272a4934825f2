//! Finding and keeping a CA's rate: the figures that must be reached, over a matrix of seeds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use sancho_limiter::{Budget, Source, SubRate, Throttle, Unreachable};
use sancho_simulation::{Network, Outage, Refusal, Report, Scenario, Work};

const SEEDS: [u64; 3] = [1, 2, 3];

fn networks() -> [(Network, &'static str); 2] {
    [(Network::loopback(), "loopback"), (Network::far(), "far")]
}

/// One hour of steady work at an unknown CA: at least `used` of its rate, at most ten refusals while learning and
/// one an hour after.
fn finds(scenario: &Scenario, used: f64) {
    for seed in SEEDS {
        let scenario = Scenario {
            seed,
            ..scenario.clone()
        };
        let report = scenario.run();
        assert_eq!(report.violations_shown, Vec::<String>::new(), "{scenario:?}");
        assert!(
            report.throttled_learning <= 10 && report.throttled_per_hour_after <= 1,
            "{report}\n{scenario:?}"
        );
        assert!(report.utilisation.unwrap() >= used, "{report}\n{scenario:?}");
        assert!(report.learned_after_seconds.is_some(), "{report}\n{scenario:?}");
    }
}

#[test]
fn ten_a_second_with_a_burst_of_five_is_found_by_one_and_by_three_replicas() {
    for (network, _) in networks() {
        for replicas in [1, 3] {
            let scenario = Scenario {
                replicas,
                network: network.clone(),
                ..Scenario::new(10.0, 5, 0)
            };
            finds(&scenario, 0.9);
        }
    }
}

#[test]
fn five_a_second_without_a_burst_is_found() {
    for (network, name) in networks() {
        let scenario = Scenario {
            network,
            ..Scenario::new(5.0, 0, 0)
        };
        finds(&scenario, if name == "far" { 0.84 } else { 0.9 });
    }
}

#[test]
fn one_a_second_on_one_connection_without_a_burst_is_found() {
    for (network, name) in networks() {
        let mut scenario = Scenario {
            network,
            ..Scenario::new(1.0, 0, 0)
        };
        scenario.limits.connections = Some(1);
        finds(&scenario, if name == "far" { 0.84 } else { 0.9 });
    }
}

#[test]
fn one_in_five_seconds_is_found() {
    for (network, _) in networks() {
        let scenario = Scenario {
            network,
            ..Scenario::new(0.2, 0, 0)
        };
        finds(&scenario, 0.9);
    }
}

#[test]
fn a_ca_that_says_when_to_come_back_is_found_as_well() {
    let mut scenario = Scenario::new(10.0, 5, 0);
    scenario.limits.refusal = Refusal::Boulder;
    finds(&scenario, 0.9);
}

#[test]
fn a_ca_that_bears_few_at_once_is_used_as_far_as_that_goes() {
    let mut scenario = Scenario {
        network: Network::far(),
        lasts: Duration::from_secs(1200),
        ..Scenario::new(60.0, 20, 0)
    };
    scenario.limits.connections = Some(2);
    for seed in SEEDS {
        scenario.seed = seed;
        let report = scenario.run();
        assert_eq!(report.violations, 0, "{report}");
        assert!(report.utilisation.unwrap() >= 0.8, "{report}");
        assert!(
            report.throttled_learning <= 10 && report.throttled_per_hour_after <= 1,
            "{report}"
        );
    }
}

#[test]
fn what_was_learned_is_used_again_without_a_single_refusal() {
    let scenario = Scenario {
        replicas: 3,
        ..Scenario::new(10.0, 5, 5)
    };
    let mut cluster = scenario.cluster();
    cluster.run_for(Duration::from_secs(600));
    let learned = cluster.record().unwrap().budget.requests_per_second;
    let throttled = cluster.figures.throttled();
    for replica in 0..3 {
        cluster.demand(replica, 0);
    }
    cluster.run_for(Duration::from_secs(60));
    for replica in 0..3 {
        cluster.restart(replica);
        cluster.demand(replica, 200);
    }
    let served = cluster.figures.all_served();
    cluster.run_for(Duration::from_secs(120));
    assert_eq!(cluster.figures.all_served() - served, 600);
    assert_eq!(cluster.figures.throttled(), throttled);
    assert_eq!(cluster.record().unwrap().budget.requests_per_second, learned);
}

/// The margin that a known budget is paced with: spacings are 2 % wider, and at burst 0 the next request leaves
/// 5 ms later on top of that, and after the time by which the last answer took longer than the quickest.
fn most_used(budget: &Budget, network: &Network) -> f64 {
    let spacing = 1.0 / budget.requests_per_second;
    let extra = if budget.burst == 0 {
        // The CA's work and both ways, on average.
        0.005 + 0.0055 + network.jitter.as_secs_f64()
    } else {
        0.0
    };
    spacing / (spacing * 1.02 + extra)
}

#[test]
fn a_known_budget_is_used_to_ninety_seven_percent_of_what_the_margin_leaves() {
    for (budget, seconds) in [
        (Budget::new(10.0, 5, 2), 1800),
        (Budget::new(5.0, 0, 1), 1800),
        (Budget::new(60.0, 10, 20), 300),
    ] {
        for replicas in [1, 3, 10] {
            let scenario = Scenario {
                replicas,
                lasts: Duration::from_secs(seconds),
                given: Some(budget.clone()),
                ..Scenario::new(budget.requests_per_second, budget.burst, 7)
            };
            let report = scenario.run();
            let least = 0.97 * most_used(&budget, &scenario.network);
            assert!(report.utilisation.unwrap() >= least, "{report}\n{least}");
            assert_eq!((report.violations, report.throttled), (0, 0), "{report}");
            assert!(report.lease_writes_per_second <= 0.35, "{report}");
        }
    }
}

#[test]
fn after_an_outage_the_old_rate_is_back_within_a_minute_and_nothing_is_lowered() {
    let budget = Budget::new(5.0, 2, 2);
    for lasts in [30, 300] {
        for unreachable in [None, Some(Unreachable::Refused), Some(Unreachable::TimedOut)] {
            let outage = Outage {
                from: Duration::from_secs(600),
                lasts: Duration::from_secs(lasts),
                unreachable,
                one_in: 1,
            };
            let scenario = Scenario {
                replicas: 3,
                given: Some(budget.clone()),
                outages: vec![outage],
                ..Scenario::new(5.0, 2, lasts)
            };
            let mut cluster = scenario.cluster();
            cluster.run_for(Duration::from_secs(600 + lasts + 60));
            let served = cluster.figures.all_served();
            let record = cluster.record().unwrap();
            assert_eq!(record.budget, budget, "{unreachable:?} for {lasts} s");
            assert_eq!(record.discovery.outage, None, "{unreachable:?} for {lasts} s");
            cluster.run_for(Duration::from_secs(20));
            let rate = (cluster.figures.all_served() - served) as f64 / 20.0;
            assert!(
                rate >= 0.93 * 5.0,
                "{rate} a second after {unreachable:?} for {lasts} s"
            );
            assert_eq!(cluster.figures.violations, 0);
        }
    }
}

#[test]
fn refusals_by_chance_for_a_while_are_soon_forgotten() {
    for (lasts, one_in, minutes) in [(20, 3, 5), (120, 2, 15), (600, 3, 15)] {
        for seed in SEEDS {
            for given in [Some(Budget::new(20.0, 5, 2)), None] {
                let outage = Outage {
                    from: Duration::from_secs(600),
                    lasts: Duration::from_secs(lasts),
                    unreachable: None,
                    one_in,
                };
                let scenario = Scenario {
                    replicas: 3,
                    given,
                    outages: vec![outage],
                    ..Scenario::new(20.0, 5, seed)
                };
                let mut cluster = scenario.cluster();
                cluster.run_for(Duration::from_secs(600 + lasts + minutes * 60));
                let served = cluster.figures.all_served();
                cluster.run_for(Duration::from_secs(60));
                let rate = (cluster.figures.all_served() - served) as f64 / 60.0;
                let record = cluster.record().unwrap();
                assert!(
                    rate >= 0.9 * 20.0,
                    "{rate} a second: {scenario:?}\n{}",
                    record.summary()
                );
                assert_eq!(cluster.figures.violations_shown, Vec::<String>::new());
            }
        }
    }
}

#[test]
fn outages_now_and_then_under_little_demand_lower_nothing() {
    let budget = Budget::new(5.0, 2, 2);
    // They fall into the minutes in which there is work.
    let outages = (1..=12).map(|hour| Outage {
        from: Duration::from_secs(hour * 3600),
        lasts: Duration::from_secs(480),
        unreachable: None,
        one_in: 1,
    });
    let scenario = Scenario {
        replicas: 3,
        lasts: Duration::from_secs(13 * 3600),
        given: Some(budget.clone()),
        work: Work::Hourly(30),
        outages: outages.collect(),
        ..Scenario::new(5.0, 2, 4)
    };
    let report = scenario.run();
    assert_eq!(report.requests_per_second, 5.0, "{report}");
    assert_eq!(report.served + report.throttled, 13 * 90, "{report}");
    assert_eq!(report.violations, 0, "{report}");
}

#[test]
fn an_outage_while_the_rate_is_searched_for_does_not_hide_it() {
    // Soon enough that the rate is still far too low.
    for (from, lasts) in [(6, 60), (9, 300)] {
        for seed in SEEDS {
            let outage = Outage {
                from: Duration::from_secs(from),
                lasts: Duration::from_secs(lasts),
                unreachable: None,
                one_in: 1,
            };
            let scenario = Scenario {
                outages: vec![outage],
                ..Scenario::new(40.0, 5, seed)
            };
            let report = scenario.run();
            assert!(report.requests_per_second >= 0.9 * 40.0, "{report}\n{scenario:?}");
            assert_eq!(report.violations, 0, "{report}");
        }
    }
}

#[test]
fn published_limits_begin_with_one_in_flight_and_are_used_in_full_when_that_is_borne() {
    let published = Budget::new(60.0, 10, 16);
    let scenario = Scenario {
        replicas: 3,
        network: Network::far(),
        given: Some(Budget::new(20.0, 10, 2)),
        ..Scenario::new(60.0, 10, 3)
    };
    let mut cluster = scenario.cluster();
    cluster.run_for(Duration::from_secs(60));
    cluster.reconfigure(&published, Source::Published);
    let mut in_force = false;
    for _ in 0..5000 {
        cluster.run_for(Duration::from_millis(1));
        let record = cluster.record().unwrap();
        // A slot without a request in flight would be of no use.
        let slots = u32::try_from(record.slots.len()).unwrap();
        assert!(slots <= record.budget.max_in_flight, "{}", record.summary());
        in_force |= record.source == Source::Published;
    }
    assert!(in_force, "{}", cluster.record().unwrap().summary());
    cluster.run_for(Duration::from_secs(600));
    let record = cluster.record().unwrap();
    assert_eq!(record.slots.len(), 3, "{}", record.summary());
    assert!(record.budget.max_in_flight >= 4, "{}", record.summary());
    let served = cluster.figures.all_served();
    cluster.run_for(Duration::from_secs(100));
    let rate = (cluster.figures.all_served() - served) as f64 / 100.0;
    assert!(rate >= 0.9 * 60.0, "{rate} a second");
    assert_eq!(cluster.figures.violations_shown, Vec::<String>::new());
    assert_eq!(cluster.figures.throttled(), 0);
}

#[test]
fn what_was_refused_in_flight_is_asked_for_again_when_the_ca_may_have_grown() {
    let mut scenario = Scenario {
        network: Network::far(),
        given: None,
        ..Scenario::new(60.0, 10, 3)
    };
    scenario.limits.connections = Some(1);
    let mut cluster = scenario.cluster();
    cluster.reconfigure(&Budget::new(60.0, 10, 8), Source::Published);
    cluster.run_for(Duration::from_secs(600));
    assert_eq!(cluster.record().unwrap().budget.max_in_flight, 1);
    scenario.limits.connections = None;
    cluster.set_limits(scenario.limits);
    cluster.run_for(Duration::from_secs(5 * 3600));
    let record = cluster.record().unwrap();
    assert!(record.budget.max_in_flight >= 4, "{}", record.summary());
    assert_eq!(record.budget.requests_per_second, 60.0);
    assert_eq!(cluster.figures.violations_shown, Vec::<String>::new());
}

fn with_new_order(rate: f64, new_order: f64) -> Budget {
    Budget {
        new_order: Some(SubRate::new(new_order, 0)),
        ..Budget::new(rate, 5, 2)
    }
}

#[test]
fn a_wait_is_estimated_to_a_factor_of_two() {
    let pause = Throttle {
        retry_after: Some(Duration::from_secs(60)),
    };
    let cases = [
        (Budget::new(10.0, 5, 2), Network::loopback(), None),
        (Budget::new(5.0, 0, 1), Network::loopback(), None),
        (Budget::new(0.5, 0, 1), Network::far(), None),
        // Requests in flight hold back, and not the rate.
        (Budget::new(60.0, 10, 1), Network::far(), None),
        // newOrder's own rate holds back: one request in eight, of which one in 4 s is borne, and one in 20 s.
        (with_new_order(10.0, 0.25), Network::loopback(), None),
        (with_new_order(10.0, 0.05), Network::far(), None),
        // It hardly does.
        (with_new_order(2.0, 0.3), Network::loopback(), None),
        // A minute's pause comes in between.
        (Budget::new(10.0, 5, 2), Network::loopback(), Some(pause)),
    ];
    for (budget, network, refusal) in cases {
        for replicas in [1, 3] {
            let scenario = Scenario {
                replicas,
                network: network.clone(),
                given: Some(budget.clone()),
                work: Work::Hourly(0),
                new_order_one_in: budget.new_order.as_ref().map(|_| 8),
                ..Scenario::new(budget.requests_per_second, budget.burst, 11)
            };
            let mut cluster = scenario.cluster();
            let each = (120.0 * budget.rate()) as u32 + 20;
            for replica in 0..replicas {
                cluster.demand(replica, each);
            }
            cluster.run_for(Duration::from_secs(20));
            if let Some(refusal) = refusal {
                cluster.refuse_next(refusal);
                cluster.run_for(Duration::from_secs(2));
            }
            let (estimate, start) = (cluster.estimate().as_secs_f64(), cluster.now());
            while cluster.all_waiting() > 0 {
                cluster.run_for(Duration::from_secs(1));
                let so_far = (cluster.now() - start).as_secs_f64();
                assert!(
                    so_far <= 20.0 * estimate,
                    "{} still wait {so_far} s after {estimate} s were told: {budget:?}, {replicas} replicas",
                    cluster.all_waiting()
                );
            }
            let took = (cluster.now() - start).as_secs_f64();
            let what = format!("{estimate} s estimated, {took} s taken: {budget:?}, {replicas} replicas");
            assert!(took <= 2.0 * estimate && estimate <= 2.0 * took, "{what}");
        }
    }
}

#[test]
fn a_given_budget_that_the_ca_does_not_bear_is_lowered_and_never_exceeded() {
    for seed in SEEDS {
        let scenario = Scenario {
            given: Some(Budget::new(10.0, 2, 2)),
            ..Scenario::new(5.0, 2, seed)
        };
        let report = scenario.run();
        assert!((4.5..5.4).contains(&report.requests_per_second), "{report}");
        assert!(report.throttled <= 12, "{report}");
        assert_eq!(report.violations, 0, "{report}");
    }
}

#[test]
fn when_the_ca_bears_more_again_a_lowered_budget_recovers_up_to_its_ceiling() {
    let lowered = Scenario {
        given: Some(Budget::new(10.0, 2, 2)),
        ..Scenario::new(5.0, 2, 9)
    };
    let mut cluster = lowered.cluster();
    cluster.run_for(Duration::from_secs(1800));
    assert!(cluster.record().unwrap().budget.requests_per_second < 6.0);
    cluster.set_limits(Scenario::new(50.0, 20, 9).limits);
    cluster.run_for(Duration::from_secs(2 * 3600));
    assert_eq!(cluster.record().unwrap().budget.requests_per_second, 10.0);
    assert_eq!(cluster.figures.violations, 0);
}

#[test]
fn replicas_that_come_and_go_lose_no_slot_for_longer_than_a_takeover() {
    for seed in SEEDS {
        let scenario = Scenario {
            replicas: 3,
            lasts: Duration::from_secs(2 * 3600),
            given: Some(Budget::new(10.0, 5, 2)),
            churn: Some(Duration::from_secs(180)),
            ..Scenario::new(10.0, 5, seed)
        };
        let report = scenario.run();
        let takeovers = &report.takeover_seconds;
        assert_eq!((report.violations, report.throttled), (0, 0), "{report}");
        assert!(takeovers.killed.unwrap() <= 16.0, "{report}");
        assert!(takeovers.restarted.unwrap() <= 3.0, "{report}");
        assert!(takeovers.terminated.unwrap() <= 1.0, "{report}");
    }
}

#[test]
fn trouble_and_churn_while_learning_break_no_invariant() {
    for seed in 1..=6 {
        let mut scenario = Scenario {
            replicas: 3,
            lasts: Duration::from_secs(3 * 3600),
            churn: Some(Duration::from_secs(120)),
            work: Work::Hourly(2000),
            ..Scenario::new(if seed % 2 == 0 { 40.0 } else { 5.0 }, 5, seed)
        };
        scenario.network.trouble_per_mille = 30;
        let report = scenario.run();
        assert_eq!(report.violations_shown, Vec::<String>::new(), "{scenario:?}");
        assert!(report.served > 5000, "{report}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed: u64| -> Report {
        let mut scenario = Scenario {
            replicas: 3,
            lasts: Duration::from_secs(600),
            churn: Some(Duration::from_secs(60)),
            ..Scenario::new(10.0, 5, seed)
        };
        scenario.network.trouble_per_mille = 50;
        scenario.run()
    };
    assert_eq!(run(4), run(4));
    assert_ne!(run(4), run(5));
}
