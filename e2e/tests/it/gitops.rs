//! What Argo CD, Flux and Helm make of Sancho's objects: by the script of `docs/gitops` in a Lua interpreter, and by
//! kstatus as Helm 4 has it.

use std::time::Duration;

use anyhow::{Result, ensure};
use hyper::Request;
use mlua::serde::SerializeOptions;
use mlua::{Lua, LuaSerdeExt};
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World, repository};
use serde_json::{Value, json};

use crate::stories::{FAST, apply_certificate, apply_issuer, issuer_ready, ready, world};

/// Status and message that Argo CD shows of `object`.
fn health(object: &Value) -> (String, String) {
    let script = std::fs::read_to_string(repository().join("docs/gitops/health.lua")).unwrap();
    let lua = Lua::new();
    // As Go hands objects over: what is absent is nil.
    let options = SerializeOptions::new()
        .serialize_none_to_null(false)
        .serialize_unit_to_null(false);
    let object = lua.to_value_with(object, options).unwrap();
    lua.globals().set("obj", object).unwrap();
    let told: mlua::Value = lua.load(script).eval().unwrap();
    let health: Value = lua.from_value(told).unwrap();
    let word = |field: &str| health[field].as_str().unwrap_or_default().to_owned();
    (word("status"), word("message"))
}

/// An object by kind and name: `certificates/shop`.
async fn object(world: &World, what: &str) -> Result<Value> {
    let namespace = match what.split_once('/') {
        Some(("clusterissuers", _)) => "",
        _ => "namespaces/default/",
    };
    let path = format!("/apis/sancho.dev/v1alpha1/{namespace}{what}");
    let request = Request::get(path).body(Vec::new())?;
    Ok(world.cluster.client().request(request).await?)
}

/// Waits until Argo CD shows an object so, with these words.
async fn shows(world: &World, what: &str, status: &str, words: &str) {
    let description = format!("Argo CD to show {what} as {status}: … {words} …");
    wait_for(&description, Duration::from_secs(60), &[], async || {
        let found = health(&object(world, what).await?);
        ensure!(found.0 == status && found.1.contains(words), "it shows {found:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

async fn apply(world: &World, manifest: &Value) -> String {
    let arguments = ["apply", "--server-side", "-f", "-"];
    let told = world
        .cluster
        .kubectl_with_input(&arguments, &manifest.to_string())
        .await;
    told.unwrap()
}

#[tokio::test]
async fn argo_cd_shows_each_kind_as_it_is() {
    let unseen = json!({ "metadata": { "generation": 1 }, "status": { "observedGeneration": -1 } });
    assert_eq!(health(&unseen).0, "Progressing");
    assert_eq!(
        health(&json!({ "metadata": { "generation": 1 } })).0,
        "Progressing"
    );

    let world = world(1, FAST, CaOptions::default()).await;
    apply_certificate(&world, "shop", &names(2), 20).await;
    shows(&world, "certificates/shop", "Progressing", "create it").await;
    apply_issuer(&world, FAST).await;
    shows(&world, "clusterissuers/ca", "Healthy", "is ready").await;
    shows(&world, "certificates/shop", "Healthy", "2 names in").await;
    shows(&world, "certificateshards/shop-0", "Healthy", "").await;

    let asked: Vec<String> = names(4).split_off(2);
    world.pebble().unwrap().break_name(&asked[0]).await.unwrap();
    apply_certificate(&world, "part", &asked, 20).await;
    shows(&world, "certificates/part", "Degraded", &asked[0]).await;

    // Its Secret would be shard 1's of the first.
    let mut clash = certificate("clash", "ca", &["clash.demo.example".into()], 20);
    clash["spec"]["secretName"] = "shop-tls".into();
    apply(&world, &clash).await;
    shows(&world, "certificates/clash", "Degraded", "shop").await;

    let mut paused = certificate("paused", "ca", &["paused.demo.example".into()], 20);
    paused["metadata"]["annotations"] = json!({ "sancho.dev/paused": "true" });
    apply(&world, &paused).await;
    shows(&world, "certificates/paused", "Suspended", "paused").await;
}

#[tokio::test]
async fn what_was_applied_stays_as_it_was_applied() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    let mut manifest = certificate("shop", "ca", &names(4), 2);
    manifest["spec"]["privateKey"] = json!({ "algorithm": "ECDSA" });
    manifest["spec"]["sharding"]["groups"] = json!([{ "name": "vip", "dnsNames": [names(1)[0]] }]);
    manifest["spec"]["secretTemplate"] = json!({ "labels": { "team": "shop" } });
    manifest["spec"]["additionalOutputFormats"] = json!([{ "type": "CombinedPEM" }]);
    apply(&world, &manifest).await;
    ready(&world, "shop", Duration::from_secs(60)).await;

    // Neither a default nor a word of the operator's has come into what the user wrote.
    let before = object(&world, "certificates/shop").await.unwrap();
    assert_eq!(before["spec"], manifest["spec"]);
    assert_eq!(before["metadata"]["generation"], 1);
    apply(&world, &manifest).await;
    let after = object(&world, "certificates/shop").await.unwrap();
    assert_eq!(
        after["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    let diff = ["diff", "--server-side", "-f", "-"];
    let told = world
        .cluster
        .kubectl_with_input(&diff, &manifest.to_string())
        .await;
    assert_eq!(told.unwrap(), "", "kubectl diff exits with 0 and says nothing");
    let issuer = object(&world, "clusterissuers/ca").await.unwrap();
    assert_eq!(issuer["metadata"]["generation"], 1);
}

#[tokio::test]
async fn helm_waits_by_kstatus_until_a_certificate_is_ready() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    let dir = tempfile::tempdir().unwrap();
    let install = async |name: &str, dns_name: &str, timeout: &str| {
        let chart = dir.path().join(name);
        std::fs::create_dir_all(chart.join("templates")).unwrap();
        let about = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n");
        std::fs::write(chart.join("Chart.yaml"), about).unwrap();
        let manifest = certificate(name, "ca", &[dns_name.to_owned()], 20);
        std::fs::write(chart.join("templates/certificate.yaml"), manifest.to_string()).unwrap();
        let chart = chart.display().to_string();
        world
            .cluster
            .helm(&[
                "install",
                name,
                &chart,
                "--namespace",
                "default",
                "--wait",
                "--timeout",
                timeout,
            ])
            .await
    };
    install("good", "good.demo.example", "60s").await.unwrap();
    let good = object(&world, "certificates/good").await.unwrap();
    assert_eq!(good["status"]["ready"], "1/1");

    world
        .pebble()
        .unwrap()
        .break_name("bad.demo.example")
        .await
        .unwrap();
    let told = install("bad", "bad.demo.example", "6s").await.unwrap_err();
    let told = format!("{told:#}");
    assert!(told.contains("bad"), "{told}");
}
