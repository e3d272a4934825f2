//! Azure DNS of 2018-05-01, and a token for an application. <https://learn.microsoft.com/en-us/rest/api/dns/record-sets>

use std::collections::BTreeMap;

use hyper::Method;
use hyper::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use hyper::http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::zones::{Texts, ZoneTexts};
use super::{Answer, Provider, Shared, decoded, parameter, text};

/// The directory, and the application in it that may change all zones.
pub const TENANT: &str = "11111111-1111-1111-1111-111111111111";
/// Its ID.
pub const CLIENT: &str = "22222222-2222-2222-2222-222222222222";
/// Another one, in Azure's cloud for the US government.
pub const GOVERNMENT_CLIENT: &str = "44444444-4444-4444-4444-444444444444";
/// The secret of both.
pub const CLIENT_SECRET: &str = "azure~test.secret-of_no+use/elsewhere";
/// The subscription that has the zones.
pub const SUBSCRIPTION: &str = "33333333-3333-3333-3333-333333333333";
/// The resource group in it.
pub const GROUP: &str = "dns";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordSet {
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Properties {
    #[serde(rename = "TTL")]
    ttl: u32,
    #[serde(rename = "TXTRecords")]
    records: Vec<Txt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Txt {
    value: Vec<String>,
}

/// Why a request is refused: status, code and words.
type Refused = (u16, &'static str, String);

pub(super) fn is_login(path: &str) -> bool {
    path == format!("/{TENANT}/oauth2/v2.0/token")
}

pub(super) fn token(shared: &Shared, head: &Parts, body: &[u8]) -> Answer {
    let form: BTreeMap<String, String> = String::from_utf8_lossy(body)
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let is = |name: &str, value: &str| form.get(name).is_some_and(|found| found == value);
    let is_form = text(head, CONTENT_TYPE) == "application/x-www-form-urlencoded";
    let refused =
        |error: &str, words: &str| written(401, &json!({ "error": error, "error_description": words }));
    let scope = match is("client_id", GOVERNMENT_CLIENT) {
        true => "https://management.usgovcloudapi.net/.default",
        false => "https://management.azure.com/.default",
    };
    if !is_form || !is("grant_type", "client_credentials") || !is("scope", scope) {
        return refused(
            "invalid_request",
            "AADSTS900144: The request body is not as it should be",
        );
    }
    let is_known = is("client_id", CLIENT) || is("client_id", GOVERNMENT_CLIENT);
    if !is_known || !is("client_secret", CLIENT_SECRET) {
        return refused("invalid_client", "AADSTS7000215: Invalid client secret provided.");
    }
    written(
        200,
        &json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": shared.new_session(Provider::AzureDns, 3) }),
    )
}

pub(super) async fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Answer {
    match result(shared, head, body).await {
        Ok((status, result)) => written(status, &result),
        Err((status, code, message)) if code == "NotFound" => {
            written(status, &json!({ "code": code, "message": message }))
        }
        Err((status, code, message)) => {
            written(status, &json!({ "error": { "code": code, "message": message } }))
        }
    }
}

pub(super) fn throttled() -> Answer {
    written(
        429,
        &json!({ "error": { "code": "TooManyRequests", "message": "The request is being throttled." } }),
    )
}

async fn result(shared: &Shared, head: &Parts, body: &[u8]) -> Result<(u16, Value), Refused> {
    if !shared.has_session(Provider::AzureDns, head) {
        return Err((
            401,
            "InvalidAuthenticationToken",
            "The access token is invalid.".into(),
        ));
    }
    if parameter(head, "api-version").as_deref() != Some("2018-05-01") {
        return Err((
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter is required.".into(),
        ));
    }
    let parts: Vec<&str> = head.uri.path().trim_start_matches('/').split('/').collect();
    let [
        "subscriptions",
        SUBSCRIPTION,
        "resourceGroups",
        GROUP,
        "providers",
        "Microsoft.Network",
        "dnsZones",
        zone,
        rest @ ..,
    ] = parts.as_slice()
    else {
        return Err((
            404,
            "ResourceGroupNotFound",
            "Resource group could not be found.".into(),
        ));
    };
    let zone = decoded(zone);
    if !shared.zones.names().contains(&zone) {
        let words = format!("The Resource 'Microsoft.Network/dnszones/{zone}' was not found.");
        return Err((404, "ResourceNotFound", words));
    }
    let ["TXT", relative] = rest else {
        return Ok((200, json!({ "name": zone, "type": "Microsoft.Network/dnszones" })));
    };
    let name = match decoded(relative).as_str() {
        "@" => zone.clone(),
        relative => format!("{relative}.{zone}"),
    };
    let before = shared.zones.texts(&zone).await.map_err(broken)?;
    let there = before.get(&name);
    let mut after = before.clone();
    match head.method {
        Method::GET => {
            let there =
                there.ok_or_else(|| (404, "NotFound", "The resource record was not found.".to_owned()))?;
            return Ok((200, shown(there)));
        }
        Method::PUT => {
            is_as_expected(head, there)?;
            let set: RecordSet = serde_json::from_slice(body).map_err(|error| {
                (
                    400,
                    "BadRequest",
                    format!("The request content is invalid: {error}"),
                )
            })?;
            let values = set
                .properties
                .records
                .into_iter()
                .map(|txt| txt.value.concat())
                .collect();
            let ttl = set.properties.ttl;
            after.insert(name.clone(), Texts { ttl, values });
        }
        Method::DELETE => {
            is_as_expected(head, there)?;
            after.remove(&name);
        }
        _ => return Err((405, "MethodNotAllowed", "no such call".into())),
    }
    replace(shared, &zone, &before, &after).await?;
    let status = if there.is_some() { 200 } else { 201 };
    Ok((status, after.get(&name).map_or(Value::Null, shown)))
}

fn is_as_expected(head: &Parts, there: Option<&Texts>) -> Result<(), Refused> {
    let (is, is_none) = (text(head, IF_MATCH), text(head, IF_NONE_MATCH));
    let holds = match there {
        Some(there) => is_none != "*" && (is.is_empty() || is == etag(there)),
        None => is.is_empty(),
    };
    if holds {
        Ok(())
    } else {
        Err((412, "PreconditionFailed", "The condition was not met.".into()))
    }
}

async fn replace(shared: &Shared, zone: &str, before: &ZoneTexts, after: &ZoneTexts) -> Result<(), Refused> {
    shared.zones.replace(zone, before, after).await.map_err(broken)
}

fn shown(set: &Texts) -> Value {
    let records: Vec<Value> = set
        .values
        .iter()
        .map(|value| json!({ "value": [value] }))
        .collect();
    json!({ "etag": etag(set), "properties": { "TTL": set.ttl, "TXTRecords": records } })
}

fn etag(set: &Texts) -> String {
    let digest = Sha256::digest(format!("{set:?}"));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn broken(error: anyhow::Error) -> Refused {
    (500, "InternalServerError", format!("{error:#}"))
}

fn written(status: u16, body: &Value) -> Answer {
    Answer {
        status,
        kind: "application/json",
        cookie: None,
        body: body.to_string(),
        next_page: None,
    }
}
