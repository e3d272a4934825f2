//! Looks at a Certificate whenever it, a shard of it or its issuer may have changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::PostParams;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use sancho_crds::{
    Acme, Allowed, Certificate, CertificateShard, CertificateStatus, IssuerKind, IssuerStatus, condition,
};
use sancho_limiter::Cost;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::CertificateKey;
use super::cap::{IssuerCap, told};
use super::commit::{Committed, PATIENCE, commit, is_as_planned};
use super::hand_over::{self, Today, has_secret};
use super::summary::{BudgetWait, IssuerState, refused, summary};
use super::wanted::{Refused, Wanted, assignment, clash, is_owned, not_allowed, wanted};
use super::{revoked, tie};
use crate::clock;
use crate::context::{Context, full_name};
use crate::due::Due;
use crate::found_by;
use crate::issuer::allowed::NOT_ALLOWED;
use crate::issuer::{IssuerKey, name_caps};
use crate::queue::ShardKey;
use crate::shard::decide::cost_under_way;
use crate::shard::revocation;
use crate::watching::Watched;

/// Shards change many times a second; their sum is made at most this often.
const GATHER: Duration = Duration::from_millis(500);
/// Edits that come within this time of one another are planned together.
const EDITS_TOGETHER: Duration = Duration::from_secs(2);
/// A replica that did not plan a Certificate leaves its status to the one that did for this long.
const COURTESY: Duration = Duration::from_secs(4);
/// After an error of the API server, or when somebody else was faster.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a Certificate still waits is estimated anew after this time.
const ESTIMATE_AGAIN: Duration = Duration::from_secs(60);
/// So many Certificates are looked at at once.
const MOST_AT_ONCE: usize = 8;

