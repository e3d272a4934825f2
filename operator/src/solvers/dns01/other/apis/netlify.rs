//! Netlify: <https://open-api.netlify.com/#tag/dnsZone>

use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, found, full, is, names_below, text};

pub(super) struct Netlify;

impl Netlify {
    /// The most records of a page.
    const PAGE: usize = 100;
    /// None is published; this one is known to be taken.
    const TTL: u32 = 300;
}

impl Api for Netlify {
    fn host(&self) -> &'static str {
        "https://api.netlify.com"
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        // There is no filter by name: the first hundred.
        Ask::get("/api/v1/dns_zones?page=1&per_page=100".into())
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer.as_array()?.iter();
        text(&zones.find(|found| is(&found["name"], zone))?["id"])
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page, size) = (encoded(at.id), page.unwrap_or("1"), Self::PAGE);
        Ask::get(format!(
            "/api/v1/dns_zones/{id}/dns_records?page={page}&per_page={size}"
        ))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page> {
        let records = answer.as_array()?;
        let all = names_below(
            found(answer, "hostname", "value").filter(|_| records.iter().all(Value::is_object))?,
            at,
        );
        // What has more than a page was not asked for by pages.
        let is_full = records.len() == Self::PAGE;
        let page: u32 = page.map_or(Some(1), |page| page.parse().ok())?;
        Some(Page {
            found: all,
            next: is_full.then(|| (page + 1).to_string()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = full(name, at.name);
        let body = json!({ "type": "TXT", "hostname": name, "value": value, "ttl": Self::TTL });
        Ask::post(format!("/api/v1/dns_zones/{}/dns_records", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/api/v1/dns_zones/{zone}/dns_records/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let bearer = "authorization: Bearer TOKEN";
        let record = json!({ "hostname": "_acme-challenge.www.shop.example", "type": "TXT", "ttl": 300, "id": "7",
            "dns_zone_id": "u6b4", "managed": false, "value": "v" });
        Published {
            name: ProviderName::Netlify,
            account: "",
            zone: &format!("GET /api/v1/dns_zones?page=1&per_page=100\n{bearer}"),
            is_zone: (
                json!([
                    { "id": "u6b3", "name": "blog.example", "errors": [], "records": [] },
                    { "id": "u6b4", "name": "shop.example", "errors": [], "records": [], "domain": null },
                ]),
                "u6b4",
            ),
            is_no_zone: vec![
                (200, json!([])),
                (404, json!({ "code": 404, "message": "Not Found" })),
            ],
            refused: (
                401,
                json!({ "code": 401, "message": "Access Denied" }),
                "Access Denied",
            ),
            records: &format!("GET /api/v1/dns_zones/u6b4/dns_records?page=1&per_page=100\n{bearer}"),
            // A page that is full may have another behind it.
            page: json!(vec![record; 100]),
            id: "7",
            next: Some("/api/v1/dns_zones/u6b4/dns_records?page=2&per_page=100"),
            none: json!([]),
            make: &format!(
                "POST /api/v1/dns_zones/u6b4/dns_records\n{bearer}\n{}",
                r#"{"hostname":"_acme-challenge.www.shop.example","ttl":300,"type":"TXT","value":"v"}"#
            ),
            delete: &format!("DELETE /api/v1/dns_zones/u6b4/dns_records/7\n{bearer}"),
        }
        .holds();
    }
}
