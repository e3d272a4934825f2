//! How TXT records for DNS-01 challenges are written. Field names are cert-manager's.

mod other;
mod providers;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

pub use self::other::{OtherProvider, ProviderName};
pub use self::providers::{
    AcmeDns, AzureDns, AzureEnvironment, CloudDns, Cloudflare, HttpReq, Route53, Webhook, WebhookConfig,
};

/// By a TXT record at `_acme-challenge.NAME` (RFC 8555 §8.4): the way for wildcards, and for hosts that no CA reaches. Where
/// a CNAME stands there, the record is written where it leads.
///
/// Credentials are in Secrets: in the namespace of an Issuer, beside a ClusterIssuer in the operator's own.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[x_kube(validation = Rule::new("[has(self.rfc2136), has(self.cloudflare), has(self.route53), has(self.cloudDNS), has(self.azureDNS), has(self.httpreq), has(self.acmeDNS), has(self.provider), has(self.webhook)].filter(way, way).size() == 1")
    .message("say in one way how records are written: rfc2136: { nameserver: 192.0.2.53, tsigKeyName: …, tsigSecretSecretRef: … }, cloudflare: { apiTokenSecretRef: … }, route53: { accessKeyIDSecretRef: …, secretAccessKeySecretRef: … }, cloudDNS, azureDNS, provider: { name: digitalocean, tokenSecretRef: … }, httpreq, acmeDNS or webhook"))]
pub struct Dns01 {
    /// Whether a CNAME at `_acme-challenge.NAME` is followed. If this is left out, one that was written there is, and one that a
    /// wildcard (`*.example.com CNAME …`) makes for the name is not.
    #[serde(default, rename = "cnameStrategy", skip_serializing_if = "Option::is_none")]
    pub cname_strategy: Option<CnameStrategy>,
    /// By dynamic updates (RFC 2136), as BIND, Knot, PowerDNS and others take them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rfc2136: Option<Rfc2136>,
    /// By the API of Cloudflare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloudflare: Option<Cloudflare>,
    /// By the API of Amazon Route 53.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route53: Option<Route53>,
    /// By the API of Google Cloud DNS.
    #[serde(default, rename = "cloudDNS", skip_serializing_if = "Option::is_none")]
    pub cloud_dns: Option<CloudDns>,
    /// By the API of Azure DNS.
    #[serde(default, rename = "azureDNS", skip_serializing_if = "Option::is_none")]
    pub azure_dns: Option<AzureDns>,
    /// By an HTTPS server of your own that speaks lego's httpreq.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub httpreq: Option<HttpReq>,
    /// By acme-dns, to which a CNAME at `_acme-challenge.NAME` leads.
    #[serde(default, rename = "acmeDNS", skip_serializing_if = "Option::is_none")]
    pub acme_dns: Option<AcmeDns>,
    /// By the API of another provider, which has no form of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<OtherProvider>,
    /// By a webhook that was written for cert-manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// Whether a CNAME at the name of a record is followed.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
pub enum CnameStrategy {
    /// None is: the record is written at the name itself.
    #[serde(rename = "None")]
    Never,
    /// Each one is, that of a wildcard too.
    Follow,
}

/// Dynamic updates of a DNS server (RFC 2136).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.tsigKeyName) == has(self.tsigSecretSecretRef)")
    .message("tsigKeyName and tsigSecretSecretRef belong together: write both, or neither for a server that takes unsigned updates"))]
pub struct Rfc2136 {
    /// The server that takes updates of the zones, most often their primary: an address or a host name, with `:PORT`
    /// if that is not 53. An IPv6 address with a port stands in brackets.
    #[schemars(length(min = 1, max = 261))]
    #[x_kube(validation = Rule::new("!self.contains('/') && !self.contains(' ')")
        .message("an address or a host name, with the port if it is not 53: write it as in 192.0.2.53 or ns.example.com:5353"))]
    pub nameserver: String,
    /// Which transport updates are sent by. `UDP` if left out; what does not fit goes by TCP all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<UpdateProtocol>,
    /// The name of the TSIG key (RFC 8945) that updates are signed with, as the server knows it.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsig_key_name: Option<String>,
    /// The key's algorithm, as the server knows it. `HMACSHA256` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsig_algorithm: Option<TsigAlgorithm>,
    /// The key itself, in base64 as in the server's configuration: in the namespace of an Issuer, beside a
    /// ClusterIssuer in the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsig_secret_secret_ref: Option<SecretKeySelector>,
}

/// Which transport updates are sent by.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
pub enum UpdateProtocol {
    /// UDP, as far as it holds them.
    #[serde(rename = "UDP")]
    Udp,
    /// TCP always.
    #[serde(rename = "TCP")]
    Tcp,
}

/// The algorithm of a TSIG key.
#[derive(
    schemars::JsonSchema,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
)]
pub enum TsigAlgorithm {
    /// `hmac-sha256`.
    #[default]
    #[serde(rename = "HMACSHA256")]
    HmacSha256,
    /// `hmac-sha384`.
    #[serde(rename = "HMACSHA384")]
    HmacSha384,
    /// `hmac-sha512`.
    #[serde(rename = "HMACSHA512")]
    HmacSha512,
}

/// A field of a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretKeySelector {
    /// The Secret's name.
    #[schemars(schema_with = "crate::rules::object_name")]
    pub name: String,
    /// The field.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
