//! The chart, installed by the real Helm: the rights that it gives are the ones that are needed.

use std::path::Path;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use sancho_e2e::cluster::{Cluster, ClusterOptions};
use sancho_e2e::replica::{NAMESPACE, SERVICE_ACCOUNT};
use sancho_e2e::tools::{self, Tool};
use sancho_e2e::world::repository;

/// Verb, resource (with its group and subresource), namespace; empty for all or none.
type Right = (&'static str, &'static str, &'static str);

/// What the operator needs wherever it looks at Certificates.
const NEEDED: [Right; 13] = [
    ("watch", "certificates.sancho.dev", "shop"),
    ("update", "certificates.sancho.dev/status", "shop"),
    ("update", "certificates.sancho.dev/finalizers", "shop"),
    ("create", "certificateshards.sancho.dev", "shop"),
    ("delete", "certificateshards.sancho.dev", "shop"),
    ("patch", "certificateshards.sancho.dev/status", "shop"),
    ("update", "issuers.sancho.dev/status", "shop"),
    ("watch", "clusterissuers.sancho.dev", ""),
    ("update", "clusterissuers.sancho.dev/status", ""),
    ("patch", "secrets", "shop"),
    ("watch", "secrets", "shop"),
    ("create", "events.events.k8s.io", "shop"),
    ("create", "events.events.k8s.io", "default"),
];

/// What it needs in its own namespace alone.
const NEEDED_AT_HOME: [Right; 4] = [
    ("update", "leases.coordination.k8s.io", NAMESPACE),
    ("watch", "leases.coordination.k8s.io", NAMESPACE),
    ("get", "secrets", NAMESPACE),
    ("create", "secrets", NAMESPACE),
];

/// What it must not have, wherever it looks.
const NEVER: [Right; 6] = [
    ("patch", "certificates.sancho.dev", "shop"),
    ("update", "issuers.sancho.dev", "shop"),
    ("update", "clusterissuers.sancho.dev", ""),
    ("get", "leases.coordination.k8s.io", "shop"),
    ("delete", "leases.coordination.k8s.io", NAMESPACE),
    ("create", "pods", NAMESPACE),
];

#[tokio::test]
async fn the_chart_gives_the_rights_that_are_needed_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = installed(dir.path(), &[]).await;
    let client = cluster.client();
    for right in NEEDED.iter().chain(&NEEDED_AT_HOME) {
        assert!(may(&client, right).await, "{right:?} is needed");
    }
    for right in &NEVER {
        assert!(!may(&client, right).await, "{right:?} must not be given");
    }
}

#[tokio::test]
async fn with_namespaces_given_all_others_are_out_of_reach() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = installed(dir.path(), &["--set", "watchNamespaces={shop,blog}"]).await;
    let client = cluster.client();
    for right in NEEDED.iter().chain(&NEEDED_AT_HOME) {
        assert!(may(&client, right).await, "{right:?} is needed");
    }
    for right in &NEVER {
        assert!(!may(&client, right).await, "{right:?} must not be given");
    }
    for (verb, resource, namespace) in NEEDED {
        if namespace == "shop" {
            for elsewhere in ["", "bank", NAMESPACE] {
                let right = (verb, resource, elsewhere);
                assert!(!may(&client, &right).await, "{right:?} must not be given");
            }
        }
    }
    // Elsewhere: the account keys of ClusterIssuers are read and made, never changed.
    assert!(!may(&client, &("update", "secrets", NAMESPACE)).await);

    let arguments = deployment_arguments(&cluster).await;
    assert!(
        arguments.contains(r#""--watch-namespaces","shop,blog""#),
        "{arguments}"
    );
}

async fn installed(dir: &Path, flags: &[&str]) -> Cluster {
    let cluster = Cluster::start(&dir.join("cluster"), dir, &ClusterOptions::default())
        .await
        .unwrap();
    for namespace in ["shop", "blog"] {
        cluster
            .kubectl(&["create", "namespace", namespace])
            .await
            .unwrap();
    }
    let helm = tools::path_async(Tool::Helm).await.unwrap();
    let output = tokio::process::Command::new(helm)
        .env("KUBECONFIG", cluster.kubeconfig_path())
        .args([
            "install",
            "sancho",
            "--namespace",
            NAMESPACE,
            "--create-namespace",
        ])
        .args(flags)
        .arg(repository().join("charts/sancho"))
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    cluster
}

/// Whether the operator's service account may do it.
async fn may(client: &Client, (verb, resource, namespace): &Right) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}")),
            resource_attributes: Some(ResourceAttributes {
                verb: text(verb),
                group: text(group),
                resource: text(resource),
                subresource: text(subresource),
                namespace: text(namespace),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
    answer.status.unwrap().allowed
}

async fn deployment_arguments(cluster: &Cluster) -> String {
    let path = "jsonpath={.spec.template.spec.containers[0].args}";
    cluster
        .kubectl(&["get", "deployment", "sancho", "-n", NAMESPACE, "-o", path])
        .await
        .unwrap()
}
