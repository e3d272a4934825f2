//! What edits and deletions cost and leave.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_crds::CertificateShard;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::secret_watch::SecretWatch;
use sancho_e2e::world::{CaOptions, World};
use serde_json::json;

use crate::stories::{FAST, apply_certificate, apply_issuer, orders, ready, secrets, shards, world};

#[tokio::test]
async fn an_edit_reissues_only_its_shard_and_a_deleted_secret_comes_back() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    let mut asked = names(25);
    apply_certificate(&world, "shop", &asked, 10).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    let first = secrets(&world).await;
    assert_eq!(first.len(), 3);
    assert_eq!(orders(&world).await, 3);

    asked.push("new.demo.example".into());
    apply_certificate(&world, "shop", &asked, 10).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    let second = secrets(&world).await;
    let changed: Vec<&String> = second
        .keys()
        .filter(|name| second[*name].1 != first[*name].1)
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(second[changed[0]].0.contains("new.demo.example"));

    asked.retain(|name| name != "shop-0001.demo.example");
    apply_certificate(&world, "shop", &asked, 10).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    let third = secrets(&world).await;
    let changed: Vec<&String> = third
        .keys()
        .filter(|name| third[*name].1 != second[*name].1)
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(!third[changed[0]].0.contains("shop-0001.demo.example"));
    assert_eq!(orders(&world).await, 5);

    let api: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    api.delete("shop-tls-1", &Default::default()).await.unwrap();
    wait_for(
        "the deleted Secret to come back",
        Duration::from_secs(60),
        &[],
        async || Ok(api.get_opt("shop-tls-1").await?),
    )
    .await
    .unwrap();
    assert_eq!(secrets(&world).await["shop-tls-1"].0, third["shop-tls-1"].0);
}

/// Splits and groups names that are served, and waits until all is as asked: each with its shards' Secrets.
async fn regrouped(world: &World, sharding: serde_json::Value, expected: &[&str]) -> Vec<CertificateShard> {
    let mut manifest = certificate("shop", "ca", &names(6), 6);
    manifest["spec"]["sharding"] = sharding;
    manifest["spec"]["secretDeletionPolicy"] = "Delete".into();
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    ready(world, "shop", Duration::from_secs(60)).await;
    wait_for("nothing to be kept", Duration::from_secs(60), &[], async || {
        let shards = shards(world).await;
        let mut present: Vec<&str> = shards
            .iter()
            .map(|shard| shard.spec.secret_name.as_str())
            .collect();
        present.sort_unstable();
        ensure!(present == expected, "{present:?}");
        let is_one_kept = shards.iter().any(|shard| !shard.spec.kept_names.is_empty());
        Ok((!is_one_kept).then_some(shards))
    })
    .await
    .unwrap()
}

/// What has a name goes on serving it until another Secret does, though Secrets are deleted with their shards.
#[tokio::test]
async fn names_that_move_to_other_secrets_are_served_all_the_time() {
    let mut options = sancho_e2e::world::WorldOptions {
        replicas: 2,
        ..Default::default()
    };
    options.cluster.controller_manager = true;
    let world = World::start(options).await.unwrap();
    apply_issuer(&world, FAST).await;
    regrouped(&world, json!({ "maxNames": 6 }), &["shop-tls"]).await;
    let api: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    let watch = SecretWatch::start(api).await.unwrap();
    assert_eq!(orders(&world).await, 1);

    let split = regrouped(
        &world,
        json!({ "maxNames": 2 }),
        &["shop-tls", "shop-tls-1", "shop-tls-2"],
    )
    .await;
    assert_eq!(watch.lost(&names(6)), Vec::<String>::new());
    // One for each, and none to keep anything.
    assert_eq!(orders(&world).await, 4);

    // All that the last one has becomes a group's: its Secret goes once the group's is there.
    let last = split.iter().find(|shard| shard.spec.index == 2).unwrap();
    let group = json!([{ "name": "front", "dnsNames": last.spec.dns_names }]);
    let sharding = json!({ "maxNames": 2, "groups": group });
    regrouped(&world, sharding, &["shop-tls", "shop-tls-1", "shop-tls-front"]).await;
    // The shard that is retired has taken its one with it.
    assert_eq!(orders(&world).await, 4);
    wait_for(
        "the Secret that nothing needs to be deleted",
        Duration::from_secs(60),
        &[],
        async || Ok((!secrets(&world).await.contains_key("shop-tls-2")).then_some(())),
    )
    .await
    .unwrap();
    assert_eq!(watch.lost(&names(6)), Vec::<String>::new());
}

/// The Secret that it had before still holds the certificate of that time.
#[tokio::test]
async fn a_secret_name_that_is_taken_back_leads_to_a_secret_with_what_is_asked_for_now() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    let apply = async |secret: &str, count: u32| {
        let mut manifest = certificate("shop", "ca", &names(count), 10);
        manifest["spec"]["secretName"] = secret.into();
        world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
        ready(&world, "shop", Duration::from_secs(60)).await;
        secrets(&world).await
    };
    apply("one-tls", 2).await;
    apply("two-tls", 2).await;
    let before = apply("two-tls", 3).await;
    assert_eq!((before["one-tls"].0.len(), before["two-tls"].0.len()), (2, 3));

    let after = apply("one-tls", 3).await;
    assert_eq!(after["one-tls"].0, before["two-tls"].0);
    assert_eq!(after["two-tls"], before["two-tls"]);
    assert_eq!(orders(&world).await, 4);
    // What fits already is taken as it is.
    let again = apply("two-tls", 3).await;
    assert_eq!(again, after);
    assert_eq!(orders(&world).await, 4);
}

#[tokio::test]
async fn secrets_of_a_deleted_certificate_stay_and_are_used_when_it_comes_back() {
    let mut options = sancho_e2e::world::WorldOptions {
        replicas: 1,
        ..Default::default()
    };
    options.cluster.controller_manager = true;
    let world = World::start(options).await.unwrap();
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(12), 5).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    let before = secrets(&world).await;
    world.cluster.kubectl(&["delete", "scert", "shop"]).await.unwrap();
    wait_for(
        "the shards to be collected",
        Duration::from_secs(60),
        &[],
        async || {
            Ok(world
                .cluster
                .kubectl(&["get", "certificateshards", "-o", "name"])
                .await?
                .is_empty()
                .then_some(()))
        },
    )
    .await
    .unwrap();
    assert_eq!(secrets(&world).await, before);
    let requests = world.front().unwrap().log().arrivals.len();
    apply_certificate(&world, "shop", &names(12), 5).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    assert_eq!(secrets(&world).await, before);
    assert_eq!(
        world.front().unwrap().log().arrivals.len(),
        requests,
        "the CA was asked"
    );
}
