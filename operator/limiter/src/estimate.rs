//! How long waiting requests will take.

use std::iter::Sum;
use std::ops::{Add, AddAssign, SubAssign};
use std::time::Duration;

use crate::budget::Budget;
use crate::endpoint::Endpoint;

/// What something still takes at the CA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests, those for newOrder included.
    pub requests: u64,
    /// Of these, how many are for newOrder, which may have a limit of its own.
    pub new_orders: u64,
}

impl From<u64> for Cost {
    /// So many requests, none of them for newOrder.
    fn from(requests: u64) -> Self {
        Self {
            requests,
            new_orders: 0,
        }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            new_orders: self.new_orders.saturating_add(other.new_orders),
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Cost {
    fn sub_assign(&mut self, other: Self) {
        self.requests = self.requests.saturating_sub(other.requests);
        self.new_orders = self.new_orders.saturating_sub(other.new_orders);
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}

impl Cost {
    /// The part of it that is done with its first `requests`, if it is all alike.
    pub(crate) fn first(self, requests: u64) -> Self {
        if requests >= self.requests {
            return self;
        }
        // Fewer than there are, so it fits.
        let new_orders = u128::from(self.new_orders) * u128::from(requests) / u128::from(self.requests);
        Self {
            requests,
            new_orders: u64::try_from(new_orders).unwrap_or(u64::MAX),
        }
    }
}

/// So much does one answer's time count in the mean.
const WEIGHT: f64 = 0.1;

/// How long answers take lately: an exponentially weighted mean.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerTime {
    seconds: Option<f64>,
}

impl AnswerTime {
    /// An answer took this long, from its request's first byte.
    pub fn note(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.seconds = Some(match self.seconds {
            Some(mean) => mean + WEIGHT * (took - mean),
            None => took,
        });
    }

    /// How long all replicas together take for `cost` more, all of it waiting already, of which nothing is sent
    /// during a `pause` that is still to come.
    ///
    /// The rate, the requests in flight or the rate of newOrder alone hold it back. It is right within a factor of
    /// two while the figures stay as they are; while a rate is being searched for it is what the rate of now would
    /// need.
    pub fn estimate(&self, cost: Cost, budget: &Budget, pause: Duration) -> Duration {
        let answer = self.seconds.unwrap_or(0.0).max(1e-6);
        let rate = budget.rate().min(f64::from(budget.max_in_flight.max(1)) / answer);
        let rate_apart = budget
            .sub_rate(Endpoint::NewOrder)
            .map_or(rate, |sub_rate| sub_rate.requests_per_second.0.min(rate));
        // Floats of no great size: what is lost by the casts is less than a request.
        let seconds = (cost.requests as f64 / rate).max(cost.new_orders as f64 / rate_apart);
        pause.saturating_add(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::SubRate;

    const PAUSE: Duration = Duration::from_secs(30);

    #[test]
    fn what_holds_back_longest_counts_be_it_all_requests_or_those_for_new_order() {
        let answers = AnswerTime::default();
        let mut budget = Budget::new(10.0, 5, 1);
        budget.set_sub_rate(Endpoint::NewOrder, Some(SubRate::new(0.5, 0)));
        let estimate = |requests, new_orders| {
            let cost = Cost { requests, new_orders };
            answers.estimate(cost, &budget, Duration::ZERO).as_secs()
        };
        assert_eq!(estimate(800, 100), 200);
        assert_eq!(estimate(8000, 100), 800);
    }

    #[test]
    fn of_a_part_as_much_is_for_new_order_as_of_the_whole() {
        let cost = Cost {
            requests: 80,
            new_orders: 10,
        };
        let part = Cost {
            requests: 24,
            new_orders: 3,
        };
        assert_eq!(cost.first(24), part);
        assert_eq!(cost.first(100), cost);
        assert_eq!(Cost::default().first(0), Cost::default());
    }

    #[test]
    fn the_rate_holds_back_or_the_requests_in_flight_do_and_a_pause_comes_on_top() {
        let mut answers = AnswerTime::default();
        let budget = Budget::new(10.0, 5, 1);
        assert_eq!(
            answers.estimate(100.into(), &budget, Duration::ZERO),
            Duration::from_secs(10)
        );
        answers.note(Duration::from_millis(500));
        assert_eq!(
            answers.estimate(100.into(), &budget, PAUSE),
            Duration::from_secs(80)
        );
    }

    #[test]
    fn one_slow_answer_changes_little_and_many_change_much() {
        let mut answers = AnswerTime::default();
        let budget = Budget::new(100.0, 5, 1);
        let estimate =
            |answers: &AnswerTime| answers.estimate(10.into(), &budget, Duration::ZERO).as_secs_f64();
        answers.note(Duration::from_millis(100));
        answers.note(Duration::from_millis(1100));
        assert!((estimate(&answers) - 2.0).abs() < 0.01);
        for _ in 0..50 {
            answers.note(Duration::from_millis(1100));
        }
        assert!(estimate(&answers) > 10.0);
    }
}
