//! Facts → findings. Pure.

mod access;
mod clocks;
mod gateways;
mod held_back;
mod issuing;
mod reach;
mod ways;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResourceExt, ResourceExt};
use sancho::issuer::allowed::NOT_ALLOWED;
use sancho_crds::{ADOPT_ANNOTATION, Certificate, CertificateShard, ClusterIssuer, GROUP, Issuer, condition};
use sancho_limiter::Record;

use super::Weight::{Broken, Doubtful};
use super::schema::fields;
use super::survey::Facts;
use super::{Finding, Weight};
use crate::editions::Editions;

/// Of a longer list only so many are told.
const SHOWN: usize = 20;

/// All findings at `now`, what matters most first.
pub fn findings(facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let mut found = kinds(facts);
    if !facts.kinds.is_empty() {
        found.extend(crds(facts));
        found.extend(access::of_user(facts));
        found.extend(access::of_operator(facts));
        found.extend(access::to_routes(facts));
        found.extend(ways::of_challenges(facts));
        found.extend(deployments(facts));
        found.extend(leases(facts, now));
        found.extend(reach::of_each(facts, now));
        found.extend(issuers(facts));
        found.extend(certificates(facts, now));
        found.extend(clocks::of_replicas(facts, now));
    }
    found.extend(facts.clocks.map(clocks::of_this_machine));
    found.sort_by_key(|finding| finding.weight);
    found
}

/// What could not be looked at.
fn unseen(about: &str, error: &anyhow::Error) -> Finding {
    Finding::trouble(
        Doubtful,
        about,
        format!("not looked at: {error:#}"),
        "ask somebody who may read it to run this, or ask for the right",
    )
}

fn kinds(facts: &Facts) -> Vec<Finding> {
    let wanted = ["Certificate", "CertificateShard", "ClusterIssuer", "Issuer"];
    let missing: Vec<&str> = wanted
        .into_iter()
        .filter(|kind| !facts.kinds.iter().any(|served| served == kind))
        .collect();
    vec![if missing.is_empty() {
        Finding::fine("CRDs", format!("all {} kinds are served", wanted.len()))
    } else {
        Finding::trouble(
            Broken,
            "CRDs",
            format!("the API server does not know {}", missing.join(", ")),
            "install the chart with crds.enabled, or apply install.yaml",
        )
    }]
}

fn crds(facts: &Facts) -> Vec<Finding> {
    let crds = match &facts.crds {
        Ok(crds) => crds,
        Err(error) => return vec![unseen("versions of the CRDs", error)],
    };
    let ours = [
        Certificate::crd(),
        CertificateShard::crd(),
        ClusterIssuer::crd(),
        Issuer::crd(),
    ];
    let mut found = Vec::new();
    for own in &ours {
        let name = own.name_any();
        let Some(theirs) = crds.iter().find(|crd| crd.name_any() == name) else {
            continue;
        };
        let (own, theirs) = (fields(own), fields(theirs));
        let list = |fields: BTreeSet<&String>| {
            let words: Vec<&str> = fields.iter().take(3).map(|field| field.as_str()).collect();
            let more = if fields.len() > words.len() { " …" } else { "" };
            format!("{}{more}", words.join(", "))
        };
        let lacking: BTreeSet<&String> = own.difference(&theirs).collect();
        let unknown: BTreeSet<&String> = theirs.difference(&own).collect();
        if !lacking.is_empty() {
            found.push(Finding::trouble(
                Doubtful,
                format!("CRD {name}"),
                format!("is older than this plugin: it lacks {}", list(lacking)),
                "upgrade the chart's CRDs with the operator, or use the plugin of the operator's version",
            ));
        } else if !unknown.is_empty() {
            found.push(Finding::trouble(
                Doubtful,
                format!("CRD {name}"),
                format!("is newer than this plugin: it has {}", list(unknown)),
                "use the plugin of the operator's version",
            ));
        }
    }
    if found.is_empty() {
        found.push(Finding::fine(
            "versions of the CRDs",
            "they have this plugin's fields",
        ));
    }
    found
}

