//! Linode: <https://techdocs.akamai.com/linode-api/reference/get-domain-records>

use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, found, is, next_of, text};

pub(super) struct Linode;

impl Linode {
    /// The shortest TTL that it takes.
    const TTL: u32 = 300;

    fn filtered(path: String, filter: &Value) -> Ask {
        Ask::get(path).with(HeaderName::from_static("x-filter"), &filter.to_string())
    }
}

impl Api for Linode {
    fn host(&self) -> &'static str {
        "https://api.linode.com"
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Self::filtered("/v4/domains".into(), &json!({ "domain": zone }))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["data"].as_array()?.iter();
        // Of a slave zone the records come from elsewhere.
        let found = zones.find(|found| is(&found["domain"], zone) && is(&found["type"], "master"))?;
        text(&found["id"])
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page) = (encoded(at.id), page.unwrap_or("1"));
        let path = format!("/v4/domains/{id}/records?page_size=500&page={page}");
        Self::filtered(path, &json!({ "type": "TXT" }))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        Some(Page {
            found: found(&answer["data"], "name", "target")?,
            next: next_of(&answer["page"], &answer["pages"]),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let body = json!({ "type": "TXT", "name": name, "target": value, "ttl_sec": Self::TTL });
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
        Published {
            name: ProviderName::Linode,
            account: "",
            zone: "GET /v4/domains\nx-filter: {\"domain\":\"shop.example\"}\nauthorization: Bearer TOKEN",
            is_zone: (
                json!({ "data": [{ "id": 42, "domain": "shop.example", "type": "master" }] }),
                "42",
            ),
            is_no_zone: vec![
                (
                    200,
                    json!({ "data": [{ "id": 42, "domain": "shop.example", "type": "slave" }] }),
                ),
                (200, json!({ "data": [] })),
            ],
            refused: (
                401,
                json!({ "errors": [{ "reason": "Invalid Token" }] }),
                "Invalid Token",
            ),
            records: "GET /v4/domains/42/records?page_size=500&page=1\nx-filter: {\"type\":\"TXT\"}\n\
                      authorization: Bearer TOKEN",
            page: json!({
                "data": [{ "id": 7, "type": "TXT", "name": "_acme-challenge.www", "target": "v" }],
                "page": 1,
                "pages": 2,
            }),
            id: "7",
            next: Some("/v4/domains/42/records?page_size=500&page=2"),
            none: json!({ "data": [], "page": 1, "pages": 1 }),
            make: "POST /v4/domains/42/records\nauthorization: Bearer TOKEN\n\
                   {\"name\":\"_acme-challenge.www\",\"target\":\"v\",\"ttl_sec\":300,\"type\":\"TXT\"}",
            delete: "DELETE /v4/domains/42/records/7\nauthorization: Bearer TOKEN",
        }
        .holds();
    }
}
