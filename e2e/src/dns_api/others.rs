//! Providers whose APIs are of one kind: a zone's records are listed, and made and deleted one by one. Each has an origin of
//! its own, since some have the same paths.
//!
//! DigitalOcean <https://docs.digitalocean.com/reference/api/digitalocean/#tag/Domain-Records>, DNSimple
//! <https://developer.dnsimple.com/v2/zones/records/>, Hetzner <https://docs.hetzner.cloud/reference/cloud#zone-rrsets>, Linode
//! <https://techdocs.akamai.com/linode-api/reference/get-domain-records>, Scaleway
//! <https://www.scaleway.com/en/developers/api/domains-and-dns/>, Vultr <https://www.vultr.com/api/#tag/dns>.

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::zones::{Texts, ZoneTexts};
use super::{Answer, Provider, Shared, decoded, parameter, text};

/// The account at DNSimple.
pub const ACCOUNT: &str = "1010";

/// The token that may edit all zones at this provider.
pub fn token(provider: Provider) -> String {
    format!("token-of-{}-of-no-use-elsewhere", word(provider))
}

/// As issuers name it.
pub fn word(provider: Provider) -> &'static str {
    match provider {
        Provider::DigitalOcean => "digitalocean",
        Provider::DnSimple => "dnsimple",
        Provider::Hetzner => "hetzner",
        Provider::Linode => "linode",
        Provider::Scaleway => "scaleway",
        Provider::Vultr => "vultr",
        Provider::Cloudflare => "cloudflare",
        Provider::Route53 => "route53",
        Provider::CloudDns => "clouddns",
        Provider::AzureDns => "azuredns",
        Provider::HttpReq => "httpreq",
        Provider::AcmeDns => "acmedns",
    }
}

/// Why a request is refused: status and words.
type Refused = (u16, String);

