//! DNS-01 (RFC 8555 §8.4): TXT records are written, seen by all servers of their zones, and removed.
//!
//! name → place (`zone`: CNAMEs, then the SOA) → update (`rfc2136`, signed by a key of `credentials`) → `seen`
//!
//! # Guarantees
//! - One value is added and removed under a name, whatever else stands there.
//! - A record is written where CNAMEs lead, at most [`zone::MOST_CNAMES`] of them; a loop is a fault of the name.
//! - What DNS servers answer is not believed further than it is needed: sizes, chains and numbers of servers are bounded,
//!   and nothing of it is shown but names and response codes.
//! - A key stands in no log, status or event, and has no `Debug`.
//!
//! The wire format and TSIG are hickory-proto's. Its client and `dns-update` are not used: these send one update for each
//! name, and make a key that the server does not know look like an answer that cannot be read, since such an answer
//! is not signed (RFC 8945 §5.2.1).

mod credentials;
mod exchange;
mod fault;
mod rfc2136;
mod seen;
mod zone;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::system_conf::read_system_conf;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_crds::Rfc2136;
use tokio::sync::Semaphore;

pub use self::fault::DnsFault;
pub use self::zone::Place;

use self::rfc2136::{Change, Updater};
use self::seen::Servers;

/// So many questions are asked at once by one process.
const MOST_AT_ONCE: usize = 64;

/// How DNS is asked.
#[derive(Debug, Clone)]
pub struct Dns01Settings {
    /// The recursive servers to ask; the system's if there are none.
    pub recursive: Vec<SocketAddr>,
    /// Whether records are looked for at those alone, and not at the zones' own servers.
    pub recursive_only: bool,
    /// The port of zones' servers: 53, save in tests.
    pub port: u16,
    /// How long a record may take to be seen everywhere.
    pub propagation_timeout: Duration,
}

/// Writes TXT records and looks for them. Cheap to clone.
#[derive(Clone)]
pub struct Dns {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Dns01Settings,
    /// Why there is none, if there is none.
    recursive: Result<Vec<SocketAddr>, String>,
    places: Semaphore,
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
}

impl Dns {
    /// Asks DNS as `settings` have it.
    #[must_use]
    pub fn new(settings: Dns01Settings) -> Self {
        let recursive = match settings.recursive.as_slice() {
            [] => of_system(),
            given => Ok(given.to_vec()),
        };
        Self {
            inner: Arc::new(Inner {
                settings,
                recursive,
                places: Semaphore::new(MOST_AT_ONCE),
            }),
        }
    }

    /// How long a record may take to be seen everywhere.
    #[must_use]
    pub fn propagation_timeout(&self) -> Duration {
        self.inner.settings.propagation_timeout
    }

    /// Where a record of this name is to be written.
    ///
    /// # Errors
    /// [`DnsFault`] says what is wrong with the name's DNS, or that it cannot be told now.
    pub async fn place(&self, record: &str) -> Result<Place, DnsFault> {
        zone::place(&self.inner, record).await
    }

    /// Could records of these names be written? Asks the server to remove a value that is not there, which changes
    /// nothing and needs the same leave. One answer for each place.
    pub async fn may_write(
        &self,
        settings: &Rfc2136,
        secrets: &Api<Secret>,
        places: &[Place],
    ) -> Vec<Result<(), DnsFault>> {
        let all = |fault: DnsFault| places.iter().map(|_| Err(fault.clone())).collect();
        let updater = match self.updater(settings, secrets).await {
            Ok(updater) => updater,
            Err(fault) => return all(fault),
        };
        let mut zones: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Place { record, zone } in places {
            zones.entry(zone).or_default().push(record);
        }
        let mut refused: BTreeMap<&str, DnsFault> = BTreeMap::new();
        for (zone, records) in zones {
            let whole = updater.update(zone, &Change::nothing(&records)).await;
            match whole {
                Ok(()) => {}
                // Some may be allowed and others not.
                Err(fault) if fault.is_about_names && records.len() > 1 => {
                    for record in records {
                        if let Err(fault) = updater.update(zone, &Change::nothing(&[record])).await {
                            refused.insert(record, fault);
                        }
                    }
                }
                Err(fault) => refused.extend(records.iter().map(|record| (*record, fault.clone()))),
            }
        }
        let answer = |place: &Place| refused.get(place.record.as_str()).cloned().map_or(Ok(()), Err);
        places.iter().map(answer).collect()
    }

    /// Writes these records. One that is there already stays.
    ///
    /// # Errors
    /// [`DnsFault`] says why one of them, at least, was not written.
    pub async fn write(
        &self,
        settings: &Rfc2136,
        secrets: &Api<Secret>,
        records: &[TxtRecord],
    ) -> Result<(), DnsFault> {
        self.change(settings, secrets, records, Change::add).await
    }

    /// Removes these records. One that is not there is no error.
    ///
    /// # Errors
    /// [`DnsFault`] says why one of them, at least, may still be there.
    pub async fn remove(
        &self,
        settings: &Rfc2136,
        secrets: &Api<Secret>,
        records: &[TxtRecord],
    ) -> Result<(), DnsFault> {
        self.change(settings, secrets, records, Change::remove).await
    }

    /// Which of these records cannot be seen at some server: by the record's name, what lacks it, in words.
    pub async fn unseen(&self, records: &[TxtRecord]) -> BTreeMap<String, String> {
        let mut by_zone: BTreeMap<&str, Vec<&TxtRecord>> = BTreeMap::new();
        for record in records {
            by_zone.entry(&record.zone).or_default().push(record);
        }
        let looks = by_zone.into_iter().map(|(zone, records)| async move {
            match Servers::of(&self.inner, zone).await {
                Ok(servers) => servers.unseen(&self.inner, &records).await,
                Err(fault) => records
                    .into_iter()
                    .map(|record| (record.name.clone(), fault.words.clone()))
                    .collect(),
            }
        });
        futures::future::join_all(looks)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn change(
        &self,
        settings: &Rfc2136,
        secrets: &Api<Secret>,
        records: &[TxtRecord],
        change: fn(&[&TxtRecord]) -> Change,
    ) -> Result<(), DnsFault> {
        let updater = self.updater(settings, secrets).await?;
        let mut by_zone: BTreeMap<&str, Vec<&TxtRecord>> = BTreeMap::new();
        for record in records {
            by_zone.entry(&record.zone).or_default().push(record);
        }
        for (zone, records) in by_zone {
            for some in records.chunks(rfc2136::MOST_RECORDS) {
                updater.update(zone, &change(some)).await?;
            }
        }
        Ok(())
    }

    async fn updater(&self, settings: &Rfc2136, secrets: &Api<Secret>) -> Result<Updater, DnsFault> {
        let key = credentials::key(settings, secrets).await?;
        Updater::new(settings, key).await
    }
}

/// The recursive servers of `/etc/resolv.conf`.
fn of_system() -> Result<Vec<SocketAddr>, String> {
    let (config, _) =
        read_system_conf().map_err(|error| format!("no recursive DNS server is configured here: {error}"))?;
    let servers: Vec<SocketAddr> = config
        .name_servers()
        .iter()
        .map(|server| SocketAddr::new(server.ip, 53))
        .collect();
    if servers.is_empty() {
        return Err("/etc/resolv.conf names no DNS server".into());
    }
    Ok(servers)
}
