//! Quotas that a CA publishes: what is left of them, and how long they stretch what is still to be issued. Pure.
//!
//! What a CA says is used up is another matter: it is known to the minute, and holds back orders ([`super::Quotas`]).
//! This tells beforehand that a plan takes days. It knows nothing of what others have ordered lately, by the account or for
//! the same domains, so what is left is the most and the time the shortest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use sancho_core::names::{Name, registered_domain};
use sancho_crds::{CertificateShard, condition};

use crate::issuer::IssuerKey;

/// What a CA grants in a time. It grants anew bit by bit, not all at once at the end.
struct Grant {
    count: u32,
    within: Duration,
}

struct Published {
    /// The beginning of the directory's URL, and of those of accounts and orders.
    origin: &'static str,
    orders_per_account: Grant,
    /// Whichever accounts have ordered them.
    certificates_per_domain: Grant,
}

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// From <https://letsencrypt.org/docs/rate-limits/> as of 2026-09. Renewals are exempt from both. The staging CA has
/// far higher ones.
static TABLE: [Published; 1] = [Published {
    origin: "https://acme-v02.api.letsencrypt.org/",
    orders_per_account: Grant {
        count: 300,
        within: HOUR.saturating_mul(3),
    },
    certificates_per_domain: Grant {
        count: 50,
        within: WEEK,
    },
}];

/// An order that the CA has granted, and that is no renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// When.
    pub at: Timestamp,
    /// Its names.
    pub names: Vec<String>,
    /// Whether the account in question made it. If not, it counts toward its registered domains alone.
    pub by_account: bool,
}

/// Who orders.
#[derive(Debug, Clone, Copy)]
pub struct Orderer<'a> {
    /// The directory URL.
    pub server: &'a str,
    /// The issuer.
    pub issuer: &'a IssuerKey,
    /// Its account, by its URL, if it has one yet.
    pub account: Option<&'a str>,
}

/// A published quota beside orders that are to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The registered domain that it is of; else it is of the account.
    pub domain: Option<String>,
    /// How many the CA grants.
    pub of: u32,
    /// How many of them it would grant at once.
    pub left: u32,
    /// How many the orders take.
    pub wanted: u32,
    /// How long it takes at least until all of these are granted.
    pub at_least: Duration,
}

/// A plan that quotas stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// How long it takes at least.
    pub at_least: Duration,
    /// Which quota it is, in words.
    pub why: String,
}

impl Quota {
    /// What is counted, in words.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.domain {
            None => "new orders of the account in 3 h".to_owned(),
            Some(domain) => format!("certificates of {domain} in 7 days"),
        }
    }

    fn why(&self) -> String {
        let Self { of, wanted, .. } = self;
        match &self.domain {
            None => format!("the CA grants an account {of} new orders in 3 h, and {wanted} are open"),
            Some(domain) => format!(
                "the CA grants {of} certificates of a registered domain in 7 days, and {wanted} of {domain} are open"
            ),
        }
    }
}

impl Grant {
    /// This quota of a domain, or of the account, for `wanted` more after those that were `granted`.
    fn quota(&self, domain: Option<String>, wanted: u32, granted: Vec<Timestamp>, now: Timestamp) -> Quota {
        let each = self.each();
        let left = self.left(granted, now);
        Quota {
            domain,
            of: self.count,
            left: u32::try_from(left.as_nanos() / each.as_nanos()).unwrap_or(u32::MAX),
            wanted,
            at_least: (each * wanted).saturating_sub(left),
        }
    }

    /// What is left at `now`, as the time in which it is granted, if it was full before those that were `granted`.
    fn left(&self, mut granted: Vec<Timestamp>, now: Timestamp) -> Duration {
        let grown = |left: Duration, from, to| left.saturating_add(between(from, to)).min(self.within);
        let mut left = self.within;
        let mut seen = Timestamp::MIN;
        granted.sort_unstable();
        for at in granted {
            left = grown(left, seen, at).saturating_sub(self.each());
            seen = at;
        }
        grown(left, seen, now)
    }

    /// How long it takes until one more is granted.
    fn each(&self) -> Duration {
        self.within / self.count
    }
}

