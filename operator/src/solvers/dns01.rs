//! DNS-01 (RFC 8555 §8.4): TXT records are written, seen by all servers of their zones, and removed.
//!
//! name → place (`zone`: CNAMEs, then the SOA) → `writer` (let in by `credentials`) → `seen`
//!
//! Writers: dynamic updates (`rfc2136`), and the APIs of providers (`cloudflare`, `route53`, `cloud_dns`, `azure_dns`,
//! `httpreq`, `acme_dns`, and several by one form, `other`), which share what sends
//! requests on permits (`api`) and what exchanges record sets (`sets`); and webhooks of cert-manager's (`webhook`).
//!
//! # Guarantees
//! - One value is added and removed under a name, whatever else stands there.
//! - What fails in one zone is told of its records, and keeps those of another from nothing (`changes`).
//! - A record is written where CNAMEs lead, at most [`zone::MOST_CNAMES`] of them; a loop is a fault of the name. Those that a
//!   wildcard makes lead nowhere, unless an issuer wants it: the record itself takes their place.
//! - What DNS servers answer is not believed further than it is needed: sizes, chains and numbers of servers are bounded,
//!   and nothing of it is shown but names and response codes.
//! - Servers that are silent or slow keep no other domain waiting: of what is asked at once each has a share (`places`), and a
//!   look ends in time (`seen`).
//! - A standing record (dns-persist-01) is read and never written.
//! - A key or token stands in no log, status or event, and has no `Debug`.
//!
//! The wire format and TSIG are hickory-proto's. Its client and `dns-update` are not used: these send one update for each
//! name, and make a key that the server does not know look like an answer that cannot be read, since such an answer
//! is not signed (RFC 8945 §5.2.1).

mod acme_dns;
mod answers;
mod api;
mod azure_dns;
mod changes;
mod cloud_dns;
mod cloudflare;
mod credentials;
mod exchange;
mod fault;
#[cfg(test)]
mod hostile;
mod httpreq;
mod other;
mod places;
mod recursive;
mod rfc2136;
mod route53;
mod seen;
mod session;
mod sets;
mod signing;
mod standing;
mod webhook;
mod writer;
mod zone;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_crds::{CnameStrategy, Dns01};
use tokio::time::{Instant, timeout};

pub use self::api::{Elsewhere, Provider};
pub use self::changes::Patience;
pub use self::fault::{DnsFault, STANDING_RECORD_MISSING, STANDING_RECORD_WRONG};
pub use self::seen::Lack;
pub use self::standing::standing_place;
pub use self::zone::Place;

use self::api::Apis;
use self::changes::carry_out;
use self::credentials::Credentials;
use self::fault::SERVER_FAILS;
use self::places::Places;
use self::recursive::Recursive;
use self::seen::{Servers, few};
use self::sets::Wish;
use self::writer::{Writer, all};
use crate::budget::Budgets;
use crate::metrics::Metrics;
use crate::proxy::Proxies;

/// How long it may take to find out where a record is to be written, however slowly the servers on the way answer.
const PLACE_WITHIN: Duration = Duration::from_secs(30);
/// So much of what was seen by TCP is remembered; it can be looked for again.
const MOST_SEEN: usize = 20_000;

/// How DNS is asked.
#[derive(Debug, Clone)]
pub struct Dns01Settings {
    /// The recursive servers to ask; the system's if there are none.
    pub recursive: Vec<SocketAddr>,
    /// Whether records are looked for at those alone, and not at the zones' own servers.
    pub recursive_only: bool,
    /// Whether it is enough that a zone's servers show a record by UDP.
    pub without_tcp: bool,
    /// The port of zones' servers: 53, save in tests.
    pub port: u16,
    /// How long a record may take to be seen everywhere.
    pub propagation_timeout: Duration,
    /// Where providers' APIs are, if not at their own hosts.
    pub elsewhere: Elsewhere,
}

/// By whom records are written, and on whose behalf.
#[derive(Clone, Copy)]
pub struct By<'a> {
    /// How, as an issuer has it.
    pub settings: &'a Dns01,
    /// The Secrets that the issuer may name.
    pub secrets: &'a Api<Secret>,
    /// The namespace of the Certificate: those whose requests wait take turns.
    pub tenant: &'a str,
    /// Who waits for it.
    pub patience: Patience,
}

