//! `CertificateShard`: a stable group of a Certificate's names with one Secret. Made by Sancho.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::certificate::{IssuerRef, NamePolicy, SecretDeletionPolicy};
use crate::private_key::PrivateKey;
use crate::revocation::{RevocationReason, RevocationStatus};
use crate::secret_form::{AdditionalOutputFormat, Keystores, SecretTemplate};

/// A stable group of a Certificate's names with one Secret. Sancho makes, changes and retires
/// these; users read them.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
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
    /// Its DNS names, sorted.
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<String>,
    /// Its IP addresses, sorted.
    #[schemars(length(max = 100), inner(length(min = 1, max = 45)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_addresses: Vec<String>,
    /// Names that its certificate serves and that other shards are to have: it keeps them until those serve them.
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_names: Vec<String>,
    /// How long its certificate is to be valid, as a Go duration.
    #[schemars(schema_with = "crate::rules::duration")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// How long before expiry it is renewed, as a Go duration.
    #[schemars(schema_with = "crate::rules::duration")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
    /// The same as a percentage of the lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before_percentage: Option<u32>,
    /// Which of the CA's profiles its certificate is to have, if the Certificate names one.
    #[schemars(schema_with = "crate::rules::profile")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// A hash of the Certificate's annotation `sancho.dev/retry`: another one has what failed tried again at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKey>,
    /// Labels and annotations of its Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate>,
    /// Further forms in which its Secret holds certificate and key.
    #[schemars(
        length(max = 2),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_output_formats: Vec<AdditionalOutputFormat>,
    /// Keystores in its Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keystores: Option<Keystores>,
    /// What is done about a name that cannot be validated; `Quarantine` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<NamePolicy>,
    /// A hash of the Certificate's annotation `sancho.dev/renew`: another one has the certificate renewed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew: Option<String>,
    /// Whether the Certificate has the annotation `sancho.dev/paused`: then no order is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Whether the Certificate has the annotation `sancho.dev/adopt`: then a Secret that somebody else made may be taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<bool>,
    /// What becomes of its Secret when it is retired or its Certificate deleted; `Retain` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_deletion_policy: Option<SecretDeletionPolicy>,
    /// Why its certificate is to be revoked, if the Certificate's annotation `sancho.dev/revoke` asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke: Option<RevocationReason>,
}

impl CertificateShardSpec {
    /// All names that its certificate is to have: its own, and those that it keeps. No text stands there twice.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.own_names();
        names.extend(self.kept_names.iter().cloned());
        names
    }

    /// The names that the plan gives it: DNS names, then addresses.
    pub fn own_names(&self) -> Vec<String> {
        self.dns_names.iter().chain(&self.ip_addresses).cloned().collect()
    }

    /// How many names the plan gives it; none once it is only there for those that it keeps.
    pub fn name_count(&self) -> usize {
        self.dns_names.len() + self.ip_addresses.len()
    }
}

/// Where a shard stands.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct CertificateShardStatus {
    /// The `metadata.generation` that this status speaks of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Degraded`, `Revoking`; `Reconciling`, `Stalled`, `Renewing` and `RateLimited` only while they are so;
    /// `KeystoreReady` once a keystore that is asked for could not be made.
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
    /// The Secret that the certificate was recorded for. With another `spec.secretName` it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// What went wrong last, and when it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<ShardFailure>,
    /// The names that cannot be validated, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<QuarantinedName>,
    /// When names came back into the certificate between two renewals, in the last 7 days.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<Time>,
    /// What `spec.renew` was when the certificate in the Secret was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<String>,
    /// The certificate that was revoked last, or is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<RevocationStatus>,
    /// What `spec.revoke` was when it was acted on, or when the certificate in the Secret was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke_seen: Option<RevocationReason>,
    /// The TXT records that stand in DNS for its challenges, or may. Each is recorded before it is written, and until
    /// it is removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_records: Vec<PresentedRecord>,
    /// Orders that were recorded for this shard since it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<u32>,
}

/// A TXT record for a DNS-01 challenge (RFC 8555 §8.4).
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PresentedRecord {
    /// The name that is validated by it.
    pub name: String,
    /// Where it stands, CNAMEs followed.
    pub record: String,
    /// The zone that it is written to.
    pub zone: String,
    /// What it holds.
    pub value: String,
    /// Since when it is waited for: when it was recorded, held back by the provider's pace, or written.
    pub since: Time,
    /// Whether the server has said that it has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub written: bool,
    /// How often in a row it could not be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// When its removal is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Time>,
}

