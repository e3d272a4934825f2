//! The controllers of both kinds of issuer: reconcile → condition, event, registry.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::PostParams;
use kube::runtime::watcher::Event;
use sancho_crds::{Acme, IssuerStatus, condition};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::account::{self, NotReady, Retry};
use super::any::AnyIssuer;
use super::ca_names;
use super::roll_over::{RolledOver, present_secret, roll_over};
use super::status::{budget_words, not_ready_status, ready_status, says_as_much};
use super::{IssuerKey, IssuerTerms, ReadyIssuer};
use crate::acme::account::AccountKey;
use crate::acme::session::Session;
use crate::acme::transport::Transport;
use crate::budget::Budget;
use crate::clock;
use crate::context::{Context, full_name};
use crate::due::Due;
use crate::watching::Watched;

/// Somebody else wrote the status: the watch shows it by then.
const AFTER_CONFLICT: Duration = Duration::from_millis(300);
/// How often a wait for a slot looks whether another replica has made the account meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Looks at each issuer whenever it changes, and again when that was put off.
pub async fn run<K>(context: Context, mut issuers: Watched<K>)
where
    K: AnyIssuer,
{
    let reconciler = Arc::new(Reconciler::<K> {
        context,
        failures: Mutex::default(),
        looked: Mutex::default(),
        kind: PhantomData,
    });
    let mut changes = reconciler.context.issuers.changes();
    let mut news = reconciler.context.budgets.news();
    let mut due: Due<Instant, IssuerKey> = Due::default();
    let mut looks: JoinSet<(IssuerKey, Option<Duration>)> = JoinSet::new();
    // An edit that comes while an issuer is looked at ends that look: it may wait for the old spec's CA.
    let mut running: HashMap<IssuerKey, AbortHandle> = HashMap::new();
    loop {
        while let Some(key) = due.take(Instant::now()) {
            if let Some(look) = running.remove(&key) {
                look.abort();
            }
            let (reconciler, name) = (reconciler.clone(), key.clone());
            let look = looks.spawn(async move {
                let next = reconciler.look(&name).await;
                (name, next)
            });
            running.insert(key, look);
        }
        let next = due.next();
        tokio::select! {
            Some(event) = issuers.next() => match event {
                Event::Apply(issuer) => reconciler.set_due(&issuer, &running, &mut due),
                // What a listing lacks is gone only once it is complete.
                Event::InitDone => {
                    for issuer in K::all_seen(&reconciler.context) {
                        reconciler.set_due(&issuer, &running, &mut due);
                    }
                }
                Event::Delete(issuer) => {
                    let key = issuer.key();
                    due.remove(&key);
                    if let Some(look) = running.remove(&key) {
                        look.abort();
                    }
                    reconciler.forget(&key);
                }
                Event::Init | Event::InitApply(_) => {}
            },
            Ok(()) = changes.changed() => {
                for key in reconciler.with_gone_accounts() {
                    // One that is looked at is being registered again.
                    if !running.contains_key(&key) {
                        due.set_latest(&key, Instant::now());
                    }
                }
            }
            Ok(()) = news.changed() => {
                for issuer in K::all_seen(&reconciler.context) {
                    let key = issuer.key();
                    // One that is being looked at, or is not ready, says it at its end.
                    if !running.contains_key(&key) && reconciler.context.issuers.get(&key).is_some() {
                        due.set_latest(&key, Instant::now());
                    }
                }
            }
            Some(ended) = looks.join_next() => {
                if let Ok((key, next)) = ended {
                    running.remove(&key);
                    if let Some(wait) = next {
                        due.set_latest(&key, Instant::now() + wait);
                    }
                }
            }
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

struct Reconciler<K> {
    context: Context,
    failures: Mutex<HashMap<IssuerKey, u32>>,
    /// The generation that was looked at last.
    looked: Mutex<HashMap<IssuerKey, i64>>,
    kind: PhantomData<K>,
}

impl<K: AnyIssuer> Reconciler<K> {
    /// Has an issuer looked at now, if it brings news.
    fn set_due(
        &self,
        issuer: &K,
        running: &HashMap<IssuerKey, AbortHandle>,
        due: &mut Due<Instant, IssuerKey>,
    ) {
        let key = issuer.key();
        if self.is_news(issuer, running.contains_key(&key)) {
            due.set(&key, Instant::now());
        }
    }

    /// Does an event say more than that this replica, or another, wrote the status that follows from the
    /// spec that was looked at last? A look that is under way brings such a status about itself.
    fn is_news(&self, issuer: &K, is_under_way: bool) -> bool {
        let key = issuer.key();
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_looked = looked.get(&key).copied() == issuer.meta().generation;
        let ready = self.context.issuers.get(&key);
        let says_ready = issuer
            .status()
            .and_then(|status| condition(&status.conditions, "Ready"))
            .is_some_and(|ready| ready.status == "True");
        let account = issuer.status().and_then(|status| status.account_url.as_deref());
        let thumbprint = issuer.status().and_then(|status| status.thumbprint.clone());
        let is_other_account = ready.as_ref().is_some_and(|ready| {
            Some(ready.session.kid()) != account || Some(ready.session.thumbprint()) != thumbprint
        });
        let says_else = ready
            .as_ref()
            .is_some_and(|ready| ready.terms != IssuerTerms::of(issuer));
        !is_looked || (!is_under_way && (ready.is_some() != says_ready || is_other_account || says_else))
    }

    /// Those of this kind whose accounts the CA does not know any more.
    fn with_gone_accounts(&self) -> Vec<IssuerKey> {
        let context = &self.context;
        let mut keys = context.issuers.with_gone_accounts();
        keys.retain(|key| K::seen(context, key).is_some_and(|issuer| issuer.key() == *key));
        keys
    }

    /// One look. Returns when to come back, if no edit does before.
    async fn look(&self, key: &IssuerKey) -> Option<Duration> {
        let issuer = K::seen(&self.context, key)?;
        if let Some(generation) = issuer.meta().generation {
            self.looked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(key.clone(), generation);
        }
        let reached = self.reach(&issuer, key).await;
        let (status, ready, next) = match reached {
            Ok((ready, budget_words)) => {
                self.failures
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(key);
                (
                    ready_status(issuer.as_ref(), &ready, budget_words),
                    Some(ready),
                    None,
                )
            }
            Err(not_ready) => {
                let wait = self.wait(key, &not_ready);
                (not_ready_status(issuer.as_ref(), &not_ready), None, wait)
            }
        };
        // The thumbprint is published before the first order: every replica answers challenges by it.
        match self.write(&issuer, status).await {
            Ok(true) => {
                self.context.issuers.set(key.clone(), ready);
                next
            }
            Ok(false) => Some(AFTER_CONFLICT),
            Err(error) => {
                tracing::warn!(issuer = %key, %error, "looked at again later");
                let kind = if key.namespace.is_some() {
                    "Issuer"
                } else {
                    "ClusterIssuer"
                };
                self.context.metrics.reconcile_error(kind);
                Some(Duration::from_secs(5))
            }
        }
    }

    fn forget(&self, key: &IssuerKey) {
        self.context.issuers.forget(key);
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
        self.looked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
        if key.namespace.is_none() {
            self.context.budgets.forget(&key.name);
        }
    }

    /// Where no ClusterIssuer speaks for the CA at `origin`, its published limits count, else what is found out.
    async fn configure_alone(&self, origin: &str) {
        let cluster_issuers = &self.context.seen.cluster_issuers;
        // Else a budget that is given would give way for a moment.
        cluster_issuers.ready().await;
        let speaks_for = |acme: &Acme| account::origin(acme).is_ok_and(|of| of.to_string() == origin);
        if !cluster_issuers.each().any(|issuer| speaks_for(&issuer.spec.acme)) {
            self.context.budgets.without_cluster_issuer(origin);
        }
    }

    /// All the way to an account. Returns the issuer and its budget in words.
    async fn reach(&self, issuer: &K, key: &IssuerKey) -> Result<(ReadyIssuer, String), NotReady> {
        let acme = issuer.acme();
        let origin = account::origin(acme)?;
        let context = &self.context;
        let given = key.namespace.is_none().then(|| {
            let figures = issuer.budget();
            context.budgets.give(&origin.to_string(), &key.name, figures)
        });
        let budget = context.budgets.of(&origin.to_string());
        if key.namespace.is_some() {
            self.configure_alone(&origin.to_string()).await;
        }
        let words = || match &given {
            Some((in_force, others)) => {
                let view = budget.view().borrow().clone();
                // Until this process has read the Lease, what was said before stands.
                let said = issuer.status().filter(|_| issuer.is_current());
                match (view.words, said.and_then(|status| status.budget.clone())) {
                    (None, Some(said)) => said,
                    (words, _) => budget_words(words.as_deref(), in_force.as_ref(), others),
                }
            }
            None => {
                "shared with every issuer of this CA; given by ClusterIssuers, or published, or found out"
                    .into()
            }
        };
        let account_key = account::key(context, key, acme).await?;
        let transport = account::transport(context, origin, acme, &budget)?;
        let gone = context.issuers.gone_account(key);
        let gone = gone.as_deref();
        if let Some(session) = account::resume(&transport, acme, &account_key, issuer.status(), gone) {
            let words = words();
            return Ok((self.ready(issuer, session, budget).await?, words));
        }
        if let Some(account) = gone {
            let note = format!("the CA does not know the account {account} any more: it is registered again");
            tracing::warn!(issuer = %key, note);
            context
                .events
                .warning(issuer, "AccountGone", "Register", note)
                .await;
        }
        // The key that the account has had does not sign for it any more once one replica has changed it.
        context.issuers.set(key.clone(), None);
        // Each replica comes here at once, and one account is enough: whoever has a slot goes first.
        loop {
            tokio::select! {
                () = budget.want_slot() => break,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            if let Some(session) = self.resume_seen(issuer, &transport, &account_key, gone) {
                let words = words();
                return Ok((self.ready(issuer, session, budget).await?, words));
            }
        }
        let latest = issuer.api(&self.context).get(&key.name).await.ok();
        let status = latest.as_ref().and_then(AnyIssuer::status);
        let session = match account::resume(&transport, acme, &account_key, status, gone) {
            Some(session) => session,
            None => {
                let _unrecorded = budget.unrecorded().begin();
                let session = match self
                    .rolled_over(issuer, key, &transport, &account_key, status)
                    .await?
                {
                    Some(session) => session,
                    None => {
                        let external = account::external(context, key, acme).await?;
                        account::register(&transport, acme, &account_key, external.as_ref()).await?
                    }
                };
                context.issuers.registered(key);
                session
            }
        };
        let words = words();
        Ok((self.ready(issuer, session, budget).await?, words))
    }

    /// What a ready issuer is made of, once all is known of its CA that its solvers need.
    async fn ready(&self, issuer: &K, session: Session, budget: Budget) -> Result<ReadyIssuer, NotReady> {
        let mut ready = account::ready(issuer, session, budget);
        if ready.terms.issuer_domain_names.is_none() {
            ready.terms.issuer_domain_names =
                ca_names::find(&self.context, issuer, &ready.session, &ready.budget).await?;
        }
        Ok(ready)
    }

    /// The account of the key that the issuer's Secret had before it named another one, with the new key; nothing if
    /// the new key needs an account of its own.
    async fn rolled_over(
        &self,
        issuer: &K,
        key: &IssuerKey,
        transport: &Transport,
        account_key: &Arc<AccountKey>,
        status: Option<&IssuerStatus>,
    ) -> Result<Option<Session>, NotReady> {
        let (context, acme) = (&self.context, issuer.acme());
        let (Some(status), Some(present)) = (status, present_secret(acme, status)) else {
            return Ok(None);
        };
        let account = status.account_url.as_deref().unwrap_or_default();
        match roll_over(context, key, transport, acme, status, present, account_key).await? {
            RolledOver::Done(session) => {
                let note = format!(
                    "the account {account} has the key in Secret {} now; Secret {present} is not needed any more",
                    acme.private_key_secret_ref.name
                );
                if session.kid() == account {
                    tracing::info!(issuer = %key, note);
                    let events = &context.events;
                    events
                        .normal(issuer, "AccountKeyChanged", "ChangeKey", note)
                        .await;
                }
                Ok(Some(session))
            }
            RolledOver::No(reason, why) => {
                let note = format!("a new account is made, since {account} cannot get the new key: {why}");
                tracing::warn!(issuer = %key, note);
                let events = &context.events;
                events.warning(issuer, reason, "ChangeKey", note).await;
                Ok(None)
            }
        }
    }

    fn resume_seen(
        &self,
        issuer: &K,
        transport: &Transport,
        key: &Arc<AccountKey>,
        gone: Option<&str>,
    ) -> Option<Session> {
        let seen = K::seen(&self.context, &issuer.key())?;
        account::resume(transport, issuer.acme(), key, seen.status(), gone)
    }

    fn wait(&self, key: &IssuerKey, not_ready: &NotReady) -> Option<Duration> {
        match not_ready.retry {
            Retry::Edit => None,
            Retry::At(at) => Some(Duration::try_from(at.duration_since(clock::now())).unwrap_or(LOOK_AGAIN)),
            Retry::Backoff => {
                let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                let count = failures.entry(key.clone()).or_default();
                *count += 1;
                Some(account::backoff(*count))
            }
        }
    }

    /// Writes a status that says something new, and an event when readiness changes. Says whether the
    /// status is there; if not, somebody else wrote another one.
    async fn write(&self, issuer: &K, status: IssuerStatus) -> Result<bool, kube::Error> {
        if issuer
            .status()
            .is_some_and(|present| says_as_much(present, &status))
        {
            return Ok(true);
        }
        let said = |status: &IssuerStatus| {
            condition(&status.conditions, "Ready").map(|ready| (ready.status.clone(), ready.reason.clone()))
        };
        let changed = issuer.status().and_then(said) != said(&status);
        let ready = condition(&status.conditions, "Ready").cloned();
        let with_status = issuer.with_status(status);
        let written = issuer
            .api(&self.context)
            .replace_status(&issuer.name_any(), &PostParams::default(), &with_status)
            .await;
        match written {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => return Ok(false),
            Err(error) => return Err(error),
        }
        if let Some(ready) = ready.filter(|_| changed) {
            tracing::info!(
                issuer = full_name(issuer),
                ready = ready.status,
                reason = ready.reason,
                "issuer"
            );
            let events = &self.context.events;
            if ready.status == "True" {
                events
                    .normal(issuer, &ready.reason, "Register", ready.message)
                    .await;
            } else {
                events
                    .warning(issuer, &ready.reason, "Register", ready.message)
                    .await;
            }
        }
        Ok(true)
    }
}
