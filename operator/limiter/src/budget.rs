//! What all replicas together may send to one CA, and how it is cut into slots.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::endpoint::{Apart, Endpoint};

/// Requests per second that are worth one slot.
const RATE_PER_SLOT: f64 = 20.0;
/// More slots than this only add bookkeeping.
const MOST_SLOTS: u32 = 4;
/// The slowest rate that is searched for: one request in 30 s.
pub(crate) const SLOWEST: f64 = 1.0 / 30.0;
/// The slowest rate that is kept: one request in 100 s. Anything slower, zero, or no number counts as it.
const LEAST: f64 = 0.01;
/// The fastest rate that is kept: one request per millisecond.
const FASTEST: f64 = 1000.0;
/// The spacing is this much wider than the rate asks for: the CA's clock and ours run apart, and what the
/// CA counts is arrivals, which the network pushes together.
const SPACING_FACTOR: f64 = 1.02;
/// Of the burst, what the rate brings in this many seconds stays unused, for the same reason.
const JITTER_SECONDS: f64 = 0.015;

/// A budget toward one CA, for all replicas together.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Requests per second.
    pub requests_per_second: f64,
    /// Requests that may arrive at once beyond the first.
    pub burst: u32,
    /// Requests that may be unanswered at once.
    pub max_in_flight: u32,
    /// What newNonce bears, where that is less. Such requests count toward the budget as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_nonce: Option<SubRate>,
    /// The same of newOrder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_order: Option<SubRate>,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The limit of one endpoint within a budget.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubRate {
    /// Requests per second.
    pub requests_per_second: PerSecond,
    /// Requests that may arrive at once beyond the first.
    pub burst: u32,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Requests per second.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerSecond(pub f64);

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A thousandth is more than anybody wants to know.
        write!(f, "{}", (self.0 * 1000.0).round() / 1000.0)
    }
}

impl PartialEq for PerSecond {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for PerSecond {}

impl Hash for PerSecond {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// Where a budget's figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Source {
    /// A ClusterIssuer or the operator's configuration names them.
    Given,
    /// The CA publishes them ([`published`](crate::published)).
    Published,
    /// Nobody named any: they are found out, beginning at [`Budget::unknown_ca`].
    Discovered,
}

impl SubRate {
    /// `requests_per_second`, with `burst` more at once.
    pub const fn new(requests_per_second: f64, burst: u32) -> Self {
        Self {
            requests_per_second: PerSecond(requests_per_second),
            burst,
            unknown: BTreeMap::new(),
        }
    }

    fn same_figures(&self, other: &Self) -> bool {
        (self.requests_per_second, self.burst) == (other.requests_per_second, other.burst)
    }

    fn as_budget(&self) -> Budget {
        Budget::new(self.requests_per_second.0, self.burst, u32::MAX)
    }

    /// The lower of the two, figure by figure; where there is only one, that.
    fn lower(a: Option<&Self>, b: Option<&Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(Self::new(
                a.requests_per_second.0.min(b.requests_per_second.0),
                a.burst.min(b.burst),
            )),
            (only, None) | (None, only) => only.cloned(),
        }
    }
}

impl Budget {
    /// A budget of `requests_per_second`, with `burst` more at once and `max_in_flight` unanswered.
    pub fn new(requests_per_second: f64, burst: u32, max_in_flight: u32) -> Self {
        Self {
            requests_per_second,
            burst,
            max_in_flight,
            new_nonce: None,
            new_order: None,
            unknown: BTreeMap::new(),
        }
    }

    /// Where the search begins when nothing is known: one request a second, one in flight, no burst.
    pub fn unknown_ca() -> Self {
        Self::new(1.0, 0, 1)
    }

    /// The number of slots that suits this budget: one per 20 requests a second (rounded), at least 1, at
    /// most 4, `max_in_flight` and `burst + 1`, also that of each endpoint with a limit of its own: who holds a
    /// slot can send anything.
    pub fn slots(&self) -> u32 {
        // The figure is between 0 and 50, so the cast is exact.
        let by_rate = (self.rate() / RATE_PER_SLOT).round() as u32;
        let bursts = Endpoint::APART
            .into_iter()
            .filter_map(|endpoint| self.sub_rate(endpoint))
            .map(|sub_rate| sub_rate.burst);
        let burst = bursts.fold(self.burst, u32::min);
        by_rate
            .min(MOST_SLOTS)
            .min(burst.saturating_add(1))
            .min(self.max_in_flight)
            .max(1)
    }

    /// The limit that `endpoint` has of its own, if any.
    pub fn sub_rate(&self, endpoint: Endpoint) -> Option<&SubRate> {
        match endpoint {
            Endpoint::NewNonce => self.new_nonce.as_ref(),
            Endpoint::NewOrder => self.new_order.as_ref(),
            Endpoint::Other => None,
        }
    }

    /// Changes it. [`Endpoint::Other`] has none.
    pub(crate) fn set_sub_rate(&mut self, endpoint: Endpoint, sub_rate: Option<SubRate>) {
        match endpoint {
            Endpoint::NewNonce => self.new_nonce = sub_rate,
            Endpoint::NewOrder => self.new_order = sub_rate,
            Endpoint::Other => {}
        }
    }

    /// The rate that is paced by: `requests_per_second`, held to sane bounds.
    pub fn rate(&self) -> f64 {
        if self.requests_per_second.is_finite() {
            self.requests_per_second.clamp(LEAST, FASTEST)
        } else {
            LEAST
        }
    }