/// Who works on a shard.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The replica: pod name and process id, as in the budget's Lease.
    pub holder: String,
    /// It does what needs no slot, such as a look at names, until then at the latest: others leave it the shard, though it
    /// may hold no slot meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_until: Option<Time>,
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
    /// The certID of the certificate that it replaces (RFC 9773 §5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// When it was finalized, or may have been: its certificate is waited for from then on, for a day at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalized: Option<Time>,
    /// A hash of `spec.retry` and `spec.renew` when it was begun: with another one it is not waited for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// One authorization of an order.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationStatus {
    /// The authorization's URL.
    pub url: String,
    /// `Unknown` (not fetched yet), `Pending`, `Presented` (its record is seen), `Answered`, `Valid`, `Invalid`.
    pub state: String,
    /// The DNS name or the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The kind of challenge that is taken: `http-01`, also if left out, `dns-01` or `dns-persist-01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The challenge's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_url: Option<String>,
    /// The challenge's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The names that the CA goes by in a standing record, of `dns-persist-01`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuer_domain_names: Vec<String>,
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
    /// The account that it was issued for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_url: Option<String>,
    /// The name under which the CA tells when to renew it (RFC 9773).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_id: Option<String>,
    /// When the CA suggests to renew it, and when it is asked about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_info: Option<RenewalInfoStatus>,
}

/// What the CA suggests for the renewal of a certificate (RFC 9773).
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RenewalInfoStatus {
    /// The time in which the CA suggests to renew; absent as long as it has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggested_window: Option<SuggestedWindow>,
    /// The moment in the window that was chosen for this shard. `renewBefore` can make it earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_time: Option<Time>,
    /// A page of the CA that says why, bounded and escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation_url: Option<String>,
    /// When the CA is asked next, if its directory has `renewalInfo`.
    pub next_look: Time,
    /// How often in a row it was asked in vain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// Why it was in vain, bounded and escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The time in which a CA suggests to renew.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SuggestedWindow {
    /// Where it begins.
    pub start: Time,
    /// Where it ends.
    pub end: Time,
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
    /// The shard's `metadata.generation` at that time: after an edit it is tried at once, and counted anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The issuer's `metadata.generation` at that time, unless the issuer has nothing to do with it: the same after an edit
    /// of the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_generation: Option<i64>,
    /// When the issuer was created whose generation that is. One that was deleted and made anew begins with 1 again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_created: Option<Time>,
    /// The profile that the CA does not offer; another one is tried at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Set if there were too many names: how many the CA takes at most. The same names are not asked for together again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_names: Option<u32>,
    /// Set if a quota of the CA is used up that holds back other orders too, until `retryTime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<ShardQuota>,
}

/// A name that cannot be validated.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedName {
    /// The name.
    pub name: String,
    /// What becomes of it.
    pub place: QuarantinePlace,
    /// Who found that it cannot be validated.
    pub found_by: FoundBy,
    /// A CamelCase reason.
    pub reason: String,
    /// What is wrong and what can be done about it, bounded and escaped; the CA's words, if it is the CA's finding.
    pub message: String,
    /// Since when.
    pub since: Time,
    /// How often in a row it was tried in vain.
    pub count: u32,
    /// When it is tried again, or comes back.
    pub next_try: Time,
    /// The issuer's `metadata.generation` when it was tried last: after an edit of the issuer it is tried at once, and
    /// counted anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_generation: Option<i64>,
    /// When the issuer was created whose generation that is. One that was deleted and made anew begins with 1 again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_created: Option<Time>,
    /// A hash of what else bore on it then: the issuer's name, the profile and `spec.retry`. The same after an edit of
    /// these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// What becomes of a name that cannot be validated.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantinePlace {
    /// It is left out of its shard's certificate.
    Out,
    /// It stands in the certificate in use, and holds its renewal up as long as that is without risk for the others.
    Served,
    /// It can be validated again, and comes back at `nextTry`.
    Passing,
    /// It can be validated again, and is part of the next order.
    Joining,
}

/// Who found that a name cannot be validated.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// Sancho, when it looked before it asked.
    Check,
    /// The CA.
    Ca,
}

/// A quota of the CA that is used up.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ShardQuota {
    /// The account that was told so, by its URL at the CA.
    pub account: String,
    /// What it counts.
    pub scope: QuotaScope,
    /// The registered domain, or the names; none for an account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// What a quota counts.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaScope {
    /// Orders of the issuer's account.
    Account,
    /// Certificates with names of a registered domain.
    RegisteredDomain,
    /// What has to do with single names, such as failed validations.
    Names,
}
