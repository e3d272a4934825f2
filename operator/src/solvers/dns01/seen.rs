//! Whether records are seen at all servers of their zone, or at the recursive ones alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::exchange::{NoAnswer, ask};
use super::fault::{DnsFault, SERVER_FAILS};
use super::zone::{absolute, recursive, text};
use super::{Inner, TxtRecord};
use crate::dns_answer::data_of;

/// The most servers of a zone that are asked; no registry takes more than 13.
const MOST_SERVERS: usize = 13;
/// The most addresses of one server that are tried.
const MOST_ADDRESSES: usize = 4;

/// The servers that a zone's records are looked for at.
pub(super) struct Servers {
    servers: Vec<Server>,
    /// Whether they are the zone's own.
    are_own: bool,
    /// Those that did not answer one question are asked no other: a zone whose servers are silent is not to keep all places
    /// taken.
    silent: Mutex<BTreeMap<SocketAddr, NoAnswer>>,
}

struct Server {
    /// As it is told.
    word: String,
    /// One of these is to answer.
    addresses: Vec<SocketAddr>,
}

impl Servers {
    /// Those of `zone`.
    pub(super) async fn of(inner: &Inner, zone: &str) -> Result<Self, DnsFault> {
        if inner.settings.recursive_only {
            let recursive = inner.recursive.iter().flatten().map(|server| Server {
                word: server.to_string(),
                addresses: vec![*server],
            });
            return Ok(Self {
                servers: recursive.collect(),
                are_own: false,
                silent: Mutex::default(),
            });
        }
        let no_servers = |words: String| DnsFault::new(SERVER_FAILS, &words);
        let name = absolute(zone).ok_or_else(|| no_servers(format!("{zone} is no zone")))?;
        let answer = recursive(inner, &name, RecordType::NS).await?;
        let names = servers_in(&answer.answers, &name);
        if names.is_empty() {
            return Err(no_servers(format!(
                "the zone {zone} has no NS records: check its delegation"
            )));
        }
        let servers = names.into_iter().map(|name| Server::named(inner, name));
        Ok(Self {
            servers: futures::future::join_all(servers)
                .await
                .into_iter()
                .collect::<Result<_, _>>()?,
            are_own: true,
            silent: Mutex::default(),
        })
    }

    /// Which of `records` one of these servers lacks: by the record's name, which one and how, in words.
    pub(super) async fn unseen(&self, inner: &Inner, records: &[&TxtRecord]) -> BTreeMap<String, String> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for record in records {
            values.entry(&record.name).or_default().insert(&record.value);
        }
        let questions = values
            .iter()
            .flat_map(|(name, values)| self.servers.iter().map(move |server| (*name, values, server)));
        let looks = questions.map(|(name, values, server)| async move {
            let lacks = self.lacks(inner, server, name, values).await?;
            Some((name.to_owned(), format!("{} {lacks}", server.word)))
        });
        let found = futures::future::join_all(looks).await;
        let mut unseen: BTreeMap<String, String> = BTreeMap::new();
        for (name, words) in found.into_iter().flatten() {
            let told = unseen.entry(name).or_default();
            if !told.is_empty() {
                told.push_str(", ");
            }
            told.push_str(&words);
        }
        unseen
    }

    /// Why this server is not seen to have all these values; nothing if it is.
    async fn lacks(
        &self,
        inner: &Inner,
        server: &Server,
        name: &str,
        values: &BTreeSet<&str>,
    ) -> Option<String> {
        let Some(question) = absolute(name) else {
            return Some("cannot be asked".into());
        };
        match self.texts(inner, server, &question).await {
            Ok(there) => {
                let is_there = |value: &&str| there.contains(value.as_bytes());
                (!values.iter().all(is_there)).then(|| "lacks the record".to_owned())
            }
            Err(words) => Some(words),
        }
    }

    /// The TXT values that each of these servers has at `name`, or why that cannot be told, with the server's word.
    pub(super) async fn read(
        &self,
        inner: &Inner,
        name: &str,
    ) -> Vec<(String, Result<BTreeSet<Vec<u8>>, String>)> {
        let looks = self.servers.iter().map(|server| async move {
            let there = match absolute(name) {
                Some(question) => self.texts(inner, server, &question).await,
                None => Err("cannot be asked".into()),
            };
            (server.word.clone(), there)
        });
        futures::future::join_all(looks).await
    }

    /// The TXT values that this server has at a name, each put together from its strings; or why that cannot be told.
    async fn texts(
        &self,
        inner: &Inner,
        server: &Server,
        question: &Name,
    ) -> Result<BTreeSet<Vec<u8>>, String> {
        let mut last = "has no address".to_owned();
        for address in &server.addresses {
            let _place = inner.places.acquire().await;
            let known = self.silent().get(address).cloned();
            let answer = match known {
                Some(no_answer) => Err(no_answer),
                None => ask(*address, question, RecordType::TXT, !self.are_own).await,
            };
            let answer = match answer {
                Ok(answer) => answer,
                Err(no_answer) => {
                    last = format!("is silent: {no_answer}");
                    self.silent().insert(*address, no_answer);
                    continue;
                }
            };
            let is_told = matches!(
                answer.response_code,
                ResponseCode::NoError | ResponseCode::NXDomain
            );
            if !is_told || (self.are_own && !answer.authoritative) {
                last = format!("does not serve the zone (it answers {})", answer.response_code);
                continue;
            }
            return Ok(values_in(&answer.answers, question));
        }
        Err(last)
    }
}

