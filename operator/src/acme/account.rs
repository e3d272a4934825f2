//! An account's key, and what newAccount takes (RFC 8555 §7.3).

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// More than a key of any kind takes; what is longer is not looked at.
const LONGEST_PEM: usize = 16 * 1024;

/// An ES256 account key (ECDSA on P-256 with SHA-256, RFC 7518 §3.4). `Debug` shows no key.
pub struct AccountKey {
    pair: EcdsaKeyPair,
    jwk: Jwk,
}

/// A public P-256 key (RFC 7517, RFC 7518 §6.2). The members stand in the order that RFC 7638
/// hashes them in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jwk {
    crv: &'static str,
    kty: &'static str,
    x: String,
    y: String,
}

/// Why an account key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountKeyError {
    /// Not text, or far too long for a key.
    #[error("it is no PEM text")]
    NotText,
    /// No `-----BEGIN … PRIVATE KEY-----` in it.
    #[error("it holds no PEM private key (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// A private key of another kind.
    #[error("its key is no P-256 (ES256) private key")]
    NotP256,
    /// The system's random numbers or the key generation failed.
    #[error("a key could not be generated")]
    Generation,
    /// Signing failed.
    #[error("the account key could not sign")]
    Signing,
}

impl AccountKey {
    /// A new key, and its PKCS#8 PEM text for the account's Secret.
    ///
    /// # Errors
    /// [`AccountKeyError::Generation`] if the system has no random numbers.
    pub fn generate() -> Result<(Self, Zeroizing<String>), AccountKeyError> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|_| AccountKeyError::Generation)?;
        let pem = Zeroizing::new(pair.serialize_pem());
        Ok((Self::from_pem(pem.as_bytes())?, pem))
    }

    /// Reads a PKCS#8 or SEC 1 PEM private key, as it stands in a Secret.
    ///
    /// # Errors
    /// [`AccountKeyError`] says what the Secret holds in place of a usable key; it never quotes it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, AccountKeyError> {
        if pem.len() > LONGEST_PEM || std::str::from_utf8(pem).is_err() {
            return Err(AccountKeyError::NotText);
        }
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| AccountKeyError::NoKey)?;
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_der())
            .map_err(|_| AccountKeyError::NotP256)?;
        let jwk = Jwk::of(pair.public_key().as_ref()).ok_or(AccountKeyError::NotP256)?;
        Ok(AccountKey { pair, jwk })
    }

    /// The public half.
    #[must_use]
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The public half's thumbprint: the second part of every key authorization (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.jwk.thumbprint()
    }

    /// The 64-byte signature `R ‖ S` over `message` (RFC 7518 §3.4).
    ///
    /// # Errors
    /// [`AccountKeyError::Signing`] if the cryptography library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AccountKeyError> {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message)
            .map_err(|_| AccountKeyError::Signing)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey")
            .field("thumbprint", &self.thumbprint())
            .finish_non_exhaustive()
    }
}

impl Jwk {
    /// The key whose uncompressed point (SEC 1 §2.3.3) is `point`.
    fn of(point: &[u8]) -> Option<Self> {
        let coordinates = point.strip_prefix(&[4])?;
        if coordinates.len() != 64 {
            return None;
        }
        let (x, y) = coordinates.split_at(32);
        Some(Jwk {
            crv: "P-256",
            kty: "EC",
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        })
    }

    /// SHA-256 over the required members, base64url (RFC 7638 §3).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let Jwk { crv, kty, x, y } = self;
        // Base64url needs no escapes in JSON.
        let canonical = format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#);
        URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
    }
}

/// newAccount's payload (RFC 8555 §7.3). The CA answers 201 for a new account and 200 for one that
/// the key already has, so the same request finds and makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAccount {
    /// `mailto:` URLs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<String>,
    /// Consent to the CA's terms of service.
    pub terms_of_service_agreed: bool,
}

