//! A certificate and its key as a PKCS#12 file. Pure, but for the salts.
//!
//! # Guarantees
//! A file that opens with the password and holds the same is kept as it is: its salts are random, and writing it anew
//! each time would have everybody read it anew each time.

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, Pkcs12Archive, PrivateKey, PrivateKeyChain};
use sha2::{Digest, Sha256};

use super::{Contents, KeystoreError};

/// The name of the entry, as cert-manager's keystores have it.
const ALIAS: &str = "certificate";

/// A file of these contents: `present`, if that will do.
///
/// # Errors
/// [`KeystoreError`] if key or certificate cannot be written.
pub(super) fn write(
    contents: &Contents,
    password: &str,
    present: Option<&[u8]>,
) -> Result<Vec<u8>, KeystoreError> {
    match present {
        Some(file) if is_in(contents, file, password) => Ok(file.to_vec()),
        _ => written(contents, password),
    }
}

/// Does this file hold the same, under this password?
fn is_in(contents: &Contents, file: &[u8], password: &str) -> bool {
    let Ok(Pkcs12Archive { keys, certs, secrets }) = Pkcs12Archive::from_pkcs12(file, password) else {
        return false;
    };
    let [key] = keys.as_slice() else { return false };
    secrets.is_empty()
        && key.key.as_der() == contents.key.as_slice()
        && certs
            .iter()
            .map(|bag| bag.cert.as_der())
            .eq(contents.chain.iter().map(Vec::as_slice))
}

fn written(contents: &Contents, password: &str) -> Result<Vec<u8>, KeystoreError> {
    let made = |error: p12_keystore::error::Error| KeystoreError::Made("PKCS#12", error.to_string());
    let leaf = contents.chain.first().ok_or(KeystoreError::Chain)?;
    // It ties the key to its certificate, within the file.
    let id = Sha256::digest(leaf).to_vec();
    let key = PrivateKey::from_der(&contents.key).map_err(made)?;
    let chain: Result<Vec<_>, _> = contents
        .chain
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect();
    let mut store = KeyStore::new();
    let chain = PrivateKeyChain::new(id, key, chain.map_err(made)?);
    store.add_entry(ALIAS, KeyStoreEntry::PrivateKeyChain(chain));
    // The library's defaults are cert-manager's profile Modern2023.
    store.writer(password).write().map_err(made)
}
