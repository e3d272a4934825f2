//! Replicas behind proxies that have something go wrong, run after run in one world.

mod acts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, ClusterIssuer};
use sancho_e2e::api_proxy::ApiProxy;
use sancho_e2e::arrivals::{Arrival, ArrivalLog, RequestKind};
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::checker::{Bounds, judge};
use sancho_e2e::end_state::{differences, end_state};
use sancho_e2e::faults::Fault;
use sancho_e2e::injector::{FaultInjector, FaultPoint, Trouble};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::{NAMESPACE, Replica, ReplicaOptions};
use sancho_e2e::secret_watch::SecretWatch;
use sancho_e2e::world::{CaOptions, World, WorldOptions};
use serde_json::Value;

use super::story::{Step, Story};
use crate::stories::{FAST, is_ready, shards};

/// How long a part of a run may take. Most take 3 s; a dead pod's slot is waited for 15 s.
const RUN: Duration = Duration::from_secs(120);

/// The write that makes the budget's Lease, once in its life.
pub const MAKES_LEASE: &str = "POST leases";

const NAMES_A_SHARD: u32 = 2;

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
    injector: FaultInjector,
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
    /// How many orders it made, all of them recorded.
    pub orders: usize,
}

/// One run, from the end of its prologue on.
struct Lap {
    story: Story,
    start_us: u64,
    /// Orders that were recorded before, by the shard's UID.
    recorded: BTreeMap<String, u32>,
    /// Orders that were made and not recorded when a process died.
    lost: usize,
    secrets: SecretWatch,
    /// A process that was killed has its successor.
    has_successor: bool,
}

