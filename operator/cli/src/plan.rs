//! What applying Certificates would do: read from a file, compared with the cluster.
//!
//! `ask (asks the API server) -> preview (the operator's own, pure) -> view (pure) -> text`

mod ask;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use jiff::SignedDuration;
use kube::ResourceExt;
use sancho::certificate::preview::{Fate, Preview, PreviewedShard, Retired};
use sancho_crds::{Certificate, SecretDeletionPolicy};
use sancho_limiter::{AnswerTime, Record};
use serde::Serialize;
use serde_json::Value;

pub use self::ask::plans;
use crate::span;

/// So many names of a shard that come or go are told one by one.
const FEW: usize = 3;

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
    /// What the CA's published quotas make of it, if they stretch it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<String>,
    /// The CA's quotas that are used up and hold some of the orders back, each with how many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_up_quotas: Vec<String>,
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

/// The Certificates among the objects of a file; those without a namespace get `namespace`.
///
/// # Errors
/// When there is none, or one has fields that a Certificate does not have.
pub fn certificates(objects: &[Value], namespace: &str) -> Result<Vec<Certificate>> {
    let is_ours = |object: &&Value| {
        let group = object["apiVersion"]
            .as_str()
            .and_then(|version| version.split('/').next());
        object["kind"] == "Certificate" && group == Some("sancho.dev")
    };
    let read = objects.iter().filter(is_ours).map(|object| {
        let name = object["metadata"]["name"].as_str().unwrap_or("without a name");
        let mut certificate: Certificate =
            serde_json::from_value(object.clone()).with_context(|| format!("Certificate {name}"))?;
        certificate
            .metadata
            .namespace
            .get_or_insert_with(|| namespace.to_owned());
        Ok(certificate)
    });
    let found: Vec<Certificate> = read.collect::<Result<_>>()?;
    if found.is_empty() {
        return Err(anyhow!("there is no Certificate of sancho.dev in it"));
    }
    Ok(found)
}

/// The Certificate as the API server would have it once `edited` is applied.
fn applied(edited: &Certificate, present: Option<&Certificate>) -> Certificate {
    let Some(present) = present else {
        return edited.clone();
    };
    let mut applied = present.clone();
    applied.spec = edited.spec.clone();
    applied.annotations_mut().extend(edited.annotations().clone());
    applied.labels_mut().extend(edited.labels().clone());
    applied
}

/// One that would be refused.
fn refused(certificate: &Certificate, exists: bool, why: String) -> PlanView {
    PlanView {
        namespace: certificate.namespace().unwrap_or_default(),
        certificate: certificate.name_any(),
        exists,
        shards: Vec::new(),
        retired: Vec::new(),
        orders: 0,
        requests: 0,
        seconds: None,
        budget: None,
        quota: None,
        used_up_quotas: Vec::new(),
        remarks: Vec::new(),
        refused: Some(why),
    }
}

