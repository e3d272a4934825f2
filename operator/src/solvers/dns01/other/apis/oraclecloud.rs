//! Oracle Cloud: <https://docs.oracle.com/en-us/iaas/api/#/en/dns/20180115/>. Records are removed by value.
//! Requests are signed: <https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm>.

use aws_lc_rs::digest;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Api, Ask, Body, Found, Login, Page, TTL, Zone, below, encoded, full, is, quoted, text, unquoted,
};
use crate::solvers::dns01::signing::rsa_signature;

const HASH: HeaderName = HeaderName::from_static("x-content-sha256");

pub(super) struct OracleCloud;

impl OracleCloud {
    const KIND: &'static str = "application/json";

    fn path(at: &Zone<'_>) -> String {
        format!("/20180115/zones/{}/records", encoded(at.id))
    }

    /// What narrows a list down to the names that are asked about: the only one, or the label that all begin
    /// with.
    fn narrowed(at: &Zone<'_>) -> String {
        match at.about {
            [name] => format!("&domain={}", encoded(&full(name, at.name))),
            [name, others @ ..] if others.iter().all(|other| label(other) == label(name)) => {
                format!("&domainContains={}", encoded(label(name)))
            }
            _ => String::new(),
        }
    }

    /// Has records added or removed, all or none. It is no fault if one is there already, or is not.
    fn changed(at: &Zone<'_>, items: &[Value]) -> Ask {
        let ask = Ask {
            method: Method::PATCH,
            body: Some(Body::Json(json!({ "items": items }))),
            ..Ask::get(Self::path(at))
        };
        ask.with(CONTENT_TYPE, Self::KIND)
    }

    fn added(at: &Zone<'_>, records: &[(&str, &str)]) -> Ask {
        let items = records.iter().map(|&(name, value)| {
            let (domain, rdata) = (full(name, at.name), quoted(value));
            json!({ "operation": "ADD", "domain": domain, "rtype": "TXT", "rdata": rdata, "ttl": TTL })
        });
        Self::changed(at, &items.collect::<Vec<Value>>())
    }

    fn removed(at: &Zone<'_>, found: &[&Found]) -> Ask {
        let items = found.iter().map(|found| {
            // Without a value, all of the name would go.
            let (domain, rdata) = (full(&found.name, at.name), &found.id);
            json!({ "operation": "REMOVE", "domain": domain, "rtype": "TXT", "rdata": rdata })
        });
        Self::changed(at, &items.collect::<Vec<Value>>())
    }
}

