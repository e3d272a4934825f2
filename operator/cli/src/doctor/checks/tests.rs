//! Facts as the API server tells them, and what is found in them.

mod ways;

use std::collections::BTreeMap;

use anyhow::anyhow;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sancho_crds::{
    CertificateShardStatus, CertificateStatus, FoundBy, QuarantinePlace, QuarantinedName, QuotaScope,
    ShardFailure, ShardQuota, set_condition,
};
use sancho_limiter::{
    Budget, Cause, Durations, Failing, ORIGIN_ANNOTATION, Outage, Pause, Source, WRITER_ANNOTATION,
};
use serde_json::json;

use super::*;
use crate::doctor::rights::{Held, Place, Right};
use crate::doctor::survey::{Clocks, Node, Ways};
use crate::doctor::text;
use crate::editions::tests::edited;
use crate::status::tests::{NOW, at, certificate, issued_shard, new_shard};

const DAY: i64 = 86_400;

/// A Lease that was renewed a minute ago, by a clock that is so many seconds ahead of the API server's.
fn renewed(name: &str, annotations: &BTreeMap<String, String>, ahead: i64) -> Lease {
    let entry = |manager: &str, time: i64, fields: serde_json::Value| {
        let time = at(time).to_string();
        json!({ "manager": manager, "operation": "Update", "time": time, "fieldsV1": fields })
    };
    let lease = json!({
        "metadata": { "name": name, "annotations": annotations, "managedFields": [
            entry("kubectl", NOW, json!({ "f:metadata": { "f:labels": {} } })),
            entry("somebody", NOW - 60, json!({ "f:spec": { "f:renewTime": {} } })),
        ] },
        "spec": { "renewTime": at(NOW - 60 + ahead).to_string() },
    });
    serde_json::from_value(lease).unwrap()
}

/// A budget's Lease, the same.
fn budget_by(ahead: i64, edit: impl FnOnce(&mut Record)) -> Lease {
    let budget = Budget::new(10.0, 5, 2);
    let mut record = Record::new("t".into(), budget, Source::Given, Durations::default());
    record.contact.answered = Some(at(NOW - 900));
    edit(&mut record);
    let mut annotations = record.to_annotations();
    annotations.insert(ORIGIN_ANNOTATION.into(), "https://ca.example".into());
    annotations.insert(WRITER_ANNOTATION.into(), "sancho-0-1c9c570d".into());
    renewed("sancho-budget-ca", &annotations, ahead)
}

/// One by a clock that is right.
fn budget(edit: impl FnOnce(&mut Record)) -> Lease {
    budget_by(0, edit)
}

