//! The HTTP-01 responder: what was handed out is answered, and nothing else (RFC 8555 §8.3).
//!
//! connection → host and token → [`ChallengeTable`] → the key authorization, or 404

pub mod alone;
pub mod challenges;
pub mod table;

use std::convert::Infallible;
use std::future::Future;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sancho_core::challenge::Token;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use table::{Challenge, ChallengeTable};

/// How many connections are served at once; others wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;

/// How long a client may take to send a request's head. Also ends a connection that is unused.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the answers under way are given when the responder ends.
const GOODBYE: Duration = Duration::from_millis(500);

/// A validation request has a few short fields.
const MOST_HEADERS: usize = 64;

/// Serves `table` on `listener` until `shutdown`, then ends what is under way and returns.
pub async fn serve(listener: TcpListener, table: ChallengeTable, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let (ending, ended) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let serving = connection(stream, table.clone(), ended.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: they come back as connections end.
                    tracing::warn!(%error, "the responder could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
    drop(ending);
    let ends = async { while connections.join_next().await.is_some() {} };
    // Whoever reads too slowly is left behind.
    let _ = tokio::time::timeout(GOODBYE, ends).await;
}

async fn connection(stream: TcpStream, table: ChallengeTable, mut ended: watch::Receiver<()>) {
    let service = service_fn(|request| {
        let table = table.clone();
        async move { Ok::<_, Infallible>(answer(&table, &request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let outcome = tokio::select! {
        outcome = &mut serving => outcome,
        _ = ended.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection to the responder broke off");
    }
}

async fn answer(table: &ChallengeTable, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let Some(token) = Token::in_path(request.uri().path()) else {
        return plain(StatusCode::NOT_FOUND, "not found\n".to_owned());
    };
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n".to_owned());
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let answer = match host(request) {
        Some(host) => table.answer(&host, &token).await,
        None => None,
    };
    match answer {
        Some(key_authorization) => plain(StatusCode::OK, key_authorization),
        None => plain(StatusCode::NOT_FOUND, "not found\n".to_owned()),
    }
}

/// The name or address that was asked for: lower case, without port, brackets or closing dot.
fn host(request: &Request<Incoming>) -> Option<String> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => {
            let mut fields = request.headers().get_all(HOST).iter();
            let only = fields.next()?.to_str().ok()?;
            if fields.next().is_some() {
                return None;
            }
            only
        }
    };
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, _port) = bracketed.split_once(']')?;
        return Some(address.parse::<Ipv6Addr>().ok()?.to_string());
    }
    let name = authority.split(':').next()?;
    Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

fn plain(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
