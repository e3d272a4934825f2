//! The way to the API server, whose requests are counted.

use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use anyhow::Context as _;
use hyper::header::{DATE, HeaderValue, USER_AGENT};
use hyper::http::{Method, Request, Response, Uri};
use kube::client::{Body, ClientBuilder};
use kube::config::Kubeconfig;
use kube::{Client, Config};
use tokio::time::Instant;
use tower::Service;
use tower::layer::layer_fn;

use crate::clock::{self, Witness};
use crate::metrics::{ApiRequest, Metrics};
use crate::proxy::of_api_server;

/// The way to the API server, with an end to every wait. What is written is `sancho`'s in `managedFields`.
///
/// No proxy of the environment is on it, since that is the way out of the cluster: only one that a kubeconfig has.
///
/// # Errors
/// There is neither a kubeconfig nor what a pod has.
pub async fn config() -> anyhow::Result<Config> {
    let mut config = Config::infer()
        .await
        .context("no way to the API server: neither a kubeconfig nor a pod's own")?;
    let kubeconfig = Kubeconfig::read().ok();
    config.proxy_url = match kubeconfig
        .as_ref()
        .and_then(|kubeconfig| proxy_url(kubeconfig, None))
    {
        Some(url) => of_api_server(Some(url), &config.cluster_url)?,
        None => None,
    };
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(60));
    config.write_timeout = Some(Duration::from_secs(30));
    config.headers.push((
        USER_AGENT,
        HeaderValue::from_static(concat!("sancho/", env!("CARGO_PKG_VERSION"))),
    ));
    Ok(config)
}

/// The `proxy-url` of a kubeconfig's cluster: that of the context of this name, or of the current one.
#[must_use]
pub fn proxy_url<'a>(kubeconfig: &'a Kubeconfig, context: Option<&str>) -> Option<&'a str> {
    let context = context.or(kubeconfig.current_context.as_deref())?;
    let named = kubeconfig.contexts.iter().find(|named| named.name == context)?;
    let cluster = &named.context.as_ref()?.cluster;
    let named = kubeconfig.clusters.iter().find(|named| named.name == *cluster)?;
    let url = named.cluster.as_ref()?.proxy_url.as_deref()?;
    (!url.is_empty()).then_some(url)
}

/// A client whose requests are counted. One that it sends again by itself is counted as one.
///
/// # Errors
/// The configuration does not do, a certificate in it for one.
pub fn client(config: Config, metrics: &Metrics) -> Result<Client, kube::Error> {
    let counted = layer_fn(|inner| Counted {
        inner,
        metrics: metrics.clone(),
    });
    Ok(ClientBuilder::try_from(config)?.with_layer(&counted).build())
}

struct Counted<S> {
    inner: S,
    metrics: Metrics,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asked = asked(request.method(), request.uri());
        let begun = Instant::now();
        let answer = self.inner.call(request);
        let metrics = self.metrics.clone();
        Box::pin(async move {
            let answer = answer.await;
            let code = match &answer {
                Ok(answer) => {
                    let date = answer.headers().get(DATE);
                    if let Some(date) = date.and_then(|date| date.to_str().ok()) {
                        clock::heard(Witness::ApiServer, date);
                    }
                    answer.status().as_str().to_owned()
                }
                Err(_) => "error".to_owned(),
            };
            metrics.api_requested(asked, code, begun.elapsed());
            answer
        })
    }
}

/// What a request asks for. Its names are left out.
fn asked(method: &Method, uri: &Uri) -> ApiRequest {
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    // /api/VERSION/… and /apis/GROUP/VERSION/…
    let skipped = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => usize::MAX,
    };
    let parts: Vec<&str> = parts.skip(skipped).collect();
    let (resource, name, subresource) = match parts.as_slice() {
        ["namespaces", _, resource, rest @ ..] => (*resource, rest.first(), rest.get(1)),
        [resource, rest @ ..] => (*resource, rest.first(), rest.get(1)),
        [] => ("", None, None),
    };
    let is_watch = uri.query().is_some_and(|query| {
        query
            .split('&')
            .any(|pair| matches!(pair, "watch=true" | "watch=1"))
    });
    let verb = match *method {
        Method::GET if is_watch => "watch",
        Method::GET if name.is_none() && !resource.is_empty() => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if name.is_none() => "deletecollection",
        Method::DELETE => "delete",
        _ => "get",
    };
    let resource = match subresource {
        Some(subresource) => format!("{resource}/{subresource}"),
        None => resource.to_owned(),
    };
    ApiRequest { verb, resource }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfigs_proxy_is_that_of_the_contexts_cluster() {
        let kubeconfig = Kubeconfig::from_yaml(
            r#"
clusters:
- { name: far, cluster: { server: "https://api.far.example", proxy-url: "http://proxy:3128" } }
- { name: near, cluster: { server: "https://api.near.example", proxy-url: "" } }
contexts:
- { name: far-away, context: { cluster: far } }
- { name: here, context: { cluster: near } }
- { name: lost, context: { cluster: gone } }
current-context: far-away
"#,
        )
        .unwrap();
        assert_eq!(proxy_url(&kubeconfig, None), Some("http://proxy:3128"));
        assert_eq!(
            proxy_url(&kubeconfig, Some("far-away")),
            Some("http://proxy:3128")
        );
        for context in ["here", "lost", "nowhere"] {
            assert_eq!(proxy_url(&kubeconfig, Some(context)), None, "{context}");
        }
        assert_eq!(proxy_url(&Kubeconfig::default(), None), None);
    }

    #[test]
    fn a_request_is_told_by_verb_and_resource_without_names() {
        for (method, uri, verb, resource) in [
            (
                Method::GET,
                "/api/v1/namespaces/shop/secrets/tls",
                "get",
                "secrets",
            ),
            (Method::GET, "/api/v1/secrets?limit=500", "list", "secrets"),
            (Method::GET, "/api/v1/namespaces/shop", "get", "namespaces"),
            (
                Method::GET,
                "/apis/sancho.dev/v1alpha1/certificates?&watch=true&timeoutSeconds=290",
                "watch",
                "certificates",
            ),
            (
                Method::PUT,
                "/apis/sancho.dev/v1alpha1/namespaces/shop/certificates/web/status?",
                "update",
                "certificates/status",
            ),
            (
                Method::PATCH,
                "/apis/sancho.dev/v1alpha1/clusterissuers/ca/status",
                "patch",
                "clusterissuers/status",
            ),
            (
                Method::POST,
                "/apis/coordination.k8s.io/v1/namespaces/sancho-system/leases",
                "create",
                "leases",
            ),
            (
                Method::DELETE,
                "/api/v1/namespaces/shop/secrets/tls",
                "delete",
                "secrets",
            ),
            (
                Method::DELETE,
                "/api/v1/namespaces/shop/secrets?labelSelector=a",
                "deletecollection",
                "secrets",
            ),
            (Method::GET, "/version", "get", ""),
        ] {
            let asked = asked(&method, &uri.parse().unwrap());
            let resource = resource.to_owned();
            assert_eq!(asked, ApiRequest { verb, resource }, "{method} {uri}");
        }
    }
}
