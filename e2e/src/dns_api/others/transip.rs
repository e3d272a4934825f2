//! TransIP: <https://api.transip.nl/rest/docs.html>. A statement that the key signs is exchanged for a token, and an entry is
//! deleted by what it is.

use std::sync::LazyLock;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::{Answered, Form, Of, below_zone, full, text};
use crate::pki::rsa_key;

/// The account's key in PEM, and its public half.
static KEY: LazyLock<(String, Vec<u8>)> = LazyLock::new(|| rsa_key().unwrap_or_default());

pub(super) const FORM: Form = Form {
    account: "shop-user",
    is_let_in: |of| match of.path.as_str() {
        "/v6/auth" => is_signed(of),
        _ => of.has_session(),
    },
    refusal: |_, words| json!({ "error": words }),
    value: "content",
    ttl: ("expire", 60),
    ..Form::USUAL
};

/// The account's key, which stands in the Secret.
pub(super) fn key() -> String {
    KEY.0.clone()
}

fn is_signed(of: &Of<'_>) -> bool {
    let signature = STANDARD.decode(text(of.head, HeaderName::from_static("signature")));
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA512, &KEY.1);
    signature.is_ok_and(|signature| key.verify(of.body, &signature).is_ok())
}

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    if (&of.head.method, of.path.as_str()) == (&Method::POST, "/v6/auth") {
        let body = of.json()?;
        let nonce = body["nonce"].as_str().unwrap_or_default();
        let is_whole = body["login"] == json!(FORM.account) && body["expiration_time"].is_string();
        return match is_whole && (6..=32).contains(&nonce.len()) {
            true => Ok((201, json!({ "token": of.new_session() }))),
            false => Err((406, "Please specify a login and a nonce in the body".into())),
        };
    }
    match (&of.head.method, of.below("/v6/domains")?.as_slice()) {
        (&Method::GET, [zone]) => {
            let domain = json!({ "name": of.zone(zone)?, "status": "registered" });
            Ok((200, json!({ "domain": domain })))
        }
        (&Method::GET, [zone, "dns"]) => {
            let zone = of.zone(zone)?;
            let mut entries = Vec::new();
            for (name, at) in of.texts(zone).await? {
                let name = match below_zone(&name, zone) {
                    "" => "@",
                    below => below,
                };
                for value in &at.values {
                    entries.push(json!({ "name": name, "expire": 60, "type": "TXT", "content": value }));
                }
            }
            Ok((200, json!({ "dnsEntries": entries })))
        }
        (&Method::POST, [zone, "dns"]) => {
            of.make(of.zone(zone)?, &of.json()?["dnsEntry"]).await?;
            Ok((201, Value::Null))
        }
        (&Method::DELETE, [zone, "dns"]) => {
            let (zone, entry) = (of.zone(zone)?, of.json()?["dnsEntry"].clone());
            let (name, value) = (entry["name"].as_str(), entry["content"].as_str());
            let is_whole = entry["type"] == json!("TXT") && entry["expire"] == json!(60);
            let (Some(name), Some(value), true) = (name, value, is_whole) else {
                return Err((406, "the entry lacks something".into()));
            };
            let gone = of
                .exchange(zone, &full(name, zone), "remove_records", &[value])
                .await;
            gone.map_err(|_| (404, "DNS entry not found".to_owned()))?;
            Ok((204, Value::Null))
        }
        _ => Err(of.no_path()),
    }
}
