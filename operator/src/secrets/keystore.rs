//! A certificate and its key in one file with a password, as PKCS#12 and in Java's own format. Pure.

mod jks;
mod pkcs12;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sancho_crds::{CertificateShardSpec, JksKeystore, KeystorePasswordRef, Pkcs12Keystore, Pkcs12Profile};
use zeroize::Zeroizing;

use crate::acme::csr::ShardKey;

/// The fields of a Secret that hold keystores.
pub const FIELDS: [&str; 2] = [PKCS12, JKS];
const PKCS12: &str = "keystore.p12";
const JKS: &str = "keystore.jks";

/// Why there is no keystore.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreError {
    /// The chain cannot be read.
    #[error("tls.crt cannot be read")]
    Chain,
    /// The key cannot be read.
    #[error("tls.key cannot be read")]
    Key,
    /// Java could not be given this password.
    #[error("the password is not one that Java takes: write one of at least 6 characters, all of them ASCII")]
    Password,
    /// The library refuses.
    #[error("the {0} file cannot be made: {1}")]
    Made(&'static str, String),
}

/// A keystore that a Certificate asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// `keystore.p12`.
    Pkcs12(Pkcs12Keystore),
    /// `keystore.jks`.
    Jks(JksKeystore),
}

impl Asked {
    /// Those that `spec` asks for, in an order of their own.
    #[must_use]
    pub fn of(spec: &CertificateShardSpec) -> Vec<Self> {
        let Some(keystores) = &spec.keystores else {
            return Vec::new();
        };
        let pkcs12 = keystores.pkcs12().cloned().map(Asked::Pkcs12);
        let jks = keystores.jks().cloned().map(Asked::Jks);
        pkcs12.into_iter().chain(jks).collect()
    }

    /// The Secret's field that holds it.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Asked::Pkcs12(_) => PKCS12,
            Asked::Jks(_) => JKS,
        }
    }

    /// Where in the manifest it is asked for.
    #[must_use]
    pub fn path(&self) -> &'static str {
        match self {
            Asked::Pkcs12(_) => "spec.keystores.pkcs12",
            Asked::Jks(_) => "spec.keystores.jks",
        }
    }

    /// Where its password is.
    #[must_use]
    pub fn password(&self) -> &KeystorePasswordRef {
        match self {
            Asked::Pkcs12(pkcs12) => &pkcs12.password_secret_ref,
            Asked::Jks(jks) => &jks.password_secret_ref,
        }
    }

    /// All that tells it from another one.
    #[must_use]
    pub fn words(&self) -> [String; 3] {
        let KeystorePasswordRef { name, key: _ } = self.password();
        let kind = match self {
            Asked::Pkcs12(Pkcs12Keystore { profile, .. }) => {
                format!("pkcs12:{:?}", profile.unwrap_or(Pkcs12Profile::Modern2023))
            }
            Asked::Jks(jks) => format!("jks:{}", jks.alias()),
        };
        [kind, name.clone(), self.password().key().to_owned()]
    }

    /// The file of this chain and key: `present`, if that will do.
    ///
    /// # Errors
    /// [`KeystoreError`] if certificate or key cannot be read, or the password cannot be one.
    pub fn made(
        &self,
        chain: &[u8],
        key: &[u8],
        password: &str,
        present: Option<&[u8]>,
    ) -> Result<Vec<u8>, KeystoreError> {
        let contents = Contents::of(chain, key)?;
        match self {
            Asked::Pkcs12(_) => pkcs12::write(&contents, password, present),
            Asked::Jks(asked) => jks::write(&contents, password, asked.alias()),
        }
    }
}

/// Certificate and key as they stand in a keystore.
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
}

#[cfg(test)]
pub(super) mod tests {
    use p12_keystore::Pkcs12Archive;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    pub fn chain_and_key(name: &str) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    /// A PKCS#12 file.
    fn pkcs12(
        chain: &[u8],
        key: &[u8],
        password: &str,
        present: Option<&[u8]>,
    ) -> Result<Vec<u8>, KeystoreError> {
        let asked = Asked::Pkcs12(Pkcs12Keystore {
            create: true,
            password_secret_ref: KeystorePasswordRef {
                name: "store".into(),
                key: None,
            },
            profile: None,
        });
        asked.made(chain, key, password, present)
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

    proptest! {
        // The derivation of keys from the password takes its time.
        #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

        #[test]
        fn any_password_opens_what_was_made_with_it_or_is_refused_in_few_words(password in any::<String>()) {
            let (chain, key) = chain_and_key("a.example");
            match pkcs12(&chain, &key, &password, None) {
                Ok(file) => {
                    let again = pkcs12(&chain, &key, &password, Some(&file));
                    prop_assert_eq!(again, Ok(file), "made anew, so it was not opened");
                }
                Err(error) => prop_assert!(error.to_string().len() < 200, "{}", error),
            }
        }
    }
}
