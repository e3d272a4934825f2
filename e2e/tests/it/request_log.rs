//! What the log says of requests to the CA.

use std::fs;
use std::time::Duration;

use anyhow::ensure;
use sancho_e2e::front::{FrontOptions, RateLimit, Refusal, RetryAfter};
use sancho_e2e::manifests::names;
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::ReplicaOptions;
use sancho_e2e::world::{CaOptions, World};
use serde_json::Value;

use crate::stories::{FAST, apply_certificate, apply_issuer, ready, world_of};

const PATIENCE: Duration = Duration::from_secs(120);

/// The lines of the only replica's log about answers of the CA.
fn answers(world: &World) -> Vec<Value> {
    let log = fs::read_to_string(world.replicas[0].process().log_path()).unwrap();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["message"] == "the CA answered")
        .collect()
}

/// Method, path and status of requests, in the order of these.
fn sorted(requests: impl Iterator<Item = (String, String, u64)>) -> Vec<(String, String, u64)> {
    let mut requests: Vec<_> = requests.collect();
    requests.sort();
    requests
}

#[tokio::test]
async fn each_request_to_the_ca_has_a_line_that_tells_of_its_nonce_and_of_retry_after() {
    let replica = ReplicaOptions {
        flags: vec!["--log=sancho::acme::transport=debug,info".into()],
        ..ReplicaOptions::default()
    };
    let world = world_of(1, replica, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(2), 20).await;
    ready(&world, "shop", PATIENCE).await;

    let front = world.front().unwrap();
    front.set_options(FrontOptions {
        rate: Some(RateLimit {
            per_second: 0.1,
            burst: 0,
        }),
        refusal: Refusal::Problem {
            status: 429,
            retry_after: RetryAfter::Seconds(2),
        },
        ..FrontOptions::default()
    });
    apply_certificate(&world, "more", &names(3), 20).await;
    wait_for("the CA to refuse", PATIENCE, &[], async || {
        Ok((front.log().throttled() > 0).then_some(()))
    })
    .await
    .unwrap();
    front.set_options(FrontOptions::default());
    ready(&world, "more", PATIENCE).await;

    let what = "as many lines as requests, with the same methods, paths and statuses";
    let lines = wait_for(what, Duration::from_secs(30), &[], async || {
        let lines = answers(&world);
        let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let logged = sorted(lines.iter().map(|line| {
            let status = line["status"].as_u64().unwrap_or_default();
            (text(line, "method"), text(line, "path"), status)
        }));
        let seen = sorted(front.log().arrivals.into_iter().map(|arrival| {
            let status = arrival.status.unwrap_or_default();
            (arrival.method, arrival.path, u64::from(status))
        }));
        ensure!(logged == seen, "logged {logged:?}, seen {seen:?}");
        Ok(Some(lines))
    })
    .await
    .unwrap();

    for line in &lines {
        let is_refused = line["status"] == 429;
        // Pebble gives one to whoever brought one, or asks for it; the front gives none.
        let with_nonce = line["method"] != "GET" && !is_refused;
        assert_eq!(line["replay_nonce"], with_nonce, "{line}");
        assert_eq!(line["ca"], front.origin(), "{line}");
        assert!(
            line["milliseconds"].is_u64() && line["request"].is_u64(),
            "{line}"
        );
        assert!(
            line["timestamp"].is_string() && line["kind"].is_string(),
            "{line}"
        );
        if is_refused {
            assert_eq!(line["retry_after"], "2", "{line}");
        }
        if line["kind"] == "newNonce" && !is_refused {
            assert_eq!(line.get("retry_after"), None, "{line}");
        }
    }
    assert!(lines.iter().any(|line| line["status"] == 429), "{lines:#?}");
}
