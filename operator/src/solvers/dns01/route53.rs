//! Amazon Route 53's API (2013-04-01): hosted zone → batch of changes, which is carried out whole or not at all.
//! <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html>
//!
//! A deletion in a batch has to match what is there to the last value, and a creation needs that nothing is there. So both
//! together exchange a set for another only if nobody has changed it meanwhile, which UPSERT does not.

mod sign;
mod xml;

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use sancho_core::response::Response;
use sancho_crds::Route53 as Settings;
use zeroize::Zeroizing;

use self::sign::Key;
use self::xml::{ErrorAnswer, HostedZones, RecordSets};
use super::TxtRecord;
use super::api::{Account, ApiRequest, encoded};
use super::credentials::Credentials;
use super::fault::{DnsFault, PROVIDER_FAILS, UPDATE_REFUSED, ZONE_REFUSED};
use super::sets::{Applied, Set, SetChange, Wish, Zone, bring_about};
use super::zone::relative;
use crate::clock;

const VERSION: &str = "2013-04-01";
/// How long a zone's ID is believed.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Where the service of a partition is, and which region its signatures name.
struct Partition {
    host: &'static str,
    region: &'static str,
}

/// An account at AWS.
pub(super) struct Route53 {
    account: Account,
    key: Key,
    partition: Partition,
    hosted_zone_id: Option<String>,
}

impl Route53 {
    /// The account of `settings`.
    ///
    /// # Errors
    /// [`DnsFault`] says what credential is missing.
    pub(super) async fn new(settings: &Settings, credentials: &Credentials<'_>) -> Result<Self, DnsFault> {
        let Settings {
            region,
            hosted_zone_id,
            access_key_id,
            access_key_id_secret_ref,
            secret_access_key_secret_ref,
        } = settings;
        let id = match (access_key_id, access_key_id_secret_ref) {
            (Some(id), _) => Zeroizing::new(id.clone()),
            (None, Some(reference)) => {
                let path = "route53.accessKeyIDSecretRef";
                credentials
                    .text(reference, "the ID of the access key", path)
                    .await?
            }
            (None, None) => return Err(credentials.none("route53.accessKeyIDSecretRef")),
        };
        let Some(reference) = secret_access_key_secret_ref else {
            return Err(credentials.none("route53.secretAccessKeySecretRef"));
        };
        let path = "route53.secretAccessKeySecretRef";
        let secret = credentials.text(reference, "the secret access key", path).await?;
        let words = [id.as_str(), secret.as_str()];
        let account = credentials.account(super::Provider::Route53, words).await?;
        Ok(Self {
            account,
            key: Key { id, secret },
            partition: partition(region.as_deref().unwrap_or_default()),
            hosted_zone_id: hosted_zone_id
                .as_deref()
                .map(|id| id.trim_start_matches("/hostedzone/").to_owned()),
        })
    }

    /// Which records of these names in `zone` could not be written, and why? Looks whether the key is taken and the zone is the
    /// account's.
    pub(super) async fn check(
        &self,
        zone: &str,
        names: &[&str],
    ) -> Result<BTreeMap<String, DnsFault>, DnsFault> {
        let id = self.zone(zone).await?;
        self.refused(&id, zone, names).await
    }

    /// Those of `names` that are not in the hosted zone, if the issuer gives its ID.
    async fn refused(
        &self,
        id: &str,
        zone: &str,
        names: &[&str],
    ) -> Result<BTreeMap<String, DnsFault>, DnsFault> {
        if self.hosted_zone_id.is_none() {
            return Ok(BTreeMap::new());
        }
        let hosted = self.name_of(id, zone).await?;
        Ok(outside(names, &hosted))
    }

    /// Has the values of these records there or gone, all of them or none.
    pub(super) async fn change(
        &self,
        zone: &str,
        wish: Wish,
        records: &[&TxtRecord],
    ) -> Result<(), DnsFault> {
        let id = self.zone(zone).await?;
        let names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
        // The issuer may have been edited since it was checked.
        if let Some(fault) = self.refused(&id, zone, &names).await?.into_values().next() {
            return Err(fault);
        }
        let _turn = self.account.turn_to_change(zone).await?;
        bring_about(&HostedZone { of: self, zone, id }, wish, records).await
    }

