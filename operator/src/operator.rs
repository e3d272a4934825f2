//! One replica: watches, controllers, budgets, the responder; from its start to its end.

use std::future::Future;
use std::net::SocketAddr;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, ClusterIssuer, Issuer};
use sancho_limiter::{Holder, LEASE_LABEL, Read};
use tokio::sync::mpsc;

use crate::budget::Budgets;
use crate::context::{AllSeen, Context, Events, SUFFIX_DIGITS};
use crate::health::Health;
use crate::issuer::{self, Issuers};
use crate::lease_store;
use crate::metrics::{Metrics, Overview};
use crate::proxy::Proxies;
use crate::quotas::Quotas;
use crate::responder::{self, ChallengeTable};
use crate::secrets::CERTIFICATE_LABEL;
use crate::self_check::{SelfCheck, SelfCheckSettings};
use crate::solvers::dns01::{Dns, Dns01Settings};
use crate::startup::{listen, told, until};
use crate::watching::{Lean, Seen, Watched, apis, watch};
use crate::{annotated, api_server, certificate, clock, found_by, health, routes, shard};

/// What a replica is told on its command line and by its pod.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the HTTP-01 responder listens.
    pub http_listen: SocketAddr,
    /// Where `/livez` and `/readyz` are answered.
    pub health_listen: SocketAddr,
    /// The namespaces to watch; all if there are none.
    pub watch_namespaces: Vec<String>,
    /// The operator's own namespace: Leases, and the account Secrets of ClusterIssuers.
    pub namespace: String,
    /// Whether there are metrics of each Certificate.
    pub metrics_per_certificate: bool,
    /// Whether Certificates are made for annotated Ingresses and Gateways.
    pub ingress_annotations: bool,
    /// Where routes for challenges are written, and where they lead.
    pub routes: routes::Home,
    /// How names are looked at before a CA is asked about them.
    pub self_check: SelfCheckSettings,
    /// How DNS is asked for DNS-01.
    pub dns01: Dns01Settings,
    /// The pod's name.
    pub pod_name: String,
    /// The pod's UID; empty outside Kubernetes.
    pub pod_uid: String,
    /// The container's name.
    pub container: String,
}

