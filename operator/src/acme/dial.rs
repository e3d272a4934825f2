//! From an origin to a TLS stream: addresses, TCP, TLS, and what goes wrong on the way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::acme::error::NotSent;
use crate::acme::origin::Origin;

/// How long name, TCP and TLS may take together.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The next address is tried beside a slow one after this long (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// More than any bundle of roots for one CA.
const LONGEST_BUNDLE: usize = 256 * 1024;

/// Makes TLS connections to one origin.
pub struct Dialer {
    origin: Origin,
    server_name: ServerName<'static>,
    tls: TlsConnector,
    bundle_given: bool,
}

/// Why no connection to a CA can even be tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsSetupError {
    /// `caBundle` holds no certificate.
    #[error("spec.acme.caBundle holds no PEM certificate (-----BEGIN CERTIFICATE-----)")]
    EmptyBundle,
    /// `caBundle` is too long or holds something that is no certificate.
    #[error("spec.acme.caBundle cannot be read: {0}")]
    BadBundle(String),
    /// The system has no trusted roots.
    #[error("this system has no trusted roots ({0}): install its ca-certificates or set spec.acme.caBundle")]
    NoSystemRoots(String),
    /// The origin's host is no name or address that TLS can check.
    #[error("{0} is no host that a TLS certificate can be checked for")]
    HostName(Origin),
}

impl Dialer {
    /// A dialer for `origin` that trusts the roots in `ca_bundle` (PEM), or those of the system.
    ///
    /// # Errors
    /// [`TlsSetupError`] says which part of the configuration does not do.
    pub fn new(origin: Origin, ca_bundle: Option<&[u8]>) -> Result<Self, TlsSetupError> {
        let server_name = ServerName::try_from(origin.host().to_owned())
            .map_err(|_| TlsSetupError::HostName(origin.clone()))?;
        let no_roots = |error: rustls::Error| TlsSetupError::NoSystemRoots(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(no_roots)?;
        let mut config = match ca_bundle {
            Some(pem) => builder.with_root_certificates(roots(pem)?),
            None => builder.with_platform_verifier().map_err(no_roots)?,
        }
        .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Dialer {
            origin,
            server_name,
            tls,
            bundle_given: ca_bundle.is_some(),
        })
    }

    /// The origin that it connects to.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A new TLS connection.
    ///
    /// # Errors
    /// [`NotSent`] tells apart what a user would mend in different places.
    pub async fn dial(&self) -> Result<TlsStream<TcpStream>, NotSent> {
        let dialing = async {
            let tcp = self.connect().await?;
            self.tls
                .connect(self.server_name.clone(), tcp)
                .await
                .map_err(|error| self.tls_fault(&error))
        };
        tokio::time::timeout(DIAL_TIMEOUT, dialing)
            .await
            .unwrap_or_else(|_| {
                Err(NotSent::TimedOut {
                    origin: self.origin.clone(),
                    after: DIAL_TIMEOUT,
                })
            })
    }

    async fn connect(&self) -> Result<TcpStream, NotSent> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((self.origin.host(), self.origin.port()))
            .await
            .map_err(|error| self.lookup_fault(error.to_string()))?
            .collect();
        if addresses.is_empty() {
            return Err(self.lookup_fault("no address".to_owned()));
        }
        let tcp = first_to_connect(addresses)
            .await
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::ConnectionRefused => NotSent::Refused {
                    origin: self.origin.clone(),
                },
                _ => NotSent::Unreachable {
                    origin: self.origin.clone(),
                    reason: error.to_string(),
                },
            })?;
        // A request is one write; the answer to it must not wait for another.
        let _ = tcp.set_nodelay(true);
        Ok(tcp)
    }

    fn lookup_fault(&self, reason: String) -> NotSent {
        NotSent::Lookup {
            origin: self.origin.clone(),
            reason,
        }
    }

    fn tls_fault(&self, error: &std::io::Error) -> NotSent {
        let origin = self.origin.clone();
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            // A bad signature: a root of that name is trusted, but it is another one.
            Some(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => {
                if self.bundle_given {
                    NotSent::NotInBundle { origin }
                } else {
                    NotSent::UnknownRoot { origin }
                }
            }
            Some(rustls::Error::InvalidCertificate(fault)) => NotSent::Certificate {
                origin,
                reason: fault.to_string(),
            },
            Some(other) => NotSent::Tls {
                origin,
                reason: other.to_string(),
            },
            None => NotSent::Unreachable {
                origin,
                reason: error.to_string(),
            },
        }
    }
}

/// The certificates of a `caBundle`.
fn roots(pem: &[u8]) -> Result<RootCertStore, TlsSetupError> {
    if pem.len() > LONGEST_BUNDLE {
        return Err(TlsSetupError::BadBundle(format!(
            "it is longer than {LONGEST_BUNDLE} bytes"
        )));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| TlsSetupError::BadBundle(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| TlsSetupError::BadBundle(error.to_string()))?;
    }
    if roots.is_empty() {
        Err(TlsSetupError::EmptyBundle)
    } else {
        Ok(roots)
    }
}

/// The first TCP connection that comes about. The others are dropped.
async fn first_to_connect(addresses: Vec<SocketAddr>) -> std::io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    loop {
        let next = waiting.next();
        let more = next.is_some();
        attempts.extend(next.map(TcpStream::connect));
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => last = error,
                None => return Err(last),
            },
            () = tokio::time::sleep(STAGGER), if more => {}
        }
    }
}
