//! A real Prometheus that asks replicas for their metrics, and answers queries.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::process::{Launch, Process, free_port, wait_for};
use crate::programs;

/// Debian's package.
const PACKAGE: &str = "prometheus";
/// How long it may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running Prometheus. Ends when dropped.
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts one that asks `targets` every second, as the chart's PodMonitor would have it, with its data in `dir` and
    /// its log in `log_dir`.
    ///
    /// # Errors
    ///
    /// When there is no `prometheus`, or it does not start.
    pub async fn start(dir: &Path, log_dir: &Path, targets: &[(&str, SocketAddr)]) -> Result<Self> {
        let program = programs::find("prometheus", PACKAGE)?;
        let pods: Vec<Value> = targets
            .iter()
            .map(|(pod, address)| {
                let labels = json!({ "pod": pod, "container": "sancho", "namespace": "sancho-system" });
                json!({ "targets": [address.to_string()], "labels": labels })
            })
            .collect();
        let config = json!({
            "global": { "scrape_interval": "1s" },
            "scrape_configs": [{ "job_name": "sancho", "static_configs": pods }],
        });
        // YAML takes JSON as it is.
        let file = dir.join("prometheus.yml");
        fs::write(&file, config.to_string())?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let launch = Launch::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={address}"));
        let process = Process::spawn("prometheus", &launch, log_dir)?;
        let prometheus = Prometheus { process, address };
        wait_for("Prometheus", START_TIMEOUT, &[&prometheus.process], async || {
            prometheus.query("up").await.map(Some)
        })
        .await?;
        Ok(prometheus)
    }

    /// What a query in PromQL gives now: one value for each series.
    ///
    /// # Errors
    ///
    /// When Prometheus does not answer, or calls the query wrong.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let url = format!("http://{}/api/v1/query", self.address);
        let url = reqwest::Url::parse_with_params(&url, [("query", query)])?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.get(url).send().await?;
        let answer: Value = answer.json().await.context("no JSON")?;
        if answer["status"] != "success" {
            bail!("{query}: {}", answer["error"]);
        }
        let result = answer["data"]["result"].as_array();
        Ok(result.cloned().unwrap_or_default())
    }
}

/// Debian's `promtool`, which judges rules.
///
/// # Errors
///
/// When it is not there.
pub fn promtool() -> Result<PathBuf> {
    programs::find("promtool", PACKAGE)
}