fn deployments(facts: &Facts) -> Vec<Finding> {
    let about = format!("replicas in {}", facts.operator_namespace);
    let deployments = match &facts.deployments {
        Ok(deployments) => deployments,
        Err(error) => return vec![unseen(&about, error)],
    };
    let mut found: Vec<Finding> = deployments
        .iter()
        .map(|deployment| replicas(&about, deployment))
        .collect();
    if found.is_empty() {
        found.push(Finding::trouble(
            Doubtful,
            about,
            "no Deployment of the chart is there",
            "name the operator's namespace by --operator-namespace, or install the chart",
        ));
    }
    let about = format!("responders in {}", facts.operator_namespace);
    let responders = facts.responders.iter();
    found.extend(responders.map(|deployment| replicas(&about, deployment)));
    found
}

fn replicas(about: &str, deployment: &Deployment) -> Finding {
    let asked = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let ready = deployment
        .status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or_default();
    let version = deployment
        .labels()
        .get("app.kubernetes.io/version")
        .map_or("of an unknown version", String::as_str);
    let found = format!("{ready} of {asked} are ready, version {version}");
    let name = deployment.name_any();
    let namespace = deployment.namespace().unwrap_or_default();
    let logs = format!("kubectl logs -n {namespace} deployment/{name}; kubectl describe pods -n {namespace}");
    if ready == 0 {
        Finding::trouble(Broken, about, found, logs)
    } else if ready < asked {
        Finding::trouble(Doubtful, about, found, logs)
    } else if version != env!("CARGO_PKG_VERSION") {
        let found = format!("{found}; this plugin is {}", env!("CARGO_PKG_VERSION"));
        Finding::trouble(Doubtful, about, found, "use the plugin of the operator's version")
    } else {
        Finding::fine(about, found)
    }
}

fn leases(facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let leases = match &facts.leases {
        Ok(leases) => leases,
        Err(error) => return vec![unseen("budgets, and whether CAs are reached", error)],
    };
    let check = |lease: &Lease| {
        let about = format!("budget, Lease {}", lease.name_any());
        match Record::from_annotations(lease.annotations()) {
            Err(unreadable) => Finding::trouble(
                Broken,
                about,
                format!("nothing is sent: {unreadable}"),
                "delete the Lease: it is written anew, and the rate is found out again",
            ),
            Ok(record) => match paused(lease, &record, now) {
                Some(why) => Finding::trouble(
                    Doubtful,
                    about,
                    format!("all sending is paused: {why}"),
                    "wait; if it lasts, see what is found of the CA itself",
                ),
                None => Finding::fine(about, record.summary()),
            },
        }
    };
    leases.iter().map(check).collect()
}

/// Why nothing is sent for now. What a Lease has of a pause stays there when it is over, until somebody has work.
fn paused(lease: &Lease, record: &Record, now: Timestamp) -> Option<String> {
    let pause = record.pause.as_ref()?;
    let since = clocks::renewed_at(lease).and_then(|at| Duration::try_from(now.duration_since(at)).ok());
    if since.is_some_and(|since| since > pause.remaining) {
        return None;
    }
    Some(match (pause.asked_seconds, &record.discovery.outage) {
        (Some(seconds), _) => format!("the CA asks to be left alone for {seconds} s"),
        (None, Some(outage)) => outage.cause.to_string(),
        (None, None) => "the CA refused a request".to_owned(),
    })
}

