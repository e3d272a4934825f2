//! Vercel: <https://vercel.com/docs/rest-api/dns>

use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, TTL, Zone, encoded, found, is, text};

pub(super) struct Vercel;

impl Vercel {
    /// The query that names the team whose zones are meant.
    fn team(by: &Login) -> String {
        format!("teamId={}", encoded(&by.id))
    }
}

impl Api for Vercel {
    fn host(&self) -> &'static str {
        "https://api.vercel.com"
    }

    fn zone(&self, by: &Login, zone: &str) -> Ask {
        Ask::get(format!("/v5/domains/{}?{}", encoded(zone), Self::team(by)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let found = &answer["domain"];
        // Others are served elsewhere.
        let is_it = is(&found["name"], zone) && is(&found["serviceType"], "zeit.world");
        is_it.then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, team) = (encoded(at.id), Self::team(at.by));
        // Those that are older than the last one of the page before.
        let until = page.map(|until| format!("&until={}", encoded(until)));
        let until = until.unwrap_or_default();
        Ask::get(format!("/v5/domains/{id}/records?{team}&limit=100{until}"))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let next = text(&answer["pagination"]["next"]);
        Some(Page {
            found: found(&answer["records"], "name", "value")?,
            next: next.filter(|until| until != "0"),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let body = json!({ "type": "TXT", "name": name, "value": value, "ttl": TTL });
        let (id, team) = (encoded(at.id), Self::team(at.by));
        Ask::post(format!("/v2/domains/{id}/records?{team}"), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id, team) = (encoded(at.id), encoded(&found.id), Self::team(at.by));
        Ask::delete(format!("/v2/domains/{zone}/records/{id}?{team}"))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        // It answers 403 to a token that is none as well.
        match answer["error"]["invalidToken"] {
            Value::Bool(true) => 401,
            _ => status,
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
        let bearer = "authorization: Bearer TOKEN";
        let domain =
            |kind: &str| json!({ "domain": { "id": "d1", "name": "shop.example", "serviceType": kind } });
        Published {
            name: ProviderName::Vercel,
            account: "team_1a",
            zone: &format!("GET /v5/domains/shop.example?teamId=team_1a\n{bearer}"),
            is_zone: (domain("zeit.world"), "shop.example"),
            is_no_zone: vec![
                (200, domain("external")),
                (200, domain("na")),
                (404, json!({ "error": { "code": "not_found", "message": "Domain not found" } })),
            ],
            refused: (
                403,
                json!({ "error": { "code": "forbidden", "message": "Not authorized", "invalidToken": true } }),
                "Not authorized",
            ),
            records: &format!("GET /v5/domains/shop.example/records?teamId=team_1a&limit=100\n{bearer}"),
            page: json!({
                "records": [
                    { "id": "rec_7", "slug": "s", "name": "_acme-challenge.www", "type": "TXT", "value": "v",
                        "creator": "u", "created": 1_540_095_775_951_u64, "ttl": 60 },
                    { "id": "rec_8", "slug": "t", "name": "", "type": "ALIAS", "value": "alias.vercel-dns.example",
                        "creator": "system", "created": null },
                ],
                "pagination": { "count": 2, "next": 1_540_095_775_941_u64, "prev": null },
            }),
            id: "rec_7",
            next: Some("/v5/domains/shop.example/records?teamId=team_1a&limit=100&until=1540095775941"),
            none: json!({ "records": [], "pagination": { "count": 0, "next": null, "prev": null } }),
            make: &format!(
                "POST /v2/domains/shop.example/records?teamId=team_1a\n{bearer}\n{}",
                r#"{"name":"_acme-challenge.www","ttl":60,"type":"TXT","value":"v"}"#
            ),
            delete: &format!("DELETE /v2/domains/shop.example/records/rec_7?teamId=team_1a\n{bearer}"),
        }
        .holds();
    }
}
