//! The kinds of challenges (RFC 8555 §8): the token, where an answer to it is looked for, and the answer.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::names::Name;

/// What the path of every HTTP-01 question starts with.
pub const HTTP01_PREFIX: &str = "/.well-known/acme-challenge/";

/// What stands before a domain in the name of its TXT record (RFC 8555 §8.4).
const DNS01_LABEL: &str = "_acme-challenge";

const SHORTEST: usize = 22;
const LONGEST: usize = 256;

/// How control over a name is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChallengeKind {
    /// By a file on port 80 (§8.3).
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// By a TXT record (§8.4).
    #[serde(rename = "dns-01")]
    Dns01,
    /// By a standing TXT record (draft-ietf-acme-dns-persist): see [`crate::standing`].
    #[serde(rename = "dns-persist-01")]
    DnsPersist01,
}

impl ChallengeKind {
    /// The type as ACME writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::DnsPersist01 => "dns-persist-01",
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A type of challenges that Sancho does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a type of challenges that is answered here")]
pub struct UnknownKind;

impl FromStr for ChallengeKind {
    type Err = UnknownKind;
    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        let mut kinds = [Self::Http01, Self::Dns01, Self::DnsPersist01].into_iter();
        kinds.find(|kind| kind.as_str() == word).ok_or(UnknownKind)
    }
}

/// Which kind of challenge is to be taken for each name: HTTP-01, save for those that are listed, and for wildcards,
/// for which CAs offer none by HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChallengeKinds {
    by_dns: BTreeSet<Name>,
    by_standing_record: BTreeSet<Name>,
}

impl ChallengeKinds {
    /// DNS-01 for these, and for wildcards.
    pub fn with_dns01(names: impl IntoIterator<Item = Name>) -> Self {
        Self {
            by_dns: names.into_iter().collect(),
            by_standing_record: BTreeSet::new(),
        }
    }

    /// The same with dns-persist-01 for these.
    #[must_use]
    pub fn and_dns_persist01(self, names: impl IntoIterator<Item = Name>) -> Self {
        Self {
            by_standing_record: names.into_iter().collect(),
            ..self
        }
    }

    /// The kind for `name`.
    pub fn of(&self, name: &Name) -> ChallengeKind {
        if self.by_standing_record.contains(name) {
            ChallengeKind::DnsPersist01
        } else if name.is_wildcard() || self.by_dns.contains(name) {
            ChallengeKind::Dns01
        } else {
            ChallengeKind::Http01
        }
    }
}

/// Where the TXT record for a name stands (§8.4), without a final dot: a wildcard's beside that of its domain.
pub fn dns01_record(name: &str) -> String {
    format!("{DNS01_LABEL}.{}", name.strip_prefix("*.").unwrap_or(name))
}

/// What that record holds: the key authorization's SHA-256 in base64url, without padding (§8.4).
pub fn dns01_value(token: &Token, thumbprint: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(key_authorization(token, thumbprint)))
}

/// A challenge's token.
///
/// Guarantees: 22 to 256 characters of the base64url alphabet, without padding. 22 characters hold
/// the 128 bits that RFC 8555 §8.3 asks for; the upper bound is ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(Box<str>);

/// Why a text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Outside 22 to 256 characters.
    #[error("a token has {SHORTEST} to {LONGEST} characters, this one has {0}")]
    Length(usize),
    /// A character that is not in the base64url alphabet.
    #[error("a token has only letters, digits, - and _ (RFC 8555 §8.3)")]
    Character,
}

