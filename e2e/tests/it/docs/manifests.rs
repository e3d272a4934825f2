//! Each `yaml` block is applied, without being kept, to the real API server, and so is what the chart's notes show.
//!
//! A block that is a part of an object (no `apiVersion`) is laid over a whole one of each of our kinds, and has to be
//! accepted in one; or it is the chart's values. Kinds of others are tried against the definitions that they publish;
//! those that this cluster does not have are listed, with the reason. Those of Argo CD and Flux, which do nothing here, are
//! kept for a moment.

use futures::{StreamExt, stream};
use sancho_e2e::world::repository;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ground::Ground;
use super::pages::{Block, Page, page};
use crate::chart;

/// Kinds that this cluster does not have: the beginning of `apiVersion`, and why not.
const ELSEWHERE: [(&str, &str); 1] = [(
    "cert-manager.io/",
    "the import reads them, when the commands are run",
)];

/// Kinds whose objects are applied for good, and deleted: the beginning of `apiVersion`.
const KEPT_FOR_A_MOMENT: [&str; 2] = ["argoproj.io/", "kustomize.toolkit.fluxcd.io/"];

/// What Helm prints after an install.
const NOTES: &str = "charts/sancho/templates/NOTES.txt";

/// So many are tried at once.
const MOST_AT_ONCE: usize = 4;

/// Tries the blocks of all pages. What is wrong, each with its place.
pub async fn tried(ground: &Ground, pages: &[Page]) -> Vec<String> {
    let blocks = pages.iter().flat_map(Page::blocks);
    let mut blocks: Vec<Block> = blocks.filter(|block| block.language == "yaml").collect();
    let notes = ground.run("helm get notes sancho -n sancho-system").await;
    let of_notes = manifests_of_notes(&notes.told);
    assert_eq!(of_notes.len(), 2, "in {}", notes.told);
    blocks.extend(of_notes);
    let tries = blocks.iter().flat_map(|block| {
        let documents = documents(block).into_iter();
        documents.map(move |document| async move {
            let why = accepted(ground, &document).await.err()?;
            Some(format!("{}: {why}", block.place))
        })
    });
    let tried: Vec<Option<String>> = stream::iter(tries).buffered(MOST_AT_ONCE).collect().await;
    let count = tried.len();
    assert!(count > 20, "only {count} manifests");
    tried.into_iter().flatten().collect()
}

/// The YAML documents of a block.
pub fn documents(block: &Block) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(&block.text);
    let documents = documents.map(|document| Value::deserialize(document).map_err(|error| error.to_string()));
    let read: Result<Vec<Value>, String> = documents.collect();
    assert!(read.is_ok(), "{}: {read:?}", block.place);
    read.unwrap_or_default()
}

/// The manifests in Helm's notes: paragraphs of their own, indented.
fn manifests_of_notes(notes: &str) -> Vec<Block> {
    let paragraphs = notes.split("\n\n");
    let manifests = paragraphs.filter(|paragraph| paragraph.trim_start().starts_with("apiVersion:"));
    manifests
        .map(|manifest| {
            let indent = manifest.len() - manifest.trim_start().len();
            let lines = manifest.lines();
            let text: Vec<&str> = lines.map(|line| line.get(indent..).unwrap_or_default()).collect();
            Block {
                place: NOTES.to_owned(),
                language: "yaml".to_owned(),
                text: text.join("\n") + "\n",
                file: None,
            }
        })
        .collect()
}

async fn accepted(ground: &Ground, document: &Value) -> Result<(), String> {
    if let Some(version) = document["apiVersion"].as_str() {
        if ELSEWHERE
            .iter()
            .any(|(beginning, _)| version.starts_with(beginning))
        {
            return Ok(());
        }
        if KEPT_FOR_A_MOMENT
            .iter()
            .any(|beginning| version.starts_with(beginning))
        {
            return ground.apply_and_delete(document).await;
        }
        return ground.dry_run(document).await;
    }
    let mut refusals = Vec::new();
    for whole in wholes() {
        let kind = whole["kind"].clone();
        match ground.dry_run(&laid_over(whole, document)).await {
            Ok(()) => return Ok(()),
            Err(why) => refusals.push(format!("as a part of a {kind}: {why}")),
        }
    }
    match chart::rendered(ground.dir(), document).await {
        Ok(_) => Ok(()),
        Err(why) => {
            refusals.push(format!("as values: {why}"));
            Err(refusals.join("\n"))
        }
    }
}

/// One object of each kind that people write.
fn wholes() -> [Value; 3] {
    let acme = json!({
        "server": "https://ca.example/directory",
        "privateKeySecretRef": { "name": "account" },
        "solvers": [{ "http01": { "external": {} } }],
    });
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "sancho.dev/v1alpha1",
            "kind": kind,
            "metadata": { "name": "part" },
            "spec": spec,
        })
    };
    let certificate = json!({
        "secretName": "part-tls",
        "issuerRef": { "name": "ca" },
        "dnsNames": ["part.example.com"],
    });
    [
        object("Certificate", certificate),
        object("ClusterIssuer", json!({ "acme": acme })),
        object("Issuer", json!({ "acme": acme })),
    ]
}

/// `whole` with what `part` says in place of what it says itself. Lists are taken as they are.
fn laid_over(whole: Value, part: &Value) -> Value {
    match (whole, part) {
        (Value::Object(mut whole), Value::Object(part)) => {
            for (key, value) in part {
                let before = whole.remove(key).unwrap_or(Value::Null);
                whole.insert(key.clone(), laid_over(before, value));
            }
            Value::Object(whole)
        }
        (_, part) => part.clone(),
    }
}

#[test]
fn argo_cd_is_given_the_health_script_for_each_kind() {
    let script = std::fs::read_to_string(repository().join("docs/gitops/health.lua")).unwrap();
    let blocks = page("docs/gitops/argo-cd.md").blocks();
    let config = blocks
        .iter()
        .find(|block| block.file.as_deref() == Some("argocd-cm.yaml"));
    let config = &documents(config.unwrap())[0];
    let key = |kind: &str| format!("resource.customizations.health.sancho.dev_{kind}");
    assert_eq!(
        config["data"],
        json!({
            key("Certificate"): script,
            key("CertificateShard"): script,
            key("Issuer"): script,
            key("ClusterIssuer"): script,
        })
    );
}

#[test]
fn the_manifests_of_notes_are_found_among_the_words() {
    let notes = "NOTES:\nIt runs.\n\n1. Tell it.\n\n     apiVersion: v1\n     spec:\n       a: b\n\n2. So:\n\n     kubectl get\n";
    let found = manifests_of_notes(notes);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].text, "apiVersion: v1\nspec:\n  a: b\n");
}
