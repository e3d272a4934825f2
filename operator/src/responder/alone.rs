//! `sancho responder`: watches → [`ChallengeTable`] → answers, in a process that can read no Secret.
//!
//! It watches CertificateShards and issuers, writes nothing, and holds no part of any budget.

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;

use futures::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use sancho_crds::{CertificateShard, ClusterIssuer, Issuer};

use super::{ChallengeTable, challenges, serve};
use crate::api_server;
use crate::health::{self, Health};
use crate::metrics::Metrics;
use crate::startup::{listen, told, until};
use crate::watching::{Lean, Seen, Watched, apis, watch};

/// What a responder is told on its command line.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where challenges are answered.
    pub http_listen: SocketAddr,
    /// Where `/livez` and `/readyz` are answered.
    pub health_listen: SocketAddr,
    /// The namespaces to watch; all if there are none.
    pub watch_namespaces: Vec<String>,
}

/// Answers challenges until `ending` comes.
///
/// # Errors
/// What kept it from starting: no way to the API server, an address that is taken.
pub async fn run(
    settings: Settings,
    ending: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let http = listen(settings.http_listen, "--http-listen").await?;
    let probes = listen(settings.health_listen, "--health-listen").await?;
    let metrics = Metrics::default();
    let client = api_server::client(api_server::config().await?, &metrics)?;
    tracing::info!("starting as a responder");

    let everything = watcher::Config::default();
    let namespaces = &settings.watch_namespaces;
    let (seen, shards) = watch(apis::<CertificateShard>(&client, namespaces), &everything, |_| {
        Vec::new()
    });
    let (issuers_seen, issuers) = watch(apis::<Issuer>(&client, namespaces), &everything, |_| Vec::new());
    let (cluster_issuers_seen, cluster_issuers) = watch(
        vec![Api::<Lean<ClusterIssuer>>::all(client.clone())],
        &everything,
        |_| Vec::new(),
    );

    let health = Health::default();
    let answers = Answers {
        table: ChallengeTable::default(),
        seen,
        issuers_seen,
        cluster_issuers_seen,
    };
    let (end, ended) = tokio::sync::watch::channel(false);
    let over = || told(ended.clone());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(serve(http, answers.table.clone(), over()));
    tasks.spawn(health::serve(
        probes,
        health.clone(),
        move || metrics.text(),
        over(),
    ));
    tasks.spawn(until(
        over(),
        answers.keep(shards, issuers, cluster_issuers, health),
    ));
    tokio::select! {
        () = ending => {}
        // Nothing ends by itself.
        Some(ended) = tasks.join_next() => anyhow::bail!("a part of the responder broke off: {ended:?}"),
    }
    end.send_replace(true);
    while let Some(task) = tasks.join_next().await {
        task?;
    }
    tracing::info!("ended");
    Ok(())
}

struct Answers {
    table: ChallengeTable,
    seen: Seen<CertificateShard>,
    issuers_seen: Seen<Issuer>,
    cluster_issuers_seen: Seen<ClusterIssuer>,
}

impl Answers {
    /// Keeps the table as the watches have it. Ready once everything that exists is in it.
    async fn keep(
        self,
        mut shards: Watched<CertificateShard>,
        mut issuers: Watched<Issuer>,
        mut cluster_issuers: Watched<ClusterIssuer>,
        health: Health,
    ) {
        let ready = {
            let shards = self.seen.clone();
            let issuers = self.issuers_seen.clone();
            let cluster_issuers = self.cluster_issuers_seen.clone();
            async move {
                tokio::join!(shards.ready(), issuers.ready(), cluster_issuers.ready());
            }
        };
        tokio::pin!(ready);
        let mut is_ready = false;
        loop {
            tokio::select! {
                Some(event) = shards.next() => self.shard_event(event),
                Some(event) = issuers.next() => self.issuer_event(&event),
                Some(event) = cluster_issuers.next() => self.issuer_event(&event),
                () = &mut ready, if !is_ready => {
                    is_ready = true;
                    self.serve_all();
                    health.set_ready();
                }
            }
        }
    }

    fn shard_event(&self, event: Event<CertificateShard>) {
        match event {
            Event::Apply(shard) | Event::InitApply(shard) => self.serve(&shard),
            Event::Delete(shard) => self.table.remove(&shard.uid().unwrap_or_default()),
            Event::Init => {}
            // What went away while a watch was interrupted is missing from the new list.
            Event::InitDone => {
                let uids: HashSet<String> = self.seen.each().filter_map(|shard| shard.uid()).collect();
                self.table.retain(|uid| uids.contains(uid));
                self.serve_all();
            }
        }
    }

    /// An account has another key: the answers are others.
    fn issuer_event<K>(&self, event: &Event<K>) {
        match event {
            Event::Apply(_) | Event::Delete(_) | Event::InitDone => self.serve_all(),
            Event::Init | Event::InitApply(_) => {}
        }
    }

    fn serve_all(&self) {
        for shard in self.seen.each() {
            self.serve(&shard);
        }
    }

    fn serve(&self, shard: &CertificateShard) {
        challenges::serve(shard, &self.issuers_seen, &self.cluster_issuers_seen, &self.table);
    }
}
