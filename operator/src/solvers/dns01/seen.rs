//! Whether records are seen at all servers of their zone, by UDP and by TCP, or at the recursive ones alone.
//!
//! CAs ask by UDP, by TCP after an answer that is too long or does not come, and some by TCP at once; a server has to take both
//! (RFC 7766 §5). What a recursive server takes from here says nothing of what a CA gets: UDP does there.
//!
//! A recursive server that was asked for a name before the record was there goes on saying that it is not, for as long as the
//! zone has it (RFC 2308 §5); and it was asked, since a CNAME there has to be followed. So what it lacks is waited for longer.
//! The same where a wildcard's CNAME was there, which is not followed: that is kept for as long as its TTL, of which an answer
//! tells only what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::exchange::{NoAnswer, Transport, ask_any_way, ask_by_tcp};
use super::fault::{DnsFault, SERVER_FAILS};
use super::places::Share;
use super::zone::{absolute, is_of_wildcard, text};
use super::{Inner, TxtRecord};
use crate::dns_answer::data_of;

/// The most servers of a zone that are asked; no registry takes more than 13.
const MOST_SERVERS: usize = 13;
/// The most addresses of one server that are tried.
const MOST_ADDRESSES: usize = 4;
/// The longest that a recursive server keeps that something is not there, whatever a zone says: three hours are advised to be the
/// most (RFC 2308 §5), and are what BIND has. A CNAME may be kept for longer, and is not waited for any longer.
const MOST_KEPT: Duration = Duration::from_secs(3 * 3600);

/// The servers that a zone's records are looked for at.
pub(super) struct Servers {
    servers: Vec<Server>,
    /// Whether they are the zone's own.
    are_own: bool,
    /// The places that the look takes.
    share: Share,
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

/// Where something was seen, and how.
struct Seen {
    address: SocketAddr,
    by: Transport,
    /// How long the answer may have been kept there.
    kept: Duration,
    /// What was answered in place of what was asked for, and may have been kept there.
    alias: Option<Alias>,
}

/// A CNAME.
struct Alias {
    target: Name,
    /// For how long it is kept yet.
    left: Duration,
}

/// Who is not seen to have a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// Which servers, and what each of them lacks, in words.
    pub words: String,
    /// Whether all of them have it by UDP.
    pub is_of_tcp: bool,
    /// How long one of them may say so although the record is there by now.
    pub kept: Duration,
}

impl Lack {
    fn new(server: &Server, words: &str, is_of_tcp: bool) -> Self {
        Self {
            words: format!("{} {words}", server.word),
            is_of_tcp,
            kept: Duration::ZERO,
        }
    }

    /// Nobody knows the servers to ask.
    pub(super) fn of_all(words: &str) -> Self {
        Self {
            words: words.to_owned(),
            is_of_tcp: false,
            kept: Duration::ZERO,
        }
    }

    fn add(&mut self, other: &Self) {
        self.words = format!("{}, {}", self.words, other.words);
        self.is_of_tcp &= other.is_of_tcp;
        self.kept = self.kept.max(other.kept);
    }

    /// How long it is waited for, where servers that keep nothing get so long.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Duration {
        timeout + self.kept
    }

    /// What can be done about it, if it lasts.
    #[must_use]
    pub fn mend(&self) -> &'static str {
        match self.is_of_tcp {
            true => {
                "CAs may ask by TCP, which every DNS server has to take (RFC 7766): let TCP in at port 53 there, and out of \
                 the cluster, or have UDP do with --dns01-propagation-without-tcp"
            }
            false => {
                "check that they get the zone from its primary, or look at recursive servers alone with \
                 --dns01-recursive-nameservers-only"
            }
        }
    }
}

