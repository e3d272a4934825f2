//! What stands in a certificate, read with a library of its own and not with the operator's code.

use anyhow::{Context, Result};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

/// The DNS names of the first certificate of a PEM chain.
///
/// # Errors
/// When the text is no PEM or holds no certificate with names.
pub fn dns_names(chain: &[u8]) -> Result<Vec<String>> {
    let (_, pem) = parse_x509_pem(chain).context("no PEM")?;
    let certificate = pem.parse_x509().context("no certificate")?;
    let names = certificate
        .subject_alternative_name()
        .context("subjectAltName")?
        .context("no subjectAltName")?;
    let names = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    Ok(names.collect())
}
