//! The providers' APIs, as each publishes it: a file for each, and what they share. Pure: requests, and what their answers
//! say.

mod alidns;
mod arvancloud;
mod autodns;
mod baiducloud;
mod bunny;
mod cloudns;
mod digitalocean;
mod dnsimple;
mod dnsmadeeasy;
mod domeneshop;
mod dreamhost;
mod dynu;
mod easydns;
mod exoscale;
mod glesys;
mod hetzner;
mod hostingde;
mod ibmcloud;
mod infomaniak;
mod inwx;
mod ionos;
mod ipv64;
mod lightsail;
mod linode;
mod luadns;
mod mythicbeasts;
mod namedotcom;
mod namesilo;
mod netcup;
mod netlify;
mod oraclecloud;
mod ovh;
mod porkbun;
mod safedns;
mod scaleway;
mod simply;
mod spaceship;
mod tencentcloud;
mod transip;
mod vercel;
mod volcengine;
mod vultr;
mod websupport;
mod yandexcloud;
mod zoneee;

#[cfg(test)]
mod published;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName};
use jiff::Timestamp;
use sancho_core::shown::shown_within;
use sancho_crds::ProviderName;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::solvers::dns01::api::encoded;
use crate::solvers::dns01::sets::TTL;
use crate::solvers::dns01::signing::{derived, hex, mac, sha256};
use crate::solvers::dns01::zone::relative;

/// The API of this provider.
pub(super) fn of(name: ProviderName) -> &'static dyn Api {
    match name {
        ProviderName::AliDns => &alidns::AliDns,
        ProviderName::ArvanCloud => &arvancloud::ArvanCloud,
        ProviderName::AutoDns => &autodns::AutoDns,
        ProviderName::BaiduCloud => &baiducloud::BaiduCloud,
        ProviderName::Bunny => &bunny::Bunny,
        ProviderName::ClouDns => &cloudns::ClouDns,
        ProviderName::DigitalOcean => &digitalocean::DigitalOcean,
        ProviderName::DnSimple => &dnsimple::DnSimple,
        ProviderName::DnsMadeEasy => &dnsmadeeasy::DnsMadeEasy,
        ProviderName::Domeneshop => &domeneshop::Domeneshop,
        ProviderName::DreamHost => &dreamhost::DreamHost,
        ProviderName::Dynu => &dynu::Dynu,
        ProviderName::EasyDns => &easydns::EasyDns,
        ProviderName::Exoscale => &exoscale::Exoscale,
        ProviderName::Glesys => &glesys::Glesys,
        ProviderName::Hetzner => &hetzner::Hetzner,
        ProviderName::HostingDe => &hostingde::HostingDe,
        ProviderName::IbmCloud => &ibmcloud::IbmCloud,
        ProviderName::Infomaniak => &infomaniak::Infomaniak,
        ProviderName::Inwx => &inwx::Inwx,
        ProviderName::Ionos => &ionos::Ionos,
        ProviderName::Ipv64 => &ipv64::Ipv64,
        ProviderName::Lightsail => &lightsail::Lightsail,
        ProviderName::Linode => &linode::Linode,
        ProviderName::LuaDns => &luadns::LuaDns,
        ProviderName::MythicBeasts => &mythicbeasts::MythicBeasts,
        ProviderName::NameDotCom => &namedotcom::NameDotCom,
        ProviderName::NameSilo => &namesilo::NameSilo,
        ProviderName::Netcup => &netcup::Netcup,
        ProviderName::Netlify => &netlify::Netlify,
        ProviderName::OracleCloud => &oraclecloud::OracleCloud,
        ProviderName::Ovh => &ovh::Ovh,
        ProviderName::Porkbun => &porkbun::Porkbun,
        ProviderName::SafeDns => &safedns::SafeDns,
        ProviderName::Scaleway => &scaleway::Scaleway,
        ProviderName::Simply => &simply::Simply,
        ProviderName::Spaceship => &spaceship::Spaceship,
        ProviderName::TencentCloud => &tencentcloud::TencentCloud,
        ProviderName::TransIp => &transip::TransIp,
        ProviderName::Vercel => &vercel::Vercel,
        ProviderName::Volcengine => &volcengine::Volcengine,
        ProviderName::Vultr => &vultr::Vultr,
        ProviderName::Websupport => &websupport::Websupport,
        ProviderName::YandexCloud => &yandexcloud::YandexCloud,
        ProviderName::ZoneEe => &zoneee::ZoneEe,
    }
}

/// A provider's API, as far as it is used.
pub(super) trait Api: Sync {
    /// The provider's own host.
    fn host(&self) -> &'static str;

