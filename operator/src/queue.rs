//! What waits for a budget: shards with work, each once, the most pressing first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;
use sancho_crds::CertificateShard;
use sancho_limiter::{Cost, FairQueue};

/// Who goes first. The order of the variants is the order of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A certificate that is to be revoked.
    Revoke,
    /// An order that is under way.
    UnderWay,
    /// Records in DNS that are to be removed.
    Sweep,
    /// A certificate with less than a sixth of its lifetime left.
    NearExpiry,
    /// A certificate that is not there yet.
    New,
    /// A name that could not be validated and is tried again.
    Retry,
    /// A routine renewal.
    Renewal,
    /// A look at what the CA suggests for a renewal.
    RenewalInfo,
}

/// The name of a shard: namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ShardKey {
    /// The name of `shard`.
    #[must_use]
    pub fn of(shard: &CertificateShard) -> Self {
        Self {
            namespace: shard.namespace().unwrap_or_default(),
            name: shard.name_any(),
        }
    }
}

impl std::fmt::Display for ShardKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What is served first among shards of one priority and namespace: the lowest.
fn rank(priority: Priority, expiry: Option<Timestamp>) -> i64 {
    match priority {
        Priority::NearExpiry | Priority::Renewal => expiry.map_or(0, Timestamp::as_second),
        // These come in the order in which they were found.
        Priority::Revoke
        | Priority::UnderWay
        | Priority::Sweep
        | Priority::New
        | Priority::Retry
        | Priority::RenewalInfo => 0,
    }
}

/// The requests that a namespace may have served before another's turn comes: about an order of 30 names.
const QUANTUM: u64 = 64;

/// A queue of shards, fair between namespaces. Those that are being driven are not in it, but are
/// remembered, so that nothing is driven twice at once by this process.
#[derive(Debug)]
pub struct WorkQueue {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    waiting: FairQueue<Priority, String, ShardKey>,
    driven: BTreeMap<ShardKey, Place>,
}

/// Why a shard is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It was its turn.
    Turn,
    /// Nothing else of its namespace was driven.
    Namespace,
    /// Its order is under way.
    UnderWay,
}

impl Default for WorkQueue {
    fn default() -> Self {
        let inner = Inner {
            waiting: FairQueue::new(QUANTUM),
            driven: BTreeMap::new(),
        };
        Self {
            inner: Mutex::new(inner),
        }
    }
}

impl WorkQueue {
    /// Puts a shard in that takes about as much as `cost`, or changes its priority. One that is being
    /// driven is left alone: its end is followed by another look. Says whether anything changed.
    ///
    /// `expiry`: the end of the certificate that a renewal replaces. Within its priority and namespace what
    /// expires first is renewed first, however many came due at once.
    pub fn put(&self, key: &ShardKey, priority: Priority, expiry: Option<Timestamp>, cost: Cost) -> bool {
        let mut inner = self.lock();
        if inner.driven.contains_key(key) {
            return false;
        }
        let rank = rank(priority, expiry);
        inner.waiting.put(priority, &key.namespace, key, rank, cost)
    }

    /// Takes a shard out that needs nothing now. Says whether it was there.
    pub fn remove(&self, key: &ShardKey) -> bool {
        self.lock().waiting.remove(key)
    }

    /// Only the shards that `keep` accepts stay. Says whether others were there.
    pub fn retain(&self, keep: impl Fn(&ShardKey) -> bool) -> bool {
        self.lock().waiting.retain(keep)
    }

    /// The shard that is served next, from now on being driven, if fewer than `most` are.
    ///
    /// Up to `most` namespaces of which none is driven get one beyond that, so that their first orders do not wait for
    /// the end of another's. So do up to `most` orders under way, for those that are driven may all wait for
    /// newOrder's own limit.
    pub fn take(&self, most: usize) -> Option<ShardKey> {
        let mut inner = self.lock();
        let Inner { waiting, driven } = &mut *inner;
        let free = |place| driven.values().filter(|taken| **taken == place).count() < most;
        let is_new = |namespace: &String| driven.keys().all(|key| key.namespace != *namespace);
        let mut next = None;
        if free(Place::Turn) {
            next = waiting.take(|_, _| true).map(|key| (key, Place::Turn));
        }
        if next.is_none() && free(Place::UnderWay) {
            let is_begun = |priority, _: &String| priority == Priority::UnderWay;
            next = waiting.take(is_begun).map(|key| (key, Place::UnderWay));
        }
        if next.is_none() && free(Place::Namespace) {
            next = waiting
                .take(|_, namespace| is_new(namespace))
                .map(|key| (key, Place::Namespace));
        }
        let (key, place) = next?;
        driven.insert(key.clone(), place);
        Some(key)
    }

