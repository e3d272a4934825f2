//! Budgets as their Leases tell them. Pure.

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use sancho_crds::ClusterIssuer;
use sancho_limiter::{ORIGIN_ANNOTATION, Record};
use serde::Serialize;

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

/// The budgets in `leases`: all of them, or with `only_theirs` those that `issuers` speak of.
pub fn views(leases: &[Lease], issuers: &[ClusterIssuer], only_theirs: bool) -> Vec<BudgetView> {
    let mut views: Vec<BudgetView> = leases
        .iter()
        .map(|lease| view(lease, issuers))
        .filter(|view| !only_theirs || !view.issuers.is_empty())
        .collect();
    views.sort_by(|a, b| a.ca.cmp(&b.ca));
    views
}

fn view(lease: &Lease, issuers: &[ClusterIssuer]) -> BudgetView {
    let name = lease.name_any();
    let its: Vec<&ClusterIssuer> = issuers
        .iter()
        .filter(|issuer| {
            let status = issuer.status.as_ref();
            status.and_then(|status| status.budget_lease.as_ref()) == Some(&name)
        })
        .collect();
    let (state, trouble) = match Record::from_annotations(lease.annotations()) {
        Ok(record) => (Some(state(&record)), None),
        Err(unreadable) => (None, Some(unreadable.to_string())),
    };
    BudgetView {
        ca: lease
            .annotations()
            .get(ORIGIN_ANNOTATION)
            .cloned()
            .unwrap_or_default(),
        issuers: its.iter().map(|issuer| issuer.name_any()).collect(),
        lease: name,
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
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::api::ObjectMeta;
    use sancho_limiter::{Budget, Durations, Holder, Source};

    use super::*;

    fn lease(name: &str, annotations: BTreeMap<String, String>) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(name.into()),
                annotations: Some(annotations),
                ..Default::default()
            },
            spec: None,
        }
    }

    fn record() -> Record {
        let mut record = Record::new(
            "t".into(),
            Budget::new(40.0, 10, 16),
            Source::Given,
            Durations::default(),
        );
        record.slots[0].holder = Some(Holder {
            process: "sancho-0-abc".into(),
            ..Holder::default()
        });
        record
    }

    #[test]
    fn a_budget_is_told_with_its_slots() {
        let mut annotations = record().to_annotations();
        annotations.insert(ORIGIN_ANNOTATION.into(), "https://ca.example".into());
        let views = views(&[lease("sancho-budget-x", annotations)], &[], false);
        let text = text(&views);
        assert!(
            text.contains("https://ca.example (Lease sancho-budget-x)"),
            "{text}"
        );
        assert!(
            text.contains("Given: 40 requests a second, burst 10, 16 in flight; held"),
            "{text}"
        );
        assert!(text.contains("slot 0: sancho-0-abc"), "{text}");
        assert!(text.contains("slot 1: in doubt"), "{text}");
    }

    #[test]
    fn a_damaged_lease_is_told() {
        let views = views(&[lease("sancho-budget-x", BTreeMap::new())], &[], false);
        let text = text(&views);
        assert!(
            text.contains("nothing is sent: annotation budget.sancho.dev/version"),
            "{text}"
        );
    }
}
