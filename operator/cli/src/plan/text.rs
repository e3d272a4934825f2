//! Plans as a person reads them.

use jiff::SignedDuration;

use super::together::Total;
use super::{PlanView, Plans, QuotaView};
use crate::span;

/// So many names of a shard that come or go are told one by one, and so many quotas.
const FEW: usize = 3;
/// What is left of a quota is no more than what can be seen of it.
const NOT_COUNTED: &str = "what is left of quotas is told by the shards that were read: what others have ordered by the \
                           same account, or for the same domains, is not counted";

/// A paragraph for each, and what they take together.
pub fn text(plans: &Plans) -> String {
    let Plans { views, total } = plans;
    let mut paragraphs: Vec<String> = views.iter().map(paragraph).collect();
    if let Some(Total {
        orders,
        requests,
        seconds,
    }) = total
    {
        paragraphs.push(format!("all together: {}\n", takes(*orders, *requests, *seconds)));
    }
    if views.iter().any(|view| !view.quotas.is_empty()) {
        paragraphs.push(format!("{NOT_COUNTED}\n"));
    }
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
    lines.push(format!("  {}", takes(view.orders, view.requests, view.seconds)));
    if view.orders > 0
        && let Some(budget) = &view.budget
    {
        lines.push(format!("  budget: {budget}"));
    }
    let left = quotas(&view.quotas);
    let quotas = left.iter().chain(&view.quota).chain(&view.used_up_quotas);
    lines.extend(quotas.map(|quota| format!("  quota: {quota}")));
    lines.extend(view.needs.iter().map(|need| format!("  first: {need}")));
    lines.extend(view.remarks.iter().map(|remark| format!("  {remark}")));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// `3 orders, about 22 requests, 2s if nothing else waits`.
fn takes(orders: u64, requests: u64, seconds: Option<u64>) -> String {
    match seconds {
        _ if orders == 0 && requests == 0 => "nothing is asked of the CA".into(),
        Some(seconds) => {
            let time = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            format!(
                "{orders} orders, about {requests} requests, {} if nothing else waits",
                span::text(time)
            )
        }
        None => {
            format!("{orders} orders, about {requests} requests; how long they take is not known")
        }
    }
}

/// What is left of the scarcest of them.
fn quotas(quotas: &[QuotaView]) -> Vec<String> {
    let shown = quotas.iter().take(FEW);
    let mut lines: Vec<String> = shown
        .map(|quota| {
            let QuotaView {
                what,
                of,
                left,
                takes,
            } = quota;
            format!("{left} of {of} left ({what}); this takes {takes}")
        })
        .collect();
    if quotas.len() > FEW {
        lines.push(format!("{} others, which are less scarce", quotas.len() - FEW));
    }
    lines
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
