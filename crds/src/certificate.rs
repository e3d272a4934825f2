//! `Certificate`: names, an issuer, a Secret name.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::private_key::PrivateKey;
use crate::secret_form::{AdditionalOutputFormat, Keystores, SecretTemplate};

/// On a Certificate, at a new value: what is valid is renewed at once, and stays in use until the new one is there.
pub const RENEW_ANNOTATION: &str = "sancho.dev/renew";

/// On a Certificate, at a new value: what has failed is tried again at once.
pub const RETRY_ANNOTATION: &str = "sancho.dev/retry";

/// On a Certificate, with the value `true`: Secrets that somebody else made may become its own.
pub const ADOPT_ANNOTATION: &str = "sancho.dev/adopt";

/// On a Certificate, with the value `true`: no order is begun for it.
pub const PAUSED_ANNOTATION: &str = "sancho.dev/paused";

/// What a user asks for: one or more names, the issuer that is to certify them, and the Secret
/// (the first of several, when the names are split) that receives the result.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[kube(
    group = "sancho.dev",
    version = "v1alpha1",
    kind = "Certificate",
    namespaced,
    shortname = "scert",
    category = "sancho",
    status = "CertificateStatus",
    derive = "PartialEq",
    doc = "Names that are to have TLS certificates. Sancho splits them into shards, and each shard into a Secret.",
    validation = Rule::new("size(self.metadata.name) <= 180")
        .message("metadata.name has more than 180 characters: shorten it, Sancho appends to it for each shard"),
    validation = Rule::new("!has(self.spec.duration) || !has(self.spec.renewBefore) || duration(self.spec.renewBefore) < duration(self.spec.duration)")
        .message("spec.renewBefore is not shorter than spec.duration, so certificates would be renewed without end: make it shorter"),
    validation = Rule::new("has(self.spec.dnsNames) && size(self.spec.dnsNames) > 0 || has(self.spec.ipAddresses) && size(self.spec.ipAddresses) > 0")
        .message("no names: list at least one host name in spec.dnsNames, or one address in spec.ipAddresses"),
    validation = Rule::new("!has(self.spec.renewBefore) || !has(self.spec.renewBeforePercentage)")
        .message("spec.renewBefore and spec.renewBeforePercentage say the same in two ways: remove one of them"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Names",
        type_ = "string",
        description = "names with a valid certificate / names asked for",
        json_path = ".status.ready"
    ),
    printcolumn(name = "Shards", type_ = "integer", json_path = ".status.shards"),
    printcolumn(
        name = "Expires",
        type_ = "string",
        description = "the earliest expiry among the shards",
        json_path = ".status.notAfter"
    ),
    printcolumn(
        name = "Quarantined",
        type_ = "integer",
        description = "names that cannot be validated, and that no longer hold the others up",
        priority = 1,
        json_path = ".status.quarantinedNames"
    ),
    printcolumn(name = "Waiting", type_ = "string", json_path = ".status.waitingFor"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSpec {
    /// The Secret of the first shard. Further shards write `<secretName>-1`, `<secretName>-2` …,
    /// the shards of a group `<secretName>-<group>`, `<secretName>-<group>-1` …
    #[schemars(schema_with = "crate::rules::object_name")]
    #[x_kube(validation = Rule::new("size(self) <= 180")
        .message("more than 180 characters: shorten it, Sancho appends to it for each shard"))]
    pub secret_name: String,
    /// The issuer that certifies the names.
    pub issuer_ref: IssuerRef,
    /// DNS names, lower case, up to 10,000. They may have 140 characters on average if
    /// there are 10,000, since an object is bounded by etcd (1.5 MiB). Above some 250 kB of manifest
    /// use `kubectl apply --server-side`.
    #[schemars(schema_with = "crate::rules::dns_names")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<String>,
    /// IP addresses (RFC 8738) in their canonical form, up to 1,000. They can be validated by HTTP-01 alone,
    /// and belong to no sharding group.
    #[schemars(schema_with = "crate::rules::ip_addresses")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_addresses: Vec<String>,
    /// How long a certificate is to be valid, as a Go duration (`2160h`): asked of the CA as `notAfter` of the order
    /// (RFC 8555 §7.4), which many CAs refuse. An edit has the certificates issued anew. If this is left out, the CA
    /// decides.
    #[schemars(schema_with = "crate::rules::duration")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// How long before expiry a certificate is renewed at the latest, as a Go duration (`720h`). If
    /// this is left out, when the CA suggests it (RFC 9773), else after two thirds of the lifetime.
    #[schemars(schema_with = "crate::rules::duration")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
    /// The same as a share of the certificate's lifetime, whatever that is: with 25 a certificate of 90 days is renewed
    /// after 67.5 days at the latest. In place of `renewBefore`.
    #[x_kube(validation = Rule::new("self >= 1 && self <= 99")
        .message("must be a whole number of percent of the lifetime from 1 to 99, without a percent sign, such as 33"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before_percentage: Option<u32>,
    /// Which of the CA's profiles the certificates are to have (draft-ietf-acme-profiles), in place of the issuer's. An
    /// edit has them issued anew.
    #[schemars(schema_with = "crate::rules::profile")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The private keys: algorithm, size, and whether each certificate has a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKey>,
    /// Labels and annotations of the Secrets, renewed ones and those that are there. An edit is carried out without
    /// a request to the CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate>,
    /// Further forms in which the Secrets hold certificate and key. An edit is carried out without a request to the CA.
    #[schemars(
        length(max = 2),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_output_formats: Vec<AdditionalOutputFormat>,
    /// Keystores in the Secrets. An edit is carried out without a request to the CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keystores: Option<Keystores>,
    /// What is done about a name that cannot be validated. `Quarantine`, the default: it is taken out of its
    /// certificate until it can be, and the others go on. `Strict`: all names of a shard or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<NamePolicy>,
    /// What becomes of a Secret whose shard is retired, and of all of them when the Certificate is deleted. `Retain`, the
    /// default: they stay. `Delete`: they are deleted too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_deletion_policy: Option<SecretDeletionPolicy>,
    /// How the names are split into shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharding: Option<Sharding>,
}

