//! Has the API server judge manifests by dry runs, as they are written.

use anyhow::{Context, Result};
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Cluster;
use super::words::{Verdict, explained, verdict};

/// Nothing is written, and a field that the kind does not have is refused, as kubectl has it refused.
const HOW: &str = "dryRun=All&fieldValidation=Strict&fieldManager=kubectl-sancho";
/// What of an object's metadata is the API server's own.
const ITS_OWN: [&str; 5] = [
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "managedFields",
];

impl Cluster {
    /// What the API server would make of `manifest` in the place of `present`, if that is there; or why it would not. It
    /// writes nothing.
    ///
    /// # Errors
    /// When it does not judge it at all.
    pub async fn judge<K>(
        &self,
        manifest: &Value,
        namespace: Option<&str>,
        present: Option<&ObjectMeta>,
    ) -> Result<Result<K, Verdict>>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let all = K::url_path(&(), namespace);
        let (method, path) = match present.and_then(|present| present.name.as_deref()) {
            Some(name) => (Method::PUT, format!("{all}/{name}")),
            None => (Method::POST, all),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?{HOW}"))
            .header(CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&in_place_of(manifest, present))?)?;
        match self.client.request::<Value>(request).await {
            Ok(object) => {
                let read: serde_json::Result<K> = serde_json::from_value(object);
                Ok(Ok(read.context(
                    "the API server's CRDs know more than this plugin: take one of their version",
                )?))
            }
            Err(kube::Error::Api(status)) => match verdict(&status) {
                Some(verdict) => Ok(Err(verdict)),
                None => Err(explained(kube::Error::Api(status))),
            },
            Err(error) => Err(explained(error)),
        }
    }
}

/// `manifest` with what `present` has besides: what the API server keeps, labels and annotations.
pub fn in_place_of(manifest: &Value, present: Option<&ObjectMeta>) -> Value {
    let mut whole = manifest.clone();
    let Some(Value::Object(present)) = present.map(|present| json!(present)) else {
        return whole;
    };
    if let Some(metadata) = whole.get_mut("metadata").and_then(Value::as_object_mut) {
        for (field, before) in present {
            let written = metadata.remove(&field).unwrap_or_default();
            let merged = merged(&field, written, before);
            metadata.insert(field, merged);
        }
    }
    whole
}

/// What is written stands, for the API server to judge, but for what is its own.
fn merged(field: &str, written: Value, before: Value) -> Value {
    match (written, before) {
        (Value::Null, before) => before,
        (_, before) if ITS_OWN.contains(&field) => before,
        (Value::Object(mut pairs), Value::Object(before)) if ["labels", "annotations"].contains(&field) => {
            for (key, value) in before {
                pairs.entry(key).or_insert(value);
            }
            Value::Object(pairs)
        }
        (written, _) => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stays_and_what_the_api_server_keeps_is_added() {
        let present: ObjectMeta = serde_json::from_value(json!({
            "name": "shop", "namespace": "web", "resourceVersion": "7", "uid": "u",
            "labels": { "team": "old", "tier": "front" },
            "annotations": { "sancho.dev/paused": "true" },
        }))
        .unwrap();
        let manifest = json!({
            "kind": "Certificate",
            "metadata": {
                "name": "shop", "resourceVersion": "3", "lables": {}, "labels": { "team": "new" },
                "annotations": ["no pairs"],
            },
            "spec": { "shardng": {} },
        });
        assert_eq!(in_place_of(&manifest, None), manifest);
        assert_eq!(
            in_place_of(&manifest, Some(&present)),
            json!({
                "kind": "Certificate",
                "metadata": {
                    "name": "shop", "namespace": "web", "resourceVersion": "7", "uid": "u", "lables": {},
                    "labels": { "team": "new", "tier": "front" },
                    "annotations": ["no pairs"],
                },
                "spec": { "shardng": {} },
            })
        );
        let without = json!({ "metadata": { "name": "shop", "labels": null } });
        let whole = in_place_of(&without, Some(&present));
        assert_eq!(whole["metadata"]["labels"]["team"], "old");
        assert_eq!(whole["metadata"]["annotations"]["sancho.dev/paused"], "true");
    }
}
