//! A solver of cert-manager that answers by DNS. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fields::Fields;

/// A way that Sancho has as well, and the fields that carry over as they are.
const WAYS: [(&str, &[&str]); 8] = [
    (
        "rfc2136",
        &["nameserver", "protocol", "tsigKeyName", "tsigSecretSecretRef"],
    ),
    ("cloudflare", &["email", "apiTokenSecretRef", "apiKeySecretRef"]),
    (
        "route53",
        &[
            "region",
            "hostedZoneID",
            "accessKeyID",
            "accessKeyIDSecretRef",
            "secretAccessKeySecretRef",
        ],
    ),
    (
        "cloudDNS",
        &["project", "hostedZoneName", "serviceAccountSecretRef"],
    ),
    (
        "azureDNS",
        &[
            "subscriptionID",
            "resourceGroupName",
            "hostedZoneName",
            "environment",
            "tenantID",
            "clientID",
            "clientSecretSecretRef",
        ],
    ),
    ("acmeDNS", &["host", "accountSecretRef"]),
    ("digitalocean", &["tokenSecretRef"]),
    ("webhook", &["groupName", "solverName", "config"]),
];

/// The solver, if Sancho has such a one. `None` with a remark if not, or if it is none by DNS.
pub fn solver(solver: &Value, kind: &str, path: &str, remarks: &mut Vec<String>) -> Option<Value> {
    let dns01 = solver["dns01"].as_object()?;
    let Some((way, known)) = WAYS.iter().find(|(way, _)| dns01.contains_key(*way)) else {
        let mut providers = dns01.keys().filter(|key| *key != "cnameStrategy");
        let provider = providers.next().map_or("no provider", String::as_str);
        remarks.push(format!(
            "{path}: DNS-01 ({provider}) does not carry over; its names must be reachable by HTTP, or stay with \
             cert-manager"
        ));
        return None;
    };
    let mut fields = Fields::of(&dns01[*way]);
    if is_ambient(way, &dns01[*way]) {
        remarks.push(format!(
            "{path}: DNS-01 ({way}) by ambient credentials or a role does not carry over: make a key or secret of its own, \
             put it into a Secret and name that in the solver"
        ));
        return None;
    }
    if *way == "webhook" {
        remarks.push(format!(
            "{path}.dns01.webhook: let Sancho's service account create that solver in its API group, as cert-manager's may, \
             by a ClusterRoleBinding"
        ));
    }
    let mut settings = json!({});
    for field in *known {
        if let Some(value) = fields.take(field) {
            settings[field] = value;
        }
    }
    if *way == "rfc2136" {
        algorithm(&mut fields, &mut settings, path, remarks);
    }
    if kind == "ClusterIssuer" {
        let values = settings
            .as_object()
            .into_iter()
            .flat_map(|fields| fields.values());
        let names: BTreeSet<&str> = values.filter_map(|value| value["name"].as_str()).collect();
        remarks.extend(names.into_iter().map(|name| {
            format!("{path}.dns01: copy Secret {name} from cert-manager's namespace to the operator's")
        }));
    }
    remarks.extend(fields.rest(&format!("{path}.dns01.{way}")));
    let mut wanted = match *way {
        // It has no form of its own here.
        "digitalocean" => {
            settings["name"] = "digitalocean".into();
            json!({ "dns01": { "provider": settings } })
        }
        way => json!({ "dns01": { way: settings } }),
    };
    if let Some(strategy) = cname_strategy(way, dns01.get("cnameStrategy")) {
        wanted["dns01"]["cnameStrategy"] = strategy.into();
    }
    if solver["selector"]
        .as_object()
        .is_some_and(|selector| !selector.is_empty())
    {
        wanted["selector"] = solver["selector"].clone();
    }
    Some(wanted)
}

/// Which CNAMEs are followed there, so that the same are here.
fn cname_strategy(way: &str, theirs: Option<&Value>) -> Option<&'static str> {
    match (way, theirs.and_then(Value::as_str)) {
        (_, Some("Follow")) => Some("Follow"),
        // There the account is found by the domain, and here by where the CNAME leads that has to be there.
        ("acmeDNS", _) => None,
        // What it means there to leave it out.
        _ => Some("None"),
    }
}

