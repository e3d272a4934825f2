//! Install, upgrade, rollback, uninstall, install again: what a user must not lose stays.

use serde_json::{Value, json};

use sancho_e2e::cluster::{Cluster, ClusterOptions};
use sancho_e2e::manifests::certificate;
use sancho_e2e::replica::NAMESPACE;

use super::issuers::{refusal, run_job, spec};
use super::rights::{needed_everywhere, no_more_than_needed};
use super::{chart, helm};

#[tokio::test]
async fn what_was_issued_outlives_upgrade_rollback_and_uninstall() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let cluster = Cluster::start(&dir.join("cluster"), dir, &ClusterOptions::default())
        .await
        .unwrap();
    cluster.helm(&["lint", "--strict", &chart()]).await.unwrap();

    // The issuers come with the first install, although their kind comes with it too.
    let values = |email: &str, replicas: u32, responder: bool| {
        json!({
            "clusterIssuers": { "ca": spec(email) },
            "replicas": replicas,
            "responder": { "enabled": responder },
        })
    };
    let first = values("first@example.com", 3, false);
    let (installed, ran) = tokio::join!(helm(&cluster, dir, "install", &first), run_job(&cluster, dir));
    ran.unwrap();
    let notes = installed.unwrap();
    assert!(notes.contains("sancho-responder.sancho-system"), "{notes}");
    let issuer = get(&cluster, "clusterissuer/ca").await;
    assert_eq!(issuer["spec"]["acme"]["email"], "first@example.com");
    // The right to write issuers went with the Job.
    gone(&cluster, "serviceaccount/sancho-cluster-issuers").await;
    gone(&cluster, "clusterrolebinding/sancho-cluster-issuers").await;
    needed_everywhere(&cluster).await;
    no_more_than_needed(&cluster).await;

    let mut wanted = certificate("shop", "ca", &["shop.example".into()], 20);
    wanted["metadata"]["namespace"] = NAMESPACE.into();
    cluster.apply_yaml(&wanted.to_string()).await.unwrap();
    let secret = ["create", "secret", "generic", "shop-tls", "-n", NAMESPACE];
    cluster.kubectl(&secret).await.unwrap();

    let second = values("second@example.com", 5, true);
    let (upgraded, ran) = tokio::join!(helm(&cluster, dir, "upgrade", &second), run_job(&cluster, dir));
    ran.unwrap();
    upgraded.unwrap();
    let changed = get(&cluster, "clusterissuer/ca").await;
    assert_eq!(changed["spec"]["acme"]["email"], "second@example.com");
    assert_eq!(changed["metadata"]["uid"], issuer["metadata"]["uid"]);
    assert_eq!(get(&cluster, "deployment/sancho").await["spec"]["replicas"], 5);
    let selector = &get(&cluster, "service/sancho-responder").await["spec"]["selector"];
    assert_eq!(selector["app.kubernetes.io/component"], "responder");
    get(&cluster, "deployment/sancho-responder").await;

    cluster
        .helm(&["rollback", "sancho", "1", "--namespace", NAMESPACE])
        .await
        .unwrap();
    assert_eq!(get(&cluster, "deployment/sancho").await["spec"]["replicas"], 3);
    gone(&cluster, "deployment/sancho-responder").await;
    kept(&cluster).await;

    cluster
        .helm(&["uninstall", "sancho", "--namespace", NAMESPACE])
        .await
        .unwrap();
    for gone_too in [
        "deployment/sancho",
        "service/sancho-responder",
        "clusterrole/sancho",
        "clusterrole/sancho-view",
        "poddisruptionbudget/sancho",
    ] {
        gone(&cluster, gone_too).await;
    }
    kept(&cluster).await;

    // Over what was left.
    helm(&cluster, dir, "install", &json!({})).await.unwrap();
    kept(&cluster).await;
}

#[tokio::test]
async fn a_wrong_issuer_in_the_values_is_refused_with_the_way_to_mend_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let cluster = Cluster::start(&dir.join("cluster"), dir, &ClusterOptions::default())
        .await
        .unwrap();
    helm(&cluster, dir, "install", &json!({})).await.unwrap();
    let mut unknown = spec("ops@example.com");
    unknown["acme"]["nonsense"] = 1.into();
    let mut wrong = spec("ops@example.com");
    wrong["acme"]["server"] = "ftp://ca.example".into();
    for (spec, part) in [(unknown, "nonsense"), (wrong, "https")] {
        let told = refusal(&cluster, dir, &spec).await;
        assert!(told.contains(part), "{told}");
        assert!(told.contains("Mend clusterIssuers.wrong"), "{told}");
    }
    gone(&cluster, "clusterissuer/wrong").await;
}

/// CRDs, and with them what users wrote; Secrets.
async fn kept(cluster: &Cluster) {
    get(cluster, "crd/certificates.sancho.dev").await;
    get(cluster, "certificates.sancho.dev/shop").await;
    get(cluster, "clusterissuer/ca").await;
    get(cluster, "secret/shop-tls").await;
}

async fn get(cluster: &Cluster, what: &str) -> Value {
    let text = cluster
        .kubectl(&["get", what, "-n", NAMESPACE, "-o", "json"])
        .await
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn gone(cluster: &Cluster, what: &str) {
    let flags = ["get", what, "-n", NAMESPACE, "--ignore-not-found", "-o", "name"];
    assert_eq!(
        cluster.kubectl(&flags).await.unwrap(),
        "",
        "{what} is still there"
    );
}
