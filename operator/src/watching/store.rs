//! What is kept of the objects that one watch has shown.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use kube::Resource;
use kube::runtime::watcher::Event;
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::index::{Index, Keys};

/// An object within its kind: `NAMESPACE/NAME`, without a namespace `/NAME`.
pub(super) type Key = Arc<str>;

/// A store keeps so many objects as they are. Those that come after are packed: that takes less memory, and a moment for each
/// look at one.
const FEW: usize = 100;

/// Objects whose JSON is longer than this, in bytes, are always kept as they are: there are few of them, and each is slow to
/// unpack.
const LARGE: usize = 8 * 1024;

/// The objects of one watch. Cheap to clone; the clones are one store.
pub(super) struct Store<K> {
    inside: Arc<RwLock<Inside<K>>>,
    /// Was there a whole listing?
    is_listed: watch::Sender<bool>,
}

struct Inside<K> {
    objects: HashMap<Key, Form<K>>,
    index: Index<K>,
    /// While a listing is under way: what it has shown.
    listing: Option<HashSet<Key>>,
    /// The JSON of one of the objects. Others of its kind are much like it, so they are packed by what differs.
    pattern: Arc<[u8]>,
    few: usize,
}

enum Form<K> {
    Whole(Arc<K>),
    /// Its JSON, as LZ4 with the store's pattern as dictionary.
    Packed(Box<[u8]>),
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self {
            inside: self.inside.clone(),
            is_listed: self.is_listed.clone(),
        }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned> Store<K> {
    /// An empty one. Its objects can be found by their `keys`.
    pub(super) fn by(keys: Keys<K>) -> Self {
        Self::with_few(keys, FEW)
    }

    fn with_few(keys: Keys<K>, few: usize) -> Self {
        let inside = Inside {
            objects: HashMap::new(),
            index: Index::by(keys),
            listing: None,
            pattern: Arc::from([]),
            few,
        };
        Self {
            inside: Arc::new(RwLock::new(inside)),
            is_listed: watch::Sender::new(false),
        }
    }

    /// Takes note of what a watch has shown. What a new listing lacks is gone once the listing is complete.
    pub(super) fn note(&self, event: &Event<K>) {
        let mut inside = self.inside.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => inside.listing = Some(HashSet::new()),
            Event::Apply(object) | Event::InitApply(object) => {
                let key = key_of(object);
                inside.put(&key, object);
                if let Some(listing) = &mut inside.listing {
                    listing.insert(key);
                }
            }
            Event::Delete(object) => {
                let key = key_of(object);
                inside.remove(&key);
                if let Some(listing) = &mut inside.listing {
                    listing.remove(&key);
                }
            }
            Event::InitDone => {
                let listing = inside.listing.take().unwrap_or_default();
                let keys = inside.objects.keys();
                let gone: Vec<Key> = keys.filter(|key| !listing.contains(*key)).cloned().collect();
                for key in gone {
                    inside.remove(&key);
                }
                self.is_listed.send_replace(true);
            }
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<K>> {
        let inside = self.inside.read().unwrap_or_else(PoisonError::into_inner);
        inside.get(key)
    }

    /// All of them, one after the other, so that never all are unpacked.
    pub(super) fn each(self) -> impl Iterator<Item = Arc<K>> {
        let inside = self.inside.read().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<Key> = inside.objects.keys().cloned().collect();
        drop(inside);
        keys.into_iter().filter_map(move |key| self.get(&key))
    }

    /// The namespaces and names of all of them.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        let inside = self.inside.read().unwrap_or_else(PoisonError::into_inner);
        let names = inside.objects.keys().filter_map(|key| key.split_once('/'));
        names
            .map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
            .collect()
    }

    /// Those that have this key by what [`Store::by`] was given.
    pub(super) fn find(&self, key: &str) -> Vec<Arc<K>> {
        self.find_others(key, &HashSet::new())
    }

    /// The same without those that are known, none of which is unpacked.
    pub(super) fn find_others(&self, key: &str, known: &HashSet<Key>) -> Vec<Arc<K>> {
        let inside = self.inside.read().unwrap_or_else(PoisonError::into_inner);
        let others = inside.index.find(key).filter(|found| !known.contains(*found));
        let found = others.filter_map(|found| inside.get(found));
        found.filter(|object| inside.index.has(object, key)).collect()
    }

    /// Was there a whole listing?
    pub(super) fn is_ready(&self) -> bool {
        *self.is_listed.borrow()
    }

    /// Returns once there was a whole listing.
    pub(super) async fn ready(&self) {
        let mut is_listed = self.is_listed.subscribe();
        // The other end is in this store.
        let _ = is_listed.wait_for(|is_listed| *is_listed).await;
    }
}

impl<K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned> Inside<K> {
    fn put(&mut self, key: &Key, object: &K) {
        self.index.set(key, object);
        let form = self.form(object);
        self.objects.insert(key.clone(), form);
    }

    fn form(&mut self, object: &K) -> Form<K> {
        let whole = || Form::Whole(Arc::new(object.clone()));
        if self.objects.len() < self.few {
            return whole();
        }
        let Ok(json) = serde_json::to_vec(object) else {
            return whole();
        };
        if json.len() > LARGE {
            return whole();
        }
        if self.pattern.is_empty() {
            self.pattern = json.as_slice().into();
        }
        Form::Packed(compress_prepend_size_with_dict(&json, &self.pattern).into())
    }

