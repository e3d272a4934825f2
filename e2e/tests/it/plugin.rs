//! `kubectl sancho` on a real cluster, as a user runs it.

mod plan;
mod watch;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::ensure;
use sancho_crds::CertificateShard;
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::cluster::ClusterOptions;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World, WorldOptions};

use crate::stories::{FAST, apply_certificate, apply_issuer, not_ready, ready, secrets, shards, world};

/// An issuer and a Certificate of cert-manager.
const THEIRS: &str = r#"
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: { name: theirs }
spec:
  acme:
    server: https://ca.theirs.example/directory
    privateKeySecretRef: { name: account }
    solvers: [{ http01: { ingress: { ingressClassName: nginx } } }]
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: { name: theirs, namespace: default }
spec:
  secretName: theirs-tls
  dnsNames: [www.theirs.example]
  renewBefore: 360h0m0s
  keystores: { jks: { create: true } }
  issuerRef: { name: theirs, kind: ClusterIssuer }
"#;

/// Runs the plugin through kubectl, which finds it on the PATH.
pub async fn sancho(world: &World, args: &[&str]) -> Output {
    sancho_with(world, &world.cluster.kubeconfig_path(), &[], args).await
}

/// The same with another kubeconfig, and with these environment variables.
pub async fn sancho_with(
    world: &World,
    kubeconfig: &Path,
    variables: &[(&str, &str)],
    args: &[&str],
) -> Output {
    let ended = world.cluster.plugin(kubeconfig, variables, args).await;
    ended.unwrap()
}

/// What it prints, once its exit status is as expected.
pub fn said(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    format!("{out}{err}")
}

