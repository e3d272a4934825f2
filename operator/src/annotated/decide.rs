//! What is to be done for an object: what it asks for beside the Certificates and shards that are there. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use sancho_core::shown::shown_within;
use sancho_crds::{Certificate, CertificateShard};
use serde_json::{Value, json};

use super::compare::{created, difference};
use super::issuer_says::IssuerSays;
use super::source::{Complaint, Kind, Source};
use super::translate::{Translation, Wanted, translation};

/// Of a longer list of host names only so many are told.
const SHOWN: usize = 3;

/// A write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Create it.
    Create(Box<Certificate>),
    /// Apply this merge patch, to the version that was looked at.
    Update {
        /// The patch.
        patch: Value,
        /// The fields that differ.
        fields: Vec<&'static str>,
        /// The version.
        version: Option<String>,
    },
    /// Delete it, in the version that was looked at.
    Delete {
        /// Its UID.
        uid: Option<String>,
        /// The version.
        version: Option<String>,
    },
}

impl Action {
    /// What it is to bring about, whatever version it is bound to.
    pub(super) fn intent(&self) -> String {
        match self {
            Self::Create(new) => format!("create {}", json!(new.spec)),
            Self::Update { patch, .. } => format!("update {patch}"),
            Self::Delete { .. } => "delete".to_owned(),
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Decision {
    /// Writes, by the Certificate's name.
    pub(super) actions: BTreeMap<String, Action>,
    /// What is wrong.
    pub(super) complaints: Vec<Complaint>,
}

/// What there is around an object.
pub(super) struct Around<'a> {
    /// Certificates of its namespace: all that it owns, and those that are called like Secrets that it names.
    pub(super) certificates: &'a [Arc<Certificate>],
    /// The shards of those that it owns.
    pub(super) shards: &'a [Arc<CertificateShard>],
    /// What the issuer of a Certificate says, if there is one.
    pub(super) issuer: &'a dyn Fn(&Wanted) -> Option<IssuerSays>,
}

/// What is to be done for `source`.
pub(super) fn decide(source: &Source, around: &Around<'_>) -> Decision {
    if source.is_going {
        return Decision::default();
    }
    let own: Vec<&Certificate> = around
        .certificates
        .iter()
        .map(AsRef::as_ref)
        .filter(|certificate| is_owned(certificate, source))
        .collect();
    let written = written(&own, around.shards);
    let parts = written.iter().flat_map(|(certificate, secrets)| {
        let first = &certificate.spec.secret_name;
        let further = secrets.keys().filter(move |secret| *secret != first);
        further.map(|secret| (secret.clone(), certificate.name_any()))
    });
    let Translation {
        certificates,
        kept,
        deletes,
        complaints,
    } = translation(source, &parts.collect());
    let mut decision = Decision {
        actions: BTreeMap::new(),
        complaints,
    };
    for (name, wanted) in &certificates {
        let present = around
            .certificates
            .iter()
            .find(|certificate| certificate.name_any() == *name);
        match present {
            None => {
                let new = Box::new(created(source, name, wanted));
                decision.actions.insert(name.clone(), Action::Create(new));
            }
            // It comes again when it has gone.
            Some(present) if present.metadata.deletion_timestamp.is_some() => continue,
            Some(present) if is_owned(present, source) => {
                if let Some((patch, fields)) = difference(source, present, wanted) {
                    let version = present.resource_version();
                    let update = Action::Update {
                        patch,
                        fields,
                        version,
                    };
                    decision.actions.insert(name.clone(), update);
                }
            }
            Some(present) => {
                decision.complaints.extend(not_ours(source, present, wanted));
                continue;
            }
        }
        if let Some(issuer) = (around.issuer)(wanted) {
            decision.complaints.extend(issuer.against(source, wanted));
        }
    }
    for (certificate, secrets) in &written {
        if let Some(wanted) = certificates.get(&certificate.name_any()) {
            decision
                .complaints
                .extend(unlisted(source, certificate, wanted, secrets));
        }
    }
    if deletes {
        for certificate in own {
            let name = certificate.name_any();
            let is_going = certificate.metadata.deletion_timestamp.is_some();
            if !certificates.contains_key(&name) && !kept.contains(&name) && !is_going {
                let delete = Action::Delete {
                    uid: certificate.uid(),
                    version: certificate.resource_version(),
                };
                decision.actions.insert(name, delete);
            }
        }
    }
    decision
}

/// The object that controls a Certificate.
pub(super) fn controller(certificate: &Certificate) -> Option<&OwnerReference> {
    let owners = certificate.owner_references().iter();
    owners.into_iter().find(|owner| owner.controller == Some(true))
}

/// Was it made for this very object?
pub(super) fn is_owned(certificate: &Certificate, source: &Source) -> bool {
    !source.uid.is_empty() && controller(certificate).is_some_and(|owner| owner.uid == source.uid)
}

/// What each Certificate's shards write: the names in each Secret.
fn written<'a>(
    own: &[&'a Certificate],
    shards: &[Arc<CertificateShard>],
) -> Vec<(&'a Certificate, BTreeMap<String, BTreeSet<String>>)> {
    let of = |certificate: &Certificate| {
        let uid = certificate.uid();
        let shards = shards.iter().filter(|shard| {
            let owners = shard.owner_references().iter();
            owners.into_iter().any(|owner| Some(&owner.uid) == uid.as_ref())
        });
        shards
            .map(|shard| {
                (
                    shard.spec.secret_name.clone(),
                    shard.spec.own_names().into_iter().collect(),
                )
            })
            .collect()
    };
    own.iter()
        .map(|certificate| (*certificate, of(certificate)))
        .collect()
}

/// There is another Certificate of that name.
fn not_ours(source: &Source, present: &Certificate, wanted: &Wanted) -> Option<Complaint> {
    let name = present.name_any();
    let whose = match controller(present) {
        Some(owner) if owner.name == source.name && owner.kind == source.kind.word() => {
            // Of an object of that name that is gone: Kubernetes deletes it.
            return None;
        }
        Some(owner) if is_kind(owner) => {
            let has = |host: &String| present.spec.dns_names.contains(host);
            if present.spec.secret_name == wanted.spec.secret_name && wanted.spec.dns_names.iter().all(has) {
                // Both serve the same Secret, and it has all that this one needs.
                return None;
            }
            format!(
                "it is made for {} {} and lacks hosts of this one: list all of them there, or use another Secret here",
                owner.kind, owner.name
            )
        }
        _ => "it was not made for this object and is left as it is: delete it, or take the Secret out here"
            .to_owned(),
    };
    Some(Complaint::new(
        "CertificateNotOurs",
        format!("Certificate {name} exists already: {whose}"),
    ))
}

fn is_kind(owner: &OwnerReference) -> bool {
    [Kind::Ingress, Kind::Gateway]
        .into_iter()
        .any(|kind| owner.kind == kind.word() && owner.api_version.starts_with(kind.group()))
}

/// Names that stand in a Secret of the Certificate in which the object does not expect them.
fn unlisted(
    source: &Source,
    certificate: &Certificate,
    wanted: &Wanted,
    secrets: &BTreeMap<String, BTreeSet<String>>,
) -> Option<Complaint> {
    if secrets.len() < 2 {
        return None;
    }
    let mut missing = Vec::new();
    for (secret, names) in secrets {
        let is_unlisted = |name: &&String| {
            let listed = wanted.listed.get(*name);
            listed.is_some_and(|listed| !listed.contains(secret))
        };
        let unlisted: Vec<&String> = names.iter().filter(is_unlisted).collect();
        if !unlisted.is_empty() {
            missing.push(format!(
                "{} ({}) to Secret {secret}",
                count(unlisted.len()),
                first(&unlisted)
            ));
        }
    }
    if missing.is_empty() {
        return None;
    }
    let name = certificate.name_any();
    Some(Complaint::new(
        "MoreSecretsNeeded",
        format!(
            "Certificate {name} has more names than one certificate takes, so they stand in {} Secrets. Move them to {} of \
             their own: {}. Until then these are served with a certificate that lacks them. `kubectl get \
             certificateshards -n {} -o yaml` shows which names stand in which Secret",
            secrets.len(),
            source.kind.entries(),
            missing.join("; "),
            source.namespace,
        ),
    ))
}

fn count(hosts: usize) -> String {
    match hosts {
        1 => "1 host".to_owned(),
        hosts => format!("{hosts} hosts"),
    }
}

/// The first of them.
pub(super) fn first(names: &[&String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| shown_within(name, 80))
        .collect();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests;
