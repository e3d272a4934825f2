//! One slot's token bucket, by the generic cell rate algorithm (GCRA).
//!
//! A request counts from the moment at which it leaves, which may be later than it was granted: a connection is to be
//! opened first, or the process does not get to run. Until then its token is kept for it, so that those that are
//! granted meanwhile do not arrive at the CA together with it and exceed the burst.

use std::time::Duration;

use crate::budget::Share;
use crate::moment::Moment;

/// At burst 0 the CA judges each arrival against the one before, to the millisecond. While the one before
/// is unanswered nobody knows when it arrived, so the next waits this much longer.
const MARGIN_UNANSWERED: Duration = Duration::from_millis(15);
/// Answers take up to so many times as long as the quickest one, if nothing is amiss.
const USUAL_SLACK: u32 = 3;
/// Once it is answered, the answer bounds its arrival; left are rounding and scheduling.
const MARGIN_ANSWERED: Duration = Duration::from_millis(5);

/// When the next request may leave.
///
/// `full_at` is the moment at which the bucket is full again if nothing leaves ("theoretical arrival time"
/// in the literature). A request may leave once at most `capacity - 1` intervals are missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pacer {
    share: Share,
    full_at: Moment,
}

impl Pacer {
    /// A bucket that is full at `full_at`.
    pub(crate) fn full_at(share: Share, full_at: Moment) -> Self {
        Self { share, full_at }
    }

    /// A bucket that is empty at `now`.
    pub(crate) fn empty(share: Share, now: Moment) -> Self {
        Self {
            share,
            full_at: now + share.interval * share.capacity,
        }
    }

    pub(crate) fn share(&self) -> Share {
        self.share
    }

    /// The moment at which the next request may be granted while `unbegun` granted ones have not left yet; `None` for
    /// a slot without capacity, or none to spare before one of them leaves.
    pub(crate) fn ready_at(&self, unbegun: u32) -> Option<Moment> {
        let spare = self.share.capacity.checked_sub(1)?.checked_sub(unbegun)?;
        Some(self.full_at.before(self.share.interval * spare))
    }

    /// The moment at which the bucket is full: nothing that has left before counts any more.
    pub(crate) fn rested_at(&self) -> Moment {
        self.full_at
    }

    /// A request leaves at `now`.
    pub(crate) fn spend(&mut self, now: Moment) {
        self.full_at = self.full_at.max(now) + self.share.interval;
        if self.share.spaced {
            self.full_at = self.full_at + self.margin(MARGIN_UNANSWERED);
        }
    }

    /// A granted request leaves at `now`; `quickest` is how long the quickest answer ever took.
    ///
    /// At burst 0 an answer that usually comes well within the interval and has not come by its end means
    /// that the request was held up on its way, nobody knows for how long. Then the next waits for the
    /// answer, but no longer than one more interval: it may never come.
    pub(crate) fn begun(&mut self, now: Moment, quickest: Option<Duration>) {
        self.spend(now);
        if self.share.spaced && self.share.capacity == 1 {
            let interval = self.share.interval;
            let is_slow = quickest.is_some_and(|quickest| quickest * USUAL_SLACK >= interval);
            let patience = if is_slow {
                self.margin(MARGIN_UNANSWERED)
            } else {
                interval
            };
            self.full_at = self.full_at.max(now + interval + patience);
        }
    }

    /// The request that left last, at `left`, has been answered at `now`, and the quickest answer ever took
    /// `quickest`. At burst 0 it reached the CA no later than `now - quickest` plus the way there, so the
    /// next leaves one interval after that.
    pub(crate) fn answered(&mut self, left: Moment, now: Moment, quickest: Duration) {
        if self.share.spaced && self.share.capacity == 1 {
            let arrived = left.max(now.before(quickest));
            self.full_at = arrived + self.share.interval + self.margin(MARGIN_ANSWERED);
        }
    }

    /// Changes what the slot carries; tokens are never gained by it.
    pub(crate) fn reshare(&mut self, share: Share, now: Moment) {
        if share == self.share {
            return;
        }
        let missing = self.full_at.since(now);
        let old = self.share.interval.as_secs_f64().max(1e-6);
        let tokens =
            (f64::from(self.share.capacity) - missing.as_secs_f64() / old).min(f64::from(share.capacity));
        let lacking = (f64::from(share.capacity) - tokens).max(0.0);
        self.full_at = now + share.interval.mul_f64(lacking);
        self.share = share;
    }

