//! The Ingresses and HTTPRoutes that an order of some names needs. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kube::ResourceExt;
use sancho_crds::{CertificateShard, GatewayRoute, Http01, IngressRoute, ParentRef, Solver};
use serde_json::{Map, Value, json};

use super::{CLAIM_ANNOTATION, Home, Kind, SHARD_ANNOTATION, SHARD_LABEL};
use crate::context::full_name;
use crate::solvers::{Labels, solver_for};
use crate::target::digest;

/// So many host names a HTTPRoute may have.
const HOSTS_OF_HTTP_ROUTE: usize = 16;
/// What is routed (RFC 8555 §8.3). A prefix is compared by the parts between slashes.
const PATH: &str = "/.well-known/acme-challenge";

/// What is to be written for an order.
#[derive(Debug, Default, PartialEq)]
pub struct Wanted {
    /// The routes.
    pub routes: Vec<Route>,
    /// Addresses for which a route is asked that cannot have one.
    pub unroutable: Vec<String>,
}

/// A route.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The names that it is for.
    pub hosts: Vec<String>,
    /// What is applied.
    pub manifest: Value,
    /// The route in words, for messages.
    pub words: String,
}

/// How a solver has routes written.
#[derive(Clone, Copy)]
enum Way<'a> {
    Ingress(&'a IngressRoute),
    Gateway(&'a GatewayRoute),
}

impl<'a> Way<'a> {
    fn of(http01: &'a Http01) -> Option<Self> {
        match (&http01.ingress, &http01.gateway_http_route) {
            (Some(ingress), _) => Some(Self::Ingress(ingress)),
            (None, Some(gateway)) => Some(Self::Gateway(gateway)),
            (None, None) => None,
        }
    }

    /// Equal texts mean equal settings.
    fn settings(self) -> String {
        match self {
            Self::Ingress(ingress) => format!("Ingress {}", json!(ingress)),
            Self::Gateway(gateway) => format!("HTTPRoute {}", json!(gateway)),
        }
    }
}

/// What `shard`, of a Certificate with these `labels`, needs written in `home` for an order of `names` (or looks at
/// them) by the `solvers` of its issuer: one Ingress for each class and settings, HTTPRoutes of 16 hosts each. Its
/// recorded version stands on each route, so that no route is taken away that was written since.
#[must_use]
pub fn wanted(
    home: &Home,
    shard: &CertificateShard,
    solvers: &[Solver],
    labels: &Labels,
    names: &[String],
) -> Wanted {
    let mut wanted = Wanted::default();
    let mut groups: BTreeMap<String, (Way<'_>, Vec<String>)> = BTreeMap::new();
    for name in names {
        let solver = solver_for(solvers, name, labels);
        let Some(way) = solver.and_then(|solver| Way::of(solver.http01.as_ref()?)) else {
            continue;
        };
        if name.parse::<IpAddr>().is_ok() {
            wanted.unroutable.push(name.clone());
        } else if !name.starts_with('*') {
            let (_, hosts) = groups.entry(way.settings()).or_insert_with(|| (way, Vec::new()));
            hosts.push(name.clone());
        }
    }
    for (settings, (way, mut hosts)) in groups {
        hosts.sort();
        hosts.dedup();
        match way {
            Way::Ingress(ingress) => {
                let name = route_name(shard, &settings, 0);
                wanted.routes.push(ingress_of(home, shard, ingress, name, hosts));
            }
            Way::Gateway(gateway) => {
                for (number, hosts) in hosts.chunks(HOSTS_OF_HTTP_ROUTE).enumerate() {
                    let name = route_name(shard, &settings, number);
                    wanted
                        .routes
                        .push(http_route_of(home, shard, gateway, name, hosts.to_vec()));
                }
            }
        }
    }
    wanted
}

/// The same for the same shard and settings, and for no other.
fn route_name(shard: &CertificateShard, settings: &str, number: usize) -> String {
    let uid = shard.uid().unwrap_or_default();
    let hash = digest([uid.as_str(), settings]);
    format!("sancho-{}-{number}", &hash[..16])
}

fn metadata(
    home: &Home,
    shard: &CertificateShard,
    name: &str,
    labels: &BTreeMap<String, String>,
    annotations: Map<String, Value>,
) -> Value {
    let mut all = json!(labels);
    all[SHARD_LABEL] = shard.uid().unwrap_or_default().into();
    all["app.kubernetes.io/managed-by"] = "sancho".into();
    let mut annotations = annotations;
    annotations.insert(SHARD_ANNOTATION.into(), full_name(shard).into());
    annotations.insert(CLAIM_ANNOTATION.into(), shard.resource_version().into());
    json!({ "name": name, "namespace": home.namespace, "labels": all, "annotations": annotations })
}

fn ingress_of(
    home: &Home,
    shard: &CertificateShard,
    settings: &IngressRoute,
    name: String,
    hosts: Vec<String>,
) -> Route {
    let IngressRoute {
        ingress_class_name,
        class,
        ingress_template,
    } = settings;
    let template = ingress_template
        .clone()
        .and_then(|template| template.metadata)
        .unwrap_or_default();
    let mut annotations: Map<String, Value> = template
        .annotations
        .into_iter()
        .map(|(key, value)| (key, value.into()))
        .collect();
    if let Some(class) = class {
        annotations.insert("kubernetes.io/ingress.class".into(), class.clone().into());
    }
    let backend = json!({ "service": { "name": home.service, "port": { "number": home.port } } });
    let rules: Vec<Value> = hosts
        .iter()
        .map(|host| {
            let path = json!({ "path": PATH, "pathType": "Prefix", "backend": backend });
            json!({ "host": host, "http": { "paths": [path] } })
        })
        .collect();
    let mut manifest = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(home, shard, &name, &template.labels, annotations),
        "spec": { "rules": rules },
    });
    if let Some(class) = ingress_class_name {
        manifest["spec"]["ingressClassName"] = class.clone().into();
    }
    let of_class = match ingress_class_name.as_ref().or(class.as_ref()) {
        Some(class) => format!("class {class}"),
        None => "the cluster's default class".into(),
    };
    Route {
        kind: Kind::Ingress,
        words: format!("Ingress {}/{name} ({of_class})", home.namespace),
        name,
        hosts,
        manifest,
    }
}

