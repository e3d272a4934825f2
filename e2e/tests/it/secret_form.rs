//! What Secrets have besides certificate and key: given, edited and taken away without a request to the CA.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use rcgen::{KeyPair, PublicKeyData};
use sancho_e2e::certificates::Leaf;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};
use serde_json::{Value, json};

use crate::stories::{FAST, apply_issuer, orders, ready, secrets, world};

const PATIENCE: Duration = Duration::from_secs(60);
/// What the keys begin with that Sancho writes itself.
const OWN: &str = "sancho.dev/";
/// What every Secret holds.
const TLS: [&str; 2] = ["tls.crt", "tls.key"];
/// A label that somebody else writes.
const OTHERS: &str = "others";

#[tokio::test]
async fn a_template_is_applied_edited_and_taken_away_without_a_request_to_the_ca() {
    let world = world(2, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    let both = json!({ "labels": { "team": "shop", "stage": "live" }, "annotations": { "example.com/note": "a: b" } });
    apply(&world, "secretTemplate", both).await;
    ready(&world, "shop", PATIENCE).await;
    has_pairs(
        &world,
        &[("stage", "live"), ("team", "shop")],
        &[("example.com/note", "a: b")],
    )
    .await;
    let issued = secrets(&world).await;
    assert_eq!(issued.len(), 2);
    let asked = world.front().unwrap().log().arrivals.len();

    // Somebody else's label stays, what somebody took away comes back.
    let api: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    let others = json!({ "metadata": { "labels": { OTHERS: "own", "team": null } } });
    api.patch("shop-tls", &PatchParams::default(), &Patch::Merge(others))
        .await
        .unwrap();
    wait_for("the label to come back", PATIENCE, &[], async || {
        let secret = api.get("shop-tls").await?;
        Ok((secret.labels().get("team").map(String::as_str) == Some("shop")).then_some(()))
    })
    .await
    .unwrap();

    let edited = json!({ "labels": { "team": "front" } });
    apply(&world, "secretTemplate", edited).await;
    has_pairs(&world, &[("team", "front")], &[]).await;

    apply(&world, "secretTemplate", Value::Null).await;
    has_pairs(&world, &[], &[]).await;
    assert_eq!(api.get("shop-tls").await.unwrap().labels()[OTHERS], "own");
    assert_eq!(secrets(&world).await, issued);
    assert_eq!(orders(&world).await, 2);
    let after = world.front().unwrap().log().arrivals.len();
    assert_eq!(after, asked, "the CA was asked");
}

#[tokio::test]
async fn further_formats_are_added_and_taken_away_without_a_request_to_the_ca() {
    let world = world(2, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    apply(
        &world,
        "additionalOutputFormats",
        json!([{ "type": "CombinedPEM" }]),
    )
    .await;
    ready(&world, "shop", PATIENCE).await;
    has_data(&world, &["tls-combined.pem"]).await;
    let issued = secrets(&world).await;
    let asked = world.front().unwrap().log().arrivals.len();

    let both = json!([{ "type": "CombinedPEM" }, { "type": "DER" }]);
    apply(&world, "additionalOutputFormats", both).await;
    has_data(&world, &["key.der", "tls-combined.pem"]).await;
    let api: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    for name in issued.keys() {
        let data = api.get(name).await.unwrap().data.unwrap();
        let [chain, key, combined, der] =
            ["tls.crt", "tls.key", "tls-combined.pem", "key.der"].map(|field| data[field].0.clone());
        let leaf = Leaf::read(&chain).unwrap();
        // A reader of PEM takes the parts that it looks for, wherever they stand.
        assert!(leaf.is_of_key(&combined).unwrap(), "{name}");
        assert!(combined.ends_with(&chain), "{name}");
        assert!(combined.starts_with(&key), "{name}");
        let key = KeyPair::try_from(der.as_slice()).unwrap();
        assert_eq!(key.subject_public_key_info(), leaf.public_key, "{name}");
    }

    apply(&world, "additionalOutputFormats", Value::Null).await;
    has_data(&world, &[]).await;
    assert_eq!(secrets(&world).await, issued);
    assert_eq!(orders(&world).await, 2);
    let after = world.front().unwrap().log().arrivals.len();
    assert_eq!(after, asked, "the CA was asked");
}

/// Two shards of one name each, and one field more in the spec.
async fn apply(world: &World, field: &str, value: Value) {
    let mut manifest = certificate("shop", "ca", &names(2), 1);
    if !value.is_null() {
        manifest["spec"][field] = value;
    }
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
}

/// Waits until all Secrets have exactly these labels and annotations, apart from Sancho's own and the test's.
async fn has_pairs(world: &World, labels: &[(&str, &str)], annotations: &[(&str, &str)]) {
    let api: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    wait_for("labels and annotations", PATIENCE, &[], async || {
        for name in ["shop-tls", "shop-tls-1"] {
            let secret = api.get(name).await?;
            for (present, wanted) in [(secret.labels(), labels), (secret.annotations(), annotations)] {
                let others: Vec<(&str, &str)> = present
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_str()))
                    .filter(|(key, _)| !key.starts_with(OWN) && *key != OTHERS)
                    .collect();
                ensure!(others == wanted, "{name} has {others:?} and not {wanted:?}");
            }
        }
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// Waits until all Secrets hold these besides certificate and key, and no more.
async fn has_data(world: &World, wanted: &[&str]) {
    let api: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    wait_for("data", PATIENCE, &[], async || {
        for name in ["shop-tls", "shop-tls-1"] {
            let data = api.get(name).await?.data.unwrap_or_default();
            let others: Vec<&str> = data.keys().map(String::as_str).collect();
            let others: Vec<&str> = others.into_iter().filter(|key| !TLS.contains(key)).collect();
            ensure!(others == wanted, "{name} has {others:?} and not {wanted:?}");
        }
        Ok(Some(()))
    })
    .await
    .unwrap();
}
