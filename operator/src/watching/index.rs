//! Finds objects by something other than their names.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

/// What an object can be found by, besides its name.
pub type Keys<K> = fn(&K) -> Vec<String>;

/// The objects of one store by their keys. Cheap to clone.
pub(super) struct Index<K: Resource<DynamicType = ()>> {
    keys: Keys<K>,
    entries: Arc<RwLock<Entries<K>>>,
}

struct Entries<K: Resource<DynamicType = ()>> {
    by_key: HashMap<String, HashSet<ObjectRef<K>>>,
    keys: HashMap<ObjectRef<K>, Vec<String>>,
}

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
            by_key: HashMap::new(),
            keys: HashMap::new(),
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
                entries.set(ObjectRef::from_obj(object), (self.keys)(object));
            }
            Event::Delete(object) => entries.set(ObjectRef::from_obj(object), Vec::new()),
            // What is not in the new listing went away while nobody watched.
            Event::InitDone => {
                let gone: Vec<_> = entries
                    .keys
                    .keys()
                    .filter(|object| !exists(object))
                    .cloned()
                    .collect();
                for object in gone {
                    entries.set(object, Vec::new());
                }
            }
            Event::Init => {}
        }
    }

    /// The objects with this key.
    pub(super) fn find(&self, key: &str) -> Vec<ObjectRef<K>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let found = entries.by_key.get(key);
        found
            .map(|found| found.iter().cloned().collect())
            .unwrap_or_default()
    }

    pub(super) fn has(&self, object: &K, key: &str) -> bool {
        (self.keys)(object).iter().any(|has| has == key)
    }
}

impl<K: Resource<DynamicType = ()> + Clone> Entries<K> {
    fn set(&mut self, object: ObjectRef<K>, keys: Vec<String>) {
        if self.keys.get(&object).map(Vec::as_slice).unwrap_or_default() == keys {
            return;
        }
        for key in self.keys.remove(&object).unwrap_or_default() {
            if let Some(objects) = self.by_key.get_mut(&key) {
                objects.remove(&object);
                if objects.is_empty() {
                    self.by_key.remove(&key);
                }
            }
        }
        for key in &keys {
            self.by_key.entry(key.clone()).or_default().insert(object.clone());
        }
        if !keys.is_empty() {
            self.keys.insert(object, keys);
        }
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
        let mut names: Vec<String> = index.find(key).into_iter().map(|found| found.name).collect();
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
