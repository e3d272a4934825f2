//! The fields of an object, taken out one by one, so that what nobody asked for is known in the end. Pure.

use serde_json::{Map, Value};

/// What has not been taken yet.
#[derive(Debug, Default)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Those of an object; none of anything else.
    pub fn of(value: &Value) -> Self {
        Self(value.as_object().cloned().unwrap_or_default())
    }

    /// Takes a field. An empty one counts as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !is_empty(value))
    }

    /// Takes a field whose value is a text.
    pub fn take_text(&mut self, name: &str) -> Option<String> {
        self.take(name)?.as_str().map(str::to_owned)
    }

    /// Takes the fields of an object.
    pub fn take_fields(&mut self, name: &str) -> Option<Self> {
        self.take(name).as_ref().map(Self::of)
    }

    /// Takes the fields of an object that says something by being there, even if it is empty.
    pub fn take_way(&mut self, name: &str) -> Option<Self> {
        self.0
            .remove(name)
            .filter(Value::is_object)
            .as_ref()
            .map(Self::of)
    }

    /// A remark for each field that was not taken, below `path`.
    pub fn rest(self, path: &str) -> Vec<String> {
        self.0
            .into_iter()
            .filter(|(_, value)| !is_empty(value))
            .map(|(name, _)| format!("{path}.{name} does not carry over: Sancho has nothing like it"))
            .collect()
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}
