//! DigitalOcean: <https://docs.digitalocean.com/reference/api/digitalocean/#tag/Domain-Records>

use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, TTL, Zone, encoded, found, is};

pub(super) struct DigitalOcean;

impl Api for DigitalOcean {
    fn host(&self) -> &'static str {
        "https://api.digitalocean.com"
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/v2/domains/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["domain"]["name"], zone).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let page = page.unwrap_or("1");
        let id = encoded(at.id);
        Ask::get(format!(
            "/v2/domains/{id}/records?type=TXT&per_page=200&page={page}"
        ))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        // The next page's address, as in …&page=2.
        let next = answer["links"]["pages"]["next"].as_str();
        let next = next.and_then(|url| {
            let mut pairs = url.split_once('?')?.1.split('&');
            pairs.find_map(|pair| pair.strip_prefix("page="))
        });
        Some(Page {
            found: found(&answer["domain_records"], "name", "data")?,
            next: next.filter(|page| page.parse::<u32>().is_ok()).map(str::to_owned),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let body = json!({ "type": "TXT", "name": name, "data": value, "ttl": TTL });
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
            name: ProviderName::DigitalOcean,
            account: "",
            zone: "GET /v2/domains/shop.example\nauthorization: Bearer TOKEN",
            is_zone: (json!({ "domain": { "name": "shop.example" } }), "shop.example"),
            is_no_zone: vec![(404, json!({ "id": "not_found", "message": "The resource you requested could not be found." }))],
            refused: (401, json!({ "id": "Unauthorized", "message": "Unable to authenticate you" }), "Unable to authenticate you"),
            records: "GET /v2/domains/shop.example/records?type=TXT&per_page=200&page=1\nauthorization: Bearer TOKEN",
            page: json!({
                "domain_records": [
                    { "id": 7, "type": "TXT", "name": "_acme-challenge.www", "data": "v", "ttl": 60 },
                    { "id": 8, "type": "A", "name": "www", "data": "192.0.2.1", "ttl": 60 },
                ],
                "links": { "pages": { "next": "https://api.digitalocean.com/v2/domains/a/records?page=2&per_page=200" } },
            }),
            id: "7",
            next: Some("/v2/domains/shop.example/records?type=TXT&per_page=200&page=2"),
            none: json!({ "domain_records": [], "links": {} }),
            make: "POST /v2/domains/shop.example/records\nauthorization: Bearer TOKEN\n\
                   {\"data\":\"v\",\"name\":\"_acme-challenge.www\",\"ttl\":60,\"type\":\"TXT\"}",
            delete: "DELETE /v2/domains/shop.example/records/7\nauthorization: Bearer TOKEN",
        }
        .holds();
    }
}
