//! LuaDNS: <https://luadns.com/api.html>

use hyper::header::ACCEPT;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, found, full, is, names_below, text};

pub(super) struct LuaDns;

impl LuaDns {
    /// The shortest TTL that it takes.
    const TTL: u32 = 300;

    fn record(at: &Zone<'_>, name: &str, value: &str) -> Value {
        let name = full(name, at.name) + ".";
        json!({ "type": "TXT", "name": name, "content": value, "ttl": Self::TTL })
    }
}

impl Api for LuaDns {
    fn host(&self) -> &'static str {
        "https://api.luadns.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with(ACCEPT, "application/json").with_basic(by)
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        // All of the account's, without their records.
        Ask::get("/v1/zones".into())
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer.as_array()?.iter();
        text(&zones.find(|found| is(&found["name"], zone))?["id"])
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        // All of them, since no limit is asked for.
        Ask::get(format!("/v1/zones/{}/records", encoded(at.id)))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let is_list = answer.as_array()?.iter().all(Value::is_object);
        let all = names_below(found(answer, "name", "content").filter(|_| is_list)?, at);
        Some(Page {
            found: all,
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let body = Self::record(at, name, value);
        Ask::post(format!("/v1/zones/{}/records", encoded(at.id)), body)
    }

    fn make_all(&self, at: &Zone<'_>, records: &[(&str, &str)]) -> Vec<Ask> {
        if let [(name, value)] = records {
            return vec![self.make(at, name, value)];
        }
        let records = records.iter();
        let records: Vec<Value> = records
            .map(|(name, value)| Self::record(at, name, value))
            .collect();
        let path = format!("/v1/zones/{}/records/create_many", encoded(at.id));
        vec![Ask::post(path, records.into())]
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v1/zones/{zone}/records/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::{Published, Several};
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let let_in = "accept: application/json\nauthorization: Basic c2hvcEBleGFtcGxlLm9yZzpUT0tFTg==";
        Published {
            name: ProviderName::LuaDns,
            account: "shop@example.org",
            zone: &format!("GET /v1/zones\n{let_in}"),
            is_zone: (
                json!([
                    { "id": 41, "name": "dev.shop.example", "synced": false, "records_count": 3, "records": null },
                    { "id": 42, "name": "shop.example", "synced": false, "records_count": 3, "records": null },
                ]),
                "42",
            ),
            is_no_zone: vec![(200, json!([{ "id": 41, "name": "dev.shop.example" }])), (200, json!([]))],
            refused: (
                401,
                json!({ "status": "Unauthorized", "request_id": "r", "message": "Bad credentials." }),
                "Bad credentials.",
            ),
            records: &format!("GET /v1/zones/42/records\n{let_in}"),
            page: json!([
                { "id": 7, "name": "_acme-challenge.www.shop.example.", "type": "TXT", "content": "v", "ttl": 300, "zone_id": 42 },
                { "id": 8, "name": "shop.example.", "type": "TXT", "content": "w", "ttl": 300, "zone_id": 42 },
                { "id": 9, "name": "shop.example.", "type": "NS", "content": "ns1.luadns.net.", "ttl": 86400, "zone_id": 42 },
            ]),
            id: "7",
            next: None,
            none: json!([]),
            make: &format!(
                "POST /v1/zones/42/records\n{let_in}\n{}",
                r#"{"content":"v","name":"_acme-challenge.www.shop.example.","ttl":300,"type":"TXT"}"#
            ),
            delete: &format!("DELETE /v1/zones/42/records/7\n{let_in}"),
        }
        .holds();
    }

    #[test]
    fn several_go_by_one_request() {
        let created = concat!(
            r#"{"content":"v","name":"_acme-challenge.www.shop.example.","ttl":300,"type":"TXT"},"#,
            r#"{"content":"w","name":"_acme-challenge.www.shop.example.","ttl":300,"type":"TXT"},"#,
            r#"{"content":"x","name":"shop.example.","ttl":300,"type":"TXT"}"#,
        );
        Several {
            name: ProviderName::LuaDns,
            zone: "42",
            make: &[&format!("POST /v1/zones/42/records/create_many\n[{created}]")],
            ids: ["7", "8", "9"],
            // A list of what they are would pass over what is written down otherwise there.
            delete: &[
                "DELETE /v1/zones/42/records/7",
                "DELETE /v1/zones/42/records/8",
                "DELETE /v1/zones/42/records/9",
            ],
        }
        .holds();
    }
}
