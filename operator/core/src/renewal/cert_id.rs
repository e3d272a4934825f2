//! The name under which a CA tells when to renew a certificate (RFC 9773 §4.1).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The most bytes of either part. Serial numbers have at most 20 (RFC 5280 §4.1.2.2), key
/// identifiers are hashes.
const PART_MAX: usize = 64;

/// The certID of a certificate: its issuer's key identifier and its serial number, each in
/// base64url without padding, with a period between them. Safe to stand in a URL's path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertId(String);

/// A text or certificate that gives no certID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a certID: two parts in base64url with a period between them")]
pub struct NotACertId;

impl CertId {
    /// From the keyIdentifier of the certificate's Authority Key Identifier extension and the bytes
    /// of its serial number, as the DER has them: a leading zero belongs to it.
    ///
    /// # Errors
    /// [`NotACertId`] if a part is empty, or longer than any real one.
    pub fn new(key_identifier: &[u8], serial: &[u8]) -> Result<Self, NotACertId> {
        if [key_identifier, serial]
            .iter()
            .any(|part| part.is_empty() || part.len() > PART_MAX)
        {
            return Err(NotACertId);
        }
        let [key_identifier, serial] = [key_identifier, serial].map(|part| URL_SAFE_NO_PAD.encode(part));
        Ok(Self(format!("{key_identifier}.{serial}")))
    }

    /// As it stands in a URL and in `replaces`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CertId {
    type Err = NotACertId;
    fn from_str(text: &str) -> Result<Self, NotACertId> {
        // Bounded before it is decoded.
        if text.len() > 4 * PART_MAX {
            return Err(NotACertId);
        }
        let (key_identifier, serial) = text.split_once('.').ok_or(NotACertId)?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| NotACertId);
        Self::new(&decoded(key_identifier)?, &decoded(serial)?)
    }
}

impl TryFrom<String> for CertId {
    type Error = NotACertId;
    fn try_from(text: String) -> Result<Self, NotACertId> {
        text.parse()
    }
}

impl From<CertId> for String {
    fn from(id: CertId) -> Self {
        id.0
    }
}

impl fmt::Display for CertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let key_identifier = [
            0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c,
            0xde, 0x01, 0xc8, 0xd4,
        ];
        let serial = [0x00, 0x87, 0x65, 0x43, 0x21];
        let id = CertId::new(&key_identifier, &serial).unwrap();
        assert_eq!(id.as_str(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    }

    #[test]
    fn what_is_no_cert_id_is_refused() {
        for text in [
            "", ".", "YQ", "YQ.", ".YQ", "YQ==.YQ", "YQ.YQ.YQ", "Y/.YQ", "../YQ", "YR.YQ", "YQ.YQ ",
        ] {
            assert_eq!(text.parse::<CertId>(), Err(NotACertId), "{text:?}");
        }
        assert_eq!(CertId::new(&[], &[1]), Err(NotACertId));
        assert_eq!(CertId::new(&[1; 65], &[1]), Err(NotACertId));
    }

    proptest! {
        #[test]
        fn a_written_cert_id_is_read_as_the_same(
            key in prop::collection::vec(any::<u8>(), 1..=64), serial in prop::collection::vec(any::<u8>(), 1..=64),
        ) {
            let id = CertId::new(&key, &serial).unwrap();
            prop_assert_eq!(id.as_str().parse::<CertId>(), Ok(id.clone()));
            prop_assert!(id.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
        }

        #[test]
        fn no_text_makes_the_parser_fail_otherwise(text in ".{0,40}") {
            let _ = text.parse::<CertId>();
        }
    }
}
