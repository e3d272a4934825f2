//! The front refuses what nginx would, in front of a real Pebble, and notes it.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::ca::{Pebble, PebbleOptions};
use sancho_e2e::checker::{self, Bounds};
use sancho_e2e::front::{Fault, Front, FrontOptions, RateLimit, Refusal, RetryAfter};
use sancho_e2e::process::wait_for;
use tempfile::TempDir;

struct Ca {
    front: Front,
    client: reqwest::Client,
    _pebble: Pebble,
    _dir: TempDir,
}

async fn start(options: FrontOptions) -> Ca {
    let dir = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(dir.path(), dir.path(), 1, &PebbleOptions::default())
        .await
        .unwrap();
    let front = Front::start_anywhere(&pebble.upstream(), options).await.unwrap();
    let client = client(&front);
    Ca {
        front,
        client,
        _pebble: pebble,
        _dir: dir,
    }
}

fn client(front: &Front) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(front.ca_pem().as_bytes()).unwrap()])
        .user_agent("sancho/0.1.0 (replica sancho-7)")
        .no_proxy()
        .build()
        .unwrap()
}

fn rate(per_second: f64, burst: u32) -> FrontOptions {
    FrontOptions {
        rate: Some(RateLimit { per_second, burst }),
        ..FrontOptions::default()
    }
}

impl Ca {
    async fn status(&self) -> u16 {
        self.client
            .get(self.front.directory_url())
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    }
}

#[tokio::test]
async fn pebble_speaks_through_the_front_of_the_front() {
    let ca = start(FrontOptions::default()).await;
    let directory: serde_json::Value = ca
        .client
        .get(ca.front.directory_url())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let new_nonce = directory["newNonce"].as_str().unwrap();
    assert_eq!(new_nonce, format!("{}/nonce-plz", ca.front.origin()));
    let nonce = ca.client.head(new_nonce).send().await.unwrap();
    assert_eq!(nonce.status(), 200);
    assert!(nonce.headers().contains_key("replay-nonce"));
    let new_order = directory["newOrder"].as_str().unwrap();
    let refused = ca
        .client
        .post(new_order)
        .header("Content-Type", "application/jose+json")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 400, "{}", refused.text().await.unwrap());

    let log = ca.front.log();
    let kinds: Vec<_> = log
        .arrivals
        .iter()
        .map(|arrival| (arrival.kind, arrival.status))
        .collect();
    assert_eq!(
        kinds,
        [
            (RequestKind::Directory, Some(200)),
            (RequestKind::Nonce, Some(200)),
            (RequestKind::NewOrder, Some(400)),
        ]
    );
    assert!(
        log.arrivals
            .iter()
            .all(|arrival| arrival.client == "sancho-7" && arrival.ended_us.is_some())
    );
    assert_eq!(
        log.connections.len(),
        1,
        "one after the other they share a connection"
    );
    assert_eq!(log.orders(), 0);
    assert_eq!(
        (log.requests_of("sancho-7"), log.requests_of("sancho-70")),
        (3, 0)
    );
}

#[tokio::test]
async fn a_burst_passes_and_the_rest_is_refused_as_nginx_refuses() {
    // Slow enough that none comes back while the first eight are sent.
    let ca = start(rate(0.1, 3)).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(ca.status().await);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 503, 503, 503, 503]);
    let refused = ca.client.get(ca.front.directory_url()).send().await.unwrap();
    assert_eq!(refused.headers()["content-type"], "text/html");
    assert!(!refused.headers().contains_key("retry-after"));
    assert!(
        refused
            .text()
            .await
            .unwrap()
            .contains("503 Service Temporarily Unavailable")
    );
    ca.front.set_options(rate(10.0, 3));
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(ca.status().await, 200);
    assert_eq!(ca.front.log().throttled(), 5);
}

#[tokio::test]
async fn evenly_spaced_requests_pass_and_the_checker_agrees() {
    let ca = start(rate(20.0, 0)).await;
    let mut next = Instant::now();
    for _ in 0..20 {
        tokio::time::sleep_until(next.into()).await;
        assert_eq!(ca.status().await, 200);
        // From the answer on: the next arrives no sooner than the spacing after this one.
        next = Instant::now() + Duration::from_millis(51);
    }
    let log = ca.front.log();
    assert_eq!(log.throttled(), 0);
    let strict = Bounds {
        jitter: Duration::ZERO,
        ..Bounds::new(20.0, 0, Some(1))
    };
    assert_eq!(checker::judge(&log, &strict).violations, []);
    let stricter = Bounds {
        jitter: Duration::ZERO,
        ..Bounds::new(2.0, 0, Some(1))
    };
    assert!(checker::judge(&log, &stricter).violations.len() > 10);
}

