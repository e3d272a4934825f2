//! Dynamic updates (RFC 2136), signed by TSIG (RFC 8945).

mod nameserver;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigError;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigVerifier, TSigner};
use sancho_crds::{Rfc2136, UpdateProtocol};
use tokio::time::timeout;

use self::nameserver::addresses;
use super::TxtRecord;
use super::exchange::{NoAnswer, send};
use super::fault::{DnsFault, KEY_REFUSED, SERVER_FAILS, UPDATE_REFUSED, ZONE_REFUSED};
use super::sets::TTL;
use super::zone::absolute;
use crate::clock;

/// How long the server's addresses are tried, one after the other.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// A value that no challenge has.
const NOTHING: &str = "sancho-look";

/// What is to become of a zone's records.
pub(super) struct Change {
    records: Vec<Record>,
}

impl Change {
    /// These are there. Others under the same names stay.
    pub(super) fn add(records: &[&TxtRecord]) -> Self {
        let record = |record: &&TxtRecord| txt(&record.name, &record.value, TTL);
        Self {
            records: records.iter().filter_map(record).collect(),
        }
    }

    /// These are not there (§2.5.4). Others under the same names stay.
    pub(super) fn remove(records: &[&TxtRecord]) -> Self {
        let values = records
            .iter()
            .map(|record| (record.name.as_str(), record.value.as_str()));
        Self::without(values)
    }

    /// Nothing changes: what is removed under these names is not there.
    pub(super) fn nothing(names: &[&str]) -> Self {
        Self::without(names.iter().map(|name| (*name, NOTHING)))
    }

    fn without<'a>(values: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let gone = values.filter_map(|(name, value)| {
            let mut record = txt(name, value, 0)?;
            record.dns_class = DNSClass::NONE;
            Some(record)
        });
        Self {
            records: gone.collect(),
        }
    }
}

fn txt(name: &str, value: &str, ttl: u32) -> Option<Record> {
    let data = RData::TXT(TXT::new(vec![value.to_owned()]));
    Some(Record::from_rdata(absolute(name)?, ttl, data))
}

/// Sends updates to one server.
pub(super) struct Updater {
    /// Its addresses: one at least.
    addresses: Vec<SocketAddr>,
    /// The number of the one that is tried first: the last that answered.
    first: AtomicUsize,
    /// As the issuer has it.
    word: String,
    tcp: bool,
    key: Option<TSigner>,
}

impl Updater {
    /// To the server of `settings`, signed with `key`.
    ///
    /// # Errors
    /// [`DnsFault`] if the server's name has no address.
    pub(super) async fn new(settings: &Rfc2136, key: Option<TSigner>) -> Result<Self, DnsFault> {
        let nameserver = &settings.nameserver;
        let addresses = addresses(nameserver).await.map_err(|words| {
            let words = format!(
                "dns01.rfc2136.nameserver {nameserver} {words}: write one that can be looked up, or an IP address"
            );
            DnsFault::new(SERVER_FAILS, &words)
        })?;
        Ok(Self {
            addresses,
            first: AtomicUsize::new(0),
            word: settings.nameserver.clone(),
            tcp: settings.protocol == Some(UpdateProtocol::Tcp),
            key,
        })
    }

    /// Carries `change` out in `zone`, all of it or nothing (§3.4.2.7).
    ///
    /// # Errors
    /// [`DnsFault`] says what the server does not like.
    pub(super) async fn update(&self, zone: &str, change: &Change) -> Result<(), DnsFault> {
        let word = &self.word;
        let fails = |words: String| DnsFault::new(SERVER_FAILS, &words);
        let name = absolute(zone).ok_or_else(|| fails(format!("{zone} is no zone")))?;
        let mut message = update(name, change);
        let mut verifier = None;
        if let Some(key) = &self.key {
            // A clock before 1970 cannot sign.
            let now = u64::try_from(clock::now().as_second()).unwrap_or_default();
            verifier = message
                .finalize(key, now)
                .map_err(|error| fails(format!("an update could not be signed: {error}")))?;
        }
        let bytes = message
            .to_vec()
            .map_err(|error| fails(format!("an update could not be written: {error}")))?;
        let (answer, bytes) = self.send(&message, &bytes).await.map_err(|failed| {
            fails(format!(
                "the DNS server {word}, which is to be updated, fails: {failed}. Check dns01.rfc2136.nameserver, and that \
                 it can be reached from here"
            ))
        })?;
        self.judged(zone, &answer, &bytes, verifier)
    }