    /// The hosted zone's ID.
    async fn zone(&self, zone: &str) -> Result<String, DnsFault> {
        if let Some(id) = &self.hosted_zone_id {
            return Ok(id.clone());
        }
        let known_as = known_as(zone, None);
        let _turn = self.account.turn(&known_as).await?;
        if let Some(id) = self.account.recall(&known_as) {
            return Ok(id.to_string());
        }
        let path = format!("/{VERSION}/hostedzonesbyname");
        let query = [("dnsname", format!("{zone}.")), ("maxitems", "10".to_owned())];
        let response = self
            .send("listZones", Method::GET, &path, &query, Vec::new())
            .await?;
        if !response.is_success() {
            return Err(self.fault(&response, zone));
        }
        let zones: HostedZones =
            xml::read(&response.body).ok_or_else(|| self.account.unreadable(&response))?;
        let mut found = zones.public(zone);
        let Some(id) = found.pop() else {
            return Err(DnsFault::new(
                ZONE_REFUSED,
                &format!(
                    "the AWS account has no public hosted zone {zone} in Route 53: use a key of the account that has it, \
                     write its ID into dns01.route53.hostedZoneID, or choose another solver for its names by a selector"
                ),
            ));
        };
        if !found.is_empty() {
            return Err(DnsFault::new(
                ZONE_REFUSED,
                &format!(
                    "the AWS account has several public hosted zones {zone} in Route 53: write the ID of the one that \
                     is delegated to into dns01.route53.hostedZoneID"
                ),
            ));
        }
        self.account.remember(&known_as, &id, REMEMBERED);
        Ok(id)
    }

    /// The name of the hosted zone that the issuer gives the ID of: that of its first records, in the order of their labels from
    /// the right. What asks for the zone itself would take another permission.
    async fn name_of(&self, id: &str, zone: &str) -> Result<String, DnsFault> {
        let known_as = known_as(zone, Some(id));
        let _turn = self.account.turn(&known_as).await?;
        if let Some(name) = self.account.recall(&known_as) {
            return Ok(name.to_string());
        }
        let path = format!("/{VERSION}/hostedzone/{id}/rrset");
        let query = [("maxitems", "1".to_owned())];
        let response = self
            .send("readRecords", Method::GET, &path, &query, Vec::new())
            .await?;
        if !response.is_success() {
            return Err(self.fault(&response, zone));
        }
        let name = xml::read(&response.body).and_then(RecordSets::first_name);
        let name = name.ok_or_else(|| self.account.unreadable(&response))?;
        self.account.remember(&known_as, &name, REMEMBERED);
        Ok(name)
    }

    async fn send(
        &self,
        kind: &'static str,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<Response, DnsFault> {
        let Partition { host, region } = self.partition;
        let mut pairs: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        // As it is signed: in the order of its bytes.
        pairs.sort();
        let query = pairs.join("&");
        let request = sign::Request {
            method: method.as_str(),
            host: &self.account.origin(host)?.authority(),
            path,
            query: &query,
            body: &body,
        };
        let mut headers = self.key.sign(&request, region, clock::now())?;
        if !body.is_empty() {
            headers.push((CONTENT_TYPE, HeaderValue::from_static("text/xml")));
        }
        let path = match query.as_str() {
            "" => path.to_owned(),
            query => format!("{path}?{query}"),
        };
        let request = ApiRequest {
            kind,
            method,
            host,
            path,
            headers,
            body,
        };
        self.account.send(request, is_throttle).await
    }

    fn fault(&self, response: &Response, zone: &str) -> DnsFault {
        let Some(ErrorAnswer { code, message }) = xml::error(&response.body) else {
            return self.account.unreadable(response);
        };
        self.account
            .forget(&known_as(zone, self.hosted_zone_id.as_deref()));
        match code.as_str() {
            "InvalidClientTokenId" | "UnrecognizedClientException" | "MissingAuthenticationToken" => self.account.refused(
                &code,
                "no such access key: put the ID of one into dns01.route53.accessKeyID, or into the Secret of \
                 accessKeyIDSecretRef, and nothing else",
            ),
            "SignatureDoesNotMatch" | "InvalidSignatureException" => self.account.refused(
                &code,
                "put the secret access key of that ID into the Secret of dns01.route53.secretAccessKeySecretRef, and \
                 nothing else; and see that the clock of this machine is right",
            ),
            "RequestExpired" => self
                .account
                .refused(&code, "the clock of this machine is wrong: set it"),
            "NoSuchHostedZone" => DnsFault::new(
                ZONE_REFUSED,
                &format!(
                    "Route 53 has no such hosted zone for {zone}: write the ID of the domain's zone into \
                     dns01.route53.hostedZoneID, or leave it out"
                ),
            ),
            "AccessDenied" | "AccessDeniedException" => DnsFault::new(
                UPDATE_REFUSED,
                &format!(
                    "AWS does not let this access key read or write the zone {zone} ({message}): give its user the \
                     permissions route53:ListHostedZonesByName, route53:ListResourceRecordSets and \
                     route53:ChangeResourceRecordSets"
                ),
            ),
            // The zone still works on an earlier batch.
            "PriorRequestNotComplete" => DnsFault::new(
                PROVIDER_FAILS,
                &format!("Route 53 still works on an earlier change of the zone {zone}"),
            ),
            _ => DnsFault::new(
                UPDATE_REFUSED,
                &format!("Route 53 refuses to write TXT records in the zone {zone} ({code}: {message})"),
            ),
        }
    }
}

/// A hosted zone under change.
struct HostedZone<'a> {
    of: &'a Route53,
    zone: &'a str,
    id: String,
}

