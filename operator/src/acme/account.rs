//! An account's key, and what newAccount takes (RFC 8555 §7.3).

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use sha2::{Digest, Sha256};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;
use zeroize::Zeroizing;

use crate::acme::jws::Flattened;

/// More than a key of any kind takes; what is longer is not looked at.
const LONGEST_PEM: usize = 16 * 1024;

/// An account key: ES256, as new ones are, ES384 or RS256 (RFC 7518 §3.3–3.4). `Debug` shows no key.
pub struct AccountKey {
    pair: Pair,
    jwk: Jwk,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

/// A public key (RFC 7517, RFC 7518 §6.2–6.3). The members stand in the order that RFC 7638 hashes
/// them in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Jwk {
    /// A point of an elliptic curve.
    Ec {
        /// `P-256` or `P-384`.
        crv: &'static str,
        /// `EC`.
        kty: &'static str,
        /// The point's coordinates.
        x: String,
        /// The point's coordinates.
        y: String,
    },
    /// An RSA key.
    Rsa {
        /// The exponent.
        e: String,
        /// `RSA`.
        kty: &'static str,
        /// The modulus.
        n: String,
    },
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
    #[error("its key is neither one of P-256 or P-384 nor an RSA key of at least 2048 bits")]
    Unsupported,
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

    /// Reads a PKCS#8, SEC 1 or PKCS#1 PEM private key, as it stands in a Secret.
    ///
    /// # Errors
    /// [`AccountKeyError`] says what the Secret holds in place of a usable key; it never quotes it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, AccountKeyError> {
        if pem.len() > LONGEST_PEM || std::str::from_utf8(pem).is_err() {
            return Err(AccountKeyError::NotText);
        }
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| AccountKeyError::NoKey)?;
        let pair = Pair::read(&der).ok_or(AccountKeyError::Unsupported)?;
        let jwk = pair.jwk().ok_or(AccountKeyError::Unsupported)?;
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

    /// How it signs, as a protected header names it (RFC 7518 §3.1).
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::Es384(_) => "ES384",
            Pair::Rs256(_) => "RS256",
        }
    }

    /// The signature over `message`: `R ‖ S` of an elliptic curve's key (RFC 7518 §3.4), PKCS#1 v1.5 of an RSA
    /// key (§3.3).
    ///
    /// # Errors
    /// [`AccountKeyError::Signing`] if the cryptography library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AccountKeyError> {
        let random = SystemRandom::new();
        let signed = match &self.pair {
            Pair::Es256(pair) | Pair::Es384(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map(|()| signature)
            }
        };
        signed.map_err(|_| AccountKeyError::Signing)
    }
}

impl Pair {
    fn read(der: &PrivateKeyDer<'_>) -> Option<Self> {
        let bytes = der.secret_der();
        let ec = |algorithm| EcdsaKeyPair::from_private_key_der(algorithm, bytes).ok();
        match der {
            PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(bytes).ok().map(Pair::Rs256),
            PrivateKeyDer::Sec1(_) | PrivateKeyDer::Pkcs8(_) => ec(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map(Pair::Es256)
                .or_else(|| ec(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Pair::Es384))
                .or_else(|| RsaKeyPair::from_pkcs8(bytes).ok().map(Pair::Rs256)),
            _ => None,
        }
    }

    fn jwk(&self) -> Option<Jwk> {
        match self {
            Pair::Es256(pair) => Jwk::of_point("P-256", 32, pair.public_key().as_ref()),
            Pair::Es384(pair) => Jwk::of_point("P-384", 48, pair.public_key().as_ref()),
            Pair::Rs256(pair) => Jwk::of_rsa(pair.public_key().as_ref()),
        }
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
    /// The key whose uncompressed point (SEC 1 §2.3.3), with coordinates of `size` bytes, is `point`.
    fn of_point(curve: &'static str, size: usize, point: &[u8]) -> Option<Self> {
        let coordinates = point.strip_prefix(&[4])?;
        if coordinates.len() != 2 * size {
            return None;
        }
        let (x, y) = coordinates.split_at(size);
        Some(Jwk::Ec {
            crv: curve,
            kty: "EC",
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        })
    }

    /// The key whose `RSAPublicKey` (RFC 8017 §A.1.1) is `der`. Its numbers go without leading zeros (RFC 7518 §2).
    fn of_rsa(der: &[u8]) -> Option<Self> {
        let (_, key) = RSAPublicKey::from_der(der).ok()?;
        let number = |bytes: &[u8]| {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            URL_SAFE_NO_PAD.encode(&bytes[zeros..])
        };
        Some(Jwk::Rsa {
            e: number(key.exponent),
            kty: "RSA",
            n: number(key.modulus),
        })
    }

    /// SHA-256 over the required members, base64url (RFC 7638 §3).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // Base64url needs no escapes in JSON.
        let canonical = match self {
            Jwk::Ec { crv, kty, x, y } => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#),
            Jwk::Rsa { e, kty, n } => format!(r#"{{"e":"{e}","kty":"{kty}","n":"{n}"}}"#),
        };
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
    /// Only look whether the key has an account (RFC 8555 §7.3.1).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_return_existing: bool,
    /// See [`ExternalAccount::bind`](crate::acme::binding::ExternalAccount::bind).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_account_binding: Option<Flattened>,
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
            only_return_existing: false,
            external_account_binding: None,
        }
    }
}

#[cfg(test)]
mod tests;
