//! How long the machine waits before it asks again.

use jiff::{SignedDuration, Timestamp};

use super::overdue::LONGEST;
use super::state::{AuthorizationState, OrderState, Stage};

/// The first wait of a short order.
const FIRST: f64 = 1.0;
/// The first wait when more than [`FEW`] challenges were answered: the CA needs longer for them.
const FIRST_OF_MANY: f64 = 2.5;
const FEW: usize = 4;
const GROWTH: f64 = 1.5;
/// The longest wait between two polls.
const POLL_MAX: f64 = 30.0;
/// The longest wait after server errors and missing answers in a row.
const TROUBLE_MAX: f64 = 300.0;
/// The wait after a 429 or 503 that names none. The pace itself is the limiter's business.
const THROTTLED: SignedDuration = SignedDuration::from_secs(2);

impl OrderState {
    /// Wait until the CA can be expected to have got on: as long as it says, else ever longer.
    pub(super) fn wait_for_progress(&mut self, retry_after: Option<Timestamp>, now: Timestamp) {
        let answered = self
            .authorizations
            .iter()
            .filter(|a| a.state == AuthorizationState::Answered)
            .count();
        let first = if self.stage == Stage::Pending && answered > FEW {
            FIRST_OF_MANY
        } else {
            FIRST
        };
        let retry_after = retry_after.map(|until| self.while_waited_for(until, now));
        self.not_before = Some(retry_after.unwrap_or_else(|| after(now, first, self.polls, POLL_MAX)));
    }

    /// Wait after a server error or a missing answer, ever longer.
    pub(super) fn wait_out_trouble(&mut self, retry_after: Option<Timestamp>, now: Timestamp) {
        let wait = after(now, FIRST, self.polls, TROUBLE_MAX);
        let retry_after = retry_after.map(|until| self.while_waited_for(until, now));
        self.not_before = Some(retry_after.map_or(wait, |until| until.max(wait)));
        self.polls = self.polls.saturating_add(1);
    }

    /// However long the CA says to wait, a finalized order is asked about when it is to be given up.
    fn while_waited_for(&self, until: Timestamp, now: Timestamp) -> Timestamp {
        let last = self.finalized.map(|since| plus(since, LONGEST));
        last.filter(|last| *last > now)
            .map_or(until, |last| until.min(last))
    }

    /// Wait after a throttle: it says nothing of the order and does not count.
    pub(super) fn wait_out_throttle(&mut self, retry_after: Option<Timestamp>, now: Timestamp) {
        self.not_before = Some(retry_after.unwrap_or_else(|| plus(now, THROTTLED)));
    }
}

fn after(now: Timestamp, first: f64, polls: u32, max: f64) -> Timestamp {
    // 1.5^20 is beyond every bound.
    let seconds = (first * GROWTH.powi(polls.min(20) as i32)).min(max);
    plus(now, SignedDuration::from_millis((seconds * 1000.0) as i64))
}

fn plus(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
