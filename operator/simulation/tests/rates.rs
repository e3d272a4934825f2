//! Finding and keeping a CA's rate: the figures that must be reached, over a matrix of seeds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use sancho_limiter::{Budget, Unreachable};
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
fn a_ca_that_bears_few_at_once_is_asked_for_no_more() {
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
        assert!(report.max_in_flight <= 4, "{report}");
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
