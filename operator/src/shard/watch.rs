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
use sancho_crds::{CertificateShard, REVOKE_ANNOTATION, condition};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};

use super::aside;
use super::decide::{Need, Surroundings, cost, expiry, need};
use super::drive::{SeenSecret, Stop, drive};
use super::forsaken::Forsaken;
use super::looks::known_labels;
use super::orphans::{self, Remembered};
use super::reform;
use crate::certificate::CertificateKey;
use crate::clock;
use crate::context::Context;
use crate::due::Due;
use crate::found_by;
use crate::issuer::IssuerKey;
use crate::queue::ShardKey;
use crate::responder::challenges;
use crate::secrets::{CERTIFICATE_ANNOTATION, ties};
use crate::watching::Watched;

/// A drive that ended without anything to show is looked at again after this time, unless a watch
/// brings news before.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// What is due is told by the wall clock. A sleep does not notice that this is set, nor goes on while the machine is
/// suspended: so it is never longer than this. Waking costs a look at the clock.
const LONGEST_NAP: Duration = Duration::from_secs(60);
/// One order of a few dozen names keeps about this many requests a second busy, its waits included.
const RATE_PER_ORDER: f64 = 5.0;
/// The fewest and the most orders that one replica drives at once for one CA.
const ORDERS: (usize, usize) = (2, 16);

/// Drives shards until `ending` comes, then lets those under way come to their next stop.
pub async fn run(
    context: Context,
    mut shards: Watched<CertificateShard>,
    mut secrets: Watched<PartialObjectMeta<Secret>>,
    planner: mpsc::UnboundedSender<CertificateKey>,
    reformer: mpsc::UnboundedSender<ShardKey>,
    ending: impl Future<Output = ()>,
) {
    let mut issuers = context.issuers.changes();
    let mut watch = Watch {
        context,
        secrets_known: false,
        planner,
        reformer,
        due: Due::default(),
        drives: JoinSet::new(),
        driven: HashMap::new(),
        claimed: HashSet::new(),
        quotas_are_news: false,
        remembered: Remembered::default(),
        forsaken: Forsaken::default(),
    };
    tokio::pin!(ending);
    loop {
        watch.start_drives();
        let sleep = watch.due.next().map(|at| nap(at, clock::precise()));
        tokio::select! {
            () = &mut ending => break,
            Some(event) = shards.next() => watch.shard_event(event),
            Some(event) = secrets.next() => watch.secret_event(event),
            Some(ended) = watch.drives.join_next_with_id() => match ended {
                Ok((id, outcome)) => watch.drive_ended(id, outcome),
                Err(error) => watch.drive_broke_off(&error),
            },
            Some(swept) = watch.forsaken.ended() => watch.look_at(&swept),
            () = watch.context.budgets.changed() => watch.look_at_claimed(),
            Ok(()) = issuers.changed() => watch.look_at_all(),
            () = tokio::time::sleep(sleep.unwrap_or_default()), if sleep.is_some() => watch.look_at_due(),
        }
    }
    // Each ends when its budget gives the slots up, with its last answer recorded.
    while watch.drives.join_next().await.is_some() {}
}

struct Watch {
    context: Context,
    /// Every Secret that exists was seen once, in all namespaces that are watched.
    secrets_known: bool,
    planner: mpsc::UnboundedSender<CertificateKey>,
    /// Who writes Secrets whose form is not the one that is asked for.
    reformer: mpsc::UnboundedSender<ShardKey>,
    due: Due<Timestamp, ShardKey>,
    drives: JoinSet<Result<(), Stop>>,
    /// Which shard each drive is for.
    driven: HashMap<Id, ShardKey>,
    /// Those that need work and that another replica has claimed. Which of those work, budgets tell.
    claimed: HashSet<ShardKey>,
    /// A listing has shown quotas that were not known.
    quotas_are_news: bool,
    /// What shards leave in DNS if they go away unseen.
    remembered: Remembered,
    /// Those whose records no drive sweeps.
    forsaken: Forsaken,
}

impl Watch {
    fn shard_event(&mut self, event: Event<CertificateShard>) {
        match event {
            Event::Apply(shard) => {
                self.seen(&shard);
                if std::mem::take(&mut self.quotas_are_news) {
                    self.quotas_changed();
                }
            }
            Event::InitApply(shard) => self.seen(&shard),
            Event::Delete(shard) => {
                self.tell_planner(&shard);
                let key = ShardKey::of(&shard);
                if self.context.quotas.forget(&key) {
                    self.quotas_changed();
                }
                self.due.remove(&key);
                self.claimed.remove(&key);
                self.forsaken.forget(&key);
                self.context.challenges.remove(&shard.uid().unwrap_or_default());
                for budget in self.context.budgets.of_cas() {
                    if budget.queue().remove(&key) {
                        budget.queue_changed();
                    }
                }
                let labels = known_labels(&self.context, &shard);
                if let Some(orphans) = self.remembered.delete(shard, labels) {
                    orphans::begin(&self.context, orphans);
                }
            }
            Event::Init => {}
            Event::InitDone => {
                self.forget_unseen();
                if std::mem::take(&mut self.quotas_are_news) {
                    self.quotas_changed();
                }
            }
        }
    }

