//! What the docs' commands find: a cluster in which Sancho was installed by the README's own command, and the objects
//! that the pages speak of.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::binaries;
use sancho_e2e::manifests::cluster_issuer;
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::{NAMESPACE, ReplicaOptions};
use sancho_e2e::tools::{self, Tool};
use sancho_e2e::world::{World, WorldOptions, repository};
use serde_json::{Value, json};
use tokio::process::Command;

use super::commands::commands;
use super::pages::page;
use crate::stories::FAST;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// ClusterIssuers that the pages speak of. Here they are all of the world's own CA.
const ISSUERS: [&str; 2] = ["letsencrypt", "staging"];

/// The world, and a working folder that looks like a clone.
pub struct Ground {
    pub world: World,
}

/// What came of a command.
pub struct Ended {
    pub code: Option<i32>,
    pub told: String,
}

impl Ground {
    /// A cluster with Sancho, by the README's `helm install`, with the namespace that it makes for the Certificate, and
    /// with the kinds of others that the pages speak of.
    pub async fn installed() -> Self {
        let mut world = World::start(WorldOptions {
            manifests: false,
            replicas: 0,
            ..WorldOptions::default()
        })
        .await
        .unwrap();
        make_workshop(&world).await;
        let ground = Self { world };
        let readme: Vec<String> = page("README.md").blocks().iter().flat_map(commands).collect();
        for beginning in ["helm install", "kubectl create namespace"] {
            let command = readme.iter().find(|command| command.starts_with(beginning));
            let ended = ground.run(command.unwrap()).await;
            assert_eq!(ended.code, Some(0), "{}", ended.told);
        }
        world = ground.world;

        apply_kinds_of_others(&world).await;
        // Those of what is there before Sancho.
        for namespace in ["infra", "argocd", "flux-system"] {
            world
                .cluster
                .kubectl(&["create", "namespace", namespace])
                .await
                .unwrap();
        }
        world
            .cluster
            .apply_yaml(&argo_cd_config().to_string())
            .await
            .unwrap();
        world.add_replica(ReplicaOptions::default()).await.unwrap();
        world.replicas[0].ready().await.unwrap();
        let ground = Self { world };
        // Nothing is sent for 15 s after a budget's first Lease is made: that may as well be now.
        ground.apply_issuer("first").await;
        ground.kinds_of_others_served().await;
        ground
    }

