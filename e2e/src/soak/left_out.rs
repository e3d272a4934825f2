//! Names that could not be validated at some time: their certificates may have been issued without them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use sancho_crds::CertificateShard;
use tokio::task::JoinHandle;

/// The names that shards have had in quarantine: what is left out is recorded there before. Ends when dropped.
pub struct LeftOut {
    names: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl LeftOut {
    /// Watches the namespace `default`.
    pub fn watch(client: &Client) -> Self {
        let shards: Api<CertificateShard> = Api::namespaced(client.clone(), "default");
        let names = Arc::<Mutex<BTreeSet<String>>>::default();
        let shared = names.clone();
        let task = tokio::spawn(async move {
            let mut events = watcher(shards, watcher::Config::default()).boxed();
            while let Some(event) = events.next().await {
                // It is begun anew after an error.
                if let Ok(Event::Apply(shard) | Event::InitApply(shard)) = event {
                    let entries = shard.status.unwrap_or_default().quarantine.into_iter();
                    lock(&shared).extend(entries.map(|entry| entry.name));
                }
            }
        });
        Self { names, task }
    }

    /// All that were left out, or may have been, since it was begun anew.
    pub fn names(&self) -> BTreeSet<String> {
        lock(&self.names).clone()
    }

    /// Forgets them.
    pub fn begin_anew(&self) {
        lock(&self.names).clear();
    }
}

impl Drop for LeftOut {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(names: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}