    fn seen(&mut self, shard: &CertificateShard) {
        self.tell_planner(shard);
        self.quotas_are_news |= self.context.quotas.note(shard);
        let labels = || known_labels(&self.context, shard);
        if let Some(orphans) = self.remembered.note(shard, labels) {
            orphans::begin(&self.context, orphans);
        }
        self.tell_reformer(shard);
        self.look(shard);
    }

    /// Others may be held back now, or held back no longer.
    fn quotas_changed(&mut self) {
        for shard in self.context.seen.shards.each() {
            let waits = shard.status.as_ref().is_none_or(|status| {
                let ready = condition(&status.conditions, "Ready");
                let renewal = status.issued.as_ref().map(|issued| issued.renewal_time.0);
                ready.is_none_or(|ready| ready.status != "True") || renewal <= Some(clock::now())
            });
            if waits {
                self.tell_planner(&shard);
            }
            self.look(&shard);
        }
    }

    /// What went away while a watch was interrupted is not told by an event: it is missing from the new list.
    fn forget_unseen(&mut self) {
        let names = self.context.seen.shards.names().into_iter();
        let keys: HashSet<ShardKey> = names
            .map(|(namespace, name)| ShardKey { namespace, name })
            .collect();
        self.due.retain(|key| keys.contains(key));
        self.claimed.retain(|key| keys.contains(key));
        self.forsaken.retain(|key| keys.contains(key));
        if !self.context.challenges.is_empty() {
            let seen = self.context.seen.shards.each();
            let uids: HashSet<String> = seen.filter_map(|shard| shard.uid()).collect();
            self.context.challenges.retain(|uid| uids.contains(uid));
        }
        self.context.quotas.retain(|key| keys.contains(key));
        for orphans in self.remembered.delete_others(&keys) {
            orphans::begin(&self.context, orphans);
        }
        for budget in self.context.budgets.of_cas() {
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

    fn tell_reformer(&self, shard: &CertificateShard) {
        if reform::is_due(&self.context, shard) {
            // The reformer ends with the process.
            let _ = self.reformer.send(ShardKey::of(shard));
        }
    }

    fn secret_event(&mut self, event: Event<PartialObjectMeta<Secret>>) {
        match event {
            Event::Delete(secret) => self.look_at_shard_of(&secret),
            // What a listing lacks is gone once all namespaces were listed.
            Event::InitDone => {
                self.secrets_known = self.context.seen.secrets.is_ready();
                if self.secrets_known {
                    self.secrets_listed();
                }
            }
            // An annotation may have come or gone.
            Event::Apply(secret) => {
                self.look_at_shard_of(&secret);
                self.tell_planner_of(&secret);
            }
            Event::InitApply(_) | Event::Init => {}
        }
    }

    fn secrets_listed(&mut self) {
        for shard in self.context.seen.shards.each() {
            self.look(&shard);
            self.tell_reformer(&shard);
            let namespace = shard.namespace().unwrap_or_default();
            let reference = ObjectRef::new_with(&shard.spec.secret_name, ()).within(&namespace);
            let secret = self.context.seen.secrets.get(&reference);
            if secret.is_some_and(|secret| !ties::is_as_wanted(&secret, &shard)) {
                self.tell_planner(&shard);
            }
        }
    }

    fn look_at_shard_of(&mut self, secret: &PartialObjectMeta<Secret>) {
        let key = found_by::of_secret(secret, &secret.name_any());
        for shard in self.context.seen.shards.find(&key) {
            self.look(&shard);
            self.tell_reformer(&shard);
        }
    }

    /// A Secret that is not deleted with its shard as its Certificate says is the planner's to mend.
    fn tell_planner_of(&self, secret: &PartialObjectMeta<Secret>) {
        let key = found_by::of_secret(secret, &secret.name_any());
        for shard in self.context.seen.shards.find(&key) {
            if !ties::is_as_wanted(secret, &shard) {
                self.tell_planner(&shard);
            }
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
        for budget in self.context.budgets.of_cas() {
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
            Err(stop @ (Stop::Record(_) | Stop::Api(_) | Stop::Secret(_))) => {
                tracing::info!(shard = %key, %stop, "left in the middle");
                self.context.metrics.reconcile_error("CertificateShard");
                self.due.set(key, later);
            }
        }
    }

    /// Whether a replica that has claimed one still holds slots may have changed.
    fn look_at_claimed(&mut self) {
        let keys: Vec<ShardKey> = self.claimed.iter().cloned().collect();
        for key in keys {
            self.look_at(&key);
        }
    }

    fn look_at_all(&mut self) {
        for shard in self.context.seen.shards.each() {
            self.look(&shard);
        }
    }

    fn look_at_due(&mut self) {
        // All at first: one that is due again at once is not to keep the others waiting.
        let now = clock::precise();
        let due: Vec<ShardKey> = std::iter::from_fn(|| self.due.take(now)).collect();
        for key in due {
            let reference = ObjectRef::new(&key.name).within(&key.namespace);
            if let Some(shard) = self.context.seen.shards.get(&reference) {
                // A wait is over that its Certificate may speak of.
                self.tell_planner(&shard);
                self.look(&shard);
            }
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
        let seen = &self.context.seen;
        challenges::serve(
            shard,
            &seen.issuers,
            &seen.cluster_issuers,
            &self.context.challenges,
        );
        let key = ShardKey::of(shard);
        let issuer_key = IssuerKey::of(&shard.spec.issuer_ref, &key.namespace);
        let ready = self.context.issuers.get(&issuer_key);
        let (needed, budget) = match &ready {
            None => {
                // The end of a drive is followed by another look.
                let is_driven = self.driven.values().any(|driven| *driven == key);
                let until = match is_driven {
                    true => None,
                    false => self.forsaken.look(&self.context, shard),
                };
                (Need::Nothing { until }, None)
            }
            Some(issuer) => {
                self.forsaken.forget(&key);
                let holders = issuer.budget.view().borrow().holders.clone();
                let secret = self.secret(shard);
                let around = Surroundings {
                    server: &issuer.server,
                    me: &self.context.replica,
                    holders: &holders,
                    secret_gone: secret.gone,
                    revoke: secret.revoke.as_deref(),
                    lacks_renewal_info: issuer.session.lacks_renewal_info(),
                    terms: &issuer.terms,
                    quotas: &self.context.quotas,
                    account: issuer.session.kid(),
                    now: clock::now(),
                };
                (need(shard, &around), Some(issuer.budget.clone()))
            }
        };
        for other in self.context.budgets.of_cas() {
            let is_its = budget
                .as_ref()
                .is_some_and(|budget| budget.origin() == other.origin());
            let changed = match (&needed, is_its) {
                (Need::Work(priority), true) => {
                    let work = aside::work(shard, *priority);
                    other
                        .queue()
                        .put(&key, work, expiry(shard), cost(shard, *priority))
                }
                (Need::Work(_) | Need::Nothing { .. } | Need::Claimed, _) => other.queue().remove(&key),
            };
            if changed {
                other.queue_changed();
            }
        }
        let is_claimed = !matches!(needed, Need::Nothing { .. }) && self.is_of_another(shard);
        match is_claimed {
            true => _ = self.claimed.insert(key.clone()),
            false => _ = self.claimed.remove(&key),
        }
        match needed {
            Need::Nothing { until: Some(until) } => self.due.set(&key, until),
            Need::Nothing { until: None } | Need::Work(_) | Need::Claimed => self.due.remove(&key),
        }
    }

    /// Has another replica claimed it?
    fn is_of_another(&self, shard: &CertificateShard) -> bool {
        let claim = shard.status.as_ref().and_then(|status| status.claim.as_ref());
        claim.is_some_and(|claim| claim.holder != self.context.replica)
    }

    /// What the watch shows of the shard's Secret.
    fn secret(&self, shard: &CertificateShard) -> SeenSecret {
        let namespace = shard.namespace().unwrap_or_default();
        let reference =
            ObjectRef::<PartialObjectMeta<Secret>>::new_with(&shard.spec.secret_name, ()).within(&namespace);
        match self.context.seen.secrets.get(&reference) {
            Some(secret) => SeenSecret {
                gone: false,
                revoke: Some(&secret)
                    .filter(|secret| {
                        secret.annotations().get(CERTIFICATE_ANNOTATION) == Some(&shard.spec.certificate)
                    })
                    .and_then(|secret| secret.annotations().get(REVOKE_ANNOTATION).cloned()),
            },
            None => SeenSecret {
                gone: self.secrets_known,
                revoke: None,
            },
        }
    }

    /// As many drives as the held slots can use.
    fn start_drives(&mut self) {
        for budget in self.context.budgets.of_cas() {
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
                let secret = self.secret(&shard);
                let driven = key.clone();
                let started = self
                    .drives
                    .spawn(async move { drive(&context, &issuer, &driven, secret).await });
                self.driven.insert(started.id(), key);
            }
            if changed {
                budget.queue_changed();
            }
        }
    }
}

/// How long may be slept until what is due at `at`: see [`LONGEST_NAP`].
fn nap(at: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    left.min(LONGEST_NAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_looked_at_every_minute_however_far_away_the_next_renewal_is() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let naps = [30, 59, 60, 61, 60 * 24 * 3600].map(|left| nap(at(left), at(0)).as_secs());
        assert_eq!(naps, [30, 59, 60, 60, 60]);
        // The clock was set, or the machine slept, while it was waited for.
        assert_eq!(nap(at(10), at(3600)), Duration::ZERO);
    }
}
