use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::{Certificate, CertificateShard, ClusterIssuer, Issuer};

/// Collects where in `schema`, which is that of `path`, a default stands within a list.
fn defaults_in_lists(schema: &Value, path: &str, is_in_list: bool, found: &mut Vec<String>) {
    if is_in_list && schema.get("default").is_some() {
        found.push(path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        defaults_in_lists(property, &format!("{path}.{name}"), is_in_list, found);
    }
    if let Some(items) = schema.get("items") {
        defaults_in_lists(items, &format!("{path}[]"), true, found);
    }
    if let Some(values) = schema.get("additionalProperties") {
        defaults_in_lists(values, &format!("{path}.*"), is_in_list, found);
    }
}

/// Argo CD and Flux compare what was applied with what is there, and lists as a whole: an entry into which the API server
/// has written a default would differ for ever.
#[test]
fn no_entry_of_a_list_that_users_write_is_given_a_default() {
    for definition in [
        Certificate::crd(),
        CertificateShard::crd(),
        ClusterIssuer::crd(),
        Issuer::crd(),
    ] {
        let kind = definition.spec.names.kind.clone();
        let definition = serde_json::to_value(definition).unwrap();
        let versions = definition["spec"]["versions"].as_array().unwrap();
        assert!(!versions.is_empty(), "{kind}");
        for version in versions {
            let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
            assert!(spec["properties"].is_object(), "{kind} has no spec");
            let mut found = Vec::new();
            defaults_in_lists(spec, "spec", false, &mut found);
            assert!(found.is_empty(), "{kind} has defaults in lists: {found:?}");
        }
    }
}

#[test]
fn a_default_in_a_list_is_found_however_deep_it_lies() {
    let own = json!({ "type": "string", "default": "a" });
    let entry = json!({ "properties": { "default": { "type": "string" }, "own": own } });
    let schema = json!({ "properties": {
        "alone": own,
        "listed": { "items": { "properties": { "deep": entry } } },
        "words": { "items": own },
        "map": { "additionalProperties": { "items": entry } },
    } });
    let mut found = Vec::new();
    defaults_in_lists(&schema, "spec", false, &mut found);
    found.sort_unstable();
    assert_eq!(
        found,
        ["spec.listed[].deep.own", "spec.map.*[].own", "spec.words[]"]
    );
}
