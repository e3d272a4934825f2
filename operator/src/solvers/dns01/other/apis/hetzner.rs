//! Hetzner: <https://docs.hetzner.cloud/reference/cloud#zone-rrset-actions>: a record has no ID there, and is deleted by its value.

use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, by_name, encoded, is, quoted, text, unquoted};

pub(super) struct Hetzner;

impl Api for Hetzner {
    fn host(&self) -> &'static str {
        "https://api.hetzner.cloud"
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/v1/zones/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let found = &answer["zone"];
        // Of a secondary zone the records come from elsewhere.
        let is_it = is(&found["name"], zone) && found["mode"].as_str() != Some("secondary");
        text(&found["id"]).filter(|_| is_it)
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page) = (encoded(at.id), page.unwrap_or("1"));
        Ask::get(format!("/v1/zones/{id}/rrsets?type=TXT&per_page=50&page={page}"))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let mut all = Vec::new();
        for set in answer["rrsets"].as_array()? {
            let name = set["name"].as_str()?;
            for record in set["records"].as_array()? {
                let value = record["value"].as_str()?;
                all.push(Found {
                    id: value.to_owned(),
                    name: name.to_owned(),
                    value: unquoted(value).to_owned(),
                });
            }
        }
        Some(Page {
            found: all,
            next: text(&answer["meta"]["pagination"]["next_page"]),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        // Its TTL is that of the set, or of the zone.
        changed(at, name, "add_records", &[quoted(value)])
    }

    fn make_all(&self, at: &Zone<'_>, records: &[(&str, &str)]) -> Vec<Ask> {
        let records = records.iter().map(|&(name, value)| (name, quoted(value)));
        let names = by_name(records).into_iter();
        names
            .map(|(name, values)| changed(at, name, "add_records", &values))
            .collect()
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        changed(at, &found.name, "remove_records", &[&found.id])
    }

    fn delete_all(&self, at: &Zone<'_>, found: &[&Found]) -> Vec<Ask> {
        let found = found.iter().map(|found| (found.name.as_str(), &found.id));
        let names = by_name(found).into_iter();
        names
            .map(|(name, values)| changed(at, name, "remove_records", &values))
            .collect()
    }
}

/// Has values of a set added or removed. A request is for one set.
fn changed(at: &Zone<'_>, name: &str, action: &str, values: &[impl AsRef<str>]) -> Ask {
    let (id, name) = (encoded(at.id), encoded(name));
    let records = values.iter();
    let records: Vec<Value> = records.map(|value| json!({ "value": value.as_ref() })).collect();
    let body = json!({ "records": records });
    Ask::post(format!("/v1/zones/{id}/rrsets/{name}/TXT/actions/{action}"), body)
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::{Published, Several};
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        Published {
            name: ProviderName::Hetzner,
            account: "",
            zone: "GET /v1/zones/shop.example\nauthorization: Bearer TOKEN",
            is_zone: (
                json!({ "zone": { "id": 42, "name": "shop.example", "mode": "primary" } }),
                "42",
            ),
            is_no_zone: vec![(200, json!({ "zone": { "id": 42, "name": "shop.example", "mode": "secondary" } }))],
            refused: (401, json!({ "error": { "code": "unauthorized", "message": "the token you provided is invalid" } }), "the token you provided is invalid"),
            records: "GET /v1/zones/42/rrsets?type=TXT&per_page=50&page=1\nauthorization: Bearer TOKEN",
            page: json!({
                "rrsets": [{ "id": "_acme-challenge.www/TXT", "type": "TXT", "name": "_acme-challenge.www",
                    "records": [{ "value": "\"v\"", "comment": "" }] }],
                "meta": { "pagination": { "page": 1, "next_page": 2 } },
            }),
            id: "\"v\"",
            next: Some("/v1/zones/42/rrsets?type=TXT&per_page=50&page=2"),
            none: json!({ "rrsets": [], "meta": { "pagination": { "page": 1, "next_page": null } } }),
            make: "POST /v1/zones/42/rrsets/_acme-challenge.www/TXT/actions/add_records\nauthorization: Bearer TOKEN\n\
                   {\"records\":[{\"value\":\"\\\"v\\\"\"}]}",
            delete: "POST /v1/zones/42/rrsets/_acme-challenge.www/TXT/actions/remove_records\nauthorization: Bearer TOKEN\n\
                     {\"records\":[{\"value\":\"\\\"v\\\"\"}]}",
        }
        .holds();
    }

    #[test]
    fn several_go_by_one_request_per_name() {
        let path = "POST /v1/zones/42/rrsets";
        let both = r#"{"records":[{"value":"\"v\""},{"value":"\"w\""}]}"#;
        let apex = r#"{"records":[{"value":"\"x\""}]}"#;
        Several {
            name: ProviderName::Hetzner,
            zone: "42",
            make: &[
                &format!("{path}/%40/TXT/actions/add_records\n{apex}"),
                &format!("{path}/_acme-challenge.www/TXT/actions/add_records\n{both}"),
            ],
            ids: ["\"v\"", "\"w\"", "\"x\""],
            delete: &[
                &format!("{path}/%40/TXT/actions/remove_records\n{apex}"),
                &format!("{path}/_acme-challenge.www/TXT/actions/remove_records\n{both}"),
            ],
        }
        .holds();
    }
}