/// Does it get its credentials from where it runs, or by taking on a role?
fn is_ambient(way: &str, settings: &Value) -> bool {
    let has = |field: &str| !settings[field].is_null() && settings[field] != "";
    match way {
        "route53" => has("role") || has("auth") || !has("secretAccessKeySecretRef"),
        "cloudDNS" => !has("serviceAccountSecretRef"),
        "azureDNS" => has("managedIdentity") || !has("clientSecretSecretRef"),
        _ => false,
    }
}

fn algorithm(fields: &mut Fields, rfc2136: &mut Value, path: &str, remarks: &mut Vec<String>) {
    let is_signed = rfc2136["tsigKeyName"].is_string();
    match fields.take_text("tsigAlgorithm") {
        Some(known) if matches!(known.as_str(), "HMACSHA256" | "HMACSHA512") => {
            rfc2136["tsigAlgorithm"] = known.into();
        }
        // The default there is HMACMD5.
        other if is_signed => remarks.push(format!(
            "{path}.dns01.rfc2136.tsigAlgorithm: {} is not to be had here: give the DNS server a key for HMACSHA256, and \
             put it into the Secret",
            other.unwrap_or_else(|| "HMACMD5, cert-manager's default,".into())
        )),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use sancho_crds::Solver;

    use super::*;

    #[test]
    fn dynamic_updates_carry_over_with_their_selector() {
        let theirs = json!({
            "selector": { "dnsZones": ["shop.example"] },
            "dns01": { "cnameStrategy": "Follow", "rfc2136": {
                "nameserver": "192.0.2.53:5353", "tsigKeyName": "k", "tsigAlgorithm": "HMACSHA512",
                "tsigSecretSecretRef": { "name": "tsig", "key": "key" }, "new": 1,
            } },
        });
        let mut remarks = Vec::new();
        let ours = solver(&theirs, "ClusterIssuer", "solvers[0]", &mut remarks).unwrap();
        let mut expected = theirs;
        expected["dns01"]["rfc2136"]
            .as_object_mut()
            .unwrap()
            .remove("new");
        assert_eq!(ours, expected);
        serde_json::from_value::<Solver>(ours).unwrap();
        assert_eq!(remarks.len(), 2, "{remarks:?}");
        assert!(remarks[0].contains("copy Secret tsig"), "{remarks:?}");
        assert!(remarks[1].contains("solvers[0].dns01.rfc2136.new"), "{remarks:?}");
    }

    #[test]
    fn an_algorithm_that_is_not_to_be_had_is_told() {
        let theirs = json!({ "dns01": { "rfc2136": {
            "nameserver": "192.0.2.53", "tsigKeyName": "k", "tsigSecretSecretRef": { "name": "tsig", "key": "key" },
        } } });
        let mut remarks = Vec::new();
        let ours = solver(&theirs, "Issuer", "solvers[0]", &mut remarks).unwrap();
        assert_eq!(ours["dns01"]["rfc2136"]["tsigAlgorithm"], Value::Null);
        assert!(
            remarks[0].contains("HMACMD5, cert-manager's default"),
            "{remarks:?}"
        );
        assert_eq!(remarks.len(), 1, "{remarks:?}");
    }

    #[test]
    fn the_same_cnames_are_followed_as_there() {
        let rfc2136 = json!({ "nameserver": "192.0.2.53" });
        let acme_dns = json!({
            "host": "https://auth.example", "accountSecretRef": { "name": "accounts", "key": "json" },
        });
        for (way, settings, theirs, ours) in [
            ("rfc2136", &rfc2136, Some("Follow"), Some("Follow")),
            ("rfc2136", &rfc2136, Some("None"), Some("None")),
            ("rfc2136", &rfc2136, None, Some("None")),
            ("acmeDNS", &acme_dns, Some("Follow"), Some("Follow")),
            ("acmeDNS", &acme_dns, None, None),
        ] {
            let mut given = json!({ "dns01": { way: settings } });
            let mut expected = given.clone();
            for (solver, strategy) in [(&mut given, theirs), (&mut expected, ours)] {
                if let Some(strategy) = strategy {
                    solver["dns01"]["cnameStrategy"] = strategy.into();
                }
            }
            let mut remarks = Vec::new();
            let imported = solver(&given, "Issuer", "solvers[0]", &mut remarks).unwrap();
            assert_eq!(imported, expected);
            serde_json::from_value::<Solver>(imported).unwrap();
            assert!(remarks.is_empty(), "{remarks:?}");
        }
    }

    #[test]
    fn solvers_by_providers_carry_over_with_the_secrets_to_copy() {
        let cloudflare = json!({ "dns01": { "cnameStrategy": "Follow", "cloudflare": {
            "apiTokenSecretRef": { "name": "token", "key": "token" },
        } } });
        let route53 = json!({ "dns01": { "cnameStrategy": "Follow", "route53": {
            "region": "us-east-1", "hostedZoneID": "Z1", "accessKeyIDSecretRef": { "name": "aws", "key": "id" },
            "secretAccessKeySecretRef": { "name": "aws", "key": "key" },
        } } });
        let azure = json!({ "dns01": { "cnameStrategy": "Follow", "azureDNS": {
            "subscriptionID": "s", "resourceGroupName": "g", "hostedZoneName": "a.example", "environment": "AzurePublicCloud",
            "tenantID": "t", "clientID": "c", "clientSecretSecretRef": { "name": "azure", "key": "secret" },
        } } });
        let google = json!({ "dns01": { "cnameStrategy": "Follow", "cloudDNS": {
            "project": "p", "serviceAccountSecretRef": { "name": "google", "key": "key.json" },
        } } });
        let acme_dns = json!({ "dns01": { "cnameStrategy": "Follow", "acmeDNS": {
            "host": "https://auth.example", "accountSecretRef": { "name": "accounts", "key": "json" },
        } } });
        for theirs in [cloudflare, route53, azure, google, acme_dns] {
            let mut remarks = Vec::new();
            let ours = solver(&theirs, "ClusterIssuer", "solvers[0]", &mut remarks).unwrap();
            serde_json::from_value::<Solver>(ours.clone()).unwrap();
            assert_eq!(ours, theirs);
            assert_eq!(remarks.len(), 1, "{remarks:?}");
            assert!(remarks[0].contains("copy Secret"), "{remarks:?}");
        }
        let digital_ocean = json!({ "dns01": { "cnameStrategy": "Follow", "digitalocean": {
            "tokenSecretRef": { "name": "token", "key": "access-token" },
        } } });
        let ours = solver(&digital_ocean, "Issuer", "solvers[0]", &mut Vec::new()).unwrap();
        serde_json::from_value::<Solver>(ours.clone()).unwrap();
        let token = json!({ "name": "token", "key": "access-token" });
        let expected = json!({ "dns01": {
            "cnameStrategy": "Follow", "provider": { "name": "digitalocean", "tokenSecretRef": token },
        } });
        assert_eq!(ours, expected);
        let webhook = json!({ "dns01": { "cnameStrategy": "None", "webhook": {
            "groupName": "acme.example.com", "solverName": "own", "config": { "anything": [{ "goes": 1 }] },
        } } });
        let mut remarks = Vec::new();
        let ours = solver(&webhook, "Issuer", "solvers[0]", &mut remarks).unwrap();
        assert_eq!(ours, webhook);
        assert!(remarks[0].contains("ClusterRoleBinding"), "{remarks:?}");
        for ambient in [
            json!({ "region": "eu" }),
            json!({ "role": "arn:aws:iam::1:role/dns" }),
        ] {
            let mut remarks = Vec::new();
            let theirs = json!({ "dns01": { "route53": ambient } });
            assert_eq!(solver(&theirs, "Issuer", "solvers[0]", &mut remarks), None);
            assert!(remarks[0].contains("ambient credentials"), "{remarks:?}");
        }
    }
}
