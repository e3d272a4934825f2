//! Routes for HTTP-01 that Sancho writes itself: Ingresses and HTTPRoutes.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// One Ingress for each shard whose order is under way, in the operator's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.ingressClassName) && has(self.class))")
    .message("class is the older annotation kubernetes.io/ingress.class: leave out either it or ingressClassName"))]
pub struct IngressRoute {
    /// The IngressClass; the cluster's default one if left out.
    #[schemars(schema_with = "crate::rules::optional_object_name")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_class_name: Option<String>,
    /// The annotation `kubernetes.io/ingress.class` in its place, for controllers that read it still.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// What the Ingress has besides its rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_template: Option<IngressTemplate>,
}

/// What an Ingress has besides its rules.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub struct IngressTemplate {
    /// Labels and annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<RouteMetadata>,
}

/// Labels and annotations of a route.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub struct RouteMetadata {
    /// Labels. Those of `sancho.dev` are Sancho's own.
    #[schemars(schema_with = "crate::rules::route_labels")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations, which many controllers are told their settings by. Those of `sancho.dev` are Sancho's own.
    #[schemars(schema_with = "crate::rules::route_annotations")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// HTTPRoutes of up to 16 host names each for a shard whose order is under way, in the operator's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRoute {
    /// The Gateways whose listeners for HTTP on port 80 take the routes. Their `allowedRoutes` must admit the
    /// operator's namespace.
    #[schemars(length(min = 1, max = 32))]
    pub parent_refs: Vec<ParentRef>,
    /// Labels of the HTTPRoutes. Those of `sancho.dev` are Sancho's own.
    #[schemars(schema_with = "crate::rules::route_labels")]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A Gateway, or one of its listeners, as an HTTPRoute names it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// The API group; `gateway.networking.k8s.io` if left out.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The kind; `Gateway` if left out.
    #[schemars(length(min = 1, max = 63))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its namespace; that of the Certificate if left out.
    #[schemars(length(min = 1, max = 63))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    #[schemars(schema_with = "crate::rules::object_name")]
    pub name: String,
    /// One of its listeners; all that fit if left out.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// The listeners on this port; all that fit if left out.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}
