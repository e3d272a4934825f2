//! What an answer of the CA names: by that alone requests are known to be about one order. Pure.

use hyper::body::Bytes;
use hyper::{Response, Uri, header};
use serde::Deserialize;

use crate::arrivals::RequestKind;

/// Paths that an answer names.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Named {
    /// The order that it made.
    pub(super) order: Option<String>,
    /// Parts of the order that it is about: authorizations, what finalizes it, its certificate, challenges.
    pub(super) parts: Vec<String>,
}

/// The fields of an order and of an authorization that have URLs (RFC 8555 §7.1.3, §7.1.4).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    authorizations: Vec<String>,
    finalize: Option<String>,
    certificate: Option<String>,
    challenges: Vec<Challenge>,
}

#[derive(Deserialize)]
struct Challenge {
    url: String,
}

/// What `answer` to a request of this kind names.
pub(super) fn named(kind: RequestKind, answer: &Response<Bytes>) -> Named {
    let is_of_order = matches!(
        kind,
        RequestKind::NewOrder | RequestKind::Order | RequestKind::Finalize | RequestKind::Authorization
    );
    if !is_of_order || !answer.status().is_success() {
        return Named::default();
    }
    let location = answer.headers().get(header::LOCATION);
    let location = location.filter(|_| kind == RequestKind::NewOrder);
    let order = location.and_then(|url| path(url.to_str().ok()?));
    let fields: Fields = serde_json::from_slice(answer.body()).unwrap_or_default();
    let challenges = fields.challenges.into_iter().map(|challenge| challenge.url);
    let urls = fields.authorizations.into_iter().chain(fields.finalize);
    let urls = urls.chain(fields.certificate).chain(challenges);
    Named {
        order,
        parts: urls.filter_map(|url| path(&url)).collect(),
    }
}

/// The path of a URL.
fn path(url: &str) -> Option<String> {
    Some(url.parse::<Uri>().ok()?.path().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response<Bytes> {
        let answer = Response::builder().status(status);
        let answer = answer.header(header::LOCATION, "https://localhost:1/my-order/1");
        answer.body(Bytes::from(body.to_owned())).unwrap()
    }

    fn parts(kind: RequestKind, body: &str) -> Vec<String> {
        named(kind, &answer(200, body)).parts
    }

    #[test]
    fn a_new_order_names_itself_and_its_parts() {
        let body = r#"{ "status": "pending", "identifiers": [{ "type": "dns", "value": "a.example" }],
            "authorizations": ["https://localhost:1/authZ/1", "https://localhost:1/authZ/2"],
            "finalize": "https://localhost:1/finalize-order/1" }"#;
        let named = named(RequestKind::NewOrder, &answer(201, body));
        assert_eq!(named.order.as_deref(), Some("/my-order/1"));
        assert_eq!(named.parts, ["/authZ/1", "/authZ/2", "/finalize-order/1"]);
    }

    #[test]
    fn an_order_names_its_certificate_and_an_authorization_its_challenges() {
        let order = r#"{ "authorizations": [], "certificate": "https://localhost:1/certZ/1" }"#;
        assert_eq!(parts(RequestKind::Order, order), ["/certZ/1"]);
        let authorization =
            r#"{ "challenges": [{ "type": "dns-01", "url": "https://localhost:1/chalZ/1" }] }"#;
        assert_eq!(parts(RequestKind::Authorization, authorization), ["/chalZ/1"]);
        assert_eq!(named(RequestKind::Order, &answer(200, order)).order, None);
    }

    #[test]
    fn nothing_else_is_read() {
        let certificate = r#"{ "certificate": "https://localhost:1/certZ/1" }"#;
        assert_eq!(parts(RequestKind::Certificate, certificate).len(), 0);
        assert_eq!(parts(RequestKind::Order, "no JSON").len(), 0);
        let refused = named(RequestKind::NewOrder, &answer(429, "{}"));
        assert_eq!(refused, Named::default());
    }
}
