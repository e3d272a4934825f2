//! What can go wrong between a permit and an answer.

use std::time::Duration;

use super::*;
use crate::acme::error::NotSent;

#[tokio::test]
async fn a_connection_lost_before_the_answer_is_whole_is_told_from_a_refusal() {
    let server = Loopback::start(|request| match request.path.as_str() {
        "/nothing" => Answer::Last(Vec::new()),
        "/half" => Answer::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf".to_vec()),
        _ => Answer::Last(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
    })
    .await;
    let (gate, mut budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    let reset = Outcome::Unreachable(Unreachable::Reset);
    for (path, reason, outcome) in [
        ("/nothing", "CaConnectionLost", reset),
        ("/half", "CaConnectionLost", reset),
        ("/garbage", "CaAnswerUnusable", Outcome::Lost),
    ] {
        let error = transport.get("directory", &server.url(path)).await.unwrap_err();
        assert!(matches!(error, SendError::Lost(_)), "{path}: {error:?}");
        assert_eq!(error.reason(), reason, "{path}: {error:?}");
        assert_eq!(budget.outcome().await, outcome);
        assert_eq!(transport.open_connections(), 0);
    }
}

#[tokio::test]
async fn why_the_ca_gave_no_answer_is_told_to_the_budget_and_why_this_process_took_none_is_not() {
    let server = Loopback::start(|request| match request.path.as_str() {
        "/nothing" => Answer::Last(Vec::new()),
        "/fine" => fine(request),
        _ => Answer::Hang(Vec::new()),
    })
    .await;
    let (gate, mut budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    let error = transport.get("directory", &server.url("/nothing")).await;
    assert!(error.is_err());
    transport.get("directory", &server.url("/fine")).await.unwrap();
    assert_eq!(budget.unanswered(), ["CaConnectionLost"]);

    let (gate, mut budget) = Budget::open(Duration::from_millis(2_300));
    let transport = server.transport(1, gate);
    let error = transport.get("directory", &server.url("/hang")).await;
    assert!(error.is_err());
    assert_eq!(budget.unanswered(), [""; 0]);
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let endless = "x".repeat(1024 * 1024 + 1);
    let server = Loopback::start(move |_| Answer::Bytes(answer(200, &[], &endless))).await;
    let (gate, mut budget) = Budget::open(LONG);
    let transport = server.transport(1, gate);
    let error = transport.get("directory", &server.url("/a")).await.unwrap_err();
    assert!(
        matches!(error, SendError::Lost(Lost::TooLong { status: 200, .. })),
        "{error:?}"
    );
    assert_eq!(budget.outcomes(), [Outcome::Answered]);
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn the_connection_is_closed_when_the_slot_ends_before_the_answer() {
    let server = Loopback::start(|_| Answer::Hang(Vec::new())).await;
    let (gate, mut budget) = Budget::open(Duration::from_millis(2_300));
    let transport = server.transport(1, gate);
    let error = transport.get("directory", &server.url("/a")).await.unwrap_err();
    assert!(
        matches!(error, SendError::Lost(Lost::SlotEnded { .. })),
        "{error:?}"
    );
    assert_eq!(budget.outcomes(), [Outcome::Lost]);
    assert_eq!(transport.open_connections(), 0);
    until(|| server.open() == 0).await;
}

#[tokio::test]
async fn a_slow_answer_is_fine_as_long_as_the_slot_is_renewed() {
    let server =
        Loopback::start(|_| Answer::After(Duration::from_millis(2_500), answer(200, &[], "{}"))).await;
    let (gate, budget) = Budget::open(Duration::from_millis(2_200));
    let transport = server.transport(1, gate);
    // The answer takes longer than the slot would last, but for its renewal 100 ms later.
    let renewal = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        budget.validity.send(Instant::now() + LONG).unwrap();
    };
    let url = server.url("/a");
    let (answer, ()) = tokio::join!(transport.get("directory", &url), renewal);
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test]
async fn nothing_is_sent_in_the_slots_last_two_seconds() {
    let server = Loopback::start(fine).await;
    let (gate, mut budget) = Budget::open(Duration::from_millis(1_900));
    let error = server
        .transport(1, gate)
        .get("directory", &server.url("/a"))
        .await
        .unwrap_err();
    assert_eq!(error, NotSent::SlotEnding.into());
    assert_eq!(budget.outcomes(), [Outcome::NotSent]);
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_from_one_that_is_not_trusted() {
    let server = Loopback::start(fine).await;
    let other = Loopback::with_names(&["elsewhere.example"], fine).await;
    let (gate, mut budget) = Budget::open(LONG);
    let config = |server: &Loopback, bundle: Option<&Loopback>| TransportConfig {
        origin: server.origin.clone(),
        ca_bundle: bundle.map(|server| server.root_pem.clone().into_bytes()),
        proxies: Proxies::default(),
        replica: "test-0".to_owned(),
        most_idle: 1,
        metrics: Metrics::default(),
    };
    let mut error = async |config: TransportConfig| {
        let url = config.origin.admit(&format!("{}/a", config.origin)).unwrap();
        let error = Transport::new(config, gate.clone())
            .unwrap()
            .get("directory", &url)
            .await
            .unwrap_err();
        let expected = match &error {
            SendError::NotSent(NotSent::Refused { .. }) => Outcome::Unreachable(Unreachable::Refused),
            SendError::NotSent(NotSent::Lookup { .. }) => Outcome::Unreachable(Unreachable::NoRoute),
            _ => Outcome::NotSent,
        };
        assert_eq!(budget.outcome().await, expected);
        error
    };

    let unbundled = error(config(&server, Some(&other))).await;
    assert_eq!(
        unbundled,
        NotSent::NotInBundle {
            origin: server.origin.clone()
        }
        .into()
    );
    assert!(unbundled.to_string().contains("caBundle"), "{unbundled}");

    let misnamed = error(config(&other, Some(&other))).await;
    assert!(
        matches!(misnamed, SendError::NotSent(NotSent::Certificate { .. })),
        "{misnamed:?}"
    );

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let origin = Origin::of(&format!("https://127.0.0.1:{port}")).unwrap();
    let refused = error(TransportConfig {
        origin: origin.clone(),
        ..config(&server, Some(&server))
    })
    .await;
    assert_eq!(refused, NotSent::Refused { origin }.into());

    let origin = Origin::of("https://no-such-host.invalid").unwrap();
    let unknown = error(TransportConfig {
        origin,
        ..config(&server, Some(&server))
    })
    .await;
    assert!(
        matches!(unknown, SendError::NotSent(NotSent::Lookup { .. })),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    let server = Loopback::start(fine).await;
    let (gate, _budget) = Budget::open(LONG);
    let origin = Origin::of(&format!("https://127.0.0.1:{port}")).unwrap();
    let url = origin.admit(&format!("{origin}/a")).unwrap();
    let config = TransportConfig {
        origin,
        ca_bundle: Some(server.root_pem.clone().into_bytes()),
        proxies: Proxies::default(),
        replica: "test-0".to_owned(),
        most_idle: 1,
        metrics: Metrics::default(),
    };
    let error = Transport::new(config, gate)
        .unwrap()
        .get("directory", &url)
        .await
        .unwrap_err();
    assert!(
        matches!(error, SendError::NotSent(NotSent::Tls { .. })),
        "{error:?}"
    );
    plain.abort();
}

#[tokio::test]
async fn a_bundle_that_is_none_is_named() {
    let origin = Origin::of("https://ca.example").unwrap();
    let setup = |bundle: &[u8]| Dialer::new(origin.clone(), Some(bundle), &Proxies::default()).err();
    assert_eq!(setup(b"garbage"), Some(TlsSetupError::EmptyBundle));
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(setup(broken), Some(TlsSetupError::BadBundle(_))));
    assert!(matches!(
        setup(&vec![b' '; 1024 * 1024]),
        Some(TlsSetupError::BadBundle(_))
    ));
}
