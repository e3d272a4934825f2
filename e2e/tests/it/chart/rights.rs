//! The rights that the chart gives are the ones that are needed, and `kubectl sancho doctor` asks for the same.

use std::collections::BTreeSet;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use sancho_e2e::cluster::Cluster;
use sancho_e2e::replica::{NAMESPACE, RESPONDER_ACCOUNT, SERVICE_ACCOUNT};
use serde_json::Value;

/// Verbs, separated by spaces; resource (with its group and subresource); namespace, empty for all or none.
type Right = (&'static str, &'static str, &'static str);

/// What the operator needs wherever it looks at Certificates.
const NEEDED: [Right; 16] = [
    (
        "get list watch create patch delete",
        "certificates.sancho.dev",
        "shop",
    ),
    ("get list watch", "ingresses.networking.k8s.io", "shop"),
    ("get list watch", "gateways.gateway.networking.k8s.io", "shop"),
    ("update", "certificates.sancho.dev/status", "shop"),
    ("update", "certificates.sancho.dev/finalizers", "shop"),
    (
        "get list watch create update delete",
        "certificateshards.sancho.dev",
        "shop",
    ),
    ("update", "certificateshards.sancho.dev/status", "shop"),
    ("update", "certificateshards.sancho.dev/finalizers", "shop"),
    ("get list watch", "issuers.sancho.dev", "shop"),
    ("update", "issuers.sancho.dev/status", "shop"),
    ("get list watch", "clusterissuers.sancho.dev", ""),
    ("update", "clusterissuers.sancho.dev/status", ""),
    ("get list watch create patch delete", "secrets", "shop"),
    ("create", "events.events.k8s.io", "shop"),
    ("create", "events.events.k8s.io", "default"),
    (
        "get list watch create update",
        "leases.coordination.k8s.io",
        NAMESPACE,
    ),
];

/// What it needs in its own namespace alone, where it may do less than in others.
const NEEDED_AT_HOME: [Right; 3] = [
    ("get create", "secrets", NAMESPACE),
    (
        "list create patch delete",
        "ingresses.networking.k8s.io",
        NAMESPACE,
    ),
    (
        "get list create patch delete",
        "httproutes.gateway.networking.k8s.io",
        NAMESPACE,
    ),
];

/// What doctor says of the rights to write routes is about this.
const ROUTES: &str = "routes of challenges";

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
    for right in needed() {
        assert!(may(&client, SERVICE_ACCOUNT, &right).await, "{right:?} is needed");
    }
}

/// What `kubectl sancho doctor` has found is missing for an account without any right: all that is needed, and nothing else.
pub fn doctor_asks_for_the_same(findings: &Value) {
    let found = findings.as_array().unwrap().iter();
    let missing: BTreeSet<String> = found
        .filter(|finding| finding["about"] == "the operator's rights" || finding["about"] == ROUTES)
        .filter_map(|finding| finding["found"].as_str()?.strip_prefix("missing: "))
        .flat_map(|list| list.split("), "))
        .flat_map(single)
        .collect();
    let asked: BTreeSet<String> = needed().into_iter().map(in_words).collect();
    assert_eq!(missing, asked);
}

/// `get, list certificates in shop (what it is for` for each verb by itself, without the reason.
fn single(words: &str) -> Vec<String> {
    let (words, _why) = words.split_once(" (").unwrap();
    let verbs = words.matches(", ").count() + 1;
    let what: Vec<&str> = words.splitn(verbs + 1, ' ').collect();
    let (verbs, what) = what.split_at(verbs);
    let each = verbs.iter().map(|verb| verb.trim_end_matches(','));
    each.map(|verb| format!("{verb} {}", what[0])).collect()
}

/// As doctor says it, which leaves groups out.
fn in_words((verb, resource, namespace): Right) -> String {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, format!("/{subresource}")),
        None => (resource, String::new()),
    };
    let resource = resource.split('.').next().unwrap();
    let place = match namespace {
        "" => String::new(),
        namespace => format!(" in {namespace}"),
    };
    format!("{verb} {resource}{subresource}{place}")
}

/// All that is needed, each verb by itself.
fn needed() -> Vec<Right> {
    let mut all = Vec::new();
    for &(verbs, resource, namespace) in NEEDED.iter().chain(&NEEDED_AT_HOME) {
        all.extend(verbs.split(' ').map(|verb| (verb, resource, namespace)));
    }
    all
}

/// How many rights are needed but for those to write routes.
pub fn needed_without_routes() -> usize {
    let is_of_routes = |(_, resource, namespace): &&Right| {
        *namespace == NAMESPACE && resource.contains(".networking.k8s.io")
    };
    let all = needed();
    all.len() - all.iter().filter(is_of_routes).count()
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
    let all = needed();
    let of_operator = all.iter().map(|right| (SERVICE_ACCOUNT, right));
    let of_responder = RESPONDER.iter().map(|right| (RESPONDER_ACCOUNT, right));
    for (account, (verb, resource, namespace)) in of_operator.chain(of_responder) {
        if *namespace == "shop" {
            for elsewhere in ["", "bank", NAMESPACE] {
                let right = (*verb, *resource, elsewhere);
                if account == SERVICE_ACCOUNT && all.contains(&right) {
                    continue;
                }
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
