//! What signed requests are made of.

use std::fmt::Write as _;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RsaEncoding, RsaKeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// HMAC with SHA-256 (RFC 2104).
pub(super) fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// The key that comes of a secret, with `before` in front of it, and of these words in turn: AWS's Signature Version 4 and
/// those after its manner.
pub(super) fn derived(before: &str, secret: &str, words: &[&str]) -> Zeroizing<Vec<u8>> {
    let first = Zeroizing::new([before.as_bytes(), secret.as_bytes()].concat());
    words.iter().fold(first, |key, word| {
        Zeroizing::new(mac(&key, word).as_ref().to_vec())
    })
}

/// What the RSA key in this PEM, PKCS#8 or PKCS#1, signs the words by, in base64. Lines behind it are none of it. Nothing if it
/// is no such key.
pub(super) fn rsa_signature(padding: &'static dyn RsaEncoding, pem: &str, words: &str) -> Option<String> {
    let key = match PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        Err(_) => {
            let der = PrivatePkcs1KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
            RsaKeyPair::from_der(der.secret_pkcs1_der())
        }
    };
    let key = key.ok()?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(padding, &SystemRandom::new(), words.as_bytes(), &mut signature)
        .ok()?;
    Some(STANDARD.encode(signature))
}

/// SHA-256 in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// In hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}
