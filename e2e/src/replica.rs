//! Replicas: the operator's real binary, one process each, run as its service account.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::binaries;
use crate::cluster::{ApiServer, Cluster};
use crate::pki;
use crate::process::{Launch, Process, free_port, wait_for};

/// The operator's namespace.
pub const NAMESPACE: &str = "sancho-system";

/// The operator's service account in [`NAMESPACE`].
pub const SERVICE_ACCOUNT: &str = "sancho";

/// The service account of the responder's own Pods.
pub const RESPONDER_ACCOUNT: &str = "sancho-responder";

/// The Service in [`NAMESPACE`] that leads to the responders.
pub const RESPONDER_SERVICE: &str = "sancho-responder";

/// How long a replica may take to be ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Which part of Sancho a process is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    /// `sancho operator`: everything.
    #[default]
    Operator,
    /// `sancho responder`: challenges alone.
    Responder,
}

impl Part {
    fn subcommand(self) -> &'static str {
        match self {
            Part::Operator => "operator",
            Part::Responder => "responder",
        }
    }

    fn service_account(self) -> &'static str {
        match self {
            Part::Operator => SERVICE_ACCOUNT,
            Part::Responder => RESPONDER_ACCOUNT,
        }
    }
}

/// How a replica differs from the plain one.
#[derive(Debug, Clone, Default)]
pub struct ReplicaOptions {
    /// Which part of Sancho it is.
    pub part: Part,
    /// Further flags.
    pub flags: Vec<String>,
    /// Environment variables on top of the usual ones.
    pub env: Vec<(String, String)>,
    /// Where its requests to the API server go, for a proxy in between. `None`: straight there.
    pub api_server: Option<ApiServer>,
}

/// One replica: a Pod in the eyes of the operator. Its process is killed when it is dropped.
pub struct Replica {
    process: Arc<Process>,
    pod: Pod,
}

/// What stays the same when the container restarts.
struct Pod {
    name: String,
    uid: String,
    kubeconfig: PathBuf,
    log_dir: PathBuf,
    responder: SocketAddr,
    health: SocketAddr,
    options: ReplicaOptions,
}

impl Replica {
    /// Starts `sancho operator`, or another part, as the Pod `name` of a cluster, under the service account that
    /// Sancho's manifests make. Its files are in `dir`, its log is `<log_dir>/<name>.log`. Does
    /// not wait; see [`Replica::ready`].
    ///
    /// # Errors
    ///
    /// When the binary cannot be built or started, or there is no such service account.
    pub async fn start(
        name: &str,
        cluster: &Cluster,
        dir: &Path,
        log_dir: &Path,
        options: ReplicaOptions,
    ) -> Result<Self> {
        pki::install_crypto();
        fs::create_dir_all(dir)?;
        let file = dir.join(format!("{name}.kubeconfig"));
        let server = options.api_server.as_ref();
        let kubeconfig = cluster
            .service_account_kubeconfig(NAMESPACE, options.part.service_account(), server)
            .await?;
        fs::write(&file, kubeconfig)?;
        let pod = Pod {
            name: name.to_owned(),
            uid: pod_uid(name),
            kubeconfig: file,
            log_dir: log_dir.to_owned(),
            responder: loopback(free_port()?),
            health: loopback(free_port()?),
            options,
        };
        Ok(Replica {
            process: pod.run().await?,
            pod,
        })
    }

    /// The Pod's name, which the CA front and the Lease show too.
    pub fn name(&self) -> &str {
        &self.pod.name
    }

    /// Where it answers HTTP-01 challenges.
    pub fn responder(&self) -> SocketAddr {
        self.pod.responder
    }

    /// Where it serves `/readyz`, `/livez` and `/metrics`.
    pub fn health(&self) -> SocketAddr {
        self.pod.health
    }

    /// The process, for its signals and its log. [`Replica::restart`] puts another in its place.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    ///
    /// When it does not in time, or the process ends; the end of its log is told.
    pub async fn ready(&self) -> Result<()> {
        wait_for(
            &format!("{} to be ready", self.pod.name),
            START_TIMEOUT,
            &[&self.process],
            async || Ok((self.probe("/readyz").await? == 200).then_some(())),
        )
        .await
    }

    /// The HTTP status of `/livez` or `/readyz`.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn probe(&self, path: &str) -> Result<u16> {
        let url = format!("http://{}{path}", self.pod.health);
        Ok(client()?.get(&url).send().await?.status().as_u16())
    }

    /// What it tells Prometheus: each sample's name with its labels, and its value.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let url = format!("http://{}/metrics", self.pod.health);
        let answer = client()?.get(&url).send().await?.error_for_status()?;
        let text = answer.text().await?;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        Ok(samples
            .filter_map(|line| {
                let (sample, value) = line.rsplit_once(' ')?;
                Some((sample.to_owned(), value.parse().ok()?))
            })
            .collect())
    }

    /// The samples of the metric `name` added up, whatever their labels.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let samples = self.metrics().await?;
        let of_it = samples.iter().filter(|(sample, _)| {
            sample
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('{'))
        });
        Ok(of_it.map(|(_, value)| value).sum())
    }

    /// Kills the process, if it runs, and starts another in the same Pod: same name, UID and
    /// addresses.
    ///
    /// # Errors
    ///
    /// When the binary cannot be started.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = self.pod.run().await?;
        Ok(())
    }
}

/// For its probes and metrics.
fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()?)
}

impl Pod {
    async fn run(&self) -> Result<Arc<Process>> {
        let mut launch = Launch::new(binaries::operator().await?)
            .arg(self.options.part.subcommand())
            .args(["--http-listen".to_owned(), self.responder.to_string()])
            .args(["--health-listen".to_owned(), self.health.to_string()])
            .args(self.options.flags.clone())
            .env("KUBECONFIG", self.kubeconfig.display().to_string())
            .env("POD_NAME", &self.name)
            .env("POD_UID", &self.uid)
            .env("POD_NAMESPACE", NAMESPACE);
        // Whatever is between this machine and the Internet.
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            launch = launch.env(name, "");
        }
        for (name, value) in &self.options.env {
            launch = launch.env(name, value);
        }
        Ok(Arc::new(Process::spawn(&self.name, &launch, &self.log_dir)?))
    }
}

/// A UID as the API server makes them, different for each Pod of this process and among processes.
fn pod_uid(name: &str) -> String {
    use sha2::{Digest, Sha256};
    let seed = format!(
        "{name} {} {}",
        std::process::id(),
        jiff::Timestamp::now().as_nanosecond()
    );
    let hash = Sha256::digest(seed);
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_uid_is_a_uuid_and_its_own() {
        let uid = pod_uid("sancho-0");
        assert_eq!(uid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_ne!(uid, pod_uid("sancho-0"));
    }
}