    fn get(&self, key: &str) -> Option<Arc<K>> {
        let packed = match self.objects.get(key)? {
            Form::Whole(object) => return Some(object.clone()),
            Form::Packed(packed) => packed,
        };
        let json = decompress_size_prepended_with_dict(packed, &self.pattern);
        let object = json
            .map_err(anyhow::Error::from)
            .and_then(|json| Ok(serde_json::from_slice(&json)?));
        object
            .inspect_err(
                |error| tracing::error!(%error, key, kind = %K::kind(&()), "what was kept cannot be read"),
            )
            .ok()
            .map(Arc::new)
    }

    fn remove(&mut self, key: &str) {
        self.index.forget(key);
        self.objects.remove(key);
    }
}

pub(super) fn key_of<K: Resource>(object: &K) -> Key {
    let meta = object.meta();
    key(
        meta.namespace.as_deref(),
        meta.name.as_deref().unwrap_or_default(),
    )
}

pub(super) fn key(namespace: Option<&str>, name: &str) -> Key {
    format!("{}/{name}", namespace.unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::ResourceExt;

    use super::*;

    fn secret(name: &str, label: &str) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.namespace = Some("shop".into());
        secret.metadata.name = Some(name.into());
        secret.metadata.labels = Some([("of".to_owned(), label.to_owned())].into());
        secret
    }

    fn names(found: impl IntoIterator<Item = Arc<Secret>>) -> Vec<String> {
        let mut names: Vec<String> = found.into_iter().map(|found| found.name_any()).collect();
        names.sort();
        names
    }

    fn store(few: usize) -> Store<Secret> {
        Store::with_few(|secret| secret.labels().values().cloned().collect(), few)
    }

    #[test]
    fn what_is_packed_is_found_as_what_is_whole() {
        for few in [0, 1, 10] {
            let store = store(few);
            for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
                store.note(&Event::Apply(secret(name, label)));
            }
            assert_eq!(names(store.find("x")), ["a", "b"]);
            assert_eq!(names(store.find_others("x", &["shop/a".into()].into())), ["b"]);
            assert_eq!(*store.get("shop/b").unwrap(), secret("b", "x"));
            store.note(&Event::Apply(secret("a", "y")));
            assert_eq!(*store.get("shop/a").unwrap(), secret("a", "y"));
            assert_eq!(names(store.find("x")), ["b"]);
            store.note(&Event::Delete(secret("c", "y")));
            assert_eq!(names(store.find("y")), ["a"]);
            assert_eq!(names(store.clone().each()), ["a", "b"]);
            let mut all = store.names();
            all.sort();
            assert_eq!(all, ["a", "b"].map(|name| ("shop".to_owned(), name.to_owned())));
            assert_eq!(store.get("shop/c"), None);
        }
    }

    #[test]
    fn what_a_new_listing_lacks_is_gone_once_it_is_complete() {
        let store = store(1);
        for event in [
            Event::Init,
            Event::InitApply(secret("a", "x")),
            Event::InitApply(secret("b", "x")),
        ] {
            assert!(!store.is_ready());
            store.note(&event);
        }
        store.note(&Event::InitDone);
        assert!(store.is_ready());
        store.note(&Event::Init);
        store.note(&Event::InitApply(secret("b", "y")));
        store.note(&Event::InitApply(secret("c", "y")));
        assert_eq!(names(store.clone().each()), ["a", "b", "c"]);
        store.note(&Event::InitDone);
        assert_eq!(names(store.clone().each()), ["b", "c"]);
        assert_eq!(names(store.find("x")), Vec::<String>::new());
        assert_eq!(names(store.find("y")), ["b", "c"]);
    }

    #[test]
    fn many_that_are_much_alike_take_little_and_a_large_one_stays_whole() {
        let store = store(0);
        for number in 0..100 {
            store.note(&Event::Apply(secret(
                &format!("secret-{number}"),
                &"x".repeat(1000),
            )));
        }
        let mut large = secret("large", "x");
        large.type_ = Some("y".repeat(LARGE));
        store.note(&Event::Apply(large.clone()));
        let inside = store.inside.read().unwrap();
        let packed = inside.objects.values().filter_map(|form| match form {
            Form::Packed(packed) => Some(packed.len()),
            Form::Whole(_) => None,
        });
        let lengths: Vec<usize> = packed.collect();
        assert_eq!(lengths.len(), 100);
        assert!(lengths.iter().all(|length| *length < 100), "{lengths:?}");
        drop(inside);
        assert_eq!(*store.get("shop/large").unwrap(), large);
    }

    #[tokio::test]
    async fn all_who_wait_for_the_first_listing_are_woken() {
        let store = store(0);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.ready().await })
            })
            .collect();
        // Each of them has looked once.
        tokio::task::yield_now().await;
        store.note(&Event::Init);
        store.note(&Event::InitDone);
        for woken in waiters {
            tokio::time::timeout(std::time::Duration::from_secs(10), woken)
                .await
                .unwrap()
                .unwrap();
        }
    }
}
