//! Domeneshop: <https://api.domeneshop.no/docs/#tag/dns>

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, TTL, Zone, encoded, found, is, text};

pub(super) struct Domeneshop;

impl Api for Domeneshop {
    fn host(&self) -> &'static str {
        "https://api.domeneshop.no"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with_basic(by)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        // Domains whose names have this within them.
        Ask::get(format!("/v0/domains?domain={}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer.as_array()?.iter();
        let found = zones.find(|found| is(&found["domain"], zone))?;
        // Others are not served there.
        let is_served = found["services"]["dns"] == json!(true) && !is(&found["status"], "deactivated");
        text(&found["id"]).filter(|_| is_served)
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        // All of them: it has no pages.
        Ask::get(format!("/v0/domains/{}/dns?type=TXT", encoded(at.id)))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let is_list = answer.as_array()?.iter().all(Value::is_object);
        Some(Page {
            found: found(answer, "host", "data").filter(|_| is_list)?,
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let body = json!({ "type": "TXT", "host": name, "data": value, "ttl": TTL });
        Ask::post(format!("/v0/domains/{}/dns", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v0/domains/{zone}/dns/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let basic = "authorization: Basic c2hvcDpUT0tFTg==";
        let domain = |dns: bool, status: &str| {
            json!({ "id": 42, "domain": "shop.example", "status": status, "nameservers": ["ns1.hyp.net"],
                "services": { "registrar": true, "dns": dns, "email": false, "webhotel": "none" } })
        };
        Published {
            name: ProviderName::Domeneshop,
            account: "shop",
            zone: &format!("GET /v0/domains?domain=shop.example\n{basic}"),
            is_zone: (
                json!([{ "id": 41, "domain": "my-shop.example", "status": "active", "services": { "dns": true } },
                    domain(true, "active")]),
                "42",
            ),
            is_no_zone: vec![
                (200, json!([])),
                (200, json!([domain(false, "active")])),
                (200, json!([domain(true, "deactivated")])),
            ],
            refused: (
                401,
                json!({ "code": "authentication:failed", "help": "Authentication failed" }),
                "Authentication failed",
            ),
            records: &format!("GET /v0/domains/42/dns?type=TXT\n{basic}"),
            page: json!([
                { "id": 7, "host": "_acme-challenge.www", "ttl": 60, "type": "TXT", "data": "v" },
                { "id": 8, "host": "@", "ttl": 3600, "type": "TXT", "data": "w" },
            ]),
            id: "7",
            next: None,
            none: json!([]),
            make: &format!(
                "POST /v0/domains/42/dns\n{basic}\n{}",
                r#"{"data":"v","host":"_acme-challenge.www","ttl":60,"type":"TXT"}"#
            ),
            delete: &format!("DELETE /v0/domains/42/dns/7\n{basic}"),
        }
        .holds();
    }
}