/// Writes TXT records and looks for them. Cheap to clone.
#[derive(Clone)]
pub struct Dns {
    inner: Arc<Inner>,
    apis: Arc<Apis>,
}

struct Inner {
    settings: Dns01Settings,
    recursive: Recursive,
    /// For looks at the servers of zones.
    places: Places,
    /// What a server was seen to have at a name by TCP.
    by_tcp: Mutex<HashMap<(SocketAddr, String), SeenByTcp>>,
}

/// Values that were seen, and until when that counts.
struct SeenByTcp {
    values: BTreeSet<String>,
    until: Instant,
}

/// A value under a name, and the zone that both are in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TxtRecord {
    /// The zone.
    pub zone: String,
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
    /// The domain that is validated by it; of a wildcard, the one above.
    pub domain: String,
}

/// What stands at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name, CNAMEs followed.
    pub record: String,
    /// What the servers of its zone have, at each address that answers: one at least.
    pub servers: Vec<Read>,
}

/// The TXT values that a server has at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The server and its address, as they are told.
    pub server: String,
    /// The values, each put together from its strings.
    pub values: Vec<Vec<u8>>,
}

impl Dns {
    /// Asks DNS as `settings` have it, and providers' APIs on permits of `budgets` and through `proxies`, as `replica`. `own`:
    /// the Secrets of the operator's namespace.
    #[must_use]
    pub fn new(
        settings: Dns01Settings,
        budgets: Budgets,
        proxies: Proxies,
        metrics: Metrics,
        replica: &str,
        own: Api<Secret>,
    ) -> Self {
        let apis = Apis::new(
            budgets,
            proxies,
            metrics,
            replica,
            settings.elsewhere.clone(),
            own,
        );
        Self {
            inner: Arc::new(Inner::new(settings)),
            apis,
        }
    }

    /// How long a record may take to be seen everywhere.
    #[must_use]
    pub fn propagation_timeout(&self) -> Duration {
        self.inner.settings.propagation_timeout
    }

    /// Where a record of this name is to be written. `cnames`: which CNAMEs are followed, as an issuer has it.
    ///
    /// # Errors
    /// [`DnsFault`] says what is wrong with the name's DNS, or that it cannot be told now.
    pub async fn place(&self, record: &str, cnames: Option<CnameStrategy>) -> Result<Place, DnsFault> {
        let found = timeout(PLACE_WITHIN, zone::place(&self.inner, record, cnames)).await;
        found.unwrap_or_else(|_| {
            Err(DnsFault::new(
                SERVER_FAILS,
                &format!(
                    "where {record} is to be written was not found out within {} s: its DNS servers answer slowly",
                    PLACE_WITHIN.as_secs()
                ),
            ))
        })
    }

    /// Could records of these names be written? Nothing is changed by that. One answer for each place; of zones that
    /// there is no time left for, that they were not asked about.
    pub async fn may_write(&self, by: By<'_>, places: &[Place]) -> Vec<Result<(), DnsFault>> {
        let until = Instant::now() + by.patience.asks();
        let writer = match self.writer(by).await {
            Ok(writer) => writer,
            Err(fault) => return places.iter().map(|_| Err(fault.clone())).collect(),
        };
        let mut zones: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Place { record, zone } in places {
            zones.entry(zone).or_default().push(record);
        }
        let mut refused: BTreeMap<String, DnsFault> = BTreeMap::new();
        for (zone, records) in zones {
            refused.extend(match Instant::now() < until {
                true => writer.refused(zone, &records).await,
                false => all(&records, &DnsFault::not_asked_yet(None)),
            });
        }
        let answer = |place: &Place| refused.get(&place.record).cloned().map_or(Ok(()), Err);
        places.iter().map(answer).collect()
    }

    /// Writes these records, as many as there is time for. One that is there already stays. One outcome for each.
    pub async fn write(&self, by: By<'_>, records: &[TxtRecord]) -> Vec<Result<(), DnsFault>> {
        self.change(by, records, Wish::There).await
    }

