//! What a provider publishes of its API, and what each row is held to.

use serde_json::json;

use super::*;

/// What is asked and answered about the value `v` of `_acme-challenge.www` in the zone `shop.example`. A request is
/// `METHOD PATH`, a line `name: value` for each header, and a line for its body.
pub(super) struct Published<'a> {
    pub(super) name: ProviderName,
    /// The account's ID or user, of a provider that asks for one.
    pub(super) account: &'a str,
    /// Asks for the zone.
    pub(super) zone: &'a str,
    /// What is answered of the zone, and its ID.
    pub(super) is_zone: (Value, &'a str),
    /// Statuses and bodies of answers that say that there is no such zone, or none that is served.
    pub(super) is_no_zone: Vec<(u16, Value)>,
    /// Status and body of the answer to a token that is none, and the words in it that say why.
    pub(super) refused: (u16, Value, &'a str),
    /// Asks for the first page of its records.
    pub(super) records: &'a str,
    /// What is answered, beginning with the record.
    pub(super) page: Value,
    /// The record's ID.
    pub(super) id: &'a str,
    /// The path of the second page, of a provider that has pages.
    pub(super) next: Option<&'a str>,
    /// What is answered of a zone without TXT records.
    pub(super) none: Value,
    /// Makes the record.
    pub(super) make: &'a str,
    /// Deletes it.
    pub(super) delete: &'a str,
}

/// What is asked for three records at once in the zone `shop.example`: `v` and `w` of `_acme-challenge.www`,
/// and `x` of the zone itself. A request is `METHOD PATH`, and a line for its body, without headers.
pub(super) struct Several<'a> {
    pub(super) name: ProviderName,
    /// The zone's ID.
    pub(super) zone: &'a str,
    /// Makes them.
    pub(super) make: &'a [&'a str],
    /// The records' IDs.
    pub(super) ids: [&'a str; 3],
    /// Deletes them.
    pub(super) delete: &'a [&'a str],
}

impl Several<'_> {
    /// Holds the row to it.
    pub(super) fn holds(self) {
        let api = of(self.name);
        let by = login("");
        let at = Zone {
            by: &by,
            name: "shop.example",
            id: self.zone,
            about: &["_acme-challenge.www"],
        };
        let records = [
            ("_acme-challenge.www", "v"),
            ("_acme-challenge.www", "w"),
            ("@", "x"),
        ];
        assert_eq!(bare(api.make_all(&at, &records)), self.make);
        for (name, value) in records {
            let one = api.make_all(&at, &[(name, value)]);
            assert_eq!(bare(one), bare(vec![api.make(&at, name, value)]));
        }

        let found: Vec<Found> = records
            .iter()
            .zip(self.ids)
            .map(|(&(name, value), id)| Found {
                id: id.to_owned(),
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect();
        let all: Vec<&Found> = found.iter().collect();
        assert_eq!(bare(api.delete_all(&at, &all)), self.delete);
        for found in &found {
            let one = api.delete_all(&at, &[found]);
            assert_eq!(bare(one), bare(vec![api.delete(&at, found)]));
        }
    }
}

impl Published<'_> {
    /// Holds the row to it.
    pub(super) fn holds(self) {
        let api = of(self.name);
        let by = login(self.account);
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let asked = |ask: Ask| lines(&api.let_in(&by, ask, now));
        let (answer, id) = &self.is_zone;
        let at = Zone {
            by: &by,
            name: "shop.example",
            id,
            about: &["_acme-challenge.www"],
        };
        assert_eq!(asked(api.zone(&by, at.name)), self.zone);
        assert_eq!(api.zone_id(answer, at.name).as_deref(), Some(*id), "{answer}");
        assert_eq!(
            api.zone_id(answer, "example"),
            None,
            "the zone above it: {answer}"
        );
        assert_eq!(api.status(200, answer), 200);
        for (status, other) in &self.is_no_zone {
            let status = api.status(*status, other);
            assert!(status == 404 || status == 200, "{status} {other}");
            assert_eq!(api.zone_id(other, at.name), None, "{other}");
        }
        for other in junk() {
            assert_eq!(api.zone_id(&other, at.name), None, "{other}");
        }
        let (status, answer, words) = &self.refused;
        assert_eq!(api.status(*status, answer), 401, "{answer}");
        assert_eq!(said(answer), *words, "{answer}");

        assert_eq!(asked(api.records(&at, None)), self.records);
        let Page { found, next } = api.read(&at, &self.page, None).unwrap();
        assert_eq!(
            (
                found[0].id.as_str(),
                found[0].value.as_str(),
                found[0].is("_acme-challenge.www")
            ),
            (self.id, "v", true)
        );
        let next = next.map(|next| api.records(&at, Some(&next)).path);
        assert_eq!(next.as_deref(), self.next);
        assert_eq!(api.read(&at, &self.none, None), Some(Page::default()));
        for other in junk().into_iter().filter(|other| *other != self.none) {
            assert_eq!(api.read(&at, &other, None), None, "{other}");
        }

        let make = asked(api.make(&at, "_acme-challenge.www", "v"));
        assert_eq!(make, self.make);
        // The zone itself, where a CNAME may lead, is another name.
        assert_ne!(asked(api.make(&at, "@", "v")), make);
        assert_eq!(asked(api.delete(&at, &found[0])), self.delete);
    }
}

fn login(account: &str) -> Login {
    Login {
        id: account.to_owned(),
        token: Zeroizing::new("TOKEN".to_owned()),
    }
}

/// Requests without their headers.
fn bare(asks: Vec<Ask>) -> Vec<String> {
    let asks = asks.into_iter().map(|ask| Ask {
        headers: Vec::new(),
        ..ask
    });
    asks.map(|ask| lines(&ask)).collect()
}

fn lines(ask: &Ask) -> String {
    let mut lines = format!("{} {}", ask.method, ask.path);
    for (name, value) in &ask.headers {
        lines.push_str(&format!("\n{name}: {}", value.as_str()));
    }
    if let Some(body) = &ask.body {
        lines.push('\n');
        lines.push_str(&match body {
            Body::Json(json) => json.to_string(),
            Body::Form(pairs) => pairs.to_string(),
        });
    }
    lines
}

/// What no API answers.
fn junk() -> [Value; 5] {
    [
        json!(null),
        json!({}),
        json!("text"),
        json!([1]),
        json!({ "records": 1, "data": "a", "rrsets": [1], "result": false }),
    ]
}
