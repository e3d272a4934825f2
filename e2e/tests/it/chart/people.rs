//! What people may do by the cluster's own roles `view`, `edit` and `admin`, which the chart's roles are added to.

use std::time::Duration;

use anyhow::{Context, Result};
use hyper::Request;
use kube::Client;
use sancho_e2e::cluster::{Cluster, ClusterOptions};
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use serde_json::{Value, json};

use super::helm;
use super::issuers::spec;

/// The users, each bound in the namespace `shop` alone to the role of its name.
const ROLES: [&str; 3] = ["view", "edit", "admin"];

const ALL: &[&str] = &["view", "edit", "admin"];
const WRITERS: &[&str] = &["edit", "admin"];
const NOBODY: &[&str] = &[];

/// What is tried in `shop`, and which roles allow it.
const ATTEMPTS: [(&str, &str, &[&str]); 19] = [
    ("GET", "certificates", ALL),
    ("GET", "certificates/web", ALL),
    ("POST", "certificates", WRITERS),
    ("PATCH", "certificates/web", WRITERS),
    ("PATCH", "certificates/web/status", NOBODY),
    ("DELETE", "certificates/web", WRITERS),
    ("DELETE", "certificates", WRITERS),
    ("GET", "issuers", ALL),
    ("GET", "issuers/web", ALL),
    ("POST", "issuers", WRITERS),
    ("PATCH", "issuers/web", WRITERS),
    ("PATCH", "issuers/web/status", NOBODY),
    ("DELETE", "issuers/web", WRITERS),
    ("GET", "certificateshards", ALL),
    ("POST", "certificateshards", NOBODY),
    ("PATCH", "certificateshards/web-0", NOBODY),
    ("PATCH", "certificateshards/web-0/status", NOBODY),
    ("DELETE", "certificateshards/web-0", NOBODY),
    ("DELETE", "certificateshards", NOBODY),
];

#[tokio::test]
async fn edit_and_admin_write_where_they_are_bound_and_view_reads_and_nobody_writes_shards() {
    let dir = tempfile::tempdir().unwrap();
    let options = ClusterOptions {
        controller_manager: true,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&dir.path().join("cluster"), dir.path(), &options)
        .await
        .unwrap();
    helm(&cluster, dir.path(), "install", &json!({})).await.unwrap();
    for namespace in ["shop", "bank"] {
        let create = ["create", "namespace", namespace];
        cluster.kubectl(&create).await.unwrap();
    }
    let mut people = Vec::new();
    for role in ROLES {
        let client = bound(&cluster, role).await;
        has_come_into_force(role, &client).await;
        people.push((role, client));
    }

    // The first two are really made, by who edits; the others are tried alone.
    let editor = &people[1].1;
    for what in ["certificates", "issuers"] {
        assert!(may(editor, "POST", "shop", what, "web").await.unwrap(), "{what}");
    }
    for (method, what, roles) in ATTEMPTS {
        let what = match method {
            "GET" => what.to_owned(),
            _ => format!("{what}?dryRun=All"),
        };
        for (role, client) in &people {
            let there = may(client, method, "shop", &what, "other").await.unwrap();
            assert_eq!(there, roles.contains(role), "{role}: {method} {what}");
            let elsewhere = may(client, method, "bank", &what, "other").await.unwrap();
            assert!(!elsewhere, "{role}: {method} {what} in another namespace");
        }
    }
}

/// A client of a user who is bound to this role in the namespace `shop`.
async fn bound(cluster: &Cluster, role: &str) -> Client {
    let (of_role, of_user) = (format!("--clusterrole={role}"), format!("--user={role}"));
    let create = ["create", "rolebinding", role, "-n", "shop", &of_role, &of_user];
    cluster.kubectl(&create).await.unwrap();
    let kubeconfig = cluster.user_kubeconfig(role, None).unwrap();
    cluster.client_of(&kubeconfig).await.unwrap()
}

/// Waits until the API server knows the kinds, the binding, and what was added to the role.
async fn has_come_into_force(role: &str, client: &Client) {
    let tried = match role {
        "view" => vec![("GET", "certificates")],
        _ => vec![
            ("GET", "certificates"),
            ("POST", "certificates?dryRun=All"),
            ("POST", "issuers?dryRun=All"),
        ],
    };
    for (method, what) in tried {
        let description = format!("{role} to allow {method} {what}");
        wait_for(&description, Duration::from_secs(60), &[], async || {
            let may = may(client, method, "shop", what, "other").await?;
            Ok(may.then_some(()))
        })
        .await
        .unwrap();
    }
}

/// Does it, and says whether that was allowed. What is made has the name `name`.
async fn may(client: &Client, method: &str, namespace: &str, what: &str, name: &str) -> Result<bool> {
    let (media_type, body) = match method {
        "POST" => (
            "application/json",
            object(namespace, what, name).to_string().into_bytes(),
        ),
        "PATCH" => ("application/merge-patch+json", b"{}".to_vec()),
        _ => ("application/json", Vec::new()),
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("/apis/sancho.dev/v1alpha1/namespaces/{namespace}/{what}"))
        .header("Content-Type", media_type)
        .body(body)?;
    match client.request_text(request).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{method} {what} in {namespace}")),
    }
}

/// A Certificate or an Issuer. Nobody looks into a shard, since nobody may make one.
fn object(namespace: &str, what: &str, name: &str) -> Value {
    let mut object = match what.split('?').next() {
        Some("certificates") => certificate(name, "web", &names(1), 20),
        Some("issuers") => json!({
            "apiVersion": "sancho.dev/v1alpha1",
            "kind": "Issuer",
            "metadata": { "name": name },
            "spec": spec("ops@example.com"),
        }),
        _ => json!({
            "apiVersion": "sancho.dev/v1alpha1",
            "kind": "CertificateShard",
            "metadata": { "name": name },
        }),
    };
    object["metadata"]["namespace"] = namespace.into();
    object
}
