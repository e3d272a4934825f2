//! All budgets of this process, by CA or by a DNS provider's credential, and the figures that they are given.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use sancho_limiter::{Holder, Read, Source, published};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::task::Task;
use super::{Budget, BudgetView, Command, Shared, Unrecorded};
use crate::gate::Gate;
use crate::lease_store::{LeaseStore, lease_name};
use crate::metrics::Metrics;
use crate::queue::WorkQueue;

/// A provider's budget that was not used for so long is forgotten, with its task and its metrics: credentials are changed, and
/// nobody says that the former one is of no use any more. Its Lease has what was found out.
const UNUSED: Duration = Duration::from_secs(24 * 3600);
/// How often such are looked for.
const LOOK_FOR_UNUSED: Duration = Duration::from_secs(3600);

/// All budgets. Cheap to clone.
#[derive(Clone)]
pub struct Budgets {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    namespace: String,
    holder: Holder,
    metrics: Metrics,
    budgets: Mutex<HashMap<String, Entry>>,
    /// Something about slots has changed somewhere, or a drive has left its place: shards are to be looked at again.
    changed: Arc<Notify>,
    /// What is said of some budget has changed: issuers are to say it.
    news: watch::Sender<u64>,
}

struct Entry {
    budget: Budget,
    /// What each ClusterIssuer gives.
    given: HashMap<String, Figures>,
    /// When it was asked for last, if it is a DNS provider's. A CA's stays.
    used: Option<Instant>,
}

/// A budget's figures, as a ClusterIssuer gives them.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Requests a second.
    pub requests_per_second: f64,
    /// Requests beyond the rate at once.
    pub burst: u32,
    /// Requests unanswered at once.
    pub max_in_flight: u32,
}

