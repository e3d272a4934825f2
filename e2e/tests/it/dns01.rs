//! DNS-01 by dynamic updates and by providers' APIs, and dns-persist-01, with BIND as the names' DNS and Pebble validating through its secondary.

mod cnames;
mod mistakes;
mod others;
mod providers;
mod refused;
mod seen;
mod settings;
mod standing;
mod webhooks;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Resource};
use sancho_crds::{Certificate, CertificateShard, ClusterIssuer, Issuer, PresentedRecord, QuarantinedName};
use sancho_e2e::api_proxy::ApiProxy;
use sancho_e2e::arrivals::{Arrival, ArrivalLog, RequestKind};
use sancho_e2e::bind::{Bind, BindOptions, KEY, KEY_NAME};
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::faults::Fault;
use sancho_e2e::manifests::{Budget, certificate, cluster_issuer};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::{NAMESPACE, Replica, ReplicaOptions};
use sancho_e2e::world::{CaOptions, World, WorldOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::seen::with_silent_secondary;
use crate::stories::{
    FAST, SLOW, apply_certificate, issuer_ready, judged, orders, ready, secrets, shards, world, world_of,
};

const SHOP: &str = "shop.example";
const BLOG: &str = "blog.example";

/// A CA whose names are in two zones of BIND.
fn by_bind(lag: Option<Duration>) -> CaOptions {
    CaOptions {
        bind: Some(BindOptions {
            zones: vec![SHOP.to_owned(), BLOG.to_owned()],
            lag,
            ..BindOptions::default()
        }),
        pebble: PebbleOptions {
            nonce_reject_percent: Some(0),
            authz_reuse_percent: Some(0),
            ..PebbleOptions::default()
        },
        ..CaOptions::default()
    }
}

/// A solver that updates BIND's primary with this key, which is in the Secret `tsig`.
pub(crate) fn solver(bind: &Bind, key_name: &str) -> Value {
    json!({ "dns01": { "rfc2136": {
        "nameserver": bind.primary().to_string(),
        "tsigKeyName": key_name,
        "tsigSecretSecretRef": { "name": "tsig", "key": "key" },
    } } })
}

/// Applies the ClusterIssuer `ca` with the solver for all names, and its key.
async fn apply_issuer(world: &World, budget: Budget) {
    apply_key(world, "tsig", KEY).await;
    apply_solvers(world, budget, json!([solver(world.bind().unwrap(), KEY_NAME)])).await;
}

/// Applies the ClusterIssuer `ca` with these solvers.
async fn apply_solvers(world: &World, budget: Budget, solvers: Value) {
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), budget);
    issuer["spec"]["acme"]["solvers"] = solvers;
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
}

/// The same, which has HTTP-01 for all names that it can validate, and rfc2136 for the others.
async fn apply_both(world: &World, budget: Budget) {
    apply_key(world, "tsig", KEY).await;
    let by_dns = solver(world.bind().unwrap(), KEY_NAME);
    apply_solvers(world, budget, json!([{ "http01": { "external": {} } }, by_dns])).await;
}

/// Applies a ClusterIssuer with this solver, and a Certificate by it of the same name.
async fn apply_pair(world: &World, name: &str, solver: Value, names: &[String]) {
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer(name, &front.directory_url(), front.ca_pem(), FAST);
    issuer["spec"]["acme"]["solvers"] = json!([solver]);
    for manifest in [issuer, certificate(name, name, names, 20)] {
        world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    }
}

/// Applies the ClusterIssuer `ca` with this solver for one of the two zones, and rfc2136 for the other.
async fn apply_of_shop(world: &World, mut of_shop: Value) {
    apply_key(world, "tsig", KEY).await;
    of_shop["selector"] = json!({ "dnsZones": [SHOP] });
    let others = solver(world.bind().unwrap(), KEY_NAME);
    apply_solvers(world, FAST, json!([of_shop, others])).await;
}

/// Applies a Secret of the operator's namespace with this field `key`.
pub(crate) async fn apply_key(world: &World, name: &str, key: &str) {
    apply_key_in(world, NAMESPACE, name, key).await;
}

async fn apply_key_in(world: &World, namespace: &str, name: &str, key: &str) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": namespace },
        "stringData": { "key": key },
    });
    world.cluster.apply_yaml(&secret.to_string()).await.unwrap();
}

/// So many names, half of them in each zone: each domain with its wildcard, two more wildcards each, and hosts.
fn names(count: usize) -> Vec<String> {
    let of_zone = |zone: &str| {
        let mut names = vec![
            zone.to_owned(),
            format!("*.{zone}"),
            format!("*.a.{zone}"),
            format!("*.b.{zone}"),
        ];
        names.extend((5..=count / 2).map(|number| format!("host-{number:03}.{zone}")));
        names
    };
    [SHOP, BLOG].into_iter().flat_map(of_zone).collect()
}

