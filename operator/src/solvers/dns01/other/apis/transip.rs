//! TransIP: <https://api.transip.nl/rest/docs.html>. A statement that the key signs is exchanged for a token. Entries have no
//! IDs, and are deleted by what they are.

use std::time::Duration;

use aws_lc_rs::signature::RSA_PKCS1_SHA512;
use hyper::Method;
use hyper::header::HeaderName;
use jiff::Timestamp;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Api, Ask, Body, Found, Login, Page, TTL, Zone, encoded, is, text, unquoted};
use crate::solvers::dns01::signing::rsa_signature;

pub(super) struct TransIp;

impl TransIp {
    /// How long a token counts.
    const COUNTS: Duration = Duration::from_secs(1800);

    fn changed(method: Method, at: &Zone<'_>, entry: &Value) -> Ask {
        Ask {
            method,
            body: Some(Body::Json(json!({ "dnsEntry": entry }))),
            ..Ask::get(format!("/v6/domains/{}/dns", encoded(at.id)))
        }
    }
}

impl Api for TransIp {
    fn host(&self) -> &'static str {
        "https://api.transip.nl"
    }

    fn is_usable(&self, by: &Login) -> bool {
        rsa_signature(&RSA_PKCS1_SHA512, &by.token, "").is_some()
    }

    fn login(&self, by: &Login, now: Timestamp) -> Option<Ask> {
        // No two are the same, of a token's label as well.
        let nonce = now.as_nanosecond().to_string();
        let body = json!({
            "login": by.id, "nonce": nonce, "label": format!("sancho-{nonce}"), "read_only": false,
            "expiration_time": format!("{} seconds", Self::COUNTS.as_secs()), "global_key": true,
        });
        let signature = rsa_signature(&RSA_PKCS1_SHA512, &by.token, &body.to_string())?;
        let ask = Ask::post("/v6/auth".into(), body);
        Some(ask.with(HeaderName::from_static("signature"), &signature))
    }

    fn session(&self, answer: &Value) -> Option<(Zeroizing<String>, Duration)> {
        let token = answer["token"].as_str()?;
        Some((Zeroizing::new(token.to_owned()), Self::COUNTS))
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/v6/domains/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["domain"]["name"], zone).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Ask::get(format!("/v6/domains/{}/dns", encoded(at.id)))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let mut all = Vec::new();
        let entries = answer["dnsEntries"].as_array()?.iter();
        for entry in entries.filter(|entry| is(&entry["type"], "TXT")) {
            all.push(Found {
                id: entry.to_string(),
                name: text(&entry["name"])?,
                value: unquoted(entry["content"].as_str()?).to_owned(),
            });
        }
        Some(Page {
            found: all,
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let entry = json!({ "name": name, "expire": TTL, "type": "TXT", "content": value });
        Self::changed(Method::POST, at, &entry)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let entry: Value = serde_json::from_str(&found.id).unwrap_or_default();
        Self::changed(Method::DELETE, at, &entry)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA512, RsaKeyPair, UnparsedPublicKey};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let bearer = "authorization: Bearer TOKEN";
        let entry = r#"{"content":"v","expire":60,"name":"_acme-challenge.www","type":"TXT"}"#;
        Published {
            name: ProviderName::TransIp,
            account: "shop",
            zone: &format!("GET /v6/domains/shop.example\n{bearer}"),
            is_zone: (
                json!({ "domain": { "name": "shop.example", "status": "registered" } }),
                "shop.example",
            ),
            is_no_zone: vec![(
                404,
                json!({ "error": "Domain with name 'shop.example' not found" }),
            )],
            refused: (
                401,
                json!({ "error": "Your access token has been revoked." }),
                "Your access token has been revoked.",
            ),
            records: &format!("GET /v6/domains/shop.example/dns\n{bearer}"),
            page: json!({ "dnsEntries": [
                { "name": "_acme-challenge.www", "expire": 60, "type": "TXT", "content": "v" },
                { "name": "@", "expire": 300, "type": "A", "content": "192.0.2.1" },
            ] }),
            id: entry,
            next: None,
            none: json!({ "dnsEntries": [] }),
            make: &format!("POST /v6/domains/shop.example/dns\n{bearer}\n{{\"dnsEntry\":{entry}}}"),
            delete: &format!("DELETE /v6/domains/shop.example/dns\n{bearer}\n{{\"dnsEntry\":{entry}}}"),
        }
        .holds();
    }

    #[test]
    fn its_token_is_asked_for_by_what_the_key_signs() {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der = key.as_der().unwrap();
        let der = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----");
        let by = |token: &str| Login {
            id: "shop".into(),
            token: Zeroizing::new(token.to_owned()),
        };
        assert!(TransIp.is_usable(&by(&pem)) && !TransIp.is_usable(&by("TOKEN")));
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let ask = TransIp.login(&by(&pem), now).unwrap();
        let Some(Body::Json(body)) = ask.body else {
            panic!("no body");
        };
        assert_eq!(
            (&body["login"], &body["nonce"]),
            (&json!("shop"), &json!("1796040000000000000"))
        );
        let signature = STANDARD.decode(ask.headers[0].1.as_str()).unwrap();
        let public: &[u8] = key.public_key().as_ref();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA512, public)
            .verify(body.to_string().as_bytes(), &signature)
            .unwrap();
        let (token, time) = TransIp.session(&json!({ "token": "eyJ0" })).unwrap();
        assert_eq!((token.as_str(), time), ("eyJ0", Duration::from_secs(1800)));
    }
}
