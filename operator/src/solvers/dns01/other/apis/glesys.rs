//! GleSYS: <https://github.com/glesys/api-docs/wiki/API-Documentation>

use hyper::header::{ACCEPT, CONTENT_TYPE};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, TTL, Zone, is, text, unquoted};

pub(super) struct Glesys;

impl Api for Glesys {
    fn host(&self) -> &'static str {
        "https://api.glesys.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        // It answers in XML otherwise.
        ask.with(ACCEPT, "application/json").with_basic(by)
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        // All of the project's.
        Ask::get("/domain/list".into()).with(CONTENT_TYPE, "application/json")
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["response"]["domains"].as_array()?.iter();
        text(&zones.find(|found| is(&found["domainname"], zone))?["domainname"])
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Ask::post("/domain/listrecords".into(), json!({ "domainname": at.id }))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let mut found = Vec::new();
        for record in answer["response"]["records"].as_array()? {
            if is(&record["type"], "TXT") {
                found.push(Found {
                    id: text(&record["recordid"])?,
                    name: text(&record["host"])?,
                    value: unquoted(record["data"].as_str()?).to_owned(),
                });
            }
        }
        Some(Page { found, next: None })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let body = json!({ "domainname": at.id, "host": name, "type": "TXT", "data": value, "ttl": TTL });
        Ask::post("/domain/addrecord".into(), body)
    }

    fn delete(&self, _: &Zone<'_>, found: &Found) -> Ask {
        let id = found.id.parse::<u64>().ok();
        Ask::post("/domain/deleterecord".into(), json!({ "recordid": id }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let let_in = "accept: application/json\nauthorization: Basic Y2wxMjM0NTpUT0tFTg==";
        Published {
            name: ProviderName::Glesys,
            account: "cl12345",
            zone: &format!("GET /domain/list\ncontent-type: application/json\n{let_in}"),
            is_zone: (
                json!({ "response": { "status": { "code": 200 }, "domains": [
                    { "domainname": "dev.shop.example", "recordcount": 4 },
                    { "domainname": "shop.example", "recordcount": 9 },
                ] } }),
                "shop.example",
            ),
            is_no_zone: vec![
                (200, json!({ "response": { "domains": [{ "domainname": "dev.shop.example" }] } })),
                (200, json!({ "response": { "domains": [] } })),
            ],
            refused: (
                401,
                json!({ "response": { "status": { "code": 401, "text": "Access Denied." } } }),
                "Access Denied.",
            ),
            records: &format!("POST /domain/listrecords\n{let_in}\n{{\"domainname\":\"shop.example\"}}"),
            page: json!({ "response": { "status": { "code": 200 }, "records": [
                { "recordid": 7, "domainname": "shop.example", "host": "_acme-challenge.www", "type": "TXT", "data": "v", "ttl": 60 },
                { "recordid": 8, "domainname": "shop.example", "host": "@", "type": "TXT", "data": "w", "ttl": 60 },
                { "recordid": 9, "domainname": "shop.example", "host": "www", "type": "A", "data": "192.0.2.1", "ttl": 60 },
            ] } }),
            id: "7",
            next: None,
            none: json!({ "response": { "records": [] } }),
            make: &format!(
                "POST /domain/addrecord\n{let_in}\n{}",
                r#"{"data":"v","domainname":"shop.example","host":"_acme-challenge.www","ttl":60,"type":"TXT"}"#
            ),
            delete: &format!("POST /domain/deleterecord\n{let_in}\n{{\"recordid\":7}}"),
        }
        .holds();
    }
}
