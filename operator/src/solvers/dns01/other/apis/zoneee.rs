//! Zone (zone.ee, zone.eu): <https://api.zone.eu/v2>. TXT records are a list of their own; their TTL is the zone's.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, below, encoded, full, is, text, unquoted};

pub(super) struct ZoneEe;

impl Api for ZoneEe {
    fn host(&self) -> &'static str {
        "https://api.zone.eu"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with_basic(by)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/v2/dns/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        // What is asked for stands in a list.
        let found = &answer[0];
        let is_it = is(&found["identificator"], zone) && found["active"].as_bool() != Some(false);
        is_it.then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Ask::get(format!("/v2/dns/{}/txt", encoded(at.id)))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let mut found = Vec::new();
        for record in answer.as_array()? {
            found.push(Found {
                id: text(&record["id"])?,
                name: below(record["name"].as_str()?, at.name).to_owned(),
                value: unquoted(record["destination"].as_str()?).to_owned(),
            });
        }
        Some(Page { found, next: None })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = full(name, at.name);
        let body = json!({ "name": name, "destination": value });
        Ask::post(format!("/v2/dns/{}/txt", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v2/dns/{zone}/txt/{id}"))
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
        Published {
            name: ProviderName::ZoneEe,
            account: "shop",
            zone: &format!("GET /v2/dns/shop.example\n{basic}"),
            is_zone: (
                json!([{ "identificator": "shop.example", "active": true, "ipv6": false }]),
                "shop.example",
            ),
            is_no_zone: vec![
                (404, json!(null)),
                (200, json!([{ "identificator": "shop.example", "active": false }])),
            ],
            // What it says stands in a header, whose words may change without notice.
            refused: (401, json!(null), "it does not say why"),
            records: &format!("GET /v2/dns/shop.example/txt\n{basic}"),
            page: json!([
                { "id": "7", "name": "_acme-challenge.www.shop.example", "destination": "v", "delete": true, "modify": true },
                { "id": "8", "name": "shop.example", "destination": "w", "delete": true, "modify": true },
            ]),
            id: "7",
            next: None,
            none: json!([]),
            make: &format!(
                "POST /v2/dns/shop.example/txt\n{basic}\n{}",
                r#"{"destination":"v","name":"_acme-challenge.www.shop.example"}"#
            ),
            delete: &format!("DELETE /v2/dns/shop.example/txt/7\n{basic}"),
        }
        .holds();
    }
}
