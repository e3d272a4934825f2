//! A quota of the CA that is used up holds back those that it counts, and nobody else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::Api;
use sancho_crds::{Certificate, condition};
use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::front::Fault;
use sancho_e2e::manifests::certificate;
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};

use crate::plugin::{said, sancho};
use crate::stories::{
    FAST, apply_certificate, apply_issuer, is_ready, issuer_ready, not_ready, ready, shards, world,
};

/// How long the CA has its quota last.
const LASTS: u32 = 25;

/// The orders that were asked for so far: when, and what was answered. Pebble refuses a nonce now and then (400); such
/// an attempt is none.
fn new_orders(world: &World) -> Vec<(Duration, Option<u16>)> {
    let log = world.front().unwrap().log();
    let orders = log
        .arrivals
        .iter()
        .filter(|arrival| arrival.kind == RequestKind::NewOrder && arrival.status != Some(400));
    orders
        .map(|arrival| (Duration::from_micros(arrival.at_us), arrival.status))
        .collect()
}

/// Waits until a Certificate's `RateLimited` is true and says this.
async fn rate_limited(world: &World, name: &str, words: &str) {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    wait_for(
        &format!("Certificate {name} to be rate limited: … {words} …"),
        Duration::from_secs(15),
        &[],
        async || {
            let conditions = certificates
                .get(name)
                .await?
                .status
                .unwrap_or_default()
                .conditions;
            let limited = condition(&conditions, "RateLimited").cloned();
            Ok(limited
                .filter(|limited| limited.status == "True" && limited.message.contains(words))
                .map(|_| ()))
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_domain_whose_quota_is_used_up_waits_and_others_do_not() {
    let world = world(2, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    let told = AtomicBool::new(false);
    world.front().unwrap().set_faults(move |arrival| {
        let is_first = arrival.kind == RequestKind::NewOrder && !told.swap(true, Ordering::Relaxed);
        is_first.then(|| Fault::Answer {
            status: 429,
            headers: vec![
                ("Content-Type".into(), "application/problem+json".into()),
                ("Retry-After".into(), LASTS.to_string()),
            ],
            body: serde_json::json!({
                "type": "urn:ietf:params:acme:error:rateLimited",
                "detail": "too many certificates (50) already issued for \"limited.example\" in the last 168h0m0s",
            })
            .to_string(),
        })
    });

    apply_certificate(&world, "first", &["www.limited.example".into()], 20).await;
    not_ready(&world, "first", "RateLimited", "limited.example").await;
    rate_limited(&world, "first", "too many certificates (50)").await;
    // It counts as no failed attempt.
    let failure = shards(&world).await[0].status.clone().unwrap().failure.unwrap();
    assert_eq!(failure.count, 0);
    let doctor = said(&sancho(&world, &["doctor"]).await, 1);
    let quota = "doubtful  quota of the CA for the registered domain limited.example: used up until ";
    assert!(doctor.contains(quota), "{doctor}");
    let file = world.dir().join("second.yaml");
    let second = certificate("second", "ca", &["shop.limited.example".into()], 20);
    std::fs::write(&file, second.to_string()).unwrap();
    let plan = said(&sancho(&world, &["plan", "-f", file.to_str().unwrap()]).await, 0);
    let quota =
        "quota: one of the orders waits for a quota of the CA for the registered domain limited.example";
    assert!(plan.contains(quota), "{plan}");

    // The same domain is not asked for, another is issued meanwhile.
    apply_certificate(&world, "second", &["shop.limited.example".into()], 20).await;
    apply_certificate(&world, "other", &["www.free.example".into()], 20).await;
    rate_limited(
        &world,
        "second",
        "the registered domain limited.example, used up until",
    )
    .await;
    let tree = said(&sancho(&world, &["status", "second"]).await, 1);
    let wait =
        "1 names  waits for a quota of the CA for the registered domain limited.example, used up until ";
    assert!(tree.contains(wait), "{tree}");
    ready(&world, "other", Duration::from_secs(20)).await;
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    assert!(!is_ready(&certificates.get("second").await.unwrap()));
    let statuses: Vec<_> = new_orders(&world).iter().map(|(_, status)| *status).collect();
    assert_eq!(
        statuses,
        [Some(429), Some(201)],
        "the other domain's is the second"
    );

    // Then both come right by themselves.
    let rest = Duration::from_secs(u64::from(LASTS) + 30);
    for name in ["first", "second"] {
        let certificate = ready(&world, name, rest).await;
        let conditions = certificate.status.unwrap().conditions;
        assert!(condition(&conditions, "RateLimited").is_none(), "{conditions:?}");
    }
    let orders = new_orders(&world);
    assert_eq!(orders.len(), 4, "{orders:?}");
    let over = orders[0].0 + Duration::from_secs(u64::from(LASTS));
    assert!(
        orders[2..].iter().all(|(at, _)| *at >= over),
        "asked too early: {orders:?}"
    );
}
