//! Over real sockets and real TLS on loopback.

mod faults;
mod proxied;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sancho_core::order::Request as NextRequest;
use serde_json::Value;

use super::*;
use crate::acme::account::AccountKey;
use crate::acme::loopback::{Answer, Budget, Loopback, Received, answer, plain_answer};

const LONG: Duration = Duration::from_secs(600);

const BAD_NONCE: &str = r#"{"type":"urn:ietf:params:acme:error:badNonce","detail":"stale"}"#;

fn fine(_: &Received) -> Answer {
    Answer::Bytes(answer(200, &[], "{}"))
}

fn slow(_: &Received) -> Answer {
    Answer::After(Duration::from_millis(300), answer(200, &[], "{}"))
}

async fn post(transport: &Transport, server: &Loopback, path: &str) -> Result<Response, SendError> {
    post_as("test", transport, server, path).await
}

async fn post_as(
    kind: &'static str,
    transport: &Transport,
    server: &Loopback,
    path: &str,
) -> Result<Response, SendError> {
    let (key, _) = AccountKey::generate().unwrap();
    let signer = Signer::Account {
        key: &key,
        kid: "https://localhost/acct/1",
    };
    let (new_nonce, url) = (server.url("/nonce"), server.url(path));
    let post = Post {
        kind,
        new_nonce: &new_nonce,
        url: &url,
        signer,
        payload: b"{}",
        accept: None,
    };
    transport.post(post).await
}