fn issuers(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    match &facts.cluster_issuers {
        Err(error) => found.push(unseen("ClusterIssuers", error)),
        Ok(issuers) => found.extend(issuers.iter().map(|issuer| {
            let conditions = issuer.status.as_ref().map(|status| status.conditions.as_slice());
            let name = issuer.name_any();
            let look = format!("kubectl describe clusterissuers.{GROUP} {name}");
            ready(format!("ClusterIssuer {name}"), conditions, look)
        })),
    }
    match &facts.issuers {
        Err(error) => found.push(unseen("Issuers", error)),
        Ok(issuers) => found.extend(issuers.iter().map(|issuer| {
            let conditions = issuer.status.as_ref().map(|status| status.conditions.as_slice());
            let (namespace, name) = (issuer.namespace().unwrap_or_default(), issuer.name_any());
            let look = format!("kubectl describe issuers.{GROUP} -n {namespace} {name}");
            ready(format!("Issuer {namespace}/{name}"), conditions, look)
        })),
    }
    found
}

fn ready(about: String, conditions: Option<&[Condition]>, look: String) -> Finding {
    match conditions.and_then(|conditions| condition(conditions, "Ready")) {
        Some(ready) if ready.status == "True" => Finding::fine(about, "ready"),
        Some(ready) => Finding::trouble(
            Broken,
            about,
            format!("{}: {}", ready.reason, ready.message),
            look,
        ),
        None => Finding::trouble(
            Doubtful,
            about,
            "no replica has looked at it yet",
            "see whether the operator runs",
        ),
    }
}

fn certificates(facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let (certificates, shards) = match (&facts.certificates, &facts.shards) {
        (Ok(certificates), Ok(shards)) => (certificates, shards),
        (Err(error), _) | (_, Err(error)) => return vec![unseen("Certificates", error)],
    };
    let editions = Editions::of(
        facts.cluster_issuers.as_deref().unwrap_or_default(),
        facts.issuers.as_deref().unwrap_or_default(),
    );
    let views = crate::status::views(certificates, shards, &editions, now);
    let waiting: Vec<_> = views.iter().filter(|view| !view.ready).collect();
    let mut found = vec![Finding::fine(
        "Certificates",
        format!("{} of {} are ready", views.len() - waiting.len(), views.len()),
    )];
    for view in waiting.iter().take(SHOWN) {
        found.push(Finding::trouble(
            weight(&view.reason),
            format!("Certificate {}/{}", view.namespace, view.name),
            format!("{}: {}", view.reason, view.message),
            next_step(&view.reason, &view.namespace, &view.name),
        ));
    }
    if waiting.len() > SHOWN {
        found.push(Finding::trouble(
            Doubtful,
            "Certificates",
            format!("{} more are not ready", waiting.len() - SHOWN),
            "kubectl sancho status -A",
        ));
    }
    found.extend(held_back::names(shards, &editions, now));
    found.extend(held_back::quotas(shards, now));
    found
}

/// What is on its way is no trouble yet.
fn weight(reason: &str) -> Weight {
    match reason {
        "Issuing" | "Planning" | "IssuerPending" | "Paused" | "RateLimited" => Doubtful,
        _ => Broken,
    }
}

fn next_step(reason: &str, namespace: &str, name: &str) -> String {
    match reason {
        "Unseen" => "see whether the operator runs, and whether it watches this namespace".into(),
        "IssuerNotFound" => format!(
            "make the issuer, or mend spec.issuerRef: kubectl get issuers.{GROUP},clusterissuers.{GROUP} -A"
        ),
        NOT_ALLOWED => {
            "use another issuer, or have whoever runs the ClusterIssuer add it to spec.allowed there".into()
        }
        "IssuerNotReady" => "mend the issuer first: it is a finding of its own".into(),
        "IssuerPending" | "Planning" => "wait a minute; then look at the operator's logs".into(),
        "Paused" => format!("kubectl sancho resume {name} -n {namespace}"),
        "SecretNotOurs" => {
            format!(
                "delete the Secret, choose another spec.secretName, or let it be adopted ({ADOPT_ANNOTATION})"
            )
        }
        "RateLimited" => "wait: the time that the CA gave stands in the message".into(),
        "Issuing" => format!("wait; kubectl sancho status {name} -n {namespace} --watch shows how far it is"),
        _ => format!(
            "kubectl sancho status {name} -n {namespace} tells which names, and when they are tried again"
        ),
    }
}

#[cfg(test)]
mod tests;
