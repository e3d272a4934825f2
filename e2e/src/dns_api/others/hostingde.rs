//! hosting.de: <https://www.hosting.de/api/#dns>. All is asked by POST, with the token in the body, and a token that is none
//! is answered 200 as well. Names are full, and values in quotation marks.

use hyper::Method;
use hyper::header::ACCEPT;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, hash, text};

pub(super) const FORM: Form = Form {
    // It is looked at below.
    is_let_in: |_| true,
    refusal: |status, words| refused(u64::from(status), words),
    is_full: true,
    is_quoted: true,
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    if of.head.method != Method::POST {
        return Err(of.no_path());
    }
    if text(of.head, ACCEPT) != "application/json" {
        return Err((406, "a request says what it accepts".into()));
    }
    let asked = of.json()?;
    if asked["authToken"] != json!(of.token) {
        let words = "The API-Key is invalid or could not be found";
        return Ok((200, refused(10109, words)));
    }
    let filter = &asked["filter"];
    match of.below("/api/dns/v1/json")?.as_slice() {
        ["zoneConfigsFind"] if filter["field"] == json!("zoneName") => {
            let zone = of.zone(filter["value"].as_str().unwrap_or_default());
            page(zone.into_iter().map(config).collect(), &asked)
        }
        ["recordsFind"] if filter["subFilterConnective"] == json!("AND") => {
            let filters = listed(&filter["subFilter"]);
            let value = |field: &str| {
                let found = filters.iter().find(|filter| filter["field"] == json!(field));
                found.map_or(Value::Null, |filter| filter["value"].clone())
            };
            if value("recordType") != json!("TXT") {
                return Err((400, "all kinds of records are asked for".into()));
            }
            let records = of.all(named(of, &value("zoneConfigId"))?).await?;
            page(records, &asked)
        }
        ["recordsUpdate"] => {
            let zone = named(of, &asked["zoneConfigId"])?;
            for record in listed(&asked["recordsToAdd"]) {
                of.make(zone, record).await?;
            }
            for record in listed(&asked["recordsToDelete"]) {
                let id = record["id"].as_str().unwrap_or_default();
                of.delete(zone, id).await?;
            }
            let response = json!({ "zoneConfig": config(zone), "records": of.all(zone).await? });
            Ok(done("pending", &response))
        }
        _ => Err(of.no_path()),
    }
}

fn listed(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The zone of this ID.
fn named<'a>(of: &'a Of<'_>, id: &Value) -> Result<&'a str, Refused> {
    let mut zones = of.shared.zones.names().iter();
    let found = zones.find(|zone| json!(hash(&[zone])) == *id);
    found.map(String::as_str).ok_or((400, "no such zone".into()))
}

/// A zone, as it is written there.
fn config(zone: &str) -> Value {
    json!({ "id": hash(&[zone]), "name": zone, "status": "active", "type": "NATIVE" })
}

/// The page that is asked for.
fn page(all: Vec<Value>, asked: &Value) -> Answered {
    let number = |name: &str| usize::try_from(asked[name].as_u64().unwrap_or_default()).unwrap_or_default();
    let (limit, page) = (number("limit"), number("page"));
    if limit == 0 || page == 0 {
        return Err((400, "limit and page begin at 1".into()));
    }
    let pages = all.len().div_ceil(limit);
    let data: Vec<Value> = all.into_iter().skip((page - 1) * limit).take(limit).collect();
    let response = json!({ "data": data, "limit": limit, "page": page, "totalPages": pages });
    Ok(done("success", &response))
}

fn done(status: &str, response: &Value) -> (u16, Value) {
    (
        200,
        json!({ "errors": [], "status": status, "response": response }),
    )
}

fn refused(code: u64, words: &str) -> Value {
    json!({ "errors": [{ "code": code, "text": words, "value": "" }], "status": "error", "response": null })
}
