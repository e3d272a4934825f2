//! Mythic Beasts: <https://www.mythic-beasts.com/support/api/dnsv2>, with its auth service on the same origin:
//! <https://www.mythic-beasts.com/support/api/auth>. Its records have no IDs.

use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{Answered, Form, Of, full, text};

pub(super) const FORM: Form = Form {
    account: "shop",
    is_let_in: |of| of.path == LOGIN || of.has_session(),
    refusal: |_, words| json!({ "error": words }),
    name: "host",
    value: "data",
    ..Form::USUAL
};

const LOGIN: &str = "/login";

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    if of.path == LOGIN {
        return Ok(login(of));
    }
    match (&of.head.method, of.below("/dns/v2/zones")?.as_slice()) {
        (&Method::GET, []) => Ok((200, json!({ "zones": of.shared.zones.names() }))),
        (&Method::GET, [zone, "records"]) => {
            let records: Vec<Value> = of.all(of.zone(zone)?).await?.iter().map(shown).collect();
            Ok((200, json!({ "records": records })))
        }
        (&Method::POST, [zone, "records", host, "TXT"]) => {
            let body = of.json()?;
            let records = body["records"].as_array().map(Vec::as_slice).unwrap_or_default();
            for record in records {
                if record["host"] != json!(host) {
                    return Err((400, "the record is of another host".into()));
                }
                of.make(of.zone(zone)?, record).await?;
            }
            let words = format!("{} records added", records.len());
            Ok((200, json!({ "message": words, "records_added": records.len() })))
        }
        (&Method::DELETE, [zone, "records", host, "TXT"]) => {
            let zone = of.zone(zone)?;
            let data = of.parameter("data").ok_or((400, "all of them would go".into()))?;
            let name = full(host, zone);
            let there = of.texts(zone).await?;
            if there.get(&name).is_none_or(|at| !at.values.contains(&data)) {
                return Err((404, "no such record".into()));
            }
            of.exchange(zone, &name, "remove_records", &[data.as_str()])
                .await?;
            Ok((
                200,
                json!({ "message": "1 records removed", "records_removed": 1 }),
            ))
        }
        _ => Err(of.no_path()),
    }
}

/// A record, as it is written there.
fn shown(record: &Value) -> Value {
    let host = match record["host"].as_str() {
        None | Some("") => "@",
        Some(host) => host,
    };
    json!({ "host": host, "type": "TXT", "data": record["data"], "ttl": 300 })
}

/// Gives a session out, or says why not (RFC 6749, 4.4).
fn login(of: &Of<'_>) -> (u16, Value) {
    let is_form = text(of.head, CONTENT_TYPE) == "application/x-www-form-urlencoded";
    if of.head.method != Method::POST || !is_form || of.body != b"grant_type=client_credentials" {
        return (400, json!({ "error": "invalid_request" }));
    }
    if !of.has_basic() {
        let words = "Invalid credentials";
        return (
            401,
            json!({ "error": "invalid_client", "error_description": words }),
        );
    }
    let answer = json!({ "access_token": of.new_session(), "expires_in": 300, "token_type": "bearer" });
    (200, answer)
}
