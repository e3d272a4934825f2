//! A test router: routes HTTP as the Ingresses and HTTPRoutes in the API server say, to the endpoints of their Services.
//! seen → table → request → host and path → backend.
//!
//! It stands where a cluster has an ingress controller or a Gateway, knows what the tests need, and proves nothing about
//! real ones: one port of HTTP, IngressClass, Ingress, GatewayClass, Gateway, HTTPRoute, Service and EndpointSlice, and
//! precedence by host and path as their APIs publish it. It says on HTTPRoutes whether it takes them, as a Gateway
//! does. It shares no code with the operator.

pub mod edge;
mod gateways;
mod table;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use self::gateways::{Judged, judge};
use self::table::{Entry, Objects, Seen, find, list, of_ingresses};
use crate::listener::{Listener, serve_http};
use crate::pki;

/// What an IngressClass has as its controller, and a GatewayClass as its controllerName, for this router.
pub const CONTROLLER: &str = "sancho.dev/test-router";

/// Between two looks at the API server.
const EVERY: Duration = Duration::from_millis(300);
/// How long one backend may take before the next is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1500);

/// A running test router. Ends when dropped.
pub struct TestRouter {
    listener: Listener,
    shared: Arc<Shared>,
    following: Option<JoinHandle<()>>,
}

struct Shared {
    entries: Mutex<Vec<Entry>>,
    /// How long a change takes until it counts.
    lag: Mutex<Duration>,
    client: reqwest::Client,
}

impl TestRouter {
    /// Starts one on a free port of 127.0.0.1 that routes nothing yet.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn start() -> Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Starts one at this address.
    ///
    /// # Errors
    ///
    /// When it is taken.
    pub async fn start_at(address: SocketAddr) -> Result<Self> {
        pki::install_crypto();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(ANSWER_TIMEOUT)
            .pool_max_idle_per_host(0)
            .build()?;
        let shared = Arc::new(Shared {
            entries: Mutex::default(),
            lag: Mutex::default(),
            client,
        });
        let state = shared.clone();
        let listener = Listener::start("test router", address, move |stream, _| {
            connection(state.clone(), stream)
        })
        .await?;
        Ok(TestRouter {
            listener,
            shared,
            following: None,
        })
    }

    /// From now on it routes as the objects in this API server say.
    pub fn follow(&mut self, client: Client) {
        self.following = Some(tokio::spawn(follow(self.shared.clone(), client)));
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// From now on a change takes so long until it counts, as with a controller that is busy.
    pub fn set_lag(&self, lag: Duration) {
        *self.shared.lag.lock().unwrap_or_else(PoisonError::into_inner) = lag;
    }
}

impl Drop for TestRouter {
    fn drop(&mut self) {
        if let Some(following) = &self.following {
            following.abort();
        }
    }
}

/// Keeps the table as the API server has it.
async fn follow(shared: Arc<Shared>, client: Client) {
    let mut pending: Option<(Instant, Vec<Entry>)> = None;
    loop {
        // One that does not answer, or has just closed the connection, is asked again.
        if let Ok(seen) = see(&client).await {
            let judged = judge(&seen, CONTROLLER);
            let mut entries = of_ingresses(&seen, CONTROLLER);
            entries.extend(judged.iter().flat_map(|route| route.entries.clone()));
            if pending.as_ref().is_none_or(|(_, last)| *last != entries) {
                pending = Some((Instant::now(), entries));
            }
            for (route, present) in judged.iter().zip(&seen.http_routes) {
                tell(&client, route, present).await;
            }
        }
        let lag = *shared.lag.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, entries)) = &pending
            && since.elapsed() >= lag
        {
            shared
                .entries
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(entries);
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn see(client: &Client) -> Result<Seen> {
    let all = |path: &'static str| all(client, path);
    let (ingress_classes, ingresses, gateway_classes, gateways, http_routes) = tokio::try_join!(
        all("/apis/networking.k8s.io/v1/ingressclasses"),
        all("/apis/networking.k8s.io/v1/ingresses"),
        all("/apis/gateway.networking.k8s.io/v1/gatewayclasses"),
        all("/apis/gateway.networking.k8s.io/v1/gateways"),
        all("/apis/gateway.networking.k8s.io/v1/httproutes"),
    )?;
    let (namespaces, services, endpoint_slices) = tokio::try_join!(
        all("/api/v1/namespaces"),
        all("/api/v1/services"),
        all("/apis/discovery.k8s.io/v1/endpointslices"),
    )?;
    Ok(Seen {
        ingress_classes,
        ingresses,
        gateway_classes,
        gateways,
        http_routes,
        namespaces,
        services,
        endpoint_slices,
    })
}

/// All objects of a kind; none of one that is not installed.
async fn all(client: &Client, path: &str) -> Result<Objects> {
    match client
        .request::<Value>(Request::get(path).body(Vec::new())?)
        .await
    {
        Ok(listed) => Ok(list(&listed["items"]).to_vec()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Objects::new()),
        Err(error) => Err(error.into()),
    }
}

/// Writes what the Gateways say to a HTTPRoute's status, if it does not stand there.
async fn tell(client: &Client, judged: &Judged, present: &Value) {
    let said = list(&present["status"]["parents"]);
    if said == judged.parents {
        return;
    }
    let (namespace, name) = &judged.route;
    let url = format!("/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/{name}/status");
    let patch = json!({ "status": { "parents": judged.parents } });
    let request = Request::patch(url).header("Content-Type", "application/merge-patch+json");
    if let Ok(request) = request.body(patch.to_string().into_bytes()) {
        // What was not written is written at the next look; the route may be gone.
        let _ = client.request::<Value>(request).await;
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
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let backends = {
        let entries = shared.entries.lock().unwrap_or_else(PoisonError::into_inner);
        find(&entries, &name, request.uri().path()).map(|entry| entry.backends.clone())
    };
    let Some(backends) = backends else {
        return plain(StatusCode::NOT_FOUND, "no route\n");
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    for backend in backends {
        let onward = shared
            .client
            .request(request.method().clone(), format!("http://{backend}{path}"))
            .header(HOST, host);
        // One that does not answer is passed over for the next.
        if let Ok(answer) = onward.send().await {
            let status = answer.status();
            if let Ok(body) = answer.bytes().await {
                let mut response = Response::new(Full::new(body));
                *response.status_mut() = status;
                return response;
            }
        }
    }
    plain(StatusCode::SERVICE_UNAVAILABLE, "no backend answers\n")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
