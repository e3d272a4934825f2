//! What is written for which solvers.

use std::collections::BTreeSet;

use super::*;

fn home() -> Home {
    Home {
        namespace: "sancho-system".into(),
        service: "sancho-responder".into(),
        port: 80,
    }
}

fn shard() -> CertificateShard {
    let mut shard = CertificateShard::new("storefront-1", Default::default());
    shard.metadata.namespace = Some("shop".into());
    shard.metadata.uid = Some("0a0a".into());
    shard.metadata.resource_version = Some("7".into());
    shard
}

fn routes(solvers: &Value, names: &[String]) -> Wanted {
    let solvers: Vec<Solver> = serde_json::from_value(solvers.clone()).unwrap();
    wanted(&home(), &shard(), &solvers, &Labels::new(), names)
}

fn names(count: usize) -> Vec<String> {
    (0..count).rev().map(|n| format!("n{n:02}.example.com")).collect()
}

#[test]
fn one_ingress_has_all_names_of_its_class_and_the_path_of_challenges_alone() {
    let solver = json!([{ "http01": { "ingress": {
        "ingressClassName": "nginx",
        "ingressTemplate": { "metadata": { "labels": { "team": "shop" }, "annotations": { "a.example/b": "c" } } },
    } } }]);
    let found = routes(&solver, &names(42));
    let [route] = &found.routes[..] else {
        panic!("{found:?}");
    };
    assert_eq!((route.kind, route.hosts.len()), (Kind::Ingress, 42));
    assert_eq!(
        route.words,
        format!("Ingress sancho-system/{} (class nginx)", route.name)
    );
    let manifest = &route.manifest;
    assert_eq!(manifest["metadata"]["namespace"], "sancho-system");
    assert_eq!(
        manifest["metadata"]["labels"],
        json!({ "team": "shop", SHARD_LABEL: "0a0a", "app.kubernetes.io/managed-by": "sancho" })
    );
    assert_eq!(
        manifest["metadata"]["annotations"],
        json!({ "a.example/b": "c", SHARD_ANNOTATION: "shop/storefront-1", CLAIM_ANNOTATION: "7" })
    );
    assert_eq!(manifest["spec"]["ingressClassName"], "nginx");
    assert_eq!(
        manifest["spec"]["rules"][0],
        json!({ "host": "n00.example.com", "http": { "paths": [{
            "path": "/.well-known/acme-challenge",
            "pathType": "Prefix",
            "backend": { "service": { "name": "sancho-responder", "port": { "number": 80 } } },
        }] } })
    );
}

#[test]
fn http_routes_have_sixteen_hosts_each_and_name_gateways_beside_the_certificate() {
    let solver = json!([{ "http01": { "gatewayHTTPRoute": {
        "parentRefs": [{ "name": "front" }, { "name": "edge", "namespace": "infra", "sectionName": "http" }],
        "labels": { "team": "shop" },
    } } }]);
    let found = routes(&solver, &names(42));
    let counts: Vec<usize> = found.routes.iter().map(|route| route.hosts.len()).collect();
    assert_eq!(counts, [16, 16, 10]);
    let all: BTreeSet<&String> = found.routes.iter().flat_map(|route| &route.hosts).collect();
    assert_eq!(all.len(), 42);
    let apart: BTreeSet<&str> = found.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(apart.len(), 3);
    let route = &found.routes[2];
    assert!(
        route.words.contains("(Gateway shop/front, Gateway infra/edge)"),
        "{}",
        route.words
    );
    let spec = &route.manifest["spec"];
    assert_eq!(
        spec["parentRefs"],
        json!([{ "name": "front", "namespace": "shop" }, { "name": "edge", "namespace": "infra", "sectionName": "http" }])
    );
    assert_eq!(spec["hostnames"], json!(route.hosts));
    assert_eq!(
        spec["rules"],
        json!([{
            "matches": [{ "path": { "type": "PathPrefix", "value": "/.well-known/acme-challenge" } }],
            "backendRefs": [{ "name": "sancho-responder", "port": 80 }],
        }])
    );
    assert_eq!(route.manifest["metadata"]["labels"]["team"], "shop");
}

#[test]
fn each_solver_has_its_names_and_what_cannot_stand_in_a_route_is_told() {
    let solvers = json!([
        { "http01": { "external": {} } },
        { "selector": { "dnsZones": ["a.example"] }, "http01": { "ingress": { "class": "old" } } },
        { "selector": { "dnsZones": ["b.example"] }, "http01": { "ingress": {} } },
        { "selector": { "dnsNames": ["b.a.example", "192.0.2.1"] }, "http01": { "ingress": { "class": "old" } } },
        { "selector": { "dnsZones": ["c.example"] }, "http01": { "gatewayHTTPRoute": { "parentRefs": [{ "name": "g" }] } } },
    ]);
    let names = [
        "b.a.example",
        "a.example",
        "b.example",
        "c.example",
        "d.example",
        "192.0.2.1",
        "*.a.example",
    ];
    let found = routes(&solvers, &names.map(str::to_owned));
    let hosts: BTreeSet<(bool, Vec<&str>)> = found
        .routes
        .iter()
        .map(|route| {
            (
                route.kind == Kind::Ingress,
                route.hosts.iter().map(String::as_str).collect(),
            )
        })
        .collect();
    let expected = [
        (true, vec!["a.example", "b.a.example"]),
        (true, vec!["b.example"]),
        (false, vec!["c.example"]),
    ];
    assert_eq!(hosts, BTreeSet::from(expected));
    assert_eq!(found.unroutable, ["192.0.2.1"]);
    let old = found
        .routes
        .iter()
        .find(|route| route.words.ends_with("(class old)"))
        .unwrap();
    assert_eq!(
        old.manifest["metadata"]["annotations"]["kubernetes.io/ingress.class"],
        "old"
    );
    assert_eq!(old.manifest["spec"]["ingressClassName"], Value::Null);
    let default = found
        .routes
        .iter()
        .find(|route| route.hosts == ["b.example"])
        .unwrap();
    assert!(
        default.words.ends_with("(the cluster's default class)"),
        "{}",
        default.words
    );
}

#[test]
fn a_route_keeps_its_name_from_claim_to_claim_and_no_two_shards_share_one() {
    let solver: Vec<Solver> = serde_json::from_value(json!([{ "http01": { "ingress": {} } }])).unwrap();
    let name = |shard: &CertificateShard| {
        wanted(&home(), shard, &solver, &Labels::new(), &names(3)).routes[0]
            .name
            .clone()
    };
    let (mut later, mut other) = (shard(), shard());
    later.metadata.resource_version = Some("8".into());
    other.metadata.uid = Some("0b0b".into());
    assert_eq!(name(&later), name(&shard()));
    assert_ne!(name(&other), name(&shard()));
}
