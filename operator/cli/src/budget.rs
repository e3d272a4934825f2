//! Budgets as their Leases tell them, and whose shards use them.
//!
//! `ask (asks the API server) -> Known -> views (pure) -> text`

mod ask;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use sancho::issuer::IssuerKey;
use sancho_crds::{CertificateShard, ClusterIssuer, Issuer, IssuerStatus, condition};
use sancho_limiter::{ORIGIN_ANNOTATION, Record};
use serde::Serialize;

pub use self::ask::budgets;
use crate::cluster::Scope;
use crate::editions::Editions;
use crate::quotas::{Told, issuer};
use crate::stand::{Stand, stand};

/// Of more namespaces only so many are told one by one, those with the most shards.
const SHOWN: usize = 10;

/// One CA's budget.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetView {
    /// The CA's origin.
    pub ca: String,
    /// The Lease.
    pub lease: String,
    /// The ClusterIssuers of that CA.
    pub issuers: Vec<String>,
    /// The Issuers of that CA, each with its namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaced_issuers: Vec<String>,
    /// The namespaces whose shards use it or wait for it, those with the most first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub demand: Vec<Demand>,
    /// What may not be read, so that it is not counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// What the Lease says; absent if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What a budget's Lease says.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Requests a second.
    pub requests_per_second: f64,
    /// Requests beyond the rate at once.
    pub burst: u32,
    /// Requests unanswered at once.
    pub max_in_flight: u32,
    /// All of it in a sentence: where the figures come from, and how far the search for them is.
    pub summary: String,
    /// The holder of each slot, `free` or `in doubt`: the Lease is new, and an earlier one may have had a
    /// holder.
    pub slots: Vec<String>,
    /// Who waits for a slot, the first one first.
    pub waiting: Vec<String>,
    /// Whether all sending was paused at the last write.
    pub paused: bool,
}

/// A namespace's part in what a budget is asked for.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Demand {
    /// The namespace.
    pub namespace: String,
    /// How many of its shards have an order that is under way.
    pub under_way: usize,
    /// How many wait for their turn.
    pub waiting: usize,
}

/// What is known of those who use budgets.
#[derive(Default)]
pub struct Known {
    /// The ClusterIssuers.
    pub cluster_issuers: Vec<ClusterIssuer>,
    /// The Issuers that may be read.
    pub issuers: Vec<Issuer>,
    /// The shards that may be read.
    pub shards: Vec<CertificateShard>,
    /// What may not be read.
    pub remarks: Vec<String>,
}

/// An issuer, and its budget.
struct OfBudget<'a> {
    issuer: IssuerKey,
    /// The Lease, once it has one.
    lease: Option<&'a str>,
    is_ready: bool,
}

/// The issuers that were asked for: the ClusterIssuer of a name, and the Issuers where one looks.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Their name.
    pub name: &'a str,
    /// Where Issuers are looked for.
    pub scope: &'a Scope,
}

impl Wanted<'_> {
    fn fits(&self, key: &IssuerKey) -> bool {
        let is_there = match (&key.namespace, self.scope) {
            (None, _) | (Some(_), Scope::All) => true,
            (Some(namespace), Scope::Namespace(wanted)) => namespace == wanted,
        };
        key.name == self.name && is_there
    }
}

impl Known {
    fn of_budgets(&self) -> Vec<OfBudget<'_>> {
        let of_cluster = self
            .cluster_issuers
            .iter()
            .map(|issuer| of_budget(None, issuer.name_any(), issuer.status.as_ref()));
        let of_namespaces = self
            .issuers
            .iter()
            .map(|issuer| of_budget(issuer.namespace(), issuer.name_any(), issuer.status.as_ref()));
        of_cluster.chain(of_namespaces).collect()
    }
}

fn of_budget(namespace: Option<String>, name: String, status: Option<&IssuerStatus>) -> OfBudget<'_> {
    let ready = status.and_then(|status| condition(&status.conditions, "Ready"));
    OfBudget {
        issuer: IssuerKey { namespace, name },
        lease: status.and_then(|status| status.budget_lease.as_deref()),
        is_ready: ready.is_some_and(|ready| ready.status == "True"),
    }
}

/// The budgets in `leases`: all of them, or those of the issuers that are `wanted`.
pub fn views(leases: &[Lease], known: &Known, wanted: Option<Wanted<'_>>, now: Timestamp) -> Vec<BudgetView> {
    let issuers = known.of_budgets();
    let editions = Editions::of(&known.cluster_issuers, &known.issuers);
    let mut demand = demand(&issuers, &editions, &known.shards, now);
    let mut views = Vec::new();
    for lease in leases {
        let name = lease.name_any();
        let its = issuers.iter().filter(|of| of.lease == Some(name.as_str()));
        let its: Vec<&IssuerKey> = its.map(|of| &of.issuer).collect();
        if wanted.is_some_and(|wanted| !its.iter().any(|key| wanted.fits(key))) {
            continue;
        }
        views.push(BudgetView {
            demand: demand.remove(name.as_str()).unwrap_or_default(),
            remarks: known.remarks.clone(),
            ..view(lease, &its)
        });
    }
    views.sort_by(|a, b| a.ca.cmp(&b.ca));
    views
}

