//! Check before publishing: is this chain, with this key, what the shard's names need?
//!
//! The same check tells whether a Secret that is already there still serves.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sancho_core::renewal::CertId;
use sancho_core::shown::{shown, shown_within};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

/// The longest chain that is looked at: 100 long names, and a few links of any usual key.
/// Bounded before any parsing, so that a hostile text costs little.
pub const LONGEST_CHAIN_PEM: usize = 128 * 1024;

/// The longest key that is looked at.
pub const LONGEST_KEY_PEM: usize = 16 * 1024;

/// No public CA's chain has more links.
const MOST_CERTIFICATES: usize = 10;

/// The most characters that are shown of why a certificate cannot be read: the parsers quote what they read.
const REASON_SHOWN: usize = 200;

/// The most characters that are shown of a name: the longest of the DNS, and a few.
const NAME_SHOWN: usize = 260;

/// A CA's clock may be ahead of ours by this much, in seconds: an hour, and a little. A clock that is wrong is more often
/// ours than a CA's, and each certificate that were refused for it would cost another order.
const CLOCK_SKEW: i64 = 3900;

/// What is known of a chain that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedFacts {
    /// Start of the leaf's validity.
    pub not_before: Timestamp,
    /// End of the leaf's validity.
    pub not_after: Timestamp,
    /// Hexadecimal SHA-256 of the whole chain's text, as it stands in `tls.crt`.
    pub fingerprint: String,
    /// The leaf's serial number, hexadecimal.
    pub serial: String,
    /// Its name in the CA's RenewalInfo (RFC 9773 §4.1), if it says which key of the CA signed it.
    pub cert_id: Option<CertId>,
    /// The leaf's issuer, fit to be shown.
    pub issuer: String,
    /// How many certificates the chain has.
    pub links: usize,
}

/// Why a chain does not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Too long to be looked at.
    #[error("the {what} is longer than {limit} bytes")]
    TooLong {
        /// `chain` or `key`.
        what: &'static str,
        /// How much is looked at.
        limit: usize,
    },
    /// No certificates, or too many.
    #[error("the chain has {0} certificates")]
    Count(usize),
    /// Not a certificate.
    #[error("certificate {index} of the chain cannot be read: {reason}")]
    Malformed {
        /// Its place, from 0.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// No private key that can be used.
    #[error("the private key cannot be read")]
    Key,
    /// The certificate is for another key.
    #[error("the certificate is for another key than the one that is kept with it")]
    WrongKey,
    /// The certificate's names are not the shard's.
    #[error("the certificate's names are not the shard's: {}", differences(.missing, .surplus))]
    Names {
        /// The shard's names that the certificate lacks.
        missing: Vec<String>,
        /// The certificate's names that are not the shard's.
        surplus: Vec<String>,
    },
    /// It is not valid yet.
    #[error("the certificate is not valid before {0}")]
    NotYetValid(Timestamp),
    /// It has expired.
    #[error("the certificate expired at {0}")]
    Expired(Timestamp),
    /// Its validity makes no sense.
    #[error("the certificate's validity ends before it begins, or outside of any calendar")]
    Dates,
    /// The leaf is itself a CA's certificate.
    #[error("the chain begins with a CA's certificate, and not with the shard's")]
    LeafIsCa,
    /// A certificate is not signed by the one after it.
    #[error("certificate {index} of the chain is not issued by the one after it")]
    Unlinked {
        /// Its place, from 0.
        index: usize,
    },
}