impl NewAccount {
    /// An account with `email`, if one is given, that agrees to the terms of service.
    #[must_use]
    pub fn with_email(email: Option<&str>) -> Self {
        NewAccount {
            contact: email
                .map(|address| format!("mailto:{address}"))
                .into_iter()
                .collect(),
            terms_of_service_agreed: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl ecparam -name prime256v1 -genkey`; the point and the hash were computed
    /// with `openssl ec -text` and Python's hashlib.
    const PKCS8: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg59vVmu6b3NG3v+1t\n\
Dwy0s5iUbGpblWrnpFcThbBBV6mhRANCAAQQEd4s38M6jjMhmSyepxzU7ucVCdJm\n\
1Ec1oeUL2fDfuZEXrjxHSsNLy2mr0oId9H0EvAspNIB4LT4gbhhcUAwg\n\
-----END PRIVATE KEY-----\n";
    const SEC1: &str = "-----BEGIN EC PRIVATE KEY-----\n\
MHcCAQEEIOfb1Zrum9zRt7/tbQ8MtLOYlGxqW5Vq56RXE4WwQVepoAoGCCqGSM49\n\
AwEHoUQDQgAEEBHeLN/DOo4zIZksnqcc1O7nFQnSZtRHNaHlC9nw37mRF648R0rD\n\
S8tpq9KCHfR9BLwLKTSAeC0+IG4YXFAMIA==\n\
-----END EC PRIVATE KEY-----\n";
    const THUMBPRINT: &str = "c3MSxHIJb_7bYnnBPhd4Alf23qRBT6ScuTXaYFWdvCk";

    #[test]
    fn the_thumbprint_is_the_one_that_openssl_and_python_give() {
        assert_eq!(
            AccountKey::from_pem(PKCS8.as_bytes()).unwrap().thumbprint(),
            THUMBPRINT
        );
    }

    #[test]
    fn a_sec1_key_is_read_as_the_same_key() {
        assert_eq!(
            AccountKey::from_pem(SEC1.as_bytes()).unwrap().thumbprint(),
            THUMBPRINT
        );
    }

    #[test]
    fn a_generated_key_survives_its_pem_text() {
        let (key, pem) = AccountKey::generate().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(AccountKey::from_pem(pem.as_bytes()).unwrap().jwk(), key.jwk());
    }

    #[test]
    fn garbage_is_named_and_never_quoted() {
        let error = |pem: &[u8]| AccountKey::from_pem(pem).unwrap_err();
        assert_eq!(error(b"secret garbage"), AccountKeyError::NoKey);
        assert_eq!(error(b""), AccountKeyError::NoKey);
        assert_eq!(error(&[0xff, 0xfe]), AccountKeyError::NotText);
        assert_eq!(error(&vec![b'a'; LONGEST_PEM + 1]), AccountKeyError::NotText);
        let empty = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(error(empty), AccountKeyError::NotP256);
        assert_eq!(error(&PKCS8.as_bytes()[..100]), AccountKeyError::NoKey);
        assert!(!error(b"secret garbage").to_string().contains("garbage"));
    }

    #[test]
    fn keys_of_other_kinds_are_told_apart_from_garbage() {
        let pem = |pair: rcgen::KeyPair| pair.serialize_pem();
        let p384 = pem(rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap());
        let ed25519 = pem(rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
        let rsa = pem(rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap());
        for pem in [p384, ed25519, rsa] {
            assert_eq!(
                AccountKey::from_pem(pem.as_bytes()).unwrap_err(),
                AccountKeyError::NotP256
            );
        }
    }

    #[test]
    fn debug_shows_no_private_key() {
        let key = AccountKey::from_pem(PKCS8.as_bytes()).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("AccountKey {{ thumbprint: {THUMBPRINT:?}, .. }}")
        );
    }

    #[test]
    fn new_account_asks_as_rfc_8555_7_3_has_it() {
        let json = |email| serde_json::to_value(NewAccount::with_email(email)).unwrap();
        assert_eq!(
            json(Some("ops@example.com")),
            serde_json::json!({ "contact": ["mailto:ops@example.com"], "termsOfServiceAgreed": true })
        );
        assert_eq!(json(None), serde_json::json!({ "termsOfServiceAgreed": true }));
    }
}
