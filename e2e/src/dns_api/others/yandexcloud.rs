//! Yandex Cloud DNS, <https://yandex.cloud/en/docs/dns/api-ref/DnsZone/>, and the exchange of a service account's statement for
//! a token, <https://yandex.cloud/en/docs/iam/operations/iam-token/create-for-sa>. Its records have no IDs.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, hash, inside};
use crate::pki::rsa_key;

const KEY_ID: &str = "aje0000000000000key0";
const SERVICE_ACCOUNT: &str = "aje00000000000sancho";

/// The public key of a service account, and its key file.
static KEY: LazyLock<Option<(Vec<u8>, String)>> = LazyLock::new(|| {
    let (pem, public) = rsa_key().ok()?;
    let pem = format!("PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <{KEY_ID}>\n{pem}");
    let file = json!({ "id": KEY_ID, "service_account_id": SERVICE_ACCOUNT, "private_key": pem });
    Some((public, file.to_string()))
});

/// It stands in place of a token.
pub(super) fn key_file() -> String {
    KEY.as_ref().map_or_else(String::new, |(_, file)| file.clone())
}

pub(super) const FORM: Form = Form {
    account: "b1g00000000000sancho",
    is_let_in: |of| of.path == "/iam/v1/tokens" || of.has_session(),
    refusal: |status, words| {
        let code = match status {
            401 => 16,
            404 => 5,
            429 => 8,
            _ => 3,
        };
        json!({ "code": code, "message": words, "details": [] })
    },
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    if (&of.head.method, of.path.as_str()) == (&Method::POST, "/iam/v1/tokens") {
        let body = of.json()?;
        let is_it = vouches(body["jwt"].as_str().unwrap_or_default()).is_some();
        let session = json!({ "iamToken": of.new_session(), "expiresAt": "2099-01-01T00:00:00Z" });
        return if is_it {
            Ok((200, session))
        } else {
            Err((401, "JWT is invalid".into()))
        };
    }
    let rest = of
        .path
        .strip_prefix("/dns/v1/zones")
        .ok_or_else(|| of.no_path())?;
    let (id, action) = rest.trim_start_matches('/').split_once(':').unwrap_or_default();
    match (&of.head.method, action) {
        (&Method::GET, "") if of.parameter("folderId").as_deref() == Some(FORM.account) => {
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones
                .map(
                    |zone| json!({ "id": zone_id(zone), "zone": format!("{zone}."), "publicVisibility": {} }),
                )
                .collect();
            Ok((200, json!({ "dnsZones": zones })))
        }
        (&Method::GET, "listRecordSets") if of.parameter("filter").as_deref() == Some("type=\"TXT\"") => {
            let texts = of.texts(zone(of, id)?).await?;
            let sets: Vec<Value> = texts
                .iter()
                .map(|(name, at)| {
                    let data: Vec<String> = at.values.iter().map(|value| format!("\"{value}\"")).collect();
                    json!({ "name": format!("{name}."), "type": "TXT", "ttl": at.ttl.to_string(), "data": data })
                })
                .collect();
            // What is empty is left out.
            Ok((
                200,
                if sets.is_empty() {
                    json!({})
                } else {
                    json!({ "recordSets": sets })
                },
            ))
        }
        (&Method::POST, "upsertRecordSets") => {
            let (zone, body) = (zone(of, id)?, of.json()?);
            if !body["replacements"].is_null() {
                return Err((
                    422,
                    "a set would be replaced, and what others have in it be lost".into(),
                ));
            }
            for (how, action) in [("merges", "add_records"), ("deletions", "remove_records")] {
                let mut names = BTreeSet::new();
                for set in body[how].as_array().into_iter().flatten() {
                    if !names.insert(set["name"].as_str()) {
                        return Err((400, format!("a name stands twice in {how}")));
                    }
                    upsert(of, zone, action, set).await?;
                }
            }
            Ok((200, json!({ "id": "dns1", "done": true, "response": {} })))
        }
        _ => Err(of.no_path()),
    }
}

async fn upsert(of: &Of<'_>, zone: &str, action: &str, set: &Value) -> Result<(), Refused> {
    let name = set["name"].as_str().and_then(|name| name.strip_suffix('.'));
    let is_below = |name: &&str| *name == zone || name.ends_with(&format!(".{zone}"));
    let ttl = set["ttl"].as_str().and_then(|ttl| ttl.parse::<u32>().ok());
    let values = set["data"].as_array().into_iter().flatten().map(inside);
    let values: Option<Vec<&str>> = values.collect();
    let (Some(name), Some(values), Some("TXT")) = (name.filter(is_below), values, set["type"].as_str())
    else {
        return Err((422, "name, type or data is not as it should be".into()));
    };
    if action == "add_records" && ttl.is_none_or(|ttl| ttl < 60) {
        return Err((422, "a set has a ttl".into()));
    }
    of.exchange(zone, name, action, &values).await
}

fn zone<'a>(of: &'a Of<'_>, id: &str) -> Result<&'a str, Refused> {
    let mut zones = of.shared.zones.names().iter();
    let found = zones.find(|zone| zone_id(zone) == id);
    found
        .map(String::as_str)
        .ok_or((404, format!("DNS zone {id} not found")))
}

/// Twenty characters.
fn zone_id(zone: &str) -> String {
    format!("dns{}", &hash(&[zone])[..17])
}

/// Does this statement come from the service account, and does it count now?
fn vouches(statement: &str) -> Option<()> {
    let (signed, signature) = statement.rsplit_once('.')?;
    let (head, claims) = signed.split_once('.')?;
    let part = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let (head, claims) = (part(head)?, part(claims)?);
    let (from, until) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
    let now = Timestamp::now().as_second();
    let is_it = head["alg"] == "PS256"
        && head["kid"] == KEY_ID
        && claims["iss"] == SERVICE_ACCOUNT
        && claims["aud"] == "https://iam.api.cloud.yandex.net/iam/v1/tokens"
        && until - from <= 3600
        && from <= now + 60
        && now < until;
    let (public, _) = KEY.as_ref()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok().filter(|_| is_it)?;
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public)
        .verify(signed.as_bytes(), &signature)
        .ok()
}
