//! Logs made by hand, good and bad.

use super::*;
use crate::arrivals::{Arrival, Connection, RequestKind};

const MS: u64 = 1000;

fn request(at_ms: u64, lasts_ms: u64) -> Arrival {
    Arrival {
        at_us: at_ms * MS,
        ended_us: Some((at_ms + lasts_ms) * MS),
        connection: 0,
        method: "POST".to_owned(),
        kind: RequestKind::Order,
        path: "/my-order/1".to_owned(),
        status: Some(200),
        throttled: false,
        client: "sancho-0".to_owned(),
        order: None,
    }
}

fn requests(at_ms: impl IntoIterator<Item = u64>) -> ArrivalLog {
    let arrivals = at_ms.into_iter().map(|at_ms| request(at_ms, 1)).collect();
    ArrivalLog {
        arrivals,
        ..ArrivalLog::default()
    }
}

fn strict(per_second: f64, burst: u32, max_in_flight: Option<u32>) -> Bounds {
    let mut bounds = Bounds::new(per_second, burst, max_in_flight);
    (bounds.jitter, bounds.connection_tolerance) = (Duration::ZERO, Duration::ZERO);
    bounds
}

fn rate_breaches(log: &ArrivalLog, bounds: &Bounds) -> Vec<u64> {
    let at = |violation: &Violation| match violation {
        Violation::Rate { at_us, .. } => Some(at_us / MS),
        Violation::InFlight { .. } | Violation::Connections { .. } => None,
    };
    judge(log, bounds).violations.iter().filter_map(at).collect()
}

/// Looks at every window, as the bound is written down.
fn any_window_breaks(log: &ArrivalLog, bounds: &Bounds) -> bool {
    let times: Vec<f64> = log
        .arrivals
        .iter()
        .map(|arrival| arrival.at_us as f64 / 1e6)
        .collect();
    (0..times.len()).any(|i| {
        (i..times.len()).any(|j| {
            let window = times[j] - times[i] + bounds.jitter.as_secs_f64();
            (j - i + 1) as f64 > 1.0 + f64::from(bounds.burst) + bounds.per_second * window + 1e-6
        })
    })
}

#[test]
fn even_spacing_at_the_rate_is_fine() {
    let log = requests((0..1000).map(|k| k * 200));
    assert_eq!(rate_breaches(&log, &strict(5.0, 0, None)), Vec::<u64>::new());
}

#[test]
fn one_request_early_is_one_violation() {
    let log = requests([0, 200, 399, 600, 800]);
    assert_eq!(rate_breaches(&log, &strict(5.0, 0, None)), [399]);
}

#[test]
fn jitter_is_forgiven_up_to_the_tolerance_and_not_beyond() {
    let bounds = Bounds {
        jitter: Duration::from_millis(25),
        ..strict(5.0, 0, None)
    };
    assert_eq!(rate_breaches(&requests([0, 176]), &bounds), Vec::<u64>::new());
    assert_eq!(rate_breaches(&requests([0, 174]), &bounds), [174]);
}

#[test]
fn jitter_is_no_second_rate() {
    // Each gap is within the tolerance of the one before; together they are too fast.
    let bounds = Bounds {
        jitter: Duration::from_millis(25),
        ..strict(5.0, 0, None)
    };
    let log = requests((0..100).map(|k| k * 180));
    assert_eq!(rate_breaches(&log, &bounds)[0], 360);
}

#[test]
fn a_burst_is_allowed_once_and_comes_back_at_the_rate() {
    let bounds = strict(10.0, 5, None);
    assert_eq!(rate_breaches(&requests([0; 6]), &bounds), Vec::<u64>::new());
    assert_eq!(rate_breaches(&requests([0; 7]), &bounds), [0]);
    let twice = requests([0; 6].into_iter().chain([300; 4]));
    assert_eq!(rate_breaches(&twice, &bounds), [300]);
    let later = requests([0; 6].into_iter().chain([600; 6]));
    assert_eq!(rate_breaches(&later, &bounds), Vec::<u64>::new());
}

#[test]
fn two_senders_that_each_keep_the_rate_break_it_together() {
    let log = requests((0..20).flat_map(|k| [k * 200, k * 200 + 90]));
    assert_eq!(rate_breaches(&log, &strict(5.0, 0, None)).len(), 20);
}

#[test]
fn the_fast_method_agrees_with_looking_at_every_window() {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut fine, mut broken) = (0, 0);
    for _ in 0..2000 {
        let mut now = 0;
        let log = requests((0..12).map(|_| {
            now += random(160);
            now
        }));
        let bounds = Bounds {
            jitter: Duration::from_millis(random(30)),
            ..strict(10.0, random(4) as u32, None)
        };
        let expected = any_window_breaks(&log, &bounds);
        assert_eq!(
            !rate_breaches(&log, &bounds).is_empty(),
            expected,
            "{log:?} {bounds:?}"
        );
        if expected { broken += 1 } else { fine += 1 }
    }
    assert!(fine > 100 && broken > 100, "{fine} {broken}");
}

#[test]
fn requests_side_by_side_are_counted() {
    let arrivals = vec![request(0, 100), request(50, 100), request(160, 10)];
    let log = ArrivalLog {
        arrivals,
        ..ArrivalLog::default()
    };
    let verdict = judge(&log, &strict(1e6, 100, Some(1)));
    assert_eq!(
        verdict.violations,
        [Violation::InFlight {
            at_us: 50 * MS,
            client: "sancho-0".to_owned(),
            count: 2
        }]
    );
    assert_eq!(verdict.peak_in_flight, 2);
}

#[test]
fn a_request_after_the_answer_is_not_side_by_side() {
    let arrivals = vec![request(0, 100), request(100, 100)];
    let log = ArrivalLog {
        arrivals,
        ..ArrivalLog::default()
    };
    assert_eq!(judge(&log, &strict(1e6, 100, Some(1))).violations, []);
}

#[test]
fn an_unanswered_request_stays_in_flight() {
    let mut arrivals = vec![request(0, 1), request(5000, 1)];
    arrivals[0].ended_us = None;
    let log = ArrivalLog {
        arrivals,
        ..ArrivalLog::default()
    };
    assert_eq!(judge(&log, &strict(1e6, 100, Some(1))).violations.len(), 1);
}

#[test]
fn an_idle_connection_counts_beyond_the_tolerance() {
    let connection = |opened_ms: u64, closed_ms: u64| Connection {
        opened_us: opened_ms * MS,
        closed_us: Some(closed_ms * MS),
        peer: "127.0.0.1:40000".to_owned(),
    };
    let bounds = Bounds {
        connection_tolerance: Duration::from_millis(50),
        ..strict(1.0, 0, Some(1))
    };
    let log = |second: u64| ArrivalLog {
        connections: vec![connection(0, 1000), connection(second, 2000)],
        ..ArrivalLog::default()
    };
    assert_eq!(judge(&log(951), &bounds).violations, []);
    let verdict = judge(&log(900), &bounds);
    assert_eq!(verdict.violations.len(), 1);
    assert_eq!(verdict.peak_connections, 2);
}

#[test]
fn only_orders_that_were_made_are_counted() {
    let order = |status| Arrival {
        kind: RequestKind::NewOrder,
        status,
        ..request(0, 1)
    };
    let arrivals = vec![order(Some(201)), order(Some(503)), order(None), request(0, 1)];
    let log = ArrivalLog {
        arrivals,
        ..ArrivalLog::default()
    };
    assert_eq!(judge(&log, &Bounds::new(1.0, 100, None)).orders, 1);
}
