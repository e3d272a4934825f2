//! A node that runs Pods, from the parts that real ones have:
//! `containerd -> images -> kubelet, kube-scheduler, kube-proxy, kube-router -> Ready`.
//!
//! Linux and root alone, and only inside a [`sandbox`]: its network, mounts and processes are its own.
//!
//! # Caveats
//!
//! - Tried on cgroup version 1, without CAP_SYS_RESOURCE, on x86-64 alone. On version 2 runc has the root pass on all its
//!   controllers, and that stays so.
//! - All Pods are on one node.
//! - NetworkPolicies are enforced by kube-router, between Pods and from Pods to elsewhere. What the node itself sends to a
//!   Pod it lets in whatever they say, as most networks do for the sake of probes.
//! - There is no DNS of the cluster. Pods ask whatever listens at port 53 of the node.

mod cgroups;
mod config;
pub mod image;
pub mod sandbox;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::Api;

use crate::cluster::{Cluster, ClusterOptions};
use crate::process::{Launch, Process, free_port, wait_for};
use crate::programs;
use crate::tools::{self, Tool};
use image::Image;
use sandbox::Inside;

/// The node's name.
pub const NODE: &str = "node";
/// Its address, one for documentation (RFC 5737). Loopback is no address of a node.
pub const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The Service `kubernetes`, by which Pods reach the API server.
pub const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The addresses of its Pods.
const POD_NETWORK: &str = "10.244.0.0/24";

/// How long it may take to be ready, and one command of containerd's.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running node. Its servers end when it is dropped, its Pods with the sandbox.
pub struct Node {
    _policies: Process,
    _proxy: Process,
    _scheduler: Process,
    _kubelet: Process,
    _containerd: Process,
}

/// A control plane that a node can join: Pods reach it, and what makes Pods runs in it.
pub fn cluster_options() -> ClusterOptions {
    let controllers = [
        "deployment-controller",
        "replicaset-controller",
        "job-controller",
        "endpointslice-controller",
        "disruption-controller",
        "node-lifecycle-controller",
        "pod-garbage-collector-controller",
    ];
    ClusterOptions {
        controller_manager: true,
        further_controllers: controllers.map(String::from).to_vec(),
        apiserver_flags: vec![
            "--bind-address=0.0.0.0".to_owned(),
            format!("--advertise-address={NODE_ADDRESS}"),
            "--endpoint-reconciler-type=lease".to_owned(),
            // Besides RBAC: what the kubelet may read follows from its Pods.
            "--authorization-mode=Node".to_owned(),
        ],
        apiserver_names: vec![NODE_ADDRESS.to_string(), API_SERVICE.to_string()],
    }
}

impl Node {
    /// Starts a node with these images, and waits until it takes Pods.
    ///
    /// # Errors
    ///
    /// When a tool cannot be had, an image not be made, or a server does not start; the end of its log is told.
    pub async fn start(inside: &Inside, cluster: &Cluster, log_dir: &Path, images: &[Image]) -> Result<Self> {
        let dir = inside.dir().join("node");
        fs::create_dir_all(&dir)?;
        let containerd = start_containerd(&dir, log_dir).await?;
        let pause = tools::path_async(Tool::Pause).await?;
        let pause = Image::of_static(config::PAUSE_IMAGE, "/pause", &pause);
        for image in [&pause].into_iter().chain(images) {
            import(&dir, image).await?;
        }
        let kubelet = start_kubelet(inside, &dir, cluster, log_dir).await?;
        let scheduler = start_scheduler(&dir, cluster, log_dir).await?;
        let proxy = start_proxy(&dir, cluster, log_dir).await?;
        let nodes: Api<NodeObject> = Api::all(cluster.client());
        let processes = [&containerd, &kubelet, &scheduler, &proxy];
        wait_for("the node to take Pods", PATIENCE, &processes, async || {
            Ok(takes_pods(&nodes.get(NODE).await?).then_some(()))
        })
        .await?;
        // It looks for its Node, and ends if there is none yet.
        let policies = start_policies(&dir, cluster, log_dir).await?;
        Ok(Node {
            _policies: policies,
            _proxy: proxy,
            _scheduler: scheduler,
            _kubelet: kubelet,
            _containerd: containerd,
        })
    }
}

/// Ready, and without a taint.
fn takes_pods(node: &NodeObject) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions
        .filter(|condition| condition.type_ == "Ready")
        .any(|condition| condition.status == "True");
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    is_ready && taints.is_none_or(Vec::is_empty)
}

async fn start_containerd(dir: &Path, log_dir: &Path) -> Result<Process> {
    let program = tools::path_async(Tool::Containerd).await?;
    let shim = tools::path_async(Tool::ContainerdShim).await?;
    let runc = tools::path_async(Tool::Runc).await?;
    let (ptp, host_local) = (
        tools::path_async(Tool::Ptp).await?,
        tools::path_async(Tool::HostLocal).await?,
    );
    fs::create_dir_all(config::CNI_FOLDER)?;
    let network = Path::new(config::CNI_FOLDER).join("10-pods.conflist");
    fs::write(network, config::pod_network().to_string())?;
    let file = dir.join("containerd.toml");
    fs::write(
        &file,
        config::containerd(&runc, &[folder(&ptp), folder(&host_local)]),
    )?;
    let launch = Launch::new(program)
        .args(["--config".to_owned(), file.display().to_string()])
        .env("PATH", path_with(&[folder(&shim), folder(&runc)])?);
    let process = Process::spawn("containerd", &launch, log_dir)?;
    wait_for("containerd", PATIENCE, &[&process], async || {
        ctr(&["version"]).await.map(Some)
    })
    .await?;
    Ok(process)
}

