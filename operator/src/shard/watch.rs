//! Looks at every shard whenever something about it may have changed, keeps the queues filled, and
//! starts a drive for as many as the held slots can use.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use sancho_core::challenge::{Token, key_authorization};
use sancho_crds::{CertificateShard, IssuerKind};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};

use super::decide::{Need, Surroundings, need, requests};
use super::drive::{Stop, drive};
use crate::certificate::CertificateKey;
use crate::clock;
use crate::context::Context;
use crate::due::Due;
use crate::issuer::IssuerKey;
use crate::queue::ShardKey;
use crate::responder::Challenge;
use crate::watching::{Seen, Watched};

/// A drive that ended without anything to show is looked at again after this time, unless a watch
/// brings news before.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// One order of a few dozen names keeps about this many requests a second busy, its waits included.
const RATE_PER_ORDER: f64 = 5.0;
/// The fewest and the most orders that one replica drives at once for one CA.
const ORDERS: (usize, usize) = (2, 16);

/// Drives shards until `ending` comes, then lets those under way come to their next stop.
pub async fn run(
    context: Context,
    mut shards: Watched<CertificateShard>,
    mut secrets: Watched<PartialObjectMeta<Secret>>,
    secrets_seen: Seen<PartialObjectMeta<Secret>>,
    planner: mpsc::UnboundedSender<CertificateKey>,
    ending: impl Future<Output = ()>,
) {
    let mut issuers = context.issuers.changes();
    let secrets_known = {
        let seen = secrets_seen.clone();
        async move { seen.ready().await }
    };
    let mut watch = Watch {
        context,
        secrets_seen,
        secrets_known: false,
        planner,
        due: Due::default(),
        drives: JoinSet::new(),
        driven: HashMap::new(),
    };
    tokio::pin!(ending, secrets_known);
    loop {
        watch.start_drives();
        let sleep = watch.due.next().map(|at| until(at, Timestamp::now()));
        tokio::select! {
            () = &mut ending => break,
            Some(event) = shards.next() => watch.shard_event(event),
            Some(event) = secrets.next() => watch.secret_event(event),
            () = &mut secrets_known, if !watch.secrets_known => {
                watch.secrets_known = true;
                watch.look_at_all();
            }
            Some(ended) = watch.drives.join_next_with_id() => match ended {
                Ok((id, outcome)) => watch.drive_ended(id, outcome),
                Err(error) => watch.drive_broke_off(&error),
            },
            () = watch.context.budgets.changed() => watch.look_at_all(),
            Ok(()) = issuers.changed() => watch.look_at_all(),
            () = tokio::time::sleep(sleep.unwrap_or_default()), if sleep.is_some() => watch.look_at_due(),
        }
    }
    // Each ends when its budget gives the slots up, with its last answer recorded.
    while watch.drives.join_next().await.is_some() {}
}

struct Watch {
    context: Context,
    secrets_seen: Seen<PartialObjectMeta<Secret>>,
    /// Every Secret that exists was seen once, in all namespaces that are watched.
    secrets_known: bool,
    planner: mpsc::UnboundedSender<CertificateKey>,
    due: Due<Timestamp, ShardKey>,
    drives: JoinSet<Result<(), Stop>>,
    /// Which shard each drive is for.
    driven: HashMap<Id, ShardKey>,
}

impl Watch {
    fn shard_event(&mut self, event: Event<CertificateShard>) {
        match event {
            Event::Apply(shard) | Event::InitApply(shard) => {
                self.tell_planner(&shard);
                self.look(&shard);
            }
            Event::Delete(shard) => {
                self.tell_planner(&shard);
                let key = ShardKey::of(&shard);
                self.due.remove(&key);
                self.context.challenges.remove(&shard.uid().unwrap_or_default());
                for budget in self.context.budgets.all() {
                    if budget.queue().remove(&key) {
                        budget.queue_changed();
                    }
                }
            }
            Event::Init => {}
            Event::InitDone => {
                self.forget_unseen();
                self.look_at_all();
            }
        }
    }

