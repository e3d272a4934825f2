//! Providers by one form: zone → its TXT records → those that are missing are made, those that are to go are deleted.
//!
//! At all of them (`apis`) a value can be made and deleted on its own, whatever else stands under its name: so nothing that
//! another replica, cluster or person writes meanwhile is lost, and no set is written back.

mod apis;

use std::time::Duration;

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use sancho_core::response::Response;
use sancho_core::shown::shown_within;
use sancho_crds::{OtherProvider as Settings, ProviderName};
use serde_json::Value;
use zeroize::Zeroizing;

use self::apis::{DigitalOcean, DnSimple, Hetzner, Linode, Scaleway, Vultr};
use super::TxtRecord;
use super::api::{Account, ApiRequest, Provider, header};
use super::credentials::Credentials;
use super::fault::{DnsFault, PROVIDER_FAILS, UPDATE_REFUSED, ZONE_REFUSED};
use super::sets::Wish;

/// How long a zone's ID is believed.
const REMEMBERED: Duration = Duration::from_secs(600);
/// The most pages of a zone's records that are read.
const MOST_PAGES: usize = 100;

/// An account at a provider.
pub(super) struct Other {
    api: &'static dyn Api,
    name: &'static str,
    account: Account,
    auth: (HeaderName, HeaderValue),
    /// The account's ID there, of a provider that asks for it.
    id: String,
}

/// A provider's API, as far as it is used. Pure: requests, and what their answers say.
trait Api: Sync {
    /// The provider's own host.
    fn host(&self) -> &'static str;
    /// By which header a token lets in, and what stands there before the token.
    fn auth(&self) -> (HeaderName, &'static str) {
        (AUTHORIZATION, "Bearer ")
    }
    /// Asks for a zone. `account`: the account's ID.
    fn zone(&self, account: &str, zone: &str) -> Ask;
    /// The ID of the zone by which its records are asked for, if the answer has the zone.
    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String>;
    /// Asks for the TXT records of a zone: the first page, or another one.
    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask;
    /// What the answer has to this page; nothing if it is none.
    fn read(&self, answer: &Value, page: Option<&str>) -> Option<Page>;
    /// Makes a record of this value under a name below the zone.
    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask;
    /// Deletes a record.
    fn delete(&self, at: &Zone<'_>, found: &Found) -> Ask;
}

/// A zone.
struct Zone<'a> {
    /// The account's ID.
    account: &'a str,
    name: &'a str,
    id: &'a str,
}

/// A request.
#[derive(Debug, PartialEq)]
struct Ask {
    method: Method,
    path: String,
    header: Option<(HeaderName, String)>,
    body: Option<Value>,
}

/// Some of a zone's TXT records.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    found: Vec<Found>,
    /// What the next page is asked for by, if there is one.
    next: Option<String>,
}

/// A TXT record.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// By which it is deleted.
    id: String,
    /// Its name below the zone; of the zone itself `@` or nothing.
    name: String,
    /// Its value, without quotation marks around it.
    value: String,
}

impl Other {
    /// The account of `settings`.
    ///
    /// # Errors
    /// [`DnsFault`] says what credential is missing.
    pub(super) async fn new(settings: &Settings, credentials: &Credentials<'_>) -> Result<Self, DnsFault> {
        let Settings {
            name,
            token_secret_ref,
            account_id,
        } = settings;
        let (api, provider): (&'static dyn Api, Provider) = match name {
            ProviderName::DigitalOcean => (&DigitalOcean, Provider::DigitalOcean),
            ProviderName::DnSimple => (&DnSimple, Provider::DnSimple),
            ProviderName::Hetzner => (&Hetzner, Provider::Hetzner),
            ProviderName::Linode => (&Linode, Provider::Linode),
            ProviderName::Scaleway => (&Scaleway, Provider::Scaleway),
            ProviderName::Vultr => (&Vultr, Provider::Vultr),
        };
        let path = "provider.tokenSecretRef";
        let token = credentials.text(token_secret_ref, "the API token", path).await?;
        let (by, before) = api.auth();
        let auth = Zeroizing::new(format!("{before}{}", *token));
        Ok(Self {
            api,
            name: provider.name(),
            account: credentials.account(provider, [token.as_str()]),
            auth: (by, header(&auth)?),
            id: account_id.clone().unwrap_or_default(),
        })
    }

    /// Could records be written in `zone`? Looks whether the token is taken and the zone is the account's.
    pub(super) async fn check(&self, zone: &str) -> Result<(), DnsFault> {
        self.zone(zone).await.map(drop)
    }

