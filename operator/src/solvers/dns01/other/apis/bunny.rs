//! Bunny: <https://docs.bunny.net/reference/dnszonepublic_index>

use hyper::Method;
use hyper::header::HeaderName;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, TTL, Zone, encoded, is, text, unquoted};

pub(super) struct Bunny;

impl Bunny {
    /// The number of the type TXT.
    const TXT: u64 = 3;
}

impl Api for Bunny {
    fn host(&self) -> &'static str {
        "https://api.bunny.net"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with(HeaderName::from_static("accesskey"), &by.token)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        // Zones whose names have this within them.
        Ask::get(format!("/dnszone?page=1&perPage=1000&search={}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["Items"].as_array()?.iter();
        text(&zones.find(|found| is(&found["Domain"], zone))?["Id"])
    }

    fn records(&self, at: &Zone<'_>, _: Option<&str>) -> Ask {
        Ask::get(format!("/dnszone/{}", encoded(at.id)))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let txt = answer["Records"]
            .as_array()?
            .iter()
            .filter(|record| record["Type"] == json!(Self::TXT) || is(&record["Type"], "TXT"));
        let found: Option<Vec<Found>> = txt
            .map(|record| {
                Some(Found {
                    id: text(&record["Id"])?,
                    name: text(&record["Name"]).unwrap_or_default(),
                    value: unquoted(record["Value"].as_str()?).to_owned(),
                })
            })
            .collect();
        Some(Page {
            found: found?,
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let body = json!({ "Type": Self::TXT, "Name": name, "Value": value, "Ttl": TTL });
        Ask {
            method: Method::PUT,
            ..Ask::post(format!("/dnszone/{}/records", encoded(at.id)), body)
        }
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/dnszone/{zone}/records/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        Published {
            name: ProviderName::Bunny,
            account: "",
            zone: "GET /dnszone?page=1&perPage=1000&search=shop.example\naccesskey: TOKEN",
            is_zone: (
                json!({ "Items": [
                    { "Id": 41, "Domain": "my-shop.example", "Records": [] },
                    { "Id": 42, "Domain": "shop.example", "Records": [] },
                ], "CurrentPage": 1, "TotalItems": 2, "HasMoreItems": false }),
                "42",
            ),
            is_no_zone: vec![
                (200, json!({ "Items": [], "CurrentPage": 1, "TotalItems": 0, "HasMoreItems": false })),
                (404, json!(null)),
            ],
            // Without a body.
            refused: (401, json!(null), "it does not say why"),
            records: "GET /dnszone/42\naccesskey: TOKEN",
            page: json!({ "Id": 42, "Domain": "shop.example", "Records": [
                { "Id": 7, "Type": 3, "Ttl": 60, "Value": "v", "Name": "_acme-challenge.www", "Disabled": false },
                { "Id": 8, "Type": 0, "Ttl": 300, "Value": "192.0.2.1", "Name": "" },
                { "Id": 9, "Type": 3, "Ttl": 300, "Value": "w", "Name": null },
            ] }),
            id: "7",
            next: None,
            none: json!({ "Id": 42, "Domain": "shop.example", "Records": [] }),
            make: "PUT /dnszone/42/records\naccesskey: TOKEN\n\
                   {\"Name\":\"_acme-challenge.www\",\"Ttl\":60,\"Type\":3,\"Value\":\"v\"}",
            delete: "DELETE /dnszone/42/records/7\naccesskey: TOKEN",
        }
        .holds();
    }
}
