//! The API server itself refuses bad manifests, and says what is wrong and how to mend it.

mod table;
mod written;

use std::path::Path;
use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Error};
use sancho_e2e::cluster::{Cluster, ClusterOptions};
use sancho_e2e::world::repository;

use table::{accepted, refused_certificates, refused_issuers};
use written::{many_names, names};

#[tokio::test]
async fn the_api_server_says_what_is_wrong_with_a_manifest_and_how_to_mend_it() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster_with_crds(dir.path()).await;
    let mut wrong = Vec::new();
    for (what, manifest, part) in refused_certificates().into_iter().chain(refused_issuers()) {
        match dry_run(&cluster.client(), &manifest).await {
            Ok(()) => wrong.push(format!("{what}: accepted")),
            Err(answer) if answer.contains(part) => {}
            Err(answer) => wrong.push(format!("{what}: not \"{part}\" but\n  {answer}")),
        }
    }
    for (what, manifest) in accepted() {
        if let Err(answer) = dry_run(&cluster.client(), &manifest).await {
            wrong.push(format!("{what}: refused\n  {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn ten_thousand_names_of_140_characters_are_one_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster_with_crds(dir.path()).await;
    cluster.apply_yaml(&many_names(10_000, 140)).await.unwrap();
    // An object that nobody has looked at yet must not count as healthy.
    let generation = cluster
        .kubectl(&[
            "get",
            "scert",
            "web",
            "-o",
            "jsonpath={.status.observedGeneration}",
        ])
        .await
        .unwrap();
    assert_eq!(generation, "-1");
}

async fn cluster_with_crds(dir: &Path) -> Cluster {
    let cluster = Cluster::start(&dir.join("cluster"), dir, &ClusterOptions::default())
        .await
        .unwrap();
    let crds = repository().join("crds/yaml");
    cluster.apply_path(&crds).await.unwrap();
    cluster
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            crds.to_str().unwrap(),
        ])
        .await
        .unwrap();
    // A kind is established a moment before its validation is in force.
    let deadline = Instant::now() + Duration::from_secs(30);
    while dry_run(&cluster.client(), &names(&[]))
        .await
        .is_ok_and(|()| Instant::now() < deadline)
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster
}

/// Creates the object without keeping it; the error is the API server's message.
async fn dry_run(client: &Client, manifest: &str) -> Result<(), String> {
    let object: DynamicObject = serde_yaml::from_str(manifest).unwrap();
    let types = object.types.clone().unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
    let api: Api<DynamicObject> = match types.kind.as_str() {
        "ClusterIssuer" => Api::all_with(client.clone(), &resource),
        _ => Api::default_namespaced_with(client.clone(), &resource),
    };
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match api.create(&params, &object).await {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) => Err(status.message.clone()),
        Err(other) => Err(other.to_string()),
    }
}
