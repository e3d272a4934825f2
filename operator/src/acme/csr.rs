//! A shard's private key and its certificate signing request (RFC 2986, RFC 8555 §7.4).

use std::fmt;

use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize, SanType,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

use super::key_kind::{KeyKind, KeyKindError};

/// More than a key of any kind takes; what is longer is not looked at.
const LONGEST_PEM: usize = 16 * 1024;

/// The private key that a shard's certificate is for. `Debug` shows no key.
pub struct ShardKey {
    pair: KeyPair,
}

/// Why a shard's key or CSR cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardKeyError {
    /// Not a PEM private key that can be used.
    #[error("it holds no usable PEM private key")]
    NoKey,
    /// The system's random numbers or the key generation failed.
    #[error("a key could not be generated")]
    Generation,
    /// There is no such kind of key.
    #[error("spec.privateKey of the Certificate: {0}")]
    Kind(#[from] KeyKindError),
    /// A name that does not fit into a certificate.
    #[error("{0:?} cannot stand in a certificate")]
    Name(String),
    /// The request could not be signed.
    #[error("the certificate signing request could not be signed")]
    Signing,
}

impl ShardKey {
    /// A new key. One of RSA takes up to some seconds of computing.
    ///
    /// # Errors
    /// [`ShardKeyError::Generation`] if the system has no random numbers.
    pub fn generate(kind: KeyKind) -> Result<Self, ShardKeyError> {
        let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size);
        let pair = match kind {
            KeyKind::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyKind::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            KeyKind::Rsa2048 => rsa(RsaKeySize::_2048),
            KeyKind::Rsa3072 => rsa(RsaKeySize::_3072),
            KeyKind::Rsa4096 => rsa(RsaKeySize::_4096),
            KeyKind::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
        };
        let pair = pair.map_err(|_| ShardKeyError::Generation)?;
        Ok(ShardKey { pair })
    }

    /// Which kind it is; nothing if it is one that no Certificate can ask for.
    #[must_use]
    pub fn kind(&self) -> Option<KeyKind> {
        if self.pair.is_compatible(&PKCS_ED25519) {
            return Some(KeyKind::Ed25519);
        }
        let info = self.pair.subject_public_key_info();
        let (_, info) = SubjectPublicKeyInfo::from_der(&info).ok()?;
        let key = info.parsed().ok()?;
        match (&key, key.key_size()) {
            (PublicKey::EC(_), _) if self.pair.is_compatible(&PKCS_ECDSA_P256_SHA256) => {
                Some(KeyKind::EcdsaP256)
            }
            (PublicKey::EC(_), _) if self.pair.is_compatible(&PKCS_ECDSA_P384_SHA384) => {
                Some(KeyKind::EcdsaP384)
            }
            (PublicKey::RSA(_), 2048) => Some(KeyKind::Rsa2048),
            (PublicKey::RSA(_), 3072) => Some(KeyKind::Rsa3072),
            (PublicKey::RSA(_), 4096) => Some(KeyKind::Rsa4096),
            _ => None,
        }
    }

    /// Reads a PEM private key, as [`ShardKey::to_pem`] writes it.
    ///
    /// # Errors
    /// [`ShardKeyError::NoKey`] if there is none in it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ShardKeyError> {
        if pem.len() > LONGEST_PEM {
            return Err(ShardKeyError::NoKey);
        }
        let text = std::str::from_utf8(pem).map_err(|_| ShardKeyError::NoKey)?;
        let pair = KeyPair::from_pem(text).map_err(|_| ShardKeyError::NoKey)?;
        Ok(ShardKey { pair })
    }

    /// PKCS#8 PEM, for `tls.key`.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.pair.serialize_pem())
    }

    /// The public key's bits, as a certificate's `subjectPublicKey` holds them.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key_raw()
    }

    /// The DER of a certificate signing request for `names`: DNS names and IP addresses, all of them in
    /// `subjectAltName`, no subject.
    ///
    /// # Errors
    /// [`ShardKeyError::Name`] for a name outside ASCII, [`ShardKeyError::Signing`] if the
    /// cryptography library fails.
    pub fn csr(&self, names: &[String]) -> Result<Vec<u8>, ShardKeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for name in names {
            if let Ok(address) = name.parse() {
                params.subject_alt_names.push(SanType::IpAddress(address));
                continue;
            }
            let ascii = Ia5String::try_from(name.as_str()).map_err(|_| ShardKeyError::Name(name.clone()))?;
            params.subject_alt_names.push(SanType::DnsName(ascii));
        }
        let request = params
            .serialize_request(&self.pair)
            .map_err(|_| ShardKeyError::Signing)?;
        Ok(request.der().to_vec())
    }
}

