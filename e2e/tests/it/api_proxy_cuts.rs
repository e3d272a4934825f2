//! The API proxy passes everything on, watches too, until it is told not to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use sancho_e2e::api_proxy::ApiProxy;
use sancho_e2e::cluster::{Cluster, ClusterOptions};
use sancho_e2e::faults::Fault;

const EDITOR: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: { name: editor, namespace: default }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: editor }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin }
subjects:
  - { kind: ServiceAccount, name: editor, namespace: default }
"#;

const PATIENCE: Duration = Duration::from_secs(10);

fn config_map(name: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map
}

fn maps(client: &Client) -> Api<ConfigMap> {
    Api::default_namespaced(client.clone())
}

type Events = BoxStream<'static, kube::Result<WatchEvent<ConfigMap>>>;

/// Waits until a watch tells of a new object.
async fn told(watch: &mut Events, name: &str) {
    loop {
        let event = watch.try_next().await.unwrap();
        let event = event.expect("the watch goes on");
        if matches!(event, WatchEvent::Added(map) if map.metadata.name.as_deref() == Some(name)) {
            break;
        }
    }
}

/// Waits until a watch ends.
async fn ended(watch: &mut Events) {
    let ended = async { while watch.try_next().await.is_ok_and(|event| event.is_some()) {} };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test]
async fn writes_go_wrong_as_asked_and_watches_are_held_back_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(
        &dir.path().join("cluster"),
        dir.path(),
        &ClusterOptions::default(),
    )
    .await
    .unwrap();
    cluster.apply_yaml(EDITOR).await.unwrap();
    let proxy = ApiProxy::start(&cluster).await.unwrap();
    let kubeconfig = cluster
        .service_account_kubeconfig("default", "editor", Some(&proxy.api_server()))
        .await
        .unwrap();
    let editor = maps(&cluster.client_of(&kubeconfig).await.unwrap());
    let admin = maps(&cluster.client());
    let post = PostParams::default();

    let params = WatchParams::default();
    let mut watch = editor.watch(&params, "0").await.unwrap().boxed();
    editor.create(&post, &config_map("passed-on")).await.unwrap();
    told(&mut watch, "passed-on").await;

    proxy.set_faults(|request| request.is_write().then_some(Fault::CloseBefore));
    assert!(editor.create(&post, &config_map("never-seen")).await.is_err());
    assert!(admin.get_opt("never-seen").await.unwrap().is_none());

    // Only the first: the client's own second try must not find it gone wrong again.
    let writes = AtomicUsize::new(0);
    proxy.set_faults(move |request| {
        let first = request.is_write() && writes.fetch_add(1, Ordering::Relaxed) == 0;
        first.then_some(Fault::CloseAfter)
    });
    let lost = editor.create(&post, &config_map("answer-lost")).await;
    assert!(lost.is_err(), "{lost:?}");
    assert!(admin.get_opt("answer-lost").await.unwrap().is_some());

    // While a watch is held back, all else passes; nothing of it is lost.
    proxy.set_faults(|_| None);
    proxy.watches().hold();
    editor.create(&post, &config_map("held-back")).await.unwrap();
    let early = tokio::time::timeout(Duration::from_secs(1), told(&mut watch, "held-back")).await;
    assert!(early.is_err());
    proxy.watches().release();
    tokio::time::timeout(PATIENCE, told(&mut watch, "held-back"))
        .await
        .unwrap();

    proxy.watches().end();
    ended(&mut watch).await;
    let mut watch = editor.watch(&params, "0").await.unwrap().boxed();
    tokio::time::timeout(PATIENCE, told(&mut watch, "passed-on"))
        .await
        .unwrap();

    proxy.cut();
    ended(&mut watch).await;
    proxy.mend();
    editor.get("passed-on").await.unwrap();
}