    /// Has these records of `zone` there or gone, one after the other.
    pub(super) async fn change(
        &self,
        zone: &str,
        wish: Wish,
        records: &[&TxtRecord],
    ) -> Result<(), DnsFault> {
        let id = self.zone(zone).await?;
        let _turn = self.account.turn(&changes(zone)).await?;
        let at = Zone {
            account: &self.id,
            name: zone,
            id: &id,
        };
        let there = self.records(&at).await?;
        match wish {
            Wish::There => {
                let is_missing = |record: &&&TxtRecord| !there.iter().any(|found| found.is(record, zone));
                for record in records.iter().filter(is_missing) {
                    let ask = self.api.make(&at, below(&record.name, zone), &record.value);
                    let response = self.send("changeRecords", ask).await?;
                    self.judged(&response, zone)?;
                }
            }
            Wish::Gone => {
                let is_unwanted = |found: &&Found| records.iter().any(|record| found.is(record, zone));
                for found in there.iter().filter(is_unwanted) {
                    let response = self.send("changeRecords", self.api.delete(&at, found)).await?;
                    if response.status != 404 {
                        self.judged(&response, zone)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The zone's ID.
    async fn zone(&self, zone: &str) -> Result<String, DnsFault> {
        let _turn = self.account.turn(zone).await?;
        if let Some(id) = self.account.recall(zone) {
            return Ok(id.to_string());
        }
        let response = self.send("listZones", self.api.zone(&self.id, zone)).await?;
        let found = match response.status {
            404 => None,
            _ => self.api.zone_id(&self.judged(&response, zone)?, zone),
        };
        let Some(id) = found else {
            return Err(self.absent(zone));
        };
        self.account.remember(zone, &id, REMEMBERED);
        Ok(id)
    }

    async fn records(&self, at: &Zone<'_>) -> Result<Vec<Found>, DnsFault> {
        let mut records = Vec::new();
        let mut page: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let ask = self.api.records(at, page.as_deref());
            let response = self.send("listRecords", ask).await?;
            let answer = self.judged(&response, at.name)?;
            let read = self.api.read(&answer, page.as_deref());
            let Page { found, next } = read.ok_or_else(|| self.account.unreadable(&response))?;
            records.extend(found);
            page = next;
            if page.is_none() {
                return Ok(records);
            }
        }
        Err(DnsFault::new(
            UPDATE_REFUSED,
            &format!(
                "the zone {} has too many TXT records at {} to be read: have a CNAME at _acme-challenge of the name lead to \
                 a zone of its own",
                at.name, self.name
            ),
        ))
    }

    async fn send(&self, kind: &'static str, ask: Ask) -> Result<Response, DnsFault> {
        let Ask {
            method,
            path,
            header: further,
            body,
        } = ask;
        let mut headers = vec![self.auth.clone()];
        if let Some((name, value)) = further {
            headers.push((name, header(&value)?));
        }
        if body.is_some() {
            headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        }
        let request = ApiRequest {
            kind,
            method,
            host: self.api.host(),
            path,
            headers,
            body: body.map(|body| body.to_string()).unwrap_or_default().into(),
        };
        self.account.send(request, |_| false).await
    }

    /// What the API says, if it did what was asked; null if it says nothing.
    fn judged(&self, response: &Response, zone: &str) -> Result<Value, DnsFault> {
        let answer = serde_json::from_slice::<Value>(&response.body);
        if response.is_success() {
            return match response.body.trim_ascii().is_empty() {
                true => Ok(Value::Null),
                false => answer.map_err(|_| self.account.unreadable(response)),
            };
        }
        // The next look finds the zone anew.
        self.account.forget(zone);
        let words = said(&answer.unwrap_or_default());
        let name = self.name;
        Err(match response.status {
            401 => self.account.refused(
                &words,
                "put a valid API token into the Secret of dns01.provider.tokenSecretRef, and nothing else",
            ),
            403 => DnsFault::new(
                UPDATE_REFUSED,
                &format!(
                    "{name} does not let this token read or write the zone {zone} ({words}): give it leave to read and \
                     write DNS"
                ),
            ),
            404 => self.absent(zone),
            // Something else is being done to the zone.
            409 | 423 => DnsFault::new(
                PROVIDER_FAILS,
                &format!("{name} is busy with the zone {zone} ({words}): tried again"),
            ),
            status => DnsFault::new(
                UPDATE_REFUSED,
                &format!(
                    "{name} refuses to write TXT records in the zone {zone} (HTTP status {status}: {words})"
                ),
            ),
        })
    }

    fn absent(&self, zone: &str) -> DnsFault {
        DnsFault::new(
            ZONE_REFUSED,
            &format!(
                "{} shows no zone {zone} that is served to this token: add it there, use a token of the account that has it, \
                 or choose another solver for its names by a selector",
                self.name
            ),
        )
    }
}

impl Ask {
    fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            header: None,
            body: None,
        }
    }

    fn delete(path: String) -> Self {
        Self {
            method: Method::DELETE,
            ..Self::get(path)
        }
    }

    fn post(path: String, body: Value) -> Self {
        Self {
            method: Method::POST,
            body: Some(body),
            ..Self::get(path)
        }
    }
}

impl Found {
    fn is(&self, record: &TxtRecord, zone: &str) -> bool {
        let name = below(&record.name, zone);
        let is_same_name = match name {
            "@" => self.name.is_empty() || self.name == "@",
            name => self.name.eq_ignore_ascii_case(name),
        };
        is_same_name && self.value == record.value
    }
}

/// What is asked one after the other.
fn changes(zone: &str) -> String {
    format!("changes of {zone}")
}

/// A name without its zone; `@` for the zone itself.
fn below<'n>(name: &'n str, zone: &str) -> &'n str {
    if name == zone {
        return "@";
    }
    let below = name.strip_suffix(zone).and_then(|rest| rest.strip_suffix('.'));
    below.unwrap_or(name)
}

/// What an API says of a refusal, whichever way it does.
fn said(answer: &Value) -> String {
    let first = &answer["errors"][0];
    let places = [
        &answer["message"],
        &answer["error"]["message"],
        &answer["error"],
        &first["reason"],
        &first["message"],
    ];
    let words = places.into_iter().find_map(Value::as_str);
    shown_within(words.unwrap_or("it does not say why"), 160)
}

#[cfg(test)]
mod tests;
