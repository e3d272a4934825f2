//! What is counted during a run.

use std::collections::BTreeMap;
use std::time::Duration;

use sancho_limiter::Endpoint;

use crate::ca::Answer;
use crate::cluster::End;

/// So many violations are kept in words.
const SHOWN: usize = 10;

/// Counts of one run.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Requests that the CA served, by replica.
    pub served: Vec<u64>,
    /// Of these for newOrder, where the CA limits that apart.
    pub new_orders_served: u64,
    /// Requests that the CA refused before the search was over.
    pub throttled_learning: u64,
    /// Requests that it refused after that, by full hour of the time since.
    pub throttled_after: BTreeMap<u64, u64>,
    /// Requests that got no answer.
    pub unanswered: u64,
    /// When the search was over for the first time.
    pub settled_at: Option<Duration>,
    /// Writes of the Lease that reached the API server.
    pub lease_writes: u64,
    /// Those of them that it refused.
    pub lease_conflicts: u64,
    /// Reads of the Lease.
    pub lease_reads: u64,
    /// Seconds during which a replica held a slot, of all replicas together.
    pub seconds_held: f64,
    /// From the end of a process to the next request on a slot that it held, one spacing of the slot taken
    /// off: the longest.
    pub longest_takeover: BTreeMap<End, Duration>,
    /// How often an invariant was broken.
    pub violations: u64,
    /// The first of them in words.
    pub violations_shown: Vec<String>,
    left: BTreeMap<u32, (End, Duration, Duration)>,
}

impl Figures {
    pub(crate) fn new(replicas: usize) -> Self {
        Self {
            served: vec![0; replicas],
            ..Self::default()
        }
    }

    /// All refused requests.
    pub fn throttled(&self) -> u64 {
        self.throttled_learning + self.throttled_after.values().sum::<u64>()
    }

    /// All served requests.
    pub fn all_served(&self) -> u64 {
        self.served.iter().sum()
    }

    /// The most refused requests in an hour after the search was over.
    pub fn most_throttled_in_an_hour(&self) -> u64 {
        self.throttled_after.values().copied().max().unwrap_or(0)
    }

    pub(crate) fn arrival(&mut self, replica: usize, at: Duration, endpoint: Endpoint, answer: Answer) {
        match (answer, self.settled_at) {
            (Answer::Served, _) => {
                self.served[replica] += 1;
                self.new_orders_served += u64::from(endpoint == Endpoint::NewOrder);
            }
            (Answer::None(_), _) => self.unanswered += 1,
            (Answer::Refused(_), None) => self.throttled_learning += 1,
            (Answer::Refused(_), Some(settled_at)) => {
                let hour = at.saturating_sub(settled_at).as_secs() / 3600;
                *self.throttled_after.entry(hour).or_default() += 1;
            }
        }
    }

    pub(crate) fn violation(&mut self, now: u64, words: String) {
        self.violations += 1;
        if self.violations_shown.len() < SHOWN {
            let at = Duration::from_micros(now);
            self.violations_shown.push(format!("at {at:?}: {words}"));
        }
    }

    /// The process that held `slot` ends so: it sends nothing more.
    pub(crate) fn slot_left(&mut self, slot: u32, end: End, now: Duration, spacing: Duration) {
        self.left.insert(slot, (end, now, spacing));
    }

    /// A request leaves on `slot`.
    pub(crate) fn slot_used(&mut self, slot: u32, now: Duration) {
        if let Some((end, since, spacing)) = self.left.remove(&slot) {
            let idle = now.saturating_sub(since).saturating_sub(spacing);
            let longest = self.longest_takeover.entry(end).or_default();
            *longest = idle.max(*longest);
        }
    }
}
