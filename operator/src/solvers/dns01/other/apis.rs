//! What the providers' APIs have, as each publishes it.

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Page, Zone};
use crate::solvers::dns01::api::encoded;
use crate::solvers::dns01::sets::TTL;

/// <https://docs.digitalocean.com/reference/api/digitalocean/#tag/Domain-Records>
pub(super) struct DigitalOcean;

/// <https://developer.dnsimple.com/v2/zones/records/>
pub(super) struct DnSimple;

/// <https://docs.hetzner.cloud/reference/cloud#zone-rrset-actions>: a record has no ID there, and is deleted by its value.
pub(super) struct Hetzner;

/// <https://techdocs.akamai.com/linode-api/reference/get-domain-records>
pub(super) struct Linode;

/// <https://www.scaleway.com/en/developers/api/domains-and-dns/>
pub(super) struct Scaleway;

/// <https://www.vultr.com/api/#tag/dns>
pub(super) struct Vultr;

impl Api for DigitalOcean {
    fn host(&self) -> &'static str {
        "https://api.digitalocean.com"
    }

    fn zone(&self, _: &str, zone: &str) -> Ask {
        Ask::get(format!("/v2/domains/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["domain"]["name"], zone).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let page = page.unwrap_or("1");
        let id = encoded(at.id);
        Ask::get(format!(
            "/v2/domains/{id}/records?type=TXT&per_page=200&page={page}"
        ))
    }

    fn read(&self, answer: &Value, _: Option<&str>) -> Option<Page> {
        // The next page's address, as in …&page=2.
        let next = answer["links"]["pages"]["next"].as_str();
        let next = next.and_then(|url| {
            let mut pairs = url.split_once('?')?.1.split('&');
            pairs.find_map(|pair| pair.strip_prefix("page="))
        });
        Some(Page {
            found: found(&answer["domain_records"], "data")?,
            next: next.filter(|page| page.parse::<u32>().is_ok()).map(str::to_owned),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let body = json!({ "type": "TXT", "name": name, "data": value, "ttl": TTL });
        Ask::post(format!("/v2/domains/{}/records", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v2/domains/{zone}/records/{id}"))
    }
}

impl Api for DnSimple {
    fn host(&self) -> &'static str {
        "https://api.dnsimple.com"
    }

    fn zone(&self, account: &str, zone: &str) -> Ask {
        Ask::get(format!("/v2/{}/zones/{}", encoded(account), encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["data"]["name"], zone).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (account, id, page) = (encoded(at.account), encoded(at.id), page.unwrap_or("1"));
        Ask::get(format!(
            "/v2/{account}/zones/{id}/records?type=TXT&per_page=100&page={page}"
        ))
    }

    fn read(&self, answer: &Value, _: Option<&str>) -> Option<Page> {
        let pages = &answer["pagination"];
        Some(Page {
            found: found(&answer["data"], "content")?,
            next: next_of(&pages["current_page"], &pages["total_pages"]),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        // The zone itself has no name there.
        let name = if name == "@" { "" } else { name };
        let body = json!({ "type": "TXT", "name": name, "content": value, "ttl": TTL });
        let (account, id) = (encoded(at.account), encoded(at.id));
        Ask::post(format!("/v2/{account}/zones/{id}/records"), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (account, zone, id) = (encoded(at.account), encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v2/{account}/zones/{zone}/records/{id}"))
    }
}

impl Api for Hetzner {
    fn host(&self) -> &'static str {
        "https://api.hetzner.cloud"
    }

    fn zone(&self, _: &str, zone: &str) -> Ask {
        Ask::get(format!("/v1/zones/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let found = &answer["zone"];
        // Of a secondary zone the records come from elsewhere.
        let is_it = is(&found["name"], zone) && found["mode"].as_str() != Some("secondary");
        text(&found["id"]).filter(|_| is_it)
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page) = (encoded(at.id), page.unwrap_or("1"));
        Ask::get(format!("/v1/zones/{id}/rrsets?type=TXT&per_page=50&page={page}"))
    }

    fn read(&self, answer: &Value, _: Option<&str>) -> Option<Page> {
        let mut all = Vec::new();
        for set in answer["rrsets"].as_array()? {
            let name = set["name"].as_str()?;
            for record in set["records"].as_array()? {
                let value = record["value"].as_str()?;
                all.push(Found {
                    id: value.to_owned(),
                    name: name.to_owned(),
                    value: unquoted(value).to_owned(),
                });
            }
        }
        Some(Page {
            found: all,
            next: text(&answer["meta"]["pagination"]["next_page"]),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        // Its TTL is that of the set, or of the zone.
        changed(at, name, "add_records", &quoted(value))
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        changed(at, &found.name, "remove_records", &found.id)
    }
}

/// Has one value of a set added or removed.
fn changed(at: &Zone<'_>, name: &str, action: &str, value: &str) -> Ask {
    let (id, name) = (encoded(at.id), encoded(name));
    let body = json!({ "records": [{ "value": value }] });
    Ask::post(format!("/v1/zones/{id}/rrsets/{name}/TXT/actions/{action}"), body)
}

impl Linode {
    /// The shortest TTL that it takes.
    const TTL: u32 = 300;

    fn filtered(path: String, filter: &Value) -> Ask {
        Ask {
            header: Some((HeaderName::from_static("x-filter"), filter.to_string())),
            ..Ask::get(path)
        }
    }
}

impl Api for Linode {
    fn host(&self) -> &'static str {
        "https://api.linode.com"
    }

    fn zone(&self, _: &str, zone: &str) -> Ask {
        Self::filtered("/v4/domains".into(), &json!({ "domain": zone }))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["data"].as_array()?.iter();
        // Of a slave zone the records come from elsewhere.
        let found = zones.find(|found| is(&found["domain"], zone) && is(&found["type"], "master"))?;
        text(&found["id"])
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page) = (encoded(at.id), page.unwrap_or("1"));
        let path = format!("/v4/domains/{id}/records?page_size=500&page={page}");
        Self::filtered(path, &json!({ "type": "TXT" }))
    }

    fn read(&self, answer: &Value, _: Option<&str>) -> Option<Page> {
        Some(Page {
            found: found(&answer["data"], "target")?,
            next: next_of(&answer["page"], &answer["pages"]),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let body = json!({ "type": "TXT", "name": name, "target": value, "ttl_sec": Self::TTL });
        Ask::post(format!("/v4/domains/{}/records", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v4/domains/{zone}/records/{id}"))
    }
}

impl Scaleway {
    /// The most records of a page.
    const PAGE: usize = 100;

    fn changed(at: &Zone<'_>, change: &Value) -> Ask {
        // A name that is none of the zone's is not to become a zone.
        let body =
            json!({ "changes": [change], "return_all_records": false, "disallow_new_zone_creation": true });
        Ask {
            method: Method::PATCH,
            body: Some(body),
            ..Ask::get(format!("/domain/v2beta1/dns-zones/{}/records", encoded(at.id)))
        }
    }
}

impl Api for Scaleway {
    fn host(&self) -> &'static str {
        "https://api.scaleway.com"
    }

    fn auth(&self) -> (HeaderName, &'static str) {
        (HeaderName::from_static("x-auth-token"), "")
    }

    fn zone(&self, _: &str, zone: &str) -> Ask {
        Ask::get(format!(
            "/domain/v2beta1/dns-zones?dns_zone={}&page_size=100",
            encoded(zone)
        ))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer["dns_zones"].as_array()?.iter();
        let found = zones.find(|found| {
            let (domain, below) = (text(&found["domain"]), text(&found["subdomain"]));
            let name = match (domain, below) {
                (Some(domain), Some(below)) if !below.is_empty() => format!("{below}.{domain}"),
                (domain, _) => domain.unwrap_or_default(),
            };
            name.eq_ignore_ascii_case(zone) && found["status"].as_str() != Some("pending")
        });
        found.map(|_| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, page, size) = (encoded(at.id), page.unwrap_or("1"), Self::PAGE);
        Ask::get(format!(
            "/domain/v2beta1/dns-zones/{id}/records?type=TXT&page_size={size}&page={page}"
        ))
    }

    fn read(&self, answer: &Value, page: Option<&str>) -> Option<Page> {
        let is_full = answer["records"].as_array()?.len() >= Self::PAGE;
        let page: u32 = page.map_or(Some(1), |page| page.parse().ok())?;
        Some(Page {
            found: found(&answer["records"], "data")?,
            next: is_full.then(|| (page + 1).to_string()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let record = json!({ "name": name, "type": "TXT", "data": quoted(value), "ttl": TTL });
        Self::changed(at, &json!({ "add": { "records": [record] } }))
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        Self::changed(at, &json!({ "delete": { "id": found.id } }))
    }
}

impl Vultr {
    /// The shortest TTL that it takes.
    const TTL: u32 = 120;
}

impl Api for Vultr {
    fn host(&self) -> &'static str {
        "https://api.vultr.com"
    }

    fn zone(&self, _: &str, zone: &str) -> Ask {
        Ask::get(format!("/v2/domains/{}", encoded(zone)))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        is(&answer["domain"]["domain"], zone).then(|| zone.to_owned())
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let id = encoded(at.id);
        let cursor = page.map(|cursor| format!("&cursor={}", encoded(cursor)));
        let cursor = cursor.unwrap_or_default();
        Ask::get(format!("/v2/domains/{id}/records?per_page=500{cursor}"))
    }

    fn read(&self, answer: &Value, _: Option<&str>) -> Option<Page> {
        let next = text(&answer["meta"]["links"]["next"]);
        Some(Page {
            found: found(&answer["records"], "data")?,
            next: next.filter(|cursor| !cursor.is_empty()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let name = if name == "@" { "" } else { name };
        let body = json!({ "type": "TXT", "name": name, "data": quoted(value), "ttl": Self::TTL });
        Ask::post(format!("/v2/domains/{}/records", encoded(at.id)), body)
    }

    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask {
        let (zone, id) = (encoded(at.id), encoded(&found.id));
        Ask::delete(format!("/v2/domains/{zone}/records/{id}"))
    }
}

/// The TXT records of a list, whose values stand in `field`.
fn found(records: &Value, field: &str) -> Option<Vec<Found>> {
    let txt = records
        .as_array()?
        .iter()
        .filter(|record| is(&record["type"], "TXT"));
    txt.map(|record| {
        Some(Found {
            id: text(&record["id"])?,
            name: text(&record["name"])?,
            value: unquoted(record[field].as_str()?).to_owned(),
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
