//! `/livez`, `/readyz` and `/metrics`.
//!
//! Live: the process answers, with or without an API server. Ready: everything that exists was
//! seen once, so that the responder knows every token.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::MEDIA_TYPE;

/// What the probes are told. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// From now on the replica is ready.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }
}

/// Answers probes and, with what `metrics` says, Prometheus, until `shutdown` comes.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let routes = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(health)
        .route("/metrics", get(async move || told(metrics).await));
    if let Err(error) = axum::serve(listener, routes)
        .with_graceful_shutdown(shutdown)
        .await
    {
        tracing::error!(%error, "the probes' server ended");
    }
}

/// What `metrics` says. It counts all that there is, so nobody else is to wait for it.
async fn told(metrics: impl FnOnce() -> String + Send + 'static) -> impl IntoResponse {
    tokio::task::spawn_blocking(metrics)
        .await
        .map(|text| ([(CONTENT_TYPE, MEDIA_TYPE)], text))
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the watches have not shown everything yet\n",
        )
    }
}
