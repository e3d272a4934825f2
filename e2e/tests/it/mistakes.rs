//! Each mistake is shown with what to do about it, and comes right by itself once it is mended.

use std::time::Duration;

use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::manifests::{certificate, cluster_issuer, names};
use sancho_e2e::world::CaOptions;

use crate::stories::{
    FAST, apply_certificate, apply_issuer, issuer_not_ready, issuer_ready, not_ready, ready, world,
};

#[tokio::test]
async fn what_is_wrong_with_an_issuer_is_said_and_mended() {
    let world = world(1, FAST, CaOptions::default()).await;
    let front = world.front().unwrap();

    // No issuer.
    apply_certificate(&world, "shop", &names(2), 20).await;
    let advice = "ClusterIssuer ca, which does not exist: create it";
    not_ready(&world, "shop", "IssuerNotFound", advice).await;

    // A root that nobody knows.
    let stranger = cluster_issuer("ca", &front.directory_url(), world.cluster.ca_pem(), FAST);
    world.cluster.apply_yaml(&stranger.to_string()).await.unwrap();
    let advice = "spec.acme.caBundle: put the PEM certificate of its root there";
    issuer_not_ready(&world, "CaRootUnknown", advice).await;
    not_ready(&world, "shop", "IssuerNotReady", advice).await;

    // Garbage in the account's Secret.
    world
        .cluster
        .kubectl(&["delete", "secret", "-n", "sancho-system", "ca-account"])
        .await
        .unwrap();
    let garbage = [
        "create",
        "secret",
        "generic",
        "-n",
        "sancho-system",
        "ca-account",
        "--from-literal=tls.key=x",
    ];
    world.cluster.kubectl(&garbage).await.unwrap();
    apply_issuer(&world, FAST).await;
    issuer_not_ready(&world, "AccountKeyInvalid", "Secret sancho-system/ca-account").await;
    let advice = "delete the Secret and a new account is made";
    issuer_not_ready(&world, "AccountKeyInvalid", advice).await;

    // Mended: everything comes right.
    world
        .cluster
        .kubectl(&["delete", "secret", "-n", "sancho-system", "ca-account"])
        .await
        .unwrap();
    issuer_ready(&world).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_and_mended() {
    let pebble = PebbleOptions {
        blocked_domains: vec!["blocked.example".into()],
        ..PebbleOptions::default()
    };
    let world = world(
        1,
        FAST,
        CaOptions {
            pebble,
            ..CaOptions::default()
        },
    )
    .await;
    apply_issuer(&world, FAST).await;

    // A name that the CA does not certify, in the CA's own words.
    let blocked = vec!["www.blocked.example".to_owned()];
    apply_certificate(&world, "blocked", &blocked, 20).await;
    not_ready(&world, "blocked", "RejectedIdentifier", "www.blocked.example").await;
    let advice = "take the name out of spec.dnsNames";
    not_ready(&world, "blocked", "RejectedIdentifier", advice).await;
    apply_certificate(&world, "blocked", &names(1), 20).await;
    ready(&world, "blocked", Duration::from_secs(60)).await;

    // A Secret of that name that is not ours is left alone.
    let theirs = [
        "create",
        "secret",
        "generic",
        "taken-tls",
        "--from-literal=keep=me",
    ];
    world.cluster.kubectl(&theirs).await.unwrap();
    apply_certificate(&world, "taken", &names(2), 20).await;
    let advice = "delete or rename it, or choose another spec.secretName";
    not_ready(&world, "taken", "SecretNotOurs", "Secret taken-tls").await;
    not_ready(&world, "taken", "SecretNotOurs", advice).await;
    let kept = world
        .cluster
        .kubectl(&["get", "secret", "taken-tls", "-o", "jsonpath={.data.keep}"])
        .await
        .unwrap();
    assert_eq!(kept, "bWU=");
    world
        .cluster
        .kubectl(&["delete", "secret", "taken-tls"])
        .await
        .unwrap();
    ready(&world, "taken", Duration::from_secs(60)).await;

    // Two Certificates that would write the same Secret.
    apply_certificate(&world, "x", &names(4), 2).await;
    ready(&world, "x", Duration::from_secs(60)).await;
    let mut second = certificate("y", "ca", &names(1), 2);
    second["spec"]["secretName"] = "x-tls-1".into();
    world.cluster.apply_yaml(&second.to_string()).await.unwrap();
    let both = "written by Certificate y and by Certificate x: choose another spec.secretName";
    not_ready(&world, "y", "SecretNameClash", both).await;
    second["spec"]["secretName"] = "y-tls".into();
    world.cluster.apply_yaml(&second.to_string()).await.unwrap();
    ready(&world, "y", Duration::from_secs(60)).await;
}
