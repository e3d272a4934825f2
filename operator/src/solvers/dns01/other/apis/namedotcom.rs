//! Name.com: <https://www.name.com/api-docs/DNS>.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, found, is, text};

pub(super) struct NameDotCom;

impl NameDotCom {
    /// The shortest TTL that it takes.
    const TTL: u32 = 300;
}

impl Api for NameDotCom {
    fn host(&self) -> &'static str {
        "https://api.name.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with_basic(by)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/v4/domains/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["domainName"], zone).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page) = (encoded(at.id), page.unwrap_or("1"));
        Ask::get(format!("/v4/domains/{id}/records?perPage=1000&page={page}"))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        // Fields that are empty are left out, a list without records as well.
        let none = json!([]);
        let records = answer.as_object()?.get("records").unwrap_or(&none);
        Some(Page {
            found: found(records, "host", "answer")?,
            next: text(&answer["nextPage"]).filter(|next| next != "0"),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let body = json!({ "type": "TXT", "host": name, "answer": value, "ttl": Self::TTL });
        Ask::post(format!("/v4/domains/{}/records", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v4/domains/{zone}/records/{id}"))
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
            name: ProviderName::NameDotCom,
            account: "shop",
            zone: &format!("GET /v4/domains/shop.example\n{basic}"),
            is_zone: (json!({ "domainName": "shop.example" }), "shop.example"),
            is_no_zone: vec![(404, json!({ "message": "Not Found" }))],
            refused: (401, json!({ "message": "Unauthorized" }), "Unauthorized"),
            records: &format!("GET /v4/domains/shop.example/records?perPage=1000&page=1\n{basic}"),
            page: json!({
                "records": [
                    { "id": 7, "domainName": "shop.example", "host": "_acme-challenge.www",
                        "fqdn": "_acme-challenge.www.shop.example.", "type": "TXT", "answer": "v", "ttl": 300 },
                    { "id": 8, "domainName": "shop.example", "fqdn": "shop.example.", "type": "TXT", "answer": "w" },
                    { "id": 9, "domainName": "shop.example", "type": "A", "answer": "192.0.2.1" },
                ],
                "nextPage": 2,
                "lastPage": 2,
            }),
            id: "7",
            next: Some("/v4/domains/shop.example/records?perPage=1000&page=2"),
            none: json!({}),
            make: &format!(
                "POST /v4/domains/shop.example/records\n{basic}\n{}",
                r#"{"answer":"v","host":"_acme-challenge.www","ttl":300,"type":"TXT"}"#
            ),
            delete: &format!("DELETE /v4/domains/shop.example/records/7\n{basic}"),
        }
        .holds();
    }
}