/// Nothing if `to` is before `from`.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// What was granted for the first certificate of each of these shards, all of one account. What is granted for renewals is
/// counted apart.
pub fn granted<'a>(shards: impl IntoIterator<Item = &'a CertificateShard>) -> impl Iterator<Item = Granted> {
    shards.into_iter().filter_map(|shard| {
        Some(Granted {
            at: first(shard)?,
            names: shard.spec.own_names(),
            by_account: true,
        })
    })
}

/// What the CA of `orderer` has granted to any account for these shards: their first certificates, and orders for these that
/// are under way, which count as if they were made `now`.
pub fn granted_beside<'a>(
    orderer: Orderer<'_>,
    shards: impl IntoIterator<Item = &'a CertificateShard>,
    now: Timestamp,
) -> Vec<Granted> {
    let Some(Published { origin, .. }) = published(orderer.server) else {
        return Vec::new();
    };
    let granted = shards.into_iter().filter_map(|shard| {
        let status = shard.status.as_ref()?;
        let (at, url, by_account) = match (&status.issued, &status.order) {
            (Some(issued), _) => {
                let account = issued.account_url.as_deref()?;
                (first(shard)?, account, orderer.account == Some(account))
            }
            (None, Some(order)) => {
                let namespace = shard.namespace().unwrap_or_default();
                let issuer = IssuerKey::of(&shard.spec.issuer_ref, &namespace);
                (now, order.url.as_deref()?, issuer == *orderer.issuer)
            }
            (None, None) => return None,
        };
        url.starts_with(*origin).then(|| Granted {
            at,
            names: shard.spec.own_names(),
            by_account,
        })
    });
    granted.collect()
}

/// When the first certificate of a shard that has one was issued.
fn first(shard: &CertificateShard) -> Option<Timestamp> {
    let status = shard.status.as_ref().filter(|status| status.issued.is_some())?;
    // It stays as it is through renewals.
    let ready = condition(&status.conditions, "Ready").filter(|ready| ready.status == "True")?;
    Some(ready.last_transition_time.0)
}

/// The published quotas of the CA at `server` that orders of these sets of names count toward, none of which is a renewal,
/// after those that it has `granted`: that of the account first. None if nothing is known of the CA.
pub fn quotas<'a>(
    server: &str,
    orders: impl IntoIterator<Item = &'a [String]>,
    granted: impl IntoIterator<Item = Granted>,
    now: Timestamp,
) -> Vec<Quota> {
    let Some(published) = published(server) else {
        return Vec::new();
    };
    let mut count = 0_u32;
    let mut by_domain: BTreeMap<String, u32> = BTreeMap::new();
    for names in orders {
        count += 1;
        for domain in domains(names) {
            *by_domain.entry(domain).or_default() += 1;
        }
    }
    if count == 0 {
        return Vec::new();
    }
    let mut of_account = Vec::new();
    let mut of_domains: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for order in granted {
        if order.by_account {
            of_account.push(order.at);
        }
        for domain in domains(&order.names) {
            of_domains.entry(domain).or_default().push(order.at);
        }
    }
    let Published {
        orders_per_account,
        certificates_per_domain,
        ..
    } = published;
    let account = orders_per_account.quota(None, count, of_account, now);
    let of_each = by_domain.into_iter().map(|(domain, count)| {
        let granted = of_domains.remove(&domain).unwrap_or_default();
        certificates_per_domain.quota(Some(domain), count, granted, now)
    });
    std::iter::once(account).chain(of_each).collect()
}

/// How long these quotas stretch the orders. Nothing if these fit at once.
#[must_use]
pub fn stretch(quotas: &[Quota]) -> Option<Stretch> {
    let longest = quotas.iter().max_by_key(|quota| quota.at_least)?;
    (!longest.at_least.is_zero()).then(|| Stretch {
        at_least: longest.at_least,
        why: longest.why(),
    })
}

fn published(server: &str) -> Option<&'static Published> {
    TABLE.iter().find(|known| server.starts_with(known.origin))
}

/// The registered domains of an order's names.
fn domains(names: &[String]) -> BTreeSet<String> {
    let names = names.iter().filter_map(|name| Name::parse(name).ok());
    names.map(|name| registered_domain(&name).to_owned()).collect()
}

#[cfg(test)]
mod tests;
