//! Each mistake is shown with what to do about it, and comes right by itself once it is mended.

use std::time::Duration;

use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::manifests::{certificate, cluster_issuer, names};
use sancho_e2e::world::CaOptions;

use crate::stories::{FAST, apply_certificate, apply_issuer, issuer_says, not_ready, ready, world};

#[tokio::test]
async fn what_is_wrong_with_an_issuer_is_said_and_mended() {
    let world = world(1, FAST, CaOptions::default()).await;
    let front = world.front().unwrap();

    // No issuer.
    apply_certificate(&world, "shop", &names(2), 20).await;
    let message = not_ready(&world, "shop", "IssuerNotFound").await;
    assert!(
        message.contains("ClusterIssuer ca, which does not exist"),
        "{message}"
    );

    // A root that nobody knows.
    let stranger = cluster_issuer("ca", &front.directory_url(), world.cluster.ca_pem(), FAST);
    world.cluster.apply_yaml(&stranger.to_string()).await.unwrap();
    let message = issuer_says(&world, "False", "CaRootUnknown").await;
    assert!(message.contains("spec.acme.caBundle"), "{message}");
    not_ready(&world, "shop", "IssuerNotReady").await;

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
    let message = issuer_says(&world, "False", "AccountKeyInvalid").await;
    assert!(message.contains("sancho-system/ca-account"), "{message}");

    // Mended: everything comes right.
    world
        .cluster
        .kubectl(&["delete", "secret", "-n", "sancho-system", "ca-account"])
        .await
        .unwrap();
    issuer_says(&world, "True", "AccountReady").await;
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
    let message = not_ready(&world, "blocked", "RejectedIdentifier").await;
    assert!(message.contains("blocked.example"), "{message}");
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
    let message = not_ready(&world, "taken", "SecretNotOurs").await;
    assert!(message.contains("taken-tls"), "{message}");
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
    let message = not_ready(&world, "y", "SecretNameClash").await;
    assert!(
        message.contains("Certificate y") && message.contains("Certificate x"),
        "{message}"
    );
}
