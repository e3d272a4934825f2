//! Which Gateway takes which HTTPRoute, what it says of it, and what goes where by it. Pure.

use serde_json::{Value, json};

use super::table::{Entry, Seen, addresses, find_service, list, text};

/// A HTTPRoute as its Gateways see it.
#[derive(Debug)]
pub(super) struct Judged {
    /// Its namespace and name.
    pub route: (String, String),
    /// The parents that its status is to have, by what the Gateways of `controller` say; empty if none is named.
    pub parents: Vec<Value>,
    /// What goes where.
    pub entries: Vec<Entry>,
}

/// Judges each HTTPRoute.
pub(super) fn judge(seen: &Seen, controller: &str) -> Vec<Judged> {
    let judged = |route: &Value| {
        let mut found = Judged {
            route: (
                text(&route["metadata"]["namespace"]),
                text(&route["metadata"]["name"]),
            ),
            parents: Vec::new(),
            entries: Vec::new(),
        };
        for parent in list(&route["spec"]["parentRefs"]) {
            let Some(gateway) = gateway_of(seen, controller, parent, &found.route.0) else {
                continue;
            };
            let accepted = hosts(seen, gateway, parent, route);
            let resolved = resolve(seen, route);
            if let (Ok(hosts), Ok(())) = (&accepted, &resolved) {
                found.entries.extend(entries(seen, route, hosts));
            }
            let generation = &route["metadata"]["generation"];
            found.parents.push(json!({
                "parentRef": parent,
                "controllerName": controller,
                "conditions": [
                    condition("Accepted", accepted.err().as_deref(), generation),
                    condition("ResolvedRefs", resolved.err().as_deref(), generation),
                ],
            }));
        }
        found
    };
    seen.http_routes.iter().map(judged).collect()
}

fn condition(kind: &str, refusal: Option<&str>, generation: &Value) -> Value {
    json!({
        "type": kind,
        "status": if refusal.is_some() { "False" } else { "True" },
        "reason": refusal.unwrap_or(kind),
        "message": "the test router's word",
        "observedGeneration": generation,
        "lastTransitionTime": "2000-01-01T00:00:00Z",
    })
}

/// The Gateway that `parent` names, if its class is `controller`'s.
fn gateway_of<'a>(seen: &'a Seen, controller: &str, parent: &Value, beside: &str) -> Option<&'a Value> {
    let namespace = parent["namespace"].as_str().unwrap_or(beside);
    let gateway = seen.gateways.iter().find(|gateway| {
        gateway["metadata"]["namespace"] == namespace && gateway["metadata"]["name"] == parent["name"]
    })?;
    let is_its = |class: &Value| {
        class["metadata"]["name"] == gateway["spec"]["gatewayClassName"]
            && class["spec"]["controllerName"] == controller
    };
    seen.gateway_classes.iter().any(is_its).then_some(gateway)
}

/// The hosts of `route` that a listener of `gateway` takes, or the reason why none does.
fn hosts(seen: &Seen, gateway: &Value, parent: &Value, route: &Value) -> Result<Vec<String>, String> {
    let is_meant = |listener: &&Value| {
        listener["protocol"] == "HTTP"
            && (parent["sectionName"].is_null() || parent["sectionName"] == listener["name"])
            && (parent["port"].is_null() || parent["port"] == listener["port"])
    };
    let listeners: Vec<&Value> = list(&gateway["spec"]["listeners"])
        .iter()
        .filter(is_meant)
        .collect();
    if listeners.is_empty() {
        return Err("NoMatchingParent".into());
    }
    let is_allowed = |listener: &&&Value| allows(seen, gateway, listener, route);
    let allowing: Vec<&&Value> = listeners.iter().filter(is_allowed).collect();
    if allowing.is_empty() {
        return Err("NotAllowedByListeners".into());
    }
    let wanted = list(&route["spec"]["hostnames"]).iter().map(text);
    let is_heard = |host: &String| {
        allowing
            .iter()
            .any(|listener| hears(&text(&listener["hostname"]), host))
    };
    let heard: Vec<String> = wanted.filter(is_heard).collect();
    if heard.is_empty() {
        return Err("NoMatchingListenerHostname".into());
    }
    Ok(heard)
}

/// Does a listener admit routes of this namespace? Those of the Gateway's own, unless it says otherwise.
fn allows(seen: &Seen, gateway: &Value, listener: &Value, route: &Value) -> bool {
    let namespaces = &listener["allowedRoutes"]["namespaces"];
    let namespace = &route["metadata"]["namespace"];
    match namespaces["from"].as_str() {
        Some("All") => true,
        Some("Selector") => {
            let labels = seen
                .namespaces
                .iter()
                .find(|known| known["metadata"]["name"] == *namespace)
                .map(|known| &known["metadata"]["labels"]);
            let wanted = namespaces["selector"]["matchLabels"].as_object();
            let has = |(key, value): (&String, &Value)| labels.is_some_and(|labels| labels[key] == *value);
            wanted.is_some_and(|wanted| wanted.iter().all(has))
        }
        _ => *namespace == gateway["metadata"]["namespace"],
    }
}

/// Does a listener with this hostname hear of this host?
fn hears(listener: &str, host: &str) -> bool {
    match listener.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => listener.is_empty() || listener == host,
    }
}

