//! Google Cloud DNS's API (v1): managed zone → change, which is carried out whole or not at all.
//! <https://cloud.google.com/dns/docs/reference/rest/v1/changes/create>
//!
//! A deletion in a change has to match what is there, and an addition needs that nothing is there: so both together
//! exchange a set only for what it takes the place of.

mod token;

use std::time::Duration;

use hyper::Method;
use sancho_core::response::Response;
use sancho_core::shown::shown_within;
use sancho_crds::CloudDns as Settings;
use serde::Deserialize;
use serde_json::{Value, json};

use self::token::ServiceAccount;
use super::TxtRecord;
use super::api::{Account, ApiRequest, encoded};
use super::credentials::Credentials;
use super::fault::{DnsFault, UPDATE_REFUSED, ZONE_REFUSED};
use super::sets::{Applied, Set, SetChange, Wish, Zone, bring_about};

const HOST: &str = "https://dns.googleapis.com";
/// How long a zone's name is believed.
const REMEMBERED: Duration = Duration::from_secs(600);

/// A service account at Google Cloud.
pub(super) struct CloudDns {
    account: Account,
    service: ServiceAccount,
    project: String,
    zone_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Zones {
    #[serde(default)]
    managed_zones: Vec<ManagedZone>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManagedZone {
    name: String,
    dns_name: String,
    visibility: Option<String>,
}

#[derive(Deserialize)]
struct Sets {
    #[serde(default)]
    rrsets: Vec<RrSet>,
}

#[derive(Deserialize)]
struct RrSet {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    ttl: Option<u32>,
    #[serde(default)]
    rrdatas: Vec<String>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<ErrorItem>,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl CloudDns {
    /// The account of `settings`.
    ///
    /// # Errors
    /// [`DnsFault`] says what credential is missing.
    pub(super) async fn new(settings: &Settings, credentials: &Credentials<'_>) -> Result<Self, DnsFault> {
        let Settings {
            project,
            hosted_zone_name,
            service_account_secret_ref,
        } = settings;
        let path = "cloudDNS.serviceAccountSecretRef";
        let Some(reference) = service_account_secret_ref else {
            return Err(credentials.none(path));
        };
        let key = credentials
            .text(reference, "the key file of the service account", path)
            .await?;
        let service = ServiceAccount::read(&key, reference)?;
        let words = [project.as_str(), key.as_str()];
        let account = credentials.account(super::Provider::CloudDns, words).await?;
        Ok(Self {
            account,
            service,
            project: project.clone(),
            zone_name: hosted_zone_name.clone(),
        })
    }

    /// Could records be written in `zone`? Looks whether the account is let in and the zone is the project's.
    pub(super) async fn check(&self, zone: &str) -> Result<(), DnsFault> {
        self.zone(zone).await.map(drop)
    }

    /// Has the values of these records there or gone, all of them or none.
    pub(super) async fn change(
        &self,
        zone: &str,
        wish: Wish,
        records: &[&TxtRecord],
    ) -> Result<(), DnsFault> {
        let name = self.zone(zone).await?;
        let _turn = self.account.turn_to_change(zone).await?;
        bring_about(&Managed { of: self, zone, name }, wish, records).await
    }

    /// The managed zone's name.
    async fn zone(&self, zone: &str) -> Result<String, DnsFault> {
        let known_as = known_as(zone, self.zone_name.as_deref());
        let _turn = self.account.turn(&known_as).await?;
        if let Some(name) = self.account.recall(&known_as) {
            return Ok(name.to_string());
        }
        let project = encoded(&self.project);
        let path = format!(
            "/dns/v1/projects/{project}/managedZones?dnsName={}",
            encoded(&format!("{zone}."))
        );
        let response = self.send("listZones", Method::GET, path, None).await?;
        if !response.is_success() {
            return Err(self.fault(&response, zone));
        }
        let zones: Zones =
            serde_json::from_slice(&response.body).map_err(|_| self.account.unreadable(&response))?;
        let name = zones.chosen(zone, self.zone_name.as_deref()).map_err(|words| {
            let project = &self.project;
            let words = format!("the Google Cloud project {project} has {words}");
            DnsFault::new(ZONE_REFUSED, &words)
        })?;
        self.account.remember(&known_as, &name, REMEMBERED);
        Ok(name)
    }

    async fn send(
        &self,
        kind: &'static str,
        method: Method,
        path: String,
        body: Option<&Value>,
    ) -> Result<Response, DnsFault> {
        let request = ApiRequest {
            kind,
            method,
            host: HOST,
            path,
            headers: Vec::new(),
            body: body.map(Value::to_string).unwrap_or_default().into(),
        };
        let log_in = || self.service.token(&self.account);
        self.account.send_as_bearer(log_in, request, is_throttle).await
    }

    fn fault(&self, response: &Response, zone: &str) -> DnsFault {
        let words = error(response)
            .map(|error| shown_within(&error.message, 140))
            .unwrap_or_default();
        self.account.forget(&known_as(zone, self.zone_name.as_deref()));
        match response.status {
            401 => self.account.refused(
                &words,
                "Google has given this service account a token just now, so see that it is not disabled, and that the Cloud \
                 DNS API is enabled in dns01.cloudDNS.project",
            ),
            403 => DnsFault::new(
                UPDATE_REFUSED,
                &format!(
                    "Google Cloud does not let this service account read or write the zone {zone} ({words}): give it \
                     the role DNS Administrator (roles/dns.admin) in the project {}",
                    self.project
                ),
            ),
            404 => DnsFault::new(
                ZONE_REFUSED,
                &format!(
                    "Google Cloud has no project {}, or no such zone in it ({words}): check dns01.cloudDNS.project",
                    self.project
                ),
            ),
            status => DnsFault::new(
                UPDATE_REFUSED,
                &format!(
                    "Cloud DNS refuses to write TXT records in the zone {zone} (HTTP status {status}: {words})"
                ),
            ),
        }
    }
}

/// As what the name of the managed zone is remembered: another issuer of the same account may choose another one.
fn known_as(zone: &str, zone_name: Option<&str>) -> String {
    format!("{zone} {}", zone_name.unwrap_or_default())
}

impl Zones {
    /// The name of the one that is `zone` and public, and that the issuer `named`, if it names one; or what there is.
    fn chosen(self, zone: &str, named: Option<&str>) -> Result<String, String> {
        let is_it = |found: &ManagedZone| {
            let is_public = found.visibility.as_deref().unwrap_or("public") == "public";
            let is_named = named.is_none_or(|name| name == found.name);
            is_public && is_named && found.dns_name.trim_end_matches('.').eq_ignore_ascii_case(zone)
        };
        let zones = self.managed_zones.into_iter();
        let mut found: Vec<String> = zones.filter(is_it).map(|found| found.name).collect();
        match (found.pop(), named) {
            (Some(name), _) if found.is_empty() => Ok(name),
            (Some(_), _) => Err(format!(
                "several public managed zones {zone}: write the name of the one that is delegated to into \
                 dns01.cloudDNS.hostedZoneName"
            )),
            (None, Some(name)) => Err(format!(
                "no public managed zone {name} that is the zone {zone}: write the name of one that is into \
                 dns01.cloudDNS.hostedZoneName, take that out, or choose another solver for its names by a selector"
            )),
            (None, None) => Err(format!(
                "no public managed zone {zone}: write the project that has it into dns01.cloudDNS.project, or choose \
                 another solver for its names by a selector"
            )),
        }
    }
}

/// A managed zone under change.
struct Managed<'a> {
    of: &'a CloudDns,
    zone: &'a str,
    name: String,
}

impl Managed<'_> {
    fn path(&self, rest: &str) -> String {
        let (project, name) = (encoded(&self.of.project), encoded(&self.name));
        format!("/dns/v1/projects/{project}/managedZones/{name}/{rest}")
    }
}

impl Zone for Managed<'_> {
    async fn read(&self, name: &str) -> Result<Option<Set>, DnsFault> {
        let path = self.path(&format!("rrsets?name={}&type=TXT", encoded(&format!("{name}."))));
        let response = self.of.send("readRecords", Method::GET, path, None).await?;
        if !response.is_success() {
            return Err(self.of.fault(&response, self.zone));
        }
        let sets: Sets =
            serde_json::from_slice(&response.body).map_err(|_| self.of.account.unreadable(&response))?;
        let is_it =
            |set: &RrSet| set.kind == "TXT" && set.name.trim_end_matches('.').eq_ignore_ascii_case(name);
        let Some(set) = sets.rrsets.into_iter().find(is_it) else {
            return Ok(None);
        };
        let Some(ttl) = set.ttl.filter(|_| !set.rrdatas.is_empty()) else {
            return Err(DnsFault::new(
                UPDATE_REFUSED,
                &format!(
                    "the TXT records {name} have a routing policy in Cloud DNS, and no value can be added to them: remove \
                     them, or let a CNAME at _acme-challenge of the name lead elsewhere"
                ),
            ));
        };
        Ok(Some(Set {
            ttl,
            values: set.rrdatas,
            version: None,
        }))
    }

