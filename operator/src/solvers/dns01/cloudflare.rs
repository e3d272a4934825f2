//! Cloudflare's API (v4): zone → batch of records. <https://developers.cloudflare.com/api/resources/dns/>
//!
//! Each record has an ID of its own, so that adding and removing one leaves others under its name alone. A batch is
//! carried out whole or not at all. Records are marked by a comment, by which those to be removed are found again in one
//! request, and no record that somebody else made is removed.

use std::time::Duration;

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use sancho_core::response::Response;
use sancho_core::shown::shown_within;
use sancho_crds::Cloudflare as Settings;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::TxtRecord;
use super::api::{Account, ApiRequest, encoded, header};
use super::credentials::Credentials;
use super::fault::{DnsFault, PROVIDER_THROTTLES, UPDATE_REFUSED, ZONE_REFUSED};
use super::sets::TTL;

const HOST: &str = "https://api.cloudflare.com";
/// What marks a record.
const COMMENT: &str = "ACME challenge, written by Sancho";
/// The records that are asked for at once.
const PAGE: usize = 500;
/// How long a zone's ID is believed.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How often a change is tried that others are in the way of.
const MOST_ROUNDS: usize = 4;
/// "An A, AAAA, or CNAME record with that host already exists", and the same for an identical record.
const EXISTS: [i64; 2] = [81057, 81058];
/// "Record does not exist".
const GONE: [i64; 2] = [81044, 81043];
/// The token, or key, is none: invalid headers, an invalid token, an unknown key.
const BAD_TOKEN: [i64; 6] = [1000, 6003, 6111, 9103, 9109, 10001];

const X_AUTH_EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const X_AUTH_KEY: HeaderName = HeaderName::from_static("x-auth-key");

/// An account at Cloudflare.
pub(super) struct Cloudflare {
    account: Account,
    auth: Vec<(HeaderName, HeaderValue)>,
}

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Answer<T> {
    success: bool,
    #[serde(default = "Vec::new")]
    errors: Vec<ApiError>,
    result: Option<T>,
    result_info: Option<Pages>,
}

#[derive(Deserialize)]
struct ApiError {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
struct Pages {
    total_pages: usize,
}

#[derive(Deserialize)]
struct Zone {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    name: String,
    content: String,
}

/// Why a batch was not carried out.
enum Refusal {
    /// What is to be made is there, or what is to be removed is not.
    Differs,
    Fault(DnsFault),
}

impl Cloudflare {
    /// The account of `settings`.
    ///
    /// # Errors
    /// [`DnsFault`] says what credential is missing.
    pub(super) async fn new(settings: &Settings, credentials: &Credentials<'_>) -> Result<Self, DnsFault> {
        let Settings {
            api_token_secret_ref,
            api_key_secret_ref,
            email,
        } = settings;
        let (identity, auth) = match (api_token_secret_ref, api_key_secret_ref) {
            (Some(reference), _) => {
                let path = "cloudflare.apiTokenSecretRef";
                let token = credentials.text(reference, "the API token", path).await?;
                let bearer = Zeroizing::new(format!("Bearer {}", *token));
                let auth = vec![(AUTHORIZATION, header(&bearer)?)];
                (token, auth)
            }
            (None, Some(reference)) => {
                let path = "cloudflare.apiKeySecretRef";
                let key = credentials.text(reference, "the global API key", path).await?;
                let email = email.as_deref().unwrap_or_default();
                let auth = vec![(X_AUTH_EMAIL, header(email)?), (X_AUTH_KEY, header(&key)?)];
                (Zeroizing::new(format!("{email} {}", *key)), auth)
            }
            (None, None) => return Err(credentials.none("cloudflare.apiTokenSecretRef")),
        };
        let words = [identity.as_str()];
        let account = credentials.account(super::Provider::Cloudflare, words).await?;
        Ok(Self { account, auth })
    }

    /// Could records be written in `zone`? Looks whether the token is taken and the zone is the account's.
    pub(super) async fn check(&self, zone: &str) -> Result<(), DnsFault> {
        self.zone(zone).await.map(drop)
    }