impl Api for OracleCloud {
    fn host(&self) -> &'static str {
        "https://dns.us-ashburn-1.oci.oraclecloud.com"
    }

    fn host_of(&self, by: &Login) -> Option<String> {
        let (region, _) = account(&by.id)?;
        Some(format!("https://dns.{region}.oci.oraclecloud.com"))
    }

    fn is_usable(&self, by: &Login) -> bool {
        account(&by.id).is_some() && rsa_signature(&RSA_PKCS1_SHA256, &by.token, "").is_some()
    }

    fn let_in(&self, by: &Login, ask: Ask, now: Timestamp) -> Ask {
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let host = self.host_of(by).unwrap_or_default();
        let host = host.trim_start_matches("https://").to_owned();
        let target = format!("{} {}", ask.method.as_str().to_ascii_lowercase(), ask.path);
        let mut signed = vec![
            ("date", date.clone()),
            ("(request-target)", target),
            ("host", host),
        ];
        let mut ask = ask.with(DATE, &date);
        if ask.body.is_some() {
            let body = ask.sent();
            let hash = STANDARD.encode(digest::digest(&digest::SHA256, body.as_bytes()));
            // The length is written by what sends.
            signed.push(("content-length", body.len().to_string()));
            signed.push(("content-type", Self::KIND.to_owned()));
            signed.push(("x-content-sha256", hash.clone()));
            ask = ask.with(HASH, &hash);
        }
        match authorization(by, &signed) {
            Some(words) => ask.with(AUTHORIZATION, &words),
            // Nothing is sent for an account that is not usable.
            None => ask,
        }
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        Ask::get(format!("/20180115/zones/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        // Another kind has its records from elsewhere.
        let is_it = is(&answer["name"], zone) && is(&answer["zoneType"], "PRIMARY");
        let state = &answer["lifecycleState"];
        let is_there = is(state, "ACTIVE") || is(state, "UPDATING");
        // Private ones are seen in networks of the cloud alone.
        let is_served = is_there && !is(&answer["scope"], "PRIVATE");
        text(&answer["id"]).filter(|_| is_it && is_served)
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let page = page.map(|page| format!("&page={}", encoded(page)));
        let (path, narrowed, page) = (Self::path(at), Self::narrowed(at), page.unwrap_or_default());
        Ask::get(format!("{path}?rtype=TXT{narrowed}{page}"))
    }

    fn read(&self, at: &Zone<'_>, answer: &Value, _: Option<&str>) -> Option<Page> {
        let mut all = Vec::new();
        let items = answer["items"].as_array()?.iter();
        for record in items.filter(|record| is(&record["rtype"], "TXT")) {
            let (name, rdata) = (record["domain"].as_str()?, record["rdata"].as_str()?);
            all.push(Found {
                id: rdata.to_owned(),
                name: below(name, at.name).to_owned(),
                value: unquoted(rdata).to_owned(),
            });
        }
        Some(Page {
            found: all,
            // It stands in a header.
            next: None,
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        Self::added(at, &[(name, value)])
    }

    fn make_all(&self, at: &Zone<'_>, records: &[(&str, &str)]) -> Vec<Ask> {
        vec![Self::added(at, records)]
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        Self::removed(at, &[found])
    }

    fn delete_all(&self, at: &Zone<'_>, found: &[&Found]) -> Vec<Ask> {
        vec![Self::removed(at, found)]
    }
}

/// The first label of a name.
fn label(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The region of an account, and the ID of its key, if the account is `REGION/TENANCY/USER/FINGERPRINT` in
/// the commercial realm.
fn account(id: &str) -> Option<(&str, String)> {
    let parts: Vec<&str> = id.split('/').collect();
    let &[region, tenancy, user, fingerprint] = parts.as_slice() else {
        return None;
    };
    // It becomes a label of the host's name, and nothing else of it.
    let of_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let of_ocid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_ocid = |id: &str, kind: &str| has_only(id.strip_prefix(kind).unwrap_or_default(), of_ocid);
    let are_ocids = is_ocid(tenancy, "ocid1.tenancy.oc1.") && is_ocid(user, "ocid1.user.oc1.");
    let digits: Vec<char> = fingerprint.to_ascii_lowercase().chars().collect();
    let is_fingerprint = digits.len() == 32 && digits.iter().all(char::is_ascii_hexdigit);
    // An account is written without colons.
    let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
    let is_account = has_only(region, of_region) && are_ocids && is_fingerprint;
    is_account.then(|| (region, format!("{tenancy}/{user}/{}", pairs.join(":"))))
}

/// Has it such characters alone, and any at all?
fn has_only(text: &str, is_such: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(is_such)
}

/// What lets a request in of which these headers are signed.
fn authorization(by: &Login, signed: &[(&str, String)]) -> Option<String> {
    let (_, key) = account(&by.id)?;
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let lines: Vec<String> = signed
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let signature = rsa_signature(&RSA_PKCS1_SHA256, &by.token, &lines.join("\n"))?;
    Some(format!(
        "Signature version=\"1\",keyId=\"{key}\",algorithm=\"rsa-sha256\",headers=\"{}\",\
         signature=\"{signature}\"",
        names.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
    use zeroize::Zeroizing;

    use super::super::ProviderName;
    use super::super::published::{Published, Several};
    use super::*;

    const ACCOUNT: &str =
        "eu-frankfurt-1/ocid1.tenancy.oc1..shop/ocid1.user.oc1..sancho/0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    const KEY: &str =
        "ocid1.tenancy.oc1..shop/ocid1.user.oc1..sancho/0a:1b:2c:3d:4e:5f:60:71:82:93:a4:b5:c6:d7:e8:f9";
    const ZONE: &str = "ocid1.dns-zone.oc1..42";
    const PATH: &str = "/20180115/zones/ocid1.dns-zone.oc1..42/records";
    const MOMENT: &str = "date: Mon, 30 Nov 2026 12:00:00 GMT";

    fn login(account: &str, token: &str) -> Login {
        Login {
            id: account.to_owned(),
            token: Zeroizing::new(token.to_owned()),
        }
    }

    fn zone(kind: &str, scope: &str, state: &str) -> Value {
        json!({ "id": ZONE, "name": "shop.example", "zoneType": kind, "scope": scope,
            "lifecycleState": state })
    }

    #[test]
    fn it_is_asked_as_published() {
        let words = "The required information to complete authentication was not provided or was incorrect.";
        let missing = json!({ "code": "NotAuthorizedOrNotFound",
            "message": "Authorization failed or requested resource not found." });
        let changed = |hash: &str, item: &str| {
            let headers = format!("content-type: application/json\n{MOMENT}\nx-content-sha256: {hash}");
            format!("PATCH {PATH}\n{headers}\n{{\"items\":[{item}]}}")
        };
        Published {
            name: ProviderName::OracleCloud,
            account: ACCOUNT,
            zone: &format!("GET /20180115/zones/shop.example\n{MOMENT}"),
            is_zone: (zone("PRIMARY", "GLOBAL", "ACTIVE"), ZONE),
            is_no_zone: vec![
                (404, missing),
                (200, zone("SECONDARY", "GLOBAL", "ACTIVE")),
                (200, zone("PRIMARY", "PRIVATE", "ACTIVE")),
                (200, zone("PRIMARY", "GLOBAL", "DELETED")),
            ],
            refused: (
                401,
                json!({ "code": "NotAuthenticated", "message": words }),
                words,
            ),
            records: &format!("GET {PATH}?rtype=TXT&domain=_acme-challenge.www.shop.example\n{MOMENT}"),
            page: json!({ "items": [
                { "domain": "_acme-challenge.www.shop.example", "rtype": "TXT", "rdata": "\"v\"", "ttl": 60,
                    "recordHash": "7", "isProtected": false, "rrsetVersion": "2" },
                { "domain": "shop.example", "rtype": "NS", "rdata": "ns1.p68.dns.oraclecloud.net.",
                    "ttl": 86400, "recordHash": "8", "isProtected": true, "rrsetVersion": "1" },
            ] }),
            id: "\"v\"",
            next: None,
            none: json!({ "items": [] }),
            make: &changed(
                "FmE274yQPMeD+rJvzGCu6aV9MrfVGpHPLDW2NRvwLVc=",
                concat!(
                    r#"{"domain":"_acme-challenge.www.shop.example","operation":"ADD","rdata":"\"v\"","#,
                    r#""rtype":"TXT","ttl":60}"#
                ),
            ),
            delete: &changed(
                "OcJxBCyBtHsIVuVHakw3CcPf+W8k1x9CI1Zouu+EGr8=",
                concat!(
                    r#"{"domain":"_acme-challenge.www.shop.example","operation":"REMOVE","rdata":"\"v\"","#,
                    r#""rtype":"TXT"}"#
                ),
            ),
        }
        .holds();
    }

    #[test]
    fn several_go_by_one_request() {
        let www = "_acme-challenge.www.shop.example";
        let all = |operation: &str, rest: &str| {
            let items = [(www, "v"), (www, "w"), ("shop.example", "x")].map(|(name, value)| {
                let rdata = format!(r#""rdata":"\"{value}\"","rtype":"TXT"{rest}"#);
                format!("{{\"domain\":\"{name}\",\"operation\":\"{operation}\",{rdata}}}")
            });
            format!("PATCH {PATH}\n{{\"items\":[{}]}}", items.join(","))
        };
        Several {
            name: ProviderName::OracleCloud,
            zone: ZONE,
            make: &[&all("ADD", r#","ttl":60"#)],
            ids: ["\"v\"", "\"w\"", "\"x\""],
            delete: &[&all("REMOVE", "")],
        }
        .holds();
    }

    #[test]
    fn a_list_is_narrowed_down_to_the_names_that_are_asked_about() {
        let by = login(ACCOUNT, "");
        let (apex, first, www, other) = ("@", "_acme-challenge", "_acme-challenge.www", "acme.www");
        for (about, expected) in [
            (vec![apex], "&domain=shop.example"),
            (vec![first, www], "&domainContains=_acme-challenge"),
            (vec![apex, first], ""),
            (vec![first, www, other], ""),
        ] {
            let at = Zone {
                by: &by,
                name: "shop.example",
                id: ZONE,
                about: &about,
            };
            let expected = format!("{PATH}?rtype=TXT{expected}");
            assert_eq!(OracleCloud.records(&at, None).path, expected);
            let next = OracleCloud.records(&at, Some("A/+=")).path;
            assert_eq!(next, format!("{expected}&page=A%2F%2B%3D"));
        }
    }

    /// The header that lets the request in, which is the last.
    fn let_in(by: &Login, ask: Ask) -> String {
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let ask = OracleCloud.let_in(by, ask, now);
        let (name, value) = ask.headers.last().unwrap();
        assert_eq!(*name, AUTHORIZATION);
        value.as_str().to_owned()
    }

    #[test]
    fn requests_are_signed_by_the_key_in_either_form() {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der = key.as_der().unwrap();
        let der: &[u8] = der.as_ref();
        let public: &[u8] = key.public_key().as_ref();
        // That of PKCS#1 stands in that of PKCS#8, behind the algorithm. Oracle wants a line behind both.
        for (kind, der) in [("PRIVATE KEY", der), ("RSA PRIVATE KEY", &der[26..])] {
            let der = STANDARD.encode(der);
            let pem = format!("-----BEGIN {kind}-----\n{der}\n-----END {kind}-----\nOCI_API_KEY");
            let by = login(ACCOUNT, &pem);
            assert!(OracleCloud.is_usable(&by), "{kind}");
            let at = Zone {
                by: &by,
                name: "shop.example",
                id: ZONE,
                about: &["_acme-challenge.www"],
            };
            let host = "host: dns.eu-frankfurt-1.oci.oraclecloud.com";
            let get = format!("{MOMENT}\n(request-target): get /20180115/zones/shop.example\n{host}");
            let patch = format!(
                "{MOMENT}\n(request-target): patch {PATH}\n{host}\ncontent-length: 114\n\
                 content-type: application/json\n\
                 x-content-sha256: FmE274yQPMeD+rJvzGCu6aV9MrfVGpHPLDW2NRvwLVc="
            );
            let more = " content-length content-type x-content-sha256";
            for (ask, names, signed) in [
                (OracleCloud.zone(&by, at.name), "", get),
                (OracleCloud.make(&at, "_acme-challenge.www", "v"), more, patch),
            ] {
                let words = let_in(&by, ask);
                let before = format!(
                    "Signature version=\"1\",keyId=\"{KEY}\",algorithm=\"rsa-sha256\",\
                     headers=\"date (request-target) host{names}\",signature=\""
                );
                let signature = words.strip_prefix(&before).unwrap().strip_suffix('"').unwrap();
                let signature = STANDARD.decode(signature).unwrap();
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
                    .verify(signed.as_bytes(), &signature)
                    .unwrap();
            }
        }
        for pem in [
            "",
            "TOKEN",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        ] {
            assert!(!OracleCloud.is_usable(&login(ACCOUNT, pem)), "{pem}");
        }
    }

    #[test]
    fn an_account_leads_to_a_host_of_oracles_or_to_none() {
        let host = |account: &str| OracleCloud.host_of(&login(account, ""));
        let region = "eu-frankfurt-1";
        let expected = "https://dns.eu-frankfurt-1.oci.oraclecloud.com";
        assert_eq!(host(ACCOUNT).as_deref(), Some(expected));
        assert_eq!(host(&ACCOUNT.replace("0a1b", "0A1B")).as_deref(), Some(expected));
        for other in [
            "",
            "evil.example",
            "evil.example#",
            "evil.example?",
            "me@evil",
            "evil:443",
            "EU-FRANKFURT-1",
            "frankfürt",
            "%2f",
            " ",
            "\n",
        ] {
            assert_eq!(host(&ACCOUNT.replacen(region, other, 1)), None, "{other}");
        }
        for (part, other) in [
            ("ocid1.tenancy.oc1..shop", "ocid1.tenancy.oc1."),
            ("ocid1.tenancy.oc1..shop", "ocid1.tenancy.oc19..shop"),
            ("ocid1.user.oc1..sancho", "ocid1.user.oc1..sancho\""),
            ("ocid1.user.oc1..sancho", "ocid1.group.oc1..sancho"),
            ("/0a1b2c", "/0a1b"),
            ("/0a1b2c", "/0x1b2c"),
            ("/0a1b2c", "/0a:1b:2c"),
            ("/0a1b2c", "//0a1b2c"),
        ] {
            assert_eq!(host(&ACCOUNT.replace(part, other)), None, "{other}");
        }
    }
}
