//! ClouDNS: <https://www.cloudns.net/wiki/article/41/>. It answers 200 whatever became of a request.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Body, Found, Login, Page, TTL, Zone, is, text, unquoted};

pub(super) struct ClouDns;

impl Api for ClouDns {
    fn host(&self) -> &'static str {
        "https://api.cloudns.net"
    }

    fn let_in(&self, by: &Login, mut ask: Ask, _: Timestamp) -> Ask {
        // A user has a number, a sub-user may have a name.
        let (field, user) = match by.id.parse::<u64>() {
            Ok(id) => ("auth-id", json!(id)),
            Err(_) => ("sub-auth-user", json!(by.id)),
        };
        if let Some(Body::Json(Value::Object(body))) = &mut ask.body {
            body.insert(field.into(), user);
            body.insert("auth-password".into(), by.token.as_str().into());
        }
        ask
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::post("/dns/get-zone-info.json".into(), json!({ "domain-name": zone }))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        // The records of other types come from elsewhere, or there are none.
        let is_own = is(&answer["type"], "master") || is(&answer["type"], "geodns");
        let is_served = text(&answer["status"]).as_deref() != Some("0");
        (is(&answer["name"], zone) && is_own && is_served).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        let body = json!({ "domain-name": at.id, "type": "TXT" });
        Ask::post("/dns/records.json".into(), body)
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        if answer.as_array().is_some_and(Vec::is_empty) {
            return Some(Page::default());
        }
        // By ID.
        let records = answer.as_object().filter(|records| !records.is_empty())?;
        let mut all = Vec::new();
        for (id, record) in records {
            let kind = record["type"].as_str()?;
            if kind == "TXT" {
                all.push(Found {
                    id: id.clone(),
                    name: text(&record["host"]).unwrap_or_default(),
                    value: unquoted(record["record"].as_str()?).to_owned(),
                });
            }
        }
        Some(Page {
            found: all,
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let body = json!({
            "domain-name": at.id, "record-type": "TXT", "host": name, "record": value, "ttl": TTL,
        });
        Ask::post("/dns/add-record.json".into(), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let body = json!({ "domain-name": at.id, "record-id": found.id });
        Ask::post("/dns/delete-record.json".into(), body)
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        if !is(&answer["status"], "Failed") {
            return status;
        }
        let words = answer["statusDescription"].as_str().unwrap_or_default();
        let known = [
            ("Invalid authentication", 401),
            // A zone that is not the account's.
            ("Missing domain-name", 404),
            ("Invalid record-id", 404),
            ("Request blocked", 429),
        ];
        let found = known.into_iter().find(|(begin, _)| words.starts_with(begin));
        found.map_or(400, |(_, status)| status)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let failed = |words: &str| json!({ "status": "Failed", "statusDescription": words });
        let refusal = "Invalid authentication, incorrect auth-id or auth-password.";
        Published {
            name: ProviderName::ClouDns,
            account: "1234",
            zone: "POST /dns/get-zone-info.json\n\
                   {\"auth-id\":1234,\"auth-password\":\"TOKEN\",\"domain-name\":\"shop.example\"}",
            is_zone: (
                json!({ "name": "shop.example", "type": "master", "zone": "domain", "status": "1" }),
                "shop.example",
            ),
            is_no_zone: vec![
                (200, failed("Missing domain-name")),
                (200, json!({ "name": "shop.example", "type": "slave", "zone": "domain", "status": "1" })),
                (200, json!({ "name": "shop.example", "type": "master", "zone": "domain", "status": "0" })),
            ],
            refused: (200, failed(refusal), refusal),
            records: "POST /dns/records.json\n\
                      {\"auth-id\":1234,\"auth-password\":\"TOKEN\",\"domain-name\":\"shop.example\",\"type\":\"TXT\"}",
            page: json!({
                "7": { "id": "7", "type": "TXT", "host": "_acme-challenge.www", "record": "v", "failover": "0",
                    "ttl": "60", "status": 1 },
                "8": { "id": "8", "type": "A", "host": "", "record": "192.0.2.1", "ttl": "60", "status": 1 },
            }),
            id: "7",
            next: None,
            none: json!([]),
            make: "POST /dns/add-record.json\n\
                   {\"auth-id\":1234,\"auth-password\":\"TOKEN\",\"domain-name\":\"shop.example\",\
                   \"host\":\"_acme-challenge.www\",\"record\":\"v\",\"record-type\":\"TXT\",\"ttl\":60}",
            delete: "POST /dns/delete-record.json\n\
                     {\"auth-id\":1234,\"auth-password\":\"TOKEN\",\"domain-name\":\"shop.example\",\"record-id\":\"7\"}",
        }
        .holds();
        for (words, status) in [
            ("Invalid record-id param.", 404),
            (
                "Request blocked. 192.0.2.1 is sending more than 20 requests per second.",
                429,
            ),
            ("Invalid TTL. Choose from the list of the values we support.", 400),
        ] {
            assert_eq!(ClouDns.status(200, &failed(words)), status, "{words}");
        }
    }

    #[test]
    fn a_sub_user_is_let_in_by_its_name() {
        let by = Login {
            id: "shop".into(),
            token: "TOKEN".to_owned().into(),
        };
        let ask = ClouDns.let_in(&by, ClouDns.zone(&by, "shop.example"), Timestamp::UNIX_EPOCH);
        let Some(Body::Json(body)) = ask.body else {
            panic!("no body");
        };
        assert_eq!(
            body,
            json!({ "sub-auth-user": "shop", "auth-password": "TOKEN", "domain-name": "shop.example" })
        );
    }
}
