//! Amazon Lightsail: <https://docs.aws.amazon.com/lightsail/2016-11-28/api-reference/API_CreateDomainEntry.html>. A header names
//! the action. Signatures are judged by AWS's own crate.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Answered, Form, Of, below_zone, hash, text};

const HOST: &str = "lightsail.us-east-1.amazonaws.com";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

pub(super) const FORM: Form = Form {
    account: "AKIASANCHOTESTKEY000",
    is_let_in: is_signed,
    status: |status| if status == 401 { 403 } else { status },
    content_type: "application/x-amz-json-1.1",
    refusal,
    is_full: true,
    value: "target",
    is_quoted: true,
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    let action = text(of.head, TARGET).strip_prefix("Lightsail_20161128.");
    let (&Method::POST, "/", Some(action)) = (&of.head.method, of.path.as_str(), action) else {
        return Err(of.no_path());
    };
    let body = of.json()?;
    let zone = of.zone(body["domainName"].as_str().unwrap_or_default())?;
    let entry = &body["domainEntry"];
    let is_known = |key: &String| ["id", "isAlias", "name", "target", "type"].contains(&key.as_str());
    if !entry.as_object().is_none_or(|entry| entry.keys().all(is_known)) {
        return Err((422, "there is no such field of an entry".into()));
    }
    match action {
        "GetDomain" => {
            let texts = of.texts(zone).await?;
            let entries: Vec<Value> = texts
                .iter()
                .flat_map(|(name, at)| at.values.iter().map(move |value| (name, value)))
                .map(|(name, value)| of.record(zone, below_zone(name, zone), value, &hash(&[name, value])))
                .collect();
            Ok((
                200,
                json!({ "domain": { "name": zone, "resourceType": "Domain", "domainEntries": entries } }),
            ))
        }
        "CreateDomainEntry" => {
            let mut record = entry.clone();
            // There is one for all.
            record["ttl"] = json!(60);
            of.make(zone, &record).await?;
            Ok((
                200,
                json!({ "operation": { "status": "Succeeded", "operationType": action } }),
            ))
        }
        "DeleteDomainEntry" => {
            let (Some(name), Some(value), Some("TXT")) = (
                entry["name"].as_str(),
                super::inside(&entry["target"]),
                entry["type"].as_str(),
            ) else {
                return Err((422, "name, target or type is not as it should be".into()));
            };
            of.exchange(zone, name, "remove_records", &[value]).await?;
            Ok((
                200,
                json!({ "operation": { "status": "Succeeded", "operationType": action } }),
            ))
        }
        _ => Err(of.no_path()),
    }
}

fn refusal(status: u16, words: &str) -> Value {
    let kind = match status {
        403 => "InvalidSignatureException",
        404 => "NotFoundException",
        429 => "ThrottlingException",
        _ => "InvalidInputException",
    };
    json!({ "__type": kind, "message": words })
}

/// The host is that of the provider, wherever the test has it.
fn is_signed(of: &Of<'_>) -> bool {
    let moment = text(of.head, HeaderName::from_static("x-amz-date"));
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", moment).and_then(|at| at.to_zoned(TimeZone::UTC));
    let Ok(at) = at.map(|at| SystemTime::from(at.timestamp())) else {
        return false;
    };
    let apart = at
        .duration_since(SystemTime::now())
        .unwrap_or_else(|earlier| earlier.duration());
    let expected = signature(of, at).map(|signature| {
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{}/us-east-1/lightsail/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={signature}",
            FORM.account,
            &moment[..8]
        )
    });
    apart < Duration::from_secs(300) && expected.as_deref() == Some(text(of.head, AUTHORIZATION))
}

fn signature(of: &Of<'_>, at: SystemTime) -> Option<String> {
    let identity = Credentials::new(FORM.account, of.token.as_str(), None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("lightsail")
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    let headers = [
        ("content-type", text(of.head, CONTENT_TYPE)),
        ("host", HOST),
        ("x-amz-target", text(of.head, TARGET)),
    ];
    let request = SignableRequest::new(
        of.head.method.as_str(),
        format!("https://{HOST}/"),
        headers.into_iter(),
        SignableBody::Bytes(of.body),
    )
    .ok()?;
    let (_, signature) = sign(request, &params).ok()?.into_parts();
    Some(signature)
}
