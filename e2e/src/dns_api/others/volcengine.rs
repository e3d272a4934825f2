//! Volcengine's cloud DNS: <https://www.volcengine.com/docs/6758/155086>. The query names the action, and all of it is signed.

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Answered, Form, Of, below_zone, hash, hex, mac, number, sha256, text};

const HOST: &str = "open.volcengineapi.com";

pub(super) const FORM: Form = Form {
    account: "AKLTSanchoTestKey",
    is_let_in: is_signed,
    refusal,
    name: "Host",
    value: "Value",
    ttl: ("TTL", 600),
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    let wanted = |name: &str| of.parameter(name).unwrap_or_default();
    if of.path != "/" || wanted("Version") != "2018-08-01" {
        return Err(of.no_path());
    }
    let result = match (of.head.method.as_str(), wanted("Action").as_str()) {
        ("GET", "ListZones") if wanted("SearchMode") == "exact" => {
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones
                .filter(|zone| **zone == wanted("Key"))
                .map(|zone| json!({ "ZID": number(&hash(&[zone])), "ZoneName": zone, "InstanceID": "i-1" }))
                .collect();
            json!({ "Total": zones.len(), "Zones": zones })
        }
        ("GET", "ListRecords") if wanted("Type") == "TXT" => {
            let zone = of.numbered(&wanted("ZID"))?;
            let count = |name: &str| wanted(name).parse::<usize>().ok();
            let (Some(page @ 1..), Some(size @ 1..=500)) = (count("PageNumber"), count("PageSize")) else {
                return Err((
                    422,
                    "PageNumber and PageSize are numbers, the latter up to 500".into(),
                ));
            };
            let texts = of.texts(zone).await?;
            let all: Vec<(&String, &String)> = texts
                .iter()
                .flat_map(|(name, at)| at.values.iter().map(move |value| (name, value)))
                .collect();
            let records: Vec<Value> = all
                .iter()
                .skip((page - 1) * size)
                .take(size)
                .map(|(name, value)| {
                    let host = match below_zone(name, zone) {
                        "" => "@",
                        below => below,
                    };
                    json!({ "RecordID": hash(&[name, value]), "Type": "TXT", "Host": host, "Value": value, "TTL": 600,
                        "Line": "default", "Enable": true })
                })
                .collect();
            json!({ "TotalCount": all.len(), "PageNumber": page, "PageSize": size, "Records": records })
        }
        ("POST", "CreateRecord") => {
            let body = of.json()?;
            let id = body["ZID"].as_u64().ok_or((422, "ZID is a number".to_owned()))?;
            if body["Host"] == json!("") {
                return Err((422, "the zone itself is written @".into()));
            }
            let record = json!({ "type": body["Type"], "Host": body["Host"], "Value": body["Value"], "TTL": body["TTL"] });
            let made = of.make(of.numbered(&id.to_string())?, &record).await?;
            json!({ "RecordID": made["id"] })
        }
        ("POST", "DeleteRecord") => {
            let body = of.json()?;
            let id = body["RecordID"].as_str();
            let id = id.ok_or((422, "RecordID is a text".to_owned()))?;
            let mut gone = Err((404, "no such record".to_owned()));
            for zone in of.shared.zones.names() {
                if gone.is_err() {
                    gone = of.delete(zone, id).await;
                }
            }
            gone?;
            Value::Null
        }
        _ => return Err(of.no_path()),
    };
    Ok((
        200,
        json!({ "ResponseMetadata": { "RequestId": "1", "Service": "dns" }, "Result": result }),
    ))
}

fn refusal(status: u16, words: &str) -> Value {
    let (number, code) = match status {
        401 => (100_010, "SignatureDoesNotMatch"),
        429 => (100_018, "FlowLimitExceeded"),
        _ => (100_023, "InvalidParameter"),
    };
    let error = json!({ "CodeN": number, "Code": code, "Message": words });
    json!({ "ResponseMetadata": { "RequestId": "1", "Error": error } })
}

/// The host is that of the provider, wherever the test has it.
fn is_signed(of: &Of<'_>) -> bool {
    let moment = text(of.head, HeaderName::from_static("x-date"));
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", moment).and_then(|at| at.to_zoned(TimeZone::UTC));
    let Ok(at) = at.map(|at| at.timestamp()) else {
        return false;
    };
    let is_now = (Timestamp::now().as_second() - at.as_second()).abs() < 900;
    let mut query: Vec<&str> = of.head.uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let body = sha256(of.body);
    let canonical = [
        of.head.method.as_str(),
        "/",
        &query.join("&"),
        &format!("content-type:{}", text(of.head, CONTENT_TYPE)),
        &format!("host:{HOST}"),
        &format!("x-content-sha256:{body}"),
        &format!("x-date:{moment}"),
        "",
        "content-type;host;x-content-sha256;x-date",
        &body,
    ]
    .join("\n");
    let (day, region) = (&moment[..8], "cn-beijing");
    let to_sign = format!(
        "HMAC-SHA256\n{moment}\n{day}/{region}/dns/request\n{}",
        sha256(canonical.as_bytes())
    );
    let mut key = of.token.as_bytes().to_vec();
    for word in [day, region, "dns", "request"] {
        key = mac(&key, word.as_bytes());
    }
    let expected = format!(
        "HMAC-SHA256 Credential={}/{day}/{region}/dns/request, \
         SignedHeaders=content-type;host;x-content-sha256;x-date, Signature={}",
        FORM.account,
        hex(&mac(&key, to_sign.as_bytes()))
    );
    is_now
        && text(of.head, HeaderName::from_static("x-content-sha256")) == body
        && text(of.head, AUTHORIZATION) == expected
}
