//! Providers by one form: zone → its TXT records → those that are missing are made, those that are to go are deleted.
//!
//! At all of them (`apis`) a value can be made and deleted on its own, whatever else stands under its name: so nothing that
//! another replica, cluster or person writes meanwhile is lost, and no set is written back.

mod apis;
mod change;

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use jiff::Timestamp;
use sancho_core::response::Response;
use sancho_crds::{OtherProvider as Settings, SecretKeySelector};
use serde_json::Value;

use self::apis::{Api, Ask, Body, Found, Login, Page, Zone, said};
use super::api::{Account, ApiRequest, Provider, header};
use super::credentials::Credentials;
use super::fault::{CREDENTIALS_MISSING, DnsFault, PROVIDER_FAILS, UPDATE_REFUSED, ZONE_REFUSED};
use super::session::Granted;

/// How long a zone's ID is believed.
const REMEMBERED: Duration = Duration::from_secs(600);
/// The most pages of a zone's records that are read.
const MOST_PAGES: usize = 500;

/// An account at a provider.
pub(super) struct Other {
    api: &'static dyn Api,
    name: &'static str,
    account: Account,
    by: Login,
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
            account: id,
        } = settings;
        let path = "provider.tokenSecretRef";
        let token = credentials.text(token_secret_ref, "the API token", path).await?;
        let id = id.clone().unwrap_or_default();
        let by = Login { id, token };
        let api = apis::of(*name);
        if !api.is_usable(&by) {
            let SecretKeySelector { name: secret, key } = token_secret_ref;
            let words = format!(
                "field {key} of Secret {secret} is not what {} lets in by: put there, whole, what docs/solvers.md has for \
                 {}",
                name.title(),
                name.word()
            );
            return Err(DnsFault::new(CREDENTIALS_MISSING, &words));
        }
        let words = [by.id.as_str(), by.token.as_str()];
        let account = credentials.account(Provider::Other(*name), words).await?;
        Ok(Self {
            api,
            name: name.title(),
            account,
            by,
        })
    }

    /// Could records be written in `zone`? Looks whether the token is taken and the zone is the account's.
    pub(super) async fn check(&self, zone: &str) -> Result<(), DnsFault> {
        self.zone(zone).await.map(drop)
    }

    /// The zone's ID.
    async fn zone(&self, zone: &str) -> Result<String, DnsFault> {
        let _turn = self.account.turn(zone).await?;
        if let Some(id) = self.account.recall(zone) {
            return Ok(id.to_string());
        }
        let response = self.send("listZones", self.api.zone(&self.by, zone)).await?;
        let found = match status(self.api, &response) {
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
            let read = self.api.read(at, &answer, page.as_deref());
            let Page { found, next } = read.ok_or_else(|| self.account.unreadable(&response))?;
            records.extend(found);
            page = next.or_else(|| response.of_provider?.next_page);
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
        if self.api.login(&self.by, Timestamp::now()).is_none() {
            let ask = self.api.let_in(&self.by, ask, Timestamp::now());
            return self.send_as_it_is(kind, ask).await;
        }
        let send = |token| {
            let by = Login {
                id: self.by.id.clone(),
                token,
            };
            self.send_as_it_is(kind, self.api.let_in(&by, ask.clone(), Timestamp::now()))
        };
        let is_ended = |response: &Response| status(self.api, response) == 401;
        self.account.in_session(|| self.log_in(), send, is_ended).await
    }

    /// A session that stands in place of the token.
    async fn log_in(&self) -> Result<Granted, DnsFault> {
        let ask = self.api.login(&self.by, Timestamp::now());
        let ask = ask.ok_or_else(|| self.refused(&Value::Null))?;
        let response = self.send_as_it_is("login", ask).await?;
        let answer = serde_json::from_slice(&response.body).unwrap_or_default();
        if !(200..300).contains(&status(self.api, &response)) {
            return Err(self.refused(&answer));
        }
        let said = response.of_provider.as_deref();
        let cookies = said.map_or(&[][..], |said| &said.cookies);
        let session = self.api.session_with(&answer, cookies);
        let (token, time) = session.ok_or_else(|| self.account.unreadable(&response))?;
        Ok(Granted {
            token,
            time: time.mul_f64(0.9),
        })
    }

    async fn send_as_it_is(&self, kind: &'static str, ask: Ask) -> Result<Response, DnsFault> {
        let Ask {
            host,
            method,
            path,
            headers: asked,
            body,
        } = ask;
        let mut headers = Vec::new();
        for (name, value) in asked {
            headers.push((name, header(&value)?));
        }
        let (kind_of_body, body) = match body {
            None => (None, Vec::new()),
            Some(Body::Json(json)) => (Some("application/json"), json.to_string().into()),
            Some(Body::Form(pairs)) => (
                Some("application/x-www-form-urlencoded"),
                pairs.as_bytes().to_vec(),
            ),
        };
        if let Some(kind_of_body) = kind_of_body
            && !headers.iter().any(|(name, _)| *name == CONTENT_TYPE)
        {
            headers.push((CONTENT_TYPE, HeaderValue::from_static(kind_of_body)));
        }
        let own = self.api.host_of(&self.by);
        let request = ApiRequest {
            kind,
            method,
            host: host.or(own.as_deref()).unwrap_or(self.api.host()),
            path,
            headers,
            body,
        };
        let api = self.api;
        let is_throttle = move |response: &Response| status(api, response) == 429;
        let sent = self.account.send(request, is_throttle).await;
        sent.map_err(|fault| match api.besides_haste() {
            Some(words) if fault.is_of_pace() => {
                DnsFault::new(fault.reason, &format!("{} ({words})", fault.words))
            }
            _ => fault,
        })
    }

    /// What the API says, if it did what was asked; null if it says nothing.
    fn judged(&self, response: &Response, zone: &str) -> Result<Value, DnsFault> {
        let answer = serde_json::from_slice::<Value>(&response.body);
        let status = status(self.api, response);
        if (200..300).contains(&status) {
            return match response.body.trim_ascii().is_empty() {
                true => Ok(Value::Null),
                false => answer.map_err(|_| self.account.unreadable(response)),
            };
        }
        // The next look finds the zone anew.
        self.account.forget(zone);
        let answer = answer.unwrap_or_default();
        let words = said(&answer);
        let name = self.name;
        Err(match status {
            401 => self.refused(&answer),
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

    fn refused(&self, answer: &Value) -> DnsFault {
        let account = match self.by.id.is_empty() {
            true => "",
            false => ", and what belongs to it into dns01.provider.account",
        };
        let mend = format!(
            "put a valid API token into the Secret of dns01.provider.tokenSecretRef, and nothing else{account}; docs/solvers.md \
             has what it must be allowed to do, and whether it is for certain addresses alone"
        );
        self.account.refused(&said(answer), &mend)
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

/// What became of a request.
fn status(api: &dyn Api, response: &Response) -> u16 {
    let answer = serde_json::from_slice(&response.body).unwrap_or_default();
    api.status(response.status, &answer)
}

#[cfg(test)]
mod tests;