/// Runs a replica until `ending` comes; gives its slots up then.
///
/// # Errors
/// What kept it from starting: no way to the API server, an address that is taken, a proxy that nothing can be asked
/// through.
pub async fn run(
    settings: Settings,
    ending: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let proxies = Proxies::from_environment()?;
    let http = listen(settings.http_listen, "--http-listen").await?;
    let probes = listen(settings.health_listen, "--health-listen").await?;
    let config = api_server::config().await?;
    let metrics = Metrics::default();
    let client = api_server::client(config.clone(), &metrics)?;
    // The limiter decides itself what is sent again, and when.
    let mut unrepeated = config;
    unrepeated.default_retry = false;
    let lease_client = api_server::client(unrepeated, &metrics)?;

    let process = format!("{}-{}", settings.pod_name, random_suffix()?);
    let holder = Holder {
        pod_uid: settings.pod_uid.clone(),
        container: settings.container.clone(),
        process: process.clone(),
    };
    tracing::info!(replica = process, namespace = settings.namespace, "starting");
    if let Some(proxy) = proxies.given() {
        tracing::info!(%proxy, "CAs and the APIs of DNS providers are asked through a proxy");
    }

    let namespaces = &settings.watch_namespaces;
    let everything = watcher::Config::default();
    let ours = everything.clone().labels(CERTIFICATE_LABEL);
    let (certificates_seen, certificates) = watch(
        apis::<Certificate>(&client, namespaces),
        &everything,
        found_by::certificate,
    );
    let (shards_seen, shards) = watch(
        apis::<CertificateShard>(&client, namespaces),
        &everything,
        found_by::shard,
    );
    let (issuers_seen, issuers) = watch(apis::<Issuer>(&client, namespaces), &everything, |_| Vec::new());
    let (cluster_issuers_seen, cluster_issuers) = watch(
        vec![Api::<Lean<ClusterIssuer>>::all(client.clone())],
        &everything,
        |_| Vec::new(),
    );
    let (secrets_seen, secrets) = watch(
        apis::<PartialObjectMeta<Secret>>(&client, namespaces),
        &ours,
        found_by::secret,
    );

    let own_leases: Api<Lean<Lease>> = Api::namespaced(client.clone(), &settings.namespace);
    let (key, value) = LEASE_LABEL;
    let budgets_only = watcher::Config::default().labels(&format!("{key}={value}"));
    let (leases_seen, leases) = watch(vec![own_leases], &budgets_only, |_| Vec::new());

    // First nothing new is begun, then the slots are given up, then everything ends.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (routes, drives_ended) = routes::Routes::new(settings.routes.clone());
    let budgets = Budgets::new(lease_client, settings.namespace.clone(), holder, metrics.clone());
    let own_secrets = Api::namespaced(client.clone(), &settings.namespace);
    let dns = Dns::new(
        settings.dns01.clone(),
        budgets.clone(),
        proxies.clone(),
        metrics.clone(),
        &process,
        own_secrets,
    );
    let context = Context {
        dns,
        budgets,
        proxies,
        issuers: Issuers::default(),
        quotas: Quotas::default(),
        self_check: SelfCheck::new(&settings.self_check),
        challenges: ChallengeTable::default(),
        routes,
        seen: AllSeen {
            certificates: certificates_seen,
            shards: shards_seen,
            issuers: issuers_seen,
            cluster_issuers: cluster_issuers_seen,
            secrets: secrets_seen.clone(),
        },
        events: Events::new(client.clone(), &process),
        metrics: metrics.clone(),
        replica: process.clone(),
        pod: (!settings.pod_uid.is_empty()).then(|| settings.pod_name.clone()),
        namespace: settings.namespace.clone(),
        client: client.clone(),
        ending: stopped.clone(),
    };
    let (end, ended) = tokio::sync::watch::channel(false);
    let over = || told(ended.clone());
    let health = Health::default();
    let (nudge, nudges) = mpsc::unbounded_channel();

    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(responder::serve(http, context.challenges.clone(), over()));
    let (seen, each) = (context.seen.clone(), settings.metrics_per_certificate);
    let told_metrics = move || {
        let (certificates, shards) = (seen.certificates.each(), seen.shards.each());
        metrics.text_with(&Overview::of(certificates, shards, each, clock::now()))
    };
    tasks.spawn(health::serve(probes, health.clone(), told_metrics, over()));
    tasks.spawn(until(over(), tell_budgets(leases, context.budgets.clone())));
    let budgets = context.budgets.clone();
    tasks.spawn(until(over(), async move { budgets.forget_unused().await }));
    tasks.spawn(until(
        over(),
        mark_ready(context.seen.clone(), leases_seen, health),
    ));
    tasks.spawn(until(over(), issuer::run(context.clone(), issuers)));
    tasks.spawn(until(over(), issuer::run(context.clone(), cluster_issuers)));
    let mut readers = Vec::new();
    if settings.ingress_annotations {
        let (for_ingresses, news) = mpsc::unbounded_channel();
        tasks.spawn(annotated::for_ingresses(
            context.clone(),
            namespaces.clone(),
            news,
            over(),
        ));
        let (for_gateways, news) = mpsc::unbounded_channel();
        tasks.spawn(annotated::for_gateways(
            context.clone(),
            namespaces.clone(),
            news,
            over(),
        ));
        readers = vec![for_ingresses, for_gateways];
    }
    let certificates = certificates
        .inspect(move |event| annotated::tell(&readers, event))
        .boxed();
    tasks.spawn(certificate::run(context.clone(), certificates, nudges, over()));
    tasks.spawn(routes::sweep::run(context.clone(), drives_ended, over()));
    let (reform, reforms) = mpsc::unbounded_channel();
    tasks.spawn(shard::reform::run(context.clone(), reforms, over()));
    let drives = shard::watch::run(context.clone(), shards, secrets, nudge, reform, told(stopped));
    tasks.spawn(drives);

    tokio::select! {
        () = ending => {}
        // Nothing ends by itself. A replica that lacks a part is no replica: let it be started anew.
        Some(ended) = tasks.join_next() => anyhow::bail!("a part of the operator broke off: {ended:?}"),
    }
    tracing::info!(replica = process, "ending: giving the slots up");
    stop.send_replace(true);
    // Challenges are answered to the last, since a CA may ask right now.
    let budgets = context.budgets.all();
    let leave = futures::future::join_all(budgets.iter().map(crate::budget::Budget::shut_down));
    leave.await;
    end.send_replace(true);
    while let Some(task) = tasks.join_next().await {
        task?;
    }
    tracing::info!(replica = process, "ended");
    Ok(())
}

/// Tells this process from every other, and from an earlier one of the same pod.
fn random_suffix() -> anyhow::Result<String> {
    let mut bytes = [0_u8; SUFFIX_DIGITS / 2];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system has no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Every change of a budget's Lease is told to its budget, so that an idle replica knows who is
/// alive without asking.
async fn tell_budgets(mut leases: Watched<Lease>, budgets: Budgets) {
    while let Some(event) = leases.next().await {
        match event {
            Event::Apply(lease) | Event::InitApply(lease) => {
                budgets.seen(&lease.name_any(), lease_store::seen(&lease));
            }
            Event::Delete(lease) => budgets.seen(&lease.name_any(), Read::Absent),
            Event::Init | Event::InitDone => {}
        }
    }
}

async fn mark_ready(seen: AllSeen, leases: Seen<Lease>, health: Health) {
    let AllSeen {
        certificates,
        shards,
        issuers,
        cluster_issuers,
        secrets,
    } = seen;
    tokio::join!(
        certificates.ready(),
        shards.ready(),
        issuers.ready(),
        cluster_issuers.ready(),
        secrets.ready(),
        leases.ready()
    );
    health.set_ready();
    std::future::pending().await
}
