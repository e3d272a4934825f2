//! Spaceship: <https://docs.spaceship.dev/#tag/DNS-records>: a record has no ID there, and is deleted by its value.

use hyper::Method;
use hyper::header::HeaderName;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, TTL, Zone, encoded, is, text, unquoted};

pub(super) struct Spaceship;

impl Spaceship {
    /// The most records of a page.
    const PAGE: u64 = 500;

    fn path(at: &Zone<'_>) -> String {
        format!("/api/v1/dns/records/{}", encoded(at.id))
    }

    fn added(at: &Zone<'_>, records: &[(&str, &str)]) -> Ask {
        let items = records.iter();
        let items: Vec<Value> = items
            .map(|(name, value)| json!({ "type": "TXT", "name": name, "value": value, "ttl": TTL }))
            .collect();
        // They are put beside those that are there.
        Ask {
            method: Method::PUT,
            ..Ask::post(Self::path(at), json!({ "items": items }))
        }
    }

    fn deleted(at: &Zone<'_>, found: &[&Found]) -> Ask {
        let items = found.iter();
        let items: Vec<Value> = items
            .map(|found| json!({ "type": "TXT", "name": found.name, "value": found.id }))
            .collect();
        Ask {
            method: Method::DELETE,
            ..Ask::post(Self::path(at), items.into())
        }
    }
}

impl Api for Spaceship {
    fn host(&self) -> &'static str {
        "https://spaceship.dev"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with(HeaderName::from_static("x-api-key"), &by.id)
            .with(HeaderName::from_static("x-api-secret"), &by.token)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/api/v1/domains/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        // By name servers of the user's own, nothing that is written here is served.
        let is_it = is(&answer["name"], zone) && !is(&answer["nameservers"]["provider"], "custom");
        is_it.then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (path, size, skip) = (Self::path(at), Self::PAGE, page.unwrap_or("0"));
        Ask::get(format!("{path}?take={size}&skip={skip}&orderBy=type"))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page> {
        let mut found = Vec::new();
        for record in answer["items"].as_array()? {
            if is(&record["type"], "TXT") {
                let value = record["value"].as_str()?;
                found.push(Found {
                    id: value.to_owned(),
                    name: text(&record["name"])?,
                    value: unquoted(value).to_owned(),
                });
            }
        }
        let skipped: u64 = page.map_or(Some(0), |page| page.parse().ok())?;
        let (read, total) = (skipped + Self::PAGE, answer["total"].as_u64()?);
        Some(Page {
            found,
            next: (read < total).then(|| read.to_string()),
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
        let keys = "x-api-key: KEY\nx-api-secret: TOKEN";
        let words = "The user's request was not properly authorized.";
        let domain = |provider: &str| {
            json!({ "name": "shop.example", "unicodeName": "shop.example", "lifecycleStatus": "registered",
                "nameservers": { "provider": provider, "hosts": ["ns1.example"] } })
        };
        Published {
            name: ProviderName::Spaceship,
            account: "KEY",
            zone: &format!("GET /api/v1/domains/shop.example\n{keys}"),
            is_zone: (domain("basic"), "shop.example"),
            is_no_zone: vec![
                (200, domain("custom")),
                (404, json!({ "detail": "Domain 'shop.example' not found for User 'u'" })),
            ],
            refused: (401, json!({ "detail": words }), words),
            records: &format!("GET /api/v1/dns/records/shop.example?take=500&skip=0&orderBy=type\n{keys}"),
            page: json!({ "items": [
                { "type": "TXT", "name": "_acme-challenge.www", "value": "v", "ttl": 60, "group": { "type": "custom" } },
                { "type": "A", "name": "@", "address": "192.0.2.1", "ttl": 60, "group": { "type": "custom" } },
            ], "total": 501 }),
            id: "v",
            next: Some("/api/v1/dns/records/shop.example?take=500&skip=500&orderBy=type"),
            none: json!({ "items": [], "total": 0 }),
            make: &format!(
                "PUT /api/v1/dns/records/shop.example\n{keys}\n{}",
                r#"{"items":[{"name":"_acme-challenge.www","ttl":60,"type":"TXT","value":"v"}]}"#
            ),
            delete: &format!(
                "DELETE /api/v1/dns/records/shop.example\n{keys}\n{}",
                r#"[{"name":"_acme-challenge.www","type":"TXT","value":"v"}]"#
            ),
        }
        .holds();
    }

    #[test]
    fn several_go_by_one_request() {
        let path = "/api/v1/dns/records/shop.example";
        let items = concat!(
            r#"{"name":"_acme-challenge.www","ttl":60,"type":"TXT","value":"v"},"#,
            r#"{"name":"_acme-challenge.www","ttl":60,"type":"TXT","value":"w"},"#,
            r#"{"name":"@","ttl":60,"type":"TXT","value":"x"}"#,
        );
        let deleted = concat!(
            r#"{"name":"_acme-challenge.www","type":"TXT","value":"v"},"#,
            r#"{"name":"_acme-challenge.www","type":"TXT","value":"w"},"#,
            r#"{"name":"@","type":"TXT","value":"x"}"#,
        );
        Several {
            name: ProviderName::Spaceship,
            zone: "shop.example",
            make: &[&format!("PUT {path}\n{{\"items\":[{items}]}}")],
            ids: ["v", "w", "x"],
            delete: &[&format!("DELETE {path}\n[{deleted}]")],
        }
        .holds();
    }
}
