//! A budget at work: the limiter's steps performed, permits handed to those who wait.
//!
//! One task per CA (`Task`) owns the limiter. It takes questions from the gate, looks at
//! the Lease through the `LeaseStore`, and closes connections before slots are given up. All
//! decisions are the limiter's; this is its shell.

mod permits;
mod registry;
mod task;
mod unrecorded;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sancho_limiter::{AnswerTime, Cost, Moment, Read, Source, SubRate};
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use self::registry::{Budgets, Figures};
pub use self::unrecorded::{Unrecorded, UnrecordedGuard};
use crate::acme::transport::Transport;
use crate::clock;
use crate::gate::Gate;
use crate::queue::{ShardKey, WorkQueue};

/// One CA's budget, as the rest of the process sees it. Cheap to clone.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    origin: String,
    lease: String,
    gate: Gate,
    commands: mpsc::UnboundedSender<Command>,
    view: watch::Receiver<BudgetView>,
    queue: WorkQueue,
    unrecorded: Unrecorded,
    /// See [`Budgets::changed`].
    changed: Arc<Notify>,
    wishes: AtomicUsize,
    errands: AtomicUsize,
    answers: Mutex<AnswerTime>,
    transports: Mutex<Vec<Kept>>,
}

/// Connections to the CA, and the roots that they are checked by.
struct Kept {
    ca_bundle: Option<String>,
    transport: Transport,
}

/// Somebody asks for a slot, as long as this lives.
struct Wish {
    budget: Budget,
}

impl Wish {
    fn new(budget: Budget) -> Self {
        budget.shared.wishes.fetch_add(1, Ordering::Relaxed);
        budget.tell(Command::QueueChanged);
        Self { budget }
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        self.budget.shared.wishes.fetch_sub(1, Ordering::Relaxed);
        self.budget.tell(Command::QueueChanged);
    }
}

/// Work that will ask for permits does something else first, as long as this lives.
#[must_use]
pub struct Errand {
    budget: Budget,
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.budget.shared.errands.fetch_sub(1, Ordering::Relaxed);
        self.budget.tell(Command::QueueChanged);
    }
}

/// Where a budget stands, by this replica's knowledge.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BudgetView {
    /// How many slots this replica holds.
    pub held: u32,
    /// Requests a second that they carry together.
    pub rate_held: f64,
    /// Requests a second that all replicas may send together.
    pub rate: f64,
    /// Of these, requests for newOrder, if that has a limit of its own.
    pub new_order: Option<f64>,
    /// Requests beyond the rate at once.
    pub burst: u32,
    /// Requests that they may leave unanswered.
    pub max_in_flight: u32,
    /// Where these figures come from: `given`, `published`, `discovered`.
    pub source: &'static str,
    /// The CA's refusals that have counted since the Lease was made.
    pub throttles: u64,
    /// The budget in a sentence, once its Lease was seen.
    pub words: Option<String>,
    /// The end of a pause of the whole budget, on the boot-time clock.
    pub paused_until: Option<Moment>,
    /// The replicas that hold slots and are alive, as far as is known.
    pub holders: BTreeSet<String>,
    /// Why nothing is sent at all, if that is so.
    pub blocked: Option<String>,
}

/// What the rest of the process tells a budget's task.
enum Command {
    Configure(sancho_limiter::Budget, Source),
    Seen(Read),
    QueueChanged,
    Shutdown(oneshot::Sender<()>),
}

