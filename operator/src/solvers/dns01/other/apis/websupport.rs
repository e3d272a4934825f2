//! Websupport: <https://rest.websupport.sk/v2/docs>; services stand in <https://rest.websupport.sk/docs/v1.service> still.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{ACCEPT_LANGUAGE, AUTHORIZATION, DATE, HeaderName};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, TTL, Zone, encoded, found, hex, is, names_below, next_of, text};

pub(super) struct Websupport;

impl Api for Websupport {
    fn host(&self) -> &'static str {
        "https://rest.websupport.sk"
    }

    fn let_in(&self, by: &Login, ask: Ask, now: Timestamp) -> Ask {
        // The query is not signed.
        let path = ask.path.split('?').next().unwrap_or_default();
        let signed = format!("{} {path} {}", ask.method, now.as_second());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, by.token.as_bytes());
        let signature = hmac::sign(&key, signed.as_bytes());
        let signature = hex(signature.as_ref());
        let pair = STANDARD.encode(format!("{}:{signature}", by.id));
        // The old paths have the time in the one header, the new ones in the other.
        ask.with(AUTHORIZATION, &format!("Basic {pair}"))
            .with(DATE, &now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
            .with(
                HeaderName::from_static("x-date"),
                &now.strftime("%Y%m%dT%H%M%SZ").to_string(),
            )
            .with(ACCEPT_LANGUAGE, "en_us")
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        Ask::get("/v1/user/self/service".into())
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut services = answer["items"].as_array()?.iter();
        // Hosting may have the domain's name as well.
        let found = services.find(|found| {
            is(&found["name"], zone) && is(&found["serviceName"], "domain") && is(&found["status"], "active")
        })?;
        text(&found["id"])
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page) = (encoded(at.id), page.unwrap_or("1"));
        Ask::get(format!(
            "/v2/service/{id}/dns/record?filters%5Btype%5D%5B%5D=TXT&rowsPerPage=100&page={page}"
        ))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let found = names_below(found(&answer["data"], "name", "content")?, at);
        Some(Page {
            found,
            next: next_of(&answer["currentPage"], &answer["totalPages"]),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let body = json!({ "type": "TXT", "name": name, "content": value, "ttl": TTL });
        Ask::post(format!("/v2/service/{}/dns/record", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v2/service/{zone}/dns/record/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let signed = |pair: &str| {
            format!(
                "authorization: Basic {pair}\ndate: 2026-11-30T12:00:00Z\nx-date: 20261130T120000Z\naccept-language: en_us"
            )
        };
        Published {
            name: ProviderName::Websupport,
            account: "shop",
            zone: &format!(
                "GET /v1/user/self/service\n{}",
                signed("c2hvcDo4NjFlODcwMzhjYzE0ZGRmNTVhYmM0Yzg5NTQ3NGU0ZmMzZmFiNWZi")
            ),
            is_zone: (
                json!({
                    "items": [
                        { "id": 41, "serviceName": "The Hosting", "status": "active", "name": "shop.example" },
                        { "id": 42, "serviceName": "domain", "status": "active", "name": "shop.example" },
                    ],
                    "pager": { "page": 1, "pagesize": null, "items": 2 },
                }),
                "42",
            ),
            is_no_zone: vec![
                (200, json!({ "items": [], "pager": { "page": 1, "pagesize": null, "items": 0 } })),
                (
                    200,
                    json!({ "items": [{ "id": 42, "serviceName": "domain", "status": "expired", "name": "shop.example" }] }),
                ),
            ],
            refused: (
                401,
                json!({ "code": 401, "message": "Incorrect api key or signature" }),
                "Incorrect api key or signature",
            ),
            records: &format!(
                "GET /v2/service/42/dns/record?filters%5Btype%5D%5B%5D=TXT&rowsPerPage=100&page=1\n{}",
                signed("c2hvcDoyNmUwN2RlMGRkMWEwNzI3ZGI2OTMyY2NhNzMwODA3MjU1OTY4ZWUw")
            ),
            page: json!({
                "currentPage": 1,
                "rowsPerPage": 100,
                "totalPages": 2,
                "totalRecords": 101,
                "data": [
                    { "id": 7, "type": "TXT", "name": "_acme-challenge.www.shop.example", "content": "v", "ttl": 60 },
                    { "id": 8, "type": "A", "name": "shop.example", "content": "192.0.2.1", "ttl": 600 },
                ],
            }),
            id: "7",
            next: Some("/v2/service/42/dns/record?filters%5Btype%5D%5B%5D=TXT&rowsPerPage=100&page=2"),
            none: json!({ "currentPage": 1, "rowsPerPage": 100, "totalPages": 1, "totalRecords": 0, "data": [] }),
            make: &format!(
                "POST /v2/service/42/dns/record\n{}\n{}",
                signed("c2hvcDoxYmRiYWIzZDdjNjM5NGExZmU3NzhiMWMzZDJmNGU1NTFjNzkzODc2"),
                r#"{"content":"v","name":"_acme-challenge.www","ttl":60,"type":"TXT"}"#
            ),
            delete: &format!(
                "DELETE /v2/service/42/dns/record/7\n{}",
                signed("c2hvcDo1MmI0YTYyYTVjOTMzOTYxNzMzOTI3MTYxODBmMWNiYjU5MTUzYmEy")
            ),
        }
        .holds();
    }
}
