//! What Prometheus is told to ask: each component that serves metrics, and nothing else.

use serde_json::{Value, json};

use super::matrix::objects;
use super::rendered;

/// Does a label selector, by labels and by lists of values, take these labels?
fn takes(selector: &Value, labels: &Value) -> bool {
    let mut equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut lists = selector["matchExpressions"].as_array().into_iter().flatten();
    equal.all(|(key, value)| labels[key] == *value)
        && lists.all(|list| {
            assert_eq!(list["operator"], "In");
            let label = &labels[list["key"].as_str().unwrap()];
            list["values"].as_array().unwrap().contains(label)
        })
}

/// Is there a port of this name?
fn has_port(ports: &Value, name: &str) -> bool {
    ports
        .as_array()
        .into_iter()
        .flatten()
        .any(|port| port["name"] == name)
}

/// The names of the Deployments and Jobs whose Pods are asked, as the Prometheus Operator understands the monitor.
fn asked(objects: &[Value], kind: &str) -> Vec<String> {
    let monitor = objects.iter().find(|object| object["kind"] == kind).unwrap();
    let monitor = &monitor["spec"];
    // Which labels of Pods are asked at which port.
    let (endpoint, wanted): (&Value, Vec<Value>) = match kind {
        "PodMonitor" => (
            &monitor["podMetricsEndpoints"][0],
            vec![monitor["selector"].clone()],
        ),
        _ => {
            let endpoint = &monitor["endpoints"][0];
            let port = endpoint["port"].as_str().unwrap();
            let services = objects.iter().filter(|object| {
                object["kind"] == "Service"
                    && takes(&monitor["selector"], &object["metadata"]["labels"])
                    && has_port(&object["spec"]["ports"], port)
            });
            let of_pods = services.map(|service| json!({ "matchLabels": service["spec"]["selector"] }));
            (endpoint, of_pods.collect())
        }
    };
    assert_eq!(endpoint["path"], "/metrics");
    let port = endpoint["port"].as_str().unwrap();
    let mut names: Vec<String> = objects
        .iter()
        .filter(|object| {
            let pod = &object["spec"]["template"];
            let is_asked = |selector: &Value| takes(selector, &pod["metadata"]["labels"]);
            has_port(&pod["spec"]["containers"][0]["ports"], port) && wanted.iter().any(is_asked)
        })
        .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn monitors_and_alerts_are_about_replicas_and_about_responders_where_there_are_some() {
    let dir = tempfile::tempdir().unwrap();
    // For the Job, which serves nothing.
    let issuer = json!({ "acme": {
        "server": "https://ca.example/directory",
        "privateKeySecretRef": { "name": "account" },
        "solvers": [{ "http01": { "external": {} } }],
    } });
    for kind in ["PodMonitor", "ServiceMonitor"] {
        for is_enabled in [true, false] {
            let values = json!({
                "responder": { "enabled": is_enabled },
                "metrics": { "monitor": { "kind": kind }, "rules": { "enabled": true } },
                "networkPolicy": { "enabled": true },
                "clusterIssuers": { "ca": issuer },
            });
            let text = rendered(dir.path(), &values).await.unwrap();
            let objects = objects(&text);
            let components: &[&str] = match is_enabled {
                true => &["sancho", "sancho-responder"],
                false => &["sancho"],
            };
            assert_eq!(asked(&objects, kind), components, "{kind}, {is_enabled}");
            // Whoever is asked lets Prometheus in.
            let mut fenced: Vec<&str> = objects
                .iter()
                .filter(|object| object["kind"] == "NetworkPolicy")
                .filter(|policy| {
                    let rules = policy["spec"]["ingress"].as_array().unwrap();
                    rules.iter().any(|rule| rule["ports"][0]["port"] == "health")
                })
                .map(|policy| policy["metadata"]["name"].as_str().unwrap())
                .collect();
            fenced.sort_unstable();
            assert_eq!(fenced, components, "{kind}, {is_enabled}");
            let rules = objects.iter().find(|object| object["kind"] == "PrometheusRule");
            let groups = rules.unwrap()["spec"]["groups"].as_array().unwrap();
            let alerts: Vec<&Value> = groups
                .iter()
                .flat_map(|group| group["rules"].as_array().unwrap())
                .map(|rule| &rule["alert"])
                .collect();
            assert!(alerts.contains(&&json!("SanchoDown")), "{alerts:?}");
            // Where there is none, none is missing.
            let is_missed = alerts.contains(&&json!("SanchoResponderDown"));
            assert_eq!(is_missed, is_enabled, "{alerts:?}");
        }
    }
}
