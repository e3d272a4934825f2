//! The protocol's time spans.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The time spans of the protocol. They stand in the Lease, so that versions with different ones can
/// share it: of two values for [`validity`](Self::validity) the shorter counts, of two for
/// [`takeover`](Self::takeover) the longer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Durations {
    /// How long an acknowledged write keeps a slot, from the write's start.
    #[serde(rename = "validityMs", with = "millis")]
    pub validity: Duration,
    /// How often a holder renews its slots.
    #[serde(rename = "renewEveryMs", with = "millis")]
    pub renew_every: Duration,
    /// How long a row must stay unchanged, on the taker's clock, before it is taken over.
    #[serde(rename = "takeoverMs", with = "millis")]
    pub takeover: Duration,
    /// No request starts with less validity than this left.
    #[serde(rename = "startMarginMs", with = "millis")]
    pub start_margin: Duration,
    /// How long a holder keeps its last slot at least while others wait.
    #[serde(rename = "holdAtLeastMs", with = "millis")]
    pub hold_at_least: Duration,
    /// How long a holder keeps its last slot at most while others wait.
    #[serde(rename = "holdAtMostMs", with = "millis")]
    pub hold_at_most: Duration,
    /// Head start of each place in the waiting list over the next.
    #[serde(rename = "stepMs", with = "millis")]
    pub step: Duration,
    /// How long a holder without work keeps its slots.
    #[serde(rename = "idleMs", with = "millis")]
    pub idle: Duration,
    /// How often a waiter reads the Lease, and how long a failed read or write is not repeated.
    #[serde(rename = "pollMs", with = "millis")]
    pub poll: Duration,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            validity: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            takeover: Duration::from_secs(15),
            start_margin: Duration::from_secs(2),
            hold_at_least: Duration::from_secs(12),
            hold_at_most: Duration::from_secs(60),
            step: Duration::from_millis(200),
            idle: Duration::from_secs(3),
            poll: Duration::from_secs(1),
            unknown: BTreeMap::new(),
        }
    }
}

/// Durations as whole milliseconds, rounded up.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = span.as_micros().div_ceil(1000);
        serializer.serialize_u64(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
