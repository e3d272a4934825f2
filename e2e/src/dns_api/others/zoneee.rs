//! Zone (zone.ee, zone.eu): <https://api.zone.eu/v2>. All that it answers is a list, and what it says of a refusal stands in
//! a header.

use hyper::Method;
use serde_json::{Value, json};

use super::{Answered, Form, Of};

pub(super) const FORM: Form = Form {
    account: "shop",
    is_let_in: |of| of.has_basic(),
    refusal: |_, _| json!([]),
    is_full: true,
    value: "destination",
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/v2/dns")?.as_slice()) {
        (&Method::GET, [zone]) => {
            let zone = of.zone(zone)?;
            Ok((
                200,
                json!([{ "identificator": zone, "active": true, "ipv6": false }]),
            ))
        }
        (&Method::GET, [zone, "txt"]) => {
            let records: Vec<Value> = of.all(of.zone(zone)?).await?.iter().map(shown).collect();
            Ok((200, json!(records)))
        }
        (&Method::POST, [zone, "txt"]) => {
            let asked = of.json()?;
            if asked.as_object().is_none_or(|fields| fields.len() != 2) {
                return Err((422, "a TXT record has a name and a destination".into()));
            }
            let (name, value) = (&asked["name"], &asked["destination"]);
            let record = json!({ "type": "TXT", "name": name, "destination": value, "ttl": 60 });
            let made = of.make(of.zone(zone)?, &record).await?;
            Ok((201, json!([shown(&made)])))
        }
        (&Method::DELETE, [zone, "txt", id]) => of.delete(of.zone(zone)?, id).await,
        _ => Err(of.no_path()),
    }
}

/// A record, as it is written there.
fn shown(record: &Value) -> Value {
    let (id, name, value) = (&record["id"], &record["name"], &record["destination"]);
    json!({ "id": id, "name": name, "destination": value, "delete": true, "modify": true })
}
