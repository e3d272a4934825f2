//! Tencent Cloud DNSPod: <https://cloud.tencent.com/document/api/1427/56194>. Requests are signed
//! (<https://cloud.tencent.com/document/api/1427/56189>), and all are answered 200.

use hyper::header::{AUTHORIZATION, HeaderName};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, Zone, derived, hex, is, mac, sha256, text, unquoted};

const ACTION: HeaderName = HeaderName::from_static("x-tc-action");

pub(super) struct TencentCloud;

impl TencentCloud {
    /// The shortest TTL that its free edition takes.
    const TTL: u32 = 600;
    /// The most records of a page.
    const PAGE: usize = 3000;

    fn asked(action: &str, body: Value) -> Ask {
        Ask::post("/".into(), body).with(ACTION, action)
    }
}

impl Api for TencentCloud {
    fn host(&self) -> &'static str {
        "https://dnspod.tencentcloudapi.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, now: Timestamp) -> Ask {
        let action = ask.headers.iter().find(|(name, _)| *name == ACTION);
        let action = action.map_or_else(String::new, |(_, action)| action.to_ascii_lowercase());
        let host = self.host().trim_start_matches("https://");
        let (day, second) = (now.strftime("%Y-%m-%d").to_string(), now.as_second().to_string());
        let names = "content-type;host;x-tc-action";
        let canonical = format!(
            "{}\n/\n\ncontent-type:application/json\nhost:{host}\nx-tc-action:{action}\n\n{names}\n{}",
            ask.method,
            sha256(ask.sent().as_bytes())
        );
        let scope = format!("{day}/dnspod/tc3_request");
        let to_sign = format!(
            "TC3-HMAC-SHA256\n{second}\n{scope}\n{}",
            sha256(canonical.as_bytes())
        );
        let key = derived("TC3", &by.token, &[day.as_str(), "dnspod", "tc3_request"]);
        let signature = hex(mac(&key, &to_sign).as_ref());
        let authorization = format!(
            "TC3-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            by.id
        );
        ask.with(HeaderName::from_static("x-tc-timestamp"), &second)
            .with(HeaderName::from_static("x-tc-version"), "2021-03-23")
            .with(HeaderName::from_static("x-tc-language"), "en-US")
            .with(AUTHORIZATION, &authorization)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Self::asked("DescribeDomain", json!({ "Domain": zone }))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let found = &answer["Response"]["DomainInfo"];
        // A name beyond ASCII has both forms.
        let is_it = is(&found["Domain"], zone) || is(&found["Punycode"], zone);
        let is_served = !is(&found["Status"], "pause") && !is(&found["Status"], "spam");
        text(&found["Domain"]).filter(|_| is_it && is_served)
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let offset: usize = page.and_then(|page| page.parse().ok()).unwrap_or_default();
        let body = json!({ "Domain": at.id, "RecordType": "TXT", "Offset": offset, "Limit": Self::PAGE });
        Self::asked("DescribeRecordList", body)
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page> {
        let said = &answer["Response"];
        // There is no list that is empty.
        if is(&said["Error"]["Code"], "ResourceNotFound.NoDataOfRecord") {
            return Some(Page::default());
        }
        let records = said["RecordList"].as_array()?;
        let found = records
            .iter()
            .filter(|record| is(&record["Type"], "TXT"))
            .map(|record| {
                Some(Found {
                    id: text(&record["RecordId"])?,
                    name: text(&record["Name"])?,
                    value: unquoted(record["Value"].as_str()?).to_owned(),
                })
            });
        let offset: usize = page.map_or(Some(0), |page| page.parse().ok())?;
        let is_full = records.len() >= Self::PAGE;
        Some(Page {
            found: found.collect::<Option<_>>()?,
            next: is_full.then(|| (offset + records.len()).to_string()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        // Line 0 is the one for everybody, whatever it is called in the account's language.
        let body = json!({ "Domain": at.id, "SubDomain": name, "RecordType": "TXT", "Value": value,
            "TTL": Self::TTL, "RecordLine": "默认", "RecordLineId": "0" });
        Self::asked("CreateRecord", body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let id = found.id.parse::<u64>().ok();
        Self::asked("DeleteRecord", json!({ "Domain": at.id, "RecordId": id }))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        let Some(code) = answer["Response"]["Error"]["Code"].as_str() else {
            return status;
        };
        match code {
            "ResourceNotFound.NoDataOfRecord" => status,
            "AuthFailure.UnauthorizedOperation" => 403,
            "InvalidParameterValue.DomainNotExists"
            | "InvalidParameter.DomainIdInvalid"
            | "InvalidParameter.DomainInvalid"
            | "InvalidParameter.RecordIdInvalid"
            | "FailedOperation.NotDomainOwner" => 404,
            // Somebody has just made it; or it is to be tried again.
            "InvalidParameter.DomainRecordExist" | "FailedOperation.UnknowError" | "InternalError" => 409,
            "FailedOperation.FrequencyLimit" => 429,
            code if code.starts_with("RequestLimitExceeded") => 429,
            code if code.starts_with("AuthFailure") => 401,
            code if code.starts_with("UnauthorizedOperation") || code.starts_with("OperationDenied") => 403,
            _ => 400,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    fn asked(action: &str, signature: &str, body: &str) -> String {
        format!(
            "POST /\nx-tc-action: {action}\nx-tc-timestamp: 1796040000\nx-tc-version: 2021-03-23\n\
             x-tc-language: en-US\nauthorization: TC3-HMAC-SHA256 Credential=AKID7/2026-11-30/dnspod/tc3_request, \
             SignedHeaders=content-type;host;x-tc-action, Signature={signature}\n{body}"
        )
    }

    fn refusal(code: &str, words: &str) -> Value {
        json!({ "Response": { "Error": { "Code": code, "Message": words }, "RequestId": "1" } })
    }

    #[test]
    fn it_is_asked_as_published() {
        let domain = |status: &str| {
            json!({ "Response": { "DomainInfo": {
                "Domain": "shop.example", "Punycode": "shop.example", "DomainId": 42, "Status": status,
            } } })
        };
        Published {
            name: ProviderName::TencentCloud,
            account: "AKID7",
            zone: &asked("DescribeDomain", "1c4f75c8a35d16f83e37e990c503df295d806f374537e2320b9e7f14679900b0", r#"{"Domain":"shop.example"}"#),
            is_zone: (domain("ENABLE"), "shop.example"),
            is_no_zone: vec![
                (200, domain("PAUSE")),
                (200, refusal("InvalidParameterValue.DomainNotExists", "The current domain is incorrect.")),
            ],
            refused: (
                200,
                refusal("AuthFailure.SignatureFailure", "The provided credentials could not be validated."),
                "The provided credentials could not be validated.",
            ),
            records: &asked(
                "DescribeRecordList",
                "1f8eed34a7fff3f1a9f673b408d0b171e9c34507f96630a9411fb72e17bd285c",
                r#"{"Domain":"shop.example","Limit":3000,"Offset":0,"RecordType":"TXT"}"#,
            ),
            // A page that is full may have another behind it.
            page: json!({ "Response": { "RecordList": vec![
                json!({ "RecordId": 7, "Type": "TXT", "Name": "_acme-challenge.www", "Value": "v", "TTL": 600 });
                3000
            ] } }),
            id: "7",
            next: Some("/"),
            none: refusal("ResourceNotFound.NoDataOfRecord", "The list of records is empty."),
            make: &asked(
                "CreateRecord",
                "5e8350b85343ce43fd0866f79232037371e88700b3e6ef4286797b4cbad2d1d7",
                concat!(
                    r#"{"Domain":"shop.example","RecordLine":"默认","RecordLineId":"0","RecordType":"TXT","#,
                    r#""SubDomain":"_acme-challenge.www","TTL":600,"Value":"v"}"#
                ),
            ),
            delete: &asked("DeleteRecord", "55aa17e9049510753a4d8427710774e947a625361a4466a583b96fc3854b8324", r#"{"Domain":"shop.example","RecordId":7}"#),
        }
        .holds();
    }

    #[test]
    fn what_became_of_a_request_is_told_by_its_code() {
        for (code, told) in [
            ("AuthFailure.SecretIdNotFound", 401),
            ("AuthFailure.UnauthorizedOperation", 403),
            ("OperationDenied.NoPermissionToOperateDomain", 403),
            ("RequestLimitExceeded", 429),
            ("ResourceNotFound.NoDataOfRecord", 200),
            ("InvalidParameter.RecordValueInvalid", 400),
        ] {
            assert_eq!(TencentCloud.status(200, &refusal(code, "")), told, "{code}");
        }
    }
}
