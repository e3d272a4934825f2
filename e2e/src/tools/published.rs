//! CustomResourceDefinitions that others publish, from their own Go modules.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

/// A folder with the Prometheus Operator's definitions, a file each: ServiceMonitor, PodMonitor,
/// PrometheusRule and the rest. Downloaded if need be.
///
/// # Errors
///
/// When Go is missing, or the module is not what go.sum says.
pub async fn prometheus_crds() -> Result<PathBuf> {
    let module = module(
        "prometheus-operator",
        "github.com/prometheus-operator/prometheus-operator",
    );
    Ok(module.await?.join("example/prometheus-operator-crd"))
}

/// A folder with the definitions of the Gateway API's standard channel, a file each: GatewayClass, Gateway,
/// HTTPRoute and the rest. Downloaded if need be.
///
/// # Errors
///
/// When Go is missing, or the module is not what go.sum says.
pub async fn gateway_crds() -> Result<PathBuf> {
    let module = module("gateway-api", "sigs.k8s.io/gateway-api");
    Ok(module.await?.join("config/crd/standard"))
}

/// The file with the definition of Flux's Kustomization. Downloaded if need be.
///
/// # Errors
///
/// When Go is missing, or the module is not what go.sum says.
pub async fn flux_crd() -> Result<PathBuf> {
    let module = module("flux", "github.com/fluxcd/kustomize-controller");
    let file = "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml";
    Ok(module.await?.join(file))
}

/// The file with the definition of Argo CD's Application. Downloaded if need be: 27 MB, as all of Argo CD is one
/// module.
///
/// # Errors
///
/// When Go is missing, or the module is not what go.sum says.
pub async fn argo_cd_crd() -> Result<PathBuf> {
    let module = module("argo-cd", "github.com/argoproj/argo-cd/v3");
    Ok(module.await?.join("manifests/crds/application-crd.yaml"))
}

/// The folder of a module that is pinned in a folder of `e2e/tools`.
async fn module(folder: &str, path: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(folder);
    let output = Command::new("go")
        .args(["mod", "download", "-json", path])
        .current_dir(folder)
        .output()
        .await
        .context("Go is missing: install it from https://go.dev/dl/")?;
    if !output.status.success() {
        bail!(
            "go mod download {path}: {}{}",
            String::from_utf8_lossy(&output.stdout).trim_end(),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    let module: Module = serde_json::from_slice(&output.stdout).context("go mod download")?;
    Ok(module.dir)
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "Dir")]
    dir: PathBuf,
}
