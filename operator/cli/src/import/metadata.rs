//! What a manifest has of an object's metadata, and what is left out. Pure.

use sancho::annotated::tracking::is_tracking_label;
use serde_json::{Map, Value, json};

/// It says who manages cert-manager's object.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// kubectl's own record of what it has applied, which makes no difference.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A manifest with the name, the namespace and the labels of `object`. What is left out is remarked.
pub fn with_name_of(object: &Value, kind: &str, spec: Value, remarks: &mut Vec<String>) -> Value {
    let mut metadata = json!({ "name": object["metadata"]["name"] });
    if let Some(namespace) = object["metadata"].get("namespace") {
        metadata["namespace"] = namespace.clone();
    }
    let mut labels = pairs(object, "labels");
    labels.retain(|key, _| {
        let Some(why) = why_not(key) else {
            return true;
        };
        remarks.push(format!("metadata.labels: {key} is left out: {why}"));
        false
    });
    if !labels.is_empty() {
        metadata["labels"] = labels.into();
    }
    let annotations = pairs(object, "annotations");
    let left_out = annotations.keys().filter(|key| *key != LAST_APPLIED);
    remarks.extend(left_out.map(|key| {
        format!("metadata.annotations: {key} is left out: write it into the manifest if it is meant for Sancho's {kind}")
    }));
    json!({
        "apiVersion": "sancho.dev/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    })
}

fn pairs(object: &Value, field: &str) -> Map<String, Value> {
    let pairs = object["metadata"][field].as_object();
    pairs.cloned().unwrap_or_default()
}

/// Why a label is not taken over, if it is not.
fn why_not(label: &str) -> Option<&'static str> {
    if is_tracking_label(label) {
        return Some(
            "a GitOps tool would take Sancho's object for one of its own that is not in Git, and delete it",
        );
    }
    (label == MANAGED_BY).then_some("it is about cert-manager's object")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_gitops_tools_and_annotations_are_left_out_and_named() {
        let object = json!({ "metadata": {
            "name": "shop", "namespace": "web", "resourceVersion": "5",
            "labels": {
                "team": "shop",
                "app.kubernetes.io/instance": "shop",
                "app.kubernetes.io/managed-by": "Helm",
                "argocd.argoproj.io/instance": "shop",
            },
            "annotations": {
                "argocd.argoproj.io/tracking-id": "shop:cert-manager.io/Certificate:web/shop",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "note": "of a user",
            },
        } });
        let mut remarks = Vec::new();
        let manifest = with_name_of(&object, "Certificate", json!({}), &mut remarks);
        assert_eq!(
            manifest["metadata"],
            json!({ "name": "shop", "namespace": "web", "labels": { "team": "shop" } })
        );
        let named: Vec<&str> = remarks
            .iter()
            .filter_map(|remark| Some(remark.split_once(" is left out: ")?.0))
            .collect();
        assert_eq!(
            named,
            [
                "metadata.labels: app.kubernetes.io/instance",
                "metadata.labels: app.kubernetes.io/managed-by",
                "metadata.labels: argocd.argoproj.io/instance",
                "metadata.annotations: argocd.argoproj.io/tracking-id",
                "metadata.annotations: note",
            ]
        );
    }

    #[test]
    fn where_nothing_is_left_out_nothing_is_remarked() {
        let mut remarks = Vec::new();
        let object = json!({ "metadata": { "name": "ca" } });
        let manifest = with_name_of(&object, "ClusterIssuer", json!({}), &mut remarks);
        assert_eq!(manifest["metadata"], json!({ "name": "ca" }));
        assert_eq!(remarks, Vec::<String>::new());
    }
}
