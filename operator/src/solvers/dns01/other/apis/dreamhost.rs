//! DreamHost: <https://help.dreamhost.com/hc/en-us/articles/217555707-DNS-API-commands>. It answers 200 whatever became of a
//! request, and lists the records of all zones at once. They have no IDs, and no TTL that can be chosen.

use jiff::Timestamp;
use serde_json::Value;

use super::{Api, Ask, Found, Login, Page, Zone, below, encoded, full, is, text, unquoted};

pub(super) struct DreamHost;

impl DreamHost {
    fn asked(command: &str, more: &str) -> Ask {
        Ask::get(format!("/?cmd={command}&format=json{more}"))
    }

    fn changed(command: &str, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = full(name, at.name);
        let (name, value) = (encoded(&name), encoded(value));
        Self::asked(command, &format!("&record={name}&type=TXT&value={value}"))
    }
}

impl Api for DreamHost {
    fn host(&self) -> &'static str {
        "https://api.dreamhost.com"
    }

    fn let_in(&self, by: &Login, mut ask: Ask, _: Timestamp) -> Ask {
        ask.path.push_str("&key=");
        ask.path.push_str(&encoded(&by.token));
        ask
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        Self::asked("dns-list_records", "")
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        // Each zone has records that cannot be deleted.
        let mut records = answer["data"].as_array()?.iter();
        records
            .any(|record| is(&record["zone"], zone))
            .then(|| zone.to_owned())
    }

    fn records(&self, _: &Zone<'_>, _: Option<&str>) -> Ask {
        Self::asked("dns-list_records", "")
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let mut all = Vec::new();
        for record in answer["data"].as_array()? {
            let kind = record["type"].as_str()?;
            if kind == "TXT" && is(&record["zone"], at.name) {
                let (name, value) = (record["record"].as_str()?, text(&record["value"])?);
                all.push(Found {
                    name: below(name, at.name).to_owned(),
                    value: unquoted(&value).to_owned(),
                    id: value,
                });
            }
        }
        Some(Page {
            found: all,
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        Self::changed("dns-add_record", at, name, value)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        Self::changed("dns-remove_record", at, &found.name, &found.id)
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        if !is(&answer["result"], "error") {
            return status;
        }
        // Some have details behind a tab.
        let words = answer["data"].as_str().unwrap_or_default();
        match words.split_whitespace().next().unwrap_or_default() {
            "invalid_api_key" | "no_key" => 401,
            "this_key_cannot_access_this_cmd" => 403,
            "no_such_zone" | "no_such_record" | "no_such_type" | "no_such_value" => 404,
            "slow_down_bucko" => 429,
            // This value of this name.
            "record_already_exists_remove_first" => 200,
            word if word.starts_with("internal_error") => 409,
            _ => 400,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let list = "GET /?cmd=dns-list_records&format=json&key=TOKEN";
        let record = |record: &str, kind: &str, value: &str| {
            json!({
                "account_id": "1", "zone": "shop.example", "record": record, "type": kind, "value": value,
                "comment": "", "editable": "1",
            })
        };
        Published {
            name: ProviderName::DreamHost,
            account: "",
            zone: list,
            is_zone: (
                json!({ "result": "success", "data": [record("shop.example", "NS", "ns1.dreamhost.com.")] }),
                "shop.example",
            ),
            is_no_zone: vec![(200, json!({ "result": "success", "data": [] }))],
            refused: (
                200,
                json!({ "result": "error", "data": "invalid_api_key", "reason": "The API key you provided does not exist." }),
                "The API key you provided does not exist.",
            ),
            records: list,
            page: json!({ "result": "success", "data": [
                record("_acme-challenge.www.shop.example", "TXT", "v"),
                record("shop.example", "A", "192.0.2.1"),
            ] }),
            id: "v",
            next: None,
            none: json!({ "result": "success", "data": [] }),
            make: "GET /?cmd=dns-add_record&format=json&record=_acme-challenge.www.shop.example&type=TXT&value=v&key=TOKEN",
            delete: "GET /?cmd=dns-remove_record&format=json&record=_acme-challenge.www.shop.example&type=TXT&value=v\
                     &key=TOKEN",
        }
        .holds();
        for (words, status) in [
            ("slow_down_bucko\tper hour", 429),
            ("this_key_cannot_access_this_cmd", 403),
            ("no_such_record", 404),
            ("invalid_value", 400),
        ] {
            let answer = json!({ "result": "error", "data": words });
            assert_eq!(DreamHost.status(200, &answer), status, "{words}");
        }
    }
}
