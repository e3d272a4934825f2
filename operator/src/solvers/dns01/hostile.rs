//! Tests: what DNS servers answer is hostile. It is mangled, forged, reordered, far too long, leads round in circles, or
//! never ends.

mod damage;

use std::net::Ipv4Addr;
use std::time::Instant;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::{TSIG, TsigAlgorithm, make_tsig_record};
use hickory_proto::rr::rdata::{A, AAAA, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType, TSigner};
use proptest::prelude::*;

use self::damage::{damage, damaged};
use super::answers::{addresses_in, servers_in, values_in};
use super::exchange::{NoAnswer, ask, parsed};
use super::fault::{CNAME_LOOP, ZONE_NOT_FOUND};
use super::rfc2136::{Change, Updater};
use super::seen::Servers;
use super::zone::{self, MOST_CNAMES, zone_in};
use super::*;
use crate::dns_answer::{cname_of, end_of_cnames};
use crate::dns_server::{By, DnsServer, answer_to, cname, name, txt};

const RECORD: &str = "_acme-challenge.www.shop.example.";
const ZONE: &str = "shop.example.";

pub(super) fn inner(server: SocketAddr) -> Inner {
    Inner::new(Dns01Settings {
        recursive: vec![server],
        recursive_only: true,
        without_tcp: false,
        port: server.port(),
        propagation_timeout: Duration::from_secs(60),
        elsewhere: Elsewhere::default(),
    })
}

fn record(at: &str, data: RData) -> Record {
    Record::from_rdata(name(at), 60, data)
}

pub(super) fn soa(zone: &str) -> Record {
    let data = SOA::new(
        name("ns.shop.example."),
        name("mail.shop.example."),
        1,
        60,
        60,
        60,
        60,
    );
    record(zone, RData::SOA(data))
}

fn ns(zone: &str, server: &str) -> Record {
    record(zone, RData::NS(NS(name(server))))
}

fn question() -> Message {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.add_query(Query::query(name(RECORD), RecordType::TXT));
    message
}

/// An answer that has something for each reader.
fn rich_answer() -> Message {
    let mut answer = answer_to(&question());
    answer.answers = vec![
        cname(RECORD, "acme.shop.example."),
        txt(
            "acme.shop.example.",
            "LPsIwTo7o8BoG0-vjCyGQGBWSVIPxI-i_X336eUOQZo",
        ),
        txt(RECORD, &"long ".repeat(400)),
        ns(ZONE, "ns1.shop.example."),
        ns(ZONE, "ns2.shop.example."),
        record("acme.shop.example.", RData::A(A::new(192, 0, 2, 1))),
        record(
            "acme.shop.example.",
            RData::AAAA(AAAA(std::net::Ipv6Addr::LOCALHOST)),
        ),
    ];
    answer.authorities = vec![soa(ZONE), soa("example.")];
    answer
}

/// What all readers make of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    cname: Option<Name>,
    end: Option<Name>,
    zone: Option<Name>,
    servers: Vec<Name>,
    addresses: Vec<SocketAddr>,
    values: Vec<Vec<u8>>,
}

fn understood(answer: &Message) -> Understood {
    let (asked, records) = (name(RECORD), &answer.answers);
    Understood {
        cname: cname_of(records, &asked).cloned(),
        end: end_of_cnames(records, &asked).cloned(),
        zone: zone_in(answer, &asked),
        servers: servers_in(records, &name(ZONE)).into_iter().collect(),
        addresses: addresses_in(&asked, [answer], 53),
        values: values_in(records, &asked).into_iter().collect(),
    }
}

/// Reads bytes as an answer to [`question`] and sees to it that little comes of them.
fn bounded(bytes: &[u8]) {
    let Some(answer) = parsed(&question(), bytes) else {
        return;
    };
    let records = answer.answers.len() + answer.authorities.len() + answer.additionals.len();
    // The shortest record has a root, and eleven bytes more (RFC 1035 §3.2.1).
    assert!(
        records * 11 <= bytes.len(),
        "{records} records in {} bytes",
        bytes.len()
    );
    let Understood {
        servers,
        addresses,
        values,
        ..
    } = understood(&answer);
    assert!(servers.len() <= 13 && addresses.len() <= 4);
    // Bytes that are no UTF-8 become three each.
    let length: usize = values.iter().map(Vec::len).sum();
    assert!(length <= 3 * bytes.len());
}

const KEY: &[u8] = b"a key of the tests";
/// The reserved bit of a header, as the test counts them.
const RESERVED: usize = 3 * 8 + 6;

