//! A CA that is away is told of, fails no order, and is asked again by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::front::Fault;
use sancho_e2e::manifests::names;
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};

use crate::plugin::doctor_says;
use crate::stories::{
    FAST, apply_certificate, apply_issuer, issuer_not_ready, issuer_ready, not_ready, orders, ready, shards,
    world,
};

/// Long enough for the pauses, which double, of the outages here.
const RECOVERY: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_ca_that_refuses_connections_fails_no_order_and_all_comes_right_once_it_is_back() {
    let mut world = world(1, FAST, CaOptions::default()).await;
    let advice = "refuses connections: check the issuer's spec.acme.server and that the CA is running";

    // Before there is an account.
    world.ca.as_mut().unwrap().front.close();
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(3), 2).await;
    issuer_not_ready(&world, "CaUnreachable", advice).await;
    not_ready(&world, "shop", "IssuerNotReady", advice).await;
    let ca = format!("CA {} of ClusterIssuer ca", world.front().unwrap().origin());
    let not_reached = format!("broken    {ca}: not reached from the cluster since ");
    let next_step = "-> see whether the CA runs; then let the Pods in sancho-system out to it";
    let seen = [
        not_reached.as_str(),
        "CaUnreachable: ",
        advice,
        "no answer of it is known",
        next_step,
    ];
    doctor_says(&world, &seen).await;
    world.ca.as_mut().unwrap().front.open().await.unwrap();
    issuer_ready(&world).await;
    ready(&world, "shop", RECOVERY).await;
    assert_eq!(orders(&world).await, 2);
    let reached = format!("fine      {ca}: reached from the cluster: it answered last ");
    doctor_says(&world, &[&reached]).await;

    // In the middle of an order.
    let finalizes = hold_up_finalize(&world, 500, "");
    apply_certificate(&world, "more", &names(2), 20).await;
    came(&finalizes).await;
    world.ca.as_mut().unwrap().front.close();
    not_ready(&world, "more", "CaUnreachable", advice).await;
    no_failure(&world).await;
    doctor_says(&world, &[&not_reached, "it answered last at ", advice]).await;
    world.front().unwrap().set_faults(|_| None);
    world.ca.as_mut().unwrap().front.open().await.unwrap();
    ready(&world, "more", RECOVERY).await;
    assert_eq!(orders(&world).await, 3, "an order was made again");
}

#[tokio::test]
async fn a_ca_that_answers_503_to_everything_fails_no_order_and_all_comes_right_once_it_is_back() {
    let world = world(1, FAST, CaOptions::default()).await;
    let advice = "see whether the CA is overloaded if this stays, else lower the budget";
    let words = "503 Service Temporarily Unavailable";

    // Before there is an account.
    overload(&world);
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(3), 2).await;
    issuer_not_ready(&world, "CaThrottles", advice).await;
    issuer_not_ready(&world, "CaThrottles", words).await;
    not_ready(&world, "shop", "IssuerNotReady", advice).await;
    world.front().unwrap().set_faults(|_| None);
    issuer_ready(&world).await;
    ready(&world, "shop", RECOVERY).await;
    assert_eq!(orders(&world).await, 2);

    // In the middle of an order.
    let finalizes = hold_up_finalize(&world, 503, PAGE);
    apply_certificate(&world, "more", &names(2), 20).await;
    came(&finalizes).await;
    overload(&world);
    not_ready(&world, "more", "Throttled", advice).await;
    not_ready(&world, "more", "Throttled", words).await;
    no_failure(&world).await;
    // And before there is an order.
    apply_certificate(&world, "later", &names(1), 20).await;
    not_ready(&world, "later", "Throttled", advice).await;
    no_failure(&world).await;
    world.front().unwrap().set_faults(|_| None);
    ready(&world, "more", RECOVERY).await;
    ready(&world, "later", RECOVERY).await;
    assert_eq!(orders(&world).await, 4, "an order was made again");
}

/// What nginx answers.
const PAGE: &str = "<html><head><title>503 Service Temporarily Unavailable</title></head></html>";

fn overload(world: &World) {
    world.front().unwrap().set_faults(|_| Some(page(503, PAGE)));
}

fn page(status: u16, body: &str) -> Fault {
    Fault::Answer {
        status,
        headers: vec![("Content-Type".into(), "text/html".into())],
        body: body.into(),
    }
}

/// Answers finalize alone like this, so that an order stays in the middle. Tells when one came.
fn hold_up_finalize(world: &World, status: u16, body: &'static str) -> Arc<AtomicBool> {
    let came = Arc::new(AtomicBool::new(false));
    let seen = came.clone();
    world.front().unwrap().set_faults(move |arrival| {
        (arrival.kind == RequestKind::Finalize).then(|| {
            seen.store(true, Ordering::Relaxed);
            page(status, body)
        })
    });
    came
}

async fn came(finalizes: &AtomicBool) {
    wait_for(
        "an order to come as far as finalize",
        Duration::from_secs(60),
        &[],
        async || Ok(finalizes.load(Ordering::Relaxed).then_some(())),
    )
    .await
    .unwrap();
}

/// Nothing counts as a failed attempt, which would lengthen the pause before the next order.
async fn no_failure(world: &World) {
    for shard in shards(world).await {
        let failure = shard.status.and_then(|status| status.failure);
        assert_eq!(failure, None);
    }
}
