//! Who may use a ClusterIssuer.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Which Certificates may use a ClusterIssuer: those that fit all that is given. What is left out fits all.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.namespaces) || has(self.domains)")
    .message("it says nothing: write namespaces, domains or both, or take allowed out, which allows all"))]
pub struct Allowed {
    /// The namespaces that Certificates may be in, by name. A `*` stands for any number of characters: `team-*`.
    #[schemars(schema_with = "crate::rules::allowed_namespaces")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// The domains that their names may be in: each with all names below it, and the wildcards above those. An IP
    /// address stands for itself.
    #[schemars(schema_with = "crate::rules::allowed_domains")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
}
