//! Replicas behind proxies that can kill them, run after run in one world.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use sancho_crds::{Certificate, CertificateShard, ClusterIssuer};
use sancho_e2e::api_proxy::ApiProxy;
use sancho_e2e::arrivals::{Arrival, ArrivalLog, RequestKind};
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::checker::{Bounds, judge};
use sancho_e2e::crash::{CrashPoint, Crasher};
use sancho_e2e::end_state::{differences, end_state};
use sancho_e2e::faults::Fault;
use sancho_e2e::manifests::{certificate, cluster_issuer, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::{NAMESPACE, ReplicaOptions};
use sancho_e2e::world::{CaOptions, World, WorldOptions};
use serde_json::Value;

use crate::stories::{FAST, is_ready, orders};

/// How long a part of a run may take. Most take 3 s; a dead pod's slot is waited for 15 s.
const RUN: Duration = Duration::from_secs(120);

/// The write that makes the budget's Lease, once in its life.
pub const MAKES_LEASE: &str = "POST leases";

/// What [`Stage::apply`] asks for: three names in two shards.
const NAMES: u32 = 3;
const NAMES_A_SHARD: u32 = 2;
const SHARDS: usize = NAMES.div_ceil(NAMES_A_SHARD) as usize;

/// Who goes on once a replica is dead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// The same pod, restarted. Another replica answers challenges meanwhile, and does nothing else:
    /// all that it writes is refused. Somebody must, or the CA finds nobody and the order is lost.
    SamePod,
    /// Two further replicas, which were at work beside it. It stays dead.
    Others,
}

/// Replicas behind proxies.
pub struct Stage {
    world: World,
    crasher: Crasher,
    successor: Successor,
    /// They end with the stage.
    _proxies: Vec<ApiProxy>,
}

/// What an undisturbed run did and left.
pub struct Undisturbed {
    /// See [`end_state`].
    pub state: Value,
    /// How often it made each call.
    pub calls: BTreeMap<String, usize>,
}

impl Stage {
    /// Starts everything.
    pub async fn build(successor: Successor) -> Self {
        // Without Pebble's dice each run makes the same requests.
        let pebble = PebbleOptions {
            nonce_reject_percent: Some(0),
            authz_reuse_percent: Some(0),
            retry_after: Duration::from_secs(1),
            ..PebbleOptions::default()
        };
        let mut world = World::start(WorldOptions {
            ca: Some(CaOptions {
                pebble,
                ..CaOptions::default()
            }),
            replicas: 0,
            ..WorldOptions::default()
        })
        .await
        .unwrap();
        let replicas = match successor {
            Successor::SamePod => 2,
            Successor::Others => 3,
        };
        let mut proxies = Vec::new();
        for _ in 0..replicas {
            let proxy = ApiProxy::start(&world.cluster).await.unwrap();
            let options = ReplicaOptions {
                api_server: Some(proxy.api_server()),
                ..ReplicaOptions::default()
            };
            world.add_replica(options).await.unwrap();
            proxies.push(proxy);
        }
        let names = world.replicas.iter().map(|replica| replica.name());
        let crasher = Crasher::between(names.zip(&proxies), world.front().unwrap());
        if successor == Successor::SamePod {
            proxies[1].set_faults(|request| {
                request.is_write().then(|| Fault::Answer {
                    status: 403,
                    headers: Vec::new(),
                    body: "this replica only looks on\n".to_owned(),
                })
            });
            world.replicas[1].ready().await.unwrap();
        }
        Stage {
            world,
            crasher,
            successor,
            _proxies: proxies,
        }
    }

    /// One run without a kill, until no slot is held any more.
    pub async fn undisturbed(&mut self) -> Result<Undisturbed> {
        self.clear(false).await?;
        let start = self.world.front()?.now_us();
        self.crasher.record();
        self.apply().await?;
        wait_for("everything to come to rest", RUN, &[], async || {
            Ok((self.is_ready().await? && self.rests().await?).then_some(()))
        })
        .await?;
        let made = made(&self.world.front()?.log().since(start));
        ensure!(made == SHARDS, "{made} orders");
        Ok(Undisturbed {
            state: end_state(&self.world.cluster.client()).await?,
            calls: self.crasher.counts(),
        })
    }

    /// One run with a kill. Says whether its point was reached.
    ///
    /// # Errors
    /// When the run does not end in the state `expected`, when an order was made again that had been
    /// recorded, or when the CA was asked faster than the budget allows.
    pub async fn crash(&mut self, point: &CrashPoint, expected: &Value) -> Result<bool> {
        self.clear(point.call == MAKES_LEASE).await?;
        let start = self.world.front()?.now_us();
        let replicas = self.world.replicas.iter();
        let processes = replicas.map(|replica| replica.process().clone()).collect();
        self.crasher.arm(point.clone(), processes);
        self.apply().await?;
        wait_for("the kill, or the end without it", RUN, &[], async || {
            let is_over = self.crasher.has_fired() || self.is_ready().await? && self.rests().await?;
            Ok(is_over.then_some(()))
        })
        .await?;
        if !self.crasher.has_fired() {
            return Ok(false);
        }
        let lost = match self.successor {
            Successor::SamePod => {
                let lost = self.lost_orders(start).await?;
                self.world.replicas[0].restart().await?;
                lost
            }
            // What the others have not recorded yet counts as well.
            Successor::Others => {
                let recorded = usize::try_from(orders(&self.world).await)?;
                made(&self.world.front()?.log().since(start)).saturating_sub(recorded)
            }
        };
        let client = self.world.cluster.client();
        let mut different = Vec::new();
        let same = wait_for("the end state of an undisturbed run", RUN, &[], async || {
            different = differences(expected, &end_state(&client).await?);
            Ok(different.is_empty().then_some(()))
        })
        .await;
        same.with_context(|| different.join("\n"))?;
        let log = self.world.front()?.log().since(start);
        // None that was recorded is made again.
        let recorded = usize::try_from(orders(&self.world).await)?;
        ensure!(recorded == SHARDS, "{recorded} orders recorded, not {SHARDS}");
        ensure!(
            made(&log) <= SHARDS + lost,
            "{} orders, of {SHARDS} recorded and {lost} lost",
            made(&log)
        );
        let verdict = judge(&log, &Bounds::new(FAST.rate, FAST.burst, Some(FAST.in_flight)));
        ensure!(verdict.violations.is_empty(), "{:?}", verdict.violations);
        Ok(true)
    }

