//! What signed requests are made of.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
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
