//! Lists in the docs against what they list: reasons in the code, alerts and rights of the chart, metrics.

use std::collections::BTreeSet;
use std::path::Path;

use sancho_e2e::world::repository;
use serde::Deserialize;
use serde_json::{Value, json};

use super::pages::{anchor, codes, page};
use crate::chart;

const TROUBLESHOOTING: &str = "docs/troubleshooting.md";
const OPERATIONS: &str = "docs/operations.md";
const SECURITY: &str = "docs/security.md";

/// CamelCase words in the operator's code that are no reason of a condition or an event.
const NO_REASONS: [&str; 61] = [
    // Types of conditions.
    "Degraded",
    "KeystoreReady",
    "Reconciling",
    "Revoking",
    "Stalled",
    // Values of conditions, and what events say is being done.
    "ChangeKey",
    "Check",
    "False",
    "Issue",
    "Plan",
    "Reform",
    "Register",
    "Renew",
    "Revoke",
    "True",
    // Stages of an order and its authorizations.
    "Answered",
    "Invalid",
    "New",
    "Pending",
    "Presented",
    "Processing",
    "Unknown",
    "Valid",
    // Kinds.
    "Certificate",
    "CertificateShard",
    "ClusterIssuer",
    "Gateway",
    "HTTPRoute",
    "Ingress",
    "Issuer",
    "Secret",
    "Service",
    // What the Gateway API says of routes, and types of paths.
    "Accepted",
    "BackendNotFound",
    "ImplementationSpecific",
    "NoMatchingListenerHostname",
    "NoMatchingParent",
    "NotAllowedByListeners",
    "PathPrefix",
    "Prefix",
    "RefNotPermitted",
    "ResolvedRefs",
    // Words of Azure DNS, and of cert-manager's webhooks.
    "ChallengePayload",
    "CleanUp",
    "NotFound",
    "Present",
    "TXTRecords",
    // The rest: types in `Debug` and `derive`, values of fields, types of Secrets and events, a word of CAs.
    "AccountKey",
    "Always",
    "Cloudflare",
    "Ed25519",
    "ExternalAccount",
    "Never",
    "Normal",
    "Opaque",
    "PartialEq",
    "ShardKey",
    "String",
    "Terminate",
    "Timeout",
    "Warning",
];

#[test]
fn every_reason_that_the_operator_can_write_is_explained_and_no_other() {
    let mut found = BTreeSet::new();
    for folder in ["operator/src", "operator/core/src", "operator/limiter/src"] {
        words_in(&repository().join(folder), &mut found);
    }
    assert!(found.len() > 150, "only {} words", found.len());
    let reasons: BTreeSet<String> = found
        .iter()
        .filter(|word| !NO_REASONS.contains(&word.as_str()))
        .cloned()
        .collect();
    let explained: BTreeSet<String> = page(TROUBLESHOOTING)
        .prose()
        .into_iter()
        .flat_map(|(_, line)| codes(line))
        .filter(|code| is_camel_case(code))
        .map(str::to_owned)
        .collect();
    let unexplained: Vec<&String> = reasons.difference(&explained).collect();
    assert!(
        unexplained.is_empty(),
        "{TROUBLESHOOTING} has no entry for {unexplained:?}, unless they are no reasons: see NO_REASONS"
    );
    let unknown: Vec<&String> = explained.difference(&found).collect();
    assert!(unknown.is_empty(), "the code has no {unknown:?} any more");
    let stale: Vec<&&str> = NO_REASONS.iter().filter(|word| !found.contains(**word)).collect();
    assert!(
        stale.len() < 12,
        "NO_REASONS has many words that are gone: {stale:?}"
    );
}

/// The quoted CamelCase words of all sources below a folder, but for tests and comments.
fn words_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap_or_default();
        // What is spoken with Route 53 and other providers: their errors become reasons of `fault.rs`.
        if ["tests", "route53", "apis"].iter().any(|other| stem == *other) {
            continue;
        }
        if path.is_dir() {
            words_in(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let quoted = code.flat_map(|line| line.split('"').skip(1));
            found.extend(quoted.filter(|word| is_camel_case(word)).map(str::to_owned));
        }
    }
}

/// `NotReady`, `New`, `BadCSR`.
fn is_camel_case(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.chars().all(|c| c.is_ascii_alphanumeric())
        && word.contains(|c: char| c.is_ascii_lowercase())
        && word.len() > 2
}

