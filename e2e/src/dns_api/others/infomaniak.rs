//! Infomaniak: <https://developer.infomaniak.com/docs/api/get/2/zones/%7Bzone%7D/records>. The zone itself is a dot among its
//! names, and values stand in quotation marks.

use hyper::Method;
use serde_json::json;

use super::{Answered, Form, Of};

pub(super) const FORM: Form = Form {
    refusal: |status, words| {
        let code = match status {
            401 => "not_authorized",
            404 => "object_not_found",
            _ => "validation_failed",
        };
        json!({ "result": "error", "error": { "code": code, "description": words } })
    },
    name: "source",
    value: "target",
    is_quoted: true,
    ttl: ("ttl", 300),
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/2/zones")?.as_slice()) {
        (&Method::GET, [zone]) => {
            let zone = json!({ "id": 1, "fqdn": of.zone(zone)?, "dnssec": { "is_enabled": false } });
            Ok((200, json!({ "result": "success", "data": zone })))
        }
        (&Method::GET, [zone, "records"])
            if of.parameter("filter%5Btypes%5D%5B%5D").as_deref() == Some("TXT") =>
        {
            let (mut records, ..) = of.page(of.zone(zone)?, "per_page", 100).await?;
            for record in &mut records {
                if record["source"] == json!("") {
                    record["source"] = ".".into();
                }
            }
            Ok((200, json!({ "result": "success", "data": records })))
        }
        (&Method::POST, [zone, "records"]) => {
            let mut record = of.json()?;
            match record["source"].as_str() {
                Some(".") => record["source"] = "".into(),
                Some("" | "@") | None => return Err((422, "The source attribute is required".into())),
                Some(_) => {}
            }
            let made = of.make(of.zone(zone)?, &record).await?;
            Ok((201, json!({ "result": "success", "data": made })))
        }
        (&Method::DELETE, [zone, "records", id]) => {
            of.delete(of.zone(zone)?, id).await?;
            Ok((200, json!({ "result": "success", "data": true })))
        }
        _ => Err(of.no_path()),
    }
}
