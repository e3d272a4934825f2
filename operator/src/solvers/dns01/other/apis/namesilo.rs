//! NameSilo: <https://www.namesilo.com/api-reference>. It answers 200 whatever became of a request, and a code of its own.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, below, encoded, is, text, unquoted};

pub(super) struct NameSilo;

impl NameSilo {
    /// The shortest TTL that it takes.
    const TTL: u32 = 3600;

    fn asked(operation: &str) -> Ask {
        Ask::get(format!("/api/{operation}?version=1&type=json"))
    }

    fn asked_of(operation: &str, zone: &str, more: &str) -> Ask {
        let zone = encoded(zone);
        Ask::get(format!(
            "/api/{operation}?version=1&type=json&domain={zone}{more}"
        ))
    }
}

impl Api for NameSilo {
    fn host(&self) -> &'static str {
        "https://www.namesilo.com"
    }

    fn let_in(&self, by: &Login, mut ask: Ask, _: Timestamp) -> Ask {
        ask.path.push_str("&key=");
        ask.path.push_str(&encoded(&by.token));
        ask
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        // What is answered of one domain does not name it. Without a page all are listed.
        Self::asked("listDomains")
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let domains = &answer["reply"]["domains"];
        // A list of names or of objects, at the top or below.
        let list = domains.as_array().or(domains["domain"].as_array())?;
        let mut names = list.iter();
        names
            .any(|found| is(found, zone) || is(&found["domain"], zone))
            .then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Self::asked_of("dnsListRecords", at.id, "")
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let reply = answer["reply"].as_object()?;
        // One alone may stand there without a list, and none may be left out.
        let records = match reply.get("resource_record").cloned().unwrap_or_default() {
            Value::Null => json!([]),
            one if one.is_object() => json!([one]),
            list => list,
        };
        let mut all = Vec::new();
        for record in records.as_array()? {
            if is(&record["type"], "TXT") {
                let host = text(&record["host"]).unwrap_or_default();
                all.push(Found {
                    id: text(&record["record_id"])?,
                    name: below(&host, at.name).to_owned(),
                    value: unquoted(record["value"].as_str()?).to_owned(),
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
        let (name, value, ttl) = (encoded(name), encoded(value), Self::TTL);
        Self::asked_of(
            "dnsAddRecord",
            at.id,
            &format!("&rrtype=TXT&rrhost={name}&rrvalue={value}&rrttl={ttl}"),
        )
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let id = encoded(&found.id);
        Self::asked_of("dnsDeleteRecord", at.id, &format!("&rrid={id}"))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        let code = text(&answer["reply"]["code"]).unwrap_or_default();
        match code.as_str() {
            "" | "300" | "301" | "302" => status,
            // No key, none that is valid, none of a user.
            "109" | "110" | "111" => 401,
            // Not for sub-accounts, not from this address.
            "112" | "113" => 403,
            // A domain that is not the account's, or not active.
            "200" => 404,
            // The registry or another request is in the way.
            "115" | "201" | "400" => 409,
            _ => 400,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let reply =
            |code: u32, detail: &str| json!({ "request": {}, "reply": { "code": code, "detail": detail } });
        let domains = json!([{ "domain": "shop.example", "created": "2020-01-01", "expires": "2030-01-01" }]);
        Published {
            name: ProviderName::NameSilo,
            account: "",
            zone: "GET /api/listDomains?version=1&type=json&key=TOKEN",
            is_zone: (
                json!({ "reply": { "code": 300, "detail": "success", "domains": domains } }),
                "shop.example",
            ),
            is_no_zone: vec![
                (200, reply(200, "Domain is not active, or does not belong to this user")),
                (200, json!({ "reply": { "code": 300, "detail": "success", "domains": [] } })),
            ],
            refused: (200, reply(110, "Invalid API Key"), "Invalid API Key"),
            records: "GET /api/dnsListRecords?version=1&type=json&domain=shop.example&key=TOKEN",
            page: json!({ "reply": { "code": 300, "detail": "success", "resource_record": [
                { "record_id": "1a2b", "type": "TXT", "host": "_acme-challenge.www.shop.example", "value": "v",
                    "ttl": "3600", "distance": "0" },
                { "record_id": "3c4d", "type": "A", "host": "shop.example", "value": "192.0.2.1", "ttl": "7207" },
            ] } }),
            id: "1a2b",
            next: None,
            none: reply(300, "success"),
            make: "GET /api/dnsAddRecord?version=1&type=json&domain=shop.example\
                   &rrtype=TXT&rrhost=_acme-challenge.www&rrvalue=v&rrttl=3600&key=TOKEN",
            delete: "GET /api/dnsDeleteRecord?version=1&type=json&domain=shop.example&rrid=1a2b&key=TOKEN",
        }
        .holds();
    }

    #[test]
    fn one_record_may_stand_without_a_list() {
        let by = Login {
            id: String::new(),
            token: "TOKEN".to_owned().into(),
        };
        let at = Zone {
            by: &by,
            name: "shop.example",
            id: "shop.example",
            about: &["_acme-challenge.www"],
        };
        let one = json!({ "record_id": "1a2b", "type": "TXT", "host": "shop.example", "value": "v" });
        let answer = json!({ "reply": { "code": "300", "resource_record": one } });
        let page = NameSilo.read(&at, &answer, None).unwrap();
        assert!(page.found.len() == 1 && page.found[0].is("@"));
        let names = json!({ "reply": { "code": 300, "domains": { "domain": ["shop.example"] } } });
        assert!(NameSilo.zone_id(&names, "shop.example").is_some());
    }
}