    /// The answer to `message`, of which these are the bytes, from the first address that answers; or what is said of those
    /// that do not. An update that two of them get is as one.
    async fn send(&self, message: &Message, bytes: &[u8]) -> Result<(Message, Vec<u8>), String> {
        let mut silent = Vec::new();
        let trying = async {
            let first = self.first.load(Ordering::Relaxed);
            for number in (first..self.addresses.len()).chain(0..first) {
                let address = self.addresses[number];
                match send(address, message, bytes, self.tcp).await {
                    Ok(answer) => {
                        self.first.store(number, Ordering::Relaxed);
                        return Some(answer);
                    }
                    Err(no_answer) => silent.push((address, no_answer)),
                }
            }
            None
        };
        let answer = timeout(SEND_WITHIN, trying).await.ok().flatten();
        answer.ok_or_else(|| failed(&silent))
    }

    /// Was the update carried out? `bytes` are those of `answer`.
    pub(super) fn judged(
        &self,
        zone: &str,
        answer: &Message,
        bytes: &[u8],
        verifier: Option<TSigVerifier>,
    ) -> Result<(), DnsFault> {
        if answer.response_code != ResponseCode::NoError {
            return Err(self.refusal(zone, answer));
        }
        match verifier.map(|mut verifier| verifier.verify(bytes)) {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(_)) => Err(DnsFault::new(
                KEY_REFUSED,
                &format!(
                    "the answer of the DNS server {} is not signed with the TSIG key: somebody else answers in its place, or \
                     it has no such key: make dns01.rfc2136.nameserver the zone's primary itself, and tsigKeyName and the \
                     Secret of tsigSecretSecretRef those of its configuration",
                    self.word
                ),
            )),
        }
    }

    fn refusal(&self, zone: &str, answer: &Message) -> DnsFault {
        let word = &self.word;
        let error = answer.signature().and_then(|signature| signature.data.error);
        let bad_key = |what: &str, mend: &str| {
            DnsFault::new(KEY_REFUSED, &format!("the DNS server {word} {what}: {mend}"))
        };
        match (error, answer.response_code) {
            (Some(TsigError::BadKey), _) => bad_key(
                "does not know the TSIG key of this name and algorithm (BADKEY)",
                "make dns01.rfc2136.tsigKeyName and tsigAlgorithm those of its configuration",
            ),
            (Some(TsigError::BadSig), _) => bad_key(
                "has another TSIG key of this name (BADSIG)",
                "put the key of its configuration into the Secret of dns01.rfc2136.tsigSecretSecretRef",
            ),
            (Some(TsigError::BadTime), _) => bad_key(
                "says that the time is wrong (BADTIME)",
                "its clock and that of this machine are more than 5 min apart; set both",
            ),
            (_, ResponseCode::Refused) => {
                let (who, mend) = match self.key {
                    Some(_) => ("this key", "grant it in the zone's update-policy or allow-update"),
                    None => (
                        "updates without a key",
                        "name a TSIG key that may in dns01.rfc2136.tsigKeyName and tsigSecretSecretRef",
                    ),
                };
                DnsFault {
                    is_about_names: true,
                    ..DnsFault::new(
                        UPDATE_REFUSED,
                        &format!(
                            "the DNS server {word} does not let {who} write TXT records in the zone {zone} (REFUSED): {mend}"
                        ),
                    )
                }
            }
            (_, ResponseCode::NotAuth | ResponseCode::NotZone | ResponseCode::NotImp) => DnsFault::new(
                ZONE_REFUSED,
                &format!(
                    "the DNS server {word} is no primary of the zone {zone} (it answers {}): name the zone's primary \
                     in dns01.rfc2136.nameserver, or choose another solver for its names by a selector",
                    answer.response_code
                ),
            ),
            (_, code) => DnsFault::new(
                SERVER_FAILS,
                &format!(
                    "the DNS server {word} fails to update the zone {zone} (it answers {code}): see its log"
                ),
            ),
        }
    }
}

