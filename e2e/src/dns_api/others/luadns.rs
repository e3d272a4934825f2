//! LuaDNS: <https://luadns.com/api.html>. Names are full, and end with a dot.

use hyper::Method;
use hyper::header::ACCEPT;
use serde_json::{Value, json};

use super::{Answered, Form, Of, hash, number, text};

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
            let mut record = of.json()?;
            let name = record["name"].as_str().and_then(|name| name.strip_suffix('.'));
            let name = name
                .map(str::to_owned)
                .ok_or((400, "a name ends with a dot".into()))?;
            record["name"] = name.into();
            Ok((200, dotted(of.make(of.numbered(id)?, &record).await?)))
        }
        (&Method::DELETE, [id, "records", record]) => {
            of.delete(of.numbered(id)?, record).await?;
            Ok((200, json!({})))
        }
        _ => Err(of.no_path()),
    }
}

fn dotted(mut record: Value) -> Value {
    let name = format!("{}.", record["name"].as_str().unwrap_or_default());
    record["name"] = name.into();
    record
}
