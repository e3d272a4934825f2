//! Porkbun: <https://porkbun.com/api/json/v3/documentation>. A wrong key is answered 400 there, and what it is stands in
//! `code`. A record is made by its name below the zone, and listed by its full name, with all numbers as texts.

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::json;

use super::{Answered, Form, Of, full, text};

pub(super) const FORM: Form = Form {
    account: "pk1_shop",
    is_let_in: |of| {
        let header = |name: &'static str| text(of.head, HeaderName::from_static(name));
        header("x-api-key") == of.form.account && header("x-secret-api-key") == of.token
    },
    refusal: |status, words| {
        let code = match status {
            401 => "INVALID_API_KEYS_001",
            404 => "DOMAIN_NOT_FOUND",
            429 => "RATE_LIMIT_EXCEEDED",
            _ => "INVALID_OR_EMPTY_JSON",
        };
        json!({ "status": "ERROR", "code": code, "message": words })
    },
    status: |status| if status == 401 { 400 } else { status },
    ttl: ("ttl", 600),
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/api/json/v3")?.as_slice()) {
        (&Method::GET, ["domain", "get", zone]) => {
            let domain =
                json!({ "domain": of.zone(zone)?, "status": "ACTIVE", "apiAccess": 1, "notLocal": 0 });
            Ok((200, json!({ "status": "SUCCESS", "domain": domain })))
        }
        (&Method::GET, ["dns", "retrieve", zone]) => {
            let zone = of.zone(zone)?;
            let mut records = of.all(zone).await?;
            for record in &mut records {
                let name = full(record["name"].as_str().unwrap_or_default(), zone);
                record["name"] = name.into();
                record["id"] = record["id"].to_string().into();
                record["ttl"] = "600".into();
            }
            Ok((
                200,
                json!({ "status": "SUCCESS", "cloudflare": "disabled", "records": records }),
            ))
        }
        (&Method::POST, ["dns", "create", zone]) => {
            let mut record = of.json()?;
            if record["name"] == json!("@") {
                return Err((400, "the name of the root is blank".into()));
            }
            if record["ttl"].is_null() {
                record["ttl"] = json!(600);
            }
            let made = of.make(of.zone(zone)?, &record).await?;
            Ok((200, json!({ "status": "SUCCESS", "id": made["id"].to_string() })))
        }
        (&Method::POST, ["dns", "delete", zone, id]) => {
            of.json()?;
            of.delete(of.zone(zone)?, id).await?;
            Ok((200, json!({ "status": "SUCCESS" })))
        }
        _ => Err(of.no_path()),
    }
}
