//! Alibaba Cloud DNS: <https://www.alibabacloud.com/help/en/dns/api-alidns-2015-01-09-overview>. Requests are signed:
//! <https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature>.

use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName};
use jiff::Timestamp;
use serde_json::Value;

use super::{Api, Ask, Found, Login, Page, Zone, encoded, hex, is, mac, sha256, text, unquoted};

const ACTION: HeaderName = HeaderName::from_static("x-acs-action");

pub(super) struct AliDns;

impl AliDns {
    const VERSION: &'static str = "2015-01-09";
    /// The shortest TTL that its free edition takes.
    const TTL: &'static str = "600";
    /// The most records of a page.
    const PAGE: &'static str = "500";

    /// An action. Its parameters are signed in the order of their names.
    fn asked(method: Method, action: &str, parameters: &[(&str, &str)]) -> Ask {
        let pair = |(name, value): &(&str, &str)| format!("{}={}", encoded(name), encoded(value));
        let mut pairs: Vec<String> = parameters.iter().map(pair).collect();
        pairs.sort();
        let ask = Ask::get(format!("/?{}", pairs.join("&")));
        Ask { method, ..ask }.with(ACTION, action)
    }
}

impl Api for AliDns {
    fn host(&self) -> &'static str {
        "https://alidns.aliyuncs.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, now: Timestamp) -> Ask {
        let action = ask.headers.iter().find(|(name, _)| *name == ACTION);
        let action = action.map_or_else(String::new, |(_, action)| action.to_string());
        let query = ask.path.trim_start_matches("/?");
        let date = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        // It is to differ from request to request.
        let nonce = sha256(format!("{action} {query} {}", now.as_nanosecond()).as_bytes());
        let body = sha256(b"");
        let signed = [
            ("host", self.host().trim_start_matches("https://")),
            ("x-acs-action", action.as_str()),
            ("x-acs-content-sha256", body.as_str()),
            ("x-acs-date", date.as_str()),
            ("x-acs-signature-nonce", &nonce[..32]),
            ("x-acs-version", Self::VERSION),
        ];
        let lines = signed.map(|(name, value)| format!("{name}:{value}\n")).concat();
        let names = signed.map(|(name, _)| name).join(";");
        let canonical = format!("{}\n/\n{query}\n{lines}\n{names}\n{body}", ask.method);
        let to_sign = format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
        let signature = hex(mac(by.token.as_bytes(), &to_sign).as_ref());
        let authorization = format!(
            "ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}",
            by.id
        );
        ask.with(HeaderName::from_static("x-acs-content-sha256"), &body)
            .with(HeaderName::from_static("x-acs-date"), &date)
            .with(HeaderName::from_static("x-acs-signature-nonce"), &nonce[..32])
            .with(HeaderName::from_static("x-acs-version"), Self::VERSION)
            .with(AUTHORIZATION, &authorization)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Self::asked(Method::GET, "DescribeDomainInfo", &[("DomainName", zone)])
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        // A name beyond ASCII has both forms.
        let is_it = is(&answer["DomainName"], zone) || is(&answer["PunyCode"], zone);
        text(&answer["DomainName"]).filter(|_| is_it)
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let parameters = [
            ("DomainName", at.id),
            ("PageNumber", page.unwrap_or("1")),
            ("PageSize", Self::PAGE),
            ("TypeKeyWord", "TXT"),
        ];
        Self::asked(Method::GET, "DescribeDomainRecords", &parameters)
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let records = answer["DomainRecords"]["Record"].as_array()?.iter();
        let found = records.filter(|record| is(&record["Type"], "TXT")).map(|record| {
            Some(Found {
                id: text(&record["RecordId"])?,
                name: text(&record["RR"])?,
                value: unquoted(record["Value"].as_str()?).to_owned(),
            })
        });
        let number = |name: &str| answer[name].as_u64();
        let (page, size) = (number("PageNumber")?, number("PageSize")?);
        let is_more = page.saturating_mul(size) < number("TotalCount")?;
        Some(Page {
            found: found.collect::<Option<_>>()?,
            next: is_more.then(|| (page + 1).to_string()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let parameters = [
            ("DomainName", at.id),
            ("RR", name),
            ("TTL", Self::TTL),
            ("Type", "TXT"),
            ("Value", value),
        ];
        Self::asked(Method::POST, "AddDomainRecord", &parameters)
    }

    fn delete(&self, _: &Zone<'_>, found: &Found) -> Ask {
        Self::asked(
            Method::POST,
            "DeleteDomainRecord",
            &[("RecordId", found.id.as_str())],
        )
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        match answer["Code"].as_str().unwrap_or_default() {
            "SignatureDoesNotMatch" | "IncompleteSignature" => 401,
            "InvalidDomainName.NoExist" | "IncorrectDomainUser" | "DomainRecordNotBelongToUser" => 404,
            // Somebody has just made it.
            "DomainRecordDuplicate" => 409,
            code if code.starts_with("InvalidAccessKeyId") => 401,
            code if code.starts_with("Throttling") => 429,
            _ => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    /// What a request has beside its first line and its action.
    fn signed(nonce: &str, signature: &str) -> String {
        format!(
            "x-acs-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\
             x-acs-date: 2026-11-30T12:00:00Z\nx-acs-signature-nonce: {nonce}\nx-acs-version: 2015-01-09\n\
             authorization: ACS3-HMAC-SHA256 Credential=LTAI5t,SignedHeaders=host;x-acs-action;\
             x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,Signature={signature}"
        )
    }

    #[test]
    fn it_is_asked_as_published() {
        let refusal = |code: &str, words: &str| json!({ "Code": code, "Message": words, "HostId": "alidns.aliyuncs.com" });
        Published {
            name: ProviderName::AliDns,
            account: "LTAI5t",
            zone: &format!(
                "GET /?DomainName=shop.example\nx-acs-action: DescribeDomainInfo\n{}",
                signed("0bc3617240323ca2e73848acc4f7daa8", "8fb5411809a1c4ec4ee8a8174c36ee026c840340e51c08edbb97563f43c5929b")
            ),
            is_zone: (
                json!({ "DomainName": "shop.example", "PunyCode": "shop.example", "DomainId": "1" }),
                "shop.example",
            ),
            is_no_zone: vec![
                (400, refusal("InvalidDomainName.NoExist", "The specified domain name does not exist.")),
                (400, refusal("IncorrectDomainUser", "The domain name does not belong to this user.")),
            ],
            refused: (
                400,
                refusal("SignatureDoesNotMatch", "Specified signature does not match our calculation."),
                "Specified signature does not match our calculation.",
            ),
            records: &format!(
                "GET /?DomainName=shop.example&PageNumber=1&PageSize=500&TypeKeyWord=TXT\n\
                 x-acs-action: DescribeDomainRecords\n{}",
                signed("6829e9288ec05821eed393bdb0b46769", "1f732078ed92cc50eef8608f4bbdf087754e546c4b2de3ebf73e6ace849f33ed")
            ),
            page: json!({
                "TotalCount": 501, "PageNumber": 1, "PageSize": 500,
                "DomainRecords": { "Record": [
                    { "RecordId": "7", "RR": "_acme-challenge.www", "Type": "TXT", "Value": "v", "TTL": 600 },
                    { "RecordId": "8", "RR": "www", "Type": "A", "Value": "192.0.2.1", "TTL": 600 },
                ] },
            }),
            id: "7",
            next: Some("/?DomainName=shop.example&PageNumber=2&PageSize=500&TypeKeyWord=TXT"),
            none: json!({ "TotalCount": 0, "PageNumber": 1, "PageSize": 500, "DomainRecords": { "Record": [] } }),
            make: &format!(
                "POST /?DomainName=shop.example&RR=_acme-challenge.www&TTL=600&Type=TXT&Value=v\n\
                 x-acs-action: AddDomainRecord\n{}",
                signed("484d05dcdc0b00ecb2284e8dcbbfe664", "4fb9be92233ae77c036ad7659d90facddaa14a267b53b878d907639e52355881")
            ),
            delete: &format!(
                "POST /?RecordId=7\nx-acs-action: DeleteDomainRecord\n{}",
                signed("3760d777bd15578e8709732b7a104747", "a14e619f4340a0f34b31d33a76eaec1500e4b129d81b36fb528272b8091172d6")
            ),
        }
        .holds();
    }

    #[test]
    fn a_key_that_is_unknown_and_a_pace_that_is_too_fast_are_told_by_their_codes() {
        for (status, code, told) in [
            (404, "InvalidAccessKeyId.NotFound", 401),
            (400, "Throttling.User", 429),
            (403, "Forbidden.RAM", 403),
            (400, "DomainRecordNotBelongToUser", 404),
        ] {
            assert_eq!(AliDns.status(status, &json!({ "Code": code })), told);
        }
    }
}
