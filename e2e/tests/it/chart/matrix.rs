//! Whatever the values: the API server takes every object, and "restricted" every Pod.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use sancho_e2e::cluster::{Cluster, ClusterOptions};
use sancho_e2e::replica::NAMESPACE;
use sancho_e2e::tools;
use sancho_e2e::world::repository;

use super::rendered;

#[tokio::test]
async fn the_api_server_takes_all_that_the_chart_renders() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = prepared(dir.path()).await;
    for (what, values, kinds) in matrix() {
        let text = rendered(dir.path(), &values).await.unwrap();
        let objects = objects(&text);
        let mut missing = kinds.to_vec();
        missing.retain(|kind| !objects.iter().any(|object| object["kind"] == **kind));
        assert!(missing.is_empty(), "{what}: no {missing:?}");
        let applied = cluster
            .kubectl_with_input(&["apply", "--server-side", "--dry-run=server", "-f", "-"], &text)
            .await;
        applied.unwrap_or_else(|error| panic!("{what}: {error:#}"));
        let pods: Vec<String> = objects.iter().filter_map(pod).collect();
        assert!(!pods.is_empty(), "{what}: no Pod");
        for pod in pods {
            let admitted = cluster
                .kubectl_with_input(&["create", "--dry-run=server", "-f", "-"], &pod)
                .await;
            admitted.unwrap_or_else(|error| panic!("{what}: {error:#}"));
        }
    }
    // The check can fail: Pods are really admitted by the standard.
    let text = rendered(dir.path(), &json!({})).await.unwrap();
    let privileged = objects(&text).iter().find_map(pod).unwrap();
    let privileged = privileged.replace("\"runAsNonRoot\":true", "\"runAsNonRoot\":false");
    let refused = cluster
        .kubectl_with_input(&["create", "--dry-run=server", "-f", "-"], &privileged)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("violates PodSecurity"), "{refused}");
}