async fn start_kubelet(inside: &Inside, dir: &Path, cluster: &Cluster, log_dir: &Path) -> Result<Process> {
    let program = tools::path_async(Tool::Kubelet).await?;
    let (kubeconfig, ca, resolv_conf, file) = (
        dir.join("kubelet.kubeconfig"),
        dir.join("ca.crt"),
        dir.join("resolv.conf"),
        dir.join("kubelet.json"),
    );
    let user = format!("system:node:{NODE}");
    fs::write(&kubeconfig, cluster.user_kubeconfig(&user, Some("system:nodes"))?)?;
    fs::write(&ca, cluster.ca_pem())?;
    fs::write(&resolv_conf, format!("nameserver {NODE_ADDRESS}\n"))?;
    let config = config::kubelet(inside.cgroup(), &ca, &resolv_conf, free_port()?);
    fs::write(&file, config.to_string())?;
    let launch = Launch::new(program).args([
        format!("--config={}", file.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={NODE_ADDRESS}"),
    ]);
    Process::spawn("kubelet", &launch, log_dir)
}

async fn start_scheduler(dir: &Path, cluster: &Cluster, log_dir: &Path) -> Result<Process> {
    let program = tools::path_async(Tool::KubeScheduler).await?;
    let kubeconfig = dir.join("scheduler.kubeconfig");
    fs::write(
        &kubeconfig,
        cluster.user_kubeconfig("system:kube-scheduler", None)?,
    )?;
    let launch = Launch::new(program).args([
        format!("--kubeconfig={}", kubeconfig.display()),
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", free_port()?),
    ]);
    Process::spawn("kube-scheduler", &launch, log_dir)
}

async fn start_proxy(dir: &Path, cluster: &Cluster, log_dir: &Path) -> Result<Process> {
    let program = tools::path_async(Tool::KubeProxy).await?;
    let nft = programs::find("nft", "nftables")?;
    let (kubeconfig, file) = (dir.join("proxy.kubeconfig"), dir.join("proxy.json"));
    fs::write(&kubeconfig, cluster.user_kubeconfig("system:kube-proxy", None)?)?;
    let config = config::kube_proxy(&kubeconfig, free_port()?, free_port()?);
    fs::write(&file, config.to_string())?;
    let launch = Launch::new(program)
        .arg(format!("--config={}", file.display()))
        .env("PATH", path_with(&[folder(&nft)])?);
    Process::spawn("kube-proxy", &launch, log_dir)
}

/// kube-router with nothing but its NetworkPolicies. There is no role for it in a new cluster.
async fn start_policies(dir: &Path, cluster: &Cluster, log_dir: &Path) -> Result<Process> {
    let program = tools::path_async(Tool::KubeRouter).await?;
    let (ipset, iptables) = (
        programs::find("ipset", "ipset")?,
        programs::find("iptables", "iptables")?,
    );
    let kubeconfig = dir.join("policies.kubeconfig");
    fs::write(
        &kubeconfig,
        cluster.user_kubeconfig("kube-router", Some("system:masters"))?,
    )?;
    let launch = Launch::new(program)
        .args(config::kube_router(&kubeconfig))
        .env("PATH", path_with(&[folder(&ipset), folder(&iptables)])?)
        .env("NODE_NAME", NODE);
    Process::spawn("kube-router", &launch, log_dir)
}

/// Makes an image and gives it to containerd.
async fn import(dir: &Path, image: &Image) -> Result<()> {
    let archive = dir.join("image.tar");
    let (to_write, file) = (image.clone(), archive.clone());
    tokio::task::spawn_blocking(move || to_write.write(&file)).await??;
    let path = archive.to_str().context("a path that is not UTF-8")?;
    ctr(&["images", "import", path]).await?;
    Ok(fs::remove_file(&archive)?)
}

/// Runs ctr in the namespace that the kubelet's images are in.
async fn ctr(args: &[&str]) -> Result<()> {
    let output = tokio::process::Command::new(tools::path_async(Tool::Ctr).await?)
        .args(["--address", config::CONTAINERD_SOCKET, "--namespace", "k8s.io"])
        .args(args)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .with_context(|| format!("ctr {} takes too long", args.join(" ")))??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("ctr {}: {}", args.join(" "), said.trim_end());
    }
    Ok(())
}

/// This process's PATH, with folders before it.
fn path_with(folders: &[&Path]) -> Result<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let all = folders.iter().map(PathBuf::from).chain(env::split_paths(&path));
    let joined: OsString = env::join_paths(all)?;
    joined.into_string().ok().context("a PATH that is not UTF-8")
}

fn folder(program: &Path) -> &Path {
    program.parent().unwrap_or(Path::new("/"))
}