    /// Has these records there, all of them or none.
    pub(super) async fn add(&self, zone: &str, records: &[&TxtRecord]) -> Result<(), DnsFault> {
        let id = self.zone(zone).await?;
        let mut missing: Vec<&TxtRecord> = records.to_vec();
        for _ in 0..MOST_ROUNDS {
            if missing.is_empty() {
                return Ok(());
            }
            let posts: Vec<Value> = missing
                .iter()
                .map(|record| {
                    json!({
                        "type": "TXT", "name": record.name, "content": format!("\"{}\"", record.value),
                        "ttl": TTL, "comment": COMMENT,
                    })
                })
                .collect();
            match self.batch(zone, &id, &json!({ "posts": posts })).await {
                Ok(()) => return Ok(()),
                Err(Refusal::Fault(fault)) => return Err(fault),
                Err(Refusal::Differs) => {
                    // All, with or without the mark: an identical one that somebody else made does as well.
                    let there = self.records(zone, &id, "").await?;
                    missing.retain(|record| !there.iter().any(|known| known.is(record)));
                }
            }
        }
        Err(in_the_way())
    }

    /// Has these records gone.
    pub(super) async fn remove(&self, zone: &str, records: &[&TxtRecord]) -> Result<(), DnsFault> {
        let id = self.zone(zone).await?;
        let marked = format!("&comment.exact={}", encoded(COMMENT));
        for _ in 0..MOST_ROUNDS {
            let there = self.records(zone, &id, &marked).await?;
            let deletes: Vec<Value> = there
                .iter()
                .filter(|known| records.iter().any(|record| known.is(record)))
                .map(|known| json!({ "id": known.id }))
                .collect();
            if deletes.is_empty() {
                return Ok(());
            }
            match self.batch(zone, &id, &json!({ "deletes": deletes })).await {
                Ok(()) => return Ok(()),
                Err(Refusal::Fault(fault)) => return Err(fault),
                Err(Refusal::Differs) => {}
            }
        }
        Err(in_the_way())
    }

    /// The ID of the zone, of the one that is served.
    async fn zone(&self, zone: &str) -> Result<String, DnsFault> {
        let _turn = self.account.turn(zone).await?;
        if let Some(id) = self.account.recall(zone) {
            return Ok(id.to_string());
        }
        // Of the same name there may be another one, in another account, that is not served: nobody would see what is
        // written there.
        let path = format!("/client/v4/zones?name={}&status=active", encoded(zone));
        let response = self.send("listZones", Method::GET, path, None).await?;
        let answer: Answer<Vec<Zone>> = self.read(&response, zone)?;
        let zones = answer.result.unwrap_or_default();
        let Some(found) = zones
            .into_iter()
            .find(|found| found.name.eq_ignore_ascii_case(zone))
        else {
            return Err(DnsFault::new(
                ZONE_REFUSED,
                &format!(
                    "Cloudflare shows no active zone {zone} to these credentials: give the token the permissions Zone:Read \
                     and DNS:Edit for it; if its status there is pending, have the domain delegated to its name servers; or \
                     choose another solver for its names by a selector"
                ),
            ));
        };
        self.account.remember(zone, &found.id, REMEMBERED);
        Ok(found.id)
    }

    /// The TXT records of a zone, as far as they fit the query.
    async fn records(&self, zone: &str, id: &str, query: &str) -> Result<Vec<Record>, DnsFault> {
        let mut records = Vec::new();
        let mut page = 1;
        loop {
            let path = format!(
                "/client/v4/zones/{}/dns_records?type=TXT&page={page}&per_page={PAGE}{query}",
                encoded(id)
            );
            let response = self.send("listRecords", Method::GET, path, None).await?;
            let answer: Answer<Vec<Record>> = self.read(&response, zone)?;
            records.extend(answer.result.unwrap_or_default());
            if answer.result_info.is_none_or(|pages| page >= pages.total_pages) {
                return Ok(records);
            }
            page += 1;
        }
    }

    async fn batch(&self, zone: &str, id: &str, body: &Value) -> Result<(), Refusal> {
        let path = format!("/client/v4/zones/{}/dns_records/batch", encoded(id));
        let response = self
            .send("changeRecords", Method::POST, path, Some(body))
            .await
            .map_err(Refusal::Fault)?;
        if let Ok(answer) = serde_json::from_slice::<Answer<Value>>(&response.body) {
            let conflicts = |error: &ApiError| EXISTS.contains(&error.code) || GONE.contains(&error.code);
            if !answer.success && answer.errors.iter().any(conflicts) {
                return Err(Refusal::Differs);
            }
        }
        self.read::<Value>(&response, zone)
            .map(drop)
            .map_err(Refusal::Fault)
    }

