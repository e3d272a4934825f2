//! Baidu AI Cloud's DNS: <https://cloud.baidu.com/doc/DNS/s/El4s7lssr>. Method, path, query and some headers are signed.

use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answered, Form, Of, below_zone, hash, hex, mac, text};

const HOST: &str = "dns.baidubce.com";

pub(super) const FORM: Form = Form {
    account: "SanchoTestKeyOfBaidu",
    is_let_in: is_signed,
    status: |status| if status == 401 { 400 } else { status },
    refusal,
    name: "rr",
    value: "value",
    ttl: ("ttl", 300),
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/v1/dns/zone")?.as_slice()) {
        (&Method::GET, []) => {
            // A part of the name is enough.
            let part = of.parameter("name").unwrap_or_default();
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones
                .filter(|zone| zone.contains(&part))
                .map(|zone| json!({ "id": hash(&[zone]), "name": zone, "status": "running" }))
                .collect();
            Ok((
                200,
                json!({ "zones": zones, "isTruncated": false, "maxKeys": 1000 }),
            ))
        }
        (&Method::GET, [zone, "record"]) => {
            let zone = of.zone(zone)?;
            let most = of.parameter("maxKeys").and_then(|most| most.parse::<u32>().ok());
            if !most.is_none_or(|most| (1..=1000).contains(&most)) {
                return Err((422, "a page has at most 1000 records".into()));
            }
            let texts = of.texts(zone).await?;
            let records: Vec<Value> = texts
                .iter()
                .flat_map(|(name, at)| at.values.iter().map(move |value| (name, value)))
                .map(|(name, value)| {
                    let below = match below_zone(name, zone) {
                        "" => "@",
                        below => below,
                    };
                    json!({ "id": hash(&[name, value]), "rr": below, "type": "TXT", "value": value, "ttl": 300,
                        "line": "default", "status": "running" })
                })
                .collect();
            Ok((
                200,
                json!({ "records": records, "isTruncated": false, "maxKeys": 1000 }),
            ))
        }
        (&Method::POST, [zone, "record"]) => {
            let body = of.json()?;
            if body["rr"] == json!("") {
                return Err((422, "the zone itself is written @".into()));
            }
            of.make(of.zone(zone)?, &body).await?;
            Ok((200, Value::Null))
        }
        (&Method::DELETE, [zone, "record", id]) => {
            of.delete(of.zone(zone)?, id).await?;
            Ok((200, Value::Null))
        }
        _ => Err(of.no_path()),
    }
}

fn refusal(status: u16, words: &str) -> Value {
    let code = match status {
        400 => "SignatureDoesNotMatch",
        404 => "NoSuchObject",
        _ => "BadRequest",
    };
    json!({ "requestId": "1", "code": code, "message": words })
}

/// The host is that of the provider, wherever the test has it.
fn is_signed(of: &Of<'_>) -> bool {
    let moment = text(of.head, HeaderName::from_static("x-bce-date"));
    let is_now = moment
        .parse::<Timestamp>()
        .is_ok_and(|at| (Timestamp::now().as_second() - at.as_second()).abs() < 1800);
    let mut query: Vec<&str> = of.head.uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let signer = format!("bce-auth-v1/{}/{moment}/1800", FORM.account);
    let key = hex(&mac(of.token.as_bytes(), signer.as_bytes()));
    let canonical = [
        of.head.method.as_str(),
        of.head.uri.path(),
        &query.join("&"),
        &format!("host:{HOST}"),
        &format!("x-bce-date:{}", moment.replace(':', "%3A")),
    ]
    .join("\n");
    let signature = hex(&mac(key.as_bytes(), canonical.as_bytes()));
    is_now && text(of.head, AUTHORIZATION) == format!("{signer}/host;x-bce-date/{signature}")
}