/// All names that stand in a Secret's certificate.
async fn issued(world: &World) -> BTreeSet<String> {
    let secrets = secrets(world).await;
    secrets.into_values().flat_map(|(names, _)| names).collect()
}

/// The same as [`world`], and the replicas log whatever they can.
async fn traced(replicas: usize, budget: Budget, ca: CaOptions) -> World {
    let replica = ReplicaOptions {
        flags: vec!["--log=trace".to_owned()],
        ..ReplicaOptions::default()
    };
    world_of(replicas, replica, budget, ca).await
}

/// Neither a log of a replica nor what the API server shows of Sancho's objects and events has one of these,
/// be it as it is or in base64.
async fn shown_nowhere(world: &World, secrets: &[&str]) {
    let logs = world.replicas.iter().map(|replica| {
        let log = replica.process().log_tail(usize::MAX);
        (format!("the log of {}", replica.name()), log)
    });
    let mut shown: Vec<(String, String)> = logs.collect();
    shown.push(all::<Certificate>(world).await);
    shown.push(all::<CertificateShard>(world).await);
    shown.push(all::<ClusterIssuer>(world).await);
    shown.push(all::<Issuer>(world).await);
    shown.push(all::<Event>(world).await);
    shown.push(all::<Lease>(world).await);
    for (place, text) in &shown {
        for secret in secrets {
            let encoded = STANDARD.encode(secret);
            // As JSON has it, and trace logs.
            let escaped = json!(secret).to_string();
            for form in [*secret, escaped.trim_matches('"'), encoded.trim_end_matches('=')] {
                assert!(!text.contains(form), "a credential stands in {place}");
            }
        }
    }
}

/// What there is of a kind.
async fn all<K>(world: &World) -> (String, String)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let api: Api<K> = Api::all(world.cluster.client());
    let objects = wait_for("a list", Duration::from_secs(30), &[], async || {
        Ok(Some(api.list(&Default::default()).await?.items))
    });
    let text = serde_json::to_string(&objects.await.unwrap()).unwrap();
    (format!("the objects of kind {}", K::kind(&())), text)
}

/// Waits until BIND has a TXT record of Sancho's.
async fn some_record(world: &World) {
    let bind = world.bind().unwrap();
    wait_for("a TXT record", Duration::from_secs(60), &[], async || {
        Ok((!bind.texts().await?.is_empty()).then_some(()))
    })
    .await
    .unwrap();
}

/// Waits until a shard that speaks of a record is claimed; by which replica.
async fn writer(world: &World) -> &Replica {
    wait_for("a claim", Duration::from_secs(30), &[], async || {
        let shards = shards(world).await;
        let mut claims = shards.iter().filter_map(|shard| {
            let status = shard.status.as_ref()?;
            status.claim.as_ref().filter(|_| !status.dns_records.is_empty())
        });
        let claim = claims.next();
        let is_its = |name: &str| claim.is_some_and(|claim| claim.holder.starts_with(name));
        Ok(world.replicas.iter().find(|replica| is_its(replica.name())))
    })
    .await
    .unwrap()
}

/// Waits until BIND has none, and no shard speaks of one.
async fn no_record_left(world: &World) {
    no_record_left_within(world, Duration::from_secs(60)).await;
}

async fn no_record_left_within(world: &World, within: Duration) {
    let bind = world.bind().unwrap();
    wait_for("no TXT record to be left", within, &[], async || {
        let texts = bind.texts().await?;
        anyhow::ensure!(texts.is_empty(), "{texts:?}");
        Ok(recorded(world).await.is_empty().then_some(()))
    })
    .await
    .unwrap();
}

/// The TXT records that shards speak of.
async fn recorded(world: &World) -> Vec<PresentedRecord> {
    let shards = shards(world).await.into_iter();
    shards
        .filter_map(|shard| Some(shard.status?.dns_records))
        .flatten()
        .collect()
}

/// What an order cost the CA.
struct Cost<'a> {
    /// Its path.
    order: &'a str,
    /// How many names it is for, as far as somebody asked for their authorizations.
    names: usize,
    /// All requests about it that reached the CA. Of those that a limit refused [`judged`] speaks.
    requests: Vec<&'a Arrival>,
}

