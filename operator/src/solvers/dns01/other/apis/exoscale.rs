//! Exoscale: <https://openapi-v2.exoscale.com/topic/topic-api-request-signature>,
//! <https://openapi-v2.exoscale.com/group/endpoint-dns>. It has no zones' filter, nor pages.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::AUTHORIZATION;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, found, is, text};

pub(super) struct Exoscale;

impl Exoscale {
    /// As its own clients have it.
    const TTL: u32 = 120;
    /// So many seconds a signature counts.
    const COUNTS: i64 = 600;
}

impl Api for Exoscale {
    fn host(&self) -> &'static str {
        "https://api-ch-gva-2.exoscale.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, now: Timestamp) -> Ask {
        let until = now.as_second() + Self::COUNTS;
        // Between the body and the time stand what is signed of the query and of the headers: nothing.
        let signed = format!("{} {}\n{}\n\n\n{until}", ask.method, ask.path, *ask.sent());
        let key = hmac::Key::new(hmac::HMAC_SHA256, by.token.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
        let words = format!(
            "EXO2-HMAC-SHA256 credential={},expires={until},signature={signature}",
            by.id
        );
        ask.with(AUTHORIZATION, &words)
    }

    fn zone(&self, _: &Login, _: &str) -> Ask {
        Ask::get("/v2/dns-domain".into())
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["dns-domains"].as_array()?.iter();
        let found = zones.find(|found| is(&found["unicode-name"], zone))?;
        text(&found["id"])
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Ask::get(format!("/v2/dns-domain/{}/record", encoded(at.id)))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        Some(Page {
            found: found(&answer["dns-domain-records"], "name", "content")?,
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let body = json!({ "type": "TXT", "name": name, "content": value, "ttl": Self::TTL });
        Ask::post(format!("/v2/dns-domain/{}/record", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v2/dns-domain/{zone}/record/{id}"))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        let words = answer["message"].as_str().unwrap_or_default();
        match status {
            // A role that does not let a key do this is told as "Forbidden by role policy".
            403 if words.contains("request signature") => 401,
            // What is asked is carried out as an operation, which may fail.
            200 if is(&answer["state"], "failure") => match answer["reason"].as_str() {
                Some("not-found") => 404,
                Some("forbidden") => 403,
                Some("busy" | "conflict" | "unavailable") => 409,
                _ => 400,
            },
            status => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let signed = |signature: &str| {
            format!(
                "authorization: EXO2-HMAC-SHA256 credential=EXOshop,expires=1796040600,signature={signature}"
            )
        };
        Published {
            name: ProviderName::Exoscale,
            account: "EXOshop",
            zone: &format!(
                "GET /v2/dns-domain\n{}",
                signed("dY3eTuwKOlOUMRPj3sBTWPffJE+ew5/zve3hG7RYOSw=")
            ),
            is_zone: (
                json!({ "dns-domains": [{ "id": "41", "unicode-name": "a.example" }, { "id": "42", "unicode-name": "shop.example" }] }),
                "42",
            ),
            is_no_zone: vec![(200, json!({ "dns-domains": [] }))],
            refused: (
                403,
                json!({ "message": "Invalid key or request signature" }),
                "Invalid key or request signature",
            ),
            records: &format!(
                "GET /v2/dns-domain/42/record\n{}",
                signed("8sYgRbZUuNanAbFJMF5u3j89Swtqh3HCK9VEwvt5Yks=")
            ),
            page: json!({ "dns-domain-records": [
                { "id": "7", "type": "TXT", "name": "_acme-challenge.www", "content": "v", "ttl": 120 },
                { "id": "8", "type": "SOA", "name": "", "content": "ns1.exoscale.ch", "ttl": 3600 },
            ] }),
            id: "7",
            next: None,
            none: json!({ "dns-domain-records": [] }),
            make: &format!(
                "POST /v2/dns-domain/42/record\n{}\n{}",
                signed("Z7fJ5kECI7P5+WZQ1QPOCz9NkVWWlnySvnTgcNga8bI="),
                r#"{"content":"v","name":"_acme-challenge.www","ttl":120,"type":"TXT"}"#
            ),
            delete: &format!(
                "DELETE /v2/dns-domain/42/record/7\n{}",
                signed("5VAkEH/Eh//75FWYMxY+foxA+YQFPjQu0wnvjclt9G8=")
            ),
        }
        .holds();
    }

    #[test]
    fn a_lack_of_leave_is_no_wrong_key_and_an_operation_may_fail() {
        let lack = json!({ "message": "Forbidden by role policy for dns" });
        assert_eq!(Exoscale.status(403, &lack), 403);
        let operation =
            |state: &str| json!({ "id": "1", "state": state, "reason": "not-found", "message": "none" });
        assert_eq!(Exoscale.status(200, &operation("failure")), 404);
        assert_eq!(Exoscale.status(200, &operation("pending")), 200);
    }
}
