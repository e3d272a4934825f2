//! Azure DNS's API (2018-05-01): one record set at a time, exchanged by its ETag.
//! <https://learn.microsoft.com/en-us/rest/api/dns/record-sets>
//!
//! A set is made only if there is none (`If-None-Match: *`), and replaced or removed only if it is the one that was read
//! (`If-Match`). There are no batches, so each name is a request.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use sancho_core::response::Response;
use sancho_core::shown::shown_within;
use sancho_crds::{AzureDns as Settings, AzureEnvironment};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::TxtRecord;
use super::api::{Account, ApiRequest, encoded, header};
use super::credentials::Credentials;
use super::fault::{DnsFault, UPDATE_REFUSED, ZONE_REFUSED};
use super::session::Granted;
use super::sets::{Applied, Set, SetChange, Wish, Zone, bring_about};
use super::zone::relative;

const VERSION: &str = "2018-05-01";
/// How long a zone is believed to be there.
const REMEMBERED: Duration = Duration::from_secs(600);
/// A token is not used in its last minutes.
const MARGIN: Duration = Duration::from_secs(300);

/// Where a cloud's services are.
struct Cloud {
    login: &'static str,
    management: &'static str,
}

/// An application at Azure.
pub(super) struct AzureDns {
    account: Account,
    cloud: Cloud,
    tenant: String,
    client: String,
    secret: Zeroizing<String>,
    zones: Zones,
}

/// Which zones an issuer means, and where they are.
struct Zones {
    subscription: String,
    group: String,
    /// The one that it names.
    name: Option<String>,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(deserialize_with = "super::credentials::zeroizing")]
    access_token: Zeroizing<String>,
    expires_in: u64,
}

#[derive(Deserialize)]
struct LoginRefused {
    error: String,
    #[serde(default)]
    error_description: String,
}

#[derive(Deserialize)]
struct RecordSet {
    etag: String,
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "TTL")]
    ttl: u32,
    #[serde(rename = "TXTRecords", default)]
    records: Vec<Txt>,
}

#[derive(Deserialize)]
struct Txt {
    value: Vec<String>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: Option<ErrorBody>,
    code: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    message: String,
}

impl AzureDns {
    /// The application of `settings`.
    ///
    /// # Errors
    /// [`DnsFault`] says what credential is missing.
    pub(super) async fn new(settings: &Settings, credentials: &Credentials<'_>) -> Result<Self, DnsFault> {
        let Settings {
            subscription_id,
            resource_group_name,
            hosted_zone_name,
            environment,
            tenant_id,
            client_id,
            client_secret_secret_ref,
        } = settings;
        let path = "azureDNS.clientSecretSecretRef";
        let none = |path: &str| credentials.none(path);
        let tenant = tenant_id.as_ref().ok_or_else(|| none("azureDNS.tenantID"))?;
        let client = client_id.as_ref().ok_or_else(|| none("azureDNS.clientID"))?;
        let reference = client_secret_secret_ref.as_ref().ok_or_else(|| none(path))?;
        let secret = credentials
            .text(reference, "the application's client secret", path)
            .await?;
        let cloud = cloud(environment.unwrap_or_default());
        let words = [cloud.login, tenant.as_str(), client.as_str(), secret.as_str()];
        let account = credentials.account(super::Provider::AzureDns, words).await?;
        Ok(Self {
            account,
            cloud,
            tenant: tenant.clone(),
            client: client.clone(),
            secret,
            zones: Zones {
                subscription: subscription_id.clone(),
                group: resource_group_name.clone(),
                name: hosted_zone_name.clone(),
            },
        })
    }

    /// Which records of these names in `zone` could not be written, and why? Looks whether the application is let in and the
    /// zone is there.
    pub(super) async fn check(
        &self,
        zone: &str,
        names: &[&str],
    ) -> Result<BTreeMap<String, DnsFault>, DnsFault> {
        let path = self.zones.path(zone);
        if self.account.recall(&path).is_none() {
            let asked = versioned(&path);
            let response = self.send("readZone", Method::GET, asked, None, None).await?;
            if !response.is_success() {
                return Err(self.fault(&response, zone));
            }
            self.account.remember(&path, zone, REMEMBERED);
        }
        let refused = |name: &&str| Some(((*name).to_owned(), self.zones.path_of(zone, name).err()?));
        Ok(names.iter().filter_map(refused).collect())
    }

    /// Has the values of these records there or gone.
    pub(super) async fn change(
        &self,
        zone: &str,
        wish: Wish,
        records: &[&TxtRecord],
    ) -> Result<(), DnsFault> {
        let _turn = self.account.turn_to_change(zone).await?;
        bring_about(&AzureZone { of: self, zone }, wish, records).await
    }

