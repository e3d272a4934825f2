//! Finds objects by something other than their names.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock};

use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

/// What an object can be found by, besides its name.
pub type Keys<K> = fn(&K) -> Vec<String>;

/// The objects of one store by their keys. Cheap to clone.
///
/// Of a key only its hash is kept: there are two or three for each of tens of thousands of objects. So what is found is
/// to be looked at once more ([`Index::has`]).
pub(super) struct Index<K: Resource<DynamicType = ()>> {
    keys: Keys<K>,
    entries: Arc<RwLock<Entries<K>>>,
}

struct Entries<K: Resource<DynamicType = ()>> {
    hasher: RandomState,
    /// By the key's hash and the object's number.
    by_key: BTreeMap<(u64, u64), Arc<ObjectRef<K>>>,
    objects: HashMap<Arc<ObjectRef<K>>, Entry>,
    next_number: u64,
}

/// An object's number, and the hashes of its keys.
type Entry = (u64, Box<[u64]>);

impl<K: Resource<DynamicType = ()>> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self {
            keys: self.keys,
            entries: self.entries.clone(),
        }
    }
}

impl<K: Resource<DynamicType = ()> + Clone> Index<K> {
    pub(super) fn by(keys: Keys<K>) -> Self {
        let entries = Entries {
            hasher: RandomState::new(),
            by_key: BTreeMap::new(),
            objects: HashMap::new(),
            next_number: 0,
        };
        Self {
            keys,
            entries: Arc::new(RwLock::new(entries)),
        }
    }

    /// Takes note of what the store has taken note of. `exists`: whether the store has it.
    pub(super) fn note(&self, event: &Event<K>, exists: impl Fn(&ObjectRef<K>) -> bool) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                entries.set(reference(object), &(self.keys)(object));
            }
            Event::Delete(object) => entries.forget(&reference(object)),
            // What is not in the new listing went away while nobody watched.
            Event::InitDone => {
                let objects = entries.objects.keys();
                let gone: Vec<_> = objects.filter(|object| !exists(object)).cloned().collect();
                for object in gone {
                    entries.forget(&object);
                }
            }
            Event::Init => {}
        }
    }

    /// The objects with this key, and perhaps one whose key has the same hash.
    pub(super) fn find(&self, key: &str) -> Vec<Arc<ObjectRef<K>>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let hash = entries.hasher.hash_one(key);
        let found = entries.by_key.range((hash, 0)..=(hash, u64::MAX));
        found.map(|(_, object)| object.clone()).collect()
    }

    pub(super) fn has(&self, object: &K, key: &str) -> bool {
        (self.keys)(object).iter().any(|has| has == key)
    }
}

impl<K: Resource<DynamicType = ()> + Clone> Entries<K> {
    fn set(&mut self, object: ObjectRef<K>, keys: &[String]) {
        let keys: Box<[u64]> = keys
            .iter()
            .map(|key| self.hasher.hash_one(key.as_str()))
            .collect();
        if self
            .objects
            .get(&object)
            .is_some_and(|(_, present)| *present == keys)
        {
            return;
        }
        self.forget(&object);
        if keys.is_empty() {
            return;
        }
        let (object, number) = (Arc::new(object), self.next_number);
        self.next_number += 1;
        for key in &keys {
            self.by_key.insert((*key, number), object.clone());
        }
        self.objects.insert(object, (number, keys));
    }

    fn forget(&mut self, object: &ObjectRef<K>) {
        if let Some((number, keys)) = self.objects.remove(object) {
            for key in keys {
                self.by_key.remove(&(key, number));
            }
        }
    }
}

/// Without the version and UID that [`ObjectRef::from_obj`] keeps.
fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectRef<K> {
    let meta = object.meta();
    let reference = ObjectRef::new(meta.name.as_deref().unwrap_or_default());
    match &meta.namespace {
        Some(namespace) => reference.within(namespace),
        None => reference,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::ResourceExt;

    use super::*;

    fn secret(name: &str, label: Option<&str>) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.into());
        secret.metadata.labels = label.map(|label| [("of".to_owned(), label.to_owned())].into());
        secret
    }

    fn found(index: &Index<Secret>, key: &str) -> Vec<String> {
        let mut names: Vec<String> = index.find(key).iter().map(|found| found.name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn objects_are_found_by_their_present_keys_until_they_are_gone() {
        let index = Index::by(|secret: &Secret| secret.labels().values().cloned().collect());
        for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
            index.note(&Event::Apply(secret(name, Some(label))), |_| true);
        }
        assert_eq!(found(&index, "x"), ["a", "b"]);
        index.note(&Event::Apply(secret("a", Some("y"))), |_| true);
        assert_eq!(found(&index, "x"), ["b"]);
        assert_eq!(found(&index, "y"), ["a", "c"]);
        index.note(&Event::Delete(secret("c", Some("y"))), |_| true);
        index.note(&Event::Apply(secret("b", None)), |_| true);
        assert_eq!(found(&index, "x"), Vec::<String>::new());
        assert_eq!(found(&index, "y"), ["a"]);
        // It went away while the watch was interrupted.
        index.note(&Event::InitDone, |object| object.name != "a");
        assert_eq!(found(&index, "y"), Vec::<String>::new());
    }
}