impl Lap {
    /// What must not have happened to a Secret, or to a name that is served.
    fn wrong(&self) -> Vec<String> {
        let deleted = self.story.deleted();
        let mut wrong = self.secrets.violations_but_gone(|secret| Some(secret) == deleted);
        wrong.extend(self.secrets.lost(&acts::chosen(self.story.served())));
        wrong
    }
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
        let injector = FaultInjector::between(names.zip(&proxies), world.front().unwrap());
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
            injector,
            successor,
            _proxies: proxies,
        }
    }

    /// One run without a fault, until no slot is held any more.
    pub async fn undisturbed(&mut self, story: Story) -> Result<Undisturbed> {
        loop {
            let start_us = self.world.front()?.now_us();
            let run = self.undisturbed_once(story).await;
            if !self.pebble_failed(start_us)? {
                return run;
            }
        }
    }

    /// Has Pebble failed by itself since then? It answers 500 to a newOrder that replaces a certificate whose serial
    /// number is short (one in 512).
    fn pebble_failed(&self, start_us: u64) -> Result<bool> {
        let log = self.world.front()?.log().since(start_us);
        let failed = |arrival: &Arrival| arrival.kind == RequestKind::NewOrder && arrival.status == Some(500);
        Ok(log.arrivals.iter().any(failed))
    }

    async fn undisturbed_once(&mut self, story: Story) -> Result<Undisturbed> {
        let lap = self.begin(story, false).await?;
        self.injector.record();
        for step in story.steps() {
            acts::perform(&self.world, *step).await?;
            wait_for(&format!("{step:?} to be settled"), RUN, &[], async || {
                Ok(self.is_settled(*step).await?.then_some(()))
            })
            .await?;
        }
        self.rest().await?;
        let made = made(&self.world.front()?.log().since(lap.start_us));
        let recorded = self.recorded_since(&lap).await?;
        ensure!(made == recorded, "{made} orders, {recorded} recorded");
        let wrong = lap.wrong();
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(Undisturbed {
            state: state(&self.world, story).await?,
            calls: self.injector.counts(),
            orders: made,
        })
    }

    /// One run in which something goes wrong at `point`. Says whether that was reached, and Pebble did not fail beside it.
    ///
    /// # Errors
    /// When the run does not end in the state of an undisturbed one, when an order was made again that had been
    /// recorded, when a Secret was gone or did not fit or a name was in none at any time, or when the CA was asked faster
    /// than the budget allows.
    pub async fn disturbed(
        &mut self,
        story: Story,
        point: &FaultPoint,
        expected: &Undisturbed,
    ) -> Result<bool> {
        let mut lap = self.begin(story, point.call == MAKES_LEASE).await?;
        self.route_around(point.trouble);
        let replicas = self.world.replicas.iter();
        let processes = replicas.map(|replica| replica.process().clone()).collect();
        self.injector.arm(point.clone(), processes);
        for step in story.steps() {
            acts::perform(&self.world, *step).await?;
            self.until(
                &mut lap,
                point,
                &format!("{step:?} to be settled"),
                async |stage| stage.is_settled(*step).await,
            )
            .await?;
        }
        self.until(
            &mut lap,
            point,
            "the fault, or the end without it",
            async |stage| Ok(stage.injector.has_fired() || stage.rests().await?),
        )
        .await?;
        if !self.injector.has_fired() || self.pebble_failed(lap.start_us)? {
            return Ok(false);
        }
        self.judge(&mut lap, point, expected).await?;
        Ok(true)
    }

    /// Fresh processes, nothing of the run before, and the prologue.
    async fn begin(&mut self, story: Story, without_lease: bool) -> Result<Lap> {
        self.clear(without_lease).await?;
        for step in story.prologue() {
            acts::perform(&self.world, *step).await?;
            wait_for(&format!("{step:?} to be settled"), RUN, &[], async || {
                Ok(self.is_settled(*step).await?.then_some(()))
            })
            .await?;
        }
        // What was killed before gives its slot up only where there is something to do.
        let is_applied = |step: &Step| matches!(step, Step::Apply(_) | Step::Group(_));
        if story.prologue().iter().any(is_applied) {
            self.rest().await?;
        }
        let secrets: Api<Secret> = Api::namespaced(self.world.cluster.client(), "default");
        Ok(Lap {
            story,
            start_us: self.world.front()?.now_us(),
            recorded: recorded(&self.world).await,
            lost: 0,
            secrets: SecretWatch::start(secrets).await?,
            has_successor: false,
        })
    }

    /// A replica whose watches are held back does not hear of new tokens and answers 404 for them, which costs the order:
    /// then the other one alone is asked.
    fn route_around(&self, trouble: Trouble) {
        let replicas = &self.world.replicas;
        let skipped = usize::from(trouble == Trouble::WatchesHeld && self.successor == Successor::SamePod);
        let responders = replicas[skipped..].iter().map(Replica::responder);
        self.world.router.set_responders(responders.collect());
    }

    /// Waits until `is_over`. A process that dies meanwhile gets its successor.
    async fn until(
        &mut self,
        lap: &mut Lap,
        point: &FaultPoint,
        what: &str,
        is_over: impl AsyncFn(&Stage) -> Result<bool>,
    ) -> Result<()> {
        let is_kill = matches!(point.trouble, Trouble::Kill(_));
        loop {
            let (stage, waits) = (&*self, is_kill && !lap.has_successor);
            let died = wait_for(what, RUN, &[], async || {
                if waits && stage.injector.has_fired() {
                    return Ok(Some(true));
                }
                Ok(is_over(stage).await?.then_some(false))
            })
            .await?;
            if !died {
                return Ok(());
            }
            lap.has_successor = true;
            match self.successor {
                Successor::SamePod => {
                    lap.lost = self.lost_orders(lap).await?;
                    self.world.replicas[0].restart().await?;
                }
                // What the others have not recorded yet counts as well.
                Successor::Others => {
                    let made = made(&self.world.front()?.log().since(lap.start_us));
                    lap.lost = made.saturating_sub(self.recorded_since(lap).await?);
                }
            }
        }
    }

    async fn judge(&mut self, lap: &mut Lap, point: &FaultPoint, expected: &Undisturbed) -> Result<()> {
        let mut different = Vec::new();
        // A kill may be what the run ended with.
        self.until(lap, point, "a successor, if there is to be one", async |_| {
            Ok(true)
        })
        .await?;
        let same = wait_for("the end state of an undisturbed run", RUN, &[], async || {
            let mut state = state(&self.world, lap.story).await?;
            if !matches!(point.trouble, Trouble::Kill(_)) {
                forgive(&mut state);
            }
            different = differences(&expected.state, &state);
            Ok(different.is_empty().then_some(()))
        })
        .await;
        same.with_context(|| different.join("\n"))?;
        let log = self.world.front()?.log().since(lap.start_us);
        // None that was recorded is made again.
        let recorded = self.recorded_since(lap).await?;
        ensure!(
            recorded == expected.orders,
            "{recorded} orders recorded, not {}",
            expected.orders
        );
        let most = match expected.orders {
            0 => 0,
            orders => orders + lap.lost,
        };
        ensure!(
            made(&log) <= most,
            "{} orders, of {recorded} recorded and {} lost",
            made(&log),
            lap.lost
        );
        let verdict = judge(&log, &Bounds::new(FAST.rate, FAST.burst, Some(FAST.in_flight)));
        ensure!(verdict.violations.is_empty(), "{:?}", verdict.violations);
        let wrong = lap.wrong();
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    /// Fresh processes, and nothing of the run before. The budget's Lease goes only if that is asked for:
    /// where there is none, 15 s are waited for a holder that there may have been.
    async fn clear(&mut self, without_lease: bool) -> Result<()> {
        let at_work = match self.successor {
            Successor::SamePod => 1,
            Successor::Others => self.world.replicas.len(),
        };
        self.injector.record();
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
        self.world.pebble()?.mend_name(&acts::bad_name()).await?;
        for replica in &mut self.world.replicas[..at_work] {
            replica.restart().await?;
        }
        for replica in &self.world.replicas[..at_work] {
            replica.ready().await?;
        }
        Ok(())
    }

    /// Has all that a step asks for been done?
    async fn is_settled(&self, step: Step) -> Result<bool> {
        let client = self.world.cluster.client();
        let certificates: Api<Certificate> = Api::namespaced(client.clone(), "default");
        let present = shards(&self.world).await;
        if step == Step::Delete {
            // As the garbage collector does it.
            let of_shards: Api<CertificateShard> = Api::namespaced(client, "default");
            let (delete, all) = (DeleteParams::default(), ListParams::default());
            of_shards.delete_collection(&delete, &all).await?;
            return Ok(certificates.get_opt("shop").await?.is_none() && present.is_empty());
        }
        if matches!(step, Step::Disown | Step::Break | Step::Mend) {
            return Ok(true);
        }
        if matches!(step, Step::Group(_)) && !acts::collected(&self.world).await? {
            return Ok(false);
        }
        let shop = certificates.get("shop").await?;
        let status = shop.status.clone().unwrap_or_default();
        let is_done = present.iter().all(|shard| {
            let status = shard.status.clone().unwrap_or_default();
            status.order.is_none()
                && status.claim.is_none()
                && status.renewed == shard.spec.renew
                && (step != Step::Renew || status.renewed.is_some())
        });
        let served = status.ready_names.unwrap_or_default() + status.quarantined_names.unwrap_or_default();
        let is_planned = status.plan.is_some_and(|plan| plan.settled);
        Ok(is_ready(&shop) && is_planned && is_done && Some(served) == status.names)
    }

    /// Waits until no slot is held.
    async fn rest(&self) -> Result<()> {
        wait_for("everything to come to rest", RUN, &[], async || {
            Ok(self.rests().await?.then_some(()))
        })
        .await
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

    /// Orders that shards have recorded in this run. One that is retired in it has made none.
    async fn recorded_since(&self, lap: &Lap) -> Result<usize> {
        let before = |uid: &String| lap.recorded.get(uid).copied().unwrap_or_default();
        let recorded = recorded(&self.world).await;
        let since = recorded
            .iter()
            .map(|(uid, orders)| orders.saturating_sub(before(uid)));
        Ok(usize::try_from(since.sum::<u32>())?)
    }

    /// How many orders the CA has made, or may have made, that no shard has recorded.
    ///
    /// # Errors
    /// When an authorization was asked for of an order that is not recorded.
    async fn lost_orders(&self, lap: &Lap) -> Result<usize> {
        let log = wait_for("the dead process's requests to end", RUN, &[], async || {
            let log = self.world.front()?.log().since(lap.start_us);
            let is_over = log.arrivals.iter().all(|arrival| arrival.ended_us.is_some());
            Ok(is_over.then_some(log))
        })
        .await?;
        let recorded = self.recorded_since(lap).await?;
        let kind = RequestKind::Authorization;
        let asked_for = log.arrivals.iter().filter(|arrival| arrival.kind == kind);
        let asked_for: BTreeSet<&str> = asked_for.map(|arrival| arrival.path.as_str()).collect();
        let under_way = asked_for.len().div_ceil(NAMES_A_SHARD as usize);
        ensure!(
            recorded >= under_way,
            "{under_way} orders under way, {recorded} recorded"
        );
        Ok(made(&log).saturating_sub(recorded))
    }
}

/// Orders that were recorded, by the shard's UID.
async fn recorded(world: &World) -> BTreeMap<String, u32> {
    let shards = shards(world).await;
    let recorded = shards.iter().map(|shard| {
        let status = shard.status.as_ref();
        let orders = status.and_then(|status| status.orders).unwrap_or_default();
        (shard.uid().unwrap_or_default(), orders)
    });
    recorded.collect()
}

/// See [`end_state`].
async fn state(world: &World, story: Story) -> Result<Value> {
    let mut state = end_state(&world.cluster.client()).await?;
    if story == Story::TakeOver
        && let Some(shards) = state["shards"].as_object_mut()
    {
        // Who finds a Secret that was taken over already, and not recorded, takes it for one of the account's.
        for shard in shards.values_mut() {
            shard["status"]["issued"]["accountUrl"] = Value::Null;
        }
    }
    Ok(state)
}

/// A user is told of what the API server did.
fn forgive(state: &mut Value) {
    if let Some(warnings) = state["warnings"].as_array_mut() {
        warnings.retain(|warning| warning.as_str() != Some("\"SecretNotWritten\""));
    }
}

/// How many orders the CA has made. One whose answer was cut off counts.
fn made(log: &ArrivalLog) -> usize {
    let is_made = |arrival: &&Arrival| {
        arrival.kind == RequestKind::NewOrder && matches!(arrival.status, None | Some(201))
    };
    log.arrivals.iter().filter(is_made).count()
}
