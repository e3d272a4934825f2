//! Exoscale: <https://openapi-v2.exoscale.com/group/endpoint-dns>. IDs are texts, and what is changed is an operation.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::AUTHORIZATION;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, below_zone, hash, text};

pub(super) const FORM: Form = Form {
    account: "EXO1c1a3c914770",
    is_let_in,
    status: |status| if status == 401 { 403 } else { status },
    ttl: ("ttl", 60),
    has_numbers: false,
    ..Form::USUAL
};

/// The key, a time that is not over, and the signature of the request.
fn is_let_in(of: &Of<'_>) -> bool {
    let words = text(of.head, AUTHORIZATION);
    let Some(rest) = words.strip_prefix("EXO2-HMAC-SHA256 credential=") else {
        return false;
    };
    let parts: Vec<&str> = rest.split(',').collect();
    let [key, until, signature] = parts.as_slice() else {
        return false;
    };
    let until = until.strip_prefix("expires=").unwrap_or_default();
    let left = until.parse::<i64>().unwrap_or_default() - Timestamp::now().as_second();
    let message = [
        format!("{} {}", of.head.method, of.head.uri.path()),
        String::from_utf8_lossy(of.body).into_owned(),
        String::new(),
        String::new(),
        until.to_owned(),
    ];
    let by = hmac::Key::new(hmac::HMAC_SHA256, of.token.as_bytes());
    let expected = STANDARD.encode(hmac::sign(&by, message.join("\n").as_bytes()));
    *key == FORM.account
        && (1..=3600).contains(&left)
        && signature.strip_prefix("signature=") == Some(expected.as_str())
        && of.head.uri.query().is_none()
}

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/v2/dns-domain")?.as_slice()) {
        (&Method::GET, []) => {
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones
                .map(|zone| json!({ "id": hash(&[zone]), "unicode-name": zone }))
                .collect();
            Ok((200, json!({ "dns-domains": zones })))
        }
        (&Method::GET, [id, "record"]) => {
            let zone = zone(of, id)?;
            let mut records = Vec::new();
            for (name, at) in of.texts(zone).await? {
                for value in &at.values {
                    records.push(of.record(zone, below_zone(&name, zone), value, &hash(&[&name, value])));
                }
            }
            Ok((200, json!({ "dns-domain-records": records })))
        }
        (&Method::POST, [id, "record"]) => {
            let made = of.make(zone(of, id)?, &of.json()?).await?;
            Ok((200, operation(&made["id"])))
        }
        (&Method::DELETE, [id, "record", record]) => {
            of.delete(zone(of, id)?, record).await?;
            Ok((200, operation(&json!(record))))
        }
        _ => Err(of.no_path()),
    }
}

fn zone<'a>(of: &'a Of<'_>, id: &str) -> Result<&'a str, Refused> {
    let mut zones = of.shared.zones.names().iter();
    let found = zones.find(|zone| hash(&[zone]) == id);
    found.map(String::as_str).ok_or((404, "Not Found".into()))
}

fn operation(record: &Value) -> Value {
    json!({ "id": hash(&["operation"]), "state": "success", "reference": { "id": record } })
}
