//! hosting.de: <https://www.hosting.de/api/#dns>. The token stands in the body, and all is answered 200. While a zone takes a
//! change, it is blocked for others.

use hyper::header::ACCEPT;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Api, Ask, Body, Found, Login, Page, TTL, Zone, found, full, is, names_below, next_of, quoted, text,
};

pub(super) struct HostingDe;

impl HostingDe {
    fn ask(method: &str, body: Value) -> Ask {
        Ask::post(format!("/api/dns/v1/json/{method}"), body)
    }

    fn added(at: &Zone<'_>, records: &[(&str, &str)]) -> Ask {
        let records = records.iter().map(|&(name, value)| {
            let name = full(name, at.name);
            json!({ "name": name, "type": "TXT", "content": quoted(value), "ttl": TTL })
        });
        let records: Vec<Value> = records.collect();
        let body = json!({ "zoneConfigId": at.id, "recordsToAdd": records });
        Self::ask("recordsUpdate", body)
    }

    fn deleted(at: &Zone<'_>, found: &[&Found]) -> Ask {
        let records: Vec<Value> = found.iter().map(|found| json!({ "id": found.id })).collect();
        let body = json!({ "zoneConfigId": at.id, "recordsToDelete": records });
        Self::ask("recordsUpdate", body)
    }
}