impl Budget {
    /// The CA's origin, `https://host:port`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.shared.origin
    }

    /// The name of its Lease.
    #[must_use]
    pub fn lease(&self) -> &str {
        &self.shared.lease
    }

    /// Where requests wait for leave to be sent.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.shared.gate.clone()
    }

    /// Where it stands, and how that changes.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<BudgetView> {
        self.shared.view.clone()
    }

    /// The shards that wait for it.
    #[must_use]
    pub fn queue(&self) -> &WorkQueue {
        &self.shared.queue
    }

    /// Answers that are not recorded yet: while there are any, no slot is released.
    #[must_use]
    pub fn unrecorded(&self) -> &Unrecorded {
        &self.shared.unrecorded
    }

    /// The shard, which is driven, writes TXT records from now on; see [`WorkQueue::step_aside`]. Another may be driven in its
    /// place.
    pub fn step_aside(&self, key: &ShardKey) -> bool {
        let is_aside = self.queue().step_aside(key);
        if is_aside {
            self.shared.changed.notify_one();
        }
        is_aside
    }

    /// To be called whenever the queue has changed.
    pub fn queue_changed(&self) {
        self.tell(Command::QueueChanged);
    }

    /// The Lease, as a watch shows it.
    pub fn seen(&self, read: Read) {
        self.tell(Command::Seen(read));
    }

    /// The figures from now on.
    pub fn configure(&self, budget: sancho_limiter::Budget, source: Source) {
        self.tell(Command::Configure(budget, source));
    }

    /// The connections to the CA by these roots, which the budget answers for; made by `make` if there are none yet.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn transport<E>(
        &self,
        ca_bundle: Option<&str>,
        make: impl FnOnce() -> Result<Transport, E>,
    ) -> Result<Transport, E> {
        let mut transports = self.transports();
        if let Some(kept) = transports
            .iter()
            .find(|kept| kept.ca_bundle.as_deref() == ca_bundle)
        {
            return Ok(kept.transport.clone());
        }
        let transport = make()?;
        transports.push(Kept {
            ca_bundle: ca_bundle.map(str::to_owned),
            transport: transport.clone(),
        });
        Ok(transport)
    }

    /// Closes unused connections until at most `keep` are open. Those whose issuers have gone are closed all.
    async fn close_connections(&self, keep: usize) {
        let mut closing = Vec::new();
        {
            let mut transports = self.transports();
            let abandoned = transports.extract_if(.., |kept| kept.transport.is_abandoned());
            closing.extend(abandoned.map(|kept| (kept.transport, 0)));
            // What is kept open is kept once, whatever the number of roots.
            let in_use = transports.iter().rev().map(|kept| kept.transport.clone());
            let kept = std::iter::once(keep).chain(std::iter::repeat(0));
            closing.extend(in_use.zip(kept));
        }
        let closed = closing
            .iter()
            .map(|(transport, keep)| transport.close_connections(*keep));
        futures::future::join_all(closed).await;
    }

    fn transports(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.shared
            .transports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives all slots up, once the requests under way are answered and recorded. Returns when the
    /// Lease says so, or when that cannot be had.
    pub async fn shut_down(&self) {
        let (done, waiter) = oneshot::channel();
        self.tell(Command::Shutdown(done));
        // A task that has ended holds nothing.
        let _ = waiter.await;
    }

    /// Returns once this replica holds a slot.
    pub async fn held(&self) {
        let mut view = self.view();
        // A budget whose task has ended never holds a slot again: wait for ever.
        if view.wait_for(|view| view.held > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Work begins that asks the CA later on: as long as what is returned lives, slots that are held do not count as idle.
    pub fn errand(&self) -> Errand {
        self.shared.errands.fetch_add(1, Ordering::Relaxed);
        self.tell(Command::QueueChanged);
        Errand { budget: self.clone() }
    }

    /// How many such works are under way.
    fn errands(&self) -> usize {
        self.shared.errands.load(Ordering::Relaxed)
    }

    /// Asks for a slot, without a request yet, and returns once this replica holds one. Dropping
    /// the future withdraws the wish.
    pub async fn want_slot(&self) {
        let _wish = Wish::new(self.clone());
        self.held().await;
    }

    /// How long all replicas together take for so much, all of it waiting already. See
    /// [`AnswerTime::estimate`].
    #[must_use]
    pub fn estimate(&self, cost: Cost) -> Duration {
        let view = self.shared.view.borrow();
        let mut figures = sancho_limiter::Budget::new(view.rate, view.burst, view.max_in_flight);
        figures.new_order = view.new_order.map(|rate| SubRate::new(rate, 0));
        let now = clock::boot();
        let pause = view.paused_until.map_or(Duration::ZERO, |until| until.since(now));
        let answers = self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.estimate(cost, &figures, pause)
    }

    /// An answer of the CA took this long.
    fn answered_in(&self, took: Duration) {
        let mut answers = self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.note(took);
    }

    /// How many ask for a slot without a request yet.
    fn wishes(&self) -> usize {
        self.shared.wishes.load(Ordering::Relaxed)
    }

    /// Returns once this replica holds no slot.
    pub async fn lost(&self) {
        // A budget whose task has ended has lost them all.
        let _ = self.view().wait_for(|view| view.held == 0).await;
    }

    fn tell(&self, command: Command) {
        // A task that has ended needs to know nothing.
        let _ = self.shared.commands.send(command);
    }
}
