//! Whether records are seen at all servers of their zone, by UDP and by TCP, or at the recursive ones alone.
//!
//! zone → servers and their addresses → one name at each → the others at those that answer → by TCP what was seen by UDP
//!
//! A server counts with each of its addresses: one that answers and lacks a record is told, whatever the others have. One that is
//! silent, or cannot be reached from here, is passed over if another one of the same server answers, as it is by those who ask.
//!
//! CAs ask by UDP, by TCP after an answer that is too long or does not come, and some by TCP at once; a server has to take both
//! (RFC 7766 §5). What a recursive server takes from here says nothing of what a CA gets: UDP does there.
//!
//! A recursive server that was asked for a name before the record was there goes on saying that it is not, for as long as the
//! zone has it (RFC 2308 §5); and it was asked, since a CNAME there has to be followed. So what it lacks is waited for longer.
//! The same where a wildcard's CNAME was there, which is not followed: that is kept for as long as its TTL, of which an answer
//! tells only what is left.

mod lack;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::time::{Instant, timeout_at};

pub use self::lack::Lack;
pub(super) use self::lack::few;

use self::server::{NO_ADDRESS, Server, Told, silent};
use super::answers::{Alias, MOST_KEPT, addresses_in, kept_alias, negative_ttl, servers_in, values_in};
use super::exchange::{NoAnswer, Transport, ask_any_way, ask_by_tcp};
use super::fault::{DnsFault, SERVER_FAILS};
use super::places::{Held, Share};
use super::zone::{absolute, is_of_wildcard, text};
use super::{Inner, TxtRecord};

/// After so long nothing more is asked in a look; what is under way ends within seconds.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// The servers that a zone's records are looked for at, for one look.
pub(super) struct Servers {
    servers: Vec<Server>,
    /// Whether they are the zone's own.
    are_own: bool,
    /// The places that the look takes.
    share: Share,
    /// When nothing more is asked.
    until: Instant,
    /// Those that did not answer one question are asked no other.
    silent: Mutex<BTreeMap<SocketAddr, NoAnswer>>,
}

impl Servers {
    /// Those of `zone`.
    ///
    /// # Errors
    /// [`DnsFault`] if they are not found out.
    pub(super) async fn of(inner: &Inner, zone: &str) -> Result<Self, DnsFault> {
        let until = Instant::now() + LOOK_WITHIN;
        let are_own = !inner.settings.recursive_only;
        let servers = match are_own {
            true => match timeout_at(until, own(inner, zone)).await {
                Ok(servers) => servers?,
                Err(_) => {
                    let words = format!(
                        "the DNS servers of the zone {zone} were not found out within {} s: those on the way answer slowly",
                        LOOK_WITHIN.as_secs()
                    );
                    return Err(DnsFault::new(SERVER_FAILS, &words));
                }
            },
            false => vec![Server {
                name: None,
                addresses: inner.recursive.servers()?.to_vec(),
            }],
        };
        Ok(Self {
            servers,
            are_own,
            share: inner.places.share(zone),
            until,
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
            let looks = server
                .addresses
                .iter()
                .map(|address| self.look(inner, *address, wanted));
            (server, futures::future::join_all(looks).await)
        });
        let looks = futures::future::join_all(looks).await;
        let late = self.late();
        let mut unseen = BTreeMap::new();
        for name in wanted.keys() {
            let mut lacks = Vec::new();
            for (server, looks) in &looks {
                let by_address = server.addresses.iter().zip(looks);
                let told: Vec<(SocketAddr, &Told)> = by_address
                    .filter_map(|(address, told)| Some((*address, told.get(name)?)))
                    .collect();
                lacks.extend(server.judged(&told, &late));
            }
            if let Some(lack) = Lack::together(&lacks) {
                unseen.insert((*name).to_owned(), lack);
            }
        }
        unseen
    }

