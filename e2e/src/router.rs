//! The front router for HTTP-01: what a user's ingress does for the `external` solver. Sends
//! `/.well-known/acme-challenge/` to the replicas' responders in turn, keeping the Host header.
//!
//! A replica that does not take the connection, or does not answer in time (a stopped process
//! still has its connections taken by the kernel), is passed over for the next.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpStream;

use crate::listener::{Listener, serve_http};
use crate::pki;

/// The part of the path that is routed (RFC 8555 §8.3).
const PREFIX: &str = "/.well-known/acme-challenge/";

/// How long one replica may take before the next is asked, too.
const NEXT_AFTER: Duration = Duration::from_millis(1500);
/// How long it may take in all. A replica waits for what it has not heard of yet, and a CA for some ten seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(7);

/// A running router. Ends when dropped.
pub struct Router {
    listener: Listener,
    shared: Arc<Shared>,
}

struct Shared {
    responders: Mutex<Vec<SocketAddr>>,
    next: AtomicUsize,
    answered: AtomicUsize,
    client: reqwest::Client,
}

impl Router {
    /// Starts a router on `address` (port 0: a free one), with nobody behind it yet.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        pki::install_crypto();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(ANSWER_TIMEOUT)
            // A kept connection would be tried, and lost, after its replica has gone.
            .pool_max_idle_per_host(0)
            .build()?;
        let shared = Arc::new(Shared {
            responders: Mutex::default(),
            next: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            client,
        });
        let state = shared.clone();
        let listener = Listener::start("router", address, move |stream, _| {
            connection(state.clone(), stream)
        })
        .await?;
        Ok(Router { listener, shared })
    }

    /// Starts a router on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When none is free.
    pub async fn start_anywhere() -> Result<Self> {
        Self::start((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Sets who is behind it, from the next request on.
    pub fn set_responders(&self, responders: Vec<SocketAddr>) {
        *self
            .shared
            .responders
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = responders;
    }

    /// How many requests were answered 200 so far.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    serve_http(stream, |request| {
        let shared = shared.clone();
        async move { route(&shared, &request).await }
    })
    .await;
}

async fn route(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !path.starts_with(PREFIX) {
        return plain(StatusCode::NOT_FOUND, "only challenges are routed here\n");
    }
    let responders = shared
        .responders
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let first = shared.next.fetch_add(1, Ordering::Relaxed);
    let mut others = (0..responders.len()).map(|turn| responders[(first + turn) % responders.len()]);
    let mut asked = FuturesUnordered::new();
    loop {
        if let Some(next) = others.next() {
            asked.push(ask(shared, next, path, request));
        } else if asked.is_empty() {
            break;
        }
        let patience = if others.len() > 0 {
            NEXT_AFTER
        } else {
            ANSWER_TIMEOUT
        };
        // Otherwise it is gone, or takes its time.
        if let Ok(Some(Ok((status, body)))) = tokio::time::timeout(patience, asked.next()).await {
            if status == StatusCode::OK {
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = status;
            return response;
        }
    }
    plain(StatusCode::BAD_GATEWAY, "no replica answers\n")
}

async fn ask(
    shared: &Shared,
    responder: SocketAddr,
    path: &str,
    request: &Request<Incoming>,
) -> reqwest::Result<(StatusCode, Bytes)> {
    let mut onward = shared
        .client
        .request(request.method().clone(), format!("http://{responder}{path}"));
    if let Some(host) = request.headers().get(HOST) {
        onward = onward.header(HOST, host);
    }
    let answer = onward.send().await?;
    Ok((answer.status(), answer.bytes().await?))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