/// The nonce that a request was signed with.
fn nonce(request: &Received) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let header = URL_SAFE_NO_PAD
        .decode(body["protected"].as_str().unwrap())
        .unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["nonce"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_first_post_fetches_a_nonce_and_the_next_uses_the_one_it_got() {
    let server = Loopback::start(fine).await;
    let (gate, mut budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    for path in ["/a", "/b"] {
        assert_eq!(post(&transport, &server, path).await.unwrap().status, 200);
    }
    assert_eq!(server.asked(), ["HEAD /nonce", "POST /a", "POST /b"]);
    assert_eq!(budget.outcomes(), [Outcome::Answered; 3]);
    let received = server.received();
    assert_ne!(nonce(&received[1]), nonce(&received[2]));
}

#[tokio::test]
async fn what_cas_limit_apart_is_told_as_it_leaves() {
    let server = Loopback::start(fine).await;
    let (gate, mut budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    let new_order = NextRequest::NewOrder {
        names: Vec::new(),
        replaces: None,
    };
    for kind in [new_order.kind(), "test"] {
        post_as(kind, &transport, &server, "/a").await.unwrap();
    }
    assert_eq!(
        budget.begun(),
        [Endpoint::NewNonce, Endpoint::NewOrder, Endpoint::Other]
    );
}

#[tokio::test]
async fn a_post_says_who_asks_what_and_how_it_is_signed() {
    let server = Loopback::start(fine).await;
    let (gate, _budget) = Budget::open(LONG);
    post(&server.transport(1, gate), &server, "/a?b=c").await.unwrap();
    let request = server.received().pop().unwrap();
    assert_eq!(request.path, "/a?b=c");
    assert_eq!(request.field("host"), Some(server.origin.authority().as_str()));
    assert_eq!(request.field("content-type"), Some("application/jose+json"));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        request.field("user-agent"),
        Some(format!("sancho/{version} (replica test-0)").as_str())
    );
}

#[tokio::test]
async fn requests_one_after_the_other_share_one_connection() {
    let server = Loopback::start(fine).await;
    let (gate, _budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    for _ in 0..20 {
        post(&transport, &server, "/a").await.unwrap();
    }
    assert!(server.received().iter().all(|request| request.connection == 0));
    assert_eq!((transport.open_connections(), server.open()), (1, 1));
}

#[tokio::test]
async fn connections_are_closed_when_it_says_so() {
    let server = Loopback::start(slow).await;
    let (gate, _budget) = Budget::open(LONG);
    let transport = server.transport(3, gate);
    let all = (0..3).map(|_| post(&transport, &server, "/a"));
    futures::future::join_all(all).await;
    assert_eq!(transport.open_connections(), 3);
    transport.close_connections(1).await;
    assert_eq!(transport.open_connections(), 1);
    transport.close_connections(0).await;
    assert_eq!(transport.open_connections(), 0);
    until(|| server.open() == 0).await;
    post(&transport, &server, "/a").await.unwrap();
}

#[tokio::test]
async fn no_more_connections_are_kept_than_may_be_in_flight() {
    let server = Loopback::start(fine).await;
    let (gate, _budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    futures::future::join_all((0..5).map(|_| post(&transport, &server, "/a"))).await;
    assert_eq!(transport.open_connections(), 1);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced_without_a_second_permit() {
    let server = Loopback::start(|request| {
        let fields: &[_] = &[];
        if request.path == "/a" {
            Answer::Last(answer(200, fields, "{}"))
        } else {
            fine(request)
        }
    })
    .await;
    let (gate, mut budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    post(&transport, &server, "/a").await.unwrap();
    until(|| server.open() == 0).await;
    post(&transport, &server, "/b").await.unwrap();
    assert_eq!(server.asked(), ["HEAD /nonce", "POST /a", "POST /b"]);
    assert_eq!(budget.outcomes(), [Outcome::Answered; 3]);
}

#[tokio::test]
async fn a_stale_nonce_is_replaced_by_the_one_in_the_refusal_on_a_permit_of_its_own() {
    let refusals = AtomicUsize::new(2);
    let server = Loopback::start(move |request| {
        let refuse = request.method == "POST"
            && refusals
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        Answer::Bytes(if refuse {
            plain_answer(
                400,
                &[("Replay-Nonce", &format!("fresh-{}", request.body.len()))],
                BAD_NONCE,
            )
        } else {
            answer(200, &[], "{}")
        })
    })
    .await;
    let (gate, mut budget) = Budget::open(LONG);
    assert_eq!(
        post(&server.transport(1, gate), &server, "/a")
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(server.asked(), ["HEAD /nonce", "POST /a", "POST /a", "POST /a"]);
    assert_eq!(budget.outcomes(), [Outcome::Answered; 4]);
    assert!(nonce(&server.received()[2]).starts_with("fresh-"));
}

#[tokio::test]
async fn a_ca_that_refuses_every_nonce_is_asked_a_bounded_number_of_times() {
    let server = Loopback::start(|_| Answer::Bytes(answer(400, &[], BAD_NONCE))).await;
    let (gate, _budget) = Budget::open(LONG);
    let last = post(&server.transport(1, gate), &server, "/a").await.unwrap();
    assert_eq!((last.status, last.problem().kind()), (400, kind::BAD_NONCE));
    assert_eq!(server.asked().len(), 1 + 1 + NONCE_RETRIES as usize);
}

#[tokio::test]
async fn throttles_are_reported_with_the_wait_and_handed_on() {
    let server = Loopback::start(|request| match request.path.as_str() {
        "/seconds" => Answer::Bytes(answer(429, &[("Retry-After", "7")], "")),
        "/bare" => Answer::Bytes(answer(
            503,
            &[("Content-Type", "text/html")],
            "<title>Busy</title>",
        )),
        _ => fine(request),
    })
    .await;
    let (gate, mut budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    let slow = post(&transport, &server, "/seconds").await.unwrap();
    assert_eq!((slow.status, slow.retry_after.as_deref()), (429, Some("7")));
    let bare = post(&transport, &server, "/bare").await.unwrap();
    assert_eq!(bare.problem().message(), "HTTP 503: Busy");
    assert_eq!(
        budget.outcomes(),
        [
            Outcome::Answered,
            Outcome::Throttled {
                retry_after: Some(Duration::from_secs(7))
            },
            Outcome::Throttled { retry_after: None },
        ]
    );
}

#[tokio::test]
async fn a_used_up_quota_does_not_slow_the_others_down() {
    let limited =
        |detail: &str| format!(r#"{{"type":"urn:ietf:params:acme:error:rateLimited","detail":"{detail}"}}"#);
    let account = limited("too many new orders (300) from this account in the last 3h0m0s");
    let unknown = limited("too many");
    let server = Loopback::start(move |request| match request.path.as_str() {
        "/a" => Answer::Bytes(answer(429, &[("Retry-After", "86400")], &unknown)),
        // It is full again soon, and still no word about the pace.
        "/b" => Answer::Bytes(answer(429, &[("Retry-After", "36")], &account)),
        "/c" => Answer::Bytes(answer(429, &[("Retry-After", "36")], &unknown)),
        _ => fine(request),
    })
    .await;
    let (gate, mut budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    for path in ["/a", "/b", "/c"] {
        post(&transport, &server, path).await.unwrap();
    }
    let outcomes = budget.outcomes();
    let throttled = outcomes.iter().filter(|outcome| **outcome != Outcome::Answered);
    assert_eq!(
        throttled.collect::<Vec<_>>(),
        [&Outcome::Throttled {
            retry_after: Some(Duration::from_secs(36))
        }]
    );
}

#[tokio::test]
async fn a_throttled_new_nonce_stands_for_the_request() {
    let server = Loopback::start(|_| Answer::Bytes(answer(503, &[("Retry-After", "3")], ""))).await;
    let (gate, _budget) = Budget::open(LONG);
    assert_eq!(
        post(&server.transport(1, gate), &server, "/a")
            .await
            .unwrap()
            .status,
        503
    );
    assert_eq!(server.asked(), ["HEAD /nonce"]);
}

#[tokio::test]
async fn a_new_nonce_without_a_nonce_is_an_error_and_no_answer() {
    let server = Loopback::start(|_| Answer::Bytes(plain_answer(404, &[], ""))).await;
    let (gate, _budget) = Budget::open(LONG);
    let error = post(&server.transport(1, gate), &server, "/a").await.unwrap_err();
    assert_eq!(
        error,
        SendError::NoNonce {
            origin: server.origin.clone(),
            status: 404
        }
    );
}

#[tokio::test]
async fn redirects_are_answers_like_any_other() {
    let server =
        Loopback::start(|_| Answer::Bytes(answer(302, &[("Location", "https://localhost/b")], ""))).await;
    let (gate, _budget) = Budget::open(LONG);
    let answer = server
        .transport(1, gate)
        .get("directory", &server.url("/a"))
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.location.as_deref()),
        (302, Some("https://localhost/b"))
    );
    assert_eq!(server.asked(), ["GET /a"]);
}

#[tokio::test]
async fn alternate_chains_are_read_from_link_fields() {
    let server = Loopback::start(|_| {
        let fields = [
            ("Link", r#"<https://localhost/dir>;rel="index""#),
            (
                "Link",
                r#"<https://localhost/1>; rel="alternate", <https://localhost/2?a=b,c>;rel=alternate"#,
            ),
        ];
        Answer::Bytes(answer(200, &fields, ""))
    })
    .await;
    let (gate, _budget) = Budget::open(LONG);
    let answer = server
        .transport(1, gate)
        .get("directory", &server.url("/a"))
        .await
        .unwrap();
    assert_eq!(
        answer.alternates,
        ["https://localhost/1", "https://localhost/2?a=b,c"]
    );
}

#[tokio::test]
async fn a_request_whose_caller_goes_away_is_finished_and_reported() {
    let server = Loopback::start(slow).await;
    let (gate, mut budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    let url = server.url("/a");
    let impatient = tokio::time::timeout(Duration::from_millis(50), transport.get("directory", &url)).await;
    assert!(impatient.is_err());
    assert_eq!(budget.outcome().await, Outcome::Answered);
}

#[tokio::test]
async fn urls_of_other_origins_are_refused_before_a_permit_is_asked_for() {
    let server = Loopback::start(fine).await;
    let (gate, _budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    assert!(matches!(
        transport.admit("https://elsewhere.example/a"),
        Err(UrlError::OtherOrigin { .. })
    ));
    assert!(server.asked().is_empty());
}

#[test]
fn a_replicas_name_cannot_break_out_of_its_field() {
    let version = env!("CARGO_PKG_VERSION");
    let agent = user_agent("sancho-0\r\nEvil: yes) (");
    assert_eq!(
        agent.to_str().unwrap(),
        format!("sancho/{version} (replica sancho-0Evilyes)")
    );
}

/// Waits for what another task is about to make true.
async fn until(done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen within 5 s");
}
