//! Renewal: at its planned moment, with a new key, and unseen by whoever uses the Secret.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt};
use sancho_crds::{Certificate, IssuedStatus, condition};
use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::certificates::Leaf;
use sancho_e2e::front::Fault;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};

use crate::history::History;
use crate::stories::{FAST, apply_issuer, judged, ready, secrets, shards, world};

/// Two thirds of it are a minute.
const VALIDITY: Duration = Duration::from_secs(90);
/// What is due within the validity, and what is seen of it.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_certificate_is_renewed_when_planned_and_is_ready_with_a_valid_pair_throughout() {
    let pebble = PebbleOptions {
        validity: VALIDITY,
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let world = world(2, FAST, ca).await;
    apply_issuer(&world, FAST).await;
    apply(&world, None).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    let client = world.cluster.client();
    let certificates = History::start(Api::<Certificate>::namespaced(client.clone(), "default"));
    let secrets = History::start(Api::<Secret>::namespaced(client, "default"));

    // By itself.
    let first = issued(&world).await;
    assert_eq!(first.len(), 2);
    let second = renewed(&world, &first).await;
    for (shard, before) in &first {
        assert_planned(before, &second[shard], SignedDuration::from_secs(60));
    }

    // A later moment is planned at once, and nothing is renewed for it.
    apply(&world, Some("20s")).await;
    let planned = |issued: &IssuedStatus| issued.renewal_time.0.duration_since(issued.not_before.0);
    let later = SignedDuration::from_secs(65);
    let third = wait_for(
        "the edited renewBefore to be planned",
        PATIENCE,
        &[],
        async || {
            let issued = issued(&world).await;
            Ok(issued
                .values()
                .all(|issued| planned(issued) > later)
                .then_some(issued))
        },
    )
    .await
    .unwrap();
    for (shard, before) in &second {
        assert_eq!(
            third[shard].fingerprint, before.fingerprint,
            "{shard} was renewed"
        );
    }
    for shard in shards(&world).await {
        let status = shard.status.clone().unwrap();
        assert_eq!(status.observed_generation, shard.metadata.generation);
        let said = condition(&status.conditions, "Ready").unwrap();
        let moment = status.issued.unwrap().renewal_time.0.to_string();
        assert!(said.message.contains(&moment), "{said:?} and not {moment}");
    }

    // A moment that is over brings the renewal.
    apply(&world, Some("80s")).await;
    let fourth = renewed(&world, &third).await;
    for issued in fourth.values() {
        assert!(planned(issued) <= SignedDuration::from_secs(10), "{issued:?}");
    }

    for (at, certificate) in certificates.versions() {
        let conditions = certificate.status.unwrap_or_default().conditions;
        let ready = condition(&conditions, "Ready").unwrap();
        assert_eq!(ready.status, "True", "at {at}: {ready:?}");
        let reconciling = condition(&conditions, "Reconciling");
        assert!(reconciling.is_none(), "at {at}: {reconciling:?}");
    }
    let pairs = pairs(&secrets.versions());
    for (name, pairs) in &pairs {
        assert!(pairs.len() >= 3, "{name} has had {} pairs", pairs.len());
    }
    judged(&world, FAST);
}

