//! Names whose TXT records stand for good.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// By a TXT record at `_validation-persist.NAME` that you write once, and that stands (draft-ietf-acme-dns-persist): it says
/// which account of which CA may have certificates. Sancho writes nothing to DNS. What is to be written is told by
/// `kubectl sancho dns-records`, and by the Certificate as long as it is missing.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DnsPersist01 {
    /// Until when records are to be good, as it is told what to write: their `persistUntil`. For ever if left out. What
    /// stands in DNS may say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persist_until: Option<Time>,
}
