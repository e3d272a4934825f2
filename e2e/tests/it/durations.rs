//! A lifetime that the Certificate asks for, and a CA that does not take it.

use std::time::Duration;

use jiff::SignedDuration;
use sancho_e2e::front::Fault;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::world::{CaOptions, World};

use crate::stories::{FAST, apply_issuer, issuer_ready, not_ready, ready, shards, world};

async fn apply(world: &World, name: &str, duration: Option<&str>) {
    let mut manifest = certificate(name, "ca", &names(1), 20);
    if let Some(duration) = duration {
        manifest["spec"]["duration"] = duration.into();
    }
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
}

#[tokio::test]
async fn a_duration_is_asked_of_the_ca_and_its_refusal_is_told_with_the_mend() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    apply(&world, "taken", Some("240h")).await;
    ready(&world, "taken", Duration::from_secs(60)).await;
    let issued = shards(&world).await[0].status.clone().unwrap().issued.unwrap();
    let valid = issued.not_after.0.duration_since(issued.not_before.0);
    let is_near = (valid - SignedDuration::from_hours(240)).abs() < SignedDuration::from_mins(10);
    assert!(is_near, "valid for {valid:?}");

    // A CA as Boulder is.
    world.front().unwrap().set_payload_faults(|_, payload| {
        payload["notAfter"].is_string().then(|| Fault::Answer {
            status: 400,
            headers: vec![("Content-Type".into(), "application/problem+json".into())],
            body: serde_json::json!({
                "type": "urn:ietf:params:acme:error:malformed",
                "detail": "NotBefore and NotAfter are not supported",
            })
            .to_string(),
        })
    });
    apply(&world, "refused", Some("240h")).await;
    not_ready(
        &world,
        "refused",
        "DurationRefused",
        "take spec.duration out of the Certificate",
    )
    .await;
    apply(&world, "refused", None).await;
    ready(&world, "refused", Duration::from_secs(60)).await;
}
