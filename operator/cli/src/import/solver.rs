//! The solvers of one of cert-manager's issuers. Pure.

use serde_json::{Value, json};

use super::dns01;
use super::fields::Fields;

/// What is said of fields that go with cert-manager's Pod, Service and Ingress for each challenge.
const OF_PODS: [&str; 2] = ["podTemplate", "serviceType"];

/// The solvers of an issuer of this kind that carry over, or one that is `external` if none does.
pub fn solvers(solvers: &Value, kind: &str, remarks: &mut Vec<String>) -> Value {
    let solvers = solvers.as_array().map_or(&[][..], Vec::as_slice);
    let wanted: Vec<Value> = solvers
        .iter()
        .enumerate()
        .filter_map(|(number, solver)| {
            let path = format!("spec.acme.solvers[{number}]");
            if solver["dns01"].is_object() {
                return dns01::solver(solver, kind, &path, remarks);
            }
            by_http(Fields::of(solver), kind, &path, remarks)
        })
        .collect();
    if wanted.is_empty() {
        remarks.push(
            "no solver carries over: route http://<name>/.well-known/acme-challenge/ of every name to the Service \
             sancho-responder in the operator's namespace, or write another solver"
                .into(),
        );
        return json!([{ "http01": { "external": {} } }]);
    }
    wanted.into()
}

fn by_http(mut solver: Fields, kind: &str, path: &str, remarks: &mut Vec<String>) -> Option<Value> {
    let mut http01 = solver.take_way("http01")?;
    let way = if let Some(ingress) = http01.take_way("ingress") {
        json!({ "ingress": ingress_of(ingress, kind, &format!("{path}.http01.ingress"), remarks) })
    } else if let Some(gateway) = http01.take_way("gatewayHTTPRoute") {
        json!({ "gatewayHTTPRoute": gateway_of(gateway, &format!("{path}.http01.gatewayHTTPRoute"), remarks) })
    } else {
        return None;
    };
    let mut wanted = json!({ "http01": way });
    if let Some(mut selector) = solver.take_fields("selector") {
        for field in ["dnsNames", "dnsZones", "matchLabels"] {
            if let Some(value) = selector.take(field) {
                wanted["selector"][field] = value;
            }
        }
        remarks.extend(selector.rest(&format!("{path}.selector")));
    }
    remarks.extend(http01.rest(&format!("{path}.http01")));
    remarks.extend(solver.rest(path));
    Some(wanted)
}

fn ingress_of(mut ingress: Fields, kind: &str, path: &str, remarks: &mut Vec<String>) -> Value {
    let mut wanted = json!({});
    for field in ["ingressClassName", "class"] {
        if let Some(value) = ingress.take(field) {
            wanted[field] = value;
        }
    }
    if kind == "Issuer" {
        if ingress.take("ingressTemplate").is_some() {
            remarks.push(format!(
                "{path}.ingressTemplate does not carry over: the Ingress stands in the operator's namespace, where its \
                 labels and annotations are a ClusterIssuer's to choose"
            ));
        }
    } else if let Some(mut template) = ingress.take_fields("ingressTemplate") {
        let mut metadata = template.take_fields("metadata").unwrap_or_default();
        for field in ["labels", "annotations"] {
            if let Some(value) = metadata.take(field) {
                wanted["ingressTemplate"]["metadata"][field] = value;
            }
        }
        remarks.extend(metadata.rest(&format!("{path}.ingressTemplate.metadata")));
        remarks.extend(template.rest(&format!("{path}.ingressTemplate")));
    }
    if let Some(name) = ingress.take_text("name") {
        remarks.push(format!(
            "{path}.name does not carry over: Sancho edits no Ingress that is there. It writes one of its own beside \
             it, so set ingressClassName to the class of {name}"
        ));
    }
    pods(&mut ingress, path, remarks);
    remarks.push(format!(
        "{path}: the Ingress stands in the operator's namespace, one for all names of an order"
    ));
    remarks.extend(ingress.rest(path));
    wanted
}

fn gateway_of(mut gateway: Fields, path: &str, remarks: &mut Vec<String>) -> Value {
    let mut wanted = json!({ "parentRefs": gateway.take("parentRefs").unwrap_or_else(|| json!([])) });
    if let Some(labels) = gateway.take("labels") {
        wanted["labels"] = labels;
    }
    if wanted["parentRefs"].as_array().is_some_and(Vec::is_empty) {
        remarks.push(format!("{path}.parentRefs: name the Gateway, which Sancho needs"));
    }
    pods(&mut gateway, path, remarks);
    remarks.push(format!(
        "{path}: the HTTPRoutes stand in the operator's namespace, so let the Gateway's listener for HTTP admit it by \
         allowedRoutes"
    ));
    remarks.extend(gateway.rest(path));
    wanted
}

fn pods(fields: &mut Fields, path: &str, remarks: &mut Vec<String>) {
    for field in OF_PODS {
        if fields.take(field).is_some() {
            remarks.push(format!(
                "{path}.{field} does not carry over: Sancho runs no Pod for a challenge, its own replicas answer"
            ));
        }
    }
}
