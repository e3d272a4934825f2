//! What stands in a certificate, read with a library of its own and not with the operator's code.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use rcgen::{KeyPair, PublicKeyData};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::{Pem, parse_x509_pem};

/// The first certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The DNS names, in their order.
    pub dns_names: Vec<String>,
    /// The IP addresses, in their order.
    pub ip_addresses: Vec<IpAddr>,
    /// The serial number, big-endian.
    pub serial: Vec<u8>,
    /// Valid from then on.
    pub not_before: Timestamp,
    /// Valid until then.
    pub not_after: Timestamp,
    /// The SubjectPublicKeyInfo as DER.
    pub public_key: Vec<u8>,
}

impl Leaf {
    /// Reads a PEM chain.
    ///
    /// # Errors
    /// When the text is no PEM or holds no certificate with names.
    pub fn read(chain: &[u8]) -> Result<Self> {
        let (_, pem) = parse_x509_pem(chain).context("no PEM")?;
        let certificate = pem.parse_x509().context("no certificate")?;
        let names = certificate
            .subject_alternative_name()
            .context("subjectAltName")?
            .context("no subjectAltName")?;
        let names = &names.value.general_names;
        let dns_names = names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let ip_addresses = names.iter().filter_map(|name| match name {
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
            },
            _ => None,
        });
        let validity = certificate.validity();
        Ok(Leaf {
            dns_names: dns_names.collect(),
            ip_addresses: ip_addresses.collect(),
            serial: certificate.raw_serial().to_vec(),
            not_before: Timestamp::from_second(validity.not_before.timestamp())?,
            not_after: Timestamp::from_second(validity.not_after.timestamp())?,
            public_key: certificate.public_key().raw.to_vec(),
        })
    }

    /// Is this PEM its private key?
    ///
    /// # Errors
    /// When the text is no key.
    pub fn is_of_key(&self, key: &[u8]) -> Result<bool> {
        let key = KeyPair::from_pem(std::str::from_utf8(key)?).context("no key")?;
        Ok(key.subject_public_key_info() == self.public_key)
    }
}

/// Was this PEM chain issued under this root: does each certificate name the next one as its issuer, and the last one the
/// root? Names alone are looked at: Pebble's are other ones at each start.
///
/// # Errors
/// When one of the texts holds something that is no certificate.
pub fn is_issued_under(chain: &[u8], root: &[u8]) -> Result<bool> {
    let mut issuer: Option<Vec<u8>> = None;
    for pem in Pem::iter_from_buffer(chain) {
        let pem = pem.context("no PEM")?;
        let certificate = pem.parse_x509().context("no certificate")?;
        if issuer.is_some_and(|issuer| issuer != certificate.subject().as_raw()) {
            return Ok(false);
        }
        issuer = Some(certificate.issuer().as_raw().to_vec());
    }
    let (_, pem) = parse_x509_pem(root).context("no PEM")?;
    let root = pem.parse_x509().context("no certificate")?;
    Ok(issuer.as_deref() == Some(root.subject().as_raw()))
}

/// All names in the leaf certificates of the TLS Secrets of a namespace, and the Secrets' names in order.
///
/// # Errors
/// When the API server does not answer or a Secret holds no certificate.
pub async fn in_secrets(secrets: &Api<Secret>) -> Result<(BTreeSet<String>, Vec<String>)> {
    let mut names = BTreeSet::new();
    let mut secret_names = Vec::new();
    for secret in secrets.list(&Default::default()).await? {
        if secret.type_.as_deref() != Some("kubernetes.io/tls") {
            continue;
        }
        secret_names.push(secret.name_any());
        let chain = secret.data.as_ref().and_then(|data| data.get("tls.crt"));
        if let Some(chain) = chain {
            names.extend(Leaf::read(&chain.0)?.dns_names);
        }
    }
    secret_names.sort();
    Ok((names, secret_names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;

    #[test]
    fn a_chain_is_issued_under_the_root_that_its_last_certificate_names() {
        let [one, two] = ["one", "two"].map(|name| Authority::new(name).unwrap());
        let leaf = |of: &Authority| of.server("www", &[]).unwrap().certificate;
        let under =
            |chain: &str, root: &Authority| is_issued_under(chain.as_bytes(), root.pem().as_bytes()).unwrap();
        assert!(under(&leaf(&one), &one));
        assert!(under(&(leaf(&one) + one.pem()), &one));
        assert!(!under(&leaf(&one), &two));
        assert!(
            !under(&(leaf(&one) + two.pem()), &two),
            "two issued no part of it"
        );
        assert!(!under("", &one));
    }
}
