//! An account gets another key, and stays the account that it is.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use sancho_crds::{ClusterIssuer, IssuerStatus, condition};
use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::front::Fault;
use sancho_e2e::manifests::{cluster_issuer, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::NAMESPACE;
use sancho_e2e::world::{CaOptions, World};

use crate::stories::{
    FAST, apply_certificate, apply_issuer, issuer_ready, judged, orders, ready, secrets, world,
};

/// Has the issuer `ca` name another account Secret.
async fn name_account_secret(world: &World, secret: &str) {
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), FAST);
    issuer["spec"]["acme"]["privateKeySecretRef"]["name"] = secret.into();
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
}

/// Waits until the issuer `ca` is ready with the key in `secret`.
async fn ready_with(world: &World, secret: &str) -> IssuerStatus {
    let issuers: Api<ClusterIssuer> = Api::all(world.cluster.client());
    let what = format!("ClusterIssuer ca to be ready with the key in {secret}");
    wait_for(&what, Duration::from_secs(60), &[], async || {
        let status = issuers.get("ca").await?.status.unwrap_or_default();
        let is_ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
        ensure!(
            is_ready && status.account_key_secret.as_deref() == Some(secret),
            "{status:?}"
        );
        Ok(Some(status))
    })
    .await
    .unwrap()
}

/// Waits for an event about the issuer `ca` that has this reason and says `words`.
async fn told(world: &World, reason: &str, words: &str) {
    let events: Api<Event> = Api::all(world.cluster.client());
    let what = format!("an event {reason}: … {words} …");
    wait_for(&what, Duration::from_secs(30), &[], async || {
        let events = events.list(&Default::default()).await?;
        let is_it = |event: &Event| {
            event.reason.as_deref() == Some(reason)
                && event.note.as_deref().unwrap_or_default().contains(words)
        };
        Ok(events.iter().any(is_it).then_some(()))
    })
    .await
    .unwrap();
}

fn management(world: &World, status: u16) -> usize {
    let arrivals = world.front().unwrap().log().arrivals;
    let is_it = |kind, code| kind == RequestKind::Management && code == Some(status);
    arrivals
        .iter()
        .filter(|arrival| is_it(arrival.kind, arrival.status))
        .count()
}

#[tokio::test]
async fn another_account_secret_gives_the_account_another_key_and_nothing_is_issued_again() {
    let world = world(3, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    let before = ready_with(&world, "ca-account").await;
    apply_certificate(&world, "shop", &names(4), 2).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    let issued = secrets(&world).await;
    let keys: Api<Secret> = Api::namespaced(world.cluster.client(), NAMESPACE);
    let old_key = keys.get("ca-account").await.unwrap();

    name_account_secret(&world, "ca-account-2").await;
    let after = ready_with(&world, "ca-account-2").await;
    assert_eq!(after.account_url, before.account_url);
    assert_ne!(after.thumbprint, before.thumbprint);
    told(
        &world,
        "AccountKeyChanged",
        "Secret ca-account is not needed any more",
    )
    .await;
    assert_eq!(management(&world, 200), 1);
    assert_eq!(keys.get("ca-account").await.unwrap().data, old_key.data);
    assert_ne!(keys.get("ca-account-2").await.unwrap().data, old_key.data);
    assert_eq!(secrets(&world).await, issued);

    // All three order with the new key, and answer by it.
    keys.delete("ca-account", &Default::default()).await.unwrap();
    let others: Vec<String> = names(9).split_off(4);
    apply_certificate(&world, "bar", &others, 1).await;
    ready(&world, "bar", Duration::from_secs(60)).await;
    assert_eq!(orders(&world).await, 2 + 5);
    assert_eq!(secrets(&world).await.len(), 2 + 5);
    judged(&world, FAST);
}

#[tokio::test]
async fn a_key_change_whose_answer_is_lost_is_found_out() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    let before = ready_with(&world, "ca-account").await;
    let is_lost = std::sync::atomic::AtomicBool::new(false);
    world.front().unwrap().set_faults(move |arrival| {
        let is_first = arrival.kind == RequestKind::Management
            && !is_lost.swap(true, std::sync::atomic::Ordering::Relaxed);
        is_first.then_some(Fault::CloseAfter)
    });
    name_account_secret(&world, "ca-account-2").await;
    let after = ready_with(&world, "ca-account-2").await;
    assert_eq!(after.account_url, before.account_url);
    assert_ne!(after.thumbprint, before.thumbprint);
    assert_eq!(management(&world, 200), 1);
}

#[tokio::test]
async fn an_account_whose_key_is_lost_or_that_the_ca_gives_no_other_key_makes_way_for_a_new_one() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    let first = ready_with(&world, "ca-account").await;
    let keys: Api<Secret> = Api::namespaced(world.cluster.client(), NAMESPACE);
    keys.delete("ca-account", &Default::default()).await.unwrap();
    name_account_secret(&world, "ca-account-2").await;
    let second = ready_with(&world, "ca-account-2").await;
    assert_ne!(second.account_url, first.account_url);
    told(
        &world,
        "AccountKeyLost",
        "ca-account, which has the account's key, does not exist",
    )
    .await;
    assert_eq!(management(&world, 200), 0);

    world.front().unwrap().set_faults(|arrival| {
        (arrival.kind == RequestKind::Management).then(|| Fault::Answer {
            status: 403,
            headers: vec![("content-type".into(), "application/problem+json".into())],
            body: r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"keys stay here"}"#.into(),
        })
    });
    name_account_secret(&world, "ca-account-3").await;
    let third = ready_with(&world, "ca-account-3").await;
    assert_ne!(third.account_url, second.account_url);
    told(&world, "AccountKeyChangeRefused", "keys stay here").await;
    let kept = keys.get("ca-account-2").await.unwrap();
    assert!(kept.data.is_some_and(|data| data.contains_key("tls.key")));
}