    /// Removes these records, as many as there is time for. One that is not there is no fault. One outcome for each: after a
    /// fault it may still be there.
    pub async fn remove(&self, by: By<'_>, records: &[TxtRecord]) -> Vec<Result<(), DnsFault>> {
        self.change(by, records, Wish::Gone).await
    }

    /// Which of these records cannot be seen at some server: by the record's name, what lacks it.
    pub async fn unseen(&self, records: &[TxtRecord]) -> BTreeMap<String, Lack> {
        let mut by_zone: BTreeMap<&str, Vec<&TxtRecord>> = BTreeMap::new();
        for record in records {
            by_zone.entry(&record.zone).or_default().push(record);
        }
        let looks = by_zone.into_iter().map(|(zone, records)| async move {
            match Servers::of(&self.inner, zone).await {
                Ok(servers) => servers.unseen(&self.inner, &records).await,
                Err(fault) => records
                    .into_iter()
                    .map(|record| (record.name.clone(), Lack::new(&fault.words)))
                    .collect(),
            }
        });
        futures::future::join_all(looks)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// The TXT values at `record`, CNAMEs followed, as each address of each server of the zone there has them.
    ///
    /// # Errors
    /// [`DnsFault`] says what is wrong with the name's DNS, or that none of the servers tells.
    pub async fn read(&self, record: &str) -> Result<Found, DnsFault> {
        // As CAs do, who know nothing of wildcards.
        let Place { record, zone } = self.place(record, Some(CnameStrategy::Follow)).await?;
        let servers = Servers::of(&self.inner, &zone).await?;
        let mut silent = Vec::new();
        let mut found = Vec::new();
        for (server, outcome) in servers.read(&self.inner, &record).await {
            match outcome {
                Ok(values) => found.push(Read {
                    server,
                    values: values.into_iter().collect(),
                }),
                Err(words) => silent.push(format!("{server} {words}")),
            }
        }
        if found.is_empty() {
            return Err(DnsFault::unread(&record, &few(&silent)));
        }
        Ok(Found {
            record,
            servers: found,
        })
    }

    async fn change(&self, by: By<'_>, records: &[TxtRecord], wish: Wish) -> Vec<Result<(), DnsFault>> {
        match self.writer(by).await {
            Ok(writer) => carry_out(&writer, wish, records, by.patience).await,
            Err(fault) => vec![Err(fault); records.len()],
        }
    }

    async fn writer(&self, by: By<'_>) -> Result<Writer, DnsFault> {
        let By {
            settings,
            secrets,
            tenant,
            patience,
        } = by;
        let credentials = Credentials {
            apis: &self.apis,
            secrets,
            tenant,
            patience,
        };
        Writer::of(settings, &credentials).await
    }
}

impl Inner {
    fn new(settings: Dns01Settings) -> Self {
        Self {
            recursive: Recursive::new(&settings.recursive),
            settings,
            places: Places::new(),
            by_tcp: Mutex::default(),
        }
    }

    /// Was this server seen to have all these values at a name by TCP?
    fn seen_by_tcp(&self, server: SocketAddr, name: &str, values: &BTreeSet<&str>) -> bool {
        let by_tcp = self.by_tcp.lock().unwrap_or_else(PoisonError::into_inner);
        by_tcp.get(&(server, name.to_owned())).is_some_and(|seen| {
            Instant::now() < seen.until && values.iter().all(|value| seen.values.contains(*value))
        })
    }

    /// It was; that counts for as long as the record may take to be seen everywhere.
    fn remember_by_tcp(&self, server: SocketAddr, name: &str, values: &BTreeSet<&str>) {
        let now = Instant::now();
        let mut by_tcp = self.by_tcp.lock().unwrap_or_else(PoisonError::into_inner);
        if by_tcp.len() >= MOST_SEEN {
            by_tcp.retain(|_, seen| now < seen.until);
            if by_tcp.len() >= MOST_SEEN {
                by_tcp.clear();
            }
        }
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let until = now + self.settings.propagation_timeout;
        by_tcp.insert((server, name.to_owned()), SeenByTcp { values, until });
    }
}
