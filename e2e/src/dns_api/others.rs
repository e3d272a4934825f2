//! Providers whose APIs are of one kind: a zone's records are listed, and made and deleted one by one, or several at once
//! where the API has it. Each has a file, with where its API is published, and an origin of its own, since some have the same
//! paths.

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

use std::sync::OnceLock;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use hyper::http::request::Parts;
use sancho_crds::ProviderName;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::zones::{Texts, ZoneTexts};
use super::{Answer, Provider, Shared, decoded, parameter, text};

/// The token that may edit all zones at this provider.
pub fn token(name: ProviderName) -> String {
    match name {
        ProviderName::OracleCloud => oraclecloud::key(),
        ProviderName::TransIp => transip::key(),
        ProviderName::YandexCloud => yandexcloud::key_file(),
        name => format!("token-of-{}-of-no-use-elsewhere", name.word()),
    }
}

/// The account or user that this provider asks for; empty if it asks for none.
pub fn account(name: ProviderName) -> &'static str {
    form(name).account
}

/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// Status and body.
type Answered = Result<(u16, Value), Refused>;

/// Why a request is refused: status and words.
type Refused = (u16, String);

/// How one of them lets requests in, and writes a record down.
struct Form {
    /// The account or user that it asks for.
    account: &'static str,
    is_let_in: fn(&Of<'_>) -> bool,
    /// The media type of the bodies that it takes, but for forms.
    content_type: &'static str,
    /// Which status it answers with, where that is another one than is usual.
    status: fn(u16) -> u16,
    /// An error, as it writes it.
    refusal: fn(u16, &str) -> Value,
    /// The field of the name.
    name: &'static str,
    /// Whether a name has its zone behind it.
    is_full: bool,
    /// The field of the value, and whether it stands in quotation marks.
    value: &'static str,
    is_quoted: bool,
    /// The field of the TTL, and the shortest that it takes, in seconds.
    ttl: (&'static str, u64),
    /// Whether IDs are numbers.
    has_numbers: bool,
}

impl Form {
    /// What many of them have.
    const USUAL: Self = Self {
        account: "",
        is_let_in: |of| of.has_bearer(),
        content_type: "application/json",
        status: |status| status,
        refusal: |_, words| json!({ "message": words }),
        name: "name",
        is_full: false,
        value: "content",
        is_quoted: false,
        ttl: ("ttl", 60),
        has_numbers: true,
    };
}

fn form(name: ProviderName) -> Form {
    match name {
        ProviderName::AliDns => alidns::FORM,
        ProviderName::ArvanCloud => arvancloud::FORM,
        ProviderName::AutoDns => autodns::FORM,
        ProviderName::BaiduCloud => baiducloud::FORM,
        ProviderName::Bunny => bunny::FORM,
        ProviderName::ClouDns => cloudns::FORM,
        ProviderName::DigitalOcean => digitalocean::FORM,
        ProviderName::DnSimple => dnsimple::FORM,
        ProviderName::DnsMadeEasy => dnsmadeeasy::FORM,
        ProviderName::Domeneshop => domeneshop::FORM,
        ProviderName::DreamHost => dreamhost::FORM,
        ProviderName::Dynu => dynu::FORM,
        ProviderName::EasyDns => easydns::FORM,
        ProviderName::Exoscale => exoscale::FORM,
        ProviderName::Glesys => glesys::FORM,
        ProviderName::Hetzner => hetzner::FORM,
        ProviderName::HostingDe => hostingde::FORM,
        ProviderName::IbmCloud => ibmcloud::FORM,
        ProviderName::Infomaniak => infomaniak::FORM,
        ProviderName::Inwx => inwx::FORM,
        ProviderName::Ionos => ionos::FORM,
        ProviderName::Ipv64 => ipv64::FORM,
        ProviderName::Lightsail => lightsail::FORM,
        ProviderName::Linode => linode::FORM,
        ProviderName::LuaDns => luadns::FORM,
        ProviderName::MythicBeasts => mythicbeasts::FORM,
        ProviderName::NameDotCom => namedotcom::FORM,
        ProviderName::NameSilo => namesilo::FORM,
        ProviderName::Netcup => netcup::FORM,
        ProviderName::Netlify => netlify::FORM,
        ProviderName::OracleCloud => oraclecloud::FORM,
        ProviderName::Ovh => ovh::FORM,
        ProviderName::Porkbun => porkbun::FORM,
        ProviderName::SafeDns => safedns::FORM,
        ProviderName::Scaleway => scaleway::FORM,
        ProviderName::Simply => simply::FORM,
        ProviderName::Spaceship => spaceship::FORM,
        ProviderName::TencentCloud => tencentcloud::FORM,
        ProviderName::TransIp => transip::FORM,
        ProviderName::Vercel => vercel::FORM,
        ProviderName::Volcengine => volcengine::FORM,
        ProviderName::Vultr => vultr::FORM,
        ProviderName::Websupport => websupport::FORM,
        ProviderName::YandexCloud => yandexcloud::FORM,
        ProviderName::ZoneEe => zoneee::FORM,
    }
}

async fn answered(name: ProviderName, of: &Of<'_>) -> Answered {
    match name {
        ProviderName::AliDns => alidns::answered(of).await,
        ProviderName::ArvanCloud => arvancloud::answered(of).await,
        ProviderName::AutoDns => autodns::answered(of).await,
        ProviderName::BaiduCloud => baiducloud::answered(of).await,
        ProviderName::Bunny => bunny::answered(of).await,
        ProviderName::ClouDns => cloudns::answered(of).await,
        ProviderName::DigitalOcean => digitalocean::answered(of).await,
        ProviderName::DnSimple => dnsimple::answered(of).await,
        ProviderName::DnsMadeEasy => dnsmadeeasy::answered(of).await,
        ProviderName::Domeneshop => domeneshop::answered(of).await,
        ProviderName::DreamHost => dreamhost::answered(of).await,
        ProviderName::Dynu => dynu::answered(of).await,
        ProviderName::EasyDns => easydns::answered(of).await,
        ProviderName::Exoscale => exoscale::answered(of).await,
        ProviderName::Glesys => glesys::answered(of).await,
        ProviderName::Hetzner => hetzner::answered(of).await,
        ProviderName::HostingDe => hostingde::answered(of).await,
        ProviderName::IbmCloud => ibmcloud::answered(of).await,
        ProviderName::Infomaniak => infomaniak::answered(of).await,
        ProviderName::Inwx => inwx::answered(of).await,
        ProviderName::Ionos => ionos::answered(of).await,
        ProviderName::Ipv64 => ipv64::answered(of).await,
        ProviderName::Lightsail => lightsail::answered(of).await,
        ProviderName::Linode => linode::answered(of).await,
        ProviderName::LuaDns => luadns::answered(of).await,
        ProviderName::MythicBeasts => mythicbeasts::answered(of).await,
        ProviderName::NameDotCom => namedotcom::answered(of).await,
        ProviderName::NameSilo => namesilo::answered(of).await,
        ProviderName::Netcup => netcup::answered(of).await,
        ProviderName::Netlify => netlify::answered(of).await,
        ProviderName::OracleCloud => oraclecloud::answered(of).await,
        ProviderName::Ovh => ovh::answered(of).await,
        ProviderName::Porkbun => porkbun::answered(of).await,
        ProviderName::SafeDns => safedns::answered(of).await,
        ProviderName::Scaleway => scaleway::answered(of).await,
        ProviderName::Simply => simply::answered(of).await,
        ProviderName::Spaceship => spaceship::answered(of).await,
        ProviderName::TencentCloud => tencentcloud::answered(of).await,
        ProviderName::TransIp => transip::answered(of).await,
        ProviderName::Vercel => vercel::answered(of).await,
        ProviderName::Volcengine => volcengine::answered(of).await,
        ProviderName::Vultr => vultr::answered(of).await,
        ProviderName::Websupport => websupport::answered(of).await,
        ProviderName::YandexCloud => yandexcloud::answered(of).await,
        ProviderName::ZoneEe => zoneee::answered(of).await,
    }
}

pub(super) async fn answer(shared: &Shared, name: ProviderName, head: &Parts, body: &[u8]) -> Answer {
    let of = Of {
        shared,
        name,
        head,
        body,
        path: decoded(head.uri.path()),
        token: token(name),
        form: form(name),
        cookie: OnceLock::new(),
    };
    let kind = text(head, CONTENT_TYPE);
    let is_taken = body.is_empty() || kind == FORM || kind == of.form.content_type;
    let result = match ((of.form.is_let_in)(&of), is_taken) {
        (false, _) => Err((401, "Unable to authenticate you".into())),
        (true, false) => Err((415, format!("the body must be {}", of.form.content_type))),
        (true, true) => answered(name, &of).await,
    };
    let (status, mut body) =
        result.unwrap_or_else(|(status, words)| (status, (of.form.refusal)(status, &words)));
    // What leads to the next page at Oracle Cloud is no field, but a header.
    let next_page = body
        .as_object_mut()
        .and_then(|fields| fields.remove("opc-next-page"));
    let next_page = next_page.as_ref().and_then(Value::as_str).map(str::to_owned);
    let body = match body.is_null() {
        true => String::new(),
        false => body.to_string(),
    };
    Answer {
        status: (of.form.status)(status),
        kind: "application/json",
        cookie: of.cookie.into_inner(),
        body,
        next_page,
    }
}

/// Is this what a provider answers if it was asked as it publishes, be it with a token that is none or for a zone that is not
/// there?
pub fn is_published(name: ProviderName, status: u16) -> bool {
    let usual = [200, 201, 202, 204, 401, 404];
    usual.map(form(name).status).contains(&status)
}

pub(super) fn throttled(name: ProviderName) -> Answer {
    Answer {
        status: 429,
        kind: "application/json",
        cookie: None,
        body: (form(name).refusal)(429, "too many requests").to_string(),
        next_page: None,
    }
}

/// A request to one of them.
struct Of<'a> {
    shared: &'a Shared,
    name: ProviderName,
    head: &'a Parts,
    body: &'a [u8],
    /// Without percent-encoding.
    path: String,
    token: String,
    form: Form,
    /// What `Set-Cookie` of the answer says.
    cookie: OnceLock<String>,
}

impl Of<'_> {
    fn has_bearer(&self) -> bool {
        text(self.head, AUTHORIZATION) == format!("Bearer {}", self.token)
    }

