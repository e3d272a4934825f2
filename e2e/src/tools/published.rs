//! CustomResourceDefinitions that others publish, from their own Go modules.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

/// The module that has them, pinned in `e2e/tools/prometheus-operator`.
const PROMETHEUS_OPERATOR: &str = "github.com/prometheus-operator/prometheus-operator";

/// A folder with the Prometheus Operator's definitions, a file each: ServiceMonitor, PodMonitor,
/// PrometheusRule and the rest. Downloaded if need be.
///
/// # Errors
///
/// When Go is missing, or the module is not what go.sum says.
pub async fn prometheus_crds() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/prometheus-operator");
    let output = Command::new("go")
        .args(["mod", "download", "-json", PROMETHEUS_OPERATOR])
        .current_dir(folder)
        .output()
        .await
        .context("Go is missing: install it from https://go.dev/dl/")?;
    if !output.status.success() {
        bail!(
            "go mod download {PROMETHEUS_OPERATOR}: {}{}",
            String::from_utf8_lossy(&output.stdout).trim_end(),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    let module: Module = serde_json::from_slice(&output.stdout).context("go mod download")?;
    Ok(module.dir.join("example/prometheus-operator-crd"))
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "Dir")]
    dir: PathBuf,
}
