//! Netlify: <https://open-api.netlify.com/#tag/dnsZone>. Lists are bare.

use hyper::Method;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, hash};

pub(super) const FORM: Form = Form {
    refusal: |status, words| json!({ "code": status, "message": words }),
    name: "hostname",
    is_full: true,
    value: "value",
    ttl: ("ttl", 300),
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/api/v1/dns_zones")?.as_slice()) {
        (&Method::GET, []) => {
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones
                .map(|zone| json!({ "id": hash(&[zone]), "name": zone, "errors": [], "records": [] }))
                .collect();
            Ok((200, json!(zones)))
        }
        (&Method::GET, [id, "dns_records"]) => {
            let (records, ..) = of.page(of_id(of, id)?, "per_page", 100).await?;
            Ok((200, json!(records)))
        }
        (&Method::POST, [id, "dns_records"]) => {
            let made = of.make(of_id(of, id)?, &of.json()?).await?;
            Ok((201, made))
        }
        (&Method::DELETE, [id, "dns_records", record]) => of.delete(of_id(of, id)?, record).await,
        _ => Err(of.no_path()),
    }
}

fn of_id<'a>(of: &'a Of<'_>, id: &str) -> Result<&'a str, Refused> {
    let mut zones = of.shared.zones.names().iter();
    let found = zones.find(|zone| hash(&[zone]) == id);
    found.map(String::as_str).ok_or((404, "Not Found".into()))
}