    /// A new token.
    async fn token(&self) -> Result<Granted, DnsFault> {
        let body = Zeroizing::new(format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
            encoded(&self.client),
            encoded(&self.secret),
            encoded(&format!("{}/.default", self.cloud.management))
        ));
        let request = ApiRequest {
            kind: "token",
            method: Method::POST,
            host: self.cloud.login,
            path: format!("/{}/oauth2/v2.0/token", encoded(&self.tenant)),
            headers: vec![(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            )],
            body: body.as_bytes().to_vec(),
        };
        let response = self.account.send(request, |_| false).await?;
        if !response.is_success() {
            let refused: Option<LoginRefused> = serde_json::from_slice(&response.body).ok();
            let words = refused.map_or_else(
                || format!("HTTP status {}", response.status),
                |refused| format!("{}: {}", refused.error, refused.error_description),
            );
            return Err(self.account.refused(
                &words,
                "check dns01.azureDNS.tenantID and clientID, and put a client secret of that application into the Secret \
                 of clientSecretSecretRef: its value, not its ID",
            ));
        }
        let granted: Answered =
            serde_json::from_slice(&response.body).map_err(|_| self.account.unreadable(&response))?;
        Ok(Granted {
            token: granted.access_token,
            time: Duration::from_secs(granted.expires_in.min(86_400)).saturating_sub(MARGIN),
        })
    }

    async fn send(
        &self,
        kind: &'static str,
        method: Method,
        path: String,
        condition: Option<(HeaderName, &str)>,
        body: Option<&Value>,
    ) -> Result<Response, DnsFault> {
        let mut headers = Vec::new();
        if let Some((name, value)) = condition {
            headers.push((name, header(value)?));
        }
        let request = ApiRequest {
            kind,
            method,
            host: self.cloud.management,
            path,
            headers,
            body: body.map(Value::to_string).unwrap_or_default().into(),
        };
        self.account
            .send_as_bearer(|| self.token(), request, |_| false)
            .await
    }

    fn fault(&self, response: &Response, zone: &str) -> DnsFault {
        let (code, message) = error(response);
        let words = format!("{code}: {}", shown_within(&message, 110));
        self.account.forget(&self.zones.path(zone));
        let zone = self.zones.named(zone);
        match response.status {
            401 => self.account.refused(
                &code,
                "its login gave the token out just now, so check that dns01.azureDNS.tenantID is the tenant of the \
                 subscription",
            ),
            403 => DnsFault::new(
                UPDATE_REFUSED,
                &format!(
                    "Azure does not let this application read or write the zone {zone} ({words}): give it the role DNS \
                     Zone Contributor for the zone"
                ),
            ),
            404 => DnsFault::new(
                ZONE_REFUSED,
                &format!(
                    "Azure DNS has no zone {zone} in the resource group {} of the subscription ({code}): check \
                     dns01.azureDNS.subscriptionID, resourceGroupName and hostedZoneName, or choose another solver for \
                     its names by a selector",
                    self.zones.group
                ),
            ),
            status => DnsFault::new(
                UPDATE_REFUSED,
                &format!(
                    "Azure DNS refuses to write TXT records in the zone {zone} (HTTP status {status}, {words})"
                ),
            ),
        }
    }
}

impl Zones {
    /// The name of the zone that is meant where `zone` was found.
    fn named<'z>(&'z self, zone: &'z str) -> &'z str {
        let name = self.name.as_deref().unwrap_or(zone);
        name.strip_suffix('.').unwrap_or(name)
    }

    /// Its path, by which it is remembered as well: another issuer of the same application may mean another one.
    fn path(&self, zone: &str) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/dnsZones/{}",
            encoded(&self.subscription),
            encoded(&self.group),
            encoded(self.named(zone))
        )
    }

    /// The path of the TXT records at `name`, which are named relative to the zone.
    fn path_of(&self, zone: &str, name: &str) -> Result<String, DnsFault> {
        let named = self.named(zone);
        let relative =
            relative(name, named).ok_or_else(|| DnsFault::outside(name, named, "azureDNS.hostedZoneName"))?;
        Ok(format!("{}/TXT/{}", self.path(zone), encoded(relative)))
    }
}

fn versioned(path: &str) -> String {
    format!("{path}?api-version={VERSION}")
}

/// A zone under change.
struct AzureZone<'a> {
    of: &'a AzureDns,
    zone: &'a str,
}

impl AzureZone<'_> {
    fn path(&self, name: &str) -> Result<String, DnsFault> {
        Ok(versioned(&self.of.zones.path_of(self.zone, name)?))
    }
}

