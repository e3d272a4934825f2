use sancho_crds::Certificate;

use super::*;

fn listed() -> ApiRequest {
    ApiRequest {
        verb: "list",
        resource: "secrets".into(),
    }
}

#[test]
fn what_is_counted_is_told_as_prometheus_reads_it() {
    let metrics = Metrics::default();
    metrics.begin_budget("https://ca");
    metrics.permitted("https://ca", Duration::from_millis(40));
    metrics.requested("https://ca", "newOrder", "201", Duration::from_millis(40));
    metrics.requested("https://ca", "newOrder", "503", Duration::from_millis(4));
    metrics.late("https://ca");
    metrics.paused("https://ca");
    let took = Some(Duration::from_secs(20));
    metrics.order_ended("https://ca", OrderKind::Renewal, ISSUED, took);
    metrics.order_ended("https://ca", OrderKind::New, "ValidationFailed", None);
    metrics.reconcile_error("Certificate");
    metrics.api_requested(listed(), "200".into(), Duration::from_millis(40));
    let view = BudgetView {
        held: 2,
        rate: 5.0,
        source: "given",
        ..BudgetView::default()
    };
    metrics.budget("https://ca", &view, 7);
    let text = metrics.text();
    for line in [
        r#"sancho_ca_requests_total{ca="https://ca",endpoint="newOrder",code="503"} 1"#,
        r#"sancho_ca_request_duration_seconds_count{ca="https://ca",endpoint="newOrder"} 2"#,
        r#"sancho_budget_permits_total{ca="https://ca"} 1"#,
        r#"sancho_budget_wait_seconds_bucket{le="0.05",ca="https://ca"} 1"#,
        r#"sancho_late_sends_total{ca="https://ca"} 1"#,
        r#"sancho_budget_pauses_total{ca="https://ca"} 1"#,
        r#"sancho_budget_paused{ca="https://ca"} 0"#,
        r#"sancho_budget_requests_per_second{ca="https://ca"} 5.0"#,
        r#"sancho_budget_slots_held{ca="https://ca"} 2"#,
        r#"sancho_budget_source{ca="https://ca",source="given"} 1"#,
        r#"sancho_budget_source{ca="https://ca",source="discovered"} 0"#,
        r#"sancho_orders_waiting{ca="https://ca"} 7"#,
        r#"sancho_orders_total{ca="https://ca",kind="renewal",result="Issued"} 1"#,
        r#"sancho_orders_total{ca="https://ca",kind="new",result="ValidationFailed"} 1"#,
        r#"sancho_order_duration_seconds_bucket{le="30.0",ca="https://ca"} 1"#,
        r#"sancho_order_duration_seconds_count{ca="https://ca"} 1"#,
        r#"sancho_reconcile_errors_total{kind="Certificate"} 1"#,
        r#"sancho_api_requests_total{verb="list",resource="secrets",code="200"} 1"#,
        r#"sancho_api_request_duration_seconds_count{verb="list"} 1"#,
        "# EOF",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}

#[test]
fn a_budget_that_is_forgotten_is_told_no_more_and_others_are() {
    let metrics = Metrics::default();
    let budgets = ["dns:cloudflare:1a2b", "dns:cloudflare:3c4d"];
    for budget in budgets {
        metrics.permitted(budget, Duration::from_millis(40));
        for code in ["200", "429"] {
            metrics.requested(budget, "changeRecords", code, Duration::from_millis(40));
        }
        metrics.budget(budget, &BudgetView::default(), 0);
    }
    let lines = |budget: &str| metrics.text().matches(budget).count();
    let all = lines(budgets[1]);
    assert!(all > 20);
    metrics.forget(budgets[0]);
    assert_eq!(budgets.map(lines), [0, all]);
}

#[test]
fn what_a_budget_counts_stands_there_from_0_on() {
    let metrics = Metrics::default();
    metrics.begin_budget("https://ca");
    metrics.begin_ca("https://ca");
    metrics.begin_budget("dns:route53:1a2b");
    let text = metrics.text();
    for line in [
        r#"sancho_ca_requests_total{ca="https://ca",endpoint="newOrder",code="201"} 0"#,
        r#"sancho_ca_requests_total{ca="https://ca",endpoint="newOrder",code="503"} 0"#,
        r#"sancho_ca_request_duration_seconds_count{ca="https://ca",endpoint="finalize"} 0"#,
        r#"sancho_ca_request_duration_seconds_bucket{le="0.01",ca="https://ca",endpoint="finalize"} 0"#,
        r#"sancho_orders_total{ca="https://ca",kind="new",result="Issued"} 0"#,
        r#"sancho_orders_total{ca="https://ca",kind="renewal",result="Issued"} 0"#,
        r#"sancho_orders_total{ca="https://ca",kind="renewal",result="ValidationFailed"} 0"#,
        r#"sancho_order_duration_seconds_count{ca="https://ca"} 0"#,
        r#"sancho_budget_wait_seconds_count{ca="https://ca"} 0"#,
        r#"sancho_budget_permits_total{ca="https://ca"} 0"#,
        r#"sancho_budget_pauses_total{ca="https://ca"} 0"#,
        r#"sancho_late_sends_total{ca="https://ca"} 0"#,
        r#"sancho_budget_permits_total{ca="dns:route53:1a2b"} 0"#,
        r#"sancho_reconcile_errors_total{kind="Secret"} 0"#,
        r#"sancho_reconcile_errors_total{kind="Gateway"} 0"#,
        r#"sancho_reconcile_errors_total{kind="Ingress"} 0"#,
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    let of_providers = text.lines().filter(|line| line.contains("dns:"));
    let of_providers: Vec<&str> = of_providers
        .filter(|line| line.contains("order") || line.contains("request"))
        .collect();
    assert!(of_providers.is_empty(), "{of_providers:?}");
}

#[test]
fn those_who_ask_at_once_are_each_told_of_every_certificate() {
    const MANY: usize = 300;
    let of = |number: usize| -> Certificate {
        serde_json::from_value(serde_json::json!({
            "metadata": { "name": format!("shop-{number}"), "namespace": "shop" },
            "spec": { "secretName": "a", "issuerRef": { "name": "ca" }, "dnsNames": ["a.example"] },
        }))
        .unwrap()
    };
    let certificates: Vec<Certificate> = (0..MANY).map(of).collect();
    let overview = Overview::of(certificates.iter(), [].iter(), true, jiff::Timestamp::UNIX_EPOCH);
    let metrics = Metrics::default();
    let fewest = || {
        let asked = (0..20).map(|_| metrics.text_with(&overview));
        asked
            .map(|text| text.matches("sancho_certificate_ready{").count())
            .min()
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(fewest)).collect();
        for one in all {
            assert_eq!(one.join().unwrap(), Some(MANY));
        }
    });
}

