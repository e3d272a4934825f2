//! Views as a person reads them.

use std::fmt::Write;

use super::{CertificateView, ShardView};
use crate::output::{coloured, table};

/// So many open names are listed for a shard.
const NAMES: usize = 10;

/// A line for each Certificate, or with `as_tree` all that is below it.
pub fn text(views: &[CertificateView], as_tree: bool) -> String {
    if as_tree {
        let trees: Vec<String> = views.iter().map(tree).collect();
        return trees.join("\n");
    }
    if views.is_empty() {
        return "no Certificates here: look everywhere by -A\n".into();
    }
    let rows = views.iter().map(|view| {
        [
            view.namespace.clone(),
            view.name.clone(),
            if view.ready { "True" } else { "False" }.to_owned(),
            format!("{}/{}", view.ready_names, view.names),
            view.shards.len().to_string(),
            view.left.clone(),
            message(view),
        ]
    });
    table(
        [
            "NAMESPACE",
            "NAME",
            "READY",
            "NAMES",
            "SHARDS",
            "EXPIRES IN",
            "MESSAGE",
        ],
        rows,
    )
}

/// What it waits for or lacks, and how long that takes.
fn message(view: &CertificateView) -> String {
    let first = if view.ready {
        view.degraded.as_deref()
    } else {
        Some(view.message.as_str())
    };
    let limits = limits(view).map(|(_, message)| message);
    let parts: Vec<&str> = first.into_iter().chain(limits).collect();
    parts.join("; ")
}

/// The reason and the message of `RateLimited`, unless it says what has been said.
fn limits(view: &CertificateView) -> Option<(&str, &str)> {
    let (reason, message) = view.rate_limited.as_deref()?.split_once(": ")?;
    (!view.message.contains(message)).then_some((reason, message))
}

fn tree(view: &CertificateView) -> String {
    let mut text = format!(
        "Certificate {}/{}  {}  {}/{} names  {}\n",
        view.namespace,
        view.name,
        readiness(view.ready),
        view.ready_names,
        view.names,
        view.issuer,
    );
    if !view.ready {
        let _ = writeln!(text, "│ {}: {}", view.reason, view.message);
    } else if view.degraded.is_some() {
        let _ = writeln!(text, "│ some names cannot be validated");
    }
    if let Some((reason, message)) = limits(view) {
        let _ = writeln!(text, "│ {reason}: {message}");
    }
    for (number, shard) in view.shards.iter().enumerate() {
        let is_last = number + 1 == view.shards.len();
        let (branch, below) = if is_last {
            ("└─", "  ")
        } else {
            ("├─", "│ ")
        };
        let _ = writeln!(text, "{branch} {}", line(shard));
        for (name, state) in shard.open_names.iter().take(NAMES) {
            let _ = writeln!(text, "{below}   {name}  {state}");
        }
        if shard.open_names.len() > NAMES {
            let _ = writeln!(text, "{below}   and {} more", shard.open_names.len() - NAMES);
        }
    }
    text
}

fn readiness(is_ready: bool) -> String {
    coloured(if is_ready { "Ready" } else { "not ready" }, is_ready)
}

fn line(shard: &ShardView) -> String {
    let holder = shard
        .holder
        .as_ref()
        .map_or_else(String::new, |holder| format!("  [{holder}]"));
    format!(
        "Secret {}  {}  {} names  {}{holder}",
        shard.secret,
        readiness(shard.ready),
        shard.names,
        shard.state,
    )
}
