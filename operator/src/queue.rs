//! What waits for a budget: shards with work, each once, the most pressing first.
//!
//! Those that write TXT records have places of their own: a DNS provider may be slow, and who waits for it takes no place from
//! those that ask the CA.

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

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work {
    /// How pressing it is.
    pub priority: Priority,
    /// Whether it begins with TXT records that are written or removed.
    pub writes: bool,
}

impl From<Priority> for Work {
    fn from(priority: Priority) -> Self {
        Self {
            priority,
            writes: false,
        }
    }
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
/// The most shards that write TXT records at once. They cost the CA nothing; each costs the API server some writes whenever
/// its turn comes.
const MOST_ASIDE: usize = 16;

/// A queue of shards, fair between namespaces. Those that are being driven are not in it, but are
/// remembered, so that nothing is driven twice at once by this process.
#[derive(Debug)]
pub struct WorkQueue {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    waiting: FairQueue<Work, String, ShardKey>,
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
    /// It writes TXT records.
    Aside,
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
    /// Puts a shard in that takes about as much as `cost`, or changes what is to be done. One that is being
    /// driven is left alone: its end is followed by another look. Says whether anything changed.
    ///
    /// `expiry`: the end of the certificate that a renewal replaces. Within its priority and namespace what
    /// expires first is renewed first, however many came due at once.
    pub fn put(&self, key: &ShardKey, work: impl Into<Work>, expiry: Option<Timestamp>, cost: Cost) -> bool {
        let mut inner = self.lock();
        if inner.driven.contains_key(key) {
            return false;
        }
        let work = work.into();
        let rank = rank(work.priority, expiry);
        inner.waiting.put(work, &key.namespace, key, rank, cost)
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
    /// newOrder's own limit. Those that write TXT records are not among any of these.
    pub fn take(&self, most: usize) -> Option<ShardKey> {
        let mut inner = self.lock();
        let Inner { waiting, driven } = &mut *inner;
        let places = &*driven;
        let free = |place| taken(places, place) < most;
        let is_new = |namespace: &String| {
            let mut asking = places.iter().filter(|(_, place)| **place != Place::Aside);
            asking.all(|(key, _)| key.namespace != *namespace)
        };
        let mut next = None;
        if free(Place::Turn) {
            next = waiting.take(|work, _| !work.writes).map(|key| (key, Place::Turn));
        }
        if next.is_none() && free(Place::UnderWay) {
            let is_begun = |work: Work, _: &String| work.priority == Priority::UnderWay && !work.writes;
            next = waiting.take(is_begun).map(|key| (key, Place::UnderWay));
        }
        if next.is_none() && free(Place::Namespace) {
            next = waiting
                .take(|work, namespace| !work.writes && is_new(namespace))
                .map(|key| (key, Place::Namespace));
        }
        if next.is_none() && most > 0 && taken(places, Place::Aside) < MOST_ASIDE {
            next = waiting.take(|work, _| work.writes).map(|key| (key, Place::Aside));
        }
        let (key, place) = next?;
        driven.insert(key.clone(), place);
        Some(key)
    }

    /// May the shard, which is driven, write TXT records? Not if too many others do.
    #[must_use]
    pub fn has_room_aside(&self, key: &ShardKey) -> bool {
        let inner = self.lock();
        is_aside(&inner, key) || taken(&inner.driven, Place::Aside) < MOST_ASIDE
    }

    /// The shard, which is driven, writes TXT records from now on: its place is another's. Not if too many write already; says
    /// whether it writes aside.
    pub fn step_aside(&self, key: &ShardKey) -> bool {
        let mut inner = self.lock();
        if is_aside(&inner, key) {
            return true;
        }
        let has_room = taken(&inner.driven, Place::Aside) < MOST_ASIDE;
        if let Some(place) = inner.driven.get_mut(key).filter(|_| has_room) {
            *place = Place::Aside;
        }
        has_room
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

/// How many shards have such a place.
fn taken(driven: &BTreeMap<ShardKey, Place>, wanted: Place) -> usize {
    driven.values().filter(|place| **place == wanted).count()
}

fn is_aside(inner: &Inner, key: &ShardKey) -> bool {
    inner.driven.get(key) == Some(&Place::Aside)
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
    fn who_writes_records_has_no_place_of_those_that_ask_the_ca() {
        const WRITES: Work = Work {
            priority: Priority::UnderWay,
            writes: true,
        };
        let queue = WorkQueue::default();
        let number = |number: usize| key("shop", &format!("writes-{number:02}"));
        for place in 0..=MOST_ASIDE {
            queue.put(&number(place), WRITES, None, 6.into());
        }
        assert_eq!(queue.take(0), None, "no slot is held");
        // They are more pressing, and many.
        let new = key("shop", "new");
        queue.put(&new, Priority::New, None, 6.into());
        assert_eq!(queue.take(1), Some(new.clone()));
        let writing: Vec<_> = std::iter::from_fn(|| queue.take(1)).collect();
        assert_eq!(writing, (0..MOST_ASIDE).map(number).collect::<Vec<_>>());

        // One that comes to its records makes room for another, if there is a place among those that write.
        let next = key("shop", "next");
        queue.put(&next, Priority::New, None, 6.into());
        assert!(!queue.has_room_aside(&new) && !queue.step_aside(&new));
        assert_eq!(queue.take(1), None);
        queue.done(&number(3));
        assert!(queue.has_room_aside(&new) && queue.step_aside(&new));
        assert!(queue.step_aside(&new), "it is there");
        assert_eq!(queue.take(1), Some(next));
        assert_eq!(queue.take(1), None);
        // Nor does it count as one of its namespace.
        queue.done(&key("shop", "next"));
        for name in ["a", "b"] {
            queue.put(&key("other", name), Priority::New, None, 6.into());
        }
        queue.put(&key("shop", "first"), Priority::New, None, 6.into());
        let driven: Vec<_> = std::iter::from_fn(|| queue.take(1)).collect();
        assert_eq!(driven.len(), 2);
        assert!(driven.iter().any(|key| key.namespace == "shop"));
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
