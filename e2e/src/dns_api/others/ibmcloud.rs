//! IBM Cloud's classic infrastructure (SoftLayer): <https://sldn.softlayer.com/reference/services/SoftLayer_Dns_Domain/>.

use hyper::Method;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, below_zone, hash, number};

pub(super) const FORM: Form = Form {
    account: "SL123456",
    is_let_in: |of| of.has_basic(),
    refusal: |_, words| json!({ "error": words, "code": "SoftLayer_Exception_Public" }),
    name: "host",
    value: "data",
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/rest/v3.1")?.as_slice()) {
        (&Method::GET, ["SoftLayer_Dns_Domain", "getByDomainName", name]) => {
            let name = name.strip_suffix(".json").unwrap_or(name);
            let zones = of.shared.zones.names().iter();
            // Those below it come as well.
            let zones: Vec<Value> = zones
                .filter(|zone| zone.ends_with(name))
                .map(|zone| json!({ "id": number(&hash(&[zone])), "name": zone, "serial": 2_026_113_000 }))
                .collect();
            Ok((200, json!(zones)))
        }
        (&Method::GET, ["SoftLayer_Dns_Domain", id, "getResourceRecords.json"]) => {
            let (offset, most) = limit(of)?;
            let zone = of.numbered(id)?;
            let texts = of.texts(zone).await?;
            let records: Vec<Value> = texts
                .iter()
                .flat_map(|(name, at)| at.values.iter().map(move |value| (name, value)))
                .skip(offset)
                .take(most)
                .map(|(name, value)| {
                    let below = match below_zone(name, zone) {
                        "" => "@",
                        below => below,
                    };
                    json!({ "id": number(&hash(&[name, value])), "type": "txt", "host": below, "data": value, "ttl": 60 })
                })
                .collect();
            Ok((200, json!(records)))
        }
        (&Method::POST, ["SoftLayer_Dns_Domain_ResourceRecord", "createObject.json"]) => {
            let body = of.json()?;
            let mut record = body["parameters"][0].clone();
            let id = record["domainId"]
                .as_u64()
                .ok_or((422, "domainId is a number".to_owned()))?;
            if record["type"] != json!("txt") || record["host"] == json!("") {
                return Err((
                    422,
                    "the type is txt here, and the zone itself is written @".into(),
                ));
            }
            record["type"] = json!("TXT");
            Ok((200, of.make(of.numbered(&id.to_string())?, &record).await?))
        }
        (&Method::DELETE, ["SoftLayer_Dns_Domain_ResourceRecord", id]) => {
            let id = id.strip_suffix(".json").unwrap_or(id);
            for zone in of.shared.zones.names() {
                match of.delete(zone, id).await {
                    Err((404, _)) => {}
                    done => return done.map(|_| (200, json!(true))),
                }
            }
            Err((404, format!("Unable to find object with id of '{id}'.")))
        }
        _ => Err(of.no_path()),
    }
}

/// `resultLimit=OFFSET,LIMIT`.
fn limit(of: &Of<'_>) -> Result<(usize, usize), Refused> {
    let limit = of.parameter("resultLimit").unwrap_or_else(|| "0,100".into());
    let numbers = limit.split_once(',');
    let numbers = numbers.and_then(|(offset, most)| Some((offset.parse().ok()?, most.parse().ok()?)));
    numbers.ok_or((422, "resultLimit is two numbers".into()))
}
