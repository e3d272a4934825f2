//! OVHcloud: <https://eu.api.ovh.com/console/?section=%2Fdomain&branch=v1>, with its OAuth2 server on the same origin:
//! <https://docs.ovhcloud.com/en/guides/manage-and-operate/api/manage-service-account>.

use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{Answered, Form, Of, decoded, text};

pub(super) const FORM: Form = Form {
    account: "0f0f0f0f0f0f0f0f",
    is_let_in: |of| of.path == LOGIN || of.has_session(),
    refusal: |_, words| json!({ "class": "Client::Error", "message": words }),
    name: "subDomain",
    value: "target",
    is_quoted: true,
    ..Form::USUAL
};

const LOGIN: &str = "/auth/oauth2/token";

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    if of.path == LOGIN {
        return Ok(login(of));
    }
    let parts = of.below("/v1/domain/zone")?;
    let [zone, rest @ ..] = parts.as_slice() else {
        return Err(of.no_path());
    };
    let zone = of
        .zone(zone)
        .map_err(|_| (404, "This service does not exist".to_owned()))?;
    match (&of.head.method, rest) {
        (&Method::GET, []) => Ok((200, json!({ "name": zone, "nameServers": ["dns1.ovh.example"] }))),
        (&Method::GET, ["record"]) if of.parameter("fieldType").as_deref() == Some("TXT") => {
            let records = of.all(zone).await?;
            let name = of.parameter("subDomain");
            let is_asked = |record: &&Value| match &name {
                None => true,
                Some(name) => record["subDomain"].as_str().unwrap_or_default() == name,
            };
            let asked = records.iter().filter(is_asked);
            let ids: Vec<&Value> = asked.map(|record| &record["id"]).collect();
            Ok((200, json!(ids)))
        }
        (&Method::GET, ["record", id]) => {
            let records = of.all(zone).await?;
            let id: u64 = id.parse().unwrap_or_default();
            let found = records.iter().find(|record| record["id"] == json!(id));
            let gone = || (404, format!("The requested object (id = {id}) does not exist"));
            Ok((200, shown(found.ok_or_else(gone)?, zone)))
        }
        (&Method::POST, ["record"]) => {
            let asked = of.json()?;
            let (name, target, ttl) = (&asked["subDomain"], &asked["target"], &asked["ttl"]);
            let record =
                json!({ "type": asked["fieldType"], "subDomain": name, "target": target, "ttl": ttl });
            Ok((200, shown(&of.make(zone, &record).await?, zone)))
        }
        (&Method::DELETE, ["record", id]) => {
            of.delete(zone, id).await?;
            Ok((200, Value::Null))
        }
        (&Method::POST, ["refresh"]) if of.body.is_empty() => Ok((200, Value::Null)),
        _ => Err(of.no_path()),
    }
}

/// A record, as it is written there.
fn shown(record: &Value, zone: &str) -> Value {
    let (id, name, target) = (&record["id"], &record["subDomain"], &record["target"]);
    json!({ "id": id, "zone": zone, "fieldType": "TXT", "subDomain": name, "target": target, "ttl": 60 })
}

/// Gives a session out, or says why not (RFC 6749, 5.1 and 5.2).
fn login(of: &Of<'_>) -> (u16, Value) {
    let form = String::from_utf8_lossy(of.body);
    let pairs: Vec<(&str, String)> = form
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name, decoded(value)))
        .collect();
    let has = |name: &str, value: &str| pairs.iter().any(|pair| pair.0 == name && pair.1 == value);
    let is_form = text(of.head, CONTENT_TYPE) == "application/x-www-form-urlencoded";
    let is_asked = has("grant_type", "client_credentials") && has("scope", "all");
    if of.head.method != Method::POST || !is_form || !is_asked {
        return (400, json!({ "error": "invalid_request" }));
    }
    if !has("client_id", of.form.account) || !has("client_secret", &of.token) {
        return (401, json!({ "error": "invalid_client" }));
    }
    let answer = json!({ "access_token": of.new_session(), "token_type": "Bearer", "expires_in": 3599, "scope": "all" });
    (200, answer)
}
