//! easyDNS: <https://docs.sandbox.rest.easydns.net:3001/swagger3.yaml>. It answers a token or key that is wrong as it answers
//! haste, and some errors by 200.

use hyper::Method;
use hyper::header::ACCEPT;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, found, is, said, text};

/// The shortest TTL that it publishes.
const SHORTEST: u32 = 300;
/// The most records that a page has.
const MOST: usize = 1000;

pub(super) struct EasyDns;

impl Api for EasyDns {
    fn host(&self) -> &'static str {
        "https://rest.easydns.net"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with_basic(by).with(ACCEPT, "application/json")
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/domain/{}?format=json", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        // A domain that is somewhere else, or nowhere, is told of as well.
        let domain = &answer["data"];
        let is_its = is(&domain["domain"], zone) && is(&domain["onsystem"], "Y");
        is_its.then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let path = format!("/zones/records/all/{}?format=json", encoded(at.id));
        Ask::get(match page {
            None => path,
            Some(start) => format!("{path}&start={start}&max={MOST}"),
        })
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page> {
        let start = number(&answer["start"]).unwrap_or_default();
        // Without this, the first page might be read again and again.
        if start.to_string() != page.unwrap_or("0") {
            return None;
        }
        let listed = answer["data"].as_array()?.len();
        let total = number(&answer["total"]).unwrap_or_default();
        let is_more = listed > 0 && start + listed < total;
        Some(Page {
            found: found(&answer["data"], "host", "rdata")?,
            next: is_more.then(|| (start + listed).to_string()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let path = format!("/zones/records/add/{}/TXT?format=json", encoded(at.id));
        let body = json!({ "domain": at.id, "host": name, "type": "TXT", "rdata": value, "ttl": SHORTEST });
        Ask {
            method: Method::PUT,
            ..Ask::post(path, body)
        }
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/zones/records/{zone}/{id}?format=json"))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        match error(answer).unwrap_or(status) {
            420 => 429,
            // It has no other words for what is not let in.
            403 => 401,
            // Another one of ours has made the record.
            400 if said(answer).to_ascii_lowercase().contains("already exists") => 409,
            status => status,
        }
    }

    fn besides_haste(&self) -> Option<&'static str> {
        Some("a wrong API token or key is answered there as asking too fast is")
    }
}

/// The status that is told in the body, if it is one of an error.
fn error(answer: &Value) -> Option<u16> {
    let code = text(&answer["error"]["code"]).or_else(|| text(&answer["status"]));
    let code: u16 = code?.parse().ok()?;
    (code >= 400).then_some(code)
}

/// A number, be it in quotation marks.
fn number(value: &Value) -> Option<usize> {
    text(value)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    fn domain(exists: &str, is_there: &str) -> Value {
        let data = json!({ "id": "shop.example", "domain": "shop.example", "exists": exists,
            "onsystem": is_there, "expiry": false, "next_due": "2027-11-30", "cloned_to": "NONE",
            "service": "19", "sub_block": "NONE" });
        json!({ "msg": "OK", "tm": 1_796_040_000, "data": data, "status": 200 })
    }

    fn list(records: &Value, start: usize, total: usize) -> Value {
        let count = records.as_array().map_or(0, Vec::len);
        json!({ "tm": 1_796_040_000, "data": records, "count": count, "total": total, "start": start,
            "max": 1000, "status": 200 })
    }

    fn record(id: &Value, host: &str, kind: &str, value: &str) -> Value {
        json!({ "id": id, "domain": "shop.example", "host": host, "ttl": "300", "prio": "0", "type": kind,
            "rdata": value, "geozone_id": "0", "last_mod": "2026-11-30 12:00:00" })
    }

    #[test]
    fn it_is_asked_as_published() {
        let headers = "authorization: Basic c2hvcDpUT0tFTg==\naccept: application/json";
        let www = record(&json!("28453458"), "_acme-challenge.www", "TXT", "v");
        let apex = record(&json!(28_453_459), "@", "NS", "dns1.easydns.com.");
        Published {
            name: ProviderName::EasyDns,
            account: "shop",
            zone: &format!("GET /domain/shop.example?format=json\n{headers}"),
            is_zone: (domain("Y", "Y"), "shop.example"),
            is_no_zone: vec![(200, domain("N", "N")), (200, domain("Y", "N"))],
            refused: (403, json!({ "msg": "Forbidden", "status": 403 }), "Forbidden"),
            records: &format!("GET /zones/records/all/shop.example?format=json\n{headers}"),
            page: list(&json!([www, apex]), 0, 3),
            id: "28453458",
            next: Some("/zones/records/all/shop.example?format=json&start=2&max=1000"),
            none: list(&json!([]), 0, 0),
            make: &format!(
                "PUT /zones/records/add/shop.example/TXT?format=json\n{headers}\n{}{}",
                r#"{"domain":"shop.example","host":"_acme-challenge.www","#,
                r#""rdata":"v","ttl":300,"type":"TXT"}"#
            ),
            delete: &format!("DELETE /zones/records/shop.example/28453458?format=json\n{headers}"),
        }
        .holds();
    }

    #[test]
    fn pages_are_read_until_all_is_there() {
        let by = Login {
            id: String::new(),
            token: String::new().into(),
        };
        let at = Zone {
            by: &by,
            name: "shop.example",
            id: "shop.example",
            about: &["@"],
        };
        let apex = json!([record(&json!(7), "@", "TXT", "v")]);
        let last = EasyDns.read(&at, &list(&apex, 2, 3), Some("2")).unwrap();
        assert_eq!((last.found.len(), last.next), (1, None));
        assert!(last.found[0].is("@"));
        assert_eq!(last.found[0].id, "7");
        // The first one comes again.
        assert_eq!(EasyDns.read(&at, &list(&apex, 0, 3), Some("2")), None);
        // It says that there are more, and has none.
        let end = EasyDns.read(&at, &list(&json!([]), 2, 3), Some("2"));
        assert_eq!(end, Some(Page::default()));
        // It says nothing of pages.
        let whole = EasyDns.read(&at, &json!({ "data": apex }), None).unwrap();
        assert_eq!((whole.found.len(), whole.next), (1, None));
    }

    #[test]
    fn what_became_of_a_request_is_told_by_its_error() {
        let calm = json!({ "error": { "code": 420, "message": "Enhance Your Calm" } });
        let twice = json!({ "msg": "Record already exists", "status": 400 });
        for (status, answer, expected) in [
            (200, domain("Y", "Y"), 200),
            (201, json!({ "msg": "OK", "data": {}, "status": 201 }), 201),
            (200, calm.clone(), 429),
            (420, calm, 429),
            (420, Value::Null, 429),
            (200, json!({ "msg": "Forbidden", "status": "403" }), 401),
            (400, twice, 409),
            (409, json!({ "msg": "Conflict", "status": 409 }), 409),
            (400, json!({ "msg": "Invalid host", "status": 400 }), 400),
            (404, Value::Null, 404),
        ] {
            assert_eq!(EasyDns.status(status, &answer), expected, "{status} {answer}");
        }
    }
}
