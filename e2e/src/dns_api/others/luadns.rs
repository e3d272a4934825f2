//! LuaDNS: <https://luadns.com/api.html>. Names are full, and end with a dot.

use hyper::Method;
use hyper::header::ACCEPT;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, hash, number, text};

pub(super) const FORM: Form = Form {
    account: "shop@example.org",
    is_let_in: |of| of.has_basic(),
    refusal: |status, words| json!({ "status": status.to_string(), "request_id": "r", "message": words }),
    is_full: true,
    ttl: ("ttl", 300),
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    if text(of.head, ACCEPT) != "application/json" {
        return Err((406, "all requests should accept application/json".into()));
    }
    match (&of.head.method, of.below("/v1/zones")?.as_slice()) {
        (&Method::GET, []) => {
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones
                .map(|zone| json!({ "id": number(&hash(&[zone])), "name": zone, "records": null }))
                .collect();
            Ok((200, json!(zones)))
        }
        (&Method::GET, [id, "records"]) => {
            let records = of.all(of.numbered(id)?).await?;
            let records: Vec<Value> = records.into_iter().map(dotted).collect();
            Ok((200, json!(records)))
        }
        (&Method::POST, [id, "records"]) => {
            let made = make(of, of.numbered(id)?, of.json()?).await?;
            Ok((200, made))
        }
        (&Method::POST, [id, "records", "create_many"]) => {
            let zone = of.numbered(id)?;
            let mut made = Vec::new();
            for record in listed(of.json()?)? {
                made.push(make(of, zone, record).await?);
            }
            Ok((200, json!(made)))
        }
        (&Method::DELETE, [id, "records", record]) => {
            of.delete(of.numbered(id)?, record).await?;
            Ok((200, json!({})))
        }
        _ => Err(of.no_path()),
    }
}

fn listed(body: Value) -> Result<Vec<Value>, Refused> {
    match body {
        Value::Array(records) => Ok(records),
        _ => Err((400, "the body is no list".into())),
    }
}

async fn make(of: &Of<'_>, zone: &str, mut record: Value) -> Result<Value, Refused> {
    record["name"] = undotted(&record)?.into();
    Ok(dotted(of.make(zone, &record).await?))
}

/// The record's name without the dot behind it.
fn undotted(record: &Value) -> Result<String, Refused> {
    let name = record["name"].as_str().and_then(|name| name.strip_suffix('.'));
    name.map(str::to_owned)
        .ok_or((400, "a name ends with a dot".into()))
}

fn dotted(mut record: Value) -> Value {
    let name = format!("{}.", record["name"].as_str().unwrap_or_default());
    record["name"] = name.into();
    record
}