impl Zone for AzureZone<'_> {
    /// What is removed has to be named by its ETag.
    const REMOVES_UNREAD: bool = false;

    /// As JSON: a value is a list of strings.
    fn written(value: &str) -> String {
        json!([value]).to_string()
    }

    async fn read(&self, name: &str) -> Result<Option<Set>, DnsFault> {
        let path = self.path(name)?;
        let response = self.of.send("readRecords", Method::GET, path, None, None).await?;
        if response.status == 404 && error(&response).0 == "NotFound" {
            return Ok(None);
        }
        if !response.is_success() {
            return Err(self.of.fault(&response, self.zone));
        }
        let set: RecordSet =
            serde_json::from_slice(&response.body).map_err(|_| self.of.account.unreadable(&response))?;
        let values = set
            .properties
            .records
            .into_iter()
            .map(|txt| json!(txt.value).to_string());
        Ok(Some(Set {
            ttl: set.properties.ttl,
            values: values.collect(),
            version: Some(set.etag),
        }))
    }

    async fn apply(&self, changes: &[SetChange]) -> Result<Applied, DnsFault> {
        let mut differing = Vec::new();
        for SetChange { name, old, new } in changes {
            let version = old.as_ref().and_then(|old| old.version.as_deref());
            let condition = match version {
                Some(version) => (IF_MATCH, version),
                None => (IF_NONE_MATCH, "*"),
            };
            let body = new.as_ref().map(|new| {
                let records: Vec<Value> = new
                    .values
                    .iter()
                    .filter_map(|value| serde_json::from_str::<Value>(value).ok())
                    .map(|value| json!({ "value": value }))
                    .collect();
                json!({ "properties": { "TTL": new.ttl, "TXTRecords": records } })
            });
            let method = if body.is_some() {
                Method::PUT
            } else {
                Method::DELETE
            };
            let path = self.path(name)?;
            let response = self
                .of
                .send("changeRecords", method, path, Some(condition), body.as_ref())
                .await?;
            match response.status {
                412 => differing.push(name.clone()),
                _ if response.is_success() => {}
                _ => return Err(self.of.fault(&response, self.zone)),
            }
        }
        Ok(if differing.is_empty() {
            Applied::Done
        } else {
            Applied::Differs(differing)
        })
    }
}

/// Code and message of an error, in either of their two forms.
fn error(response: &Response) -> (String, String) {
    let answer: Option<ErrorAnswer> = serde_json::from_slice(&response.body).ok();
    match answer {
        Some(ErrorAnswer {
            error: Some(body), ..
        }) => (shown_within(&body.code, 64), body.message),
        Some(ErrorAnswer {
            error: None,
            code: Some(code),
            message,
        }) => (shown_within(&code, 64), message.unwrap_or_default()),
        _ => (format!("HTTP status {}", response.status), String::new()),
    }
}

fn cloud(environment: AzureEnvironment) -> Cloud {
    match environment {
        AzureEnvironment::Public => Cloud {
            login: "https://login.microsoftonline.com",
            management: "https://management.azure.com",
        },
        AzureEnvironment::UsGovernment => Cloud {
            login: "https://login.microsoftonline.us",
            management: "https://management.usgovcloudapi.net",
        },
        AzureEnvironment::China => Cloud {
            login: "https://login.chinacloudapi.cn",
            management: "https://management.chinacloudapi.cn",
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn zones(subscription: &str, group: &str, name: Option<&str>) -> Zones {
        Zones {
            subscription: subscription.into(),
            group: group.into(),
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn a_record_is_named_relative_to_the_zone_that_is_meant_and_refused_if_it_is_not_in_it() {
        let record = "_acme-challenge.www.shop.example";
        let path = |name: Option<&str>, zone: &str, record: &str| {
            let path = zones("s", "g", name).path_of(zone, record);
            path.map(|path| path.rsplit_once("/dnsZones/").unwrap().1.to_owned())
        };
        for (name, zone, record, expected) in [
            (
                None,
                "shop.example",
                record,
                "shop.example/TXT/_acme-challenge.www",
            ),
            (None, "shop.example", "shop.example", "shop.example/TXT/%40"),
            (
                Some("Shop.Example"),
                "shop.example",
                record,
                "Shop.Example/TXT/_acme-challenge.www",
            ),
            (
                Some("example."),
                "shop.example",
                record,
                "example/TXT/_acme-challenge.www.shop",
            ),
        ] {
            assert_eq!(path(name, zone, record).unwrap(), expected);
        }
        let fault = path(Some("blog.example"), "shop.example", record).unwrap_err();
        assert_eq!(fault.reason, ZONE_REFUSED);
        let start = "_acme-challenge.www.shop.example is not in the zone blog.example, which \
                     dns01.azureDNS.hostedZoneName names: take that out";
        assert!(fault.words.starts_with(start), "{fault}");
    }

    #[test]
    fn a_zone_is_remembered_by_all_that_chooses_it() {
        let all = [
            zones("s", "g", None),
            zones("t", "g", None),
            zones("s", "h", None),
            zones("s", "g", Some("example")),
        ];
        let keys: BTreeSet<String> = all.iter().map(|zones| zones.path("shop.example")).collect();
        assert_eq!(keys.len(), all.len(), "{keys:?}");
    }
}
