//! What goes where: routes of Ingresses and HTTPRoutes by host and path, as their APIs publish the precedence. Pure.
//!
//! Both rank a more specific host first, and then a longer path; an exact one is as long as what is asked for. An
//! Ingress' wildcard stands for one label, a HTTPRoute's for one or more.

use serde_json::Value;

/// The objects of one kind, as the API server lists them.
pub(super) type Objects = Vec<Value>;

/// What is read from the API server.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    pub ingress_classes: Objects,
    pub ingresses: Objects,
    pub gateway_classes: Objects,
    pub gateways: Objects,
    pub http_routes: Objects,
    pub namespaces: Objects,
    pub services: Objects,
    pub endpoint_slices: Objects,
}

/// One path of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// `www.example.com`, `*.example.com`, or nothing for all.
    pub host: String,
    /// Whether a wildcard stands for one label alone.
    pub one_label: bool,
    pub path: String,
    pub exact: bool,
    /// `address:port` of each.
    pub backends: Vec<String>,
}

impl Entry {
    /// The greater, the more specific; nothing if it does not fit.
    fn fits(&self, host: &str, path: &str) -> Option<(bool, usize, usize, bool)> {
        let is_host = match self.host.strip_prefix('*') {
            Some(suffix) => host
                .strip_suffix(suffix)
                .is_some_and(|labels| !(labels.is_empty() || self.one_label && labels.contains('.'))),
            None => self.host.is_empty() || self.host == host,
        };
        let is_path = if self.exact {
            self.path == path
        } else {
            let prefix = self.path.trim_end_matches('/');
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let is_named = !self.host.is_empty() && !self.host.starts_with('*');
        (is_host && is_path).then_some((is_named, self.host.len(), self.path.len(), self.exact))
    }
}

/// The entry for a request, if there is one.
pub(super) fn find<'a>(entries: &'a [Entry], host: &str, path: &str) -> Option<&'a Entry> {
    let fitting = entries
        .iter()
        .filter_map(|entry| Some((entry.fits(host, path)?, entry)));
    fitting.max_by_key(|(rank, _)| *rank).map(|(_, entry)| entry)
}

/// The entries of all Ingresses whose class is `controller`'s.
pub(super) fn of_ingresses(seen: &Seen, controller: &str) -> Vec<Entry> {
    let is_default = |class: &Value| {
        class["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"] == "true"
    };
    let is_ours = |ingress: &&Value| {
        let named = match &ingress["spec"]["ingressClassName"] {
            Value::Null => &ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"],
            name => name,
        };
        seen.ingress_classes.iter().any(|class| {
            let is_its = if named.is_null() {
                is_default(class)
            } else {
                class["metadata"]["name"] == *named
            };
            class["spec"]["controller"] == controller && is_its
        })
    };
    let mut entries = Vec::new();
    for ingress in seen.ingresses.iter().filter(is_ours) {
        let namespace = text(&ingress["metadata"]["namespace"]);
        for rule in list(&ingress["spec"]["rules"]) {
            for path in list(&rule["http"]["paths"]) {
                let service = &path["backend"]["service"];
                let port = match &service["port"]["number"] {
                    Value::Null => &service["port"]["name"],
                    number => number,
                };
                entries.push(Entry {
                    host: text(&rule["host"]),
                    one_label: true,
                    path: text(&path["path"]),
                    exact: path["pathType"] == "Exact",
                    backends: addresses(seen, &namespace, &service["name"], port),
                });
            }
        }
    }
    entries
}

/// The ready endpoints behind a port of a Service, by its number or name.
pub(super) fn addresses(seen: &Seen, namespace: &str, service: &Value, port: &Value) -> Vec<String> {
    let Some(ports) = find_service(seen, namespace, service).map(|found| list(&found["spec"]["ports"]))
    else {
        return Vec::new();
    };
    let Some(port) = ports
        .iter()
        .find(|known| known["port"] == *port || known["name"] == *port)
    else {
        return Vec::new();
    };
    let slices = seen.endpoint_slices.iter().filter(|slice| {
        slice["metadata"]["namespace"] == namespace
            && slice["metadata"]["labels"]["kubernetes.io/service-name"] == *service
    });
    let mut found = Vec::new();
    for slice in slices {
        // A port without a name is one with an empty name in a slice.
        let of_port = |known: &&Value| text(&known["name"]) == text(&port["name"]);
        let Some(number) = list(&slice["ports"])
            .iter()
            .find(of_port)
            .map(|port| &port["port"])
        else {
            continue;
        };
        let is_ready = |endpoint: &&Value| endpoint["conditions"]["ready"] != false;
        for endpoint in list(&slice["endpoints"]).iter().filter(is_ready) {
            for address in list(&endpoint["addresses"]).iter().map(text) {
                // Names below localhost stand for this machine (RFC 6761 §6.3); not every resolver knows them.
                let address = if address.ends_with(".localhost") {
                    "127.0.0.1".to_owned()
                } else {
                    address
                };
                found.push(format!("{address}:{number}"));
            }
        }
    }
    found
}

