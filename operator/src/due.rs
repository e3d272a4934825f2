//! What is to be looked at later, each thing once.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

/// Things with the moment at which each is due.
#[derive(Debug)]
pub struct Due<At, K> {
    order: BTreeSet<(At, Arc<K>)>,
    at: HashMap<Arc<K>, At>,
}

impl<At, K> Default for Due<At, K> {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            at: HashMap::new(),
        }
    }
}

impl<At: Ord + Copy, K: Ord + Hash + Clone> Due<At, K> {
    /// It is due then, and at no other moment.
    pub fn set(&mut self, key: &K, at: At) {
        self.remove(key);
        let key = Arc::new(key.clone());
        self.order.insert((at, key.clone()));
        self.at.insert(key, at);
    }

    /// It is due then, or at the moment set before if that is earlier.
    pub fn set_latest(&mut self, key: &K, at: At) {
        if self.at.get(key).is_none_or(|present| at < *present) {
            self.set(key, at);
        }
    }

    /// It is not due any more.
    pub fn remove(&mut self, key: &K) {
        if let Some((key, at)) = self.at.remove_entry(key) {
            self.order.remove(&(at, key));
        }
    }

    /// Only what `keep` says stays due.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.order.retain(|(_, key)| keep(key));
        self.at.retain(|key, _| keep(key));
    }

    /// The next moment at which something is due.
    #[must_use]
    pub fn next(&self) -> Option<At> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes one thing that is due at `now`.
    pub fn take(&mut self, now: At) -> Option<K> {
        let (at, _) = self.order.first()?;
        if *at > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.at.remove(&key);
        Some(Arc::unwrap_or_clone(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_out_when_they_are_due_and_in_order() {
        let mut due = Due::default();
        due.set(&"late", 5);
        due.set(&"early", 1);
        due.set(&"moved", 9);
        due.set(&"moved", 2);
        due.set_latest(&"early", 3);
        assert_eq!(due.next(), Some(1));
        assert_eq!(due.take(2), Some("early"));
        assert_eq!(due.take(2), Some("moved"));
        assert_eq!(due.take(2), None);
        due.remove(&"late");
        assert_eq!(due.next(), None);
    }

    #[test]
    fn what_is_not_kept_is_not_due() {
        let mut due = Due::default();
        due.set(&"kept", 1);
        due.set(&"gone", 1);
        due.retain(|key| *key == "kept");
        assert_eq!((due.take(1), due.take(1)), (Some("kept"), None));
    }
}
