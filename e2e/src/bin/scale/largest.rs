//! The largest version of a shard that there ever was. Watched as text: what it says does not matter, and reading it would
//! take the processors from what is measured.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use futures::{AsyncBufReadExt, TryStreamExt};
use hyper::Request;
use hyper::header::ACCEPT_ENCODING;
use kube::Client;
use tokio::task::JoinHandle;

/// A watch of the namespace's shards.
const WATCH: &str = "/apis/sancho.dev/v1alpha1/namespaces/default/certificateshards?watch=1";

/// Watches from its start on. Ends when dropped.
pub struct Largest {
    bytes: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Largest {
    /// Begins.
    pub fn watch(client: Client) -> Self {
        let bytes = Arc::<AtomicUsize>::default();
        let shared = bytes.clone();
        let task = tokio::spawn(async move {
            // A watch that has ended is begun anew, with what is there then.
            loop {
                let _ = follow(&client, &shared).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { bytes, task }
    }

    /// How large it was, as the API server writes it; 0 if none was seen.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Largest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(client: &Client, largest: &AtomicUsize) -> Result<()> {
    let request = Request::get(WATCH)
        .header(ACCEPT_ENCODING, "identity")
        .body(Vec::new())?;
    let mut events = pin!(client.request_stream(request).await?.lines());
    while let Some(event) = events.try_next().await? {
        largest.fetch_max(size(&event), Ordering::Relaxed);
    }
    Ok(())
}

/// Of the object in a line of a watch, in bytes.
fn size(event: &str) -> usize {
    let object = event.trim_end().split_once(r#""object":"#);
    object.map_or(0, |(_, object)| object.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_alone_counts() {
        assert_eq!(size("{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n"), 7);
        assert_eq!(size(""), 0);
    }
}
