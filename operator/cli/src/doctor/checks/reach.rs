//! Whether CAs, and the APIs of DNS providers, are reached from the cluster, as the replicas have noted it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use sancho::acme::origin::Origin;
use sancho_limiter::{Contact, Failing, ORIGIN_ANNOTATION, Record};

use super::issuing::{issuers, together};
use crate::doctor::Finding;
use crate::doctor::Weight::{Broken, Doubtful};
use crate::doctor::survey::Facts;
use crate::span;

/// Such a budget is that of an account at a DNS provider.
const OF_PROVIDER: &str = "dns:";

/// A finding for each CA that an issuer names, and for each account at a DNS provider. Nothing, if budgets may not be read.
pub fn of_each(facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let Ok(leases) = &facts.leases else {
        return Vec::new();
    };
    let mut known: BTreeMap<String, (Contact, Vec<String>)> = BTreeMap::new();
    for lease in leases {
        let origin = lease.annotations().get(ORIGIN_ANNOTATION);
        // One that cannot be read has a finding for itself.
        if let (Some(origin), Ok(record)) = (origin, Record::from_annotations(lease.annotations())) {
            known.insert(origin.clone(), (record.contact, Vec::new()));
        }
    }
    for issuer in issuers(facts) {
        if let Ok(origin) = Origin::of(&issuer.acme.server) {
            known.entry(origin.to_string()).or_default().1.push(issuer.words);
        }
    }
    // The Lease of a CA stays when its last issuer is gone.
    let are_all_known = facts.cluster_issuers.is_ok() && facts.issuers.is_ok();
    known.retain(|origin, (_, issuers)| {
        !are_all_known || !issuers.is_empty() || origin.starts_with(OF_PROVIDER)
    });
    known
        .iter()
        .map(|(origin, (contact, issuers))| reach(about(origin, issuers), contact, facts, now))
        .collect()
}

fn about(origin: &str, issuers: &[String]) -> String {
    match (origin.starts_with(OF_PROVIDER), issuers) {
        (true, _) => format!("API of the DNS provider's account {origin}"),
        (false, []) => format!("CA {origin}"),
        (false, issuers) => format!("CA {origin} of {}", together(issuers)),
    }
}

fn reach(about: String, contact: &Contact, facts: &Facts, now: Timestamp) -> Finding {
    let ago = |at: Timestamp| span::text(now.duration_since(at));
    match (&contact.failing, contact.answered) {
        (None, Some(answered)) => {
            let found = format!("reached from the cluster: it answered last {} ago", ago(answered));
            Finding::fine(about, found)
        }
        (None, None) => Finding::trouble(
            Doubtful,
            about,
            "whether it is reached from the cluster is not known: no replica has noted an answer yet",
            "have it asked for something, by a new Certificate or by kubectl sancho renew",
        ),
        (Some(failing), answered) => {
            let Failing {
                since,
                last,
                replica,
                reason,
                message,
                unknown: _,
            } = failing;
            let answered = match answered {
                Some(answered) => format!("it answered last at {answered}"),
                None => "no answer of it is known".to_owned(),
            };
            // A single connection that breaks off may be bad luck.
            let weight = if last > since { Broken } else { Doubtful };
            let found = format!(
                "not reached from the cluster since {since}, {} ago: {reason}: {message} (tried last {} ago, by {replica}; \
                 {answered})",
                ago(*since),
                ago(*last)
            );
            Finding::trouble(weight, about, found, next_step(reason, &facts.operator_namespace))
        }
    }
}

/// By the reasons of the operator's conditions, metrics and logs.
fn next_step(reason: &str, namespace: &str) -> String {
    match reason {
        "CaNameUnresolved" => format!(
            "see whether the cluster's DNS resolves that name, and whether network policies let the Pods in {namespace} ask \
             it; else mend spec.acme.server"
        ),
        "CaUnreachable" | "CaTimedOut" | "CaConnectionLost" => format!(
            "see whether the CA runs; then let the Pods in {namespace} out to it: network policies (egress), firewalls, and \
             HTTPS_PROXY where a proxy leads out"
        ),
        "CaRootUnknown" => "put the root of its TLS certificate into the issuer's spec.acme.caBundle".into(),
        "CaTlsFailed" => {
            "have its TLS certificate mended at its server, and see whether the nodes' clocks are right"
                .into()
        }
        "ProxyUnreachable" | "ProxyRefused" => {
            format!("mend HTTPS_PROXY or NO_PROXY of the Pods in {namespace}, or the proxy")
        }
        _ => format!("look {reason} up in docs/troubleshooting.md"),
    }
}
