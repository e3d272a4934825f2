//! A CA that takes fewer names in one certificate than was thought.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use sancho_crds::{Certificate, ClusterIssuer};
use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::front::Fault;
use sancho_e2e::manifests::names;
use sancho_e2e::world::{CaOptions, World};

use crate::stories::{FAST, apply_certificate, apply_issuer, issuer_ready, orders, ready, secrets, world};

/// The CA refuses an order of more than 20 names. Returns how many it has refused.
fn refuse_more_than_20(world: &World) -> Arc<AtomicUsize> {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    world
        .front()
        .unwrap()
        .set_payload_faults(move |arrival, payload| {
            let asked = payload["identifiers"].as_array().map_or(0, Vec::len);
            let is_refused = arrival.kind == RequestKind::NewOrder && asked > 20;
            is_refused.then(|| {
                count.fetch_add(1, Ordering::Relaxed);
                Fault::Answer {
                    status: 400,
                    headers: vec![("Content-Type".into(), "application/problem+json".into())],
                    body: serde_json::json!({
                        "type": "urn:ietf:params:acme:error:rejectedIdentifier",
                        "detail": "identifier limit exceeded",
                    })
                    .to_string(),
                }
            })
        });
    refused
}

#[tokio::test]
async fn a_cap_that_the_ca_turns_out_to_have_is_kept_and_refused_once() {
    let world = world(2, FAST, CaOptions::default()).await;
    let refused = refuse_more_than_20(&world);
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;

    // Refused once, split, issued: three orders, and each name in one Secret.
    apply_certificate(&world, "shop", &names(45), 100).await;
    let shop = ready(&world, "shop", Duration::from_secs(120)).await;
    assert_eq!(refused.load(Ordering::Relaxed), 1);
    let status = shop.status.unwrap();
    assert_eq!((status.shards, status.max_names), (Some(3), Some(20)));
    assert_eq!(orders(&world).await, 3);
    let sizes: Vec<usize> = secrets(&world)
        .await
        .values()
        .map(|(names, _)| names.len())
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 45);
    assert!(sizes.iter().all(|size| *size <= 20), "{sizes:?}");

    // Kept in the issuer's status, and told.
    let issuers: Api<ClusterIssuer> = Api::all(world.cluster.client());
    let caps = issuers.get("ca").await.unwrap().status.unwrap().name_caps;
    assert_eq!(
        (caps.len(), caps[0].max_names, caps[0].profile.clone()),
        (1, 20, None)
    );
    assert!(caps[0].message.contains("identifier limit exceeded"), "{caps:?}");
    let events: Api<Event> = Api::all(world.cluster.client());
    let events = events.list(&Default::default()).await.unwrap();
    let is_told = |event: &&Event| event.reason.as_deref() == Some("NamesLimited");
    assert!(events.iter().any(|event| is_told(&event)));

    // A later Certificate begins with it.
    let more: Vec<String> = (0..30).map(|n| format!("n{n}.more.example")).collect();
    apply_certificate(&world, "more", &more, 100).await;
    let more = ready(&world, "more", Duration::from_secs(120)).await;
    assert_eq!(more.status.unwrap().shards, Some(2));
    assert_eq!(refused.load(Ordering::Relaxed), 1);
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let plan = certificates.get("shop").await.unwrap().status.unwrap().plan;
    assert_eq!(plan, status.plan, "the first was planned again");
}