impl CertificateSpec {
    /// How many names it asks for.
    pub fn name_count(&self) -> usize {
        self.dns_names.len() + self.ip_addresses.len()
    }
}

/// What is done about a name that cannot be validated. `Quarantine`, the default: it is taken out of its
/// certificate until it can be, and the others go on. `Strict`: all names of a shard or none.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamePolicy {
    /// It is taken out of its certificate until it can be validated; the others go on.
    Quarantine,
    /// All names of a shard or none.
    Strict,
}

/// What becomes of a Secret whose shard is retired, and of all of them when the Certificate is deleted. `Retain`, the
/// default: they stay. `Delete`: they are deleted too.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretDeletionPolicy {
    /// They stay, and are used again when the shard comes back.
    Retain,
    /// They are deleted too.
    Delete,
}

/// A reference to an Issuer of the same namespace or to a ClusterIssuer.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// The issuer's name.
    #[schemars(schema_with = "crate::rules::object_name")]
    pub name: String,
    /// Which kind of issuer; `Issuer` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<IssuerKind>,
}

/// `Issuer` (of the Certificate's own namespace; the default) or `ClusterIssuer`.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerKind {
    /// Of the same namespace.
    Issuer,
    /// Of the whole cluster.
    ClusterIssuer,
}

impl IssuerRef {
    /// The kind, with the default applied.
    pub fn kind(&self) -> IssuerKind {
        self.kind.unwrap_or(IssuerKind::Issuer)
    }
}

/// How names are split into shards.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Sharding {
    /// At most this many names in one certificate, 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_names: Option<u32>,
    /// How a new name finds its shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<ShardingStrategy>,
    /// Names that are to be kept together, apart from the rest, in Secrets of a name of their own.
    /// At most 100 groups; no name in two of them.
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    #[x_kube(validation = Rule::new(
        "self.all(g, !self.exists(h, g.name.startsWith(h.name + '-') \
         && g.name.substring(size(h.name) + 1).matches('^[1-9][0-9]*$')))"
    ).message("a group is called like a later shard of another (group a-1 beside group a), so they would write one Secret: rename it"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<ShardingGroup>,
}

/// How a new name finds its shard. `Fill`, the default: one with the same registered domain and
/// room, else any with room, else a new one. `RegisteredDomain`: no certificate mixes two domains.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardingStrategy {
    /// A shard with the same registered domain and room, else any with room, else a new one.
    Fill,
    /// Only shards of the same registered domain: no certificate mixes two.
    RegisteredDomain,
}

/// Names that are kept together.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ShardingGroup {
    /// The group's name: part of its Secrets' names. A DNS label of at most 40 characters, with a
    /// letter in it, since `<secretName>-1` is the Secret of shard 1.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("not a DNS label: use lower-case letters, digits and '-', with a letter or digit at both ends"))]
    #[x_kube(validation = Rule::new("self.matches('[a-z]')")
        .message("a group's name needs a letter: with digits alone its Secret would be that of a numbered shard"))]
    pub name: String,
    /// Which of the Certificate's `dnsNames` are in it.
    #[schemars(schema_with = "crate::rules::names_of_certificate")]
    pub dns_names: Vec<String>,
}

/// What Sancho says of a Certificate. Details stand on its CertificateShards.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct CertificateStatus {
    /// The `metadata.generation` that this status speaks of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Degraded`, `Revoking`; `Reconciling`, `Stalled`, `Renewing` and `RateLimited` only while they are so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How many names are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<u32>,
    /// How many of them stand in a valid certificate in their Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_names: Option<u32>,
    /// How many of them cannot be validated, and are named with the reason in their shards' status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined_names: Option<u32>,
    /// `readyNames/names`, for `kubectl get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// How many shards the names are split into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u32>,
    /// At most how many names a shard gets, by `maxNames` of the Certificate and its issuer and by what the CA takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_names: Option<u32>,
    /// How many shards have the certificate that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_shards: Option<u32>,
    /// The earliest expiry among the shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// What it waits for, in a few words; empty when nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// The plan that was committed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
}

/// A committed plan: which names sit in which shard. Committed by one compare-and-swap of the
/// Certificate's status; whoever wins it writes the shards.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// The generation it was made for.
    pub generation: i64,
    /// A hash of the assignment (names, shards, issuer, policy).
    pub hash: String,
    /// The process that committed it.
    pub planner: String,
    /// True once its shards are written. Until then no shard starts an order.
    pub settled: bool,
}
