//! Domeneshop: <https://api.domeneshop.no/docs/#tag/dns>. Lists are bare and whole; a TTL is a number of whole minutes, and the
//! zone itself is `@`.

use hyper::Method;
use serde_json::{Value, json};

use super::{Answered, Form, Of, hash, number};

pub(super) const FORM: Form = Form {
    account: "token-of-the-shop",
    is_let_in: |of| of.has_basic(),
    refusal: |status, words| {
        let code = if status == 401 {
            "authentication:failed"
        } else {
            "refused"
        };
        json!({ "code": code, "help": words })
    },
    name: "host",
    value: "data",
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/v0/domains")?.as_slice()) {
        (&Method::GET, []) => {
            let wanted = of.parameter("domain").unwrap_or_default();
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones
                .filter(|zone| zone.contains(&wanted))
                .map(|zone| {
                    json!({ "id": number(&hash(&[zone])), "domain": zone, "status": "active",
                        "services": { "registrar": true, "dns": true, "email": false, "webhotel": "none" } })
                })
                .collect();
            Ok((200, json!(zones)))
        }
        (&Method::GET, [id, "dns"]) if of.parameter("type").as_deref() == Some("TXT") => {
            let mut records = of.all(of.numbered(id)?).await?;
            for record in &mut records {
                if record["host"] == json!("") {
                    record["host"] = "@".into();
                }
                record["ttl"] = json!(60);
            }
            Ok((200, json!(records)))
        }
        (&Method::POST, [id, "dns"]) => {
            let (zone, record) = (of.numbered(id)?, of.json()?);
            let is_odd = record["ttl"].as_u64().is_none_or(|ttl| ttl % 60 != 0);
            if is_odd || record["host"] == json!("") {
                return Err((400, "DNS record failed validation".into()));
            }
            let made = of.make(zone, &record).await?;
            Ok((201, json!({ "id": made["id"] })))
        }
        (&Method::DELETE, [id, "dns", record]) => of.delete(of.numbered(id)?, record).await,
        _ => Err(of.no_path()),
    }
}
