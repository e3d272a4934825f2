//! Route 53's API of 2013-04-01: hosted zones by name, record sets, batches of changes. Signatures are judged by AWS's
//! own crate. <https://docs.aws.amazon.com/Route53/latest/APIReference/>

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::http::request::Parts;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::zones::{Texts, ZoneTexts};
use super::{Answer, Shared, parameter, text};

/// An access key that may change all zones.
pub const ACCESS_KEY_ID: &str = "AKIATESTSANCHO000000";
/// That key.
pub const SECRET_ACCESS_KEY: &str = "secret/test/key+of/no/use/elsewhere/0000";
const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";
/// How far the clocks may be apart.
const SKEW: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeRequest {
    #[serde(rename = "@xmlns")]
    xmlns: String,
    #[serde(rename = "ChangeBatch")]
    batch: Batch,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    #[serde(rename = "Changes")]
    changes: Changes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(rename = "Change")]
    changes: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Change {
    action: String,
    resource_record_set: RecordSet,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordSet {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "TTL")]
    ttl: u32,
    #[serde(rename = "ResourceRecords")]
    records: Records,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Records {
    #[serde(rename = "ResourceRecord")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(rename = "Value")]
    value: String,
}

/// Why a request is refused: status, code and words.
type Refused = (u16, &'static str, String);

pub(super) async fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Answer {
    match result(shared, head, body).await {
        Ok(body) => written(200, &body),
        Err((status, code, message)) => error(status, code, &message),
    }
}

pub(super) fn throttled() -> Answer {
    error(400, "Throttling", "Rate exceeded")
}

async fn result(shared: &Shared, head: &Parts, body: &[u8]) -> Result<String, Refused> {
    is_signed(head, body)?;
    let parts: Vec<&str> = head.uri.path().trim_start_matches('/').split('/').collect();
    match (&head.method, parts.as_slice()) {
        (&Method::GET, ["2013-04-01", "hostedzonesbyname"]) => Ok(zones(shared, head)),
        (&Method::GET, ["2013-04-01", "hostedzone", id, "rrset"]) => {
            let zone = zone(shared, id)?;
            let texts = shared.zones.texts(zone).await.map_err(broken)?;
            Ok(sets(head, zone, &texts))
        }
        (&Method::POST, ["2013-04-01", "hostedzone", id, "rrset"]) => {
            let zone = zone(shared, id)?;
            let malformed = |error: String| (400, "MalformedInput", error);
            let request: ChangeRequest =
                quick_xml::de::from_reader(body).map_err(|error| malformed(error.to_string()))?;
            if request.xmlns != NAMESPACE {
                return Err(malformed("the namespace is another".into()));
            }
            change(shared, zone, request.batch.changes.changes).await
        }
        _ => Err((404, "UnknownOperationException", "no such call".into())),
    }
}

/// Judged by what AWS's crate would have signed.
fn is_signed(head: &Parts, body: &[u8]) -> Result<(), Refused> {
    let authorization = text(head, AUTHORIZATION);
    let field = |name: &str| {
        let (_, rest) = authorization.split_once(name)?;
        Some(rest.split(',').next().unwrap_or_default().trim())
    };
    let missing = || {
        (
            403,
            "MissingAuthenticationToken",
            "Missing Authentication Token".to_owned(),
        )
    };
    if !authorization.starts_with("AWS4-HMAC-SHA256 ") {
        return Err(missing());
    }
    let scope: Vec<&str> = field("Credential=").ok_or_else(missing)?.split('/').collect();
    let [id, day, "us-east-1", "route53", "aws4_request"] = scope[..] else {
        return Err((
            403,
            "SignatureDoesNotMatch",
            "Credential should be scoped to a valid region".into(),
        ));
    };
    if id != ACCESS_KEY_ID {
        let words = "The security token included in the request is invalid.";
        return Err((403, "InvalidClientTokenId", words.into()));
    }
    let moment = text(head, "x-amz-date");
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", moment)
        .and_then(|at| at.to_zoned(TimeZone::UTC))
        .map(|at| SystemTime::from(at.timestamp()))
        .map_err(|_| missing())?;
    let apart = at
        .duration_since(SystemTime::now())
        .unwrap_or_else(|earlier| earlier.duration());
    if apart > SKEW || !moment.starts_with(day) {
        return Err((403, "RequestExpired", "Request has expired.".into()));
    }
    if field("SignedHeaders=") != Some("host;x-amz-date") {
        return Err((
            403,
            "SignatureDoesNotMatch",
            "host and x-amz-date must be signed".into(),
        ));
    }
    let expected =
        signature(head, body, at).map_err(|error| (500, "InternalFailure", format!("{error:#}")))?;
    if field("Signature=") != Some(expected.as_str()) {
        let words = "The request signature we calculated does not match the signature you provided.";
        return Err((403, "SignatureDoesNotMatch", words.into()));
    }
    Ok(())
}

fn signature(head: &Parts, body: &[u8], at: SystemTime) -> Result<String> {
    let identity = Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("route53")
        .time(at)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let host = text(head, HOST);
    let path = head.uri.path_and_query().context("a request without a path")?;
    let url = format!("https://{host}{path}");
    let request = SignableRequest::new(
        head.method.as_str(),
        url,
        [("host", host)].into_iter(),
        SignableBody::Bytes(body),
    )?;
    let (_, signature) = sign(request, &params)?.into_parts();
    ensure!(!signature.is_empty(), "no signature");
    Ok(signature)
}

/// All zones from the one that is asked for on. Each has a private twin, as accounts with VPCs have.
fn zones(shared: &Shared, head: &Parts) -> String {
    let from = parameter(head, "dnsname").unwrap_or_default();
    let from = reversed(from.trim_end_matches('.'));
    let mut names: Vec<&String> = shared.zones.names().iter().collect();
    names.sort_by_key(|name| reversed(name));
    let zones: String = names
        .into_iter()
        .filter(|name| reversed(name) >= from)
        .flat_map(|name| [(name, true), (name, false)])
        .map(|(name, private)| {
            let id = zone_id(name, private);
            format!(
                "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}.</Name><CallerReference>{id}</CallerReference>\
                 <Config><PrivateZone>{private}</PrivateZone></Config><ResourceRecordSetCount>4\
                 </ResourceRecordSetCount></HostedZone>"
            )
        })
        .collect();
    format!(
        "<ListHostedZonesByNameResponse xmlns=\"{NAMESPACE}\"><HostedZones>{zones}</HostedZones><IsTruncated>false\
         </IsTruncated><MaxItems>10</MaxItems></ListHostedZonesByNameResponse>"
    )
}

/// The record sets from the one that is asked for on, or from those of the zone itself, as many as are wanted.
fn sets(head: &Parts, zone: &str, texts: &ZoneTexts) -> String {
    let from = parameter(head, "name");
    let of_zone = from.is_none().then(|| {
        format!(
            "<ResourceRecordSet><Name>{zone}.</Name><Type>NS</Type><TTL>172800</TTL><ResourceRecords><ResourceRecord>\
             <Value>ns1.{zone}.</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>"
        )
    });
    let from = reversed(from.unwrap_or_default().trim_end_matches('.'));
    let most = parameter(head, "maxitems").and_then(|most| most.parse().ok());
    let mut names: Vec<(&String, &Texts)> = texts.iter().collect();
    names.sort_by_key(|(name, _)| reversed(name));
    let of_names = names
        .into_iter()
        .filter(|(name, _)| reversed(name) >= from)
        .map(|(name, at)| {
            let records: String = at
                .values
                .iter()
                .map(|value| format!("<ResourceRecord><Value>&quot;{value}&quot;</Value></ResourceRecord>"))
                .collect();
            format!(
                "<ResourceRecordSet><Name>{name}.</Name><Type>TXT</Type><TTL>{}</TTL><ResourceRecords>{records}\
                 </ResourceRecords></ResourceRecordSet>",
                at.ttl
            )
        });
    let sets: String = of_zone
        .into_iter()
        .chain(of_names)
        .take(most.unwrap_or(300))
        .collect();
    format!(
        "<ListResourceRecordSetsResponse xmlns=\"{NAMESPACE}\"><ResourceRecordSets>{sets}</ResourceRecordSets>\
         <IsTruncated>false</IsTruncated><MaxItems>1</MaxItems></ListResourceRecordSetsResponse>"
    )
}

/// One change after the other on a copy of the zone, which takes its place if all of them went well.
async fn change(shared: &Shared, zone: &str, changes: Vec<Change>) -> Result<String, Refused> {
    let before = shared.zones.texts(zone).await.map_err(broken)?;
    let mut after = before.clone();
    let mut wrong = Vec::new();
    let count: usize = changes
        .iter()
        .map(|change| change.resource_record_set.records.records.len())
        .sum();
    if changes.is_empty() || count > 1000 {
        return Err((
            400,
            "InvalidChangeBatch",
            "Number of records limit of 1000 exceeded.".into(),
        ));
    }
    for Change {
        action,
        resource_record_set: set,
    } in changes
    {
        let RecordSet {
            name,
            kind,
            ttl,
            records,
        } = set;
        let plain = name.trim_end_matches('.').to_ascii_lowercase();
        let unquoted = |record: Record| {
            let value = record.value.strip_prefix('"')?.strip_suffix('"')?.to_owned();
            (!value.contains('"')).then_some(value)
        };
        let values: Option<_> = records.records.into_iter().map(unquoted).collect();
        let (Some(values), "TXT") = (values, kind.as_str()) else {
            let words = format!(
                "Invalid Resource Record: '{kind} {name}' value should be enclosed in quotation marks"
            );
            return Err((400, "InvalidChangeBatch", words));
        };
        if plain != zone && !plain.ends_with(&format!(".{zone}")) {
            wrong.push(format!(
                "RRSet with DNS name {name} is not permitted in zone {zone}."
            ));
            continue;
        }
        let set = Texts { ttl, values };
        let tried = |what: &str, but: &str| {
            format!("Tried to {what} resource record set [name='{plain}.', type='TXT'] but {but}")
        };
        match (action.as_str(), after.get(&plain)) {
            ("CREATE", None) => _ = after.insert(plain, set),
            ("CREATE", Some(_)) => wrong.push(tried("create", "it already exists")),
            ("DELETE", None) => wrong.push(tried("delete", "it was not found")),
            ("DELETE", Some(there)) if *there == set => _ = after.remove(&plain),
            ("DELETE", Some(_)) => {
                wrong.push(tried(
                    "delete",
                    "the values provided do not match the current values",
                ));
            }
            _ => return Err((400, "InvalidInput", format!("no action {action} in these tests"))),
        }
    }
    if !wrong.is_empty() {
        return Err((400, "InvalidChangeBatch", format!("[{}]", wrong.join(", "))));
    }
    shared
        .zones
        .replace(zone, &before, &after)
        .await
        .map_err(broken)?;
    Ok(format!(
        "<ChangeResourceRecordSetsResponse xmlns=\"{NAMESPACE}\"><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status>\
         <SubmittedAt>2026-11-30T00:00:00Z</SubmittedAt></ChangeInfo></ChangeResourceRecordSetsResponse>"
    ))
}

fn zone<'a>(shared: &'a Shared, id: &str) -> Result<&'a str, Refused> {
    let mut zones = shared.zones.names().iter();
    let found = zones.find(|zone| zone_id(zone, false) == id);
    found.map(String::as_str).ok_or_else(|| {
        (
            404,
            "NoSuchHostedZone",
            format!("No hosted zone found with ID: {id}"),
        )
    })
}

/// The ID of the public hosted zone of this name.
pub fn hosted_zone_id(zone: &str) -> String {
    zone_id(zone, false)
}

fn zone_id(zone: &str, private: bool) -> String {
    let letters = zone.bytes().filter(u8::is_ascii_alphanumeric).map(char::from);
    let name: String = letters.collect::<String>().to_ascii_uppercase();
    format!("Z{}{name}", u8::from(private))
}

/// The order of lists is that of the labels from the right.
fn reversed(name: &str) -> Vec<String> {
    name.rsplit('.').map(str::to_owned).collect()
}

fn broken(error: anyhow::Error) -> Refused {
    (500, "InternalFailure", format!("{error:#}"))
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    written(
        status,
        &format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}\
             </Message></Error><RequestId>b5b6f8a8</RequestId></ErrorResponse>"
        ),
    )
}

fn written(status: u16, body: &str) -> Answer {
    Answer {
        status,
        kind: "text/xml",
        cookie: None,
        body: format!("<?xml version=\"1.0\"?>\n{body}"),
        next_page: None,
    }
}
