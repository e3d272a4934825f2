//! What the operator's Deployments say of it: its service account, where it looks at Certificates, and where challenges go. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodSpec;
use kube::ResourceExt;

/// By which the chart tells its Deployments apart.
const COMPONENT: &str = "app.kubernetes.io/component";
/// The service account that the chart makes.
const ACCOUNT: &str = "sancho";
/// The flag of `sancho operator` that names namespaces, separated by commas.
const WATCHED: &str = "--watch-namespaces";
/// The flag that names the Service that leads to the responders, with its port.
const SERVICE: &str = "--responder-service";
/// The one that the chart makes.
const CHARTS_SERVICE: &str = "sancho-responder";
/// The flag that says whether it makes Certificates for annotated Ingresses and Gateways, as it does without that.
const ANNOTATIONS: &str = "--ingress-annotations";

/// Whether a Deployment is of responders, which answer challenges in the operator's place.
pub fn is_of_responders(deployment: &Deployment) -> bool {
    let component = deployment.labels().get(COMPONENT);
    component.is_some_and(|component| component == "responder")
}

/// The operator's service account; the chart's, if no Deployment says another.
pub fn account(deployments: &[Deployment]) -> &str {
    let mut pods = deployments.iter().filter_map(pod);
    pods.find_map(|pod| pod.service_account_name.as_deref())
        .unwrap_or(ACCOUNT)
}

/// The namespaces that the operator watches; none if it watches all.
pub fn watched(deployments: &[Deployment]) -> Vec<String> {
    let of_each: Vec<BTreeSet<String>> = deployments.iter().map(watched_by).collect();
    if of_each.iter().any(BTreeSet::is_empty) {
        return Vec::new();
    }
    let all: BTreeSet<String> = of_each.into_iter().flatten().collect();
    all.into_iter().collect()
}

/// Whether the operator makes Certificates for annotated Ingresses and Gateways.
pub fn reads_annotations(deployments: &[Deployment]) -> bool {
    let reads = |deployment| flag(deployment, ANNOTATIONS).last() != Some(&"false");
    deployments.is_empty() || deployments.iter().any(reads)
}

/// The Service that leads to the responders; the chart's, if no Deployment says another.
pub fn service(deployments: &[Deployment]) -> &str {
    let mut named = deployments.iter().filter_map(|deployment| {
        let named = flag(deployment, SERVICE).pop()?;
        Some(named.split_once(':').map_or(named, |(name, _port)| name))
    });
    named.next().unwrap_or(CHARTS_SERVICE)
}

fn watched_by(deployment: &Deployment) -> BTreeSet<String> {
    let lists = flag(deployment, WATCHED);
    let namespaces = lists.iter().flat_map(|list| list.split(','));
    namespaces
        .filter(|namespace| !namespace.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What stands behind a flag, each time that it is given.
fn flag<'a>(deployment: &'a Deployment, name: &str) -> Vec<&'a str> {
    let containers = pod(deployment).into_iter().flat_map(|pod| &pod.containers);
    let words = containers.flat_map(|container| {
        let command = container.command.iter().flatten();
        command.chain(container.args.iter().flatten())
    });
    let mut found = Vec::new();
    let mut is_value = false;
    for word in words {
        if is_value {
            found.push(word.as_str());
            is_value = false;
            continue;
        }
        match word.strip_prefix(name) {
            Some("") => is_value = true,
            Some(rest) => found.extend(rest.strip_prefix('=')),
            None => {}
        }
    }
    found
}

fn pod(deployment: &Deployment) -> Option<&PodSpec> {
    deployment.spec.as_ref()?.template.spec.as_ref()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(args: &[&str]) -> Deployment {
        let container = json!({ "name": "sancho", "args": args });
        serde_json::from_value(json!({ "spec": {
            "selector": {},
            "template": { "spec": { "serviceAccountName": "squire", "containers": [container] } },
        } }))
        .unwrap()
    }

    #[test]
    fn the_namespaces_are_read_in_all_ways_to_write_the_flag() {
        let of = |args: &[&str]| watched(&[deployment(args)]);
        assert_eq!(
            of(&["operator", "--watch-namespaces", "shop,bank", "--self-check"]),
            ["bank", "shop"]
        );
        assert_eq!(
            of(&["--watch-namespaces=shop", "--watch-namespaces=bank"]),
            ["bank", "shop"]
        );
        assert_eq!(of(&["operator", "--watch-namespaces-not=shop"]), [""; 0]);
    }

    #[test]
    fn annotations_are_read_unless_a_flag_says_no() {
        let of = |args: &[&str]| reads_annotations(&[deployment(args)]);
        assert!(of(&["operator"]) && of(&["--ingress-annotations=true"]));
        assert!(!of(&["--ingress-annotations=false"]) && !of(&["--ingress-annotations", "false"]));
        assert!(reads_annotations(&[]));
    }

    #[test]
    fn one_that_watches_all_watches_for_the_others_too() {
        let some = deployment(&["--watch-namespaces=shop"]);
        assert_eq!(
            watched(&[some.clone(), deployment(&["--watch-namespaces=bank"])]),
            ["bank", "shop"]
        );
        assert_eq!(watched(&[some, deployment(&[])]), [""; 0]);
        assert_eq!(watched(&[]), [""; 0]);
    }

    #[test]
    fn the_service_is_the_one_that_routes_lead_to() {
        let squire = deployment(&["operator", "--responder-service=squire:8080"]);
        assert_eq!(service(&[squire]), "squire");
        assert_eq!(service(&[deployment(&["operator"])]), "sancho-responder");
    }

    #[test]
    fn responders_are_told_apart_by_their_component() {
        let of = |component: &str| {
            let mut deployment = deployment(&[]);
            deployment.labels_mut().insert(COMPONENT.into(), component.into());
            is_of_responders(&deployment)
        };
        assert!(of("responder"));
        assert!(!of("operator") && !is_of_responders(&deployment(&[])));
    }

    #[test]
    fn the_service_account_is_the_one_that_the_pods_run_as() {
        assert_eq!(account(&[deployment(&[])]), "squire");
        assert_eq!(account(&[]), "sancho");
    }
}
