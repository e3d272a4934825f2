//! Scaleway: <https://www.scaleway.com/en/developers/api/domains-and-dns/>

use hyper::Method;
use hyper::header::HeaderName;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Body, Found, Login, Page, TTL, Zone, encoded, found, quoted, text};

pub(super) struct Scaleway;

impl Scaleway {
    /// The most records of a page.
    const PAGE: usize = 100;

    fn changed(at: &Zone<'_>, changes: &[Value]) -> Ask {
        // A name that is none of the zone's is not to become a zone.
        let body =
            json!({ "changes": changes, "return_all_records": false, "disallow_new_zone_creation": true });
        Ask {
            method: Method::PATCH,
            body: Some(Body::Json(body)),
            ..Ask::get(format!("/domain/v2beta1/dns-zones/{}/records", encoded(at.id)))
        }
    }

    fn added(at: &Zone<'_>, records: &[(&str, &str)]) -> Ask {
        let records = records.iter().map(|&(name, value)| {
            let name = if name == "@" { "" } else { name };
            json!({ "name": name, "type": "TXT", "data": quoted(value), "ttl": TTL })
        });
        let records: Vec<Value> = records.collect();
        Self::changed(at, &[json!({ "add": { "records": records } })])
    }

    fn deleted(at: &Zone<'_>, found: &[&Found]) -> Ask {
        let changes = found.iter();
        let changes: Vec<Value> = changes
            .map(|found| json!({ "delete": { "id": found.id } }))
            .collect();
        Self::changed(at, &changes)
    }
}

impl Api for Scaleway {
    fn host(&self) -> &'static str {
        "https://api.scaleway.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with(HeaderName::from_static("x-auth-token"), &by.token)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!(
            "/domain/v2beta1/dns-zones?dns_zone={}&page_size=100",
            encoded(zone)
        ))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["dns_zones"].as_array()?.iter();
        let found = zones.find(|found| {
            let (domain, below) = (text(&found["domain"]), text(&found["subdomain"]));
            let name = match (domain, below) {
                (Some(domain), Some(below)) if !below.is_empty() => format!("{below}.{domain}"),
                (domain, _) => domain.unwrap_or_default(),
            };
            name.eq_ignore_ascii_case(zone) && found["status"].as_str() != Some("pending")
        });
        found.map(|_| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page, size) = (encoded(at.id), page.unwrap_or("1"), Self::PAGE);
        Ask::get(format!(
            "/domain/v2beta1/dns-zones/{id}/records?type=TXT&page_size={size}&page={page}"
        ))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page> {
        let is_full = answer["records"].as_array()?.len() >= Self::PAGE;
        let page: u32 = page.map_or(Some(1), |page| page.parse().ok())?;
        Some(Page {
            found: found(&answer["records"], "name", "data")?,
            next: is_full.then(|| (page + 1).to_string()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        Self::added(at, &[(name, value)])
    }

    fn make_all(&self, at: &Zone<'_>, records: &[(&str, &str)]) -> Vec<Ask> {
        vec![Self::added(at, records)]
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        Self::deleted(at, &[found])
    }

    fn delete_all(&self, at: &Zone<'_>, found: &[&Found]) -> Vec<Ask> {
        vec![Self::deleted(at, found)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::{Published, Several};
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        Published {
            name: ProviderName::Scaleway,
            account: "",
            zone: "GET /domain/v2beta1/dns-zones?dns_zone=shop.example&page_size=100\nx-auth-token: TOKEN",
            is_zone: (
                json!({ "dns_zones": [
                    { "domain": "shop.example", "subdomain": "dev", "status": "active" },
                    { "domain": "shop.example", "subdomain": "", "status": "active" },
                ] }),
                "shop.example",
            ),
            is_no_zone: vec![(200, json!({ "dns_zones": [{ "domain": "shop.example", "subdomain": "", "status": "pending" }] })), (200, json!({ "dns_zones": [] }))],
            refused: (401, json!({ "message": "authentication is denied", "method": "api_key", "reason": "not_found", "type": "denied_authentication" }), "authentication is denied"),
            records: "GET /domain/v2beta1/dns-zones/shop.example/records?type=TXT&page_size=100&page=1\nx-auth-token: TOKEN",
            // A page that is full may have another behind it.
            page: json!({ "records": vec![
                json!({ "id": "7", "type": "TXT", "name": "_acme-challenge.www", "data": "\"v\"", "ttl": 60 });
                100
            ] }),
            id: "7",
            next: Some("/domain/v2beta1/dns-zones/shop.example/records?type=TXT&page_size=100&page=2"),
            none: json!({ "records": [], "total_count": 0 }),
            make: "PATCH /domain/v2beta1/dns-zones/shop.example/records\nx-auth-token: TOKEN\n\
                   {\"changes\":[{\"add\":{\"records\":[{\"data\":\"\\\"v\\\"\",\"name\":\"_acme-challenge.www\",\
                   \"ttl\":60,\"type\":\"TXT\"}]}}],\"disallow_new_zone_creation\":true,\"return_all_records\":false}",
            delete: "PATCH /domain/v2beta1/dns-zones/shop.example/records\nx-auth-token: TOKEN\n\
                     {\"changes\":[{\"delete\":{\"id\":\"7\"}}],\"disallow_new_zone_creation\":true,\
                     \"return_all_records\":false}",
        }
        .holds();
    }

    #[test]
    fn several_go_by_one_request() {
        let base = "PATCH /domain/v2beta1/dns-zones/shop.example/records";
        let rest = r#""disallow_new_zone_creation":true,"return_all_records":false"#;
        let adds = concat!(
            r#"{"add":{"records":[{"data":"\"v\"","name":"_acme-challenge.www","ttl":60,"type":"TXT"},"#,
            r#"{"data":"\"w\"","name":"_acme-challenge.www","ttl":60,"type":"TXT"},"#,
            r#"{"data":"\"x\"","name":"","ttl":60,"type":"TXT"}]}}"#,
        );
        let deletes = r#"{"delete":{"id":"7"}},{"delete":{"id":"8"}},{"delete":{"id":"9"}}"#;
        Several {
            name: ProviderName::Scaleway,
            zone: "shop.example",
            make: &[&format!("{base}\n{{\"changes\":[{adds}],{rest}}}")],
            ids: ["7", "8", "9"],
            delete: &[&format!("{base}\n{{\"changes\":[{deletes}],{rest}}}")],
        }
        .holds();
    }
}