    /// The account and the token (RFC 7617).
    fn has_basic(&self) -> bool {
        let pair = format!("{}:{}", self.form.account, self.token);
        text(self.head, AUTHORIZATION) == format!("Basic {}", STANDARD.encode(pair))
    }

    /// A session in place of the password, as a cookie of this name (RFC 6265).
    fn set_cookie(&self, name: &str) {
        let cookie = || format!("{name}={}; path=/; HttpOnly; Secure", self.new_session());
        self.cookie.get_or_init(cookie);
    }

    fn has_cookie(&self, name: &str) -> bool {
        let pairs = text(self.head, COOKIE).split("; ");
        let mut values = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        values.any(|session| self.shared.is_session(Provider::Other(self.name), session))
    }

    /// A session in place of the token.
    fn new_session(&self) -> String {
        self.shared.new_session(Provider::Other(self.name), 5)
    }

    fn has_session(&self) -> bool {
        self.shared.has_session(Provider::Other(self.name), self.head)
    }

    /// The parts of the path below this one.
    fn below(&self, prefix: &str) -> Result<Vec<&str>, Refused> {
        let rest = self.path.strip_prefix(prefix).ok_or_else(|| self.no_path())?;
        Ok(rest.split('/').filter(|part| !part.is_empty()).collect())
    }

