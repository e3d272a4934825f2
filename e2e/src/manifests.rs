//! What the demo and the tests apply, as a user would write it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What the CA is known to bear, as a ClusterIssuer says it.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Requests a second.
    pub rate: f64,
    /// Requests beyond that at once.
    pub burst: u32,
    /// Requests unanswered at once.
    pub in_flight: u32,
}

/// A ClusterIssuer for the CA whose directory is at `server` and whose TLS root is `roots` (PEM).
/// Without a budget it is to be found out.
pub fn cluster_issuer(name: &str, server: &str, roots: &str, budget: impl Into<Option<Budget>>) -> Value {
    let mut issuer = json!({
        "apiVersion": "sancho.dev/v1alpha1",
        "kind": "ClusterIssuer",
        "metadata": { "name": name },
        "spec": {
            "acme": {
                "server": server,
                "email": "ops@demo.example",
                "privateKeySecretRef": { "name": format!("{name}-account") },
                "caBundle": STANDARD.encode(roots),
                "solvers": [{ "http01": { "external": {} } }],
            },
        },
    });
    if let Some(budget) = budget.into() {
        issuer["spec"]["budget"] = json!({
            "requestsPerSecond": budget.rate,
            "burst": budget.burst,
            "maxInFlight": budget.in_flight,
        });
    }
    issuer
}

/// A Certificate in the namespace `default`, whose Secrets are called after it.
pub fn certificate(name: &str, issuer: &str, dns_names: &[String], max_names: u32) -> Value {
    json!({
        "apiVersion": "sancho.dev/v1alpha1",
        "kind": "Certificate",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "secretName": format!("{name}-tls"),
            "issuerRef": { "name": issuer, "kind": "ClusterIssuer" },
            "dnsNames": dns_names,
            "sharding": { "maxNames": max_names },
        },
    })
}

/// An EndpointSlice that says that `port` of this machine is an endpoint of a Service's port `http`, under the name
/// `pod`. Nobody else writes any, since no Pod runs. Loopback addresses are refused there, so it says a name that
/// stands for one (RFC 6761 §6.3).
pub fn endpoint_slice(namespace: &str, service: &str, pod: &str, port: u16) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-{pod}"),
            "namespace": namespace,
            "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "FQDN",
        "endpoints": [{ "addresses": [format!("{pod}.localhost")], "conditions": { "ready": true } }],
        "ports": [{ "name": "http", "port": port }],
    })
}

/// `count` names of one registered domain.
pub fn names(count: u32) -> Vec<String> {
    (1..=count).map(|n| format!("shop-{n:04}.demo.example")).collect()
}