#[tokio::test]
async fn a_renewal_that_the_ca_refuses_leaves_what_is_served_ready_and_is_made_once_the_ca_lets_it() {
    let pebble = PebbleOptions {
        validity: Duration::from_secs(300),
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let world = world(1, FAST, ca).await;
    apply_issuer(&world, FAST).await;
    // Due after 50 s, and there is time for another attempt after a minute, and a third.
    apply(&world, Some("250s")).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    let (first, served) = (issued(&world).await, secrets(&world).await);
    let front = world.front().unwrap();
    front.set_faults(|arrival| {
        (arrival.kind == RequestKind::NewOrder).then(|| Fault::Answer {
            status: 403,
            headers: vec![("Content-Type".into(), "application/problem+json".into())],
            body: serde_json::json!({
                "type": "urn:ietf:params:acme:error:unauthorized",
                "detail": "the customer has not paid",
            })
            .to_string(),
        })
    });
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let history = History::start(certificates.clone());
    let words = "the customer has not paid (tried again at ";
    wait_for("the refusal to be told", PATIENCE, &[], async || {
        let renewing = renewing(&certificates).await?;
        let told = renewing.filter(|renewing| renewing.status == "True" && renewing.message.contains(words));
        Ok(told.map(|_| ()))
    })
    .await
    .unwrap();
    assert_eq!(secrets(&world).await, served);

    front.set_faults(|_| None);
    renewed(&world, &first).await;
    wait_for("the renewal to be over", PATIENCE, &[], async || {
        Ok(renewing(&certificates).await?.is_none().then_some(()))
    })
    .await
    .unwrap();
    for (at, certificate) in history.versions() {
        let conditions = certificate.status.unwrap_or_default().conditions;
        let ready = condition(&conditions, "Ready").unwrap();
        assert_eq!(ready.status, "True", "at {at}: {ready:?}");
    }
    for shard in shards(&world).await {
        assert_eq!(shard.status.unwrap().failure, None);
    }
}

async fn apply(world: &World, renew_before: Option<&str>) {
    let mut manifest = certificate("shop", "ca", &names(3), 2);
    if let Some(renew_before) = renew_before {
        manifest["spec"]["renewBefore"] = renew_before.into();
    }
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
}

/// What the Certificate says of its renewal.
async fn renewing(certificates: &Api<Certificate>) -> Result<Option<Condition>> {
    let conditions = certificates
        .get("shop")
        .await?
        .status
        .unwrap_or_default()
        .conditions;
    Ok(condition(&conditions, "Renewing").cloned())
}

/// What is issued, by shard.
async fn issued(world: &World) -> BTreeMap<String, IssuedStatus> {
    let shards = shards(world).await.into_iter();
    shards
        .filter_map(|shard| Some((shard.name_any(), shard.status?.issued?)))
        .collect()
}

/// Waits until every shard has another certificate than `before`.
async fn renewed(world: &World, before: &BTreeMap<String, IssuedStatus>) -> BTreeMap<String, IssuedStatus> {
    wait_for("all shards to be renewed", PATIENCE, &[], async || {
        let issued = issued(world).await;
        let is_new = |(shard, issued): (&String, &IssuedStatus)| {
            before
                .get(shard)
                .is_some_and(|old| old.fingerprint != issued.fingerprint)
        };
        Ok((issued.len() == before.len() && issued.iter().all(is_new)).then_some(issued))
    })
    .await
    .unwrap()
}

/// The renewal came at its moment: not before `before` had planned it, and before it was too late. Due is
/// `after` its issuance, less a jitter of up to 3 % of the validity.
fn assert_planned(before: &IssuedStatus, renewed: &IssuedStatus, after: SignedDuration) {
    let planned = before.renewal_time.0.duration_since(before.not_before.0);
    let jitter = SignedDuration::try_from(VALIDITY).unwrap() / 33;
    assert!(
        planned <= after && planned >= after - jitter,
        "planned {planned:?}"
    );
    assert!(
        renewed.not_before.0 >= before.renewal_time.0 && renewed.not_before.0 < before.not_after.0,
        "{before:?} was renewed by {renewed:?}"
    );
}

/// The pairs that each Secret has held: each a certificate that was valid when it was seen, with its own
/// key, and with a serial number and a key that none before it had.
fn pairs(versions: &[(Timestamp, Secret)]) -> BTreeMap<String, Vec<Leaf>> {
    let mut pairs: BTreeMap<String, Vec<Leaf>> = BTreeMap::new();
    for (at, secret) in versions {
        if secret.type_.as_deref() != Some("kubernetes.io/tls") {
            continue;
        }
        let data = secret.data.as_ref().unwrap();
        let leaf = Leaf::read(&data["tls.crt"].0).unwrap();
        assert!(
            leaf.is_of_key(&data["tls.key"].0).unwrap(),
            "another's key at {at}"
        );
        assert!(
            leaf.not_before <= *at && *at < leaf.not_after,
            "not valid at {at}: {leaf:?}"
        );
        let before = pairs.entry(secret.name_any()).or_default();
        if before.last() != Some(&leaf) {
            let is_new = before
                .iter()
                .all(|old| old.serial != leaf.serial && old.public_key != leaf.public_key);
            assert!(is_new, "{leaf:?} after {before:?}");
            before.push(leaf);
        }
    }
    pairs
}
