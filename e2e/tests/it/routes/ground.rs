//! What the tests of routes stand on: a world with a test router, Gateways, a user's own site.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use sancho_e2e::front::{FrontOptions, RateLimit};
use sancho_e2e::manifests::{Budget, cluster_issuer, endpoint_slice};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::NAMESPACE;
use sancho_e2e::test_router::edge;
use sancho_e2e::world::{CaOptions, World, WorldOptions};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The kinds of routes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ingress,
    HttpRoute,
}

/// A world whose names lead nowhere until a route says so, and whose CA bears exactly `budget`. Its IngressClass is
/// `test`.
pub async fn routed_world(replicas: usize, budget: Budget) -> World {
    let front = FrontOptions {
        rate: Some(RateLimit {
            per_second: budget.rate,
            burst: budget.burst,
        }),
        ..FrontOptions::default()
    };
    let world = World::start(WorldOptions {
        ca: Some(CaOptions {
            front,
            ..CaOptions::default()
        }),
        replicas,
        test_router: true,
        ..WorldOptions::default()
    })
    .await
    .unwrap();
    edge::with_ingress_class(&world.cluster).await.unwrap();
    world
}

/// Applies the ClusterIssuer `ca` for the world's CA, with these solvers.
pub async fn apply_issuer(world: &World, budget: Budget, solvers: &Value) {
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), budget);
    issuer["spec"]["acme"]["solvers"] = solvers.clone();
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
}

/// Has the API server refuse Ingresses with a dot in a path, save with the controller's own type of path, in the
/// words of the webhook of ingress-nginx 1.12.
pub async fn refuse_dots(world: &World) {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "no-dots" },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["networking.k8s.io"],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["ingresses"],
            }] },
            "validations": [{
                "expression": "object.spec.rules.all(rule, rule.http.paths.all(path, \
                               path.pathType == 'ImplementationSpecific' || !path.path.contains('.')))",
                "message": "ingress contains invalid paths: path /.well-known/acme-challenge cannot be used with \
                            pathType Prefix",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "no-dots" },
        "spec": { "policyName": "no-dots", "validationActions": ["Deny"] },
    });
    for manifest in [policy, binding] {
        world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    }
    let backend = json!({ "service": { "name": "site", "port": { "number": 80 } } });
    let path = json!({ "path": "/a.b", "pathType": "Prefix", "backend": backend });
    let probe = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": { "name": "probe", "namespace": "default" },
        "spec": { "rules": [{ "host": "probe.example", "http": { "paths": [path] } }] },
    });
    let create = ["create", "--dry-run=server", "-f", "-"];
    wait_for(
        "the policy to be in force",
        Duration::from_secs(60),
        &[],
        async || {
            let created = world
                .cluster
                .kubectl_with_input(&create, &probe.to_string())
                .await;
            let words = created.err().map(|error| error.to_string()).unwrap_or_default();
            Ok(words.contains("cannot be used with pathType").then_some(()))
        },
    )
    .await
    .unwrap();
}

/// The routes of a kind in the operator's namespace; none if the kind is not installed.
///
/// # Errors
///
/// When the API server does not answer.
pub async fn routes(world: &World, kind: Kind) -> Result<Vec<Value>> {
    let (group, name, plural) = match kind {
        Kind::Ingress => ("networking.k8s.io", "Ingress", "ingresses"),
        Kind::HttpRoute => ("gateway.networking.k8s.io", "HTTPRoute", "httproutes"),
    };
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", name), plural);
    let api: Api<DynamicObject> = Api::namespaced_with(world.cluster.client(), NAMESPACE, &resource);
    match api.list(&Default::default()).await {
        Ok(found) => found
            .items
            .iter()
            .map(|route| Ok(serde_json::to_value(route)?))
            .collect(),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The host names of a HTTPRoute.
pub fn hosts(route: &Value) -> Vec<String> {
    serde_json::from_value(route["spec"]["hostnames"].clone()).unwrap()
}

/// Waits until no route stands in the operator's namespace.
pub async fn no_routes(world: &World, within: Duration) {
    wait_for("all routes to be taken away", within, &[], async || {
        let (ingresses, http_routes) = (
            routes(world, Kind::Ingress).await?,
            routes(world, Kind::HttpRoute).await?,
        );
        ensure!(
            ingresses.is_empty() && http_routes.is_empty(),
            "{} Ingresses and {} HTTPRoutes stand there",
            ingresses.len(),
            http_routes.len()
        );
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// A site that a user has, behind an Ingress of its own, and somebody who looks at it all the time.
pub struct UserSite {
    server: JoinHandle<()>,
    visitor: JoinHandle<Vec<String>>,
    over: Arc<AtomicBool>,
}

impl UserSite {
    /// What the visitor was answered each time.
    pub async fn stop(self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        let answers = self.visitor.await.unwrap();
        self.server.abort();
        answers
    }
}

/// Puts a site of the namespace `default` on `host`, and looks at it from then on.
pub async fn user_site(world: &World, host: &str) -> UserSite {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|_: Request<Incoming>| async {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("the user's own page")))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "site", "namespace": "default" },
        "spec": { "ports": [{ "name": "http", "port": 80 }] },
    });
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": { "name": "site", "namespace": "default" },
        "spec": {
            "ingressClassName": "test",
            "rules": [{ "host": host, "http": { "paths": [{
                "path": "/",
                "pathType": "Prefix",
                "backend": { "service": { "name": "site", "port": { "name": "http" } } },
            }] } }],
        },
    });
    for manifest in [service, ingress, endpoint_slice("default", "site", "one", port)] {
        world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (url, host) = (format!("http://{}/", world.http01()), host.to_owned());
    let ask = async move || match client.get(&url).header("Host", &host).send().await {
        Ok(answer) => answer.text().await.unwrap_or_else(|error| error.to_string()),
        Err(error) => error.to_string(),
    };
    wait_for("the user's own site", Duration::from_secs(30), &[], async || {
        Ok((ask().await == "the user's own page").then_some(()))
    })
    .await
    .unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    let visitor = tokio::spawn(async move {
        let mut answers = Vec::new();
        let mut every = tokio::time::interval(Duration::from_millis(500));
        while !is_over.load(Ordering::Relaxed) {
            every.tick().await;
            answers.push(ask().await);
        }
        answers
    });
    UserSite {
        server,
        visitor,
        over,
    }
}