fn updater() -> Updater {
    Updater::at(vec![(Ipv4Addr::LOCALHOST, 53).into()])
}

fn signer() -> TSigner {
    TSigner::new(KEY.to_vec(), TsigAlgorithm::HmacSha256, name("sancho."), 300).unwrap()
}

/// A signed update, and the server's signed answer to it.
fn update_and_answer() -> (Message, Vec<u8>) {
    let now = 1_800_000_000;
    let mut update = rfc2136::update(name(ZONE), &Change::nothing(&["a.shop.example"]));
    update.metadata.id = 4711;
    update.finalize(&signer(), now).unwrap();
    let mut answer = answer_to(&update);
    answer.metadata.op_code = OpCode::Update;
    let stub = TSIG::new(
        TsigAlgorithm::HmacSha256,
        now,
        300,
        Vec::new(),
        answer.id,
        None,
        Vec::new(),
    );
    let mac = update.signature().unwrap().data.mac.clone();
    let signed = signer()
        .encode_response_tbs(&mac, &answer.to_vec().unwrap(), &stub)
        .unwrap();
    let stub = stub.set_mac(signer().sign(&signed).unwrap());
    answer.set_signature(Box::new(make_tsig_record(name("sancho."), stub)));
    (update, answer.to_vec().unwrap())
}

/// Is an update taken for carried out by what was answered?
fn is_believed(answer: &[u8]) -> bool {
    let (update, _) = update_and_answer();
    let mut unsigned = update.clone();
    unsigned.signature = None;
    let verifier = unsigned.finalize(&signer(), 1_800_000_000).unwrap();
    parsed(&update, answer)
        .is_some_and(|read| updater().judged("shop.example", &read, answer, verifier).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_damaged_answer_is_read_within_bounds_or_refused(all in prop::collection::vec(damage(), 1..8)) {
        bounded(&damaged(rich_answer().to_vec().unwrap(), &all));
        is_believed(&damaged(update_and_answer().1, &all));
    }

    #[test]
    fn any_bytes_behind_a_header_that_fits_are_read_within_bounds_or_refused(
        counts in prop::array::uniform8(any::<u8>()),
        bytes in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        let mut crafted = question().to_vec().unwrap();
        crafted[2] |= 0x80;
        crafted[4..12].copy_from_slice(&counts);
        crafted.extend_from_slice(&bytes);
        bounded(&crafted);
        bounded(&bytes);
    }

    #[test]
    fn an_answer_in_another_order_is_understood_the_same(
        answers in Just((0..7).collect::<Vec<usize>>()).prop_shuffle(),
        swapped in any::<bool>(),
    ) {
        let expected = understood(&rich_answer());
        prop_assert_eq!(expected.zone.as_ref(), Some(&name(ZONE)));
        prop_assert_eq!((expected.addresses.len(), expected.values.len()), (2, 1));
        let mut answer = rich_answer();
        answer.answers = answers.into_iter().map(|number| rich_answer().answers[number].clone()).collect();
        if swapped {
            answer.authorities.reverse();
        }
        prop_assert_eq!(understood(&answer), expected);
    }

    #[test]
    fn no_bit_of_a_signed_answer_can_be_another(bit in any::<prop::sample::Index>()) {
        let (_, mut answer) = update_and_answer();
        prop_assert!(is_believed(&answer));
        // All that stands before the signature is covered by it.
        let length = {
            let mut bare = Message::from_vec(&answer).unwrap();
            bare.signature = None;
            bare.to_vec().unwrap().len()
        };
        let bit = bit.index(length * 8);
        // The reserved bit of the header (RFC 1035 §4.1.1) is read by nobody.
        prop_assume!(bit != RESERVED);
        answer[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!is_believed(&answer), "bit {bit}");
    }
}

#[test]
fn pointers_that_lead_round_in_a_circle_or_ahead_are_refused() {
    let mut header = question().to_vec().unwrap();
    header[2] |= 0x80;
    // One answer; it begins right behind the question.
    header[7] = 1;
    let start = u16::try_from(header.len()).unwrap();
    let pointer = |to: u16| (0xc000 | to).to_be_bytes();
    let rest = [0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1];
    let itself = [&pointer(start)[..], &rest].concat();
    let behind_a_label = [&[1, b'a'][..], &pointer(start), &rest].concat();
    let ahead = [&pointer(start + 4)[..], &rest].concat();
    let good = [&pointer(12)[..], &rest].concat();
    let read = |tail: &[u8]| Message::from_vec(&[&header[..], tail].concat());
    for bad in [itself, behind_a_label, ahead] {
        assert!(read(&bad).is_err(), "{bad:?}");
    }
    assert_eq!(read(&good).unwrap().answers[0].name, name(RECORD));
}

#[test]
fn a_bomb_of_compressed_names_grows_to_a_few_megabytes_and_no_more() {
    // As many CNAMEs as fit, each of whose names and targets is a pointer to a name of the longest kind.
    let long = format!(
        "{}.{}.{}.{}.",
        "a".repeat(63),
        "b".repeat(63),
        "c".repeat(63),
        "d".repeat(61)
    );
    let mut question = Message::query();
    question.add_query(Query::query(name(&long), RecordType::CNAME));
    let mut bytes = question.to_vec().unwrap();
    bytes[2] |= 0x80;
    let bomb = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 1, 0, 2, 0xc0, 12];
    let count = (usize::from(u16::MAX) - bytes.len()) / bomb.len();
    bytes[6..8].copy_from_slice(&u16::try_from(count).unwrap().to_be_bytes());
    bytes.extend(bomb.repeat(count));
    let answer = parsed(&question, &bytes).unwrap();
    assert_eq!(answer.answers.len(), count);
    let target = |record: &Record| match &record.data {
        RData::CNAME(target) => target.0.len(),
        other => panic!("{other:?}"),
    };
    let grown: usize = answer
        .answers
        .iter()
        .map(|record| record.name.len() + target(record))
        .sum();
    assert!((2 << 20..4 << 20).contains(&grown), "{grown} bytes");
    assert_eq!(
        end_of_cnames(&answer.answers, &name(&long)),
        None,
        "it leads to itself"
    );
}