impl Servers {
    /// Those of `zone`.
    pub(super) async fn of(inner: &Inner, zone: &str) -> Result<Self, DnsFault> {
        if inner.settings.recursive_only {
            let recursive = inner.recursive.servers()?.iter().map(|server| Server {
                word: server.to_string(),
                addresses: vec![*server],
            });
            return Ok(Self {
                servers: recursive.collect(),
                are_own: false,
                share: inner.places.share(zone),
                silent: Mutex::default(),
            });
        }
        let no_servers = |words: String| DnsFault::new(SERVER_FAILS, &words);
        let name = absolute(zone).ok_or_else(|| no_servers(format!("{zone} is no zone")))?;
        let answer = inner.recursive.ask(&name, RecordType::NS).await?;
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
            share: inner.places.share(zone),
            silent: Mutex::default(),
        })
    }

    /// Which of `records` one of these servers is not seen to have, by UDP and, unless that is not wanted, by TCP: by the
    /// record's name. What was seen by TCP once is not looked for there again.
    pub(super) async fn unseen(&self, inner: &Inner, records: &[&TxtRecord]) -> BTreeMap<String, Lack> {
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for record in records {
            wanted.entry(&record.name).or_default().insert(&record.value);
        }
        let wanted = &wanted;
        let looks = self.servers.iter().map(|server| async move {
            let looks = wanted.iter().map(|(name, values)| async move {
                let look = self.by_udp(inner, server, name, values).await;
                (*name, look)
            });
            let mut looks: BTreeMap<&str, Result<Seen, Lack>> =
                futures::future::join_all(looks).await.into_iter().collect();
            if self.are_own && !inner.settings.without_tcp {
                self.by_tcp(inner, server, wanted, &mut looks).await;
            }
            looks
        });
        let mut unseen: BTreeMap<String, Lack> = BTreeMap::new();
        for (name, look) in futures::future::join_all(looks).await.into_iter().flatten() {
            if let Err(lack) = look {
                let told = unseen.entry(name.to_owned());
                told.and_modify(|told| told.add(&lack)).or_insert(lack);
            }
        }
        unseen
    }

    /// Where all these values are at this server by UDP, or why they are not seen there.
    async fn by_udp(
        &self,
        inner: &Inner,
        server: &Server,
        name: &str,
        values: &BTreeSet<&str>,
    ) -> Result<Seen, Lack> {
        let lacks = |words: &str| Lack::new(server, words, false);
        let question = absolute(name).ok_or_else(|| lacks("cannot be asked"))?;
        let (there, seen) = self
            .texts(inner, server, &question)
            .await
            .map_err(|words| lacks(&words))?;
        if has_all(&there, values) {
            return Ok(seen);
        }
        let Seen { by, kept, alias, .. } = seen;
        // One that was written there stays, however long it is waited for. What tells them apart was asked for along with it
        // before, and is kept as long.
        if let Some(Alias { target, left }) = alias
            && is_of_wildcard(inner, &question, &target).await.unwrap_or(true)
        {
            let seconds = left.as_secs();
            let words = format!(
                "lacks the record by {by}, and may go on saying so for {seconds} s: it has kept a wildcard's CNAME"
            );
            // How long it was kept altogether is not told. So it is waited for as long as it is answered.
            return Err(Lack {
                kept: MOST_KEPT,
                ..lacks(&words)
            });
        }
        Err(match kept.as_secs() {
            0 => lacks(&format!("lacks the record by {by}")),
            seconds => Lack {
                kept,
                ..lacks(&format!(
                    "lacks the record by {by}, and may go on saying so for {seconds} s"
                ))
            },
        })
    }

    /// Looks by TCP for what was seen at this server by UDP alone.
    async fn by_tcp<'n>(
        &self,
        inner: &Inner,
        server: &Server,
        wanted: &BTreeMap<&'n str, BTreeSet<&str>>,
        looks: &mut BTreeMap<&'n str, Result<Seen, Lack>>,
    ) {
        let mut by_address: BTreeMap<SocketAddr, Vec<(&'n str, Name)>> = BTreeMap::new();
        for (name, look) in &*looks {
            let Ok(Seen { address, by, .. }) = look else {
                continue;
            };
            let is_known = *by == Transport::Tcp || inner.seen_by_tcp(*address, name, &wanted[name]);
            if let Some(question) = absolute(name).filter(|_| !is_known) {
                by_address.entry(*address).or_default().push((name, question));
            }
        }
        for (address, asked) in by_address {
            let (names, questions): (Vec<&str>, Vec<Name>) = asked.into_iter().unzip();
            let answers = {
                let _place = inner.places.take(&self.share).await;
                let read = |name: &Name, answer: Message| self.values(&answer, name);
                ask_by_tcp(address, &questions, RecordType::TXT, read).await
            };
            for (name, answer) in names.into_iter().zip(answers) {
                let lack = match answer {
                    Ok(Ok(there)) if has_all(&there, &wanted[name]) => {
                        inner.remember_by_tcp(address, name, &wanted[name]);
                        continue;
                    }
                    Ok(Ok(_)) => "lacks it".to_owned(),
                    Ok(Err(words)) => words,
                    Err(no_answer) => no_answer.to_string(),
                };
                let words = format!("has the record by UDP, and by TCP {lack}");
                looks.insert(name, Err(Lack::new(server, &words, true)));
            }
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
                Some(question) => self.texts(inner, server, &question).await.map(|(there, _)| there),
                None => Err("cannot be asked".into()),
            };
            (server.word.clone(), there)
        });
        futures::future::join_all(looks).await
    }

    /// The TXT values that this server has at a name, each put together from its strings, and where; or why that cannot be
    /// told.
    async fn texts(
        &self,
        inner: &Inner,
        server: &Server,
        question: &Name,
    ) -> Result<(BTreeSet<Vec<u8>>, Seen), String> {
        let mut last = "has no address".to_owned();
        for address in &server.addresses {
            let _place = inner.places.take(&self.share).await;
            let known = self.silent().get(address).cloned();
            let answer = match known {
                Some(no_answer) => Err(no_answer),
                None => ask_any_way(*address, question, RecordType::TXT, !self.are_own).await,
            };
            let (answer, by) = match answer {
                Ok(answer) => answer,
                Err(no_answer) => {
                    last = match &no_answer {
                        NoAnswer::Cut(_) => format!("is silent: {no_answer}"),
                        no_answer => format!("is silent by UDP: {no_answer}"),
                    };
                    self.silent().insert(*address, no_answer);
                    continue;
                }
            };
            match self.values(&answer, question) {
                Ok(there) => {
                    let seen = Seen {
                        address: *address,
                        by,
                        kept: self.kept(&answer),
                        alias: self.alias(&answer, question),
                    };
                    return Ok((there, seen));
                }
                Err(words) => last = words,
            }
        }
        Err(last)
    }

    /// The TXT values in a server's answer, or why it tells nothing.
    fn values(&self, answer: &Message, question: &Name) -> Result<BTreeSet<Vec<u8>>, String> {
        let is_told = matches!(
            answer.response_code,
            ResponseCode::NoError | ResponseCode::NXDomain
        );
        match is_told && (answer.authoritative || !self.are_own) {
            true => Ok(values_in(&answer.answers, question)),
            false => Err(format!(
                "does not serve the zone (it answers {})",
                answer.response_code
            )),
        }
    }
}

