//! Certificates with their shards, orders and names.
//!
//! `ask (asks the API server) -> views (pure) -> text`

mod ask;
mod shard;
mod text;

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use kube::ResourceExt;
use sancho::issuer::allowed::NOT_ALLOWED;
use sancho_crds::{Certificate, CertificateShard, CertificateStatus, IssuerKind, condition};
use serde::Serialize;

pub use self::ask::Looker;
use self::shard::{Owner, view as shard_view};
use self::text::text;
use crate::editions::Editions;
use crate::output::Answer;
use crate::quotas::Told;
use crate::span;

/// The reason of `RateLimited` while a quota of the CA holds a Certificate back.
const QUOTA_USED_UP: &str = "QuotaUsedUp";

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
    /// What its `RateLimited` condition says, if that is so: how long the budget or a quota has it wait.
    pub rate_limited: Option<String>,
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

/// What is printed: a line for each, or with `as_tree` all that is below it.
///
/// # Errors
/// When the views cannot be serialized.
pub fn answer(views: &[CertificateView], as_tree: bool) -> Result<Answer> {
    let is_ready = !views.is_empty() && views.iter().all(|view| view.ready);
    Answer::new(&views, is_ready, || text(views, as_tree))
}

/// The Certificates with those of `shards` that are theirs, by namespace and name.
pub fn views(
    certificates: &[Certificate],
    shards: &[CertificateShard],
    editions: &Editions,
    now: Timestamp,
) -> Vec<CertificateView> {
    views_beside(&Told::to(shards), certificates, shards, editions, now)
}

/// The same, given what these and other shards were told of quotas.
fn views_beside(
    told: &Told,
    certificates: &[Certificate],
    shards: &[CertificateShard],
    editions: &Editions,
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
            let its = by_owner.remove(&key).unwrap_or_default();
            view(certificate, its, told, editions, now)
        })
        .collect();
    views.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    views
}

fn view(
    certificate: &Certificate,
    mut shards: Vec<&CertificateShard>,
    told: &Told,
    editions: &Editions,
    now: Timestamp,
) -> CertificateView {
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
    let says = |kind| {
        condition(&status.conditions, kind)
            .filter(|said| said.status == "True")
            .map(|said| format!("{}: {}", said.reason, said.message))
    };
    let rate_limited = says("RateLimited").filter(|_| is_current);
    let owner = owner(&status, &reason, rate_limited.as_deref());
    CertificateView {
        namespace: certificate.namespace().unwrap_or_default(),
        name: certificate.name_any(),
        ready: is_ready,
        reason,
        message,
        degraded: says("Degraded"),
        rate_limited,
        ready_names: status.ready_names.unwrap_or_default(),
        names: u32::try_from(certificate.spec.name_count()).unwrap_or(u32::MAX),
        issuer: format!("{kind} {}", reference.name),
        left: not_after.map_or_else(|| "-".into(), |at| span::until(at, now)),
        not_after,
        shards: shards
            .into_iter()
            .map(|shard| shard_view(shard, &owner, told, editions.for_shard(shard), now))
            .collect(),
    }
}

/// What a Certificate's `Ready` (its reason) and `RateLimited` say about its shards' waiting.
fn owner(status: &CertificateStatus, reason: &str, rate_limited: Option<&str>) -> Owner {
    let obstacle = match reason {
        "IssuerNotFound" | "IssuerNotReady" | "IssuerPending" => status.waiting_for.clone(),
        NOT_ALLOWED => Some("its Certificate to be allowed by its issuer".to_owned()),
        _ => None,
    };
    let turn = match (reason, rate_limited) {
        ("Unseen", _) => "a replica to look at its Certificate",
        ("Planning", _) => "the plan",
        // Which shard was told so may stand in another namespace.
        (_, Some(limited)) if limited.starts_with(QUOTA_USED_UP) => {
            "the budget, or for the quota that its Certificate tells"
        }
        _ => "the budget",
    };
    Owner { obstacle, turn }
}

#[cfg(test)]
pub mod tests;
