//! A control plane without nodes: `keys -> etcd -> kube-apiserver -> kube-controller-manager`.
//!
//! RBAC is on and writes are audited, so a test sees what the operator was allowed to do and what
//! it did. There is no kubelet: Pods stay pending, the operator runs as a plain process. A [`crate::node`] joins it where
//! Pods are to run.

mod audit;
mod flags;
mod kubeconfig;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::io::AsyncWriteExt;

use crate::binaries;
use crate::pki::{self, Authority};
use crate::process::{Process, free_port, wait_for};
use crate::tools::{self, Tool};
pub use audit::Write;
pub use kubeconfig::{Login, kubeconfig};

/// How long one server may take to start on a machine that does other things too.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a service account's token is valid.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// Whether kube-controller-manager runs: garbage collection, namespaces, service accounts.
    pub controller_manager: bool,
    /// Controllers that run in it besides the usual ones.
    pub further_controllers: Vec<String>,
    /// Further flags for kube-apiserver; one that was there already is replaced.
    pub apiserver_flags: Vec<String>,
    /// Further addresses and names in its certificate.
    pub apiserver_names: Vec<String>,
}

/// A running control plane. Ends when dropped.
pub struct Cluster {
    // Dropped in this order: clients of a server before it.
    controller_manager: Option<Process>,
    apiserver: Process,
    etcd: Process,
    client: Client,
    authority: Authority,
    dir: PathBuf,
    server: String,
    ca_pem: String,
    kubectl: PathBuf,
}

impl Cluster {
    /// Starts the servers, with their files in `dir` and their logs in `log_dir`, and waits until
    /// they are ready.
    ///
    /// # Errors
    ///
    /// When a tool cannot be had or a server does not start; the end of its log is told.
    pub async fn start(dir: &Path, log_dir: &Path, options: &ClusterOptions) -> Result<Self> {
        pki::install_crypto();
        fs::create_dir_all(dir)?;
        let etcd_program = tools::path_async(Tool::Etcd).await?;
        let apiserver_program = tools::path_async(Tool::KubeApiserver).await?;
        let kubectl = tools::path_async(Tool::Kubectl).await?;
        let controller_program = match options.controller_manager {
            true => Some(tools::path_async(Tool::KubeControllerManager).await?),
            false => None,
        };

        let authority = Authority::new("Sancho test cluster")?;
        let files = flags::Files::write(dir, &authority, &options.apiserver_names)?;
        let admin = authority.client("sancho-test-admin", Some("system:masters"))?;
        let port = free_port()?;
        let server = format!("https://127.0.0.1:{port}");
        let ca_pem = authority.pem().to_owned();
        let admin_config = kubeconfig(&server, &ca_pem, &Login::Certificate(&admin));
        fs::write(dir.join(ADMIN_KUBECONFIG), &admin_config)?;
        let client = client_of(&admin_config).await?;

        let etcd_port = free_port()?;
        let launch = flags::etcd(&etcd_program, dir, etcd_port, free_port()?);
        let etcd = Process::spawn("etcd", &launch, log_dir)?;
        let launch = flags::apiserver(&apiserver_program, &files, port, etcd_port)
            .args(options.apiserver_flags.clone());
        let apiserver = Process::spawn("kube-apiserver", &launch, log_dir)?;
        wait_for(
            "kube-apiserver to be ready",
            START_TIMEOUT,
            &[&etcd, &apiserver],
            async || {
                let request = hyper::Request::get("/readyz").body(Vec::new())?;
                Ok((client.request_text(request).await? == "ok").then_some(()))
            },
        )
        .await?;

        let mut cluster = Cluster {
            controller_manager: None,
            apiserver,
            etcd,
            client,
            authority,
            dir: dir.to_owned(),
            server,
            ca_pem,
            kubectl,
        };
        if let Some(program) = controller_program {
            cluster
                .start_controller_manager(&program, &options.further_controllers, &files, log_dir)
                .await?;
        }
        Ok(cluster)
    }

