//! The gate: the only way to get leave to send one request to a CA.
//!
//! A [`Gate`] asks, the budget's task (which drives the limiter) serves the [`GateReceiver`]'s
//! queue and hands out [`Permit`]s. A permit is good for one request and must be answered for:
//! one that is dropped in silence counts as [`Outcome::Lost`] if its request was begun, else as
//! [`Outcome::NotSent`].

use std::sync::Arc;
use std::time::Duration;

use sancho_limiter::{Endpoint, Unreachable};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// No request is begun on a permit with less validity left than this (invariant I4).
pub const START_MARGIN: Duration = Duration::from_secs(2);

/// A process that runs closes a connection within this time of its slot's end.
const PROMPT: Duration = Duration::from_secs(1);

/// Asks the budget for leave to send. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    asks: mpsc::Sender<Ask>,
    tenant: Arc<str>,
}

/// Where a budget takes its questions from.
pub type GateReceiver = mpsc::Receiver<Ask>;

/// One request that waits for leave to be sent.
#[derive(Debug)]
pub struct Ask {
    /// On whose behalf; see [`Gate::for_tenant`].
    pub tenant: Arc<str>,
    /// What the request is for.
    pub endpoint: Endpoint,
    /// Takes the permit. Closed when the one who asked has gone away.
    pub reply: oneshot::Sender<Permit>,
}

/// The budget serves no more permits: the process is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request budget is closed")]
pub struct Closed;

/// What became of the request that a permit allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The CA answered, and not with a throttle.
    Answered,
    /// The CA answered that it was asked too fast (429 or 503).
    Throttled {
        /// How long the CA asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The request, or part of it, was sent, and no whole answer came.
    Lost,
    /// Nothing of the request was sent.
    NotSent,
    /// No whole answer came, or nothing was sent, because the CA or the way to it is down.
    Unreachable(Unreachable),
}

/// Why a request got no answer, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// A CamelCase word, one of a fixed few.
    pub reason: &'static str,
    /// What went wrong, and what to do about it.
    pub message: String,
}

/// What a permit tells its budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The request's first byte is about to leave, to this endpoint.
    Begun(Endpoint),
    /// Its end is near, and why there is no answer.
    Unanswered(Unanswered),
    /// What became of it. The last word.
    Ended(Outcome),
}

/// Leave to send one request now.
///
/// Guarantees: exactly one [`Outcome`] is reported for each permit, whatever happens to it.
#[derive(Debug)]
pub struct Permit {
    id: u64,
    endpoint: Endpoint,
    validity: watch::Receiver<Instant>,
    reports: mpsc::UnboundedSender<(u64, Report)>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Begun,
    Reported,
}

/// The slot behind a permit has too little validity left to begin a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the slot behind this permit is about to end")]
pub struct TooLate;

impl Gate {
    /// A gate and the queue that its budget serves.
    #[must_use]
    pub fn channel() -> (Gate, GateReceiver) {
        // One question at a time: those that wait do so in the order in which they came.
        let (asks, receiver) = mpsc::channel(1);
        let tenant = Arc::from("");
        (Gate { asks, tenant }, receiver)
    }

    /// The same gate, for requests on behalf of this tenant. Tenants whose requests wait take
    /// turns, one request each.
    #[must_use]
    pub fn for_tenant(&self, tenant: &str) -> Self {
        Gate {
            asks: self.asks.clone(),
            tenant: Arc::from(tenant),
        }
    }

    /// Waits, as long as it takes, for leave to send one request to `endpoint`.
    ///
    /// Dropping the future withdraws the question.
    ///
    /// # Errors
    /// [`Closed`] once the budget's task has ended.
    pub async fn permit(&self, endpoint: Endpoint) -> Result<Permit, Closed> {
        loop {
            let (reply, answer) = oneshot::channel();
            let ask = Ask {
                endpoint,
                tenant: self.tenant.clone(),
                reply,
            };
            self.asks.send(ask).await.map_err(|_| Closed)?;
            // A question that the budget dropped without an answer is asked again.
            if let Ok(permit) = answer.await {
                return Ok(permit);
            }
        }
    }
}

impl Permit {
    /// A permit with the number `id`.
    ///
    /// `validity` holds the moment at which the slot behind it ends, and moves on when the slot is
    /// renewed; the request's connection is closed when that moment has come. `reports` takes the
    /// outcome.
    #[must_use]
    pub fn new(
        id: u64,
        validity: watch::Receiver<Instant>,
        reports: mpsc::UnboundedSender<(u64, Report)>,
    ) -> Self {
        Permit {
            id,
            endpoint: Endpoint::Other,
            validity,
            reports,
            state: State::Fresh,
        }
    }

    /// Its number, which outcomes and logs carry.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What its request is for, to be told before it begins. [`Endpoint::Other`] if nothing is.
    pub fn use_for(&mut self, endpoint: Endpoint) {
        self.endpoint = endpoint;
    }

    /// To be called right before the request's first byte leaves.
    ///
    /// # Errors
    /// [`TooLate`] if the slot has less than [`START_MARGIN`] left at `now`; nothing may be sent.
    pub fn begin(&mut self, now: Instant) -> Result<(), TooLate> {
        if *self.validity.borrow() < now + START_MARGIN {
            return Err(TooLate);
        }
        self.state = State::Begun;
        // A budget that has ended wants no reports.
        let _ = self.reports.send((self.id, Report::Begun(self.endpoint)));
        Ok(())
    }