/// Plans Certificates and adds their shards up until `ending` comes.
pub async fn run(
    context: Context,
    mut certificates: Watched<Certificate>,
    mut nudges: mpsc::UnboundedReceiver<CertificateKey>,
    ending: impl Future<Output = ()>,
) {
    let mut issuers = context.issuers.changes();
    let mut due: Due<Instant, CertificateKey> = Due::default();
    let mut running: HashSet<CertificateKey> = HashSet::new();
    let mut looks: JoinSet<(CertificateKey, Memory, Option<Duration>)> = JoinSet::new();
    let mut memories: HashMap<CertificateKey, Memory> = HashMap::new();
    let (shards, secrets) = (context.seen.shards.clone(), context.seen.secrets.clone());
    let all_seen = async move {
        shards.ready().await;
        secrets.ready().await;
    };
    // Before, a look would find Certificates without what is theirs, and all would be looked at again.
    let mut is_ready = false;
    // What is new or edited comes before what is looked at again.
    let first = Instant::now();
    tokio::pin!(ending, all_seen);
    loop {
        while is_ready
            && running.len() < MOST_AT_ONCE
            && let Some(key) = due.take(Instant::now())
        {
            if running.contains(&key) {
                due.set(&key, Instant::now() + GATHER);
                break;
            }
            running.insert(key.clone());
            let memory = memories.remove(&key).unwrap_or_default();
            let context = context.clone();
            looks.spawn(async move {
                let mut memory = memory;
                let next = look(&context, &key, &mut memory).await;
                (key, memory, next)
            });
        }
        let next = due.next().filter(|_| is_ready && running.len() < MOST_AT_ONCE);
        tokio::select! {
            () = &mut ending => return,
            () = &mut all_seen, if !is_ready => is_ready = true,
            Some(event) = certificates.next() => match event {
                Event::Apply(certificate) => {
                    let key = key_of(&certificate);
                    let known = memories.get(&key).and_then(|memory| memory.generation);
                    let is_as_known = known.map(|(generation, _)| generation) == certificate.metadata.generation;
                    due.set_latest(&key, if is_as_known { Instant::now() } else { first });
                }
                // What a listing lacks is gone only once it is complete.
                Event::InitDone => {
                    for key in all(&context) {
                        due.set_latest(&key, Instant::now());
                    }
                }
                Event::Delete(certificate) => {
                    let key = key_of(&certificate);
                    due.remove(&key);
                    memories.remove(&key);
                }
                Event::Init | Event::InitApply(_) => {}
            },
            Some(key) = nudges.recv() => due.set_latest(&key, Instant::now() + GATHER),
            Ok(()) = issuers.changed() => {
                for key in all(&context) {
                    due.set_latest(&key, Instant::now() + GATHER);
                }
            }
            Some(ended) = looks.join_next() => match ended {
                Ok((key, memory, next)) => {
                    running.remove(&key);
                    memories.insert(key.clone(), memory);
                    if let Some(wait) = next {
                        due.set_latest(&key, Instant::now() + wait);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a look at a Certificate broke off");
                    return;
                }
            },
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

fn all(context: &Context) -> impl Iterator<Item = CertificateKey> {
    let names = context.seen.certificates.names().into_iter();
    names.map(|(namespace, name)| CertificateKey { namespace, name })
}

fn key_of(certificate: &Certificate) -> CertificateKey {
    CertificateKey {
        namespace: certificate.namespace().unwrap_or_default(),
        name: certificate.name_any(),
    }
}

/// What a replica remembers of a Certificate between looks, by its own clock.
#[derive(Default)]
struct Memory {
    /// The generation seen last, and since when.
    generation: Option<(i64, Instant)>,
    /// Another planner's unsettled plan, and since when it has been seen so.
    busy: Option<(sancho_crds::PlanStatus, Instant)>,
    /// This replica says how long the Certificate waits for the budget.
    speaks: bool,
    /// The version whose status is to be replaced, and since when.
    outdated_since: Option<(Option<String>, Instant)>,
}

/// One look. Returns when to come back, if no event does before.
async fn look(context: &Context, key: &CertificateKey, memory: &mut Memory) -> Option<Duration> {
    let reference = ObjectRef::new(&key.name).within(&key.namespace);
    let certificate = context.seen.certificates.get(&reference)?;
    if certificate.metadata.deletion_timestamp.is_some() {
        return None;
    }
    match reconcile(context, &certificate, memory).await {
        Ok(next) => next,
        Err(error) => {
            tracing::warn!(certificate = full_name(certificate.as_ref()), %error, "looked at again later");
            context.metrics.reconcile_error("Certificate");
            Some(AGAIN)
        }
    }
}

async fn reconcile(
    context: &Context,
    certificate: &Certificate,
    memory: &mut Memory,
) -> Result<Option<Duration>, kube::Error> {
    let own = owned(context, certificate);
    let own: Vec<&CertificateShard> = own.iter().map(AsRef::as_ref).collect();
    let (issuer, cap, allowed) = issuer_state(context, certificate);
    if let Some(message) = not_allowed(certificate, allowed.as_ref()) {
        let no = Refused {
            reason: NOT_ALLOWED,
            message,
        };
        let status = refused(certificate, &no, clock::now());
        return write_status(context, certificate, status, memory).await;
    }
    let Some(cap) = with_what_was_told(context, certificate, &own, &issuer, cap).await? else {
        return Ok(Some(AGAIN));
    };
    let plan = certificate.status.as_ref().and_then(|status| status.plan.clone());
    if matches!(issuer, IssuerState::Missing { .. }) && plan.is_none() {
        let wait = BudgetWait::Is(None);
        let status = summary(certificate, None, &own, &issuer, &|_, _| None, wait, clock::now());
        return write_status(context, certificate, status, memory).await;
    }
    let planned = match wanted(certificate, cap, &assignment(own.iter().copied())) {
        Ok(planned) => planned,
        Err(no) => {
            return write_status(
                context,
                certificate,
                refused(certificate, &no, clock::now()),
                memory,
            )
            .await;
        }
    };
    if let Some(no) = clash_with_seen(context, certificate, &planned, &own) {
        write_status(
            context,
            certificate,
            refused(certificate, &no, clock::now()),
            memory,
        )
        .await?;
        // The other one may go away without a word to this one.
        return Ok(Some(PATIENCE));
    }
    let today = Today {
        shards: own.clone(),
        // Who loses names differs from its plan anyway.
        certified: HashMap::new(),
        has_secret: &|shard| has_secret(context, shard),
        server: issuer.server(),
        most_names: cap.with(None),
        now: clock::now(),
    };
    let planned = hand_over::with_kept(planned, &today);
    let generation = certificate.metadata.generation.unwrap_or_default();
    let is_settled = plan
        .as_ref()
        .is_some_and(|plan| plan.settled && plan.generation == generation && plan.hash == planned.hash);
    if is_settled && is_as_planned(&planned, &own) {
        let now = clock::now();
        let wait = budget_wait(context, certificate, &own);
        memory.speaks = matches!(wait, BudgetWait::Is(Some(_)));
        let account = account(context, certificate);
        let holding_back = |names: &[String], is_renewal: bool| {
            let account = account.as_deref()?;
            context.quotas.holding_back(account, names, is_renewal, now)
        };
        let mut status = summary(
            certificate,
            plan.as_ref(),
            &own,
            &issuer,
            &holding_back,
            wait,
            now,
        );
        let sharding = certificate.spec.sharding.as_ref();
        status.max_names = Some(cap.with(sharding.and_then(|sharding| sharding.max_names)));
        let is_ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
        // No event comes when a certificate expires.
        let expiry = status
            .not_after
            .as_ref()
            .and_then(|at| Duration::try_from(at.0.duration_since(now)).ok());
        let again = write_status(context, certificate, status, memory).await?;
        revoked::withdraw(context, certificate, &own).await?;
        if !tie::secrets(context, &own).await? {
            return Ok(Some(AGAIN));
        }
        let estimate = (!is_ready).then_some(ESTIMATE_AGAIN);
        let renewal = hand_over::next_look(&own, now);
        return Ok([again, expiry, estimate, renewal].into_iter().flatten().min());
    }
    let head_start = context.head_start(certificate.metadata.uid.as_deref().unwrap_or_default());
    if let Some(wait) = wait_for_more_edits(memory, generation, plan.is_some(), head_start) {
        return Ok(Some(wait));
    }
    let patient = memory
        .busy
        .as_ref()
        .is_none_or(|(_, since)| since.elapsed() < PATIENCE);
    match commit(context, certificate, cap, issuer.server(), patient).await? {
        Committed::Settled(certificate) => {
            memory.busy = None;
            tracing::debug!(
                certificate = full_name(certificate.as_ref()),
                "the plan is settled"
            );
            Ok(Some(GATHER))
        }
        Committed::Busy(plan) => {
            if memory.busy.as_ref().is_none_or(|(seen, _)| *seen != plan) {
                memory.busy = Some((plan, Instant::now()));
            }
            Ok(Some(AGAIN))
        }
        Committed::Refused(no) => {
            write_status(
                context,
                certificate,
                refused(certificate, &no, clock::now()),
                memory,
            )
            .await
        }
        Committed::Again => Ok(Some(AGAIN)),
    }
}

/// How long the budget takes to come to the last of these shards. Said by the first of those replicas
/// that hold slots, or by the planner while nobody does.
fn budget_wait(context: &Context, certificate: &Certificate, own: &[&CertificateShard]) -> BudgetWait {
    let namespace = certificate.namespace().unwrap_or_default();
    let key = IssuerKey::of(&certificate.spec.issuer_ref, &namespace);
    let Some(issuer) = context.issuers.get(&key) else {
        return BudgetWait::Is(None);
    };
    let keys: Vec<ShardKey> = own.iter().map(|shard| ShardKey::of(shard)).collect();
    let view = issuer.budget.view().borrow().clone();
    let queued = issuer.budget.queue().until_last(&keys);
    let own_under_way = cost_under_way(own.iter().copied(), &view.holders);
    if queued.is_none() && own_under_way == Cost::default() {
        return BudgetWait::Is(None);
    }
    // What is driven already, by whatever replica, comes before what waits, and beside what is driven.
    let shards: Vec<_> = view
        .holders
        .iter()
        .flat_map(|holder| context.seen.shards.find(&found_by::driven_by(holder)))
        .collect();
    let of_budget = shards
        .iter()
        .map(AsRef::as_ref)
        .filter(|shard: &&CertificateShard| {
            let namespace = shard.namespace().unwrap_or_default();
            let key = IssuerKey::of(&shard.spec.issuer_ref, &namespace);
            let other = context.issuers.get(&key);
            other.is_some_and(|other| other.budget.origin() == issuer.budget.origin())
        });
    let mut cost = queued.unwrap_or_default() + cost_under_way(of_budget, &view.holders);
    if queued.is_none() && own_under_way.new_orders == 0 {
        // Others wait for newOrder; its own orders are made.
        cost.new_orders = 0;
    }
    let speaks = match view.holders.first() {
        Some(holder) => *holder == context.replica,
        None => is_planner(context, certificate.status.as_ref()),
    };
    if !speaks {
        return BudgetWait::SaidByAnother;
    }
    BudgetWait::Is(Some(issuer.budget.estimate(cost)))
}

/// The account that its issuer has, if that is ready.
fn account(context: &Context, certificate: &Certificate) -> Option<String> {
    let namespace = certificate.namespace().unwrap_or_default();
    let key = IssuerKey::of(&certificate.spec.issuer_ref, &namespace);
    Some(context.issuers.get(&key)?.session.kid().to_owned())
}

/// Did this replica, or an earlier process of this pod, plan it last?
fn is_planner(context: &Context, status: Option<&CertificateStatus>) -> bool {
    status
        .and_then(|status| status.plan.as_ref())
        .is_none_or(|plan| context.is_own(&plan.planner))
}

/// How much longer to wait before planning, if at all: for further edits, and for a replica that has the head start.
fn wait_for_more_edits(
    memory: &mut Memory,
    generation: i64,
    is_planned: bool,
    head_start: Duration,
) -> Option<Duration> {
    let edits = if is_planned {
        EDITS_TOGETHER
    } else {
        Duration::ZERO
    };
    let since = match memory.generation {
        Some((seen, since)) if seen == generation => since,
        _ => {
            let now = Instant::now();
            memory.generation = Some((generation, now));
            now
        }
    };
    let left = (edits + head_start).checked_sub(since.elapsed())?;
    (!left.is_zero()).then_some(left)
}

/// The shards of a Certificate, as far as this replica has seen them.
fn owned(context: &Context, certificate: &Certificate) -> Vec<Arc<CertificateShard>> {
    let uid = certificate.metadata.uid.as_deref().unwrap_or_default();
    let mut own = context.seen.shards.find(&found_by::owned_by(uid));
    own.retain(|shard| is_owned(shard, certificate));
    // In an order that does not change from look to look.
    own.sort_by_key(|shard| shard.name_any());
    own
}

/// [`clash`] with what this replica has seen. `own`: its shards.
fn clash_with_seen(
    context: &Context,
    certificate: &Certificate,
    planned: &Wanted,
    own: &[&CertificateShard],
) -> Option<Refused> {
    let seen = &context.seen;
    let keys: Vec<String> = planned
        .shards
        .iter()
        .map(|(_, spec)| found_by::of_secret(certificate, &spec.secret_name))
        .collect();
    let shards = seen.shards.find_others(&keys, own);
    let claiming = seen.certificates.find_others(&keys, &[certificate]);
    let owners = shards.iter().flat_map(|shard| {
        let namespace = shard.namespace().unwrap_or_default();
        let owners = shard.owner_references().iter();
        owners.filter_map(move |owner| {
            let owner = ObjectRef::new(&owner.name).within(&namespace);
            seen.certificates.get(&owner)
        })
    });
    let others: Vec<_> = claiming.into_iter().chain(owners).collect();
    let shards: Vec<&CertificateShard> = own
        .iter()
        .copied()
        .chain(shards.iter().map(AsRef::as_ref))
        .collect();
    clash(certificate, planned, others.iter().map(AsRef::as_ref), &shards)
}

/// Writes a status that says something new. The replica that planned the Certificate does so at
/// once, and so does the one that knows how long it waits; the others only if nobody else does.
async fn write_status(
    context: &Context,
    certificate: &Certificate,
    status: CertificateStatus,
    memory: &mut Memory,
) -> Result<Option<Duration>, kube::Error> {
    if certificate.status.as_ref() == Some(&status) {
        memory.outdated_since = None;
        return Ok(None);
    }
    let is_ours = memory.speaks || is_planner(context, Some(&status));
    let version = certificate.resource_version();
    let since = match &memory.outdated_since {
        Some((seen, since)) if *seen == version => *since,
        _ => {
            let now = Instant::now();
            memory.outdated_since = Some((version, now));
            now
        }
    };
    if !is_ours && since.elapsed() < COURTESY {
        return Ok(Some(COURTESY));
    }
    let invalid = revoked::news(certificate.status.as_ref(), &status);
    let was = ready_words(certificate.status.as_ref());
    let is = ready_words(Some(&status));
    let wanted = Certificate {
        status: Some(status),
        ..certificate.clone()
    };
    let api = context.certificates(&certificate.namespace().unwrap_or_default());
    match api
        .replace_status(&certificate.name_any(), &PostParams::default(), &wanted)
        .await
    {
        Ok(written) => {
            memory.outdated_since = None;
            // The counts in the message change all the time; another reason is news.
            let is_news = |(status, reason, _): &(String, String, String)| {
                was.as_ref()
                    .is_none_or(|(old, old_reason, _)| (old, old_reason) != (status, reason))
            };
            if let Some(message) = invalid {
                let events = &context.events;
                events
                    .warning(&written, revocation::INVALID_REASON, "Revoke", message)
                    .await;
            }
            if let Some((status, reason, message)) = is.filter(is_news) {
                tell(context, &written, &status, &reason, message).await;
            }
            Ok(None)
        }
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(Some(AGAIN)),
        Err(error) => Err(error),
    }
}

fn ready_words(status: Option<&CertificateStatus>) -> Option<(String, String, String)> {
    let ready = condition(&status?.conditions, "Ready")?;
    Some((ready.status.clone(), ready.reason.clone(), ready.message.clone()))
}

async fn tell(context: &Context, certificate: &Certificate, status: &str, reason: &str, message: String) {
    let events = &context.events;
    match (status, reason) {
        ("True", _) => events.normal(certificate, "Ready", "Issue", message).await,
        (_, "Issuing" | "Planning" | "IssuerPending") => {}
        _ => events.warning(certificate, reason, "Issue", message).await,
    }
}

/// `cap` with what the CA has told one of the Certificate's shards about it, which its issuer says by then. Nothing
/// comes back if somebody else wrote the issuer in between.
async fn with_what_was_told(
    context: &Context,
    certificate: &Certificate,
    own: &[&CertificateShard],
    issuer: &IssuerState,
    cap: IssuerCap,
) -> Result<Option<IssuerCap>, kube::Error> {
    let Some((most, failure)) = issuer.server().and_then(|server| told(own, server)) else {
        return Ok(Some(cap));
    };
    if cap.learned.is_some_and(|learned| learned <= most) {
        return Ok(Some(cap));
    }
    let key = IssuerKey::of(
        &certificate.spec.issuer_ref,
        &certificate.namespace().unwrap_or_default(),
    );
    let profile = match context.issuers.get(&key) {
        Some(ready) => certificate.spec.profile.clone().or(ready.terms.profile),
        None => return Ok(None),
    };
    let is_kept = name_caps::keep(context, &key, profile.as_deref(), most, &failure.message).await?;
    Ok(is_kept.then_some(IssuerCap {
        learned: Some(most),
        ..cap
    }))
}

/// What the Certificate's issuer is like, its cap on names, and which Certificates may use it.
fn issuer_state(context: &Context, certificate: &Certificate) -> (IssuerState, IssuerCap, Option<Allowed>) {
    let namespace = certificate.namespace().unwrap_or_default();
    let reference = &certificate.spec.issuer_ref;
    let key = IssuerKey::of(reference, &namespace);
    let seen = &context.seen;
    let found: Option<(Acme, Option<Allowed>, Option<IssuerStatus>)> = match reference.kind() {
        IssuerKind::Issuer => {
            let issuer: Option<Arc<_>> = seen.issuers.get(&ObjectRef::new(&key.name).within(&namespace));
            issuer.map(|issuer| (issuer.spec.acme.clone(), None, issuer.status.clone()))
        }
        IssuerKind::ClusterIssuer => {
            let issuer = seen.cluster_issuers.get(&ObjectRef::new(&key.name));
            issuer.map(|issuer| {
                let spec = &issuer.spec;
                (spec.acme.clone(), spec.allowed.clone(), issuer.status.clone())
            })
        }
    };
    let Some((acme, allowed, status)) = found else {
        return (
            IssuerState::Missing {
                issuer: key.to_string(),
            },
            IssuerCap::default(),
            None,
        );
    };
    let profile = certificate.spec.profile.as_deref().or(acme.profile.as_deref());
    let cap = IssuerCap::of(&acme, status.as_ref(), profile);
    let ready = status
        .as_ref()
        .and_then(|status| condition(&status.conditions, "Ready"));
    let state = match ready {
        Some(ready) if ready.status == "True" => IssuerState::Ready {
            server: acme.server.clone(),
        },
        Some(ready) => IssuerState::NotReady {
            issuer: key.to_string(),
            message: ready.message.clone(),
            server: acme.server.clone(),
        },
        None => IssuerState::Pending {
            issuer: key.to_string(),
            server: acme.server.clone(),
        },
    };
    (state, cap, allowed)
}