/// The ClusterIssuer `ca`, which is ready.
fn issuer(solvers: serde_json::Value) -> ClusterIssuer {
    let manifest = json!({
        "metadata": { "name": "ca" },
        "spec": { "acme": {
            "server": "https://ca.example",
            "privateKeySecretRef": { "name": "a" },
            "solvers": solvers,
        } },
        "status": { "conditions": [{
            "type": "Ready", "status": "True", "reason": "Registered", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] },
    });
    serde_json::from_value(manifest).unwrap()
}

/// A Deployment of three Pods that are ready.
fn deployment(name: &str) -> Deployment {
    let deployment = json!({
        "metadata": {
            "name": name,
            "namespace": "sancho-system",
            "labels": { "app.kubernetes.io/version": env!("CARGO_PKG_VERSION") },
        },
        "spec": { "replicas": 3, "selector": {}, "template": {} },
        "status": { "readyReplicas": 3 },
    });
    serde_json::from_value(deployment).unwrap()
}

/// An installation where all is well, without issuers and Certificates.
fn sound() -> Facts {
    Facts {
        operator_namespace: "sancho-system".into(),
        kinds: ["Certificate", "CertificateShard", "ClusterIssuer", "Issuer"]
            .map(str::to_owned)
            .to_vec(),
        crds: Ok(vec![
            Certificate::crd(),
            CertificateShard::crd(),
            ClusterIssuer::crd(),
            Issuer::crd(),
        ]),
        user: Ok(Vec::new()),
        operator: Ok(Vec::new()),
        routes: Ok(Vec::new()),
        has_http_routes: Ok(false),
        deployments: Ok(vec![deployment("sancho")]),
        responders: Vec::new(),
        ways: Ways {
            ingress_classes: Ok(vec![ways::class("nginx", true)]),
            gateways: Ok(Vec::new()),
            labels: Ok([("kubernetes.io/metadata.name".into(), "sancho-system".into())].into()),
            service: "sancho-responder".into(),
            endpoints: Ok(Some(vec![ways::slice(&[json!({ "ready": true })])])),
        },
        nodes: Ok(Vec::new()),
        leases: Ok(vec![budget(|_| {})]),
        cluster_issuers: Ok(Vec::new()),
        issuers: Ok(Vec::new()),
        certificates: Ok(Vec::new()),
        shards: Ok(Vec::new()),
        clocks: clocks_at(0),
    }
}

/// A server whose clock differs by so many seconds.
fn clocks_at(ahead: i64) -> Option<Clocks> {
    Some(Clocks {
        before: at(NOW),
        server: at(NOW + ahead),
        after: at(NOW + 1),
    })
}

/// What is not fine, with its next step.
fn troubles(facts: &Facts) -> Vec<(Weight, String)> {
    let found = findings(facts, at(NOW));
    let troubles = found.into_iter().filter(|finding| finding.weight != Weight::Fine);
    troubles
        .map(|finding| {
            let Finding {
                weight,
                about,
                found,
                next_step,
            } = finding;
            (weight, format!("{about}: {found} -> {}", next_step.unwrap()))
        })
        .collect()
}

/// The only trouble is this one.
fn only(facts: &Facts, weight: Weight, parts: &[&str]) {
    let troubles = troubles(facts);
    let [(told, words)] = troubles.as_slice() else {
        panic!("{troubles:?}");
    };
    assert_eq!(*told, weight, "{words}");
    for part in parts {
        assert!(words.contains(part), "no {part:?} in {words}");
    }
}

#[test]
fn a_sound_installation_is_fine() {
    assert_eq!(troubles(&sound()), []);
}

#[test]
fn without_crds_only_that_is_told() {
    let facts = Facts {
        kinds: Vec::new(),
        ..sound()
    };
    only(&facts, Broken, &["does not know Certificate", "install.yaml"]);
}

#[test]
fn older_and_newer_crds_are_told_with_their_fields() {
    let edited = |edit: fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let mut crd = serde_json::to_value(Certificate::crd()).unwrap();
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        edit(crd.pointer_mut(spec).unwrap().as_object_mut().unwrap());
        Facts {
            crds: Ok(vec![serde_json::from_value(crd).unwrap()]),
            ..sound()
        }
    };
    let older = edited(|spec| drop(spec.remove("profile")));
    only(
        &older,
        Doubtful,
        &["certificates.sancho.dev", "older", "lacks spec.profile"],
    );
    let newer = edited(|spec| drop(spec.insert("colour".into(), json!({ "type": "string" }))));
    only(&newer, Doubtful, &["newer", "spec.colour"]);
}

fn held(right: Right, namespace: Option<&str>, is_allowed: bool) -> Held {
    Held {
        right,
        namespace: namespace.map(str::to_owned),
        is_allowed,
    }
}

fn right(verb: &'static str, resource: &'static str, place: Place) -> Right {
    Right {
        verb,
        group: GROUP,
        resource,
        place,
        why: "status",
    }
}

#[test]
fn a_missing_right_is_told_with_what_it_is_for() {
    let list = right("list", "certificates", Place::LookedAt);
    let facts = Facts {
        user: Ok(vec![held(list, None, false)]),
        ..sound()
    };
    only(
        &facts,
        Broken,
        &["your rights", "list certificates (status)", "sancho-view"],
    );
}

