//! permit → nonce → sign → send: the one place where a request to a CA can leave.
//!
//! The order matters. A nonce goes stale while a request waits for its permit, and the signature
//! covers the nonce; so the permit comes first. Every request on the wire has a permit of its own:
//! directory, newNonce, and each retry after `badNonce`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, http};
use jiff::Timestamp;
use sancho_core::response::{Response, Throttle, kind};
use sancho_core::shown::shown_within;
use sancho_limiter::{Endpoint, Unreachable};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::acme::connection::Connections;
use crate::acme::dial::{Dialer, TlsSetupError};
use crate::acme::error::{Lost, NotSent, SendError};
use crate::acme::jws::{self, Signer};
use crate::acme::nonce::{Nonce, NoncePool};
use crate::acme::origin::{CaUrl, Origin, UrlError};
use crate::clock::{self, Witness};
use crate::gate::{Gate, Outcome, Permit};
use crate::metrics::Metrics;
use crate::proxy::Proxies;
use crate::traces::TARGET;

/// How often a request is sent again after `badNonce`.
const NONCE_RETRIES: u32 = 5;

/// The most characters of a `Retry-After` that are logged: a date has 29.
const RETRY_AFTER_LOGGED: usize = 64;

/// What a [`Transport`] is made of.
#[derive(Clone)]
pub struct TransportConfig {
    /// The CA.
    pub origin: Origin,
    /// PEM certificates of the roots that the CA's server is checked against; those of the system
    /// if absent.
    pub ca_bundle: Option<Vec<u8>>,
    /// The proxies that may lead to it.
    pub proxies: Proxies,
    /// This replica's name, which the CA sees in `User-Agent`.
    pub replica: String,
    /// How many connections are kept between requests: the budget's requests in flight.
    pub most_idle: usize,
    /// Counts the requests.
    pub metrics: Metrics,
}

/// Sends requests to one CA, each on a permit of its budget. Cheap to clone.
///
/// Guarantees:
/// - Nothing is sent without a permit, and every permit taken is reported.
/// - A request that was begun runs to its end even if the caller has gone away, so that its
///   outcome is known to the budget.
/// - Only https URLs of the CA's own origin are asked; redirects are answers like any other.
/// - A connection whose request has no whole answer after 30 s, or whose slot ends, is closed
///   before the permit is reported.
#[derive(Clone)]
pub struct Transport {
    gate: Gate,
    shared: Arc<Shared>,
}

struct Shared {
    origin: Origin,
    host: HeaderValue,
    user_agent: HeaderValue,
    connections: Connections,
    metrics: Metrics,
    /// By newNonce URL: one server can be several CAs.
    nonces: Mutex<HashMap<String, NoncePool>>,
}

/// The kind of requests for a nonce alone.
const NEW_NONCE: &str = "newNonce";
/// The kind of requests for a new order, as the order machine names them.
const NEW_ORDER: &str = "newOrder";

/// A signed request, but for its nonce.
#[derive(Debug, Clone, Copy)]
pub struct Post<'a> {
    /// What kind of request it is, for logs and metrics: one of a fixed few words.
    pub kind: &'static str,
    /// Where nonces come from, if none is in hand.
    pub new_nonce: &'a CaUrl,
    /// What is asked.
    pub url: &'a CaUrl,
    /// Who signs.
    pub signer: Signer<'a>,
    /// JSON; empty for a POST-as-GET.
    pub payload: &'a [u8],
    /// The media type that is wanted, if it matters.
    pub accept: Option<&'static str>,
}

impl Transport {
    /// A transport whose requests wait at `gate`. To be called within a tokio runtime; sends
    /// nothing.
    ///
    /// # Errors
    /// [`TlsSetupError`] says which part of the configuration does not do.
    pub fn new(config: TransportConfig, gate: Gate) -> Result<Self, TlsSetupError> {
        let TransportConfig {
            origin,
            ca_bundle,
            proxies,
            replica,
            most_idle,
            metrics,
        } = config;
        let no_host = |_| TlsSetupError::HostName(origin.clone());
        let host = HeaderValue::try_from(origin.authority()).map_err(no_host)?;
        let dialer = Dialer::new(origin.clone(), ca_bundle.as_deref(), &proxies)?;
        let shared = Shared {
            host,
            user_agent: user_agent(&replica),
            connections: Connections::new(dialer, most_idle),
            metrics,
            nonces: Mutex::default(),
            origin,
        };
        Ok(Transport {
            gate,
            shared: Arc::new(shared),
        })
    }

