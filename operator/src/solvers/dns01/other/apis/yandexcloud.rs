//! Yandex Cloud DNS: <https://yandex.cloud/en/docs/dns/api-ref/DnsZone/upsertRecordSets>: a record has no ID there, and is deleted
//! by its value. The key file of a service account signs a statement that is exchanged for a token:
//! <https://yandex.cloud/en/docs/iam/operations/iam-token/create-for-sa>.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Api, Ask, Found, Login, Page, TTL, Zone, below, by_name, encoded, full, is, quoted, text, unquoted,
};

/// Where statements are exchanged for tokens.
const IAM: &str = "https://iam.api.cloud.yandex.net";
/// A token counts for up to 12 hours; to have a new one each hour is what its documents say.
const COUNTS: Duration = Duration::from_secs(3600);

pub(super) struct YandexCloud;

#[derive(Deserialize)]
struct KeyFile {
    id: String,
    service_account_id: String,
    #[serde(deserialize_with = "crate::solvers::dns01::credentials::zeroizing")]
    private_key: Zeroizing<String>,
}

/// What the account of this key file states; nothing if it is none.
fn statement(file: &str, now: Timestamp) -> Option<String> {
    let file: KeyFile = serde_json::from_str(file).ok()?;
    // A line stands before the key that is none of it.
    let der = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes()).ok()?;
    let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?;
    let second = now.as_second();
    let head = json!({ "alg": "PS256", "typ": "JWT", "kid": file.id });
    let claims = json!({
        "iss": file.service_account_id, "aud": format!("{IAM}/iam/v1/tokens"), "iat": second, "exp": second + 3600,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(&claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PSS_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .ok()?;
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Has sets changed.
fn changed(at: &Zone<'_>, how: &str, sets: &[Value]) -> Ask {
    let path = format!("/dns/v1/zones/{}:upsertRecordSets", encoded(at.id));
    Ask::post(path, json!({ how: sets }))
}

/// Has records added to their sets, and leaves the others of the sets. No set may stand twice.
fn added(at: &Zone<'_>, records: &[(&str, &str)]) -> Ask {
    let records = records.iter().map(|&(name, value)| (name, quoted(value)));
    let sets = by_name(records).into_iter().map(|(name, data)| {
        let name = full(name, at.name) + ".";
        json!({ "name": name, "type": "TXT", "data": data, "ttl": TTL.to_string() })
    });
    changed(at, "merges", &sets.collect::<Vec<Value>>())
}

/// Has records deleted from their sets.
fn deleted(at: &Zone<'_>, found: &[&Found]) -> Ask {
    let found = found.iter().map(|found| (found.name.as_str(), &found.id));
    let sets = by_name(found).into_iter().map(|(name, data)| {
        let name = full(name, at.name) + ".";
        json!({ "name": name, "type": "TXT", "data": data })
    });
    changed(at, "deletions", &sets.collect::<Vec<Value>>())
}

impl Api for YandexCloud {
    fn host(&self) -> &'static str {
        "https://dns.api.cloud.yandex.net"
    }

    fn is_usable(&self, by: &Login) -> bool {
        statement(&by.token, Timestamp::UNIX_EPOCH).is_some()
    }

    fn login(&self, by: &Login, now: Timestamp) -> Option<Ask> {
        let statement = statement(&by.token, now)?;
        Some(Ask {
            host: Some(IAM),
            ..Ask::post("/iam/v1/tokens".into(), json!({ "jwt": statement }))
        })
    }

    fn session(&self, answer: &Value) -> Option<(Zeroizing<String>, Duration)> {
        let token = text(&answer["iamToken"])?;
        Some((Zeroizing::new(token), COUNTS))
    }

    fn zone(&self, by: &Login, _: &str) -> Ask {
        // Zones can be had by a list alone: that of a folder, which has up to a thousand at once.
        Ask::get(format!(
            "/dns/v1/zones?folderId={}&pageSize=1000",
            encoded(&by.id)
        ))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["dnsZones"].as_array()?.iter();
        let found = zones.find(|found| {
            let name = found["zone"].as_str().unwrap_or_default();
            // Others are seen in networks of the cloud alone.
            let is_public = found["publicVisibility"].is_object();
            is_public && name.trim_end_matches('.').eq_ignore_ascii_case(zone)
        })?;
        text(&found["id"])
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let token = page.map(|token| format!("&pageToken={}", encoded(token)));
        let token = token.unwrap_or_default();
        Ask::get(format!(
            "/dns/v1/zones/{}:listRecordSets?filter={}&pageSize=1000{token}",
            encoded(at.id),
            encoded("type=\"TXT\"")
        ))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let fields = answer.as_object()?;
        let none = Vec::new();
        let sets = match fields.get("recordSets") {
            Some(sets) => sets.as_array()?,
            // Fields that are empty may be left out.
            None => fields
                .keys()
                .all(|name| name == "nextPageToken")
                .then_some(&none)?,
        };
        let mut all = Vec::new();
        for set in sets.iter().filter(|set| is(&set["type"], "TXT")) {
            let name = set["name"].as_str()?;
            for value in set["data"].as_array()? {
                let value = value.as_str()?;
                all.push(Found {
                    id: value.to_owned(),
                    name: below(name, at.name).to_owned(),
                    value: unquoted(value).to_owned(),
                });
            }
        }
        Some(Page {
            found: all,
            next: text(&answer["nextPageToken"]).filter(|token| !token.is_empty()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        added(at, &[(name, value)])
    }

    fn make_all(&self, at: &Zone<'_>, records: &[(&str, &str)]) -> Vec<Ask> {
        vec![added(at, records)]
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        deleted(at, &[found])
    }

    fn delete_all(&self, at: &Zone<'_>, found: &[&Found]) -> Vec<Ask> {
        vec![deleted(at, found)]
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        // What became of an operation, as gRPC numbers it.
        match answer["error"]["code"].as_u64() {
            None => status,
            Some(5) => 404,
            Some(7) => 403,
            Some(8) => 429,
            Some(9 | 10 | 14) => 409,
            Some(16) => 401,
            Some(_) => 400,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use base64::engine::general_purpose::STANDARD;

    use super::super::ProviderName;
    use super::super::published::{Published, Several};
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let zones = |visibility: &str| {
            json!({ "dnsZones": [
                { "id": "dns0000000000000road", "zone": "workshop.example.", "publicVisibility": {} },
                { "id": "dns00000000000000042", "zone": "shop.example.", visibility: {} },
            ] })
        };
        let base = "/dns/v1/zones/dns00000000000000042";
        let list = format!("{base}:listRecordSets?filter=type%3D%22TXT%22&pageSize=1000");
        Published {
            name: ProviderName::YandexCloud,
            account: "b1gfolder",
            zone: "GET /dns/v1/zones?folderId=b1gfolder&pageSize=1000\nauthorization: Bearer TOKEN",
            is_zone: (zones("publicVisibility"), "dns00000000000000042"),
            is_no_zone: vec![(200, zones("privateVisibility")), (200, json!({}))],
            refused: (
                401,
                json!({ "code": 16, "message": "The token is invalid", "details": [] }),
                "The token is invalid",
            ),
            records: &format!("GET {list}\nauthorization: Bearer TOKEN"),
            page: json!({
                "recordSets": [
                    { "name": "_acme-challenge.www.shop.example.", "type": "TXT", "ttl": "60", "data": ["\"v\"", "\"w\""] },
                    { "name": "www.shop.example.", "type": "A", "ttl": "60", "data": ["192.0.2.1"] },
                ],
                "nextPageToken": "2",
            }),
            id: "\"v\"",
            next: Some(&format!("{list}&pageToken=2")),
            none: json!({}),
            make: &format!(
                "POST {base}:upsertRecordSets\nauthorization: Bearer TOKEN\n{}",
                r#"{"merges":[{"data":["\"v\""],"name":"_acme-challenge.www.shop.example.","ttl":"60","type":"TXT"}]}"#
            ),
            delete: &format!(
                "POST {base}:upsertRecordSets\nauthorization: Bearer TOKEN\n{}",
                r#"{"deletions":[{"data":["\"v\""],"name":"_acme-challenge.www.shop.example.","type":"TXT"}]}"#
            ),
        }
        .holds();
        for (code, told) in [(16, 401), (7, 403), (10, 409), (3, 400)] {
            assert_eq!(
                YandexCloud.status(200, &json!({ "done": true, "error": { "code": code } })),
                told
            );
        }
    }

    #[test]
    fn several_go_by_one_request() {
        let path = "POST /dns/v1/zones/dns00000000000000042:upsertRecordSets";
        let apex = r#"{"data":["\"x\""],"name":"shop.example.""#;
        let www = r#"{"data":["\"v\"","\"w\""],"name":"_acme-challenge.www.shop.example.""#;
        let (ttl, rest) = (r#","ttl":"60","type":"TXT"}"#, r#","type":"TXT"}"#);
        Several {
            name: ProviderName::YandexCloud,
            zone: "dns00000000000000042",
            make: &[&format!("{path}\n{{\"merges\":[{apex}{ttl},{www}{ttl}]}}")],
            ids: ["\"v\"", "\"w\"", "\"x\""],
            delete: &[&format!("{path}\n{{\"deletions\":[{apex}{rest},{www}{rest}]}}")],
        }
        .holds();
    }

    #[test]
    fn a_key_file_signs_a_statement_and_what_is_none_is_not_sent() {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der = key.as_der().unwrap();
        let pem = format!(
            "PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <aje7>\n-----BEGIN PRIVATE KEY-----\n{}\n\
             -----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let login = |file: &str| Login {
            id: "b1gfolder".into(),
            token: Zeroizing::new(file.to_owned()),
        };
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let file = json!({ "id": "aje7", "service_account_id": "aje8", "private_key": pem }).to_string();
        let ask = YandexCloud.login(&login(&file), now).unwrap();
        assert_eq!((ask.host, ask.path.as_str()), (Some(IAM), "/iam/v1/tokens"));
        let body: Value = serde_json::from_str(&ask.sent()).unwrap();
        let (signed, signature) = body["jwt"].as_str().unwrap().rsplit_once('.').unwrap();
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.public_key().as_ref())
            .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
            .unwrap();
        for file in [
            "",
            "text",
            r#"{"id":"a","service_account_id":"b","private_key":"c"}"#,
        ] {
            assert!(!YandexCloud.is_usable(&login(file)), "{file}");
        }
        assert!(YandexCloud.is_usable(&login(&file)));
        let session =
            YandexCloud.session(&json!({ "iamToken": "t1.7", "expiresAt": "2026-12-01T00:00:00Z" }));
        assert_eq!(session.map(|(token, _)| token.to_string()), Some("t1.7".into()));
    }
}
