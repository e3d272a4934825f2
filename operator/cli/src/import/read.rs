//! Objects from YAML or JSON, as kubectl writes them. Pure.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// All objects of a stream of documents; those of a List one by one.
///
/// # Errors
/// When a document is no YAML; it says which one.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for (number, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let value =
            Value::deserialize(document).with_context(|| format!("document {} is no YAML", number + 1))?;
        match value["items"].as_array() {
            Some(items) => found.extend(items.iter().cloned()),
            None if value.is_null() => {}
            None => found.push(value),
        }
    }
    Ok(found)
}
