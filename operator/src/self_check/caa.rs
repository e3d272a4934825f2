//! CAA records of names and of the domains above them (RFC 8659), by the same resolvers as addresses. All names of a round
//! go up together, so that a domain is asked for once however many names are below it.

use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use sancho_core::caa::{self, Asker, Look, Looks, Verdict};
use sancho_core::challenge::ChallengeKind;
use sancho_core::shown::shown_within;
use tokio::time::{Instant, timeout_at};

use super::{Inner, SelfCheck};
use crate::dns_answer::{MOST_CNAMES, data_of, end_of_cnames};

/// How long all of a round's looks may take.
const WITHIN: Duration = Duration::from_secs(8);

impl SelfCheck {
    /// One verdict for each of these names, which are validated in these ways. Where looks are turned off, and where nobody
    /// knows by which names records mean the CA, nothing is asked, and all are allowed.
    pub async fn caa(&self, names: &[(&str, ChallengeKind)], asker: Asker<'_>) -> Vec<Verdict> {
        let Some(inner) = &self.inner else {
            return vec![Verdict::Allowed; names.len()];
        };
        if asker.identities.is_empty() {
            return vec![Verdict::Allowed; names.len()];
        }
        let resolver = match &inner.resolver {
            Ok(resolver) => resolver,
            Err(words) => return vec![Verdict::Unknown(words.clone()); names.len()],
        };
        let looks = inner.climb(resolver, names).await;
        names
            .iter()
            .map(|(name, kind)| looks.verdict(name, *kind, asker))
            .collect()
    }
}

impl Inner {
    async fn climb(&self, resolver: &TokioResolver, names: &[(&str, ChallengeKind)]) -> Looks {
        let until = Instant::now() + WITHIN;
        let mut looks = Looks::default();
        loop {
            let missing = looks.missing(names.iter().map(|(name, _)| *name));
            if missing.is_empty() {
                tracing::debug!(
                    names = names.len(),
                    domains = looks.count(),
                    "looked up CAA records"
                );
                return looks;
            }
            let asked = missing.into_iter().map(|domain| async move {
                let asked = async {
                    let _place = self.places.acquire().await;
                    look(resolver, domain).await
                };
                let late = || Look::Unknown(format!("CAA of {domain} was not answered in time"));
                (domain, timeout_at(until, asked).await.unwrap_or_else(|_| late()))
            });
            for (domain, look) in futures::future::join_all(asked).await {
                looks.learn(domain, look);
            }
        }
    }
}

async fn look(resolver: &TokioResolver, domain: &str) -> Look {
    // What is certified is a name; what stands above one is one, too.
    let Ok(name) = Name::from_ascii(format!("{domain}.")) else {
        return Look::Unknown(format!("{} is no DNS name", shown_within(domain, 100)));
    };
    let unknown = |words: &str| Look::Unknown(shown_within(&format!("CAA of {domain}: {words}"), 256));
    let of_code = |code: ResponseCode| match code {
        ResponseCode::NXDomain | ResponseCode::NoError => Look::Nothing,
        code => unknown(&format!("the resolver answers {code}")),
    };
    match resolver.lookup(name.clone(), RecordType::CAA).await {
        Ok(lookup) => read(&name, lookup.answers()),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => of_code(none.response_code),
        Err(NetError::Dns(DnsError::ResponseCode(code))) => of_code(code),
        Err(other) => unknown(&format!("the resolver does not answer: {other}")),
    }
}

/// What an answer says of `name`: the records there, or where its CNAMEs lead.
fn read(name: &Name, answers: &[Record]) -> Look {
    let Some(end) = end_of_cnames(answers, name) else {
        let words = format!("the CNAMEs of {name} lead round in a circle, or on for more than {MOST_CNAMES}");
        return Look::Unknown(shown_within(&words, 256));
    };
    let records: Vec<caa::Record> = data_of(answers, name)
        .filter_map(|data| match data {
            RData::CAA(data) => Some(caa::Record {
                critical: data.issuer_critical,
                tag: data.tag.clone(),
                value: data.value.clone(),
            }),
            _ => None,
        })
        .collect();
    if records.is_empty() {
        return Look::Nothing;
    }
    let owner = end.to_ascii().to_ascii_lowercase();
    Look::Records {
        owner: owner.trim_end_matches('.').to_owned(),
        records,
    }
}

#[cfg(test)]
mod tests;
