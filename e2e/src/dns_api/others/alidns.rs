//! Alibaba Cloud DNS: <https://www.alibabacloud.com/help/en/dns/api-alidns-2015-01-09-overview>. What is asked stands in the
//! query, and is signed; refusals have the status 400 and a code.

use hyper::header::{AUTHORIZATION, HeaderName};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, hex, mac, sha256, text};

const HOST: &str = "alidns.aliyuncs.com";
const SIGNED: &str = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";

pub(super) const FORM: Form = Form {
    account: "LTAI5tSanchoTestKey",
    is_let_in: is_signed,
    status: |status| if status == 401 { 400 } else { status },
    refusal,
    name: "RR",
    value: "Value",
    ttl: ("TTL", 600),
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    let action = text(of.head, HeaderName::from_static("x-acs-action"));
    let wanted = |name: &str| of.parameter(name).unwrap_or_default();
    match (of.head.method.as_str(), of.path.as_str(), action) {
        ("GET" | "POST", "/", "DescribeDomainInfo") => {
            let zone = zone(of)?;
            Ok((
                200,
                json!({ "DomainId": "1", "DomainName": zone, "PunyCode": zone }),
            ))
        }
        ("GET" | "POST", "/", "DescribeDomainRecords") if wanted("TypeKeyWord") == "TXT" => {
            let (records, ..) = of.page(zone(of)?, "PageSize", 500).await?;
            let records: Vec<Value> = records
                .into_iter()
                .map(|record| {
                    json!({ "RecordId": record["id"], "Type": "TXT", "RR": name(&record["RR"]),
                        "Value": record["Value"], "TTL": 600, "Line": "default", "Status": "ENABLE" })
                })
                .collect();
            let (count, page) = (records.len(), wanted("PageNumber").parse().unwrap_or(1_u32));
            Ok((
                200,
                json!({ "TotalCount": count, "PageNumber": page, "PageSize": 500, "DomainRecords": { "Record": records } }),
            ))
        }
        ("GET" | "POST", "/", "AddDomainRecord") => {
            let record = json!({ "type": wanted("Type"), "RR": wanted("RR"), "Value": wanted("Value"),
                "TTL": wanted("TTL").parse::<u64>().ok() });
            if wanted("RR").is_empty() {
                return Err((422, "the zone itself is written @".into()));
            }
            let made = of.make(zone(of)?, &record).await?;
            Ok((200, json!({ "RecordId": made["id"] })))
        }
        ("GET" | "POST", "/", "DeleteDomainRecord") => {
            let id = wanted("RecordId");
            for zone in of.shared.zones.names() {
                match of.delete(zone, &id).await {
                    Err((404, _)) => {}
                    done => return done.map(|_| (200, json!({ "RecordId": id }))),
                }
            }
            let words = "DomainRecordNotBelongToUser: The domain record does not belong to this user.";
            Err((400, words.into()))
        }
        _ => Err(of.no_path()),
    }
}

fn zone<'a>(of: &'a Of<'_>) -> Result<&'a str, Refused> {
    let words = "InvalidDomainName.NoExist: The specified domain name does not exist.";
    let name = of.parameter("DomainName").unwrap_or_default();
    of.zone(&name).map_err(|_| (400, words.into()))
}

/// The zone itself is `@`.
fn name(below: &Value) -> &str {
    below.as_str().filter(|name| !name.is_empty()).unwrap_or("@")
}

fn refusal(status: u16, words: &str) -> Value {
    let (code, words) = match (status, words.split_once(": ")) {
        (400, Some(both)) => both,
        (400, None) => ("SignatureDoesNotMatch", words),
        (429, _) => ("Throttling.User", words),
        _ => ("InvalidParameter", words),
    };
    json!({ "RequestId": "1", "HostId": HOST, "Code": code, "Message": words })
}

/// The host is that of the provider, wherever the test has it.
fn is_signed(of: &Of<'_>) -> bool {
    let header = |name: &str| match name {
        "host" => HOST.to_owned(),
        name => text(of.head, name).to_owned(),
    };
    let is_now = header("x-acs-date")
        .parse::<Timestamp>()
        .is_ok_and(|at| (Timestamp::now().as_second() - at.as_second()).abs() < 900);
    let body = sha256(of.body);
    let mut query: Vec<&str> = of.head.uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let lines: String = SIGNED
        .split(';')
        .map(|name| format!("{name}:{}\n", header(name)))
        .collect();
    let canonical = format!(
        "{}\n/\n{}\n{lines}\n{SIGNED}\n{body}",
        of.head.method,
        query.join("&")
    );
    let to_sign = format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
    let signature = hex(&mac(of.token.as_bytes(), to_sign.as_bytes()));
    let account = FORM.account;
    let expected =
        format!("ACS3-HMAC-SHA256 Credential={account},SignedHeaders={SIGNED},Signature={signature}");
    is_now
        && header("x-acs-version") == "2015-01-09"
        && header("x-acs-content-sha256") == body
        && header("x-acs-signature-nonce").len() >= 8
        && text(of.head, AUTHORIZATION) == expected
}