fn http_route_of(
    home: &Home,
    shard: &CertificateShard,
    settings: &GatewayRoute,
    name: String,
    hosts: Vec<String>,
) -> Route {
    let beside = shard.namespace().unwrap_or_default();
    let GatewayRoute { parent_refs, labels } = settings;
    let parents: Vec<Value> = parent_refs
        .iter()
        .map(|parent| parent_of(parent, &beside))
        .collect();
    let gateways: Vec<String> = parent_refs
        .iter()
        .map(|parent| {
            let namespace = parent.namespace.as_ref().unwrap_or(&beside);
            format!(
                "{} {namespace}/{}",
                parent.kind.as_deref().unwrap_or("Gateway"),
                parent.name
            )
        })
        .collect();
    let manifest = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(home, shard, &name, labels, Map::new()),
        "spec": {
            "parentRefs": parents,
            "hostnames": hosts,
            "rules": [{
                "matches": [{ "path": { "type": "PathPrefix", "value": PATH } }],
                "backendRefs": [{ "name": home.service, "port": home.port }],
            }],
        },
    });
    Route {
        kind: Kind::HttpRoute,
        words: format!("HTTPRoute {}/{name} ({})", home.namespace, gateways.join(", ")),
        name,
        hosts,
        manifest,
    }
}

/// As the route names it, which stands in another namespace than the Certificate.
fn parent_of(parent: &ParentRef, beside: &str) -> Value {
    let mut wanted = json!(parent);
    if parent.namespace.is_none() {
        wanted["namespace"] = beside.into();
    }
    wanted
}

#[cfg(test)]
mod tests;
