use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-06-01T00:00:00Z";

fn certificate(name: &str, names: &[&str], status: &Value) -> Certificate {
    serde_json::from_value(json!({
        "apiVersion": "sancho.dev/v1alpha1", "kind": "Certificate",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "secretName": name, "issuerRef": { "name": "ca" }, "dnsNames": names },
        "status": status,
    }))
    .unwrap()
}

fn conditions(true_ones: &[&str]) -> Value {
    let of = |kind: &&str| json!({ "type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": NOW });
    true_ones.iter().map(of).collect()
}

fn shard(status: &Value) -> CertificateShard {
    serde_json::from_value(json!({
        "apiVersion": "sancho.dev/v1alpha1", "kind": "CertificateShard",
        "metadata": { "name": "a-0", "namespace": "shop" },
        "spec": { "certificate": "a", "index": 0, "secretName": "a", "issuerRef": { "name": "ca" } },
        "status": status,
    }))
    .unwrap()
}

fn issued(not_after: &str, renewal: &str) -> Value {
    json!({
        "target": "t", "fingerprint": "f", "notBefore": "2026-01-01T00:00:00Z", "notAfter": not_after,
        "renewalTime": renewal,
    })
}

fn text(figures: &Overview) -> String {
    let mut registry = Registry::default();
    Gauges::registered(&mut registry).set(figures);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

#[test]
fn certificates_names_and_shards_are_counted_by_state() {
    let certificates = [
        certificate(
            "a",
            &["a.example", "b.example"],
            &json!({
                "conditions": conditions(&["Ready"]), "readyNames": 2, "notAfter": "2026-07-01T00:00:00Z",
            }),
        ),
        certificate(
            "b",
            &["c.example", "d.example"],
            &json!({
                "conditions": conditions(&["Ready", "Degraded"]), "readyNames": 1, "quarantinedNames": 1,
            }),
        ),
        certificate(
            "c",
            &["e.example"],
            &json!({ "conditions": conditions(&["Stalled"]) }),
        ),
        certificate("d", &["f.example"], &Value::Null),
    ];
    let order = json!({ "target": "t", "stage": "Pending", "polls": 0 });
    let failure = json!({ "reason": "R", "message": "m", "target": "t", "count": 1, "retryTime": NOW });
    let shards = [
        shard(
            &json!({ "conditions": conditions(&["Ready"]), "issued": issued("2026-06-01T12:00:00Z", "2026-05-01T00:00:00Z") }),
        ),
        shard(&json!({ "order": order, "issued": issued("2026-08-01T00:00:00Z", "2026-07-01T00:00:00Z") })),
        shard(
            &json!({ "failure": failure, "issued": issued("2026-05-31T00:00:00Z", "2026-05-01T00:00:00Z") }),
        ),
        shard(&Value::Null),
    ];
    let of = |each| Overview::of(certificates.iter(), shards.iter(), each, NOW.parse().unwrap());
    let told = text(&of(true));
    for line in [
        r#"certificates{state="ready"} 1"#,
        r#"certificates{state="degraded"} 1"#,
        r#"certificates{state="stalled"} 1"#,
        r#"certificates{state="pending"} 1"#,
        r#"names{state="asked"} 6"#,
        r#"names{state="ready"} 3"#,
        r#"names{state="quarantined"} 1"#,
        r#"shards{state="ready"} 1"#,
        r#"shards{state="ordering"} 1"#,
        r#"shards{state="failed"} 1"#,
        r#"shards{state="pending"} 1"#,
        r#"expiring_shards{within="0h"} 1"#,
        r#"expiring_shards{within="24h"} 2"#,
        r#"expiring_shards{within="720h"} 2"#,
        "overdue_renewals 2",
        "earliest_expiry_timestamp_seconds{} 1780185600",
        r#"certificate_expiry_timestamp_seconds{certificate_namespace="shop",certificate="a"} 1782864000"#,
        r#"certificate_ready{certificate_namespace="shop",certificate="b"} 1"#,
        r#"certificate_ready{certificate_namespace="shop",certificate="c"} 0"#,
    ] {
        assert!(told.contains(line), "no {line} in\n{told}");
    }
    assert!(!text(&of(false)).contains("certificate_ready{"));
}

#[test]
fn a_certificate_expires_once_half_of_the_time_for_its_renewal_is_over_however_long_it_lives() {
    const HOUR: i64 = 3600;
    let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
    // Renewed so long before the end, and from when on it counts as ending within 24 hours.
    for (what, renewed_before, counts_from) in [
        ("6 hours", 2 * HOUR, HOUR),
        ("24 hours", 8 * HOUR, 4 * HOUR),
        ("24 hours, renewed early", 23 * HOUR, 23 * HOUR / 2),
        ("160 hours", 53 * HOUR, 24 * HOUR),
        ("90 days", 30 * 24 * HOUR, 24 * HOUR),
        ("90 days, renewed on the last", 24 * HOUR, 12 * HOUR),
        ("398 days", 132 * 24 * HOUR, 24 * HOUR),
        ("no time at all", 0, 0),
    ] {
        let ends: Timestamp = NOW.parse().unwrap();
        let renewal = at(ends.as_second() - renewed_before);
        let shard = shard(&json!({ "issued": issued(NOW, &renewal.to_string()) }));
        let counted = |left: i64, within: i64| {
            let now = at(ends.as_second() - left);
            let figures = Overview::of([].iter(), std::iter::once(&shard), false, now);
            figures.ending.get(&within).copied().unwrap_or_default()
        };
        assert_eq!(
            counted(renewed_before, 24),
            i64::from(renewed_before == 0),
            "{what}"
        );
        assert_eq!(counted(counts_from + 1, 24), 0, "{what}");
        assert_eq!(counted(counts_from, 24), 1, "{what}");
        assert_eq!(
            (counted(1, 0), counted(0, 0), counted(-1, 0)),
            (0, 1, 1),
            "{what}"
        );
    }
}

#[test]
fn a_renewal_is_overdue_once_it_is_late_by_a_day_or_by_a_quarter_of_the_time_for_it() {
    const HOUR: i64 = 3600;
    let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
    // Renewed so long before the end, and overdue when it is so late.
    for (what, renewed_before, overdue_after) in [
        ("6 hours", 2 * HOUR, HOUR / 2),
        ("24 hours", 8 * HOUR, 2 * HOUR),
        ("160 hours", 53 * HOUR, 53 * HOUR / 4),
        ("90 days", 30 * 24 * HOUR, 24 * HOUR),
        ("90 days, renewed on the last", 24 * HOUR, 6 * HOUR),
    ] {
        let renewal: Timestamp = NOW.parse().unwrap();
        let ends = at(renewal.as_second() + renewed_before);
        let shard = shard(&json!({ "issued": issued(&ends.to_string(), NOW) }));
        let overdue = |late: i64| {
            let now = at(renewal.as_second() + late);
            Overview::of([].iter(), std::iter::once(&shard), false, now).overdue
        };
        assert_eq!(
            [-HOUR, 0, overdue_after - 1, overdue_after].map(overdue),
            [0, 0, 0, 1],
            "{what}"
        );
    }
}

/// A thousand of those that live for a day are to be renewed by now, the first of them an hour ago.
#[test]
fn of_a_large_fleet_nothing_is_overdue_while_all_are_renewed_within_the_hour() {
    let now: Timestamp = NOW.parse().unwrap();
    let at = |seconds: i64| Timestamp::from_second(now.as_second() + seconds).unwrap();
    let shards: Vec<CertificateShard> = (0..1000)
        .map(|number| {
            let late = number * 36 / 10;
            let (ends, renewal) = (at(8 * 3600 - late), at(-late));
            shard(&json!({ "issued": issued(&ends.to_string(), &renewal.to_string()) }))
        })
        .collect();
    assert_eq!(Overview::of([].iter(), shards.iter(), false, now).overdue, 0);
}

#[test]
fn nothing_is_told_of_an_end_while_nothing_is_in_use() {
    let told = text(&Overview::of([].iter(), [].iter(), true, NOW.parse().unwrap()));
    assert!(told.contains(r#"certificates{state="ready"} 0"#), "{told}");
    assert!(!told.contains("earliest_expiry_timestamp_seconds{"), "{told}");
}
