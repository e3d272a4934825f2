//! DreamHost: <https://help.dreamhost.com/hc/en-us/articles/217555707-DNS-API-commands>. Whatever is asked is a GET of the same
//! path, and answered by 200; names are full.

use hyper::Method;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused};

pub(super) const FORM: Form = Form {
    // The key stands in the query.
    is_let_in: |_| true,
    refusal: |_, words| json!({ "result": "error", "data": words }),
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    if of.parameter("key").as_deref() != Some(of.token.as_str()) {
        let reason = "The API key you provided does not exist.";
        return Ok((
            200,
            json!({ "result": "error", "data": "invalid_api_key", "reason": reason }),
        ));
    }
    let result = done(of).await;
    result.or_else(|(status, words)| Ok((200, (FORM.refusal)(status, &words))))
}

async fn done(of: &Of<'_>) -> Answered {
    let given = |name: &str| of.parameter(name).unwrap_or_default();
    if of.head.method != Method::GET || of.path != "/" || given("format") != "json" {
        return Err((400, "unsupported_method".into()));
    }
    let (record, value) = (given("record"), given("value"));
    let data: Value = match given("cmd").as_str() {
        "dns-list_records" => listed(of).await?.into(),
        "dns-add_record" => {
            let zone = zone(of, &record)?;
            if given("type") != "TXT" || value.is_empty() || value.contains('"') {
                return Err((400, "invalid_value".into()));
            }
            let made = of.exchange(zone, &record, "add_records", &[&value]).await;
            made.map_err(|_| (400, "record_already_exists_remove_first".to_owned()))?;
            "record_added".into()
        }
        "dns-remove_record" => {
            let zone = zone(of, &record)?;
            if given("type") != "TXT" {
                return Err((400, "no_such_type".into()));
            }
            let gone = of.exchange(zone, &record, "remove_records", &[&value]).await;
            gone.map_err(|_| (404, "no_such_value".to_owned()))?;
            "record_removed".into()
        }
        _ => return Err((400, "no_such_cmd".into())),
    };
    Ok((200, json!({ "result": "success", "data": data })))
}

/// The records of all zones.
async fn listed(of: &Of<'_>) -> Result<Vec<Value>, Refused> {
    let mut records = Vec::new();
    for zone in of.shared.zones.names() {
        let mut push = |name: &str, kind: &str, value: &str, editable: &str| {
            records.push(json!({
                "account_id": "1", "zone": zone, "record": name, "type": kind, "value": value, "comment": "",
                "editable": editable,
            }));
        };
        push(zone, "NS", "ns1.dreamhost.com.", "0");
        for (name, at) in of.texts(zone).await? {
            for value in &at.values {
                push(&name, "TXT", value, "1");
            }
        }
    }
    Ok(records)
}

/// The zone in which a full name is.
fn zone<'a>(of: &'a Of<'_>, name: &str) -> Result<&'a str, Refused> {
    let mut zones = of.shared.zones.names().iter();
    let found = zones.find(|zone| name == *zone || name.ends_with(&format!(".{zone}")));
    found.map(String::as_str).ok_or((404, "no_such_zone".into()))
}