async fn place_at(server: &DnsServer) -> Result<Place, DnsFault> {
    let cnames = Some(CnameStrategy::Follow);
    zone::place(&inner(server.address), RECORD.trim_end_matches('.'), cnames).await
}

#[tokio::test]
async fn cnames_that_lead_round_in_a_circle_or_never_end_are_given_up_with_clear_words() {
    let circle = DnsServer::with(|at, kind| match (kind, at) {
        (RecordType::CNAME, RECORD) => vec![cname(at, "two.shop.example.")],
        (RecordType::CNAME, _) => vec![cname(at, RECORD)],
        _ => vec![soa(ZONE)],
    })
    .await;
    let endless = DnsServer::with(|at, kind| match kind {
        // `n1`, `n2` and so on.
        RecordType::CNAME => {
            let number: u32 = at[1..].split('.').next().unwrap_or_default().parse().unwrap_or(0);
            vec![cname(at, &format!("n{}.shop.example.", number + 1))]
        }
        _ => vec![soa(ZONE)],
    })
    .await;
    for (server, questions) in [(&circle, 2), (&endless, MOST_CNAMES + 1)] {
        let fault = place_at(server).await.unwrap_err();
        assert_eq!(fault.reason, CNAME_LOOP);
        assert!(
            fault
                .words
                .contains("lead round in a circle, or on for more than 8"),
            "{fault}"
        );
        assert_eq!(server.asked().len(), questions);
    }
}

#[tokio::test]
async fn a_zone_that_nobody_tells_is_looked_for_up_to_the_root_and_no_further() {
    let server = DnsServer::with(|_, _| Vec::new()).await;
    let fault = place_at(&server).await.unwrap_err();
    assert_eq!(fault.reason, ZONE_NOT_FOUND);
    let of_soa = server
        .asked()
        .iter()
        .filter(|(.., kind)| *kind == RecordType::SOA)
        .count();
    assert_eq!(of_soa, 5, "the record's four labels and the root");
    // A zone below or beside the name is none of its.
    let server = DnsServer::with(|_, kind| match kind {
        RecordType::SOA => vec![
            soa("other.example."),
            soa(&format!("below.{RECORD}")),
            soa("example."),
            soa(ZONE),
        ],
        _ => Vec::new(),
    })
    .await;
    assert_eq!(place_at(&server).await.unwrap().zone, "shop.example");
}

fn forged(question: &Message) -> Vec<Vec<u8>> {
    let mut other_id = answer_to(question);
    other_id.metadata.id = question.id.wrapping_add(1);
    other_id.answers = vec![txt(RECORD, "forged")];
    let mut other_name = answer_to(question);
    other_name.queries = vec![Query::query(name("other.example."), RecordType::TXT)];
    other_name.answers = vec![txt(RECORD, "forged")];
    let mut question_back = answer_to(question);
    question_back.metadata.message_type = MessageType::Query;
    let junk = vec![0xff; 40];
    let mut all: Vec<Vec<u8>> = [other_id, other_name, question_back]
        .iter()
        .map(|message| message.to_vec().unwrap())
        .collect();
    all.push(junk);
    all
}

