//! Oracle Cloud: <https://docs.oracle.com/en-us/iaas/api/#/en/dns/20180115/>. A header leads to the next
//! page. Requests are signed: <https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm>.

use std::sync::LazyLock;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, DATE};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Answered, Form, Of, Refused, hash, inside, text};
use crate::pki::rsa_key;

const HOST: &str = "dns.eu-frankfurt-1.oci.oraclecloud.com";
const KEY_ID: &str = "ocid1.tenancy.oc1..sanchotenancy/ocid1.user.oc1..sanchouser/\
                      20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34";
/// As HTTP writes moments (RFC 9110 §5.6.7).
const MOMENT: &str = "%a, %d %b %Y %H:%M:%S GMT";
/// The most records of a page.
const PAGE: usize = 50;
/// The fields of an operation.
const FIELDS: [&str; 8] = [
    "domain",
    "isProtected",
    "operation",
    "rdata",
    "recordHash",
    "rrsetVersion",
    "rtype",
    "ttl",
];

/// The user's key in PEM, and its public half.
static KEY: LazyLock<(String, Vec<u8>)> = LazyLock::new(|| rsa_key().unwrap_or_default());

pub(super) const FORM: Form = Form {
    account: "eu-frankfurt-1/ocid1.tenancy.oc1..sanchotenancy/ocid1.user.oc1..sanchouser/\
              203b9713551c5b0dd337d8504ec53a34",
    is_let_in: is_signed,
    refusal: |status, words| {
        let code = match status {
            401 => "NotAuthenticated",
            404 => "NotAuthorizedOrNotFound",
            429 => "TooManyRequests",
            _ => "InvalidParameter",
        };
        json!({ "code": code, "message": words })
    },
    ..Form::USUAL
};

/// The user's key, which stands in the Secret.
pub(super) fn key() -> String {
    KEY.0.clone()
}

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/20180115/zones")?.as_slice()) {
        (&Method::GET, [zone]) => {
            let zone = named(of, zone)?;
            let found = json!({
                "id": ocid(zone), "name": zone, "zoneType": "PRIMARY", "scope": "GLOBAL", "viewId": null,
                "lifecycleState": "ACTIVE", "isProtected": false, "version": "1", "serial": 1,
            });
            Ok((200, found))
        }
        (&Method::GET, [zone, "records"]) => {
            if of.parameter("rtype").as_deref() != Some("TXT") {
                return Err((400, "records of all types are asked for".into()));
            }
            Ok((200, page(of, named(of, zone)?).await?))
        }
        (&Method::PATCH, [zone, "records"]) => {
            let (zone, body) = (named(of, zone)?, of.json()?);
            let items = body["items"].as_array();
            let items = items.ok_or((400, "there are no items".to_owned()))?;
            // Of several, all are carried out or none.
            let operations = items.iter().map(|item| operation(zone, item));
            for (action, name, value) in operations.collect::<Result<Vec<_>, Refused>>()? {
                let texts = of.texts(zone).await?;
                let is_there = texts.get(&name).is_some_and(|at| at.values.contains(value));
                // What is there already, or is not, is no fault.
                if is_there == (action == "remove_records") {
                    of.exchange(zone, &name, action, &[value]).await?;
                }
            }
            Ok((200, page(of, zone).await?))
        }
        _ => Err(of.no_path()),
    }
}

/// The zone of this name or OCID.
fn named<'a>(of: &'a Of<'_>, name: &str) -> Result<&'a str, Refused> {
    let mut zones = of.shared.zones.names().iter();
    let found = zones.find(|zone| *zone == name || ocid(zone) == name);
    let missing = "Authorization failed or requested resource not found.";
    found.map(String::as_str).ok_or((404, missing.to_owned()))
}

fn ocid(zone: &str) -> String {
    format!("ocid1.dns-zone.oc1..{}", hash(&[zone]))
}

/// What an item asks for: the action, the name and the value.
fn operation<'a>(zone: &str, item: &'a Value) -> Result<(&'static str, String, &'a str), Refused> {
    let refused = |words: &str| -> Refused { (400, words.to_owned()) };
    let Some(fields) = item.as_object() else {
        return Err(refused("an item is no operation"));
    };
    if !fields.keys().all(|field| FIELDS.contains(&field.as_str())) {
        return Err(refused("there is no such field of an operation"));
    }
    let is_below = |name: &String| *name == zone || name.ends_with(&format!(".{zone}"));
    let name = item["domain"].as_str().map(str::to_ascii_lowercase);
    let value = inside(&item["rdata"]).filter(|value| !value.is_empty() && !value.contains('"'));
    let (Some(name), Some(value), Some("TXT")) = (name.filter(is_below), value, item["rtype"].as_str())
    else {
        return Err(refused("domain, rdata or rtype is not as it should be"));
    };
    let action = match (item["operation"].as_str(), &item["ttl"]) {
        (Some("ADD"), ttl) if ttl.as_u64().is_some_and(|ttl| ttl >= 30) => "add_records",
        // With another TTL than it has, a record would not be found.
        (Some("REMOVE"), Value::Null) => "remove_records",
        _ => return Err(refused("operation or ttl is not as it should be")),
    };
    Ok((action, name, value))
}

