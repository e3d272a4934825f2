//! What the Secrets of certificates have besides certificate and key.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A form more in which the Secrets hold certificate and key, under a key of its own.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AdditionalOutputFormat {
    /// Which one.
    #[serde(rename = "type")]
    pub format: OutputFormat,
}

/// `CombinedPEM`: private key and chain in one text, as `tls-combined.pem`. `DER`: the private key as binary PKCS#8, as
/// `key.der`.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum OutputFormat {
    /// `tls-combined.pem`: the private key, and after it the chain.
    #[serde(rename = "CombinedPEM")]
    CombinedPem,
    /// `key.der`: the private key as binary PKCS#8.
    #[serde(rename = "DER")]
    Der,
}

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
