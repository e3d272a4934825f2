//! Google Cloud DNS v1, and the exchange of a service account's statement for a token (RFC 7523).
//! <https://cloud.google.com/dns/docs/reference/rest/v1/changes/create>

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::zones::{Texts, ZoneTexts};
use super::{Answer, Provider, Shared, decoded, parameter, text};
use crate::pki::rsa_key;

/// The project that has the zones.
pub const PROJECT: &str = "sancho-test";
const EMAIL: &str = "sancho@sancho-test.iam.gserviceaccount.com";
const KEY_ID: &str = "0123456789abcdef";

/// A service account.
pub(super) struct Service {
    public: Vec<u8>,
    /// Its key file.
    pub(super) file: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    additions: Vec<RrSet>,
    deletions: Vec<RrSet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RrSet {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    ttl: u32,
    rrdatas: Vec<String>,
}

/// Why a request is refused: status, reason and words.
type Refused = (u16, &'static str, String);

impl Service {
    pub(super) fn new() -> Result<Self> {
        let (pem, public) = rsa_key()?;
        let file = json!({
            "type": "service_account", "project_id": PROJECT, "private_key_id": KEY_ID, "private_key": pem,
            "client_email": EMAIL, "client_id": "1", "token_uri": "https://oauth2.googleapis.com/token",
        });
        Ok(Self {
            public,
            file: file.to_string(),
        })
    }

    /// Is this statement the account's, and does it count now?
    fn vouches(&self, assertion: &str) -> Result<()> {
        let (signed, signature) = assertion.rsplit_once('.').context("no JWT")?;
        let (head, claims) = signed.split_once('.').context("no JWT")?;
        let part =
            |part: &str| -> Result<Value> { Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?) };
        let (head, claims) = (part(head)?, part(claims)?);
        ensure!(
            head["alg"] == "RS256" && head["kid"] == KEY_ID,
            "another key or algorithm"
        );
        ensure!(claims["iss"] == EMAIL, "another account");
        ensure!(
            claims["aud"] == "https://oauth2.googleapis.com/token",
            "another audience"
        );
        let scope = claims["scope"].as_str().unwrap_or_default();
        ensure!(
            scope == "https://www.googleapis.com/auth/ndev.clouddns.readwrite",
            "another scope"
        );
        let moment = |name: &str| claims[name].as_i64().context("no moment");
        let (from, until, now) = (moment("iat")?, moment("exp")?, Timestamp::now().as_second());
        ensure!(
            until - from <= 3600 && from <= now + 300 && now < until,
            "not now"
        );
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public)
            .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature)?)
            .map_err(|_| anyhow!("the signature is wrong"))
    }
}

pub(super) fn token(shared: &Shared, head: &Parts, body: &[u8]) -> Answer {
    let form: BTreeMap<String, String> = String::from_utf8_lossy(body)
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let refused =
        |error: &str, words: &str| written(400, &json!({ "error": error, "error_description": words }));
    if head.method != Method::POST || text(head, CONTENT_TYPE) != "application/x-www-form-urlencoded" {
        return refused("invalid_request", "a form is posted");
    }
    if field("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
        return refused("unsupported_grant_type", "Invalid grant_type");
    }
    match shared.service.vouches(field("assertion")) {
        Ok(()) => written(
            200,
            &json!({ "access_token": shared.new_session(Provider::CloudDns, 3), "expires_in": 3599, "token_type": "Bearer" }),
        ),
        Err(error) => refused("invalid_grant", &format!("Invalid JWT: {error:#}")),
    }
}

pub(super) async fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Answer {
    match result(shared, head, body).await {
        Ok(result) => written(200, &result),
        Err((status, reason, message)) => refused(status, reason, &message),
    }
}

pub(super) fn throttled() -> Answer {
    refused(403, "rateLimitExceeded", "Rate Limit Exceeded")
}