/// A page of the zone's TXT records. Beside them stands what leads to the next one, which becomes a header.
async fn page(of: &Of<'_>, zone: &str) -> Result<Value, Refused> {
    let texts = of.texts(zone).await?;
    let (domain, part) = (of.parameter("domain"), of.parameter("domainContains"));
    let is_asked = |name: &str| {
        let is_it = |domain: &String| name.eq_ignore_ascii_case(domain);
        let has_it = |part: &String| name.contains(&part.to_ascii_lowercase());
        domain.as_ref().is_none_or(is_it) && part.as_ref().is_none_or(has_it)
    };
    let mut records: Vec<(&str, &str)> = texts
        .iter()
        .filter(|(name, _)| is_asked(name.as_str()))
        .flat_map(|(name, at)| at.values.iter().map(move |value| (name.as_str(), value.as_str())))
        .collect();
    if let Some(page) = of.parameter("page") {
        let last = last_of(&page).ok_or((400, "page is not as it should be".to_owned()))?;
        let (name, value) = last.split_once(' ').unwrap_or_default();
        records.retain(|record| *record > (name, value));
    }
    let is_more = records.len() > PAGE;
    records.truncate(PAGE);
    let items: Vec<Value> = records.iter().map(|(name, value)| shown(name, value)).collect();
    let mut answer = json!({ "items": items });
    if let Some((name, value)) = records.last().filter(|_| is_more) {
        answer["opc-next-page"] = STANDARD.encode(format!("{name} {value}")).into();
    }
    Ok(answer)
}

/// The last record of the page before this one.
fn last_of(page: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(page).ok()?).ok()
}

/// A record, as it is written there.
fn shown(name: &str, value: &str) -> Value {
    let (rdata, hash) = (format!("\"{value}\""), hash(&[name, value]));
    json!({ "domain": name, "rtype": "TXT", "rdata": rdata, "ttl": 60, "recordHash": hash,
        "isProtected": false, "rrsetVersion": "1" })
}

/// The host is that of the provider, wherever the test has it.
fn is_signed(of: &Of<'_>) -> bool {
    let at = moment(text(of.head, DATE));
    let is_now = at.is_some_and(|at| (Timestamp::now().as_second() - at.as_second()).abs() <= 300);
    let words = text(of.head, AUTHORIZATION);
    let words = words.strip_prefix("Signature ").unwrap_or_default();
    let names: Vec<&str> = field(words, "headers").split(' ').collect();
    let lines: Vec<String> = names.iter().map(|name| line(of, name)).collect();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &KEY.1);
    let signature = STANDARD.decode(field(words, "signature"));
    is_now
        && field(words, "version") == "1"
        && field(words, "keyId") == KEY_ID
        && field(words, "algorithm") == "rsa-sha256"
        && signed(of).iter().all(|name| names.contains(name))
        && has_its_body(of)
        && signature.is_ok_and(|signature| key.verify(lines.join("\n").as_bytes(), &signature).is_ok())
}

/// What has to be signed at least.
fn signed(of: &Of<'_>) -> &'static [&'static str] {
    match of.head.method {
        Method::GET | Method::DELETE => &["date", "(request-target)", "host"],
        _ => &[
            "date",
            "(request-target)",
            "host",
            "content-length",
            "content-type",
            "x-content-sha256",
        ],
    }
}

/// Do the headers that are signed belong to this body?
fn has_its_body(of: &Of<'_>) -> bool {
    let length = of.body.len().to_string();
    let hash = STANDARD.encode(Sha256::digest(of.body));
    let is_it = text(of.head, CONTENT_LENGTH) == length && text(of.head, "x-content-sha256") == hash;
    of.body.is_empty() || is_it
}

/// A field of what lets in.
fn field<'w>(words: &'w str, name: &str) -> &'w str {
    let mut fields = words.split(',').filter_map(|field| field.split_once('='));
    let found = fields.find(|(key, _)| *key == name);
    let value = found.and_then(|(_, value)| value.strip_prefix('"')?.strip_suffix('"'));
    value.unwrap_or_default()
}

/// A line of what is signed.
fn line(of: &Of<'_>, name: &str) -> String {
    let value = match name {
        // Path and query, as they were asked for.
        "(request-target)" => {
            let method = of.head.method.as_str().to_ascii_lowercase();
            format!("{method} {}", of.head.uri)
        }
        "host" => HOST.to_owned(),
        name => text(of.head, name).to_owned(),
    };
    format!("{name}: {value}")
}

/// The moment of a date, which is written in one way alone.
fn moment(date: &str) -> Option<Timestamp> {
    let at = DateTime::strptime(MOMENT, date).ok()?;
    let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp();
    (at.strftime(MOMENT).to_string() == date).then_some(at)
}
