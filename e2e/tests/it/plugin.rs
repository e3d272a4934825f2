//! `kubectl sancho` on a real cluster, as a user runs it.

use std::process::{Output, Stdio};
use std::time::Duration;

use sancho_e2e::binaries;
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::manifests::names;
use sancho_e2e::world::{CaOptions, World};
use tokio::process::Command;

use crate::stories::{FAST, apply_certificate, apply_issuer, not_ready, ready, world};

/// Runs the plugin through kubectl, which finds it on the PATH.
async fn sancho(world: &World, args: &[&str]) -> Output {
    let plugin = binaries::plugin().await.unwrap();
    let kubectl = world.cluster.kubectl_path();
    let command = Command::new(kubectl)
        .arg("sancho")
        .args(args)
        .env("KUBECONFIG", world.cluster.kubeconfig_path())
        .env("PATH", plugin.parent().unwrap())
        .stdin(Stdio::null())
        .output();
    tokio::time::timeout(Duration::from_secs(60), command)
        .await
        .unwrap()
        .unwrap()
}

/// What it prints, once its exit status is as expected.
fn said(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    format!("{out}{err}")
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[tokio::test]
async fn the_plugin_tells_what_is_ready_what_is_not_and_who_serves_a_host() {
    let pebble = PebbleOptions {
        blocked_domains: vec!["blocked-domain.example".into()],
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let world = world(1, FAST, ca).await;
    let nothing = said(&sancho(&world, &["status"]).await, 1);
    has(&nothing, &["no Certificates here"]);
    let no_budget = said(&sancho(&world, &["budget"]).await, 1);
    has(&no_budget, &["no budget yet"]);

    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(5), 2).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    apply_certificate(&world, "bad", &["www.blocked-domain.example".into()], 2).await;
    not_ready(&world, "bad", "RejectedIdentifier", "").await;

    let tree = said(&sancho(&world, &["status", "shop"]).await, 0);
    has(
        &tree,
        &[
            "Certificate default/shop  Ready  5/5 names  ClusterIssuer ca",
            "├─ Secret shop-tls  Ready  2 names  expires in 89d",
            "└─ Secret shop-tls-2  Ready  1 names",
        ],
    );
    let all = said(&sancho(&world, &["status", "-A"]).await, 1);
    has(&all, &["NAMESPACE", "shop", "5/5", "RejectedIdentifier"]);
    let bad = said(&sancho(&world, &["status", "bad", "-n", "default"]).await, 1);
    has(&bad, &["not ready", "RejectedIdentifier", "tried again in"]);
    let watched = said(&sancho(&world, &["status", "shop", "--watch"]).await, 0);
    has(&watched, &["Certificate default/shop  Ready"]);

    let which = said(&sancho(&world, &["which", &names(5)[4]]).await, 0);
    has(&which, &["shop-tls-2", "89d"]);
    let unknown = said(&sancho(&world, &["which", "nobody.example"]).await, 1);
    has(&unknown, &["no Certificate has the name nobody.example"]);
    said(&sancho(&world, &["expiring"]).await, 0);
    let soon = said(&sancho(&world, &["expiring", "--within", "100d"]).await, 1);
    has(&soon, &["shop-tls-1"]);

    let budget = said(&sancho(&world, &["budget", "ca"]).await, 0);
    has(
        &budget,
        &[
            "ClusterIssuers: ca",
            "40 requests a second, burst 10, 16 in flight",
            "slot 0: ",
        ],
    );
    let json = said(&sancho(&world, &["status", "shop", "-o", "json"]).await, 0);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["shards"][2]["secret"], "shop-tls-2");

    let missing = said(&sancho(&world, &["status", "nothing"]).await, 2);
    has(&missing, &["namespace default has no Certificate nothing", "-A"]);
    let no_issuer = said(&sancho(&world, &["budget", "nobody"]).await, 2);
    has(&no_issuer, &["there is no ClusterIssuer nobody"]);
    let context = said(&sancho(&world, &["status", "--context", "elsewhere"]).await, 2);
    has(&context, &["no cluster: check --kubeconfig"]);
}