/// How one of them writes a record down.
struct Form {
    /// The field of the value, and whether it stands in quotation marks.
    value: &'static str,
    is_quoted: bool,
    /// The field of the TTL, and the shortest that it takes.
    ttl: (&'static str, u64),
    /// Whether IDs are numbers.
    has_numbers: bool,
}

pub(super) async fn answer(shared: &Shared, provider: Provider, head: &Parts, body: &[u8]) -> Answer {
    let (status, body) = match result(shared, provider, head, body).await {
        Ok(answered) => answered,
        Err((status, words)) => (status, refusal(provider, status, &words)),
    };
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    Answer {
        status,
        kind: "application/json",
        body,
    }
}

pub(super) fn throttled(provider: Provider) -> Answer {
    Answer {
        status: 429,
        kind: "application/json",
        body: refusal(provider, 429, "too many requests").to_string(),
    }
}

/// An error, as each of them writes it.
fn refusal(provider: Provider, status: u16, words: &str) -> Value {
    match provider {
        Provider::Hetzner => json!({ "error": { "code": "refused", "message": words, "details": null } }),
        Provider::Linode => json!({ "errors": [{ "reason": words }] }),
        Provider::Vultr => json!({ "error": words, "status": status }),
        _ => json!({ "id": "refused", "message": words }),
    }
}

async fn result(
    shared: &Shared,
    provider: Provider,
    head: &Parts,
    body: &[u8],
) -> Result<(u16, Value), Refused> {
    let token = token(provider);
    let is_let_in = match provider {
        Provider::Scaleway => text(head, HeaderName::from_static("x-auth-token")) == token,
        _ => text(head, AUTHORIZATION) == format!("Bearer {token}"),
    };
    if !is_let_in {
        return Err((401, "Unable to authenticate you".into()));
    }
    if !body.is_empty() && text(head, CONTENT_TYPE) != "application/json" {
        return Err((415, "the body must be JSON".into()));
    }
    let parse = || serde_json::from_slice::<Value>(body).map_err(|error| (400, error.to_string()));
    let path = decoded(head.uri.path());
    let below = |prefix: &str| -> Result<Vec<&str>, Refused> {
        let rest = path
            .strip_prefix(prefix)
            .ok_or((404, format!("no such path: {path}")))?;
        Ok(rest.split('/').filter(|part| !part.is_empty()).collect())
    };
    let of = Of {
        shared,
        head,
        form: form(provider),
    };
    match provider {
        Provider::DigitalOcean => {
            let made = |record| (201, json!({ "domain_record": record }));
            match (&head.method, below("/v2/domains")?.as_slice()) {
                (&Method::GET, [zone]) => {
                    Ok((200, json!({ "domain": { "name": of.zone(zone)?, "ttl": 1800 } })))
                }
                (&Method::GET, [zone, "records"]) => {
                    let (records, page, pages) = of.page(of.zone(zone)?, "per_page", 200).await?;
                    let next = format!(
                        "https://api.digitalocean.com{path}?page={}&per_page=200",
                        page + 1
                    );
                    let links = match page < pages {
                        true => json!({ "pages": { "next": next } }),
                        false => json!({}),
                    };
                    Ok((200, json!({ "domain_records": records, "links": links })))
                }
                (&Method::POST, [zone, "records"]) => Ok(made(of.make(of.zone(zone)?, &parse()?).await?)),
                (&Method::DELETE, [zone, "records", id]) => of.delete(of.zone(zone)?, id).await,
                _ => Err((404, "no such path".into())),
            }
        }
        Provider::Vultr => {
            let made = |record| (201, json!({ "record": record }));
            match (&head.method, below("/v2/domains")?.as_slice()) {
                (&Method::GET, [zone]) => Ok((200, json!({ "domain": { "domain": of.zone(zone)? } }))),
                (&Method::GET, [zone, "records"]) => {
                    let (records, page, pages) = of.page(of.zone(zone)?, "per_page", 500).await?;
                    let next = if page < pages {
                        (page + 1).to_string()
                    } else {
                        String::new()
                    };
                    let meta = json!({ "links": { "next": next, "prev": "" } });
                    Ok((200, json!({ "records": records, "meta": meta })))
                }
                (&Method::POST, [zone, "records"]) => Ok(made(of.make(of.zone(zone)?, &parse()?).await?)),
                (&Method::DELETE, [zone, "records", id]) => of.delete(of.zone(zone)?, id).await,
                _ => Err((404, "no such path".into())),
            }
        }
        Provider::DnSimple => {
            let parts = below("/v2")?;
            let [ACCOUNT, "zones", rest @ ..] = parts.as_slice() else {
                return Err((404, "no such account".into()));
            };
            match (&head.method, rest) {
                (&Method::GET, [zone]) => Ok((200, json!({ "data": { "id": 1, "name": of.zone(zone)? } }))),
                (&Method::GET, [zone, "records"]) => {
                    let (records, page, pages) = of.page(of.zone(zone)?, "per_page", 100).await?;
                    let pagination = json!({ "current_page": page, "per_page": 100, "total_pages": pages });
                    Ok((200, json!({ "data": records, "pagination": pagination })))
                }
                (&Method::POST, [zone, "records"]) => {
                    let made = of.make(of.zone(zone)?, &parse()?).await?;
                    Ok((201, json!({ "data": made })))
                }
                (&Method::DELETE, [zone, "records", id]) => of.delete(of.zone(zone)?, id).await,
                _ => Err((404, "no such path".into())),
            }
        }
        Provider::Linode => {
            let filter = text(head, HeaderName::from_static("x-filter"));
            let filter: Value = serde_json::from_str(filter).unwrap_or_default();
            match (&head.method, below("/v4/domains")?.as_slice()) {
                (&Method::GET, []) => {
                    let zones = shared.zones.names().iter();
                    let found = zones.filter(|zone| filter["domain"] == json!(zone));
                    let found: Vec<Value> = found
                        .map(|zone| json!({ "id": number(&hash(&[zone])), "domain": zone, "type": "master" }))
                        .collect();
                    Ok((
                        200,
                        json!({ "data": found, "page": 1, "pages": 1, "results": found.len() }),
                    ))
                }
                (&Method::GET, [id, "records"]) => {
                    let (records, page, pages) = of.page(of.numbered(id)?, "page_size", 500).await?;
                    Ok((200, json!({ "data": records, "page": page, "pages": pages })))
                }
                (&Method::POST, [id, "records"]) => Ok((200, of.make(of.numbered(id)?, &parse()?).await?)),
                (&Method::DELETE, [id, "records", record]) => {
                    of.delete(of.numbered(id)?, record).await?;
                    Ok((200, json!({})))
                }
                _ => Err((404, "Not found".into())),
            }
        }
        Provider::Scaleway => match (&head.method, below("/domain/v2beta1/dns-zones")?.as_slice()) {
            (&Method::GET, []) => {
                let wanted = parameter(head, "dns_zone");
                let zones = shared
                    .zones
                    .names()
                    .iter()
                    .filter(|zone| Some(*zone) == wanted.as_ref());
                let zones: Vec<Value> = zones
                    .map(|zone| json!({ "domain": zone, "subdomain": "", "status": "active" }))
                    .collect();
                Ok((200, json!({ "total_count": zones.len(), "dns_zones": zones })))
            }
            (&Method::GET, [zone, "records"]) => {
                let (records, ..) = of.page(of.zone(zone)?, "page_size", 100).await?;
                Ok((200, json!({ "total_count": records.len(), "records": records })))
            }
            (&Method::PATCH, [zone, "records"]) => {
                let (zone, body) = (of.zone(zone)?, parse()?);
                if body["disallow_new_zone_creation"] != json!(true) {
                    return Err((400, "a zone would be made of a name that is in none".into()));
                }
                for change in body["changes"].as_array().into_iter().flatten() {
                    for record in change["add"]["records"].as_array().into_iter().flatten() {
                        of.make(zone, record).await?;
                    }
                    if let Some(id) = change["delete"]["id"].as_str() {
                        of.delete(zone, id).await?;
                    }
                }
                Ok((200, json!({ "records": [] })))
            }
            _ => Err((404, "no such path".into())),
        },
        Provider::Hetzner => {
            let parts = below("/v1/zones")?;
            let zone = parts.first().copied().unwrap_or_default();
            let zone = of.zone(zone).or_else(|_| of.numbered(zone))?;
            match (&head.method, &parts[1..]) {
                (&Method::GET, []) => {
                    let id = number(&hash(&[zone]));
                    Ok((
                        200,
                        json!({ "zone": { "id": id, "name": zone, "mode": "primary" } }),
                    ))
                }
                (&Method::GET, ["rrsets"]) if parameter(head, "type").as_deref() == Some("TXT") => {
                    let sets: Vec<Value> = of
                        .texts(zone)
                        .await?
                        .iter()
                        .map(|(name, texts)| {
                            let quoted = texts
                                .values
                                .iter()
                                .map(|v| json!({ "value": format!("\"{v}\"") }));
                            let records: Vec<Value> = quoted.collect();
                            json!({ "name": below_zone(name, zone), "type": "TXT", "records": records })
                        })
                        .collect();
                    let pagination = json!({ "page": 1, "next_page": null, "total_entries": sets.len() });
                    Ok((
                        200,
                        json!({ "rrsets": sets, "meta": { "pagination": pagination } }),
                    ))
                }
                (&Method::POST, ["rrsets", name, "TXT", "actions", action]) => {
                    let body = parse()?;
                    let values = body["records"].as_array().into_iter().flatten();
                    let values: Option<Vec<&str>> = values.map(|record| inside(&record["value"])).collect();
                    let values = values.ok_or((422, "a TXT value stands in quotation marks".into()))?;
                    of.exchange(zone, &full(name, zone), action, &values).await?;
                    Ok((
                        201,
                        json!({ "action": { "id": 1, "status": "running", "command": action } }),
                    ))
                }
                _ => Err((404, "no such path".into())),
            }
        }
        Provider::Cloudflare
        | Provider::Route53
        | Provider::CloudDns
        | Provider::AzureDns
        | Provider::HttpReq
        | Provider::AcmeDns => Err((500, "it has a file of its own".into())),
    }
}

/// What each of them publishes of its records.
fn form(provider: Provider) -> Form {
    let form = |value, is_quoted, ttl, has_numbers| Form {
        value,
        is_quoted,
        ttl,
        has_numbers,
    };
    match provider {
        Provider::DigitalOcean => form("data", false, ("ttl", 30), true),
        Provider::DnSimple => form("content", false, ("ttl", 60), true),
        Provider::Linode => form("target", false, ("ttl_sec", 300), true),
        Provider::Vultr => form("data", true, ("ttl", 120), false),
        _ => form("data", true, ("ttl", 60), false),
    }
}

/// A request to one of them.
struct Of<'a> {
    shared: &'a Shared,
    head: &'a Parts,
    form: Form,
}

