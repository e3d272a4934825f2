//! The syntax of a standing record: the "issue-value" of CAA records (RFC 8659 §4.2), as the draft uses it.

use crate::shown::shown_within;

/// What a record of ours says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// `accounturi`.
    pub(super) account: String,
    /// `policy=wildcard`. Any other policy counts as none.
    pub(super) has_wildcard: bool,
    /// `persistUntil`.
    pub(super) until: Option<i64>,
}

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadValue {
    #[error("a semicolon with nothing after it")]
    Empty,
    #[error("{0} is no tag=value")]
    NoPair(String),
    #[error("{0} is no tag")]
    Tag(String),
    #[error("the value of {0} has blanks or other characters that cannot be there")]
    Character(String),
    #[error("{0} stands there twice")]
    Twice(String),
    #[error("it has no accounturi")]
    NoAccount,
    #[error("persistUntil is no whole number of seconds since 1970: {0}")]
    Until(String),
}

/// The CA's name in a record, and its parameters behind the first semicolon, if it has one. Nothing if it names no CA.
pub(super) fn issuer(value: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (issuer, rest) = halves(value, b';');
    let issuer = trimmed(issuer);
    (!issuer.is_empty()).then_some((issuer, rest))
}

impl Value {
    /// Reads what stands behind the CA's name.
    pub(super) fn read(parameters: Option<&[u8]>) -> Result<Self, BadValue> {
        let (mut account, mut policy, mut until) = (None, None, None);
        let mut tags: Vec<Vec<u8>> = Vec::new();
        let mut rest = parameters;
        while let Some(some) = rest {
            let (parameter, others) = halves(some, b';');
            rest = others;
            let parameter = trimmed(parameter);
            if parameter.is_empty() {
                return Err(BadValue::Empty);
            }
            let (tag, Some(value)) = halves(parameter, b'=') else {
                return Err(BadValue::NoPair(word(parameter)));
            };
            let (tag, value) = (trimmed(tag), trimmed(value));
            if !is_tag(tag) {
                return Err(BadValue::Tag(word(tag)));
            }
            if !value.iter().copied().all(is_of_value) {
                return Err(BadValue::Character(word(tag)));
            }
            let tag = tag.to_ascii_lowercase();
            if tags.contains(&tag) {
                return Err(BadValue::Twice(word(&tag)));
            }
            // All ASCII by now.
            let value = String::from_utf8_lossy(value).into_owned();
            match tag.as_slice() {
                b"accounturi" => account = Some(value),
                b"policy" => policy = Some(value),
                b"persistuntil" => until = Some(seconds(&value)?),
                // Tags that are not known are passed over.
                _ => {}
            }
            tags.push(tag);
        }
        Ok(Self {
            account: account.filter(|uri| !uri.is_empty()).ok_or(BadValue::NoAccount)?,
            has_wildcard: policy.is_some_and(|policy| policy.eq_ignore_ascii_case("wildcard")),
            until,
        })
    }
}

/// May it stand in a parameter's value? RFC 8659: %x21-3A / %x3C-7E.
pub(super) fn is_of_value(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b';'
}

/// RFC 8659: (ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT)).
fn is_tag(tag: &[u8]) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    is_end(tag.first()) && is_end(tag.last()) && tag.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

fn seconds(text: &str) -> Result<i64, BadValue> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadValue::Until(word(text.as_bytes())));
    }
    text.parse().map_err(|_| BadValue::Until(word(text.as_bytes())))
}

/// What stands before the first of these bytes, and behind it, if there is one.
fn halves(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == at) {
        Some(place) => (&text[..place], Some(&text[place + 1..])),
        None => (text, None),
    }
}

/// Without blanks and tabs at its ends (WSP, RFC 5234).
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Fit to be shown.
fn word(text: &[u8]) -> String {
    shown_within(&String::from_utf8_lossy(text), 40)
}
