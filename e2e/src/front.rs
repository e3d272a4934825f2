//! The CA front: a TLS-terminating reverse proxy before Pebble that refuses like the fronts of
//! real CAs and notes every arrival.
//!
//! `accept -> TLS -> note arrival -> limits -> fault, if one is asked for -> CA -> note end`
//!
//! The Host header is passed on, so Pebble's URLs point back at the front; bodies are not touched.
//! HTTP/1.1 only, so one connection carries one request at a time.

mod answers;
mod limits;
mod named;
mod record;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::RwLock;
use tokio_rustls::TlsAcceptor;

use crate::arrivals::{Arrival, ArrivalLog, RequestKind};
pub use crate::faults::Fault;
use crate::faults::Faults;
use crate::listener::Listener;
use crate::pki::{self, Authority};
use crate::process::free_port;
use answers::{bad_gateway, refuse};
pub use limits::RateLimit;
use named::named;
use record::{Admission, Record};

/// How long the CA behind the front may take.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(60);

/// What the front does to requests. The default refuses nothing.
#[derive(Debug, Clone, Default)]
pub struct FrontOptions {
    /// nginx's `limit_req`. `None`: no limit.
    pub rate: Option<RateLimit>,
    /// nginx's `limit_conn` for one key: requests being worked on at once. `None`: no limit.
    pub max_in_flight: Option<u32>,
    /// How a request over a limit is answered.
    pub refusal: Refusal,
    /// Time added on the way. `None`: none.
    pub latency: Option<Latency>,
}

impl FrontOptions {
    /// Refuses as nginx does more than `per_second` requests a second, with `burst` more at once, and
    /// more than `in_flight` at once; `None`: any number.
    pub fn limited(per_second: f64, burst: u32, in_flight: Option<u32>) -> Self {
        FrontOptions {
            rate: Some(RateLimit { per_second, burst }),
            max_in_flight: in_flight,
            ..FrontOptions::default()
        }
    }

    /// What is refused, in words: `more than 5 requests a second, burst 0, 1 connections`.
    pub fn refused(&self) -> String {
        let rate = self.rate.map_or("no number of requests".into(), |limit| {
            format!(
                "more than {} requests a second, burst {}",
                limit.per_second, limit.burst
            )
        });
        let connections = match self.max_in_flight {
            Some(number) => format!("{number} connections"),
            None => "any number of connections".into(),
        };
        format!("{rate}, {connections}")
    }
}

/// The answer to a request over a limit.
#[derive(Debug, Clone, Default)]
pub enum Refusal {
    /// 503 with a page of HTML and no Retry-After, as nginx answers.
    #[default]
    Nginx,
    /// A problem document `rateLimited`, as Boulder answers.
    Problem {
        /// 429 or 503.
        status: u16,
        /// When to come back.
        retry_after: RetryAfter,
    },
}

/// The Retry-After header (RFC 9110 §10.2.3).
#[derive(Debug, Clone, Copy)]
pub enum RetryAfter {
    /// No header.
    Absent,
    /// As seconds.
    Seconds(u32),
    /// As a date this many seconds ahead.
    Date(u32),
}

/// Time added on the way, to a request before it arrives and to its answer.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// Added each way.
    pub each_way: Duration,
    /// Added before the arrival, evenly spread from nothing to this.
    pub jitter: Duration,
    /// The same seed gives the same jitter for the n-th request.
    pub seed: u64,
}

/// Where the real CA is.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// `https://HOST:PORT`.
    pub origin: String,
    /// The root of its TLS certificate.
    pub ca_pem: String,
}

/// A running front. Ends when dropped.
pub struct Front {
    /// Absent while it is closed.
    listener: Option<Listener>,
    address: SocketAddr,
    tls: TlsAcceptor,
    ca_pem: String,
    shared: Arc<Shared>,
}

