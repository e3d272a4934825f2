//! A proxy between replicas and the API server, where requests can go wrong and the connection be
//! cut: `accept -> TLS -> fault, if one is asked for -> API server`.
//!
//! One connection to the API server for each of a client's, HTTP/1.1 both ways; bodies are passed
//! on as they come, so watches work. Bearer tokens pass, client certificates do not. Watches can be
//! held back or ended while all else passes: see [`Watches`].

mod watches;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::USER_AGENT;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::cluster::{ApiServer, Cluster};
use crate::faults::{Fault, Faults};
use crate::listener::Listener;
use crate::pki::{self, Authority};
pub use watches::Watches;

/// A running proxy. Ends when dropped.
pub struct ApiProxy {
    listener: Listener,
    ca_pem: String,
    shared: Arc<Shared>,
}

/// A request to the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRequest {
    /// HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, without the question mark; empty if there is none.
    pub query: String,
    /// The client's User-Agent; empty if it sends none.
    pub user_agent: String,
}

impl ApiRequest {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    /// Whether its answer is a watch: events without an end.
    pub fn is_watch(&self) -> bool {
        self.query
            .split('&')
            .any(|part| matches!(part, "watch=true" | "watch=1"))
    }
}

struct Shared {
    upstream: SocketAddr,
    connector: TlsConnector,
    faults: Faults<ApiRequest>,
    watches: Watches,
    cut: watch::Sender<bool>,
}

impl ApiProxy {
    /// Starts a proxy to a cluster's API server on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        pki::install_crypto();
        let authority = Authority::new("Sancho test API proxy")?;
        let tls = TlsAcceptor::from(Arc::new(authority.server_config("API proxy")?));
        let upstream = cluster.server().trim_start_matches("https://").parse()?;
        let shared = Arc::new(Shared {
            upstream,
            connector: TlsConnector::from(Arc::new(pki::client_config(cluster.ca_pem())?)),
            faults: Faults::none(),
            watches: Watches::default(),
            cut: watch::Sender::new(false),
        });
        let state = shared.clone();
        let listener = Listener::start("api-proxy", (Ipv4Addr::LOCALHOST, 0).into(), move |stream, _| {
            let (state, tls) = (state.clone(), tls.clone());
            let mut cut = state.cut.subscribe();
            async move {
                tokio::select! {
                    // The sender is in `state`, so waiting ends only by a cut.
                    _ = cut.wait_for(|cut| *cut) => {}
                    // Its error says that one of the two sides went away.
                    _ = connection(state, tls, stream) => {}
                }
            }
        })
        .await?;
        Ok(ApiProxy {
            listener,
            ca_pem: authority.pem().to_owned(),
            shared,
        })
    }

    /// Where it listens, for [`ReplicaOptions::api_server`](crate::replica::ReplicaOptions).
    pub fn api_server(&self) -> ApiServer {
        ApiServer {
            url: format!("https://{}", self.listener.address()),
            ca_pem: self.ca_pem.clone(),
        }
    }

    /// Asks `choose` for each request whether something goes wrong with it. Replaces an earlier
    /// choice.
    pub fn set_faults(&self, choose: impl Fn(&ApiRequest) -> Option<Fault> + Send + Sync + 'static) {
        self.shared.faults.set(choose);
    }

    /// The watches that pass, to be held back or ended.
    pub fn watches(&self) -> &Watches {
        &self.shared.watches
    }

    /// Closes all connections, and every new one at once, until [`ApiProxy::mend`].
    pub fn cut(&self) {
        self.shared.cut.send_replace(true);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.shared.cut.send_replace(false);
    }
}

async fn connection(shared: Arc<Shared>, tls: TlsAcceptor, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let stream = tls.accept(stream).await?;
    let upstream = TcpStream::connect(shared.upstream).await?;
    upstream.set_nodelay(true)?;
    let name = ServerName::from(shared.upstream.ip());
    let upstream = shared.connector.connect(name, upstream).await?;
    let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(upstream)).await?;
    let sender = Arc::new(Mutex::new(sender));
    let service = service_fn(|request| answer(shared.clone(), sender.clone(), request));
    let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = serve => served?,
        driven = driver => driven?,
    }
    Ok(())
}

/// An answer's body, whoever it is from. An error closes the connection.
type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// Answers one request. `Err` closes the connection.
async fn answer(
    shared: Arc<Shared>,
    sender: Arc<Mutex<SendRequest<Incoming>>>,
    request: Request<Incoming>,
) -> Result<Response<Body>> {
    let agent = request
        .headers()
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok());
    let about = ApiRequest {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        user_agent: agent.unwrap_or_default().to_owned(),
    };
    let fault = shared.faults.choose(&about);
    let watches = about.is_watch().then_some(&shared.watches);
    let forward = async {
        let sent = async {
            let mut sender = sender.lock().await;
            sender.ready().await?;
            sender.send_request(request).await
        };
        match sent.await.context("the API server does not answer") {
            Ok(response) => response.map(|body| match watches {
                Some(watches) => watches.pass(body).boxed_unsync(),
                None => body.map_err(anyhow::Error::from).boxed_unsync(),
            }),
            Err(error) => bad_gateway(&error).map(own),
        }
    };
    Fault::perform(fault, forward, own).await
}

fn own(body: Full<Bytes>) -> Body {
    body.map_err(anyhow::Error::from).boxed_unsync()
}

fn bad_gateway(error: &anyhow::Error) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{error:#}\n")));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