    /// What one address says of each of these names: it is asked for one, and for the others if it answers.
    async fn look<'n>(
        &self,
        inner: &Inner,
        address: SocketAddr,
        wanted: &'n BTreeMap<&'n str, BTreeSet<&'n str>>,
    ) -> BTreeMap<&'n str, Told> {
        let mut names = wanted.iter();
        let Some((first, values)) = names.next() else {
            return BTreeMap::new();
        };
        let told = self.by_udp(inner, address, first, values).await;
        let others = names
            .map(|(name, values)| async move { (*name, self.by_udp(inner, address, name, values).await) });
        let mut looks: BTreeMap<&str, Told> = futures::future::join_all(others).await.into_iter().collect();
        looks.insert(first, told);
        if self.are_own && !inner.settings.without_tcp {
            self.by_tcp(inner, address, wanted, &mut looks).await;
        }
        looks
    }

    /// Whether all these values are at this address by UDP.
    async fn by_udp(&self, inner: &Inner, address: SocketAddr, name: &str, values: &BTreeSet<&str>) -> Told {
        let Some(question) = absolute(name) else {
            return Told::Lacks(Lack::new("cannot be asked"));
        };
        let (answer, by) = match self.ask(inner, address, &question).await {
            Some(Ok(answered)) => answered,
            // It answers. Of recursive servers another one does as well.
            Some(Err(no_answer @ NoAnswer::Cut(_))) if self.are_own => {
                return Told::Lacks(Lack::new(&silent(&no_answer)));
            }
            Some(Err(no_answer)) => return Told::silent(&no_answer),
            None => return Told::Unasked,
        };
        match self.values(&answer, &question) {
            Ok(there) if has_all(&there, values) => Told::Has(by),
            Ok(_) => Told::Lacks(self.lack(inner, &answer, &question, by).await),
            Err(words) if self.are_own => Told::Lacks(Lack::new(&words)),
            Err(words) => Told::Nothing {
                words,
                is_reached: true,
            },
        }
    }

    /// What is said of who gave this answer, in which the record is not.
    async fn lack(&self, inner: &Inner, answer: &Message, question: &Name, by: Transport) -> Lack {
        let lacks = format!("lacks the record by {by}");
        // A zone's own servers keep no answers.
        if self.are_own {
            return Lack::new(&lacks);
        }
        // One that was written there stays, however long it is waited for. What tells them apart was asked for along with it
        // before, and is kept as long.
        if let Some(Alias { target, left }) = kept_alias(answer, question) {
            let is_of_wildcard = timeout_at(self.until, is_of_wildcard(inner, question, &target)).await;
            if !matches!(is_of_wildcard, Ok(Ok(false))) {
                let words = format!(
                    "{lacks}, and may go on saying so for {} s: it has kept a wildcard's CNAME",
                    left.as_secs()
                );
                // How long it was kept altogether is not told. So it is waited for as long as it is answered.
                return Lack {
                    kept: MOST_KEPT,
                    ..Lack::new(&words)
                };
            }
        }
        let kept = negative_ttl(answer);
        match kept.as_secs() {
            0 => Lack::new(&lacks),
            seconds => Lack {
                kept,
                ..Lack::new(&format!("{lacks}, and may go on saying so for {seconds} s"))
            },
        }
    }

    /// Looks by TCP for what was seen at this address by UDP alone.
    async fn by_tcp<'n>(
        &self,
        inner: &Inner,
        address: SocketAddr,
        wanted: &BTreeMap<&'n str, BTreeSet<&'n str>>,
        looks: &mut BTreeMap<&'n str, Told>,
    ) {
        let is_open = |name: &str, told: &Told| {
            *told == Told::Has(Transport::Udp) && !inner.seen_by_tcp(address, name, &wanted[name])
        };
        let open = looks.iter().filter(|(name, told)| is_open(name, told));
        let (names, questions): (Vec<&str>, Vec<Name>) = open
            .filter_map(|(name, _)| Some((*name, absolute(name)?)))
            .unzip();
        if names.is_empty() {
            return;
        }
        let place = self.place(inner).await;
        if place.is_none() {
            looks.extend(names.into_iter().map(|name| (name, Told::Unasked)));
            return;
        }
        let read = |name: &Name, answer: Message| self.values(&answer, name);
        let answers = ask_by_tcp(address, &questions, RecordType::TXT, read).await;
        drop(place);
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
            let lack = Lack {
                is_of_tcp: true,
                ..Lack::new(&format!("has the record by UDP, and by TCP {lack}"))
            };
            looks.insert(name, Told::Lacks(lack));
        }
    }

    /// The TXT values that each address of these servers has at `name`, or why that cannot be told; with what is to be said of
    /// whom.
    pub(super) async fn read(
        &self,
        inner: &Inner,
        name: &str,
    ) -> Vec<(String, Result<BTreeSet<Vec<u8>>, String>)> {
        let looks = self.servers.iter().map(|server| async move {
            if server.addresses.is_empty() {
                return vec![(server.told().to_owned(), Err(NO_ADDRESS.to_owned()))];
            }
            let looks = server.addresses.iter().map(|address| async move {
                let there = self.texts(inner, *address, name).await;
                (server.word(*address), there)
            });
            futures::future::join_all(looks).await
        });
        let looks = futures::future::join_all(looks).await;
        looks.into_iter().flatten().collect()
    }

    /// The TXT values that this address has at a name, each put together from its strings; or why that cannot be told.
    async fn texts(
        &self,
        inner: &Inner,
        address: SocketAddr,
        name: &str,
    ) -> Result<BTreeSet<Vec<u8>>, String> {
        let question = absolute(name).ok_or("cannot be asked")?;
        match self.ask(inner, address, &question).await {
            Some(Ok((answer, _))) => self.values(&answer, &question),
            Some(Err(no_answer)) => Err(silent(&no_answer)),
            None => Err(self.late()),
        }
    }

    /// What an address answers to a question, and by what; nothing if there was no time to ask.
    async fn ask(
        &self,
        inner: &Inner,
        address: SocketAddr,
        question: &Name,
    ) -> Option<Result<(Message, Transport), NoAnswer>> {
        let known = self.silent().get(&address).cloned();
        if let Some(no_answer) = known {
            return Some(Err(no_answer));
        }
        let _place = self.place(inner).await?;
        // It may have been found silent meanwhile.
        let known = self.silent().get(&address).cloned();
        if let Some(no_answer) = known {
            return Some(Err(no_answer));
        }
        let answer = ask_any_way(address, question, RecordType::TXT, !self.are_own).await;
        if let Err(no_answer) = &answer
            && !matches!(no_answer, NoAnswer::Cut(_))
        {
            self.silent().insert(address, no_answer.clone());
        }
        Some(answer)
    }

    /// A place for a question, if there is one in time.
    async fn place<'a>(&'a self, inner: &'a Inner) -> Option<Held<'a>> {
        timeout_at(self.until, inner.places.take(&self.share)).await.ok()
    }

    /// What is said of an address that there was no time to ask.
    fn late(&self) -> String {
        let silent = self.silent();
        let word = |address: &SocketAddr| {
            let server = self
                .servers
                .iter()
                .find(|server| server.addresses.contains(address))?;
            Some(server.word(*address))
        };
        let silent: Vec<String> = silent.keys().filter_map(word).collect();
        let seconds = LOOK_WITHIN.as_secs();
        match silent.is_empty() {
            true => format!("was not asked within {seconds} s, since too much is asked at once"),
            false => format!(
                "was not asked within {seconds} s, since others are silent: {}",
                few(&silent)
            ),
        }
    }

    /// The TXT values in a server's answer, or why it tells nothing.
    fn values(&self, answer: &Message, question: &Name) -> Result<BTreeSet<Vec<u8>>, String> {
        let is_told = matches!(
            answer.response_code,
            ResponseCode::NoError | ResponseCode::NXDomain
        );
        if is_told && (answer.authoritative || !self.are_own) {
            return Ok(values_in(&answer.answers, question));
        }
        let words = match self.are_own {
            true => "does not serve the zone",
            false => "fails",
        };
        Err(format!("{words} (it answers {})", answer.response_code))
    }

    fn silent(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, NoAnswer>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The servers that the NS records of `zone` name.
async fn own(inner: &Inner, zone: &str) -> Result<Vec<Server>, DnsFault> {
    let no_servers = |words: String| DnsFault::new(SERVER_FAILS, &words);
    let name = absolute(zone).ok_or_else(|| no_servers(format!("{zone} is no zone")))?;
    let answer = inner.recursive.ask(&name, RecordType::NS).await?;
    let names = servers_in(&answer.answers, &name);
    if names.is_empty() {
        return Err(no_servers(format!(
            "the zone {zone} has no NS records: check its delegation"
        )));
    }
    let servers = names.into_iter().map(|name| named(inner, name));
    futures::future::join_all(servers).await.into_iter().collect()
}

/// The server of this name.
async fn named(inner: &Inner, name: Name) -> Result<Server, DnsFault> {
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
    Ok(Server {
        name: Some(text(&name)),
        addresses,
    })
}

fn has_all(there: &BTreeSet<Vec<u8>>, values: &BTreeSet<&str>) -> bool {
    values.iter().all(|value| there.contains(value.as_bytes()))
}

#[cfg(test)]
mod tests;
