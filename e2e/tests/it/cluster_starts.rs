//! The control plane is what the tests take it for.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Resource;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use sancho_e2e::cluster::{Cluster, ClusterOptions};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::repository;

const OWNED: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: clerk, namespace: shop }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: clerk, namespace: shop }
rules:
  - { apiGroups: [""], resources: [configmaps], verbs: [create, get] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: clerk, namespace: shop }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: clerk }
subjects:
  - { kind: ServiceAccount, name: clerk, namespace: shop }
"#;

fn config_map(name: &str, owner: Option<&ConfigMap>) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map.metadata.owner_references = owner.map(|owner| vec![owner.owner_ref(&()).unwrap()]);
    map
}

#[tokio::test]
async fn a_cluster_has_rbac_tokens_an_audit_log_and_garbage_collection() {
    let dir = tempfile::tempdir().unwrap();
    let options = ClusterOptions {
        controller_manager: true,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&dir.path().join("cluster"), dir.path(), &options)
        .await
        .unwrap();
    let start = jiff::Timestamp::now();
    cluster.apply_yaml(OWNED).await.unwrap();

    // The service account may do what its role says, and nothing else.
    let kubeconfig = cluster
        .service_account_kubeconfig("shop", "clerk", None)
        .await
        .unwrap();
    let clerk = cluster.client_of(&kubeconfig).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(clerk, "shop");
    let owner = maps
        .create(&PostParams::default(), &config_map("owner", None))
        .await
        .unwrap();
    maps.create(&PostParams::default(), &config_map("owned", Some(&owner)))
        .await
        .unwrap();
    let refused = maps.list(&ListParams::default()).await.unwrap_err().to_string();
    assert!(refused.contains("forbidden"), "{refused}");

    // Both writes are in the audit log, under its name, and the list is not.
    let user = "system:serviceaccount:shop:clerk";
    let writes = wait_for(
        "two writes in the audit log",
        Duration::from_secs(10),
        &[],
        async || {
            let writes = cluster.writes_by(user, start)?;
            Ok((writes.len() >= 2).then_some(writes))
        },
    )
    .await
    .unwrap();
    let seen: Vec<_> = writes
        .iter()
        .map(|write| {
            (
                write.verb.as_str(),
                write.resource.as_str(),
                write.namespace.as_str(),
                write.code,
            )
        })
        .collect();
    assert_eq!(seen, [("create", "configmaps", "shop", 201); 2]);
    assert_eq!(cluster.writes_by(user, jiff::Timestamp::now()).unwrap(), []);

    // What is owned goes with its owner.
    let admin: Api<ConfigMap> = Api::namespaced(cluster.client(), "shop");
    admin.delete("owner", &DeleteParams::default()).await.unwrap();
    wait_for(
        "the owned object to go",
        Duration::from_secs(60),
        &[],
        async || Ok(admin.get_opt("owned").await?.is_none().then_some(())),
    )
    .await
    .unwrap();

    // Sancho's CRDs are what this API server takes.
    let crds = repository().join("crds/yaml");
    cluster.apply_path(&crds).await.unwrap();
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "-f",
        crds.to_str().unwrap(),
    ];
    assert_eq!(cluster.kubectl(&wait).await.unwrap().lines().count(), 4);

    // Helm and kubectl reach it, and kubectl tells why it failed.
    let error = cluster
        .kubectl(&["get", "pods", "nobody"])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("NotFound"), "{error}");
    assert_eq!(cluster.helm(&["list", "--short"]).await.unwrap(), "");
}
