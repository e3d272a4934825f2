//! What a CA bears, found out by asking it: the state of the search, as it stands in the Lease.
//!
//! # How a rate is found
//!
//! - [`Stage::Pair`]: nothing is known. Two requests in a row, the second right after the first one's answer,
//!   tell whether the CA bears a burst at all. The burst is not searched for any further.
//! - [`Stage::Doubling`]: the rate doubles while all goes well and the rate is what holds requests back.
//! - [`Stage::Bisecting`]: after the first refusal, between the rate that was borne and the one that was refused.
//!   A rate counts as borne after 20 requests and 30 s at it, because a burst hides a small excess for seconds.
//!   When refusals come in a row, the cuts get deeper.
//! - [`Stage::Holding`]: found. [`Stage::Trying`]: once in a while 5 % more. After a good try the step doubles and
//!   the next comes in 5 min; after a refused one the rate is the old one again, and the wait doubles.
//!
//! Refusals that have nothing to do with the rate, such as those of a CA of which one server in three fails, lower it
//! further and further. So a rate that ended at less than a quarter of the one that was held before is looked for
//! again, by doubling, after 1 and 10 min. If it ends as low, it is believed.
//!
//! One dimension at a time: the requests in flight start at 1 and are raised only while they, and not the rate,
//! hold requests back; a refusal then takes that step back and leaves the rate alone. Where the rate has nowhere
//! to go, or does not hold requests back, the tries are of more in flight.
//!
//! A refusal is always followed by a pause and **one probe**. A rate that is held was borne before, so only if the
//! probe gets through has the CA become slower, and the rate is lowered; if the probe is refused as well, it is
//! an outage and lowers nothing. The same at the slowest rate there is, one request in 30 s, and when the CA
//! cannot be reached. During the search the figures are lowered before the probe; if three probes fail, it was an
//! outage, and the search goes on from where it was. A refusal within 10 min after an outage is believed at once,
//! since a CA that is merely too slow for the rate looks like one outage after another.
//!
//! An endpoint that alone is refused, time and again, has a limit of its own (`discovery/apart.rs`).
//!
//! A given budget, or a CA's published limits, are a ceiling: the search starts at it, holding, and never
//! exceeds it.
//!
//! # Guarantees
//!
//! Each change of the figures, and each refusal that counts, makes a new epoch; refusals of requests that were
//! granted under an earlier epoch count nothing (I6). Time passes through the Lease as durations only.

mod apart;
mod evidence;
mod known;
mod search;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::apart::{EndpointSearch, Suspect};
pub(crate) use self::evidence::{Evidence, Finding, HeldBack, SOON};
pub use self::known::published;
use crate::budget::{Budget, PerSecond, Source};
use crate::durations::millis;
use crate::endpoint::Endpoint;
use crate::event::Unreachable;

/// The first try of more comes after this, and so does the next after a refused one, doubled each time.
const FIRST_TRY: Duration = Duration::from_secs(3600);
use self::search::FIRST_STEP;

/// What has been found out about a CA, and how far the search is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Discovery {
    /// How far the search is.
    pub stage: Stage,
    /// The figures that are never exceeded: those given or published. Absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Budget>,
    /// The highest rate that was borne, in requests per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub borne: Option<PerSecond>,
    /// The lowest rate above it that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<PerSecond>,
    /// Requests in this epoch that went well and that the rate held back.
    #[serde(default)]
    pub proof: u32,
    /// Requests in this epoch that went well and that the number in flight held back.
    #[serde(default)]
    pub crowded: u32,
    /// Refusals in a row, with no rate borne between them.
    #[serde(default)]
    pub refusals: u32,
    /// The highest rate that was held before refusals lowered it, in requests per second, until it is there again or a
    /// try of more than the lower one was refused. If the lower one is far lower, it may be that of a bad hour, and the
    /// higher one is soon looked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fell_from: Option<PerSecond>,
    /// By how much the next try exceeds the rate, in percent.
    pub step_percent: u32,
    /// What is left of the wait for the next try, counted by each reader from the moment it first sees this
    /// epoch.
    #[serde(rename = "nextTryMs", with = "millis")]
    pub next_try: Duration,
    /// The wait for the next try after a refused one.
    #[serde(rename = "tryEveryMs", with = "millis")]
    pub try_every: Duration,
    /// While more requests in flight are being tried: the number that was borne before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_borne: Option<u32>,
    /// The lowest number in flight that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_refused: Option<u32>,
    /// Set from a refusal, or the loss of the CA, until a probe gets through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
    /// The last outage is over, and no rate was borne since: a refusal soon after it is believed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_outage: bool,
    /// The endpoint that all refusals of late were of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<Suspect>,
    /// The endpoints that were found to have a limit of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<Endpoint, EndpointSearch>,
    /// How many refusals have counted so far.
    #[serde(default)]
    pub throttles: u64,
    /// The last refusal that counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_throttle: Option<LastThrottle>,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// How far the search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// It is not known yet whether the CA bears two requests back to back.
    Pair,
    /// Nothing was refused yet.
    Doubling,
    /// Between a rate that was borne and one that was refused.
    Bisecting,
    /// The rate is known.
    Holding,
    /// A little more than the known rate is tried.
    Trying,
}

