//! Plans as a person reads them.

use jiff::SignedDuration;

use super::PlanView;
use crate::span;

/// So many names of a shard that come or go are told one by one.
const FEW: usize = 3;

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
    lines.extend(view.needs.iter().map(|need| format!("  first: {need}")));
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