    /// The same, for requests on behalf of this tenant; see [`Gate::for_tenant`].
    #[must_use]
    pub fn for_tenant(&self, tenant: &str) -> Self {
        Transport {
            gate: self.gate.for_tenant(tenant),
            shared: self.shared.clone(),
        }
    }

    /// Are they the same connections?
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The CA's origin.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.shared.origin
    }

    /// Lets `url` pass if it may be asked.
    ///
    /// # Errors
    /// [`UrlError`] says why it may not.
    pub fn admit(&self, url: &str) -> Result<CaUrl, UrlError> {
        self.shared.origin.admit(url)
    }

    /// How many connections to the CA are open, those in use included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.connections.open()
    }

    /// Is this the last clone of it?
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    /// Closes unused connections until at most `keep` are open, and returns when they are closed:
    /// to be awaited before a slot is given up. Connections in use are left alone.
    pub async fn close_connections(&self, keep: usize) {
        self.shared.connections.close_idle(keep).await;
    }

    /// An unsigned GET: the directory, or a RenewalInfo. `kind` is as in [`Post`].
    ///
    /// # Errors
    /// [`SendError`] if there is no whole answer.
    pub async fn get(&self, kind: &'static str, url: &CaUrl) -> Result<Response, SendError> {
        async {
            let permit = self.permit(Endpoint::Other).await?;
            let request = self.request(Method::GET, url, Bytes::new(), None)?;
            self.send(permit, kind, request).await
        }
        .instrument(span(kind))
        .await
    }

    /// A signed POST. What comes back is the CA's last word on it, whatever its status; a throttle
    /// of newNonce stands for one of the request itself.
    ///
    /// # Errors
    /// [`SendError`] if there is no whole answer, or no nonce.
    pub async fn post(&self, post: Post<'_>) -> Result<Response, SendError> {
        self.answered(post).instrument(span(post.kind)).await
    }

    async fn answered(&self, post: Post<'_>) -> Result<Response, SendError> {
        let Post {
            kind,
            new_nonce,
            url,
            signer,
            payload,
            accept,
        } = post;
        let mut carried = None;
        let mut retries = 0;
        loop {
            let endpoint = if carried.is_some() || self.pool(new_nonce, |pool| !pool.is_empty()) {
                endpoint_of(kind)
            } else {
                Endpoint::NewNonce
            };
            let permit = self.permit(endpoint).await?;
            // What leaves on a permit for newNonce is newNonce, if the request has a rate of its own.
            let must_fetch = endpoint == Endpoint::NewNonce && endpoint_of(kind) != Endpoint::Other;
            // Another request may have taken the last nonce while this one waited for its permit.
            let in_hand = carried
                .take()
                .or_else(|| (!must_fetch).then(|| self.take_nonce(new_nonce))?);
            let Some(nonce) = in_hand else {
                let request = self.request(Method::HEAD, new_nonce, Bytes::new(), None)?;
                let answer = self.send(permit, NEW_NONCE, request).await?;
                carried = fresh_nonce(&answer);
                if carried.is_some() {
                    continue;
                }
                if answer.throttle(Timestamp::now()).is_some() {
                    return Ok(answer);
                }
                return Err(SendError::NoNonce {
                    origin: self.origin().clone(),
                    status: answer.status,
                });
            };
            let body = jws::sign(signer, &nonce.value, url.as_str(), payload)?;
            let request = self.request(Method::POST, url, body.into(), accept)?;
            let answer = self.send(permit, kind, request).await?;
            if is_bad_nonce(&answer) {
                self.pool(new_nonce, |pool| pool.rejected(&nonce));
                if retries < NONCE_RETRIES {
                    retries += 1;
                    carried = fresh_nonce(&answer);
                    continue;
                }
            }
            self.keep_nonce(new_nonce, &answer);
            return Ok(answer);
        }
    }

    /// Keeps the nonce that an answer of the CA with that newNonce URL carries, if it does. CAs
    /// send one with a directory too.
    pub fn keep_nonce(&self, new_nonce: &CaUrl, answer: &Response) {
        if let Some(fresh) = fresh_nonce(answer) {
            self.pool(new_nonce, |pool| pool.put(fresh));
        }
    }

    fn request(
        &self,
        method: Method,
        url: &CaUrl,
        body: Bytes,
        accept: Option<&'static str>,
    ) -> Result<Request<Full<Bytes>>, SendError> {
        let signed = method == Method::POST;
        let mut request = Request::builder()
            .method(method)
            .uri(url.path_and_query())
            .header(HOST, &self.shared.host)
            .header(USER_AGENT, &self.shared.user_agent);
        if signed {
            request = request.header(CONTENT_TYPE, "application/jose+json");
        }
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        // The URL has been parsed before, so this does not fail.
        request.body(Full::new(body)).map_err(|_: http::Error| {
            UrlError::Malformed {
                url: url.as_str().to_owned(),
            }
            .into()
        })
    }

    /// Waits for leave to send one request.
    async fn permit(&self, endpoint: Endpoint) -> Result<Permit, SendError> {
        let asked = Instant::now();
        let waiting = tracing::info_span!(target: TARGET, "permit");
        let permit = self.gate.permit(endpoint).instrument(waiting).await?;
        self.shared
            .metrics
            .permitted(&self.origin().to_string(), asked.elapsed());
        Ok(permit)
    }

    /// Sends in a task of its own, so that a caller who goes away leaves no outcome unknown.
    async fn send(
        &self,
        permit: Permit,
        kind: &'static str,
        request: Request<Full<Bytes>>,
    ) -> Result<Response, SendError> {
        let span = tracing::info_span!(
            target: TARGET,
            "send",
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = %request.method(),
            url.path = request.uri().path(),
            server.address = self.shared.origin.authority(),
            http.response.status_code = Empty,
            error.type = Empty,
        );
        let sending = tokio::spawn(sent(self.shared.clone(), permit, kind, request).instrument(span));
        sending.await.unwrap_or_else(|_| Err(Lost::BrokenOff.into()))
    }

    fn take_nonce(&self, new_nonce: &CaUrl) -> Option<Nonce> {
        self.pool(new_nonce, |pool| pool.take(Instant::now()))
    }

    fn pool<T>(&self, new_nonce: &CaUrl, change: impl FnOnce(&mut NoncePool) -> T) -> T {
        // A pool is whole at any time, so a panic elsewhere does not spoil it.
        let mut pools = self.shared.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        change(pools.entry(new_nonce.as_str().to_owned()).or_default())
    }
}

