//! The simulated CA: what it bears, and how it says no.

use std::time::Duration;

use clap::ValueEnum;
use sancho_limiter::{Endpoint, SubRate, Throttle, Unreachable};

use crate::random::Random;

/// How the CA limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// How it says no.
    pub refusal: Refusal,
    /// Requests per second.
    pub requests_per_second: f64,
    /// Requests that may arrive at once beyond the first.
    pub burst: u32,
    /// Requests that it works on at once; more are refused. Absent: any number.
    pub connections: Option<u32>,
    /// A limit of newOrder alone, beside the one for everything. Absent: none.
    pub new_order: Option<SubRate>,
}

/// How a CA says that it was asked too fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Refusal {
    /// Like nginx's `limit_req … nodelay`: 503 without a Retry-After, judged by whole milliseconds.
    Nginx,
    /// Like Boulder: 429 with a Retry-After of whole seconds.
    Boulder,
}

/// A time during which the CA does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it begins, from the start of the run.
    pub from: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What the CA's clients see of it; absent: a request is answered by a 503.
    pub unreachable: Option<Unreachable>,
    /// One request in so many is hit, by chance; 1: each is.
    pub one_in: u64,
}

/// What the CA does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is served.
    Served,
    /// It is refused.
    Refused(Throttle),
    /// There is no answer.
    None(Unreachable),
}

/// The CA at work. Times are microseconds of the run.
#[derive(Clone, Debug)]
pub struct Ca {
    limits: Limits,
    outages: Vec<Outage>,
    /// Of its own, so that a run without outages does not depend on it.
    luck: Random,
    full_at: f64,
    /// The same of newOrder's own limit.
    new_order_full_at: f64,
    in_flight: u32,
    most_in_flight: u32,
    /// Answers the next request so, whatever the limits say.
    pub(crate) next_refusal: Option<Throttle>,
}

impl Ca {
    /// A CA that was not asked anything yet.
    pub fn new(limits: Limits, outages: Vec<Outage>, seed: u64) -> Self {
        Self {
            limits,
            outages,
            luck: Random::new(seed),
            full_at: 0.0,
            new_order_full_at: 0.0,
            in_flight: 0,
            most_in_flight: 0,
            next_refusal: None,
        }
    }

    /// A request for `endpoint` arrives at `now`. What is answered is under way until [`Ca::done`].
    pub fn arrive(&mut self, endpoint: Endpoint, now: u64) -> Answer {
        let at = Duration::from_micros(now);
        let outage = self
            .outages
            .iter()
            .find(|outage| outage.from <= at && at < outage.from + outage.lasts)
            .filter(|outage| self.luck.below(outage.one_in) == 0);
        if let Some(Outage {
            unreachable: Some(unreachable),
            ..
        }) = outage
        {
            return Answer::None(*unreachable);
        }
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
        let is_crowded = self.limits.connections.is_some_and(|most| self.in_flight > most);
        if let Some(throttle) = self.next_refusal.take() {
            return Answer::Refused(throttle);
        }
        if outage.is_some() || is_crowded {
            return Answer::Refused(Throttle { retry_after: None });
        }
        self.admit(endpoint, now)
    }

    /// A request that one limit refuses counts toward none.
    fn admit(&mut self, endpoint: Endpoint, now: u64) -> Answer {
        let now = match self.limits.refusal {
            Refusal::Nginx => (now / 1000) as f64 / 1e3,
            Refusal::Boulder => now as f64 / 1e6,
        };
        let own = self.limits.new_order.as_ref();
        let own = own.filter(|_| endpoint == Endpoint::NewOrder);
        let spacings = (
            1.0 / self.limits.requests_per_second,
            own.map_or(0.0, |own| 1.0 / own.requests_per_second.0),
        );
        let excess = |full_at: f64, burst: u32, spacing: f64| full_at - now - f64::from(burst) * spacing;
        let whole = excess(self.full_at, self.limits.burst, spacings.0);
        let apart = own.map_or(0.0, |own| excess(self.new_order_full_at, own.burst, spacings.1));
        let excess = whole.max(apart);
        if excess <= 1e-6 {
            self.full_at = self.full_at.max(now) + spacings.0;
            if own.is_some() {
                self.new_order_full_at = self.new_order_full_at.max(now) + spacings.1;
            }
            return Answer::Served;
        }
        Answer::Refused(Throttle {
            retry_after: match self.limits.refusal {
                Refusal::Nginx => None,
                Refusal::Boulder => Some(Duration::from_secs_f64(excess.ceil())),
            },
        })
    }

    /// It bears something else from now on.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The answer to a request has left, or its connection is gone.
    pub fn done(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The highest number of requests that it ever worked on at once.
    pub fn most_in_flight(&self) -> u32 {
        self.most_in_flight
    }

    /// What it bears.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(limits: Limits, at_ms: &[u64]) -> Vec<bool> {
        let mut ca = Ca::new(limits, Vec::new(), 1);
        at_ms
            .iter()
            .map(|at| {
                let answer = ca.arrive(Endpoint::Other, at * 1000);
                ca.done();
                answer == Answer::Served
            })
            .collect()
    }

    #[test]
    fn without_a_burst_each_request_needs_its_spacing_and_a_refused_one_costs_nothing() {
        let limits = Limits {
            refusal: Refusal::Nginx,
            requests_per_second: 5.0,
            burst: 0,
            connections: None,
            new_order: None,
        };
        assert_eq!(
            served(limits, &[0, 199, 200, 300, 400]),
            [true, false, true, false, true]
        );
    }

    #[test]
    fn boulder_says_when_to_come_back() {
        let mut ca = Ca::new(
            Limits {
                refusal: Refusal::Boulder,
                requests_per_second: 0.5,
                burst: 0,
                connections: None,
                new_order: None,
            },
            Vec::new(),
            1,
        );
        assert_eq!(ca.arrive(Endpoint::Other, 0), Answer::Served);
        let two_seconds = Throttle {
            retry_after: Some(Duration::from_secs(2)),
        };
        assert_eq!(ca.arrive(Endpoint::Other, 500_000), Answer::Refused(two_seconds));
    }

    #[test]
    fn more_connections_than_it_bears_are_refused() {
        let mut ca = Ca::new(
            Limits {
                refusal: Refusal::Nginx,
                requests_per_second: 100.0,
                burst: 10,
                connections: Some(1),
                new_order: None,
            },
            Vec::new(),
            1,
        );
        assert_eq!(ca.arrive(Endpoint::Other, 0), Answer::Served);
        assert_eq!(
            ca.arrive(Endpoint::Other, 1000),
            Answer::Refused(Throttle { retry_after: None })
        );
    }
}
