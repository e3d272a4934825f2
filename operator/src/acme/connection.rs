//! The connections to one CA: one request at a time on each, kept for a while, countable, and
//! closed when told.
//!
//! hyper's connection is driven here directly, and not through an HTTP client's pool, because a
//! CA's cap on connections is part of the budget: a pool opens a second connection beside one that
//! is about to come back, and cannot say when one is closed.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, LINK, LOCATION, RETRY_AFTER, SET_COOKIE};
use hyper::{Request, Response as HttpResponse};
use hyper_util::rt::TokioIo;
use sancho_core::response::{LONGEST_URL, OfProvider, Response};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::acme::dial::Dialer;
use crate::acme::error::{Lost, NotSent, SendError};
use crate::gate::Permit;

/// How long a request may take, connection included. Cut shorter when the permit's slot ends.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest body that is read: a chain of certificates is far shorter.
pub const LONGEST_BODY: usize = 1024 * 1024;

/// More chains than this no CA offers.
const MOST_ALTERNATES: usize = 16;

/// More cookies than this no session has.
const MOST_COOKIES: usize = 16;

/// The longest cookie that is kept: more no user agent needs to keep (RFC 6265 §6.1).
const LONGEST_COOKIE: usize = 4096;

/// How long an unused connection is kept. Servers close them after a minute or so; one that is
/// closed just as it is used again costs a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a TLS session is given to say goodbye before its socket is closed regardless.
const GOODBYE: Duration = Duration::from_millis(250);

const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");
const NEXT_PAGE: HeaderName = HeaderName::from_static("opc-next-page");

/// The connections to one CA. Cheap to clone.
///
/// Guarantees: no more sockets are open than requests are in flight, plus at most `most_idle`
/// between requests, and never a new one while an idle one is at hand.
#[derive(Clone)]
pub(crate) struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    dialer: Dialer,
    most_idle: usize,
    idle: Mutex<Vec<Connection>>,
    open: watch::Sender<usize>,
}

/// One connection, and the task that owns its socket.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    idle_since: Instant,
}

/// Counts a socket for as long as it is open.
struct Open(watch::Sender<usize>);

impl Connections {
    /// Connections made by `dialer`, of which at most `most_idle` are kept between requests.
    /// To be called within a tokio runtime.
    pub(crate) fn new(dialer: Dialer, most_idle: usize) -> Self {
        let shared = Arc::new(Shared {
            dialer,
            most_idle,
            idle: Mutex::new(Vec::new()),
            open: watch::Sender::new(0),
        });
        tokio::spawn(close_unused(Arc::downgrade(&shared)));
        Connections { shared }
    }

    /// How many sockets to the CA are open.
    pub(crate) fn open(&self) -> usize {
        *self.shared.open.borrow()
    }

    /// Closes idle connections until at most `keep` connections are open, those in use included;
    /// returns when their sockets are closed.
    pub(crate) async fn close_idle(&self, keep: usize) {
        let closing = {
            let mut idle = self.shared.idle();
            let surplus = self.open().saturating_sub(keep).min(idle.len());
            idle.drain(..surplus).collect::<Vec<_>>()
        };
        futures::future::join_all(closing.into_iter().map(Connection::close)).await;
    }

