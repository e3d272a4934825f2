//! Are the requests that leave within the budget in force (I1, I2)?
//!
//! A lowered budget binds other holders at their next renewal, at the latest when their slots expire; so what leaves
//! is judged against the largest figures of the last 15 s.

use std::collections::{BTreeMap, VecDeque};

use sancho_limiter::{Budget, Endpoint};

/// How long a lowered figure may still be used, in microseconds.
const GRACE: u64 = 15_000_000;

/// One [`Bucket`] for all requests, and one for each endpoint while it has a limit of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    whole: Bucket,
    apart: BTreeMap<Endpoint, Bucket>,
}

/// A leaky bucket: it overflows if, and only if, some window holds more requests than it may.
#[derive(Clone, Debug, Default)]
struct Bucket {
    in_force: VecDeque<(u64, Figures)>,
    level: f64,
    at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Figures {
    rate: f64,
    burst: u32,
    in_flight: u32,
}

impl Meter {
    /// From `now` on the Lease says `budget`.
    pub(crate) fn in_force(&mut self, budget: &Budget, now: u64) {
        let figures = Figures {
            rate: budget.rate(),
            burst: budget.burst,
            in_flight: budget.max_in_flight.max(1),
        };
        self.whole.in_force(figures, now);
        for endpoint in [Endpoint::NewNonce, Endpoint::NewOrder] {
            match budget.sub_rate(endpoint) {
                Some(sub_rate) => {
                    let figures = Figures {
                        rate: sub_rate.requests_per_second.0,
                        burst: sub_rate.burst,
                        in_flight: u32::MAX,
                    };
                    self.apart.entry(endpoint).or_default().in_force(figures, now);
                }
                None => drop(self.apart.remove(&endpoint)),
            }
        }
    }

    /// A request for `endpoint` leaves at `now`, and so many are unanswered with it. Returns what is wrong with that.
    pub(crate) fn leaves(&mut self, endpoint: Endpoint, now: u64, in_flight: usize) -> Option<String> {
        let own = self.apart.get_mut(&endpoint);
        let own = own.and_then(|bucket| bucket.leaves(now, 0));
        let whole = self.whole.leaves(now, in_flight);
        whole.or_else(|| own.map(|words| format!("{endpoint} alone: {words}")))
    }
}

impl Bucket {
    fn in_force(&mut self, figures: Figures, now: u64) {
        self.leak(now);
        if let Some((until, _)) = self.in_force.back_mut() {
            *until = now;
        }
        self.in_force.push_back((u64::MAX, figures));
    }

    /// A request leaves at `now`, and so many are unanswered with it. Returns what is wrong with that.
    fn leaves(&mut self, now: u64, in_flight: usize) -> Option<String> {
        let Figures {
            rate,
            burst,
            in_flight: most_in_flight,
        } = self.leak(now);
        self.level += 1.0;
        if self.level > 1.0 + f64::from(burst) + 1e-3 {
            return Some(format!(
                "I1: {:.3} requests at once, at {rate} a second, burst {burst}",
                self.level
            ));
        }
        (in_flight > most_in_flight as usize)
            .then(|| format!("I2: {in_flight} requests in flight, {most_in_flight} allowed"))
    }

    /// Returns the largest figures in force.
    fn leak(&mut self, now: u64) -> Figures {
        while self
            .in_force
            .front()
            .is_some_and(|(until, _)| until.saturating_add(GRACE) < now)
        {
            self.in_force.pop_front();
        }
        let none = Figures {
            rate: 0.0,
            burst: 0,
            in_flight: 0,
        };
        let largest = self.in_force.iter().fold(none, |largest, (_, figures)| Figures {
            rate: largest.rate.max(figures.rate),
            burst: largest.burst.max(figures.burst),
            in_flight: largest.in_flight.max(figures.in_flight),
        });
        self.level = (self.level - largest.rate * (now - self.at) as f64 / 1e6).max(0.0);
        self.at = now;
        largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_burst_at_once_is_an_excess_and_so_is_a_lowered_rate_after_its_time() {
        let mut meter = Meter::default();
        meter.in_force(&Budget::new(10.0, 1, 9), 0);
        assert_eq!(meter.leaves(Endpoint::Other, 0, 1), None);
        assert_eq!(meter.leaves(Endpoint::Other, 0, 1), None);
        assert!(meter.leaves(Endpoint::Other, 0, 1).is_some());
        meter.in_force(&Budget::new(1.0, 0, 9), 1_000_000);
        assert_eq!(meter.leaves(Endpoint::Other, 15_900_000, 1), None);
        assert_eq!(
            meter.leaves(Endpoint::Other, 16_000_000, 1),
            None,
            "the larger budget may still bind"
        );
        assert!(meter.leaves(Endpoint::Other, 16_100_000, 1).is_some());
    }

    #[test]
    fn too_many_in_flight_are_an_excess() {
        let mut meter = Meter::default();
        meter.in_force(&Budget::new(10.0, 5, 2), 0);
        assert_eq!(meter.leaves(Endpoint::Other, 0, 2), None);
        assert!(meter.leaves(Endpoint::Other, 0, 3).is_some());
    }
}
