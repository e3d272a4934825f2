//! Bunny: <https://docs.bunny.net/reference/dnszonepublic_index>. A record's type is a number; that of TXT is 3. Only what is
//! wrong with a body is said in one.

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, hash, number, text};

pub(super) const FORM: Form = Form {
    is_let_in: |of| text(of.head, HeaderName::from_static("accesskey")) == of.token,
    refusal: |status, words| match status {
        401 | 404 | 500 => Value::Null,
        _ => json!({ "ErrorKey": "refused", "Field": null, "Message": words }),
    },
    name: "Name",
    value: "Value",
    ttl: ("Ttl", 15),
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/dnszone")?.as_slice()) {
        (&Method::GET, []) => {
            let search = of.parameter("search").unwrap_or_default();
            let mut zones = Vec::new();
            for zone in of.shared.zones.names() {
                if zone.contains(&search) {
                    zones.push(whole(of, zone).await?);
                }
            }
            let total = zones.len();
            Ok((
                200,
                json!({ "Items": zones, "CurrentPage": 1, "TotalItems": total, "HasMoreItems": false }),
            ))
        }
        (&Method::GET, [id]) => Ok((200, whole(of, of.numbered(id)?).await?)),
        (&Method::PUT, [id, "records"]) => {
            let (zone, mut record) = (of.numbered(id)?, of.json()?);
            if record["Type"] != json!(3) || record["Name"] == json!("@") {
                return Err((
                    400,
                    "Type must be 3 here, and the name of the apex is empty".into(),
                ));
            }
            record["type"] = "TXT".into();
            let made = of.make(zone, &record).await?;
            Ok((201, shown(&made)))
        }
        (&Method::DELETE, [id, "records", record]) => of.delete(of.numbered(id)?, record).await,
        _ => Err(of.no_path()),
    }
}

/// A zone, and all of its records.
async fn whole(of: &Of<'_>, zone: &str) -> Result<Value, Refused> {
    let records: Vec<Value> = of.all(zone).await?.iter().map(shown).collect();
    Ok(json!({ "Id": number(&hash(&[zone])), "Domain": zone, "Records": records }))
}

fn shown(record: &Value) -> Value {
    json!({ "Id": record["id"], "Type": 3, "Ttl": 60, "Value": record["Value"], "Name": record["Name"], "Disabled": false })
}
