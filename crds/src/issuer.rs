//! `Issuer` and `ClusterIssuer`: a CA, an account there, and how challenges are answered.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::allowed::Allowed;
use crate::solver::Solver;

/// An issuer of one namespace. Its account Secret is in that namespace. It has no budget of its own:
/// what a CA bears is shared by the whole cluster and set by ClusterIssuers.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "sancho.dev",
    version = "v1alpha1",
    kind = "Issuer",
    namespaced,
    category = "sancho",
    status = "IssuerStatus",
    derive = "PartialEq",
    doc = "A CA for the Certificates of one namespace, the account there, and how challenges are answered.",
    validation = Rule::new("self.spec.acme.solvers.all(s, !has(s.http01) || !has(s.http01.ingress) || !has(s.http01.ingress.ingressTemplate))")
        .message("an Issuer's Ingresses stand in the operator's namespace, where their labels and annotations are not its to choose: take ingressTemplate out, or use a ClusterIssuer"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Budget", type_ = "string", priority = 1, json_path = ".status.budget"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct IssuerSpec {
    /// The CA, by ACME (RFC 8555).
    pub acme: Acme,
}

/// An issuer of the whole cluster. Its account Secret is in the operator's namespace.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "sancho.dev",
    version = "v1alpha1",
    kind = "ClusterIssuer",
    category = "sancho",
    status = "IssuerStatus",
    derive = "PartialEq",
    doc = "A CA for the Certificates of all namespaces, the account there, what it bears, and how challenges are answered.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Budget", type_ = "string", priority = 1, json_path = ".status.budget"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterIssuerSpec {
    /// The CA, by ACME (RFC 8555).
    pub acme: Acme,
    /// What all replicas together may send to the CA. Left out or empty: found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Which Certificates may use it; all if left out. Where one may no longer, nothing more is asked of the CA for it,
    /// and its Secrets stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowed>,
}

/// A CA that speaks ACME, and the account there.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Acme {
    /// The directory's URL; https only.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("self.startsWith('https://')")
        .message("the CA's directory must be reached by https, on loopback too: write https://"))]
    #[x_kube(validation = Rule::new("!self.startsWith('https://') || isURL(self) && url(self).getHostname() != '' && !self.contains('@') && !self.contains('#')")
        .message("not a URL that can be used: write the directory's full URL, without user name and fragment, such as https://acme-v02.api.letsencrypt.org/directory"))]
    pub server: String,
    /// Where the CA can reach you; optional.
    #[schemars(length(max = 254))]
    #[x_kube(validation = Rule::new("self.matches('^[^@:, ]+@[^@:, ]+$')")
        .message("not an e-mail address: write one alone, without mailto:, such as ops@example.com"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The Secret that holds the account's private key under `tls.key`, as PEM: P-256, P-384 or RSA (2048 bits or more).
    /// If it is absent, a P-256 key is made. Name another Secret, and the account gets the key in there in place of its
    /// present one (RFC 8555 §7.3.5); what was issued stays as it is.
    pub private_key_secret_ref: SecretRef,
    /// An account that you have at the CA already and that the ACME account is bound to (RFC 8555 §7.3.4), where the
    /// CA wants that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_account_binding: Option<ExternalAccountBinding>,
    /// PEM certificates (base64) that the CA's own TLS certificate is checked against, in place of the public roots.
    #[schemars(length(min = 1, max = 262144))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9+/=]+$')")
        .message("not base64: write the PEM file as one line, as `base64 -w0 ca.pem` prints it"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// Which of the CA's profiles certificates are to have (draft-ietf-acme-profiles), unless their Certificate names
    /// another. Counts from the next order on.
    #[schemars(schema_with = "crate::rules::profile")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// At most this many names in one certificate of this CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_names: Option<u32>,
    /// How challenges are answered; at least one way. Of several that are for a name, the one whose selector is the most
    /// specific answers: one that lists the name, else one with the longest zone above it, else one with the most
    /// labels; among equals the first.
    #[schemars(length(min = 1, max = 16))]
    pub solvers: Vec<Solver>,
}

/// What a CA gives its customers to bind ACME accounts with.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAccountBinding {
    /// The key's ID.
    #[serde(rename = "keyID")]
    #[schemars(length(min = 1, max = 1024))]
    pub key_id: String,
    /// The Secret that holds the MAC key in base64url, as the CA gives it. Beside an Issuer it is in its namespace,
    /// of a ClusterIssuer in the operator's.
    pub key_secret_ref: SecretKeyRef,
}

/// A field of a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(schema_with = "crate::rules::object_name")]
    pub name: String,
    /// The field; `secret` if left out.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl SecretKeyRef {
    /// The field.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("secret")
    }
}

/// A Secret by name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(schema_with = "crate::rules::object_name")]
    pub name: String,
}

/// What all replicas together may send to one CA.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Requests a second, 0.01 to 1000; may be a fraction.
    #[x_kube(validation = Rule::new("self >= 0.01 && self <= 1000.0")
        .message("must be from 0.01 to 1000 requests a second: write what the CA bears, or leave it out"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
    /// How many requests beyond the rate the CA bears at once, 0 to 1000.
    #[schemars(range(min = 0, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// How many requests may be unanswered at once, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
}

/// What Sancho says of an issuer.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct IssuerStatus {
    /// The `metadata.generation` that this status speaks of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The account's URL at the CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_url: Option<String>,
    /// The Secret that holds the account's key. Where the spec names another one, the account gets the key in there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_key_secret: Option<String>,
    /// The directory URL that the account was made at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_server: Option<String>,
    /// The account key's thumbprint (RFC 7638): the second half of every key authorization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<String>,
    /// The names that the CA goes by in DNS (CAA records, and those of `dnsPersist01`), as its directory has them; empty if
    /// it has none. Absent as long as they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_domain_names: Option<Vec<String>>,
    /// The Lease that holds the budget, in the operator's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_lease: Option<String>,
    /// The budget in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// How many names the CA turned out to take in one certificate, for each profile that it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_caps: Vec<NameCap>,
}

/// How many names a CA turned out to take in one certificate. Counts until the issuer's `maxNames` or `server` is edited.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NameCap {
    /// The profile that was asked for; none if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// At most so many.
    pub max_names: u32,
    /// The CA's words.
    pub message: String,
    /// The directory URL of the CA that said so.
    pub server: String,
    /// The issuer's `maxNames` at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<u32>,
}
