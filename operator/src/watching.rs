//! Watches: every event goes into a store first and to its reader then.

mod index;
mod lean;
mod store;

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::index::Keys;
pub use self::lean::Lean;
use self::store::Store;

/// A watch is begun anew this often, in seconds, so that one whose connection has died unnoticed
/// does not stay blind.
pub const TIMEOUT_SECONDS: u32 = 28;

/// The events of one kind, from all namespaces that are watched. Failed watches are begun again.
pub type Watched<K> = BoxStream<'static, Event<K>>;

/// What has been seen of one kind: a store for each watched namespace, or one for all. Cheap to clone.
pub struct Seen<K> {
    stores: Vec<Store<K>>,
}

impl<K> Clone for Seen<K> {
    fn clone(&self) -> Self {
        Self {
            stores: self.stores.clone(),
        }
    }
}

impl<K: Kept> Seen<K> {
    /// The object of that name.
    #[must_use]
    pub fn get(&self, reference: &ObjectRef<K>) -> Option<Arc<K>> {
        let key = store::key(reference.namespace.as_deref(), &reference.name);
        self.stores.iter().find_map(|store| store.get(&key))
    }

    /// All objects, one after the other: of many, most are packed, and each is unpacked in its turn.
    pub fn each(&self) -> impl Iterator<Item = Arc<K>> + use<K> {
        self.stores.clone().into_iter().flat_map(Store::each)
    }

    /// The namespaces and names of all objects, of which none is unpacked for that.
    #[must_use]
    pub fn names(&self) -> Vec<(String, String)> {
        self.stores.iter().flat_map(Store::names).collect()
    }

    /// The objects that have this key by what [`watch`] was given.
    #[must_use]
    pub fn find(&self, key: &str) -> Vec<Arc<K>> {
        self.stores.iter().flat_map(|store| store.find(key)).collect()
    }

    /// The objects that have one of these keys, but for those that are `known` already, which are not unpacked.
    #[must_use]
    pub fn find_others(&self, keys: &[String], known: &[&K]) -> Vec<Arc<K>> {
        let known: HashSet<store::Key> = known.iter().map(|known| store::key_of(*known)).collect();
        let pairs = keys
            .iter()
            .flat_map(|key| self.stores.iter().map(move |store| (store, key)));
        pairs
            .flat_map(|(store, key)| store.find_others(key, &known))
            .collect()
    }

    /// Was everything that exists seen once?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.stores.iter().all(Store::is_ready)
    }

    /// Returns once everything that exists was seen once.
    pub async fn ready(&self) {
        for store in &self.stores {
            store.ready().await;
        }
    }
}

/// What can be kept of a watch.
pub trait Kept:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl<K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static>
    Kept for K
{
}

/// The API of a namespaced kind: for each of the `namespaces`, or for all if there are none.
#[must_use]
pub fn apis<K>(client: &Client, namespaces: &[String]) -> Vec<Api<Lean<K>>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    if namespaces.is_empty() {
        return vec![Api::all(client.clone())];
    }
    namespaces
        .iter()
        .map(|namespace| Api::namespaced(client.clone(), namespace))
        .collect()
}

/// Watches `apis`. Those of `PartialObjectMeta` are watched for metadata only. Objects can be found by their `keys`
/// ([`Seen::find`]). They lack `managedFields`: written back without them, an object keeps those that the API server has.
#[must_use]
pub fn watch<K: Kept>(
    apis: Vec<Api<Lean<K>>>,
    config: &watcher::Config,
    keys: Keys<K>,
) -> (Seen<K>, Watched<K>) {
    let mut stores = Vec::new();
    let mut streams = Vec::new();
    for api in apis {
        let store = Store::by(keys);
        stores.push(store.clone());
        let events = watcher::watcher(api, config.clone().timeout(TIMEOUT_SECONDS)).default_backoff();
        let events = events.filter_map(|event| async move {
            event
                .map(bare)
                .inspect_err(|error| tracing::warn!(%error, kind = %K::kind(&()), "a watch is begun again"))
                .ok()
        });
        streams.push(events.inspect(move |event| store.note(event)).boxed());
    }
    (Seen { stores }, select_all(streams).boxed())
}

fn bare<K>(event: Event<Lean<K>>) -> Event<K> {
    match event {
        Event::Apply(Lean(object)) => Event::Apply(object),
        Event::Delete(Lean(object)) => Event::Delete(object),
        Event::Init => Event::Init,
        Event::InitApply(Lean(object)) => Event::InitApply(object),
        Event::InitDone => Event::InitDone,
    }
}
