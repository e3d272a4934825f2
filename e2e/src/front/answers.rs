//! Answers that the front makes itself.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::{Refusal, RetryAfter};

/// The answer to a request over a limit.
pub(super) fn refuse(refusal: &Refusal) -> Response<Full<Bytes>> {
    match refusal {
        Refusal::Nginx => page(
            StatusCode::SERVICE_UNAVAILABLE,
            "503 Service Temporarily Unavailable",
        ),
        Refusal::Problem { status, retry_after } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
            let problem = serde_json::json!({
                "type": "urn:ietf:params:acme:error:rateLimited",
                "detail": "too many requests, come back later",
                "status": status.as_u16(),
            });
            let mut response = Response::new(Full::from(problem.to_string()));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/problem+json"),
            );
            let value = match retry_after {
                RetryAfter::Absent => None,
                RetryAfter::Seconds(seconds) => Some(HeaderValue::from(*seconds)),
                RetryAfter::Date(seconds) => {
                    let date = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(i64::from(*seconds));
                    HeaderValue::from_str(&date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
                }
            };
            if let Some(value) = value {
                headers.insert(header::RETRY_AFTER, value);
            }
            response
        }
    }
}

/// The answer when the CA gives none.
pub(super) fn bad_gateway(error: &anyhow::Error) -> Response<Full<Bytes>> {
    let mut response = page(StatusCode::BAD_GATEWAY, "502 Bad Gateway");
    if let Ok(value) = HeaderValue::from_str(&format!("{error:#}").replace(char::is_control, " ")) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-front-error"), value);
    }
    response
}

/// A page as nginx makes it for a status.
fn page(status: StatusCode, title: &str) -> Response<Full<Bytes>> {
    let body = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}