#[test]
fn every_alert_leads_to_its_runbook() {
    let alerts = std::fs::read_to_string(repository().join("charts/sancho/alerts.yaml")).unwrap();
    let alerts: Value = serde_yaml::from_str(&alerts).unwrap();
    let operations = page(OPERATIONS);
    let headings = operations.headings();
    let mut count = 0;
    for group in alerts["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            count += 1;
            let alert = rule["alert"].as_str().unwrap();
            assert!(
                headings.contains(&alert),
                "{OPERATIONS} has no runbook for {alert}"
            );
            let url = format!(
                "https://github.com/sancho-dev/sancho/blob/main/{OPERATIONS}#{}",
                anchor(alert)
            );
            assert_eq!(rule["annotations"]["runbook_url"], url.as_str(), "{alert}");
        }
    }
    assert!(count > 10, "only {count} alerts");
}

/// Who, where, what, and which verb.
type Right = (String, String, String, String);

#[tokio::test]
async fn the_rights_that_are_listed_are_those_that_the_chart_gives() {
    let dir = tempfile::tempdir().unwrap();
    let values = json!({ "responder": { "enabled": true } });
    let rendered = chart::rendered(dir.path(), &values).await.unwrap();
    let mut given = BTreeSet::new();
    for document in serde_yaml::Deserializer::from_str(&rendered) {
        let object = Value::deserialize(document).unwrap();
        if !matches!(object["kind"].as_str(), Some("Role" | "ClusterRole")) {
            continue;
        }
        let (who, place) = match object["metadata"]["name"].as_str().unwrap() {
            "sancho" => ("operator", "cluster"),
            "sancho-own" => ("operator", "its namespace"),
            "sancho-responder" => ("responder", "cluster"),
            "sancho-view" => ("`view`, `edit`, `admin`", "cluster"),
            "sancho-edit" => ("`edit`, `admin`", "cluster"),
            other => panic!("the table has no place for {other}"),
        };
        let texts = |rule: &Value, field: &str| -> Vec<String> {
            let texts = rule[field].as_array().into_iter().flatten();
            texts.map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        for rule in object["rules"].as_array().unwrap() {
            assert!(rule.get("resourceNames").is_none(), "{rule}");
            for group in texts(rule, "apiGroups") {
                for resource in texts(rule, "resources") {
                    let what = full(&group, &resource);
                    for verb in texts(rule, "verbs") {
                        given.insert((who.to_owned(), place.to_owned(), what.clone(), verb));
                    }
                }
            }
        }
    }
    let page = page(SECURITY);
    let tables = page.tables();
    let table = tables
        .iter()
        .find(|table| table[0] == ["who", "where", "what", "verbs"]);
    let listed: BTreeSet<Right> = table.unwrap()[1..].iter().flat_map(|row| rights(row)).collect();
    let unlisted: Vec<&Right> = given.difference(&listed).collect();
    let not_given: Vec<&Right> = listed.difference(&given).collect();
    assert!(
        unlisted.is_empty() && not_given.is_empty(),
        "{SECURITY} lacks {unlisted:#?}, and has in excess {not_given:#?}"
    );
}

fn rights(row: &[&str]) -> Vec<Right> {
    let [who, place, what, verbs]: [&str; 4] = row.try_into().unwrap();
    let resources = codes(what).into_iter();
    resources
        .flat_map(|resource| {
            verbs.split(", ").map(move |verb| {
                (
                    who.to_owned(),
                    place.to_owned(),
                    resource.to_owned(),
                    verb.to_owned(),
                )
            })
        })
        .collect()
}

/// `certificates.sancho.dev/status`, as the table has it.
fn full(group: &str, resource: &str) -> String {
    let (resource, below) = resource.split_once('/').unwrap_or((resource, ""));
    let mut text = resource.to_owned();
    if !group.is_empty() {
        text = format!("{text}.{group}");
    }
    if !below.is_empty() {
        text = format!("{text}/{below}");
    }
    text
}

#[test]
fn the_metrics_that_are_listed_are_those_that_are_served() {
    let page = page(OPERATIONS);
    let tables = page.tables();
    let rows = tables.iter().filter(|table| table[0][0] == "metric");
    let cells = rows.flat_map(|table| table[1..].iter().map(|row| row[0]));
    let listed: BTreeSet<String> = cells
        .flat_map(codes)
        // As OpenMetrics names a family of counters.
        .map(|name| name.trim_end_matches("_total").to_owned())
        .collect();

    let mut served = BTreeSet::new();
    let folder = repository().join("operator/src/metrics");
    let files = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file());
    for file in files.chain([folder.with_extension("rs")]) {
        let text = std::fs::read_to_string(file).unwrap();
        for (call, unit) in [
            ("registry.register(", ""),
            ("registry.register_with_unit(", "_seconds"),
            (" gauges(", ""),
            (" figures(", ""),
        ] {
            let names = text.split(call).skip(1);
            // Those of helpers have a variable there.
            let names = names.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
            served.extend(names.map(|name| format!("sancho_{name}{unit}")));
        }
    }
    assert!(served.len() > 20, "{served:?}");
    assert_eq!(listed, served, "left {OPERATIONS}, right the code");
}
