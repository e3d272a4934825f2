//! Spaceship: <https://docs.spaceship.dev/#tag/DNS-records>. Its records have no IDs: some are put beside those that are
//! there, and some are deleted by what they are.

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::{Answered, Form, Of, full, text};

pub(super) const FORM: Form = Form {
    account: "key-of-the-shop",
    is_let_in: |of| {
        let header = |name: &'static str| text(of.head, HeaderName::from_static(name));
        header("x-api-key") == of.form.account && header("x-api-secret") == of.token
    },
    refusal: |_, words| json!({ "detail": words }),
    value: "value",
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/api/v1")?.as_slice()) {
        (&Method::GET, ["domains", zone]) => {
            let nameservers = json!({ "provider": "basic", "hosts": ["launch1.spaceship.example"] });
            Ok((
                200,
                json!({ "name": of.zone(zone)?, "lifecycleStatus": "registered", "nameservers": nameservers }),
            ))
        }
        (&Method::GET, ["dns", "records", zone]) => {
            let number = |name: &str| of.parameter(name).and_then(|text| text.parse::<usize>().ok());
            let (Some(take @ 1..=500), Some(skip)) = (number("take"), number("skip")) else {
                return Err((422, "The take and skip fields are required".into()));
            };
            let all = of.all(of.zone(zone)?).await?;
            let total = all.len();
            let items: Vec<Value> = all.iter().skip(skip).take(take).map(shown).collect();
            Ok((200, json!({ "items": items, "total": total })))
        }
        (&Method::PUT, ["dns", "records", zone]) => {
            let (zone, body) = (of.zone(zone)?, of.json()?);
            for record in body["items"].as_array().into_iter().flatten() {
                if record["name"] == json!("") || record["ttl"].as_u64().is_some_and(|ttl| ttl > 3600) {
                    return Err((422, "The request is invalid.".into()));
                }
                of.make(zone, record).await?;
            }
            Ok((204, Value::Null))
        }
        (&Method::DELETE, ["dns", "records", zone]) => {
            let (zone, body) = (of.zone(zone)?, of.json()?);
            for record in body.as_array().into_iter().flatten() {
                let (Some("TXT"), Some(name), Some(value)) = (
                    record["type"].as_str(),
                    record["name"].as_str(),
                    record["value"].as_str(),
                ) else {
                    return Err((422, "The request is invalid.".into()));
                };
                let name = full(name, zone);
                of.exchange(zone, &name, "remove_records", &[value])
                    .await
                    .map_err(|(_, words)| (404, words))?;
            }
            Ok((204, Value::Null))
        }
        _ => Err(of.no_path()),
    }
}

fn shown(record: &Value) -> Value {
    let name = match record["name"].as_str() {
        None | Some("") => "@",
        Some(name) => name,
    };
    json!({ "type": "TXT", "name": name, "value": record["value"], "ttl": 60, "group": { "type": "custom" } })
}
