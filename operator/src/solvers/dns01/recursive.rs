//! Questions to the recursive servers: in turn until one has an answer.

use std::net::SocketAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use super::exchange::ask;
use super::fault::{DnsFault, SERVER_FAILS};
use super::places::Places;
use super::zone::text;

/// The recursive servers.
pub(super) struct Recursive {
    /// Why there is none, if there is none.
    servers: Result<Vec<SocketAddr>, String>,
    /// Looks at zones' own servers have others: where a record is to be written does not wait for these.
    places: Places,
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
        let mut last = None;
        for server in self.servers()? {
            let asked = {
                let _place = self.places.take(&share).await;
                ask(*server, name, kind, true).await
            };
            match asked {
                Ok(answer)
                    if matches!(
                        answer.response_code,
                        ResponseCode::NoError | ResponseCode::NXDomain
                    ) =>
                {
                    return Ok(answer);
                }
                Ok(answer) => last = Some(format!("{server}: it answers {}", answer.response_code)),
                Err(no_answer) => last = Some(format!("{server}: {no_answer}")),
            }
        }
        let words = last.unwrap_or_else(|| "there is none".into());
        Err(DnsFault::new(
            SERVER_FAILS,
            &format!(
                "the recursive DNS server fails for {kind} {told}: {words}: check the domain's delegation and servers, and \
                 --dns01-recursive-nameservers"
            ),
        ))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::dns_server::{DnsServer, answer_to, name};

    #[tokio::test]
    async fn questions_about_a_domain_whose_servers_are_silent_keep_no_other_waiting() {
        let server = DnsServer::start(|question, _| {
            let at = question.queries[0].name().to_ascii();
            match at.ends_with("silent.example.") {
                true => Vec::new(),
                false => vec![answer_to(question).to_vec().unwrap()],
            }
        })
        .await;
        let recursive = Recursive::new(&[server.address]);
        let names: Vec<Name> = (0..500)
            .map(|number| name(&format!("h{number}.silent.example.")))
            .collect();
        let silent = names.iter().map(|name| recursive.ask(name, RecordType::CNAME));
        let other = async {
            sleep(Duration::from_millis(200)).await;
            let begun = Instant::now();
            let shop = name("shop.example.");
            recursive.ask(&shop, RecordType::SOA).await.unwrap();
            begun.elapsed()
        };
        tokio::select! {
            _ = futures::future::join_all(silent) => panic!("they were answered"),
            took = other => assert!(took < Duration::from_secs(1), "{took:?}"),
        }
    }
}