/// Performs one request and reports its permit.
async fn sent(
    shared: Arc<Shared>,
    mut permit: Permit,
    kind: &'static str,
    request: Request<Full<Bytes>>,
) -> Result<Response, SendError> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let id = permit.id();
    permit.use_for(endpoint_of(kind));
    let begin = Instant::now();
    let answer = shared.connections.exchange(request, &mut permit).await;
    let took = begin.elapsed();
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let ca = shared.origin.to_string();
    match &answer {
        Ok(Response {
            status,
            replay_nonce,
            retry_after,
            date,
            ..
        }) => {
            if let Some(date) = date {
                clock::heard(Witness::Ca, date);
            }
            tracing::debug!(
                request = id,
                ca,
                %method,
                path,
                kind,
                status,
                milliseconds,
                replay_nonce = replay_nonce.is_some(),
                retry_after = retry_after
                    .as_deref()
                    .map(|value| shown_within(value, RETRY_AFTER_LOGGED)),
                "the CA answered"
            );
            shared.metrics.requested(&ca, kind, &status.to_string(), took);
            Span::current().record("http.response.status_code", status);
        }
        Err(error) => {
            let reason = error.reason();
            tracing::warn!(request = id, ca, %method, path, kind, reason, milliseconds, "{error}");
            shared.metrics.requested(&ca, kind, reason, took);
            Span::current().record("error.type", reason);
            Span::current().record("otel.status_code", "ERROR");
            if error.is_about_the_ca() {
                permit.unanswered(reason, error.to_string());
            }
        }
    }
    if permit.is_late(Instant::now()) {
        tracing::warn!(
            request = id,
            %method,
            path,
            "this process was stopped: the request may have left after its slot had ended"
        );
        shared.metrics.late(&ca);
    }
    permit.answered(outcome(&answer, Timestamp::now()));
    answer
}

