//! AutoDNS of InterNetX: <https://help.internetx.com/display/APIJSONEN>. Records have no IDs, and are removed by what they are.

use hyper::header::HeaderName;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, is, text, unquoted};

pub(super) struct AutoDns;

impl AutoDns {
    /// As other clients have it.
    const TTL: u32 = 600;
    /// Of its own customers; 1 is that of the demo system.
    const CONTEXT: &str = "4";

    fn changed(at: &Zone<'_>, what: &str, records: &[Value]) -> Ask {
        let body = json!({ what: records });
        Ask::post(format!("/v1/zone/{}/_stream", encoded(at.name)), body)
    }

    fn added(at: &Zone<'_>, records: &[(&str, &str)]) -> Ask {
        let records = records.iter().map(|&(name, value)| {
            let name = if name == "@" { "" } else { name };
            json!({ "type": "TXT", "name": name, "value": value, "ttl": Self::TTL })
        });
        Self::changed(at, "adds", &records.collect::<Vec<Value>>())
    }

    fn removed(at: &Zone<'_>, found: &[&Found]) -> Ask {
        let records = found
            .iter()
            .map(|found| serde_json::from_str::<Value>(&found.id).unwrap_or_default());
        Self::changed(at, "rems", &records.collect::<Vec<Value>>())
    }
}

impl Api for AutoDns {
    fn host(&self) -> &'static str {
        "https://api.autodns.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with_basic(by)
            .with(HeaderName::from_static("x-domainrobot-context"), Self::CONTEXT)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        let filter = json!({ "key": "name", "operator": "EQUAL", "value": zone });
        Ask::post("/v1/zone/_search".into(), json!({ "filters": [filter] }))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["data"].as_array()?.iter();
        let found = zones.find(|found| is(&found["origin"], zone) || is(&found["idn"], zone))?;
        // Its first name server, which is asked for beside its name.
        text(&found["virtualNameServer"])
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        let (zone, server) = (encoded(at.name), encoded(at.id));
        Ask::get(format!("/v1/zone/{zone}/{server}"))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let zone = answer["data"].as_array()?.first()?.as_object()?;
        let none = json!([]);
        let records = zone.get("resourceRecords").unwrap_or(&none).as_array()?;
        let mut all = Vec::new();
        for record in records.iter().filter(|record| is(&record["type"], "TXT")) {
            all.push(Found {
                id: record.to_string(),
                name: text(&record["name"]).unwrap_or_default(),
                value: unquoted(record["value"].as_str()?).to_owned(),
            });
        }
        Some(Page {
            found: all,
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        Self::added(at, &[(name, value)])
    }

    fn make_all(&self, at: &Zone<'_>, records: &[(&str, &str)]) -> Vec<Ask> {
        vec![Self::added(at, records)]
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        Self::removed(at, &[found])
    }

    fn delete_all(&self, at: &Zone<'_>, found: &[&Found]) -> Vec<Ask> {
        vec![Self::removed(at, found)]
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        match status {
            200 if is(&answer["status"]["type"], "ERROR") => 400,
            status => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::{Published, Several};
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let let_in = "authorization: Basic c2hvcDpUT0tFTg==\nx-domainrobot-context: 4";
        let record = r#"{"name":"_acme-challenge.www","ttl":600,"type":"TXT","value":"v"}"#;
        let status = json!({ "code": "S0205", "text": "Zone info was successful.", "type": "SUCCESS" });
        let zone = |records: Value| {
            json!({ "stid": "1", "status": status, "data": [
            { "origin": "shop.example", "virtualNameServer": "a.ns14.net", "resourceRecords": records },
        ] })
        };
        Published {
            name: ProviderName::AutoDns,
            account: "shop",
            zone: &format!(
                "POST /v1/zone/_search\n{let_in}\n{}",
                r#"{"filters":[{"key":"name","operator":"EQUAL","value":"shop.example"}]}"#
            ),
            is_zone: (
                json!({ "status": status, "data": [{ "origin": "shop.example", "virtualNameServer": "a.ns14.net" }] }),
                "a.ns14.net",
            ),
            is_no_zone: vec![(200, json!({ "status": status, "data": [] }))],
            refused: (
                401,
                json!({ "messages": [{ "text": "Failed to authenticate.", "status": "ERROR" }], "status": { "type": "ERROR" } }),
                "Failed to authenticate.",
            ),
            records: &format!("GET /v1/zone/shop.example/a.ns14.net\n{let_in}"),
            page: zone(json!([
                { "name": "_acme-challenge.www", "ttl": 600, "type": "TXT", "value": "v" },
                { "name": "", "ttl": 600, "type": "CAA", "value": "0 issue \"ca.example\"" },
            ])),
            id: record,
            next: None,
            none: zone(json!([])),
            make: &format!("POST /v1/zone/shop.example/_stream\n{let_in}\n{{\"adds\":[{record}]}}"),
            delete: &format!("POST /v1/zone/shop.example/_stream\n{let_in}\n{{\"rems\":[{record}]}}"),
        }
        .holds();
        let fails = json!({ "status": { "code": "E0202002", "type": "ERROR" } });
        assert_eq!(AutoDns.status(200, &fails), 400);
    }

    #[test]
    fn several_go_by_one_request() {
        let path = "POST /v1/zone/shop.example/_stream";
        let v = r#"{"name":"_acme-challenge.www","ttl":600,"type":"TXT","value":"v"}"#;
        let w = r#"{"name":"_acme-challenge.www","ttl":600,"type":"TXT","value":"w"}"#;
        let x = r#"{"name":"","ttl":600,"type":"TXT","value":"x"}"#;
        Several {
            name: ProviderName::AutoDns,
            zone: "a.ns14.net",
            make: &[&format!("{path}\n{{\"adds\":[{v},{w},{x}]}}")],
            ids: [v, w, x],
            delete: &[&format!("{path}\n{{\"rems\":[{v},{w},{x}]}}")],
        }
        .holds();
    }
}