    /// What went away while a watch was interrupted is not told by an event: it is missing from the new list.
    fn forget_unseen(&mut self) {
        let seen = self.context.seen.shards.state();
        let keys: HashSet<ShardKey> = seen.iter().map(|shard| ShardKey::of(shard)).collect();
        let uids: HashSet<String> = seen.iter().filter_map(|shard| shard.uid()).collect();
        self.due.retain(|key| keys.contains(key));
        self.context.challenges.retain(|uid| uids.contains(uid));
        for budget in self.context.budgets.all() {
            if budget.queue().retain(|key| keys.contains(key)) {
                budget.queue_changed();
            }
        }
    }

    fn tell_planner(&self, shard: &CertificateShard) {
        let namespace = shard.namespace().unwrap_or_default();
        let certificate = CertificateKey {
            namespace,
            name: shard.spec.certificate.clone(),
        };
        // The planner ends with the process.
        let _ = self.planner.send(certificate);
    }

    fn secret_event(&mut self, event: Event<PartialObjectMeta<Secret>>) {
        match event {
            Event::Delete(secret) => {
                let (namespace, name) = (secret.namespace(), secret.name_any());
                let shards = self.context.seen.shards.state();
                let of_it = |shard: &&std::sync::Arc<CertificateShard>| {
                    shard.namespace() == namespace && shard.spec.secret_name == name
                };
                for shard in shards.iter().filter(of_it) {
                    self.look(shard);
                }
            }
            Event::InitDone => self.look_at_all(),
            Event::Apply(_) | Event::InitApply(_) | Event::Init => {}
        }
    }

    /// A drive that panicked is a defect; its shard is taken up again all the same.
    fn drive_broke_off(&mut self, error: &JoinError) {
        tracing::error!(%error, "a drive broke off");
        self.drive_ended(error.id(), Err(Stop::Nothing));
    }

    fn drive_ended(&mut self, id: Id, outcome: Result<(), Stop>) {
        let Some(key) = self.driven.remove(&id) else {
            return;
        };
        let key = &key;
        for budget in self.context.budgets.all() {
            budget.queue().done(key);
            budget.queue_changed();
        }
        let later = clock::now().saturating_add(LOOK_AGAIN).unwrap_or(Timestamp::MAX);
        match outcome {
            Ok(()) => self.look_at(key),
            Err(Stop::SlotsLost) => {
                tracing::debug!(shard = %key, "left in the middle: no slot is held any more");
                self.look_at(key);
            }
            Err(Stop::Nothing) => self.due.set(key, later),
            Err(stop @ (Stop::Record(_) | Stop::Api(_))) => {
                tracing::info!(shard = %key, %stop, "left in the middle");
                self.due.set(key, later);
            }
        }
    }

    fn look_at_all(&mut self) {
        for shard in self.context.seen.shards.state() {
            self.look(&shard);
        }
    }

    fn look_at_due(&mut self) {
        while let Some(key) = self.due.take(Timestamp::now()) {
            self.look_at(&key);
        }
    }

    fn look_at(&mut self, key: &ShardKey) {
        let reference = ObjectRef::new(&key.name).within(&key.namespace);
        if let Some(shard) = self.context.seen.shards.get(&reference) {
            self.look(&shard);
        }
    }

    /// What does it need? Into the queue with it, out of the queue, or on the list of what is due.
    fn look(&mut self, shard: &CertificateShard) {
        self.serve_challenges(shard);
        let key = ShardKey::of(shard);
        let issuer_key = IssuerKey::of(&shard.spec.issuer_ref, &key.namespace);
        let ready = self.context.issuers.get(&issuer_key);
        let (needed, budget) = match &ready {
            None => (Need::Nothing { until: None }, None),
            Some(issuer) => {
                let holders = issuer.budget.view().borrow().holders.clone();
                let around = Surroundings {
                    server: &issuer.server,
                    me: &self.context.replica,
                    holders: &holders,
                    secret_gone: self.secret_gone(shard),
                    now: clock::now(),
                };
                (need(shard, &around), Some(issuer.budget.clone()))
            }
        };
        for other in self.context.budgets.all() {
            let is_its = budget
                .as_ref()
                .is_some_and(|budget| budget.origin() == other.origin());
            let changed = match (&needed, is_its) {
                (Need::Work(priority), true) => other.queue().put(&key, *priority, requests(shard)),
                (Need::Work(_) | Need::Nothing { .. } | Need::Claimed, _) => other.queue().remove(&key),
            };
            if changed {
                other.queue_changed();
            }
        }
        match needed {
            Need::Nothing { until: Some(until) } => self.due.set(&key, until),
            Need::Nothing { until: None } | Need::Work(_) | Need::Claimed => self.due.remove(&key),
        }
    }

