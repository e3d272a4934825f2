//! IONOS: <https://developer.hosting.ionos.com/docs/dns>. Its errors are lists, and so is what is to be made. Values are
//! written without quotation marks, and shown with them.

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, hash, text};

pub(super) const FORM: Form = Form {
    is_let_in: |of| text(of.head, HeaderName::from_static("x-api-key")) == of.token,
    refusal: |status, words| {
        let code = match status {
            401 => "UNAUTHORIZED",
            404 => "RECORD_NOT_FOUND",
            _ => "INVALID_RECORD",
        };
        json!([{ "code": code, "message": words }])
    },
    is_full: true,
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/dns/v1/zones")?.as_slice()) {
        (&Method::GET, []) => {
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones
                .map(|zone| json!({ "id": hash(&[zone]), "name": zone, "type": "NATIVE" }))
                .collect();
            Ok((200, json!(zones)))
        }
        (&Method::GET, [id]) if of.parameter("recordType").as_deref() == Some("TXT") => {
            let zone = of_id(of, id)?;
            let mut records = of.all(zone).await?;
            for record in &mut records {
                let value = format!("\"{}\"", record["content"].as_str().unwrap_or_default());
                record["content"] = value.into();
                record["rootName"] = zone.into();
                record["disabled"] = false.into();
            }
            Ok((
                200,
                json!({ "id": id, "name": zone, "type": "NATIVE", "records": records }),
            ))
        }
        (&Method::POST, [id, "records"]) => {
            let (zone, body) = (of_id(of, id)?, of.json()?);
            let records = body.as_array().ok_or((400, "the body is no list".to_owned()))?;
            let mut made = Vec::new();
            for record in records {
                made.push(of.make(zone, record).await?);
            }
            Ok((201, json!(made)))
        }
        (&Method::DELETE, [id, "records", record]) => {
            of.delete(of_id(of, id)?, record).await?;
            Ok((200, Value::Null))
        }
        _ => Err(of.no_path()),
    }
}

fn of_id<'a>(of: &'a Of<'_>, id: &str) -> Result<&'a str, Refused> {
    let mut zones = of.shared.zones.names().iter();
    let found = zones.find(|zone| hash(&[zone]) == id);
    let words = "The customer is not authorized to do this operation.";
    found.map(String::as_str).ok_or((401, words.into()))
}
