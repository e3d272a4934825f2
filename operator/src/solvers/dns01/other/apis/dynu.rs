//! Dynu: <https://www.dynu.com/en-US/Support/API>. Its answers have a status of their own.

use hyper::header::HeaderName;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, is, text, unquoted};

pub(super) struct Dynu;

impl Dynu {
    /// Clients of it have none that is shorter.
    const TTL: u32 = 90;

    /// The path of a zone's records.
    fn path(at: &Zone<'_>) -> String {
        format!("/v2/dns/{}/record", encoded(at.id))
    }
}

impl Api for Dynu {
    fn host(&self) -> &'static str {
        "https://api.dynu.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with(HeaderName::from_static("api-key"), &by.token)
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        // All of the account's.
        Ask::get("/v2/dns".into())
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["domains"].as_array()?.iter();
        text(&zones.find(|found| is(&found["name"], zone))?["id"])
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Ask::get(Self::path(at))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let mut found = Vec::new();
        for record in answer["dnsRecords"].as_array()? {
            // One that is switched off is not served.
            if is(&record["recordType"], "TXT") && record["state"].as_bool() != Some(false) {
                found.push(Found {
                    id: text(&record["id"])?,
                    name: text(&record["nodeName"]).unwrap_or_default(),
                    value: unquoted(record["textData"].as_str()?).to_owned(),
                });
            }
        }
        Some(Page { found, next: None })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let ttl = Self::TTL;
        let body =
            json!({ "nodeName": name, "recordType": "TXT", "textData": value, "state": true, "ttl": ttl });
        Ask::post(Self::path(at), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        Ask::delete(format!("{}/{}", Self::path(at), encoded(&found.id)))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        let said = answer["statusCode"].as_u64();
        said.and_then(|said| u16::try_from(said).ok()).unwrap_or(status)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        Published {
            name: ProviderName::Dynu,
            account: "",
            zone: "GET /v2/dns\napi-key: TOKEN",
            is_zone: (
                json!({ "statusCode": 200, "domains": [
                    { "id": 41, "name": "dev.shop.example", "state": "Complete" },
                    { "id": 42, "name": "shop.example", "state": "Complete" },
                ] }),
                "42",
            ),
            is_no_zone: vec![
                (200, json!({ "statusCode": 200, "domains": [{ "id": 41, "name": "dev.shop.example" }] })),
                (200, json!({ "statusCode": 200, "domains": [] })),
            ],
            refused: (
                200,
                json!({ "statusCode": 401, "type": "Authentication Exception", "message": "Failed." }),
                "Failed.",
            ),
            records: "GET /v2/dns/42/record\napi-key: TOKEN",
            page: json!({ "statusCode": 200, "dnsRecords": [
                { "id": 7, "nodeName": "_acme-challenge.www", "recordType": "TXT", "state": true, "textData": "v" },
                { "id": 8, "nodeName": "", "recordType": "TXT", "state": true, "textData": "w" },
                { "id": 9, "nodeName": "www", "recordType": "A", "state": true, "ipv4Address": "192.0.2.1" },
            ] }),
            id: "7",
            next: None,
            none: json!({ "statusCode": 200, "dnsRecords": [
                { "id": 7, "nodeName": "_acme-challenge.www", "recordType": "TXT", "state": false, "textData": "v" },
            ] }),
            make: &format!(
                "POST /v2/dns/42/record\napi-key: TOKEN\n{}",
                r#"{"nodeName":"_acme-challenge.www","recordType":"TXT","state":true,"textData":"v","ttl":90}"#
            ),
            delete: "DELETE /v2/dns/42/record/7\napi-key: TOKEN",
        }
        .holds();
    }
}
