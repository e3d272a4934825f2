//! The real servers and commands that tests run: found in `KUBEBUILDER_ASSETS`, else built from
//! the Go modules in `e2e/tools` into the user's cache folder, once.
//!
//! The cache folder of a module is named after the hash of its go.mod and go.sum, so another
//! version is another folder. Processes that want the same module at once wait for each other.

mod build;
mod published;

use std::collections::HashMap;
use std::env;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::Result;

pub use published::{argo_cd_crd, flux_crd, gateway_crds, prometheus_crds};

/// One program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// The store behind the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// Garbage collection, namespaces, service accounts.
    KubeControllerManager,
    /// The user's command.
    Kubectl,
    /// The test CA.
    Pebble,
    /// The test CA's DNS.
    PebbleChalltestsrv,
    /// Installs charts.
    Helm,
    /// Runs the Pods of a node.
    Kubelet,
    /// Chooses a node for each Pod.
    KubeScheduler,
    /// Leads a Service's address to its Pods.
    KubeProxy,
    /// Runs containers for the kubelet.
    Containerd,
    /// Stands between containerd and one Pod.
    ContainerdShim,
    /// Speaks to containerd.
    Ctr,
    /// Enforces NetworkPolicies.
    KubeRouter,
    /// Starts a container.
    Runc,
    /// Gives a Pod its network (CNI).
    Ptp,
    /// Gives it its address (CNI).
    HostLocal,
    /// What a Pod's sandbox runs.
    Pause,
}

impl Tool {
    /// All that most tests run, quick builds first.
    pub const USUAL: [Tool; 7] = [
        Tool::Pebble,
        Tool::PebbleChalltestsrv,
        Tool::Etcd,
        Tool::KubeApiserver,
        Tool::Kubectl,
        Tool::KubeControllerManager,
        Tool::Helm,
    ];