/// Are the Services of `route` there, in its own namespace? ReferenceGrants are not read.
fn resolve(seen: &Seen, route: &Value) -> Result<(), String> {
    let namespace = text(&route["metadata"]["namespace"]);
    for backend in backends(route) {
        if backend["namespace"]
            .as_str()
            .is_some_and(|other| other != namespace)
        {
            return Err("RefNotPermitted".into());
        }
        if find_service(seen, &namespace, &backend["name"]).is_none() {
            return Err("BackendNotFound".into());
        }
    }
    Ok(())
}

fn backends(route: &Value) -> impl Iterator<Item = &Value> {
    list(&route["spec"]["rules"])
        .iter()
        .flat_map(|rule| list(&rule["backendRefs"]))
}

fn entries(seen: &Seen, route: &Value, hosts: &[String]) -> Vec<Entry> {
    let namespace = text(&route["metadata"]["namespace"]);
    let mut found = Vec::new();
    for rule in list(&route["spec"]["rules"]) {
        let of_backend = |backend: &Value| addresses(seen, &namespace, &backend["name"], &backend["port"]);
        let backends: Vec<String> = list(&rule["backendRefs"]).iter().flat_map(of_backend).collect();
        for matches in list(&rule["matches"]) {
            found.extend(hosts.iter().map(|host| Entry {
                host: host.clone(),
                one_label: false,
                path: text(&matches["path"]["value"]),
                exact: matches["path"]["type"] == "Exact",
                backends: backends.clone(),
            }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(from: &Value, listener_host: Option<&str>, service: &str) -> Seen {
        let mut listener = json!({ "name": "http", "protocol": "HTTP", "port": 80,
            "allowedRoutes": { "namespaces": from } });
        if let Some(host) = listener_host {
            listener["hostname"] = host.into();
        }
        Seen {
            gateway_classes: vec![
                json!({ "metadata": { "name": "ours" }, "spec": { "controllerName": "us" } }),
            ],
            gateways: vec![json!({ "metadata": { "namespace": "infra", "name": "front" },
                "spec": { "gatewayClassName": "ours", "listeners": [listener] } })],
            namespaces: vec![json!({ "metadata": { "name": "home", "labels": { "may": "route" } } })],
            services: vec![json!({ "metadata": { "namespace": "home", "name": service },
                "spec": { "ports": [{ "port": 80 }] } })],
            http_routes: vec![json!({
                "metadata": { "namespace": "home", "name": "r", "generation": 3 },
                "spec": {
                    "parentRefs": [{ "namespace": "infra", "name": "front" }],
                    "hostnames": ["a.example", "b.example"],
                    "rules": [{
                        "matches": [{ "path": { "type": "PathPrefix", "value": "/x" } }],
                        "backendRefs": [{ "name": "back", "port": 80 }],
                    }],
                },
            })],
            ..Seen::default()
        }
    }

    /// Reasons of Accepted and ResolvedRefs, and the hosts that are routed.
    fn said(seen: &Seen) -> (String, String, Vec<String>) {
        let judged = judge(seen, "us").remove(0);
        let reason = |number: usize| text(&judged.parents[0]["conditions"][number]["reason"]);
        let hosts = judged.entries.iter().map(|entry| entry.host.clone()).collect();
        (reason(0), reason(1), hosts)
    }

    #[test]
    fn a_gateway_takes_the_routes_of_the_namespaces_that_it_allows_for_the_hosts_that_it_has() {
        let (all, selected) = (
            json!({ "from": "All" }),
            |value: &str| json!({ "from": "Selector", "selector": { "matchLabels": { "may": value } } }),
        );
        let both = vec!["a.example".to_owned(), "b.example".to_owned()];
        let none = Vec::new();
        for (from, host, service, accepted, resolved, hosts) in [
            (&all, None, "back", "Accepted", "ResolvedRefs", &both),
            (
                &selected("route"),
                None,
                "back",
                "Accepted",
                "ResolvedRefs",
                &both,
            ),
            (
                &selected("not"),
                None,
                "back",
                "NotAllowedByListeners",
                "ResolvedRefs",
                &none,
            ),
            (
                &json!({ "from": "Same" }),
                None,
                "back",
                "NotAllowedByListeners",
                "ResolvedRefs",
                &none,
            ),
            (
                &Value::Null,
                None,
                "back",
                "NotAllowedByListeners",
                "ResolvedRefs",
                &none,
            ),
            (&all, Some("*.example"), "back", "Accepted", "ResolvedRefs", &both),
            (
                &all,
                Some("b.example"),
                "back",
                "Accepted",
                "ResolvedRefs",
                &vec!["b.example".to_owned()],
            ),
            (
                &all,
                Some("c.example"),
                "back",
                "NoMatchingListenerHostname",
                "ResolvedRefs",
                &none,
            ),
            (&all, None, "other", "Accepted", "BackendNotFound", &none),
        ] {
            let expected = (accepted.to_owned(), resolved.to_owned(), hosts.clone());
            assert_eq!(
                said(&seen(from, host, service)),
                expected,
                "{from} {host:?} {service}"
            );
        }
        assert!(judge(&seen(&all, None, "back"), "them")[0].parents.is_empty());
    }
}