#[test]
fn the_charts_alerts_and_dashboard_speak_of_metrics_that_exist() {
    let metrics = Metrics::default();
    let ca = "https://ca";
    metrics.permitted(ca, Duration::from_millis(40));
    metrics.requested(ca, "newOrder", "201", Duration::from_millis(40));
    metrics.late(ca);
    metrics.paused(ca);
    metrics.order_ended(ca, OrderKind::New, ISSUED, Some(Duration::from_secs(20)));
    metrics.reconcile_error("Certificate");
    metrics.api_requested(listed(), "200".into(), Duration::from_millis(40));
    let now = jiff::Timestamp::UNIX_EPOCH;
    let shard = serde_json::from_value(serde_json::json!({
        "metadata": { "name": "a-0" },
        "spec": { "certificate": "a", "index": 0, "secretName": "a", "issuerRef": { "name": "ca" } },
        "status": { "issued": {
            "target": "t", "fingerprint": "f", "notBefore": now, "notAfter": now, "renewalTime": now,
        } },
    }))
    .unwrap();
    metrics.budget(ca, &BudgetView::default(), 0);
    let text = metrics.text_with(&Overview::of([].iter(), [shard].iter(), false, now));
    let exist: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let mut mentioned = Vec::new();
    for file in [
        include_str!("../../../charts/sancho/alerts.yaml"),
        include_str!("../../../charts/sancho/dashboard.json"),
    ] {
        let words = file.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        mentioned.extend(words.filter(|word| word.starts_with("sancho_")));
    }
    assert!(mentioned.len() > 15, "{mentioned:?}");
    mentioned.retain(|word| !exist.contains(word));
    assert!(mentioned.is_empty(), "there are no metrics {mentioned:?}");
}
