//! What waits for a budget: shards with work, each once, the most pressing first.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who goes first. The order of the variants is the order of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// An order that is under way.
    UnderWay,
    /// A certificate with less than a sixth of its lifetime left.
    NearExpiry,
    /// A certificate that is not there yet.
    New,
    /// A routine renewal.
    Renewal,
}

/// The name of a shard: namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl std::fmt::Display for ShardKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A queue of shards. Those that are being driven are not in it, but are remembered, so that
/// nothing is driven twice at once by this process.
#[derive(Debug, Default)]
pub struct WorkQueue {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ranked: BTreeSet<(Priority, u64, ShardKey)>,
    ranks: HashMap<ShardKey, (Priority, u64)>,
    driven: BTreeSet<ShardKey>,
    arrivals: u64,
}

impl WorkQueue {
    /// Puts a shard in, or changes its priority. One that is being driven is left alone: its end
    /// is followed by another look. Says whether anything changed.
    pub fn put(&self, key: &ShardKey, priority: Priority) -> bool {
        let mut inner = self.lock();
        if inner.driven.contains(key) {
            return false;
        }
        let arrival = match inner.ranks.get(key).copied() {
            Some((present, _)) if present == priority => return false,
            Some((present, arrival)) => {
                inner.ranked.remove(&(present, arrival, key.clone()));
                arrival
            }
            None => {
                inner.arrivals += 1;
                inner.arrivals
            }
        };
        inner.ranked.insert((priority, arrival, key.clone()));
        inner.ranks.insert(key.clone(), (priority, arrival));
        true
    }

    /// Takes a shard out that needs nothing now. Says whether it was there.
    pub fn remove(&self, key: &ShardKey) -> bool {
        let mut inner = self.lock();
        match inner.ranks.remove(key) {
            Some((priority, arrival)) => inner.ranked.remove(&(priority, arrival, key.clone())),
            None => false,
        }
    }

    /// The most pressing shard, from now on being driven.
    pub fn take(&self) -> Option<ShardKey> {
        let mut inner = self.lock();
        let (_, _, key) = inner.ranked.pop_first()?;
        inner.ranks.remove(&key);
        inner.driven.insert(key.clone());
        Some(key)
    }

    /// The driving of a shard has ended.
    pub fn done(&self, key: &ShardKey) {
        self.lock().driven.remove(key);
    }

    /// How many shards wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().ranked.len()
    }

    /// How many shards are being driven.
    #[must_use]
    pub fn driven(&self) -> usize {
        self.lock().driven.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ShardKey {
        ShardKey {
            namespace: "shop".into(),
            name: name.into(),
        }
    }

    #[test]
    fn the_most_pressing_goes_first_and_equals_in_order_of_arrival() {
        let queue = WorkQueue::default();
        queue.put(&key("renewal"), Priority::Renewal);
        queue.put(&key("new-1"), Priority::New);
        queue.put(&key("new-2"), Priority::New);
        queue.put(&key("order"), Priority::UnderWay);
        let served: Vec<String> = std::iter::from_fn(|| queue.take()).map(|key| key.name).collect();
        assert_eq!(served, ["order", "new-1", "new-2", "renewal"]);
    }

    #[test]
    fn a_shard_waits_once_and_keeps_its_place_when_it_becomes_more_pressing() {
        let queue = WorkQueue::default();
        assert!(queue.put(&key("a"), Priority::Renewal));
        assert!(!queue.put(&key("a"), Priority::Renewal));
        queue.put(&key("b"), Priority::New);
        assert!(queue.put(&key("a"), Priority::New));
        assert_eq!(queue.waiting(), 2);
        assert_eq!(queue.take(), Some(key("a")));
    }

    #[test]
    fn a_shard_that_is_driven_is_not_queued_until_it_is_done() {
        let queue = WorkQueue::default();
        queue.put(&key("a"), Priority::New);
        queue.take();
        assert!(!queue.put(&key("a"), Priority::New));
        queue.done(&key("a"));
        assert!(queue.put(&key("a"), Priority::New));
        assert!(queue.remove(&key("a")));
        assert!(!queue.remove(&key("a")));
    }
}