pub(super) fn update(zone: Name, change: &Change) -> Message {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    // The zone stands in the question's place, and what is to change in that of the authorities (§2).
    let mut question = Query::new();
    question
        .set_name(zone)
        .set_query_class(DNSClass::IN)
        .set_query_type(RecordType::SOA);
    message.add_query(question);
    message.add_authorities(change.records.iter().cloned());
    message
}

/// What is said of addresses that do not answer. A single one is not told: it is the server's.
fn failed(silent: &[(SocketAddr, NoAnswer)]) -> String {
    match silent {
        [(_, no_answer)] => no_answer.to_string(),
        all => {
            let all = all
                .iter()
                .map(|(address, no_answer)| format!("{}: {no_answer}", address.ip()));
            all.collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
impl Updater {
    /// To the server at these addresses, signed with nothing.
    pub(super) fn at(addresses: Vec<SocketAddr>) -> Self {
        Self {
            addresses,
            first: AtomicUsize::new(0),
            word: "ns.shop.example".into(),
            tcp: false,
            key: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::dns_server::{DnsServer, answer_to};

    #[test]
    fn a_refused_update_without_a_key_is_told_to_name_one() {
        let mut answer = Message::query();
        answer.metadata.response_code = ResponseCode::Refused;
        let refusal = Updater::at(vec![([192, 0, 2, 53], 53).into()]).refusal("shop.example", &answer);
        assert_eq!(refusal.reason, UPDATE_REFUSED);
        assert_eq!(
            refusal.words,
            "the DNS server ns.shop.example does not let updates without a key write TXT records in the zone shop.example \
             (REFUSED): name a TSIG key that may in dns01.rfc2136.tsigKeyName and tsigSecretSecretRef"
        );
    }

    #[test]
    fn an_update_adds_values_and_removes_one_alone() {
        let record = TxtRecord {
            zone: "example.com".into(),
            name: "_acme-challenge.example.com".into(),
            value: "v".into(),
            domain: "a.example".into(),
        };
        let zone = absolute("example.com").unwrap();
        let added = update(zone.clone(), &Change::add(&[&record]));
        let removed = update(zone, &Change::remove(&[&record]));
        for (message, class, ttl) in [(added, DNSClass::IN, TTL), (removed, DNSClass::NONE, 0)] {
            let message = Message::from_vec(&message.to_vec().unwrap()).unwrap();
            assert_eq!(message.op_code, OpCode::Update);
            assert_eq!(message.queries[0].query_type(), RecordType::SOA);
            let [change] = &message.authorities[..] else {
                panic!("{message}")
            };
            assert_eq!((change.dns_class, change.ttl), (class, ttl));
            assert_eq!(change.name.to_ascii(), "_acme-challenge.example.com.");
            assert_eq!(change.data, RData::TXT(TXT::new(vec!["v".into()])));
        }
    }

    #[tokio::test]
    async fn each_address_of_a_server_is_tried_until_one_answers() {
        let silent = DnsServer::start(|_, _| Vec::new()).await;
        let good = DnsServer::start(|update, _| vec![answer_to(update).to_vec().unwrap()]).await;
        let updater = Updater::at(vec![silent.address, good.address]);
        let change = Change::nothing(&["_acme-challenge.shop.example"]);
        for _ in 0..5 {
            assert_eq!(updater.update("shop.example", &change).await, Ok(()));
        }
        // The first one was waited for once, in two attempts.
        assert_eq!((silent.asked().len(), good.asked().len()), (2, 5));
    }

    #[tokio::test]
    async fn addresses_that_do_not_answer_are_told_in_time() {
        let silent = DnsServer::start(|_, _| Vec::new()).await;
        let change = Change::nothing(&["_acme-challenge.shop.example"]);
        let all = Updater::at(vec![silent.address; 4]);
        let begun = Instant::now();
        let fault = all.update("shop.example", &change).await.unwrap_err();
        assert!(begun.elapsed() < SEND_WITHIN + Duration::from_secs(2));
        assert_eq!(fault.reason, SERVER_FAILS);
        let words = "the DNS server ns.shop.example, which is to be updated, fails: 127.0.0.1: it does not answer, 127.0.0.1: \
                     it does not answer. Check";
        assert!(fault.words.starts_with(words), "{fault}");

        let one = Updater::at(vec![silent.address]);
        let fault = one.update("shop.example", &change).await.unwrap_err();
        assert!(
            fault.words.contains("fails: it does not answer. Check"),
            "{fault}"
        );
    }
}