    /// A Secret that the watch does not show although it was written.
    fn secret_gone(&self, shard: &CertificateShard) -> bool {
        let namespace = shard.namespace().unwrap_or_default();
        let reference =
            ObjectRef::<PartialObjectMeta<Secret>>::new_with(&shard.spec.secret_name, ()).within(&namespace);
        self.secrets_known && self.secrets_seen.get(&reference).is_none()
    }

    /// The responder answers what the recorded order has handed out, and nothing else.
    fn serve_challenges(&self, shard: &CertificateShard) {
        let uid = shard.uid().unwrap_or_default();
        let order = shard.status.as_ref().and_then(|status| status.order.as_ref());
        let thumbprint = order.and_then(|_| self.thumbprint(shard));
        let (Some(order), Some(thumbprint)) = (order, thumbprint) else {
            return self.context.challenges.remove(&uid);
        };
        let challenges = order.authorizations.iter().filter_map(|authorization| {
            let host = authorization
                .name
                .as_ref()
                .filter(|name| shard.spec.dns_names.contains(name))?;
            let token = Token::parse(authorization.token.as_deref()?).ok()?;
            let key_authorization = key_authorization(&token, &thumbprint);
            Some(Challenge {
                host: host.clone(),
                token,
                key_authorization,
            })
        });
        self.context.challenges.set(&uid, challenges.collect());
    }

    /// The account key's thumbprint, as the issuer publishes it.
    fn thumbprint(&self, shard: &CertificateShard) -> Option<String> {
        let reference = &shard.spec.issuer_ref;
        let seen = &self.context.seen;
        match reference.kind() {
            IssuerKind::Issuer => {
                let namespace = shard.namespace()?;
                let issuer = seen
                    .issuers
                    .get(&ObjectRef::new(&reference.name).within(&namespace))?;
                issuer.status.as_ref()?.thumbprint.clone()
            }
            IssuerKind::ClusterIssuer => {
                let issuer = seen.cluster_issuers.get(&ObjectRef::new(&reference.name))?;
                issuer.status.as_ref()?.thumbprint.clone()
            }
        }
    }

    /// As many drives as the held slots can use.
    fn start_drives(&mut self) {
        for budget in self.context.budgets.all() {
            let view = budget.view().borrow().clone();
            // A float that is neither negative nor large.
            let useful = (view.rate_held / RATE_PER_ORDER).ceil() as usize;
            let most = if view.held == 0 {
                0
            } else {
                useful.clamp(ORDERS.0, ORDERS.1)
            };
            let mut changed = false;
            while let Some(key) = budget.queue().take(most) {
                changed = true;
                let reference = ObjectRef::new(&key.name).within(&key.namespace);
                let shard = self.context.seen.shards.get(&reference);
                let issuer = shard.as_ref().and_then(|shard| {
                    self.context
                        .issuers
                        .get(&IssuerKey::of(&shard.spec.issuer_ref, &key.namespace))
                });
                let (Some(shard), Some(issuer)) = (shard, issuer) else {
                    budget.queue().done(&key);
                    continue;
                };
                let context = self.context.clone();
                // Requests that wait for their permits take turns by namespace too.
                let issuer = issuer.for_tenant(&key.namespace);
                let gone = self.secret_gone(&shard);
                let driven = key.clone();
                let started = self
                    .drives
                    .spawn(async move { drive(&context, &issuer, &driven, gone).await });
                self.driven.insert(started.id(), key);
            }
            if changed {
                budget.queue_changed();
            }
        }
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}
