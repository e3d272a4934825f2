//! What a node's parts are told: containerd, the pod network, kubelet, kube-proxy and kube-router. Pure.
//!
//! What their defaults write to (`/run`, `/var/lib`, `/var/log`) is the sandbox's own; what they would write elsewhere is
//! led there.

use std::path::Path;

use serde_json::{Value, json};

use super::{NODE, NODE_ADDRESS, POD_NETWORK};

/// Where the Pods' network and CRI's own socket are, once a sandbox was entered.
pub(super) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The folder of the pod network's configuration.
pub(super) const CNI_FOLDER: &str = "/var/lib/cni/net.d";
/// What runs in a Pod's sandbox.
pub(super) const PAUSE_IMAGE: &str = "docker.io/library/pause:dev";

/// containerd's config.toml. `plugins` are the folders of the CNI plugins.
pub(super) fn containerd(runc: &Path, plugins: &[&Path]) -> String {
    let plugins: Vec<String> = plugins.iter().map(|path| quoted(path)).collect();
    let (plugins, runc) = (plugins.join(", "), quoted(runc));
    format!(
        r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins.'io.containerd.internal.v1.opt']
path = "/var/lib/containerd/opt"

[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.cri.v1.runtime']
# Without CAP_SYS_RESOURCE nobody may lower it.
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = [{plugins}]
conf_dir = "{CNI_FOLDER}"
use_internal_loopback = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = {runc}
SystemdCgroup = false
"#
    )
}

/// As a TOML string.
fn quoted(path: &Path) -> String {
    Value::from(path.display().to_string()).to_string()
}

/// The pod network. Each Pod is led to the node alone, so that all that it sends passes the node's own rules, and a
/// Service's address leads to a Pod of the same node as well.
pub(super) fn pod_network() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": POD_NETWORK }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}

/// The kubelet's configuration. `cgroup` is the path below which it makes those of its Pods, `client_ca` the root of
/// those that may ask it, `resolv_conf` the resolver of Pods that ask for the node's.
pub(super) fn kubelet(cgroup: &str, client_ca: &Path, resolv_conf: &Path, port: u16) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": port,
        "healthzPort": 0,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": client_ca },
        },
        "authorization": { "mode": "Webhook" },
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": resolv_conf,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "makeIPTablesUtilChains": false,
        "enableControllerAttachDetach": false,
        "localStorageCapacityIsolation": false,
        // The disk is not this node's own: a full one is somebody else's matter.
        "evictionHard": { "imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%" },
        "imageGCHighThresholdPercent": 100,
    })
}

/// kube-proxy's configuration.
pub(super) fn kube_proxy(kubeconfig: &Path, health_port: u16, metrics_port: u16) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "detectLocalMode": "ClusterCIDR",
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": NODE,
        "clientConnection": { "kubeconfig": kubeconfig },
        "bindAddress": NODE_ADDRESS,
        "healthzBindAddress": format!("127.0.0.1:{health_port}"),
        "metricsBindAddress": format!("127.0.0.1:{metrics_port}"),
        // Figures of the whole machine, which are left as they are.
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
    })
}

/// kube-router's arguments: of all that it does, NetworkPolicies alone.
pub(super) fn kube_router(kubeconfig: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--hostname-override={NODE}"),
        "--run-firewall=true".to_owned(),
        "--run-router=false".to_owned(),
        "--run-service-proxy=false".to_owned(),
        "--run-loadbalancer=false".to_owned(),
        "--enable-cni=false".to_owned(),
        "--health-port=0".to_owned(),
        "--metrics-port=0".to_owned(),
    ]
}

/// What the kubelet asks of the whole machine, by the path below /proc/sys, and would write there.
pub(super) const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];
