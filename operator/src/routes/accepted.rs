//! What the Gateways have said of a HTTPRoute, by its status (Gateway API, `RouteParentStatus`). Pure.

use sancho_core::shown::shown_within;
use serde_json::Value;

/// The most characters of a controller's message.
const MESSAGE_MAX: usize = 200;

/// What the Gateways have said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// One of them takes it.
    Accepted,
    /// All that have spoken refuse it, for this reason.
    Refused(String),
    /// None has spoken yet, or not all of those that are named and none takes it.
    Pending,
}

/// Has a Gateway accepted `route`, as it stands now?
#[must_use]
pub fn acceptance(route: &Value) -> Acceptance {
    let generation = route["metadata"]["generation"].as_i64();
    let parents = route["status"]["parents"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let named = route["spec"]["parentRefs"].as_array().map_or(0, Vec::len);
    let mut refusals = Vec::new();
    for parent in parents {
        let condition = |kind: &str| {
            let conditions = parent["conditions"].as_array()?;
            conditions.iter().find(|condition| {
                let observed = condition["observedGeneration"].as_i64();
                condition["type"] == kind && (observed.is_none() || observed >= generation)
            })
        };
        let refusal = [condition("Accepted"), condition("ResolvedRefs")]
            .into_iter()
            .flatten()
            .find(|condition| condition["status"] == "False");
        match refusal {
            Some(refusal) => refusals.push(words(&parent["parentRef"], refusal)),
            None if condition("Accepted").is_some_and(|accepted| accepted["status"] == "True") => {
                return Acceptance::Accepted;
            }
            None => {}
        }
    }
    if !refusals.is_empty() && refusals.len() >= named {
        Acceptance::Refused(refusals.join("; "))
    } else {
        Acceptance::Pending
    }
}

/// The refusal, and what can be done about it.
fn words(parent: &Value, condition: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&parent["namespace"]), text(&parent["name"]));
    let (reason, message) = (text(&condition["reason"]), text(&condition["message"]));
    let advice = match reason.as_str() {
        "NotAllowedByListeners" => {
            "let a listener for HTTP on port 80 admit the operator's namespace, by its allowedRoutes.namespaces"
        }
        "NoMatchingListenerHostname" => {
            "let a listener for HTTP on port 80 have a hostname that fits, or none"
        }
        "NoMatchingParent" => "mend sectionName or port in parentRefs of the issuer's solver",
        "BackendNotFound" => "see that the responder's Service stands in the operator's namespace",
        "RefNotPermitted" => {
            "route and Service stand in one namespace, so that no ReferenceGrant is needed: see the controller's log"
        }
        _ => "see the Gateway's own conditions and its controller's log",
    };
    let said = shown_within(&message, MESSAGE_MAX);
    format!(
        "Gateway {namespace}/{name} says {}: {said}; {advice}",
        shown_within(&reason, 64)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn route(parents: &Value) -> Value {
        json!({
            "metadata": { "generation": 2 },
            "spec": { "parentRefs": [{ "name": "front" }, { "name": "back" }] },
            "status": { "parents": parents },
        })
    }

    fn parent(name: &str, conditions: &[(&str, &str, &str, i64)]) -> Value {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(kind, status, reason, generation)| {
                json!({ "type": kind, "status": status, "reason": reason, "message": "so it is",
                    "observedGeneration": generation })
            })
            .collect();
        json!({ "parentRef": { "namespace": "infra", "name": name }, "conditions": conditions })
    }

    #[test]
    fn one_gateway_that_takes_it_is_enough_and_all_have_to_refuse_it() {
        let yes = parent(
            "front",
            &[
                ("Accepted", "True", "Accepted", 2),
                ("ResolvedRefs", "True", "ResolvedRefs", 2),
            ],
        );
        let no = parent("back", &[("Accepted", "False", "NotAllowedByListeners", 2)]);
        assert_eq!(acceptance(&route(&json!([no, yes]))), Acceptance::Accepted);
        assert_eq!(acceptance(&route(&json!([no]))), Acceptance::Pending);
        assert_eq!(acceptance(&route(&json!([]))), Acceptance::Pending);
        assert_eq!(
            acceptance(&json!({ "metadata": { "generation": 1 } })),
            Acceptance::Pending
        );
        let unresolved = parent(
            "front",
            &[
                ("Accepted", "True", "Accepted", 2),
                ("ResolvedRefs", "False", "BackendNotFound", 2),
            ],
        );
        let Acceptance::Refused(words) = acceptance(&route(&json!([no, unresolved]))) else {
            panic!("not refused");
        };
        for part in [
            "Gateway infra/back says NotAllowedByListeners: so it is; let a listener",
            "allowedRoutes.namespaces; Gateway infra/front says BackendNotFound",
        ] {
            assert!(words.contains(part), "{words}");
        }
    }

    #[test]
    fn what_was_said_of_an_earlier_version_does_not_count() {
        let old = |status| {
            [
                parent("front", &[("Accepted", status, "Any", 1)]),
                parent("back", &[("Accepted", status, "Any", 1)]),
            ]
        };
        for status in ["True", "False"] {
            assert_eq!(acceptance(&route(&json!(old(status)))), Acceptance::Pending);
        }
    }
}