#[test]
fn who_may_do_all_but_single_commands_has_no_broken_installation() {
    let mut user = vec![held(
        right("list", "certificates", Place::LookedAt),
        Some("shop"),
        true,
    )];
    for (verb, resource, place, namespace) in [
        ("patch", "certificates", Place::LookedAt, Some("shop")),
        ("list", "clusterissuers", Place::Cluster, None),
        ("list", "leases", Place::BesideOperator, Some("sancho-system")),
    ] {
        user.push(held(right(verb, resource, place), namespace, false));
    }
    let facts = Facts {
        user: Ok(user),
        ..sound()
    };
    only(
        &facts,
        Doubtful,
        &[
            "missing: patch certificates in shop (status), list clusterissuers (status), list leases in sancho-system",
            "list Leases in sancho-system",
        ],
    );
}

#[test]
fn rights_that_the_operator_lacks_are_told_with_the_namespaces() {
    let watch = right("watch", "certificates", Place::LookedAt);
    let operator = || {
        let places = [("bank", false), ("blog", false), ("shop", true)];
        Ok(places
            .map(|(namespace, is_allowed)| held(watch, Some(namespace), is_allowed))
            .to_vec())
    };
    let facts = Facts {
        operator: operator(),
        ..sound()
    };
    only(
        &facts,
        Broken,
        &[
            "missing: watch certificates in bank, blog (status)",
            "install the chart again",
        ],
    );
    // Several of one resource are one word each.
    let list = Right {
        verb: "list",
        ..watch
    };
    let facts = Facts {
        operator: Ok(vec![
            held(list, Some("shop"), false),
            held(watch, Some("shop"), false),
            held(watch, Some("blog"), true),
        ]),
        ..sound()
    };
    only(
        &facts,
        Broken,
        &["missing: list, watch certificates in shop (status) ->"],
    );
    // Where it looks is not known.
    let facts = Facts {
        operator: operator(),
        deployments: Err(anyhow!("forbidden")),
        ..sound()
    };
    let troubles = troubles(&facts);
    assert!(
        troubles.iter().all(|(weight, _)| *weight == Doubtful),
        "{troubles:?}"
    );
    assert!(
        troubles[0].1.contains("who may read the operator's Deployment"),
        "{troubles:?}"
    );
}

#[test]
fn what_may_not_be_read_is_told_and_not_taken_for_fine() {
    let facts = Facts {
        operator: Err(anyhow!("forbidden")),
        ..sound()
    };
    only(
        &facts,
        Doubtful,
        &["the operator's rights", "not looked at: forbidden"],
    );
}

#[test]
fn replicas_that_are_not_ready_or_of_another_version_are_told() {
    let with = |edit: fn(&mut Deployment)| {
        let mut facts = sound();
        edit(&mut facts.deployments.as_mut().unwrap()[0]);
        facts
    };
    let some = with(|d| d.status.as_mut().unwrap().ready_replicas = Some(2));
    only(
        &some,
        Doubtful,
        &["2 of 3 are ready", "kubectl logs -n sancho-system"],
    );
    let none = with(|d| d.status = None);
    only(&none, Broken, &["0 of 3"]);
    let other = with(|d| {
        d.metadata.labels = Some([("app.kubernetes.io/version".into(), "9.9.9".into())].into());
    });
    only(
        &other,
        Doubtful,
        &["version 9.9.9", "use the plugin of the operator's version"],
    );
    let absent = Facts {
        deployments: Ok(Vec::new()),
        ..sound()
    };
    only(&absent, Doubtful, &["--operator-namespace"]);
}

