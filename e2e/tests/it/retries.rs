//! What is made again by hand: a failed attempt, by an annotation or another issuer, and one that comes to no end.

use std::sync::OnceLock;
use std::time::Duration;

use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::front::Fault;
use sancho_e2e::manifests::names;
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};
use serde_json::{Value, json};

use crate::stories::{
    FAST, apply_certificate, apply_issuer, issuer_ready, not_ready, orders, ready, shards, world,
};

#[tokio::test]
async fn the_annotation_retry_has_what_failed_tried_again_at_once() {
    let world = refused_for_two_hours().await;
    let annotate = ["annotate", "scert", "shop", "sancho.dev/retry=paid"];
    world.cluster.kubectl(&annotate).await.unwrap();
    ready(&world, "shop", Duration::from_secs(90)).await;
    let status = shards(&world).await[0].status.clone().unwrap();
    assert_eq!((status.failure, status.orders), (None, Some(1)));
}

#[tokio::test]
async fn an_issuer_that_is_deleted_and_made_anew_has_what_failed_tried_again_at_once() {
    let world = refused_for_two_hours().await;
    let delete = ["delete", "clusterissuer", "ca"];
    world.cluster.kubectl(&delete).await.unwrap();
    // It begins with generation 1 again.
    apply_issuer(&world, FAST).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    let status = shards(&world).await[0].status.clone().unwrap();
    assert_eq!((status.failure, status.orders), (None, Some(1)));
}

/// A CA that has refused the order of a Certificate, for two hours, and would not any more.
async fn refused_for_two_hours() -> World {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    world.front().unwrap().set_faults(|arrival| {
        (arrival.kind == RequestKind::NewOrder).then(|| Fault::Answer {
            status: 403,
            headers: vec![
                ("Content-Type".into(), "application/problem+json".into()),
                ("Retry-After".into(), "7200".into()),
            ],
            body: json!({
                "type": "urn:ietf:params:acme:error:unauthorized",
                "detail": "the customer has not paid",
            })
            .to_string(),
        })
    });
    apply_certificate(&world, "shop", &names(2), 20).await;
    not_ready(&world, "shop", "Unauthorized", "the customer has not paid").await;
    world.front().unwrap().set_faults(|_| None);
    world
}

#[tokio::test]
async fn an_order_that_is_processing_for_ever_is_given_up_by_hand_and_another_is_made() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    let asked = names(2);
    hang(&world, &asked);
    apply_certificate(&world, "shop", &asked, 20).await;
    wait_for(
        "the order to be finalized",
        Duration::from_secs(60),
        &[],
        async || {
            let shards = shards(&world).await;
            let status = shards.first().and_then(|shard| shard.status.as_ref());
            let order = status.and_then(|status| status.order.as_ref());
            Ok(order.filter(|order| order.stage == "Processing").map(|_| ()))
        },
    )
    .await
    .unwrap();
    assert_eq!(orders(&world).await, 1);

    let annotate = ["annotate", "scert", "shop", "sancho.dev/retry=it-hangs"];
    world.cluster.kubectl(&annotate).await.unwrap();
    not_ready(&world, "shop", "OrderOverdue", "it is given up").await;
    ready(&world, "shop", Duration::from_secs(150)).await;
    let status = shards(&world).await[0].status.clone().unwrap();
    assert_eq!((status.failure, status.orders), (None, Some(2)));
}

/// Has the CA say of the order of these names that is finalized first that it is processing, for ever.
fn hang(world: &World, names: &[String]) {
    let front = world.front().unwrap();
    let origin = front.origin();
    let identifiers: Vec<Value> = names
        .iter()
        .map(|name| json!({ "type": "dns", "value": name }))
        .collect();
    let first: OnceLock<String> = OnceLock::new();
    front.set_faults(move |arrival| {
        let id = arrival.path.rsplit('/').next().unwrap_or_default();
        let hangs = match arrival.kind {
            RequestKind::Finalize => first.get_or_init(|| id.to_owned()) == id,
            RequestKind::Order => first.get().is_some_and(|first| first == id),
            _ => false,
        };
        hangs.then(|| Fault::Answer {
            status: 200,
            headers: vec![
                ("Content-Type".into(), "application/json".into()),
                ("Retry-After".into(), "5".into()),
            ],
            body: json!({
                "status": "processing",
                "identifiers": identifiers,
                "authorizations": [],
                "finalize": format!("{origin}/finalize-order/{id}"),
            })
            .to_string(),
        })
    });
}
