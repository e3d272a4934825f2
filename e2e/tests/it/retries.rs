//! A failed attempt is made again at once by hand.

use std::time::Duration;

use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::front::Fault;
use sancho_e2e::manifests::names;
use sancho_e2e::world::CaOptions;

use crate::stories::{FAST, apply_certificate, apply_issuer, issuer_ready, not_ready, ready, shards, world};

#[tokio::test]
async fn the_annotation_retry_has_what_failed_tried_again_at_once() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    // For two hours, says the CA.
    world.front().unwrap().set_faults(|arrival| {
        (arrival.kind == RequestKind::NewOrder).then(|| Fault::Answer {
            status: 403,
            headers: vec![
                ("Content-Type".into(), "application/problem+json".into()),
                ("Retry-After".into(), "7200".into()),
            ],
            body: serde_json::json!({
                "type": "urn:ietf:params:acme:error:unauthorized",
                "detail": "the customer has not paid",
            })
            .to_string(),
        })
    });
    apply_certificate(&world, "shop", &names(2), 20).await;
    not_ready(&world, "shop", "Unauthorized", "the customer has not paid").await;
    world.front().unwrap().set_faults(|_| None);

    let annotate = ["annotate", "scert", "shop", "sancho.dev/retry=paid"];
    world.cluster.kubectl(&annotate).await.unwrap();
    ready(&world, "shop", Duration::from_secs(90)).await;
    let status = shards(&world).await[0].status.clone().unwrap();
    assert_eq!((status.failure, status.orders), (None, Some(1)));
}
