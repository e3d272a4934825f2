//! INWX: <https://www.inwx.com/en/help/apidoc>, by JSON-RPC. All is asked of one path and answered 200, with a code. A login
//! gives a session out as a cookie, without which nothing else is done.

use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, hash, number, text};

pub(super) const FORM: Form = Form {
    account: "shop-user",
    // It is looked at below.
    is_let_in: |_| true,
    refusal,
    is_full: true,
    ttl: ("ttl", 300),
    ..Form::USUAL
};

const COOKIE: &str = "domrobot";

/// Of who has no session.
const NO_SESSION: &str = "Command use error";

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match done(of).await {
        Ok(data) => {
            let mut answer = json!({ "code": 1000, "msg": "Command completed successfully", "runtime": 0.1 });
            if !data.is_null() {
                answer["resData"] = data;
            }
            Ok((200, answer))
        }
        Err((401, words)) => Ok((200, refusal(401, &words))),
        Err((404, _)) => Ok((200, refusal(404, "Object does not exist"))),
        // By its status, so that a test sees it.
        Err(other) => Err(other),
    }
}

async fn done(of: &Of<'_>) -> Result<Value, Refused> {
    let is_json = text(of.head, CONTENT_TYPE) == "application/json";
    if of.head.method != Method::POST || of.path != "/jsonrpc/" || !is_json {
        return Err((405, "JSON is posted to one path".into()));
    }
    let asked = of.json()?;
    let (method, params) = (asked["method"].as_str().unwrap_or_default(), &asked["params"]);
    if method == "account.login" {
        return login(of, params);
    }
    if !of.has_cookie(COOKIE) {
        return Err((401, NO_SESSION.into()));
    }
    match method {
        "nameserver.info" => {
            let zone = of.zone(params["domain"].as_str().unwrap_or_default())?;
            let records = match params["type"].as_str() {
                Some("SOA") => vec![soa(zone)],
                Some("TXT") => of.all(zone).await?.iter().map(shown).collect(),
                _ => return Err((422, "all kinds of records are asked for".into())),
            };
            Ok(info(zone, &records))
        }
        "nameserver.createRecord" => {
            let zone = of.zone(params["domain"].as_str().unwrap_or_default())?;
            let made = shown(&of.make(zone, params).await?);
            Ok(json!({ "id": made["id"] }))
        }
        "nameserver.deleteRecord" => {
            let id = match &params["id"] {
                Value::String(id) => id.clone(),
                Value::Number(id) => id.to_string(),
                _ => return Err((422, "a record is deleted by its ID".into())),
            };
            deleted(of, &id).await
        }
        method => Err((405, format!("no method {method}"))),
    }
}

fn login(of: &Of<'_>, params: &Value) -> Result<Value, Refused> {
    let (Some(user), Some(password)) = (params["user"].as_str(), params["pass"].as_str()) else {
        return Err((422, "a login has a user and a pass".into()));
    };
    if user != of.form.account || password != of.token {
        return Err((401, "Authentication error".into()));
    }
    of.set_cookie(COOKIE);
    Ok(json!({ "customerId": 1, "customerNo": 1, "accountId": 1, "tfa": "0" }))
}

/// Deletes a record, in whichever zone that is.
async fn deleted(of: &Of<'_>, id: &str) -> Result<Value, Refused> {
    for zone in of.shared.zones.names() {
        match of.delete(zone, id).await {
            Err((404, _)) => {}
            other => return other.map(|_| Value::Null),
        }
    }
    Err((404, "no such record".into()))
}

/// A zone with these records; a list without anything is left out.
fn info(zone: &str, records: &[Value]) -> Value {
    let mut info = json!({ "roId": number(&hash(&[zone])), "domain": zone, "type": "MASTER" });
    if !records.is_empty() {
        info["count"] = json!(records.len());
        info["record"] = json!(records);
    }
    info
}

fn soa(zone: &str) -> Value {
    let content = "ns.inwx.de hostmaster.inwx.de 2026113001 10800 3600 604800 3600";
    json!({ "id": "1", "name": zone, "type": "SOA", "content": content, "ttl": 86400, "prio": 0 })
}

/// A record, as it is written there: its ID is a text.
fn shown(record: &Value) -> Value {
    let (name, content) = (&record["name"], &record["content"]);
    let id = record["id"].to_string();
    json!({ "id": id, "name": name, "type": "TXT", "content": content, "ttl": 300, "prio": 0 })
}

fn refusal(status: u16, words: &str) -> Value {
    let code = match (status, words) {
        (401, NO_SESSION) => 2002,
        (401, _) => 2200,
        (404, _) => 2303,
        (429, _) => 2502,
        _ => 2005,
    };
    json!({ "code": code, "msg": words, "runtime": 0.1 })
}
