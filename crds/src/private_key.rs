//! The private keys that certificates are for.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Which private key a certificate is for. An edit of `algorithm` or `size` re-issues; one of
/// `rotationPolicy` does not.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.size) || has(self.algorithm)")
    .message("size without algorithm: write ECDSA or RSA as algorithm too"))]
#[x_kube(validation = Rule::new("!has(self.size) || !has(self.algorithm) || self.algorithm != 'ECDSA' || self.size in [256, 384]")
    .message("an ECDSA key's size is 256 or 384: write one of them, or leave size out for 256"))]
#[x_kube(validation = Rule::new("!has(self.size) || !has(self.algorithm) || self.algorithm != 'RSA' || self.size in [2048, 3072, 4096]")
    .message("an RSA key's size is 2048, 3072 or 4096: write one of them, or leave size out for 2048"))]
#[x_kube(validation = Rule::new("!has(self.size) || !has(self.algorithm) || self.algorithm != 'Ed25519'")
    .message("an Ed25519 key has one size only: leave size out"))]
pub struct PrivateKey {
    /// `ECDSA` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<KeyAlgorithm>,
    /// Bits: 256 (if left out) or 384 for ECDSA; 2048 (if left out), 3072 or 4096 for RSA; none for Ed25519.
    #[schemars(range(min = 256, max = 4096))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// `Always` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_policy: Option<RotationPolicy>,
}

/// A signature algorithm. No public CA is known to take Ed25519.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// On the NIST curves P-256 or P-384.
    #[serde(rename = "ECDSA")]
    Ecdsa,
    /// With the public exponent 65537.
    #[serde(rename = "RSA")]
    Rsa,
    /// RFC 8032.
    Ed25519,
}

/// What becomes of the key at a renewal.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationPolicy {
    /// Each certificate has a new key.
    Always,
    /// The key in the Secret is used again as long as it has the algorithm and size that are asked for.
    Never,
}
