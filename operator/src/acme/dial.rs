//! From an origin to a TLS stream: addresses, TCP, a proxy if there is one, TLS, and what goes wrong on the way.

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
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::acme::error::{NotSent, ProxyFault};
use crate::acme::origin::Origin;
use crate::acme::tunnel;
use crate::proxy::{Proxies, Proxy};

/// How long name, TCP, proxy and TLS may take together.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The next address is tried beside a slow one after this long (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// More than any bundle of roots for one CA.
const LONGEST_BUNDLE: usize = 256 * 1024;

/// Makes TLS connections to one origin.
pub struct Dialer {
    origin: Origin,
    proxy: Option<Proxy>,
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
    /// A dialer for `origin` that trusts the roots in `ca_bundle` (PEM), or those of the system, and goes through the
    /// one of `proxies` that leads there.
    ///
    /// # Errors
    /// [`TlsSetupError`] says which part of the configuration does not do.
    pub fn new(origin: Origin, ca_bundle: Option<&[u8]>, proxies: &Proxies) -> Result<Self, TlsSetupError> {
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
            proxy: proxies.proxy_for(&origin),
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
        let deadline = Instant::now() + DIAL_TIMEOUT;
        let tcp = match &self.proxy {
            None => timeout_at(deadline, self.directly())
                .await
                .unwrap_or_else(|_| Err(self.timed_out())),
            Some(proxy) => timeout_at(deadline, self.through(proxy))
                .await
                .unwrap_or(Err(ProxyFault::TimedOut { after: DIAL_TIMEOUT }))
                .map_err(|fault| self.proxy_fault(proxy, fault)),
        }?;
        timeout_at(deadline, self.tls.connect(self.server_name.clone(), tcp))
            .await
            .map_err(|_| self.timed_out())?
            .map_err(|error| self.tls_fault(&error))
    }

    async fn directly(&self) -> Result<TcpStream, NotSent> {
        let origin = || self.origin.clone();
        tcp_to(self.origin.host(), self.origin.port())
            .await
            .map_err(|fault| match fault {
                TcpFault::Lookup(reason) => NotSent::Lookup {
                    origin: origin(),
                    reason,
                },
                TcpFault::Refused => NotSent::Refused { origin: origin() },
                TcpFault::Unreachable(reason) => NotSent::Unreachable {
                    origin: origin(),
                    reason,
                },
            })
    }

    async fn through(&self, proxy: &Proxy) -> Result<TcpStream, ProxyFault> {
        let tcp = tcp_to(proxy.host(), proxy.port())
            .await
            .map_err(|fault| match fault {
                TcpFault::Lookup(reason) => ProxyFault::Lookup { reason },
                TcpFault::Refused => ProxyFault::Refused,
                TcpFault::Unreachable(reason) => ProxyFault::Unreachable { reason },
            })?;
        tunnel::through(tcp, &self.origin.host_and_port(), proxy.authorization()).await
    }

    fn timed_out(&self) -> NotSent {
        NotSent::TimedOut {
            origin: self.origin.clone(),
            after: DIAL_TIMEOUT,
        }
    }

    fn proxy_fault(&self, proxy: &Proxy, fault: ProxyFault) -> NotSent {
        NotSent::Proxy {
            origin: self.origin.clone(),
            proxy: proxy.to_string(),
            fault,
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
            None => {
                let reason = error.to_string();
                match &self.proxy {
                    Some(proxy) => self.proxy_fault(proxy, ProxyFault::Closed { reason }),
                    None => NotSent::Unreachable { origin, reason },
                }
            }
        }
    }
}

/// Why there is no TCP connection.
enum TcpFault {
    /// The host has no address: the resolver's words.
    Lookup(String),
    /// Nothing listens there.
    Refused,
    /// There is no way to that address: the system's words.
    Unreachable(String),
}

async fn tcp_to(host: &str, port: u16) -> Result<TcpStream, TcpFault> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| TcpFault::Lookup(error.to_string()))?
        .collect();
    if addresses.is_empty() {
        return Err(TcpFault::Lookup("no address".to_owned()));
    }
    let tcp = first_to_connect(addresses)
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => TcpFault::Refused,
            _ => TcpFault::Unreachable(error.to_string()),
        })?;
    // A request is one write; the answer to it must not wait for another.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
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
