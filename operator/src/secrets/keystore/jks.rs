//! A certificate and its key in Java's own format. Pure.
//!
//! # Guarantees
//! The same contents under the same password give the same file, bit by bit: the salt is derived from them. So no file
//! that somebody else may have written is ever read.

use std::io;
use std::time::{Duration, SystemTime};

use jks::common::RandomReader;
use jks::{Certificate, KeyStore, KeyStoreOptions, PrivateKeyEntry};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Contents, KeystoreError};

/// Fewer characters Java's own tool takes of no password.
const SHORTEST_PASSWORD: usize = 6;

/// The bytes of the salt, one after the other. It is as good as a random one: nobody who does not know key and password
/// can tell it, and another key or password has another one.
struct Salt {
    bytes: Zeroizing<Vec<u8>>,
}

impl Salt {
    fn of(contents: &Contents, password: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update("salt of a keystore");
        for part in [password.as_bytes(), &contents.key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self {
            bytes: Zeroizing::new(hash.finalize().to_vec()),
        }
    }
}

impl RandomReader for Salt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.len() > self.bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let rest = self.bytes.split_off(buffer.len());
        buffer.copy_from_slice(&self.bytes);
        self.bytes = Zeroizing::new(rest);
        Ok(())
    }
}

/// The file, with one entry of this name, as old as the certificate.
///
/// # Errors
/// [`KeystoreError::Password`] if Java could not be given the password.
pub(super) fn write(contents: &Contents, password: &str, alias: &str) -> Result<Vec<u8>, KeystoreError> {
    if !password.is_ascii() || password.len() < SHORTEST_PASSWORD {
        return Err(KeystoreError::Password);
    }
    let made = |error: jks::KeyStoreError| KeystoreError::Made("JKS", error.to_string());
    let certificate = |der: &Vec<u8>| Certificate {
        cert_type: "X509".into(),
        content: der.clone(),
    };
    let entry = PrivateKeyEntry {
        creation_time: begin(contents)?,
        // Replaced by its encrypted form.
        private_key: contents.key.to_vec(),
        certificate_chain: contents.chain.iter().map(certificate).collect(),
    };
    let mut store = KeyStore::with_options(KeyStoreOptions {
        rng: Box::new(Salt::of(contents, password)),
        min_password_len: SHORTEST_PASSWORD,
        ..KeyStoreOptions::default()
    });
    let password = password.as_bytes();
    store
        .set_private_key_entry(alias, entry, password)
        .map_err(made)?;
    let mut file = Vec::new();
    store.store(&mut file, password).map_err(made)?;
    Ok(file)
}

/// The moment from which on the certificate is valid.
fn begin(contents: &Contents) -> Result<SystemTime, KeystoreError> {
    let leaf = contents.chain.first().ok_or(KeystoreError::Chain)?;
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).map_err(|_| KeystoreError::Chain)?;
    let seconds = u64::try_from(leaf.validity().not_before.timestamp()).unwrap_or_default();
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, prop_oneof, proptest};

    use super::super::tests::chain_and_key;
    use super::*;

    /// A key and a certificate that never change, so that the file of them is known.
    const KEY: &str = include_str!("fixed/tls.key");
    const CHAIN: &str = include_str!("fixed/tls.crt");

    fn contents() -> Contents {
        Contents::of(CHAIN.as_bytes(), KEY.as_bytes()).unwrap()
    }

    #[test]
    fn the_file_is_the_one_that_java_has_read() {
        let file = write(&contents(), "changeit", "certificate").unwrap();
        // `keytool -list -v` of JDK 17 listed this very file, and `keytool -importkeystore` took the key out of it.
        assert!(file == include_bytes!("fixed/keystore.jks"), "another file");
    }

    #[test]
    fn another_password_key_or_name_makes_another_file_and_only_the_password_opens_it() {
        let file = write(&contents(), "changeit", "certificate").unwrap();
        let (chain, key) = chain_and_key("a.example");
        let other = Contents::of(&chain, &key).unwrap();
        for other in [
            write(&contents(), "changed", "certificate").unwrap(),
            write(&contents(), "changeit", "server").unwrap(),
            write(&other, "changeit", "certificate").unwrap(),
        ] {
            assert_ne!(file, other);
        }
        let opened = |password: &[u8]| {
            let mut store = KeyStore::new();
            store.load(file.as_slice(), password)?;
            store.get_private_key_entry("certificate", password)
        };
        let entry = opened(b"changeit").unwrap();
        assert_eq!(entry.private_key, *contents().key);
        let chain: Vec<_> = entry
            .certificate_chain
            .into_iter()
            .map(|one| one.content)
            .collect();
        assert_eq!(chain, contents().chain);
        assert!(opened(b"changed!").is_err());
    }

    #[test]
    fn a_password_that_java_cannot_be_given_is_refused() {
        for password in ["short", "höherer", ""] {
            let refused = write(&contents(), password, "certificate");
            assert_eq!(refused, Err(KeystoreError::Password), "{password}");
        }
    }

    proptest! {
        #[test]
        fn any_password_opens_what_was_made_with_it_or_is_refused(
            password in prop_oneof!["[\\x00-\\x7f]{0,20}", any::<String>()],
            alias in any::<String>(),
        ) {
            let made = write(&contents(), &password, &alias);
            prop_assert_eq!(made.is_ok(), password.is_ascii() && password.len() >= SHORTEST_PASSWORD);
            if let Ok(file) = made {
                let mut store = KeyStore::new();
                store.load(file.as_slice(), password.as_bytes()).unwrap();
                let entry = store.get_private_key_entry(&alias, password.as_bytes()).unwrap();
                prop_assert_eq!(entry.private_key, contents().key.to_vec());
            }
        }
    }
}
