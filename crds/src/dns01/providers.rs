//! Providers of DNS, whose APIs write the records. Field names are cert-manager's.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::SecretKeySelector;

/// Cloudflare's API.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.apiTokenSecretRef) != has(self.apiKeySecretRef)")
    .message("name one credential: apiTokenSecretRef with an API token that may read zones and edit their DNS, or email and apiKeySecretRef with the account's global key"))]
#[x_kube(validation = Rule::new("!has(self.apiKeySecretRef) || has(self.email)")
    .message("a global key is one of an account: write its email beside apiKeySecretRef, or use apiTokenSecretRef"))]
pub struct Cloudflare {
    /// An API token with the permissions Zone:Read and DNS:Edit for the zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_token_secret_ref: Option<SecretKeySelector>,
    /// The global API key of an account, which may do everything. A token is the better choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeySelector>,
    /// The account that the global key is of.
    #[schemars(length(min = 1, max = 254))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Amazon Route 53's API.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretAccessKeySecretRef) && has(self.accessKeyID) != has(self.accessKeyIDSecretRef)")
    .message("write accessKeyID or accessKeyIDSecretRef, and secretAccessKeySecretRef: Sancho has no ambient credentials (IRSA, Pod Identity, instance profiles) and assumes no role"))]
pub struct Route53 {
    /// The region. Route 53 has none; of use in China (`cn-…`) and GovCloud (`us-gov-…`), which have a service of their
    /// own.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9-]+$')")
        .message("not a region: write one such as us-east-1, or leave it out"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The hosted zone that records are written to. Found by the domain's name if left out, which takes the permission
    /// route53:ListHostedZonesByName.
    #[schemars(length(min = 1, max = 48))]
    #[x_kube(validation = Rule::new("self.matches('^(/hostedzone/)?[A-Z0-9]+$')")
        .message("not the ID of a hosted zone: write it as in Z2FDTNDATAQYW2, or leave it out"))]
    #[serde(default, rename = "hostedZoneID", skip_serializing_if = "Option::is_none")]
    pub hosted_zone_id: Option<String>,
    /// The ID of an access key that has the permissions route53:ChangeResourceRecordSets and
    /// route53:ListResourceRecordSets for the zones.
    #[schemars(length(min = 16, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Z0-9]+$')")
        .message("not the ID of an access key: write it as in AKIAIOSFODNN7EXAMPLE"))]
    #[serde(default, rename = "accessKeyID", skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The same, in a Secret.
    #[serde(
        default,
        rename = "accessKeyIDSecretRef",
        skip_serializing_if = "Option::is_none"
    )]
    pub access_key_id_secret_ref: Option<SecretKeySelector>,
    /// The access key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_secret_ref: Option<SecretKeySelector>,
}