    /// A kind is served a moment before all that its definition says is in force.
    async fn kinds_of_others_served(&self) {
        let source = json!({ "kind": "GitRepository", "name": "fleet" });
        let cluster = json!({ "server": "https://kubernetes.default.svc" });
        for object in [
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
                "metadata": { "name": "internet" }, "spec": { "controllerName": "sancho.dev/none" },
            }),
            json!({
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
                "metadata": { "name": "first", "namespace": "flux-system" },
                "spec": { "interval": "1m", "prune": true, "sourceRef": source },
            }),
            json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                "metadata": { "name": "first", "namespace": "argocd" },
                "spec": { "project": "default", "destination": cluster },
            }),
        ] {
            wait_for("the kinds to be served", PATIENCE, &[], async || {
                Ok(self.dry_run(&object).await.ok())
            })
            .await
            .unwrap();
        }
    }

    /// The objects that the pages speak of: issuers, a Certificate that is ready, and a cert-manager's definitions with
    /// one of its Certificates.
    pub async fn furnish(&self) {
        for name in ISSUERS {
            self.apply_issuer(name).await;
        }
        for command in [
            "kubectl apply --server-side -f storefront.yaml",
            "kubectl wait scert/storefront -n shop --for=condition=Ready --timeout=80s",
        ] {
            let ended = self.run(command).await;
            assert_eq!(ended.code, Some(0), "{command}: {}", ended.told);
        }
    }

    async fn apply_issuer(&self, name: &str) {
        let front = self.world.front().unwrap();
        let issuer = cluster_issuer(name, &front.directory_url(), front.ca_pem(), FAST);
        self.world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
    }

    /// The kinds of cert-manager that the import reads, as far as their names go: any spec is taken.
    pub async fn with_cert_manager(&self) {
        for (kind, plural, scope) in [
            ("Certificate", "certificates", "Namespaced"),
            ("Issuer", "issuers", "Namespaced"),
            ("ClusterIssuer", "clusterissuers", "Cluster"),
        ] {
            let definition = json!({
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": { "name": format!("{plural}.cert-manager.io") },
                "spec": {
                    "group": "cert-manager.io",
                    "scope": scope,
                    "names": { "kind": kind, "plural": plural },
                    "versions": [{
                        "name": "v1", "served": true, "storage": true,
                        "schema": { "openAPIV3Schema": {
                            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                        } },
                    }],
                },
            });
            self.world
                .cluster
                .apply_yaml(&definition.to_string())
                .await
                .unwrap();
        }
        wait_for(
            "the kinds of cert-manager to be served",
            PATIENCE,
            &[],
            async || {
                let applied = self.run("kubectl apply -f cert-manager.yaml").await;
                Ok((applied.code == Some(0)).then_some(()))
            },
        )
        .await
        .unwrap();
    }

    /// All that a backup has is lost, and what Sancho has made of it. How many orders the CA has seen by then.
    pub async fn lose_everything(&self) -> usize {
        for command in [
            "kubectl delete certificates.sancho.dev,certificateshards.sancho.dev -A --all",
            "kubectl delete clusterissuers.sancho.dev --all",
            "kubectl delete secrets -A -l sancho.dev/certificate",
            "kubectl delete secrets -n sancho-system letsencrypt-account",
        ] {
            let ended = self.run(command).await;
            assert_eq!(ended.code, Some(0), "{command}: {}", ended.told);
        }
        self.orders()
    }

    /// Waits until the Certificate is ready and nothing is under way for it.
    pub async fn at_rest(&self) {
        let of = "kubectl get certificates.sancho.dev,certificateshards.sancho.dev -n shop -o json";
        wait_for("the Certificate to be at rest", PATIENCE, &[], async || {
            let told: Value = serde_json::from_str(&self.run(of).await.told)?;
            let objects = told["items"].as_array().map_or(&[][..], Vec::as_slice);
            let is_at_rest = |object: &Value| {
                let status = &object["status"];
                let says = |kind: &str, value: &str| {
                    let conditions = status["conditions"].as_array().into_iter().flatten();
                    conditions
                        .into_iter()
                        .any(|c| c["type"] == kind && c["status"] == value)
                };
                says("Ready", "True")
                    && !says("Reconciling", "True")
                    && !says("Renewing", "True")
                    && !says("Revoking", "True")
                    && status.get("order").is_none()
                    && object["metadata"]["annotations"]
                        .get("sancho.dev/revoke")
                        .is_none()
            };
            Ok((objects.len() == 2 && objects.iter().all(is_at_rest)).then_some(()))
        })
        .await
        .unwrap();
    }

    /// How many orders the CA has been asked for.
    pub fn orders(&self) -> usize {
        let log = self.world.front().unwrap().log();
        log.arrivals
            .iter()
            .filter(|arrival| arrival.kind == RequestKind::NewOrder)
            .count()
    }

    /// Runs a command of the docs by bash, in a folder that looks like a clone, as the cluster's admin. The context names
    /// no namespace, as a reader's may not.
    pub async fn run(&self, command: &str) -> Ended {
        self.run_with(command, "").await
    }

    /// Applies an object without keeping it. The API server's words if it refuses.
    pub async fn dry_run(&self, object: &Value) -> Result<(), String> {
        let command = "kubectl apply --server-side --dry-run=server --validate=strict --field-manager=docs \
                       --force-conflicts -f -";
        let ended = self.run_with(command, &object.to_string()).await;
        match ended.code {
            Some(0) => Ok(()),
            _ => Err(ended.told),
        }
    }

    /// Applies an object for good, and deletes it again. What was said if one of them fails.
    pub async fn apply_and_delete(&self, object: &Value) -> Result<(), String> {
        for command in [
            "kubectl apply --server-side --validate=strict --field-manager=docs -f -",
            "kubectl delete -f -",
        ] {
            let ended = self.run_with(command, &object.to_string()).await;
            if ended.code != Some(0) {
                return Err(ended.told);
            }
        }
        Ok(())
    }

    async fn run_with(&self, command: &str, input: &str) -> Ended {
        use tokio::io::AsyncWriteExt;
        let dir = self.dir();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut child = Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .current_dir(dir)
            .env("HOME", dir)
            .env("KUBECONFIG", dir.join("kubeconfig"))
            .env("PATH", format!("{}:{path}:/usr/sbin", dir.join("bin").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let run = async {
            // It may end without reading it.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
            child.wait_with_output().await.unwrap()
        };
        match tokio::time::timeout(PATIENCE, run).await {
            Ok(output) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                Ended {
                    code: output.status.code(),
                    told: text(&output.stdout) + &text(&output.stderr),
                }
            }
            Err(_) => Ended {
                code: None,
                told: format!("not done after {} s", PATIENCE.as_secs()),
            },
        }
    }

    /// The working folder.
    pub fn dir(&self) -> &Path {
        self.world.dir()
    }
}

/// The definitions of the Gateway API, Flux and Argo CD as they are published.
async fn apply_kinds_of_others(world: &World) {
    let gateway = tools::gateway_crds().await.unwrap();
    let gateway = |kind: &str| gateway.join(format!("gateway.networking.k8s.io_{kind}.yaml"));
    for file in [
        gateway("gatewayclasses"),
        gateway("gateways"),
        gateway("httproutes"),
        tools::flux_crd().await.unwrap(),
        tools::argo_cd_crd().await.unwrap(),
    ] {
        world.cluster.apply_path(&file).await.unwrap();
    }
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd",
        "--all",
    ];
    world.cluster.kubectl(&wait).await.unwrap();
}

/// The ConfigMap that Argo CD comes with, and a key that somebody has put into it.
fn argo_cd_config() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "argocd-cm", "namespace": "argocd" },
        "data": { "url": "https://argocd.example.com" },
    })
}

/// Makes the world's folder look like a clone, with the programs and the files that the pages name.
async fn make_workshop(world: &World) {
    let dir = world.dir();
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let link = |target: &Path, name: &Path| std::os::unix::fs::symlink(target, name).unwrap();
    for (program, name) in [
        (tools::path_async(Tool::Kubectl).await.unwrap(), "kubectl"),
        (tools::path_async(Tool::Helm).await.unwrap(), "helm"),
        (binaries::plugin().await.unwrap(), "kubectl-sancho"),
    ] {
        link(&program, &bin.join(name));
    }
    for name in ["charts", "install.yaml"] {
        link(&repository().join(name), &dir.join(name));
    }
    std::fs::copy(world.cluster.kubeconfig_path(), dir.join("kubeconfig")).unwrap();
    for block in super::pages::pages().iter().flat_map(super::pages::Page::blocks) {
        if let Some(file) = &block.file {
            std::fs::write(dir.join(file), &block.text).unwrap();
        }
    }
    assert!(
        dir.join("storefront.yaml").exists(),
        "no page has storefront.yaml"
    );
    assert_eq!(NAMESPACE, "sancho-system", "the docs say so");
}
