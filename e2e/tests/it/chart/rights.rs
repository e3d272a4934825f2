//! The rights that the chart gives are the ones that are needed.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use sancho_e2e::cluster::Cluster;
use sancho_e2e::replica::{NAMESPACE, RESPONDER_ACCOUNT, SERVICE_ACCOUNT};

/// Verb, resource (with its group and subresource), namespace; empty for all or none.
type Right = (&'static str, &'static str, &'static str);

/// What the operator needs wherever it looks at Certificates.
const NEEDED: [Right; 20] = [
    ("watch", "certificates.sancho.dev", "shop"),
    ("patch", "certificates.sancho.dev", "shop"),
    ("create", "certificates.sancho.dev", "shop"),
    ("delete", "certificates.sancho.dev", "shop"),
    ("get", "ingresses.networking.k8s.io", "shop"),
    ("watch", "ingresses.networking.k8s.io", "shop"),
    ("get", "gateways.gateway.networking.k8s.io", "shop"),
    ("watch", "gateways.gateway.networking.k8s.io", "shop"),
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
const NEEDED_AT_HOME: [Right; 8] = [
    ("update", "leases.coordination.k8s.io", NAMESPACE),
    ("watch", "leases.coordination.k8s.io", NAMESPACE),
    ("get", "secrets", NAMESPACE),
    ("create", "secrets", NAMESPACE),
    ("patch", "ingresses.networking.k8s.io", NAMESPACE),
    ("delete", "ingresses.networking.k8s.io", NAMESPACE),
    ("get", "httproutes.gateway.networking.k8s.io", NAMESPACE),
    ("create", "httproutes.gateway.networking.k8s.io", NAMESPACE),
];

/// What it must not have, wherever it looks.
const NEVER: [Right; 11] = [
    ("update", "certificates.sancho.dev", "shop"),
    ("update", "issuers.sancho.dev", "shop"),
    ("update", "clusterissuers.sancho.dev", ""),
    ("get", "leases.coordination.k8s.io", "shop"),
    ("delete", "leases.coordination.k8s.io", NAMESPACE),
    ("create", "pods", NAMESPACE),
    ("create", "ingresses.networking.k8s.io", "shop"),
    ("patch", "ingresses.networking.k8s.io", "shop"),
    ("update", "gateways.gateway.networking.k8s.io", "shop"),
    ("patch", "httproutes.gateway.networking.k8s.io", "shop"),
    ("update", "gateways.gateway.networking.k8s.io", NAMESPACE),
];

/// What the responder needs, and all that it may.
const RESPONDER: [Right; 3] = [
    ("watch", "certificateshards.sancho.dev", "shop"),
    ("list", "issuers.sancho.dev", "shop"),
    ("watch", "clusterissuers.sancho.dev", ""),
];

/// What is not for the responder.
const NOT_THE_RESPONDERS: [Right; 8] = [
    ("get", "secrets", "shop"),
    ("watch", "secrets", "shop"),
    ("get", "secrets", NAMESPACE),
    ("create", "secrets", NAMESPACE),
    ("update", "certificateshards.sancho.dev/status", "shop"),
    ("watch", "certificates.sancho.dev", "shop"),
    ("get", "leases.coordination.k8s.io", NAMESPACE),
    ("create", "events.events.k8s.io", "shop"),
];

/// The operator's rights are the ones that it needs, wherever Certificates are looked at.
pub async fn needed_everywhere(cluster: &Cluster) {
    let client = cluster.client();
    for right in NEEDED.iter().chain(&NEEDED_AT_HOME) {
        assert!(may(&client, SERVICE_ACCOUNT, right).await, "{right:?} is needed");
    }
}

/// The operator has no rights that it does not need.
pub async fn no_more_than_needed(cluster: &Cluster) {
    let client = cluster.client();
    for right in &NEVER {
        assert!(
            !may(&client, SERVICE_ACCOUNT, right).await,
            "{right:?} must not be given"
        );
    }
}

/// Outside `shop` and its own namespace the operator can do nothing, and the responder neither.
pub async fn nothing_elsewhere(cluster: &Cluster) {
    let client = cluster.client();
    let of_operator = NEEDED.iter().map(|right| (SERVICE_ACCOUNT, right));
    let of_responder = RESPONDER.iter().map(|right| (RESPONDER_ACCOUNT, right));
    for (account, (verb, resource, namespace)) in of_operator.chain(of_responder) {
        if *namespace == "shop" {
            for elsewhere in ["", "bank", NAMESPACE] {
                let right = (*verb, *resource, elsewhere);
                let may = may(&client, account, &right).await;
                assert!(!may, "{account}: {right:?} must not be given");
            }
        }
    }
    // At home the account keys of ClusterIssuers are read and made, never changed.
    assert!(!may(&client, SERVICE_ACCOUNT, &("update", "secrets", NAMESPACE)).await);
}

/// The responder sees tokens and thumbprints, and nothing else.
pub async fn the_responder_sees_no_secret(cluster: &Cluster) {
    let client = cluster.client();
    for right in &RESPONDER {
        assert!(
            may(&client, RESPONDER_ACCOUNT, right).await,
            "{right:?} is needed"
        );
    }
    for right in NOT_THE_RESPONDERS.iter().chain(&NEVER) {
        let may = may(&client, RESPONDER_ACCOUNT, right).await;
        assert!(!may, "{right:?} must not be given");
    }
}

/// Whether a service account of Sancho's may do it.
async fn may(client: &Client, account: &str, (verb, resource, namespace): &Right) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{NAMESPACE}:{account}")),
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
