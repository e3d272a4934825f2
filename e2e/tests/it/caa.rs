//! CAA records are looked at before the CA is asked. Pebble publishes by which name they mean it, and does not look at them
//! itself: so what is seen here is Sancho's own look.

use std::collections::BTreeSet;
use std::time::Duration;

use sancho_crds::{FoundBy, QuarantinePlace};
use sancho_e2e::bind::BindOptions;
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};

use crate::stories::{FAST, apply_certificate, apply_issuer, orders, ready, secrets, shards, world};

const CLOSED: &str = "shop.example";
const OPEN: &str = "blog.example";

async fn issued(world: &World) -> BTreeSet<String> {
    let secrets = secrets(world).await;
    secrets.into_values().flat_map(|(names, _)| names).collect()
}

#[tokio::test]
async fn a_name_that_caa_forbids_is_left_out_with_advice_costs_the_ca_nothing_and_joins_once_it_is_mended() {
    let options = CaOptions {
        bind: Some(BindOptions {
            zones: [CLOSED, OPEN].map(str::to_owned).to_vec(),
            ..BindOptions::default()
        }),
        ..CaOptions::default()
    };
    let world = world(1, FAST, options).await;
    let bind = world.bind().unwrap();
    bind.set_caa(CLOSED, "ca.example").await.unwrap();
    apply_issuer(&world, FAST).await;
    let forbidden = format!("www.{CLOSED}");
    let open = [format!("a.{OPEN}"), format!("b.{OPEN}")];
    let mut asked = open.to_vec();
    asked.push(forbidden.clone());
    apply_certificate(&world, "shop", &asked, 20).await;

    let certificate = ready(&world, "shop", Duration::from_secs(90)).await;
    assert_eq!(certificate.status.unwrap().quarantined_names, Some(1));
    assert_eq!(issued(&world).await, open.into_iter().collect());
    assert_eq!(orders(&world).await, 1, "the CA was asked in vain");
    let mut left_out = shards(&world)
        .await
        .into_iter()
        .flat_map(|shard| shard.status.unwrap().quarantine);
    let entry = left_out.next().unwrap();
    assert_eq!(
        (entry.name, entry.place, entry.found_by, entry.reason.as_str()),
        (forbidden, QuarantinePlace::Out, FoundBy::Check, "CAAForbids")
    );
    for part in [
        "(shop.example. CAA 0 issue \"ca.example\")",
        "add shop.example. CAA 0 issue \"pebble.letsencrypt.org\"",
    ] {
        assert!(entry.message.contains(part), "{part} is not in {}", entry.message);
    }

    bind.set_caa(CLOSED, "pebble.letsencrypt.org").await.unwrap();
    let all: BTreeSet<String> = asked.into_iter().collect();
    wait_for("the name to join", Duration::from_secs(180), &[], async || {
        Ok((issued(&world).await == all).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(orders(&world).await, 2, "one more, with all names");
}