    /// The host that an account is asked at, of an API that has one for each region.
    fn host_of(&self, by: &Login) -> Option<String> {
        let _ = by;
        None
    }

    /// Could this be what lets in? What could not is never sent.
    fn is_usable(&self, by: &Login) -> bool {
        let _ = by;
        true
    }

    /// The request with what lets it in. `now`: for a signature.
    fn let_in(&self, by: &Login, ask: Ask, now: Timestamp) -> Ask {
        let _ = now;
        let token = Zeroizing::new(format!("Bearer {}", *by.token));
        ask.with(AUTHORIZATION, &token)
    }

    /// Asks for a session, of an API that lets in by one: what comes back stands in place of the token then.
    fn login(&self, by: &Login, now: Timestamp) -> Option<Ask> {
        let _ = (by, now);
        None
    }

    /// The session that the answer has, and how long it counts.
    fn session(&self, answer: &Value) -> Option<(Zeroizing<String>, Duration)> {
        let _ = answer;
        None
    }

    /// The same, of an API that gives it out as a cookie. Each is `NAME=VALUE`, in the order of the answer.
    fn session_with(&self, answer: &Value, cookies: &[String]) -> Option<(Zeroizing<String>, Duration)> {
        let _ = cookies;
        self.session(answer)
    }

    /// Asks for a zone.
    fn zone(&self, by: &Login, zone: &str) -> Ask;

    /// The ID of the zone by which its records are asked for, if the answer has the zone.
    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String>;

    /// Asks for the TXT records of a zone: the first page, or another one.
    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask;

    /// What the answer has to this page; nothing if it is none. A header may lead to the next one as well.
    fn read(&self, at: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page>;

    /// Makes a record of this value under a name below the zone; `@` is the zone itself.
    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask;

    /// Makes these records, of which each is a name and a value, in as few requests as the API has.
    fn make_all(&self, at: &Zone<'_>, records: &[(&str, &str)]) -> Vec<Ask> {
        let records = records.iter();
        records.map(|(name, value)| self.make(at, name, value)).collect()
    }

    /// Deletes a record.
    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask;

    /// Deletes these records in as few requests as the API has.
    fn delete_all(&self, at: &Zone<'_>, found: &[&Found]) -> Vec<Ask> {
        found.iter().map(|found| self.delete(at, found)).collect()
    }

    /// Asks for what was changed to be served, of an API that waits to be told.
    fn settle(&self, at: &Zone<'_>) -> Option<Ask> {
        let _ = at;
        None
    }

    /// The status that says what became of a request, of an API that answers another one: 200 whatever became of it, say, or
    /// 400 to whoever asks too fast (429).
    fn status(&self, status: u16, answer: &Value) -> u16 {
        let _ = answer;
        status
    }

    /// What else an answer may mean that says that it is asked too fast, of an API that does not tell the two apart.
    fn besides_haste(&self) -> Option<&'static str> {
        None
    }
}

/// What an account is let in by.
pub(super) struct Login {
    /// The account's ID, user name or the ID of the token; empty of a provider that asks for none.
    pub(super) id: String,
    pub(super) token: Zeroizing<String>,
}

/// A zone.
pub(super) struct Zone<'a> {
    pub(super) by: &'a Login,
    pub(super) name: &'a str,
    pub(super) id: &'a str,
    /// The names below it that are asked about.
    pub(super) about: &'a [&'a str],
}

/// A request.
#[derive(Clone)]
pub(super) struct Ask {
    /// Another host than the API's own.
    pub(super) host: Option<&'static str>,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, Zeroizing<String>)>,
    pub(super) body: Option<Body>,
}

/// A request's body.
#[derive(Clone)]
pub(super) enum Body {
    Json(Value),
    /// Pairs, percent-encoded.
    Form(Zeroizing<String>),
}

/// Some of a zone's TXT records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) found: Vec<Found>,
    /// What the next page is asked for by, if there is one.
    pub(super) next: Option<String>,
}

/// A TXT record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// By which it is deleted.
    pub(super) id: String,
    /// Its name below the zone; of the zone itself `@` or nothing.
    pub(super) name: String,
    /// Its value, without quotation marks around it.
    pub(super) value: String,
}

impl Found {
    /// Does it stand under this name below the zone? `@` is the zone itself.
    pub(super) fn is(&self, name: &str) -> bool {
        match name {
            "@" => self.name.is_empty() || self.name == "@",
            name => self.name.eq_ignore_ascii_case(name),
        }
    }
}

impl Ask {
    fn get(path: String) -> Self {
        Self {
            host: None,
            method: Method::GET,
            path,
            headers: Vec::new(),
            body: None,
        }
    }

    fn delete(path: String) -> Self {
        Self {
            method: Method::DELETE,
            ..Self::get(path)
        }
    }