impl Front {
    /// Starts a front on `address` (port 0: a free one) before `upstream`. Its certificate has that address as well.
    ///
    /// # Errors
    ///
    /// When the port is taken or `upstream` has no valid root.
    pub async fn start(address: SocketAddr, upstream: &Upstream, options: FrontOptions) -> Result<Self> {
        pki::install_crypto();
        let authority = Authority::new("Sancho test CA front")?;
        let own = (!address.ip().is_loopback()).then(|| address.ip().to_string());
        let more: Vec<&str> = own.iter().map(String::as_str).collect();
        let tls = TlsAcceptor::from(Arc::new(authority.server_config_for("CA front", &more)?));
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(upstream.ca_pem.as_bytes())?])
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(UPSTREAM_TIMEOUT)
            .build()?;
        let shared = Arc::new(Shared {
            record: Record::new(options),
            upstream: upstream.origin.trim_end_matches('/').to_owned(),
            client,
            faults: Faults::none(),
            behind: RwLock::default(),
        });
        let mut front = Front {
            listener: None,
            address,
            tls,
            ca_pem: authority.pem().to_owned(),
            shared,
        };
        front.open().await?;
        Ok(front)
    }

    /// Listens, and goes on with its log, after [`Front::close`].
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn open(&mut self) -> Result<()> {
        let (state, tls) = (self.shared.clone(), self.tls.clone());
        let listener = Listener::start("front", self.address, move |stream, peer| {
            connection(state.clone(), tls.clone(), stream, peer)
        })
        .await?;
        self.address = listener.address();
        self.listener = Some(listener);
        Ok(())
    }

    /// Closes all connections and refuses new ones, as a server that has ended.
    pub fn close(&mut self) {
        self.listener = None;
    }

    /// Starts a front on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// As [`Front::start`].
    pub async fn start_anywhere(upstream: &Upstream, options: FrontOptions) -> Result<Self> {
        // Not any port: nobody else takes this one while the front is closed.
        Self::start((Ipv4Addr::LOCALHOST, free_port()?).into(), upstream, options).await
    }

    /// `https://localhost:PORT`, or `https://ADDRESS:PORT` where it is not on loopback.
    pub fn origin(&self) -> String {
        if self.address.ip().is_loopback() {
            format!("https://localhost:{}", self.address.port())
        } else {
            format!("https://{}", self.address)
        }
    }

    /// The URL of Pebble's directory through the front.
    pub fn directory_url(&self) -> String {
        format!("{}/dir", self.origin())
    }

    /// The root of the front's own TLS certificate, for `caBundle`.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A copy of what has arrived so far.
    pub fn log(&self) -> ArrivalLog {
        self.shared.record.log()
    }

    /// Microseconds since the front's start, on the log's clock.
    pub fn now_us(&self) -> u64 {
        self.shared.record.now_us()
    }

    /// Changes what the front does to requests from now on. The leaky bucket keeps its level.
    pub fn set_options(&self, options: FrontOptions) {
        self.shared.record.set_options(options);
    }

    /// Asks `choose` for each request that no limit refused whether something goes wrong with it.
    /// Replaces an earlier choice.
    pub fn set_faults(&self, choose: impl Fn(&Arrival) -> Option<Fault> + Send + Sync + 'static) {
        self.shared
            .faults
            .set(move |asked: &Asked| choose(&asked.arrival));
    }

    /// The same for what depends on the request's payload.
    pub fn set_payload_faults(
        &self,
        choose: impl Fn(&Arrival, &serde_json::Value) -> Option<Fault> + Send + Sync + 'static,
    ) {
        self.shared
            .faults
            .set(move |asked: &Asked| choose(&asked.arrival, &payload(&asked.body)));
    }
}

struct Shared {
    record: Record,
    upstream: String,
    client: reqwest::Client,
    faults: Faults<Asked>,
    /// newOrder is passed on while nothing else is: Pebble 2.10.1 stops for good when two run at once. One holds an
    /// authorization's lock and waits for the store's (`AddChallenge`), the other the store's and waits for the
    /// authorization's (`FindValidAuthorization`).
    behind: RwLock<()>,
}

/// A request that no limit refused.
struct Asked {
    arrival: Arrival,
    body: Bytes,
}

/// The payload of a signed request (RFC 8555 §6.2); null if it has none.
fn payload(body: &[u8]) -> serde_json::Value {
    let signed: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = signed["payload"].as_str().unwrap_or_default();
    let decoded = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&decoded).unwrap_or_default()
}

async fn connection(shared: Arc<Shared>, tls: TlsAcceptor, stream: TcpStream, peer: SocketAddr) {
    let open = shared.record.open(peer);
    // Small answers must not wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let service = service_fn(|request| answer(shared.clone(), open.id(), peer, request));
    // Its error says that the client went away or a fault closed it: the log shows both.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Answers one request. `Err` closes the connection.
async fn answer(
    shared: Arc<Shared>,
    connection: u64,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>> {
    let latency = shared.record.latency();
    if let Some(delay) = latency.to {
        tokio::time::sleep(delay).await;
    }
    let entry = match shared.record.arrive(connection, peer, &request) {
        Admission::Admitted(entry) => entry,
        Admission::Refused(entry, refusal) => {
            let response = refuse(&refusal);
            entry.answered(response.status());
            // An unread body would end the connection, and nginx keeps it.
            let _ = request.into_body().collect().await;
            return Ok(response);
        }
    };
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let arrival = entry.arrival();
    let kind = arrival.kind;
    let fault = shared.faults.choose(&Asked {
        arrival,
        body: body.clone(),
    });
    let forward = async {
        let passed_on = forward(&shared, head, body);
        let response = if kind == RequestKind::NewOrder {
            let _alone = shared.behind.write().await;
            passed_on.await
        } else {
            let _beside_others = shared.behind.read().await;
            passed_on.await
        };
        let response = match response {
            Ok(response) => {
                entry.names(named(kind, &response));
                response.map(Full::new)
            }
            Err(error) => bad_gateway(&error),
        };
        entry.answered(response.status());
        response
    };
    let response = Fault::perform(fault, forward, |body| body).await?;
    entry.answered(response.status());
    // Noted as ended before the client can see a byte of it.
    drop(entry);
    if let Some(delay) = latency.back {
        tokio::time::sleep(delay).await;
    }
    Ok(response)
}

async fn forward(shared: &Shared, mut parts: Parts, body: Bytes) -> Result<Response<Bytes>> {
    remove_hop_headers(&mut parts.headers);
    // The client counts the body again, and only when there is one.
    parts.headers.remove(header::CONTENT_LENGTH);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut onward = shared
        .client
        .request(parts.method, format!("{}{path}", shared.upstream))
        .headers(parts.headers);
    if !body.is_empty() {
        onward = onward.body(body);
    }
    let answer = onward
        .send()
        .await
        .context("the CA behind the front does not answer")?;
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        *headers = answer.headers().clone();
        remove_hop_headers(headers);
    }
    Ok(response.body(answer.bytes().await?)?)
}

/// Fields that speak of one connection (RFC 9110 §7.6.1).
fn remove_hop_headers(headers: &mut hyper::HeaderMap) {
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::TE,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
}
