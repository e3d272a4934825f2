//! AutoDNS of InterNetX: <https://help.internetx.com/display/APIJSONEN>. Records are added to a zone and removed from it by what
//! they are.

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::{Answered, Form, Of, below_zone, full, text};

const SERVER: &str = "a.ns14.net";

pub(super) const FORM: Form = Form {
    account: "shop-user",
    is_let_in: |of| {
        let context = text(of.head, HeaderName::from_static("x-domainrobot-context"));
        of.has_basic() && context == "4"
    },
    refusal: |_, words| {
        json!({
            "stid": "1", "messages": [{ "text": words, "code": "EF02022", "status": "ERROR" }],
            "status": { "code": "E0202002", "type": "ERROR" },
        })
    },
    value: "value",
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    let parts = of.below("/v1/zone")?;
    let answer =
        |data: Value| json!({ "stid": "1", "status": { "code": "S0205", "type": "SUCCESS" }, "data": data });
    match (&of.head.method, parts.as_slice()) {
        (&Method::POST, ["_search"]) => {
            let filter = of.json()?["filters"][0].clone();
            if filter["key"] != json!("name") || filter["operator"] != json!("EQUAL") {
                return Err((400, "the filter is not understood".into()));
            }
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones
                .filter(|zone| filter["value"] == json!(zone))
                .map(|zone| json!({ "origin": zone, "virtualNameServer": SERVER }))
                .collect();
            Ok((200, answer(zones.into())))
        }
        (&Method::GET, [zone, server]) if *server == SERVER => {
            let zone = of.zone(zone)?;
            let mut records = Vec::new();
            for (name, at) in of.texts(zone).await? {
                for value in &at.values {
                    let name = below_zone(&name, zone);
                    records.push(json!({ "name": name, "ttl": 600, "type": "TXT", "value": value }));
                }
            }
            let data = json!([{ "origin": zone, "virtualNameServer": SERVER, "resourceRecords": records }]);
            Ok((200, answer(data)))
        }
        (&Method::POST, [zone, "_stream"]) => {
            let (zone, body) = (of.zone(zone)?, of.json()?);
            for record in body["adds"].as_array().into_iter().flatten() {
                of.make(zone, record).await?;
            }
            for record in body["rems"].as_array().into_iter().flatten() {
                let (name, value) = (record["name"].as_str(), record["value"].as_str());
                let (Some(name), Some(value)) = (name, value) else {
                    return Err((400, "a record has a name and a value".into()));
                };
                of.exchange(zone, &full(name, zone), "remove_records", &[value])
                    .await?;
            }
            Ok((200, answer(json!([{ "origin": zone }]))))
        }
        _ => Err(of.no_path()),
    }
}