#[test]
fn responders_that_are_not_ready_are_told_beside_the_replicas() {
    let with = |ready| {
        let mut responders = deployment("sancho-responder");
        responders.status.as_mut().unwrap().ready_replicas = ready;
        Facts {
            responders: vec![responders],
            ..sound()
        }
    };
    assert_eq!(troubles(&with(Some(3))), []);
    only(
        &with(Some(1)),
        Doubtful,
        &["responders in sancho-system: 1 of 3 are ready"],
    );
    only(
        &with(None),
        Broken,
        &[
            "responders in sancho-system: 0 of 3 are ready",
            "deployment/sancho-responder",
        ],
    );
    let alone = Facts {
        deployments: Ok(Vec::new()),
        ..with(Some(3))
    };
    only(&alone, Doubtful, &["replicas in sancho-system: no Deployment"]);
}

#[test]
fn a_damaged_lease_and_an_unseen_certificate_are_told() {
    let facts = Facts {
        leases: Ok(vec![Lease::default()]),
        ..sound()
    };
    only(&facts, Broken, &["nothing is sent", "delete the Lease"]);
    let facts = Facts {
        certificates: Ok(vec![certificate(None)]),
        ..sound()
    };
    only(
        &facts,
        Broken,
        &[
            "Certificate default/shop: Unseen",
            "see whether the operator runs",
        ],
    );
}

#[test]
fn a_ca_that_is_not_reached_is_told_with_why_and_since_when() {
    let failing = |since: i64, reason: &str| Facts {
        leases: Ok(vec![budget(|record| {
            record.contact.failing = Some(Failing {
                since: at(NOW - since),
                last: at(NOW - 5),
                replica: "sancho-0-1c9c570d".into(),
                reason: reason.into(),
                message: "it refuses connections".into(),
                unknown: BTreeMap::new(),
            });
        })]),
        cluster_issuers: Ok(vec![issuer(json!([]))]),
        ..sound()
    };
    only(
        &failing(600, "CaUnreachable"),
        Broken,
        &[
            "CA https://ca.example of ClusterIssuer ca: not reached from the cluster since 2027-01-15T07:50:00Z, 10m \
             ago: CaUnreachable: it refuses connections",
            "tried last 5s ago, by sancho-0-1c9c570d; it answered last at 2027-01-15T07:45:00Z",
            "let the Pods in sancho-system out to it",
        ],
    );
    only(&failing(600, "CaRootUnknown"), Broken, &["spec.acme.caBundle"]);
    // One request alone.
    only(
        &failing(5, "CaTimedOut"),
        Doubtful,
        &["since 2027-01-15T07:59:55Z"],
    );
    let of_no_issuer = Facts {
        cluster_issuers: Ok(Vec::new()),
        ..failing(600, "CaUnreachable")
    };
    assert_eq!(troubles(&of_no_issuer), []);
}

#[test]
fn a_ca_that_is_reached_is_told_with_its_issuers_and_one_that_nobody_has_asked_is_not_taken_for_reached() {
    let with = |leases| Facts {
        leases: Ok(leases),
        cluster_issuers: Ok(vec![issuer(json!([]))]),
        ..sound()
    };
    let reached = Finding::fine(
        "CA https://ca.example of ClusterIssuer ca",
        "reached from the cluster: it answered last 15m ago",
    );
    let found = findings(&with(vec![budget(|_| {})]), at(NOW));
    assert!(found.contains(&reached), "{found:?}");

    let unknown = [
        "CA https://ca.example of ClusterIssuer ca: whether it is reached",
        "kubectl sancho renew",
    ];
    only(&with(Vec::new()), Doubtful, &unknown);
    let silent = budget(|record| record.contact.answered = None);
    only(&with(vec![silent]), Doubtful, &unknown);
}

#[test]
fn a_pause_is_told_with_its_cause_until_it_is_over() {
    let paused = |remaining, asked_seconds, cause: Option<Cause>| Facts {
        leases: Ok(vec![budget(|record| {
            record.pause = Some(Pause {
                serial: 1,
                remaining: Duration::from_secs(remaining),
                bare_throttles: 0,
                asked_seconds,
                unknown: BTreeMap::new(),
            });
            record.discovery.outage = cause.map(|cause| Outage {
                cause,
                failed_probes: 0,
                suspected: false,
                endpoint: Default::default(),
                before: None,
                unknown: BTreeMap::new(),
            });
        })]),
        ..sound()
    };
    only(
        &paused(120, Some(120), Some(Cause::Throttled)),
        Doubtful,
        &["all sending is paused: the CA asks to be left alone for 120 s"],
    );
    only(
        &paused(120, None, Some(Cause::Refused)),
        Doubtful,
        &["all sending is paused: the CA refuses connections"],
    );
    // It was written a minute ago.
    assert_eq!(troubles(&paused(30, None, None)), []);
}

