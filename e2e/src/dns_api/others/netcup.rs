//! netcup: <https://www.netcup.com/en/helpcenter/documentation/netcup-api>: the calls for challenges. It puts
//! `_acme-challenge` before a scope itself. A key that is none is answered 400, a list without anything 404.

use hyper::Method;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, hash, number};

const CHALLENGE: &str = "_acme-challenge.";

/// Of a list without anything.
const NOTHING: &str = "No results found, the page number may be too high.";

pub(super) const FORM: Form = Form {
    refusal: |status, words| {
        let code = match status {
            401 => "authenticationError",
            404 => "resourceDoesNotExist",
            _ => "validationError",
        };
        let errors = json!([{ "code": code, "message": words }]);
        json!({ "success": false, "errors": errors, "messages": [], "meta": null, "result": null })
    },
    // What is not as it should be is answered 400 as well: here by 422, so that a test sees it.
    status: |status| if status == 401 { 400 } else { status },
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/v1/domain")?.as_slice()) {
        (&Method::GET, []) => {
            let name = of.parameter("fqdn").unwrap_or_default();
            let zone = of.zone(&name).map_err(|_| (404, NOTHING.to_owned()))?;
            let id = number(&hash(&[zone]));
            let domains = json!([{ "id": id, "fqdn": zone, "isDnsManaged": true }]);
            Ok((200, result(&domains)))
        }
        (&Method::GET, [id, "acme", "challenge"]) => {
            let zone = of.numbered(id)?;
            let texts = of.texts(zone).await?;
            let mut all = Vec::new();
            for (name, at) in &texts {
                if let Some(scope) = scope_of(name, zone) {
                    let values = at.values.iter();
                    all.extend(values.map(|value| challenge(zone, scope, value, "deployed")));
                }
            }
            match all.is_empty() {
                true => Err((404, NOTHING.into())),
                false => Ok((200, result(&json!(all)))),
            }
        }
        (&Method::POST, [id, "acme", "challenge"]) => {
            let (zone, body) = (of.numbered(id)?, of.json()?);
            let scope = body["scope"].as_str().filter(|scope| !scope.is_empty());
            let value = body["value"].as_str().filter(|value| is_digest(value));
            let (Some(scope), Some(value)) = (scope, value) else {
                let words = "scope is a name or @, and value the digest of a key authorization";
                return Err((422, words.into()));
            };
            let name = name_of(scope, zone);
            if is_there(of, zone, &name, value).await? {
                let there = challenge(zone, scope, value, "deployed");
                return Ok((200, result(&json!([there]))));
            }
            of.exchange(zone, &name, "add_records", &[value]).await?;
            let made = challenge(zone, scope, value, "pending");
            Ok((201, result(&json!([made]))))
        }
        (&Method::DELETE, [id, "acme", "challenge", scope, value]) => {
            let zone = of.numbered(id)?;
            let name = name_of(scope, zone);
            if !is_there(of, zone, &name, value).await? {
                return Err((404, "No result was found.".into()));
            }
            of.exchange(zone, &name, "remove_records", &[*value]).await?;
            Ok((204, Value::Null))
        }
        _ => Err(of.no_path()),
    }
}

fn result(result: &Value) -> Value {
    json!({ "success": true, "errors": [], "messages": [], "meta": null, "result": result })
}

fn challenge(zone: &str, scope: &str, value: &str, status: &str) -> Value {
    json!({ "scope": scope, "fqdn": name_of(scope, zone), "value": value, "status": status })
}

fn name_of(scope: &str, zone: &str) -> String {
    match scope {
        "@" => format!("{CHALLENGE}{zone}"),
        scope => format!("{CHALLENGE}{scope}.{zone}"),
    }
}

/// The scope of a name, if it is one of a challenge.
fn scope_of<'n>(name: &'n str, zone: &str) -> Option<&'n str> {
    let rest = name.strip_prefix(CHALLENGE)?;
    match rest == zone {
        true => Some("@"),
        false => rest.strip_suffix(zone)?.strip_suffix('.'),
    }
}

/// SHA-256 in base64url, without padding.
fn is_digest(value: &str) -> bool {
    let mut bytes = value.bytes();
    value.len() == 43 && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

async fn is_there(of: &Of<'_>, zone: &str, name: &str, value: &str) -> Result<bool, Refused> {
    let texts = of.texts(zone).await?;
    Ok(texts.get(name).is_some_and(|at| at.values.contains(value)))
}
