//! A TCP listener on a runtime of its own, so that a test that blocks its thread does not make the
//! front or the router late.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A listener and the tasks of its connections. All end when it is dropped.
pub(crate) struct Listener {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Listener {
    /// Listens on `address` (port 0: a free one) and runs `serve` for each connection.
    pub(crate) async fn start<F>(
        name: &str,
        address: SocketAddr,
        serve: impl Fn(TcpStream, SocketAddr) -> F + Send + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(name)
            .enable_all()
            .build()?;
        let bound = runtime.spawn(TcpListener::bind(address)).await;
        // From here on dropping `this` ends the runtime without blocking.
        let mut this = Listener {
            address,
            runtime: Some(runtime),
        };
        let listener = bound?.with_context(|| format!("{name} cannot listen on {address}"))?;
        this.address = listener.local_addr()?;
        if let Some(runtime) = &this.runtime {
            runtime.spawn(async move {
                let mut connections = JoinSet::new();
                loop {
                    tokio::select! {
                        accepted = listener.accept() => {
                            // Accepting fails when files run out: a closed connection frees one.
                            if let Ok((stream, peer)) = accepted {
                                connections.spawn(serve(stream, peer));
                            }
                        }
                        Some(_) = connections.join_next() => {}
                    }
                }
            });
        }
        Ok(this)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The same by TLS.
pub(crate) async fn serve_tls<F>(tls: TlsAcceptor, stream: TcpStream, answer: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Response<Full<Bytes>>>,
{
    if let Ok(stream) = tls.accept(stream).await {
        serve_http(stream, answer).await;
    }
}

/// Answers the HTTP/1.1 requests of one connection until it ends.
pub(crate) async fn serve_http<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    // Its error says that the client went away.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
