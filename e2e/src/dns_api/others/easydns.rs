//! easyDNS: <https://docs.sandbox.rest.easydns.net:3001/swagger3.yaml>. HTML is answered to whoever does not ask for JSON, and
//! a token or key that is wrong as haste is, by 200.

use hyper::Method;
use hyper::header::ACCEPT;
use serde_json::{Value, json};

use super::{Answered, Form, Of, text};

pub(super) const FORM: Form = Form {
    account: "token-of-the-shop",
    is_let_in: |of| of.has_basic(),
    status,
    refusal,
    name: "host",
    value: "rdata",
    ttl: ("ttl", 300),
    ..Form::USUAL
};

const NOW: u64 = 1_796_040_000;

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    if of.parameter("format").as_deref() != Some("json") && text(of.head, ACCEPT) != "application/json" {
        return Err((406, "HTML is not answered here".into()));
    }
    match (&of.head.method, of.below("/")?.as_slice()) {
        (&Method::GET, ["domain", name]) => {
            let is_there = if of.zone(name).is_ok() { "Y" } else { "N" };
            let data = json!({ "id": name, "domain": name, "exists": is_there, "onsystem": is_there,
                "expiry": false, "next_due": "2027-11-30", "cloned_to": "NONE", "service": "19",
                "sub_block": "NONE" });
            Ok(done(200, &data))
        }
        (&Method::GET, ["zones", "records", "all", zone]) => listed(of, of.zone(zone)?).await,
        (&Method::PUT, ["zones", "records", "add", zone, "TXT"]) => {
            let (zone, asked) = (of.zone(zone)?, of.json()?);
            if asked["domain"] != json!(zone) || asked["host"] == json!("") {
                let words = "domain is that of the path, and the zone itself is written @";
                return Err((422, words.into()));
            }
            let made = shown(&of.make(zone, &asked).await?, zone);
            Ok(done(201, &made))
        }
        (&Method::DELETE, ["zones", "records", zone, id]) => {
            of.delete(of.zone(zone)?, id).await?;
            let data = json!({ "domain": zone, "id": id });
            Ok(done(200, &data))
        }
        _ => Err((405, "no such path".into())),
    }
}

fn done(status: u16, data: &Value) -> (u16, Value) {
    let answer = json!({ "msg": "OK", "tm": NOW, "data": data, "status": status });
    (status, answer)
}

/// The records from one on, whatever their type.
async fn listed(of: &Of<'_>, zone: &str) -> Answered {
    let number = |name: &str, usual: usize| match of.parameter(name) {
        None => Some(usual),
        Some(text) => text.parse().ok(),
    };
    let (Some(start), Some(max @ 1..=1000)) = (number("start", 0), number("max", 1000)) else {
        return Err((422, "start and max are numbers, the latter up to 1000".into()));
    };
    let server = json!({ "id": "1", "domain": zone, "host": "@", "ttl": "86400", "prio": "0",
        "geozone_id": "0", "type": "NS", "rdata": "dns1.easydns.com.", "last_mod": "2026-11-30 12:00:00" });
    let mut all = vec![server];
    all.extend(of.all(zone).await?.iter().map(|record| shown(record, zone)));
    let total = all.len();
    let data: Vec<Value> = all.into_iter().skip(start).take(max).collect();
    let count = data.len();
    let answer = json!({ "tm": NOW, "data": data, "count": count, "total": total, "start": start,
        "max": max, "status": 200 });
    Ok((200, answer))
}

/// A record, as it is written there: numbers stand in quotation marks.
fn shown(record: &Value, zone: &str) -> Value {
    let host = match record["host"].as_str() {
        None | Some("") => "@",
        Some(host) => host,
    };
    json!({ "id": record["id"].to_string(), "domain": zone, "host": host, "ttl": "300", "prio": "0",
        "geozone_id": "0", "type": "TXT", "rdata": record["rdata"], "last_mod": "2026-11-30 12:00:00" })
}

fn status(status: u16) -> u16 {
    match status {
        401 => 200,
        404 => 403,
        status => status,
    }
}

fn refusal(refused: u16, words: &str) -> Value {
    match refused {
        401 | 429 => json!({ "error": { "code": 420, "message": words } }),
        refused => json!({ "msg": words, "status": status(refused) }),
    }
}
