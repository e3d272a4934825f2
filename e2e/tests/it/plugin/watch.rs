//! `kubectl sancho status --watch`, while what it waits for is not there yet.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sancho_e2e::api_proxy::ApiProxy;
use sancho_e2e::binaries;
use sancho_e2e::manifests::names;
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::{NAMESPACE, SERVICE_ACCOUNT};
use sancho_e2e::world::CaOptions;
use tokio::process::Command;

use super::has;
use crate::stories::{FAST, apply_certificate, apply_issuer, not_ready, world};

const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_certificate_is_followed_until_it_is_ready_although_the_api_server_is_away_in_between() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_certificate(&world, "shop", &names(3), 2).await;
    not_ready(&world, "shop", "IssuerNotFound", "").await;

    let proxy = ApiProxy::start(&world.cluster).await.unwrap();
    let config = world
        .cluster
        .service_account_kubeconfig(NAMESPACE, SERVICE_ACCOUNT, Some(&proxy.api_server()))
        .await
        .unwrap();
    let (kubeconfig, out, err) = (
        world.dir().join("watch.kubeconfig"),
        world.dir().join("watch.out"),
        world.dir().join("watch.err"),
    );
    std::fs::write(&kubeconfig, config).unwrap();
    let plugin = binaries::plugin().await.unwrap();
    let mut watch = Command::new(plugin)
        .args(["status", "shop", "-n", "default", "--watch"])
        .env("KUBECONFIG", &kubeconfig)
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    said(&out, "not ready").await;

    proxy.cut();
    said(&err, "the API server does not answer as it should").await;
    proxy.mend();
    said(&err, "the API server answers again").await;
    apply_issuer(&world, FAST).await;
    let ended = tokio::time::timeout(PATIENCE, watch.wait())
        .await
        .unwrap()
        .unwrap();
    let shown = std::fs::read_to_string(&out).unwrap();
    assert_eq!(ended.code(), Some(0), "{shown}");
    let last = shown.rsplit("\n\n").next().unwrap();
    has(last, &["Certificate default/shop  Ready  3/3 names"]);
    let told = std::fs::read_to_string(&err).unwrap();
    assert_eq!(told.matches("looking again for 5m").count(), 1, "{told}");
}

/// Waits until a file has these words.
async fn said(file: &Path, words: &str) {
    wait_for(words, PATIENCE, &[], async || {
        Ok(std::fs::read_to_string(file)?.contains(words).then_some(()))
    })
    .await
    .unwrap();
}
