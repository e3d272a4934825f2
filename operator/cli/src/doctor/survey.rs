//! Asks the API server for all that the checks look at. What may not be read is told as such.

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, PostParams};
use kube::client::Body;
use kube::{Api, Client};
use sancho_crds::{Certificate, CertificateShard, ClusterIssuer, GROUP, Issuer, VERSION};

use crate::cluster::{Cluster, Scope};

/// Something that one may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// Such as `list`.
    pub verb: &'static str,
    /// The API group; empty for the core.
    pub group: &'static str,
    /// Such as `certificates`, or `certificates/status`.
    pub resource: &'static str,
    /// In the operator's namespace only.
    pub beside_operator: bool,
    /// What it is for.
    pub why: &'static str,
}

const fn right(verb: &'static str, resource: &'static str, why: &'static str) -> Right {
    Right {
        verb,
        group: GROUP,
        resource,
        beside_operator: false,
        why,
    }
}

/// What the plugin's commands need.
const OF_USER: [Right; 6] = [
    right("list", "certificates", "status, doctor"),
    right("list", "certificateshards", "status, which, expiring, doctor"),
    right("list", "issuers", "doctor"),
    right("list", "clusterissuers", "budget, doctor"),
    right("patch", "certificates", "renew, retry, pause, resume"),
    Right {
        verb: "list",
        group: "coordination.k8s.io",
        resource: "leases",
        beside_operator: true,
        why: "budget, doctor",
    },
];

/// What the operator cannot do without.
const OF_OPERATOR: [Right; 8] = [
    right("watch", "certificates", "to see what is asked for"),
    right("watch", "clusterissuers", "to see the CAs"),
    right("update", "certificates/status", "to plan"),
    right("create", "certificateshards", "to plan"),
    right("update", "certificateshards/status", "to record orders"),
    Right {
        group: "",
        ..right("create", "secrets", "to write certificates")
    },
    Right {
        group: "events.k8s.io",
        ..right("create", "events", "to tell what happens")
    },
    Right {
        verb: "update",
        group: "coordination.k8s.io",
        resource: "leases",
        beside_operator: true,
        why: "to share the budget",
    },
];

/// What the operator cannot write routes of challenges without.
const OF_ROUTES: [Right; 2] = [
    Right {
        group: "networking.k8s.io",
        beside_operator: true,
        ..right("create", "ingresses", "for solvers with ingress")
    },
    Right {
        group: "gateway.networking.k8s.io",
        beside_operator: true,
        ..right("create", "httproutes", "for solvers with gatewayHTTPRoute")
    },
];

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

/// What is known of an installation. `Err` holds the API server's words where it did not let itself be asked.
pub struct Facts {
    /// The operator's namespace.
    pub operator_namespace: String,
    /// The kinds that the API server serves; none if the group is unknown.
    pub kinds: Vec<String>,
    /// The CustomResourceDefinitions of the group.
    pub crds: Result<Vec<CustomResourceDefinition>>,
    /// The user's rights.
    pub user: Result<Vec<(Right, bool)>>,
    /// Those of the operator's service account.
    pub operator: Result<Vec<(Right, bool)>>,
    /// The rights of the operator's service account to write routes of challenges.
    pub routes: Result<Vec<(Right, bool)>>,
    /// Does the API server serve HTTPRoutes?
    pub has_http_routes: Result<bool>,
    /// The operator's Deployments.
    pub deployments: Result<Vec<Deployment>>,
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
    let account = format!("system:serviceaccount:{operator_namespace}:sancho");
    Ok(Facts {
        operator_namespace: operator_namespace.to_owned(),
        kinds,
        crds: crds(client).await,
        user: rights(client, &OF_USER, None, operator_namespace).await,
        operator: rights(client, &OF_OPERATOR, Some(&account), operator_namespace).await,
        routes: rights(client, &OF_ROUTES, Some(&account), operator_namespace).await,
        has_http_routes: of_gateways.map(|kinds| kinds.iter().any(|kind| kind == "HTTPRoute")),
        deployments: deployments(client, operator_namespace).await,
        leases: cluster.budget_leases(operator_namespace).await,
        cluster_issuers: cluster.cluster_issuers(None).await,
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
    let label = "app.kubernetes.io/name=sancho,app.kubernetes.io/component=operator";
    Ok(api.list(&ListParams::default().labels(label)).await?.items)
}

/// Which of `rights` one's own account has, or the one that is named.
async fn rights(
    client: &Client,
    rights: &[Right],
    account: Option<&str>,
    operator_namespace: &str,
) -> Result<Vec<(Right, bool)>> {
    let mut known = Vec::new();
    for right in rights {
        let (resource, subresource) = match right.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (right.resource, None),
        };
        let attributes = ResourceAttributes {
            verb: Some(right.verb.into()),
            group: Some(right.group.into()),
            resource: Some(resource.into()),
            subresource,
            namespace: right.beside_operator.then(|| operator_namespace.to_owned()),
            ..ResourceAttributes::default()
        };
        let status = match account {
            None => {
                let review = SelfSubjectAccessReview {
                    spec: SelfSubjectAccessReviewSpec {
                        resource_attributes: Some(attributes),
                        ..SelfSubjectAccessReviewSpec::default()
                    },
                    ..SelfSubjectAccessReview::default()
                };
                let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
                api.create(&PostParams::default(), &review).await?.status
            }
            Some(account) => {
                let review = SubjectAccessReview {
                    spec: SubjectAccessReviewSpec {
                        user: Some(account.into()),
                        resource_attributes: Some(attributes),
                        ..SubjectAccessReviewSpec::default()
                    },
                    ..SubjectAccessReview::default()
                };
                let api: Api<SubjectAccessReview> = Api::all(client.clone());
                api.create(&PostParams::default(), &review).await?.status
            }
        };
        let status = status.ok_or_else(|| anyhow!("the API server answered no review"))?;
        known.push((*right, status.allowed));
    }
    Ok(known)
}
