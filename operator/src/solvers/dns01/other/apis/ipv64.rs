//! IPv64.net: <https://ipv64.net/dyndns_updater_api>. One answer has all domains and their records. A record is deleted by
//! what it has, and its TTL is the account's.

use hyper::Method;
use serde_json::Value;

use super::{Api, Ask, Found, Login, Page, Zone, is, text, unquoted};

pub(super) struct Ipv64;

impl Ipv64 {
    /// Does this to a TXT record.
    fn change(what: &str, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let pairs = [
            (what, at.id),
            ("praefix", name),
            ("type", "TXT"),
            ("content", value),
        ];
        Ask::form("/api".into(), pairs)
    }
}

impl Api for Ipv64 {
    fn host(&self) -> &'static str {
        "https://ipv64.net"
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        Ask::get("/api?get_domains".into())
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["subdomains"].as_object()?.keys();
        zones.find(|found| found.eq_ignore_ascii_case(zone)).cloned()
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        self.zone(at.by, at.name)
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let mut found = Vec::new();
        for record in answer["subdomains"][at.id]["records"].as_array()? {
            if is(&record["type"], "TXT") {
                let value = record["content"].as_str()?;
                found.push(Found {
                    id: value.to_owned(),
                    name: text(&record["praefix"]).unwrap_or_default(),
                    value: unquoted(value).to_owned(),
                });
            }
        }
        Some(Page { found, next: None })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        Self::change("add_record", at, name, value)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        Ask {
            method: Method::DELETE,
            ..Self::change("del_record", at, &found.name, &found.id)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let bearer = "authorization: Bearer TOKEN";
        let record = "shop.example&praefix=_acme-challenge.www&type=TXT&content=v";
        let domains = |shop: Value| {
            let dev = json!([{ "record_id": 6, "content": "v", "ttl": 60, "type": "TXT", "praefix": "" }]);
            json!({
                "subdomains": {
                    "dev.shop.example": { "updates": 0, "wildcard": 1, "records": dev },
                    "shop.example": { "updates": 0, "wildcard": 1, "records": shop },
                },
                "info": "success",
                "status": "200 OK",
            })
        };
        Published {
            name: ProviderName::Ipv64,
            account: "",
            zone: &format!("GET /api?get_domains\n{bearer}"),
            is_zone: (domains(json!([])), "shop.example"),
            is_no_zone: vec![
                (200, json!({ "subdomains": { "dev.shop.example": { "records": [] } }, "info": "success" })),
                (200, json!({ "subdomains": [], "info": "success", "status": "200 OK" })),
            ],
            refused: (
                401,
                json!({ "status": "401 Unauthorized", "info": "Unauthorized" }),
                "Unauthorized",
            ),
            records: &format!("GET /api?get_domains\n{bearer}"),
            page: domains(json!([
                { "record_id": 7, "content": "v", "ttl": 60, "type": "TXT", "praefix": "_acme-challenge.www" },
                { "record_id": 8, "content": "w", "ttl": 60, "type": "TXT", "praefix": "" },
                { "record_id": 9, "content": "192.0.2.1", "ttl": 60, "type": "A", "praefix": "www" },
            ])),
            id: "v",
            next: None,
            none: domains(json!([])),
            make: &format!("POST /api\n{bearer}\nadd_record={record}"),
            delete: &format!("DELETE /api\n{bearer}\ndel_record={record}"),
        }
        .holds();
    }
}
