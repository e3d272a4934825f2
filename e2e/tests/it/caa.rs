//! CAA records are looked at before the CA is asked. Pebble publishes by which name they mean it, and does not look at them
//! itself: so what is seen here is Sancho's own look.

use std::collections::BTreeSet;
use std::time::Duration;

use sancho_crds::{FoundBy, QuarantinePlace};
use sancho_e2e::bind::{BindOptions, KEY, KEY_NAME};
use sancho_e2e::manifests::cluster_issuer;
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};
use serde_json::json;

use crate::dns01::{apply_key, solver};
use crate::stories::{FAST, apply_certificate, orders, ready, secrets, shards, world};

const CLOSED: &str = "shop.example";
/// Its names are validated by DNS.
const PLAIN: &str = "plain.shop.example";
const OPEN: &str = "blog.example";

async fn issued(world: &World) -> BTreeSet<String> {
    let secrets = secrets(world).await;
    secrets.into_values().flat_map(|(names, _)| names).collect()
}

/// The name is left out by the look at CAA records, which says `words`.
async fn left_out(world: &World, name: &str, words: &str) {
    let shards = shards(world).await.into_iter();
    let mut entries = shards.flat_map(|shard| shard.status.unwrap().quarantine);
    let entry = entries.find(|entry| entry.name == name).unwrap();
    assert_eq!(
        (entry.place, entry.found_by, entry.reason.as_str()),
        (QuarantinePlace::Out, FoundBy::Check, "CAAForbids")
    );
    assert!(
        entry.message.contains(words),
        "{words} is not in {}",
        entry.message
    );
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
    // Names by DNS alone, and no wildcard.
    let records = [
        "issue \"pebble.letsencrypt.org; validationmethods=dns-01\"",
        "issuewild \";\"",
    ];
    let records = records.map(|record| format!("{PLAIN}. 60 CAA 0 {record}"));
    bind.add(&records).await.unwrap();
    apply_key(&world, "tsig", KEY).await;
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), FAST);
    let mut by_dns = solver(bind, KEY_NAME);
    by_dns["selector"] = json!({ "dnsZones": [PLAIN] });
    issuer["spec"]["acme"]["solvers"] = json!([{ "http01": { "external": {} } }, by_dns]);
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
    let (forbidden, wildcard) = (format!("www.{CLOSED}"), format!("*.{PLAIN}"));
    let open = [format!("a.{OPEN}"), format!("b.{OPEN}"), PLAIN.to_owned()];
    let asked = [&open[..], &[forbidden.clone(), wildcard.clone()]].concat();
    apply_certificate(&world, "shop", &asked, 20).await;

    let certificate = ready(&world, "shop", Duration::from_secs(90)).await;
    assert_eq!(certificate.status.unwrap().quarantined_names, Some(2));
    assert_eq!(issued(&world).await, open.into_iter().collect());
    assert_eq!(orders(&world).await, 1, "the CA was asked in vain");
    let words = "CAA lets other CAs alone issue for it (shop.example. CAA 0 issue \"ca.example\"): \
                 add shop.example. CAA 0 issue \"pebble.letsencrypt.org\"";
    left_out(&world, &forbidden, words).await;
    let words = "CAA lets nobody issue wildcards for it (plain.shop.example. CAA 0 issuewild \";\"): \
                 add plain.shop.example. CAA 0 issuewild \"pebble.letsencrypt.org\"";
    left_out(&world, &wildcard, words).await;

    bind.set_caa(CLOSED, "pebble.letsencrypt.org").await.unwrap();
    let mut all: BTreeSet<String> = asked.into_iter().collect();
    all.remove(&wildcard);
    wait_for("the name to join", Duration::from_secs(180), &[], async || {
        Ok((issued(&world).await == all).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(
        orders(&world).await,
        2,
        "one more, with all names but the wildcard"
    );
    left_out(&world, &wildcard, words).await;
}
