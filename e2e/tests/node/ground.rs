//! A control plane, a CA and a node, and what steps ask of them.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use rustix::process::Pid;
use sancho_crds::{Certificate, CertificateShard, condition};
use sancho_e2e::binaries;
use sancho_e2e::ca::{Pebble, PebbleOptions};
use sancho_e2e::certificates::in_secrets;
use sancho_e2e::checker::{Bounds, judge};
use sancho_e2e::cluster::Cluster;
use sancho_e2e::front::{Front, FrontOptions};
use sancho_e2e::manifests::{Budget, certificate, cluster_issuer};
use sancho_e2e::node::image::Image;
use sancho_e2e::node::sandbox::Inside;
use sancho_e2e::node::{self, NODE_ADDRESS, Node};
use sancho_e2e::process::{free_port, wait_for};
use sancho_e2e::prometheus::Prometheus;
use sancho_e2e::replica::{NAMESPACE, RESPONDER_SERVICE};
use sancho_e2e::test_router::{TestRouter, edge};
use sancho_e2e::world::repository;
use serde_json::{Value, json};

/// What the CA bears: an order of 20 names takes about 9 s.
pub const BORNE: Budget = Budget {
    rate: 5.0,
    burst: 2,
    in_flight: 4,
};

/// The issuers, and how each leads challenges to Sancho. All are of one CA, and share its budget.
pub const BY_SERVICE: &str = "by-service";
pub const BY_INGRESS: &str = "by-ingress";
pub const BY_GATEWAY: &str = "by-gateway";

/// The namespace from which the chart's NetworkPolicies let challenges and Prometheus in.
pub const LET_IN: &str = "edge";
/// One that they do not name.
pub const NOT_LET_IN: &str = "elsewhere";

/// The image of what asks a Pod by HTTP: kubectl, a static program.
pub const ASKER_IMAGE: &str = "docker.io/library/kubectl:dev";

/// The port of a replica's probes and metrics.
pub const HEALTH_PORT: u16 = 8081;

/// What an image of a static program, as `Containerfile` makes one, may have at most.
const IMAGE_BYTES: u64 = 40_000_000;

/// Where Pods ask for names, and where the CA asks for answers: the usual ports.
pub const DNS_PORT: u16 = 53;
const HTTP_PORT: u16 = 80;

/// Everything. It ends with the sandbox.
pub struct Ground {
    pub cluster: Cluster,
    pub front: Front,
    /// The same CA at another port, where no NetworkPolicy leads at first.
    pub other_front: Front,
    pebble: Pebble,
    _router: TestRouter,
    _node: Node,
    dir: PathBuf,
    logs: PathBuf,
    started: Instant,
}

impl Ground {
    pub async fn start(inside: &Inside) -> Self {
        let started = Instant::now();
        let (dir, logs) = (inside.dir(), inside.log_dir());
        let pebble = PebbleOptions {
            dns_listen: Some((NODE_ADDRESS, DNS_PORT).into()),
            ..PebbleOptions::default()
        };
        let options = node::cluster_options();
        let (dir_of_cluster, dir_of_ca) = (dir.join("cluster"), dir.join("ca"));
        let (cluster, pebble) = tokio::try_join!(
            Cluster::start(&dir_of_cluster, &logs, &options),
            Pebble::start(&dir_of_ca, &logs, HTTP_PORT, &pebble),
        )
        .unwrap();
        let front = async || {
            let options = FrontOptions::limited(BORNE.rate, BORNE.burst, Some(BORNE.in_flight));
            let address = (NODE_ADDRESS, free_port()?).into();
            Front::start(address, &pebble.upstream(), options).await
        };
        let (front, other_front) = (front().await.unwrap(), front().await.unwrap());
        let operator = binaries::operator().await.unwrap();
        let image = Image::of_sancho("docker.io/library/sancho:dev", &operator).unwrap();
        let (bytes, is_static) = (image.bytes().unwrap(), image.is_static);
        assert!(
            !is_static || bytes < IMAGE_BYTES,
            "{} has {bytes} bytes: was it built with --release?",
            image.name
        );
        let kubectl = Image::of_static(ASKER_IMAGE, "/kubectl", cluster.kubectl_path());
        let node = Node::start(inside, &cluster, &logs, &[image, kubectl])
            .await
            .unwrap();
        let router = with_edge(&cluster).await.unwrap();
        let ground = Ground {
            cluster,
            front,
            other_front,
            pebble,
            _router: router,
            _node: node,
            dir: dir.to_owned(),
            logs,
            started,
        };
        ground.say(&format!(
            "the node is ready, with an image of {} MB and {} program",
            bytes / 1_000_000,
            if is_static { "a static" } else { "a dynamic" }
        ));
        ground
    }

