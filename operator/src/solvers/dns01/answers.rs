//! What the answers of zones' servers, and of recursive ones, say of a record that is looked for. Pure: messages → names,
//! addresses, values and times, all of them bounded.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record};

use crate::dns_answer::data_of;

/// The most servers of a zone that are asked; no registry takes more than 13.
const MOST_SERVERS: usize = 13;
/// The most addresses of one server that are asked.
pub(super) const MOST_ADDRESSES: usize = 4;
/// The longest that a recursive server keeps that something is not there, whatever a zone says: three hours are advised to be the
/// most (RFC 2308 §5), and are what BIND has. A CNAME may be kept for longer, and is not waited for any longer.
pub(super) const MOST_KEPT: Duration = Duration::from_secs(3 * 3600);

/// A CNAME.
pub(super) struct Alias {
    pub(super) target: Name,
    /// For how long it is kept yet.
    pub(super) left: Duration,
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

/// How long it may be kept that something is not there, as the zone's SOA beside such an answer has it. What is left of that, by
/// the record's own TTL, is cut by each server on the way.
pub(super) fn negative_ttl(answer: &Message) -> Duration {
    let minimums = answer.authorities.iter().filter_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.minimum),
        _ => None,
    });
    let seconds = minimums.max().unwrap_or_default();
    Duration::from_secs(seconds.into()).min(MOST_KEPT)
}

/// The CNAME that an answer has in place of what was asked for, if it may have been kept.
pub(super) fn kept_alias(answer: &Message, question: &Name) -> Option<Alias> {
    let aliases = answer.answers.iter().filter_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *question && record.ttl > 0 => Some((&target.0, record.ttl)),
        _ => None,
    });
    let (target, seconds) = aliases.min()?;
    Some(Alias {
        target: target.clone(),
        left: Duration::from_secs(seconds.into()),
    })
}
