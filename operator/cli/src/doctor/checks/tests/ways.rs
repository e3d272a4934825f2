//! What challenges go through.

use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::IngressClass;
use kube::api::DynamicObject;
use serde_json::Value;

use super::*;

/// An IngressClass, perhaps the default one.
pub(super) fn class(name: &str, is_default: bool) -> IngressClass {
    let annotations = json!({ "ingressclass.kubernetes.io/is-default-class": is_default.to_string() });
    let class = json!({
        "metadata": { "name": name, "annotations": annotations },
        "spec": { "controller": "example.com/router" },
    });
    serde_json::from_value(class).unwrap()
}

/// Endpoints of the responder's Service, with these conditions.
pub(super) fn slice(conditions: &[Value]) -> EndpointSlice {
    let endpoint = |conditions: &Value| json!({ "addresses": ["10.0.0.1"], "conditions": conditions });
    let endpoints: Vec<Value> = conditions.iter().map(endpoint).collect();
    serde_json::from_value(json!({ "addressType": "IPv4", "endpoints": endpoints })).unwrap()
}

/// With a ClusterIssuer of this one solver, and these ways.
fn with(http01: &Value, edit: impl FnOnce(&mut Ways)) -> Facts {
    let mut facts = Facts {
        cluster_issuers: Ok(vec![issuer(json!([{ "http01": http01 }]))]),
        has_http_routes: Ok(true),
        ..sound()
    };
    edit(&mut facts.ways);
    facts
}

#[test]
fn routes_that_cannot_be_written_are_told_if_an_issuer_asks_for_them() {
    let route = |resource, is_allowed| {
        let right = Right {
            verb: "create",
            group: "",
            resource,
            place: Place::BesideOperator,
            why: "for a solver",
        };
        held(right, Some("sancho-system"), is_allowed)
    };
    let facts = |solver: Value, has_http_routes| Facts {
        cluster_issuers: Ok(vec![issuer(json!([{ "http01": solver }]))]),
        routes: Ok(vec![route("ingresses", false), route("httproutes", true)]),
        has_http_routes: Ok(has_http_routes),
        ..sound()
    };
    let gateway = json!({ "gatewayHTTPRoute": { "parentRefs": [{ "name": "front" }] } });
    let ingress = json!({ "ingress": {} });
    assert_eq!(troubles(&facts(json!({ "external": {} }), false)), []);
    assert_eq!(troubles(&facts(gateway.clone(), true)), []);
    only(
        &facts(gateway, false),
        Broken,
        &["does not know", "install the Gateway API"],
    );
    only(
        &facts(ingress, false),
        Broken,
        &["create ingresses", "routes.enabled=true"],
    );
}

#[test]
fn an_ingress_class_that_is_not_there_is_told_and_that_there_is_no_default_one() {
    let named = json!({ "ingress": { "ingressClassName": "nginx" } });
    let default = json!({ "ingress": {} });
    let only_of = |name: &str| {
        let class = class(name, false);
        move |ways: &mut Ways| ways.ingress_classes = Ok(vec![class])
    };
    assert_eq!(troubles(&with(&named, only_of("nginx"))), []);
    assert_eq!(troubles(&with(&default, |_| {})), []);
    only(
        &with(&named, only_of("traefik")),
        Broken,
        &[
            "IngressClass nginx of ClusterIssuer ca: is not there",
            "kubectl get ingressclasses",
        ],
    );
    only(
        &with(&default, only_of("nginx")),
        Doubtful,
        &[
            "default IngressClass for ClusterIssuer ca: there is none",
            "is-default-class",
        ],
    );
    let older = json!({ "ingress": { "class": "nginx" } });
    assert_eq!(troubles(&with(&older, only_of("traefik"))), []);
    let unread = with(&named, |ways| ways.ingress_classes = Err(anyhow!("forbidden")));
    only(
        &unread,
        Doubtful,
        &["IngressClasses of solvers: not looked at: forbidden"],
    );
    let of_none = with(&json!({ "external": {} }), |ways| {
        ways.ingress_classes = Err(anyhow!("forbidden"));
    });
    assert_eq!(troubles(&of_none), []);
}

#[test]
fn a_service_that_leads_to_nobody_is_told_if_challenges_come_by_http() {
    let external = json!({ "external": {} });
    let endpoints = |conditions: &[Value]| {
        let slices = vec![slice(&[]), slice(conditions)];
        with(&external, |ways| ways.endpoints = Ok(Some(slices)))
    };
    // Of one that says nothing it is to be taken for granted.
    for conditions in [json!({ "ready": true }), json!({})] {
        let facts = endpoints(&[json!({ "ready": false }), conditions]);
        assert_eq!(troubles(&facts), []);
    }
    only(
        &endpoints(&[json!({ "ready": false })]),
        Broken,
        &[
            "Service sancho-responder in sancho-system: leads to no Pod that is ready",
            "kubectl describe service -n sancho-system sancho-responder",
        ],
    );
    let absent = with(&external, |ways| ways.endpoints = Ok(None));
    only(&absent, Broken, &["is not there", "install the chart again"]);
    let unread = with(&external, |ways| ways.endpoints = Err(anyhow!("forbidden")));
    only(&unread, Doubtful, &["not looked at: forbidden"]);
    let of_no_issuer = Facts {
        cluster_issuers: Ok(Vec::new()),
        ..absent
    };
    assert_eq!(troubles(&of_no_issuer), []);
}

