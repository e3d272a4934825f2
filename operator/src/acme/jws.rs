//! Signed request bodies: flattened JSON JWS (RFC 7515 §7.2.2, RFC 8555 §6.2).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::acme::account::{AccountKey, AccountKeyError, Jwk};

/// Who signs: newAccount names the key itself, all else the account (RFC 8555 §6.2).
#[derive(Debug, Clone, Copy)]
pub enum Signer<'a> {
    /// The whole public key in the `jwk` field.
    Key(&'a AccountKey),
    /// The account's URL in the `kid` field.
    Account {
        /// The account's key.
        key: &'a AccountKey,
        /// The account's URL.
        kid: &'a str,
    },
}

#[derive(Serialize)]
struct Protected<'a> {
    alg: &'static str,
    #[serde(flatten)]
    identity: Identity<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    url: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Identity<'a> {
    Jwk(&'a Jwk),
    Kid(&'a str),
}

/// A flattened JSON JWS (RFC 7515 §7.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flattened {
    protected: String,
    payload: String,
    signature: String,
}

/// `payload` under the protected header `header`, with what `sign` makes of both. Nothing comes back if that fails.
pub(super) fn flatten(
    header: &impl Serialize,
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Option<Flattened> {
    let protected = URL_SAFE_NO_PAD.encode(serde_json::to_vec(header).ok()?);
    let payload = URL_SAFE_NO_PAD.encode(payload);
    let signature = sign(format!("{protected}.{payload}").as_bytes())?;
    Some(Flattened {
        protected,
        payload,
        signature: URL_SAFE_NO_PAD.encode(signature),
    })
}

/// The body of a POST of `payload` to `url`. An empty payload makes a POST-as-GET (§6.3).
///
/// # Errors
/// [`AccountKeyError::Signing`] if the cryptography library fails.
pub fn sign(signer: Signer<'_>, nonce: &str, url: &str, payload: &[u8]) -> Result<Vec<u8>, AccountKeyError> {
    let (key, identity) = match signer {
        Signer::Key(key) => (key, Identity::Jwk(key.jwk())),
        Signer::Account { key, kid } => (key, Identity::Kid(kid)),
    };
    let header = Protected {
        alg: key.algorithm(),
        identity,
        nonce: Some(nonce),
        url,
    };
    to_body(key, &header, payload)
}

/// `payload`, signed by `key` for `url` without a nonce: what keyChange has inside (§7.3.5), by which the new key itself
/// agrees.
///
/// # Errors
/// [`AccountKeyError::Signing`] if the cryptography library fails.
pub(super) fn with_key(key: &AccountKey, url: &str, payload: &[u8]) -> Result<Vec<u8>, AccountKeyError> {
    let header = Protected {
        alg: key.algorithm(),
        identity: Identity::Jwk(key.jwk()),
        nonce: None,
        url,
    };
    to_body(key, &header, payload)
}

fn to_body(key: &AccountKey, header: &Protected<'_>, payload: &[u8]) -> Result<Vec<u8>, AccountKeyError> {
    let signed = flatten(header, payload, |message| key.sign(message).ok());
    signed
        .and_then(|body| serde_json::to_vec(&body).ok())
        .ok_or(AccountKeyError::Signing)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::{Value, json};

    use super::*;

    const URL: &str = "https://ca.example/new-order";

    /// The protected header and the payload of `body`, after its signature was checked with the
    /// public key that `key` publishes.
    fn verified(key: &AccountKey, body: &[u8]) -> (Value, Vec<u8>) {
        let body: Value = serde_json::from_slice(body).unwrap();
        let field = |name: &str| body[name].as_str().unwrap().to_owned();
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let jwk = serde_json::to_value(key.jwk()).unwrap();
        let mut point = vec![4];
        point.extend(decoded(jwk["x"].as_str().unwrap()));
        point.extend(decoded(jwk["y"].as_str().unwrap()));
        let message = format!("{}.{}", field("protected"), field("payload"));
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(message.as_bytes(), &decoded(&field("signature")))
            .unwrap();
        (
            serde_json::from_slice(&decoded(&field("protected"))).unwrap(),
            decoded(&field("payload")),
        )
    }

    #[test]
    fn an_accounts_request_carries_kid_nonce_and_url_and_verifies() {
        let (key, _) = AccountKey::generate().unwrap();
        let signer = Signer::Account {
            key: &key,
            kid: "https://ca.example/acct/1",
        };
        let (header, payload) = verified(&key, &sign(signer, "n0nce", URL, br#"{"a":1}"#).unwrap());
        assert_eq!(
            header,
            json!({ "alg": "ES256", "kid": "https://ca.example/acct/1", "nonce": "n0nce", "url": URL })
        );
        assert_eq!(payload, br#"{"a":1}"#);
    }

    #[test]
    fn new_account_carries_the_public_key_itself() {
        let (key, _) = AccountKey::generate().unwrap();
        let (header, _) = verified(&key, &sign(Signer::Key(&key), "n0nce", URL, b"{}").unwrap());
        assert_eq!(header["jwk"], serde_json::to_value(key.jwk()).unwrap());
        assert_eq!(header["jwk"]["kty"], "EC");
        assert_eq!(header.get("kid"), None);
    }

    #[test]
    fn what_keychange_has_inside_names_the_new_key_and_has_no_nonce() {
        let (key, _) = AccountKey::generate().unwrap();
        let (header, payload) = verified(&key, &with_key(&key, URL, b"{}").unwrap());
        let jwk = serde_json::to_value(key.jwk()).unwrap();
        assert_eq!(header, json!({ "alg": "ES256", "jwk": jwk, "url": URL }));
        assert_eq!(payload, b"{}");
    }

    #[test]
    fn a_post_as_get_has_an_empty_payload() {
        let (key, _) = AccountKey::generate().unwrap();
        let body = sign(Signer::Key(&key), "n0nce", URL, b"").unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["payload"], "");
    }
}