/// Checks that `chain_pem` (leaf first) is for the key in `key_pem` and for exactly
/// `expected_names`, that the leaf is valid at `now`, and that each certificate is issued and
/// signed by the next.
///
/// The last certificate's own issuer is not looked for: whether clients trust it is the CA's
/// matter, and test CAs are trusted by nobody.
///
/// # Errors
/// [`ChainError`] names the first thing that is wrong. Nothing of the key is in it.
pub fn check(
    chain_pem: &[u8],
    key_pem: &[u8],
    expected_names: &[String],
    now: Timestamp,
) -> Result<IssuedFacts, ChainError> {
    let ders = certificates(chain_pem)?;
    let chain = parsed(&ders)?;
    let leaf = chain.first().ok_or(ChainError::Count(0))?;
    check_key(leaf, key_pem)?;
    check_names(leaf, expected_names)?;
    let (not_before, not_after) = check_dates(leaf, now)?;
    if leaf.is_ca() {
        return Err(ChainError::LeafIsCa);
    }
    check_links(&chain)?;
    Ok(IssuedFacts {
        not_before,
        not_after,
        fingerprint: fingerprint(chain_pem),
        serial: hexadecimal(leaf.raw_serial()),
        cert_id: cert_id(leaf),
        issuer: shown(&leaf.issuer().to_string()),
        links: chain.len(),
    })
}

/// Hexadecimal SHA-256 of a chain's text: [`IssuedFacts::fingerprint`].
#[must_use]
pub fn fingerprint(chain_pem: &[u8]) -> String {
    hexadecimal(&Sha256::digest(chain_pem))
}

/// The names of the chain's leaf, sorted: what a Secret that is found was issued for.
///
/// # Errors
/// [`ChainError`] if it is no chain.
pub fn names(chain_pem: &[u8]) -> Result<Vec<String>, ChainError> {
    let ders = certificates(chain_pem)?;
    let chain = parsed(&ders)?;
    let leaf = chain.first().ok_or(ChainError::Count(0))?;
    Ok(leaf_names(leaf)?.into_iter().collect())
}

/// The first certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// As DER.
    pub der: Vec<u8>,
    /// Its serial number, hexadecimal.
    pub serial: String,
}

/// The chain's leaf, which is for this key: whoever has the key may have it revoked.
///
/// # Errors
/// [`ChainError`] if it is no chain, or for another key.
pub fn leaf(chain_pem: &[u8], key_pem: &[u8]) -> Result<Leaf, ChainError> {
    let ders = certificates(chain_pem)?;
    let chain = parsed(&ders)?;
    let (Some(der), Some(leaf)) = (ders.first(), chain.first()) else {
        return Err(ChainError::Count(0));
    };
    check_key(leaf, key_pem)?;
    Ok(Leaf {
        der: der.to_vec(),
        serial: hexadecimal(leaf.raw_serial()),
    })
}

fn certificates(chain_pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ChainError> {
    if chain_pem.len() > LONGEST_CHAIN_PEM {
        return Err(ChainError::TooLong {
            what: "chain",
            limit: LONGEST_CHAIN_PEM,
        });
    }
    let mut ders = Vec::new();
    for (index, der) in CertificateDer::pem_slice_iter(chain_pem).enumerate() {
        if index == MOST_CERTIFICATES {
            return Err(ChainError::Count(index + 1));
        }
        ders.push(der.map_err(|error| ChainError::Malformed {
            index,
            reason: shown_within(&error.to_string(), REASON_SHOWN),
        })?);
    }
    Ok(ders)
}

fn parsed<'a>(ders: &'a [CertificateDer<'static>]) -> Result<Vec<X509Certificate<'a>>, ChainError> {
    let read = |(index, der): (usize, &'a CertificateDer<'static>)| {
        let malformed = |reason: String| ChainError::Malformed {
            index,
            reason: shown_within(&reason, REASON_SHOWN),
        };
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| malformed(error.to_string()))?;
        if rest.is_empty() {
            Ok(certificate)
        } else {
            Err(malformed("something follows it".to_owned()))
        }
    };
    ders.iter().enumerate().map(read).collect()
}

fn check_key(leaf: &X509Certificate<'_>, key_pem: &[u8]) -> Result<(), ChainError> {
    if key_pem.len() > LONGEST_KEY_PEM {
        return Err(ChainError::TooLong {
            what: "key",
            limit: LONGEST_KEY_PEM,
        });
    }
    let text = std::str::from_utf8(key_pem).map_err(|_| ChainError::Key)?;
    let key = KeyPair::from_pem(text).map_err(|_| ChainError::Key)?;
    if *leaf.public_key().subject_public_key.data == *key.public_key_raw() {
        Ok(())
    } else {
        Err(ChainError::WrongKey)
    }
}

fn check_names(leaf: &X509Certificate<'_>, expected: &[String]) -> Result<(), ChainError> {
    let present = leaf_names(leaf)?;
    let expected: BTreeSet<String> = expected.iter().map(|name| name.to_ascii_lowercase()).collect();
    if present == expected {
        return Ok(());
    }
    let difference = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect();
    Err(ChainError::Names {
        missing: difference(&expected, &present),
        surplus: difference(&present, &expected),
    })
}

/// All names of the leaf, in lower case; those that are neither DNS names nor addresses as they are written, so that
/// they never equal one.
fn leaf_names(leaf: &X509Certificate<'_>) -> Result<BTreeSet<String>, ChainError> {
    let malformed = |error: X509Error| ChainError::Malformed {
        index: 0,
        reason: shown_within(&error.to_string(), REASON_SHOWN),
    };
    let extension = leaf.subject_alternative_name().map_err(malformed)?;
    let names = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names);
    Ok(names
        .map(|name| match name {
            GeneralName::DNSName(name) => name.to_ascii_lowercase(),
            GeneralName::IPAddress(bytes) => address(bytes).unwrap_or_else(|| name.to_string()),
            other => other.to_string(),
        })
        .collect())
}