/// Waits until `kubectl sancho doctor` says all of this. Replicas that are no Pods are a finding, so that all is never fine.
pub async fn doctor_says(world: &World, parts: &[&str]) {
    let what = format!("kubectl sancho doctor to say {parts:?}");
    wait_for(&what, Duration::from_secs(90), &[], async || {
        let doctor = said(&sancho(world, &["doctor"]).await, 1);
        let missing = parts.iter().find(|part| !doctor.contains(**part));
        ensure!(missing.is_none(), "no {missing:?} in:\n{doctor}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[tokio::test]
async fn the_plugin_tells_what_is_ready_what_is_not_and_who_serves_a_host() {
    let pebble = PebbleOptions {
        blocked_domains: vec!["blocked-domain.example".into()],
        ..PebbleOptions::default()
    };
    let ca = CaOptions {
        pebble,
        ..CaOptions::default()
    };
    let world = world(1, FAST, ca).await;
    let nothing = said(&sancho(&world, &["status"]).await, 1);
    has(&nothing, &["no Certificates here"]);
    let no_budget = said(&sancho(&world, &["budget"]).await, 1);
    has(&no_budget, &["no budget yet"]);

    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(5), 2).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    apply_certificate(&world, "bad", &["www.blocked-domain.example".into()], 2).await;
    not_ready(&world, "bad", "RejectedIdentifier", "").await;

    let tree = said(&sancho(&world, &["status", "shop"]).await, 0);
    has(
        &tree,
        &[
            "Certificate default/shop  Ready  5/5 names  ClusterIssuer ca",
            "├─ Secret shop-tls  Ready  2 names  expires in 89d",
            "└─ Secret shop-tls-2  Ready  1 names",
        ],
    );
    let all = said(&sancho(&world, &["status", "-A"]).await, 1);
    has(&all, &["NAMESPACE", "shop", "5/5", "RejectedIdentifier"]);
    let bad = said(&sancho(&world, &["status", "bad", "-n", "default"]).await, 1);
    has(&bad, &["not ready", "RejectedIdentifier", "tried again in"]);
    let retried = said(&sancho(&world, &["retry", "bad"]).await, 0);
    has(
        &retried,
        &["Certificate default/bad has what failed tried again now"],
    );
    wait_for(
        "the shard to know of it",
        Duration::from_secs(60),
        &[],
        async || {
            let is_told =
                |shard: &CertificateShard| shard.spec.certificate == "bad" && shard.spec.retry.is_some();
            Ok(shards(&world).await.iter().any(is_told).then_some(()))
        },
    )
    .await
    .unwrap();
    let watched = said(&sancho(&world, &["status", "shop", "--watch"]).await, 0);
    has(&watched, &["Certificate default/shop  Ready"]);

    let which = said(&sancho(&world, &["which", &names(5)[4]]).await, 0);
    has(&which, &["shop-tls-2", "89d"]);
    let unknown = said(&sancho(&world, &["which", "nobody.example"]).await, 1);
    has(&unknown, &["no Certificate has the name nobody.example"]);
    said(&sancho(&world, &["expiring"]).await, 0);
    let soon = said(&sancho(&world, &["expiring", "--within", "100d"]).await, 1);
    has(&soon, &["shop-tls-1"]);

    let budget = said(&sancho(&world, &["budget", "ca"]).await, 0);
    has(
        &budget,
        &[
            "ClusterIssuers: ca",
            "40 requests a second, burst 10, 16 in flight",
            "slot 0: ",
        ],
    );
    let json = said(&sancho(&world, &["status", "shop", "-o", "json"]).await, 0);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["shards"][2]["secret"], "shop-tls-2");

    // The replicas here are plain processes and not Pods, and one Certificate is bad.
    let doctor = said(&sancho(&world, &["doctor"]).await, 1);
    has(
        &doctor,
        &[
            "fine      CRDs: all 4 kinds are served",
            "fine      your rights: all 6",
            "fine      versions of the CRDs",
            "fine      clock",
            "broken    Certificate default/bad: RejectedIdentifier",
            "-> kubectl sancho status bad -n default",
            "broken    replicas in sancho-system: 0 of 3 are ready",
            "fine      ClusterIssuer ca: ready",
        ],
    );
    // That is told along with the next renewal of its slot.
    let origin = world.front().unwrap().origin();
    let reached =
        format!("fine      CA {origin} of ClusterIssuer ca: reached from the cluster: it answered last ");
    let clock = format!("fine      clock of replica {}-", world.replicas[0].name());
    doctor_says(&world, &[&reached, &clock]).await;

    // There is no cert-manager here; a file has what it would serve.
    let absent = said(&sancho(&world, &["import-from-cert-manager"]).await, 2);
    has(
        &absent,
        &["this cluster has no cert-manager: give its manifests by -f"],
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("theirs.yaml");
    std::fs::write(&file, THEIRS).unwrap();
    let import = ["import-from-cert-manager", "-f", file.to_str().unwrap()];
    let manifests = said(&sancho(&world, &import).await, 0);
    has(
        &manifests,
        &[
            "sancho.dev/adopt: 'true'",
            "# - spec.keystores.jks does not carry over",
        ],
    );
    world.cluster.apply_yaml(&manifests).await.unwrap();

    let missing = said(&sancho(&world, &["status", "nothing"]).await, 2);
    has(&missing, &["namespace default has no Certificate nothing", "-A"]);
    let no_issuer = said(&sancho(&world, &["budget", "nobody"]).await, 2);
    has(&no_issuer, &["there is no ClusterIssuer nobody"]);
    let context = said(&sancho(&world, &["status", "--context", "elsewhere"]).await, 2);
    has(&context, &["no cluster: check --kubeconfig"]);
}

#[tokio::test]
async fn who_may_edit_one_namespace_sees_and_plans_its_certificates() {
    let world = World::start(WorldOptions {
        // It puts the cluster's role together from ours.
        cluster: ClusterOptions {
            controller_manager: true,
            ..ClusterOptions::default()
        },
        replicas: 1,
        ..WorldOptions::default()
    })
    .await
    .unwrap();
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(5), 2).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    let role = "create rolebinding dev --clusterrole=edit --user=dev -n default";
    let role: Vec<&str> = role.split(' ').collect();
    world.cluster.kubectl(&role).await.unwrap();
    for right in [
        "create certificates.sancho.dev",
        "list certificateshards.sancho.dev",
    ] {
        let asked = format!("auth can-i {right} -n default --as=dev");
        let asked: Vec<&str> = asked.split(' ').collect();
        wait_for(right, Duration::from_secs(60), &[], async || {
            world.cluster.kubectl(&asked).await.map(Some)
        })
        .await
        .unwrap();
    }
    let config = world.dir().join("dev.kubeconfig");
    std::fs::write(&config, world.cluster.user_kubeconfig("dev", None).unwrap()).unwrap();
    let as_dev = async |args: &[&str], code| said(&sancho_with(&world, &config, &[], args).await, code);

    let yaml = as_dev(&["status", "shop", "-o", "yaml"], 0).await;
    let yaml: serde_json::Value = serde_yaml::from_str(&yaml).unwrap();
    assert_eq!(yaml[0]["readyNames"], 5, "{yaml}");
    assert_eq!(yaml[0]["shards"][2]["secret"], "shop-tls-2", "{yaml}");

    let file = world.dir().join("shop.yaml");
    std::fs::write(&file, certificate("shop", "ca", &names(6), 2).to_string()).unwrap();
    let plan = as_dev(&["plan", "-f", file.to_str().unwrap()], 0).await;
    has(
        &plan,
        &[
            "default/shop: 3 shards, 2 of them kept as they are",
            "1 orders, about 8 requests; how long they take is not known",
            "ClusterIssuer ca cannot be read. It is assumed to be there",
            "quotas that shards of other namespaces were told of are not known",
        ],
    );

    let doctor = as_dev(&["doctor", "-n", "default"], 1).await;
    has(
        &doctor,
        &[
            "fine      Certificates: 1 of 1 are ready",
            "doubtful  your rights: missing: list clusterissuers (budget, doctor), list leases in sancho-system",
            "doubtful  the operator's rights: not looked at",
        ],
    );
    assert!(!doctor.contains("broken"), "{doctor}");
    // Of other namespaces they may see nothing.
    let elsewhere = as_dev(&["doctor", "-n", "kube-system"], 1).await;
    has(
        &elsewhere,
        &[
            "broken    your rights: missing: list certificates in kube-system",
            "by -n",
        ],
    );
    as_dev(&["status", "-n", "kube-system"], 2).await;
}

#[tokio::test]
async fn the_plugin_renews_once_pauses_and_resumes() {
    let world = world(1, FAST, CaOptions::default()).await;
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &names(3), 2).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    let before = secrets(&world).await;

    let renewed = said(&sancho(&world, &["renew", "shop"]).await, 0);
    has(&renewed, &["Certificate default/shop is renewed now"]);
    orders_are(&world, &[2, 2]).await;
    let after = secrets(&world).await;
    for (secret, (names, chain)) in &before {
        assert_eq!(&after[secret].0, names);
        assert_ne!(&after[secret].1, chain, "{secret} was not renewed");
    }

    let revoke = ["revoke", "--secret", "shop-tls", "--reason", "superseded"];
    let meant = said(&sancho(&world, &revoke).await, 2);
    has(&meant, &["cannot be taken back", "--yes"]);
    let reasons = said(&sancho(&world, &["revoke", "shop", "--reason", "oops"]).await, 2);
    has(&reasons, &["keyCompromise, cACompromise"]);
    let strange = ["revoke", "--secret", "nobody", "--reason", "superseded", "--yes"];
    has(
        &said(&sancho(&world, &strange).await, 2),
        &["has no Secret nobody"],
    );
    let yes = [&revoke[..], &["--yes"]].concat();
    let revoked = said(&sancho(&world, &yes).await, 0);
    has(&revoked, &["Secret default/shop-tls has its certificate revoked"]);
    orders_are(&world, &[3, 2]).await;
    let annotate = said(
        &sancho(&world, &["revoke", "shop", "--reason", "keyCompromise", "--yes"]).await,
        0,
    );
    has(
        &annotate,
        &["Certificate default/shop has all its certificates revoked"],
    );
    orders_are(&world, &[4, 3]).await;

    let paused = said(&sancho(&world, &["pause", "shop"]).await, 0);
    has(&paused, &["is paused"]);
    let refused = said(&sancho(&world, &["renew", "shop"]).await, 2);
    has(&refused, &["kubectl sancho resume shop"]);
    // One finds room, one gets a shard of its own.
    apply_certificate(&world, "shop", &names(5), 2).await;
    wait_for("the pause to show", Duration::from_secs(60), &[], async || {
        let tree = said(&sancho(&world, &["status", "shop"]).await, 1);
        Ok(tree
            .contains("waits for the annotation sancho.dev/paused to be removed")
            .then_some(()))
    })
    .await
    .unwrap();
    said(&sancho(&world, &["resume", "shop"]).await, 0);
    ready(&world, "shop", Duration::from_secs(90)).await;
    // The renewal was not made again.
    orders_are(&world, &[4, 4, 1]).await;
}

/// Waits until each shard has had so many orders, and all of them are done.
async fn orders_are(world: &World, expected: &[u32]) {
    wait_for(
        "the orders to be done",
        Duration::from_secs(90),
        &[],
        async || {
            let shards = shards(world).await;
            let is_done = |shard: &CertificateShard| {
                let status = shard.status.as_ref();
                status.is_some_and(|status| status.order.is_none() && status.claim.is_none())
            };
            let counts: Vec<u32> = shards
                .iter()
                .map(|shard| {
                    shard
                        .status
                        .as_ref()
                        .and_then(|status| status.orders)
                        .unwrap_or_default()
                })
                .collect();
            Ok((counts == expected && shards.iter().all(is_done)).then_some(()))
        },
    )
    .await
    .unwrap();
}
