//! Mythic Beasts: <https://www.mythic-beasts.com/support/api/dnsv2>, by a session of its auth service
//! (<https://www.mythic-beasts.com/support/api/auth>). A record has no ID there, and is deleted by its value.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Api, Ask, Found, Login, Page, Zone, by_name, encoded, is, text, unquoted};

pub(super) struct MythicBeasts;

impl MythicBeasts {
    /// As all of its documents have it. They name no shortest one.
    const TTL: u32 = 300;

    /// The path of the TXT records of a name.
    fn path(at: &Zone<'_>, name: &str) -> String {
        let name = if name.is_empty() { "@" } else { name };
        format!("/dns/v2/zones/{}/records/{}/TXT", encoded(at.id), encoded(name))
    }

    fn added(at: &Zone<'_>, name: &str, values: &[&str]) -> Ask {
        let records = values.iter();
        let records: Vec<Value> = records
            .map(|value| json!({ "host": name, "type": "TXT", "data": value, "ttl": Self::TTL }))
            .collect();
        Ask::post(Self::path(at, name), json!({ "records": records }))
    }
}

impl Api for MythicBeasts {
    fn host(&self) -> &'static str {
        "https://api.mythic-beasts.com"
    }

    fn login(&self, by: &Login, _: Timestamp) -> Option<Ask> {
        let form = Ask::form("/login".into(), [("grant_type", "client_credentials")]);
        Some(Ask {
            host: Some("https://auth.mythic-beasts.com"),
            ..form.with_basic(by)
        })
    }

    fn session(&self, answer: &Value) -> Option<(Zeroizing<String>, Duration)> {
        let token = Zeroizing::new(answer["access_token"].as_str()?.to_owned());
        Some((token, Duration::from_secs(answer["expires_in"].as_u64()?)))
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        // All that the key has any leave for, by their names alone.
        Ask::get("/dns/v2/zones".into())
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["zones"].as_array()?.iter();
        zones.any(|found| is(found, zone)).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Ask::get(format!("/dns/v2/zones/{}/records", encoded(at.id)))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let mut found = Vec::new();
        for record in answer["records"].as_array()? {
            if is(&record["type"], "TXT") {
                let value = record["data"].as_str()?;
                found.push(Found {
                    id: value.to_owned(),
                    name: text(&record["host"])?,
                    value: unquoted(value).to_owned(),
                });
            }
        }
        Some(Page { found, next: None })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        Self::added(at, name, &[value])
    }

    fn make_all(&self, at: &Zone<'_>, records: &[(&str, &str)]) -> Vec<Ask> {
        // Not all by the path of the zone: a key that is for TXT records alone is refused there.
        let names = by_name(records.iter().copied()).into_iter();
        names
            .map(|(name, values)| Self::added(at, name, &values))
            .collect()
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let path = Self::path(at, &found.name);
        Ask::delete(format!("{path}?data={}", encoded(&found.id)))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        // It names no status for this, but that it is one of a refusal.
        match is(&answer["error"], "invalid_client") {
            true => 401,
            false => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::published::{Published, Several};
    use super::super::{Body, ProviderName};
    use super::*;

    #[test]
    fn a_key_is_let_in_by_a_session() {
        let by = Login {
            id: "shop".into(),
            token: Zeroizing::new("TOKEN".into()),
        };
        let Ask {
            host,
            path,
            headers,
            body,
            ..
        } = MythicBeasts.login(&by, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            (host, path.as_str()),
            (Some("https://auth.mythic-beasts.com"), "/login")
        );
        assert_eq!(headers[0].1.as_str(), "Basic c2hvcDpUT0tFTg==");
        let Some(Body::Form(pairs)) = body else {
            panic!("the login is no form");
        };
        assert_eq!(pairs.as_str(), "grant_type=client_credentials");
        let answer = json!({ "access_token": "s", "expires_in": 300, "token_type": "bearer" });
        let (session, time) = MythicBeasts.session(&answer).unwrap();
        assert_eq!((session.as_str(), time.as_secs()), ("s", 300));
    }

    #[test]
    fn it_is_asked_as_published() {
        let bearer = "authorization: Bearer TOKEN";
        Published {
            name: ProviderName::MythicBeasts,
            account: "",
            zone: &format!("GET /dns/v2/zones\n{bearer}"),
            is_zone: (
                json!({ "zones": ["dev.shop.example", "shop.example"] }),
                "shop.example",
            ),
            is_no_zone: vec![
                (200, json!({ "zones": ["dev.shop.example"] })),
                (200, json!({ "zones": [] })),
            ],
            refused: (
                400,
                json!({ "error": "invalid_client", "error_description": "Invalid credentials" }),
                "invalid_client",
            ),
            records: &format!("GET /dns/v2/zones/shop.example/records\n{bearer}"),
            page: json!({ "records": [
                { "host": "_acme-challenge.www", "type": "TXT", "data": "v", "ttl": 300 },
                { "host": "@", "type": "TXT", "data": "w", "ttl": 300 },
                { "host": "@", "type": "MX", "data": "mx.shop.example.", "ttl": 300, "mx_priority": 10 },
            ] }),
            id: "v",
            next: None,
            none: json!({ "records": [] }),
            make: &format!(
                "POST /dns/v2/zones/shop.example/records/_acme-challenge.www/TXT\n{bearer}\n{}",
                r#"{"records":[{"data":"v","host":"_acme-challenge.www","ttl":300,"type":"TXT"}]}"#
            ),
            delete: &format!(
                "DELETE /dns/v2/zones/shop.example/records/_acme-challenge.www/TXT?data=v\n{bearer}"
            ),
        }
        .holds();
    }

    #[test]
    fn several_go_by_one_request_per_name() {
        let path = "/dns/v2/zones/shop.example/records";
        let both = concat!(
            r#"{"records":[{"data":"v","host":"_acme-challenge.www","ttl":300,"type":"TXT"},"#,
            r#"{"data":"w","host":"_acme-challenge.www","ttl":300,"type":"TXT"}]}"#,
        );
        let apex = r#"{"records":[{"data":"x","host":"@","ttl":300,"type":"TXT"}]}"#;
        Several {
            name: ProviderName::MythicBeasts,
            zone: "shop.example",
            make: &[
                &format!("POST {path}/%40/TXT\n{apex}"),
                &format!("POST {path}/_acme-challenge.www/TXT\n{both}"),
            ],
            ids: ["v", "w", "x"],
            delete: &[
                &format!("DELETE {path}/_acme-challenge.www/TXT?data=v"),
                &format!("DELETE {path}/_acme-challenge.www/TXT?data=w"),
                &format!("DELETE {path}/%40/TXT?data=x"),
            ],
        }
        .holds();
    }
}