impl Of<'_> {
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

    /// A page of the zone's TXT records, its number and how many there are. `size`: the parameter that says how many a page
    /// has at most, of which no more than `most` are given.
    async fn page(&self, zone: &str, size: &str, most: usize) -> Result<(Vec<Value>, usize, usize), Refused> {
        let number = |name: &str| parameter(self.head, name).and_then(|text| text.parse::<usize>().ok());
        let size = number(size).unwrap_or(20);
        if size > most {
            return Err((422, format!("a page has at most {most} records")));
        }
        let page = number("page").or(number("cursor")).unwrap_or(1).max(1);
        let texts = self.texts(zone).await?;
        let all = texts
            .iter()
            .flat_map(|(name, at)| at.values.iter().map(move |value| (name, value)));
        let records: Vec<Value> = all
            .map(|(name, value)| self.record(below_zone(name, zone), value, &hash(&[name, value])))
            .collect();
        let pages = records.len().div_ceil(size).max(1);
        Ok((
            records.into_iter().skip((page - 1) * size).take(size).collect(),
            page,
            pages,
        ))
    }

    fn record(&self, name: &str, value: &str, id: &str) -> Value {
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
        record.insert("name".into(), name.into());
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
        let (Some(value), Some(name)) = (value, record["name"].as_str()) else {
            return Err((422, format!("{} or name is not as it should be", self.form.value)));
        };
        if name.ends_with(zone) {
            return Err((422, "name is one below the zone".into()));
        }
        let name = full(name, zone);
        self.exchange(zone, &name, "add_records", &[value]).await?;
        Ok(self.record(below_zone(&name, zone), value, &hash(&[&name, value])))
    }

    async fn delete(&self, zone: &str, id: &str) -> Result<(u16, Value), Refused> {
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

fn hash(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\n"));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// An ID that is a number.
fn number(hash: &str) -> u64 {
    u64::from_str_radix(&hash[..12], 16).unwrap_or_default()
}