/// What each Lease is asked for, by its name.
fn demand<'a>(
    issuers: &[OfBudget<'a>],
    editions: &Editions,
    shards: &[CertificateShard],
    now: Timestamp,
) -> BTreeMap<&'a str, Vec<Demand>> {
    let issuers: BTreeMap<&IssuerKey, &OfBudget<'a>> = issuers.iter().map(|of| (&of.issuer, of)).collect();
    let told = Told::to(shards);
    let mut counts: BTreeMap<(&'a str, String), (usize, usize)> = BTreeMap::new();
    for shard in shards {
        let Some(of) = issuers.get(&issuer(shard)) else {
            continue;
        };
        let Some(lease) = of.lease else { continue };
        let (under_way, waiting) = match stand(shard, &told, editions.for_shard(shard), now) {
            Stand::UnderWay => (1, 0),
            Stand::Turn if of.is_ready => (0, 1),
            Stand::Turn
            | Stand::Done
            | Stand::Paused
            | Stand::Failed(_)
            | Stand::NoName(_)
            | Stand::HeldUp(_)
            | Stand::Quota(_) => continue,
        };
        let namespace = shard.namespace().unwrap_or_default();
        let count = counts.entry((lease, namespace)).or_default();
        count.0 += under_way;
        count.1 += waiting;
    }
    let mut by_lease: BTreeMap<&str, Vec<Demand>> = BTreeMap::new();
    for ((lease, namespace), (under_way, waiting)) in counts {
        by_lease.entry(lease).or_default().push(Demand {
            namespace,
            under_way,
            waiting,
        });
    }
    for demand in by_lease.values_mut() {
        demand.sort_by_key(|of| Reverse(of.under_way + of.waiting));
    }
    by_lease
}

fn view(lease: &Lease, issuers: &[&IssuerKey]) -> BudgetView {
    let (state, trouble) = match Record::from_annotations(lease.annotations()) {
        Ok(record) => (Some(state(&record)), None),
        Err(unreadable) => (None, Some(unreadable.to_string())),
    };
    let of_cluster = issuers.iter().filter(|key| key.namespace.is_none());
    let of_namespaces = issuers.iter().filter_map(|key| {
        let namespace = key.namespace.as_ref()?;
        Some(format!("{namespace}/{}", key.name))
    });
    BudgetView {
        ca: lease
            .annotations()
            .get(ORIGIN_ANNOTATION)
            .cloned()
            .unwrap_or_default(),
        issuers: of_cluster.map(|key| key.name.clone()).collect(),
        namespaced_issuers: of_namespaces.collect(),
        demand: Vec::new(),
        remarks: Vec::new(),
        lease: lease.name_any(),
        state,
        trouble,
    }
}

fn state(record: &Record) -> State {
    State {
        requests_per_second: record.budget.requests_per_second,
        burst: record.budget.burst,
        max_in_flight: record.budget.max_in_flight,
        summary: record.summary(),
        slots: record
            .slots
            .iter()
            .map(|row| match &row.holder {
                Some(holder) => holder.process.clone(),
                None if row.in_doubt => "in doubt".into(),
                None => "free".into(),
            })
            .collect(),
        waiting: record
            .waiting
            .iter()
            .map(|waiter| waiter.holder.process.clone())
            .collect(),
        paused: record.pause.is_some(),
    }
}

/// A paragraph for each.
pub fn text(views: &[BudgetView]) -> String {
    if views.is_empty() {
        return "no budget yet: Sancho makes one for each CA when it is asked for the first certificate\n"
            .into();
    }
    let paragraphs: Vec<String> = views.iter().map(paragraph).collect();
    paragraphs.join("\n")
}

fn paragraph(view: &BudgetView) -> String {
    let mut lines = vec![format!("{} (Lease {})", view.ca, view.lease)];
    if !view.issuers.is_empty() {
        lines.push(format!("  ClusterIssuers: {}", view.issuers.join(", ")));
    }
    if !view.namespaced_issuers.is_empty() {
        lines.push(format!("  Issuers: {}", view.namespaced_issuers.join(", ")));
    }
    if let Some(trouble) = &view.trouble {
        lines.push(format!("  nothing is sent: {trouble}"));
    }
    if let Some(state) = &view.state {
        lines.push(format!("  {}", state.summary));
        if state.paused {
            lines.push("  paused: the CA asked to be left alone for a while".into());
        }
        for (number, holder) in state.slots.iter().enumerate() {
            lines.push(format!("  slot {number}: {holder}"));
        }
        if !state.waiting.is_empty() {
            lines.push(format!("  waiting: {}", state.waiting.join(", ")));
        }
    }
    lines.extend(demand_lines(&view.demand));
    lines.extend(view.remarks.iter().map(|remark| format!("  {remark}")));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A line for each namespace, and one for all that are not shown.
fn demand_lines(demand: &[Demand]) -> Vec<String> {
    let words = |under_way: usize, waiting: usize| match (under_way, waiting) {
        (under_way, 0) => format!("{under_way} under way"),
        (0, waiting) => format!("{waiting} waiting for their turn"),
        (under_way, waiting) => format!("{under_way} under way, {waiting} waiting for their turn"),
    };
    let (shown, others) = demand.split_at(demand.len().min(SHOWN));
    let shown = shown.iter().map(|of| {
        format!(
            "  shards of namespace {}: {}",
            of.namespace,
            words(of.under_way, of.waiting)
        )
    });
    let mut lines: Vec<String> = shown.collect();
    if !others.is_empty() {
        let under_way: usize = others.iter().map(|of| of.under_way).sum();
        let waiting: usize = others.iter().map(|of| of.waiting).sum();
        lines.push(format!(
            "  shards of {} other namespaces: {}",
            others.len(),
            words(under_way, waiting)
        ));
    }
    lines
}

#[cfg(test)]
mod tests;
