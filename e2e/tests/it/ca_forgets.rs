//! A CA that was set up anew knows neither the account nor an order of it.

use std::time::Duration;

use sancho_e2e::manifests::names;
use sancho_e2e::process::wait_for;
use sancho_e2e::world::CaOptions;

use crate::stories::{
    FAST, SLOW, apply_certificate, apply_issuer, issuer_ready, orders, ready, secrets, world,
};

#[tokio::test]
async fn an_account_that_the_ca_has_forgotten_is_registered_again() {
    let mut world = world(2, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;

    world.ca.as_mut().unwrap().pebble.restart().await.unwrap();
    apply_certificate(&world, "shop", &names(12), 4).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    assert_eq!(secrets(&world).await.len(), 3);
    let events = world
        .cluster
        .kubectl(&["get", "events", "-A", "-o", "jsonpath={.items[*].reason}"])
        .await
        .unwrap();
    assert!(events.contains("AccountGone"), "{events}");
}

#[tokio::test]
async fn an_order_that_the_ca_has_forgotten_in_the_middle_is_made_again() {
    let mut world = world(1, SLOW, CaOptions::default()).await;
    apply_issuer(&world, SLOW).await;
    apply_certificate(&world, "shop", &names(12), 20).await;
    wait_for(
        "the order to be recorded",
        Duration::from_secs(60),
        &[],
        async || Ok((orders(&world).await > 0).then_some(())),
    )
    .await
    .unwrap();
    world.ca.as_mut().unwrap().pebble.restart().await.unwrap();
    ready(&world, "shop", Duration::from_secs(120)).await;
    assert_eq!(orders(&world).await, 2);
}
