//! Looks at an object whenever it or a Certificate that concerns it may have changed, and does what is decided.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Api, ResourceExt};
use sancho_core::shown::shown_within;
use sancho_crds::{Certificate, IssuerKind};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::decide::{Action, Around, Decision, controller, decide};
use super::issuer_says::IssuerSays;
use super::source::{Annotated, Complaint, Source};
use super::translate::Wanted;
use crate::certificate::CertificateKey;
use crate::context::Context;
use crate::due::Due;
use crate::found_by;
use crate::secrets::FIELD_MANAGER;
use crate::watching::{Seen, Watched};

/// Changes that come within this time of one another are looked at together.
const GATHER: Duration = Duration::from_millis(200);
/// After an error of the API server, or when somebody else was faster.
const AGAIN: Duration = Duration::from_secs(2);
/// What the API server refuses is tried again so rarely, unless something else is wanted.
const REFUSED_AGAIN: Duration = Duration::from_secs(600);
/// So many objects of a kind are looked at at once.
const MOST_AT_ONCE: usize = 4;
/// The most characters of the API server's words.
const MESSAGE_MAX: usize = 400;

/// What a watch of Certificates has shown.
#[derive(Debug, Clone)]
pub enum News {
    /// One has changed or is gone.
    One {
        /// Which.
        certificate: CertificateKey,
        /// Kind and name of what controls it.
        owner: Option<(String, String)>,
    },
    /// Any may have gone.
    All,
}

/// Tells of what a watch shows of Certificates.
pub fn tell(to: &[mpsc::UnboundedSender<News>], event: &Event<Certificate>) {
    let news = match event {
        Event::Apply(certificate) | Event::Delete(certificate) => News::One {
            certificate: CertificateKey {
                namespace: certificate.namespace().unwrap_or_default(),
                name: certificate.name_any(),
            },
            owner: controller(certificate).map(|owner| (owner.kind.clone(), owner.name.clone())),
        },
        // What a listing lacks is gone only once it is complete.
        Event::InitDone => News::All,
        Event::Init | Event::InitApply(_) => return,
    };
    for reader in to {
        // Readers end with the process.
        let _ = reader.send(news.clone());
    }
}

/// An object, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    namespace: String,
    name: String,
}

impl Key {
    fn of<K: Annotated>(object: &K) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        }
    }

    fn reference<K: Annotated>(&self) -> ObjectRef<K> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

