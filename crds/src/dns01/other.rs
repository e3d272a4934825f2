//! Providers of DNS by one form: those at which each value is changed on its own, and that a token lets in.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretKeySelector;

/// The API of a provider that has no form of its own.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.accountID) == (self.name == 'dnsimple')")
    .message("accountID belongs to dnsimple alone, which needs it: write the number that follows /a/ in the address of its pages, or take it out for another provider"))]
pub struct OtherProvider {
    /// Which one.
    pub name: ProviderName,
    /// A token that may read and write the zones' records: in the namespace of an Issuer, beside a ClusterIssuer in the
    /// operator's own.
    pub token_secret_ref: SecretKeySelector,
    /// The account at DNSimple that has the zones.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]+$')")
        .message("not the ID of an account: write the number that follows /a/ in the address of DNSimple's pages, as in '1010'"))]
    #[serde(default, rename = "accountID", skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
}

/// A provider that has no form of its own.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum ProviderName {
    /// DigitalOcean.
    DigitalOcean,
    /// DNSimple.
    DnSimple,
    /// Hetzner, zones of its Console (Cloud API).
    Hetzner,
    /// Linode (Akamai Cloud).
    Linode,
    /// Scaleway.
    Scaleway,
    /// Vultr.
    Vultr,
}
