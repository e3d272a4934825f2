//! A zone has two servers, at 127.0.0.1 and 127.0.0.2, which are asked for their addresses as well.

mod addresses;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hickory_proto::rr::rdata::{A, NS, SOA};
use hickory_proto::rr::{RData, Record};

use super::super::{Dns01Settings, Elsewhere};
use super::*;
use crate::dns_server::{By, DnsServer, Tcp, answer_to, cname, name, txt};

const ZONE: &str = "shop.example";
const VALUE: &str = "LPsIwTo7o8BoG0-vjCyGQGBWSVIPxI-i_X336eUOQZo";

/// Whether a server has a record, by which it is asked.
type Has = Arc<dyn Fn(&str, By) -> bool + Send + Sync>;

fn always() -> Has {
    Arc::new(|_, _| true)
}

/// Answers for the zone with its servers, their addresses, and [`VALUE`] where `has` says so.
fn answer(question: &Message, by: By, has: &Has) -> Message {
    let query = &question.queries[0];
    let at = query.name().to_ascii();
    let mut answer = answer_to(question);
    let record = |data| Record::from_rdata(query.name().clone(), 60, data);
    answer.answers = match query.query_type() {
        RecordType::NS => ["ns1", "ns2"]
            .map(|ns| record(RData::NS(NS(name(&format!("{ns}.{ZONE}."))))))
            .to_vec(),
        RecordType::A if at.starts_with("ns1") => vec![record(RData::A(A::new(127, 0, 0, 1)))],
        RecordType::A if at.starts_with("ns2") => vec![record(RData::A(A::new(127, 0, 0, 2)))],
        RecordType::TXT if has(&at, by) => vec![txt(&at, VALUE)],
        _ => Vec::new(),
    };
    answer
}

/// Both servers; of the second one, what it takes by TCP and has.
async fn both(tcp: Tcp, has: Has) -> (DnsServer, DnsServer) {
    loop {
        let first =
            DnsServer::start(|question, by| vec![answer(question, by, &always()).to_vec().unwrap()]).await;
        let beside = SocketAddr::from(([127, 0, 0, 2], first.address.port()));
        let has = has.clone();
        let second = DnsServer::at(beside, tcp, move |question, by| {
            vec![answer(question, by, &has).to_vec().unwrap()]
        });
        if let Some(second) = second.await {
            return (first, second);
        }
    }
}

fn settings(first: &DnsServer) -> Dns01Settings {
    Dns01Settings {
        recursive: vec![first.address],
        recursive_only: false,
        without_tcp: false,
        port: first.address.port(),
        propagation_timeout: Duration::from_secs(60),
        elsewhere: Elsewhere::default(),
    }
}

fn wanted(count: usize) -> Vec<TxtRecord> {
    let record = |number| TxtRecord {
        zone: ZONE.into(),
        name: format!("_acme-challenge.h{number}.{ZONE}"),
        value: VALUE.into(),
        domain: format!("h{number}.{ZONE}"),
    };
    (0..count).map(record).collect()
}

async fn unseen(inner: &Inner, wanted: &[TxtRecord]) -> BTreeMap<String, Lack> {
    let servers = Servers::of(inner, ZONE).await.unwrap();
    servers.unseen(inner, &wanted.iter().collect::<Vec<_>>()).await
}

/// How often it was asked for TXT records by UDP and by TCP.
fn asked(server: &DnsServer) -> (usize, usize) {
    let by = |wanted: By| {
        let asked = server.asked().into_iter();
        asked
            .filter(|(by, _, kind)| *by == wanted && *kind == RecordType::TXT)
            .count()
    };
    (by(By::Udp), by(By::Tcp))
}

#[tokio::test]
async fn a_server_that_takes_no_tcp_is_told_with_the_mend_and_udp_does_if_that_is_wanted() {
    let (first, _second) = both(Tcp::Refused, always()).await;
    let inner = Inner::new(settings(&first));
    let one = wanted(1);
    let unseen_by = unseen(&inner, &one).await;
    let lack = &unseen_by[&one[0].name];
    assert_eq!(
        lack.words,
        "ns2.shop.example (127.0.0.2) has the record by UDP, and by TCP it cannot be reached (connection refused)"
    );
    assert!(lack.is_of_tcp && lack.mend().contains("let TCP in at port 53 there"));

    let inner = Inner::new(Dns01Settings {
        without_tcp: true,
        ..settings(&first)
    });
    assert_eq!(unseen(&inner, &one).await, BTreeMap::new());
    assert_eq!(asked(&first), (2, 1), "a look without TCP asked by it");
}

