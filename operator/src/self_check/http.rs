//! Asks for the check's token as a CA would: plain HTTP on port 80, redirects followed, whatever certificate a
//! redirect to https shows.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sancho_core::challenge::Token;
use sancho_core::check::{Fault, Finding};
use sancho_core::shown::shown_within;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::any_certificate::AnyCertificate;
use super::dns::{self, Addresses};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Let's Encrypt follows ten; nobody needs more than a few.
const MOST_REDIRECTS: usize = 5;
/// The answer is some 110 bytes long.
const LONGEST_ANSWER: usize = 1024;

/// Asks for tokens.
pub(super) struct Fetcher {
    port: u16,
    tls: Option<TlsConnector>,
}

/// Where one request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hop {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Fetcher {
    /// One that begins at this port.
    pub(super) fn new(port: u16) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = config.ok().map(|config| {
            let config = config
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth();
            TlsConnector::from(Arc::new(config))
        });
        Self { port, tls }
    }

    /// Does `name` at `address` answer `answer` to `token`?
    pub(super) async fn ask(
        &self,
        resolver: &TokioResolver,
        name: &str,
        address: IpAddr,
        token: &Token,
        answer: &str,
    ) -> Finding {
        let mut address = address;
        let mut hop = Hop {
            tls: false,
            host: name.to_owned(),
            port: self.port,
            path: token.path(),
        };
        for redirects in 0..=MOST_REDIRECTS {
            // What is wrong behind a redirect is the redirect's fault.
            let blamed = |finding: Finding| match finding {
                Finding::Failed(fault) if redirects > 0 => Finding::Failed(Fault::Redirect {
                    to: shown_within(&hop.shown(), 128),
                    words: fault.to_string(),
                }),
                finding => finding,
            };
            if is_never_public(address) {
                return blamed(Finding::Failed(Fault::LinkLocal { address }));
            }
            let response = match self.send(&hop, address).await {
                Ok(response) => response,
                Err(finding) => return blamed(finding),
            };
            let status = response.status;
            if let Some(location) = response.location {
                let next = match hop.onward(&location, self.port) {
                    Ok(next) => next,
                    Err(words) => {
                        return Finding::Failed(Fault::Redirect {
                            to: shown_within(&location, 128),
                            words: words.into(),
                        });
                    }
                };
                if next.host != hop.host {
                    address = match dns::addresses(resolver, &next.host).await {
                        Ok(Addresses { v4: Some(v4), .. }) => IpAddr::V4(v4),
                        Ok(Addresses { v6: Some(v6), .. }) => IpAddr::V6(v6),
                        Ok(Addresses { v4: None, v6: None }) => {
                            return blamed(Finding::Failed(Fault::NoAddress));
                        }
                        Err(finding) => return blamed(finding),
                    };
                }
                hop = next;
                continue;
            }
            if status == 200 && response.body.trim_ascii_end() == answer.as_bytes() {
                return Finding::Passed;
            }
            return blamed(Finding::Failed(Fault::Foreign { address, status }));
        }
        Finding::Failed(Fault::Redirect {
            to: shown_within(&hop.shown(), 128),
            words: "it is redirected again and again".into(),
        })
    }

    async fn send(&self, hop: &Hop, address: IpAddr) -> Result<Answer, Finding> {
        let connecting = TcpStream::connect(SocketAddr::new(address, hop.port));
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(not_connected(address, &error)),
            Err(_) => return Err(Finding::Failed(Fault::TimedOut { address })),
        };
        if !hop.tls {
            return exchange(stream, hop, address).await;
        }
        let (Some(tls), Ok(name)) = (&self.tls, ServerName::try_from(hop.host.clone())) else {
            return Err(Finding::Unknown("TLS cannot be set up here".into()));
        };
        match tls.connect(name, stream).await {
            Ok(stream) => exchange(stream, hop, address).await,
            Err(error) => Err(broken(address, &error.to_string())),
        }
    }
}

struct Answer {
    status: u16,
    location: Option<String>,
    body: Bytes,
}

