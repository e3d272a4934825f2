//! Cloudflare's API v4: zones by name, TXT records by query, batches.
//! <https://developers.cloudflare.com/api/resources/dns/subresources/records/methods/batch/>

use std::collections::BTreeMap;

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::zones::{Texts, ZoneTexts};
use super::{Answer, Shared, lock, parameter, text};

/// The token that may edit all zones.
pub const TOKEN: &str = "v1.0-cloudflare-test-token-of-no-use-elsewhere";
/// The account that has the zones, which may edit them by its global key as well.
pub const EMAIL: &str = "dns@account.example";
/// That key.
pub const GLOBAL_KEY: &str = "cloudflare-global-key-of-no-use-elsewhere";
/// The most changes in a batch, on the plan that has the fewest.
const MOST_CHANGES: usize = 200;

/// What was said of a record when it was made, by name and value.
pub(super) type Comments = BTreeMap<(String, String), String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[serde(default)]
    deletes: Vec<Delete>,
    #[serde(default)]
    posts: Vec<Post>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Post {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    content: String,
    ttl: u32,
    #[serde(default)]
    comment: String,
}

/// Why a request is refused: status, code and words.
type Refused = (u16, i64, String);

pub(super) async fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Answer {
    match result(shared, head, body).await {
        Ok((result, info)) => written(
            200,
            &json!({ "success": true, "errors": [], "messages": [], "result": result, "result_info": info }),
        ),
        Err((status, code, message)) => written(
            status,
            &json!({
                "success": false, "errors": [{ "code": code, "message": message }], "messages": [], "result": null,
            }),
        ),
    }
}

pub(super) fn throttled() -> Answer {
    let error = json!({ "code": 971, "message": "Please wait and consider throttling your request speed" });
    written(
        429,
        &json!({ "success": false, "errors": [error], "messages": [], "result": null }),
    )
}

async fn result(shared: &Shared, head: &Parts, body: &[u8]) -> Result<(Value, Value), Refused> {
    let token = text(head, AUTHORIZATION).strip_prefix("Bearer ");
    match (token, text(head, "x-auth-email"), text(head, "x-auth-key")) {
        (Some(TOKEN), "", "") | (None, EMAIL, GLOBAL_KEY) => {}
        (Some(_), ..) => return Err((403, 9109, "Invalid access token".into())),
        (None, "", "") => return Err((400, 6003, "Invalid request headers".into())),
        (None, ..) => return Err((403, 9103, "Unknown X-Auth-Key or X-Auth-Email".into())),
    }
    let path = head.uri.path().trim_start_matches("/client/v4/");
    let parts: Vec<&str> = path.split('/').collect();
    match (&head.method, parts.as_slice()) {
        (&Method::GET, ["zones"]) => {
            let (name, status) = (parameter(head, "name"), parameter(head, "status"));
            // Each zone was added to another account as well, where it stays pending, and is listed first.
            let all = shared.zones.names().iter().flat_map(|zone| {
                [
                    (pending_id(zone), zone, "pending"),
                    (zone_id(zone), zone, "active"),
                ]
            });
            let found: Vec<Value> = all
                .filter(|(_, zone, _)| name.as_ref().is_none_or(|name| name == *zone))
                .filter(|(.., is)| status.as_ref().is_none_or(|status| status == is))
                .map(|(id, name, status)| json!({ "id": id, "name": name, "status": status }))
                .collect();
            let count = found.len();
            Ok((found.into(), pages(1, 20, count)))
        }
        // A pending zone takes records, and no server of it is asked for them.
        (&Method::GET, ["zones", id, "dns_records"]) if is_pending(shared, id) => {
            Ok((json!([]), pages(1, 100, 0)))
        }
        (&Method::POST, ["zones", id, "dns_records", "batch"]) if is_pending(shared, id) => Ok((
            json!({ "deletes": [], "patches": [], "puts": [], "posts": [] }),
            Value::Null,
        )),
        (&Method::GET, ["zones", id, "dns_records"]) => {
            let texts = texts(shared, zone(shared, id)?).await?;
            list(shared, head, &texts)
        }
        (&Method::POST, ["zones", id, "dns_records", "batch"]) => {
            if !text(head, CONTENT_TYPE).starts_with("application/json") {
                return Err((400, 6003, "Invalid request headers".into()));
            }
            let batch: Batch = serde_json::from_slice(body)
                .map_err(|error| (400, 9207, format!("Request body is invalid: {error}")))?;
            change(shared, zone(shared, id)?, batch).await
        }
        _ => Err((
            404,
            7003,
            format!("Could not route to /{path}, perhaps your object identifier is invalid?"),
        )),
    }
}

