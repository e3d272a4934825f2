//! What every part of a replica shares.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use k8s_openapi::api::events::v1 as k8s_events;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::core::PartialObjectMeta;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, ClusterIssuer, Issuer};
use tokio::sync::watch;

use crate::budget::Budgets;
use crate::issuer::Issuers;
use crate::metrics::Metrics;
use crate::proxy::Proxies;
use crate::quotas::Quotas;
use crate::responder::ChallengeTable;
use crate::routes::Routes;
use crate::self_check::SelfCheck;
use crate::solvers::dns01::Dns;
use crate::startup::told;
use crate::target::digest;
use crate::watching::Seen;

/// A replica is named after its pod, with a dash and so many hexadecimal digits of its own.
pub const SUFFIX_DIGITS: usize = 8;

/// Replicas look at a change of an object at different times within this one.
const MOST_HEAD_START: Duration = Duration::from_millis(300);

/// What every part of a replica shares. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The operator's own namespace.
    pub namespace: String,
    /// This replica, as claims and the Lease name it.
    pub replica: String,
    /// This pod's name; nothing outside Kubernetes, where others may have the same.
    pub pod: Option<String>,
    /// The budgets.
    pub budgets: Budgets,
    /// What CAs are asked through.
    pub proxies: Proxies,
    /// The issuers that are ready.
    pub issuers: Issuers,
    /// The CAs' quotas that are used up.
    pub quotas: Quotas,
    /// Looks at names before the CA is asked.
    pub self_check: SelfCheck,
    /// Writes TXT records and looks for them.
    pub dns: Dns,
    /// What the responder answers.
    pub challenges: ChallengeTable,
    /// The routes that lead there.
    pub routes: Routes,
    /// What the watches have seen.
    pub seen: AllSeen,
    /// Publishes events.
    pub events: Events,
    /// Counts what is done.
    pub metrics: Metrics,
    /// Becomes true once the process is to end.
    pub ending: watch::Receiver<bool>,
}

/// What the watches have seen: may be stale, so nothing is decided for good by it.
#[derive(Clone)]
pub struct AllSeen {
    /// Certificates.
    pub certificates: Seen<Certificate>,
    /// Shards.
    pub shards: Seen<CertificateShard>,
    /// Issuers.
    pub issuers: Seen<Issuer>,
    /// ClusterIssuers.
    pub cluster_issuers: Seen<ClusterIssuer>,
    /// The Secrets that are labelled as a Certificate's: their metadata.
    pub secrets: Seen<PartialObjectMeta<Secret>>,
}

impl Context {
    /// Whether `process` is this replica, or an earlier process of this pod, which is dead then.
    #[must_use]
    pub fn is_own(&self, process: &str) -> bool {
        let of_pod = self.pod.as_ref().is_some_and(|pod| is_process_of(pod, process));
        process == self.replica || of_pod
    }

    /// How long this replica leaves a change of the object with this UID to the others, who would all do what follows
    /// from it at once otherwise: another time for each object and replica.
    #[must_use]
    pub fn head_start(&self, uid: &str) -> Duration {
        let mut hasher = DefaultHasher::new();
        (&self.replica, uid).hash(&mut hasher);
        let part = hasher.finish() % MOST_HEAD_START.as_micros() as u64;
        Duration::from_micros(part)
    }

    /// Returns once the process is to end.
    pub async fn is_ending(&self) {
        told(self.ending.clone()).await;
    }

    /// The Secrets of a namespace.
    #[must_use]
    pub fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The Certificates of a namespace.
    #[must_use]
    pub fn certificates(&self, namespace: &str) -> Api<Certificate> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The shards of a namespace.
    #[must_use]
    pub fn shards(&self, namespace: &str) -> Api<CertificateShard> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// An event's note has at most 1 KiB.
const NOTE_MAX: usize = 900;

/// Publishes events about objects.
#[derive(Clone)]
pub struct Events {
    client: Client,
    reporter: Reporter,
    recorder: Arc<Recorder>,
}

impl Events {
    /// Events of this replica.
    #[must_use]
    pub fn new(client: Client, replica: &str) -> Self {
        let reporter = Reporter {
            controller: "sancho".into(),
            instance: Some(replica.into()),
        };
        Self {
            client: client.clone(),
            reporter: reporter.clone(),
            recorder: Arc::new(Recorder::new(client, reporter)),
        }
    }