/// All is ready: one Certificate, with this shard.
fn ready_with(shard: CertificateShard) -> Facts {
    let mut status = CertificateStatus {
        observed_generation: Some(2),
        ..Default::default()
    };
    let now = Time(at(NOW));
    set_condition(&mut status.conditions, "Ready", true, "Issued", "", Some(2), &now);
    Facts {
        certificates: Ok(vec![certificate(Some(status))]),
        shards: Ok(vec![shard]),
        ..sound()
    }
}

#[test]
fn a_name_in_quarantine_of_a_ready_certificate_is_told() {
    let with = |place, found_by| {
        let mut shard = issued_shard("shop-0", &["a.example", "b.example"], 90);
        shard.status.as_mut().unwrap().quarantine = vec![QuarantinedName {
            issuer_generation: Some(1),
            issuer_created: None,
            asked: None,
            name: "b.example".into(),
            place,
            found_by,
            reason: "NameNotFound".into(),
            message: "make its record".into(),
            since: Time(at(NOW - 120)),
            count: 2,
            next_try: Time(at(NOW + 300)),
        }];
        ready_with(shard)
    };
    only(
        &with(QuarantinePlace::Out, FoundBy::Check),
        Broken,
        &[
            "name b.example of Certificate default/shop: left out for 2m: NameNotFound: make its record (found by a look at \
             its DNS",
            "tried again by itself in 5m; kubectl sancho status shop -n default",
        ],
    );
    let edited = Facts {
        cluster_issuers: Ok(vec![edited("ca", 2)]),
        ..with(QuarantinePlace::Out, FoundBy::Check)
    };
    let found = findings(&edited, at(NOW));
    let mut steps = found.into_iter().filter_map(|finding| finding.next_step);
    let is_at_once = |step: String| step.contains("tried again by itself in 0s");
    assert!(steps.any(is_at_once), "its issuer was edited");
    let served = with(QuarantinePlace::Served, FoundBy::Ca);
    only(
        &served,
        Doubtful,
        &["holds the renewal up for 2m", "(found by the CA)"],
    );
    let passing = with(QuarantinePlace::Passing, FoundBy::Check);
    only(
        &passing,
        Doubtful,
        &["can be validated again", "comes back by itself in 5m"],
    );
    let joining = with(QuarantinePlace::Joining, FoundBy::Check);
    only(&joining, Doubtful, &["is part of the next order"]);
}

