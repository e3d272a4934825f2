//! Profiles of the CA: the Certificate's before the issuer's, and what is said of one that is not offered.

use std::time::Duration;

use jiff::SignedDuration;
use kube::Api;
use sancho_crds::{CertificateShard, ClusterIssuer, condition};
use sancho_e2e::arrivals::{Arrival, RequestKind};
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::front::Fault;
use sancho_e2e::manifests::{certificate, cluster_issuer, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};

use crate::stories::{FAST, not_ready, ready, shards, world};

const DAY: u64 = 24 * 3600;

async fn apply_issuer(world: &World, profile: Option<&str>) {
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), FAST);
    if let Some(profile) = profile {
        issuer["spec"]["acme"]["profile"] = profile.into();
    }
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
    // What is ordered from now on is ordered by what it says.
    let issuers: Api<ClusterIssuer> = Api::all(world.cluster.client());
    wait_for(
        "the issuer to be seen",
        Duration::from_secs(60),
        &[],
        async || {
            let issuer = issuers.get("ca").await?;
            let seen = issuer.status.and_then(|status| status.observed_generation);
            Ok((seen == issuer.metadata.generation).then_some(()))
        },
    )
    .await
    .unwrap();
}

async fn apply_certificate(world: &World, name: &str, profile: Option<&str>) {
    let mut manifest = certificate(name, "ca", &names(2), 20);
    if let Some(profile) = profile {
        manifest["spec"]["profile"] = profile.into();
    }
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
}

/// Waits until a Certificate's first certificate is valid for about so many days.
async fn valid_for(world: &World, name: &str, days: u64) {
    let what = format!("a certificate of {days} days");
    wait_for(&what, Duration::from_secs(60), &[], async || {
        let shards = shards(world).await;
        let first = shards.iter().find(|shard| shard.spec.certificate == name);
        let status = first.and_then(|shard| shard.status.as_ref());
        let Some(issued) = status.and_then(|status| status.issued.as_ref()) else {
            return Ok(None);
        };
        let valid = issued.not_after.0.duration_since(issued.not_before.0);
        let wanted = SignedDuration::try_from(Duration::from_secs(days * DAY))?;
        Ok(((valid - wanted).abs() < SignedDuration::from_hours(2)).then_some(()))
    })
    .await
    .unwrap();
}

/// The orders that the CA has made.
fn new_orders(world: &World) -> usize {
    world.front().unwrap().log().orders()
}

/// How often the CA was asked for an order.
fn asked(world: &World) -> usize {
    let log = world.front().unwrap().log();
    let is_new_order = |arrival: &&Arrival| arrival.kind == RequestKind::NewOrder;
    log.arrivals.iter().filter(is_new_order).count()
}

#[tokio::test]
async fn a_profile_is_asked_for_and_one_that_is_not_offered_is_told_before_any_order() {
    let profile =
        |name: &str, text: &str, days| (name.to_owned(), text.to_owned(), Duration::from_secs(days * DAY));
    let pebble = PebbleOptions {
        profiles: vec![
            profile("shortlived", "six days", 6),
            profile("long", "for a year", 365),
        ],
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    // The status of an issuer says what one replica has seen.
    let world = world(1, FAST, ca).await;

    // Not offered: told with those that are, and the CA is not asked for an order.
    apply_issuer(&world, Some("gone")).await;
    apply_certificate(&world, "shop", None).await;
    let offered = "in spec.acme.profile of the issuer, or leave it out; it offers default (the usual one), long \
                   (for a year), shortlived (six days)";
    not_ready(&world, "shop", "ProfileNotOffered", offered).await;
    assert_eq!(asked(&world), 0);

    // Mended at the issuer.
    apply_issuer(&world, Some("shortlived")).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    valid_for(&world, "shop", 6).await;

    // The Certificate's own counts before it, and has the certificate issued anew.
    apply_certificate(&world, "own", Some("nowhere")).await;
    not_ready(
        &world,
        "own",
        "ProfileNotOffered",
        "in spec.profile of the Certificate",
    )
    .await;
    apply_certificate(&world, "own", Some("long")).await;
    ready(&world, "own", Duration::from_secs(60)).await;
    valid_for(&world, "own", 365).await;

    // The issuer's edit re-issues nothing.
    let before = new_orders(&world);
    apply_issuer(&world, Some("default")).await;
    apply_certificate(&world, "later", None).await;
    ready(&world, "later", Duration::from_secs(60)).await;
    valid_for(&world, "later", 90).await;
    assert_eq!(new_orders(&world), before + 1);

    // The CA's own refusal of a profile that its directory has.
    world.front().unwrap().set_faults(|arrival| {
        (arrival.kind == RequestKind::NewOrder).then(|| Fault::Answer {
            status: 400,
            headers: vec![("Content-Type".into(), "application/problem+json".into())],
            body: serde_json::json!({
                "type": "urn:ietf:params:acme:error:invalidProfile",
                "detail": "not for this account",
            })
            .to_string(),
        })
    });
    apply_certificate(&world, "refused", Some("shortlived")).await;
    not_ready(
        &world,
        "refused",
        "ProfileNotOffered",
        "the CA's words: invalidProfile: not for this account",
    )
    .await;
    world.front().unwrap().set_faults(|_| None);
    apply_certificate(&world, "refused", Some("default")).await;
    ready(&world, "refused", Duration::from_secs(60)).await;
    valid_for(&world, "refused", 90).await;
    let shards: Api<CertificateShard> = Api::namespaced(world.cluster.client(), "default");
    let status = shards.get("refused-0").await.unwrap().status.unwrap();
    assert_eq!(status.failure, None);
    assert_eq!(condition(&status.conditions, "Ready").unwrap().status, "True");
}
