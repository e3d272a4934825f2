//! A certificate and its key as a PKCS#12 file with a password. Pure, but for the salts.
//!
//! # Guarantees
//! A file that opens with the password and holds the same is kept as it is: its salts are random, and writing it anew
//! each time would have everybody read it anew each time.

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, Pkcs12Archive, PrivateKey, PrivateKeyChain};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::acme::csr::ShardKey;

/// The name of the entry, as cert-manager's keystores have it.
const ALIAS: &str = "certificate";

/// Why there is no keystore.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreError {
    /// The chain cannot be read.
    #[error("tls.crt cannot be read")]
    Chain,
    /// The key cannot be read.
    #[error("tls.key cannot be read")]
    Key,
    /// The library refuses.
    #[error("the PKCS#12 file cannot be made: {0}")]
    Made(String),
}

/// Certificate and key as they stand in a PKCS#12 file.
struct Contents {
    chain: Vec<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

impl Contents {
    fn of(chain: &[u8], key: &[u8]) -> Result<Self, KeystoreError> {
        let chain: Result<Vec<Vec<u8>>, _> = CertificateDer::pem_slice_iter(chain)
            .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
            .collect();
        // An adopted key may be written in another way than PKCS#8, which is the only one here.
        let key = ShardKey::from_pem(key).map_err(|_| KeystoreError::Key)?;
        let key = PrivateKeyDer::from_pem_slice(key.to_pem().as_bytes()).map_err(|_| KeystoreError::Key)?;
        Ok(Self {
            chain: chain
                .ok()
                .filter(|chain| !chain.is_empty())
                .ok_or(KeystoreError::Chain)?,
            key: Zeroizing::new(key.secret_der().to_vec()),
        })
    }

    /// Does this file hold the same, under this password?
    fn is_in(&self, file: &[u8], password: &str) -> bool {
        let Ok(Pkcs12Archive { keys, certs, secrets }) = Pkcs12Archive::from_pkcs12(file, password) else {
            return false;
        };
        let [key] = keys.as_slice() else { return false };
        secrets.is_empty()
            && key.key.as_der() == self.key.as_slice()
            && certs
                .iter()
                .map(|bag| bag.cert.as_der())
                .eq(self.chain.iter().map(Vec::as_slice))
    }

    fn written(&self, password: &str) -> Result<Vec<u8>, KeystoreError> {
        let made = |error: p12_keystore::error::Error| KeystoreError::Made(error.to_string());
        let leaf = self.chain.first().ok_or(KeystoreError::Chain)?;
        // It ties the key to its certificate, within the file.
        let id = Sha256::digest(leaf).to_vec();
        let key = PrivateKey::from_der(&self.key).map_err(made)?;
        let chain: Result<Vec<_>, _> = self.chain.iter().map(|der| Certificate::from_der(der)).collect();
        let mut store = KeyStore::new();
        let chain = PrivateKeyChain::new(id, key, chain.map_err(made)?);
        store.add_entry(ALIAS, KeyStoreEntry::PrivateKeyChain(chain));
        // The library's defaults are cert-manager's profile Modern2023.
        store.writer(password).write().map_err(made)
    }
}

/// A PKCS#12 file of this chain and key: `present`, if that will do.
///
/// # Errors
/// [`KeystoreError`] if certificate or key cannot be read, or the password cannot be one.
pub fn pkcs12(
    chain: &[u8],
    key: &[u8],
    password: &str,
    present: Option<&[u8]>,
) -> Result<Vec<u8>, KeystoreError> {
    let contents = Contents::of(chain, key)?;
    match present {
        Some(file) if contents.is_in(file, password) => Ok(file.to_vec()),
        _ => contents.written(password),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn chain_and_key(name: &str) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    #[test]
    fn a_file_that_holds_the_same_is_kept_and_any_other_is_made_anew() {
        let (chain, key) = chain_and_key("a.example");
        let file = pkcs12(&chain, &key, "secret", None).unwrap();
        assert_ne!(
            file,
            pkcs12(&chain, &key, "secret", None).unwrap(),
            "salts are random"
        );
        assert_eq!(file, pkcs12(&chain, &key, "secret", Some(&file)).unwrap());

        let other_password = pkcs12(&chain, &key, "other", Some(&file)).unwrap();
        assert_ne!(file, other_password);
        assert!(Pkcs12Archive::from_pkcs12(&other_password, "secret").is_err());
        let (other_chain, other_key) = chain_and_key("b.example");
        assert_ne!(
            file,
            pkcs12(&other_chain, &other_key, "secret", Some(&file)).unwrap()
        );
        let longer = [chain.clone(), other_chain].concat();
        let with_issuer = pkcs12(&longer, &key, "secret", Some(&file)).unwrap();
        assert_ne!(file, with_issuer);
        assert_eq!(
            with_issuer,
            pkcs12(&longer, &key, "secret", Some(&with_issuer)).unwrap()
        );
        assert_ne!(
            b"none".to_vec(),
            pkcs12(&chain, &key, "secret", Some(b"none")).unwrap()
        );
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let (chain, key) = chain_and_key("a.example");
        assert_eq!(pkcs12(b"", &key, "secret", None), Err(KeystoreError::Chain));
        assert_eq!(pkcs12(&chain, b"", "secret", None), Err(KeystoreError::Key));
    }
}