    /// Sends `request` on the strength of `permit` and reads the whole answer.
    ///
    /// The permit is begun right before the first byte, and left to the caller to report.
    /// Whatever keeps the answer from being whole closes the connection before this returns.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        permit: &mut Permit,
    ) -> Result<Response, SendError> {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        let mut request = Some(request);
        // An idle connection may turn out to be closed; the one made in its place may not.
        while let Some(unsent) = request.take() {
            let reused = self.shared.take_idle().await;
            let fresh = reused.is_none();
            let mut connection = match reused {
                Some(connection) => connection,
                None => self.shared.connect(permit).await?,
            };
            if permit.begin(Instant::now()).is_err() {
                self.shared.put_idle(connection).await;
                return Err(NotSent::SlotEnding.into());
            }
            match self.on(&mut connection, unsent, permit, deadline).await {
                Ok(Ok(response)) => {
                    self.shared.put_idle(connection).await;
                    return Ok(response);
                }
                Ok(Err(unsent)) => {
                    connection.abort().await;
                    if fresh {
                        break;
                    }
                    request = Some(unsent);
                }
                Err(lost) => {
                    connection.abort().await;
                    return Err(lost.into());
                }
            }
        }
        Err(NotSent::Turned {
            origin: self.shared.dialer.origin().clone(),
        }
        .into())
    }

    /// The answer; or the request, if the connection was closed before any of it was written.
    async fn on(
        &self,
        connection: &mut Connection,
        request: Request<Full<Bytes>>,
        permit: &Permit,
        deadline: Instant,
    ) -> Result<Result<Response, Request<Full<Bytes>>>, Lost> {
        let origin = || self.shared.dialer.origin().clone();
        let exchange = async {
            let answer = match connection.sender.try_send_request(request).await {
                Ok(answer) => answer,
                Err(mut error) => {
                    return match error.take_message() {
                        Some(unsent) => Ok(Err(unsent)),
                        None => Err(self.lost(&error.into_error())),
                    };
                }
            };
            self.read(answer).await.map(Ok)
        };
        tokio::select! {
            outcome = exchange => outcome,
            () = tokio::time::sleep_until(deadline) => {
                Err(Lost::TimedOut { origin: origin(), after: REQUEST_TIMEOUT })
            }
            () = permit.expired() => Err(Lost::SlotEnded { origin: origin() }),
        }
    }

    async fn read(&self, answer: HttpResponse<Incoming>) -> Result<Response, Lost> {
        let (head, body) = answer.into_parts();
        let status = head.status.as_u16();
        let origin = self.shared.dialer.origin();
        let body = Limited::new(body, LONGEST_BODY)
            .collect()
            .await
            .map_err(|error| match error.downcast_ref::<hyper::Error>() {
                Some(error) => self.lost(error),
                None if error.is::<LengthLimitError>() => Lost::TooLong {
                    origin: origin.clone(),
                    status,
                    limit: LONGEST_BODY,
                },
                None => Lost::Reset {
                    origin: origin.clone(),
                    reason: error.to_string(),
                },
            })?;
        let text = |name: &HeaderName| head.headers.get(name)?.to_str().ok().map(str::to_owned);
        Ok(Response {
            status,
            content_type: text(&CONTENT_TYPE),
            location: text(&LOCATION),
            retry_after: text(&RETRY_AFTER),
            date: text(&DATE),
            replay_nonce: text(&REPLAY_NONCE),
            alternates: alternates(&head.headers),
            of_provider: of_provider(&head.headers),
            body: body.to_bytes().to_vec(),
        })
    }

    fn lost(&self, error: &hyper::Error) -> Lost {
        let origin = self.shared.dialer.origin().clone();
        let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        if error.is_parse() {
            Lost::NotHttp { origin, reason }
        } else {
            Lost::Reset { origin, reason }
        }
    }
}

impl Shared {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // Nothing panics while it is held, and a list is whole at any time.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last and is still open. Others that are met are closed.
    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let connection = self.idle().pop()?;
            if connection.sender.is_ready() && connection.idle_since.elapsed() < IDLE_TIMEOUT {
                return Some(connection);
            }
            connection.close().await;
        }
    }

    /// Keeps a connection for the next request, or closes it.
    async fn put_idle(&self, mut connection: Connection) {
        // The answer is whole, so the connection is ready at once, or was closed by the server.
        let ready = tokio::time::timeout(GOODBYE, connection.sender.ready()).await;
        let surplus = {
            let mut idle = self.idle();
            if matches!(ready, Ok(Ok(()))) && idle.len() < self.most_idle {
                connection.idle_since = Instant::now();
                idle.push(connection);
                None
            } else {
                Some(connection)
            }
        };
        if let Some(connection) = surplus {
            connection.close().await;
        }
    }

    async fn connect(&self, permit: &Permit) -> Result<Connection, NotSent> {
        let open = Open::new(&self.open);
        let stream = tokio::select! {
            stream = self.dialer.dial() => stream?,
            () = permit.expired() => return Err(NotSent::SlotEnding),
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| NotSent::Unreachable {
                    origin: self.dialer.origin().clone(),
                    reason: error.to_string(),
                })?;
        let driver = tokio::spawn(async move {
            // Errors show where the request is.
            let _ = connection.await;
            drop(open);
        });
        Ok(Connection {
            sender,
            driver,
            idle_since: Instant::now(),
        })
    }
}

impl Connection {
    /// Says goodbye and closes the socket; returns when it is closed.
    async fn close(self) {
        let Connection {
            sender,
            mut driver,
            idle_since: _,
        } = self;
        drop(sender);
        if tokio::time::timeout(GOODBYE, &mut driver).await.is_err() {
            driver.abort();
            let _ = driver.await;
        }
    }