    /// Fresh processes, and nothing of the run before. The budget's Lease goes only if that is asked for:
    /// where there is none, 15 s are waited for a holder that there may have been.
    async fn clear(&mut self, without_lease: bool) -> Result<()> {
        let at_work = match self.successor {
            Successor::SamePod => 1,
            Successor::Others => self.world.replicas.len(),
        };
        for replica in &self.world.replicas[..at_work] {
            replica.process().kill();
        }
        let client = self.world.cluster.client();
        let (delete, all) = (DeleteParams::default(), ListParams::default());
        let certificates: Api<Certificate> = Api::namespaced(client.clone(), "default");
        certificates.delete_collection(&delete, &all).await?;
        let shards: Api<CertificateShard> = Api::namespaced(client.clone(), "default");
        shards.delete_collection(&delete, &all).await?;
        let issuers: Api<ClusterIssuer> = Api::all(client.clone());
        issuers.delete_collection(&delete, &all).await?;
        for namespace in ["default", NAMESPACE] {
            let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
            secrets.delete_collection(&delete, &all).await?;
            let events: Api<Event> = Api::namespaced(client.clone(), namespace);
            events.delete_collection(&delete, &all).await?;
        }
        if without_lease {
            let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
            leases.delete_collection(&delete, &all).await?;
        }
        for replica in &mut self.world.replicas[..at_work] {
            replica.restart().await?;
        }
        for replica in &self.world.replicas[..at_work] {
            replica.ready().await?;
        }
        Ok(())
    }

    /// What a user applies: an issuer without an account yet, and a Certificate.
    async fn apply(&self) -> Result<()> {
        let client = self.world.cluster.client();
        let front = self.world.front()?;
        let issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), FAST);
        let issuer: ClusterIssuer = serde_json::from_value(issuer)?;
        let shop = certificate("shop", "ca", &names(NAMES), NAMES_A_SHARD);
        let shop: Certificate = serde_json::from_value(shop)?;
        let post = PostParams::default();
        Api::all(client.clone()).create(&post, &issuer).await?;
        Api::namespaced(client, "default").create(&post, &shop).await?;
        Ok(())
    }

    async fn is_ready(&self) -> Result<bool> {
        let certificates: Api<Certificate> = Api::namespaced(self.world.cluster.client(), "default");
        Ok(is_ready(&certificates.get("shop").await?))
    }

    /// Whether no slot is held. With several replicas nothing is to be waited for: a dead one's slot stays
    /// where it is until somebody needs it.
    async fn rests(&self) -> Result<bool> {
        let leases: Api<Lease> = Api::namespaced(self.world.cluster.client(), NAMESPACE);
        let is_held = |lease: &Lease| {
            let holders = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref());
            holders.is_some_and(|holders| !holders.is_empty())
        };
        Ok(self.successor == Successor::Others
            || !leases.list(&ListParams::default()).await?.iter().any(is_held))
    }

    /// How many orders the CA has made, or may have made, that no shard has recorded.
    ///
    /// # Errors
    /// When an authorization was asked for of an order that is not recorded.
    async fn lost_orders(&self, start: u64) -> Result<usize> {
        let log = wait_for("the dead process's requests to end", RUN, &[], async || {
            let log = self.world.front()?.log().since(start);
            let is_over = log.arrivals.iter().all(|arrival| arrival.ended_us.is_some());
            Ok(is_over.then_some(log))
        })
        .await?;
        let recorded = orders(&self.world).await;
        let kind = RequestKind::Authorization;
        let asked_for = log.arrivals.iter().filter(|arrival| arrival.kind == kind);
        let asked_for: BTreeSet<&str> = asked_for.map(|arrival| arrival.path.as_str()).collect();
        let under_way = u32::try_from(asked_for.len())?.div_ceil(NAMES_A_SHARD);
        ensure!(
            recorded >= under_way,
            "{under_way} orders under way, {recorded} recorded"
        );
        Ok(made(&log).saturating_sub(usize::try_from(recorded)?))
    }
}

/// How many orders the CA has made. One whose answer was cut off counts.
fn made(log: &ArrivalLog) -> usize {
    let is_made = |arrival: &&Arrival| {
        arrival.kind == RequestKind::NewOrder && matches!(arrival.status, None | Some(201))
    };
    log.arrivals.iter().filter(is_made).count()
}