impl Cost<'_> {
    /// How often another replica went on with it.
    fn hand_overs(&self) -> usize {
        let pairs = self.requests.windows(2);
        pairs.filter(|pair| pair[0].client != pair[1].client).count()
    }

    /// How many of the requests this replica sent.
    fn of(&self, replica: &Replica) -> usize {
        let sent = self.requests.iter();
        sent.filter(|request| request.is_of(replica.name())).count()
    }
}

/// What each order cost.
fn costs(log: &ArrivalLog) -> Vec<Cost<'_>> {
    let orders = log.by_order().into_iter();
    let costs = orders.map(|(order, mut requests)| {
        requests.retain(|request| !request.throttled);
        let authorizations: BTreeSet<&str> = requests
            .iter()
            .filter(|request| request.kind == RequestKind::Authorization)
            .map(|request| request.path.as_str())
            .collect();
        let names = authorizations.len();
        Cost {
            order,
            names,
            requests,
        }
    });
    costs.collect()
}

/// What is known of the names that cannot be validated, over all shards.
async fn quarantined(world: &World) -> Vec<QuarantinedName> {
    let shards = shards(world).await.into_iter();
    shards
        .filter_map(|shard| Some(shard.status?.quarantine))
        .flatten()
        .collect()
}

#[tokio::test]
async fn forty_two_names_with_six_wildcards_over_two_zones_although_a_replica_is_killed() {
    let world = world(3, SLOW, by_bind(None)).await;
    apply_issuer(&world, SLOW).await;
    issuer_ready(&world).await;
    let before = world.front().unwrap().log().arrivals.len();
    let asked = names(42);
    assert_eq!(asked.iter().filter(|name| name.starts_with('*')).count(), 6);
    apply_certificate(&world, "shop", &asked, 20).await;
    some_record(&world).await;
    let holder = writer(&world).await;
    holder.process().kill();
    // The orders that it was at: others take them over only later.
    let left = shards(&world).await.into_iter().filter_map(|shard| {
        let status = shard.status?;
        let claim = status
            .claim
            .filter(|claim| claim.holder.starts_with(holder.name()));
        claim.and(status.order?.url)
    });
    let left: Vec<String> = left.collect();

    ready(&world, "shop", Duration::from_secs(180)).await;
    let all: BTreeSet<String> = asked.into_iter().collect();
    assert_eq!(issued(&world).await, all);
    assert!(orders(&world).await <= 3, "a recorded order was made again");
    let log = world.front().unwrap().log();
    let costs = costs(&log);
    let names: usize = costs.iter().map(|cost| cost.names).sum();
    assert!(names >= 42, "{names} names are all that orders were seen for");
    let mut most = 0;
    for cost in &costs {
        let is_left = left.iter().any(|url| url.ends_with(cost.order));
        // Whoever takes an order over may ask once more what the killed one had asked for it; and where the slot just goes
        // to another replica, what it was asked for within a second, which may not be recorded.
        let again = match is_left {
            true => cost.of(holder),
            false => cost.hand_overs() * 5,
        };
        println!(
            "{}: {} requests for {} names, {again} of them perhaps again",
            cost.order,
            cost.requests.len(),
            cost.names
        );
        assert!(
            cost.requests.len() <= 2 * cost.names + 6 + again,
            "{:#?}",
            cost.requests
        );
        most += 2 * cost.names + 6 + again;
    }
    // Each replica asks for the directory and a nonce of its own.
    let arrived = log.arrivals[before..].iter();
    let requests = arrived.filter(|request| !request.throttled).count();
    assert!(requests <= most + 2 * 3, "{requests} requests");
    no_record_left(&world).await;
    judged(&world, SLOW);
}

#[tokio::test]
async fn two_hundred_names_wait_for_a_lagging_secondary_and_cost_no_request_more_than_other_names() {
    let world = world(2, FAST, by_bind(Some(Duration::from_secs(6)))).await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    let asked = names(200);
    let before = world.front().unwrap().log().arrivals.len();
    apply_certificate(&world, "shop", &asked, 100).await;
    ready(&world, "shop", Duration::from_secs(150)).await;
    let all: BTreeSet<String> = asked.into_iter().collect();
    assert_eq!(issued(&world).await, all);
    let log = world.front().unwrap().log();
    let requests = log.arrivals.len() - before;
    println!("{requests} requests");
    assert_eq!(orders(&world).await, 2);
    let costs = costs(&log);
    assert_eq!(costs.len(), 2);
    for cost in &costs {
        assert_eq!(cost.names, 100);
        assert!(cost.requests.len() <= 2 * 100 + 6, "{:#?}", cost.requests);
    }
    // Each replica may have to ask for the directory and a nonce of its own.
    assert!(requests <= 2 * 200 + 2 * 6 + 4, "{requests} requests");
    no_record_left(&world).await;
    for zone in [SHOP, BLOG] {
        let updates = world.bind().unwrap().serial(zone).await.unwrap() - 1;
        assert!(updates <= 4, "{updates} updates of {zone} by two orders");
    }
    judged(&world, FAST);
}

