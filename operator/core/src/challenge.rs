//! HTTP-01 (RFC 8555 §8.3): the token, the path it is asked for at, and the answer.

use std::fmt;

use sha2::{Digest, Sha256};

/// What the path of every HTTP-01 question starts with.
pub const HTTP01_PREFIX: &str = "/.well-known/acme-challenge/";

const SHORTEST: usize = 22;
const LONGEST: usize = 256;

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
    fn the_key_authorization_joins_token_and_thumbprint() {
        let token = Token::parse(TOKEN).unwrap();
        assert_eq!(
            key_authorization(&token, "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"),
            format!("{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI")
        );
    }
}