/// The CA refuses or cannot be reached; one request at a time goes out as a probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// What is wrong.
    pub cause: Cause,
    /// How many probes have failed.
    #[serde(default)]
    pub failed_probes: u32,
    /// The rate was borne before: it is lowered only if the first probe gets through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspected: bool,
    /// If not [`Endpoint::Other`]: what is suspected is the rate of this endpoint, and not the whole one.
    #[serde(default, skip_serializing_if = "Endpoint::is_other")]
    pub endpoint: Endpoint,
    /// The search before the refusal, which lowered the figures at once: it is taken up again if several probes
    /// fail, for then it was an outage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// How far the search was, and with which figures.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// The stage.
    pub stage: Stage,
    /// The rate that was in force.
    pub requests_per_second: PerSecond,
    /// The requests in flight that were allowed.
    pub max_in_flight: u32,
    /// As in [`Discovery`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub borne: Option<PerSecond>,
    /// As in [`Discovery`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<PerSecond>,
    /// As in [`Discovery`].
    #[serde(default)]
    pub refusals: u32,
    /// As in [`Discovery`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_borne: Option<u32>,
    /// As in [`Discovery`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_refused: Option<u32>,
    /// As in [`Discovery`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fell_from: Option<PerSecond>,
    /// As in [`Discovery`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<Endpoint, EndpointSearch>,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Why an outage began, or lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// Answers of 429 or 503.
    Throttled,
    /// Connections are refused.
    Refused,
    /// Connections break off.
    Reset,
    /// No connection or no answer in time.
    TimedOut,
    /// The name has no address, or there is no way to it.
    NoRoute,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled => "the CA refused a request (429 or 503)",
            Self::Refused => "the CA refuses connections",
            Self::Reset => "connections to the CA break off",
            Self::TimedOut => "the CA does not answer in time",
            Self::NoRoute => "there is no way to the CA",
        })
    }
}

impl From<Unreachable> for Cause {
    fn from(unreachable: Unreachable) -> Self {
        match unreachable {
            Unreachable::Refused => Self::Refused,
            Unreachable::Reset => Self::Reset,
            Unreachable::TimedOut => Self::TimedOut,
            Unreachable::NoRoute => Self::NoRoute,
        }
    }
}

/// A refusal that counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastThrottle {
    /// What was refused.
    #[serde(default, skip_serializing_if = "Endpoint::is_other")]
    pub endpoint: Endpoint,
    /// The rate of the budget at that time.
    pub requests_per_second: PerSecond,
    /// The requests in flight that were allowed at that time.
    pub max_in_flight: u32,
    /// The epoch that it ended.
    pub epoch: u64,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl Discovery {
    /// The beginning of a search, and the figures to begin with.
    ///
    /// `budget` is a ceiling if it is given or published, else where the search starts.
    pub(crate) fn start(budget: &Budget, source: Source) -> (Self, Budget) {
        let (stage, ceiling, first) = match source {
            Source::Given => (Stage::Holding, Some(budget.clone()), budget.clone()),
            Source::Published => {
                let first = Budget {
                    max_in_flight: 1,
                    ..budget.clone()
                };
                (Stage::Holding, Some(budget.clone()), first)
            }
            // The pair's second request is the burst.
            Source::Discovered => (
                Stage::Pair,
                None,
                Budget {
                    burst: 1,
                    ..budget.clone()
                },
            ),
        };
        let discovery = Self {
            stage,
            borne: ceiling.as_ref().map(|ceiling| PerSecond(ceiling.rate())),
            ceiling,
            refused: None,
            proof: 0,
            crowded: 0,
            refusals: 0,
            fell_from: None,
            step_percent: FIRST_STEP,
            next_try: FIRST_TRY,
            try_every: FIRST_TRY,
            in_flight_borne: None,
            in_flight_refused: None,
            outage: None,
            after_outage: false,
            suspect: None,
            endpoints: BTreeMap::new(),
            throttles: 0,
            last_throttle: None,
            unknown: BTreeMap::new(),
        };
        (discovery, first)
    }

    /// Is the search over, but for a try now and then?
    pub fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Holding | Stage::Trying)
            && self.endpoints.values().all(EndpointSearch::is_settled)
    }
}