#[tokio::test]
async fn http_and_dns_answer_side_by_side_each_for_its_names() {
    let world = world(1, FAST, by_bind(None)).await;
    apply_both(&world, FAST).await;
    let wildcard = format!("*.{SHOP}");
    let asked = [SHOP.to_owned(), format!("www.{SHOP}"), wildcard];
    apply_certificate(&world, "shop", &asked, 20).await;
    some_record(&world).await;
    assert_eq!(world.bind().unwrap().texts().await.unwrap().len(), 1);
    ready(&world, "shop", Duration::from_secs(60)).await;
    assert_eq!(issued(&world).await, asked.into_iter().collect());
    no_record_left(&world).await;
}

/// Deletes a Certificate and all shards, as the garbage collector does.
async fn delete(world: &World, name: &str) {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let shards: Api<CertificateShard> = Api::namespaced(world.cluster.client(), "default");
    certificates.delete(name, &DeleteParams::default()).await.unwrap();
    shards
        .delete_collection(&DeleteParams::default(), &Default::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn records_of_a_deleted_certificate_are_removed() {
    let world = with_silent_secondary(&[], false).await;
    delete(&world, "shop").await;
    no_record_left(&world).await;
}

/// What the API server tells a watch that goes on from a version which it does not have any more.
fn too_old() -> Fault {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
        "message": "too old resource version",
    });
    Fault::Answer {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: format!("{}\n", json!({ "type": "ERROR", "object": status })),
    }
}

#[tokio::test]
async fn records_of_a_certificate_that_was_deleted_unseen_are_removed_once_that_is_found_out() {
    let mut world = World::start(WorldOptions {
        ca: Some(by_bind(None)),
        replicas: 0,
        ..WorldOptions::default()
    })
    .await
    .unwrap();
    let proxy = ApiProxy::start(&world.cluster).await.unwrap();
    let options = ReplicaOptions {
        api_server: Some(proxy.api_server()),
        ..ReplicaOptions::default()
    };
    world.add_replica(options).await.unwrap();
    world.replicas[0].ready().await.unwrap();
    world.bind().unwrap().secondary_process().stop().unwrap();
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &[format!("*.{SHOP}")], 20).await;
    some_record(&world).await;
    // By then the replica has seen its own first look, which it went on from.
    wait_for("two looks", Duration::from_secs(60), &[], async || {
        let shards = shards(&world).await;
        let mut orders = shards
            .iter()
            .filter_map(|shard| shard.status.as_ref()?.order.as_ref());
        Ok(orders.any(|order| order.polls >= 2).then_some(()))
    })
    .await
    .unwrap();
    proxy.watches().hold();
    delete(&world, "shop").await;
    let is_told = Arc::new(AtomicBool::new(false));
    let telling = is_told.clone();
    proxy.set_faults(move |request| {
        let is_it = request.is_watch() && request.path.ends_with("/certificateshards");
        is_it.then(|| {
            telling.store(true, Ordering::Relaxed);
            too_old()
        })
    });
    proxy.watches().end();
    wait_for("the watch to be told", Duration::from_secs(60), &[], async || {
        Ok(is_told.load(Ordering::Relaxed).then_some(()))
    })
    .await
    .unwrap();
    proxy.set_faults(|_| None);
    proxy.watches().release();
    no_record_left(&world).await;
}

#[tokio::test]
async fn records_are_swept_up_by_a_process_that_comes_after_a_killed_one() {
    let mut world = with_silent_secondary(&[], false).await;
    let before = world.bind().unwrap().texts().await.unwrap();
    world.replicas[0].process().kill();
    // While nobody runs the name is taken out, so that no order needs its record any more.
    let other = certificate("shop", "ca", &[format!("www.{SHOP}")], 20);
    world.cluster.apply_yaml(&other.to_string()).await.unwrap();
    world.bind().unwrap().secondary_process().resume().unwrap();
    assert_eq!(world.bind().unwrap().texts().await.unwrap(), before);
    world.replicas[0].restart().await.unwrap();
    ready(&world, "shop", Duration::from_secs(90)).await;
    assert_eq!(issued(&world).await, [format!("www.{SHOP}")].into());
    no_record_left(&world).await;
}

/// Sets the annotation that has a Certificate tried again at once.
async fn retry_now(world: &World, name: &str) {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let patch = json!({ "metadata": { "annotations": { "sancho.dev/retry": "now" } } });
    certificates
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}
