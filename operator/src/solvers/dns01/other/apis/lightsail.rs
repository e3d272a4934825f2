//! Amazon Lightsail: <https://docs.aws.amazon.com/lightsail/2016-11-28/api-reference/API_CreateDomainEntry.html>: a record is
//! deleted by its name and value. Requests are signed (AWS Signature Version 4); zones are in one region alone.

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Api, Ask, Found, Login, Page, Zone, below, derived, full, hex, is, mac, quoted, sha256, unquoted,
};

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

pub(super) struct Lightsail;

impl Lightsail {
    const KIND: &'static str = "application/x-amz-json-1.1";

    fn asked(action: &str, body: Value) -> Ask {
        Ask::post("/".into(), body)
            .with(CONTENT_TYPE, Self::KIND)
            .with(TARGET, &format!("Lightsail_20161128.{action}"))
    }

    /// Has an entry made or deleted. Its TTL is Lightsail's own.
    fn changed(at: &Zone<'_>, action: &str, name: &str, target: &str) -> Ask {
        let name = full(name, at.id);
        let entry = json!({ "name": name, "type": "TXT", "target": target });
        Self::asked(action, json!({ "domainName": at.id, "domainEntry": entry }))
    }
}

impl Api for Lightsail {
    fn host(&self) -> &'static str {
        "https://lightsail.us-east-1.amazonaws.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, now: Timestamp) -> Ask {
        let target = ask.headers.iter().find(|(name, _)| *name == TARGET);
        let target = target.map_or("", |(_, target)| target.as_str());
        let host = self.host().trim_start_matches("https://");
        let (day, moment) = (
            now.strftime("%Y%m%d").to_string(),
            now.strftime("%Y%m%dT%H%M%SZ").to_string(),
        );
        let names = "content-type;host;x-amz-date;x-amz-target";
        let canonical = format!(
            "{}\n/\n\ncontent-type:{}\nhost:{host}\nx-amz-date:{moment}\nx-amz-target:{target}\n\n{names}\n{}",
            ask.method,
            Self::KIND,
            sha256(ask.sent().as_bytes())
        );
        let scope = format!("{day}/us-east-1/lightsail/aws4_request");
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}",
            sha256(canonical.as_bytes())
        );
        let words = [day.as_str(), "us-east-1", "lightsail", "aws4_request"];
        let key = derived("AWS4", &by.token, &words);
        let signature = hex(mac(&key, &to_sign).as_ref());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            by.id
        );
        ask.with(HeaderName::from_static("x-amz-date"), &moment)
            .with(AUTHORIZATION, &authorization)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Self::asked("GetDomain", json!({ "domainName": zone }))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["domain"]["name"], zone).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        // All of them come at once.
        Self::asked("GetDomain", json!({ "domainName": at.id }))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let entries = answer["domain"]["domainEntries"].as_array()?.iter();
        let found = entries.filter(|entry| is(&entry["type"], "TXT")).map(|entry| {
            let (name, target) = (entry["name"].as_str()?, entry["target"].as_str()?);
            Some(Found {
                id: target.to_owned(),
                name: below(name, at.id).to_owned(),
                value: unquoted(target).to_owned(),
            })
        });
        Some(Page {
            found: found.collect::<Option<_>>()?,
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        Self::changed(at, "CreateDomainEntry", name, &quoted(value))
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        Self::changed(at, "DeleteDomainEntry", &found.name, &found.id)
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        let kind = answer["__type"].as_str().unwrap_or_default();
        match kind.rsplit('#').next().unwrap_or_default() {
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "IncompleteSignatureException"
            | "MissingAuthenticationTokenException"
            | "UnauthenticatedException" => 401,
            "AccessDeniedException" => 403,
            "NotFoundException" => 404,
            "ThrottlingException" => 429,
            // It is done before the answer comes, or is not done.
            _ if is(&answer["operation"]["status"], "Failed") => 400,
            _ => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    fn asked(action: &str, signature: &str, body: &str) -> String {
        format!(
            "POST /\ncontent-type: application/x-amz-json-1.1\nx-amz-target: Lightsail_20161128.{action}\n\
             x-amz-date: 20261130T120000Z\nauthorization: AWS4-HMAC-SHA256 \
             Credential=AKIA7/20261130/us-east-1/lightsail/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={signature}\n{body}"
        )
    }

    #[test]
    fn it_is_asked_as_published() {
        let refusal = |kind: &str, words: &str| json!({ "__type": kind, "message": words });
        let entries =
            |entries: Value| json!({ "domain": { "name": "shop.example", "domainEntries": entries } });
        let unsigned = "The request signature we calculated does not match the signature you provided.";
        Published {
            name: ProviderName::Lightsail,
            account: "AKIA7",
            zone: &asked("GetDomain", "e64f488445afd0df4ebecffe0b1a5c513e19757744b33204bc9fd35c37705ccd", r#"{"domainName":"shop.example"}"#),
            is_zone: (entries(json!([])), "shop.example"),
            is_no_zone: vec![
                (404, refusal("NotFoundException", "The Domain does not exist: shop.example")),
                (400, refusal("com.amazonaws.lightsail#NotFoundException", "The Domain does not exist: shop.example")),
            ],
            refused: (403, refusal("InvalidSignatureException", unsigned), unsigned),
            records: &asked("GetDomain", "e64f488445afd0df4ebecffe0b1a5c513e19757744b33204bc9fd35c37705ccd", r#"{"domainName":"shop.example"}"#),
            page: entries(json!([
                { "id": "7", "name": "_acme-challenge.www.shop.example", "type": "TXT", "target": "\"v\"" },
                { "id": "8", "name": "shop.example", "type": "A", "target": "192.0.2.1" },
            ])),
            id: "\"v\"",
            next: None,
            none: entries(json!([])),
            make: &asked(
                "CreateDomainEntry",
                "5149283c6bdb1ad7e085c960de51a8b2c74453b873c4cee04eacc17e8a5904a2",
                concat!(
                    r#"{"domainEntry":{"name":"_acme-challenge.www.shop.example","target":"\"v\"","type":"TXT"},"#,
                    r#""domainName":"shop.example"}"#
                ),
            ),
            delete: &asked(
                "DeleteDomainEntry",
                "634d21c81303fff0d8b34ae72b9e876dd59f336fadb68bc62d7a8c27fbe3b1be",
                concat!(
                    r#"{"domainEntry":{"name":"_acme-challenge.www.shop.example","target":"\"v\"","type":"TXT"},"#,
                    r#""domainName":"shop.example"}"#
                ),
            ),
        }
        .holds();
    }

    #[test]
    fn what_became_of_a_request_is_told_by_its_kind() {
        for (kind, told) in [
            ("UnrecognizedClientException", 401),
            ("AccessDeniedException", 403),
            ("ThrottlingException", 429),
            ("InvalidInputException", 400),
        ] {
            assert_eq!(Lightsail.status(400, &json!({ "__type": kind })), told);
        }
        assert_eq!(
            Lightsail.status(200, &json!({ "operation": { "status": "Failed" } })),
            400
        );
        assert_eq!(
            Lightsail.status(200, &json!({ "operation": { "status": "Succeeded" } })),
            200
        );
    }
}
