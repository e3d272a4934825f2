//! What the Secrets of certificates have besides certificate and key.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Labels and annotations of the Secrets.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate {
    /// Labels. Those of `sancho.dev` are Sancho's own, those of `cert-manager.io` cert-manager's.
    #[schemars(schema_with = "crate::rules::template_labels")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations. Those of `sancho.dev` are Sancho's own, those of `cert-manager.io` cert-manager's, but for
    /// `cert-manager.io/allow-direct-injection`.
    #[schemars(schema_with = "crate::rules::template_annotations")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
