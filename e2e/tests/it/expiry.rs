//! A certificate that expires while no replica runs.

use std::time::Duration;

use jiff::Timestamp;
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::certificates::Leaf;
use sancho_e2e::manifests::names;
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};

use crate::stories::{FAST, apply_certificate, apply_issuer, judged, orders, ready, secrets, world};

const PATIENCE: Duration = Duration::from_secs(90);

async fn leaf(world: &World) -> Leaf {
    let (_, chain) = secrets(world).await.remove("shop-tls").unwrap();
    Leaf::read(&chain).unwrap()
}

#[tokio::test]
async fn what_expired_while_nobody_ran_is_issued_anew_by_one_order_once_somebody_does() {
    let pebble = PebbleOptions {
        validity: Duration::from_secs(45),
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let mut world = world(2, FAST, ca).await;
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(3), 10).await;
    ready(&world, "shop", PATIENCE).await;
    for replica in &world.replicas {
        replica.process().kill();
    }
    // The last one that was issued, should it have been renewed by now.
    let (before, made) = (leaf(&world).await, orders(&world).await);
    wait_for("the certificate to expire", PATIENCE, &[], async || {
        Ok((Timestamp::now() > before.not_after).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(leaf(&world).await, before);

    for replica in &mut world.replicas {
        replica.restart().await.unwrap();
    }
    let after = wait_for("a certificate that is valid", PATIENCE, &[], async || {
        let leaf = leaf(&world).await;
        Ok((leaf.serial != before.serial).then_some(leaf))
    })
    .await
    .unwrap();
    let now = Timestamp::now();
    assert!(after.not_before <= now && now < after.not_after, "{after:?}");
    assert_ne!(after.public_key, before.public_key);
    ready(&world, "shop", PATIENCE).await;
    assert_eq!(orders(&world).await, made + 1);
    judged(&world, FAST);
}
