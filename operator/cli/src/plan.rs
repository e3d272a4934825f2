//! What applying Certificates would do: read from a file, compared with the cluster.
//!
//! `file (pure) -> ask (asks the API server) -> preview (the operator's own, pure) -> together, view (pure) -> text`

mod ask;
mod file;
mod issuers;
mod text;
mod together;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use sancho::certificate::preview::{Fate, Preview, PreviewedShard, Retired};
use sancho::quotas::published::{Quota, stretch};
use sancho_crds::{Certificate, SecretDeletionPolicy};
use sancho_limiter::{AnswerTime, Cost, Record};
use serde::Serialize;

pub use self::ask::plans;
use self::file::Manifest;
pub use self::file::read;
pub use self::text::text;
use self::together::Total;
use crate::span;

/// What applying the Certificates of a file would do.
#[derive(Debug)]
pub struct Plans {
    /// Each of them.
    pub views: Vec<PlanView>,
    /// All of them together, if there are several that would be accepted.
    pub total: Option<Total>,
}

/// What applying one Certificate would do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub certificate: String,
    /// Whether the cluster has it already.
    pub exists: bool,
    /// Its shards.
    pub shards: Vec<ShardView>,
    /// Shards that would go.
    pub retired: Vec<RetiredView>,
    /// How many orders would be made.
    pub orders: u64,
    /// About how many requests they take.
    pub requests: u64,
    /// About how many seconds that takes by the budget of now, if nothing else waits. Absent if the budget is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The budget in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// The quotas that the CA publishes and that its orders count toward, the scarcest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<QuotaView>,
    /// What these make of it, if they stretch it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<String>,
    /// The CA's quotas that are used up and hold some of the orders back, each with how many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_up_quotas: Vec<String>,
    /// What has to be done before it can be applied, with the mend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// What could not be found out, and what is assumed instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// Why it would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// One shard.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardView {
    /// Its object.
    pub name: String,
    /// Its Secret.
    pub secret_name: String,
    /// How many names it has.
    pub names: usize,
    /// `kept`, `reissued`, `open` or `new`.
    pub fate: &'static str,
    /// Names that it does not have today.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Names that it has today.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// What else is different.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<&'static str>,
}

/// A quota that the CA publishes, as far as it can be seen.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaView {
    /// What is counted.
    pub what: String,
    /// How many the CA grants.
    pub of: u32,
    /// How many are left.
    pub left: u32,
    /// How many of them the orders take.
    pub takes: u32,
}

/// A shard that would go.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetiredView {
    /// Its object.
    pub name: String,
    /// Its Secret.
    pub secret_name: String,
    /// Whether the Secret goes too, by `spec.secretDeletionPolicy`.
    pub secret_deleted: bool,
}

impl PlanView {
    /// Would it be accepted as things are?
    pub fn is_accepted(&self) -> bool {
        self.refused.is_none() && self.needs.is_empty()
    }
}

/// One that would be refused.
fn refused(edited: &Manifest, exists: bool, why: String) -> PlanView {
    PlanView {
        namespace: edited.namespace.clone().unwrap_or_default(),
        certificate: match edited.name.as_str() {
            "" => "without a name".to_owned(),
            name => name.to_owned(),
        },
        exists,
        shards: Vec::new(),
        retired: Vec::new(),
        orders: 0,
        requests: 0,
        seconds: None,
        budget: None,
        quotas: Vec::new(),
        quota: None,
        used_up_quotas: Vec::new(),
        needs: Vec::new(),
        remarks: Vec::new(),
        refused: Some(why),
    }
}

/// One that would be accepted, and becomes `applied`; `budget` is that of its CA.
fn view(
    edited: &Manifest,
    exists: bool,
    applied: &Certificate,
    preview: &Preview,
    budget: Option<&Record>,
) -> PlanView {
    let Preview {
        shards,
        retired,
        cost,
        counted: _,
        quotas,
    } = preview;
    let quota = stretch(quotas).map(|stretch| {
        let at_least = SignedDuration::try_from(stretch.at_least).unwrap_or(SignedDuration::MAX);
        format!("at least {}: {}", span::text(at_least), stretch.why)
    });
    let is_deleted = applied.spec.secret_deletion_policy == Some(SecretDeletionPolicy::Delete);
    PlanView {
        shards: shards.iter().map(shard).collect(),
        retired: retired.iter().map(|shard| gone(shard, is_deleted)).collect(),
        orders: cost.new_orders,
        requests: cost.requests,
        seconds: budget.map(|record| seconds(time(*cost, record))),
        budget: budget.map(Record::summary),
        quotas: by_scarcity(quotas),
        quota,
        used_up_quotas: used_up(shards),
        refused: None,
        ..refused(edited, exists, String::new())
    }
}

/// How long something of this cost takes by the budget of now, if nothing else waits.
fn time(cost: Cost, record: &Record) -> Duration {
    let pause = record.pause.as_ref();
    let pause = pause.map_or(Duration::ZERO, |pause| pause.remaining);
    AnswerTime::default().estimate(cost, &record.budget, pause)
}

fn seconds(time: Duration) -> u64 {
    time.as_secs_f64().ceil() as u64
}

/// Those of which the least would be left come first.
fn by_scarcity(quotas: &[Quota]) -> Vec<QuotaView> {
    let mut views: Vec<QuotaView> = quotas
        .iter()
        .map(|quota| QuotaView {
            what: quota.what(),
            of: quota.of,
            left: quota.left,
            takes: quota.wanted,
        })
        .collect();
    views.sort_by_key(|view| i64::from(view.left) - i64::from(view.takes));
    views
}

/// The quotas that hold shards back, each with how many.
fn used_up(shards: &[PreviewedShard]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for held_back in shards.iter().filter_map(|shard| shard.held_back.as_ref()) {
        *counts.entry(held_back.words.as_str()).or_default() += 1;
    }
    let counts = counts.into_iter();
    counts
        .map(|(words, count)| match count {
            1 => format!("one of the orders waits for {words}"),
            _ => format!("{count} of the orders wait for {words}"),
        })
        .collect()
}

fn shard(shard: &PreviewedShard) -> ShardView {
    ShardView {
        name: shard.name.clone(),
        secret_name: shard.secret_name.clone(),
        names: shard.names,
        fate: match shard.fate {
            Fate::Kept => "kept",
            Fate::Reissued => "reissued",
            Fate::Open => "open",
            Fate::New => "new",
        },
        added: shard.added.clone(),
        removed: shard.removed.clone(),
        because: shard.because.clone(),
    }
}

fn gone(retired: &Retired, is_deleted: bool) -> RetiredView {
    RetiredView {
        name: retired.name.clone(),
        secret_name: retired.secret_name.clone(),
        secret_deleted: is_deleted,
    }
}

#[cfg(test)]
mod tests;
