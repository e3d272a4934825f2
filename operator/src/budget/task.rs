//! The task that owns a budget's limiter: events in, actions performed.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use sancho_limiter::{
    Action, Blocked, Durations, Endpoint, Event, Holder, Limiter, Moment, Source, Throttle,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::permits::Permits;
use super::{Budget, BudgetView, Command};
use crate::clock;
use crate::gate::{GateReceiver, Outcome, Report, Unanswered};
use crate::lease_store::LeaseStore;
use crate::metrics::Metrics;

/// A permit that nobody asks for within this time is given back: its request has gone away.
const UNASKED: Duration = Duration::from_secs(1);
/// The longest that the end of the process waits for the release to be written.
const SHUTDOWN: Duration = Duration::from_secs(20);

pub(super) struct Task {
    budget: Budget,
    limiter: Limiter,
    configured: Option<(sancho_limiter::Budget, Source)>,
    store: LeaseStore,
    view: watch::Sender<BudgetView>,
    changed: Arc<Notify>,
    /// The words on the budget have changed.
    news: watch::Sender<u64>,
    metrics: Metrics,
    permits: Permits,
    reports: mpsc::UnboundedReceiver<(u64, Report)>,
    told_demand: u32,
    told_busy: bool,
    /// Of these for newNonce and for newOrder.
    told_apart: (u32, u32),
    wake: Option<Instant>,
    /// When a holder counts as dead, should its row in the Lease stay as it is.
    holder_ends: Option<Instant>,
    under_way: FuturesUnordered<BoxFuture<'static, Event>>,
    leaving: Option<(oneshot::Sender<()>, Instant)>,
}

