//! Finds objects by something other than their names.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use super::store::Key;

/// What an object can be found by, besides its name.
pub type Keys<K> = fn(&K) -> Vec<String>;

/// The objects of one store by their keys.
///
/// Of a key only its hash is kept: there are two or three for each of tens of thousands of objects. So what is found is
/// to be looked at once more ([`Index::has`]).
pub(super) struct Index<K> {
    keys: Keys<K>,
    hasher: RandomState,
    /// By the key's hash and the object's number.
    by_key: BTreeMap<(u64, u64), Key>,
    objects: HashMap<Key, Entry>,
    next_number: u64,
}

/// An object's number, and the hashes of its keys.
type Entry = (u64, Box<[u64]>);

impl<K> Index<K> {
    pub(super) fn by(keys: Keys<K>) -> Self {
        Self {
            keys,
            hasher: RandomState::new(),
            by_key: BTreeMap::new(),
            objects: HashMap::new(),
            next_number: 0,
        }
    }

    /// The objects with this key, and perhaps one whose key has the same hash.
    pub(super) fn find(&self, key: &str) -> impl Iterator<Item = &Key> {
        let hash = self.hasher.hash_one(key);
        let found = self.by_key.range((hash, 0)..=(hash, u64::MAX));
        found.map(|(_, object)| object)
    }

    pub(super) fn has(&self, object: &K, key: &str) -> bool {
        (self.keys)(object).iter().any(|has| has == key)
    }

    /// From now on it is found by the keys that it has now. `name`: its key in the store.
    pub(super) fn set(&mut self, name: &Key, object: &K) {
        let keys = (self.keys)(object);
        let keys: Box<[u64]> = keys
            .iter()
            .map(|key| self.hasher.hash_one(key.as_str()))
            .collect();
        if self
            .objects
            .get(name)
            .is_some_and(|(_, present)| *present == keys)
        {
            return;
        }
        self.forget(name);
        if keys.is_empty() {
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        for key in &keys {
            self.by_key.insert((*key, number), name.clone());
        }
        self.objects.insert(name.clone(), (number, keys));
    }

    /// From now on it is not found.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some((number, keys)) = self.objects.remove(name) {
            for key in keys {
                self.by_key.remove(&(key, number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(index: &Index<Vec<&str>>, key: &str) -> Vec<String> {
        let mut names: Vec<String> = index.find(key).map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn objects_are_found_by_their_present_keys_until_they_are_gone() {
        let mut index = Index::by(|keys: &Vec<&str>| keys.iter().map(ToString::to_string).collect());
        for (name, keys) in [("a", vec!["x"]), ("b", vec!["x"]), ("c", vec!["y", "z"])] {
            index.set(&name.into(), &keys);
        }
        assert_eq!(found(&index, "x"), ["a", "b"]);
        index.set(&"a".into(), &vec!["y"]);
        assert_eq!(found(&index, "x"), ["b"]);
        assert_eq!(found(&index, "y"), ["a", "c"]);
        index.forget("c");
        index.set(&"b".into(), &vec![]);
        assert_eq!(found(&index, "x"), Vec::<String>::new());
        assert_eq!(found(&index, "y"), ["a"]);
        assert_eq!(found(&index, "z"), Vec::<String>::new());
    }
}
