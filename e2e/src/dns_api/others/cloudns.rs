//! ClouDNS: <https://www.cloudns.net/wiki/article/41/>. Whatever is asked is answered by 200, and a list is an object.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::{Answered, Form, Of, below_zone, hash, number};

pub(super) const FORM: Form = Form {
    account: "1234",
    // The credentials stand in the body.
    is_let_in: |_| true,
    refusal: |_, words| json!({ "status": "Failed", "statusDescription": words }),
    name: "host",
    value: "record",
    ..Form::USUAL
};

/// The TTLs that it takes.
const TTLS: [u64; 13] = [
    60, 300, 900, 1800, 3600, 21600, 43200, 86400, 172_800, 259_200, 604_800, 1_209_600, 2_592_000,
];

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    let body = of.json()?;
    let is_let_in = body["auth-id"] == json!(1234) && body["auth-password"] == json!(of.token);
    let result = match is_let_in {
        true => done(of, &body).await,
        false => Err((
            401,
            "Invalid authentication, incorrect auth-id or auth-password.".into(),
        )),
    };
    result.or_else(|(status, words)| Ok((200, (FORM.refusal)(status, &words))))
}

async fn done(of: &Of<'_>, body: &Value) -> Answered {
    let zone = body["domain-name"].as_str().unwrap_or_default();
    let zone = of
        .zone(zone)
        .map_err(|_| (404, "Missing domain-name".to_owned()))?;
    let success = |words: &str| json!({ "status": "Success", "statusDescription": words });
    match (&of.head.method, of.path.as_str()) {
        (&Method::POST, "/dns/get-zone-info.json") => Ok((
            200,
            json!({ "name": zone, "type": "master", "zone": "domain", "status": "1" }),
        )),
        (&Method::POST, "/dns/records.json") => {
            let mut records = Map::new();
            for (name, at) in of.texts(zone).await? {
                for value in &at.values {
                    let id = number(&hash(&[&name, value])).to_string();
                    let record = json!({
                        "id": id, "type": "TXT", "host": below_zone(&name, zone), "record": value,
                        "failover": "0", "ttl": at.ttl.to_string(), "status": 1,
                    });
                    records.insert(id, record);
                }
            }
            match records.is_empty() {
                true => Ok((200, json!([]))),
                false => Ok((200, records.into())),
            }
        }
        (&Method::POST, "/dns/add-record.json") => {
            if !body["ttl"].as_u64().is_some_and(|ttl| TTLS.contains(&ttl)) {
                let words = "Invalid TTL. Choose from the list of the values we support.";
                return Err((400, words.into()));
            }
            let mut record = body.clone();
            record["type"] = body["record-type"].clone();
            of.make(zone, &record).await?;
            Ok((200, success("The record was added successfully.")))
        }
        (&Method::POST, "/dns/delete-record.json") => {
            let id = body["record-id"].as_str().unwrap_or_default();
            let deleted = of.delete(zone, id).await;
            deleted.map_err(|_| (404, "Invalid record-id param.".to_owned()))?;
            Ok((200, success("The record was deleted successfully.")))
        }
        _ => Err(of.no_path()),
    }
}