#[tokio::test]
async fn requests_at_once_are_refused_beyond_the_limit_and_seen_by_the_checker() {
    let options = FrontOptions {
        max_in_flight: Some(2),
        ..FrontOptions::default()
    };
    let ca = start(options).await;
    ca.front
        .set_faults(|_| Some(Fault::Delay(Duration::from_millis(1500))));
    let statuses = futures::future::join_all((0..5).map(|_| ca.status())).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 2);
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 3);
    let verdict = checker::judge(&ca.front.log(), &Bounds::new(1000.0, 10, Some(2)));
    assert!(
        verdict.peak_in_flight > 2 && verdict.peak_connections > 2,
        "{verdict:?}"
    );
    assert!(!verdict.violations.is_empty());
}

#[tokio::test]
async fn boulders_refusal_says_when_to_come_back() {
    for (retry_after, expected) in [
        (RetryAfter::Absent, None),
        (RetryAfter::Seconds(7), Some("7")),
        (RetryAfter::Date(60), Some(" GMT")),
    ] {
        let options = FrontOptions {
            refusal: Refusal::Problem {
                status: 429,
                retry_after,
            },
            ..rate(0.1, 0)
        };
        let ca = start(options).await;
        assert_eq!(ca.status().await, 200);
        let refused = ca.client.get(ca.front.directory_url()).send().await.unwrap();
        assert_eq!(refused.status(), 429);
        let value = refused
            .headers()
            .get("retry-after")
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(value.is_some(), expected.is_some());
        assert!(value.unwrap_or_default().ends_with(expected.unwrap_or_default()));
        let problem: serde_json::Value = refused.json().await.unwrap();
        assert_eq!(problem["type"], "urn:ietf:params:acme:error:rateLimited");
    }
}

#[tokio::test]
async fn faults_close_connections_before_and_after_the_ca() {
    let ca = start(FrontOptions::default()).await;
    ca.front.set_faults(|_| Some(Fault::CloseBefore));
    assert!(ca.client.get(ca.front.directory_url()).send().await.is_err());
    ca.front.set_faults(|_| Some(Fault::CloseAfter));
    assert!(ca.client.get(ca.front.directory_url()).send().await.is_err());
    ca.front.set_faults(|_| {
        Some(Fault::Answer {
            status: 500,
            headers: Vec::new(),
            body: "no".to_owned(),
        })
    });
    assert_eq!(ca.status().await, 500);
    let (told, heard) = mpsc::channel();
    ca.front.set_faults(move |_| {
        let told = told.clone();
        Some(Fault::BeforeAnswer(Box::new(move || {
            told.send("the CA has answered").unwrap()
        })))
    });
    assert_eq!(ca.status().await, 200);
    assert_eq!(heard.try_recv().unwrap(), "the CA has answered");
    let statuses: Vec<_> = ca
        .front
        .log()
        .arrivals
        .iter()
        .map(|arrival| arrival.status)
        .collect();
    assert_eq!(statuses.last(), Some(&Some(200)));
    assert!(
        statuses.contains(&None) && statuses.contains(&Some(200)),
        "{statuses:?}"
    );
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_longer_in_flight() {
    let ca = start(FrontOptions {
        max_in_flight: Some(1),
        ..FrontOptions::default()
    })
    .await;
    ca.front
        .set_faults(|arrival| (arrival.path == "/dir").then_some(Fault::Delay(Duration::from_secs(30))));
    let patience = Duration::from_millis(200);
    let hasty = ca
        .client
        .get(ca.front.directory_url())
        .timeout(patience)
        .send()
        .await;
    assert!(hasty.is_err());
    wait_for("the front to notice", Duration::from_secs(10), &[], async || {
        Ok(ca.front.log().connections[0].closed_us)
    })
    .await
    .unwrap();
    let other = ca
        .client
        .get(format!("{}/nonce-plz", ca.front.origin()))
        .send()
        .await
        .unwrap();
    assert_eq!(other.status(), 204);
    let log = ca.front.log();
    assert_eq!(log.arrivals[0].status, None);
    assert!(log.arrivals[0].ended_us.is_some());
}