    /// Returns once the slot behind this permit has ended without being renewed.
    pub async fn expired(&self) {
        let mut validity = self.validity.clone();
        loop {
            let end = *validity.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep_until(end) => {
                    // An extension that arrived in the same instant still counts.
                    if *validity.borrow() <= Instant::now() {
                        return;
                    }
                }
                changed = validity.changed() => if changed.is_err() {
                    tokio::time::sleep_until(end).await;
                    return;
                }
            }
        }
    }

    /// Was the request begun, and has its slot been over for so long at `now` that this process must have been
    /// stopped in between? It closes the connection at the end of the slot otherwise. Such a request may have
    /// left after that end: no CA checks whose turn it is.
    #[must_use]
    pub fn is_late(&self, now: Instant) -> bool {
        self.state == State::Begun && *self.validity.borrow() + PROMPT < now
    }

    /// To be called before the outcome is reported of a request that the CA, or the way to it, left without an answer.
    pub fn unanswered(&self, reason: &'static str, message: String) {
        let unanswered = Unanswered { reason, message };
        // A budget that has ended wants no reports.
        let _ = self.reports.send((self.id, Report::Unanswered(unanswered)));
    }

    /// Reports what became of the request.
    pub fn answered(mut self, outcome: Outcome) {
        self.report(outcome);
    }

    fn report(&mut self, outcome: Outcome) {
        self.state = State::Reported;
        // A budget that has ended wants no reports.
        let _ = self.reports.send((self.id, Report::Ended(outcome)));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match self.state {
            State::Fresh => self.report(Outcome::NotSent),
            State::Begun => self.report(Outcome::Lost),
            State::Reported => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(
        id: u64,
        end: Instant,
    ) -> (
        Permit,
        watch::Sender<Instant>,
        mpsc::UnboundedReceiver<(u64, Report)>,
    ) {
        let (validity, watched) = watch::channel(end);
        let (reports, outcomes) = mpsc::unbounded_channel();
        (Permit::new(id, watched, reports), validity, outcomes)
    }

    #[tokio::test]
    async fn a_begun_permit_that_is_dropped_in_silence_is_reported_lost_once() {
        let (mut permit, _validity, mut outcomes) = permit(7, Instant::now() + Duration::from_secs(10));
        permit.use_for(Endpoint::NewOrder);
        permit.begin(Instant::now()).unwrap();
        let begun = Report::Begun(Endpoint::NewOrder);
        assert_eq!(outcomes.recv().await, Some((7, begun)));
        drop(permit);
        assert_eq!(outcomes.recv().await, Some((7, Report::Ended(Outcome::Lost))));
        assert_eq!(outcomes.recv().await, None);
    }

    #[tokio::test]
    async fn a_permit_that_was_never_begun_is_reported_not_sent() {
        let (permit, _validity, mut outcomes) = permit(6, Instant::now());
        drop(permit);
        assert_eq!(outcomes.recv().await, Some((6, Report::Ended(Outcome::NotSent))));
    }

    #[tokio::test]
    async fn an_answered_permit_reports_its_outcome_and_nothing_more() {
        let (permit, _validity, mut outcomes) = permit(8, Instant::now());
        permit.answered(Outcome::NotSent);
        assert_eq!(outcomes.recv().await, Some((8, Report::Ended(Outcome::NotSent))));
        assert_eq!(outcomes.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_slot_keeps_its_permits_alive() {
        let begin = Instant::now();
        let (permit, validity, _outcomes) = permit(1, begin + Duration::from_secs(10));
        let renewal = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            validity.send(begin + Duration::from_secs(19)).unwrap();
        };
        tokio::join!(permit.expired(), renewal);
        assert_eq!(begin.elapsed().as_secs(), 19);
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_outlives_a_budget_that_went_away_until_its_own_end() {
        let begin = Instant::now();
        let (permit, validity, _outcomes) = permit(1, begin + Duration::from_secs(10));
        drop(validity);
        permit.expired().await;
        assert_eq!(begin.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_begun_in_the_last_two_seconds() {
        let begin = Instant::now();
        let (mut permit, _validity, _outcomes) = permit(1, begin + Duration::from_secs(10));
        assert_eq!(permit.begin(begin + Duration::from_millis(8_001)), Err(TooLate));
        assert_eq!(permit.begin(begin + Duration::from_secs(8)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_whose_slot_ended_while_the_process_was_stopped_is_late() {
        let begin = Instant::now();
        let (mut permit, _validity, _outcomes) = permit(1, begin + Duration::from_secs(10));
        let woken = begin + Duration::from_secs(30);
        assert!(!permit.is_late(woken), "it was not begun");
        permit.begin(begin).unwrap();
        assert!(permit.is_late(woken));
        assert!(!permit.is_late(begin + Duration::from_secs(10)));
    }

    #[tokio::test]
    async fn a_question_that_is_dropped_unanswered_is_asked_again() {
        let (gate, mut asks) = Gate::channel();
        let (_validity, watched) = watch::channel(Instant::now());
        let (reports, _outcomes) = mpsc::unbounded_channel();
        let budget = async {
            drop(asks.recv().await.unwrap());
            let ask = asks.recv().await.unwrap();
            ask.reply.send(Permit::new(3, watched, reports)).unwrap();
        };
        let (permit, ()) = tokio::join!(gate.permit(Endpoint::Other), budget);
        assert_eq!(permit.unwrap().id(), 3);
    }

    #[tokio::test]
    async fn a_gate_whose_budget_has_ended_says_so() {
        let (gate, asks) = Gate::channel();
        drop(asks);
        assert_eq!(gate.permit(Endpoint::Other).await.unwrap_err(), Closed);
    }
}
