//! Certificates for IP addresses (RFC 8738), alone and beside names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_crds::Certificate;
use sancho_e2e::certificates::Leaf;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::Replica;
use sancho_e2e::router::Router;
use sancho_e2e::world::{CaOptions, World};

use crate::stories::{FAST, apply_issuer, judged, orders, ready, shards, world};

const PATIENCE: Duration = Duration::from_secs(90);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// An address of this host at which nobody answers.
const SILENT: &str = "127.9.9.9";

#[tokio::test]
async fn addresses_of_both_families_are_certified_beside_names_and_alone() {
    let world = world(2, FAST, CaOptions::default()).await;
    // The same port at the other family's address.
    let port = world.router.address().port();
    let v6 = Router::start(SocketAddr::from((Ipv6Addr::LOCALHOST, port)))
        .await
        .unwrap();
    v6.set_responders(world.replicas.iter().map(Replica::responder).collect());
    apply_issuer(&world, FAST).await;

    apply(&world, 2, &["127.0.0.1"]).await;
    let shop = ready(&world, "shop", PATIENCE).await;
    assert_eq!(shop.status.unwrap().ready.as_deref(), Some("3/3"));
    let first = leaf(&world).await;
    assert_eq!((first.dns_names, first.ip_addresses), (names(2), vec![V4]));

    apply(&world, 2, &["127.0.0.1", "::1"]).await;
    ready_with(&world, "4/4").await;
    let both = leaf(&world).await;
    assert_eq!((both.dns_names, both.ip_addresses), (names(2), vec![V4, V6]));
    assert!(v6.answered() > 0, "nobody was asked at {V6}");

    apply(&world, 0, &["::1"]).await;
    ready_with(&world, "1/1").await;
    let alone = leaf(&world).await;
    assert_eq!((alone.dns_names, alone.ip_addresses), (Vec::new(), vec![V6]));
    assert_eq!(orders(&world).await, 3);
    judged(&world, FAST);
}

#[tokio::test]
async fn an_address_that_does_not_lead_here_is_left_out_before_the_ca_is_asked() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    apply(&world, 1, &["127.0.0.1", SILENT]).await;
    let shop = ready(&world, "shop", PATIENCE).await;
    assert_eq!(shop.status.unwrap().quarantined_names, Some(1));
    let quarantine = shards(&world).await[0].status.clone().unwrap().quarantine;
    assert_eq!(
        (quarantine[0].name.as_str(), quarantine[0].reason.as_str()),
        (SILENT, "ConnectionRefused")
    );
    assert_eq!(leaf(&world).await.ip_addresses, [V4]);
}

/// So many names, and these addresses.
async fn apply(world: &World, count: u32, addresses: &[&str]) {
    let mut manifest = certificate("shop", "ca", &names(count), 10);
    manifest["spec"]["ipAddresses"] = addresses.into();
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
}

/// Waits until the Certificate is ready with so many names.
async fn ready_with(world: &World, wanted: &str) {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    wait_for("the edit to be carried out", PATIENCE, &[], async || {
        let ready = certificates
            .get("shop")
            .await?
            .status
            .and_then(|status| status.ready);
        Ok((ready.as_deref() == Some(wanted)).then_some(()))
    })
    .await
    .unwrap();
}

async fn leaf(world: &World) -> Leaf {
    let api: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    let secret = api.get("shop-tls").await.unwrap();
    let data = secret.data.unwrap();
    let leaf = Leaf::read(&data["tls.crt"].0).unwrap();
    assert!(leaf.is_of_key(&data["tls.key"].0).unwrap());
    leaf
}
