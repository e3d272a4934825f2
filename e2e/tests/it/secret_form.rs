//! What Secrets have besides certificate and key: given, edited and taken away without a request to the CA.

use std::time::Duration;

use anyhow::{Context, ensure};
use jks::KeyStore;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use p12_keystore::Pkcs12Archive;
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sancho_crds::{Certificate, condition};
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

#[tokio::test]
async fn a_keystore_is_made_once_its_password_is_there_and_kept_while_it_holds_the_same() {
    let world = world(2, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    let of_key = |key: &str| {
        let password = json!({ "name": "store", "key": key });
        json!({
            "pkcs12": { "create": true, "passwordSecretRef": password },
            "jks": { "create": true, "passwordSecretRef": password, "alias": "server" },
        })
    };
    apply(&world, "keystores", of_key("one")).await;
    ready(&world, "shop", PATIENCE).await;
    degraded(
        &world,
        "True",
        "kubectl create secret generic store --from-literal=one=PASSWORD",
    )
    .await;
    has_data(&world, &[]).await;
    let issued = secrets(&world).await;
    let asked = world.front().unwrap().log().arrivals.len();

    let store = [
        "create",
        "secret",
        "generic",
        "store",
        "--from-literal=one=first-one",
        "--from-literal=two=second-one",
        "--from-literal=short=five5",
    ];
    world.cluster.kubectl(&store).await.unwrap();
    has_data(&world, &["keystore.jks", "keystore.p12"]).await;
    degraded(&world, "False", "").await;
    let first = keystores(&world, "first-one").await;

    // The Secrets are written anew, with a label.
    let mut labelled = certificate("shop", "ca", &names(2), 1);
    labelled["spec"]["keystores"] = of_key("one");
    labelled["spec"]["secretTemplate"] = json!({ "labels": { "team": "shop" } });
    world.cluster.apply_yaml(&labelled.to_string()).await.unwrap();
    has_pairs(&world, &[("team", "shop")], &[]).await;
    assert!(
        keystores(&world, "first-one").await == first,
        "a keystore was made anew"
    );

    apply(&world, "keystores", of_key("two")).await;
    has_pairs(&world, &[], &[]).await;
    let second = keystores(&world, "second-one").await;
    assert!(second.iter().all(|file| !first.contains(file)));

    // Java would not take this one, and PKCS#12 does.
    apply(&world, "keystores", of_key("short")).await;
    degraded(
        &world,
        "True",
        "spec.keystores.jks: the password is not one that Java takes",
    )
    .await;
    has_data(&world, &["keystore.p12"]).await;

    apply(&world, "keystores", Value::Null).await;
    has_data(&world, &[]).await;
    assert_eq!(secrets(&world).await, issued);
    assert_eq!(orders(&world).await, 2);
    let after = world.front().unwrap().log().arrivals.len();
    assert_eq!(after, asked, "the CA was asked");
}

/// Waits until the Certificate is `Degraded` or not, and says this.
async fn degraded(world: &World, status: &str, words: &str) {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    wait_for("Degraded", PATIENCE, &[], async || {
        let conditions = certificates
            .get("shop")
            .await?
            .status
            .unwrap_or_default()
            .conditions;
        let degraded = condition(&conditions, "Degraded").context("no condition Degraded")?;
        ensure!(
            degraded.status == status && degraded.message.contains(words),
            "it says {degraded:?}"
        );
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// The keystores, which open with this password and hold what stands beside them.
async fn keystores(world: &World, password: &str) -> Vec<Vec<u8>> {
    let api: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    let mut files = Vec::new();
    for name in ["shop-tls", "shop-tls-1"] {
        let data = api.get(name).await.unwrap().data.unwrap();
        let file = data["keystore.p12"].0.clone();
        let opened = Pkcs12Archive::from_pkcs12(&file, password).unwrap();
        let key = KeyPair::try_from(opened.keys[0].key.as_der()).unwrap();
        let leaf = Leaf::read(&data["tls.crt"].0).unwrap();
        assert_eq!(key.subject_public_key_info(), leaf.public_key, "{name}");
        let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&data["tls.crt"].0)
            .map(|certificate| certificate.unwrap().to_vec())
            .collect();
        let held: Vec<&[u8]> = opened.certs.iter().map(|bag| bag.cert.as_der()).collect();
        assert_eq!(held, chain, "{name}");
        files.push(file);
        let mut store = KeyStore::new();
        let java = &data["keystore.jks"].0;
        store.load(java.as_slice(), password.as_bytes()).unwrap();
        let entry = store
            .get_private_key_entry("server", password.as_bytes())
            .unwrap();
        assert_eq!(entry.private_key, opened.keys[0].key.as_der(), "{name}");
        let held: Vec<_> = entry
            .certificate_chain
            .into_iter()
            .map(|one| one.content)
            .collect();
        assert_eq!(held, chain, "{name}");
        files.push(java.clone());
    }
    files
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
