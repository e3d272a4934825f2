//! Problem documents (RFC 7807, RFC 8555 §6.7), and what stands in their place when a proxy
//! answers.

use std::fmt::Write;

use serde::{Deserialize, Deserializer};

use super::Response;
use crate::shown::{SHOWN_MAX, shown, shown_within};

/// ACME's error types (RFC 8555 §6.7) as far as decisions depend on them, without their prefix.
pub mod kind {
    /// The account does not exist.
    pub const ACCOUNT_DOES_NOT_EXIST: &str = "accountDoesNotExist";
    /// The certificate has been replaced already (RFC 9773 §7.4).
    pub const ALREADY_REPLACED: &str = "alreadyReplaced";
    /// The certificate is revoked already.
    pub const ALREADY_REVOKED: &str = "alreadyRevoked";
    /// The nonce was used before or is too old.
    pub const BAD_NONCE: &str = "badNonce";
    /// The CSR is not acceptable.
    pub const BAD_CSR: &str = "badCSR";
    /// The CA does not take this kind of key.
    pub const BAD_PUBLIC_KEY: &str = "badPublicKey";
    /// A CAA record forbids issuance.
    pub const CAA: &str = "caa";
    /// The CA could not reach the validation target.
    pub const CONNECTION: &str = "connection";
    /// A DNS query failed.
    pub const DNS: &str = "dns";
    /// The account needs an external account binding.
    pub const EXTERNAL_ACCOUNT_REQUIRED: &str = "externalAccountRequired";
    /// The answer at the validation target was not the right one.
    pub const INCORRECT_RESPONSE: &str = "incorrectResponse";
    /// The CA does not offer the profile, or not for these names (draft-ietf-acme-profiles §4).
    pub const INVALID_PROFILE: &str = "invalidProfile";
    /// The request was malformed.
    pub const MALFORMED: &str = "malformed";
    /// The order is not ready to be finalized.
    pub const ORDER_NOT_READY: &str = "orderNotReady";
    /// A limit of the CA is exceeded.
    pub const RATE_LIMITED: &str = "rateLimited";
    /// The CA does not certify this name.
    pub const REJECTED_IDENTIFIER: &str = "rejectedIdentifier";
    /// The CA failed.
    pub const SERVER_INTERNAL: &str = "serverInternal";
    /// A TLS error at the validation target.
    pub const TLS: &str = "tls";
    /// The account may not do this, or a validation failed.
    pub const UNAUTHORIZED: &str = "unauthorized";
    /// The CA does not certify this type of name.
    pub const UNSUPPORTED_IDENTIFIER: &str = "unsupportedIdentifier";
    /// A human must visit a page of the CA.
    pub const USER_ACTION_REQUIRED: &str = "userActionRequired";
}

const PREFIX: &str = "urn:ietf:params:acme:error:";

/// What a CA says is wrong. Its texts are as they came: [`Problem::message`] is the one to show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The type's URN or URL; empty if the body was not a problem document.
    #[serde(default, rename = "type")]
    type_: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    status: Option<u16>,
    /// One part for each name that something is wrong with (RFC 8555 §6.7.1).
    #[serde(default, deserialize_with = "null_as_empty")]
    pub subproblems: Vec<Subproblem>,
}

/// What is wrong with one name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Subproblem {
    #[serde(default, rename = "type")]
    type_: String,
    #[serde(default)]
    detail: Option<String>,
    /// Whom it is about.
    #[serde(default)]
    pub identifier: Option<Identifier>,
}

/// An ACME identifier (RFC 8555 §9.7.7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Identifier {
    /// `dns` or `ip`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name.
    pub value: String,
}

impl Problem {
    /// The type without ACME's prefix (`rateLimited`), or the whole of a foreign type; empty if
    /// the body was not a problem document.
    pub fn kind(&self) -> &str {
        strip(&self.type_)
    }

    /// The CA's own text, as it came.
    pub(super) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The CA's words, bounded to [`SHOWN_MAX`] characters and escaped: type, detail, and each
    /// subproblem with its name.
    pub fn message(&self) -> String {
        let mut text = line(self.kind(), self.detail.as_deref().or(self.title.as_deref()));
        if text.is_empty() {
            text = match self.status {
                Some(status) => format!("HTTP {status} without a reason"),
                None => "no reason was given".to_owned(),
            };
        }
        for (i, part) in self.subproblems.iter().enumerate() {
            let name = part
                .identifier
                .as_ref()
                .map_or("?", |identifier| identifier.value.as_str());
            let separator = if i == 0 { " [" } else { "; " };
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "{separator}{name}: {}",
                line(strip(&part.type_), part.detail.as_deref())
            );
        }
        if !self.subproblems.is_empty() {
            text.push(']');
        }
        shown(&text)
    }

    pub(super) fn from_response(response: &Response) -> Self {
        let parsed = serde_json::from_slice::<Self>(&response.body)
            .ok()
            .filter(|problem| {
                !problem.type_.is_empty() || problem.detail.is_some() || problem.title.is_some()
            });
        match parsed {
            Some(problem) => Self {
                status: Some(response.status),
                ..problem
            },
            None => {
                let words = in_words(response);
                let detail = if words.is_empty() {
                    format!("HTTP {} without a body", response.status)
                } else {
                    format!("HTTP {}: {words}", response.status)
                };
                Self {
                    detail: Some(detail),
                    status: Some(response.status),
                    ..Self::default()
                }
            }
        }
    }
}

/// CAs written in Go send an empty list as `null`.
pub(crate) fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn strip(type_: &str) -> &str {
    let kind = type_.strip_prefix(PREFIX).unwrap_or(type_);
    if kind == "about:blank" { "" } else { kind }
}

fn line(kind: &str, detail: Option<&str>) -> String {
    match (kind, detail.unwrap_or_default().trim()) {
        ("", detail) => detail.to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, detail) => format!("{kind}: {detail}"),
    }
}

/// A body that is not a problem document in words: an HTML page's title, else its text without
/// the tags; any other text as it is.
pub(super) fn in_words(response: &Response) -> String {
    let body = String::from_utf8_lossy(&response.body);
    let declared = response
        .content_type
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let text = if declared.contains("html") || body.trim_start().starts_with('<') {
        title(&body).unwrap_or_else(|| without_tags(&body))
    } else {
        body.into_owned()
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    shown_within(&words.join(" "), SHOWN_MAX - 100)
}

fn title(html: &str) -> Option<String> {
    // ASCII lower case keeps every byte's place, so positions hold in both texts.
    let lower = html.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let open = start + lower[start..].find('>')? + 1;
    let close = open + lower[open..].find("</title")?;
    let text = html[open..close].trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn without_tags(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => {
                inside = true;
                text.push(' ');
            }
            '>' if inside => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text
}