impl Budgets {
    /// No budgets yet. `client` must not send anything again by itself.
    #[must_use]
    pub fn new(client: Client, namespace: String, holder: Holder, metrics: Metrics) -> Self {
        let inner = Inner {
            client,
            namespace,
            holder,
            metrics,
            budgets: Mutex::default(),
            changed: Arc::new(Notify::new()),
            news: watch::Sender::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The budget of the CA at `origin`; its task is started if there is none yet.
    #[must_use]
    pub fn of(&self, origin: &str) -> Budget {
        let mut budgets = self.inner.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = budgets.get(origin) {
            return entry.budget.clone();
        }
        let budget = self.start(origin);
        self.inner.metrics.begin_ca(origin);
        budgets.insert(
            origin.to_owned(),
            Entry {
                budget: budget.clone(),
                given: HashMap::new(),
                used: None,
            },
        );
        budget
    }

    /// The budget of an account at a DNS provider, by a name of [`sancho_limiter::published`] or another; its task is
    /// started if there is none yet, by what the provider publishes, else by what is found out.
    #[must_use]
    pub fn of_provider(&self, account: &str) -> Budget {
        let mut budgets = self.inner.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(entry) = budgets.get_mut(account) {
            entry.used = Some(now);
            return entry.budget.clone();
        }
        let entry = Entry {
            budget: self.start(account),
            given: HashMap::new(),
            used: Some(now),
        };
        configure(&entry);
        budgets.entry(account.to_owned()).or_insert(entry).budget.clone()
    }

    /// Takes note of what `issuer` gives for `origin` (nothing: it gives no figures any more).
    /// Figure by figure the lowest of all that are given counts.
    /// Returns the figures in force, and the issuers that give others.
    pub fn give(
        &self,
        origin: &str,
        issuer: &str,
        figures: Option<Figures>,
    ) -> (Option<Figures>, Vec<String>) {
        // Starts its task if there is none yet.
        let _ = self.of(origin);
        let mut budgets = self.inner.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        for (other, entry) in budgets.iter_mut() {
            if other != origin && entry.given.remove(issuer).is_some() {
                configure(entry);
            }
        }
        let Some(entry) = budgets.get_mut(origin) else {
            return (None, Vec::new());
        };
        match figures {
            Some(figures) => entry.given.insert(issuer.to_owned(), figures),
            None => entry.given.remove(issuer),
        };
        let in_force = configure(entry);
        let mut others: Vec<String> = entry
            .given
            .iter()
            .filter(|(_, f)| Some(*f) != in_force.as_ref())
            .map(|(name, _)| name.clone())
            .collect();
        others.sort();
        (in_force, others)
    }

    /// The CA at `origin` is used, and no ClusterIssuer speaks for it: the limits that it publishes count, else what is
    /// found out.
    pub fn without_cluster_issuer(&self, origin: &str) {
        let _ = self.of(origin);
        let budgets = self.inner.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = budgets.get(origin)
            && entry.given.is_empty()
        {
            configure(entry);
        }
    }

    /// An issuer is gone.
    pub fn forget(&self, issuer: &str) {
        let mut budgets = self.inner.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in budgets.values_mut() {
            if entry.given.remove(issuer).is_some() {
                configure(entry);
            }
        }
    }

    /// A budget's Lease, as a watch shows it.
    pub fn seen(&self, lease: &str, read: Read) {
        let budget = self.all().into_iter().find(|budget| budget.lease() == lease);
        if let Some(budget) = budget {
            budget.seen(read);
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Budget> {
        let budgets = self.inner.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        budgets.values().map(|entry| entry.budget.clone()).collect()
    }

    /// Those of CAs, which shards wait for.
    #[must_use]
    pub fn of_cas(&self) -> Vec<Budget> {
        let budgets = self.inner.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let of_cas = budgets.values().filter(|entry| entry.used.is_none());
        of_cas.map(|entry| entry.budget.clone()).collect()
    }

    /// Forgets, again and again, those of providers that are not used any more. Never returns.
    pub async fn forget_unused(&self) {
        loop {
            tokio::time::sleep(LOOK_FOR_UNUSED).await;
            for budget in self.take_unused(Instant::now()) {
                tracing::debug!(budget = budget.origin(), "not used for a day");
                // It was idle for as long, and holds nothing. One that begins meanwhile reads the same Lease.
                budget.shut_down().await;
                self.inner.metrics.forget(budget.origin());
            }
        }
    }

    fn take_unused(&self, now: Instant) -> Vec<Budget> {
        let mut budgets = self.inner.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = budgets.extract_if(|_, entry| is_unused(entry.used, now));
        unused.map(|(_, entry)| entry.budget).collect()
    }

    /// Returns when the holders of some budget have changed, or a drive has left its place to others.
    pub async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    /// How what is said of the budgets ([`BudgetView::words`]) changes.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.inner.news.subscribe()
    }

    fn start(&self, origin: &str) -> Budget {
        self.inner.metrics.begin_budget(origin);
        let (gate, asks) = Gate::channel();
        let (commands, inbox) = mpsc::unbounded_channel();
        let (view_sender, view) = watch::channel(BudgetView::default());
        let lease = lease_name(origin);
        let budget = Budget {
            shared: Arc::new(Shared {
                origin: origin.to_owned(),
                lease: lease.clone(),
                gate,
                commands,
                view,
                queue: WorkQueue::default(),
                unrecorded: Unrecorded::default(),
                changed: self.inner.changed.clone(),
                wishes: AtomicUsize::new(0),
                errands: AtomicUsize::new(0),
                answers: Mutex::default(),
                transports: Mutex::default(),
            }),
        };
        let store = LeaseStore::new(
            self.inner.client.clone(),
            &self.inner.namespace,
            lease,
            origin.to_owned(),
            self.inner.holder.process.clone(),
        );
        let task = Task::new(
            budget.clone(),
            self.inner.holder.clone(),
            store,
            view_sender,
            self.inner.changed.clone(),
            self.inner.news.clone(),
            self.inner.metrics.clone(),
        );
        tokio::spawn(task.run(inbox, asks));
        budget
    }
}

fn is_unused(used: Option<Instant>, now: Instant) -> bool {
    used.is_some_and(|used| now.duration_since(used) >= UNUSED)
}

/// Tells a budget what it is given: the lowest figures, else what the CA publishes, else that nothing is known.
/// Returns what is given.
fn configure(entry: &Entry) -> Option<Figures> {
    let lowest = entry.given.values().cloned().reduce(|a, b| Figures {
        requests_per_second: a.requests_per_second.min(b.requests_per_second),
        burst: a.burst.min(b.burst),
        max_in_flight: a.max_in_flight.min(b.max_in_flight),
    });
    let published = published(entry.budget.origin());
    let (budget, source) = match (&lowest, published) {
        (Some(figures), published) => {
            let given = sancho_limiter::Budget {
                // No issuer says anything about newNonce.
                new_nonce: published.and_then(|published| published.new_nonce),
                ..sancho_limiter::Budget::new(
                    figures.requests_per_second,
                    figures.burst,
                    figures.max_in_flight,
                )
            };
            (given, Source::Given)
        }
        (None, Some(published)) => (published, Source::Published),
        (None, None) => (sancho_limiter::Budget::unknown_ca(), Source::Discovered),
    };
    entry.budget.tell(Command::Configure(budget, source));
    lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_providers_budget_is_forgotten_a_day_after_its_last_use_and_a_cas_never() {
        let used = Instant::now();
        assert!(!is_unused(Some(used), used + UNUSED / 2));
        assert!(is_unused(Some(used), used + UNUSED));
        assert!(!is_unused(None, used + UNUSED * 100));
    }
}