    /// The time between two requests at this rate.
    pub fn spacing(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate())
    }

    /// Figure by figure the lower of the two.
    pub(crate) fn lower(&self, other: &Self) -> Self {
        Self {
            new_nonce: SubRate::lower(self.new_nonce.as_ref(), other.new_nonce.as_ref()),
            new_order: SubRate::lower(self.new_order.as_ref(), other.new_order.as_ref()),
            ..Self::new(
                self.rate().min(other.rate()),
                self.burst.min(other.burst),
                self.max_in_flight.min(other.max_in_flight),
            )
        }
    }

    /// Do both name the same figures? Unknown fields do not count.
    pub(crate) fn same_figures(&self, other: &Self) -> bool {
        self.requests_per_second.to_bits() == other.requests_per_second.to_bits()
            && self.burst == other.burst
            && self.max_in_flight == other.max_in_flight
            && Endpoint::APART.into_iter().all(|endpoint| {
                match (self.sub_rate(endpoint), other.sub_rate(endpoint)) {
                    (Some(one), Some(other)) => one.same_figures(other),
                    (one, other) => one.is_none() && other.is_none(),
                }
            })
    }

    /// What slot `number` of `slots` carries of the limits that endpoints have of their own; `None` where there is
    /// none.
    pub(crate) fn shares_apart(&self, slots: u32, number: u32) -> Apart<Option<Share>> {
        Apart::each(|endpoint| Some(self.sub_rate(endpoint)?.as_budget().share(slots, number)))
    }

    /// What slot `number` of `slots` carries.
    pub(crate) fn share(&self, slots: u32, number: u32) -> Share {
        let slots = slots.max(1);
        let burst = self.burst.saturating_add(1);
        // Each slot keeps at least one token, whatever is left out of the burst.
        let spare = burst.saturating_sub(slots);
        let unused = ((self.rate() * JITTER_SECONDS).ceil() as u32).min(spare);
        // Whole microseconds, as moments have them.
        let micros = (f64::from(slots) * SPACING_FACTOR * 1e6 / self.rate()).ceil();
        let interval = Duration::from_micros(micros as u64);
        Share {
            interval,
            capacity: part(burst - unused, slots, number),
            in_flight: part(self.max_in_flight.max(1), slots, number),
            spaced: self.burst == 0,
        }
    }
}

impl PartialEq for Budget {
    fn eq(&self, other: &Self) -> bool {
        self.same_figures(other)
            && (&self.new_nonce, &self.new_order, &self.unknown)
                == (&other.new_nonce, &other.new_order, &other.unknown)
    }
}

impl Eq for Budget {}

impl Hash for Budget {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.requests_per_second.to_bits().hash(state);
        self.burst.hash(state);
        self.max_in_flight.hash(state);
        self.new_nonce.hash(state);
        self.new_order.hash(state);
        self.unknown.hash(state);
    }
}

/// What one slot carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Share {
    /// Time between two requests, the margin included.
    pub(crate) interval: Duration,
    /// Requests that may leave at once.
    pub(crate) capacity: u32,
    /// Requests that may be unanswered at once.
    pub(crate) in_flight: u32,
    /// The CA bears no two requests back to back, so arrivals are spaced one by one.
    pub(crate) spaced: bool,
}

impl Share {
    /// Figure by figure the lower of the two.
    pub(crate) fn lower(self, other: Self) -> Self {
        Self {
            interval: self.interval.max(other.interval),
            capacity: self.capacity.min(other.capacity),
            in_flight: self.in_flight.min(other.in_flight),
            spaced: self.spaced || other.spaced,
        }
    }
}

/// Part `number` of `whole` cut into `parts`; the remainder goes to the lower numbers.
fn part(whole: u32, parts: u32, number: u32) -> u32 {
    whole / parts + u32::from(number < whole % parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_a_second_with_burst_ten_makes_three_slots_and_one_a_second_makes_one() {
        assert_eq!(Budget::new(60.0, 10, 20).slots(), 3);
        assert_eq!(Budget::new(1.0, 0, 1).slots(), 1);
        assert_eq!(Budget::new(1000.0, 100, 100).slots(), 4);
    }

    #[test]
    fn slots_never_outnumber_the_burst_plus_one_or_the_requests_in_flight() {
        assert_eq!(Budget::new(60.0, 0, 20).slots(), 1);
        assert_eq!(Budget::new(60.0, 1, 20).slots(), 2);
        assert_eq!(Budget::new(60.0, 10, 2).slots(), 2);
        assert_eq!(Budget::new(60.0, 10, 0).slots(), 1);
    }

    #[test]
    fn the_shares_of_all_slots_add_up_to_no_more_than_the_budget() {
        for rate in [0.5, 1.0, 5.0, 20.0, 60.0, 300.0] {
            for burst in 0..12 {
                for max_in_flight in 1..9 {
                    let budget = Budget::new(rate, burst, max_in_flight);
                    let slots = budget.slots();
                    let shares: Vec<_> = (0..slots).map(|number| budget.share(slots, number)).collect();
                    let per_second: f64 = shares.iter().map(|s| 1.0 / s.interval.as_secs_f64()).sum();
                    assert!(per_second <= rate);
                    assert!(shares.iter().map(|s| s.capacity).sum::<u32>() <= burst + 1);
                    assert!(shares.iter().map(|s| s.in_flight).sum::<u32>() <= max_in_flight);
                    assert!(shares.iter().all(|s| s.capacity >= 1 && s.in_flight >= 1));
                }
            }
        }
    }

    #[test]
    fn a_rate_that_is_no_number_counts_as_the_slowest() {
        for rate in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            assert_eq!(Budget::new(rate, 0, 1).spacing(), Duration::from_secs(100));
        }
    }
}
