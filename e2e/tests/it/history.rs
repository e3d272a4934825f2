//! Every version of some objects, as a watch shows them: what a test says of a whole time, and not of
//! the moments at which it happened to look.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use jiff::Timestamp;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

/// What is seen of one kind from its start on. Ends when dropped.
pub struct History<K> {
    seen: Arc<Mutex<Seen<K>>>,
    task: JoinHandle<()>,
}

struct Seen<K> {
    /// Each version that is or was there, and when it was seen.
    versions: Vec<(Timestamp, K)>,
    /// How often the watch began. A second time means that versions may be missing.
    begun: usize,
}

impl<K> History<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// Watches all of `api`. The versions of the start are the first ones.
    pub fn start(api: Api<K>) -> Self {
        let seen = Arc::new(Mutex::new(Seen {
            versions: Vec::new(),
            begun: 0,
        }));
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).boxed();
            while let Some(event) = events.next().await {
                let mut seen = shared.lock().unwrap();
                match event {
                    Ok(Event::Init) => seen.begun += 1,
                    Ok(Event::Apply(object) | Event::InitApply(object)) => {
                        seen.versions.push((Timestamp::now(), object));
                    }
                    Ok(Event::InitDone | Event::Delete(_)) | Err(_) => {}
                }
            }
        });
        Self { seen, task }
    }

    /// All versions so far, none left out.
    pub fn versions(&self) -> Vec<(Timestamp, K)> {
        let seen = self.seen.lock().unwrap();
        assert!(
            seen.begun <= 1,
            "the watch was begun anew: versions may be missing"
        );
        seen.versions.clone()
    }
}

impl<K> Drop for History<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
