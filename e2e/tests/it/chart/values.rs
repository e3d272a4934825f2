//! Every value is documented, and what is no value is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{chart_file, rendered};

#[test]
fn every_value_is_explained_and_stands_in_the_table_with_its_default() {
    let values: Value = serde_yaml::from_str(&chart_file("values.yaml")).unwrap();
    let mut defaults = BTreeMap::new();
    leaves("", &values, &mut defaults);
    assert!(defaults.len() > 40, "{} values", defaults.len());

    let readme = chart_file("README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    let table: BTreeMap<String, String> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').splitn(3, '|').map(str::trim).collect();
            assert!(cells[2].len() > 5, "{row} explains nothing");
            (code(cells[0]).to_owned(), code(cells[1]).to_owned())
        })
        .collect();
    let documented = |value: &Value| match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let expected: BTreeMap<String, String> = defaults
        .iter()
        .map(|(path, value)| (path.clone(), documented(value)))
        .collect();
    assert_eq!(table, expected, "left the README's table, right values.yaml");

    // The line above each key says what it is for.
    let text = chart_file("values.yaml");
    let lines: Vec<&str> = text.lines().collect();
    let mut path: Vec<&str> = Vec::new();
    let mut unexplained = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let bare = line.trim_start();
        let Some((key, _)) = bare.split_once(':').filter(|_| !bare.starts_with(['#', '-'])) else {
            continue;
        };
        path.truncate((line.len() - bare.len()) / 2);
        path.push(key);
        let is_leaf = defaults.contains_key(&path.join("."));
        if is_leaf && !lines[number - 1].trim_start().starts_with('#') {
            unexplained.push(path.join("."));
        }
    }
    assert!(unexplained.is_empty(), "no comment above {unexplained:?}");
}

#[test]
fn the_schema_knows_the_values_and_no_others() {
    let values: Value = serde_yaml::from_str(&chart_file("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&chart_file("values.schema.json")).unwrap();
    let mut found = BTreeSet::new();
    properties("", &schema, &mut found);
    let mut defaults = BTreeMap::new();
    leaves("", &values, &mut defaults);
    // Helm itself puts `global` into every chart's values.
    found.remove("global");
    assert_eq!(found, defaults.into_keys().collect());
}

#[tokio::test]
async fn values_that_do_not_exist_or_make_no_sense_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let refused = [
        (json!({ "replica": 2 }), "'replica'"),
        (json!({ "image": { "repo": "x" } }), "'repo'"),
        (json!({ "image": { "digest": "sha256:1" } }), "/image/digest"),
        (
            json!({ "image": { "pullPolicy": "Sometimes" } }),
            "/image/pullPolicy",
        ),
        (json!({ "replicas": -1 }), "/replicas"),
        (json!({ "watchNamespaces": ["Shop"] }), "/watchNamespaces/0"),
        (json!({ "watchNamespaces": ["shop", "shop"] }), "/watchNamespaces"),
        (json!({ "watchNamespaces": "shop" }), "/watchNamespaces"),
        (json!({ "clusterIssuers": { "le": {} } }), "/clusterIssuers/le"),
        (
            json!({ "clusterIssuers": { "Le": { "acme": { "server": "x" } } } }),
            "Le",
        ),
        (
            json!({ "metrics": { "monitor": { "kind": "Monitor" } } }),
            "/metrics/monitor/kind",
        ),
        (
            json!({ "podDisruptionBudget": { "maxUnavailable": "one" } }),
            "/podDisruptionBudget/maxUnavailable",
        ),
        (
            json!({ "podLabels": { "app.kubernetes.io/name": "x" } }),
            "app.kubernetes.io/name",
        ),
        (json!({ "responder": { "tolerations": [] } }), "'tolerations'"),
        (json!({ "extraEnv": [{ "value": "x" }] }), "/extraEnv/0"),
    ];
    for (values, part) in refused {
        let answer = rendered(dir.path(), &values).await;
        let answer = answer.expect_err(&format!("{values} was taken"));
        assert!(answer.contains(part), "{values}: no \"{part}\" in\n{answer}");
    }
}

/// The values by their dotted path. A map that is open to the user counts as one value.
fn leaves(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() && !is_open(path) => {
            for (key, value) in map {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                leaves(&below, value, found);
            }
        }
        other => {
            found.insert(path.to_owned(), other.clone());
        }
    }
}

fn is_open(path: &str) -> bool {
    path.ends_with("resources") || path.ends_with("labels")
}

fn properties(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    let closed = schema["additionalProperties"] == Value::Bool(false);
    match schema["properties"].as_object() {
        Some(map) if closed => {
            for (key, value) in map {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                properties(&below, value, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

fn code(cell: &str) -> &str {
    cell.trim_matches('`')
}
