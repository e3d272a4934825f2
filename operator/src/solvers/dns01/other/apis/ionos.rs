//! IONOS: <https://developer.hosting.ionos.com/docs/dns>: the DNS of its web hosting, not of IONOS Cloud.

use hyper::header::HeaderName;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, TTL, Zone, encoded, found, full, is, names_below, text};

pub(super) struct Ionos;

impl Ionos {
    fn added(at: &Zone<'_>, records: &[(&str, &str)]) -> Ask {
        let records = records.iter().map(|&(name, value)| {
            let name = full(name, at.name);
            // Quotation marks are put around the value there.
            json!({ "name": name, "type": "TXT", "content": value, "ttl": TTL, "disabled": false })
        });
        let records: Vec<Value> = records.collect();
        let path = format!("/dns/v1/zones/{}/records", encoded(at.id));
        Ask::post(path, records.into())
    }
}

impl Api for Ionos {
    fn host(&self) -> &'static str {
        "https://api.hosting.ionos.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with(HeaderName::from_static("x-api-key"), &by.token)
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        // It comes whole.
        Ask::get("/dns/v1/zones".into())
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer.as_array()?.iter();
        // Of a slave zone the records come from elsewhere.
        let found = zones.find(|found| is(&found["name"], zone) && !is(&found["type"], "SLAVE"))?;
        text(&found["id"])
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Ask::get(format!("/dns/v1/zones/{}?recordType=TXT", encoded(at.id)))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let all = names_below(found(&answer["records"], "name", "content")?, at);
        Some(Page {
            found: all,
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        Self::added(at, &[(name, value)])
    }

    fn make_all(&self, at: &Zone<'_>, records: &[(&str, &str)]) -> Vec<Ask> {
        // Deleted they are one by one: each has a path of its own.
        vec![Self::added(at, records)]
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/dns/v1/zones/{zone}/records/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::{Published, Several};
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let words = "The customer is not authorized to do this operation.";
        let zone = |kind: &str| json!({ "id": "11af", "name": "shop.example", "type": kind });
        Published {
            name: ProviderName::Ionos,
            account: "",
            zone: "GET /dns/v1/zones\nx-api-key: TOKEN",
            is_zone: (json!([{ "id": "11ae", "name": "blog.example", "type": "NATIVE" }, zone("NATIVE")]), "11af"),
            is_no_zone: vec![(200, json!([])), (200, json!([zone("SLAVE")]))],
            refused: (401, json!([{ "code": "UNAUTHORIZED", "message": words }]), words),
            records: "GET /dns/v1/zones/11af?recordType=TXT\nx-api-key: TOKEN",
            page: json!({ "id": "11af", "name": "shop.example", "type": "NATIVE", "records": [
                { "id": "7", "name": "_acme-challenge.www.shop.example", "rootName": "shop.example", "type": "TXT",
                    "content": "\"v\"", "ttl": 60, "prio": 0, "disabled": false },
                { "id": "8", "name": "shop.example", "rootName": "shop.example", "type": "TXT", "content": "\"w\"" },
            ] }),
            id: "7",
            next: None,
            none: json!({ "id": "11af", "name": "shop.example", "type": "NATIVE", "records": [] }),
            make: "POST /dns/v1/zones/11af/records\nx-api-key: TOKEN\n\
                   [{\"content\":\"v\",\"disabled\":false,\"name\":\"_acme-challenge.www.shop.example\",\"ttl\":60,\
                   \"type\":\"TXT\"}]",
            delete: "DELETE /dns/v1/zones/11af/records/7\nx-api-key: TOKEN",
        }
        .holds();
    }

    #[test]
    fn several_go_by_one_request() {
        let path = "/dns/v1/zones/11af/records";
        let www = r#""disabled":false,"name":"_acme-challenge.www.shop.example","ttl":60,"type":"TXT"}"#;
        let apex = r#""disabled":false,"name":"shop.example","ttl":60,"type":"TXT"}"#;
        let (v, w, x) = (r#"{"content":"v","#, r#"{"content":"w","#, r#"{"content":"x","#);
        Several {
            name: ProviderName::Ionos,
            zone: "11af",
            make: &[&format!("POST {path}\n[{v}{www},{w}{www},{x}{apex}]")],
            ids: ["7", "8", "9"],
            delete: &[
                &format!("DELETE {path}/7"),
                &format!("DELETE {path}/8"),
                &format!("DELETE {path}/9"),
            ],
        }
        .holds();
    }
}
