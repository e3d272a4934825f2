//! With `watchNamespaces` and a responder of its own: real processes under the chart's accounts.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_crds::{Certificate, CertificateShard};
use serde_json::json;

use sancho_e2e::cluster::Cluster;
use sancho_e2e::manifests::{certificate, cluster_issuer, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::{NAMESPACE, Part, RESPONDER_ACCOUNT, Replica, ReplicaOptions, SERVICE_ACCOUNT};
use sancho_e2e::world::{World, WorldOptions};

use super::helm;
use super::rights::{
    doctor_asks_for_the_same, needed_everywhere, needed_without_routes, no_more_than_needed,
    nothing_elsewhere, the_responder_sees_no_secret,
};
use crate::plugin::{said, sancho};
use crate::stories::{FAST, apply_issuer, is_ready};

#[tokio::test]
async fn only_the_given_namespaces_are_served_and_the_responder_reads_no_secret() {
    let mut world = installed().await;
    needed_everywhere(&world.cluster).await;
    no_more_than_needed(&world.cluster).await;
    nothing_elsewhere(&world.cluster).await;
    the_responder_sees_no_secret(&world.cluster).await;
    doctor_tells_all_that_is_missing(&world).await;

    let mut responder = with_replicas(&mut world).await;
    apply_issuer(&world, FAST).await;
    // The one in the other namespace is there first.
    for namespace in ["bank", "shop"] {
        let mut wanted = certificate("web", "ca", &names(3), 20);
        wanted["metadata"]["namespace"] = namespace.into();
        world.cluster.apply_yaml(&wanted.to_string()).await.unwrap();
    }
    let certificates =
        |namespace: &str| -> Api<Certificate> { Api::namespaced(world.cluster.client(), namespace) };
    wait_for(
        "the Certificate in the watched namespace to be ready",
        Duration::from_secs(90),
        &[responder.process()],
        async || Ok(is_ready(&certificates("shop").get("web").await?).then_some(())),
    )
    .await
    .unwrap();
    // Nobody else was asked: the router leads to the responder alone.
    assert!(world.router.answered() >= 3, "{}", world.router.answered());
    let shards: Api<CertificateShard> = Api::all(world.cluster.client());
    let shards = shards.list(&Default::default()).await.unwrap();
    assert!(
        shards
            .iter()
            .all(|shard| shard.metadata.namespace.as_deref() == Some("shop"))
    );
    let status = certificates("bank").get("web").await.unwrap().status.unwrap();
    assert_eq!(status.observed_generation, Some(-1));

    for (account, namespace) in [
        (RESPONDER_ACCOUNT, "shop"),
        (RESPONDER_ACCOUNT, NAMESPACE),
        (SERVICE_ACCOUNT, "bank"),
    ] {
        assert_eq!(
            secrets_code(&world.cluster, account, namespace).await,
            403,
            "{account}"
        );
    }

    // Rights in one namespace are all that the operator needs then.
    let doctor = said(&sancho(&world, &["doctor"]).await, 1);
    let all = needed_without_routes();
    let fine = format!("fine      the operator's rights: all {all} that are needed");
    let responders = "broken    responders in sancho-system: 0 of ";
    for finding in [fine.as_str(), responders] {
        assert!(doctor.contains(finding), "no {finding} in {doctor}");
    }

    without_an_api_server(&world, &mut responder).await;
    responder.process().terminate().unwrap();
    let ended = responder
        .process()
        .wait_exit(Duration::from_secs(30))
        .await
        .unwrap();
    assert!(ended.success(), "{ended}");
}

/// For once the operator's Deployment names an account that has none, and an issuer asks for routes of both kinds.
async fn doctor_tells_all_that_is_missing(world: &World) {
    let kubectl = async |command: &str| {
        let words: Vec<&str> = command.split(' ').collect();
        world.cluster.kubectl(&words).await.unwrap();
    };
    let mut issuer = cluster_issuer("routed", "https://ca.example", "", FAST);
    let gateway = json!({ "parentRefs": [{ "name": "front", "namespace": "infra" }] });
    issuer["spec"]["acme"]["solvers"] = json!([
        { "http01": { "ingress": {} } },
        { "http01": { "gatewayHTTPRoute": gateway } },
    ]);
    issuer["spec"]["acme"].as_object_mut().unwrap().remove("caBundle");
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
    kubectl(&format!(
        "set serviceaccount deployment sancho nobody -n {NAMESPACE}"
    ))
    .await;
    let doctor = sancho(world, &["doctor", "-o", "json"]).await;
    let findings: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    doctor_asks_for_the_same(&findings);
    // Nothing runs yet, and nobody routes.
    let found = |about: &str| {
        let mut all = findings.as_array().unwrap().iter();
        let finding = all.find(|finding| finding["about"] == about).cloned();
        assert!(finding.is_some(), "nothing about {about} in {findings}");
        finding.unwrap()
    };
    let class = found("default IngressClass for ClusterIssuer routed");
    assert_eq!(class["weight"], "Doubtful", "{class}");
    let service = found(&format!("Service sancho-responder in {NAMESPACE}"));
    assert_eq!(service["weight"], "Broken", "{service}");
    kubectl(&format!(
        "set serviceaccount deployment sancho {SERVICE_ACCOUNT} -n {NAMESPACE}"
    ))
    .await;
    kubectl("delete clusterissuers.sancho.dev routed").await;
}

/// All stay alive; who has seen everything stays ready, and who has not does not become it.
async fn without_an_api_server(world: &World, responder: &mut Replica) {
    world.cluster.apiserver().kill();
    for process in world.replicas.iter().chain([&*responder]) {
        assert_eq!(process.probe("/livez").await.unwrap(), 200, "{}", process.name());
        assert_eq!(process.probe("/readyz").await.unwrap(), 200, "{}", process.name());
    }
    responder.restart().await.unwrap();
    wait_for(
        "the new process to be alive",
        Duration::from_secs(30),
        &[responder.process()],
        async || Ok((responder.probe("/livez").await? == 200).then_some(())),
    )
    .await
    .unwrap();
    assert_eq!(responder.probe("/readyz").await.unwrap(), 503);
}

async fn installed() -> World {
    let world = World::start(WorldOptions {
        manifests: false,
        replicas: 0,
        ..WorldOptions::default()
    })
    .await
    .unwrap();
    for namespace in ["shop", "bank"] {
        let create = ["create", "namespace", namespace];
        world.cluster.kubectl(&create).await.unwrap();
    }
    let values = json!({ "watchNamespaces": ["shop"], "responder": { "enabled": true } });
    helm(&world.cluster, world.dir(), "install", &values)
        .await
        .unwrap();
    world
}

/// Starts two replicas and a responder as the chart's Deployments say, and routes to the latter alone.
async fn with_replicas(world: &mut World) -> Replica {
    let flags = deployment_flags(&world.cluster, "sancho").await;
    for _ in 0..2 {
        let options = ReplicaOptions {
            flags: flags.clone(),
            ..ReplicaOptions::default()
        };
        world.add_replica(options).await.unwrap();
    }
    let options = ReplicaOptions {
        part: Part::Responder,
        flags: deployment_flags(&world.cluster, "sancho-responder").await,
        ..ReplicaOptions::default()
    };
    let dir = world.dir().join("responder");
    let responder = Replica::start(
        "sancho-responder-0",
        &world.cluster,
        &dir,
        &world.log_dir(),
        options,
    )
    .await
    .unwrap();
    world.router.set_responders(vec![responder.responder()]);
    responder.ready().await.unwrap();
    for replica in &world.replicas {
        replica.ready().await.unwrap();
    }
    responder
}

/// A Deployment's flags, but for the addresses, which are the test's own.
async fn deployment_flags(cluster: &Cluster, name: &str) -> Vec<String> {
    let path = "jsonpath={.spec.template.spec.containers[0].args}";
    let args = cluster
        .kubectl(&["get", "deployment", name, "-n", NAMESPACE, "-o", path])
        .await
        .unwrap();
    let args: Vec<String> = serde_json::from_str(&args).unwrap();
    let rest = args.iter().position(|arg| arg == "--watch-namespaces").unwrap();
    assert_eq!(args[rest..rest + 2], ["--watch-namespaces", "shop"]);
    args[rest..].to_vec()
}

/// The HTTP status with which the API server answers when the account lists Secrets; 0 for no answer.
async fn secrets_code(cluster: &Cluster, account: &str, namespace: &str) -> u16 {
    let kubeconfig = cluster.service_account_kubeconfig(NAMESPACE, account, None).await;
    let client = cluster.client_of(&kubeconfig.unwrap()).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    match secrets.list(&Default::default()).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(_) => 0,
    }
}
