//! Watches: every event goes into a store first and to its reader then.

mod index;

use std::fmt::Debug;
use std::sync::Arc;

use futures::future::{BoxFuture, Shared};
use futures::stream::{BoxStream, select_all};
use futures::{FutureExt, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use self::index::Index;
pub use self::index::Keys;

/// A watch is begun anew this often, in seconds, so that one whose connection has died unnoticed
/// does not stay blind.
pub const TIMEOUT_SECONDS: u32 = 28;

/// The events of one kind, from all namespaces that are watched. Failed watches are begun again.
pub type Watched<K> = BoxStream<'static, Event<K>>;

/// What has been seen of one kind: a store for each watched namespace, or one for all.
pub struct Seen<K: Resource<DynamicType = ()> + 'static> {
    stores: Vec<(Store<K>, Index<K>)>,
    /// A store wakes only one of those that wait for it, so all wait for this.
    ready: Shared<BoxFuture<'static, ()>>,
}

impl<K: Resource<DynamicType = ()> + Clone> Clone for Seen<K> {
    fn clone(&self) -> Self {
        Self {
            stores: self.stores.clone(),
            ready: self.ready.clone(),
        }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + Send + Sync> Seen<K> {
    fn of(stores: Vec<(Store<K>, Index<K>)>) -> Self {
        let all = stores.clone();
        let ready = async move {
            for (store, _) in &all {
                // The watch ends only with the process; then nobody waits any more.
                let _ = store.wait_until_ready().await;
            }
        };
        Self {
            stores,
            ready: ready.boxed().shared(),
        }
    }

    /// The object of that name.
    #[must_use]
    pub fn get(&self, reference: &ObjectRef<K>) -> Option<Arc<K>> {
        self.stores.iter().find_map(|(store, _)| store.get(reference))
    }

    /// All objects.
    #[must_use]
    pub fn state(&self) -> Vec<Arc<K>> {
        self.stores.iter().flat_map(|(store, _)| store.state()).collect()
    }

    /// The objects that have this key by what [`watch`] was given.
    #[must_use]
    pub fn find(&self, key: &str) -> Vec<Arc<K>> {
        let found = self.stores.iter().flat_map(|(store, index)| {
            let found = index
                .find(key)
                .into_iter()
                .filter_map(|object| store.get(&object));
            // It may have changed a moment ago.
            found.filter(|object| index.has(object, key)).collect::<Vec<_>>()
        });
        found.collect()
    }

    /// Was everything that exists seen once?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.peek().is_some()
    }

    /// Returns once everything that exists was seen once.
    pub async fn ready(&self) {
        self.ready.clone().await;
    }
}

/// The API of a namespaced kind: for each of the `namespaces`, or for all if there are none.
#[must_use]
pub fn apis<K>(client: &Client, namespaces: &[String]) -> Vec<Api<K>>
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
/// ([`Seen::find`]). What is kept of them lacks `managedFields`, which are half of an object and of no use here: written
/// back without them, it keeps those that the API server has.
#[must_use]
pub fn watch<K>(apis: Vec<Api<K>>, config: &watcher::Config, keys: Keys<K>) -> (Seen<K>, Watched<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut stores = Vec::new();
    let mut streams = Vec::new();
    for api in apis {
        let (reader, writer) = store();
        let index = Index::by(keys);
        stores.push((reader.clone(), index.clone()));
        let events = watcher::watcher(api, config.clone().timeout(TIMEOUT_SECONDS))
            .default_backoff()
            .modify(|object| object.meta_mut().managed_fields = None);
        let events = reflector(writer, events).filter_map(|event| async move {
            event
                .inspect_err(|error| tracing::warn!(%error, kind = %K::kind(&()), "a watch is begun again"))
                .ok()
        });
        let events = events.inspect(move |event| index.note(event, |object| reader.get(object).is_some()));
        streams.push(events.boxed());
    }
    (Seen::of(stores), select_all(streams).boxed())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    #[tokio::test]
    async fn all_who_wait_for_the_first_listing_are_woken() {
        let (reader, mut writer) = store::<Secret>();
        let seen = Seen::of(vec![(reader, Index::by(|_| Vec::new()))]);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let seen = seen.clone();
                tokio::spawn(async move { seen.ready().await })
            })
            .collect();
        // Each of them has looked once.
        tokio::task::yield_now().await;
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        let woken = futures::future::join_all(waiters);
        let woken = tokio::time::timeout(Duration::from_secs(10), woken)
            .await
            .unwrap();
        assert!(woken.iter().all(Result::is_ok));
    }
}