#[tokio::test]
async fn what_is_no_answer_to_the_question_is_passed_over_until_the_answer_comes() {
    let server = DnsServer::start(|question, _| {
        let mut answer = answer_to(question);
        answer.answers = vec![txt("other.example.", "of another"), txt(RECORD, "right")];
        let mut all = forged(question);
        all.push(answer.to_vec().unwrap());
        all
    })
    .await;
    let answer = ask(server.address, &name(RECORD), RecordType::TXT, true)
        .await
        .unwrap();
    assert_eq!(
        values_in(&answer.answers, &name(RECORD)),
        [b"right".to_vec()].into()
    );

    // Where nothing else comes it says so, and not for ever.
    let liar = DnsServer::start(|question, _| (0..40).flat_map(|_| forged(question)).collect()).await;
    let begun = Instant::now();
    let told = ask(liar.address, &name(RECORD), RecordType::TXT, true).await;
    assert_eq!(told, Err(NoAnswer::Garbled));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// A value below [`RECORD`].
fn wanted(below: &str, value: &str) -> TxtRecord {
    TxtRecord {
        zone: "shop.example".into(),
        name: format!("{below}{}", RECORD.trim_end_matches('.')),
        value: value.into(),
        domain: "www.shop.example".into(),
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_asked_for_by_tcp_whatever_its_size() {
    // Some of them come by UDP, and the right one is among those that do not.
    let values: Vec<String> = (0..500).map(|number| format!("{number:043}")).collect();
    let records: Vec<Record> = values.iter().map(|value| txt(RECORD, value)).collect();
    let server = DnsServer::start(move |question, by| {
        let mut answer = answer_to(question);
        match by {
            By::Udp => {
                answer.metadata.truncation = true;
                answer.answers = records[..5].to_vec();
            }
            By::Tcp => answer.answers = records.clone(),
        }
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let inner = inner(server.address);
    let servers = Servers::of(&inner, "shop.example").await.unwrap();
    let there = wanted("", &values[499]);
    assert_eq!(servers.unseen(&inner, &[&there]).await, BTreeMap::new());
    let asked: Vec<By> = server.asked().into_iter().map(|(by, ..)| by).collect();
    assert_eq!(asked, [By::Udp, By::Tcp]);
    let absent = wanted("", "absent");
    let unseen = servers.unseen(&inner, &[&absent]).await;
    assert!(
        unseen[&absent.name].words.contains("lacks the record"),
        "{unseen:?}"
    );
}

#[tokio::test]
async fn a_silent_server_does_not_keep_all_places_taken() {
    let server = DnsServer::start(|_, _| Vec::new()).await;
    let inner = inner(server.address);
    let servers = Servers::of(&inner, "shop.example").await.unwrap();
    let records: Vec<TxtRecord> = (0..1000)
        .map(|number| wanted(&format!("h{number}."), "value"))
        .collect();
    let begun = Instant::now();
    let unseen = servers.unseen(&inner, &records.iter().collect::<Vec<_>>()).await;
    assert_eq!(unseen.len(), 1000);
    assert!(
        unseen
            .values()
            .all(|lack| lack.words.contains("is silent by UDP: it does not answer"))
    );
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(server.asked().len(), 2, "two attempts of one question");
}

#[tokio::test]
async fn a_value_under_another_name_is_not_taken_for_the_one_that_is_looked_for() {
    let server = DnsServer::with(|_, _| vec![txt("elsewhere.example.", "value")]).await;
    let inner = inner(server.address);
    let servers = Servers::of(&inner, "shop.example").await.unwrap();
    let wanted = wanted("", "value");
    assert_eq!(servers.unseen(&inner, &[&wanted]).await.len(), 1);
}

#[tokio::test]
async fn a_server_that_knows_no_edns_is_asked_without() {
    let server = DnsServer::start(|question, _| {
        let mut answer = answer_to(question);
        match question.edns {
            Some(_) => {
                answer.metadata.response_code = ResponseCode::FormErr;
                // It could not even read the question.
                answer.queries = Vec::new();
            }
            None => answer.answers = vec![txt(RECORD, "right")],
        }
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let answer = ask(server.address, &name(RECORD), RecordType::TXT, true)
        .await
        .unwrap();
    assert_eq!(answer.answers.len(), 1);
}