    async fn send(
        &self,
        kind: &'static str,
        method: Method,
        path: String,
        body: Option<&Value>,
    ) -> Result<Response, DnsFault> {
        let mut headers = self.auth.clone();
        if body.is_some() {
            headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        }
        let request = ApiRequest {
            kind,
            method,
            host: HOST,
            path,
            headers,
            body: body.map(Value::to_string).unwrap_or_default().into(),
        };
        self.account.send(request, |_| false).await
    }

    /// What the API says, if it did what was asked.
    fn read<T: DeserializeOwned>(&self, response: &Response, zone: &str) -> Result<Answer<T>, DnsFault> {
        match serde_json::from_slice::<Answer<T>>(&response.body) {
            Ok(answer) if answer.success && response.is_success() => Ok(answer),
            Ok(answer) => Err(self.fault(response, &answer.errors, zone)),
            // An error has no result of the kind that was asked for.
            Err(_) => match serde_json::from_slice::<Answer<Value>>(&response.body) {
                Ok(answer) if !answer.success => Err(self.fault(response, &answer.errors, zone)),
                Ok(_) | Err(_) => Err(self.account.unreadable(response)),
            },
        }
    }

    fn fault(&self, response: &Response, errors: &[ApiError], zone: &str) -> DnsFault {
        let words: Vec<String> = errors
            .iter()
            .take(2)
            .map(|error| format!("{} {}", error.code, error.message))
            .collect();
        let words = shown_within(&words.join("; "), 160);
        // The next look finds the zone anew.
        self.account.forget(zone);
        match response.status {
            400 | 401 | 403 if response.status == 401 || errors.iter().any(|e| BAD_TOKEN.contains(&e.code)) => {
                self.account.refused(
                    &words,
                    "put a valid API token into the Secret of dns01.cloudflare.apiTokenSecretRef, and nothing else",
                )
            }
            403 => DnsFault::new(
                UPDATE_REFUSED,
                &format!(
                    "Cloudflare does not let these credentials read or write the zone {zone} ({words}): give the token \
                     the permissions Zone:Read and DNS:Edit for it"
                ),
            ),
            404 => DnsFault::new(
                ZONE_REFUSED,
                &format!(
                    "Cloudflare has no zone {zone} for these credentials any more ({words}): add it there again, use \
                     credentials of the account that has it, or choose another solver for its names by a selector"
                ),
            ),
            status => DnsFault::new(
                UPDATE_REFUSED,
                &format!("Cloudflare refuses to write TXT records in the zone {zone} (HTTP status {status}: {words})"),
            ),
        }
    }
}

impl Record {
    fn is(&self, record: &TxtRecord) -> bool {
        let content = self.content.as_str();
        let plain = content
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(content);
        self.name.eq_ignore_ascii_case(&record.name) && plain == record.value
    }
}

fn in_the_way() -> DnsFault {
    DnsFault::new(
        PROVIDER_THROTTLES,
        "others change the same TXT records all the time: tried again later",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_known_with_and_without_its_quotation_marks() {
        let record = TxtRecord {
            zone: "a.example".into(),
            name: "_acme-challenge.a.example".into(),
            value: "v".into(),
            domain: "a.example".into(),
        };
        let known = |name: &str, content: &str| {
            let known = Record {
                id: "1".into(),
                name: name.into(),
                content: content.into(),
            };
            known.is(&record)
        };
        assert!(known("_acme-challenge.a.example", "\"v\""));
        assert!(known("_ACME-challenge.a.example", "v"));
        assert!(!known("_acme-challenge.b.example", "v"));
        assert!(!known("_acme-challenge.a.example", "\"w\""));
    }

    #[test]
    fn errors_are_read_whatever_the_result_is() {
        let body = r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}"#;
        let answer: Answer<Vec<Zone>> = serde_json::from_str(body).unwrap();
        assert!(!answer.success && answer.result.is_none());
        assert_eq!(answer.errors[0].code, 10000);
    }
}