async fn result(shared: &Shared, head: &Parts, body: &[u8]) -> Result<Value, Refused> {
    if !shared.has_session(Provider::CloudDns, head) {
        return Err((
            401,
            "authError",
            "Request had invalid authentication credentials.".into(),
        ));
    }
    let path = head.uri.path().trim_start_matches("/dns/v1/projects/");
    let parts: Vec<&str> = path.split('/').collect();
    if parts.first() != Some(&PROJECT) {
        return Err((403, "forbidden", "Permission denied on the project".into()));
    }
    match (&head.method, parts.get(1..).unwrap_or_default()) {
        (&Method::GET, ["managedZones"]) => {
            let wanted = parameter(head, "dnsName");
            let zones = shared.zones.names().iter().flat_map(|zone| {
                [("private", "p"), ("public", "z")].map(|(visibility, prefix)| {
                    json!({
                        "name": format!("{prefix}-{}", zone.replace('.', "-")), "dnsName": format!("{zone}."),
                        "visibility": visibility,
                    })
                })
            });
            let found: Vec<Value> = zones
                .filter(|zone| wanted.as_deref().is_none_or(|name| zone["dnsName"] == name))
                .collect();
            Ok(json!({ "managedZones": found }))
        }
        (&Method::GET, ["managedZones", name, "rrsets"]) => {
            let texts = texts(shared, zone(shared, name)?).await?;
            let wanted = parameter(head, "name").unwrap_or_default();
            let at = texts.get(wanted.trim_end_matches('.'));
            let sets: Vec<Value> = at
                .map(|at| {
                    let datas: Vec<String> = at.values.iter().map(|value| format!("\"{value}\"")).collect();
                    json!({ "name": wanted, "type": "TXT", "ttl": at.ttl, "rrdatas": datas })
                })
                .into_iter()
                .collect();
            Ok(json!({ "rrsets": sets }))
        }
        (&Method::POST, ["managedZones", name, "changes"]) => {
            let change: Change =
                serde_json::from_slice(body).map_err(|error| (400, "parseError", error.to_string()))?;
            carry_out(shared, zone(shared, name)?, change).await
        }
        _ => Err((404, "notFound", "no such call".into())),
    }
}

async fn carry_out(shared: &Shared, zone: &str, change: Change) -> Result<Value, Refused> {
    let before = texts(shared, zone).await?;
    let mut after = before.clone();
    let Change { additions, deletions } = change;
    if additions.is_empty() && deletions.is_empty() {
        return Err((400, "required", "a change changes something".into()));
    }
    for (number, set) in deletions.into_iter().enumerate() {
        let (name, set) = read(zone, set)?;
        match after.get(&name) {
            None => {
                let words = format!(
                    "The 'entity.change.deletions[{number}]' resource named '{name}. (TXT)' does not exist."
                );
                return Err((404, "notFound", words));
            }
            Some(there) if *there == set => _ = after.remove(&name),
            Some(_) => {
                let words = format!("Precondition not met for 'entity.change.deletions[{number}]'");
                return Err((412, "conditionNotMet", words));
            }
        }
    }
    for (number, set) in additions.into_iter().enumerate() {
        let (name, set) = read(zone, set)?;
        if after.contains_key(&name) {
            let words = format!(
                "The resource 'entity.change.additions[{number}]' named '{name}. (TXT)' already exists"
            );
            return Err((409, "alreadyExists", words));
        }
        after.insert(name, set);
    }
    let replaced = shared.zones.replace(zone, &before, &after).await;
    replaced.map_err(|error| (500, "backendError", format!("{error:#}")))?;
    Ok(json!({ "kind": "dns#change", "id": "1", "status": "pending" }))
}

fn read(zone: &str, set: RrSet) -> Result<(String, Texts), Refused> {
    let RrSet {
        name,
        kind,
        ttl,
        rrdatas,
    } = set;
    let plain = name.strip_suffix('.').unwrap_or_default().to_owned();
    let unquoted = |value: &String| Some(value.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    let values = rrdatas.iter().map(unquoted).collect::<Option<_>>();
    match values {
        Some(values) if kind == "TXT" && (plain == zone || plain.ends_with(&format!(".{zone}"))) => {
            Ok((plain, Texts { ttl, values }))
        }
        _ => Err((
            400,
            "invalid",
            format!("Invalid value for the record set '{name}'"),
        )),
    }
}

async fn texts(shared: &Shared, zone: &str) -> Result<ZoneTexts, Refused> {
    let texts = shared.zones.texts(zone).await;
    texts.map_err(|error| (500, "backendError", format!("{error:#}")))
}

fn zone<'a>(shared: &'a Shared, name: &str) -> Result<&'a str, Refused> {
    let mut zones = shared.zones.names().iter();
    let found = zones.find(|zone| format!("z-{}", zone.replace('.', "-")) == name);
    found.map(String::as_str).ok_or_else(|| {
        let words = format!("The 'parameters.managedZone' resource named '{name}' does not exist.");
        (404, "notFound", words)
    })
}

fn refused(status: u16, reason: &str, message: &str) -> Answer {
    let item = json!({ "domain": "global", "reason": reason, "message": message });
    let error = json!({ "code": status, "message": message, "errors": [item] });
    written(status, &json!({ "error": error }))
}

fn written(status: u16, body: &Value) -> Answer {
    Answer {
        status,
        kind: "application/json; charset=UTF-8",
        cookie: None,
        body: body.to_string(),
        next_page: None,
    }
}
