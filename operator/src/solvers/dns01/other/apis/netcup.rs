//! netcup: <https://www.netcup.com/en/helpcenter/documentation/netcup-api>: its calls for challenges. They
//! put `_acme-challenge` before a name themselves, and so write no other one.

use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, is, names_below, text};

/// How all names begin.
const PREFIX: &str = "_acme-challenge";

pub(super) struct Netcup;

impl Netcup {
    fn path(at: &Zone<'_>) -> String {
        format!("/v1/domain/{}/acme/challenge", encoded(at.id))
    }
}

impl Api for Netcup {
    fn host(&self) -> &'static str {
        "https://api.netcup.com"
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/v1/domain?fqdn={}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut domains = answer["result"].as_array()?.iter();
        let found = domains.find(|found| is(&found["fqdn"], zone))?;
        // The others are not in CloudDNS: their records are written by an older API, or elsewhere.
        let is_managed = found["isDnsManaged"].as_bool() == Some(true);
        text(&found["id"]).filter(|_| is_managed)
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Ask::get(Self::path(at))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        if is_nothing(answer) {
            return Some(Page::default());
        }
        let mut all = Vec::new();
        for challenge in answer["result"].as_array()? {
            all.push(Found {
                id: text(&challenge["scope"])?,
                name: text(&challenge["fqdn"])?,
                value: text(&challenge["value"])?,
            });
        }
        Some(Page {
            found: names_below(all, at),
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        // One that is there already is as good as made.
        let body = match scope(name) {
            Some(scope) => json!({ "scope": scope, "value": value }),
            // It is refused without a value. With one another name would be written.
            None => json!({ "scope": name }),
        };
        Ask::post(Self::path(at), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let scope = match found.id.as_str() {
            // It may stand in a path as it is.
            "@" => "@".to_owned(),
            scope => encoded(scope),
        };
        let value = encoded(&found.value);
        Ask::delete(format!("{}/{scope}/{value}", Self::path(at)))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        match code(answer) {
            // It answers 400 to a key that is none.
            Some("authenticationError") => 401,
            // Whether it is the zone that is not there, is told when that is asked for.
            Some(_) if is_nothing(answer) => 200,
            Some(_) if status < 400 => 400,
            _ => status,
        }
    }
}

/// A name as the API has it: what follows the prefix, or `@` if nothing does.
fn scope(name: &str) -> Option<&str> {
    let (first, rest) = name.split_at_checked(PREFIX.len())?;
    if !first.eq_ignore_ascii_case(PREFIX) {
        return None;
    }
    match rest {
        "" => Some("@"),
        rest => rest.strip_prefix('.'),
    }
}

fn code(answer: &Value) -> Option<&str> {
    answer["errors"][0]["code"].as_str()
}

/// Is nothing there? A list with nothing in it may be answered by this error, too.
fn is_nothing(answer: &Value) -> bool {
    code(answer) == Some("resourceDoesNotExist")
}

#[cfg(test)]
mod tests {
    use super::super::published::Published;
    use super::super::{Body, ProviderName};
    use super::*;

    fn error(code: &str, words: &str) -> Value {
        let errors = json!([{ "code": code, "message": words }]);
        json!({ "success": false, "errors": errors, "messages": [], "meta": null, "result": null })
    }

    fn result(result: &Value) -> Value {
        json!({ "success": true, "errors": [], "messages": [], "meta": null, "result": result })
    }

    fn domain(is_managed: bool) -> Value {
        let domains = json!([{ "id": 42, "fqdn": "shop.example", "isDnsManaged": is_managed }]);
        result(&domains)
    }

    fn challenge(scope: &str, name: &str, value: &str) -> Value {
        json!({ "scope": scope, "fqdn": name, "value": value, "status": "deployed" })
    }

    fn nothing() -> Value {
        let words = "No results found, the page number may be too high.";
        error("resourceDoesNotExist", words)
    }

    #[test]
    fn it_is_asked_as_published() {
        let bearer = "authorization: Bearer TOKEN";
        let words = "Authentication token is not valid or has expired.";
        let www = challenge("www", "_acme-challenge.www.shop.example", "v");
        let apex = challenge("@", "_acme-challenge.shop.example", "w");
        let none = result(&json!([]));
        Published {
            name: ProviderName::Netcup,
            account: "",
            zone: &format!("GET /v1/domain?fqdn=shop.example\n{bearer}"),
            is_zone: (domain(true), "42"),
            is_no_zone: vec![(404, nothing()), (200, none.clone()), (200, domain(false))],
            refused: (400, error("authenticationError", words), words),
            records: &format!("GET /v1/domain/42/acme/challenge\n{bearer}"),
            page: result(&json!([www, apex])),
            id: "www",
            next: None,
            none,
            make: &format!(
                "POST /v1/domain/42/acme/challenge\n{bearer}\n{}",
                r#"{"scope":"www","value":"v"}"#
            ),
            delete: &format!("DELETE /v1/domain/42/acme/challenge/www/v\n{bearer}"),
        }
        .holds();
    }

    #[test]
    fn a_name_has_its_prefix_or_is_refused() {
        for (name, expected) in [
            ("_acme-challenge", Some("@")),
            ("_acme-challenge.www", Some("www")),
            ("_ACME-challenge.a.b", Some("a.b")),
            ("_acme-challenges", None),
            ("_acme", None),
            ("www", None),
            ("@", None),
        ] {
            assert_eq!(scope(name), expected, "{name}");
        }
        let by = Login {
            id: String::new(),
            token: String::new().into(),
        };
        let at = Zone {
            by: &by,
            name: "shop.example",
            id: "42",
            about: &["_acme-challenge"],
        };
        let made = |name| match Netcup.make(&at, name, "v").body {
            Some(Body::Json(json)) => json,
            _ => Value::Null,
        };
        let apex = json!({ "scope": "@", "value": "v" });
        assert_eq!(made("_acme-challenge"), apex);
        assert_eq!(made("www"), json!({ "scope": "www" }));

        let apex = challenge("@", "_acme-challenge.shop.example", "v");
        let page = Netcup.read(&at, &result(&json!([apex])), None).unwrap();
        assert!(page.found[0].is("_acme-challenge"));
        let path = Netcup.delete(&at, &page.found[0]).path;
        assert_eq!(path, "/v1/domain/42/acme/challenge/@/v");
        assert_eq!(Netcup.read(&at, &nothing(), None), Some(Page::default()));
    }

    #[test]
    fn what_became_of_a_request_is_told_by_its_error() {
        let invalid = error("validationError", "Domain name is not a valid domain name.");
        for (status, answer, expected) in [
            (200, domain(true), 200),
            (204, Value::Null, 204),
            (404, nothing(), 200),
            (400, invalid.clone(), 400),
            (200, invalid, 400),
            (404, Value::Null, 404),
            (429, Value::Null, 429),
        ] {
            assert_eq!(Netcup.status(status, &answer), expected, "{status} {answer}");
        }
    }
}