    async fn apply(&self, changes: &[SetChange]) -> Result<Applied, DnsFault> {
        let sets = |which: fn(&SetChange) -> &Option<Set>| -> Vec<Value> {
            let set = |change: &SetChange| {
                let set = which(change).as_ref()?;
                Some(json!({
                    "name": format!("{}.", change.name), "type": "TXT", "ttl": set.ttl, "rrdatas": set.values,
                }))
            };
            changes.iter().filter_map(set).collect()
        };
        let (additions, deletions) = (sets(|change| &change.new), sets(|change| &change.old));
        let body = json!({ "additions": additions, "deletions": deletions });
        let path = self.path("changes");
        let response = self
            .of
            .send("changeRecords", Method::POST, path, Some(&body))
            .await?;
        if response.is_success() {
            return Ok(Applied::Done);
        }
        match conflicts(&response, &additions, &deletions) {
            Some(names) => Ok(Applied::Differs(names)),
            None => Err(self.of.fault(&response, self.zone)),
        }
    }
}

/// The names at which something else is there than the change has it, if that is why it was not carried out.
fn conflicts(response: &Response, additions: &[Value], deletions: &[Value]) -> Option<Vec<String>> {
    let error = error(response)?;
    let is_conflict = match response.status {
        409 => error.errors.iter().any(|item| item.reason == "alreadyExists"),
        412 => true,
        // A deletion of what is not there.
        404 => error.message.contains("entity.change.deletions"),
        _ => false,
    };
    if !is_conflict {
        return None;
    }
    let messages = error
        .errors
        .iter()
        .map(|item| &item.message)
        .chain([&error.message]);
    let named = messages.flat_map(|message| {
        [("additions[", additions), ("deletions[", deletions)]
            .into_iter()
            .flat_map(|(word, sets)| message.split(word).skip(1).map(move |rest| (rest, sets)))
    });
    let names = named.filter_map(|(rest, sets)| {
        let number: usize = rest.split_once(']')?.0.parse().ok()?;
        let name = sets.get(number)?["name"].as_str()?;
        Some(name.trim_end_matches('.').to_owned())
    });
    Some(names.collect())
}

