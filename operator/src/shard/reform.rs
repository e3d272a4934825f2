//! Secrets whose form is not the one that their Certificate asks for: watch → compare → write. No CA is asked, no slot
//! is needed.
//!
//! # Guarantees
//! A Secret is written by compare-and-swap, and only if it is not as wanted; certificate and key in it stay.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::PostParams;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use sancho_crds::{CertificateShard, CertificateShardStatus, condition, set_condition};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::finish;
use crate::clock;
use crate::context::{Context, full_name};
use crate::due::Due;
use crate::queue::ShardKey;
use crate::secrets::keystore::Asked;
use crate::secrets::{self, Reformed, SecretError, form};

/// Replicas look at a change at different times within this one, so that most find it done.
const MOST_HEAD_START: Duration = Duration::from_millis(1500);
/// After an error of the API server, or when somebody else was faster.
const AGAIN: Duration = Duration::from_secs(2);
/// A form that the API server does not take is tried again after this.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);
/// The reason of the event that tells of it.
const FORM_REFUSED: &str = "FormRefused";
/// A password that is missing is looked for again after this time.
const LOOK_FOR_PASSWORD: Duration = Duration::from_secs(15);
/// A password that is there is looked at again after this time: Secrets of others are not watched.
const LOOK_AT_PASSWORD: Duration = Duration::from_secs(300);
/// A condition of a shard that is to have a keystore.
pub const KEYSTORE_READY: &str = "KeystoreReady";
/// Its reason while the keystore cannot be made.
pub const KEYSTORE_LACKING: &str = "KeystoreLacking";
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
    let mut looks: JoinSet<(ShardKey, Memory, Option<Duration>)> = JoinSet::new();
    let mut memories: HashMap<ShardKey, Memory> = HashMap::new();
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
            let mut memory = memories.remove(&key).unwrap_or_default();
            let context = context.clone();
            looks.spawn(async move {
                let next = look(&context, &key, &mut memory).await;
                (key, memory, next)
            });
        }
        let next = due.next().filter(|_| running.len() < MOST_AT_ONCE);
        tokio::select! {
            () = &mut ending => return,
            Some(key) = nudges.recv() => due.set_latest(&key, Instant::now() + head_start(&context.replica, &key)),
            Some(ended) = looks.join_next() => match ended {
                Ok((key, memory, next)) => {
                    running.remove(&key);
                    if let Some(wait) = next {
                        memories.insert(key.clone(), memory);
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

/// What a replica remembers of a shard with a keystore between looks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Memory {
    /// What the last look that came to an end was about.
    about: Option<Versions>,
    /// What the Secret lacked then.
    lacking: Option<String>,
}

/// The versions of the shard's spec, its Secret and the Secrets with the passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Versions {
    shard: Option<i64>,
    secret: Option<String>,
    passwords: Vec<Option<(Option<String>, Option<String>)>>,
}

/// Is the Secret of `shard` to be looked at, as far as is seen?
#[must_use]
pub fn is_due(context: &Context, shard: &CertificateShard) -> bool {
    let status = shard.status.as_ref();
    let is_issued = status.is_some_and(|status| status.issued.is_some());
    let has_keystore = !Asked::of(&shard.spec).is_empty()
        || status.is_some_and(|status| condition(&status.conditions, KEYSTORE_READY).is_some());
    is_issued
        && seen_secret(context, shard)
            .is_some_and(|secret| has_keystore || !form::is_given(&secret.metadata, &shard.spec))
}

fn seen_secret(context: &Context, shard: &CertificateShard) -> Option<Arc<PartialObjectMeta<Secret>>> {
    let namespace = shard.namespace().unwrap_or_default();
    let reference = ObjectRef::new_with(&shard.spec.secret_name, ()).within(&namespace);
    context.seen.secrets.get(&reference)
}

fn head_start(replica: &str, key: &ShardKey) -> Duration {
    let mut hasher = DefaultHasher::new();
    (replica, key).hash(&mut hasher);
    Duration::from_micros(hasher.finish() % MOST_HEAD_START.as_micros() as u64)
}

/// One look. Returns when to come back, if no event does before.
async fn look(context: &Context, key: &ShardKey, memory: &mut Memory) -> Option<Duration> {
    let reference = ObjectRef::new(&key.name).within(&key.namespace);
    let shard = context.seen.shards.get(&reference)?;
    if shard.metadata.deletion_timestamp.is_some() || !is_due(context, &shard) {
        return None;
    }
    match reform(context, &shard, memory).await {
        Ok(next) => next,
        // Its shard's own condition says so.
        Err(Stop::Secret(SecretError::NotOurs { .. })) => None,
        Err(Stop::Secret(error @ SecretError::Invalid { .. })) => {
            let words = format!("its form is not what is asked for: {error}");
            context
                .events
                .warning(shard.as_ref(), FORM_REFUSED, "Reform", words)
                .await;
            Some(AFTER_REFUSAL)
        }
        Err(error) => {
            tracing::info!(shard = %key, %error, "the Secret's form is looked at again later");
            context.metrics.reconcile_error("Secret");
            Some(AGAIN)
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
}

async fn reform(
    context: &Context,
    shard: &CertificateShard,
    memory: &mut Memory,
) -> Result<Option<Duration>, Stop> {
    let api = context.secrets(&shard.namespace().unwrap_or_default());
    let mut about = None;
    let keystores = Asked::of(&shard.spec);
    if !keystores.is_empty() {
        let names: BTreeSet<&str> = keystores
            .iter()
            .map(|asked| asked.password().name.as_str())
            .collect();
        let mut passwords = Vec::new();
        for name in names {
            let password = api.get_metadata_opt(name).await?;
            passwords.push(password.map(|password| (password.uid(), password.resource_version())));
        }
        about = Some(Versions {
            shard: shard.metadata.generation,
            secret: seen_secret(context, shard).and_then(|secret| secret.resource_version()),
            passwords,
        });
    }
    if about.is_none() || memory.about != about {
        let Reformed { written, lacking } = secrets::reform(&api, shard).await?;
        if written {
            let secret = &shard.spec.secret_name;
            tracing::info!(
                shard = full_name(shard),
                secret,
                "the Secret has the form that is asked for"
            );
        }
        *memory = Memory { about, lacking };
    }
    tell(context, shard, memory.lacking.as_deref()).await?;
    let next = if memory.lacking.is_some() {
        LOOK_FOR_PASSWORD
    } else {
        LOOK_AT_PASSWORD
    };
    // A form without a keystore changes with an event alone.
    Ok(memory.about.as_ref().map(|_| next))
}

/// Says in the shard's status what its Secret lacks.
async fn tell(context: &Context, shard: &CertificateShard, lacking: Option<&str>) -> Result<(), kube::Error> {
    if with_word(shard, lacking).is_none() {
        return Ok(());
    }
    let api = context.shards(&shard.namespace().unwrap_or_default());
    let Some(live) = api.get_opt(&shard.name_any()).await? else {
        return Ok(());
    };
    let Some(status) = with_word(&live, lacking) else {
        return Ok(());
    };
    let told = CertificateShard {
        status: Some(status),
        ..live
    };
    api.replace_status(&told.name_any(), &PostParams::default(), &told)
        .await?;
    if let Some(lacking) = lacking {
        finish::tell_failure(context, &told, KEYSTORE_LACKING, lacking).await;
    }
    Ok(())
}

/// The shard's status with a word on what its Secret lacks; nothing if it says that already. Where nothing was ever
/// lacking, nothing is said.
fn with_word(shard: &CertificateShard, lacking: Option<&str>) -> Option<CertificateShardStatus> {
    let mut status = shard.status.clone()?;
    let said = condition(&status.conditions, KEYSTORE_READY);
    match lacking {
        _ if Asked::of(&shard.spec).is_empty() => {
            said?;
            status
                .conditions
                .retain(|condition| condition.type_ != KEYSTORE_READY);
            Some(status)
        }
        Some(lacking) if said.is_some_and(|said| said.status == "False" && said.message == lacking) => None,
        None if said.is_none_or(|said| said.status == "True") => None,
        lacking => {
            let (is_ready, reason) = (lacking.is_none(), lacking.map_or("Written", |_| KEYSTORE_LACKING));
            let (generation, now) = (shard.metadata.generation, clock::time(clock::now()));
            let conditions = &mut status.conditions;
            let words = lacking.unwrap_or_default();
            set_condition(
                conditions,
                KEYSTORE_READY,
                is_ready,
                reason,
                words,
                generation,
                &now,
            );
            Some(status)
        }
    }
}