    /// A line about what was seen, with how long it took from the start.
    pub fn say(&self, what: &str) {
        println!("{:5.1} s  {what}", self.started.elapsed().as_secs_f64());
    }

    /// `helm VERB sancho charts/sancho` as a user who has the image on the node, with these values besides; waits until
    /// everything is ready.
    pub async fn helm(&self, verb: &str, besides: &Value) -> Result<String> {
        let issuer = |solver: Value| {
            let mut issuer = cluster_issuer("ca", &self.front.directory_url(), self.front.ca_pem(), BORNE);
            issuer["spec"]["acme"]["solvers"] = json!([{ "http01": solver }]);
            issuer["spec"].clone()
        };
        let gateway = json!({ "name": edge::GATEWAY, "namespace": edge::GATEWAY_NAMESPACE });
        let values = json!({
            "image": { "repository": "sancho", "tag": "dev", "pullPolicy": "Never" },
            "responder": { "enabled": true },
            "clusterIssuers": {
                BY_SERVICE: issuer(json!({ "external": {} })),
                BY_INGRESS: issuer(json!({ "ingress": { "ingressClassName": edge::CLASS } })),
                BY_GATEWAY: issuer(json!({ "gatewayHTTPRoute": { "parentRefs": [gateway] } })),
            },
        });
        let files = [("values.json", &values), ("besides.json", besides)];
        let chart = repository().join("charts/sancho");
        let mut command = vec![verb.to_owned(), "sancho".to_owned(), text(&chart)?.to_owned()];
        for (name, content) in files {
            let file = self.dir.join(name);
            fs::write(&file, content.to_string())?;
            command.push(format!("--values={}", text(&file)?));
        }
        command.extend(["--namespace", NAMESPACE, "--wait", "--timeout", "110s"].map(String::from));
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        self.cluster.helm(&command).await
    }

    /// `kubectl sancho` as admin: its exit status, and what it prints.
    pub async fn sancho(&self, args: &[&str]) -> (Option<i32>, String) {
        let kubeconfig = self.cluster.kubeconfig_path();
        let ended = self.cluster.plugin(&kubeconfig, &[], args).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = format!("{}{}", text(&ended.stdout), text(&ended.stderr));
        (ended.status.code(), said)
    }

    /// Starts a Prometheus that asks the replicas that there are now.
    pub async fn prometheus(&self) -> Result<Prometheus> {
        let pods = self.pods("operator").await?;
        let addresses: Vec<(String, SocketAddr)> = pods
            .iter()
            .map(|pod| Ok((pod.name_any(), (address(pod)?, HEALTH_PORT).into())))
            .collect::<Result<_>>()?;
        let targets: Vec<(&str, SocketAddr)> = addresses
            .iter()
            .map(|(name, address)| (name.as_str(), *address))
            .collect();
        Prometheus::start(&self.dir, &self.logs, &targets).await
    }

    /// Has every name lead to the responder's Service, by its own address.
    pub async fn lead_names_to_the_responder(&self) -> Ipv4Addr {
        let services: Api<Service> = Api::namespaced(self.cluster.client(), NAMESPACE);
        let service = services.get(RESPONDER_SERVICE).await.unwrap();
        let address: Ipv4Addr = service.spec.unwrap().cluster_ip.unwrap().parse().unwrap();
        self.pebble.lead_names_to(address).await.unwrap();
        address
    }

    /// Has every name lead to the test router, at the node's own address.
    pub async fn lead_names_to_the_edge(&self) {
        self.pebble.lead_names_to(NODE_ADDRESS).await.unwrap();
    }

