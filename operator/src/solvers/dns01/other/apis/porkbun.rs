//! Porkbun: <https://porkbun.com/api/json/v3/documentation>

use hyper::header::HeaderName;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, found, is, names_below, text};

pub(super) struct Porkbun;

impl Api for Porkbun {
    fn host(&self) -> &'static str {
        "https://api.porkbun.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with(HeaderName::from_static("x-api-key"), &by.id)
            .with(HeaderName::from_static("x-secret-api-key"), &by.token)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/api/json/v3/domain/get/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let found = &answer["domain"];
        // Of one that is not local the records come from elsewhere.
        let is_it = is(&found["domain"], zone) && text(&found["notLocal"]).as_deref() != Some("1");
        is_it.then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Ask::get(format!("/api/json/v3/dns/retrieve/{}", encoded(at.id)))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        Some(Page {
            // Names have their zone behind them here, and have not where a record is made.
            found: names_below(found(&answer["records"], "name", "content")?, at),
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        // Without a TTL it has the shortest that the account may have.
        let body = json!({ "type": "TXT", "name": name, "content": value });
        Ask::post(format!("/api/json/v3/dns/create/{}", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::post(format!("/api/json/v3/dns/delete/{zone}/{id}"), json!({}))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        match answer["code"].as_str().unwrap_or_default() {
            "API_KEY_REQUIRED" | "INVALID_TOKEN" | "INVALID_USER" => 401,
            code if code.starts_with("INVALID_API_KEYS") => 401,
            // The user lets no API at this zone.
            code if code.starts_with("DOMAIN_IS_NOT_OPTED_IN") => 403,
            "API_ACCESS_DISABLED" => 403,
            "DOMAIN_NOT_FOUND" | "INVALID_DOMAIN" | "INVALID_RECORD_ID" => 404,
            // It is there already.
            "DUPLICATE_RECORD" => 200,
            _ if status < 300 && is(&answer["status"], "ERROR") => 400,
            _ => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let keys = "x-api-key: pk1_shop\nx-secret-api-key: TOKEN";
        let domain = |not_local: Value| {
            json!({ "status": "SUCCESS", "domain": { "domain": "shop.example", "status": "ACTIVE", "tld": "example",
                "apiAccess": 1, "notLocal": not_local } })
        };
        let error = |code: &str, words: &str| json!({ "status": "ERROR", "code": code, "message": words });
        Published {
            name: ProviderName::Porkbun,
            account: "pk1_shop",
            zone: &format!("GET /api/json/v3/domain/get/shop.example\n{keys}"),
            is_zone: (domain(json!(0)), "shop.example"),
            is_no_zone: vec![
                (404, error("DOMAIN_NOT_FOUND", "Domain not found.")),
                (400, error("INVALID_DOMAIN", "Invalid domain.")),
                (200, domain(json!(1))),
                (200, domain(json!("1"))),
            ],
            refused: (
                400,
                error("INVALID_API_KEYS_001", "Invalid API key. (001)"),
                "Invalid API key. (001)",
            ),
            records: &format!("GET /api/json/v3/dns/retrieve/shop.example\n{keys}"),
            page: json!({ "status": "SUCCESS", "cloudflare": "disabled", "records": [
                { "id": "7", "name": "_acme-challenge.www.shop.example", "type": "TXT", "content": "v", "ttl": "600",
                    "prio": null, "notes": null },
                { "id": "8", "name": "shop.example", "type": "MX", "content": "mx.example", "ttl": "600", "prio": "10" },
            ] }),
            id: "7",
            next: None,
            none: json!({ "status": "SUCCESS", "cloudflare": "disabled", "records": [] }),
            make: &format!(
                "POST /api/json/v3/dns/create/shop.example\n{keys}\n{}",
                r#"{"content":"v","name":"_acme-challenge.www","type":"TXT"}"#
            ),
            delete: &format!("POST /api/json/v3/dns/delete/shop.example/7\n{keys}\n{{}}"),
        }
        .holds();
    }
}