impl Servers {
    /// How long an answer may have been kept: a zone's own servers keep none.
    fn kept(&self, answer: &Message) -> Duration {
        match self.are_own {
            true => Duration::ZERO,
            false => negative_ttl(answer),
        }
    }

    /// The CNAME that an answer has in place of what was asked for, if it may have been kept.
    fn alias(&self, answer: &Message, question: &Name) -> Option<Alias> {
        if self.are_own {
            return None;
        }
        let aliases = answer.answers.iter().filter_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *question && record.ttl > 0 => {
                Some((&target.0, record.ttl))
            }
            _ => None,
        });
        let (target, seconds) = aliases.min()?;
        Some(Alias {
            target: target.clone(),
            left: Duration::from_secs(seconds.into()),
        })
    }

    fn silent(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, NoAnswer>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    async fn named(inner: &Inner, name: Name) -> Result<Self, DnsFault> {
        let (four, six) = tokio::join!(
            inner.recursive.ask(&name, RecordType::A),
            inner.recursive.ask(&name, RecordType::AAAA)
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

fn has_all(there: &BTreeSet<Vec<u8>>, values: &BTreeSet<&str>) -> bool {
    values.iter().all(|value| there.contains(value.as_bytes()))
}

/// How long it may be kept that something is not there, as the zone's SOA beside such an answer has it. What is left of that, by
/// the record's own TTL, is cut by each server on the way.
fn negative_ttl(answer: &Message) -> Duration {
    let minimums = answer.authorities.iter().filter_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.minimum),
        _ => None,
    });
    let seconds = minimums.max().unwrap_or_default();
    Duration::from_secs(seconds.into()).min(MOST_KEPT)
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

#[cfg(test)]
mod tests;
