//! What there is once everything has come to rest, in a form in which two runs can be compared:
//! without what differs from run to run, and with what must hold between the objects checked.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Request;
use kube::Client;
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use x509_parser::pem::parse_x509_pem;

use crate::certificates::Leaf;
use crate::replica::NAMESPACE;

/// Fields that differ from run to run wherever they stand.
const OF_ONE_RUN: [&str; 14] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "lastTransitionTime",
    "planner",
    "accountUrl",
    "thumbprint",
    "fingerprint",
    "notBefore",
    "notAfter",
    "renewalTime",
    "certId",
    "nextLook",
];

/// All that Sancho has written that has an end, as one value: Certificates, shards, ClusterIssuers, the
/// Secrets of the namespace `default` and of Sancho's own, the names of the Leases, and the reasons of
/// warnings. Times, UIDs, URLs and keys are left out or replaced by a word; a Secret's certificate is
/// replaced by its names.
///
/// # Errors
///
/// When the API server does not answer, or something does not fit: a key that is not its
/// certificate's, a shard whose status speaks of another certificate than its Secret holds.
pub async fn end_state(client: &Client) -> Result<Value> {
    let shards = list(client, "/apis/sancho.dev/v1alpha1/certificateshards").await?;
    let secrets = list(client, "/api/v1/namespaces/default/secrets").await?;
    for shard in &shards {
        fits(shard, &secrets)?;
    }
    let own = list(client, &format!("/api/v1/namespaces/{NAMESPACE}/secrets")).await?;
    let secrets = secrets.into_iter().chain(own);
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
    let leases = list(client, &leases).await?;
    let events = list(client, "/apis/events.k8s.io/v1/events").await?;
    let is_warning = |event: &Value| {
        // Of two objects that are made at once, either may be seen first.
        event["type"] == "Warning" && event["reason"] != "IssuerNotFound"
    };
    let warnings: BTreeSet<String> = events
        .into_iter()
        .filter(is_warning)
        .map(|event| event["reason"].to_string())
        .collect();
    Ok(json!({
        "certificates": comparable(list(client, "/apis/sancho.dev/v1alpha1/certificates").await?),
        "shards": comparable(shards),
        "issuers": comparable(list(client, "/apis/sancho.dev/v1alpha1/clusterissuers").await?),
        "secrets": comparable(secrets.map(with_words_for_data).collect::<Result<_>>()?),
        "leases": leases.iter().map(|lease| &lease["metadata"]["name"]).collect::<Vec<_>>(),
        "warnings": warnings,
    }))
}

/// Where two values differ, one line each.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", expected, found, &mut lines);
    lines
}

async fn list(client: &Client, path: &str) -> Result<Vec<Value>> {
    let mut list: Value = client.request(Request::get(path).body(Vec::new())?).await?;
    match list["items"].take() {
        Value::Array(items) => Ok(items),
        _ => anyhow::bail!("{path} is no list"),
    }
}

/// Does an issued shard's status speak of the certificate that its Secret, one of `secrets`, holds?
///
/// # Errors
/// What does not fit.
pub fn fits(shard: &Value, secrets: &[Value]) -> Result<()> {
    let issued = &shard["status"]["issued"];
    if issued.is_null() {
        return Ok(());
    }
    let name = &shard["spec"]["secretName"];
    let secret = secrets
        .iter()
        .find(|secret| secret["metadata"]["name"] == *name)
        .with_context(|| format!("there is no Secret {name}"))?;
    let chain = data(secret, "tls.crt")?;
    let fingerprint: String = Sha256::digest(&chain)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    ensure!(
        issued["fingerprint"] == fingerprint,
        "{name} holds another certificate than its shard says"
    );
    ensure!(
        issued["target"] == secret["metadata"]["annotations"]["sancho.dev/target"],
        "{name} is for something else than its shard says"
    );
    Ok(())
}

fn data(secret: &Value, field: &str) -> Result<Vec<u8>> {
    let text = secret["data"][field].as_str();
    let text = text.with_context(|| format!("{} has no {field}", secret["metadata"]["name"]))?;
    Ok(STANDARD.decode(text)?)
}

/// A Secret with words in place of its data.
fn with_words_for_data(mut secret: Value) -> Result<Value> {
    let mut words = Map::new();
    let fields: Vec<String> = secret["data"]
        .as_object()
        .map_or(Vec::new(), |data| data.keys().cloned().collect());
    for field in fields {
        let content = data(&secret, &field)?;
        let word = match field.as_str() {
            "tls.crt" => json!(Leaf::read(&content)?.dns_names),
            "tls.key" => {
                let key = KeyPair::from_pem(std::str::from_utf8(&content)?)?;
                if let Ok(chain) = data(&secret, "tls.crt") {
                    let (_, pem) = parse_x509_pem(&chain)?;
                    let certificate = pem.parse_x509()?;
                    ensure!(
                        certificate.public_key().raw == key.subject_public_key_info(),
                        "{}: the key is not the certificate's",
                        secret["metadata"]["name"]
                    );
                }
                json!("a key")
            }
            _ => json!("something"),
        };
        words.insert(field, word);
    }
    secret["data"] = Value::Object(words);
    Ok(secret)
}

fn comparable(mut objects: Vec<Value>) -> Value {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    objects.sort_by_key(name);
    let named = objects.into_iter().map(|mut object| {
        let name = format!(
            "{}/{}",
            object["metadata"]["namespace"].as_str().unwrap_or_default(),
            name(&object)
        );
        strip(&mut object);
        (name, object)
    });
    Value::Object(named.collect())
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if OF_ONE_RUN.contains(&name.as_str()) {
                    *field = json!("of one run");
                } else if name == "conditions"
                    && let Value::Array(conditions) = field
                {
                    conditions.sort_by_key(|condition| condition["type"].to_string());
                }
                strip(field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::String(text) => *text = without_times_and_urls(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn without_times_and_urls(text: &str) -> String {
    let word = |word: &str| {
        let core = word.trim_matches(|c: char| !c.is_alphanumeric());
        if core.parse::<jiff::Timestamp>().is_ok() {
            word.replace(core, "TIME")
        } else if core.starts_with("https://") {
            word.replace(core, "URL")
        } else {
            word.to_owned()
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn compare(path: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let side = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
                compare(&format!("{path}.{name}"), &side(left), &side(right), lines);
            }
        }
        (left, right) if left == right => {}
        (left, right) => lines.push(format!("{path}: {left} was expected, {right} is there")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_urls_are_replaced_and_nothing_else() {
        assert_eq!(
            without_times_and_urls("valid until 2026-01-02T03:04:05Z, see https://ca.example/acct/1."),
            "valid until TIME, see URL."
        );
    }

    #[test]
    fn what_differs_is_told_with_its_path() {
        let expected = json!({ "a": { "b": 1 }, "same": [1] });
        let found = json!({ "a": { "b": 2, "c": true }, "same": [1] });
        assert_eq!(
            differences(&expected, &found),
            [
                ".a.b: 1 was expected, 2 is there",
                ".a.c: null was expected, true is there"
            ]
        );
    }
}
