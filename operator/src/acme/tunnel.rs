//! HTTP CONNECT (RFC 9110 §9.3.6): a way through a proxy.
//!
//! The socket that goes in is the one that comes out. Nothing else holds it meanwhile, so that it is closed as soon as
//! this fails or is dropped.

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::acme::error::ProxyFault;

/// Has the proxy at the other end of `tcp` lead it on to `target`, a host with its port.
pub(super) async fn through(
    tcp: TcpStream,
    target: &str,
    authorization: Option<&HeaderValue>,
) -> Result<TcpStream, ProxyFault> {
    let mut request = Request::connect(target).header(HOST, target);
    if let Some(authorization) = authorization {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| ProxyFault::Unreachable {
            reason: error.to_string(),
        })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp))
        .await
        .map_err(|error| broken(&error))?;
    let asking = async {
        let answer = sender.send_request(request).await;
        judge(answer.map_err(|error| broken(&error))?.status())
    };
    let driving = async {
        connection
            .without_shutdown()
            .await
            .map_err(|error| broken(&error))
    };
    let ((), parts) = tokio::try_join!(asking, driving)?;
    if parts.read_buf.is_empty() {
        Ok(parts.io.into_inner())
    } else {
        // A TLS server waits for its client.
        Err(ProxyFault::NotHttp {
            reason: "it sends something of its own after its answer".to_owned(),
        })
    }
}

fn judge(status: StatusCode) -> Result<(), ProxyFault> {
    if status.is_success() {
        return Ok(());
    }
    let failed = status.is_server_error();
    let number = status.as_u16();
    Err(match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => ProxyFault::LoginRefused,
        _ if failed => ProxyFault::Failed { status: number },
        _ => ProxyFault::Forbidden { status: number },
    })
}

fn broken(error: &hyper::Error) -> ProxyFault {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    if error.is_parse() {
        ProxyFault::NotHttp { reason }
    } else {
        ProxyFault::Closed { reason }
    }
}