#[test]
fn of_many_names_in_quarantine_the_first_are_told_and_how_many_more() {
    let names: Vec<String> = (0..SHOWN + 5)
        .map(|number| format!("n{number}.example"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut shard = issued_shard("shop-0", &names, 90);
    let entry = |name: &&str| QuarantinedName {
        issuer_generation: None,
        issuer_created: None,
        asked: None,
        name: (*name).to_owned(),
        place: QuarantinePlace::Out,
        found_by: FoundBy::Ca,
        reason: "CAAForbids".into(),
        message: String::new(),
        since: Time(at(NOW)),
        count: 1,
        next_try: Time(at(NOW + 60)),
    };
    shard.status.as_mut().unwrap().quarantine = names.iter().map(entry).collect();
    let troubles = troubles(&ready_with(shard));
    assert_eq!(troubles.len(), SHOWN + 1);
    assert!(
        troubles[SHOWN].1.contains("5 more cannot be validated"),
        "{troubles:?}"
    );
}

#[test]
fn a_quota_that_is_used_up_is_told_once_until_it_is_over() {
    let told = |name: &str, until: i64| {
        let mut shard = new_shard(name, &["a.example.com"]);
        shard.status = Some(CertificateShardStatus {
            failure: Some(ShardFailure {
                issuer_generation: None,
                issuer_created: None,
                reason: "RateLimited".into(),
                message: "too many certificates".into(),
                target: "t".into(),
                count: 0,
                retry_time: Time(at(until)),
                generation: None,
                profile: None,
                most_names: None,
                quota: Some(ShardQuota {
                    account: "https://ca.example/acct/1".into(),
                    scope: QuotaScope::RegisteredDomain,
                    names: vec!["example.com".into()],
                }),
            }),
            ..Default::default()
        });
        shard
    };
    let facts = |shards| Facts {
        shards: Ok(shards),
        ..sound()
    };
    let (one, two) = (told("shop-0", NOW + 600), told("shop-1", NOW + 7200));
    only(
        &facts(vec![one.clone(), two]),
        Doubtful,
        &[
            "quota of the CA for the registered domain example.com: used up until 2027-01-15T10:00:00Z: too many",
            "said to shard default/shop-1",
            "in 2h",
        ],
    );
    assert_eq!(
        findings(&facts(vec![told("shop-0", NOW)]), at(NOW)),
        findings(&sound(), at(NOW))
    );
}

#[test]
fn a_clock_is_wrong_in_both_directions() {
    let with = |ahead| Facts {
        clocks: clocks_at(ahead),
        ..sound()
    };
    assert_eq!(troubles(&with(-25)), []);
    only(&with(3600), Doubtful, &["behind the API server", "NTP"]);
    only(&with(-3600), Doubtful, &["ahead of the API server"]);
}

#[test]
fn a_replicas_clock_is_told_by_its_node_or_else_by_what_it_wrote_last() {
    let with = |ahead, nodes| Facts {
        leases: Ok(vec![budget_by(ahead, |_| {})]),
        nodes: Ok(nodes),
        ..sound()
    };
    let of_replica = "clock of replica sancho-0-1c9c570d: 75d ahead of the API server's when it wrote Lease \
                      sancho-budget-ca 60s ago";
    only(&with(75 * DAY, Vec::new()), Broken, &[of_replica, "NTP"]);
    only(&with(-90, Vec::new()), Doubtful, &["90s behind the API server's"]);
    assert_eq!(troubles(&with(-25, Vec::new())), []);

    let node = |pod: &str, ahead: Option<i64>| Node {
        name: "node-a".into(),
        pods: vec![pod.into()],
        lease: ahead.map(|ahead| renewed("node-a", &BTreeMap::new(), ahead)),
    };
    let of_node = "clock of node node-a: 75d ahead of the API server's (sancho-0)";
    only(
        &with(75 * DAY, vec![node("sancho-0", Some(75 * DAY))]),
        Broken,
        &[of_node],
    );
    only(
        &with(75 * DAY, vec![node("sancho-0", None)]),
        Broken,
        &[of_replica],
    );
    // It was mended since, or the replica is gone.
    for pod in ["sancho-0", "sancho-1"] {
        assert_eq!(troubles(&with(75 * DAY, vec![node(pod, Some(0))])), [], "{pod}");
    }
    let unseen = Facts {
        nodes: Err(anyhow!("forbidden")),
        ..sound()
    };
    only(
        &unseen,
        Doubtful,
        &["clocks of the nodes with replicas: not looked at"],
    );
}

#[test]
fn trouble_comes_first_and_each_has_its_next_step() {
    let facts = Facts {
        certificates: Ok(vec![certificate(None)]),
        ..sound()
    };
    let text = text(&findings(&facts, Timestamp::UNIX_EPOCH));
    let text = anstream::adapter::strip_str(&text).to_string();
    let mut lines = text.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("broken    Certificate default/shop"),
        "{text}"
    );
    assert!(lines.next().unwrap().starts_with("          -> "), "{text}");
}
