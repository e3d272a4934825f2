//! Vultr: <https://www.vultr.com/api/#tag/dns>

use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, found, is, quoted, text};

pub(super) struct Vultr;

impl Vultr {
    /// The shortest TTL that it takes.
    const TTL: u32 = 120;
}

impl Api for Vultr {
    fn host(&self) -> &'static str {
        "https://api.vultr.com"
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/v2/domains/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["domain"]["domain"], zone).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let id = encoded(at.id);
        let cursor = page.map(|cursor| format!("&cursor={}", encoded(cursor)));
        let cursor = cursor.unwrap_or_default();
        Ask::get(format!("/v2/domains/{id}/records?per_page=500{cursor}"))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let next = text(&answer["meta"]["links"]["next"]);
        Some(Page {
            found: found(&answer["records"], "name", "data")?,
            next: next.filter(|cursor| !cursor.is_empty()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let body = json!({ "type": "TXT", "name": name, "data": quoted(value), "ttl": Self::TTL });
        Ask::post(format!("/v2/domains/{}/records", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v2/domains/{zone}/records/{id}"))
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
            name: ProviderName::Vultr,
            account: "",
            zone: "GET /v2/domains/shop.example\nauthorization: Bearer TOKEN",
            is_zone: (json!({ "domain": { "domain": "shop.example" } }), "shop.example"),
            is_no_zone: vec![(404, json!({ "error": "Invalid domain", "status": 404 }))],
            refused: (401, json!({ "error": "Invalid API token.", "status": 401 }), "Invalid API token."),
            records: "GET /v2/domains/shop.example/records?per_page=500\nauthorization: Bearer TOKEN",
            page: json!({
                "records": [{ "id": "7", "type": "TXT", "name": "_acme-challenge.www", "data": "\"v\"", "ttl": 120 }],
                "meta": { "total": 501, "links": { "next": "2", "prev": "" } },
            }),
            id: "7",
            next: Some("/v2/domains/shop.example/records?per_page=500&cursor=2"),
            none: json!({ "records": [], "meta": { "total": 0, "links": { "next": "", "prev": "" } } }),
            make: "POST /v2/domains/shop.example/records\nauthorization: Bearer TOKEN\n\
                   {\"data\":\"\\\"v\\\"\",\"name\":\"_acme-challenge.www\",\"ttl\":120,\"type\":\"TXT\"}",
            delete: "DELETE /v2/domains/shop.example/records/7\nauthorization: Bearer TOKEN",
        }
        .holds();
    }
}