/// The Gateway `infra/front` with this `allowedRoutes`, which its controller takes.
fn front(allowed: &Value) -> Value {
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "reason": "Fine", "message": "" });
    json!({
        "metadata": { "name": "front", "namespace": "infra" },
        "spec": {
            "gatewayClassName": "internet",
            "listeners": [
                { "name": "https", "protocol": "HTTPS", "port": 443 },
                { "name": "http", "protocol": "HTTP", "port": 80, "allowedRoutes": allowed },
            ],
        },
        "status": { "conditions": [condition("Accepted"), condition("Programmed")] },
    })
}

/// A solver that names it, with this besides.
fn by_gateway(besides: &Value) -> Value {
    let mut parent = json!({ "name": "front", "namespace": "infra" });
    for (field, value) in besides.as_object().into_iter().flatten() {
        parent[field] = value.clone();
    }
    json!({ "gatewayHTTPRoute": { "parentRefs": [parent] } })
}

fn with_gateway(http01: &Value, gateway: Value) -> Facts {
    let gateway: DynamicObject = serde_json::from_value(gateway).unwrap();
    with(http01, |ways| ways.gateways = Ok(vec![gateway]))
}

fn from_all() -> Value {
    json!({ "namespaces": { "from": "All" } })
}

#[test]
fn a_gateway_has_to_admit_the_operators_namespace() {
    let solver = by_gateway(&json!({}));
    let allowed = |allowed: Value| with_gateway(&solver, front(&allowed));
    let selector = |name: &str| {
        let labels = json!({ "matchLabels": { "kubernetes.io/metadata.name": name } });
        json!({ "namespaces": { "from": "Selector", "selector": labels } })
    };
    assert_eq!(troubles(&allowed(from_all())), []);
    assert_eq!(troubles(&allowed(selector("sancho-system"))), []);
    for refusing in [
        json!(null),
        json!({ "namespaces": { "from": "Same" } }),
        json!({ "namespaces": { "from": "Selector" } }),
        json!({ "namespaces": { "from": "All" }, "kinds": [{ "kind": "GRPCRoute" }] }),
        selector("shop"),
    ] {
        only(
            &allowed(refusing),
            Broken,
            &[
                "Gateway infra/front of ClusterIssuer ca: its listeners for HTTP take no HTTPRoutes of namespace \
                 sancho-system",
                "allowedRoutes.namespaces",
            ],
        );
    }
    let mut unread = allowed(selector("sancho-system"));
    unread.ways.labels = Err(anyhow!("forbidden"));
    only(&unread, Doubtful, &["not looked at: forbidden"]);
}

#[test]
fn a_gateway_that_is_not_there_or_has_no_such_listener_is_told() {
    let solver = by_gateway(&json!({}));
    only(
        &with(&solver, |_| {}),
        Broken,
        &["Gateway infra/front of ClusterIssuer ca: is not there"],
    );
    let fine = || front(&from_all());
    let of_http = by_gateway(&json!({ "sectionName": "http" }));
    assert_eq!(troubles(&with_gateway(&of_http, fine())), []);
    for besides in [json!({ "sectionName": "https" }), json!({ "port": 8080 })] {
        only(
            &with_gateway(&by_gateway(&besides), fine()),
            Broken,
            &["has no listener for HTTP"],
        );
    }
    let mut elsewhere = fine();
    elsewhere["spec"]["listeners"][1]["port"] = 8080.into();
    only(&with_gateway(&solver, elsewhere), Doubtful, &["on no port 80"]);
    let unread = with(&solver, |ways| ways.gateways = Err(anyhow!("forbidden")));
    only(
        &unread,
        Doubtful,
        &["Gateways of solvers: not looked at: forbidden"],
    );
    // One of another kind is its controller's business.
    let service = by_gateway(&json!({ "group": "", "kind": "Service" }));
    assert_eq!(troubles(&with(&service, |_| {})), []);
}

#[test]
fn a_gateway_is_told_if_its_controller_refuses_it_or_says_nothing() {
    let solver = by_gateway(&json!({}));
    let said = |status: &str| {
        let mut gateway = front(&from_all());
        gateway["status"]["conditions"][1]["status"] = status.into();
        gateway["status"]["conditions"][1]["message"] = "no address".into();
        with_gateway(&solver, gateway)
    };
    only(
        &said("False"),
        Broken,
        &[
            "its controller says that it is not programmed: Fine: no address",
            "kubectl describe gateways.gateway.networking.k8s.io -n infra front",
        ],
    );
    only(
        &said("Unknown"),
        Doubtful,
        &[
            "no controller says that it is programmed",
            "GatewayClass internet",
        ],
    );
}

#[test]
fn a_gateway_beside_the_certificates_is_looked_for_in_their_namespaces() {
    let solver = json!({ "gatewayHTTPRoute": { "parentRefs": [{ "name": "front" }] } });
    let facts = |reference: Value| {
        let mut certificate = certificate(None);
        certificate.spec.issuer_ref = serde_json::from_value(reference).unwrap();
        Facts {
            certificates: Ok(vec![certificate]),
            ..with(&solver, |_| {})
        }
    };
    let is_told = |facts: &Facts| {
        let troubles = troubles(facts);
        let told = "Gateway default/front of ClusterIssuer ca: is not there";
        troubles.iter().any(|(_, words)| words.contains(told))
    };
    assert!(is_told(&facts(json!({ "name": "ca", "kind": "ClusterIssuer" }))));
    assert!(!is_told(&facts(json!({ "name": "ca" }))));
}
