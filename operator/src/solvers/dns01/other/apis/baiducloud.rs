//! Baidu AI Cloud's DNS: <https://cloud.baidu.com/doc/DNS/s/El4s7lssr>. Requests are signed:
//! <https://cloud.baidu.com/doc/Reference/s/njwvz1yfu>.

use hyper::header::{AUTHORIZATION, HeaderName};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, encoded, hex, is, mac, text, unquoted};

pub(super) struct BaiduCloud;

impl BaiduCloud {
    /// The shortest TTL that its basic edition takes.
    const TTL: u32 = 300;
    /// How long a signature counts, in seconds.
    const COUNTS: u32 = 1800;
}

impl Api for BaiduCloud {
    fn host(&self) -> &'static str {
        "https://dns.baidubce.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, now: Timestamp) -> Ask {
        let host = self.host().trim_start_matches("https://");
        let moment = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let (path, query) = ask.path.split_once('?').unwrap_or((ask.path.as_str(), ""));
        let signer = format!("bce-auth-v1/{}/{moment}/{}", by.id, Self::COUNTS);
        let key = hex(mac(by.token.as_bytes(), &signer).as_ref());
        let date = encoded(&moment);
        let canonical = format!("{}\n{path}\n{query}\nhost:{host}\nx-bce-date:{date}", ask.method);
        let signature = hex(mac(key.as_bytes(), &canonical).as_ref());
        let authorization = format!("{signer}/host;x-bce-date/{signature}");
        ask.with(HeaderName::from_static("x-bce-date"), &moment)
            .with(AUTHORIZATION, &authorization)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        // All zones whose names have it in them. Parameters stand in the order of their names, as they are signed.
        Ask::get(format!("/v1/dns/zone?maxKeys=1000&name={}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["zones"].as_array()?.iter();
        let found = zones.find(|found| is(&found["name"], zone))?;
        text(&found["name"]).filter(|_| !is(&found["status"], "stopped"))
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let marker = page.map(|marker| format!("marker={}&", encoded(marker)));
        let marker = marker.unwrap_or_default();
        Ask::get(format!(
            "/v1/dns/zone/{}/record?{marker}maxKeys=1000",
            encoded(at.id)
        ))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let records = answer["records"].as_array()?.iter();
        let found = records.filter(|record| is(&record["type"], "TXT")).map(|record| {
            Some(Found {
                id: text(&record["id"])?,
                name: text(&record["rr"])?,
                value: unquoted(record["value"].as_str()?).to_owned(),
            })
        });
        let is_more = answer["isTruncated"].as_bool().unwrap_or_default();
        Some(Page {
            found: found.collect::<Option<_>>()?,
            next: text(&answer["nextMarker"]).filter(|marker| is_more && !marker.is_empty()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let body = json!({ "rr": name, "type": "TXT", "value": value, "ttl": Self::TTL });
        Ask::post(format!("/v1/dns/zone/{}/record", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v1/dns/zone/{zone}/record/{id}"))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        match answer["code"].as_str().unwrap_or_default() {
            "SignatureDoesNotMatch" | "InvalidAccessKeyId" | "InvalidHTTPAuthHeader" | "RequestExpired" => {
                401
            }
            _ => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    fn asked(first: &str, signature: &str, body: &str) -> String {
        format!(
            "{first}\nx-bce-date: 2026-11-30T12:00:00Z\n\
             authorization: bce-auth-v1/AK7/2026-11-30T12:00:00Z/1800/host;x-bce-date/{signature}{body}"
        )
    }

    #[test]
    fn it_is_asked_as_published() {
        let zones = |name: &str, status: &str| json!({ "zones": [{ "id": "zone-7", "name": name, "status": status }], "isTruncated": false });
        let unsigned = "The request signature we calculated does not match the signature you provided.";
        Published {
            name: ProviderName::BaiduCloud,
            account: "AK7",
            zone: &asked("GET /v1/dns/zone?maxKeys=1000&name=shop.example", "ae300d89e89b0b3d9fcb434325fec2ada9b8472b9ede859a2bcf402e78ec606f", ""),
            is_zone: (zones("shop.example", "running"), "shop.example"),
            is_no_zone: vec![
                (200, zones("shop.example", "stopped")),
                (200, zones("workshop.example", "running")),
                (200, json!({ "zones": [], "isTruncated": false })),
            ],
            refused: (
                400,
                json!({ "requestId": "1", "code": "SignatureDoesNotMatch", "message": unsigned }),
                unsigned,
            ),
            records: &asked("GET /v1/dns/zone/shop.example/record?maxKeys=1000", "a6735419906683bafdbc4ae36d4aab354960c44e2cec8d1dd3826eb0b6e612e0", ""),
            page: json!({
                "records": [
                    { "id": "7", "rr": "_acme-challenge.www", "type": "TXT", "value": "v", "ttl": 300, "line": "default" },
                    { "id": "8", "rr": "www", "type": "A", "value": "192.0.2.1", "ttl": 300, "line": "default" },
                ],
                "isTruncated": true, "nextMarker": "9", "maxKeys": 1000,
            }),
            id: "7",
            next: Some("/v1/dns/zone/shop.example/record?marker=9&maxKeys=1000"),
            none: json!({ "records": [], "isTruncated": false, "nextMarker": "", "maxKeys": 1000 }),
            make: &asked(
                "POST /v1/dns/zone/shop.example/record",
                "fe3dde601e839c933f08c1809434362dbc6507d0023bc17eb0733e4251caaa25",
                "\n{\"rr\":\"_acme-challenge.www\",\"ttl\":300,\"type\":\"TXT\",\"value\":\"v\"}",
            ),
            delete: &asked("DELETE /v1/dns/zone/shop.example/record/7", "bb2a988a2b799c1636c6a13bd5025c27ee488168290f0926dbc00f3654243d8a", ""),
        }
        .holds();
    }
}
