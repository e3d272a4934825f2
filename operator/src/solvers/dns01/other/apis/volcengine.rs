//! Volcengine's cloud DNS: <https://www.volcengine.com/docs/6758/155086>. Requests are signed:
//! <https://www.volcengine.com/docs/6369/67269>.

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, derived, encoded, hex, is, mac, sha256, text, unquoted};

pub(super) struct Volcengine;

impl Volcengine {
    const KIND: &'static str = "application/json";
    /// Of public zones.
    const VERSION: &'static str = "2018-08-01";
    /// The shortest TTL that its free edition takes.
    const TTL: u32 = 600;
    /// The most records of a page.
    const PAGE: u64 = 500;

    fn changed(action: &str, body: Value) -> Ask {
        Ask::post(format!("/?Action={action}&Version={}", Self::VERSION), body).with(CONTENT_TYPE, Self::KIND)
    }
}

impl Api for Volcengine {
    fn host(&self) -> &'static str {
        "https://open.volcengineapi.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, now: Timestamp) -> Ask {
        let host = self.host().trim_start_matches("https://");
        let (day, moment) = (
            now.strftime("%Y%m%d").to_string(),
            now.strftime("%Y%m%dT%H%M%SZ").to_string(),
        );
        let query = ask.path.trim_start_matches("/?");
        let body = sha256(ask.sent().as_bytes());
        let names = "content-type;host;x-content-sha256;x-date";
        let canonical = format!(
            "{}\n/\n{query}\ncontent-type:{}\nhost:{host}\nx-content-sha256:{body}\nx-date:{moment}\n\n{names}\n{body}",
            ask.method,
            Self::KIND
        );
        let scope = format!("{day}/cn-beijing/dns/request");
        let to_sign = format!("HMAC-SHA256\n{moment}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let key = derived("", &by.token, &[day.as_str(), "cn-beijing", "dns", "request"]);
        let signature = hex(mac(&key, &to_sign).as_ref());
        let authorization = format!(
            "HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            by.id
        );
        ask.with(HeaderName::from_static("x-date"), &moment)
            .with(HeaderName::from_static("x-content-sha256"), &body)
            .with(AUTHORIZATION, &authorization)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        // Parameters stand in the order of their names, as they are signed.
        Ask::get(format!(
            "/?Action=ListZones&Key={}&SearchMode=exact&Version={}",
            encoded(zone),
            Self::VERSION
        ))
        .with(CONTENT_TYPE, Self::KIND)
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["Result"]["Zones"].as_array()?.iter();
        let found = zones.find(|found| is(&found["ZoneName"], zone))?;
        text(&found["ZID"])
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        Ask::get(format!(
            "/?Action=ListRecords&PageNumber={}&PageSize={}&Type=TXT&Version={}&ZID={}",
            page.unwrap_or("1"),
            Self::PAGE,
            Self::VERSION,
            encoded(at.id)
        ))
        .with(CONTENT_TYPE, Self::KIND)
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page> {
        let said = &answer["Result"];
        let count = said["TotalCount"].as_u64()?;
        let none = Vec::new();
        // A list without records may be null.
        let records = match &said["Records"] {
            Value::Null => &none,
            records => records.as_array()?,
        };
        let found = records
            .iter()
            .filter(|record| is(&record["Type"], "TXT"))
            .map(|record| {
                Some(Found {
                    id: text(&record["RecordID"])?,
                    name: text(&record["Host"])?,
                    value: unquoted(record["Value"].as_str()?).to_owned(),
                })
            });
        let page: u64 = page.map_or(Some(1), |page| page.parse().ok())?;
        Some(Page {
            found: found.collect::<Option<_>>()?,
            next: (page.saturating_mul(Self::PAGE) < count).then(|| (page + 1).to_string()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let zone = at.id.parse::<u64>().ok();
        let body = json!({ "ZID": zone, "Host": name, "Type": "TXT", "Value": value, "TTL": Self::TTL,
            "Line": "default" });
        Self::changed("CreateRecord", body)
    }

    fn delete(&self, _: &Zone<'_>, found: &Found) -> Ask {
        Self::changed("DeleteRecord", json!({ "RecordID": found.id }))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        let error = &answer["ResponseMetadata"]["Error"];
        match error["Code"].as_str().unwrap_or_default() {
            "SignatureDoesNotMatch" | "InvalidAccessKey" | "InvalidAuthorization" | "InvalidCredential" => {
                401
            }
            "AccessDenied" | "LackPolicy" => 403,
            // Refusals stand in answers of any status.
            _ if !error.is_null() && status < 300 => 400,
            _ => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    fn asked(first: &str, hash: &str, signature: &str, body: &str) -> String {
        format!(
            "{first}\ncontent-type: application/json\nx-date: 20261130T120000Z\nx-content-sha256: {hash}\n\
             authorization: HMAC-SHA256 Credential=AKLT7/20261130/cn-beijing/dns/request, \
             SignedHeaders=content-type;host;x-content-sha256;x-date, Signature={signature}{body}"
        )
    }

    #[test]
    fn it_is_asked_as_published() {
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let unsigned = "The request signature we calculated does not match the signature you provided.";
        let result = |result: Value| json!({ "ResponseMetadata": { "RequestId": "1" }, "Result": result });
        Published {
            name: ProviderName::Volcengine,
            account: "AKLT7",
            zone: &asked(
                "GET /?Action=ListZones&Key=shop.example&SearchMode=exact&Version=2018-08-01",
                nothing,
                "0c2e504fa8081b2ae0439108bab2db6ef99e54f59349deb438dff734fe986f20",
                "",
            ),
            is_zone: (result(json!({ "Total": 1, "Zones": [{ "ZID": 42, "ZoneName": "shop.example" }] })), "42"),
            is_no_zone: vec![
                (200, result(json!({ "Total": 0, "Zones": [] }))),
                (200, result(json!({ "Total": 0, "Zones": null }))),
            ],
            refused: (
                401,
                json!({ "ResponseMetadata": { "RequestId": "1", "Error":
                    { "CodeN": 100010, "Code": "SignatureDoesNotMatch", "Message": unsigned } } }),
                unsigned,
            ),
            records: &asked(
                "GET /?Action=ListRecords&PageNumber=1&PageSize=500&Type=TXT&Version=2018-08-01&ZID=42",
                nothing,
                "fb883e71b2f8b792f617022deca4e795ae86fd5da49488d7ec5ef547a67b8ff5",
                "",
            ),
            page: result(json!({
                "TotalCount": 501, "PageNumber": 1, "PageSize": 500,
                "Records": [
                    { "RecordID": "7", "Type": "TXT", "Host": "_acme-challenge.www", "Value": "v", "TTL": 600 },
                    { "RecordID": "8", "Type": "A", "Host": "www", "Value": "192.0.2.1", "TTL": 600 },
                ],
            })),
            id: "7",
            next: Some("/?Action=ListRecords&PageNumber=2&PageSize=500&Type=TXT&Version=2018-08-01&ZID=42"),
            none: result(json!({ "TotalCount": 0, "PageNumber": 1, "PageSize": 500, "Records": null })),
            make: &asked(
                "POST /?Action=CreateRecord&Version=2018-08-01",
                "6d6884de5decf861f8d429a796c9c4d785b20dcef9e8dbcd10d0b3b82d454538",
                "30bf4e117dbe836eeb35de115eb71726078b2ab5999cd7939eed7ee7b4caea57",
                concat!(
                    "\n",
                    r#"{"Host":"_acme-challenge.www","Line":"default","TTL":600,"Type":"TXT","Value":"v","ZID":42}"#
                ),
            ),
            delete: &asked(
                "POST /?Action=DeleteRecord&Version=2018-08-01",
                "5b49d09d07baa59009464dcf8a2f3639d906247536ff546fc5aa9bfb727872d1",
                "cbf9f978c106419b74df14b1632ee75cb29367af93b327b75a1efbbad815108a",
                "\n{\"RecordID\":\"7\"}",
            ),
        }
        .holds();
    }

    #[test]
    fn a_refusal_is_told_by_its_code() {
        let refusal = |code: &str| json!({ "ResponseMetadata": { "Error": { "Code": code } } });
        for (status, code, told) in [
            (400, "InvalidAccessKey", 401),
            (403, "LackPolicy", 403),
            (200, "another", 400),
        ] {
            assert_eq!(Volcengine.status(status, &refusal(code)), told);
        }
    }
}
