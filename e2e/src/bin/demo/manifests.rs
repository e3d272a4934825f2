//! What is applied.

use std::fs;

use anyhow::{Context, Result};
use sancho_e2e::world::World;
use serde_json::json;

use crate::arguments::Arguments;

/// Requests that may be unanswered at once, if the CA bears any number of connections.
const IN_FLIGHT: u32 = 16;

/// The issuer, with the budget that the CA bears.
pub fn issuer(arguments: &Arguments, world: &World) -> Result<String> {
    let (server, roots) = match (&arguments.acme_directory, &arguments.acme_ca_bundle) {
        (Some(directory), Some(bundle)) => {
            let roots =
                fs::read_to_string(bundle).with_context(|| format!("cannot read {}", bundle.display()))?;
            (directory.clone(), roots)
        }
        _ => (world.front()?.directory_url(), world.front()?.ca_pem().to_owned()),
    };
    let issuer = json!({
        "apiVersion": "sancho.dev/v1alpha1",
        "kind": "ClusterIssuer",
        "metadata": { "name": "demo" },
        "spec": {
            "acme": {
                "server": server,
                "email": "ops@demo.example",
                "privateKeySecretRef": { "name": "demo-account" },
                "caBundle": base64(&roots),
                "solvers": [{ "http01": { "external": {} } }],
            },
            "budget": {
                "requestsPerSecond": arguments.ca_rate,
                "burst": arguments.ca_burst,
                "maxInFlight": arguments.ca_connections.unwrap_or(IN_FLIGHT),
            },
        },
    });
    Ok(issuer.to_string())
}

/// The Certificate.
pub fn certificate(arguments: &Arguments) -> String {
    let names: Vec<String> = (1..=arguments.names)
        .map(|n| format!("shop-{n:04}.demo.example"))
        .collect();
    let certificate = json!({
        "apiVersion": "sancho.dev/v1alpha1",
        "kind": "Certificate",
        "metadata": { "name": "demo", "namespace": "default" },
        "spec": {
            "secretName": "demo-tls",
            "issuerRef": { "name": "demo", "kind": "ClusterIssuer" },
            "dnsNames": names,
            "sharding": { "maxNames": arguments.max_names },
        },
    });
    certificate.to_string()
}

fn base64(text: &str) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(text)
}
