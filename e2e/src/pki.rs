//! Keys and certificates for the test servers: a root that signs, and leaves for servers and
//! clients on loopback.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A root of trust of a test's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A private key and its certificate, as PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key, PKCS #8.
    pub key: String,
}

/// A new RSA key as PEM (PKCS #8), and its public half (RFC 8017, A.1.1).
///
/// # Errors
///
/// When the key cannot be made.
pub fn rsa_key() -> Result<(String, Vec<u8>)> {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    Ok((key.serialize_pem(), key.public_key_raw().to_vec()))
}

impl Authority {
    /// A new root with this common name.
    ///
    /// # Errors
    ///
    /// When the key cannot be made.
    pub fn new(common_name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// The root's certificate, for `caBundle` and the like.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server on `localhost`, 127.0.0.1 and the names given.
    ///
    /// # Errors
    ///
    /// When a name is not one.
    pub fn server(&self, common_name: &str, more_names: &[&str]) -> Result<Identity> {
        let names: Vec<String> = ["localhost", "127.0.0.1"]
            .iter()
            .chain(more_names)
            .map(|name| (*name).to_owned())
            .collect();
        self.issue(
            CertificateParams::new(names)?,
            common_name,
            None,
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// A client certificate. Kubernetes reads the user from the common name and the group from
    /// the organization.
    ///
    /// # Errors
    ///
    /// When the key cannot be made.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Identity> {
        self.issue(
            CertificateParams::default(),
            user,
            group,
            ExtendedKeyUsagePurpose::ClientAuth,
        )
    }

    /// A TLS server on loopback with a certificate of this root, for HTTP/1.1.
    ///
    /// # Errors
    ///
    /// When the key cannot be made.
    pub fn server_config(&self, common_name: &str) -> Result<ServerConfig> {
        self.server_config_for(common_name, &[])
    }

    /// The same, with further names and addresses.
    ///
    /// # Errors
    ///
    /// As [`Authority::server_config`], and when a name is not one.
    pub fn server_config_for(&self, common_name: &str, more_names: &[&str]) -> Result<ServerConfig> {
        let identity = self.server(common_name, more_names)?;
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        common_name: &str,
        organization: Option<&str>,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Identity> {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        if let Some(organization) = organization {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organization);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("cannot sign a certificate for {common_name}"))?;
        Ok(Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// A TLS client that trusts one root, for HTTP/1.1.
///
/// # Errors
///
/// When it is not the PEM of a root.
pub fn client_config(root_pem: &str) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes())?)?;
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A key pair that signs service account tokens: (private key, public key) as PEM.
///
/// # Errors
///
/// When the key cannot be made.
pub fn token_key() -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

/// Chooses the cryptography for every TLS connection of this process. Safe to call again.
pub fn install_crypto() {
    // An error only says that one was chosen before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
