//! Whether the Gateways that solvers name take Sancho's HTTPRoutes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::core::{Selector, SelectorExt};
use sancho_crds::{IssuerKind, ParentRef};
use serde_json::Value;

use super::issuing::{AnyIssuer, issuers, together};
use super::{SHOWN, unseen};
use crate::doctor::Finding;
use crate::doctor::Weight::{Broken, Doubtful};
use crate::doctor::survey::Facts;

const GROUP: &str = "gateway.networking.k8s.io";
/// Where CAs ask.
const HTTP_PORT: i64 = 80;

/// What a controller affirms of a Gateway that it serves, and the words for it.
const CONDITIONS: [(&str, &str); 2] = [("Accepted", "accepted"), ("Programmed", "programmed")];

/// A Gateway, or some of its listeners, as a solver names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Parent {
    namespace: String,
    name: String,
    section: Option<String>,
    port: Option<i32>,
}

/// A finding for each Gateway that a solver names.
pub fn of_solvers(facts: &Facts) -> Vec<Finding> {
    let mut asked: BTreeMap<Parent, Vec<String>> = BTreeMap::new();
    for issuer in issuers(facts) {
        let solvers = issuer.acme.solvers.iter();
        let routes = solvers.filter_map(|solver| solver.http01.as_ref()?.gateway_http_route.as_ref());
        for parent_ref in routes.flat_map(|route| &route.parent_refs) {
            for parent in parents(parent_ref, &issuer, facts) {
                let asking = asked.entry(parent).or_default();
                if asking.last() != Some(&issuer.words) {
                    asking.push(issuer.words.clone());
                }
            }
        }
    }
    // That the kind itself is not known is told with the rights to write routes.
    if asked.is_empty() || matches!(facts.has_http_routes, Ok(false)) {
        return Vec::new();
    }
    let present = match &facts.ways.gateways {
        Ok(present) => present,
        Err(error) => return vec![unseen("Gateways of solvers", error)],
    };
    let mut found: Vec<Finding> = asked
        .iter()
        .map(|(parent, issuers)| gateway(parent, &together(issuers), present, facts))
        .collect();
    found.sort_by_key(|finding| finding.weight);
    let more = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    if more > 0 {
        found.push(Finding::trouble(
            Doubtful,
            "Gateways of solvers",
            format!("{more} more are named"),
            "name the Gateway's namespace in the solver's parentRefs, so that all Certificates have one in common",
        ));
    }
    found
}

/// A reference without a namespace means the Certificate's: for a ClusterIssuer that of each Certificate that uses it.
fn parents(parent_ref: &ParentRef, issuer: &AnyIssuer<'_>, facts: &Facts) -> Vec<Parent> {
    let ParentRef {
        group,
        kind,
        namespace,
        name,
        section_name,
        port,
    } = parent_ref;
    let is_gateway =
        group.as_deref().unwrap_or(GROUP) == GROUP && kind.as_deref().unwrap_or("Gateway") == "Gateway";
    if !is_gateway {
        return Vec::new();
    }
    let namespaces: BTreeSet<String> = match namespace.as_ref().or(issuer.namespace.as_ref()) {
        Some(namespace) => [namespace.clone()].into(),
        None => facts
            .certificates
            .iter()
            .flatten()
            .filter(|certificate| {
                let reference = &certificate.spec.issuer_ref;
                reference.kind == Some(IssuerKind::ClusterIssuer) && reference.name == issuer.name
            })
            .filter_map(ResourceExt::namespace)
            .collect(),
    };
    let parents = namespaces.into_iter().map(|namespace| Parent {
        namespace,
        name: name.clone(),
        section: section_name.clone(),
        port: *port,
    });
    parents.collect()
}

