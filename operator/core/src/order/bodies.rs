//! The JSON objects in a CA's answers, as far as they matter.

use serde::{Deserialize, Deserializer};

use crate::names::Name;
use crate::response::{Identifier, Problem, null_as_empty};

/// An order object (RFC 8555 §7.1.3).
#[derive(Deserialize)]
pub(super) struct OrderBody {
    pub(super) status: String,
    pub(super) expires: Option<String>,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub(super) identifiers: Vec<Identifier>,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub(super) authorizations: Vec<String>,
    pub(super) finalize: Option<String>,
    pub(super) certificate: Option<String>,
    #[serde(default, deserialize_with = "readable")]
    pub(super) error: Option<Problem>,
}

/// An authorization object (RFC 8555 §7.1.4).
#[derive(Deserialize)]
pub(super) struct AuthorizationBody {
    pub(super) status: String,
    pub(super) identifier: Identifier,
    #[serde(default)]
    pub(super) wildcard: bool,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub(super) challenges: Vec<ChallengeBody>,
}

/// A challenge object (RFC 8555 §7.1.5).
#[derive(Deserialize)]
pub(super) struct ChallengeBody {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) url: Option<String>,
    pub(super) status: Option<String>,
    pub(super) token: Option<String>,
    /// Of dns-persist-01 alone. What is no list of texts counts as none: another challenge may be the one that is taken.
    #[serde(rename = "issuer-domain-names", default, deserialize_with = "texts")]
    pub(super) issuer_domain_names: Vec<String>,
    #[serde(default, deserialize_with = "readable")]
    pub(super) error: Option<Problem>,
}

/// Is an order of these identifiers one of `names`? One that lists none does not say otherwise.
pub(super) fn is_for(identifiers: &[Identifier], names: &[Name]) -> bool {
    if identifiers.is_empty() {
        return true;
    }
    let is_same = |name: &Name, identifier: &Identifier| name.is(&identifier.kind, &identifier.value);
    let is_ours = |identifier: &Identifier| names.iter().any(|name| is_same(name, identifier));
    let is_theirs = |name: &Name| identifiers.iter().any(|identifier| is_same(name, identifier));
    identifiers.iter().all(is_ours) && names.iter().all(is_theirs)
}

/// Texts, or nothing if they are not that.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A problem document, or nothing if it is not one: an error that cannot be read must not hide
/// the status beside it.
fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Problem>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}
