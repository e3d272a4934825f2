//! One bad name does not block the rest.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::ensure;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use sancho_crds::{Certificate, FoundBy, QuarantinePlace, QuarantinedName, condition};
use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::manifests::{certificate, cluster_issuer, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::Replica;
use sancho_e2e::world::{CaOptions, World};
use serde_json::json;

use crate::plugin::{said, sancho};
use crate::stories::{
    FAST, apply_certificate, apply_issuer, is_ready, not_ready, orders, ready, secrets, shards, world,
};

/// Waits are for a first retry, after a minute, on a busy machine.
const RETRIED: Duration = Duration::from_secs(180);

/// All names that stand in a Secret's certificate.
async fn issued(world: &World) -> BTreeSet<String> {
    let secrets = secrets(world).await;
    secrets.into_values().flat_map(|(names, _)| names).collect()
}

/// The names that cannot be validated, over all shards.
async fn quarantine(world: &World) -> Vec<QuarantinedName> {
    let shards = shards(world).await.into_iter();
    shards
        .flat_map(|shard| shard.status.unwrap_or_default().quarantine)
        .collect()
}

/// Waits until a Certificate's `Degraded` has this status and reason.
async fn degraded(world: &World, name: &str, status: &str, reason: &str) -> (Certificate, Condition) {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let what = format!("Certificate {name} to be Degraded={status} ({reason})");
    wait_for(&what, RETRIED, &[], async || {
        let certificate = certificates.get(name).await?;
        let conditions = certificate.status.clone().unwrap_or_default().conditions;
        let degraded = condition(&conditions, "Degraded").cloned();
        ensure!(
            degraded
                .as_ref()
                .is_some_and(|d| (d.status.as_str(), d.reason.as_str()) == (status, reason)),
            "it says {conditions:?}"
        );
        Ok(degraded.map(|degraded| (certificate, degraded)))
    })
    .await
    .unwrap()
}

/// Applies a Certificate with one shard under this policy.
async fn apply_with_policy(world: &World, name: &str, dns_names: &[String], policy: Option<&str>) {
    let mut manifest = certificate(name, "ca", dns_names, 20);
    if let Some(policy) = policy {
        manifest["spec"]["policy"] = policy.into();
    }
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
}

#[tokio::test]
async fn one_bad_name_of_42_is_left_out_costs_the_ca_nothing_and_joins_once_it_is_mended() {
    let world = world(2, FAST, CaOptions::default()).await;
    let (asked, bad) = (names(42), "shop-0007.demo.example");
    world.pebble().unwrap().break_name(bad).await.unwrap();
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &asked, 20).await;
    let certificate = ready(&world, "shop", Duration::from_secs(90)).await;
    let status = certificate.status.unwrap();
    assert_eq!(
        (status.ready_names, status.quarantined_names),
        (Some(41), Some(1))
    );
    let (_, words) = degraded(&world, "shop", "True", "NamesQuarantined").await;
    assert!(
        words.message.contains(bad) && words.message.contains("DNSFailed"),
        "{}",
        words.message
    );
    let all: BTreeSet<String> = asked.into_iter().collect();
    let missing: Vec<String> = all.difference(&issued(&world).await).cloned().collect();
    assert_eq!(missing, [bad]);
    assert_eq!(orders(&world).await, 3, "no order was made in vain");
    let left_out = quarantine(&world).await;
    assert_eq!(
        (left_out[0].place, left_out[0].found_by),
        (QuarantinePlace::Out, FoundBy::Check)
    );
    let doctor = said(&sancho(&world, &["doctor"]).await, 1);
    for words in [
        "fine      Certificates: 1 of 1 are ready",
        &format!("broken    name {bad} of Certificate default/shop: left out for "),
        "found by a look at its DNS and its path",
    ] {
        assert!(doctor.contains(words), "no {words} in {doctor}");
    }

    world.pebble().unwrap().mend_name(bad).await.unwrap();
    let (joined, _) = degraded(&world, "shop", "False", "AllNamesPass").await;
    assert!(is_ready(&joined));
    assert_eq!(issued(&world).await, all);
    assert_eq!(
        orders(&world).await,
        4,
        "one more for the shard of the mended name"
    );
}

