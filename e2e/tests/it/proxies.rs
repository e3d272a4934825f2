//! Behind an HTTP proxy: the operator asks CAs through it, and `kubectl sancho` the API server, where they are told so.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sancho_e2e::connect_proxy::ConnectProxy;
use sancho_e2e::manifests::names;
use sancho_e2e::process::free_port;
use sancho_e2e::replica::ReplicaOptions;
use sancho_e2e::world::{CaOptions, World, WorldOptions};
use serde_json::{Value, json};

use crate::plugin::{doctor_says, said, sancho_with};
use crate::stories::{
    FAST, apply_certificate, apply_issuer, issuer_not_ready, issuer_ready, judged, orders, ready, world_of,
};

#[tokio::test]
async fn an_operator_behind_a_proxy_asks_its_ca_through_it_alone() {
    let proxy = ConnectProxy::start().await.unwrap();
    let replica = ReplicaOptions {
        env: vec![
            ("HTTPS_PROXY".to_owned(), proxy.url()),
            ("NO_PROXY".to_owned(), "ca.example,10.0.0.0/8".to_owned()),
        ],
        ..ReplicaOptions::default()
    };
    let world = world_of(1, replica, FAST, CaOptions::default()).await;
    let log = || world.front().unwrap().log();

    // The proxy's 503 is told of the proxy, and is no refusal of the CA.
    proxy.refuse(Some(503));
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(4), 2).await;
    issuer_not_ready(&world, "ProxyRefused", "(HTTPS_PROXY), which does not get there").await;
    assert!(log().connections.is_empty());
    let next_step = "-> mend HTTPS_PROXY or NO_PROXY of the Pods in sancho-system, or the proxy";
    doctor_says(
        &world,
        &[
            "ProxyRefused: ",
            "(HTTPS_PROXY), which does not get there",
            next_step,
        ],
    )
    .await;

    proxy.refuse(None);
    issuer_ready(&world).await;
    ready(&world, "shop", Duration::from_secs(120)).await;
    assert_eq!(orders(&world).await, 2);
    judged(&world, FAST);

    let seen = log();
    assert!(!seen.connections.is_empty());
    let by_the_proxy = proxy.connections();
    for connection in &seen.connections {
        assert!(by_the_proxy.contains(&connection.peer), "{connection:?}");
    }
    // Nothing else was asked through it: the API server is in the cluster.
    let ca = world.front().unwrap().origin();
    let ca = ca.strip_prefix("https://").unwrap();
    let asked = proxy.asked();
    assert!(asked.iter().all(|target| target == ca), "{asked:?}");
}

#[tokio::test]
async fn the_plugin_reaches_the_api_server_as_kubectl_does_behind_a_proxy() {
    let proxy = ConnectProxy::start().await.unwrap();
    let world = World::start(WorldOptions {
        ca: None,
        replicas: 0,
        ..WorldOptions::default()
    })
    .await
    .unwrap();
    let port = world.cluster.server().rsplit_once(':').unwrap().1;
    let dead = format!("http://127.0.0.1:{}", free_port().unwrap());
    let dead = dead.as_str();
    let nothing_there = "no Certificates here";

    // The API server is on this machine.
    let here = world.cluster.kubeconfig_path();
    let text = status(&world, &here, &[("HTTPS_PROXY", dead)], 1).await;
    assert!(text.contains(nothing_there), "{text}");

    // It is elsewhere, by its address: 0.0.0.0 leads to loopback, and is none.
    let elsewhere = kubeconfig(&world, "elsewhere", &format!("https://0.0.0.0:{port}"), None);
    let text = status(&world, &elsewhere, &[("HTTPS_PROXY", dead)], 2).await;
    assert!(text.contains("the API server does not answer"), "{text}");
    let exceptions = ("NO_PROXY", "10.0.0.0/8,0.0.0.0/8");
    let text = status(&world, &elsewhere, &[("HTTPS_PROXY", dead), exceptions], 1).await;
    assert!(text.contains(nothing_there), "{text}");

    // Only the proxy knows its name.
    let server = format!("https://api.far.example:{port}");
    let far = kubeconfig(&world, "far", &server, None);
    let text = status(&world, &far, &[("HTTPS_PROXY", proxy.url().as_str())], 1).await;
    assert!(text.contains(nothing_there), "{text}");
    let target = format!("api.far.example:{port}");
    let asked = proxy.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|asked| *asked == target),
        "{asked:?}"
    );

    // A kubeconfig's own wins, and no variable is an exception to it.
    let given = kubeconfig(&world, "given", &server, Some(&proxy.url()));
    let variables = [("HTTPS_PROXY", dead), ("NO_PROXY", "api.far.example,127.0.0.1")];
    let text = status(&world, &given, &variables, 1).await;
    assert!(text.contains(nothing_there), "{text}");
    assert!(proxy.asked().len() > asked.len());

    let bad = ("NO_PROXY", "localhost,");
    let text = status(&world, &far, &[("HTTPS_PROXY", dead), bad], 2).await;
    assert!(text.contains("NO_PROXY cannot be read"), "{text}");
}

/// What `kubectl sancho status` says with this kubeconfig and these variables, once its exit status is as expected.
async fn status(world: &World, kubeconfig: &Path, variables: &[(&str, &str)], code: i32) -> String {
    let output = sancho_with(world, kubeconfig, variables, &["status"]).await;
    said(&output, code)
}

/// The admin's kubeconfig, with the API server at this URL, and with this `proxy-url`.
fn kubeconfig(world: &World, name: &str, server: &str, proxy_url: Option<&str>) -> PathBuf {
    let text = std::fs::read_to_string(world.cluster.kubeconfig_path()).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
    let cluster = &mut kubeconfig["clusters"][0]["cluster"];
    cluster["server"] = json!(server);
    // Its certificate is for that name.
    cluster["tls-server-name"] = json!("localhost");
    if let Some(url) = proxy_url {
        cluster["proxy-url"] = json!(url);
    }
    let file = world.dir().join(format!("{name}.kubeconfig"));
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    file
}
