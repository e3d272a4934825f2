//! What people see of it: `kubectl sancho` at each step, and Prometheus.

use std::time::Duration;

use anyhow::ensure;
use sancho_e2e::process::wait_for;
use serde_json::Value;

use super::ground::{BORNE, Ground, text};

/// How soon what happened must be seen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of a new installation.
pub async fn doctor_finds_nothing(ground: &Ground) {
    wait_for("doctor to find nothing", PATIENCE, &[], async || {
        let (code, said) = ground.sancho(&["doctor"]).await;
        ensure!(code == Some(0), "{said}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    ground.say("kubectl sancho doctor finds nothing wrong");
}

/// Doctor has this among its findings, and says that something is wrong.
pub async fn doctor_finds(ground: &Ground, finding: &str) {
    let (code, said) = ground.sancho(&["doctor"]).await;
    assert_eq!(code, Some(1), "{said}");
    has(&said, &[finding]);
    ground.say("kubectl sancho doctor tells so");
}

/// A Certificate that is still to be applied takes so many orders.
pub async fn plan(ground: &Ground, name: &str, issuer: &str, count: u32, orders: usize) {
    let file = ground.manifest(name, issuer, count);
    let (code, said) = ground.sancho(&["plan", "-f", text(&file).unwrap()]).await;
    assert_eq!(code, Some(0), "{said}");
    has(&said, &[&format!("{orders} orders")]);
    ground.say(&format!("kubectl sancho plan foretells {orders} orders"));
}

/// A Certificate that is under way, with the names of an order.
pub async fn status_of_what_is_under_way(ground: &Ground, name: &str) {
    let (code, said) = ground.sancho(&["status", name]).await;
    assert_eq!(code, Some(1), "{said}");
    let certificate = format!("Certificate default/{name}");
    has(&said, &[&certificate, "not ready", "20 names"]);
    ground.say("kubectl sancho status tells how far it is");
}

/// The CA's budget, and who holds it.
pub async fn budget(ground: &Ground) {
    let (code, said) = ground.sancho(&["budget"]).await;
    assert_eq!(code, Some(0), "{said}");
    has(
        &said,
        &[&format!(
            "{} requests a second, burst {}, {} in flight",
            BORNE.rate, BORNE.burst, BORNE.in_flight
        )],
    );
    ground.say("kubectl sancho budget tells who shares it");
}

/// A host's Secret.
pub async fn which(ground: &Ground, host: &str, secret: &str) {
    let (code, said) = ground.sancho(&["which", host]).await;
    assert_eq!(code, Some(0), "{said}");
    has(&said, &[secret, "True"]);
}

/// All Certificates are ready, and Prometheus has it from each replica.
pub async fn everything_is_told_in_the_end(ground: &Ground) {
    let (code, said) = ground.sancho(&["status", "-A"]).await;
    assert_eq!(code, Some(0), "{said}");
    has(&said, &["first", "20/20", "second", "42/42", "third", "120/120"]);
    let (code, said) = ground.sancho(&["expiring", "--within", "30d"]).await;
    assert_eq!(code, Some(0), "{said}");

    let names: usize = ground.issued().await.0.len();
    let prometheus = ground.prometheus().await.unwrap();
    let query = r#"sancho_names{state="ready"}"#;
    let replicas = wait_for("Prometheus to have it", PATIENCE, &[], async || {
        let series = prometheus.query(query).await?;
        let told: Vec<Option<f64>> = series.iter().map(value).collect();
        ensure!(
            told == [Some(names as f64); 3],
            "{told:?} in place of {names} names thrice"
        );
        Ok(Some(told.len()))
    })
    .await
    .unwrap();
    ground.say(&format!(
        "kubectl sancho status and expiring tell of {names} names, and Prometheus by {replicas} replicas"
    ));
}

/// The value of a series.
fn value(series: &Value) -> Option<f64> {
    series["value"][1].as_str()?.parse().ok()
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}
