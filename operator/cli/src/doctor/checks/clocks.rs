//! Whose clock is wrong, by the API server's. Pure.
//!
//! Who renews a Lease writes `renewTime` by its own clock, and the API server notes by its own when it took that write. So each
//! kubelet tells how far its node's clock is off, every few seconds, and a replica does whenever it writes a budget.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;
use sancho::clock::FAR;
use sancho_limiter::WRITER_ANNOTATION;

use super::unseen;
use crate::doctor::Finding;
use crate::doctor::Weight::{Broken, Doubtful};
use crate::doctor::survey::{Clocks, Facts, Node};
use crate::span;

/// A difference of clocks that is worth a word.
const MOST_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// This machine's.
pub fn of_this_machine(clocks: Clocks) -> Finding {
    let about = "clock";
    let second = SignedDuration::from_secs(1);
    // The Date is cut to the second.
    let behind = clocks.server.duration_since(clocks.after);
    let ahead = clocks.before.duration_since(clocks.server) - second;
    let (skew, word) = if behind > ahead {
        (behind, "behind")
    } else {
        (ahead, "ahead of")
    };
    if skew <= MOST_SKEW {
        return Finding::fine(about, "that of this machine and the API server's agree");
    }
    Finding::trouble(
        Doubtful,
        about,
        format!("this machine is {} {word} the API server", span::text(skew)),
        "have both keep time by NTP",
    )
}

/// Those of the nodes with replicas, and of the replicas that wrote budgets last where their nodes tell nothing.
pub fn of_replicas(facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    match &facts.nodes {
        Err(error) => found.push(unseen("clocks of the nodes with replicas", error)),
        Ok(nodes) => found.extend(nodes.iter().filter_map(of_node)),
    }
    let mut writes: Vec<Written<'_>> = facts.leases.iter().flatten().filter_map(Written::read).collect();
    writes.retain(|written| is_worth_telling(written.writer, facts));
    // Of each replica what it wrote last.
    writes.sort_by_key(|written| (written.writer, written.at));
    let lasts = writes
        .chunk_by(|one, next| one.writer == next.writer)
        .filter_map(|of_one| of_one.last());
    found.extend(lasts.map(|written| written.finding(now)));
    found
}

fn of_node(node: &Node) -> Option<Finding> {
    let Node { name, pods, lease } = node;
    let (ahead, _) = ahead(lease.as_ref()?)?;
    let about = format!("clock of node {name}");
    let pods = pods.join(", ");
    if ahead.abs() <= MOST_SKEW {
        return Some(Finding::fine(
            about,
            format!("it and the API server's agree ({pods})"),
        ));
    }
    let found = format!("{} the API server's ({pods})", words(ahead));
    Some(wrong(about, found, ahead))
}

/// A budget's Lease, as the replica that wrote it last has left it.
struct Written<'a> {
    writer: &'a str,
    lease: &'a Lease,
    at: Timestamp,
    ahead: SignedDuration,
}

impl<'a> Written<'a> {
    fn read(lease: &'a Lease) -> Option<Self> {
        let (ahead, at) = ahead(lease)?;
        Some(Self {
            writer: lease.annotations().get(WRITER_ANNOTATION)?,
            lease,
            at,
            ahead,
        })
    }

    fn finding(&self, now: Timestamp) -> Finding {
        let about = format!("clock of replica {}", self.writer);
        let when = format!(
            "when it wrote Lease {} {} ago",
            self.lease.name_any(),
            span::text(now.duration_since(self.at))
        );
        if self.ahead.abs() <= MOST_SKEW {
            return Finding::fine(about, format!("it and the API server's agreed {when}"));
        }
        let found = format!("{} the API server's {when}", words(self.ahead));
        wrong(about, found, self.ahead)
    }
}

fn wrong(about: String, found: String, ahead: SignedDuration) -> Finding {
    let weight = if ahead.abs() > FAR { Broken } else { Doubtful };
    let next_step = "have that node keep time by NTP: TLS certificates, the CA's and the API server's too, are judged by its clock";
    Finding::trouble(weight, about, found, next_step)
}

/// A replica whose node has told its clock needs no word, nor does one that is gone: of neither kind is one if no Pods are
/// known.
fn is_worth_telling(writer: &str, facts: &Facts) -> bool {
    let Ok(nodes) = &facts.nodes else {
        return true;
    };
    // A process is called after its Pod, a dash and more.
    let pod = writer.rsplit_once('-').map_or(writer, |(pod, _)| pod);
    match nodes
        .iter()
        .find(|node| node.pods.iter().any(|other| other == pod))
    {
        Some(node) => node.lease.as_ref().and_then(ahead).is_none(),
        None => nodes.is_empty(),
    }
}

/// How far the clock of who renewed a Lease last was ahead of the API server's, and when that was by the latter.
fn ahead(lease: &Lease) -> Option<(SignedDuration, Timestamp)> {
    let renewed = lease.spec.as_ref()?.renew_time.as_ref()?.0;
    let at = renewed_at(lease)?;
    Some((renewed.duration_since(at), at))
}

/// When a Lease was renewed last, by the API server's clock and to the second.
pub fn renewed_at(lease: &Lease) -> Option<Timestamp> {
    let has_renewed = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| fields.0.pointer("/f:spec/f:renewTime").is_some())
    };
    let entry = lease.managed_fields().iter().find(has_renewed)?;
    entry.time.as_ref().map(|time| time.0)
}

/// `75d ahead of`, `2h behind`.
fn words(ahead: SignedDuration) -> String {
    let word = if ahead.is_negative() { "behind" } else { "ahead of" };
    format!("{} {word}", span::text(ahead.abs()))
}
