//! DNS Made Easy: <https://api-docs.dnsmadeeasy.com/>

use aws_lc_rs::hmac;
use hyper::header::HeaderName;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, found, hex, is, quoted, text};

pub(super) struct DnsMadeEasy;

impl DnsMadeEasy {
    /// Shorter ones are not taken of every account.
    const TTL: u32 = 120;

    fn record(name: &str, value: &str) -> Value {
        let name = if name == "@" { "" } else { name };
        json!({
            "type": "TXT", "name": name, "value": quoted(value), "ttl": Self::TTL, "gtdLocation": "DEFAULT",
        })
    }
}

impl Api for DnsMadeEasy {
    fn host(&self) -> &'static str {
        "https://api.dnsmadeeasy.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, now: Timestamp) -> Ask {
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, by.token.as_bytes());
        let signature = hmac::sign(&key, date.as_bytes());
        let signature = hex(signature.as_ref());
        ask.with(HeaderName::from_static("x-dnsme-apikey"), &by.id)
            .with(HeaderName::from_static("x-dnsme-requestdate"), &date)
            .with(HeaderName::from_static("x-dnsme-hmac"), &signature)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/V2.0/dns/managed/name?domainname={}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        // One that is being made (1) or deleted (3) takes no change.
        let is_changed = matches!(answer["pendingActionId"].as_u64(), Some(1 | 3));
        let is_it = is(&answer["name"], zone) && !is_changed;
        text(&answer["id"]).filter(|_| is_it)
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let page = page.map(|page| format!("&page={page}")).unwrap_or_default();
        let id = encoded(at.id);
        Ask::get(format!("/V2.0/dns/managed/{id}/records?type=TXT{page}"))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page> {
        let found = found(&answer["data"], "name", "value")?;
        let asked: u64 = page.map_or(Some(0), |page| page.parse().ok())?;
        // They are counted from 0.
        let is_last = answer["totalPages"]
            .as_u64()
            .is_none_or(|pages| asked + 1 >= pages);
        let is_asked = answer["page"].as_u64() == Some(asked);
        Some(Page {
            found,
            next: (is_asked && !is_last).then(|| (asked + 1).to_string()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let path = format!("/V2.0/dns/managed/{}/records", encoded(at.id));
        Ask::post(path, Self::record(name, value))
    }

    fn make_all(&self, at: &Zone<'_>, records: &[(&str, &str)]) -> Vec<Ask> {
        if let [(name, value)] = records {
            return vec![self.make(at, name, value)];
        }
        let records = records.iter();
        let records: Vec<Value> = records.map(|(name, value)| Self::record(name, value)).collect();
        let path = format!("/V2.0/dns/managed/{}/records/createMulti", encoded(at.id));
        vec![Ask::post(path, records.into())]
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/V2.0/dns/managed/{zone}/records/{id}"))
    }

    fn delete_all(&self, at: &Zone<'_>, found: &[&Found]) -> Vec<Ask> {
        if let [found] = found {
            return vec![self.delete(at, found)];
        }
        let ids = found.iter().map(|found| format!("ids={}", encoded(&found.id)));
        let ids: Vec<String> = ids.collect();
        let (zone, ids) = (encoded(at.id), ids.join("&"));
        vec![Ask::delete(format!("/V2.0/dns/managed/{zone}/records?{ids}"))]
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        let words = answer["error"][0].as_str().unwrap_or_default();
        match status {
            403 if words.contains("API key") || words.contains("HMAC") => 401,
            400 if words.contains("Rate limit") => 429,
            status => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::{Published, Several};
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let signed = "x-dnsme-apikey: shop\nx-dnsme-requestdate: Mon, 30 Nov 2026 12:00:00 GMT\n\
                      x-dnsme-hmac: 276580f43be9be3a27fd512ce584022d860d3dad";
        Published {
            name: ProviderName::DnsMadeEasy,
            account: "shop",
            zone: &format!("GET /V2.0/dns/managed/name?domainname=shop.example\n{signed}"),
            is_zone: (
                json!({ "id": 42, "name": "shop.example", "pendingActionId": 0 }),
                "42",
            ),
            is_no_zone: vec![
                (404, json!({ "error": ["Not Found"] })),
                (
                    200,
                    json!({ "id": 42, "name": "shop.example", "pendingActionId": 3 }),
                ),
            ],
            refused: (
                403,
                json!({ "error": ["API key not found"] }),
                "API key not found",
            ),
            records: &format!("GET /V2.0/dns/managed/42/records?type=TXT\n{signed}"),
            page: json!({
                "data": [
                    { "id": 7, "type": "TXT", "name": "_acme-challenge.www", "value": "\"v\"", "ttl": 120 },
                    { "id": 8, "type": "A", "name": "www", "value": "192.0.2.1", "ttl": 120 },
                ],
                "page": 0,
                "totalPages": 2,
                "totalRecords": 3,
            }),
            id: "7",
            next: Some("/V2.0/dns/managed/42/records?type=TXT&page=1"),
            none: json!({ "data": [], "page": 0, "totalPages": 1, "totalRecords": 0 }),
            make: &format!(
                "POST /V2.0/dns/managed/42/records\n{signed}\n{}",
                r#"{"gtdLocation":"DEFAULT","name":"_acme-challenge.www","ttl":120,"type":"TXT","value":"\"v\""}"#
            ),
            delete: &format!("DELETE /V2.0/dns/managed/42/records/7\n{signed}"),
        }
        .holds();
    }

    #[test]
    fn several_go_by_one_request() {
        let path = "/V2.0/dns/managed/42/records";
        let www = r#"{"gtdLocation":"DEFAULT","name":"_acme-challenge.www","ttl":120,"type":"TXT","value":"#;
        let apex = r#"{"gtdLocation":"DEFAULT","name":"","ttl":120,"type":"TXT","value":"#;
        let (v, w, x) = (r#""\"v\""}"#, r#""\"w\""}"#, r#""\"x\""}"#);
        Several {
            name: ProviderName::DnsMadeEasy,
            zone: "42",
            make: &[&format!("POST {path}/createMulti\n[{www}{v},{www}{w},{apex}{x}]")],
            ids: ["7", "8", "9"],
            delete: &[&format!("DELETE {path}?ids=7&ids=8&ids=9")],
        }
        .holds();
    }

    /// From its documents.
    #[test]
    fn it_is_signed_as_published() {
        let by = Login {
            id: "1c1a3c91-4770-4ce7-96f4-54c0eb0e457a".into(),
            token: "c9b5625f-9834-4ff8-baba-4ed5f32cae55".to_owned().into(),
        };
        let now = "2011-02-12T20:59:04Z".parse().unwrap();
        let ask = DnsMadeEasy.let_in(&by, DnsMadeEasy.zone(&by, "shop.example"), now);
        assert_eq!(*ask.headers[1].1, "Sat, 12 Feb 2011 20:59:04 GMT");
        assert_eq!(*ask.headers[2].1, "b3502e6116a324f3cf4a8ed693d78bcee8d8fe3c");
    }
}
