//! What Argo CD, Flux and Helm make of Sancho's objects: by the script of `docs/gitops` in a Lua interpreter, and by
//! kstatus as Helm 4 has it.

use std::time::Duration;

use anyhow::{Result, ensure};
use hyper::Request;
use mlua::serde::SerializeOptions;
use mlua::{Lua, LuaSerdeExt};
use sancho_e2e::manifests::{certificate, cluster_issuer, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World, repository};
use serde_json::{Value, json};

use crate::stories::{FAST, apply_certificate, apply_issuer, issuer_ready, ready, world};

const PATIENCE: Duration = Duration::from_secs(60);

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
    wait_for(&description, PATIENCE, &[], async || {
        let found = health(&object(world, what).await?);
        ensure!(found.0 == status && found.1.contains(words), "it shows {found:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// An Issuer in the namespace `default`.
fn issuer(name: &str, server: &str, roots: &str) -> Value {
    let mut issuer = cluster_issuer(name, server, roots, None);
    issuer["kind"] = "Issuer".into();
    issuer["metadata"]["namespace"] = "default".into();
    issuer
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
    // Any other word pauses nothing.
    let mut recorded = object(&world, "certificates/paused").await.unwrap();
    for word in ["false", "", "True"] {
        recorded["metadata"]["annotations"]["sancho.dev/paused"] = word.into();
        assert_eq!(health(&recorded).0, "Progressing", "{word:?}");
    }

    let front = world.front().unwrap();
    let server = front.directory_url();
    apply(&world, &issuer("own", &server, "no root")).await;
    shows(&world, "issuers/own", "Degraded", "spec.acme.caBundle").await;
    apply(&world, &issuer("own", &server, front.ca_pem())).await;
    shows(&world, "issuers/own", "Healthy", "is ready").await;
}

#[tokio::test]
async fn what_was_applied_stays_as_it_was_applied() {
    let world = world(1, FAST, CaOptions::default()).await;
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), FAST);
    // The API server keeps a whole number as one.
    issuer["spec"]["budget"]["requestsPerSecond"] = 40.into();
    apply(&world, &issuer).await;
    issuer_ready(&world).await;
    let mut manifest = certificate("shop", "ca", &names(4), 2);
    manifest["spec"]["privateKey"] = json!({ "algorithm": "ECDSA" });
    manifest["spec"]["sharding"]["groups"] = json!([{ "name": "vip", "dnsNames": [names(1)[0]] }]);
    manifest["spec"]["secretTemplate"] = json!({ "labels": { "team": "shop" } });
    manifest["spec"]["additionalOutputFormats"] = json!([{ "type": "CombinedPEM" }]);
    apply(&world, &manifest).await;
    ready(&world, "shop", PATIENCE).await;

    for (what, manifest) in [("certificates/shop", &manifest), ("clusterissuers/ca", &issuer)] {
        // What a replica writes of its own accord, such as what the Lease says by now, is no matter of the second apply.
        let (before, after) = wait_for("an apply that nobody wrote in", PATIENCE, &[], async || {
            let before = object(&world, what).await?;
            apply(&world, manifest).await;
            let after = object(&world, what).await?;
            Ok((before["status"] == after["status"]).then_some((before, after)))
        })
        .await
        .unwrap();
        // Neither a default nor a word of the operator's has come into what the user wrote.
        assert_eq!(before["spec"], manifest["spec"]);
        assert_eq!(before["metadata"]["generation"], 1);
        assert_eq!(
            after["metadata"]["resourceVersion"],
            before["metadata"]["resourceVersion"]
        );
        wait_for(
            "kubectl diff to exit with 0 and say nothing",
            PATIENCE,
            &[],
            async || {
                let diff = ["diff", "--server-side", "-f", "-"];
                let told = world
                    .cluster
                    .kubectl_with_input(&diff, &manifest.to_string())
                    .await?;
                ensure!(told.is_empty(), "it says {told}");
                Ok(Some(()))
            },
        )
        .await
        .unwrap();
    }
}

/// `helm install --wait` of a chart that has this object alone. One that is there already is taken over.
async fn install(world: &World, name: &str, manifest: &Value, timeout: &str) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let chart = dir.path().join(name);
    std::fs::create_dir_all(chart.join("templates"))?;
    let about = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n");
    std::fs::write(chart.join("Chart.yaml"), about)?;
    std::fs::write(chart.join("templates/object.yaml"), manifest.to_string())?;
    let chart = chart.display().to_string();
    world
        .cluster
        .helm(&[
            "install",
            name,
            &chart,
            "--namespace",
            "default",
            "--take-ownership",
            "--wait",
            "--timeout",
            timeout,
        ])
        .await
}

/// Why Helm gave up waiting.
async fn not_installed(world: &World, name: &str, manifest: &Value, timeout: &str) -> String {
    let told = install(world, name, manifest, timeout).await.unwrap_err();
    format!("{told:#}")
}

/// The shard as its Certificate's planner has written it, for Helm to take over.
async fn shard(world: &World, name: &str) -> Value {
    let path = format!("certificateshards/{name}");
    let found = wait_for(&path, PATIENCE, &[], async || {
        object(world, &path).await.map(Some)
    })
    .await
    .unwrap();
    json!({
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "metadata": { "name": name, "namespace": "default" },
        "spec": found["spec"],
    })
}

#[tokio::test]
async fn helm_waits_by_kstatus_until_each_kind_is_ready_or_needs_an_edit() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    issuer_ready(&world).await;
    let of = |name: &str| certificate(name, "ca", &[format!("{name}.demo.example")], 20);
    install(&world, "good", &of("good"), "60s").await.unwrap();
    let good = object(&world, "certificates/good").await.unwrap();
    assert_eq!(good["status"]["ready"], "1/1");
    install(&world, "good-0", &shard(&world, "good-0").await, "20s")
        .await
        .unwrap();

    let pebble = world.pebble().unwrap();
    pebble.break_name("bad.demo.example").await.unwrap();
    let bad = not_installed(&world, "bad", &of("bad"), "6s").await;
    let shard = shard(&world, "bad-0").await;
    let its_shard = not_installed(&world, "bad-0", &shard, "6s").await;
    for (told, name) in [(bad, "bad"), (its_shard, "bad-0")] {
        let expected = format!("default/{name} not ready. status: InProgress");
        assert!(told.contains(&expected), "{told}");
    }

    // What needs an edit is not waited for.
    let mut clash = of("clash");
    clash["spec"]["secretName"] = "good-tls".into();
    let told = not_installed(&world, "clash", &clash, "40s").await;
    assert!(told.contains("default/clash not ready. status: Failed"), "{told}");
    assert!(told.contains("choose another spec.secretName"), "{told}");

    let front = world.front().unwrap();
    let server = front.directory_url();
    let own = issuer("own", &server, front.ca_pem());
    install(&world, "own", &own, "60s").await.unwrap();
    let own = object(&world, "issuers/own").await.unwrap();
    assert!(own["status"]["accountUrl"].is_string(), "{own}");

    let rootless = issuer("rootless", &server, "no root");
    let told = not_installed(&world, "rootless", &rootless, "40s").await;
    assert!(
        told.contains("default/rootless not ready. status: Failed"),
        "{told}"
    );
    assert!(told.contains("spec.acme.caBundle"), "{told}");

    // A CA that is away may come back.
    let unreached = issuer("unreached", "https://127.0.0.1:1/directory", front.ca_pem());
    let told = not_installed(&world, "unreached", &unreached, "6s").await;
    assert!(
        told.contains("default/unreached not ready. status: InProgress"),
        "{told}"
    );
}
