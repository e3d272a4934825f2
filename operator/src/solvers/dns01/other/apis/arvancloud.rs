//! ArvanCloud: <https://www.arvancloud.ir/api/cdn/4.0>.

use hyper::header::AUTHORIZATION;
use jiff::Timestamp;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Api, Ask, Found, Login, Page, Zone, encoded, is, next_of, text};

pub(super) struct ArvanCloud;

impl ArvanCloud {
    /// The shortest TTL that it takes.
    const TTL: u32 = 120;
}

impl Api for ArvanCloud {
    fn host(&self) -> &'static str {
        "https://napi.arvancloud.ir"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        // The panel shows a key with the word before it.
        let key = match by.token.contains(' ') {
            true => by.token.clone(),
            false => Zeroizing::new(format!("Apikey {}", *by.token)),
        };
        ask.with(AUTHORIZATION, &key)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/cdn/4.0/domains/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let found = &answer["data"];
        let is_it = is(&found["name"], zone) || is(&found["domain"], zone);
        // Of a partial domain single names alone lead there; others may wait for their name servers, or have moved.
        let is_served = is(&found["status"], "active") && !is(&found["type"], "partial");
        (is_it && is_served).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page) = (encoded(at.id), page.unwrap_or("1"));
        Ask::get(format!(
            "/cdn/4.0/domains/{id}/dns-records?type=txt&per_page=300&page={page}"
        ))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let records = answer["data"].as_array()?.iter();
        let found = records.filter(|record| is(&record["type"], "txt")).map(|record| {
            Some(Found {
                id: text(&record["id"])?,
                name: text(&record["name"])?,
                value: text(&record["value"]["text"])?,
            })
        });
        Some(Page {
            found: found.collect::<Option<Vec<Found>>>()?,
            next: next_of(&answer["meta"]["current_page"], &answer["meta"]["last_page"]),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let body = json!({
            "type": "txt", "name": name, "value": { "text": value }, "ttl": Self::TTL, "cloud": false,
            "upstream_https": "default",
            "ip_filter_mode": { "count": "single", "order": "none", "geo_filter": "none" },
        });
        Ask::post(format!("/cdn/4.0/domains/{}/dns-records", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/cdn/4.0/domains/{zone}/dns-records/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let domain = |status: &str, kind: &str| json!({ "data": { "id": "41", "domain": "shop.example", "name": "shop.example", "status": status, "type": kind } });
        Published {
            name: ProviderName::ArvanCloud,
            account: "",
            zone: "GET /cdn/4.0/domains/shop.example\nauthorization: Apikey TOKEN",
            is_zone: (domain("active", "full"), "shop.example"),
            is_no_zone: vec![
                (404, json!({ "message": "Resource not found" })),
                (200, domain("pending", "full")),
                (200, domain("moved", "full")),
                (200, domain("active", "partial")),
            ],
            refused: (401, json!({ "message": "Unauthenticated." }), "Unauthenticated."),
            records: "GET /cdn/4.0/domains/shop.example/dns-records?type=txt&per_page=300&page=1\n\
                      authorization: Apikey TOKEN",
            page: json!({
                "data": [
                    { "id": "7", "type": "txt", "name": "_acme-challenge.www", "value": { "text": "v" }, "ttl": 120 },
                    { "id": "8", "type": "a", "name": "www", "value": [{ "ip": "192.0.2.1" }], "ttl": 120 },
                ],
                "meta": { "current_page": 1, "last_page": 2, "per_page": 300 },
            }),
            id: "7",
            next: Some("/cdn/4.0/domains/shop.example/dns-records?type=txt&per_page=300&page=2"),
            none: json!({ "data": [], "meta": { "current_page": 1, "last_page": 1, "per_page": 300 } }),
            make: "POST /cdn/4.0/domains/shop.example/dns-records\nauthorization: Apikey TOKEN\n\
                   {\"cloud\":false,\"ip_filter_mode\":{\"count\":\"single\",\"geo_filter\":\"none\",\"order\":\"none\"},\
                   \"name\":\"_acme-challenge.www\",\"ttl\":120,\"type\":\"txt\",\"upstream_https\":\"default\",\
                   \"value\":{\"text\":\"v\"}}",
            delete: "DELETE /cdn/4.0/domains/shop.example/dns-records/7\nauthorization: Apikey TOKEN",
        }
        .holds();
    }

    #[test]
    fn a_key_may_have_the_word_before_it() {
        let by = Login {
            id: String::new(),
            token: "apikey TOKEN".to_owned().into(),
        };
        let ask = ArvanCloud.let_in(&by, ArvanCloud.zone(&by, "shop.example"), Timestamp::UNIX_EPOCH);
        assert_eq!(*ask.headers[0].1, "apikey TOKEN");
    }
}