    /// What a node needs besides. These run on Linux alone.
    pub const NODE: [Tool; 11] = [
        Tool::Kubelet,
        Tool::KubeScheduler,
        Tool::KubeProxy,
        Tool::KubeRouter,
        Tool::Containerd,
        Tool::ContainerdShim,
        Tool::Ctr,
        Tool::Runc,
        Tool::Ptp,
        Tool::HostLocal,
        Tool::Pause,
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Tool> {
        Tool::USUAL.into_iter().chain(Tool::NODE)
    }

    /// The program's file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Tool::Etcd => "etcd",
            Tool::KubeApiserver => "kube-apiserver",
            Tool::KubeControllerManager => "kube-controller-manager",
            Tool::Kubectl => "kubectl",
            Tool::Pebble => "pebble",
            Tool::PebbleChalltestsrv => "pebble-challtestsrv",
            Tool::Helm => "helm",
            Tool::Kubelet => "kubelet",
            Tool::KubeScheduler => "kube-scheduler",
            Tool::KubeProxy => "kube-proxy",
            Tool::KubeRouter => "kube-router",
            Tool::Containerd => "containerd",
            Tool::ContainerdShim => "containerd-shim-runc-v2",
            Tool::Ctr => "ctr",
            Tool::Runc => "runc",
            Tool::Ptp => "ptp",
            Tool::HostLocal => "host-local",
            Tool::Pause => "pause",
        }
    }

    /// The folder of its Go module in `e2e/tools`.
    fn module(self) -> &'static str {
        match self {
            Tool::Etcd => "etcd",
            Tool::KubeApiserver
            | Tool::KubeControllerManager
            | Tool::Kubectl
            | Tool::Kubelet
            | Tool::KubeScheduler
            | Tool::KubeProxy => "kubernetes",
            Tool::Pebble | Tool::PebbleChalltestsrv => "pebble",
            Tool::Helm => "helm",
            Tool::Containerd | Tool::ContainerdShim | Tool::Ctr => "containerd",
            Tool::KubeRouter => "kube-router",
            Tool::Runc => "runc",
            Tool::Ptp | Tool::HostLocal => "cni",
            Tool::Pause => "pause",
        }
    }

    /// Its Go package.
    fn package(self) -> &'static str {
        match self {
            Tool::Etcd => "go.etcd.io/etcd/server/v3",
            Tool::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Tool::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Tool::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Tool::Pebble => "github.com/letsencrypt/pebble/v2/cmd/pebble",
            Tool::PebbleChalltestsrv => "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv",
            Tool::Helm => "helm.sh/helm/v4/cmd/helm",
            Tool::Kubelet => "k8s.io/kubernetes/cmd/kubelet",
            Tool::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Tool::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
            Tool::KubeRouter => "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
            Tool::Containerd => "github.com/containerd/containerd/v2/cmd/containerd",
            Tool::ContainerdShim => "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            Tool::Ctr => "github.com/containerd/containerd/v2/cmd/ctr",
            Tool::Runc => "github.com/opencontainers/runc",
            Tool::Ptp => "github.com/containernetworking/plugins/plugins/main/ptp",
            Tool::HostLocal => "github.com/containernetworking/plugins/plugins/ipam/host-local",
            Tool::Pause => "sancho.dev/e2e/tools/pause",
        }
    }

    /// What Go names the program: after its package, and not after that one's version.
    fn built_name(self) -> &'static str {
        match self {
            Tool::Etcd => "server",
            other => other.file_name(),
        }
    }

    /// Its build tags, those of its module.
    fn tags(self) -> &'static str {
        match self {
            // What needs libraries of the system that nobody here uses.
            Tool::Containerd | Tool::ContainerdShim | Tool::Ctr => "no_btrfs,no_devmapper,no_zfs",
            // RuntimeDefault is a seccomp profile. Needs Debian's libseccomp-dev.
            Tool::Runc => "seccomp",
            _ => "",
        }
    }

    /// Whether it needs C, as all of its module do. The others are static programs, and share what they were compiled
    /// from.
    fn needs_c(self) -> bool {
        self == Tool::Runc
    }
}

/// The path of a tool, built first if need be. Blocks, for minutes when the cache is cold; says on
/// standard error what it does.
///
/// # Errors
///
/// When it has to be built and cannot be: Go is missing or too old, the disk is full, a module
/// cannot be downloaded. The message says what to do.
pub fn path(tool: Tool) -> Result<PathBuf> {
    Ok(paths(&[tool])?.remove(0))
}

/// The paths of several tools, in their order. Those of one module are built together, which takes less time than one
/// after the other: one is linked while others are compiled.
///
/// # Errors
///
/// As [`path`].
pub fn paths(tools: &[Tool]) -> Result<Vec<PathBuf>> {
    static FOUND: LazyLock<Mutex<HashMap<Tool, PathBuf>>> = LazyLock::new(Mutex::default);
    // Held during the build: the threads of one process take turns too.
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let mut absent = Vec::new();
    for tool in tools.iter().copied() {
        if found.contains_key(&tool) {
            continue;
        }
        match asset(tool) {
            Some(path) => {
                found.insert(tool, path);
            }
            None => absent.push(tool),
        }
    }
    while let Some(first) = absent.first().copied() {
        let (together, others): (Vec<_>, Vec<_>) = absent
            .into_iter()
            .partition(|tool| tool.module() == first.module());
        found.extend(build::cached(&together)?);
        absent = others;
    }
    Ok(tools.iter().map(|tool| found[tool].clone()).collect())
}

/// As [`path`], without blocking the runtime.
///
/// # Errors
///
/// As [`path`].
pub async fn path_async(tool: Tool) -> Result<PathBuf> {
    tokio::task::spawn_blocking(move || path(tool)).await?
}

fn asset(tool: Tool) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os("KUBEBUILDER_ASSETS")?).join(tool.file_name());
    path.is_file().then_some(path)
}