    /// The Pods of a component that are not on their way out.
    pub async fn pods(&self, component: &str) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client(), NAMESPACE);
        let selector = format!("app.kubernetes.io/component={component}");
        let selected = ListParams::default().labels(&selector);
        let mut pods = seen(async || Ok(pods.list(&selected).await?.items)).await?;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    /// The names of the replicas' Pods, once three of them are ready, and there are no others.
    pub async fn three_replicas(&self, within: Duration) -> BTreeSet<String> {
        wait_for("three replicas to be ready", within, &[], async || {
            let pods = self.pods("operator").await?;
            let is_so = pods.len() == 3 && pods.iter().all(is_ready);
            Ok(is_so.then(|| pods.iter().map(ResourceExt::name_any).collect()))
        })
        .await
        .unwrap()
    }

    /// Asks for what a drain of the node asks for.
    pub async fn evict(&self, pod: &str) -> Result<String> {
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": pod, "namespace": NAMESPACE },
        });
        let file = self.dir.join("eviction.json");
        fs::write(&file, eviction.to_string())?;
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction");
        self.cluster
            .kubectl(&["create", "--raw", &path, "--filename", text(&file)?])
            .await
    }

    /// Waits until as many replicas may be evicted.
    pub async fn evictions_allowed(&self, count: i32) {
        let budgets: Api<PodDisruptionBudget> = Api::namespaced(self.cluster.client(), NAMESPACE);
        wait_for(
            "the PodDisruptionBudget to be up to date",
            Duration::from_secs(30),
            &[],
            async || {
                let status = budgets.get("sancho").await?.status.context("no status")?;
                Ok((status.disruptions_allowed == Some(count)).then_some(()))
            },
        )
        .await
        .unwrap();
    }

    /// Applies a Certificate of `count` names of its own, in shards of 20, and gives the names.
    pub async fn apply(&self, name: &str, issuer: &str, count: u32) -> BTreeSet<String> {
        let names = names_of(name, count);
        let manifest = certificate(name, issuer, &names, 20);
        self.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
        names.into_iter().collect()
    }

    /// Writes that Certificate to a file, as one that is still to be applied.
    pub fn manifest(&self, name: &str, issuer: &str, count: u32) -> PathBuf {
        let file = self.dir.join(format!("{name}.json"));
        let manifest = certificate(name, issuer, &names_of(name, count), 20);
        fs::write(&file, manifest.to_string()).unwrap();
        file
    }

    /// Waits until a Certificate has a recorded order.
    pub async fn first_order(&self, name: &str) {
        wait_for(
            "an order to be recorded",
            Duration::from_secs(60),
            &[],
            async || {
                let shards = self.shards().await?;
                let mut of_it = shards.iter().filter(|shard| shard.name_any().starts_with(name));
                Ok(of_it.any(|shard| orders(shard) > 0).then_some(()))
            },
        )
        .await
        .unwrap();
    }

    /// Waits until a Certificate is ready.
    pub async fn ready(&self, name: &str, within: Duration) {
        let certificates: Api<Certificate> = Api::namespaced(self.cluster.client(), "default");
        let what = format!("Certificate {name} to be ready");
        wait_for(&what, within, &[], async || {
            let certificate = certificates.get(name).await?;
            let status = certificate.status.context("no status")?;
            let is_of_now = status.observed_generation == certificate.metadata.generation;
            let ready = condition(&status.conditions, "Ready").context("no condition")?;
            anyhow::ensure!(ready.status == "True", "{}: {}", ready.reason, ready.message);
            Ok(is_of_now.then_some(()))
        })
        .await
        .unwrap();
    }

    pub async fn shards(&self) -> Result<Vec<CertificateShard>> {
        let shards: Api<CertificateShard> = Api::namespaced(self.cluster.client(), "default");
        seen(async || Ok(shards.list(&ListParams::default()).await?.items)).await
    }

    /// All names in the Secrets of the namespace `default`, and the Secrets.
    pub async fn issued(&self) -> (BTreeSet<String>, Vec<String>) {
        let secrets: Api<Secret> = Api::namespaced(self.cluster.client(), "default");
        seen(async || in_secrets(&secrets).await).await.unwrap()
    }

    /// Judges what the CA has seen so far: nothing over the budget, next to nothing refused, and as many orders as there
    /// are shards, or `more`.
    pub async fn judged(&self, more: usize) {
        let bounds = Bounds::new(BORNE.rate, BORNE.burst, Some(BORNE.in_flight));
        let verdict = judge(&self.front.log(), &bounds);
        let shards = self.shards().await.unwrap().len();
        self.say(&format!(
            "the CA saw {} requests, {} orders for {shards} shards, {} throttled, {} violations",
            verdict.requests,
            verdict.orders,
            verdict.throttled,
            verdict.violations.len()
        ));
        assert!(verdict.violations.is_empty(), "{:?}", verdict.violations);
        assert!(verdict.throttled <= 2, "{} throttled", verdict.throttled);
        assert!((shards..=shards + more).contains(&verdict.orders), "{verdict:?}");
    }

    /// The process that holds the budget's slot, by the name that it has in the Lease: its Pod's, a dash and more.
    pub async fn holder(&self) -> Result<Option<String>> {
        let leases: Api<Lease> = Api::namespaced(self.cluster.client(), NAMESPACE);
        let budgets = ListParams::default().labels("app.kubernetes.io/part-of=sancho-budget");
        let leases = leases.list(&budgets).await?;
        let origin = self.front.origin();
        let of_front = leases
            .iter()
            .filter(|lease| lease.annotations().get("sancho.dev/origin") == Some(&origin));
        let holder = of_front
            .into_iter()
            .find_map(|lease| lease.spec.as_ref()?.holder_identity.clone());
        // `PROCESS 1/1`
        Ok(holder.and_then(|holder| Some(holder.split(' ').next()?.to_owned())))
    }
}

