//! Asks the API server for all that the checks look at. What may not be read is told as such.

mod ways;

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::client::Body;
use kube::{Api, Client, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, ClusterIssuer, GROUP, Issuer, VERSION};

pub use self::ways::Ways;
use super::deployed;
use super::rights::{Held, Namespaces, OF_USER, Who, held, of_operator, of_routes};
use crate::cluster::{Cluster, Scope};

/// What the chart marks its Deployments with.
const DEPLOYED: &str = "app.kubernetes.io/name=sancho,app.kubernetes.io/component in (operator,responder)";
/// What it marks the operator's Pods with.
const OPERATOR: &str = "app.kubernetes.io/name=sancho,app.kubernetes.io/component=operator";
/// Where each kubelet renews a Lease of its node's name.
const NODE_LEASES: &str = "kube-node-lease";

/// The API server's clock, read between two looks at one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Before it was asked.
    pub before: Timestamp,
    /// What it said, to the second.
    pub server: Timestamp,
    /// Once it had answered.
    pub after: Timestamp,
}

/// A node with replicas.
pub struct Node {
    /// Its name.
    pub name: String,
    /// The replicas' Pods there.
    pub pods: Vec<String>,
    /// The Lease that its kubelet renews, if there is one.
    pub lease: Option<Lease>,
}

/// What is known of an installation. `Err` holds the API server's words where it did not let itself be asked.
pub struct Facts {
    /// The operator's namespace.
    pub operator_namespace: String,
    /// The kinds that the API server serves; none if the group is unknown.
    pub kinds: Vec<String>,
    /// The CustomResourceDefinitions of the group.
    pub crds: Result<Vec<CustomResourceDefinition>>,
    /// The user's rights, where the command looks.
    pub user: Result<Vec<Held>>,
    /// Those of the operator's service account, where its Deployments have it look; everywhere if they cannot be read.
    pub operator: Result<Vec<Held>>,
    /// The rights of the operator's service account to write routes of challenges.
    pub routes: Result<Vec<Held>>,
    /// Does the API server serve HTTPRoutes?
    pub has_http_routes: Result<bool>,
    /// The operator's Deployments.
    pub deployments: Result<Vec<Deployment>>,
    /// Those of responders of their own; none if Deployments cannot be read.
    pub responders: Vec<Deployment>,
    /// What challenges go through.
    pub ways: Ways,
    /// The nodes that the replicas run on.
    pub nodes: Result<Vec<Node>>,
    /// The budgets.
    pub leases: Result<Vec<Lease>>,
    /// ClusterIssuers.
    pub cluster_issuers: Result<Vec<ClusterIssuer>>,
    /// Issuers.
    pub issuers: Result<Vec<Issuer>>,
    /// Certificates.
    pub certificates: Result<Vec<Certificate>>,
    /// Shards.
    pub shards: Result<Vec<CertificateShard>>,
    /// The clocks; absent if the answer had no date.
    pub clocks: Option<Clocks>,
}

/// Asks for all of it: Certificates and Issuers in `scope`.
///
/// # Errors
/// When the API server cannot be reached.
pub async fn survey(cluster: &Cluster, scope: &Scope, operator_namespace: &str) -> Result<Facts> {
    let client = cluster.client();
    let clocks = clocks(client).await?;
    let kinds = served_kinds(client, &format!("{GROUP}/{VERSION}")).await?;
    let of_gateways = served_kinds(client, "gateway.networking.k8s.io/v1").await;
    let (deployments, responders) = match deployments(client, operator_namespace).await {
        Ok(all) => {
            let (responders, own): (Vec<Deployment>, Vec<Deployment>) =
                all.into_iter().partition(deployed::is_of_responders);
            (Ok(own), responders)
        }
        Err(error) => (Err(error), Vec::new()),
    };
    let told = deployments.as_deref().unwrap_or_default();
    let account = Who::Account(deployed::account(told));
    let watched = deployed::watched(told);
    let its_places = Namespaces {
        operator: operator_namespace,
        looked_at: &watched,
    };
    let are_gateways_known = match &of_gateways {
        Ok(kinds) => kinds.iter().any(|kind| kind == "Gateway"),
        Err(_) => true,
    };
    let service = deployed::service(told);
    let ways = ways::ways(client, operator_namespace, service, are_gateways_known).await;
    let its_rights = of_operator(deployed::reads_annotations(told));
    let own_places = Namespaces {
        operator: operator_namespace,
        looked_at: match scope {
            Scope::All => &[],
            Scope::Namespace(namespace) => std::slice::from_ref(namespace),
        },
    };
    Ok(Facts {
        operator_namespace: operator_namespace.to_owned(),
        kinds,
        crds: crds(client).await,
        user: held(client, &OF_USER, Who::User, own_places).await,
        operator: held(client, &its_rights, account, its_places).await,
        routes: held(client, &of_routes(), account, its_places).await,
        has_http_routes: of_gateways.map(|kinds| kinds.iter().any(|kind| kind == "HTTPRoute")),
        deployments,
        responders,
        ways,
        nodes: nodes(client, operator_namespace).await,
        leases: cluster.budget_leases(operator_namespace).await,
        cluster_issuers: cluster.cluster_issuers().await,
        issuers: cluster.issuers(scope).await,
        certificates: cluster.certificates(scope, None).await,
        shards: cluster.shards(scope).await,
        clocks,
    })
}

/// The kinds of a version of a group that the API server serves; none if it knows no such group.
async fn served_kinds(client: &Client, group_version: &str) -> Result<Vec<String>> {
    match client.list_api_group_resources(group_version).await {
        Ok(served) => Ok(served
            .resources
            .into_iter()
            .map(|resource| resource.kind)
            .collect()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

async fn clocks(client: &Client) -> Result<Option<Clocks>> {
    let request = http::Request::get("/version").body(Body::empty())?;
    let before = Timestamp::now();
    let answer = client.send(request).await?;
    let after = Timestamp::now();
    let date = answer.headers().get(http::header::DATE);
    let server = date
        .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok())
        .and_then(|date| Timestamp::try_from(date).ok());
    Ok(server.map(|server| Clocks {
        before,
        server,
        after,
    }))
}

async fn crds(client: &Client) -> Result<Vec<CustomResourceDefinition>> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut found = api.list(&ListParams::default()).await?.items;
    found.retain(|crd| crd.spec.group == GROUP);
    Ok(found)
}

async fn deployments(client: &Client, namespace: &str) -> Result<Vec<Deployment>> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    Ok(api.list(&ListParams::default().labels(DEPLOYED)).await?.items)
}

async fn nodes(client: &Client, namespace: &str) -> Result<Vec<Node>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let leases: Api<Lease> = Api::namespaced(client.clone(), NODE_LEASES);
    let mut pods_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in pods.list(&ListParams::default().labels(OPERATOR)).await? {
        let name = pod.name_any();
        // One that waits for a node has none.
        if let Some(node) = pod.spec.and_then(|spec| spec.node_name) {
            pods_of.entry(node).or_default().push(name);
        }
    }
    let mut nodes = Vec::new();
    for (name, pods) in pods_of {
        let lease = leases.get_opt(&name).await?;
        nodes.push(Node { name, pods, lease });
    }
    Ok(nodes)
}
