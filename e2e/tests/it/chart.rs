//! The chart, by the real Helm and the real API server.

mod arguments;
mod issuers;
mod lifecycle;
mod matrix;
mod monitors;
mod namespaces;
mod people;
mod rights;
mod values;

use std::path::Path;

use sancho_e2e::cluster::Cluster;
use sancho_e2e::replica::NAMESPACE;
use sancho_e2e::tools::{self, Tool};
use sancho_e2e::world::repository;

fn chart() -> String {
    repository().join("charts/sancho").display().to_string()
}

fn chart_file(name: &str) -> String {
    std::fs::read_to_string(repository().join("charts/sancho").join(name)).unwrap()
}

/// `helm VERB sancho charts/sancho` into Sancho's namespace, with `values` as a values file.
async fn helm(
    cluster: &Cluster,
    dir: &Path,
    verb: &str,
    values: &serde_json::Value,
) -> anyhow::Result<String> {
    let file = values_file(dir, values);
    let chart = chart();
    let mut arguments = vec![
        verb,
        "sancho",
        &chart,
        "--namespace",
        NAMESPACE,
        "--values",
        &file,
    ];
    if verb == "install" {
        arguments.push("--create-namespace");
    }
    cluster.helm(&arguments).await
}

/// What the chart renders with `values`, hooks included; or what Helm says against them.
pub async fn rendered(dir: &Path, values: &serde_json::Value) -> Result<String, String> {
    let helm = tools::path_async(Tool::Helm).await.unwrap();
    let output = tokio::process::Command::new(helm)
        .args(["template", "sancho", &chart(), "--namespace", NAMESPACE])
        .args(["--values", &values_file(dir, values)])
        .env("HOME", dir)
        .output()
        .await
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn values_file(dir: &Path, values: &serde_json::Value) -> String {
    let file = dir.join("values.json");
    std::fs::write(&file, values.to_string()).unwrap();
    file.display().to_string()
}
