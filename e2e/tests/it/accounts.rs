//! A CA that binds accounts to those that its customers have already (external account binding).

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::manifests::{cluster_issuer, names};
use sancho_e2e::replica::NAMESPACE;
use sancho_e2e::world::{CaOptions, World};

use crate::stories::{FAST, apply_certificate, apply_issuer, issuer_not_ready, issuer_ready, ready, world};

const KEY_ID: &str = "customer-7";
const MAC_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wE";
const OTHER_MAC_KEY: &str = "AAAAZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wE";

async fn apply_bound_issuer(world: &World) {
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), FAST);
    issuer["spec"]["acme"]["externalAccountBinding"] = serde_json::json!({
        "keyID": KEY_ID,
        "keySecretRef": { "name": "ca-customer" },
    });
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
}

async fn put_mac_key(world: &World, mac_key: &str) {
    let secret = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "ca-customer", "namespace": NAMESPACE },
        "stringData": { "secret": mac_key },
    });
    world.cluster.apply_yaml(&secret.to_string()).await.unwrap();
}

/// An account that was made elsewhere with an RSA key goes on.
#[tokio::test]
async fn an_rsa_key_that_is_there_already_is_used() {
    let world = world(1, FAST, CaOptions::default()).await;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let secret = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "ca-account", "namespace": NAMESPACE },
        "stringData": { "tls.key": key.serialize_pem() },
    });
    world.cluster.apply_yaml(&secret.to_string()).await.unwrap();
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    apply_certificate(&world, "shop", &names(2), 20).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client(), NAMESPACE);
    let kept = secrets.get("ca-account").await.unwrap().data.unwrap();
    assert_eq!(kept["tls.key"].0, key.serialize_pem().into_bytes());
}

#[tokio::test]
async fn an_account_is_bound_and_what_is_missing_for_that_is_said() {
    let pebble = PebbleOptions {
        external_account: Some((KEY_ID.to_owned(), MAC_KEY.to_owned())),
        ..PebbleOptions::default()
    };
    let options = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let world = world(1, FAST, options).await;

    apply_issuer(&world, FAST).await;
    let advice = "set spec.acme.externalAccountBinding";
    issuer_not_ready(&world, "ExternalAccountRequired", advice).await;

    apply_bound_issuer(&world).await;
    let place = "Secret sancho-system/ca-customer, field secret";
    issuer_not_ready(&world, "ExternalAccountKeyMissing", place).await;
    put_mac_key(&world, "nothing of the kind").await;
    issuer_not_ready(&world, "ExternalAccountKeyInvalid", "it is not base64url").await;
    put_mac_key(&world, OTHER_MAC_KEY).await;
    issuer_not_ready(&world, "AccountRefused", "the CA refuses the account").await;

    put_mac_key(&world, MAC_KEY).await;
    issuer_ready(&world).await;
    apply_certificate(&world, "shop", &names(2), 20).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
}
