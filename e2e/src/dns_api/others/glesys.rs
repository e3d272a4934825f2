//! GleSYS: <https://github.com/glesys/api-docs/wiki/API-Documentation>. It answers in JSON if that is asked for, and deletes a
//! record by its ID alone.

use hyper::Method;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, text};

pub(super) const FORM: Form = Form {
    account: "cl12345",
    is_let_in: |of| of.has_basic(),
    refusal: |status, words| json!({ "response": { "status": { "code": status, "text": words } } }),
    name: "host",
    value: "data",
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    let kind = "application/json";
    if text(of.head, ACCEPT) != kind && text(of.head, CONTENT_TYPE) != kind {
        return Err((406, "XML is not spoken here".into()));
    }
    match (&of.head.method, of.path.as_str()) {
        (&Method::GET, "/domain/list") => {
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones.map(|zone| json!({ "domainname": zone })).collect();
            Ok(done("domains", json!(zones)))
        }
        (&Method::POST, "/domain/listrecords") => {
            let zone = named(of, &of.json()?)?;
            let records: Vec<Value> = of
                .all(zone)
                .await?
                .iter()
                .map(|record| shown(record, zone))
                .collect();
            Ok(done("records", json!(records)))
        }
        (&Method::POST, "/domain/addrecord") => {
            let record = of.json()?;
            let zone = named(of, &record)?;
            if record["host"] == json!("") {
                return Err((400, "the domain itself is @".into()));
            }
            Ok(done("record", shown(&of.make(zone, &record).await?, zone)))
        }
        (&Method::POST, "/domain/deleterecord") => {
            let id = of.json()?["recordid"].as_u64().unwrap_or_default().to_string();
            for zone in of.shared.zones.names() {
                if of.delete(zone, &id).await.is_ok() {
                    return Ok((200, json!({ "response": { "status": { "code": 200 } } })));
                }
            }
            Err((404, "Could not find the record".into()))
        }
        _ => Err(of.no_path()),
    }
}

/// The zone that the body names.
fn named<'a>(of: &'a Of<'_>, body: &Value) -> Result<&'a str, Refused> {
    of.zone(body["domainname"].as_str().unwrap_or_default())
}

/// A record, as it is written there.
fn shown(record: &Value, zone: &str) -> Value {
    let (id, data) = (&record["id"], &record["data"]);
    let host = match record["host"].as_str() {
        None | Some("") => "@",
        Some(host) => host,
    };
    json!({ "recordid": id, "domainname": zone, "host": host, "type": "TXT", "data": data, "ttl": 60 })
}

fn done(what: &str, value: Value) -> (u16, Value) {
    (
        200,
        json!({ "response": { "status": { "code": 200, "text": "OK" }, what: value } }),
    )
}