pub(super) fn find_service<'a>(seen: &'a Seen, namespace: &str, name: &Value) -> Option<&'a Value> {
    let mut services = seen.services.iter();
    services.find(|known| known["metadata"]["namespace"] == namespace && known["metadata"]["name"] == *name)
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(host: &str, path: &str, exact: bool, one_label: bool) -> Entry {
        Entry {
            host: host.into(),
            one_label,
            path: path.into(),
            exact,
            backends: Vec::new(),
        }
    }

    #[test]
    fn the_more_specific_host_wins_and_then_the_longer_path() {
        let entries = [
            entry("", "/", false, true),
            entry("*.shop.example", "/", false, true),
            entry("*.example", "/wide", false, false),
            entry("a.shop.example", "/", false, true),
            entry("a.shop.example", "/.well-known/acme-challenge", false, true),
            entry("a.shop.example", "/.well-known/acme-challenge/x", true, true),
        ];
        for (host, path, number) in [
            ("a.shop.example", "/.well-known/acme-challenge/x", 5),
            ("a.shop.example", "/.well-known/acme-challenge/y", 4),
            ("a.shop.example", "/.well-known/acme-challenge", 4),
            ("a.shop.example", "/.well-known/acme-challenges", 3),
            ("a.shop.example", "/", 3),
            ("b.shop.example", "/", 1),
            ("b.shop.example", "/wide", 1),
            ("c.b.shop.example", "/wide/x", 2),
            ("c.b.shop.example", "/", 0),
            ("shop.example", "/wide", 2),
            ("example", "/wide", 0),
        ] {
            let found = find(&entries, host, path).unwrap();
            assert_eq!(*found, entries[number], "{host}{path}");
        }
        assert_eq!(find(&entries[1..], "other.net", "/"), None);
    }

    #[test]
    fn an_ingress_of_our_class_leads_to_the_ready_endpoints_of_its_service() {
        let class = |name: &str, controller: &str| json!({ "metadata": { "name": name }, "spec": { "controller": controller } });
        let ingress = |class: &str| {
            json!({
                "metadata": { "namespace": "web" },
                "spec": { "ingressClassName": class, "rules": [{ "host": "a.example", "http": { "paths": [{
                    "path": "/", "pathType": "Prefix",
                    "backend": { "service": { "name": "front", "port": { "number": 80 } } },
                }] } }] },
            })
        };
        let seen = Seen {
            ingress_classes: vec![class("ours", "us"), class("theirs", "them")],
            ingresses: vec![ingress("ours"), ingress("theirs"), ingress("nobodys")],
            services: vec![json!({ "metadata": { "namespace": "web", "name": "front" },
                "spec": { "ports": [{ "name": "http", "port": 80 }] } })],
            endpoint_slices: vec![json!({
                "metadata": { "namespace": "web", "labels": { "kubernetes.io/service-name": "front" } },
                "ports": [{ "name": "http", "port": 8080 }],
                "endpoints": [
                    { "addresses": ["10.0.0.1"], "conditions": { "ready": true } },
                    { "addresses": ["10.0.0.2"], "conditions": { "ready": false } },
                    { "addresses": ["10.0.0.3", "pod.localhost"] },
                ],
            })],
            ..Seen::default()
        };
        let entries = of_ingresses(&seen, "us");
        let [entry] = &entries[..] else {
            panic!("{entries:?}");
        };
        assert_eq!(
            entry.backends,
            ["10.0.0.1:8080", "10.0.0.3:8080", "127.0.0.1:8080"]
        );
        assert_eq!(
            addresses(&seen, "web", &json!("front"), &json!(81)),
            Vec::<String>::new()
        );
        assert_eq!(
            addresses(&seen, "shop", &json!("front"), &json!(80)),
            Vec::<String>::new()
        );
    }
}
