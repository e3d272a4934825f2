//! Tencent Cloud DNSPod: <https://cloud.tencent.com/document/api/1427/56194>. Everything is asked of one path and answered 200;
//! a header names the action, and the body is signed.

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, below_zone, hash, hex, mac, number, sha256, text};

const HOST: &str = "dnspod.tencentcloudapi.com";
const ACTION: HeaderName = HeaderName::from_static("x-tc-action");

pub(super) const FORM: Form = Form {
    account: "AKIDSanchoTestKey",
    is_let_in: is_signed,
    status: |_| 200,
    refusal,
    name: "SubDomain",
    value: "Value",
    ttl: ("TTL", 600),
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match done(of).await {
        Ok(said) => Ok((200, json!({ "Response": said }))),
        Err((404, words)) => Ok((200, refusal(404, &words))),
        Err(other) => Err(other),
    }
}

async fn done(of: &Of<'_>) -> Result<Value, Refused> {
    if of.head.method != Method::POST || of.path != "/" {
        return Err((405, "no such path".into()));
    }
    let body = of.json()?;
    let zone = of.zone(body["Domain"].as_str().unwrap_or_default())?;
    match text(of.head, ACTION) {
        "DescribeDomain" => Ok(json!({ "DomainInfo": {
            "DomainId": number(&hash(&[zone])), "Domain": zone, "Punycode": zone, "Status": "ENABLE",
        } })),
        "DescribeRecordList" if body["RecordType"] == json!("TXT") => {
            let (Some(offset), Some(1..=3000)) = (body["Offset"].as_u64(), body["Limit"].as_u64()) else {
                return Err((422, "Offset and Limit are numbers, the latter up to 3000".into()));
            };
            let texts = of.texts(zone).await?;
            let all = texts
                .iter()
                .flat_map(|(name, at)| at.values.iter().map(move |value| (name, value)));
            let records: Vec<Value> = all
                .skip(usize::try_from(offset).unwrap_or(usize::MAX))
                .map(|(name, value)| {
                    let below = match below_zone(name, zone) {
                        "" => "@",
                        below => below,
                    };
                    json!({ "RecordId": number(&hash(&[name, value])), "Type": "TXT", "Name": below, "Value": value,
                        "TTL": 600, "Line": "默认", "LineId": "0", "Status": "ENABLE" })
                })
                .collect();
            if records.is_empty() {
                return Err((
                    404,
                    "ResourceNotFound.NoDataOfRecord: The list of records is empty.".into(),
                ));
            }
            Ok(json!({ "RecordCountInfo": { "ListCount": records.len() }, "RecordList": records }))
        }
        "CreateRecord" => {
            if body["RecordLine"].as_str().is_none_or(str::is_empty) || body["SubDomain"] == json!("") {
                return Err((
                    422,
                    "RecordLine is required, and the zone itself is written @".into(),
                ));
            }
            let record = json!({ "type": body["RecordType"], "SubDomain": body["SubDomain"],
                "Value": body["Value"], "TTL": body["TTL"] });
            let made = of.make(zone, &record).await?;
            Ok(json!({ "RecordId": made["id"] }))
        }
        "DeleteRecord" => {
            let id = body["RecordId"].as_u64();
            let id = id.ok_or((422, "RecordId is a number".to_owned()))?;
            let gone = of.delete(zone, &id.to_string()).await;
            gone.map_err(|(status, words)| (status, format!("InvalidParameter.RecordIdInvalid: {words}")))?;
            Ok(json!({ "RequestId": "1" }))
        }
        action => Err((405, format!("no action {action}"))),
    }
}

fn refusal(status: u16, words: &str) -> Value {
    let (code, words) = match (status, words.split_once(": ")) {
        (404, Some(both)) => both,
        (404, None) => ("InvalidParameterValue.DomainNotExists", words),
        (200, _) => ("AuthFailure.SignatureFailure", words),
        (429, _) => ("RequestLimitExceeded", words),
        _ => ("InvalidParameter", words),
    };
    json!({ "Response": { "Error": { "Code": code, "Message": words }, "RequestId": "1" } })
}

/// The host is that of the provider, wherever the test has it.
fn is_signed(of: &Of<'_>) -> bool {
    let Some(at) = text(of.head, HeaderName::from_static("x-tc-timestamp"))
        .parse::<i64>()
        .ok()
        .and_then(|second| Timestamp::from_second(second).ok())
    else {
        return false;
    };
    let is_now = (Timestamp::now().as_second() - at.as_second()).abs() < 300;
    let day = at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string();
    let canonical = format!(
        "{}\n/\n\ncontent-type:{}\nhost:{HOST}\nx-tc-action:{}\n\ncontent-type;host;x-tc-action\n{}",
        of.head.method,
        text(of.head, CONTENT_TYPE),
        text(of.head, ACTION).to_lowercase(),
        sha256(of.body)
    );
    let scope = format!("{day}/dnspod/tc3_request");
    let to_sign = format!(
        "TC3-HMAC-SHA256\n{}\n{scope}\n{}",
        at.as_second(),
        sha256(canonical.as_bytes())
    );
    let of_day = mac(format!("TC3{}", of.token).as_bytes(), day.as_bytes());
    let of_service = mac(&of_day, b"dnspod");
    let key = mac(&of_service, b"tc3_request");
    let expected = format!(
        "TC3-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=content-type;host;x-tc-action, Signature={}",
        FORM.account,
        hex(&mac(&key, to_sign.as_bytes()))
    );
    is_now
        && text(of.head, HeaderName::from_static("x-tc-version")) == "2021-03-23"
        && text(of.head, AUTHORIZATION) == expected
}
