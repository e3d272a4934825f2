//! Against a scripted CA on loopback.

use sancho_core::names::Name;
use serde_json::Value;

use super::*;
use crate::acme::account::NewAccount;
use crate::acme::loopback::{Answer, Budget, Loopback, Received, answer};

/// A certID.
const CERTIFICATE: &str = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";

const LONG: Duration = Duration::from_secs(600);

/// How the scripted CA answers newAccount.
#[derive(Clone, Copy)]
enum NewAccountIs {
    Made,
    Found,
    Deactivated,
    Refused,
    Throttled,
    Broken,
    WithoutUrl,
    Elsewhere,
}

fn respond(request: &Received, account: NewAccountIs) -> Vec<u8> {
    let host = request.field("host").unwrap_or_default();
    let kid = format!("https://{host}/acct/1");
    let located = [("Location", kid.as_str())];
    match (request.path.as_str(), account) {
        ("/dir", _) => {
            let url = |path: &str| format!("https://{host}{path}");
            let directory = json!({
                "newNonce": url("/nonce"), "newAccount": url("/new-account"), "newOrder": url("/new-order"),
                "renewalInfo": url("/renewal/"), "revokeCert": url("/revoke"),
            });
            answer(200, &[], &directory.to_string())
        }
        ("/new-account", NewAccountIs::Made) => answer(201, &located, r#"{"status":"valid"}"#),
        ("/new-account", NewAccountIs::Found) => answer(200, &located, "{}"),
        ("/new-account", NewAccountIs::Deactivated) => answer(200, &located, r#"{"status":"deactivated"}"#),
        ("/new-account", NewAccountIs::Refused) => answer(
            403,
            &[],
            r#"{"type":"urn:ietf:params:acme:error:externalAccountRequired","detail":"bind it"}"#,
        ),
        ("/new-account", NewAccountIs::Throttled) => answer(429, &[("Retry-After", "30")], ""),
        ("/new-account", NewAccountIs::Broken) => answer(500, &[], "<title>Oops</title>"),
        ("/new-account", NewAccountIs::WithoutUrl) => answer(201, &[], r#"{"status":"valid"}"#),
        ("/new-account", NewAccountIs::Elsewhere) => answer(
            201,
            &[("Location", "https://elsewhere.example/acct/1")],
            r#"{"status":"valid"}"#,
        ),
        _ => answer(200, &[], "{}"),
    }
}

async fn ca(account: NewAccountIs) -> Loopback {
    Loopback::start(move |request| Answer::Bytes(respond(request, account))).await
}

async fn register(server: &Loopback) -> (Result<Session, RegisterError>, Budget) {
    let (gate, budget) = Budget::open(LONG);
    let key = Arc::new(AccountKey::generate().unwrap().0);
    let directory = format!("{}/dir", server.origin);
    let account = NewAccount::with_email(Some("ops@example.com"));
    (
        Session::register(server.transport(1, gate), &directory, key, account, None).await,
        budget,
    )
}

async fn refused(server: &Loopback) -> RegisterError {
    register(server).await.0.map(|_| ()).unwrap_err()
}

/// Protected header and payload of a request.
fn opened(request: &Received) -> (Value, Vec<u8>) {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let decoded = |name: &str| URL_SAFE_NO_PAD.decode(body[name].as_str().unwrap()).unwrap();
    (
        serde_json::from_slice(&decoded("protected")).unwrap(),
        decoded("payload"),
    )
}

#[tokio::test]
async fn registering_takes_two_requests_where_a_nonce_comes_with_the_directory() {
    for account in [NewAccountIs::Made, NewAccountIs::Found] {
        let server = ca(account).await;
        let (session, _budget) = register(&server).await;
        let session = session.unwrap();
        assert_eq!(session.kid(), server.url("/acct/1").as_str());
        assert_eq!(server.asked(), ["GET /dir", "POST /new-account"]);
        let (header, payload) = opened(&server.received()[1]);
        assert_eq!(header["jwk"]["crv"], "P-256");
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(
            payload,
            json!({ "contact": ["mailto:ops@example.com"], "termsOfServiceAgreed": true })
        );
    }
}

#[tokio::test]
async fn refusals_are_told_from_what_is_tried_again() {
    let error = async |account| refused(&ca(account).await).await;
    assert_eq!(
        error(NewAccountIs::Refused).await,
        RegisterError::Refused {
            kind: "externalAccountRequired".to_owned(),
            message: "externalAccountRequired: bind it".to_owned()
        }
    );
    let deactivated = error(NewAccountIs::Deactivated).await;
    assert_eq!(
        deactivated,
        RegisterError::NotValid {
            status: "deactivated".to_owned()
        }
    );
    let throttled = error(NewAccountIs::Throttled).await;
    assert!(
        matches!(throttled, RegisterError::Throttled { until: Some(_), .. }),
        "{throttled:?}"
    );
    assert_eq!(
        error(NewAccountIs::Broken).await,
        RegisterError::Failed {
            message: "HTTP 500: Oops".to_owned()
        }
    );
    assert!(matches!(
        error(NewAccountIs::WithoutUrl).await,
        RegisterError::Failed { .. }
    ));
    let elsewhere = error(NewAccountIs::Elsewhere).await;
    assert!(
        matches!(
            elsewhere,
            RegisterError::Send(SendError::Url(UrlError::OtherOrigin { .. }))
        ),
        "{elsewhere:?}"
    );
}

#[tokio::test]
async fn each_request_of_the_order_machine_is_signed_for_the_account_with_its_own_payload() {
    let server = ca(NewAccountIs::Made).await;
    let (session, _budget) = register(&server).await;
    let session = session.unwrap();
    let names: Vec<Name> = ["a.example", "b.example"]
        .iter()
        .map(|name| name.parse().unwrap())
        .collect();
    let url = |path: &str| server.url(path).as_str().to_owned();
    let identifiers = json!({ "identifiers": [{ "type": "dns", "value": "a.example" }, { "type": "dns", "value": "b.example" }] });
    let mut replacing = identifiers.clone();
    replacing["replaces"] = CERTIFICATE.into();
    let cases = [
        (
            Request::NewOrder {
                names: names.clone(),
                replaces: None,
            },
            "/new-order",
            identifiers.to_string(),
        ),
        (
            Request::NewOrder {
                names,
                replaces: Some(CERTIFICATE.parse().unwrap()),
            },
            "/new-order",
            replacing.to_string(),
        ),
        (
            Request::FetchAuthorization {
                index: 0,
                url: url("/authz/1"),
            },
            "/authz/1",
            String::new(),
        ),
        (
            Request::AnswerChallenge {
                index: 0,
                url: url("/chall/1"),
            },
            "/chall/1",
            "{}".to_owned(),
        ),
        (
            Request::PollOrder { url: url("/order/1") },
            "/order/1",
            String::new(),
        ),
        (
            Request::Finalize {
                url: url("/finalize/1"),
            },
            "/finalize/1",
            r#"{"csr":"_wA"}"#.to_owned(),
        ),
        (
            Request::DownloadCertificate { url: url("/cert/1") },
            "/cert/1",
            String::new(),
        ),
    ];
    for (request, path, payload) in cases {
        let terms = Terms {
            csr: &[0xff, 0x00],
            ..Terms::default()
        };
        session.perform(&request, terms).await.unwrap();
        let received = server.received().pop().unwrap();
        let (header, sent) = opened(&received);
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", path));
        assert_eq!(
            (&header["kid"], &header["url"]),
            (&json!(session.kid()), &json!(url(path)))
        );
        assert_eq!(String::from_utf8(sent).unwrap(), payload, "{path}");
        let accept = (path == "/cert/1").then_some("application/pem-certificate-chain");
        assert_eq!(received.field("accept"), accept);
    }
    let directories = server.asked().iter().filter(|asked| *asked == "GET /dir").count();
    assert_eq!(directories, 1);
}

#[tokio::test]
async fn renewal_info_is_asked_for_by_an_unsigned_get() {
    let server = ca(NewAccountIs::Made).await;
    let (session, _budget) = register(&server).await;
    let session = session.unwrap();
    let answer = session.renewal_info(&CERTIFICATE.parse().unwrap()).await.unwrap();
    assert_eq!(answer.map(|answer| answer.status), Some(200));
    let received = server.received().pop().unwrap();
    assert_eq!(
        (received.method.as_str(), received.path),
        ("GET", format!("/renewal/{CERTIFICATE}"))
    );
    assert!(!session.lacks_renewal_info());
}

#[tokio::test]
async fn a_certificate_is_revoked_in_the_accounts_name_and_with_a_reason() {
    let server = ca(NewAccountIs::Made).await;
    let (session, _budget) = register(&server).await;
    let answer = session.unwrap().revoke(b"DER", 1).await.unwrap();
    assert_eq!(answer.map(|answer| answer.status), Some(200));
    let received = server.received().pop().unwrap();
    assert_eq!(received.path, "/revoke");
    let (header, payload) = opened(&received);
    assert!(header["kid"].as_str().unwrap().ends_with("/acct/1"));
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload, json!({ "certificate": "REVS", "reason": 1 }));
}

#[tokio::test]
async fn a_ca_without_renewal_info_is_asked_for_none_and_told_of_no_replacement() {
    let server = Loopback::start(|request| {
        let host = request.field("host").unwrap_or_default();
        let url = |path: &str| format!("https://{host}{path}");
        Answer::Bytes(match request.path.as_str() {
            "/dir" => {
                let directory = json!({
                    "newNonce": url("/nonce"), "newAccount": url("/new-account"), "newOrder": url("/new-order"),
                });
                answer(200, &[], &directory.to_string())
            }
            "/new-account" => respond(request, NewAccountIs::Made),
            _ => answer(200, &[], "{}"),
        })
    })
    .await;
    let (session, _budget) = register(&server).await;
    let session = session.unwrap();
    assert!(session.lacks_renewal_info());
    let certificate: CertId = CERTIFICATE.parse().unwrap();
    let before = server.asked().len();
    assert_eq!(session.renewal_info(&certificate).await.unwrap(), None);
    assert_eq!(session.revoke(b"DER", 0).await.unwrap(), None);
    assert_eq!(server.asked().len(), before);
    let request = Request::NewOrder {
        names: vec!["a.example".parse().unwrap()],
        replaces: Some(certificate),
    };
    session.perform(&request, Terms::default()).await.unwrap();
    let (_, payload) = opened(&server.received().pop().unwrap());
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(
        payload,
        json!({ "identifiers": [{ "type": "dns", "value": "a.example" }] })
    );
}

#[tokio::test]
async fn a_url_from_elsewhere_is_refused_and_nothing_is_sent() {
    let server = ca(NewAccountIs::Made).await;
    let (session, _budget) = register(&server).await;
    let session = session.unwrap();
    let before = server.asked().len();
    let request = Request::PollOrder {
        url: "https://elsewhere.example/order/1".to_owned(),
    };
    let error = session.perform(&request, Terms::default()).await.unwrap_err();
    assert!(
        matches!(error, SendError::Url(UrlError::OtherOrigin { .. })),
        "{error:?}"
    );
    assert_eq!((error.reply(), error.reason()), (None, "UrlRefused"));
    assert_eq!(server.asked().len(), before);
}

fn poll(url: &str) -> Request {
    Request::PollOrder { url: url.to_owned() }
}

#[tokio::test]
async fn a_resumed_session_sends_nothing_until_it_is_asked() {
    let server = ca(NewAccountIs::Made).await;
    let (gate, _budget) = Budget::open(LONG);
    let key = Arc::new(AccountKey::generate().unwrap().0);
    let (directory, kid) = (server.url("/dir"), server.url("/acct/1"));
    let session = Session::resume(server.transport(1, gate), directory.as_str(), key, kid.as_str()).unwrap();
    assert!(server.asked().is_empty());
    session
        .perform(&poll(server.url("/order/1").as_str()), Terms::default())
        .await
        .unwrap();
    assert_eq!(server.asked(), ["GET /dir", "POST /order/1"]);
}

#[tokio::test]
async fn a_throttled_directory_is_a_throttle_of_the_request() {
    let server = Loopback::start(|_| Answer::Bytes(answer(503, &[("Retry-After", "9")], ""))).await;
    let (gate, _budget) = Budget::open(LONG);
    let key = Arc::new(AccountKey::generate().unwrap().0);
    let (directory, kid) = (server.url("/dir"), server.url("/acct/1"));
    let session = Session::resume(server.transport(1, gate), directory.as_str(), key, kid.as_str()).unwrap();
    let answer = session
        .perform(&poll(server.url("/order/1").as_str()), Terms::default())
        .await
        .unwrap();
    assert_eq!((answer.status, answer.retry_after.as_deref()), (503, Some("9")));
    assert_eq!(server.asked(), ["GET /dir"]);
    let error = refused(&server).await;
    assert!(matches!(error, RegisterError::Throttled { .. }), "{error:?}");
}

#[tokio::test]
async fn a_profile_is_asked_for_only_if_the_directory_has_it() {
    let server = Loopback::start(|request| {
        let host = request.field("host").unwrap_or_default();
        let url = |path: &str| format!("https://{host}{path}");
        Answer::Bytes(match request.path.as_str() {
            "/dir" => {
                let directory = json!({
                    "newNonce": url("/nonce"), "newAccount": url("/new-account"), "newOrder": url("/new-order"),
                    "meta": { "profiles": { "classic": "as ever", "shortlived": "six days" } },
                });
                answer(200, &[], &directory.to_string())
            }
            "/new-account" => respond(request, NewAccountIs::Made),
            _ => answer(200, &[], "{}"),
        })
    })
    .await;
    let (session, _budget) = register(&server).await;
    let session = session.unwrap();
    assert_eq!(session.warm(None).await, Ok(Warmed::Ready));
    assert_eq!(session.warm(Some("classic")).await, Ok(Warmed::Ready));
    let Ok(Warmed::NotOffered(offered)) = session.warm(Some("tlsserver")).await else {
        panic!("an unknown profile is offered");
    };
    assert_eq!(offered.keys().collect::<Vec<_>>(), ["classic", "shortlived"]);
    assert_eq!(session.known_profiles().await, offered);
    // A directory of just now is not read again.
    let directories = server.asked().iter().filter(|asked| *asked == "GET /dir").count();
    assert_eq!(directories, 1);

    let request = Request::NewOrder {
        names: vec!["a.example".parse().unwrap()],
        replaces: None,
    };
    let terms = Terms {
        profile: Some("shortlived"),
        not_after: Timestamp::from_second(1_800_000_000).ok(),
        ..Terms::default()
    };
    session.perform(&request, terms).await.unwrap();
    let (_, payload) = opened(&server.received().pop().unwrap());
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["profile"], "shortlived");
    assert_eq!(payload["notAfter"], "2027-01-15T08:00:00Z");
}
