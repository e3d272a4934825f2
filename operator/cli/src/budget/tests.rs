//! Leases, issuers and shards, and what is told of them.

use kube::api::ObjectMeta;
use sancho_crds::{Claim, IssuerKind};
use sancho_limiter::{Budget, Durations, Holder, Source};
use serde_json::json;

use super::*;
use crate::status::tests::{NOW, at, new_shard};

fn lease(name: &str, annotations: BTreeMap<String, String>) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(name.into()),
            annotations: Some(annotations),
            ..Default::default()
        },
        spec: None,
    }
}

fn record() -> Record {
    let mut record = Record::new(
        "t".into(),
        Budget::new(40.0, 10, 16),
        Source::Given,
        Durations::default(),
    );
    record.slots[0].holder = Some(Holder {
        process: "sancho-0-abc".into(),
        ..Holder::default()
    });
    record
}

fn all(leases: &[Lease], known: &Known) -> Vec<BudgetView> {
    views(leases, known, None, at(NOW))
}

/// What an issuer of either kind says, with a budget and ready or not.
fn issuer<K: serde::de::DeserializeOwned>(name: &str, lease: &str, is_ready: bool) -> K {
    let issuer = json!({
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "acme": {
            "server": "https://ca.example",
            "privateKeySecretRef": { "name": "a" },
            "solvers": [],
        } },
        "status": { "budgetLease": lease, "conditions": [{
            "type": "Ready", "status": if is_ready { "True" } else { "False" },
            "reason": "AccountReady", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] },
    });
    serde_json::from_value(issuer).unwrap()
}

/// A shard by the ClusterIssuer `ca`, at which a replica is at work or none is.
fn shard(namespace: &str, is_claimed: bool) -> CertificateShard {
    let mut shard = new_shard("shop-0", &["a.example"]);
    shard.metadata.namespace = Some(namespace.into());
    if is_claimed {
        let holder = "sancho-0".into();
        shard.status.get_or_insert_default().claim = Some(Claim {
            holder,
            busy_until: None,
        });
    }
    shard
}

#[test]
fn who_waits_for_a_budget_is_told_by_namespace() {
    let mut by_own = shard("default", false);
    by_own.spec.issuer_ref.name = "own".into();
    by_own.spec.issuer_ref.kind = Some(IssuerKind::Issuer);
    let mut elsewhere = shard("shop", false);
    elsewhere.spec.issuer_ref.name = "other".into();
    let mut known = Known {
        cluster_issuers: vec![issuer("ca", "one", true), issuer("other", "two", false)],
        issuers: vec![issuer("own", "one", true)],
        shards: vec![shard("shop", true), shard("shop", false), by_own, elsewhere],
        remarks: vec!["not all are known".into()],
    };
    let leases = ["one", "two"].map(|name| lease(name, BTreeMap::new()));
    let told = text(&all(&leases, &known)[..1]);
    assert!(
        told.ends_with(
            "  shards of namespace shop: 1 under way, 1 waiting for their turn\n  \
             shards of namespace default: 1 waiting for their turn\n  not all are known\n"
        ),
        "{told}"
    );
    assert!(
        told.contains("\n  ClusterIssuers: ca\n  Issuers: default/own\n"),
        "{told}"
    );
    // Its issuer is not ready.
    assert_eq!(all(&leases, &known)[1].demand, []);
    let namespaces = (0..SHOWN + 3).map(|number| shard(&format!("n{number}"), true));
    known.shards.extend(namespaces);
    let told = text(&all(&leases, &known)[..1]);
    assert!(
        told.contains("\n  shards of 5 other namespaces: 5 under way\n"),
        "{told}"
    );
}

#[test]
fn an_issuer_picks_its_budget_by_its_name_and_namespace() {
    let known = Known {
        cluster_issuers: vec![issuer("ca", "one", true)],
        issuers: vec![issuer("own", "two", true)],
        ..Known::default()
    };
    let leases = ["one", "two", "three"].map(|name| lease(name, BTreeMap::new()));
    let of = |name: &str, scope: &Scope| {
        let wanted = Some(Wanted { name, scope });
        let views = views(&leases, &known, wanted, at(NOW));
        views.into_iter().map(|view| view.lease).collect::<Vec<_>>()
    };
    let (default, shop) = (
        Scope::Namespace("default".into()),
        Scope::Namespace("shop".into()),
    );
    assert_eq!(of("ca", &shop), ["one"]);
    assert_eq!(of("own", &default), ["two"]);
    assert_eq!(of("own", &shop), [""; 0]);
    assert_eq!(of("own", &Scope::All), ["two"]);
}

#[test]
fn a_budget_is_told_with_its_slots() {
    let mut annotations = record().to_annotations();
    annotations.insert(ORIGIN_ANNOTATION.into(), "https://ca.example".into());
    let views = all(&[lease("sancho-budget-x", annotations)], &Known::default());
    let text = text(&views);
    assert!(
        text.contains("https://ca.example (Lease sancho-budget-x)"),
        "{text}"
    );
    assert!(
        text.contains("Given: 40 requests a second, burst 10, 16 in flight; held"),
        "{text}"
    );
    assert!(text.contains("slot 0: sancho-0-abc"), "{text}");
    assert!(text.contains("slot 1: in doubt"), "{text}");
}

#[test]
fn a_damaged_lease_is_told() {
    let views = all(&[lease("sancho-budget-x", BTreeMap::new())], &Known::default());
    let text = text(&views);
    assert!(
        text.contains("nothing is sent: annotation budget.sancho.dev/version"),
        "{text}"
    );
}