/// One that would be accepted; `budget` is that of its CA.
fn view(certificate: &Certificate, exists: bool, preview: &Preview, budget: Option<&Record>) -> PlanView {
    let Preview {
        shards,
        retired,
        cost,
        stretch,
    } = preview;
    let time = budget.map(|record| {
        let pause = record
            .pause
            .as_ref()
            .map_or(Duration::ZERO, |pause| pause.remaining);
        AnswerTime::default().estimate(*cost, &record.budget, pause)
    });
    let quota = stretch.as_ref().map(|stretch| {
        let at_least = SignedDuration::try_from(stretch.at_least).unwrap_or(SignedDuration::MAX);
        format!("at least {}: {}", span::text(at_least), stretch.why)
    });
    let is_deleted = certificate.spec.secret_deletion_policy == Some(SecretDeletionPolicy::Delete);
    PlanView {
        shards: shards.iter().map(shard).collect(),
        retired: retired.iter().map(|shard| gone(shard, is_deleted)).collect(),
        orders: cost.new_orders,
        requests: cost.requests,
        seconds: time.map(|time| time.as_secs_f64().ceil() as u64),
        budget: budget.map(Record::summary),
        quota,
        used_up_quotas: used_up(shards),
        refused: None,
        ..refused(certificate, exists, String::new())
    }
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

/// A paragraph for each.
pub fn text(views: &[PlanView]) -> String {
    let paragraphs: Vec<String> = views.iter().map(paragraph).collect();
    paragraphs.join("\n")
}

fn paragraph(view: &PlanView) -> String {
    let whose = format!("{}/{}", view.namespace, view.certificate);
    if let Some(refused) = &view.refused {
        return format!("{whose}: would be refused\n  {refused}\n");
    }
    let is_new = if view.exists { "" } else { " (new)" };
    let kept = view.shards.iter().filter(|shard| shard.fate == "kept").count();
    let mut lines = vec![format!(
        "{whose}{is_new}: {} shards, {kept} of them kept as they are",
        view.shards.len()
    )];
    let touched = view.shards.iter().filter(|shard| shard.fate != "kept");
    lines.extend(touched.map(|shard| {
        let fate = match shard.fate {
            "new" => "new",
            "open" => "waits for its first certificate as it is",
            _ => "re-issued",
        };
        let mut line = format!(
            "  {} (Secret {}, {} names): {fate}",
            shard.name, shard.secret_name, shard.names
        );
        let mut why = vec![names("more", &shard.added), names("fewer", &shard.removed)];
        why.extend(shard.because.iter().map(|words| Some((*words).to_owned())));
        let why: Vec<String> = why.into_iter().flatten().collect();
        if !why.is_empty() {
            line.push_str(&format!("; {}", why.join(", ")));
        }
        line
    }));
    lines.extend(view.retired.iter().map(|shard| {
        let fate = if shard.secret_deleted {
            "goes with it"
        } else {
            "stays"
        };
        format!("  {} goes, its Secret {} {fate}", shard.name, shard.secret_name)
    }));
    lines.push(match (view.orders, view.seconds) {
        (0, _) if view.requests == 0 => "  nothing is asked of the CA".into(),
        (orders, Some(seconds)) => format!(
            "  {orders} orders, about {} requests, {} if nothing else waits",
            view.requests,
            span::text(SignedDuration::from_secs(
                i64::try_from(seconds).unwrap_or(i64::MAX)
            ))
        ),
        (orders, None) => format!(
            "  {orders} orders, about {} requests; how long they take is not known",
            view.requests
        ),
    });
    if view.orders > 0
        && let Some(budget) = &view.budget
    {
        lines.push(format!("  budget: {budget}"));
    }
    let quotas = view.quota.iter().chain(&view.used_up_quotas);
    lines.extend(quotas.map(|quota| format!("  quota: {quota}")));
    lines.extend(view.remarks.iter().map(|remark| format!("  {remark}")));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// `2 more (a.example, b.example)`.
fn names(which: &str, names: &[String]) -> Option<String> {
    let shown = names
        .iter()
        .take(FEW)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len() {
        0 => None,
        count if count > FEW => Some(format!("{count} {which} ({shown}, …)")),
        count => Some(format!("{count} {which} ({shown})")),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use sancho::quotas::HeldBack;
    use sancho_limiter::{Budget, Cost, Durations, Source};
    use serde_json::json;

    use super::*;

    fn certificate() -> Certificate {
        let object = json!({
            "apiVersion": "sancho.dev/v1alpha1",
            "kind": "Certificate",
            "metadata": { "name": "shop" },
            "spec": { "secretName": "shop", "issuerRef": { "name": "ca" }, "dnsNames": ["a.example"] },
        });
        let other =
            json!({ "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": { "name": "x" } });
        let mut found = certificates(&[other, object], "web").unwrap();
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[test]
    fn a_file_without_certificates_and_one_with_a_wrong_field_are_refused() {
        let none = certificates(&[json!({ "kind": "Secret" })], "web").unwrap_err();
        assert!(
            none.to_string().contains("no Certificate of sancho.dev"),
            "{none}"
        );
        let wrong = json!({
            "apiVersion": "sancho.dev/v1alpha1", "kind": "Certificate",
            "metadata": { "name": "shop" }, "spec": { "dnsNames": "a.example" },
        });
        let wrong = format!("{:#}", certificates(&[wrong], "web").unwrap_err());
        assert!(wrong.contains("Certificate shop"), "{wrong}");
    }

    #[test]
    fn a_plan_tells_what_is_touched_and_how_long_it_takes() {
        let preview = Preview {
            shards: vec![PreviewedShard {
                name: "shop-0".into(),
                secret_name: "shop".into(),
                names: 5,
                fate: Fate::Reissued,
                added: ["a", "b", "c", "d"].map(|n| format!("{n}.example")).to_vec(),
                removed: vec!["z.example".into()],
                because: vec!["another profile"],
                held_back: Some(HeldBack {
                    until: Timestamp::UNIX_EPOCH,
                    words: "a quota of the CA for a.example".into(),
                }),
            }],
            retired: vec![Retired {
                name: "shop-1".into(),
                secret_name: "shop-1".into(),
            }],
            cost: Cost {
                requests: 100,
                new_orders: 1,
            },
            stretch: None,
        };
        let budget = Budget::new(5.0, 0, 1);
        let record = Record::new("t".into(), budget, Source::Given, Durations::default());
        let unknown = text(&[view(&certificate(), true, &preview, None)]);
        assert!(
            unknown.contains("about 100 requests; how long they take is not known"),
            "{unknown}"
        );
        let view = view(&certificate(), true, &preview, Some(&record));
        let text = text(&[view]);
        for words in [
            "web/shop: 1 shards, 0 of them kept as they are",
            "shop-0 (Secret shop, 5 names): re-issued; 4 more (a.example, b.example, c.example, …), 1 fewer (z.example), \
             another profile",
            "shop-1 goes, its Secret shop-1 stays",
            "1 orders, about 100 requests, 2",
            "budget: Given: 5 requests a second",
            "quota: one of the orders waits for a quota of the CA for a.example",
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
    }
}
