//! Who writes TXT records, whichever way an issuer has it.

use std::collections::BTreeMap;

use sancho_crds::Dns01;
use tokio::time::Instant;

use super::TxtRecord;
use super::acme_dns::AcmeDns;
use super::azure_dns::AzureDns;
use super::changes::{Changes, Grain};
use super::cloud_dns::CloudDns;
use super::cloudflare::Cloudflare;
use super::credentials::Credentials;
use super::fault::DnsFault;
use super::httpreq::HttpReq;
use super::other::Other;
use super::rfc2136::{Change, Updater};
use super::route53::Route53;
use super::sets::Wish;
use super::webhook::Webhook;

/// The most records in one update or request.
const MOST_RECORDS: usize = 100;

/// A writer of TXT records, with what lets it in.
///
/// Guarantees: other values under the same names stay, and a change that is made twice is as one that is made once. As far
/// as the way has it, a change of one zone is one request if nobody is in its way, carried out whole or not at all.
pub(super) enum Writer {
    /// Dynamic updates.
    Updates(Updater),
    /// Cloudflare's API.
    Cloudflare(Cloudflare),
    /// Route 53's API.
    Route53(Route53),
    /// Google Cloud DNS' API.
    CloudDns(CloudDns),
    /// Azure DNS' API.
    AzureDns(AzureDns),
    /// A server that speaks httpreq.
    HttpReq(HttpReq),
    /// A server of acme-dns.
    AcmeDns(AcmeDns),
    /// The API of another provider.
    Other(Other),
    /// A webhook of cert-manager's.
    Webhook(Webhook),
}

impl Writer {
    /// The one that `settings` name.
    ///
    /// # Errors
    /// [`DnsFault`] says what it is not let in by, or that there is none.
    pub(super) async fn of(settings: &Dns01, credentials: &Credentials<'_>) -> Result<Self, DnsFault> {
        let Dns01 {
            // It says where, and not by whom.
            cname_strategy: _,
            rfc2136,
            cloudflare,
            route53,
            cloud_dns,
            azure_dns,
            httpreq,
            acme_dns,
            provider,
            webhook,
        } = settings;
        if let Some(settings) = rfc2136 {
            let key = credentials.key(settings).await?;
            return Ok(Self::Updates(Updater::new(settings, key).await?));
        }
        if let Some(settings) = cloudflare {
            return Ok(Self::Cloudflare(Cloudflare::new(settings, credentials).await?));
        }
        if let Some(settings) = route53 {
            return Ok(Self::Route53(Route53::new(settings, credentials).await?));
        }
        if let Some(settings) = cloud_dns {
            return Ok(Self::CloudDns(CloudDns::new(settings, credentials).await?));
        }
        if let Some(settings) = azure_dns {
            return Ok(Self::AzureDns(AzureDns::new(settings, credentials).await?));
        }
        if let Some(settings) = httpreq {
            return Ok(Self::HttpReq(HttpReq::new(settings, credentials).await?));
        }
        if let Some(settings) = acme_dns {
            return Ok(Self::AcmeDns(AcmeDns::new(settings, credentials).await?));
        }
        if let Some(settings) = provider {
            return Ok(Self::Other(Other::new(settings, credentials).await?));
        }
        if let Some(settings) = webhook {
            return Ok(Self::Webhook(Webhook::new(settings, credentials.secrets)?));
        }
        Err(DnsFault::no_way())
    }

    /// Which records of these names in `zone` could not be written, and why. Changes nothing.
    pub(super) async fn refused(&self, zone: &str, names: &[&str]) -> BTreeMap<String, DnsFault> {
        let checked = match self {
            Self::Updates(updater) => return refused_updates(updater, zone, names).await,
            Self::Cloudflare(cloudflare) => cloudflare.check(zone).await.map(|()| BTreeMap::new()),
            Self::Route53(route53) => route53.check(zone, names).await,
            Self::CloudDns(cloud_dns) => cloud_dns.check(zone).await.map(|()| BTreeMap::new()),
            Self::AzureDns(azure_dns) => azure_dns.check(zone, names).await,
            Self::Other(other) => other.check(zone).await.map(|()| BTreeMap::new()),
            Self::Webhook(webhook) => webhook.check().await.map(|()| BTreeMap::new()),
            // It has no such question.
            Self::HttpReq(_) => Ok(BTreeMap::new()),
            Self::AcmeDns(acme_dns) => {
                let refused = names
                    .iter()
                    .filter_map(|name| Some(((*name).to_owned(), acme_dns.check(name).err()?)));
                return refused.collect();
            }
        };
        checked.unwrap_or_else(|fault| all(names, &fault))
    }
}

impl Changes for Writer {
    fn grain(&self) -> Grain {
        match self {
            // Each is a request of its own.
            Self::HttpReq(_) | Self::AcmeDns(_) | Self::Webhook(_) => Grain::Record,
            Self::AzureDns(_) => Grain::Name,
            Self::Updates(_)
            | Self::Cloudflare(_)
            | Self::Route53(_)
            | Self::CloudDns(_)
            | Self::Other(_) => Grain::Zone(MOST_RECORDS),
        }
    }

    async fn change(
        &self,
        zone: &str,
        wish: Wish,
        records: &[&TxtRecord],
        until: Instant,
    ) -> Vec<Result<(), DnsFault>> {
        let outcome = match (self, wish) {
            (Self::Updates(updater), Wish::There) => updater.update(zone, &Change::add(records)).await,
            (Self::Updates(updater), Wish::Gone) => updater.update(zone, &Change::remove(records)).await,
            (Self::Cloudflare(cloudflare), Wish::There) => cloudflare.add(zone, records).await,
            (Self::Cloudflare(cloudflare), Wish::Gone) => cloudflare.remove(zone, records).await,
            (Self::Route53(route53), wish) => route53.change(zone, wish, records).await,
            (Self::CloudDns(cloud_dns), wish) => cloud_dns.change(zone, wish, records).await,
            (Self::AzureDns(azure_dns), wish) => azure_dns.change(zone, wish, records).await,
            (Self::HttpReq(httpreq), wish) => httpreq.change(wish, records).await,
            (Self::AcmeDns(acme_dns), wish) => acme_dns.change(wish, records).await,
            // It may make a request for each.
            (Self::Other(other), wish) => return other.change(zone, wish, records, until).await,
            (Self::Webhook(webhook), wish) => webhook.change(zone, wish, records).await,
        };
        vec![outcome; records.len()]
    }
}

/// Asks the server to remove values that are not there, which changes nothing and needs the same leave.
async fn refused_updates(updater: &Updater, zone: &str, names: &[&str]) -> BTreeMap<String, DnsFault> {
    match updater.update(zone, &Change::nothing(names)).await {
        Ok(()) => BTreeMap::new(),
        // Some may be allowed and others not.
        Err(fault) if fault.is_about_names && names.len() > 1 => {
            let mut refused = BTreeMap::new();
            for name in names {
                if let Err(fault) = updater.update(zone, &Change::nothing(&[name])).await {
                    refused.insert((*name).to_owned(), fault);
                }
            }
            refused
        }
        Err(fault) => all(names, &fault),
    }
}

/// The same fault of all these names.
pub(super) fn all(names: &[&str], fault: &DnsFault) -> BTreeMap<String, DnsFault> {
    names
        .iter()
        .map(|name| ((*name).to_owned(), fault.clone()))
        .collect()
}
