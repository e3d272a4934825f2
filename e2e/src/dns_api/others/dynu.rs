//! Dynu: <https://www.dynu.com/en-US/Support/API>. Its answers have a status of their own.

use hyper::Method;
use serde_json::{Value, json};

use super::{Answered, Form, Of, hash, number, text};

pub(super) const FORM: Form = Form {
    is_let_in: |of| text(of.head, "api-key") == of.token,
    refusal: |status, words| json!({ "statusCode": status, "type": "Exception", "message": words }),
    name: "nodeName",
    value: "textData",
    ttl: ("ttl", 90),
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/v2/dns")?.as_slice()) {
        (&Method::GET, []) => {
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones
                .map(|zone| json!({ "id": number(&hash(&[zone])), "name": zone, "state": "Complete" }))
                .collect();
            Ok((200, json!({ "statusCode": 200, "domains": zones })))
        }
        (&Method::GET, [id, "record"]) => {
            let records: Vec<Value> = of.all(of.numbered(id)?).await?.iter().map(shown).collect();
            Ok((200, json!({ "statusCode": 200, "dnsRecords": records })))
        }
        (&Method::POST, [id, "record"]) => {
            let asked = of.json()?;
            if asked["state"] != json!(true) {
                return Err((400, "the record would not be served".into()));
            }
            let (name, value, ttl) = (&asked["nodeName"], &asked["textData"], &asked["ttl"]);
            let record =
                json!({ "type": asked["recordType"], "nodeName": name, "textData": value, "ttl": ttl });
            let mut made = shown(&of.make(of.numbered(id)?, &record).await?);
            made["statusCode"] = 200.into();
            Ok((200, made))
        }
        (&Method::DELETE, [id, "record", record]) => {
            of.delete(of.numbered(id)?, record).await?;
            Ok((200, json!({ "statusCode": 200 })))
        }
        _ => Err(of.no_path()),
    }
}

/// A record, as it is written there.
fn shown(record: &Value) -> Value {
    let (id, name, value) = (&record["id"], &record["nodeName"], &record["textData"]);
    json!({ "id": id, "nodeName": name, "recordType": "TXT", "ttl": 90, "state": true, "textData": value })
}