fn error(response: &Response) -> Option<ErrorBody> {
    let answer: ErrorAnswer = serde_json::from_slice(&response.body).ok()?;
    Some(answer.error)
}

/// Google says so with 403 as well.
fn is_throttle(response: &Response) -> bool {
    response.status == 403
        && error(response).is_some_and(|error| {
            let reasons = ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"];
            error
                .errors
                .iter()
                .any(|item| reasons.contains(&item.reason.as_str()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, reason: &str, message: &str) -> Response {
        let item = json!({ "domain": "global", "reason": reason, "message": message });
        let error = json!({ "code": status, "message": message, "errors": [item] });
        Response {
            status,
            body: json!({ "error": error }).to_string().into_bytes(),
            ..Response::default()
        }
    }

    #[test]
    fn the_managed_zone_is_the_public_one_that_is_named_if_one_is() {
        let zone = |name: &str, dns_name: &str, visibility: &str| json!({ "name": name, "dnsName": dns_name, "visibility": visibility });
        let chosen = |named: Option<&str>| {
            let all = json!({ "managedZones": [
                zone("inner", "shop.example.", "private"), zone("one", "shop.example.", "public"),
                zone("two", "Shop.example.", "public"), zone("blog", "blog.example.", "public"),
            ] });
            let zones: Zones = serde_json::from_value(all).unwrap();
            zones.chosen("shop.example", named)
        };
        assert_eq!(chosen(Some("two")).unwrap(), "two");
        let several = chosen(None).unwrap_err();
        assert!(
            several.starts_with("several public managed zones shop.example"),
            "{several}"
        );
        for other in ["inner", "blog", "absent"] {
            let words = chosen(Some(other)).unwrap_err();
            let start = format!("no public managed zone {other} that is the zone shop.example: write");
            assert!(words.starts_with(&start), "{words}");
        }
        let none: Zones = serde_json::from_value(json!({})).unwrap();
        let words = none.chosen("shop.example", None).unwrap_err();
        assert!(
            words.starts_with("no public managed zone shop.example: write the project"),
            "{words}"
        );
    }

    #[test]
    fn what_is_remembered_of_a_zone_goes_by_the_name_that_an_issuer_gives() {
        let keys = [None, Some("one"), Some("two")].map(|name| known_as("shop.example", name));
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    }

    #[test]
    fn a_conflict_names_what_differs_and_another_refusal_is_none() {
        let sets =
            |names: &[&str]| -> Vec<Value> { names.iter().map(|name| json!({ "name": name })).collect() };
        let (additions, deletions) = (sets(&["a.example.", "b.example."]), sets(&["c.example."]));
        let named = |response: &Response| conflicts(response, &additions, &deletions);
        let exists = "The resource 'entity.change.additions[1]' named 'b.example. (TXT)' already exists";
        assert_eq!(
            named(&answer(409, "alreadyExists", exists)).unwrap(),
            ["b.example", "b.example"]
        );
        let unmet = "Precondition not met for 'entity.change.deletions[0]'";
        assert_eq!(
            named(&answer(412, "conditionNotMet", unmet)).unwrap()[0],
            "c.example"
        );
        let gone = "The 'entity.change.deletions[0]' resource named 'c.example. (TXT)' does not exist.";
        assert_eq!(named(&answer(404, "notFound", gone)).unwrap()[0], "c.example");
        assert_eq!(
            named(&answer(
                404,
                "notFound",
                "The 'parameters.managedZone' resource does not exist."
            )),
            None
        );
        assert_eq!(named(&answer(403, "forbidden", "Forbidden")), None);
    }

    #[test]
    fn a_quota_is_a_throttle_and_a_missing_role_is_none() {
        assert!(is_throttle(&answer(
            403,
            "rateLimitExceeded",
            "Rate Limit Exceeded"
        )));
        assert!(!is_throttle(&answer(403, "forbidden", "Forbidden")));
    }
}
