//! INWX: <https://www.inwx.com/en/help/apidoc>, by JSON-RPC. All is asked of one path and answered 200, with a code. A login
//! gives a session out as a cookie.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::COOKIE;
use jiff::Timestamp;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Api, Ask, Found, Login, Page, Zone, full, is, names_below, text, unquoted};

/// The shortest TTL that it takes.
const SHORTEST: u32 = 300;
/// It does not publish how long a session counts.
const SESSION: Duration = Duration::from_secs(900);

pub(super) struct Inwx;

impl Api for Inwx {
    fn host(&self) -> &'static str {
        "https://api.domrobot.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with(COOKIE, &by.token)
    }

    fn login(&self, by: &Login, _: Timestamp) -> Option<Ask> {
        let params = json!({ "user": by.id, "pass": by.token.as_str(), "lang": "en" });
        Some(call("account.login", &params))
    }

    fn session_with(&self, _: &Value, cookies: &[String]) -> Option<(Zeroizing<String>, Duration)> {
        let pairs = cookies.iter().filter_map(|cookie| cookie.split_once('='));
        // Of those of one name the last one counts (RFC 6265, 5.3).
        let pairs: BTreeMap<&str, &str> = pairs.collect();
        let mut all = Zeroizing::new(String::new());
        for (name, value) in pairs {
            if !all.is_empty() {
                all.push_str("; ");
            }
            all.push_str(name);
            all.push('=');
            all.push_str(value);
        }
        (!all.is_empty()).then_some((all, SESSION))
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        call("nameserver.info", &json!({ "domain": zone, "type": "SOA" }))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let found = &answer["resData"];
        // The records of another one are written elsewhere.
        let is_written_here = is(&found["type"], "MASTER");
        (is_written_here && is(&found["domain"], zone)).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        call("nameserver.info", &json!({ "domain": at.id, "type": "TXT" }))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let zone = &answer["resData"];
        let listed = match &zone["record"] {
            // A list without anything is left out.
            Value::Null if zone["domain"].is_string() => return Some(Page::default()),
            listed => listed.as_array()?,
        };
        let mut all = Vec::new();
        for record in listed {
            if is(&record["type"], "TXT") {
                all.push(Found {
                    id: text(&record["id"])?,
                    name: text(&record["name"])?,
                    value: unquoted(record["content"].as_str()?).to_owned(),
                });
            }
        }
        Some(Page {
            found: names_below(all, at),
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = full(name, at.name);
        let params =
            json!({ "domain": at.id, "type": "TXT", "name": name, "content": value, "ttl": SHORTEST });
        call("nameserver.createRecord", &params)
    }

    fn delete(&self, _: &Zone<'_>, found: &Found) -> Ask {
        // IDs were numbers once, and are texts since they became too long for XML-RPC.
        call("nameserver.deleteRecord", &json!({ "id": found.id }))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        match answer["code"].as_u64() {
            // Such a login lets nothing in before a TAN, of which there is none here.
            Some(..2000) if wants_tan(answer) => 401,
            None | Some(..2000) => status,
            // The first one is that to a session that is none.
            Some(2002 | 2200 | 2501) => 401,
            Some(2201) => 403,
            Some(2303) => 404,
            // It is there already, is being changed, or has failed.
            Some(2302 | 2304 | 2400 | 2500) => 409,
            // Too many sessions.
            Some(2502) => 429,
            Some(_) => 400,
        }
    }
}

fn call(method: &str, params: &Value) -> Ask {
    let body = json!({ "method": method, "params": params });
    Ask::post("/jsonrpc/".into(), body)
}

/// Does the account have a second factor?
fn wants_tan(answer: &Value) -> bool {
    text(&answer["resData"]["tfa"]).is_some_and(|method| method != "0" && !method.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::published::Published;
    use super::super::{Body, ProviderName, said};
    use super::*;

    fn done(data: &Value) -> Value {
        json!({ "code": 1000, "msg": "Command completed successfully", "resData": data, "runtime": 0.1 })
    }

    fn failed(code: u16, words: &str) -> Value {
        json!({ "code": code, "msg": words, "svTRID": "20261130-1", "runtime": 0.1 })
    }

    fn zone(kind: &str) -> Value {
        json!({ "roId": 7, "domain": "shop.example", "type": kind })
    }

    fn with_records(records: &Value) -> Value {
        let mut zone = zone("MASTER");
        zone["count"] = json!(records.as_array().map_or(0, Vec::len));
        zone["record"] = records.clone();
        done(&zone)
    }

    fn record(id: &Value, name: &str, kind: &str, content: &str) -> Value {
        json!({ "id": id, "name": name, "type": kind, "content": content, "ttl": 300, "prio": 0 })
    }

    #[test]
    fn a_user_is_let_in_by_a_cookie() {
        let by = Login {
            id: "shop".into(),
            token: Zeroizing::new("TOKEN".into()),
        };
        let login = Inwx.login(&by, Timestamp::UNIX_EPOCH).unwrap();
        assert!(login.headers.is_empty());
        let Some(Body::Json(body)) = login.body else {
            panic!("the login has no body");
        };
        let params = json!({ "user": "shop", "pass": "TOKEN", "lang": "en" });
        assert_eq!(body, json!({ "method": "account.login", "params": params }));

        let login = |tfa: &str| done(&json!({ "customerId": 1, "accountId": 1, "tfa": tfa }));
        let answer = login("0");
        assert_eq!(Inwx.status(200, &answer), 200);
        let cookies = ["domrobot=old", "a=1", "domrobot=new"].map(str::to_owned);
        let (session, time) = Inwx.session_with(&answer, &cookies).unwrap();
        assert_eq!((session.as_str(), time.as_secs()), ("a=1; domrobot=new", 900));
        assert_eq!(Inwx.session_with(&answer, &[]), None);

        let second_factor = login("GOOGLE-AUTH");
        let told = (Inwx.status(200, &second_factor), said(&second_factor));
        assert_eq!(told, (401, "GOOGLE-AUTH".to_owned()));
    }

    #[test]
    fn it_is_asked_as_published() {
        let asked = |method: &str, params: &str| {
            let body = format!(r#"{{"method":"{method}","params":{params}}}"#);
            format!("POST /jsonrpc/\ncookie: TOKEN\n{body}")
        };
        let www = record(&json!("2150"), "_acme-challenge.www.shop.example", "TXT", "v");
        let soa = record(&json!("2151"), "shop.example", "SOA", "ns.inwx.de");
        let page = with_records(&json!([www, soa]));
        let words = "Authentication error";
        let made = concat!(
            r#"{"content":"v","domain":"shop.example","#,
            r#""name":"_acme-challenge.www.shop.example","ttl":300,"type":"TXT"}"#,
        );
        Published {
            name: ProviderName::Inwx,
            account: "shop",
            zone: &asked("nameserver.info", r#"{"domain":"shop.example","type":"SOA"}"#),
            is_zone: (with_records(&json!([soa])), "shop.example"),
            is_no_zone: vec![
                (200, failed(2303, "Object does not exist")),
                (200, done(&zone("SLAVE"))),
            ],
            refused: (200, failed(2200, words), words),
            records: &asked("nameserver.info", r#"{"domain":"shop.example","type":"TXT"}"#),
            page,
            id: "2150",
            next: None,
            none: done(&zone("MASTER")),
            make: &asked("nameserver.createRecord", made),
            delete: &asked("nameserver.deleteRecord", r#"{"id":"2150"}"#),
        }
        .holds();
    }

    #[test]
    fn the_zone_itself_is_a_name_as_well() {
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
        let apex = record(&json!(7), "shop.example", "TXT", "v");
        let page = Inwx.read(&at, &with_records(&json!([apex])), None).unwrap();
        assert!(page.found[0].is("@"));
        assert_eq!(page.found[0].id, "7");
        let Some(Body::Json(body)) = Inwx.make(&at, "@", "v").body else {
            panic!("the request has no body");
        };
        assert_eq!(body["params"]["name"], json!("shop.example"));
    }

    #[test]
    fn what_became_of_a_request_is_told_by_its_code() {
        for (status, answer, expected) in [
            (200, done(&Value::Null), 200),
            (200, failed(1001, "Command completed; action pending"), 200),
            (200, failed(2002, "Command use error"), 401),
            (200, failed(2005, "Parameter value syntax error"), 400),
            (200, failed(2201, "Authorization error"), 403),
            (200, failed(2302, "Object exists"), 409),
            (200, failed(2502, "Session limit exceeded"), 429),
            (429, Value::Null, 429),
        ] {
            assert_eq!(Inwx.status(status, &answer), expected, "{status} {answer}");
        }
    }
}
