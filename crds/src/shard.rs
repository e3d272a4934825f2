//! `CertificateShard`: a stable group of a Certificate's names with one Secret. Made by Sancho.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::certificate::IssuerRef;

/// A stable group of a Certificate's names with one Secret. Sancho makes, changes and retires
/// these; users read them.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "sancho.dev",
    version = "v1alpha1",
    kind = "CertificateShard",
    namespaced,
    category = "sancho",
    status = "CertificateShardStatus",
    derive = "PartialEq",
    doc = "A stable group of a Certificate's names with one Secret. Sancho makes, changes and retires these; users read them.",
    printcolumn(name = "Certificate", type_ = "string", json_path = ".spec.certificate"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Secret", type_ = "string", json_path = ".spec.secretName"),
    printcolumn(
        name = "Stage",
        type_ = "string",
        description = "where the order under way stands",
        json_path = ".status.order.stage"
    ),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.issued.notAfter"),
    printcolumn(
        name = "Holder",
        type_ = "string",
        description = "the replica that works on it",
        priority = 1,
        json_path = ".status.claim.holder"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CertificateShardSpec {
    /// The Certificate that owns it.
    pub certificate: String,
    /// The sharding group, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its number within the Certificate or the group, from 0.
    pub index: u32,
    /// The Secret that it writes.
    #[schemars(schema_with = "crate::rules::object_name")]
    pub secret_name: String,
    /// The issuer that certifies its names.
    pub issuer_ref: IssuerRef,
    /// Its names, sorted.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253)))]
    pub dns_names: Vec<String>,
    /// How long before expiry it is renewed, as a Go duration.
    #[schemars(schema_with = "crate::rules::duration")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
}

/// Where a shard stands.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct CertificateShardStatus {
    /// The `metadata.generation` that this status speaks of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling`, `Stalled`, `Renewing`, `RateLimited`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The replica that works on it. Counts only while that replica holds a slot of the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The order under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderStatus>,
    /// The certificate in the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<IssuedStatus>,
    /// What went wrong last, and when it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<ShardFailure>,
    /// Orders that were recorded for this shard since it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<u32>,
}

/// Who works on a shard.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The replica: pod name and process id, as in the budget's Lease.
    pub holder: String,
}

/// An order under way: what a resume needs. Recorded before the step that depends on it.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatus {
    /// A hash of what the order is for (names, issuer, account); an order for something else is dropped.
    pub target: String,
    /// Where it stands: `New`, `Pending`, `Ready`, `Processing`, `Valid`, `Invalid`.
    pub stage: String,
    /// The order's URL; absent until the CA's answer to newOrder is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The order's finalize URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalize_url: Option<String>,
    /// The issued certificate's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_url: Option<String>,
    /// When the order expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// The order's authorizations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorizations: Vec<AuthorizationStatus>,
    /// How often the order was polled since it last moved.
    #[serde(default)]
    pub polls: u32,
    /// Nothing is asked of the CA before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
}

/// One authorization of an order.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationStatus {
    /// The authorization's URL.
    pub url: String,
    /// `Unknown` (not fetched yet), `Pending`, `Answered`, `Valid`, `Invalid`.
    pub state: String,
    /// The DNS name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The HTTP-01 challenge's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_url: Option<String>,
    /// The HTTP-01 challenge's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the CA says was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The certificate in a shard's Secret.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IssuedStatus {
    /// A hash of what it was issued for (names, issuer, account).
    pub target: String,
    /// Hexadecimal SHA-256 of `tls.crt`.
    pub fingerprint: String,
    /// Start of its validity.
    pub not_before: Time,
    /// End of its validity.
    pub not_after: Time,
    /// When it is renewed.
    pub renewal_time: Time,
}

/// What went wrong last.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ShardFailure {
    /// A CamelCase reason.
    pub reason: String,
    /// The CA's own words, bounded and escaped, or ours.
    pub message: String,
    /// What the failed attempt was for; another target is tried at once.
    pub target: String,
    /// How often in a row.
    pub count: u32,
    /// When it is tried again.
    pub retry_time: Time,
}