#[tokio::test]
async fn what_is_said_of_all_pods_holds_for_replicas_responders_and_the_job() {
    let dir = tempfile::tempdir().unwrap();
    let all = matrix()
        .into_iter()
        .find(|(what, ..)| *what == "all that belongs to Pods");
    let (_, mut values, _) = all.unwrap();
    values["responder"] = json!({ "enabled": true });
    let text = rendered(dir.path(), &values).await.unwrap();
    let objects = objects(&text);
    let owners: Vec<&Value> = objects
        .iter()
        .filter(|object| object["spec"].get("template").is_some())
        .collect();
    let mut names: Vec<&str> = owners
        .iter()
        .map(|owner| owner["metadata"]["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["sancho", "sancho-cluster-issuers", "sancho-responder"]);
    for owner in owners {
        let name = &owner["metadata"]["name"];
        let pod = &owner["spec"]["template"];
        let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
        assert_eq!(metadata["annotations"], values["podAnnotations"], "{name}");
        assert_eq!(metadata["labels"]["team"], values["podLabels"]["team"], "{name}");
        for field in [
            "imagePullSecrets",
            "priorityClassName",
            "nodeSelector",
            "tolerations",
            "affinity",
        ] {
            assert_eq!(spec[field], values[field], "{field} of {name}");
        }
        let container = &spec["containers"][0];
        // The digest wins, with the tag left out.
        let image = format!("registry.example:5000/sancho@sha256:{}", "a".repeat(64));
        assert_eq!(container["image"], image.as_str(), "{name}");
        if owner["kind"] == "Deployment" {
            // What says nothing about whom it is for spreads the Pods of its own Deployment.
            let mut spread = values["topologySpreadConstraints"].clone();
            assert!(owner["spec"]["selector"]["matchLabels"].is_object(), "{name}");
            spread[1]["labelSelector"] = owner["spec"]["selector"].clone();
            assert_eq!(spec["topologySpreadConstraints"], spread, "{name}");
        }
        for (list, value) in [
            (&container["env"], "extraEnv"),
            (&container["volumeMounts"], "extraVolumeMounts"),
            (&spec["volumes"], "extraVolumes"),
        ] {
            let has = list.as_array().unwrap().contains(&values[value][0]);
            assert!(has, "{value} of {name}: {list}");
        }
    }
}

#[tokio::test]
async fn without_ingress_annotations_there_is_no_right_to_objects_of_users() {
    let dir = tempfile::tempdir().unwrap();
    for namespaces in [json!([]), json!(["shop"])] {
        for enabled in [true, false] {
            let values = json!({
                "watchNamespaces": namespaces,
                "ingressAnnotations": { "enabled": enabled },
                "routes": { "enabled": false },
            });
            let text = rendered(dir.path(), &values).await.unwrap();
            let rules: Vec<Value> = objects(&text)
                .iter()
                .filter(|object| object["metadata"]["name"] == "sancho")
                .flat_map(|object| object["rules"].as_array().cloned().unwrap_or_default())
                .collect();
            let may = |resource: &str, verb: &str| {
                let has = |list: &Value, word: &str| list.as_array().unwrap().iter().any(|one| one == word);
                rules
                    .iter()
                    .any(|rule| has(&rule["resources"], resource) && has(&rule["verbs"], verb))
            };
            assert!(may("certificates", "patch"));
            for (resource, verb) in [
                ("certificates", "create"),
                ("certificates", "delete"),
                ("ingresses", "watch"),
                ("gateways", "watch"),
            ] {
                assert_eq!(may(resource, verb), enabled, "{verb} {resource} by {values}");
            }
            assert_eq!(text.contains("--ingress-annotations=false"), !enabled);
        }
    }
}

/// What is tried, its values, and kinds that must be there for it.
pub(super) fn matrix() -> Vec<(&'static str, Value, &'static [&'static str])> {
    let issuer = json!({ "acme": {
        "server": "https://ca.example/directory",
        "privateKeySecretRef": { "name": "account" },
        "solvers": [{ "http01": { "external": {} } }],
    } });
    vec![
        (
            "the defaults",
            json!({}),
            &["Deployment", "PodDisruptionBudget", "ClusterRole"],
        ),
        (
            "a responder, a fence, a PodMonitor",
            json!({
                "responder": { "enabled": true, "extraArgs": ["--log=debug"], "resources": {} },
                "networkPolicy": {
                    "enabled": true,
                    "challengesFrom": [{ "namespaceSelector": { "matchLabels": { "a": "b" } } }],
                    "metricsFrom": [{ "podSelector": {} }],
                    "egress": [{ "ports": [{ "port": 443 }, { "port": 53, "protocol": "UDP" }] }],
                },
                "metrics": {
                    "monitor": { "kind": "PodMonitor", "interval": "1m", "labels": { "release": "prometheus" } },
                    "rules": { "enabled": true, "labels": { "release": "prometheus" } },
                    "dashboard": { "enabled": true },
                },
            }),
            &["NetworkPolicy", "PodMonitor", "PrometheusRule", "ConfigMap"],
        ),
        (
            "namespaces, a responder, a ServiceMonitor",
            json!({
                "watchNamespaces": ["shop", "blog", NAMESPACE],
                "responder": { "enabled": true },
                "networkPolicy": { "enabled": true },
                "metrics": { "monitor": { "kind": "ServiceMonitor" } },
                "crds": { "keep": false },
            }),
            &["Role", "ServiceMonitor", "CustomResourceDefinition"],
        ),
        (
            "issuers",
            json!({ "clusterIssuers": { "letsencrypt": issuer }, "crds": { "enabled": false } }),
            &["Job", "ConfigMap"],
        ),
        (
            "all that belongs to Pods",
            json!({
                "replicas": 5,
                "clusterIssuers": { "letsencrypt": issuer },
                "image": {
                    "repository": "registry.example:5000/sancho",
                    "digest": format!("sha256:{}", "a".repeat(64)),
                    "pullPolicy": "Always",
                },
                "imagePullSecrets": [{ "name": "registry" }],
                "serviceAccount": { "annotations": { "eks.amazonaws.com/role-arn": "arn:x" } },
                "service": { "type": "LoadBalancer", "annotations": { "a": "b" } },
                "listenAddress": "[::]",
                "routes": { "enabled": false },
                "ingressAnnotations": { "enabled": false },
                "logFilter": "sancho=debug,info",
                "extraArgs": ["--log-format=text"],
                "extraEnv": [{ "name": "HTTPS_PROXY", "value": "http://proxy:3128" }],
                "extraVolumes": [{ "name": "roots", "configMap": { "name": "roots" } }],
                "extraVolumeMounts": [{ "name": "roots", "mountPath": "/roots", "readOnly": true }],
                "resources": { "requests": { "cpu": 1 }, "limits": { "memory": "1Gi" } },
                "preStopSeconds": 20,
                "terminationGracePeriodSeconds": 90,
                "podDisruptionBudget": { "maxUnavailable": "25%" },
                "podAnnotations": { "a": "b" },
                "podLabels": { "team": "edge" },
                "priorityClassName": "system-cluster-critical",
                "nodeSelector": { "kubernetes.io/os": "linux" },
                "tolerations": [{ "key": "edge", "operator": "Exists" }],
                "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [] } },
                "topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "topology.kubernetes.io/zone",
                        "whenUnsatisfiable": "DoNotSchedule",
                        "labelSelector": { "matchLabels": { "team": "edge" } },
                    },
                    {
                        "maxSkew": 2,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                    },
                ],
            }),
            &["Deployment"],
        ),
        (
            "as little as possible",
            json!({
                "replicas": 1,
                "rbac": { "aggregate": false },
                "podDisruptionBudget": { "enabled": false },
                "preStopSeconds": 0,
                "resources": {},
                "topologySpreadConstraints": [],
                "image": { "tag": "edge" },
            }),
            &["Deployment"],
        ),
    ]
}

/// A cluster with all kinds that the chart may render, and with what its Pods refer to.
async fn prepared(dir: &Path) -> Cluster {
    let cluster = Cluster::start(&dir.join("cluster"), dir, &ClusterOptions::default())
        .await
        .unwrap();
    let monitors = tools::prometheus_crds().await.unwrap();
    for kind in ["servicemonitors", "podmonitors", "prometheusrules"] {
        let file = format!("monitoring.coreos.com_{kind}.yaml");
        cluster.apply_path(&monitors.join(file)).await.unwrap();
    }
    let crds = repository().join("crds/yaml");
    cluster.apply_path(&crds).await.unwrap();
    let mut wanted = String::new();
    for namespace in ["shop", "blog", NAMESPACE] {
        let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
        let metadata = json!({ "name": namespace, "labels": labels });
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
        wanted.push_str(&format!("---\n{namespace}\n"));
    }
    for account in ["sancho", "sancho-responder", "sancho-cluster-issuers"] {
        let metadata = json!({ "name": account, "namespace": NAMESPACE });
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata });
        wanted.push_str(&format!("---\n{account}\n"));
    }
    cluster.apply_yaml(&wanted).await.unwrap();
    cluster
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "crd",
            "--all",
        ])
        .await
        .unwrap();
    cluster
}

pub(super) fn objects(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| !object.is_null())
        .collect()
}

/// The Pod that a Deployment or a Job would make.
fn pod(object: &Value) -> Option<String> {
    let template = object["spec"].get("template")?;
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "tried",
            "namespace": NAMESPACE,
            "labels": template["metadata"]["labels"],
        },
        "spec": template["spec"],
    });
    Some(pod.to_string())
}
