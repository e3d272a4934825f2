//! Questions to the recursive servers: in turn until one has an answer.
//!
//! Each question waits for a server that is silent. So one that was so several times in a row, and answered nothing meanwhile, is
//! asked after the others for a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::time::Instant;

use super::exchange::ask;
use super::fault::{DnsFault, SERVER_FAILS};
use super::places::Places;
use super::zone::text;

/// A server that was silent so often in a row is asked after the others.
const SILENCES: u32 = 3;
/// So long after its last silence; then it is its turn again.
const ASIDE: Duration = Duration::from_secs(30);

/// The recursive servers.
pub(super) struct Recursive {
    /// Why there is none, if there is none.
    servers: Result<Vec<SocketAddr>, String>,
    /// Those that did not answer when they were asked last.
    silent: Mutex<BTreeMap<SocketAddr, Silence>>,
    /// Looks at zones' own servers have others: where a record is to be written does not wait for these.
    places: Places,
}

/// How often in a row a server was silent, and when it was so last.
#[derive(Debug, Clone, Copy)]
struct Silence {
    times: u32,
    last: Instant,
}

impl Recursive {
    /// Those that are `given`; the system's if there are none.
    pub(super) fn new(given: &[SocketAddr]) -> Self {
        let servers = match given {
            [] => of_system(),
            given => Ok(given.to_vec()),
        };
        Self {
            servers,
            silent: Mutex::default(),
            places: Places::new(),
        }
    }

    /// Their addresses.
    ///
    /// # Errors
    /// [`DnsFault`] if there is none.
    pub(super) fn servers(&self) -> Result<&[SocketAddr], DnsFault> {
        self.servers.as_deref().map_err(|words| {
            DnsFault::new(
                SERVER_FAILS,
                &format!("{words}: name one with --dns01-recursive-nameservers"),
            )
        })
    }

    /// Asks them for the records of this type at `name`, in turn until one has an answer.
    ///
    /// # Errors
    /// [`DnsFault`] if none has.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Message, DnsFault> {
        let told = text(name);
        let share = self.places.share(&told);
        let servers = in_order(self.servers()?, &self.silent(), Instant::now());
        let mut failed = Vec::new();
        for server in servers {
            let asked = {
                let _place = self.places.take(&share).await;
                ask(server, name, kind, true).await
            };
            self.note(server, asked.is_err());
            match asked {
                Ok(answer)
                    if matches!(
                        answer.response_code,
                        ResponseCode::NoError | ResponseCode::NXDomain
                    ) =>
                {
                    return Ok(answer);
                }
                Ok(answer) => failed.push(format!("{server}: it answers {}", answer.response_code)),
                Err(no_answer) => failed.push(format!("{server}: {no_answer}")),
            }
        }
        Err(DnsFault::new(
            SERVER_FAILS,
            &format!(
                "the recursive DNS server fails for {kind} {told}: {}: check the domain's delegation and servers, and \
                 --dns01-recursive-nameservers",
                failed.join(", ")
            ),
        ))
    }

    /// Remembers whether a server that was asked was silent.
    fn note(&self, server: SocketAddr, was_silent: bool) {
        let mut silent = self.silent();
        let times = silent.remove(&server).map_or(0, |silence| silence.times);
        if was_silent {
            let silence = Silence {
                times: times.saturating_add(1),
                last: Instant::now(),
            };
            silent.insert(server, silence);
        }
    }

    fn silent(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Silence>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `servers` in the order in which they are asked at `now`: their own, save that those that were silent come last.
fn in_order(servers: &[SocketAddr], silent: &BTreeMap<SocketAddr, Silence>, now: Instant) -> Vec<SocketAddr> {
    let is_aside = |server: &SocketAddr| {
        let silence = silent.get(server);
        silence.is_some_and(|silence| silence.times >= SILENCES && now < silence.last + ASIDE)
    };
    let mut servers = servers.to_vec();
    servers.sort_by_key(is_aside);
    servers
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

#[cfg(test)]
mod tests;
