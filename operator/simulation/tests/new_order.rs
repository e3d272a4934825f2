//! A limit that a CA has for newOrder alone: found, kept, told from one of everything, and no harm to the whole rate.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use sancho_limiter::{Budget, Endpoint, SubRate};
use sancho_simulation::{Report, Scenario};

const SEEDS: [u64; 3] = [1, 2, 3];

#[test]
fn a_limit_of_new_order_alone_is_found_and_slows_nothing_else() {
    for (rate, new_order) in [(20.0, 1.0), (10.0, 0.5)] {
        let mut scenario = Scenario {
            replicas: 3,
            new_order_one_in: Some(8),
            lasts: Duration::from_secs(3600),
            ..Scenario::new(rate, 5, 0)
        };
        scenario.limits.new_order = Some(SubRate::new(new_order, 0));
        for seed in SEEDS {
            scenario.seed = seed;
            let mut cluster = scenario.cluster();
            cluster.run_for(scenario.lasts);
            let report = Report::new(&scenario, &cluster);
            let budget = &cluster.record().unwrap().budget;
            assert_eq!(report.violations_shown, Vec::<String>::new());
            assert!(report.utilisation.unwrap() >= 0.85, "{report}\n{budget:?}");
            // A little more may just be tried.
            let found = budget.sub_rate(Endpoint::NewOrder).unwrap().requests_per_second.0;
            assert!(
                (0.9 * new_order..1.06 * new_order).contains(&found),
                "{report}\n{budget:?}"
            );
            let served = cluster.figures.new_orders_served as f64 / 3600.0;
            assert!(served >= 0.8 * new_order, "{served} a second\n{report}");
            let throttled = report.throttled_learning;
            assert!(
                throttled <= 20 && report.throttled_per_hour_after <= 2,
                "{report}"
            );
        }
    }
}

#[test]
fn when_new_order_alone_is_out_of_order_its_rate_is_soon_back() {
    for lasts in [60, 600] {
        let mut scenario = Scenario {
            replicas: 3,
            new_order_one_in: Some(8),
            given: Some(Budget::new(20.0, 5, 2)),
            ..Scenario::new(20.0, 5, 1)
        };
        scenario.limits.new_order = Some(SubRate::new(1.0, 0));
        let mut cluster = scenario.cluster();
        cluster.run_for(Duration::from_secs(1800));
        let mut bad = scenario.limits.clone();
        bad.new_order = Some(SubRate::new(1.0 / lasts as f64, 0));
        cluster.set_limits(bad);
        cluster.run_for(Duration::from_secs(lasts));
        cluster.set_limits(scenario.limits);
        cluster.run_for(Duration::from_secs(300));
        let served = cluster.figures.new_orders_served;
        cluster.run_for(Duration::from_secs(300));
        let rate = (cluster.figures.new_orders_served - served) as f64 / 300.0;
        assert!(rate >= 0.9, "{rate} a second after {lasts} s");
        assert_eq!(cluster.figures.violations_shown, Vec::<String>::new());
    }
}

#[test]
fn a_limit_of_new_order_that_is_a_large_part_of_the_whole_is_settled() {
    for new_order in [1.5, 1.9, 2.2] {
        let mut scenario = Scenario {
            new_order_one_in: Some(2),
            given: Some(Budget::new(10.0, 5, 2)),
            ..Scenario::new(10.0, 5, 2)
        };
        scenario.limits.new_order = Some(SubRate::new(new_order, 0));
        let mut cluster = scenario.cluster();
        cluster.run_for(Duration::from_secs(2 * 3600));
        let record = cluster.record().unwrap();
        assert!(record.discovery.is_settled(), "{}", record.summary());
        assert_eq!(cluster.figures.violations_shown, Vec::<String>::new());
    }
}

#[test]
fn a_limit_of_new_order_does_not_keep_the_whole_rate_from_growing() {
    let mut scenario = Scenario {
        replicas: 3,
        new_order_one_in: Some(8),
        ..Scenario::new(20.0, 20, 1)
    };
    let mut cluster = scenario.cluster();
    cluster.run_for(Duration::from_secs(1500));
    scenario.limits.new_order = Some(SubRate::new(1.0, 0));
    cluster.set_limits(scenario.limits.clone());
    cluster.run_for(Duration::from_secs(1800));
    let found = cluster.record().unwrap().budget.requests_per_second;
    assert!(found < 25.0, "{found}");
    scenario.limits.requests_per_second = 60.0;
    cluster.set_limits(scenario.limits);
    cluster.run_for(Duration::from_secs(5 * 3600));
    let record = cluster.record().unwrap();
    assert!(record.budget.requests_per_second > 50.0, "{}", record.summary());
}

#[test]
fn a_limit_of_everything_is_not_taken_for_one_of_new_order() {
    for seed in 1..=20 {
        let scenario = Scenario {
            new_order_one_in: Some(8),
            lasts: Duration::from_secs(1800),
            seed,
            ..Scenario::new(10.0, 5, seed)
        };
        let mut cluster = scenario.cluster();
        cluster.run_for(scenario.lasts);
        let report = Report::new(&scenario, &cluster);
        assert!(report.utilisation.unwrap() >= 0.85, "seed {seed}: {report}");
        assert!(report.throttled_learning <= 10, "seed {seed}: {report}");
        let discovery = &cluster.record().unwrap().discovery;
        assert!(discovery.endpoints.is_empty(), "seed {seed}: {discovery:?}");
    }
}

#[test]
fn a_very_slow_limit_of_new_order_is_kept_and_used_through_every_hand_over() {
    // One in 20 s, and a slot changes hands every 12 s.
    let mut scenario = Scenario {
        replicas: 3,
        new_order_one_in: Some(8),
        lasts: Duration::from_secs(3600),
        ..Scenario::new(10.0, 5, 0)
    };
    scenario.limits.new_order = Some(SubRate::new(0.05, 0));
    for seed in SEEDS {
        scenario.seed = seed;
        let mut cluster = scenario.cluster();
        cluster.run_for(scenario.lasts);
        let before = cluster.figures.new_orders_served;
        cluster.run_for(scenario.lasts);
        let served = cluster.figures.new_orders_served - before;
        assert!(served >= 150, "seed {seed}: {served} of 180 in an hour");
        assert_eq!(cluster.figures.violations_shown, Vec::<String>::new());
    }
}