impl Zone for HostedZone<'_> {
    async fn read(&self, name: &str) -> Result<Option<Set>, DnsFault> {
        let path = format!("/{VERSION}/hostedzone/{}/rrset", self.id);
        let query = [
            ("name", format!("{name}.")),
            ("type", "TXT".to_owned()),
            ("maxitems", "1".to_owned()),
        ];
        let response = self
            .of
            .send("readRecords", Method::GET, &path, &query, Vec::new())
            .await?;
        if !response.is_success() {
            return Err(self.of.fault(&response, self.zone));
        }
        let sets: RecordSets =
            xml::read(&response.body).ok_or_else(|| self.of.account.unreadable(&response))?;
        sets.txt_at(name).map_err(|()| {
            DnsFault::new(
                UPDATE_REFUSED,
                &format!(
                    "the TXT records {name} have a routing policy in Route 53, and no value can be added to them: \
                     remove them, or let a CNAME at _acme-challenge of the name lead elsewhere"
                ),
            )
        })
    }

    async fn apply(&self, changes: &[SetChange]) -> Result<Applied, DnsFault> {
        let path = format!("/{VERSION}/hostedzone/{}/rrset", self.id);
        let body = xml::batch(changes).into_bytes();
        let response = self
            .of
            .send("changeRecords", Method::POST, &path, &[], body)
            .await?;
        if response.is_success() {
            return Ok(Applied::Done);
        }
        match xml::conflicts(&response.body) {
            Some(names) => Ok(Applied::Differs(names)),
            None => Err(self.of.fault(&response, self.zone)),
        }
    }
}

/// As what something is remembered of `zone`: its ID, or the name of the hosted zone that an issuer gives the ID of. Another
/// issuer of the same account may give another ID, or none.
fn known_as(zone: &str, hosted_zone_id: Option<&str>) -> String {
    format!("{zone} {}", hosted_zone_id.unwrap_or_default())
}

/// Those of `names` that are not in the hosted zone of this name.
fn outside(names: &[&str], hosted: &str) -> BTreeMap<String, DnsFault> {
    let is_outside = |name: &&&str| relative(name, hosted).is_none();
    let fault = |name: &&str| DnsFault::outside(name, hosted, "route53.hostedZoneID");
    let outside = names.iter().filter(is_outside);
    outside.map(|name| ((*name).to_owned(), fault(name))).collect()
}

/// AWS says so with other statuses than 429 as well.
fn is_throttle(response: &Response) -> bool {
    response.status == 400
        && xml::error(&response.body).is_some_and(|error| {
            matches!(
                error.code.as_str(),
                "Throttling" | "ThrottlingException" | "RequestLimitExceeded"
            )
        })
}

/// From <https://docs.aws.amazon.com/general/latest/gr/r53.html>.
fn partition(region: &str) -> Partition {
    if region.starts_with("cn-") {
        Partition {
            host: "https://route53.amazonaws.com.cn",
            region: "cn-northwest-1",
        }
    } else if region.starts_with("us-gov-") {
        Partition {
            host: "https://route53.us-gov.amazonaws.com",
            region: "us-gov-west-1",
        }
    } else {
        Partition {
            host: "https://route53.amazonaws.com",
            region: "us-east-1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_a_service_of_its_own() {
        let hosts = ["", "eu-central-1", "cn-north-1", "us-gov-east-1"].map(|region| partition(region).host);
        assert_eq!(
            hosts,
            [
                "https://route53.amazonaws.com",
                "https://route53.amazonaws.com",
                "https://route53.amazonaws.com.cn",
                "https://route53.us-gov.amazonaws.com",
            ]
        );
    }

    #[test]
    fn what_is_remembered_of_a_zone_goes_by_the_id_that_an_issuer_gives() {
        let keys = [None, Some("Z1"), Some("Z2")].map(|id| known_as("shop.example", id));
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    }

    #[test]
    fn a_name_that_is_not_in_the_hosted_zone_is_refused_with_its_mend() {
        let names = ["_acme-challenge.Shop.example", "_acme-challenge.workshop.example"];
        let refused = outside(&names, "shop.example");
        let told: Vec<&String> = refused.keys().collect();
        assert_eq!(told, ["_acme-challenge.workshop.example"]);
        let fault = &refused[names[1]];
        assert_eq!(fault.reason, ZONE_REFUSED);
        assert!(fault.is_about_names, "the others are written without it");
        assert!(
            fault
                .words
                .contains("zone shop.example, which dns01.route53.hostedZoneID names: take that out"),
            "{fault}"
        );
    }

    #[test]
    fn a_throttle_of_aws_is_one_whatever_its_status() {
        let answer = |code: &str| {
            Response {
            status: 400,
            body: format!(
                "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Error>\
                 <Type>Sender</Type><Code>{code}</Code><Message>Rate exceeded</Message></Error><RequestId>1</RequestId>\
                 </ErrorResponse>"
            )
            .into_bytes(),
            ..Response::default()
        }
        };
        assert!(is_throttle(&answer("Throttling")));
        assert!(!is_throttle(&answer("InvalidChangeBatch")));
        assert!(!is_throttle(&Response {
            status: 400,
            ..Response::default()
        }));
    }
}
