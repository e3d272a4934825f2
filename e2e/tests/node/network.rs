//! The chart's NetworkPolicies, enforced: who gets in, and what gets out.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use sancho_crds::{ClusterIssuer, condition};
use sancho_e2e::manifests::cluster_issuer;
use sancho_e2e::node::NODE_ADDRESS;
use sancho_e2e::process::wait_for;
use serde_json::{Value, json};

use super::ground::{ASKER_IMAGE, BORNE, DNS_PORT, Ground, HEALTH_PORT, LET_IN, NOT_LET_IN, address};
use super::people;

/// How long a policy may take to be in force, and a Pod to run.
const PATIENCE: Duration = Duration::from_secs(60);

/// The port at which challenges are answered.
const CHALLENGES: u16 = 8080;

/// The issuer of the CA that no policy leads to at first.
const OTHER: &str = "other";

/// Values for the chart: its policies, which lead to the CA, the API server and DNS, and not to port 80 of the names.
pub fn policies(ground: &Ground) -> Value {
    values(ground, &[port_of(&ground.front.origin())])
}

/// Policies that lead to a CA at each of these ports.
fn values(ground: &Ground, cas: &[u16]) -> Value {
    let api_server = port_of(ground.cluster.server());
    let mut ports: Vec<Value> = cas
        .iter()
        .chain([&api_server])
        .map(|port| json!({ "port": port }))
        .collect();
    for protocol in ["UDP", "TCP"] {
        ports.push(json!({ "port": DNS_PORT, "protocol": protocol }));
    }
    let from = json!([{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": LET_IN } } }]);
    json!({
        // So that the Pods are replaced.
        "podAnnotations": { "example.com/revision": "2" },
        "networkPolicy": {
            "enabled": true,
            "challengesFrom": from,
            "metricsFrom": from,
            "egress": [{ "to": [{ "ipBlock": { "cidr": format!("{NODE_ADDRESS}/32") } }], "ports": ports }],
        },
    })
}

pub async fn anybody_gets_in_without_a_policy(ground: &Ground) {
    for namespace in [LET_IN, NOT_LET_IN] {
        ground
            .cluster
            .kubectl(&["create", "namespace", namespace])
            .await
            .unwrap();
    }
    let operator = one(ground, "operator").await;
    gets_in(ground, NOT_LET_IN, operator, HEALTH_PORT, "/metrics").await;
    ground.say("without a NetworkPolicy any Pod reads a replica's metrics");
}

pub async fn only_those_get_in_whom_the_policies_name(ground: &Ground) {
    let (operator, responder) = (one(ground, "operator").await, one(ground, "responder").await);
    let challenge = "/.well-known/acme-challenge/none";
    gets_in(ground, LET_IN, operator, HEALTH_PORT, "/metrics").await;
    gets_in(ground, LET_IN, responder, CHALLENGES, challenge).await;
    stays_out(ground, NOT_LET_IN, operator, HEALTH_PORT, "/metrics").await;
    stays_out(ground, NOT_LET_IN, responder, CHALLENGES, challenge).await;
    // The responder answers for the replicas.
    stays_out(ground, LET_IN, operator, CHALLENGES, challenge).await;
    ground.say("with the chart's NetworkPolicies those alone get in whom they name");
}

/// A CA at a port that the policies do not name is not reached, which its issuer and doctor tell; once they do, it is.
pub async fn only_what_the_policies_name_gets_out(ground: &Ground) {
    let front = &ground.other_front;
    let issuer = cluster_issuer(OTHER, &front.directory_url(), front.ca_pem(), BORNE);
    ground.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
    let told = readiness(ground, "False").await;
    assert_eq!(front.log().arrivals.len(), 0, "{told}");
    people::doctor_finds(ground, &format!("ClusterIssuer {OTHER}: {told}")).await;
    let ports = [&ground.front, front].map(|front| port_of(&front.origin()));
    ground.helm("upgrade", &values(ground, &ports)).await.unwrap();
    readiness(ground, "True").await;
    ground.say(&format!(
        "a CA that they do not name is not reached ({told}), and is once they do"
    ));
}

/// Waits until the other CA's issuer is ready or not, and gives what it says.
async fn readiness(ground: &Ground, wanted: &str) -> String {
    let issuers: Api<ClusterIssuer> = Api::all(ground.cluster.client());
    wait_for("the other CA's issuer", PATIENCE * 2, &[], async || {
        let status = issuers.get(OTHER).await?.status.context("no status")?;
        let ready = condition(&status.conditions, "Ready").context("no condition")?;
        Ok((ready.status == wanted).then(|| format!("{}: {}", ready.reason, ready.message)))
    })
    .await
    .unwrap()
}

/// The address of one Pod of a component.
async fn one(ground: &Ground, component: &str) -> Ipv4Addr {
    let pods = ground.pods(component).await.unwrap();
    address(&pods[0]).unwrap()
}

async fn gets_in(ground: &Ground, from: &str, to: Ipv4Addr, port: u16, path: &str) {
    // A policy knows a Pod some time after it has its address.
    wait_for("a Pod to get in", PATIENCE, &[], async || {
        let answer = ask(ground, from, to, port, path).await?;
        anyhow::ensure!(answer == Answer::Came, "{answer:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

async fn stays_out(ground: &Ground, from: &str, to: Ipv4Addr, port: u16, path: &str) {
    wait_for("a Pod to stay out", PATIENCE, &[], async || {
        let answer = ask(ground, from, to, port, path).await?;
        anyhow::ensure!(answer == Answer::NoConnection, "{answer:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// What comes of a Pod's request.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Whatever it is.
    Came,
    /// None came, since there was no connection.
    NoConnection,
}

/// Has a Pod in the namespace `from` ask this port for `path` by HTTP.
async fn ask(ground: &Ground, from: &str, to: Ipv4Addr, port: u16, path: &str) -> Result<Answer> {
    let pods: Api<Pod> = Api::namespaced(ground.cluster.client(), from);
    let pod = json!({
        "metadata": { "generateName": "asker-" },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "asker",
                "image": ASKER_IMAGE,
                "imagePullPolicy": "Never",
                "args": [format!("--server=http://{to}:{port}"), "--request-timeout=3s", "get", "--raw", path],
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }],
        },
    });
    let pod = pods
        .create(&PostParams::default(), &serde_json::from_value(pod)?)
        .await?
        .name_any();
    let ended = wait_for("a Pod to have asked", PATIENCE, &[], async || {
        Ok(ended(&pods.get(&pod).await?))
    })
    .await;
    pods.delete(&pod, &DeleteParams::default()).await?;
    let (code, said) = ended?;
    if code == 0 || said.contains("(NotFound)") {
        return Ok(Answer::Came);
    }
    let is_cut = ["was refused", "i/o timeout", "Client.Timeout", "context deadline"]
        .iter()
        .any(|word| said.contains(word));
    anyhow::ensure!(is_cut, "it ended with {code}: {said}");
    Ok(Answer::NoConnection)
}

/// The exit status of a Pod's container, and the last it said if that is not 0.
fn ended(pod: &Pod) -> Option<(i32, String)> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ended = statuses.first()?.state.as_ref()?.terminated.as_ref()?;
    Some((ended.exit_code, ended.message.clone().unwrap_or_default()))
}

/// The port of `https://HOST:PORT`.
fn port_of(origin: &str) -> u16 {
    origin.rsplit_once(':').unwrap().1.parse().unwrap()
}