#[tokio::test]
async fn what_a_server_has_by_one_of_both_alone_is_told_by_which() {
    let one = wanted(1);
    for (has, words, is_of_tcp) in [
        (By::Udp, "has the record by UDP, and by TCP lacks it", true),
        (By::Tcp, "lacks the record by UDP", false),
    ] {
        let (first, second) = both(Tcp::Taken, Arc::new(move |_, by| by == has)).await;
        let inner = Inner::new(settings(&first));
        let lack = unseen(&inner, &one).await.remove(&one[0].name).unwrap();
        assert_eq!(lack.words, format!("ns2.shop.example (127.0.0.2) {words}"));
        assert_eq!(lack.is_of_tcp, is_of_tcp);
        // What is not there by UDP is not looked for by TCP.
        assert_eq!(asked(&second), (1, usize::from(is_of_tcp)));
    }
}

#[tokio::test]
async fn each_server_is_asked_once_by_tcp_for_what_it_has_however_long_another_one_lags() {
    let is_there = Arc::new(AtomicBool::new(false));
    let there = is_there.clone();
    let (first, second) = both(Tcp::Taken, Arc::new(move |_, _| there.load(Ordering::SeqCst))).await;
    let inner = Inner::new(settings(&first));
    let mut many = wanted(250);
    for _ in 0..3 {
        let unseen = unseen(&inner, &many).await;
        assert_eq!(unseen.len(), 250);
        assert!(
            unseen
                .values()
                .all(|lack| lack.words == "ns2.shop.example (127.0.0.2) lacks the record by UDP")
        );
    }
    assert_eq!((asked(&first), asked(&second)), ((750, 250), (750, 0)));
    is_there.store(true, Ordering::SeqCst);
    assert_eq!(unseen(&inner, &many).await, BTreeMap::new());
    assert_eq!((asked(&first), asked(&second)), ((1000, 250), (1000, 250)));

    // Another value under a name that was seen is another look.
    many.truncate(1);
    many[0].value = "another".into();
    assert_eq!(unseen(&inner, &many).await.len(), 1);
    many[0].value = VALUE.into();
    assert_eq!(unseen(&inner, &many).await, BTreeMap::new());
    assert_eq!(asked(&first).1, 250);
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_is_asked_by_as_many_connections() {
    let (first, second) = both(Tcp::OneQuestion, always()).await;
    let inner = Inner::new(settings(&first));
    assert_eq!(unseen(&inner, &wanted(20)).await, BTreeMap::new());
    assert_eq!(asked(&second), (20, 20));
}

#[tokio::test]
async fn answers_by_tcp_come_in_any_order_and_those_that_do_not_come_are_told() {
    // Each answer waits for the next question; the last one is kept.
    let kept = Mutex::new(None);
    let server = DnsServer::start(move |question, by| {
        let answer = answer(question, by, &always()).to_vec().unwrap();
        let before = kept.lock().unwrap().replace(answer);
        before.into_iter().collect()
    })
    .await;
    let names: Vec<Name> = wanted(5)
        .iter()
        .map(|record| absolute(&record.name).unwrap())
        .collect();
    let read = |name: &Name, answer: Message| values_in(&answer.answers, name).len();
    let outcomes = ask_by_tcp(server.address, &names, RecordType::TXT, read).await;
    assert_eq!(outcomes, [Ok(1), Ok(1), Ok(1), Ok(1), Err(NoAnswer::Silent)]);
}

#[tokio::test]
async fn an_answer_that_comes_by_tcp_since_it_is_too_long_is_no_reason_to_ask_so_again() {
    let (first, second) = loop {
        let first =
            DnsServer::start(|question, by| vec![answer(question, by, &always()).to_vec().unwrap()]).await;
        let beside = SocketAddr::from(([127, 0, 0, 2], first.address.port()));
        let second = DnsServer::at(beside, Tcp::Taken, |question, by| {
            let mut answer = answer(question, by, &always());
            answer.metadata.truncation = by == By::Udp;
            vec![answer.to_vec().unwrap()]
        });
        if let Some(second) = second.await {
            break (first, second);
        }
    };
    let inner = Inner::new(settings(&first));
    assert_eq!(unseen(&inner, &wanted(3)).await, BTreeMap::new());
    assert_eq!(asked(&second), (3, 3));
}

/// An answer that the name does not exist, which may be kept for so long.
fn nothing(question: &Message, seconds: u32) -> Message {
    let zone = name("shop.example.");
    let soa = SOA::new(zone.clone(), zone.clone(), 1, 60, 60, 60, seconds);
    let mut answer = answer_to(question);
    answer.metadata.response_code = ResponseCode::NXDomain;
    // What is left of it.
    answer.authorities = vec![Record::from_rdata(zone, 7, RData::SOA(soa))];
    answer
}

#[tokio::test]
async fn what_a_recursive_server_may_have_kept_is_waited_for_within_bounds() {
    let timeout = Duration::from_secs(600);
    for (seconds, kept) in [(0, 0), (900, 900), (604_800, 10_800)] {
        let server =
            DnsServer::start(move |question, _| vec![nothing(question, seconds).to_vec().unwrap()]).await;
        let inner = Inner::new(Dns01Settings {
            recursive_only: true,
            ..settings(&server)
        });
        let one = wanted(1);
        let lack = unseen(&inner, &one).await.remove(&one[0].name).unwrap();
        assert_eq!(lack.wait(timeout), Duration::from_secs(600 + kept));
        let words = match kept {
            0 => format!("{} lacks the record by UDP", server.address),
            kept => format!(
                "{} lacks the record by UDP, and may go on saying so for {kept} s",
                server.address
            ),
        };
        assert_eq!(lack.words, words);
    }
}

#[tokio::test]
async fn a_wildcards_cname_that_a_recursive_server_has_kept_is_waited_for_and_one_that_was_written_is_not() {
    for (is_of_wildcard, ttl, kept, words) in [
        (
            true,
            1700,
            MOST_KEPT,
            ", and may go on saying so for 1700 s: it has kept a wildcard's CNAME",
        ),
        // It is asked for anew each time.
        (true, 0, Duration::ZERO, ""),
        (false, 1700, Duration::ZERO, ""),
    ] {
        let answer = move |at: &str, _: RecordType| {
            let mut alias = cname(at, "lb.shop.example.");
            alias.ttl = ttl;
            let is_there = is_of_wildcard || at.starts_with("_acme-challenge.");
            is_there.then_some(alias).into_iter().collect()
        };
        let server = DnsServer::with(answer).await;
        let inner = Inner::new(Dns01Settings {
            recursive_only: true,
            ..settings(&server)
        });
        let one = wanted(1);
        let lack = unseen(&inner, &one).await.remove(&one[0].name).unwrap();
        assert_eq!(lack.kept, kept, "{is_of_wildcard} {ttl}");
        let words = format!("{} lacks the record by UDP{words}", server.address);
        assert_eq!(lack.words, words);
    }
}

#[tokio::test]
async fn a_zones_own_servers_keep_nothing() {
    let (first, _second) = loop {
        let first = DnsServer::start(|question, by| {
            let answer = match question.queries[0].query_type() {
                RecordType::TXT => nothing(question, 900),
                _ => answer(question, by, &always()),
            };
            vec![answer.to_vec().unwrap()]
        })
        .await;
        let beside = SocketAddr::from(([127, 0, 0, 2], first.address.port()));
        let second = DnsServer::at(beside, Tcp::Taken, |question, by| {
            vec![answer(question, by, &always()).to_vec().unwrap()]
        });
        if let Some(second) = second.await {
            break (first, second);
        }
    };
    let one = wanted(1);
    let inner = Inner::new(settings(&first));
    let lack = unseen(&inner, &one).await.remove(&one[0].name).unwrap();
    assert_eq!(lack.words, "ns1.shop.example (127.0.0.1) lacks the record by UDP");
    assert_eq!(lack.wait(Duration::from_secs(600)), Duration::from_secs(600));
}

#[tokio::test]
async fn recursive_servers_alone_are_asked_by_udp() {
    let (first, _second) = both(Tcp::Refused, always()).await;
    let inner = Inner::new(Dns01Settings {
        recursive_only: true,
        ..settings(&first)
    });
    assert_eq!(unseen(&inner, &wanted(3)).await, BTreeMap::new());
    assert_eq!(asked(&first), (3, 0));
}

#[tokio::test]
async fn of_recursive_servers_one_that_says_nothing_is_passed_over() {
    let silent = DnsServer::start(|_, _| Vec::new()).await;
    let failing = DnsServer::start(|question, _| {
        let mut answer = answer_to(question);
        answer.metadata.response_code = ResponseCode::ServFail;
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let lacking = DnsServer::with(|_, _| Vec::new()).await;
    let having = DnsServer::with(|at, _| vec![txt(at, VALUE)]).await;
    let one = wanted(1);
    let lacks = format!("{} lacks the record by UDP", lacking.address);
    let say_nothing = format!(
        "{} is silent by UDP: it does not answer, {} fails (it answers ",
        silent.address, failing.address
    );
    for (servers, words) in [
        ([&silent, &having], None),
        ([&failing, &having], None),
        ([&having, &lacking], Some(lacks)),
        ([&silent, &failing], Some(say_nothing)),
    ] {
        let inner = Inner::new(Dns01Settings {
            recursive: servers.map(|server| server.address).to_vec(),
            recursive_only: true,
            ..settings(&having)
        });
        let lack = unseen(&inner, &one).await.remove(&one[0].name);
        match words {
            None => assert_eq!(lack, None),
            Some(words) => assert!(lack.unwrap().words.starts_with(&words), "it is not: {words}"),
        }
    }
}
