//! Certificates are revoked on demand, once, and issued anew with another key.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Patch;
use kube::{Api, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, RevocationStatus, condition};
use sancho_e2e::api_proxy::ApiProxy;
use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::certificates::Leaf;
use sancho_e2e::front::Fault;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::ReplicaOptions;
use sancho_e2e::world::{CaOptions, World};
use serde_json::json;

use crate::stories::{FAST, apply_issuer, is_ready, judged, orders, ready, shards, world};

const PATIENCE: Duration = Duration::from_secs(90);

/// Two names in shards of one each, whose keys are used again.
async fn two_shards(replicas: usize) -> World {
    let pebble = PebbleOptions {
        // Requests are counted.
        nonce_reject_percent: Some(0),
        retry_after: Duration::from_secs(1),
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let world = world(replicas, FAST, ca).await;
    apply_issuer(&world, FAST).await;
    let mut manifest = certificate("shop", "ca", &names(2), 1);
    manifest["spec"]["privateKey"] = json!({ "rotationPolicy": "Never" });
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    if replicas > 0 {
        ready(&world, "shop", PATIENCE).await;
    }
    world
}

async fn leaves(world: &World) -> BTreeMap<String, Leaf> {
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    let secrets = secrets.list(&Default::default()).await.unwrap();
    let tls = secrets
        .iter()
        .filter(|secret| secret.type_.as_deref() == Some("kubernetes.io/tls"));
    tls.map(|secret| {
        let chain = &secret.data.as_ref().unwrap()["tls.crt"].0;
        (secret.name_any(), Leaf::read(chain).unwrap())
    })
    .collect()
}

fn revocation(shard: &CertificateShard) -> Option<RevocationStatus> {
    shard.status.as_ref()?.revocation.clone()
}

/// Waits until so many shards have revoked something, everything is ready and no annotation is left.
async fn all_done(world: &World, revoked: usize) {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    wait_for("what is revoked to be issued anew", PATIENCE, &[], async || {
        let shards = shards(world).await;
        let is_done = |revocation: &RevocationStatus| revocation.revoked.is_some();
        let done = shards.iter().filter_map(revocation).filter(is_done).count();
        let rests = shards.iter().all(|shard| {
            let status = shard.status.clone().unwrap_or_default();
            status.claim.is_none()
                && status.issued.is_some()
                && status.revoke_seen.is_none()
                && shard.spec.revoke.is_none()
        });
        let certificate = certificates.get("shop").await?;
        let is_annotated =
            |annotations: &BTreeMap<String, String>| annotations.contains_key("sancho.dev/revoke");
        let secrets = secrets.list(&Default::default()).await?;
        let annotated = is_annotated(certificate.annotations())
            || secrets.iter().any(|secret| is_annotated(secret.annotations()));
        Ok((done == revoked && rests && !annotated && is_ready(&certificate)).then_some(()))
    })
    .await
    .unwrap();
}

async fn annotate(world: &World, what: &[&str], annotation: &str) {
    let mut args = vec!["annotate", "--overwrite"];
    args.extend(what);
    args.push(annotation);
    world.cluster.kubectl(&args).await.unwrap();
}

/// Requests to revoke that the CA has seen.
fn asked(world: &World) -> usize {
    let log = world.front().unwrap().log();
    let is_it = |kind: &RequestKind| *kind == RequestKind::Management;
    log.arrivals.iter().filter(|arrival| is_it(&arrival.kind)).count()
}

/// What Pebble says of a certificate.
async fn status(world: &World, leaf: &Leaf) -> String {
    let status = world
        .pebble()
        .unwrap()
        .certificate_status(&leaf.serial)
        .await
        .unwrap();
    status["Status"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_certificate_is_revoked_in_all_its_secrets_and_issued_anew_with_other_keys() {
    let world = two_shards(3).await;
    let before = leaves(&world).await;
    annotate(&world, &["scert", "shop"], "sancho.dev/revoke=keyCompromise").await;
    all_done(&world, 2).await;
    let after = leaves(&world).await;
    for (secret, old) in &before {
        let new = &after[secret];
        assert_eq!(status(&world, old).await, "Revoked", "{secret}");
        assert_eq!(status(&world, new).await, "Valid", "{secret}");
        assert_ne!(
            new.public_key, old.public_key,
            "{secret} has the key that is not safe"
        );
    }
    for shard in shards(&world).await {
        let revocation = revocation(&shard).unwrap();
        let old = &before[&shard.spec.secret_name];
        let serial: String = old.serial.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (revocation.serial, revocation.reason.as_str()),
            (serial, "keyCompromise")
        );
    }
    assert_eq!((asked(&world), orders(&world).await), (2, 4));

    // Once more is another request, for the certificates that are there now.
    annotate(&world, &["scert", "shop"], "sancho.dev/revoke=superseded").await;
    wait_for("the second request", PATIENCE, &[], async || {
        Ok((asked(&world) == 4).then_some(()))
    })
    .await
    .unwrap();
    all_done(&world, 2).await;
    let last = leaves(&world).await;
    for (secret, old) in &after {
        assert_eq!(status(&world, old).await, "Revoked", "{secret}");
        // The key is used again: nobody else has it.
        assert_eq!(last[secret].public_key, old.public_key, "{secret}");
        assert_ne!(last[secret].serial, old.serial, "{secret}");
    }
    assert_eq!((asked(&world), orders(&world).await), (4, 6));
    judged(&world, FAST);
}

/// Nothing but its Secret is left of a Certificate that is deleted: neither its revoked certificate nor the key that is not
/// safe comes back with it.
#[tokio::test]
async fn what_was_revoked_is_not_used_again_by_who_comes_after() {
    let world = two_shards(2).await;
    let before = leaves(&world).await;
    annotate(&world, &["scert", "shop"], "sancho.dev/paused=true").await;
    annotate(&world, &["scert", "shop"], "sancho.dev/revoke=keyCompromise").await;
    wait_for("all to be revoked", PATIENCE, &[], async || {
        let shards = shards(&world).await;
        let revoked = shards.iter().filter_map(revocation);
        Ok((revoked.filter(|revocation| revocation.revoked.is_some()).count() == 2).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(leaves(&world).await, before, "paused");
    world.cluster.kubectl(&["delete", "scert", "shop"]).await.unwrap();
    // No garbage collector runs here.
    world
        .cluster
        .kubectl(&["delete", "certificateshards", "--all"])
        .await
        .unwrap();
    let mut manifest = certificate("shop", "ca", &names(2), 1);
    manifest["spec"]["privateKey"] = json!({ "rotationPolicy": "Never" });
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    ready(&world, "shop", PATIENCE).await;
    let after = leaves(&world).await;
    for (secret, old) in &before {
        assert_ne!(after[secret].serial, old.serial, "{secret}");
        assert_ne!(after[secret].public_key, old.public_key, "{secret}");
        assert_eq!(status(&world, &after[secret]).await, "Valid", "{secret}");
    }
}

#[tokio::test]
async fn a_bad_reason_is_told_and_one_secret_alone_is_revoked_by_its_own_annotation() {
    let world = two_shards(1).await;
    let before = leaves(&world).await;
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    annotate(&world, &["scert", "shop"], "sancho.dev/revoke=oops").await;
    wait_for(
        "the Certificate to say what is wrong",
        PATIENCE,
        &[],
        async || {
            let certificate = certificates.get("shop").await?;
            let conditions = certificate.status.clone().unwrap_or_default().conditions;
            let revoking = condition(&conditions, "Revoking").context("no condition Revoking")?;
            let says = revoking.reason == "InvalidReason" && revoking.message.contains("keyCompromise");
            Ok((says && is_ready(&certificate)).then_some(()))
        },
    )
    .await
    .unwrap();
    annotate(&world, &["scert", "shop"], "sancho.dev/revoke-").await;

    let says = async |annotation: &str, reason: &str| {
        annotate(&world, &["secret", "shop-tls-1"], annotation).await;
        wait_for(&format!("the shard to say {reason}"), PATIENCE, &[], async || {
            let shards = shards(&world).await;
            let conditions = shards[1].status.clone().unwrap_or_default().conditions;
            let revoking = condition(&conditions, "Revoking").context("no condition Revoking")?;
            Ok((revoking.reason == reason).then_some(()))
        })
        .await
        .unwrap();
    };
    says("sancho.dev/revoke=oops", "InvalidReason").await;
    says("sancho.dev/revoke-", "NotAsked").await;
    says("sancho.dev/revoke=alas", "InvalidReason").await;
    assert_eq!(asked(&world), 0);

    annotate(
        &world,
        &["secret", "shop-tls-1"],
        "sancho.dev/revoke=cessationOfOperation",
    )
    .await;
    all_done(&world, 1).await;
    let after = leaves(&world).await;
    assert_eq!(after["shop-tls"], before["shop-tls"]);
    assert_ne!(after["shop-tls-1"].serial, before["shop-tls-1"].serial);
    assert_eq!(status(&world, &before["shop-tls-1"]).await, "Revoked");
    assert_eq!(status(&world, &before["shop-tls"]).await, "Valid");
    assert_eq!((asked(&world), orders(&world).await), (1, 3));
}

/// The account has got other people's certificates as well, and anybody can have these.
#[tokio::test]
async fn a_certificate_whose_key_is_not_beside_it_is_not_revoked() {
    let world = two_shards(1).await;
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    let theirs = secrets.get("shop-tls-1").await.unwrap();
    let chain = &theirs.data.as_ref().unwrap()["tls.crt"];
    let patch = json!({
        "metadata": { "annotations": { "sancho.dev/revoke": "keyCompromise" } },
        "data": { "tls.crt": chain },
    });
    secrets
        .patch("shop-tls", &Default::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    wait_for("the annotation to go", PATIENCE, &[], async || {
        let secret = secrets.get("shop-tls").await?;
        Ok((!secret.annotations().contains_key("sancho.dev/revoke")).then_some(()))
    })
    .await
    .unwrap();
    wait_for("an event that says why", PATIENCE, &[], async || {
        let events = world.cluster.kubectl(&["get", "events"]).await?;
        let why = "what is in Secret shop-tls is not revoked: the certificate is for another key";
        Ok((events.contains("NotRevoked") && events.contains(why)).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(asked(&world), 0);
    assert_eq!(status(&world, &leaves(&world).await["shop-tls-1"]).await, "Valid");
}

#[tokio::test]
async fn whoever_dies_before_the_answer_is_recorded_has_nothing_else_revoked() {
    let mut world = two_shards(1).await;
    let before = leaves(&world).await;
    // The CA has revoked it, and nobody hears of it.
    let process = world.replicas[0].process().clone();
    let is_dead = AtomicBool::new(false);
    world.front().unwrap().set_faults(move |arrival| {
        let is_it = arrival.kind == RequestKind::Management && !is_dead.swap(true, Ordering::SeqCst);
        let process = process.clone();
        is_it.then(|| Fault::BeforeAnswer(Box::new(move || process.kill())))
    });
    annotate(&world, &["secret", "shop-tls"], "sancho.dev/revoke=keyCompromise").await;
    world.replicas[0].process().wait_exit(PATIENCE).await.unwrap();
    assert_eq!(status(&world, &before["shop-tls"]).await, "Revoked");
    world.replicas[0].restart().await.unwrap();
    all_done(&world, 1).await;
    let after = leaves(&world).await;
    assert_eq!(status(&world, &after["shop-tls"]).await, "Valid");
    assert_ne!(after["shop-tls"].public_key, before["shop-tls"].public_key);
    assert_eq!((asked(&world), orders(&world).await), (2, 3));
}

#[tokio::test]
async fn whoever_dies_before_the_annotation_is_removed_has_nothing_else_revoked() {
    let mut world = two_shards(0).await;
    let proxy = ApiProxy::start(&world.cluster).await.unwrap();
    let options = ReplicaOptions {
        api_server: Some(proxy.api_server()),
        ..ReplicaOptions::default()
    };
    world.add_replica(options).await.unwrap().ready().await.unwrap();
    ready(&world, "shop", PATIENCE).await;
    let before = leaves(&world).await;
    // The first write to the Secret says that its certificate is revoked, the second removes the annotation.
    let process = world.replicas[0].process().clone();
    let writes = AtomicUsize::new(0);
    proxy.set_faults(move |request| {
        let is_write = request.method == "PATCH" && request.path.ends_with("/secrets/shop-tls");
        (is_write && writes.fetch_add(1, Ordering::SeqCst) == 1).then(|| {
            process.kill();
            Fault::CloseBefore
        })
    });
    annotate(&world, &["secret", "shop-tls"], "sancho.dev/revoke=superseded").await;
    world.replicas[0].process().wait_exit(PATIENCE).await.unwrap();
    assert_eq!(leaves(&world).await, before);
    world.replicas[0].restart().await.unwrap();
    all_done(&world, 1).await;
    let after = leaves(&world).await;
    assert_eq!(status(&world, &before["shop-tls"]).await, "Revoked");
    assert_eq!(status(&world, &after["shop-tls"]).await, "Valid");
    assert_eq!((asked(&world), orders(&world).await), (1, 3));
}

#[tokio::test]
async fn what_the_ca_refuses_is_said_and_ends_when_it_is_not_asked_for_any_more() {
    let world = two_shards(1).await;
    let before = leaves(&world).await;
    world.front().unwrap().set_faults(|arrival| {
        (arrival.kind == RequestKind::Management).then(|| Fault::Answer {
            status: 403,
            headers: vec![("Content-Type".into(), "application/problem+json".into())],
            body: json!({
                "type": "urn:ietf:params:acme:error:unauthorized",
                "detail": "it is not yours",
            })
            .to_string(),
        })
    });
    annotate(&world, &["scert", "shop"], "sancho.dev/revoke=superseded").await;
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let says = async |reason: &str, words: &str| {
        wait_for(&format!("Revoking to say {reason}"), PATIENCE, &[], async || {
            let conditions = certificates
                .get("shop")
                .await?
                .status
                .unwrap_or_default()
                .conditions;
            let revoking = condition(&conditions, "Revoking").context("no condition Revoking")?;
            Ok((revoking.reason == reason && revoking.message.contains(words)).then_some(()))
        })
        .await
        .unwrap();
    };
    says("Refused", "it is not yours").await;
    assert_eq!(leaves(&world).await, before);
    annotate(&world, &["scert", "shop"], "sancho.dev/revoke-").await;
    wait_for("nothing to be revoked any more", PATIENCE, &[], async || {
        let shards = shards(&world).await;
        Ok(shards
            .iter()
            .all(|shard| revocation(shard).is_none())
            .then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(leaves(&world).await, before);
    assert_eq!(orders(&world).await, 2);
}
