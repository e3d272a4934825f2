//! What a collector of OpenTelemetry's spans sees of an order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::ensure;
use sancho_e2e::manifests::names;
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::ReplicaOptions;
use sancho_e2e::span_collector::{Span, SpanCollector};
use sancho_e2e::world::CaOptions;

use crate::stories::{FAST, apply_certificate, apply_issuer, ready, world};

#[tokio::test]
async fn an_order_is_one_trace_whichever_replicas_work_at_it() {
    let collector = SpanCollector::start().await.unwrap();
    let mut world = world(0, FAST, CaOptions::default()).await;
    for _ in 0..2 {
        let flags = vec!["--traces-endpoint".to_owned(), collector.endpoint()];
        let options = ReplicaOptions {
            flags,
            ..ReplicaOptions::default()
        };
        world.add_replica(options).await.unwrap();
    }
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(4), 2).await;
    ready(&world, "shop", Duration::from_secs(60)).await;

    // Spans are sent every few seconds.
    let spans = wait_for("two orders", Duration::from_secs(30), &[], async || {
        let spans = collector.spans();
        let ended = spans
            .iter()
            .filter(|span| span.name == "certificate order")
            .count();
        ensure!(ended == 2, "{ended} are there");
        // A turn ends a little after its order.
        let turns: BTreeSet<&str> = spans
            .iter()
            .filter(|span| span.name == "drive")
            .map(|span| span.trace.as_str())
            .collect();
        Ok((turns.len() == 2).then(|| spans.clone()))
    })
    .await
    .unwrap();

    let of_trace = |trace: &str| -> Vec<&Span> { spans.iter().filter(|span| span.trace == trace).collect() };
    let orders: Vec<&Span> = spans
        .iter()
        .filter(|span| span.name == "certificate order")
        .collect();
    assert_ne!(orders[0].trace, orders[1].trace);
    for order in orders {
        assert_eq!(order.parent, "");
        let says = |key: &str| order.attributes[key].as_str();
        assert_eq!(says("sancho.certificate"), "shop");
        assert_eq!(says("sancho.result"), "Issued");
        assert_eq!(says("sancho.names"), "2");
        assert_eq!(says("service.name"), "sancho");

        let all = of_trace(&order.trace);
        let by_id: BTreeMap<&str, &Span> = all.iter().map(|span| (span.id.as_str(), *span)).collect();
        let path = |span: &Span| {
            let mut path = vec![span.name.clone()];
            let mut at = span;
            while let Some(parent) = by_id.get(at.parent.as_str()) {
                if parent.name != "certificate order" {
                    assert!(parent.time.0 <= span.time.0, "{span:?} began before {parent:?}");
                }
                path.insert(0, parent.name.clone());
                at = parent;
            }
            path.join("/")
        };
        let paths: BTreeSet<String> = all.iter().map(|span| path(span)).collect();
        for wanted in [
            "certificate order/drive/look at names",
            "certificate order/drive/newOrder/permit",
            "certificate order/drive/newOrder/send",
            "certificate order/drive/authorization/send",
            "certificate order/drive/challenge/send",
            "certificate order/drive/finalize/send",
            "certificate order/drive/certificate/send",
            "certificate order/drive/publish",
        ] {
            assert!(paths.contains(wanted), "no {wanted} in {paths:#?}");
        }
        // One may be refused before, for its nonce.
        let made = all
            .iter()
            .find(|span| {
                let status = span.attributes.get("http.response.status_code");
                path(span).ends_with("newOrder/send") && status.is_some_and(|status| status == "201")
            })
            .unwrap();
        assert!(made.attributes["url.path"].contains("order"));
        assert!(made.attributes["service.instance.id"].starts_with("sancho-"));
    }
}
