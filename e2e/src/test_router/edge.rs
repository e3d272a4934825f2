//! The objects by which a cluster leads to the test router: classes, and a Gateway.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::CONTROLLER;
use crate::cluster::Cluster;
use crate::process::wait_for;
use crate::tools;

/// The router's IngressClass and GatewayClass.
pub const CLASS: &str = "test";
/// Its Gateway, and the namespace of that.
pub const GATEWAY: &str = "front";
/// See [`GATEWAY`].
pub const GATEWAY_NAMESPACE: &str = "infra";

/// How long a kind may take to be served.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

/// Applies its IngressClass.
///
/// # Errors
///
/// When the API server refuses it.
pub async fn with_ingress_class(cluster: &Cluster) -> Result<()> {
    let class = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": { "name": CLASS },
        "spec": { "controller": CONTROLLER },
    });
    cluster.apply_yaml(&class.to_string()).await?;
    Ok(())
}

/// Installs the Gateway API as it is published, with its GatewayClass and its Gateway, which takes routes from these
/// namespaces: `All`, or `Same`.
///
/// # Errors
///
/// When the definitions cannot be had, or the API server refuses something.
pub async fn with_gateway(cluster: &Cluster, from: &str) -> Result<()> {
    let folder = tools::gateway_crds().await?;
    for kind in ["gatewayclasses", "gateways", "httproutes"] {
        let file = folder.join(format!("gateway.networking.k8s.io_{kind}.yaml"));
        cluster.apply_path(&file).await?;
        let crd = format!("crd/{kind}.gateway.networking.k8s.io");
        let wait = ["wait", "--for=condition=Established", "--timeout=5s", &crd];
        // kubectl takes one without any condition yet for an error.
        wait_for(&crd, SERVED_WITHIN, &[], async || {
            cluster.kubectl(&wait).await.map(Some)
        })
        .await?;
    }
    cluster
        .kubectl(&["create", "namespace", GATEWAY_NAMESPACE])
        .await?;
    let class = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": { "name": CLASS },
        "spec": { "controllerName": CONTROLLER },
    });
    cluster.apply_yaml(&class.to_string()).await?;
    allow_routes(cluster, from).await
}

/// Writes the Gateway so that it takes routes from these namespaces, and that it is served.
///
/// # Errors
///
/// When the API server refuses it.
pub async fn allow_routes(cluster: &Cluster, from: &str) -> Result<()> {
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": { "name": GATEWAY, "namespace": GATEWAY_NAMESPACE },
        "spec": {
            "gatewayClassName": CLASS,
            "listeners": [{
                "name": "http",
                "protocol": "HTTP",
                "port": 80,
                "allowedRoutes": { "namespaces": { "from": from } },
            }],
        },
    });
    cluster.apply_yaml(&gateway.to_string()).await?;
    // As a controller says that it serves it.
    let condition = |kind: &str| {
        json!({
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let conditions = [condition("Accepted"), condition("Programmed")];
    let status = json!({ "status": { "conditions": conditions } }).to_string();
    let gateway = format!("gateways.gateway.networking.k8s.io/{GATEWAY}");
    let patch = [
        "patch",
        &gateway,
        "--namespace",
        GATEWAY_NAMESPACE,
        "--subresource=status",
        "--type=merge",
        "--patch",
        &status,
    ];
    cluster.kubectl(&patch).await?;
    Ok(())
}