impl Api for HostingDe {
    fn host(&self) -> &'static str {
        "https://secure.hosting.de"
    }

    fn let_in(&self, by: &Login, mut ask: Ask, _: Timestamp) -> Ask {
        if let Some(Body::Json(body)) = &mut ask.body {
            body["authToken"] = by.token.as_str().into();
        }
        ask.with(ACCEPT, "application/json")
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        let filter = json!({ "field": "zoneName", "value": zone });
        let body = json!({ "filter": filter, "limit": 1, "page": 1 });
        Self::ask("zoneConfigsFind", body)
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["response"]["data"].as_array()?.iter();
        let found = zones.find(|found| is(&found["name"], zone))?;
        // A blocked one is changed right now. A slave has its records from elsewhere.
        let is_served = is(&found["status"], "active") || is(&found["status"], "blocked");
        (is_served && !is(&found["type"], "SLAVE")).then(|| text(&found["id"]))?
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let page: u64 = page.and_then(|page| page.parse().ok()).unwrap_or(1);
        let filter = json!({
            "subFilterConnective": "AND",
            "subFilter": [
                { "field": "zoneConfigId", "value": at.id },
                { "field": "recordType", "value": "TXT" },
            ],
        });
        let body = json!({ "filter": filter, "limit": 100, "page": page });
        Self::ask("recordsFind", body)
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let answer = &answer["response"];
        let all = names_below(found(&answer["data"], "name", "content")?, at);
        Some(Page {
            found: all,
            next: next_of(&answer["page"], &answer["totalPages"]),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        Self::added(at, &[(name, value)])
    }

    fn make_all(&self, at: &Zone<'_>, records: &[(&str, &str)]) -> Vec<Ask> {
        // One after the other, each would find the zone blocked by the one before.
        vec![Self::added(at, records)]
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        Self::deleted(at, &[found])
    }

    fn delete_all(&self, at: &Zone<'_>, found: &[&Found]) -> Vec<Ask> {
        vec![Self::deleted(at, found)]
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        if status != 200 || !is(&answer["status"], "error") {
            return status;
        }
        match answer["errors"][0]["code"].as_u64() {
            Some(10109) => 401,
            // The zone is blocked.
            Some(10205) => 423,
            _ => 400,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::{Published, Several};
    use super::*;

    fn error(code: u64, text: &str) -> Value {
        json!({ "errors": [{ "code": code, "text": text, "value": "" }], "status": "error", "response": null })
    }

    fn zones(status: &str, kind: &str) -> Value {
        let zone = json!({ "id": "z1", "name": "shop.example", "status": status, "type": kind });
        json!({ "errors": [], "status": "success", "response": { "data": [zone], "page": 1, "totalPages": 1 } })
    }

    #[test]
    fn what_is_answered_200_is_told_by_its_code() {
        let blocked = error(10205, "The object is blocked");
        assert_eq!(HostingDe.status(200, &blocked), 423);
        assert_eq!(HostingDe.status(200, &error(1, "another")), 400);
        assert_eq!(HostingDe.status(200, &json!({ "status": "pending" })), 200);
        assert_eq!(HostingDe.status(502, &json!(null)), 502);
        let id = HostingDe.zone_id(&zones("blocked", "NATIVE"), "shop.example");
        assert_eq!(id.as_deref(), Some("z1"));
    }

    #[test]
    fn it_is_asked_as_published() {
        let filter = r#"{"subFilter":[{"field":"zoneConfigId","value":"z1"},{"field":"recordType","value":"TXT"}],"subFilterConnective":"AND"}"#;
        let records = "POST /api/dns/v1/json/recordsFind\naccept: application/json";
        let update = "POST /api/dns/v1/json/recordsUpdate\naccept: application/json";
        Published {
            name: ProviderName::HostingDe,
            account: "",
            zone: &format!(
                "POST /api/dns/v1/json/zoneConfigsFind\naccept: application/json\n{}",
                r#"{"authToken":"TOKEN","filter":{"field":"zoneName","value":"shop.example"},"limit":1,"page":1}"#
            ),
            is_zone: (zones("active", "NATIVE"), "z1"),
            is_no_zone: vec![
                (200, json!({ "errors": [], "status": "success", "response": { "data": [] } })),
                (200, zones("active", "SLAVE")),
                (200, zones("restorable", "NATIVE")),
            ],
            refused: (
                200,
                error(10109, "The API-Key is invalid or could not be found"),
                "The API-Key is invalid or could not be found",
            ),
            records: &format!(
                "{records}\n{{\"authToken\":\"TOKEN\",\"filter\":{filter},\"limit\":100,\"page\":1}}"
            ),
            page: json!({ "errors": [], "status": "success", "response": {
                "data": [
                    { "id": "r7", "name": "_acme-challenge.www.shop.example", "type": "TXT", "content": "\"v\"", "ttl": 60 },
                    { "id": "r8", "name": "shop.example", "type": "TXT", "content": "\"w\"", "ttl": 60 },
                ],
                "page": 1,
                "totalPages": 2,
            } }),
            id: "r7",
            next: Some("/api/dns/v1/json/recordsFind"),
            none: json!({ "errors": [], "status": "success", "response": { "data": [], "page": 1, "totalPages": 1 } }),
            make: &format!(
                "{update}\n{{\"authToken\":\"TOKEN\",\"recordsToAdd\":[{}],\"zoneConfigId\":\"z1\"}}",
                r#"{"content":"\"v\"","name":"_acme-challenge.www.shop.example","ttl":60,"type":"TXT"}"#
            ),
            delete: &format!(
                "{update}\n{}",
                r#"{"authToken":"TOKEN","recordsToDelete":[{"id":"r7"}],"zoneConfigId":"z1"}"#
            ),
        }
        .holds();
    }

    #[test]
    fn several_go_by_one_request() {
        let path = "POST /api/dns/v1/json/recordsUpdate";
        let adds = concat!(
            r#"{"content":"\"v\"","name":"_acme-challenge.www.shop.example","ttl":60,"type":"TXT"},"#,
            r#"{"content":"\"w\"","name":"_acme-challenge.www.shop.example","ttl":60,"type":"TXT"},"#,
            r#"{"content":"\"x\"","name":"shop.example","ttl":60,"type":"TXT"}"#,
        );
        let deletes = r#"{"id":"r7"},{"id":"r8"},{"id":"r9"}"#;
        Several {
            name: ProviderName::HostingDe,
            zone: "z1",
            make: &[&format!(
                "{path}\n{{\"recordsToAdd\":[{adds}],\"zoneConfigId\":\"z1\"}}"
            )],
            ids: ["r7", "r8", "r9"],
            delete: &[&format!(
                "{path}\n{{\"recordsToDelete\":[{deletes}],\"zoneConfigId\":\"z1\"}}"
            )],
        }
        .holds();
    }

    #[test]
    fn another_page_is_asked_for_in_the_body() {
        let by = Login {
            id: String::new(),
            token: "TOKEN".to_owned().into(),
        };
        let at = Zone {
            by: &by,
            name: "shop.example",
            id: "z1",
            about: &["_acme-challenge.www"],
        };
        let Some(Body::Json(body)) = HostingDe.records(&at, Some("2")).body else {
            panic!("it is asked without a body");
        };
        assert_eq!(body["page"], json!(2));
    }
}