    /// What is missing to a full bucket at `now`, as a time: what a released slot carries over.
    pub(crate) fn wait(&self, now: Moment) -> Duration {
        self.full_at.since(now)
    }

    /// Margins never cost more than a quarter of the interval.
    fn margin(&self, wanted: Duration) -> Duration {
        wanted.min(self.share.interval / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    fn at(millis: u64) -> Moment {
        Moment::from_micros(millis * 1000)
    }

    #[test]
    fn a_full_bucket_lets_its_capacity_go_at_once_and_then_keeps_the_interval() {
        let share = Budget::new(10.0, 4, 9).share(1, 0);
        assert_eq!(share.capacity, 4);
        let mut pacer = Pacer::full_at(share, at(0));
        for _ in 0..4 {
            assert!(pacer.ready_at(0).unwrap() <= at(1000));
            pacer.spend(at(1000));
        }
        assert_eq!(pacer.ready_at(0).unwrap(), at(1102));
    }

    #[test]
    fn at_burst_zero_the_next_leaves_one_interval_after_the_last_one_arrived() {
        let share = Budget::new(5.0, 0, 1).share(1, 0);
        let mut pacer = Pacer::full_at(share, at(0));
        pacer.spend(at(1000));
        assert_eq!(pacer.ready_at(0).unwrap(), at(1000 + 204 + 15));
        // A slow start (a TLS handshake, say) of 60 ms, where the quickest answer took 10 ms.
        pacer.answered(at(1000), at(1060), Duration::from_millis(10));
        assert_eq!(pacer.ready_at(0).unwrap(), at(1050 + 204 + 5));
    }

    #[test]
    fn at_burst_zero_an_answer_that_is_overdue_is_waited_for_but_not_for_ever() {
        let share = Budget::new(5.0, 0, 16).share(1, 0);
        let mut pacer = Pacer::full_at(share, at(0));
        pacer.begun(at(1000), Some(Duration::from_millis(5)));
        assert_eq!(pacer.ready_at(0).unwrap(), at(1000 + 2 * 204));
        // It was held up for 230 ms.
        pacer.answered(at(1000), at(1230), Duration::from_millis(5));
        assert_eq!(pacer.ready_at(0).unwrap(), at(1225 + 204 + 5));
        // Of a CA that always takes long nothing can be told from that.
        pacer.begun(at(2000), Some(Duration::from_millis(80)));
        assert_eq!(pacer.ready_at(0).unwrap(), at(2000 + 204 + 15));
    }

    #[test]
    fn a_request_counts_from_when_it_leaves_and_its_token_is_kept_until_then() {
        let share = Budget::new(10.0, 4, 9).share(1, 0);
        let mut pacer = Pacer::full_at(share, at(0));
        assert_eq!(share.capacity, 4);
        for unbegun in 0..4 {
            assert!(pacer.ready_at(unbegun).unwrap() <= at(1000));
        }
        assert_eq!(pacer.ready_at(4), None, "whatever the time");
        // They were granted at 1000 ms, and their connections took half a second.
        for unbegun in [3, 2, 1, 0] {
            pacer.begun(at(1500), None);
            assert_eq!(pacer.ready_at(unbegun).unwrap(), at(1602));
        }
    }

    #[test]
    fn an_empty_bucket_waits_one_interval() {
        let share = Budget::new(10.0, 4, 9).share(1, 0);
        assert_eq!(Pacer::empty(share, at(0)).ready_at(0).unwrap(), at(102));
    }

    #[test]
    fn a_larger_share_brings_no_tokens() {
        let one_of_three = Budget::new(60.0, 10, 9).share(3, 0);
        let all = Budget::new(60.0, 10, 9).share(1, 0);
        let mut pacer = Pacer::full_at(one_of_three, at(0));
        for _ in 0..one_of_three.capacity {
            pacer.spend(at(0));
        }
        pacer.reshare(all, at(0));
        assert_eq!(pacer.ready_at(0).unwrap(), at(17));
    }

    #[test]
    fn a_slot_without_capacity_is_never_ready() {
        let mut pacer = Pacer::full_at(Budget::new(5.0, 0, 1).share(1, 0), at(0));
        pacer.reshare(Budget::new(5.0, 0, 1).share(2, 1), at(0));
        assert_eq!(pacer.ready_at(0), None);
    }
}
