//! A Gateway, as far as it is read here (Gateway API, `gateway.networking.k8s.io/v1`). It is never written, so that what
//! is left out is not lost; words are texts, so that one that is new does no harm.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// The API that is asked for.
pub(super) const API_VERSION: &str = "gateway.networking.k8s.io/v1";

/// What is read of a Gateway.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "Gateway",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GatewaySpec {
    pub(super) listeners: Vec<Listener>,
}

/// A listener.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) hostname: Option<String>,
    pub(super) protocol: String,
    pub(super) tls: Option<ListenerTls>,
}

/// How a listener ends TLS.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListenerTls {
    /// `Terminate` if left out.
    pub(super) mode: Option<String>,
    pub(super) certificate_refs: Vec<CertificateRef>,
}

/// A reference to what holds a certificate.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CertificateRef {
    /// The core group if left out.
    pub(super) group: Option<String>,
    /// `Secret` if left out.
    pub(super) kind: Option<String>,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
}
