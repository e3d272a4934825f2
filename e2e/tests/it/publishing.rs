//! A certificate that was issued comes into its Secret, and an older one never in place of a newer one.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_e2e::api_proxy::ApiProxy;
use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::certificates::Leaf;
use sancho_e2e::faults::Fault;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::ReplicaOptions;
use sancho_e2e::world::{CaOptions, World};

use crate::stories::{FAST, apply_certificate, apply_issuer, orders, ready, shards, world};

const PATIENCE: Duration = Duration::from_secs(90);

/// A world whose replicas reach the API server through proxies.
async fn behind_proxies(replicas: usize) -> (World, Vec<ApiProxy>) {
    let mut world = world(0, FAST, CaOptions::default()).await;
    let mut proxies = Vec::new();
    for _ in 0..replicas {
        let proxy = ApiProxy::start(&world.cluster).await.unwrap();
        let options = ReplicaOptions {
            api_server: Some(proxy.api_server()),
            ..ReplicaOptions::default()
        };
        world.add_replica(options).await.unwrap();
        proxies.push(proxy);
    }
    for replica in &world.replicas {
        replica.ready().await.unwrap();
    }
    apply_issuer(&world, FAST).await;
    (world, proxies)
}

/// Tells from now on when a chain was downloaded.
fn downloads(world: &World) -> Arc<AtomicBool> {
    let downloaded = Arc::new(AtomicBool::new(false));
    let seen = downloaded.clone();
    world.front().unwrap().set_faults(move |arrival| {
        if arrival.kind == RequestKind::Certificate {
            seen.store(true, Ordering::SeqCst);
        }
        None
    });
    downloaded
}

async fn leaf(world: &World) -> Leaf {
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    let secret = secrets.get("shop-tls").await.unwrap();
    Leaf::read(&secret.data.unwrap()["tls.crt"].0).unwrap()
}

/// Has the certificate renewed, and waits until that is done.
async fn renewed(world: &World, annotation: &str) -> Leaf {
    let before = leaf(world).await;
    let annotate = ["annotate", "--overwrite", "scert", "shop", annotation];
    world.cluster.kubectl(&annotate).await.unwrap();
    wait_for("the renewal", PATIENCE, &[], async || {
        let rests = shards(world).await.iter().all(|shard| {
            let status = shard.status.clone().unwrap_or_default();
            status.order.is_none() && status.claim.is_none()
        });
        let now = leaf(world).await;
        Ok((rests && now.serial != before.serial).then_some(now))
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_replica_that_was_stopped_with_a_chain_in_hand_overwrites_nothing_when_it_wakes() {
    let (world, proxies) = behind_proxies(2).await;
    // With the same key the old chain would still fit.
    let mut manifest = certificate("shop", "ca", &names(1), 20);
    manifest["spec"]["privateKey"] = serde_json::json!({ "rotationPolicy": "Never" });
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    ready(&world, "shop", PATIENCE).await;

    // Whoever has downloaded the next chain is stopped as it asks for the key.
    let downloaded = downloads(&world);
    let is_stopped = Arc::new(AtomicBool::new(false));
    for (proxy, replica) in proxies.iter().zip(&world.replicas) {
        let process = replica.process().clone();
        let (downloaded, is_stopped) = (downloaded.clone(), is_stopped.clone());
        proxy.set_faults(move |request| {
            let is_it = request.path.ends_with("/secrets/shop-0-next-key")
                && request.method == "GET"
                && downloaded.load(Ordering::SeqCst)
                && !is_stopped.swap(true, Ordering::SeqCst);
            let process = process.clone();
            is_it.then(|| {
                Fault::BeforeAnswer(Box::new(move || {
                    process.stop().unwrap();
                }))
            })
        });
    }
    let second = renewed(&world, "sancho.dev/renew=once").await;
    assert!(is_stopped.load(Ordering::SeqCst));
    let third = renewed(&world, "sancho.dev/renew=twice").await;
    assert_ne!(second.serial, third.serial);
    assert_eq!(second.public_key, third.public_key);

    for replica in &world.replicas {
        replica.process().resume().unwrap();
    }
    wait_for("the one that wakes to give up", PATIENCE, &[], async || {
        let mut logs = world.replicas.iter().map(|replica| replica.process().log_path());
        let says =
            |text: String| text.contains("left in the middle") && text.contains("changed by somebody else");
        let gave_up = logs.any(|path| fs::read_to_string(path).is_ok_and(says));
        Ok(gave_up.then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(leaf(&world).await, third);
    assert_eq!(orders(&world).await, 3);
}

#[tokio::test]
async fn a_secret_that_could_not_be_written_is_written_a_few_seconds_later() {
    let (world, proxies) = behind_proxies(1).await;
    apply_certificate(&world, "shop", &names(1), 20).await;
    ready(&world, "shop", PATIENCE).await;
    let refused = Arc::new(Mutex::new(Vec::new()));
    let seen = refused.clone();
    proxies[0].set_faults(move |request| {
        if request.method != "PATCH" || !request.path.ends_with("/secrets/shop-tls") {
            return None;
        }
        let mut seen = seen.lock().unwrap();
        seen.push(Instant::now());
        (seen.len() <= 2).then(|| Fault::Answer {
            status: 500,
            headers: Vec::new(),
            body: "etcd is away\n".to_owned(),
        })
    });
    renewed(&world, "sancho.dev/renew=once").await;
    // After 2 s, and 4 s more.
    let writes = refused.lock().unwrap().clone();
    assert_eq!(writes.len(), 3);
    let waited = writes[2] - writes[0];
    assert!(
        waited > Duration::from_secs(5) && waited < Duration::from_secs(25),
        "{waited:?}"
    );
    assert_eq!(orders(&world).await, 2);
}