/// The span of one request, with all that is sent for it.
fn span(kind: &'static str) -> Span {
    tracing::info_span!(target: TARGET, "request", otel.name = kind)
}

/// What CAs limit apart, by a [`Post`]'s kind.
fn endpoint_of(kind: &str) -> Endpoint {
    match kind {
        NEW_NONCE => Endpoint::NewNonce,
        NEW_ORDER => Endpoint::NewOrder,
        _ => Endpoint::Other,
    }
}

fn outcome(answer: &Result<Response, SendError>, now: Timestamp) -> Outcome {
    match answer {
        Ok(response) => match response.throttle(now) {
            Some(Throttle::Pace(until)) => Outcome::Throttled {
                retry_after: until.map(|until| wait(now, until)),
            },
            // A quota is one account's or domain's matter, not the pace of all.
            Some(Throttle::Quota(_)) | None => Outcome::Answered,
        },
        Err(error) => outcome_of_error(error),
    }
}

/// What a budget is told of a request that has no answer.
pub(crate) fn outcome_of_error(error: &SendError) -> Outcome {
    match error {
        SendError::Lost(Lost::TooLong { .. }) => Outcome::Answered,
        SendError::Lost(Lost::TimedOut { .. }) => Outcome::Unreachable(Unreachable::TimedOut),
        SendError::Lost(Lost::Reset { .. }) => Outcome::Unreachable(Unreachable::Reset),
        SendError::Lost(_) => Outcome::Lost,
        SendError::NotSent(not_sent) => {
            unreachable_by(not_sent).map_or(Outcome::NotSent, Outcome::Unreachable)
        }
        SendError::Closed(_)
        | SendError::Url(_)
        | SendError::NoNonce { .. }
        | SendError::Directory(_)
        | SendError::Signing(_) => Outcome::NotSent,
    }
}

/// Is the CA, or the way to it, down?
fn unreachable_by(not_sent: &NotSent) -> Option<Unreachable> {
    match not_sent {
        NotSent::Refused { .. } => Some(Unreachable::Refused),
        NotSent::Turned { .. } => Some(Unreachable::Reset),
        NotSent::TimedOut { .. } => Some(Unreachable::TimedOut),
        NotSent::Lookup { .. } | NotSent::Unreachable { .. } => Some(Unreachable::NoRoute),
        // Whatever the proxy says, 429 or 503 too: it says nothing of the CA's pace.
        NotSent::Proxy { .. } => Some(Unreachable::NoRoute),
        // It is there, and something else is wrong.
        NotSent::UnknownRoot { .. }
        | NotSent::NotInBundle { .. }
        | NotSent::Certificate { .. }
        | NotSent::Tls { .. }
        | NotSent::SlotEnding => None,
    }
}

fn wait(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}

fn fresh_nonce(answer: &Response) -> Option<Nonce> {
    Nonce::parse(answer.replay_nonce.as_deref()?, Instant::now())
}

fn is_bad_nonce(answer: &Response) -> bool {
    answer.status == 400 && answer.problem().kind() == kind::BAD_NONCE
}

/// `sancho/<version> (replica <name>)`, as RFC 8555 §6.1 asks for.
fn user_agent(replica: &str) -> HeaderValue {
    const PRODUCT: &str = concat!("sancho/", env!("CARGO_PKG_VERSION"));
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let replica: String = replica.chars().filter(|&c| legal(c)).take(100).collect();
    HeaderValue::try_from(format!("{PRODUCT} (replica {replica})"))
        .unwrap_or(HeaderValue::from_static(PRODUCT))
}

#[cfg(test)]
mod tests;