    /// A form (`application/x-www-form-urlencoded`).
    fn form<'p>(path: String, pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let pairs: Vec<Zeroizing<String>> = pairs
            .into_iter()
            .map(|(name, value)| Zeroizing::new(format!("{}={}", encoded(name), encoded(value))))
            .collect();
        let pairs: Vec<&str> = pairs.iter().map(|pair| pair.as_str()).collect();
        Self {
            method: Method::POST,
            body: Some(Body::Form(Zeroizing::new(pairs.join("&")))),
            ..Self::get(path)
        }
    }

    fn post(path: String, body: Value) -> Self {
        Self {
            method: Method::POST,
            body: Some(Body::Json(body)),
            ..Self::get(path)
        }
    }

    /// Its body as it is sent, for a signature.
    fn sent(&self) -> Zeroizing<String> {
        match &self.body {
            None => Zeroizing::new(String::new()),
            Some(Body::Json(json)) => Zeroizing::new(json.to_string()),
            Some(Body::Form(pairs)) => pairs.clone(),
        }
    }

    /// With another header.
    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, Zeroizing::new(value.to_owned())));
        self
    }

    /// With a user's name and password (RFC 7617).
    fn with_basic(self, by: &Login) -> Self {
        let pair = Zeroizing::new(format!("{}:{}", by.id, *by.token));
        let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        self.with(AUTHORIZATION, &basic)
    }
}

/// A name without its zone, whatever their letters' case and with a final dot or without; `@` for the zone itself.
pub(super) fn below<'n>(name: &'n str, zone: &str) -> &'n str {
    relative(name, zone).unwrap_or_else(|| name.strip_suffix('.').unwrap_or(name))
}

/// A name below the zone with it behind.
fn full(name: &str, zone: &str) -> String {
    match name {
        "" | "@" => zone.to_owned(),
        name => format!("{name}.{zone}"),
    }
}

/// What belongs to each name, of an API that changes several values of one name at once.
fn by_name<'n, V>(all: impl IntoIterator<Item = (&'n str, V)>) -> BTreeMap<&'n str, Vec<V>> {
    let mut names: BTreeMap<&str, Vec<V>> = BTreeMap::new();
    for (name, value) in all {
        names.entry(name).or_default().push(value);
    }
    names
}

/// Records that have their zones behind their names, without them.
fn names_below(mut records: Vec<Found>, at: &Zone<'_>) -> Vec<Found> {
    for record in &mut records {
        record.name = below(&record.name, at.name).to_owned();
    }
    records
}

/// What an API says of a refusal, whichever way it does.
pub(super) fn said(answer: &Value) -> String {
    let first = &answer["errors"][0];
    let places = [
        &answer["message"],
        &answer["error"]["message"],
        &answer["error"],
        &first["reason"],
        &first["message"],
        &answer["error"]["description"],
        &answer["detail"],
        &answer["help"],
        &answer["Message"],
        &answer[0]["message"],
        &answer["error"][0],
        &answer["statusDescription"],
        &answer["reply"]["detail"],
        &answer["messages"][0]["text"],
        &answer["title"],
        &answer["Response"]["Error"]["Message"],
        &answer["ResponseMetadata"]["Error"]["Message"],
        &answer["response"]["status"]["text"],
        &answer["info"],
        &first["text"],
        first,
        &answer["exception"]["message"],
        &answer["reason"],
        &answer["data"],
        // The second factor that a login asks for, which has no other words.
        &answer["resData"]["tfa"],
        &answer["msg"],
    ];
    let words = places.into_iter().find_map(Value::as_str);
    shown_within(words.unwrap_or("it does not say why"), 160)
}

/// The TXT records of a list, whose names and values stand in these fields. That of the zone itself may have no name.
fn found(records: &Value, name: &str, value: &str) -> Option<Vec<Found>> {
    let txt = records
        .as_array()?
        .iter()
        .filter(|record| is(&record["type"], "TXT"));
    txt.map(|record| {
        Some(Found {
            id: text(&record["id"])?,
            name: text(&record[name]).unwrap_or_default(),
            value: unquoted(record[value].as_str()?).to_owned(),
        })
    })
    .collect()
}

/// The page behind this one, if there is one.
fn next_of(page: &Value, pages: &Value) -> Option<String> {
    let (page, pages) = (page.as_u64()?, pages.as_u64()?);
    (page < pages).then(|| (page + 1).to_string())
}

fn is(value: &Value, text: &str) -> bool {
    value
        .as_str()
        .is_some_and(|value| value.eq_ignore_ascii_case(text))
}

/// A text, or a number as one.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn quoted(value: &str) -> String {
    format!("\"{value}\"")
}

fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(value)
}
