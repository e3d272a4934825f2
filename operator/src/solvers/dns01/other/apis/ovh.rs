//! OVHcloud, in its European region: <https://eu.api.ovh.com/console/?section=%2Fdomain&branch=v1>, by a service account
//! (<https://docs.ovhcloud.com/en/guides/manage-and-operate/api/manage-service-account>). A list has IDs alone: each record
//! is asked for by itself. What was changed is served once the zone is refreshed.

use std::time::Duration;

use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Api, Ask, Found, Login, Page, TTL, Zone, encoded, is, quoted, text, unquoted};

/// So many records of a zone are read whatever they are.
const FEW: usize = 10;

pub(super) struct Ovh;

impl Api for Ovh {
    fn host(&self) -> &'static str {
        "https://eu.api.ovh.com"
    }

    fn login(&self, by: &Login, _: Timestamp) -> Option<Ask> {
        let pairs = [
            ("grant_type", "client_credentials"),
            ("client_id", by.id.as_str()),
            ("client_secret", by.token.as_str()),
            ("scope", "all"),
        ];
        Some(Ask {
            host: Some("https://www.ovh.com"),
            ..Ask::form("/auth/oauth2/token".into(), pairs)
        })
    }

    fn session(&self, answer: &Value) -> Option<(Zeroizing<String>, Duration)> {
        let token = Zeroizing::new(answer["access_token"].as_str()?.to_owned());
        Some((token, Duration::from_secs(answer["expires_in"].as_u64()?)))
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/v1/domain/zone/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["name"], zone).then(|| zone.to_owned())
    }

    /// A page is `NUMBER|IDS`: the records that are left to be asked for, and the name whose list comes then.
    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let zone = encoded(at.id);
        let list = format!("/v1/domain/zone/{zone}/record?fieldType=TXT");
        let Some((number, ids)) = page.and_then(|page| page.split_once('|')) else {
            return Ask::get(list);
        };
        if let Some(id) = ids.split(',').find(|id| !id.is_empty()) {
            return Ask::get(format!("/v1/domain/zone/{zone}/record/{}", encoded(id)));
        }
        let name = number.parse().ok().and_then(|number: usize| at.about.get(number));
        let name = name.filter(|name| **name != "@").copied().unwrap_or_default();
        Ask::get(format!("{list}&subDomain={}", encoded(name)))
    }

    /// The first page is the list of all IDs. Of a zone with many more records than are asked about, the lists of single
    /// names come then, and else what that list has.
    fn read(&self, at: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page> {
        let names = at.about.len();
        let ids = |answer: &Value| {
            answer
                .as_array()?
                .iter()
                .map(text)
                .collect::<Option<Vec<String>>>()
        };
        let next = |number: usize, ids: &str| {
            let is_more = number < names || !ids.is_empty();
            is_more.then(|| format!("{number}|{ids}"))
        };
        let Some(page) = page else {
            let ids = ids(answer)?;
            let is_many = ids.len() > FEW.max(2 * names);
            return Some(Page {
                found: Vec::new(),
                next: match is_many {
                    true => next(0, ""),
                    false => next(names, &ids.join(",")),
                },
            });
        };
        let (number, left) = page.split_once('|')?;
        let number: usize = number.parse().ok()?;
        if left.is_empty() {
            return Some(Page {
                found: Vec::new(),
                next: next(number + 1, &ids(answer)?.join(",")),
            });
        }
        let mut found = Vec::new();
        if !is_gone(answer) {
            found.push(Found {
                id: text(&answer["id"])?,
                name: text(&answer["subDomain"]).unwrap_or_default(),
                value: unquoted(answer["target"].as_str()?).to_owned(),
            });
        }
        let left = left.split_once(',').map_or("", |(_, left)| left);
        Some(Page {
            found,
            next: next(number, left),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let body = json!({ "fieldType": "TXT", "subDomain": name, "target": quoted(value), "ttl": TTL });
        Ask::post(format!("/v1/domain/zone/{}/record", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v1/domain/zone/{zone}/record/{id}"))
    }

    fn settle(&self, at: &Zone<'_>) -> Option<Ask> {
        Some(Ask {
            method: Method::POST,
            ..Ask::get(format!("/v1/domain/zone/{}/refresh", encoded(at.id)))
        })
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        match status {
            // RFC 6749 leaves both to a server that does not know the client.
            400 if is(&answer["error"], "invalid_client") => 401,
            403 if is(&answer["errorCode"], "INVALID_CREDENTIAL") => 401,
            // The zone is there.
            404 if is_gone(answer) => 200,
            status => status,
        }
    }
}

/// Did somebody delete the record meanwhile? Of a zone that is none, it says that the service does not exist.
fn is_gone(answer: &Value) -> bool {
    answer["message"]
        .as_str()
        .is_some_and(|words| words.starts_with("The requested object"))
}

#[cfg(test)]
mod tests {
    use super::super::{Body, said};
    use super::*;

    fn asked(ask: &Ask) -> String {
        let request = format!("{} {}", ask.method, ask.path);
        match &ask.body {
            None => request,
            Some(Body::Json(json)) => format!("{request}\n{json}"),
            Some(Body::Form(pairs)) => format!("{request}\n{}", pairs.as_str()),
        }
    }

    #[test]
    fn a_service_account_is_let_in_by_a_session() {
        let by = Login {
            id: "0f0f".into(),
            token: Zeroizing::new("TOKEN".into()),
        };
        let login = Ovh.login(&by, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(login.host, Some("https://www.ovh.com"));
        assert_eq!(
            asked(&login),
            "POST /auth/oauth2/token\n\
             grant_type=client_credentials&client_id=0f0f&client_secret=TOKEN&scope=all"
        );
        let answer =
            json!({ "access_token": "s", "token_type": "Bearer", "expires_in": 3599, "scope": "all" });
        let (session, time) = Ovh.session(&answer).unwrap();
        assert_eq!((session.as_str(), time.as_secs()), ("s", 3599));
        assert_eq!(Ovh.session(&json!({ "error": "invalid_client" })), None);
        for (status, refusal, words) in [
            (401, json!({ "error": "invalid_client" }), "invalid_client"),
            (400, json!({ "error": "invalid_client" }), "invalid_client"),
            (
                403,
                json!({ "errorCode": "INVALID_CREDENTIAL", "message": "This credential is not valid" }),
                "This credential is not valid",
            ),
        ] {
            assert_eq!(
                (Ovh.status(status, &refusal), said(&refusal).as_str()),
                (401, words)
            );
        }
        let no_leave =
            json!({ "class": "Client::Forbidden", "message": "User not granted for this request" });
        assert_eq!(Ovh.status(403, &no_leave), 403);
    }

    #[test]
    fn it_is_asked_as_published() {
        let by = Login {
            id: String::new(),
            token: Zeroizing::new("s".into()),
        };
        let at = Zone {
            by: &by,
            name: "shop.example",
            id: "shop.example",
            about: &["_acme-challenge.www"],
        };
        assert_eq!(asked(&Ovh.zone(&by, at.name)), "GET /v1/domain/zone/shop.example");
        let zone =
            json!({ "name": "shop.example", "nameServers": ["dns1.ovh.example"], "dnssecSupported": true });
        assert_eq!(Ovh.zone_id(&zone, at.name).as_deref(), Some("shop.example"));
        assert_eq!(Ovh.zone_id(&zone, "example"), None);
        let none = json!({ "class": "Client::NotFound", "message": "This service does not exist" });
        assert_eq!((Ovh.status(404, &none), Ovh.zone_id(&none, at.name)), (404, None));

        let list = "GET /v1/domain/zone/shop.example/record?fieldType=TXT";
        let one = "GET /v1/domain/zone/shop.example/record/";
        let asked_for = |page: Option<&str>| asked(&Ovh.records(&at, page));
        assert_eq!(asked_for(None), list);
        assert_eq!(Ovh.read(&at, &json!([]), None), Some(Page::default()));
        assert_eq!(Ovh.read(&at, &json!({ "message": "?" }), None), None);
        let Page { found, next } = Ovh.read(&at, &json!([7, 8]), None).unwrap();
        assert_eq!((found.len(), next.as_deref()), (0, Some("1|7,8")));
        assert_eq!(asked_for(next.as_deref()), format!("{one}7"));
        let record = json!({ "id": 7, "zone": "shop.example", "fieldType": "TXT",
            "subDomain": "_acme-challenge.www", "target": "\"v\"", "ttl": 60 });
        let Page { found, next } = Ovh.read(&at, &record, next.as_deref()).unwrap();
        assert!(found[0].is("_acme-challenge.www"));
        assert_eq!((found[0].id.as_str(), found[0].value.as_str()), ("7", "v"));
        assert_eq!(asked_for(next.as_deref()), format!("{one}8"));
        let gone =
            json!({ "class": "Client::NotFound", "message": "The requested object (id = 8) does not exist" });
        assert_eq!(Ovh.status(404, &gone), 200);
        assert_eq!(Ovh.read(&at, &gone, next.as_deref()), Some(Page::default()));

        // Of many, those of the names alone.
        let about = ["@", "_acme-challenge.www"];
        let at = Zone { about: &about, ..at };
        let asked_for = |page: &Option<String>| asked(&Ovh.records(&at, page.as_deref()));
        let many: Vec<u32> = (1..=100).collect();
        let Page { next, .. } = Ovh.read(&at, &json!(many), None).unwrap();
        assert_eq!(asked_for(&next), format!("{list}&subDomain="));
        let Page { next, .. } = Ovh.read(&at, &json!([]), next.as_deref()).unwrap();
        assert_eq!(asked_for(&next), format!("{list}&subDomain=_acme-challenge.www"));
        let Page { next, .. } = Ovh.read(&at, &json!([7]), next.as_deref()).unwrap();
        assert_eq!(asked_for(&next), format!("{one}7"));
        let last = Ovh.read(&at, &record, next.as_deref()).unwrap();
        assert_eq!((last.found.len(), last.next), (1, None));

        assert_eq!(
            asked(&Ovh.make(&at, "_acme-challenge.www", "v")),
            "POST /v1/domain/zone/shop.example/record\n\
             {\"fieldType\":\"TXT\",\"subDomain\":\"_acme-challenge.www\",\"target\":\"\\\"v\\\"\",\"ttl\":60}"
        );
        assert!(asked(&Ovh.make(&at, "@", "v")).contains("\"subDomain\":\"\""));
        let delete = Ovh.delete(&at, &found[0]);
        assert_eq!(asked(&delete), "DELETE /v1/domain/zone/shop.example/record/7");
        let settle = Ovh.settle(&at).unwrap();
        assert_eq!(asked(&settle), "POST /v1/domain/zone/shop.example/refresh");
    }
}
