//! Certificates with their shards, orders and names: objects → views. Pure.

mod text;

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use sancho_crds::{Certificate, CertificateShard, IssuerKind, QuarantinePlace, condition};
use serde::Serialize;

pub use self::text::text;
use crate::span;

/// A Certificate.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateView {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Whether it is `Ready`.
    pub ready: bool,
    /// The `Ready` condition's reason.
    pub reason: String,
    /// What it waits for, or what is wrong.
    pub message: String,
    /// What its `Degraded` condition says, if that is so: names that cannot be validated.
    pub degraded: Option<String>,
    /// Names in valid certificates.
    pub ready_names: u32,
    /// Names asked for.
    pub names: u32,
    /// The issuer, in words.
    pub issuer: String,
    /// The earliest expiry.
    pub not_after: Option<Timestamp>,
    /// How long that is.
    #[serde(skip)]
    pub left: String,
    /// Its shards.
    pub shards: Vec<ShardView>,
}

/// A shard.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardView {
    /// The name.
    pub name: String,
    /// The Secret that it writes.
    pub secret: String,
    /// How many names it has.
    pub names: usize,
    /// Whether it is `Ready`.
    pub ready: bool,
    /// Where it stands, in words.
    pub state: String,
    /// When its certificate expires.
    pub not_after: Option<Timestamp>,
    /// When it is renewed.
    pub renewal_time: Option<Timestamp>,
    /// The replica that works on it.
    pub holder: Option<String>,
    /// The names whose validation is open or has failed, with where they stand.
    pub open_names: BTreeMap<String, String>,
}

/// The Certificates with those of `shards` that are theirs, by namespace and name.
pub fn views(
    certificates: &[Certificate],
    shards: &[CertificateShard],
    now: Timestamp,
) -> Vec<CertificateView> {
    let mut by_owner: BTreeMap<(String, String), Vec<&CertificateShard>> = BTreeMap::new();
    for shard in shards {
        let owner = (
            shard.namespace().unwrap_or_default(),
            shard.spec.certificate.clone(),
        );
        by_owner.entry(owner).or_default().push(shard);
    }
    let mut views: Vec<CertificateView> = certificates
        .iter()
        .map(|certificate| {
            let key = (
                certificate.namespace().unwrap_or_default(),
                certificate.name_any(),
            );
            view(certificate, by_owner.remove(&key).unwrap_or_default(), now)
        })
        .collect();
    views.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    views
}

fn view(certificate: &Certificate, mut shards: Vec<&CertificateShard>, now: Timestamp) -> CertificateView {
    shards.sort_by_key(|shard| (shard.spec.group.clone(), shard.spec.index));
    let status = certificate.status.clone().unwrap_or_default();
    let is_current = status.observed_generation == certificate.metadata.generation;
    let ready = condition(&status.conditions, "Ready").filter(|_| is_current);
    let (is_ready, reason, message) = match ready {
        Some(ready) => (
            ready.status == "True",
            ready.reason.clone(),
            ready.message.clone(),
        ),
        None => (
            false,
            "Unseen".into(),
            "no replica has looked at it yet: is the operator running?".into(),
        ),
    };
    let reference = &certificate.spec.issuer_ref;
    let kind = match reference.kind() {
        IssuerKind::Issuer => "Issuer",
        IssuerKind::ClusterIssuer => "ClusterIssuer",
    };
    let not_after = status.not_after.as_ref().map(|at| at.0);
    CertificateView {
        namespace: certificate.namespace().unwrap_or_default(),
        name: certificate.name_any(),
        ready: is_ready,
        reason,
        message,
        degraded: condition(&status.conditions, "Degraded")
            .filter(|degraded| degraded.status == "True")
            .map(|degraded| format!("{}: {}", degraded.reason, degraded.message)),
        ready_names: status.ready_names.unwrap_or_default(),
        names: u32::try_from(certificate.spec.name_count()).unwrap_or(u32::MAX),
        issuer: format!("{kind} {}", reference.name),
        left: not_after.map_or_else(|| "-".into(), |at| span::until(at, now)),
        not_after,
        shards: shards.into_iter().map(|shard| shard_view(shard, now)).collect(),
    }
}

fn shard_view(shard: &CertificateShard, now: Timestamp) -> ShardView {
    let status = shard.status.clone().unwrap_or_default();
    let ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
    let issued = status.issued.as_ref();
    let mut state = Vec::new();
    if let Some(issued) = issued.filter(|_| ready) {
        state.push(format!(
            "expires in {}, renewed in {}",
            span::until(issued.not_after.0, now),
            span::text(issued.renewal_time.0.duration_since(now))
        ));
    }
    if shard.spec.paused == Some(true) {
        state.push("paused".into());
    }
    let mut open_names = BTreeMap::new();
    if let Some(order) = &status.order {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for authorization in &order.authorizations {
            *counts.entry(&authorization.state).or_default() += 1;
            if let Some(name) = authorization
                .name
                .as_ref()
                .filter(|_| authorization.state != "Valid")
            {
                let error = authorization.error.as_deref();
                let words = error.map_or_else(
                    || authorization.state.clone(),
                    |error| format!("{}: {error}", authorization.state),
                );
                open_names.insert(name.clone(), words);
            }
        }
        let counts: Vec<String> = counts
            .iter()
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        let names = if counts.is_empty() {
            String::new()
        } else {
            format!(" ({} of its names)", counts.join(", "))
        };
        state.push(format!("order {}{names}", order.stage));
    } else if let Some(failure) = &status.failure {
        state.push(format!(
            "{}: {}; tried again in {}",
            failure.reason,
            failure.message,
            span::text(failure.retry_time.0.duration_since(now))
        ));
    } else if !ready && shard.spec.paused != Some(true) {
        state.push("waits for the budget".into());
    }
    for entry in &status.quarantine {
        let words = match entry.place {
            QuarantinePlace::Out => "left out",
            QuarantinePlace::Served => "holds the renewal up",
            QuarantinePlace::Passing => "comes back",
            QuarantinePlace::Joining => "joins",
        };
        let since = span::text(now.duration_since(entry.since.0));
        let next = span::text(entry.next_try.0.duration_since(now));
        let (reason, message) = (&entry.reason, &entry.message);
        let words = match entry.place {
            QuarantinePlace::Out | QuarantinePlace::Served => {
                format!("{words} for {since}: {reason}: {message}; tried again in {next}")
            }
            QuarantinePlace::Passing => format!("{words} in {next}"),
            QuarantinePlace::Joining => words.to_owned(),
        };
        open_names.insert(entry.name.clone(), words);
    }
    ShardView {
        name: shard.name_any(),
        secret: shard.spec.secret_name.clone(),
        names: shard.spec.name_count(),
        ready,
        state: state.join("; "),
        not_after: issued.map(|issued| issued.not_after.0),
        renewal_time: issued.map(|issued| issued.renewal_time.0),
        holder: status.claim.map(|claim| claim.holder),
        open_names,
    }
}

#[cfg(test)]
pub mod tests;
