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

/// Keystores: certificate and key in one file with a password.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Keystores {
    /// PKCS#12, as `keystore.p12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pkcs12: Option<Pkcs12Keystore>,
    /// Java's own format, as `keystore.jks`, for programs that read no other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jks: Option<JksKeystore>,
}

impl Keystores {
    /// The PKCS#12 keystore, if it is to be made.
    pub fn pkcs12(&self) -> Option<&Pkcs12Keystore> {
        self.pkcs12.as_ref().filter(|pkcs12| pkcs12.create)
    }

    /// The keystore in Java's own format, if it is to be made.
    pub fn jks(&self) -> Option<&JksKeystore> {
        self.jks.as_ref().filter(|jks| jks.create)
    }
}

/// A PKCS#12 keystore.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Pkcs12Keystore {
    /// Whether it is made.
    pub create: bool,
    /// Where its password is.
    pub password_secret_ref: KeystorePasswordRef,
    /// How it is encrypted; `Modern2023` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Pkcs12Profile>,
}

/// A keystore in Java's own format (JKS). The password is at least 6 characters of ASCII. The format protects the key by
/// SHA-1 alone: take `pkcs12` where you can.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JksKeystore {
    /// Whether it is made.
    pub create: bool,
    /// Where its password is.
    pub password_secret_ref: KeystorePasswordRef,
    /// The name of the entry; `certificate` if left out. Java tells no capitals apart.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

impl JksKeystore {
    /// The name of the entry.
    pub fn alias(&self) -> &str {
        self.alias.as_deref().unwrap_or("certificate")
    }
}

/// A field of a Secret of the Certificate's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct KeystorePasswordRef {
    /// The Secret's name.
    #[schemars(schema_with = "crate::rules::object_name")]
    pub name: String,
    /// The field; `password` if left out.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl KeystorePasswordRef {
    /// The field.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("password")
    }
}

/// How a PKCS#12 file is encrypted. `Modern2023`: AES-256-CBC with PBKDF2 and HMAC-SHA-256.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pkcs12Profile {
    /// AES-256-CBC with PBKDF2 and HMAC-SHA-256, as Java from 8u301 on and OpenSSL 3 write it.
    Modern2023,
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
