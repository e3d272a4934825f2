//! Simply.com: <https://www.simply.com/en/docs/api/>

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, TTL, Zone, encoded, is, text, unquoted};

pub(super) struct Simply;

impl Simply {
    fn path(at: &Zone<'_>) -> String {
        format!("/2/my/products/{}/dns/records/", encoded(at.id))
    }
}

impl Api for Simply {
    fn host(&self) -> &'static str {
        "https://api.simply.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with_basic(by)
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        // The list comes whole. A product's ID need not be its domain.
        Ask::get("/2/my/products/".into())
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut products = answer["products"].as_array()?.iter();
        let found = products.find(|found| is(&found["domain"]["name"], zone) || is(&found["object"], zone));
        text(&found?["object"])
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Ask::get(Self::path(at))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let mut found = Vec::new();
        for record in answer["records"].as_array()? {
            if is(&record["type"], "TXT") {
                found.push(Found {
                    id: text(&record["record_id"])?,
                    name: text(&record["name"]).unwrap_or_default(),
                    value: unquoted(record["data"].as_str()?).to_owned(),
                });
            }
        }
        Some(Page { found, next: None })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let body = json!({ "type": "TXT", "name": name, "data": value, "ttl": TTL });
        Ask::post(Self::path(at), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        Ask::delete(format!("{}{}/", Self::path(at), encoded(&found.id)))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        // What it says tells more than the status.
        let words = answer["error"].as_str().or(answer["message"].as_str());
        match words.unwrap_or_default() {
            "Invalid account authorization" => 401,
            "Unknown or invalid product reference" | "Unknown DNS record" => 404,
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
        let basic = "authorization: Basic c2hvcDpUT0tFTg==";
        let error = |words: &str| json!({ "error": words });
        let words = "Invalid account authorization";
        Published {
            name: ProviderName::Simply,
            account: "shop",
            zone: &format!("GET /2/my/products/\n{basic}"),
            is_zone: (
                json!({ "products": [
                    { "object": "blog.example", "name": "blog.example", "domain": { "name": "blog.example" } },
                    { "object": "handle-42", "name": "handle-42", "cancelled": false,
                        "domain": { "name": "shop.example", "name_idn": "shop.example", "managed": true } },
                ], "status": 200, "message": "success" }),
                "handle-42",
            ),
            is_no_zone: vec![
                (200, json!({ "products": [], "status": 200, "message": "success" })),
                (404, error("Unknown or invalid product reference")),
                (400, error("Unknown or invalid product reference")),
            ],
            refused: (401, error(words), words),
            records: &format!("GET /2/my/products/handle-42/dns/records/\n{basic}"),
            page: json!({ "records": [
                { "record_id": 7, "name": "_acme-challenge.www", "ttl": 60, "data": "v", "type": "TXT", "priority": 0 },
                { "record_id": 8, "name": "@", "ttl": 3600, "data": "ns1.simply.example", "type": "NS", "priority": 0 },
            ], "status": 200, "message": "success" }),
            id: "7",
            next: None,
            none: json!({ "records": [], "status": 200, "message": "success" }),
            make: &format!(
                "POST /2/my/products/handle-42/dns/records/\n{basic}\n{}",
                r#"{"data":"v","name":"_acme-challenge.www","ttl":60,"type":"TXT"}"#
            ),
            delete: &format!("DELETE /2/my/products/handle-42/dns/records/7/\n{basic}"),
        }
        .holds();
        // Whichever way it says so.
        for status in [200, 400, 403] {
            assert_eq!(Simply.status(status, &error(words)), 401);
            assert_eq!(
                Simply.status(status, &json!({ "status": status, "message": words })),
                401
            );
        }
    }
}