/// What a replica remembers of an object between looks.
#[derive(Default)]
struct Memory {
    /// What is to be done, and since when.
    open: Option<(Vec<String>, Instant)>,
    /// What the API server has refused, and when.
    refused: Option<(Vec<String>, Instant)>,
    /// The complaints that were made.
    told: HashSet<(&'static str, String)>,
}

/// Keeps the Certificates of one kind's objects until `ending` comes.
pub(super) async fn run<K: Annotated>(
    context: Context,
    seen: Seen<K>,
    mut objects: Watched<K>,
    mut news: mpsc::UnboundedReceiver<News>,
    ending: impl Future<Output = ()>,
) {
    let mut due: Due<Instant, Key> = Due::default();
    let mut running: HashSet<Key> = HashSet::new();
    let mut looks: JoinSet<(Key, Memory, Option<Duration>)> = JoinSet::new();
    let mut memories: HashMap<Key, Memory> = HashMap::new();
    tokio::pin!(ending);
    // Nothing is decided on half of what there is.
    let all_seen = async {
        context.seen.certificates.ready().await;
        context.seen.shards.ready().await;
        seen.ready().await;
    };
    let mut is_ready = false;
    tokio::pin!(all_seen);
    loop {
        while is_ready
            && running.len() < MOST_AT_ONCE
            && let Some(key) = due.take(Instant::now())
        {
            if running.contains(&key) {
                due.set(&key, Instant::now() + GATHER);
                break;
            }
            running.insert(key.clone());
            let mut memory = memories.remove(&key).unwrap_or_default();
            let (context, seen) = (context.clone(), seen.clone());
            looks.spawn(async move {
                let next = look(&context, &seen, &key, &mut memory).await;
                (key, memory, next)
            });
        }
        let next = due.next().filter(|_| is_ready && running.len() < MOST_AT_ONCE);
        tokio::select! {
            () = &mut ending => return,
            () = &mut all_seen, if !is_ready => is_ready = true,
            Some(event) = objects.next() => match event {
                Event::Apply(object) => due.set_latest(&Key::of(&object), Instant::now()),
                // What a listing lacks is gone only once it is complete.
                Event::InitDone => {
                    for object in seen.each() {
                        due.set_latest(&Key::of(object.as_ref()), Instant::now());
                    }
                }
                Event::Delete(object) => {
                    let key = Key::of(&object);
                    due.remove(&key);
                    memories.remove(&key);
                }
                Event::Init | Event::InitApply(_) => {}
            },
            Some(news) = news.recv() => {
                for key in concerned(&seen, &news) {
                    due.set_latest(&key, Instant::now() + GATHER);
                }
            }
            Some(ended) = looks.join_next() => match ended {
                Ok((key, memory, next)) => {
                    running.remove(&key);
                    if seen.get(&key.reference()).is_some() {
                        memories.insert(key.clone(), memory);
                    }
                    if let Some(wait) = next {
                        due.set_latest(&key, Instant::now() + wait);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, kind = K::KIND.word(), "a look broke off");
                    return;
                }
            },
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

/// The objects that a change of a Certificate concerns: the one that it is made for, and those that name its Secret.
fn concerned<K: Annotated>(seen: &Seen<K>, news: &News) -> Vec<Key> {
    let News::One { certificate, owner } = news else {
        return seen.each().map(|object| Key::of(object.as_ref())).collect();
    };
    let CertificateKey { namespace, name } = certificate;
    let owner = owner.iter().filter(|(kind, _)| kind == K::KIND.word());
    let owner = owner.map(|(_, name)| Key {
        namespace: namespace.clone(),
        name: name.clone(),
    });
    let naming = seen.find(&found_by::secret_of(namespace, name));
    owner
        .chain(naming.iter().map(|object| Key::of(object.as_ref())))
        .collect()
}

/// One look. Returns when to come back, if no event does before.
async fn look<K: Annotated>(
    context: &Context,
    seen: &Seen<K>,
    key: &Key,
    memory: &mut Memory,
) -> Option<Duration> {
    let object = seen.get(&key.reference())?;
    let source = Source::of(object.as_ref());
    let Decision { actions, complaints } = decided(context, &source, None);
    complain(context, &source, complaints, &mut memory.told).await;
    if actions.is_empty() {
        memory.open = None;
        memory.refused = None;
        memory.told.retain(|(reason, _)| *reason != REFUSED);
        return None;
    }
    let now = Instant::now();
    let intent: Vec<String> = actions
        .iter()
        .map(|(name, action)| format!("{name}: {}", action.intent()))
        .collect();
    if let Some((refused, at)) = &memory.refused
        && *refused == intent
        && now < *at + REFUSED_AGAIN
    {
        return Some(*at + REFUSED_AGAIN - now);
    }
    let since = match &memory.open {
        Some((open, since)) if *open == intent => *since,
        _ => {
            memory.open = Some((intent.clone(), now));
            now
        }
    };
    // Replicas see a change at once; who is first has done it before the others begin.
    let head_start = context.head_start(&source.uid);
    if now < since + head_start {
        return Some(since + head_start - now);
    }
    let mut again = None;
    for name in actions.keys() {
        match perform::<K>(context, &source, name).await {
            Ok(()) => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
                let refused = refusal(name, status.code, &status.message);
                memory.refused = Some((intent.clone(), now));
                again = Some(again.unwrap_or(REFUSED_AGAIN));
                let told = vec![refused];
                say(context, &source, told, &mut memory.told).await;
            }
            // It is another by now, or gone: what it is now brings the next look.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => again = Some(AGAIN),
            Err(error) => {
                tracing::warn!(object = source.words(), %error, "looked at again later");
                context.metrics.reconcile_error(K::KIND.word());
                again = Some(AGAIN);
            }
        }
    }
    again
}

/// What is to be done for `source` by what was seen, and by `read` in the place of the Certificate that it is of.
fn decided(context: &Context, source: &Source, read: Option<(&str, Option<Certificate>)>) -> Decision {
    let seen = &context.seen;
    let mut certificates: BTreeMap<String, Arc<Certificate>> = BTreeMap::new();
    let named = source.entries.iter().filter_map(|entry| {
        let reference = ObjectRef::new(&entry.secret).within(&source.namespace);
        seen.certificates.get(&reference)
    });
    let own = seen.certificates.find(&found_by::owned_by(&source.uid));
    for certificate in named.chain(own) {
        certificates.insert(certificate.name_any(), certificate);
    }
    match read {
        Some((name, Some(certificate))) => {
            certificates.insert(name.to_owned(), Arc::new(certificate));
        }
        Some((name, None)) => {
            certificates.remove(name);
        }
        None => {}
    }
    let certificates: Vec<Arc<Certificate>> = certificates.into_values().collect();
    let shards: Vec<_> = certificates
        .iter()
        .filter_map(|certificate| certificate.uid())
        .flat_map(|uid| seen.shards.find(&found_by::owned_by(&uid)))
        .collect();
    let around = Around {
        certificates: &certificates,
        shards: &shards,
        issuer: &|wanted| issuer_says(context, source, wanted),
    };
    decide(source, &around)
}

fn issuer_says(context: &Context, source: &Source, wanted: &Wanted) -> Option<IssuerSays> {
    let issuer = &wanted.spec.issuer_ref;
    let seen = &context.seen;
    match issuer.kind() {
        IssuerKind::Issuer => {
            let reference = ObjectRef::new(&issuer.name).within(&source.namespace);
            let issuer = seen.issuers.get(&reference)?;
            Some(IssuerSays {
                solvers: issuer.spec.acme.solvers.clone(),
                allowed: None,
            })
        }
        IssuerKind::ClusterIssuer => {
            let issuer = seen.cluster_issuers.get(&ObjectRef::new(&issuer.name))?;
            Some(IssuerSays {
                solvers: issuer.spec.acme.solvers.clone(),
                allowed: issuer.spec.allowed.clone(),
            })
        }
    }
}

/// Does what is to be done about the Certificate `name` by what the API server says now: first the Certificate is read,
/// then the object, so that what is written is not older than what it replaces.
async fn perform<K: Annotated>(context: &Context, seen: &Source, name: &str) -> Result<(), kube::Error> {
    let certificates = context.certificates(&seen.namespace);
    let present = certificates.get_opt(name).await?;
    let objects: Api<K> = Api::namespaced(context.client.clone(), &seen.namespace);
    let Some(object) = objects.get_opt(&seen.name).await? else {
        return Ok(());
    };
    let source = Source::of(&object);
    let mut decision = decided(context, &source, Some((name, present.clone())));
    let Some(action) = decision.actions.remove(name) else {
        return Ok(());
    };
    let object = source.words();
    let (reason, note) = match action {
        Action::Create(new) => {
            let names = new.spec.dns_names.len();
            let params = PostParams {
                field_manager: Some(FIELD_MANAGER.into()),
                ..PostParams::default()
            };
            certificates.create(&params, &new).await?;
            (
                "CertificateCreated",
                format!("Certificate {name} is made, for {names} names"),
            )
        }
        Action::Update {
            mut patch,
            fields,
            version,
        } => {
            patch["metadata"]["resourceVersion"] = version.into();
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.into()),
                ..PatchParams::default()
            };
            certificates.patch(name, &params, &Patch::Merge(patch)).await?;
            (
                "CertificateUpdated",
                format!("Certificate {name} is changed in {}", fields.join(", ")),
            )
        }
        Action::Delete { uid, version } => {
            let params = DeleteParams::default().preconditions(Preconditions {
                uid,
                resource_version: version,
            });
            certificates.delete(name, &params).await?;
            let kept = match present.and_then(|present| present.spec.secret_deletion_policy) {
                Some(sancho_crds::SecretDeletionPolicy::Delete) => "and its Secrets with it",
                Some(sancho_crds::SecretDeletionPolicy::Retain) | None => "its Secrets stay",
            };
            (
                "CertificateDeleted",
                format!("Certificate {name} is not asked for any more: it is deleted, {kept}"),
            )
        }
    };
    tracing::info!(object, namespace = source.namespace, note, "written");
    context.events.done(&source.about, reason, "Issue", note).await;
    Ok(())
}

/// Says what is wrong and was not said yet; what is mended may be said again.
async fn complain(
    context: &Context,
    source: &Source,
    complaints: Vec<Complaint>,
    told: &mut HashSet<(&'static str, String)>,
) {
    let present: BTreeSet<(&'static str, &String)> = complaints
        .iter()
        .map(|complaint| (complaint.reason, &complaint.message))
        .collect();
    told.retain(|(reason, message)| *reason == REFUSED || present.contains(&(*reason, message)));
    say(context, source, complaints, told).await;
}

async fn say(
    context: &Context,
    source: &Source,
    complaints: Vec<Complaint>,
    told: &mut HashSet<(&'static str, String)>,
) {
    for Complaint { reason, message } in complaints {
        let key = (reason, message.clone());
        if told.contains(&key) {
            continue;
        }
        tracing::debug!(object = source.words(), reason, message, "complaint");
        if context.events.once(&source.about, reason, "Issue", message).await {
            told.insert(key);
        }
    }
}

/// The reason of what the API server refuses.
const REFUSED: &str = "CertificateRefused";

fn refusal(name: &str, code: u16, message: &str) -> Complaint {
    let said = shown_within(message, MESSAGE_MAX);
    let advice = match code {
        403 if message.contains("cannot") => {
            "install the chart with ingressAnnotations.enabled=true, which gives the operator the right"
        }
        _ => "mend the annotation or host that it speaks of, or what refuses it",
    };
    Complaint::new(
        REFUSED,
        format!("Certificate {name}: the API server says {said}; {advice}"),
    )
}
