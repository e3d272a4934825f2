//! The content of a budget's Lease.

mod annotations;
mod summary;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::annotations::{LEASE_LABEL, ORIGIN_ANNOTATION, PREFIX, WRITER_ANNOTATION};
use crate::budget::{Budget, Source};
use crate::contact::Contact;
use crate::discovery::Discovery;
use crate::durations::{Durations, millis};
use crate::endpoint::Endpoint;
use crate::holder::{Holder, Waiter};

/// The format that this crate reads and writes.
pub const VERSION: u32 = 1;

/// The content of a budget's Lease: what all replicas agree on.
///
/// It is changed only by compare-and-swap on the whole. What a later minor format adds is kept through
/// every read-modify-write, at every level.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// Names this table; a re-created Lease has another one.
    pub incarnation: String,
    /// Goes up by one with every write, so that an answer that comes late is known as such.
    pub revision: u64,
    /// Goes up whenever the figures that a slot carries change.
    pub epoch: u64,
    /// The highest [`Row::turn`] ever given out.
    pub turns: u64,
    /// The budget that the slots are parts of.
    pub budget: Budget,
    /// Where the budget comes from.
    pub source: Source,
    /// How the budget in force was found, and how far the search is.
    pub discovery: Discovery,
    /// The protocol's time spans.
    pub durations: Durations,
    /// The slots. Their number is the divisor of the budget.
    pub slots: Vec<Row>,
    /// Who waits for a slot, first come first.
    pub waiting: Vec<Waiter>,
    /// Set while nobody may send.
    pub pause: Option<Pause>,
    /// Whether the CA is reached. For people alone.
    pub contact: Contact,
    /// Annotations under [`PREFIX`] that a later minor format added.
    pub unknown: BTreeMap<String, String>,
    /// Fields that a later minor format added to annotation `table`.
    pub unknown_fields: BTreeMap<String, Value>,
}

/// One slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Who holds it; nobody if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// Changes with every write by the holder: the renewal counter.
    pub stamp: u64,
    /// The epoch whose figures the holder knew at its last write.
    pub epoch: u64,
    /// Which acquisition this is, counted over all slots: the lowest has been held longest.
    pub turn: u64,
    /// Of a released slot: the time after which its bucket is full, counted by each reader from the moment
    /// it first sees the release.
    #[serde(
        rename = "waitMs",
        default,
        with = "millis",
        skip_serializing_if = "Duration::is_zero"
    )]
    pub wait: Duration,
    /// The same for the endpoints that have a limit of their own, in milliseconds; where it is absent the bucket counts
    /// as empty.
    #[serde(rename = "waitApartMs", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wait_apart: BTreeMap<Endpoint, u64>,
    /// Nobody is known to hold it, but somebody may: the Lease was made anew. It is taken over like a dead
    /// holder's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_doubt: bool,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl Row {
    /// Released, and not in doubt.
    pub fn is_free(&self) -> bool {
        self.holder.is_none() && !self.in_doubt
    }
}

/// A time during which nobody sends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Tells one pause from the next.
    pub serial: u64,
    /// What is left of it at the time of the write; each reader counts it from the moment it first sees this
    /// serial.
    #[serde(rename = "remainingMs", with = "millis")]
    pub remaining: Duration,
    /// How many throttles in a row came without a Retry-After.
    pub bare_throttles: u32,
    /// The Retry-After that it comes from, in seconds, before any cap. Absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_seconds: Option<u64>,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl Record {
    /// A table for a Lease that did not exist: all slots in doubt, for its predecessor may have had holders.
    ///
    /// `budget` is a ceiling if it is given or published, else where the search begins.
    pub fn new(incarnation: String, budget: Budget, source: Source, durations: Durations) -> Self {
        let row = Row {
            in_doubt: true,
            epoch: 1,
            ..Row::default()
        };
        let (discovery, budget) = Discovery::start(&budget, source);
        let slots = vec![row; budget.slots() as usize];
        Self {
            incarnation,
            revision: 1,
            epoch: 1,
            turns: 0,
            budget,
            source,
            discovery,
            durations,
            slots,
            waiting: Vec::new(),
            pause: None,
            contact: Contact::default(),
            unknown: BTreeMap::new(),
            unknown_fields: BTreeMap::new(),
        }
    }

    /// The budget and the state of the search in a sentence, for people.
    pub fn summary(&self) -> String {
        summary::of(self)
    }

    /// One line on who holds what, for the Lease's `spec.holderIdentity`: each holder once, with the number
    /// of its slots; empty if nobody holds any.
    pub fn holder_identity(&self) -> String {
        let mut counts: BTreeMap<&Holder, usize> = BTreeMap::new();
        for holder in self.slots.iter().filter_map(|row| row.holder.as_ref()) {
            *counts.entry(holder).or_default() += 1;
        }
        let all = self.slots.len();
        let parts: Vec<String> = counts
            .iter()
            .map(|(holder, count)| format!("{} {count}/{all}", holder.process))
            .collect();
        parts.join(", ")
    }

    /// How many slots `holder` holds.
    pub fn held_by(&self, holder: &Holder) -> usize {
        self.slots
            .iter()
            .filter(|row| row.holder.as_ref() == Some(holder))
            .count()
    }

    /// The place of `holder` in the waiting list, from 0.
    pub fn position(&self, holder: &Holder) -> Option<usize> {
        self.waiting.iter().position(|waiter| waiter.holder == *holder)
    }
}

/// Why a Lease's content could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// A newer release wrote it in a format that this one must not touch.
    Newer {
        /// The version found.
        found: u32,
    },
    /// It is damaged, or not a budget at all.
    Damaged {
        /// The annotation at fault, with its prefix.
        annotation: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { found } => write!(
                f,
                "the budget's Lease has format version {found}, this release knows {VERSION}: nothing is sent"
            ),
            Self::Damaged { annotation, problem } => {
                write!(f, "annotation {annotation} of the budget's Lease: {problem}")
            }
        }
    }
}

impl std::error::Error for Unreadable {}
