//! IPv64.net: <https://ipv64.net/dyndns_updater_api>. It is asked by forms, and deletes a record by what it has.

use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::{Answered, Form, Of, Refused, decoded, full, text};

pub(super) const FORM: Form = Form {
    refusal: |status, words| json!({ "status": status.to_string(), "info": words }),
    name: "praefix",
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    if of.path != "/api" {
        return Err(of.no_path());
    }
    match (&of.head.method, of.head.uri.query()) {
        (&Method::GET, Some("get_domains")) => {
            let mut domains = Map::new();
            for zone in of.shared.zones.names() {
                let records: Vec<Value> = of.all(zone).await?.iter().map(shown).collect();
                let domain = json!({ "updates": 0, "wildcard": 1, "records": records });
                domains.insert(zone.clone(), domain);
            }
            let answer = json!({ "subdomains": domains, "info": "success", "status": "200 OK" });
            Ok((200, answer))
        }
        (&Method::POST, None) => {
            changed(of, "add_record", "add_records").await?;
            let answer = json!({ "info": "success", "status": "201 Created", "add_record": "a domain" });
            Ok((201, answer))
        }
        (&Method::DELETE, None) => {
            changed(of, "del_record", "remove_records").await?;
            let answer = json!({ "info": "success", "status": "202 Accepted", "del_record": "del_record" });
            Ok((202, answer))
        }
        _ => Err(of.no_path()),
    }
}

/// Makes or deletes the record of the form.
async fn changed(of: &Of<'_>, what: &str, action: &str) -> Result<(), Refused> {
    if text(of.head, CONTENT_TYPE) != "application/x-www-form-urlencoded" {
        return Err((400, "the body must be a form".into()));
    }
    let form = String::from_utf8_lossy(of.body);
    let pair = |name: &str| -> Result<String, Refused> {
        let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|pair| pair.0 == name).map(|pair| decoded(pair.1));
        found.ok_or((400, format!("{name} is missing")))
    };
    let domain = pair(what)?;
    let (zone, name, value) = (of.zone(&domain)?, pair("praefix")?, pair("content")?);
    let is_below = name != "@" && name != zone && !name.ends_with(&format!(".{zone}"));
    if pair("type")? != "TXT" || !is_below || value.is_empty() || value.contains('"') {
        return Err((400, "type, praefix or content is not as it should be".into()));
    }
    let name = full(&name, zone);
    of.exchange(zone, &name, action, &[value.as_str()]).await
}

/// A record, as it is written there.
fn shown(record: &Value) -> Value {
    let (id, name, value) = (&record["id"], &record["praefix"], &record["content"]);
    json!({ "record_id": id, "praefix": name, "type": "TXT", "content": value, "ttl": 60 })
}
