//! Websupport: <https://rest.websupport.sk/v2/docs>. Names are asked for without their zone, and answered with it.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::{AUTHORIZATION, DATE, HeaderName};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answered, Form, Of, hash, hex, number, text};

pub(super) const FORM: Form = Form {
    account: "bd0d4d9b-0f2f-4a3e",
    is_let_in,
    refusal: |status, words| json!({ "code": status, "message": words }),
    ..Form::USUAL
};

/// The key, and the signature of method, path and time, which stands in both headers.
fn is_let_in(of: &Of<'_>) -> bool {
    let Ok(then) = text(of.head, DATE).parse::<Timestamp>() else {
        return false;
    };
    let basic = then.strftime("%Y%m%dT%H%M%SZ").to_string();
    let message = format!("{} {} {}", of.head.method, of.head.uri.path(), then.as_second());
    let by = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, of.token.as_bytes());
    let signature = hmac::sign(&by, message.as_bytes());
    let signature = hex(signature.as_ref());
    let pair = STANDARD.encode(format!("{}:{signature}", FORM.account));
    (Timestamp::now().as_second() - then.as_second()).abs() <= 300
        && text(of.head, HeaderName::from_static("x-date")) == basic
        && text(of.head, AUTHORIZATION) == format!("Basic {pair}")
}

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    if (&of.head.method, of.path.as_str()) == (&Method::GET, "/v1/user/self/service") {
        let zones = of.shared.zones.names().iter();
        let services: Vec<Value> = zones
            .map(|zone| {
                let id = number(&hash(&[zone]));
                json!({ "id": id, "serviceName": "domain", "status": "active", "name": zone })
            })
            .collect();
        let pager = json!({ "page": 1, "pagesize": null, "items": services.len() });
        return Ok((200, json!({ "items": services, "pager": pager })));
    }
    match (&of.head.method, of.below("/v2/service")?.as_slice()) {
        (&Method::GET, [id, "dns", "record"]) => {
            let zone = of.numbered(id)?;
            let mut records = Vec::new();
            for (name, at) in of.texts(zone).await? {
                for value in &at.values {
                    let id = number(&hash(&[&name, value]));
                    records.push(
                        json!({ "id": id, "type": "TXT", "name": name, "content": value, "ttl": at.ttl }),
                    );
                }
            }
            let count = records.len();
            Ok((
                200,
                json!({ "currentPage": 1, "rowsPerPage": 100, "totalPages": 1, "totalRecords": count, "data": records }),
            ))
        }
        (&Method::POST, [id, "dns", "record"]) => {
            of.make(of.numbered(id)?, &of.json()?).await?;
            Ok((204, Value::Null))
        }
        (&Method::DELETE, [id, "dns", "record", record]) => of.delete(of.numbered(id)?, record).await,
        _ => Err(of.no_path()),
    }
}
