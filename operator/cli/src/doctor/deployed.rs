//! What the operator's Deployments say of it: its service account, and where it looks at Certificates. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodSpec;

/// The service account that the chart makes.
const ACCOUNT: &str = "sancho";
/// The flag of `sancho operator` that names namespaces, separated by commas.
const WATCHED: &str = "--watch-namespaces";

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

fn watched_by(deployment: &Deployment) -> BTreeSet<String> {
    let containers = pod(deployment).into_iter().flat_map(|pod| &pod.containers);
    let words = containers.flat_map(|container| {
        let command = container.command.iter().flatten();
        command.chain(container.args.iter().flatten())
    });
    let mut found = BTreeSet::new();
    let mut is_value = false;
    for word in words {
        let list = match word.strip_prefix(WATCHED) {
            _ if is_value => word.as_str(),
            Some(rest) => rest.strip_prefix('=').unwrap_or_default(),
            None => "",
        };
        is_value = !is_value && word == WATCHED;
        let namespaces = list.split(',').filter(|namespace| !namespace.is_empty());
        found.extend(namespaces.map(str::to_owned));
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
    fn the_service_account_is_the_one_that_the_pods_run_as() {
        assert_eq!(account(&[deployment(&[])]), "squire");
        assert_eq!(account(&[]), "sancho");
    }
}