impl Token {
    /// Reads a token from a CA's answer, a status or a path.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err(TokenError::Character);
        }
        if !(SHORTEST..=LONGEST).contains(&text.len()) {
            return Err(TokenError::Length(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The token that a request path asks for; nothing if it asks for something else.
    pub fn in_path(path: &str) -> Option<Self> {
        Self::parse(path.strip_prefix(HTTP01_PREFIX)?).ok()
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path at which a CA asks for it.
    pub fn path(&self) -> String {
        format!("{HTTP01_PREFIX}{self}")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key authorization (RFC 8555 §8.1): what the path answers, byte for byte. `thumbprint` is
/// the account key's JWK thumbprint (RFC 7638), SHA-256 in base64url.
pub fn key_authorization(token: &Token, thumbprint: &str) -> String {
    format!("{token}.{thumbprint}")
}

/// The token at which Sancho itself looks whether a name's path leads to it, before it asks a CA. Every replica that
/// sees the shard (`uid`) and its account (`thumbprint`) computes the same one, so that none has to be handed out.
pub fn self_check_token(uid: &str, thumbprint: &str) -> Token {
    let hash = Sha256::new()
        .chain_update("sancho self-check\0")
        .chain_update(uid)
        .chain_update([0])
        .chain_update(thumbprint)
        .finalize();
    Token(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

    #[test]
    fn a_token_and_its_path_lead_to_each_other() {
        let token = Token::parse(TOKEN).unwrap();
        assert_eq!(token.path(), format!("/.well-known/acme-challenge/{TOKEN}"));
        assert_eq!(Token::in_path(&token.path()), Some(token));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        assert_eq!(Token::parse("short"), Err(TokenError::Length(5)));
        assert_eq!(Token::parse(&"a".repeat(257)), Err(TokenError::Length(257)));
        for stray in ["=", "+", "/", "..", "é", "\n", " "] {
            assert_eq!(
                Token::parse(&format!("{TOKEN}{stray}")),
                Err(TokenError::Character),
                "{stray:?}"
            );
        }
        assert_eq!(Token::in_path(&format!("/{TOKEN}")), None);
        assert_eq!(Token::in_path(&format!("{HTTP01_PREFIX}{TOKEN}/x")), None);
    }

    #[test]
    fn the_self_checks_token_is_a_token_and_each_shards_own() {
        let token = self_check_token("uid", "thumbprint");
        assert_eq!(Token::parse(token.as_str()), Ok(token.clone()));
        assert_ne!(token, self_check_token("another", "thumbprint"));
        assert_ne!(token, self_check_token("uid", "another"));
    }

    #[test]
    fn a_txt_record_stands_at_the_domain_of_a_wildcard_and_holds_the_hash() {
        assert_eq!(dns01_record("example.com"), "_acme-challenge.example.com");
        assert_eq!(dns01_record("*.example.com"), "_acme-challenge.example.com");
        // printf '%s' TOKEN.THUMBPRINT | openssl dgst -sha256 -binary | base64 | tr '+/' '-_' | tr -d '='
        let value = dns01_value(
            &Token::parse(TOKEN).unwrap(),
            "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI",
        );
        assert_eq!(value, "LPsIwTo7o8BoG0-vjCyGQGBWSVIPxI-i_X336eUOQZo");
    }

    #[test]
    fn wildcards_and_listed_names_are_validated_by_dns() {
        let [host, listed, wildcard] =
            ["a.example.com", "b.example.com", "*.example.com"].map(|name| Name::parse(name).unwrap());
        let kinds = ChallengeKinds::with_dns01([listed.clone()]);
        assert_eq!(kinds.of(&host), ChallengeKind::Http01);
        assert_eq!(kinds.of(&listed), ChallengeKind::Dns01);
        assert_eq!(ChallengeKinds::default().of(&wildcard), ChallengeKind::Dns01);
        let kinds = kinds.and_dns_persist01([wildcard.clone()]);
        assert_eq!(kinds.of(&wildcard), ChallengeKind::DnsPersist01);
        assert_eq!(kinds.of(&listed), ChallengeKind::Dns01);
        for kind in [
            ChallengeKind::Http01,
            ChallengeKind::Dns01,
            ChallengeKind::DnsPersist01,
        ] {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!("tls-alpn-01".parse::<ChallengeKind>(), Err(UnknownKind));
    }

    #[test]
    fn the_key_authorization_joins_token_and_thumbprint() {
        let token = Token::parse(TOKEN).unwrap();
        assert_eq!(
            key_authorization(&token, "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"),
            format!("{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI")
        );
    }
}