/// The canonical text of an address (RFC 5280 §4.2.1.6: 4 or 16 bytes).
fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
        .map(|address| address.to_string())
}

fn cert_id(leaf: &X509Certificate<'_>) -> Option<CertId> {
    let key_identifier =
        leaf.extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
                _ => None,
            })?;
    CertId::new(key_identifier.0, leaf.raw_serial()).ok()
}

fn check_dates(leaf: &X509Certificate<'_>, now: Timestamp) -> Result<(Timestamp, Timestamp), ChainError> {
    let moment = |seconds: i64| Timestamp::from_second(seconds).map_err(|_| ChainError::Dates);
    let not_before = moment(leaf.validity().not_before.timestamp())?;
    let not_after = moment(leaf.validity().not_after.timestamp())?;
    if not_after <= not_before {
        return Err(ChainError::Dates);
    }
    if not_before.as_second() > now.as_second() + CLOCK_SKEW {
        return Err(ChainError::NotYetValid(not_before));
    }
    if not_after <= now {
        return Err(ChainError::Expired(not_after));
    }
    Ok((not_before, not_after))
}

fn check_links(chain: &[X509Certificate<'_>]) -> Result<(), ChainError> {
    for (index, pair) in chain.windows(2).enumerate() {
        let [certificate, issuer] = pair else { continue };
        let linked = certificate.issuer().as_raw() == issuer.subject().as_raw()
            && issuer.is_ca()
            && match certificate.verify_signature(Some(issuer.public_key())) {
                Ok(()) => true,
                // An algorithm that this library does not know is the client's to check.
                Err(X509Error::SignatureUnsupportedAlgorithm) => true,
                Err(_) => false,
            };
        if !linked {
            return Err(ChainError::Unlinked { index });
        }
    }
    Ok(())
}

/// The first few names of either kind.
fn differences(missing: &[String], surplus: &[String]) -> String {
    const SHOWN: usize = 3;
    let list = |what: &str, names: &[String]| {
        let shown = names
            .iter()
            .take(SHOWN)
            .map(|name| format!("{:?}", shown_within(name, NAME_SHOWN)))
            .collect::<Vec<_>>()
            .join(", ");
        let more = names.len().saturating_sub(SHOWN);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("{what} {shown}{more}")
    };
    [("it lacks", missing), ("it also has", surplus)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| list(what, names))
        .collect::<Vec<_>>()
        .join("; ")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
