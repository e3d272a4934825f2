//! Infomaniak: <https://developer.infomaniak.com/docs/api/get/2/zones/%7Bzone%7D/records>

use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, found, is, quoted};

pub(super) struct Infomaniak;

impl Infomaniak {
    /// The most records of a page.
    const PAGE: usize = 100;
    /// None is published; this one is known to be taken.
    const TTL: u32 = 300;
}

impl Api for Infomaniak {
    fn host(&self) -> &'static str {
        "https://api.infomaniak.com"
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/2/zones/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["data"]["fqdn"], zone).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page, size) = (encoded(at.id), page.unwrap_or("1"), Self::PAGE);
        Ask::get(format!(
            "/2/zones/{id}/records?filter%5Btypes%5D%5B%5D=TXT&per_page={size}&page={page}"
        ))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page> {
        let is_full = answer["data"].as_array()?.len() >= Self::PAGE;
        let page: u32 = page.map_or(Some(1), |page| page.parse().ok())?;
        let mut all = found(&answer["data"], "source", "target")?;
        for record in &mut all {
            // The zone itself.
            if record.name == "." {
                record.name = "@".into();
            }
        }
        Some(Page {
            found: all,
            next: is_full.then(|| (page + 1).to_string()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "." } else { name };
        let body = json!({ "type": "TXT", "source": name, "target": quoted(value), "ttl": Self::TTL });
        Ask::post(format!("/2/zones/{}/records", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/2/zones/{zone}/records/{id}"))
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
        let error = |code: &str, words: &str| json!({ "result": "error", "error": { "code": code, "description": words } });
        let record = json!({ "id": 7, "source": "_acme-challenge.www", "type": "TXT", "ttl": 300, "target": "\"v\"",
            "updated_at": 1_779_826_643 });
        Published {
            name: ProviderName::Infomaniak,
            account: "",
            zone: &format!("GET /2/zones/shop.example\n{bearer}"),
            is_zone: (
                json!({ "result": "success", "data": { "id": 1, "fqdn": "shop.example",
                    "dnssec": { "is_enabled": false }, "nameservers": ["ns11.example"] } }),
                "shop.example",
            ),
            is_no_zone: vec![(404, error("object_not_found", "Object not found"))],
            refused: (
                401,
                error("not_authorized", "Authorization required"),
                "Authorization required",
            ),
            records: &format!(
                "GET /2/zones/shop.example/records?filter%5Btypes%5D%5B%5D=TXT&per_page=100&page=1\n{bearer}"
            ),
            // A page that is full may have another behind it.
            page: json!({ "result": "success", "data": vec![record; 100] }),
            id: "7",
            next: Some("/2/zones/shop.example/records?filter%5Btypes%5D%5B%5D=TXT&per_page=100&page=2"),
            none: json!({ "result": "success", "data": [] }),
            make: &format!(
                "POST /2/zones/shop.example/records\n{bearer}\n{}",
                r#"{"source":"_acme-challenge.www","target":"\"v\"","ttl":300,"type":"TXT"}"#
            ),
            delete: &format!("DELETE /2/zones/shop.example/records/7\n{bearer}"),
        }
        .holds();
    }

    #[test]
    fn the_zone_itself_is_a_dot() {
        let by = Login {
            id: String::new(),
            token: String::new().into(),
        };
        let at = Zone {
            by: &by,
            name: "shop.example",
            id: "shop.example",
            about: &["_acme-challenge.www"],
        };
        let data = json!({ "data": [{ "id": 7, "source": ".", "type": "TXT", "target": "\"v\"" }] });
        let page = Infomaniak.read(&at, &data, None).unwrap();
        assert!(page.found[0].is("@"));
    }
}