impl fmt::Debug for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_request_names_every_name_no_subject_and_is_signed() {
        let key = ShardKey::generate(KeyKind::EcdsaP256).unwrap();
        let der = key.csr(&names(&["a.example", "b.example"])).unwrap();
        let (rest, request) = X509CertificationRequest::from_der(&der).unwrap();
        assert!(rest.is_empty());
        request.verify_signature().unwrap();
        let info = &request.certification_request_info;
        assert_eq!(info.subject.iter().count(), 0);
        assert_eq!(&*info.subject_pki.subject_public_key.data, key.public_key());
        let dns: Vec<String> = request
            .requested_extensions()
            .unwrap()
            .filter_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(names) => Some(names),
                _ => None,
            })
            .flat_map(|names| &names.general_names)
            .map(|name| match name {
                GeneralName::DNSName(name) => (*name).to_owned(),
                other => panic!("not a DNS name: {other:?}"),
            })
            .collect();
        assert_eq!(dns, ["a.example", "b.example"]);
    }

    #[test]
    fn an_address_is_asked_for_by_its_bytes() {
        let key = ShardKey::generate(KeyKind::EcdsaP256).unwrap();
        let der = key
            .csr(&names(&["a.example", "192.0.2.1", "2001:db8::1"]))
            .unwrap();
        let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
        let mut extensions = request.requested_extensions().unwrap();
        let Some(ParsedExtension::SubjectAlternativeName(asked)) = extensions.next() else {
            panic!("no names are asked for");
        };
        let v6: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
        assert_eq!(
            asked.general_names,
            [
                GeneralName::DNSName("a.example"),
                GeneralName::IPAddress(&[192, 0, 2, 1]),
                GeneralName::IPAddress(&v6.octets()),
            ]
        );
    }

    #[test]
    fn a_name_outside_ascii_is_refused_by_name() {
        let refused = ShardKey::generate(KeyKind::EcdsaP256)
            .unwrap()
            .csr(&names(&["bücher.example"]));
        assert_eq!(refused.unwrap_err(), ShardKeyError::Name("bücher.example".into()));
    }

    #[test]
    fn a_key_of_each_kind_survives_its_pem_text_and_signs() {
        for kind in [
            KeyKind::EcdsaP256,
            KeyKind::EcdsaP384,
            KeyKind::Rsa2048,
            KeyKind::Rsa3072,
            KeyKind::Ed25519,
        ] {
            let key = ShardKey::generate(kind).unwrap();
            let pem = key.to_pem();
            assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
            let read = ShardKey::from_pem(pem.as_bytes()).unwrap();
            assert_eq!(read.public_key(), key.public_key());
            assert_eq!(read.kind(), Some(kind));
            let der = read.csr(&names(&["a.example"])).unwrap();
            let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
            request.verify_signature().unwrap();
        }
        assert_eq!(ShardKey::from_pem(b"garbage").unwrap_err(), ShardKeyError::NoKey);
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(
            format!("{:?}", ShardKey::generate(KeyKind::EcdsaP256).unwrap()),
            "ShardKey { .. }"
        );
    }
}