fn gateway(parent: &Parent, issuers: &str, present: &[DynamicObject], facts: &Facts) -> Finding {
    let Parent {
        namespace,
        name,
        section,
        port,
    } = parent;
    let home = &facts.operator_namespace;
    let listener = section
        .as_ref()
        .map(|section| format!(", listener {section}"))
        .unwrap_or_default();
    let about = format!("Gateway {namespace}/{name}{listener} of {issuers}");
    let look = format!("kubectl describe gateways.{GROUP} -n {namespace} {name}");
    let is_it = |gateway: &&DynamicObject| {
        gateway.name_any() == *name && gateway.namespace().as_ref() == Some(namespace)
    };
    let Some(gateway) = present.iter().find(is_it) else {
        let next_step =
            format!("make it, or name one of kubectl get gateways.{GROUP} -A in the solver's parentRefs");
        return Finding::trouble(Broken, about, "is not there", next_step);
    };
    if let Some((condition, words)) = refusal(&gateway.data) {
        let found = format!("its controller says that it is not {condition}: {words}");
        return Finding::trouble(Broken, about, found, look);
    }
    let fitting = fitting(&gateway.data, section.as_deref(), *port);
    if fitting.is_empty() {
        let next_step = "give it one for HTTP on port 80, or mend the solver's parentRefs";
        return Finding::trouble(
            Broken,
            about,
            "has no listener for HTTP, or none that the solver names",
            next_step,
        );
    }
    let labels = facts.ways.labels.as_ref();
    let is_beside = namespace == home;
    let admits = |listener: &&&Value| {
        let is_chosen = |selector: &Value| labels.is_ok_and(|labels| is_selected(selector, labels));
        admits(listener, is_beside, is_chosen)
    };
    let admitting: Vec<&&Value> = fitting.iter().filter(admits).collect();
    if admitting.is_empty() {
        return match labels {
            Err(error) if fitting.iter().any(|listener| chooses(listener)) => unseen(&about, error),
            _ => Finding::trouble(
                Broken,
                about,
                format!("its listeners for HTTP take no HTTPRoutes of namespace {home}"),
                format!(
                    "admit {home} by allowedRoutes.namespaces of its listener: docs/solvers.md shows how"
                ),
            ),
        };
    }
    if !admitting
        .iter()
        .any(|listener| listener["port"].as_i64() == Some(HTTP_PORT))
    {
        let found = "takes HTTPRoutes, but on no port 80, where CAs ask";
        let next_step = "see that port 80 of its address leads to that listener, or give it one on port 80";
        return Finding::trouble(Doubtful, about, found, next_step);
    }
    if let Some(condition) = unsaid(&gateway.data) {
        let class = gateway.data["spec"]["gatewayClassName"]
            .as_str()
            .unwrap_or_default();
        return Finding::trouble(
            Doubtful,
            about,
            format!("no controller says that it is {condition}"),
            format!("see whether the controller of GatewayClass {class} runs; {look}"),
        );
    }
    Finding::fine(about, format!("takes HTTPRoutes of namespace {home}"))
}

/// What the controller of a Gateway says of it.
fn condition<'a>(gateway: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = gateway["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

/// Which condition the controller denies, and its words.
fn refusal(gateway: &Value) -> Option<(&'static str, String)> {
    CONDITIONS.iter().find_map(|(kind, word)| {
        let denied = condition(gateway, kind).filter(|condition| condition["status"] == "False")?;
        let text = |field: &str| denied[field].as_str().unwrap_or_default();
        Some((*word, format!("{}: {}", text("reason"), text("message"))))
    })
}

/// The first condition that the controller does not affirm.
fn unsaid(gateway: &Value) -> Option<&'static str> {
    let is_unsaid =
        |kind: &str| condition(gateway, kind).is_none_or(|condition| condition["status"] != "True");
    let unsaid = CONDITIONS.iter().find(|(kind, _)| is_unsaid(kind));
    unsaid.map(|(_, word)| *word)
}

/// The listeners for HTTP that are named, or all of them.
fn fitting<'a>(gateway: &'a Value, section: Option<&str>, port: Option<i32>) -> Vec<&'a Value> {
    let listeners = gateway["spec"]["listeners"].as_array().into_iter().flatten();
    let is_named = |listener: &&Value| {
        listener["protocol"] == "HTTP"
            && section.is_none_or(|section| listener["name"] == section)
            && port.is_none_or(|port| listener["port"].as_i64() == Some(port.into()))
    };
    listeners.filter(is_named).collect()
}

/// Whether a listener takes HTTPRoutes of a namespace, which `is_beside` the Gateway or `is_chosen` by a selector.
fn admits(listener: &Value, is_beside: bool, is_chosen: impl Fn(&Value) -> bool) -> bool {
    let allowed = &listener["allowedRoutes"];
    let kinds = allowed["kinds"].as_array().map_or(&[][..], Vec::as_slice);
    if !kinds.is_empty() && !kinds.iter().any(|kind| kind["kind"] == "HTTPRoute") {
        return false;
    }
    match allowed["namespaces"]["from"].as_str().unwrap_or("Same") {
        "All" => true,
        "Same" => is_beside,
        "Selector" => is_chosen(&allowed["namespaces"]["selector"]),
        _ => false,
    }
}

/// Does it go by the labels of namespaces?
fn chooses(listener: &Value) -> bool {
    listener["allowedRoutes"]["namespaces"]["from"] == "Selector"
}

fn is_selected(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let selector: Option<LabelSelector> = serde_json::from_value(selector.clone()).ok();
    let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
    selector.is_some_and(|selector| selector.matches(labels))
}