#[tokio::test]
async fn a_name_that_only_the_ca_refuses_is_left_out_and_an_edit_clears_it() {
    let pebble = PebbleOptions {
        blocked_domains: vec!["blocked.example".into()],
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let world = world(1, FAST, ca).await;
    apply_issuer(&world, FAST).await;
    let good: BTreeSet<String> = names(41).into_iter().collect();
    let mut asked = names(41);
    asked.push("www.blocked.example".into());
    apply_certificate(&world, "shop", &asked, 20).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    assert_eq!(issued(&world).await, good);
    let left_out = quarantine(&world).await;
    assert_eq!(left_out.len(), 1);
    assert_eq!(left_out[0].found_by, FoundBy::Ca);
    assert_eq!(left_out[0].reason, "RejectedIdentifier");
    assert!(
        left_out[0].message.contains("take the name out"),
        "{}",
        left_out[0].message
    );

    apply_certificate(&world, "shop", &names(41), 20).await;
    degraded(&world, "shop", "False", "AllNamesPass").await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    assert_eq!(issued(&world).await, good);
}

#[tokio::test]
async fn strict_issues_all_or_nothing_until_the_policy_is_changed() {
    let world = world(1, FAST, CaOptions::default()).await;
    let (asked, bad) = (names(3), "shop-0002.demo.example");
    world.pebble().unwrap().break_name(bad).await.unwrap();
    apply_issuer(&world, FAST).await;
    apply_with_policy(&world, "shop", &asked, Some("Strict")).await;
    not_ready(&world, "shop", "DNSFailed", bad).await;
    assert_eq!(orders(&world).await, 0);
    assert_eq!(issued(&world).await, BTreeSet::new());

    apply_with_policy(&world, "shop", &asked, Some("Quarantine")).await;
    degraded(&world, "shop", "True", "NamesQuarantined").await;
    wait_for("the other two names", RETRIED, &[], async || {
        Ok((issued(&world).await.len() == 2).then_some(()))
    })
    .await
    .unwrap();
    assert!(!issued(&world).await.contains(bad));
}

#[tokio::test]
async fn with_the_check_turned_off_the_ca_says_which_name_is_bad() {
    let world = world(1, FAST, CaOptions::default()).await;
    let (asked, bad) = (names(3), "shop-0002.demo.example");
    world.pebble().unwrap().break_name(bad).await.unwrap();
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), FAST);
    issuer["spec"]["acme"]["solvers"][0]["http01"]["selfCheck"] = "Disabled".into();
    let asked_for: Arc<Mutex<Vec<usize>>> = Arc::default();
    let sizes = asked_for.clone();
    front.set_payload_faults(move |arrival, payload| {
        if arrival.kind == RequestKind::NewOrder {
            let names = payload["identifiers"].as_array().map_or(0, Vec::len);
            sizes.lock().unwrap().push(names);
        }
        None
    });
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
    apply_certificate(&world, "shop", &asked, 20).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    let left_out = quarantine(&world).await;
    assert_eq!(left_out.len(), 1);
    assert_eq!(
        (left_out[0].name.as_str(), left_out[0].found_by),
        (bad, FoundBy::Ca)
    );
    assert_eq!(left_out[0].reason, "ValidationFailed");
    assert_eq!(issued(&world).await.len(), 2);
    assert_eq!(orders(&world).await, 2);

    // By hand the CA is asked about it alone, at once, and it joins; by itself it would have taken two minutes.
    world.pebble().unwrap().mend_name(bad).await.unwrap();
    let begun = Instant::now();
    let annotate = ["annotate", "scert", "shop", "sancho.dev/retry=mended"];
    world.cluster.kubectl(&annotate).await.unwrap();
    let (joined, _) = degraded(&world, "shop", "False", "AllNamesPass").await;
    assert!(begun.elapsed() < Duration::from_secs(75), "{:?}", begun.elapsed());
    assert!(is_ready(&joined));
    assert_eq!(issued(&world).await.len(), 3);
    let mut asked_for = asked_for.lock().unwrap().clone();
    // Of those that Pebble wants another nonce for there are two.
    asked_for.dedup();
    assert_eq!(asked_for, [3, 2, 1, 3], "names in each order");
}

#[tokio::test]
async fn an_edit_of_the_issuer_has_the_names_that_it_left_out_tried_at_once() {
    let world = world(1, FAST, CaOptions::default()).await;
    let asked = names(3);
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), FAST);
    issuer["spec"]["acme"]["solvers"][0]["selector"] = json!({ "dnsNames": asked[..2] });
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
    apply_certificate(&world, "shop", &asked, 20).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    assert_eq!(quarantine(&world).await[0].reason, "NoSolver");

    // By itself it would have been looked at after a minute.
    let begun = Instant::now();
    apply_issuer(&world, FAST).await;
    degraded(&world, "shop", "False", "AllNamesPass").await;
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert_eq!(issued(&world).await.len(), 3);
}

#[tokio::test]
async fn when_all_names_lead_elsewhere_no_order_is_made_until_they_lead_here() {
    let world = world(1, FAST, CaOptions::default()).await;
    world.router.set_responders(Vec::new());
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(3), 20).await;
    let advice = "route http://NAME/.well-known/acme-challenge/ to Sancho's responder";
    not_ready(&world, "shop", "ForeignAnswer", advice).await;
    assert_eq!(orders(&world).await, 0);

    world
        .router
        .set_responders(world.replicas.iter().map(Replica::responder).collect());
    ready(&world, "shop", RETRIED).await;
    assert_eq!(issued(&world).await.len(), 3);
    assert_eq!(orders(&world).await, 1);
}

#[tokio::test]
async fn a_served_name_that_fails_at_the_renewal_is_kept_while_there_is_time_and_not_dropped_in_silence() {
    let pebble = PebbleOptions {
        authz_reuse_percent: Some(0),
        validity: Duration::from_secs(150),
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let world = world(1, FAST, ca).await;
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(3), 20).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    let bad = "shop-0002.demo.example";
    world.pebble().unwrap().break_name(bad).await.unwrap();

    let (held_up, words) = degraded(&world, "shop", "True", "RenewalHeldUp").await;
    assert!(words.message.contains(bad), "{}", words.message);
    assert!(is_ready(&held_up));
    assert!(issued(&world).await.contains(bad), "it is served on");

    let (_, words) = degraded(&world, "shop", "True", "NamesQuarantined").await;
    assert!(words.message.contains("ValidationFailed"), "{}", words.message);
    wait_for("a certificate without the name", RETRIED, &[], async || {
        Ok((!issued(&world).await.contains(bad)).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(issued(&world).await.len(), 2);
}