    /// A client as a member of `system:masters`.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A kubeconfig file for the same user.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.dir.join(ADMIN_KUBECONFIG)
    }

    /// `https://127.0.0.1:PORT`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The root of the API server's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A kubeconfig for a user of this name, and of a group, by a client certificate.
    ///
    /// # Errors
    ///
    /// When its key cannot be made.
    pub fn user_kubeconfig(&self, user: &str, group: Option<&str>) -> Result<String> {
        let identity = self.authority.client(user, group)?;
        Ok(kubeconfig(
            &self.server,
            &self.ca_pem,
            &Login::Certificate(&identity),
        ))
    }

    /// The path of kubectl.
    pub fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    /// The API server's process, to be stopped or killed.
    pub fn apiserver(&self) -> &Process {
        &self.apiserver
    }

    /// etcd's process, to be stopped or killed.
    pub fn etcd(&self) -> &Process {
        &self.etcd
    }

    /// Applies manifests as a user does, by `kubectl apply --server-side`.
    ///
    /// # Errors
    ///
    /// What kubectl says when it is refused.
    pub async fn apply_yaml(&self, manifests: &str) -> Result<String> {
        self.kubectl_with_input(&["apply", "--server-side", "-f", "-"], manifests)
            .await
    }

    /// Applies a file or all files of a directory.
    ///
    /// # Errors
    ///
    /// What kubectl says when it is refused.
    pub async fn apply_path(&self, path: &Path) -> Result<String> {
        let path = path.to_str().context("a path that is not UTF-8")?;
        self.kubectl(&["apply", "--server-side", "-f", path]).await
    }

    /// Runs kubectl as admin and gives its output.
    ///
    /// # Errors
    ///
    /// What kubectl says when it fails.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_with_input(args, "").await
    }

    /// Runs kubectl as admin with something on its standard input.
    ///
    /// # Errors
    ///
    /// What kubectl says when it fails.
    pub async fn kubectl_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        self.run(&self.kubectl, args, input).await
    }

    /// Runs Helm as admin and gives its output.
    ///
    /// # Errors
    ///
    /// When Helm cannot be had, and what it says when it fails.
    pub async fn helm(&self, args: &[&str]) -> Result<String> {
        let helm = tools::path_async(Tool::Helm).await?;
        self.run(&helm, args, "").await
    }

    /// Runs `kubectl sancho` as whoever this kubeconfig is of, with these environment variables: kubectl finds the plugin
    /// on the PATH, as a user's does.
    ///
    /// # Errors
    ///
    /// When the plugin cannot be built, kubectl not be run, or it takes too long. What it ends with is not judged.
    pub async fn plugin(
        &self,
        kubeconfig: &Path,
        variables: &[(&str, &str)],
        args: &[&str],
    ) -> Result<Output> {
        let plugin = binaries::plugin().await?;
        let output = tokio::process::Command::new(self.kubectl_path())
            .arg("sancho")
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            .env("PATH", plugin.parent().context("a plugin without a folder")?)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        tokio::time::timeout(COMMAND_TIMEOUT, output)
            .await
            .with_context(|| format!("kubectl sancho {} takes too long", args.join(" ")))?
            .context("kubectl")
    }

    /// Runs a command as admin, with a home of its own: what one cluster's commands remember must
    /// not be taken for another's on the same port.
    async fn run(&self, program: &Path, args: &[&str], input: &str) -> Result<String> {
        let name = program.file_name().unwrap_or_default().display();
        let mut child = tokio::process::Command::new(program)
            .args(args)
            .env("KUBECONFIG", self.kubeconfig_path())
            .env("HOME", &self.dir)
            .env("XDG_CACHE_HOME", self.dir.join("cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| name.to_string())?;
        let stdin = child.stdin.take();
        let run = async {
            if let Some(mut stdin) = stdin {
                // It may end without reading all of it; its exit status tells why.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(COMMAND_TIMEOUT, run)
            .await
            .with_context(|| format!("{name} {} takes too long", args.join(" ")))??;
        if !output.status.success() {
            bail!(
                "{name} {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A kubeconfig for a service account, with a token from the TokenRequest API, as a Pod gets
    /// it. `server` is where its requests go, for a proxy in between; `None`: the API server.
    ///
    /// # Errors
    ///
    /// When the service account does not exist.
    pub async fn service_account_kubeconfig(
        &self,
        namespace: &str,
        name: &str,
        server: Option<&ApiServer>,
    ) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let spec = TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..Default::default()
        };
        let request = TokenRequest {
            spec: Some(spec),
            ..Default::default()
        };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("a token for service account {namespace}/{name}"))?;
        let token = answer
            .status
            .and_then(|status| status.token)
            .context("a TokenRequest without a token")?;
        let (url, ca_pem) = match server {
            Some(server) => (server.url.as_str(), server.ca_pem.as_str()),
            None => (self.server(), self.ca_pem()),
        };
        Ok(kubeconfig(url, ca_pem, &Login::Token(&token)))
    }

    /// A client for a kubeconfig's content.
    ///
    /// # Errors
    ///
    /// When it is not one.
    pub async fn client_of(&self, kubeconfig: &str) -> Result<Client> {
        client_of(kubeconfig).await
    }

    /// The writes so far by users whose name starts with `user_prefix`, from `since` on, in the
    /// order of their ends. All answers are in it, refusals too. A write is noted as its
    /// answer is sent, so the last one may be missing for a moment.
    ///
    /// # Errors
    ///
    /// When the audit log cannot be read.
    pub fn writes_by(&self, user_prefix: &str, since: jiff::Timestamp) -> Result<Vec<Write>> {
        audit::writes(&flags::audit_log(&self.dir), user_prefix, since)
    }

    async fn start_controller_manager(
        &mut self,
        program: &Path,
        further: &[String],
        files: &flags::Files,
        log_dir: &Path,
    ) -> Result<()> {
        let config = self.dir.join("controller-manager.kubeconfig");
        fs::write(
            &config,
            self.user_kubeconfig("system:kube-controller-manager", None)?,
        )?;
        let port = free_port()?;
        let launch = flags::controller_manager(program, files, &config, port, further);
        let process = Process::spawn("kube-controller-manager", &launch, log_dir)?;
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(self.ca_pem.as_bytes())?])
            .no_proxy()
            .build()?;
        wait_for(
            "kube-controller-manager to be ready",
            START_TIMEOUT,
            &[&process, &self.apiserver],
            async || {
                let answer = client
                    .get(format!("https://127.0.0.1:{port}/healthz"))
                    .send()
                    .await?;
                Ok(answer.status().is_success().then_some(()))
            },
        )
        .await?;
        self.controller_manager = Some(process);
        Ok(())
    }
}

/// Where requests for the API server go.
#[derive(Debug, Clone)]
pub struct ApiServer {
    /// `https://HOST:PORT`.
    pub url: String,
    /// The root of its certificate.
    pub ca_pem: String,
}

const ADMIN_KUBECONFIG: &str = "admin.kubeconfig";

async fn client_of(kubeconfig: &str) -> Result<Client> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // One of the environment is not for loopback.
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}