fn list(shared: &Shared, head: &Parts, texts: &ZoneTexts) -> Result<(Value, Value), Refused> {
    if parameter(head, "type").as_deref() != Some("TXT") {
        return Err((400, 9999, "these tests know TXT records alone".into()));
    }
    let comments = lock(&shared.comments);
    let wanted = parameter(head, "comment.exact");
    let mut records = Vec::new();
    for (name, at) in texts {
        for value in &at.values {
            let comment = comments.get(&(name.clone(), value.clone()));
            if wanted.is_none() || wanted.as_ref() == comment {
                records.push(json!({
                    "id": record_id(name, value), "type": "TXT", "name": name, "content": format!("\"{value}\""),
                    "ttl": at.ttl, "proxied": false, "comment": comment,
                }));
            }
        }
    }
    let number = |name: &str, default: usize| {
        parameter(head, name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (page, size) = (number("page", 1), number("per_page", 100));
    let count = records.len();
    let shown: Vec<Value> = records.into_iter().skip((page - 1) * size).take(size).collect();
    Ok((shown.into(), pages(page, size, count)))
}

async fn change(shared: &Shared, zone: &str, batch: Batch) -> Result<(Value, Value), Refused> {
    if lock(&shared.read_only).contains(zone) {
        return Err((403, 10000, "Authentication error".into()));
    }
    let Batch { deletes, posts } = batch;
    if deletes.len() + posts.len() > MOST_CHANGES {
        return Err((400, 9207, "too many records in a batch".into()));
    }
    let before = texts(shared, zone).await?;
    let mut after = before.clone();
    for Delete { id } in &deletes {
        let all = after
            .iter()
            .flat_map(|(name, at)| at.values.iter().map(move |value| (name, value)));
        let found = all
            .filter(|(name, value)| record_id(name, value) == *id)
            .map(|(name, value)| (name.clone(), value.clone()))
            .next();
        let Some((name, value)) = found else {
            return Err((404, 81044, "Record does not exist.".into()));
        };
        if let Some(at) = after.get_mut(&name) {
            at.values.remove(&value);
        }
    }
    let mut made = Vec::new();
    for post in posts {
        let Post {
            kind,
            name,
            content,
            ttl,
            comment,
        } = post;
        let value = content.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let (true, Some(value)) = (kind == "TXT", value) else {
            return Err((
                400,
                9207,
                "content of a TXT record stands in quotation marks".into(),
            ));
        };
        if name != zone && !name.ends_with(&format!(".{zone}")) {
            return Err((400, 9000, format!("DNS name {name} is not in the zone {zone}")));
        }
        if (ttl != 1 && !(60..=86400).contains(&ttl)) || comment.len() > 100 {
            return Err((400, 9021, "TTL must be between 60 and 86400 seconds, or 1".into()));
        }
        let at = after.entry(name.clone()).or_insert(Texts {
            ttl,
            values: Default::default(),
        });
        if !at.values.insert(value.to_owned()) {
            return Err((400, 81058, "An identical record already exists.".into()));
        }
        made.push((name, value.to_owned(), comment));
    }
    shared
        .zones
        .replace(zone, &before, &after)
        .await
        .map_err(|error| (500, 1, format!("{error:#}")))?;
    let posts: Vec<Value> = made
        .iter()
        .map(|(name, value, _)| json!({ "id": record_id(name, value), "name": name }))
        .collect();
    let made = made
        .into_iter()
        .map(|(name, value, comment)| ((name, value), comment));
    lock(&shared.comments).extend(made);
    Ok((
        json!({ "deletes": [], "patches": [], "puts": [], "posts": posts }),
        Value::Null,
    ))
}

async fn texts(shared: &Shared, zone: &str) -> Result<ZoneTexts, Refused> {
    let texts = shared.zones.texts(zone).await;
    texts.map_err(|error| (500, 1, format!("{error:#}")))
}

fn zone<'a>(shared: &'a Shared, id: &str) -> Result<&'a str, Refused> {
    let mut zones = shared.zones.names().iter();
    let found = zones.find(|zone| zone_id(zone) == id);
    found
        .map(String::as_str)
        .ok_or_else(|| (403, 10000, "Authentication error".into()))
}

fn pages(page: usize, size: usize, count: usize) -> Value {
    json!({
        "page": page, "per_page": size, "count": count, "total_count": count, "total_pages": count.div_ceil(size),
    })
}

fn zone_id(zone: &str) -> String {
    hash(&[zone])
}

fn pending_id(zone: &str) -> String {
    hash(&["pending", zone])
}

fn is_pending(shared: &Shared, id: &str) -> bool {
    let mut zones = shared.zones.names().iter();
    zones.any(|zone| pending_id(zone) == id)
}

fn record_id(name: &str, value: &str) -> String {
    hash(&[name, value])
}

/// 32 hexadecimal digits, as all of Cloudflare's IDs are.
fn hash(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\n"));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
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
