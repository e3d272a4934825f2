//! CustomResourceDefinitions → the page of all fields: a section for each kind, a table each of its spec and its status.

use std::fmt::Write;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

const HEAD: &str = "\
<!-- Generated from crds/src by `cargo crdgen`. Do not edit. -->

# API reference

Every field of the API `sancho.dev/v1alpha1`. `[]` stands for each entry of a list. *required* means: where the object
around it is given. What else is asked of a value is refused by the API server with a message that says how to mend it.
";

/// The page, as Markdown.
///
/// # Errors
/// When a definition has no schema.
pub fn page(definitions: &[CustomResourceDefinition]) -> Result<String> {
    let mut text = HEAD.to_owned();
    for definition in definitions {
        section(&mut text, definition)?;
    }
    Ok(text)
}

fn section(text: &mut String, definition: &CustomResourceDefinition) -> Result<()> {
    let names = &definition.spec.names;
    let schema = definition
        .spec
        .versions
        .first()
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
        .with_context(|| format!("{} has no schema", names.kind))?;
    let mut facts = vec![match definition.spec.scope.as_str() {
        "Namespaced" => "In a namespace".to_owned(),
        _ => "Of the whole cluster".to_owned(),
    }];
    facts.push(format!(
        "`kubectl get {}.{}`",
        names.plural, definition.spec.group
    ));
    let short = names.short_names.iter().flatten();
    facts.extend(short.map(|name| format!("short `{name}`")));
    writeln!(text, "\n## {}\n\n{}", names.kind, described(schema))?;
    writeln!(text, "\n{}.", facts.join(", "))?;
    for part in ["spec", "status"] {
        let Some(schema) = schema.properties.as_ref().and_then(|all| all.get(part)) else {
            continue;
        };
        writeln!(text, "\n### {} {part}\n", names.kind)?;
        writeln!(text, "| field of `{part}` | type | what it is |\n|---|---|---|")?;
        rows(text, "", schema)?;
    }
    Ok(())
}

/// A row for each field below `schema`, an object, whose own path is `path`.
fn rows(text: &mut String, path: &str, schema: &JSONSchemaProps) -> Result<()> {
    for (name, field) in schema.properties.iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let is_required = schema.required.iter().flatten().any(|required| required == name);
        let required = if is_required { ", *required*" } else { "" };
        let kind = kind(field);
        writeln!(
            text,
            "| `{path}` | {kind}{required} | {}{} |",
            described(field),
            bounds(field)
        )?;
        match &field.items {
            // Kubernetes' own, and the same everywhere.
            _ if name == "conditions" => {}
            Some(JSONSchemaPropsOrArray::Schema(item)) => rows(text, &format!("{path}[]"), item)?,
            _ => rows(text, &path, field)?,
        }
    }
    Ok(())
}

/// In words of YAML's: `list of text`, `one of …`.
fn kind(schema: &JSONSchemaProps) -> String {
    if let Some(words) = &schema.enum_ {
        let words = words.iter().filter_map(|word| word.0.as_str());
        let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
        return format!("one of {}", words.join(", "));
    }
    match (schema.type_.as_deref(), &schema.items) {
        (Some("array"), Some(JSONSchemaPropsOrArray::Schema(item))) => format!("list of {}", kind(item)),
        (Some("object"), _) => match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(value)) => format!("map to {}", kind(value)),
            _ => "object".to_owned(),
        },
        (Some("string"), _) if schema.format.as_deref() == Some("date-time") => "time".to_owned(),
        (Some("string"), _) => "text".to_owned(),
        (Some(other), _) => other.to_owned(),
        (None, _) => "any".to_owned(),
    }
}

/// The bounds of a number.
fn bounds(schema: &JSONSchemaProps) -> String {
    match (schema.minimum, schema.maximum) {
        (Some(least), Some(most)) if most < f64::from(u32::MAX) => format!(" ({least} to {most})"),
        _ => String::new(),
    }
}

/// The description in one line that may stand in a table.
fn described(schema: &JSONSchemaProps) -> String {
    let words = schema.description.as_deref().unwrap_or_default();
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    // What looks like a tag would be taken for one, but for code.
    let parts = line.split('`').enumerate();
    let escaped: Vec<String> = parts
        .map(|(number, part)| match number % 2 {
            0 => part.replace('<', "&lt;").replace('|', "\\|"),
            _ => part.replace('|', "\\|"),
        })
        .collect();
    escaped.join("`")
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;
    use sancho_crds::{Certificate, ClusterIssuer};

    use super::*;

    #[test]
    fn each_field_has_a_row_with_its_type_and_what_is_said_of_it() {
        let page = page(&[Certificate::crd(), ClusterIssuer::crd()]).unwrap();
        for row in [
            "| `secretName` | text, *required* | The Secret of the first shard.",
            "| `additionalOutputFormats[].type` | one of `CombinedPEM`, `DER`, *required* |",
            "| `sharding.groups[].dnsNames` | list of text, *required* |",
            "| `acme.solvers[].http01.gatewayHTTPRoute.parentRefs[].name` | text, *required* |",
            "| `secretTemplate.labels` | map to text |",
            "| `notAfter` | time |",
            "1 to 100. (1 to 100) |",
        ] {
            assert!(page.contains(row), "no {row} in\n{page}");
        }
        let undescribed: Vec<&str> = page.lines().filter(|line| line.ends_with("|  |")).collect();
        assert!(undescribed.is_empty(), "{undescribed:?} say nothing");
        assert!(!page.contains("lastTransitionTime"));
    }
}