    fn no_path(&self) -> Refused {
        (404, format!("no such path: {} {}", self.head.method, self.path))
    }

    fn json(&self) -> Result<Value, Refused> {
        serde_json::from_slice(self.body).map_err(|error| (400, error.to_string()))
    }

    fn parameter(&self, name: &str) -> Option<String> {
        parameter(self.head, name)
    }

    fn zone(&self, name: &str) -> Result<&str, Refused> {
        let mut zones = self.shared.zones.names().iter();
        let found = zones.find(|zone| *zone == name);
        found.map(String::as_str).ok_or((404, format!("no zone {name}")))
    }

    /// The zone of this ID.
    fn numbered(&self, id: &str) -> Result<&str, Refused> {
        let mut zones = self.shared.zones.names().iter();
        let found = zones.find(|zone| number(&hash(&[zone])).to_string() == id);
        found.map(String::as_str).ok_or((404, "Not found".into()))
    }

    async fn texts(&self, zone: &str) -> Result<ZoneTexts, Refused> {
        let texts = self.shared.zones.texts(zone).await;
        texts.map_err(|error| (500, format!("{error:#}")))
    }

    /// All of the zone's TXT records.
    async fn all(&self, zone: &str) -> Result<Vec<Value>, Refused> {
        let texts = self.texts(zone).await?;
        let all = texts
            .iter()
            .flat_map(|(name, at)| at.values.iter().map(move |value| (name, value)));
        Ok(all
            .map(|(name, value)| self.record(zone, below_zone(name, zone), value, &hash(&[name, value])))
            .collect())
    }