impl Servers {
    fn silent(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, NoAnswer>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    async fn named(inner: &Inner, name: Name) -> Result<Self, DnsFault> {
        let (four, six) = tokio::join!(
            recursive(inner, &name, RecordType::A),
            recursive(inner, &name, RecordType::AAAA)
        );
        let addresses = match (four, six) {
            (Ok(four), Ok(six)) => addresses_in(&name, [&four, &six], inner.settings.port),
            // A family that cannot be asked for does not matter if the other has an address.
            (Ok(one), Err(fault)) | (Err(fault), Ok(one)) => {
                let addresses = addresses_in(&name, [&one], inner.settings.port);
                if addresses.is_empty() {
                    return Err(fault);
                }
                addresses
            }
            (Err(fault), Err(_)) => return Err(fault),
        };
        let shown = addresses.first().map(|address| format!(" ({})", address.ip()));
        Ok(Self {
            word: format!("{}{}", text(&name), shown.unwrap_or_default()),
            addresses,
        })
    }
}

/// The servers of `zone` that these records name.
pub(super) fn servers_in(records: &[Record], zone: &Name) -> BTreeSet<Name> {
    let servers = records.iter().filter_map(|record| match &record.data {
        RData::NS(server) if record.name == *zone => Some(&server.0),
        _ => None,
    });
    let all: BTreeSet<&Name> = servers.collect();
    all.into_iter().take(MOST_SERVERS).cloned().collect()
}

/// The addresses that these answers have for `name`.
pub(super) fn addresses_in<'a>(
    name: &Name,
    answers: impl IntoIterator<Item = &'a Message>,
    port: u16,
) -> Vec<SocketAddr> {
    let mut all = BTreeSet::new();
    for answer in answers {
        all.extend(data_of(&answer.answers, name).filter_map(|data| match data {
            RData::A(address) => Some(SocketAddr::from((address.0, port))),
            RData::AAAA(address) => Some(SocketAddr::from((address.0, port))),
            _ => None,
        }));
    }
    all.into_iter().take(MOST_ADDRESSES).collect()
}

/// The values of the TXT records at `name`, each put together from its strings.
pub(super) fn values_in(records: &[Record], name: &Name) -> BTreeSet<Vec<u8>> {
    let values = records.iter().filter_map(|record| match &record.data {
        RData::TXT(text) if record.name == *name => Some(text.txt_data.concat()),
        _ => None,
    });
    values.collect()
}