    /// Closes the socket, whatever is under way on it; returns when it is closed.
    async fn abort(self) {
        self.driver.abort();
        let _ = self.driver.await;
    }
}

impl Open {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|open| *open += 1);
        Open(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

/// Closes what was not used for [`IDLE_TIMEOUT`], for as long as the connections are wanted.
async fn close_unused(connections: Weak<Shared>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT / 5).await;
        let Some(shared) = connections.upgrade() else {
            return;
        };
        let unused: Vec<Connection> = {
            let mut idle = shared.idle();
            idle.extract_if(.., |connection| {
                connection.sender.is_closed() || connection.idle_since.elapsed() >= IDLE_TIMEOUT
            })
            .collect()
        };
        drop(shared);
        futures::future::join_all(unused.into_iter().map(Connection::close)).await;
    }
}

/// The URLs of `Link: <…>;rel="alternate"` fields (RFC 8288 §3, RFC 8555 §7.4.2).
fn alternates(headers: &HeaderMap) -> Vec<String> {
    let fields = headers
        .get_all(LINK)
        .iter()
        .filter_map(|field| field.to_str().ok());
    fields
        // A URL can hold a comma, but no angle bracket.
        .flat_map(|field| field.split('<').skip(1))
        .filter_map(alternate)
        .filter(|url| url.len() <= LONGEST_URL)
        .take(MOST_ALTERNATES)
        .collect()
}

/// Nothing of what a CA answers.
fn of_provider(headers: &HeaderMap) -> Option<Box<OfProvider>> {
    let next_page = headers.get(NEXT_PAGE).and_then(|value| value.to_str().ok());
    let said = OfProvider {
        cookies: cookies(headers),
        next_page: next_page.map(str::to_owned),
    };
    (said != OfProvider::default()).then(|| Box::new(said))
}

/// `NAME=VALUE` of `Set-Cookie` fields (RFC 6265 §4.1), without what stands behind it.
fn cookies(headers: &HeaderMap) -> Vec<String> {
    let fields = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|field| field.to_str().ok());
    fields
        .map(|field| field.split(';').next().unwrap_or_default().trim())
        .filter(|cookie| cookie.contains('=') && cookie.len() <= LONGEST_COOKIE)
        .take(MOST_COOKIES)
        .map(str::to_owned)
        .collect()
}

fn alternate(link: &str) -> Option<String> {
    let (url, parameters) = link.split_once('>')?;
    let alternate = parameters.split([';', ',']).any(|parameter| {
        parameter.trim().split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("rel")
                && value.trim().trim_matches('"').eq_ignore_ascii_case("alternate")
        })
    });
    alternate.then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cookies_are_kept_without_what_stands_behind_them() {
        let mut headers = HeaderMap::new();
        let long = format!("a={}", "b".repeat(LONGEST_COOKIE));
        let fields = [
            "domrobot=1f; path=/; HttpOnly; Secure",
            "none",
            " a = b=c ;Max-Age=1",
            &long,
            "z=",
        ];
        for field in fields {
            headers.append(SET_COOKIE, field.parse().unwrap());
        }
        assert_eq!(cookies(&headers), ["domrobot=1f", "a = b=c", "z="]);
        for _ in 0..MOST_COOKIES {
            headers.append(SET_COOKIE, HeaderValue::from_static("a=b"));
        }
        assert_eq!(cookies(&headers).len(), MOST_COOKIES);
    }

    proptest! {
        #[test]
        fn whatever_links_a_ca_sends_few_short_ones_are_kept(
            fields in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..100),
                    "(<[a-z:/,;]{0,20}>;rel=\"?alternate\"?,?){0,40}".prop_map(String::into_bytes),
                    Just(format!("<https://ca.example/{}>;rel=alternate", "a".repeat(LONGEST_URL)).into_bytes()),
                ],
                0..4,
            )
        ) {
            let mut headers = HeaderMap::new();
            for field in fields.iter().filter_map(|field| HeaderValue::from_bytes(field).ok()) {
                headers.append(LINK, field);
            }
            let kept = alternates(&headers);
            prop_assert!(kept.len() <= MOST_ALTERNATES);
            prop_assert!(kept.iter().all(|url| url.len() <= LONGEST_URL));
        }
    }
}