impl Task {
    pub(super) fn new(
        budget: Budget,
        holder: Holder,
        store: LeaseStore,
        view: watch::Sender<BudgetView>,
        changed: Arc<Notify>,
        news: watch::Sender<u64>,
        metrics: Metrics,
    ) -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        Self {
            budget,
            limiter: Limiter::new(holder, Durations::default()),
            configured: None,
            store,
            view,
            changed,
            news,
            metrics,
            permits: Permits::new(sender),
            reports,
            told_demand: 0,
            told_busy: false,
            told_apart: (0, 0),
            wake: None,
            holder_ends: None,
            under_way: FuturesUnordered::new(),
            leaving: None,
        }
    }

    /// Runs until it was told to leave and has given everything up.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>, mut asks: GateReceiver) {
        // What the Lease says is known before anything is asked of it.
        let store = self.store.clone();
        self.under_way
            .push(async move { Event::Read(store.read().await) }.boxed());
        loop {
            let unasked = self.permits.drop_unasked(Instant::now());
            let leave_by = self.leaving.as_ref().map(|(_, by)| *by);
            let times = [self.wake, unasked, leave_by, self.holder_ends];
            let next = times.into_iter().flatten().min();
            let event = tokio::select! {
                Some(event) = self.under_way.next() => Some(event),
                Some((number, report)) = self.reports.recv() => self.reported(number, report),
                Some(command) = inbox.recv() => self.obey(command),
                Some(ask) = asks.recv() => {
                    self.permits.ask(ask, Instant::now());
                    None
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => Some(Event::Tick),
            };
            if let Some(event) = event {
                self.step(event);
            }
            self.tell_demand();
            self.show();
            if self.has_left() {
                return;
            }
        }
    }

    fn obey(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Configure(budget, source) => {
                self.configured = Some((budget.clone(), source));
                Some(Event::Configured { budget, source })
            }
            Command::Seen(read) => Some(Event::Read(read)),
            Command::QueueChanged => None,
            Command::Shutdown(done) => {
                self.leaving = Some((done, Instant::now() + SHUTDOWN));
                Some(Event::Shutdown)
            }
        }
    }

    fn reported(&mut self, number: u64, report: Report) -> Option<Event> {
        let outcome = match report {
            Report::Begun(endpoint) => {
                let permit = self.permits.begin(number, Instant::now())?;
                return Some(Event::Begun { permit, endpoint });
            }
            Report::Unanswered(Unanswered { reason, message }) => {
                self.limiter.note_failure(clock::now(), reason, &message);
                return None;
            }
            Report::Ended(outcome) => outcome,
        };
        let (permit, begun) = self.permits.settle(number)?;
        if let (Outcome::Answered | Outcome::Throttled { .. }, Some(begun)) = (outcome, begun) {
            self.budget.answered_in(begun.elapsed());
            self.limiter.note_answer(clock::now());
        }
        Some(match outcome {
            Outcome::Answered => Event::Answered {
                permit,
                throttle: None,
            },
            Outcome::Throttled { retry_after } => Event::Answered {
                permit,
                throttle: Some(Throttle { retry_after }),
            },
            Outcome::Unreachable(unreachable) => Event::Lost {
                permit,
                unreachable: Some(unreachable),
            },
            Outcome::Lost | Outcome::NotSent => Event::Lost {
                permit,
                unreachable: None,
            },
        })
    }

    /// While no slot is held, work that waits in the queue counts as one request: it gets a slot,
    /// and asks for its requests then.
    fn tell_demand(&mut self) {
        let is_busy = self.budget.errands() > 0;
        if is_busy != self.told_busy {
            self.told_busy = is_busy;
            self.step(Event::Busy(is_busy));
        }
        let budget = self.limiter.budget();
        let apart = [Endpoint::NewNonce, Endpoint::NewOrder];
        let apart = apart
            .into_iter()
            .filter(|endpoint| budget.sub_rate(*endpoint).is_some());
        self.permits.limit_apart(apart.collect());
        let asked = self.permits.waiting();
        self.budget.unrecorded().set_asking(asked);
        let wanted = self.budget.queue().waiting() + self.budget.wishes();
        let queued = usize::from(self.limiter.slots_held(clock::boot()).is_empty() && wanted > 0);
        let demand = u32::try_from(asked.max(queued)).unwrap_or(u32::MAX);
        let waiting_for = |endpoint| u32::try_from(self.permits.waiting_for(endpoint)).unwrap_or(u32::MAX);
        let (new_nonce, new_order) = (waiting_for(Endpoint::NewNonce), waiting_for(Endpoint::NewOrder));
        if (demand, (new_nonce, new_order)) != (self.told_demand, self.told_apart) {
            (self.told_demand, self.told_apart) = (demand, (new_nonce, new_order));
            let other = demand.saturating_sub(new_nonce).saturating_sub(new_order);
            self.step(Event::MixedDemand {
                new_nonce,
                new_order,
                other,
            });
        }
    }

    fn step(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = clock::boot();
            // Each step says anew when to wake. What an earlier one said would be past, and wake this task
            // again and again, where nothing need be waited for.
            self.wake = None;
            for action in self.limiter.step(event, now) {
                self.perform(action, now);
            }
        }
        let now = clock::boot();
        for (slot, valid_until) in self.limiter.validity(now) {
            self.permits.extend(slot, instant(valid_until, now));
        }
    }

    fn perform(&mut self, action: Action, now: Moment) {
        match action {
            Action::Read => {
                let store = self.store.clone();
                self.under_way
                    .push(async move { Event::Read(store.read().await) }.boxed());
            }
            Action::Write { id, record, version } => {
                let store = self.store.clone();
                let write = async move {
                    Event::Written {
                        id,
                        outcome: store.write(&record, version).await,
                    }
                };
                self.under_way.push(write.boxed());
            }
            Action::Permit {
                id,
                slot,
                endpoint,
                start_by: _,
            } => {
                let valid_until = self.limiter.validity(now).find(|(held, _)| *held == slot);
                let valid_until = valid_until.map_or_else(Instant::now, |(_, until)| instant(until, now));
                // It no longer waits, whatever the limiter was told.
                self.told_demand = self.told_demand.saturating_sub(1);
                let (new_nonce, new_order) = &mut self.told_apart;
                match endpoint {
                    Endpoint::NewNonce => *new_nonce = new_nonce.saturating_sub(1),
                    Endpoint::NewOrder => *new_order = new_order.saturating_sub(1),
                    Endpoint::Other => {}
                }
                self.permits
                    .grant((id, endpoint), slot, valid_until, Instant::now() + UNASKED);
            }
            Action::Abort { permits } => self.permits.abort(&permits, Instant::now()),
            Action::CloseConnections => self.close_connections(),
            Action::WakeAt(moment) => self.wake = Some(instant(moment, now)),
        }
    }

    /// Connections go before slots do, and nothing goes before the last answer is recorded.
    fn close_connections(&mut self) {
        let unrecorded = self.budget.unrecorded().clone();
        let keep = usize::try_from(self.limiter.connections_kept()).unwrap_or(usize::MAX);
        let budget = self.budget.clone();
        let close = async move {
            unrecorded.none().await;
            budget.close_connections(keep).await;
            Event::ConnectionsClosed
        };
        self.under_way.push(close.boxed());
    }

    fn show(&mut self) {
        let now = clock::boot();
        let mut holders = BTreeSet::new();
        let mut holder_ends: Option<Moment> = None;
        for (holder, until) in self.limiter.live_holders(now) {
            holders.insert(holder.process.clone());
            holder_ends = Some(holder_ends.map_or(until, |other| other.min(until)));
        }
        // Nothing else brings this task back then: what a dead holder has claimed is no demand.
        self.holder_ends = holder_ends.map(|until| instant(until, now));
        let budget = self.limiter.budget();
        let view = BudgetView {
            held: u32::try_from(self.limiter.slots_held(now).len()).unwrap_or(u32::MAX),
            rate_held: self.limiter.rate(now),
            rate: budget.requests_per_second,
            new_order: budget
                .sub_rate(Endpoint::NewOrder)
                .map(|sub_rate| sub_rate.requests_per_second.0),
            burst: budget.burst,
            max_in_flight: budget.max_in_flight,
            source: source_word(self.limiter.source()),
            throttles: self
                .limiter
                .record()
                .map_or(0, |record| record.discovery.throttles),
            words: self.words(),
            paused_until: self.limiter.paused_until(now),
            holders,
            blocked: self
                .limiter
                .blocked(now)
                .filter(|b| *b != Blocked::Pacing)
                .map(|b| b.to_string()),
        };
        let waiting = self.budget.queue().waiting();
        self.metrics.budget(self.budget.origin(), &view, waiting);
        let before = self.view.borrow().clone();
        if before.paused_until.is_none() && view.paused_until.is_some() {
            self.metrics.paused(self.budget.origin());
        }
        if before != view {
            if before.holders != view.holders || (before.held == 0) != (view.held == 0) {
                tracing::info!(
                    budget = self.budget.origin(),
                    held = view.held,
                    holders = ?view.holders,
                    "slots of the budget"
                );
                self.changed.notify_one();
            }
            let is_news = before.words != view.words;
            self.view.send_replace(view);
            if is_news {
                self.news.send_modify(|count| *count += 1);
            }
        }
    }

    /// What is said of the budget: nothing while the Lease is still about other figures than are given now.
    fn words(&self) -> Option<String> {
        let record = self.limiter.record()?;
        let (budget, source) = self.configured.as_ref()?;
        let is_its = record.source == *source
            && record.discovery.ceiling.as_ref().is_none_or(|ceiling| {
                ceiling.requests_per_second == budget.requests_per_second
                    && (ceiling.burst, ceiling.max_in_flight) == (budget.burst, budget.max_in_flight)
            });
        is_its.then(|| record.summary())
    }

    fn has_left(&mut self) -> bool {
        let over = match &self.leaving {
            Some((_, by)) => self.limiter.is_settled() || Instant::now() >= *by,
            None => false,
        };
        if over && let Some((done, _)) = self.leaving.take() {
            // Whoever waited may have gone away.
            let _ = done.send(());
        }
        over
    }
}

fn source_word(source: Source) -> &'static str {
    match source {
        Source::Given => "given",
        Source::Published => "published",
        Source::Discovered => "discovered",
    }
}

/// A moment of the boot-time clock on the runtime's clock. A machine that sleeps makes it late by
/// the sleep; the limiter is asked with the boot-time clock all the same.
fn instant(moment: Moment, now: Moment) -> Instant {
    Instant::now() + moment.since(now)
}