    /// The driving of a shard has ended.
    pub fn done(&self, key: &ShardKey) {
        self.lock().driven.remove(key);
    }

    /// How many shards wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// About how much is served until the last of these shards is done. Nothing if none of them waits.
    #[must_use]
    pub fn until_last(&self, keys: &[ShardKey]) -> Option<Cost> {
        self.lock().waiting.until_last(keys)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, name: &str) -> ShardKey {
        ShardKey {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    #[test]
    fn a_shard_that_is_driven_is_not_queued_until_it_is_done() {
        let queue = WorkQueue::default();
        let a = key("shop", "a");
        queue.put(&a, Priority::New, None, 6.into());
        assert_eq!(queue.take(1), Some(a.clone()));
        assert!(!queue.put(&a, Priority::New, None, 6.into()));
        queue.done(&a);
        assert!(queue.put(&a, Priority::New, None, 6.into()));
        assert!(queue.remove(&a));
        assert!(!queue.remove(&a));
    }

    #[test]
    fn a_namespace_of_which_nothing_is_driven_does_not_wait_for_the_end_of_anothers_order() {
        let queue = WorkQueue::default();
        for number in 0..5 {
            queue.put(
                &key("large", &format!("large-{number}")),
                Priority::New,
                None,
                204.into(),
            );
        }
        let driven: Vec<_> = std::iter::from_fn(|| queue.take(2)).collect();
        assert_eq!(driven.len(), 2);
        let small = key("small", "small");
        queue.put(&small, Priority::New, None, 6.into());
        assert_eq!(queue.take(2), Some(small));
        assert_eq!(queue.take(2), None);
        queue.put(&key("third", "third"), Priority::New, None, 6.into());
        assert!(queue.take(2).is_some());
        queue.put(&key("fourth", "fourth"), Priority::New, None, 6.into());
        assert_eq!(queue.take(2), None, "twice as many and no more");
    }

    #[test]
    fn an_order_under_way_does_not_wait_for_orders_that_are_not_begun() {
        let queue = WorkQueue::default();
        for name in ["a", "b", "c", "d"] {
            queue.put(&key("shop", name), Priority::New, None, 6.into());
        }
        assert_eq!(std::iter::from_fn(|| queue.take(2)).count(), 2);
        let begun = key("shop", "begun");
        queue.put(&begun, Priority::UnderWay, None, 6.into());
        assert_eq!(queue.take(2), Some(begun));
        assert_eq!(queue.take(2), None);
        let other = key("other", "first");
        queue.put(&other, Priority::New, None, 6.into());
        assert_eq!(
            queue.take(2),
            Some(other),
            "nor does that take a namespace's place"
        );
    }

    #[test]
    fn of_renewals_that_are_due_at_once_what_expires_first_goes_first() {
        let queue = WorkQueue::default();
        let at = |second| Timestamp::from_second(second).ok();
        for (name, expiry) in [("c", 300), ("a", 100), ("d", 400), ("b", 200)] {
            queue.put(&key("shop", name), Priority::Renewal, at(expiry), 7.into());
        }
        queue.put(&key("shop", "new"), Priority::New, at(900), 7.into());
        queue.put(&key("shop", "near"), Priority::NearExpiry, at(50), 7.into());
        queue.put(&key("shop", "nearer"), Priority::NearExpiry, at(40), 7.into());
        // Another namespace's renewals have their turn, however late they expire.
        queue.put(&key("other", "late"), Priority::Renewal, at(9_000), 7.into());
        let order: Vec<String> = std::iter::from_fn(|| queue.take(usize::MAX / 2))
            .map(|key| key.name)
            .collect();
        let others: Vec<&str> = order
            .iter()
            .map(String::as_str)
            .filter(|name| *name != "late")
            .collect();
        assert_eq!(others, ["nearer", "near", "new", "a", "b", "c", "d"]);
        assert!(order.contains(&"late".to_owned()));
    }
}
