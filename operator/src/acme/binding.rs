//! External account binding (RFC 8555 §7.3.4): an account that a customer has at the CA already vouches for the new
//! ACME account, by a MAC over its public key.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::acme::account::Jwk;
use crate::acme::jws::{Flattened, flatten};

/// What the CA gave its customer. `Debug` shows no key.
pub struct ExternalAccount {
    key_id: String,
    mac_key: Zeroizing<Vec<u8>>,
}

/// Why a text is no MAC key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MacKeyError {
    /// Not base64url.
    #[error("it is not base64url, as CAs give the key")]
    NotBase64,
    /// Nothing, or next to nothing.
    #[error("it is too short for a MAC key")]
    TooShort,
}

/// The MAC must be one of JWA's (RFC 8555 §7.3.4); HS256 is the one that all CAs take.
#[derive(Serialize)]
struct Protected<'a> {
    alg: &'static str,
    kid: &'a str,
    url: &'a str,
}

/// No CA gives a key of less than 128 bits.
const SHORTEST_KEY: usize = 16;

impl ExternalAccount {
    /// `key_id` and the MAC key in base64url, as the CA gives them; the key's padding and white space around it do
    /// not matter.
    ///
    /// # Errors
    /// [`MacKeyError`] says what is wrong with the key; it never quotes it.
    pub fn new(key_id: &str, mac_key: &[u8]) -> Result<Self, MacKeyError> {
        let text = mac_key.trim_ascii();
        let end = text
            .iter()
            .rposition(|byte| *byte != b'=')
            .map_or(0, |last| last + 1);
        let decoded = URL_SAFE_NO_PAD.decode(&text[..end]);
        let mac_key = Zeroizing::new(decoded.map_err(|_| MacKeyError::NotBase64)?);
        if mac_key.len() < SHORTEST_KEY {
            return Err(MacKeyError::TooShort);
        }
        Ok(Self {
            key_id: key_id.to_owned(),
            mac_key,
        })
    }

    /// The `externalAccountBinding` of a newAccount to `url` with the key `jwk`.
    #[must_use]
    pub fn bind(&self, jwk: &Jwk, url: &str) -> Option<Flattened> {
        let header = Protected {
            alg: "HS256",
            kid: &self.key_id,
            url,
        };
        let payload = serde_json::to_vec(jwk).ok()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.mac_key);
        flatten(&header, &payload, |message| {
            Some(hmac::sign(&key, message).as_ref().to_vec())
        })
    }
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::acme::account::AccountKey;

    const URL: &str = "https://ca.example/new-account";
    /// 32 bytes.
    const MAC_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wE";

    #[test]
    fn the_binding_is_a_mac_over_the_public_key_for_this_url() {
        let (key, _) = AccountKey::generate().unwrap();
        let external = ExternalAccount::new("kid-1", MAC_KEY.as_bytes()).unwrap();
        let binding = serde_json::to_value(external.bind(key.jwk(), URL).unwrap()).unwrap();
        let decoded = |field: &str| URL_SAFE_NO_PAD.decode(binding[field].as_str().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&decoded("protected")).unwrap();
        assert_eq!(header, json!({ "alg": "HS256", "kid": "kid-1", "url": URL }));
        let payload: Value = serde_json::from_slice(&decoded("payload")).unwrap();
        assert_eq!(payload, serde_json::to_value(key.jwk()).unwrap());
        let mac_key = hmac::Key::new(hmac::HMAC_SHA256, &URL_SAFE_NO_PAD.decode(MAC_KEY).unwrap());
        let message = format!(
            "{}.{}",
            binding["protected"].as_str().unwrap(),
            binding["payload"].as_str().unwrap()
        );
        hmac::verify(&mac_key, message.as_bytes(), &decoded("signature")).unwrap();
    }

    #[test]
    fn padding_and_a_line_end_do_not_matter() {
        for text in [format!("{MAC_KEY}=\n"), format!("  {MAC_KEY}")] {
            assert!(ExternalAccount::new("k", text.as_bytes()).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_never_shown() {
        let refused = |text: &str| ExternalAccount::new("k", text.as_bytes()).unwrap_err();
        assert_eq!(refused("not base64 at all"), MacKeyError::NotBase64);
        assert_eq!(refused(""), MacKeyError::TooShort);
        assert_eq!(refused("c2hvcnQ"), MacKeyError::TooShort);
        let external = ExternalAccount::new("kid-1", MAC_KEY.as_bytes()).unwrap();
        assert_eq!(
            format!("{external:?}"),
            "ExternalAccount { key_id: \"kid-1\", .. }"
        );
    }

    proptest! {
        #[test]
        fn whatever_stands_in_the_place_of_a_key_binds_or_is_refused_in_few_words(
            key_id in any::<String>(),
            text in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "[ \\n]{0,2}[-_A-Za-z0-9]{0,100}={0,3}\\n?".prop_map(String::into_bytes),
            ],
        ) {
            match ExternalAccount::new(&key_id, &text) {
                Ok(external) => {
                    let (key, _) = AccountKey::generate().unwrap();
                    prop_assert!(external.bind(key.jwk(), URL).is_some());
                }
                Err(error) => prop_assert!(error.to_string().len() < 100),
            }
        }
    }
}
