//! A budget's Lease at the API server: quorum reads, and PUTs with `resourceVersion`.
//!
//! Only a PUT with `resourceVersion` is a compare-and-swap; nothing is merged, patched or sent
//! again. An answer that does not say for certain whether a write landed is
//! [`WriteOutcome::Unknown`], and the limiter reads it back.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use sancho_limiter::{LEASE_LABEL, ORIGIN_ANNOTATION, Read, Record, WRITER_ANNOTATION, WriteOutcome};

use crate::clock;

/// No answer for this long is an unknown outcome.
const TIMEOUT: Duration = Duration::from_millis(2500);

/// One budget's Lease.
#[derive(Clone)]
pub struct LeaseStore {
    api: Api<Lease>,
    name: String,
    origin: String,
    replica: String,
}

impl LeaseStore {
    /// The Lease `name` for the budget of `origin`, to be written by `replica`. `client` must not send anything again by
    /// itself.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: String, origin: String, replica: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name,
            origin,
            replica,
        }
    }

    /// The Lease's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A quorum read.
    pub async fn read(&self) -> Read {
        match tokio::time::timeout(TIMEOUT, self.api.get_opt(&self.name)).await {
            Ok(Ok(Some(lease))) => seen(&lease),
            Ok(Ok(None)) => Read::Absent,
            Ok(Err(error)) => {
                tracing::warn!(lease = self.name, %error, "cannot read the budget's Lease");
                Read::Failed
            }
            Err(_) => {
                tracing::warn!(lease = self.name, "no answer about the budget's Lease in time");
                Read::Failed
            }
        }
    }

    /// One write: creates the Lease if `version` is absent, else replaces the one of that version.
    pub async fn write(&self, record: &Record, version: Option<String>) -> WriteOutcome {
        let lease = self.lease(record, version.clone());
        let write = async {
            let params = PostParams::default();
            match version {
                None => self.api.create(&params, &lease).await,
                Some(_) => self.api.replace(&self.name, &params, &lease).await,
            }
        };
        match tokio::time::timeout(TIMEOUT, write).await {
            Ok(Ok(lease)) => WriteOutcome::Acknowledged {
                version: version_of(&lease),
            },
            Ok(Err(error)) => {
                let outcome = outcome(&error);
                if outcome != WriteOutcome::Conflict {
                    tracing::warn!(lease = self.name, %error, "cannot write the budget's Lease");
                }
                outcome
            }
            Err(_) => WriteOutcome::Unknown,
        }
    }

    fn lease(&self, record: &Record, version: Option<String>) -> Lease {
        let mut annotations = record.to_annotations();
        annotations.insert(ORIGIN_ANNOTATION.into(), self.origin.clone());
        annotations.insert(WRITER_ANNOTATION.into(), self.replica.clone());
        let (key, value) = LEASE_LABEL;
        let (uid, version) = version
            .as_deref()
            .and_then(|version| version.split_once('/'))
            .unzip();
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                uid: uid.map(str::to_owned),
                resource_version: version.map(str::to_owned),
                labels: Some(BTreeMap::from([(key.into(), value.into())])),
                annotations: Some(annotations),
                ..Default::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(record.holder_identity()).filter(|holders| !holders.is_empty()),
                // For people: what the API server notes beside it is by its own clock.
                renew_time: Some(MicroTime(clock::own())),
                ..Default::default()
            }),
        }
    }
}

/// What a Lease shows, whether it was read or came by a watch.
#[must_use]
pub fn seen(lease: &Lease) -> Read {
    let version = version_of(lease);
    match Record::from_annotations(lease.annotations()) {
        Ok(record) => Read::Found {
            record: Box::new(record),
            version,
        },
        Err(reason) => Read::Unreadable { reason, version },
    }
}

/// What a later write names as the Lease that it replaces: its UID and `resourceVersion`. A PUT of a
/// Lease that is gone may create it; with a UID in it, it may not.
fn version_of(lease: &Lease) -> String {
    format!(
        "{}/{}",
        lease.uid().unwrap_or_default(),
        lease.resource_version().unwrap_or_default()
    )
}

/// Did a write that was answered with `error` land?
fn outcome(error: &kube::Error) -> WriteOutcome {
    match error {
        // 404: it is gone, so the version that was to be replaced is not there any more.
        kube::Error::Api(status) => match status.code {
            404 | 409 | 410 => WriteOutcome::Conflict,
            400..=499 if status.code != 408 && status.code != 429 => WriteOutcome::Refused,
            _ => WriteOutcome::Unknown,
        },
        _ => WriteOutcome::Unknown,
    }
}

/// The name of the Lease that holds the budget of `origin` (`https://host:port`).
#[must_use]
pub fn lease_name(origin: &str) -> String {
    let host = origin.trim_start_matches("https://");
    let readable: String = host
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    let hash: String = crate::target::digest([origin]).chars().take(8).collect();
    format!("sancho-budget-{}-{hash}", readable.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn answered(code: u16) -> WriteOutcome {
        outcome(&kube::Error::Api(Box::new(Status {
            code,
            ..Status::default()
        })))
    }

    #[test]
    fn only_a_certain_no_counts_as_one() {
        assert_eq!(answered(409), WriteOutcome::Conflict);
        assert_eq!(answered(404), WriteOutcome::Conflict);
        assert_eq!(answered(403), WriteOutcome::Refused);
        assert_eq!(answered(422), WriteOutcome::Refused);
        for code in [408, 429, 500, 503, 504] {
            assert_eq!(answered(code), WriteOutcome::Unknown, "{code}");
        }
    }

    #[test]
    fn a_lease_is_named_after_its_ca() {
        let name = lease_name("https://acme-v02.api.letsencrypt.org:443");
        assert!(
            name.starts_with("sancho-budget-acme-v02-api-letsencrypt-org-443-"),
            "{name}"
        );
        assert_ne!(lease_name("https://a.b:1"), lease_name("https://a-b:1"));
    }
}
