//! Hetzner: <https://docs.hetzner.cloud/reference/cloud#zone-rrsets>. Its records have no IDs.

use hyper::Method;
use serde_json::{Value, json};

use super::{Answered, Form, Of, below_zone, full, hash, inside, number};

pub(super) const FORM: Form = Form {
    refusal: |_, words| json!({ "error": { "code": "refused", "message": words, "details": null } }),
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    let parts = of.below("/v1/zones")?;
    let zone = parts.first().copied().unwrap_or_default();
    let zone = of.zone(zone).or_else(|_| of.numbered(zone))?;
    match (&of.head.method, &parts[1..]) {
        (&Method::GET, []) => {
            let id = number(&hash(&[zone]));
            Ok((
                200,
                json!({ "zone": { "id": id, "name": zone, "mode": "primary" } }),
            ))
        }
        (&Method::GET, ["rrsets"]) if of.parameter("type").as_deref() == Some("TXT") => {
            let texts = of.texts(zone).await?;
            let sets: Vec<Value> = texts
                .iter()
                .map(|(name, texts)| {
                    let values = texts.values.iter();
                    let records: Vec<Value> = values
                        .map(|value| json!({ "value": format!("\"{value}\"") }))
                        .collect();
                    json!({ "name": below_zone(name, zone), "type": "TXT", "records": records })
                })
                .collect();
            let pagination = json!({ "page": 1, "next_page": null, "total_entries": sets.len() });
            Ok((
                200,
                json!({ "rrsets": sets, "meta": { "pagination": pagination } }),
            ))
        }
        (&Method::POST, ["rrsets", name, "TXT", "actions", action]) => {
            let body = of.json()?;
            let values = body["records"].as_array().into_iter().flatten();
            let values: Option<Vec<&str>> = values.map(|record| inside(&record["value"])).collect();
            let values = values.ok_or((422, "a TXT value stands in quotation marks".into()))?;
            of.exchange(zone, &full(name, zone), action, &values).await?;
            Ok((
                201,
                json!({ "action": { "id": 1, "status": "running", "command": action } }),
            ))
        }
        _ => Err(of.no_path()),
    }
}