fn names_of(certificate: &str, count: u32) -> Vec<String> {
    let name = |number| format!("{certificate}-{number:04}.demo.example");
    (1..=count).map(name).collect()
}

/// What leads into the cluster: a test router at the node's own address, its classes, and a Gateway for all namespaces.
async fn with_edge(cluster: &Cluster) -> Result<TestRouter> {
    edge::with_ingress_class(cluster).await?;
    edge::with_gateway(cluster, "All").await?;
    let mut router = TestRouter::start_at((NODE_ADDRESS, HTTP_PORT).into()).await?;
    router.follow(cluster.client());
    Ok(router)
}

/// What the API server shows. It closes idle connections, now and then just as one is used again.
async fn seen<T>(look: impl AsyncFn() -> Result<T>) -> Result<T> {
    wait_for(
        "the API server to answer",
        Duration::from_secs(20),
        &[],
        async || look().await.map(Some),
    )
    .await
}

/// A Pod's address.
pub fn address(pod: &Pod) -> Result<Ipv4Addr> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
    Ok(address.context("a Pod without an address")?.parse()?)
}

/// Ready in the eyes of the kubelet.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    ready.any(|condition| condition.status == "True")
}

/// How often the kubelet has started its container anew.
pub fn restarts(pod: &Pod) -> i32 {
    let containers = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    containers.map(|container| container.restart_count).sum()
}

/// Orders that a shard has on record.
fn orders(shard: &CertificateShard) -> u32 {
    shard
        .status
        .as_ref()
        .and_then(|status| status.orders)
        .unwrap_or_default()
}

/// The process of a Pod's container: one of the sandbox, too.
pub fn process_of(pod: &str) -> Option<Pid> {
    let wanted = format!("POD_NAME={pod}");
    let is_its = |process: &Path| {
        let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
        let environment = read("environ");
        let mut variables = environment.split(|byte| *byte == 0);
        read("cmdline").starts_with(b"/sancho\0") && variables.any(|variable| variable == wanted.as_bytes())
    };
    let mut processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    let process = processes.find(|process| is_its(process))?;
    Pid::from_raw(process.file_name()?.to_str()?.parse().ok()?)
}

pub fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// A Pod that says nothing of what it gives up, which no namespace with `restricted` takes.
pub fn unrestricted_pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "intruder", "namespace": NAMESPACE },
        "spec": { "containers": [{ "name": "intruder", "image": "sancho:dev", "imagePullPolicy": "Never" }] },
    })
}
