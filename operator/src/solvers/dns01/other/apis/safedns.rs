//! ANS SafeDNS: <https://developers.ukfast.io/documentation/safedns>

use hyper::header::AUTHORIZATION;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, found, full, is, names_below, quoted};

pub(super) struct SafeDns;

impl SafeDns {
    /// Clients of it have none that is shorter.
    const TTL: u32 = 120;
}

impl Api for SafeDns {
    fn host(&self) -> &'static str {
        "https://api.ukfast.io"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        // The key alone, without a scheme.
        ask.with(AUTHORIZATION, &by.token)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/safedns/v1/zones/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["data"]["name"], zone).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page) = (encoded(at.id), page.unwrap_or("1"));
        Ask::get(format!(
            "/safedns/v1/zones/{id}/records?type:eq=TXT&per_page=50&page={page}"
        ))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page> {
        let all = names_below(found(&answer["data"], "name", "content")?, at);
        // It says how many pages there are, not which one this is.
        let page: u64 = page.map_or(Some(1), |page| page.parse().ok())?;
        let pages = answer["meta"]["pagination"]["total_pages"].as_u64();
        Some(Page {
            found: all,
            next: pages
                .filter(|pages| page < *pages)
                .map(|_| (page + 1).to_string()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = full(name, at.name);
        let body = json!({ "type": "TXT", "name": name, "content": quoted(value), "ttl": Self::TTL });
        Ask::post(format!("/safedns/v1/zones/{}/records", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/safedns/v1/zones/{zone}/records/{id}"))
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
            name: ProviderName::SafeDns,
            account: "",
            zone: "GET /safedns/v1/zones/shop.example\nauthorization: TOKEN",
            is_zone: (
                json!({ "data": { "name": "shop.example", "description": "" }, "meta": {} }),
                "shop.example",
            ),
            is_no_zone: vec![(
                404,
                json!({ "errors": [{ "title": "Not found", "detail": "Zone not found", "status": 404 }] }),
            )],
            refused: (401, json!({ "message": "Unauthenticated" }), "Unauthenticated"),
            records: "GET /safedns/v1/zones/shop.example/records?type:eq=TXT&per_page=50&page=1\nauthorization: TOKEN",
            page: json!({
                "data": [
                    { "id": 7, "name": "_acme-challenge.www.shop.example", "type": "TXT", "content": "\"v\"", "ttl": 120 },
                    { "id": 8, "name": "shop.example", "type": "TXT", "content": "\"w\"", "ttl": 120 },
                ],
                "meta": { "pagination": { "total": 52, "count": 50, "per_page": 50, "total_pages": 2 } },
            }),
            id: "7",
            next: Some("/safedns/v1/zones/shop.example/records?type:eq=TXT&per_page=50&page=2"),
            none: json!({ "data": [], "meta": { "pagination": { "total": 0, "count": 0, "per_page": 50, "total_pages": 1 } } }),
            make: "POST /safedns/v1/zones/shop.example/records\nauthorization: TOKEN\n\
                   {\"content\":\"\\\"v\\\"\",\"name\":\"_acme-challenge.www.shop.example\",\"ttl\":120,\"type\":\"TXT\"}",
            delete: "DELETE /safedns/v1/zones/shop.example/records/7\nauthorization: TOKEN",
        }
        .holds();
    }
}