    /// A page of the zone's TXT records, its number and how many there are. `size`: the parameter that says how many a page
    /// has at most, of which no more than `most` are given.
    async fn page(&self, zone: &str, size: &str, most: usize) -> Result<(Vec<Value>, usize, usize), Refused> {
        let number = |name: &str| self.parameter(name).and_then(|text| text.parse::<usize>().ok());
        let size = number(size).unwrap_or(20);
        if size > most {
            return Err((422, format!("a page has at most {most} records")));
        }
        let page = number("page").or(number("cursor")).unwrap_or(1).max(1);
        let records = self.all(zone).await?;
        let pages = records.len().div_ceil(size).max(1);
        Ok((
            records.into_iter().skip((page - 1) * size).take(size).collect(),
            page,
            pages,
        ))
    }

    fn record(&self, zone: &str, name: &str, value: &str, id: &str) -> Value {
        let mut record = Map::new();
        let id = match self.form.has_numbers {
            true => json!(number(id)),
            false => json!(id),
        };
        let value = match self.form.is_quoted {
            true => format!("\"{value}\""),
            false => value.to_owned(),
        };
        record.insert("id".into(), id);
        record.insert("type".into(), "TXT".into());
        let name = match (self.form.is_full, name) {
            (false, name) => name.to_owned(),
            (true, name) => full(name, zone),
        };
        record.insert(self.form.name.into(), name.into());
        record.insert(self.form.value.into(), value.into());
        record.into()
    }

    async fn make(&self, zone: &str, record: &Value) -> Result<Value, Refused> {
        let (ttl, shortest) = self.form.ttl;
        if record["type"] != json!("TXT") || record[ttl].as_u64().is_none_or(|ttl| ttl < shortest) {
            return Err((
                422,
                format!("type must be TXT here, and {ttl} at least {shortest}"),
            ));
        }
        let value = match self.form.is_quoted {
            true => inside(&record[self.form.value]),
            false => record[self.form.value]
                .as_str()
                .filter(|value| !value.contains('"')),
        };
        let (Some(value), Some(name)) = (value, record[self.form.name].as_str()) else {
            return Err((
                422,
                format!("{} or {} is not as it should be", self.form.value, self.form.name),
            ));
        };
        let is_full = name == zone || name.ends_with(&format!(".{zone}"));
        if is_full != self.form.is_full {
            return Err((422, "the name has its zone, or has not".into()));
        }
        let name = full(below_zone(name, zone), zone);
        self.exchange(zone, &name, "add_records", &[value]).await?;
        Ok(self.record(zone, below_zone(&name, zone), value, &hash(&[&name, value])))
    }

    async fn delete(&self, zone: &str, id: &str) -> Answered {
        let texts = self.texts(zone).await?;
        let found = {
            let mut all = texts
                .iter()
                .flat_map(|(name, at)| at.values.iter().map(move |value| (name, value)));
            all.find(|(name, value)| {
                let known = hash(&[name, value]);
                known == id || (self.form.has_numbers && number(&known).to_string() == id)
            })
        };
        let (name, value) = found.ok_or((404, "no such record".to_owned()))?;
        self.exchange(zone, name, "remove_records", &[value]).await?;
        Ok((204, Value::Null))
    }

    /// Adds these values to a set, or removes them from it.
    async fn exchange(&self, zone: &str, name: &str, action: &str, values: &[&str]) -> Result<(), Refused> {
        let before = self.texts(zone).await?;
        let mut after = before.clone();
        let at = after.entry(name.to_owned()).or_insert(Texts {
            ttl: 60,
            values: Default::default(),
        });
        for value in values {
            let is_done = match action {
                "add_records" => at.values.insert((*value).to_owned()),
                "remove_records" => at.values.remove(*value),
                _ => return Err((404, format!("no action {action}"))),
            };
            if !is_done {
                return Err((422, format!("{action}: the record is there already, or is not")));
            }
        }
        let replaced = self.shared.zones.replace(zone, &before, &after).await;
        replaced.map_err(|error| (500, format!("{error:#}")))
    }
}

fn full(name: &str, zone: &str) -> String {
    match name {
        "" | "@" => zone.to_owned(),
        name => format!("{name}.{zone}"),
    }
}

fn below_zone<'n>(name: &'n str, zone: &str) -> &'n str {
    let rest = name.strip_suffix(zone).unwrap_or(name);
    rest.strip_suffix('.').unwrap_or(rest)
}

/// What stands between quotation marks.
fn inside(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix('"')?.strip_suffix('"')
}

/// HMAC with SHA-256.
fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
        .as_ref()
        .to_vec()
}

/// SHA-256 in hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(parts: &[&str]) -> String {
    sha256(parts.join("\n").as_bytes())[..32].to_owned()
}

/// An ID that is a number.
fn number(hash: &str) -> u64 {
    u64::from_str_radix(&hash[..12], 16).unwrap_or_default()
}
