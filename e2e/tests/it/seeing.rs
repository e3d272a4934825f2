//! What Prometheus sees of the replicas, and what the chart's dashboard and alerts make of it: with a real Prometheus.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::manifests::names;
use sancho_e2e::process::wait_for;
use sancho_e2e::prometheus::{Prometheus, promtool};
use sancho_e2e::world::{CaOptions, repository};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::stories::{FAST, apply_certificate, apply_issuer, ready, world};

/// The one value that a query gives.
async fn value(prometheus: &Prometheus, query: &str) -> Result<f64> {
    let result = prometheus.query(query).await?;
    ensure!(result.len() == 1, "{query} gives {result:?}");
    Ok(result[0]["value"][1].as_str().unwrap_or_default().parse()?)
}

/// Waits until a query gives this value.
async fn shows(prometheus: &Prometheus, query: &str, expected: f64) {
    wait_for(query, Duration::from_secs(30), &[], async || {
        let found = value(prometheus, query).await?;
        ensure!(
            (found - expected).abs() < f64::EPSILON,
            "it is {found}, not {expected}"
        );
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// Metrics that are 0, or not there, while all goes well, and so the panels that show them.
const RESTS: [&str; 7] = [
    "sancho_expiring_shards",
    "sancho_overdue_renewals",
    "sancho_budget_throttles",
    "sancho_budget_pauses_total",
    "sancho_budget_paused",
    "sancho_reconcile_errors_total",
    "sancho_orders_waiting",
];

/// The values that Grafana would draw: some, and all of them finite. It leaves NaN out, which is the quantile of nothing.
async fn drawn(prometheus: &Prometheus, query: &str) -> Result<Vec<f64>> {
    let mut values = Vec::new();
    for series in prometheus.query(query).await? {
        let value: f64 = series["value"][1].as_str().unwrap_or_default().parse()?;
        if !value.is_nan() {
            values.push(value);
        }
    }
    let is_drawn = !values.is_empty() && values.iter().all(|value| value.is_finite());
    ensure!(is_drawn, "{query} gives {values:?}");
    Ok(values)
}

#[tokio::test]
async fn every_panel_of_the_dashboard_shows_something_of_what_there_is() {
    // Each certificate ends within 24 hours from its first moment on, and is to be renewed long before.
    let pebble = PebbleOptions {
        validity: Duration::from_secs(24 * 3600),
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let world = world(2, FAST, ca).await;
    let targets: Vec<(&str, SocketAddr)> = world
        .replicas
        .iter()
        .map(|replica| (replica.name(), replica.health()))
        .collect();
    let prometheus = Prometheus::start(world.dir(), &world.log_dir(), &targets)
        .await
        .unwrap();
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(4), 2).await;
    ready(&world, "shop", Duration::from_secs(60)).await;

    for (query, expected) in [
        (r#"max(sancho_certificates{state="ready"})"#, 1.0),
        (r#"max(sancho_certificates{state="pending"})"#, 0.0),
        (r#"max(sancho_names{state="asked"})"#, 4.0),
        (r#"max(sancho_names{state="ready"})"#, 4.0),
        (r#"max(sancho_shards{state="ready"})"#, 2.0),
        (r#"max(sancho_expiring_shards{within="24h"})"#, 0.0),
        ("max(sancho_overdue_renewals)", 0.0),
        (r#"sum(sancho_orders_total{kind="new",result="Issued"})"#, 2.0),
        (r#"sum(sancho_orders_total{kind="renewal",result="Issued"})"#, 0.0),
        ("sum(sancho_order_duration_seconds_count)", 2.0),
    ] {
        shows(&prometheus, query, expected).await;
    }

    let dashboard = std::fs::read_to_string(repository().join("charts/sancho/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 16, "{}", panels.len());
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap().replace("$ca", ".+");
            let what = format!("panel {} to show something: {query}", panel["title"]);
            let rests = RESTS.iter().any(|metric| query.contains(metric));
            // Some of what has happened is over by now, such as the wait of the orders.
            let most = format!("max_over_time(({query})[5m:1s])");
            wait_for(&what, Duration::from_secs(30), &[], async || {
                drawn(&prometheus, &query).await?;
                let most = drawn(&prometheus, &most).await?;
                ensure!(
                    rests || most.iter().any(|value| *value > 0.0),
                    "it was never more than 0: {most:?}"
                );
                Ok(Some(()))
            })
            .await
            .unwrap();
        }
    }

    let renew = [
        "annotate",
        "certificates.sancho.dev",
        "shop",
        "-n",
        "default",
        "sancho.dev/renew=now",
    ];
    world.cluster.kubectl(&renew).await.unwrap();
    for (kind, expected) in [("renewal", 2.0), ("new", 2.0)] {
        let query = format!("sum(sancho_orders_total{{kind={kind:?},result=\"Issued\"}})");
        shows(&prometheus, &query, expected).await;
    }
}

/// An alert, series by which it fires, and what these are when it has no cause: their values from minute to minute, as
/// promtool writes them.
struct Case {
    alert: &'static str,
    fires: &'static [(&'static str, &'static str)],
    rests: &'static [(&'static str, &'static str)],
    /// When it has to fire.
    after: &'static str,
}

const CASES: [Case; 16] = [
    Case {
        alert: "SanchoDown",
        fires: &[(r#"up{container="sancho",pod="a"}"#, "0x60")],
        rests: &[
            (r#"up{container="sancho",pod="a"}"#, "1x60"),
            (r#"up{container="sancho",pod="b"}"#, "0x60"),
        ],
        after: "15m",
    },
    Case {
        alert: "SanchoPodDown",
        fires: &[(
            r#"up{container="responder",pod="sancho-responder-a"}"#,
            "1x9 0x60",
        )],
        rests: &[
            // It was away for a while.
            (
                r#"up{container="responder",pod="sancho-responder-a"}"#,
                "1x9 0x9 1x60",
            ),
            (r#"up{container="sancho",pod="sancho-a"}"#, "1x60"),
            // Somebody else's.
            (r#"up{container="responder",pod="ocsp-a"}"#, "0x60"),
        ],
        after: "30m",
    },
    Case {
        alert: "SanchoResponderDown",
        // Replicas are no responders, nor are those of others.
        fires: &[
            (
                r#"up{container="responder",pod="sancho-responder-a"}"#,
                "1x9 0x60",
            ),
            (r#"up{container="sancho",pod="sancho-a"}"#, "1x60"),
            (r#"up{container="responder",pod="ocsp-a"}"#, "1x60"),
        ],
        rests: &[
            (r#"up{container="responder",pod="sancho-responder-a"}"#, "0x60"),
            (r#"up{container="responder",pod="sancho-responder-b"}"#, "1x60"),
        ],
        after: "30m",
    },
    Case {
        alert: "SanchoResponderDown",
        // It is missing: there is nothing that Prometheus could ask.
        fires: &[(r#"up{container="sancho",pod="sancho-a"}"#, "1x60")],
        rests: &[(
            r#"up{container="responder",pod="sancho-responder-a"}"#,
            "1x9 0x5 1x60",
        )],
        after: "30m",
    },
    Case {
        alert: "SanchoNothingSent",
        fires: &[
            (r#"sancho_orders_waiting{ca="c",pod="a"}"#, "3x120"),
            (r#"sancho_budget_permits_total{ca="c",pod="a"}"#, "7x120"),
        ],
        rests: &[
            (r#"sancho_orders_waiting{ca="c",pod="a"}"#, "3x120"),
            (r#"sancho_budget_permits_total{ca="c",pod="a"}"#, "7+1x120"),
        ],
        after: "60m",
    },
    Case {
        alert: "SanchoCaFails",
        fires: &[
            (
                r#"sancho_ca_requests_total{ca="c",code="503",pod="a"}"#,
                "0+1x120",
            ),
            (r#"sancho_ca_requests_total{ca="c",code="200",pod="a"}"#, "9x120"),
        ],
        rests: &[
            (
                r#"sancho_ca_requests_total{ca="c",code="503",pod="a"}"#,
                "0+1x120",
            ),
            (
                r#"sancho_ca_requests_total{ca="c",code="200",pod="a"}"#,
                "9+1x120",
            ),
        ],
        after: "60m",
    },
    Case {
        alert: "SanchoCaFails",
        // Of a replica that has just begun, and whose first requests have all been made before it is looked at.
        fires: &[(
            r#"sancho_ca_requests_total{ca="c",code="503",pod="a"}"#,
            "_x9 0+1x120",
        )],
        rests: &[
            (
                r#"sancho_ca_requests_total{ca="c",code="503",pod="a"}"#,
                "_x9 0+1x120",
            ),
            (
                r#"sancho_ca_requests_total{ca="c",code="200",pod="a"}"#,
                "_x9 9x120",
            ),
        ],
        after: "35m",
    },
    Case {
        alert: "SanchoThrottled",
        fires: &[(
            r#"sancho_ca_requests_total{ca="c",code="429",pod="a"}"#,
            "0+1x120",
        )],
        rests: &[(
            r#"sancho_ca_requests_total{ca="c",code="429",pod="a"}"#,
            "0+1x10 10x110",
        )],
        after: "60m",
    },
    Case {
        alert: "SanchoOrdersWaitLong",
        fires: &[(r#"sancho_orders_waiting{ca="c",pod="a"}"#, "3x900")],
        rests: &[(r#"sancho_orders_waiting{ca="c",pod="a"}"#, "3x300 0 3x600")],
        after: "13h",
    },
    Case {
        alert: "SanchoLateSends",
        fires: &[(r#"sancho_late_sends_total{ca="c",pod="a"}"#, "0x10 1x60")],
        rests: &[(r#"sancho_late_sends_total{ca="c",pod="a"}"#, "0x70")],
        after: "15m",
    },
    Case {
        alert: "SanchoCertificatesExpire",
        // Of a certificate of six hours this is the last one.
        fires: &[(r#"sancho_expiring_shards{within="24h",pod="a"}"#, "0x9 2x120")],
        rests: &[
            // Not for long enough.
            (r#"sancho_expiring_shards{within="24h",pod="a"}"#, "0x19 2x100"),
            (r#"sancho_expiring_shards{within="168h",pod="a"}"#, "2x120"),
        ],
        after: "30m",
    },
    Case {
        alert: "SanchoRenewalsOverdue",
        fires: &[(r#"sancho_overdue_renewals{pod="a"}"#, "1x120")],
        // Some come late, and are done within the hour.
        rests: &[(r#"sancho_overdue_renewals{pod="a"}"#, "3x50 0 5x50 0 2x50")],
        after: "100m",
    },
    Case {
        alert: "SanchoCertificatesStalled",
        fires: &[(r#"sancho_certificates{state="stalled",pod="a"}"#, "1x60")],
        rests: &[(r#"sancho_certificates{state="ready",pod="a"}"#, "1x60")],
        after: "20m",
    },
    Case {
        alert: "SanchoCertificatesPending",
        fires: &[(r#"sancho_certificates{state="pending",pod="a"}"#, "1x500")],
        rests: &[(r#"sancho_certificates{state="pending",pod="a"}"#, "1x100 0 1x300")],
        after: "7h",
    },
    Case {
        alert: "SanchoNamesQuarantined",
        fires: &[(r#"sancho_names{state="quarantined",pod="a"}"#, "1x120")],
        rests: &[(r#"sancho_names{state="quarantined",pod="a"}"#, "0x120")],
        after: "70m",
    },
    Case {
        alert: "SanchoReconcileErrors",
        fires: &[(
            r#"sancho_reconcile_errors_total{kind="Secret",pod="a"}"#,
            "0+1x120",
        )],
        rests: &[(
            r#"sancho_reconcile_errors_total{kind="Secret",pod="a"}"#,
            "0x10 5x110",
        )],
        after: "60m",
    },
];

#[tokio::test]
async fn each_alert_fires_when_it_should_and_rests_when_it_should() {
    let rules = repository().join("charts/sancho/alerts.yaml");
    let text = std::fs::read_to_string(&rules).unwrap();
    let named: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert_eq!(named, CASES.iter().map(|case| case.alert).collect());

    let test = |case: &Case, series: &[(&str, &str)], fires: bool| {
        let input: Vec<Value> = series
            .iter()
            .map(|(series, values)| json!({ "series": series, "values": values }))
            .collect();
        let alert = case.alert;
        let firing = format!("count(ALERTS{{alertname={alert:?},alertstate=\"firing\"}})");
        let expected = if fires {
            vec![json!({ "labels": "{}", "value": 1 })]
        } else {
            vec![]
        };
        json!({
            "name": format!("{alert} fires: {fires}"),
            "interval": "1m",
            "input_series": input,
            "promql_expr_test": [{ "expr": firing, "eval_time": case.after, "exp_samples": expected }],
        })
    };
    let tests: Vec<Value> = CASES
        .iter()
        .flat_map(|case| [test(case, case.fires, true), test(case, case.rests, false)])
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alerts_test.yaml");
    let tests = json!({ "rule_files": [rules], "evaluation_interval": "1m", "tests": tests });
    std::fs::write(&file, tests.to_string()).unwrap();
    let program = promtool().unwrap();
    for arguments in [["check", "rules"], ["test", "rules"]] {
        let file = if arguments[0] == "check" { &rules } else { &file };
        let output = Command::new(&program)
            .args(arguments)
            .arg(file)
            .output()
            .await
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "promtool {}: {said}",
            arguments.join(" ")
        );
    }
}
