//! lego's httpreq in its default mode, and acme-dns' `/update`: each writes one value.
//! <https://go-acme.github.io/lego/dns/httpreq/>, <https://github.com/joohoi/acme-dns#update-endpoint>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

use super::zones::Texts;
use super::{Answer, Shared, lock, text};

/// Who may ask by httpreq, and with what.
pub const HTTPREQ_USER: &str = "sancho";
/// The password.
pub const HTTPREQ_PASSWORD: &str = "httpreq-password-of-no-use-elsewhere";
/// An account at acme-dns.
pub const ACME_DNS_USER: &str = "c36f50e8-4632-44f0-83fe-e070fef28a10";
/// Its key.
pub const ACME_DNS_KEY: &str = "acme-dns-key-of-no-use-elsewhere-0000000";
/// What it writes: this name below the first zone.
pub const ACME_DNS_SUBDOMAIN: &str = "8e5700ea-a4bf-41c7-8a77-e990661dcc6a";
/// How many values acme-dns keeps.
const KEPT: usize = 2;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    fqdn: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    subdomain: String,
    txt: String,
}

pub(super) async fn httpreq(shared: &Shared, head: &Parts, body: &[u8]) -> Answer {
    let expected = format!(
        "Basic {}",
        STANDARD.encode(format!("{HTTPREQ_USER}:{HTTPREQ_PASSWORD}"))
    );
    if text(head, AUTHORIZATION) != expected {
        return written(401, &json!("Unauthorized"));
    }
    let is_json = text(head, CONTENT_TYPE).starts_with("application/json");
    let (true, &Method::POST, Ok(record)) = (is_json, &head.method, serde_json::from_slice::<Record>(body))
    else {
        return written(400, &json!("bad request"));
    };
    let Some(name) = record.fqdn.strip_suffix('.') else {
        return written(400, &json!("fqdn has no dot at its end"));
    };
    let is_present = head.uri.path().ends_with("/present");
    changed(shared, name, |at| {
        if is_present {
            at.values.insert(record.value.clone());
        } else {
            at.values.remove(&record.value);
        }
    })
    .await
}

pub(super) async fn acme_dns(shared: &Shared, head: &Parts, body: &[u8]) -> Answer {
    if (text(head, "x-api-user"), text(head, "x-api-key")) != (ACME_DNS_USER, ACME_DNS_KEY) {
        return written(401, &json!({ "error": "forbidden" }));
    }
    let (&Method::POST, Ok(update)) = (&head.method, serde_json::from_slice::<Update>(body)) else {
        return written(400, &json!({ "error": "malformed_json_payload" }));
    };
    if update.subdomain != ACME_DNS_SUBDOMAIN {
        return written(401, &json!({ "error": "forbidden" }));
    }
    if update.txt.len() != 43 {
        return written(400, &json!({ "error": "bad_txt" }));
    }
    let gone: Vec<String> = {
        let mut kept = lock(&shared.kept);
        kept.retain(|value| *value != update.txt);
        kept.push(update.txt.clone());
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus).collect()
    };
    let name = format!("{ACME_DNS_SUBDOMAIN}.{}", shared.zones.names()[0]);
    let answer = changed(shared, &name, |at| {
        at.values.insert(update.txt.clone());
        at.values.retain(|value| !gone.contains(value));
    })
    .await;
    match answer.status {
        200 => written(200, &json!({ "txt": update.txt })),
        _ => answer,
    }
}

async fn changed(shared: &Shared, name: &str, change: impl FnOnce(&mut Texts)) -> Answer {
    let mut zones = shared.zones.names().iter();
    let Some(zone) = zones.find(|zone| name.ends_with(zone.as_str())) else {
        return written(404, &json!("no such zone"));
    };
    let replaced = async {
        let before = shared.zones.texts(zone).await?;
        let mut after = before.clone();
        let at = after.entry(name.to_owned()).or_default();
        if at.values.is_empty() {
            at.ttl = 60;
        }
        change(at);
        shared.zones.replace(zone, &before, &after).await
    };
    match replaced.await {
        Ok(()) => written(200, &Value::Null),
        Err(error) => written(500, &json!(format!("{error:#}"))),
    }
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
