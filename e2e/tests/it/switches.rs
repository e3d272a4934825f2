//! Another issuer, another cap and another strategy: an order for each Secret that has to change, none for the others, and
//! what is served stays until the new is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_e2e::ca::{Pebble, PebbleOptions};
use sancho_e2e::certificates::is_issued_under;
use sancho_e2e::front::{Front, FrontOptions};
use sancho_e2e::manifests::{certificate, cluster_issuer};
use sancho_e2e::secret_watch::SecretWatch;
use sancho_e2e::world::{CaOptions, World};
use serde_json::json;

use crate::stories::{FAST, apply_issuer, ready, secrets, world};

/// Three names of each of two registered domains.
fn names_of_two_domains() -> Vec<String> {
    ["a.one", "b.one", "c.one", "d.two", "e.two", "f.two"]
        .map(|name| format!("{name}.example"))
        .to_vec()
}

/// A second CA, which asks for answers where the first one does, and the ClusterIssuer `other` for it.
async fn second_ca(world: &World) -> (Pebble, Front) {
    let (dir, logs) = (world.dir().join("other-ca"), world.log_dir().join("other-ca"));
    let pebble = Pebble::start(&dir, &logs, world.http01().port(), &PebbleOptions::default())
        .await
        .unwrap();
    let front = Front::start_anywhere(&pebble.upstream(), FrontOptions::default())
        .await
        .unwrap();
    let issuer = cluster_issuer("other", &front.directory_url(), front.ca_pem(), FAST);
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
    (pebble, front)
}

/// Asks for all names by this issuer, so many in a shard at most and by this strategy, and waits until that is so. Gives the
/// names in each Secret's certificate, and its text.
async fn applied(
    world: &World,
    issuer: &str,
    max_names: u32,
    strategy: &str,
) -> BTreeMap<String, (BTreeSet<String>, Vec<u8>)> {
    let mut manifest = certificate("shop", issuer, &names_of_two_domains(), max_names);
    manifest["spec"]["sharding"]["strategy"] = json!(strategy);
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    ready(world, "shop", Duration::from_secs(90)).await;
    secrets(world).await
}

fn names(secrets: &BTreeMap<String, (BTreeSet<String>, Vec<u8>)>) -> BTreeMap<&str, String> {
    secrets
        .iter()
        .map(|(secret, (names, _))| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            (secret.as_str(), names.join(" "))
        })
        .collect()
}

/// All certificates are of this CA.
async fn are_of(pebble: &Pebble, secrets: &BTreeMap<String, (BTreeSet<String>, Vec<u8>)>) {
    let root = pebble.issuer_root_pem().await.unwrap();
    for (secret, (_, chain)) in secrets {
        assert!(is_issued_under(chain, root.as_bytes()).unwrap(), "{secret}");
    }
}

#[tokio::test]
async fn another_issuer_cap_or_strategy_costs_an_order_for_each_secret_that_changes() {
    let world = world(2, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    let (other_ca, other_front) = second_ca(&world).await;
    world
        .cluster
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "clusterissuer/ca",
            "clusterissuer/other",
        ])
        .await
        .unwrap();
    let ca = world.pebble().unwrap();
    let orders = || [world.front().unwrap().log().orders(), other_front.log().orders()];

    let first = applied(&world, "ca", 2, "Fill").await;
    let by_two = [
        ("shop-tls", "a.one.example b.one.example"),
        ("shop-tls-1", "c.one.example d.two.example"),
        ("shop-tls-2", "e.two.example f.two.example"),
    ];
    let by_two = BTreeMap::from(by_two.map(|(secret, names)| (secret, names.to_owned())));
    assert_eq!(names(&first), by_two);
    are_of(ca, &first).await;
    assert_eq!(orders(), [3, 0]);
    let api: Api<Secret> = Api::namespaced(world.cluster.client(), "default");
    let watch = SecretWatch::start(api).await.unwrap();

    // To the other CA, and back.
    let second = applied(&world, "other", 2, "Fill").await;
    assert_eq!(names(&second), by_two);
    are_of(&other_ca, &second).await;
    assert_eq!(orders(), [3, 3]);
    let third = applied(&world, "ca", 2, "Fill").await;
    assert_eq!(names(&third), by_two);
    are_of(ca, &third).await;
    assert_eq!(orders(), [6, 3]);

    // Room for more moves nothing.
    assert_eq!(applied(&world, "ca", 3, "Fill").await, third);
    assert_eq!(orders(), [6, 3]);
    // d goes to the others of its domain.
    let apart = applied(&world, "ca", 3, "RegisteredDomain").await;
    assert_eq!(apart["shop-tls"], third["shop-tls"]);
    let domains = [
        ("shop-tls", "a.one.example b.one.example"),
        ("shop-tls-1", "c.one.example"),
        ("shop-tls-2", "d.two.example e.two.example f.two.example"),
    ];
    let domains = BTreeMap::from(domains.map(|(secret, names)| (secret, names.to_owned())));
    assert_eq!(names(&apart), domains);
    assert_eq!(orders(), [8, 3]);
    // What is apart may be mixed again, and need not be.
    assert_eq!(applied(&world, "ca", 3, "Fill").await, apart);
    assert_eq!(orders(), [8, 3]);

    assert_eq!(watch.lost(&names_of_two_domains()), Vec::<String>::new());
    assert_eq!(watch.violations(), Vec::<String>::new());
}
