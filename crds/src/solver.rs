//! How an issuer has challenges answered, and for which names.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::dns_persist01::DnsPersist01;
use crate::dns01::Dns01;
use crate::route::{GatewayRoute, IngressRoute};

/// A way to answer challenges, and the names that it is for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("[has(self.http01), has(self.dns01), has(self.dnsPersist01)].filter(way, way).size() == 1")
    .message("a solver answers in one way: write http01: { external: {} }, or dns01: { rfc2136: … }, or dnsPersist01: {}"))]
pub struct Solver {
    /// Which names it is for; all if left out or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<SolverSelector>,
    /// By HTTP on port 80 (RFC 8555 §8.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http01: Option<Http01>,
    /// By a TXT record (RFC 8555 §8.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns01: Option<Dns01>,
    /// By a TXT record that stands for good (draft-ietf-acme-dns-persist).
    #[serde(default, rename = "dnsPersist01", skip_serializing_if = "Option::is_none")]
    pub dns_persist01: Option<DnsPersist01>,
}

/// The names that a solver is for: those that are listed or lie in a listed zone (all, where neither is given), of
/// Certificates that have all the labels.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct SolverSelector {
    /// Names, as they stand in Certificates: a wildcard is `*.example.com`.
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<String>,
    /// Domains: each with all names below it, and the wildcard above those.
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.all(zone, !zone.startsWith('.') && !zone.startsWith('*') && !zone.endsWith('.'))")
        .message("a zone has all names below it: write the domain alone, as in example.com"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_zones: Vec<String>,
    /// Labels of the Certificate, all of them.
    #[schemars(extend("maxProperties" = 16))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

/// HTTP-01.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.external), has(self.ingress), has(self.gatewayHTTPRoute)].filter(way, way).size() == 1")
    .message("say in one way how challenges reach Sancho: ingress: { ingressClassName: … }, gatewayHTTPRoute: { parentRefs: … }, or external: {} if you route the path yourself"))]
pub struct Http01 {
    /// You route `/.well-known/acme-challenge/` of each name to Sancho's Service yourself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalSolver>,
    /// Sancho routes that path by an Ingress, for as long as an order is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressRoute>,
    /// Sancho routes that path by HTTPRoutes of the Gateway API, for as long as an order is under way.
    #[serde(default, rename = "gatewayHTTPRoute", skip_serializing_if = "Option::is_none")]
    pub gateway_http_route: Option<GatewayRoute>,
    /// Whether each name's path, and its CAA records, are looked at before the CA is asked about it. `Enabled` if left
    /// out, unless the operator runs with `--self-check=false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_check: Option<SelfCheck>,
}

/// Whether each name's path is looked at before the CA is asked about it.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfCheck {
    /// A name whose path does not lead to Sancho costs the CA nothing.
    Enabled,
    /// Where Sancho cannot reach the names' public addresses: the CA alone says which can be validated.
    Disabled,
}

/// Nothing to set: the user routes the path.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
pub struct ExternalSolver {}