async fn exchange<S>(stream: S, hop: &Hop, address: IpAddr) -> Result<Answer, Finding>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: &dyn std::fmt::Display| broken(address, &error.to_string());
    let request = Request::get(hop.path.as_str())
        .header(HOST, hop.authority())
        .header(USER_AGENT, "sancho")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| failed(&error))?;
    let asked = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| failed(&error))?;
        let (status, location) = (response.status().as_u16(), location(&response));
        // What is longer is not the answer.
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Answer {
            status,
            location,
            body,
        })
    };
    tokio::pin!(asked, connection);
    tokio::select! {
        answer = &mut asked => answer,
        // It may end just as its last answer is there.
        _ = &mut connection => asked.await,
    }
}

/// Where a redirect leads.
fn location<B>(response: &Response<B>) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    location.to_str().ok().map(str::to_owned)
}

impl Hop {
    fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        // An IPv6 address stands in brackets (RFC 3986 §3.2.2).
        let host = match self.host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => self.host.clone(),
        };
        if self.port == usual {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    fn shown(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// Where `location` leads from here. Names and the address itself on the usual ports alone: CAs follow
    /// no other redirects.
    fn onward(&self, location: &str, check_port: u16) -> Result<Self, &'static str> {
        let uri: Uri = location.parse().map_err(|_| "the URL cannot be read")?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            if location.starts_with('/') {
                return Ok(Self { path, ..self.clone() });
            }
            return Err("the URL cannot be read");
        };
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err("neither http nor https is spoken"),
        };
        let host = host.trim_matches(['[', ']']);
        let is_own = host.parse::<IpAddr>().ok() == self.host.parse().ok();
        if host.parse::<IpAddr>().is_ok() && !is_own {
            return Err("an address stands in place of a name, which CAs do not follow");
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        if ![80, 443, check_port].contains(&port) {
            return Err("another port than 80 and 443 is asked for, which CAs do not follow");
        }
        Ok(Self {
            tls,
            host: host.to_ascii_lowercase(),
            port,
            path,
        })
    }
}

fn is_never_public(address: IpAddr) -> bool {
    let is_v4 = |v4: std::net::Ipv4Addr| v4.is_link_local() || v4.is_unspecified() || v4.is_multicast();
    match address {
        IpAddr::V4(v4) => is_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_v4(v4),
            None => v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast(),
        },
    }
}

fn not_connected(address: IpAddr, error: &io::Error) -> Finding {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Finding::Failed(Fault::Refused { address }),
        io::ErrorKind::TimedOut => Finding::Failed(Fault::TimedOut { address }),
        // A cluster without IPv6 says so of every such address.
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
            Finding::Unknown(format!("there is no way to {address} from here"))
        }
        _ => broken(address, &error.to_string()),
    }
}

fn broken(address: IpAddr, words: &str) -> Finding {
    Finding::Failed(Fault::Broken {
        address,
        words: shown_within(words, 128),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop() -> Hop {
        Hop {
            tls: false,
            host: "a.example".into(),
            port: 80,
            path: "/x".into(),
        }
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        let of = |host: &str, port| {
            let host = host.to_owned();
            Hop { host, port, ..hop() }.shown()
        };
        assert_eq!(of("2001:db8::1", 80), "http://[2001:db8::1]");
        assert_eq!(of("2001:db8::1", 5002), "http://[2001:db8::1]:5002");
        assert_eq!(of("192.0.2.1", 80), "http://192.0.2.1");
    }

    #[test]
    fn a_redirect_is_followed_to_names_on_the_usual_ports() {
        let https = hop().onward("https://b.example/y?z", 80).unwrap();
        assert_eq!((https.tls, https.port, https.path.as_str()), (true, 443, "/y?z"));
        assert_eq!(https.shown(), "https://b.example");
        assert_eq!(hop().onward("/y", 80).unwrap().host, "a.example");
        for refused in [
            "http://169.254.169.254/latest",
            "http://[::1]/",
            "https://b.example:8443/",
            "ftp://b.example/",
            "y",
        ] {
            assert!(hop().onward(refused, 80).is_err(), "{refused}");
        }
        let own = Hop {
            host: "2001:db8::1".into(),
            ..hop()
        };
        assert_eq!(
            own.onward("https://[2001:db8::1]/y", 80).unwrap().host,
            "2001:db8::1"
        );
        assert!(own.onward("https://[2001:db8::2]/y", 80).is_err());
    }

    #[test]
    fn where_clouds_keep_their_secrets_is_never_asked() {
        for address in ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0"] {
            assert!(is_never_public(address.parse().unwrap()), "{address}");
        }
        assert!(!is_never_public("192.0.2.1".parse().unwrap()));
    }
}