    /// Something was done, about what `about` names. Each has an event of its own: a recorder adds up those that differ
    /// in their notes alone.
    pub async fn done(&self, about: &ObjectReference, reason: &str, action: &str, note: String) {
        let now = Timestamp::now().to_string();
        self.create(about, EventType::Normal, reason, action, note, &now)
            .await;
    }

    /// Something needs a look that every replica sees: the event's name follows from what it says, so that there is one
    /// of it whoever says it, and whenever. Returns whether it is there now.
    pub async fn once(&self, about: &ObjectReference, reason: &str, action: &str, note: String) -> bool {
        self.create(about, EventType::Warning, reason, action, note, "")
            .await
    }

    /// Creates an event whose name follows from what it says and from `key`. Returns whether it is there now.
    async fn create(
        &self,
        about: &ObjectReference,
        type_: EventType,
        reason: &str,
        action: &str,
        note: String,
        key: &str,
    ) -> bool {
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let note = sancho_core::shown::shown_within(&note, NOTE_MAX);
        let hash = digest([about.uid.as_deref().unwrap_or_default(), reason, &note, key]);
        let name: String = about
            .name
            .iter()
            .flat_map(|name| name.chars().take(200))
            .collect();
        let event = k8s_events::Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{}", name.trim_end_matches(['.', '-']), &hash[..16])),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            type_: Some(
                match type_ {
                    EventType::Normal => "Normal",
                    EventType::Warning => "Warning",
                }
                .to_owned(),
            ),
            reason: Some(reason.to_owned()),
            action: Some(action.to_owned()),
            note: Some(note),
            regarding: Some(about.clone()),
            event_time: Some(MicroTime(Timestamp::now())),
            reporting_controller: Some(self.reporter.controller.clone()),
            reporting_instance: self.reporter.instance.clone(),
            ..k8s_events::Event::default()
        };
        let api: Api<k8s_events::Event> = Api::namespaced(self.client.clone(), namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.code == 409 => true,
            Err(error) => {
                tracing::debug!(%error, reason, "an event was not published");
                false
            }
        }
    }

    /// Something went as it should.
    pub async fn normal<K>(&self, about: &K, reason: &str, action: &str, note: String)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish(about.object_ref(&()), EventType::Normal, reason, action, note)
            .await;
    }

    /// Something needs a look.
    pub async fn warning<K>(&self, about: &K, reason: &str, action: &str, note: String)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish(about.object_ref(&()), EventType::Warning, reason, action, note)
            .await;
    }

    async fn publish(
        &self,
        about: ObjectReference,
        type_: EventType,
        reason: &str,
        action: &str,
        note: String,
    ) {
        let note = sancho_core::shown::shown_within(&note, NOTE_MAX);
        let event = Event {
            type_,
            reason: reason.into(),
            note: Some(note),
            action: action.into(),
            secondary: None,
        };
        // An event that cannot be published is not worth a retry: the condition says the same.
        if let Err(error) = self.recorder.publish(&event, &about).await {
            tracing::debug!(%error, reason, "an event was not published");
        }
    }
}

/// Is `process` the name of a process of `pod`?
fn is_process_of(pod: &str, process: &str) -> bool {
    let suffix = process.strip_prefix(pod).and_then(|rest| rest.strip_prefix('-'));
    suffix.is_some_and(|suffix| {
        suffix.len() == SUFFIX_DIGITS && suffix.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Namespace and name, for logs and messages.
#[must_use]
pub fn full_name<K: Resource<DynamicType = ()>>(object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_after_its_pod() {
        assert!(is_process_of("sancho-0", "sancho-0-1c9c570d"));
        assert!(!is_process_of("sancho-0", "sancho-01-1c9c570d"));
        assert!(!is_process_of("sancho", "sancho-0-1c9c570d"));
        assert!(!is_process_of("sancho-0", "sancho-0"));
    }
}
