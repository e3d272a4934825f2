//! DNS Made Easy: <https://api-docs.dnsmadeeasy.com/>. Pages are counted from 0; this one has a single page.

use aws_lc_rs::hmac;
use hyper::Method;
use hyper::header::HeaderName;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, below_zone, hash, hex, number, text};

pub(super) const FORM: Form = Form {
    account: "1c1a3c91-4770-4ce7-96f4-54c0eb0e457a",
    is_let_in,
    status: |status| if status == 401 { 403 } else { status },
    refusal: |_, words| json!({ "error": [words] }),
    value: "value",
    is_quoted: true,
    ttl: ("ttl", 120),
    ..Form::USUAL
};

/// The key, a date of now, and the signature of the date.
fn is_let_in(of: &Of<'_>) -> bool {
    let date = text(of.head, HeaderName::from_static("x-dnsme-requestdate"));
    let Ok(then) = rfc2822::parse(date) else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, of.token.as_bytes());
    let signature = hmac::sign(&key, date.as_bytes());
    let signature = hex(signature.as_ref());
    (Timestamp::now().as_second() - then.timestamp().as_second()).abs() <= 30
        && text(of.head, HeaderName::from_static("x-dnsme-apikey")) == FORM.account
        && text(of.head, HeaderName::from_static("x-dnsme-hmac")) == signature
}

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/V2.0/dns/managed")?.as_slice()) {
        (&Method::GET, ["name"]) => {
            let name = of.parameter("domainname").unwrap_or_default();
            let zone = of.zone(&name)?;
            let id = number(&hash(&[zone]));
            Ok((200, json!({ "id": id, "name": zone, "pendingActionId": 0 })))
        }
        (&Method::GET, [id, "records"]) if of.parameter("type").as_deref() == Some("TXT") => {
            let zone = of.numbered(id)?;
            let mut records = Vec::new();
            for (name, at) in of.texts(zone).await? {
                for value in &at.values {
                    records.push(of.record(zone, below_zone(&name, zone), value, &hash(&[&name, value])));
                }
            }
            let count = records.len();
            Ok((
                200,
                json!({ "data": records, "page": 0, "totalPages": 1, "totalRecords": count }),
            ))
        }
        (&Method::POST, [id, "records"]) => {
            let made = make(of, of.numbered(id)?, &of.json()?).await?;
            Ok((201, made))
        }
        (&Method::POST, [id, "records", "createMulti"]) => {
            let (zone, body) = (of.numbered(id)?, of.json()?);
            let records = body.as_array().ok_or((400, "the body is no list".to_owned()))?;
            let mut made = Vec::new();
            for record in records {
                made.push(make(of, zone, record).await?);
            }
            Ok((201, json!(made)))
        }
        (&Method::DELETE, [id, "records"]) => {
            let zone = of.numbered(id)?;
            // A parameter for each.
            let pairs = of.head.uri.query().unwrap_or_default().split('&');
            let ids: Vec<&str> = pairs.filter_map(|pair| pair.strip_prefix("ids=")).collect();
            if ids.is_empty() {
                return Err((400, "it is not said which records".into()));
            }
            for id in ids {
                of.delete(zone, id).await?;
            }
            Ok((200, json!(null)))
        }
        (&Method::DELETE, [id, "records", record]) => {
            of.delete(of.numbered(id)?, record).await?;
            Ok((200, json!(null)))
        }
        _ => Err(of.no_path()),
    }
}

async fn make(of: &Of<'_>, zone: &str, record: &Value) -> Result<Value, Refused> {
    if record["gtdLocation"] != json!("DEFAULT") {
        return Err((400, "the record is in no region".into()));
    }
    of.make(zone, record).await
}
