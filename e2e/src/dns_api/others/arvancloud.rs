//! ArvanCloud: <https://www.arvancloud.ir/api/cdn/4.0>. A value is an object, of a form that its type has.

use hyper::Method;
use hyper::header::AUTHORIZATION;
use serde_json::json;

use super::{Answered, Form, Of, below_zone, hash, text};

pub(super) const FORM: Form = Form {
    is_let_in: |of| text(of.head, AUTHORIZATION) == format!("Apikey {}", of.token),
    ttl: ("ttl", 120),
    has_numbers: false,
    ..Form::USUAL
};

/// The TTLs that it takes.
const TTLS: [u64; 13] = [
    120, 180, 300, 600, 900, 1800, 3600, 7200, 18000, 43200, 86400, 172_800, 432_000,
];

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/cdn/4.0/domains")?.as_slice()) {
        (&Method::GET, [zone]) => {
            let zone = of.zone(zone)?;
            let domain = json!({ "id": hash(&[zone]), "domain": zone, "name": zone, "status": "active", "type": "full" });
            Ok((200, json!({ "data": domain })))
        }
        (&Method::GET, [zone, "dns-records"]) if of.parameter("type").as_deref() == Some("txt") => {
            let zone = of.zone(zone)?;
            let mut records = Vec::new();
            for (name, at) in of.texts(zone).await? {
                let below = match below_zone(&name, zone) {
                    "" => "@",
                    below => below,
                };
                for value in &at.values {
                    records.push(json!({
                        "id": hash(&[&name, value]), "type": "txt", "name": below, "value": { "text": value },
                        "ttl": 120, "cloud": false, "can_delete": true,
                    }));
                }
            }
            let meta = json!({ "current_page": 1, "last_page": 1, "per_page": 300, "total": records.len() });
            Ok((200, json!({ "data": records, "meta": meta })))
        }
        (&Method::POST, [zone, "dns-records"]) => {
            let body = of.json()?;
            let is_whole = body["type"] == json!("txt") && body["ip_filter_mode"]["count"] == json!("single");
            if !is_whole || !body["ttl"].as_u64().is_some_and(|ttl| TTLS.contains(&ttl)) {
                return Err((422, "The given data was invalid.".into()));
            }
            let record = json!({
                "type": "TXT", "name": body["name"], "content": body["value"]["text"], "ttl": body["ttl"],
            });
            let made = of.make(of.zone(zone)?, &record).await?;
            Ok((
                201,
                json!({ "data": { "id": made["id"] }, "message": "DNS record created successfully" }),
            ))
        }
        (&Method::DELETE, [zone, "dns-records", id]) => {
            of.delete(of.zone(zone)?, id).await?;
            Ok((200, json!({ "message": "dns record deleted" })))
        }
        _ => Err(of.no_path()),
    }
}
