//! Secrets whose form is not the one that their Certificate asks for: watch → compare → write. No CA is asked, no slot
//! is needed.
//!
//! # Guarantees
//! A Secret is written by compare-and-swap, and only if it is not as wanted; certificate and key in it stay.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use sancho_crds::CertificateShard;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::context::Context;
use crate::due::Due;
use crate::queue::ShardKey;
use crate::secrets::{self, SecretError, form};

/// Replicas look at a change at different times within this one, so that most find it done.
const MOST_HEAD_START: Duration = Duration::from_millis(1500);
/// After an error of the API server, or when somebody else was faster.
const AGAIN: Duration = Duration::from_secs(2);
/// So many Secrets are looked at at once.
const MOST_AT_ONCE: usize = 4;

/// Looks at the Secrets of the shards that it is told until `ending` comes.
pub async fn run(
    context: Context,
    mut nudges: mpsc::UnboundedReceiver<ShardKey>,
    ending: impl Future<Output = ()>,
) {
    let mut due: Due<Instant, ShardKey> = Due::default();
    let mut running: HashSet<ShardKey> = HashSet::new();
    let mut looks: JoinSet<(ShardKey, Option<Duration>)> = JoinSet::new();
    tokio::pin!(ending);
    loop {
        while running.len() < MOST_AT_ONCE
            && let Some(key) = due.take(Instant::now())
        {
            if running.contains(&key) {
                due.set(&key, Instant::now() + AGAIN);
                break;
            }
            running.insert(key.clone());
            let context = context.clone();
            looks.spawn(async move {
                let next = look(&context, &key).await;
                (key, next)
            });
        }
        let next = due.next().filter(|_| running.len() < MOST_AT_ONCE);
        tokio::select! {
            () = &mut ending => return,
            Some(key) = nudges.recv() => due.set_latest(&key, Instant::now() + head_start(&context.replica, &key)),
            Some(ended) = looks.join_next() => match ended {
                Ok((key, next)) => {
                    running.remove(&key);
                    if let Some(wait) = next {
                        due.set_latest(&key, Instant::now() + wait);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a look at a Secret's form broke off");
                    return;
                }
            },
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

/// Is the Secret of `shard` to be looked at, as far as is seen?
#[must_use]
pub fn is_due(context: &Context, shard: &CertificateShard) -> bool {
    let is_issued = shard
        .status
        .as_ref()
        .is_some_and(|status| status.issued.is_some());
    let namespace = shard.namespace().unwrap_or_default();
    let reference =
        ObjectRef::<PartialObjectMeta<Secret>>::new_with(&shard.spec.secret_name, ()).within(&namespace);
    let secret = context.seen.secrets.get(&reference);
    is_issued && secret.is_some_and(|secret| !form::is_given(&secret.metadata, &shard.spec))
}

fn head_start(replica: &str, key: &ShardKey) -> Duration {
    let mut hasher = DefaultHasher::new();
    (replica, key).hash(&mut hasher);
    Duration::from_micros(hasher.finish() % MOST_HEAD_START.as_micros() as u64)
}

/// One look. Returns when to come back, if no event does before.
async fn look(context: &Context, key: &ShardKey) -> Option<Duration> {
    let reference = ObjectRef::new(&key.name).within(&key.namespace);
    let shard = context.seen.shards.get(&reference)?;
    if shard.metadata.deletion_timestamp.is_some() || !is_due(context, &shard) {
        return None;
    }
    match secrets::reform(&context.secrets(&key.namespace), &shard).await {
        Ok(true) => {
            tracing::info!(shard = %key, secret = shard.spec.secret_name, "the Secret has the form that is asked for");
            None
        }
        // The watch is behind, or its event comes next.
        Ok(false) => None,
        // Its shard's own condition says so.
        Err(SecretError::NotOurs { .. }) => None,
        Err(error @ (SecretError::Conflict { .. } | SecretError::Api { .. })) => {
            tracing::info!(shard = %key, %error, "the Secret's form is looked at again later");
            Some(AGAIN)
        }
    }
}
