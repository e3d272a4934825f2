//! DNSimple: <https://developer.dnsimple.com/v2/zones/records/>

use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, TTL, Zone, encoded, found, is, next_of};

pub(super) struct DnSimple;

impl Api for DnSimple {
    fn host(&self) -> &'static str {
        "https://api.dnsimple.com"
    }

    fn zone(&self, by: &Login, zone: &str) -> Ask {
        Ask::get(format!("/v2/{}/zones/{}", encoded(&by.id), encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["data"]["name"], zone).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (account, id, page) = (encoded(&at.by.id), encoded(at.id), page.unwrap_or("1"));
        Ask::get(format!(
            "/v2/{account}/zones/{id}/records?type=TXT&per_page=100&page={page}"
        ))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let pages = &answer["pagination"];
        Some(Page {
            found: found(&answer["data"], "name", "content")?,
            next: next_of(&pages["current_page"], &pages["total_pages"]),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        // The zone itself has no name there.
        let name = if name == "@" { "" } else { name };
        let body = json!({ "type": "TXT", "name": name, "content": value, "ttl": TTL });
        let (account, id) = (encoded(&at.by.id), encoded(at.id));
        Ask::post(format!("/v2/{account}/zones/{id}/records"), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (account, zone, id) = (encoded(&at.by.id), encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v2/{account}/zones/{zone}/records/{id}"))
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
            name: ProviderName::DnSimple,
            account: "1010",
            zone: "GET /v2/1010/zones/shop.example\nauthorization: Bearer TOKEN",
            is_zone: (json!({ "data": { "id": 1, "name": "shop.example" } }), "shop.example"),
            is_no_zone: vec![(404, json!({ "message": "Zone `shop.example` not found" }))],
            refused: (401, json!({ "message": "Authentication failed" }), "Authentication failed"),
            records: "GET /v2/1010/zones/shop.example/records?type=TXT&per_page=100&page=1\nauthorization: Bearer TOKEN",
            page: json!({
                "data": [{ "id": 7, "type": "TXT", "name": "_acme-challenge.www", "content": "v" }],
                "pagination": { "current_page": 1, "per_page": 100, "total_entries": 101, "total_pages": 2 },
            }),
            id: "7",
            next: Some("/v2/1010/zones/shop.example/records?type=TXT&per_page=100&page=2"),
            none: json!({ "data": [], "pagination": { "current_page": 1, "total_pages": 1 } }),
            make: "POST /v2/1010/zones/shop.example/records\nauthorization: Bearer TOKEN\n\
                   {\"content\":\"v\",\"name\":\"_acme-challenge.www\",\"ttl\":60,\"type\":\"TXT\"}",
            delete: "DELETE /v2/1010/zones/shop.example/records/7\nauthorization: Bearer TOKEN",
        }
        .holds();
    }
}
