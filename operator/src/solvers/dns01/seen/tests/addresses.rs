//! A server has several addresses, of which one lacks a record or is silent; and a zone of somebody else's has many that are all
//! silent.

use tokio::time::sleep;

use super::*;
use crate::solvers::dns01::hostile::soa;
use crate::solvers::dns01::zone;

/// A zone with 13 servers, each at four addresses, at which nobody answers.
const SILENT: &str = "silent.example";
const SERVERS: u8 = 13;

/// The records of type A at a name.
fn at(name: &Name, addresses: &[[u8; 4]]) -> Vec<Record> {
    let addresses = addresses.iter().map(|address| RData::A(A((*address).into())));
    addresses
        .map(|data| Record::from_rdata(name.clone(), 60, data))
        .collect()
}

/// Answers for the zone, whose only server is at 127.0.0.1 and 127.0.0.2 or, if there is to be a silent zone, at the first of
/// these; with its records, if it `has` them.
fn answered(question: &Message, has: bool, is_with_silent: bool) -> Vec<Vec<u8>> {
    let query = &question.queries[0];
    let asked = query.name().to_ascii().to_ascii_lowercase();
    let silent = asked.strip_suffix("silent.example.");
    let ns = |server: String| Record::from_rdata(query.name().clone(), 60, RData::NS(NS(name(&server))));
    let mut answer = answer_to(question);
    answer.answers = match (query.query_type(), silent) {
        (RecordType::NS, Some(_)) => (0..SERVERS)
            .map(|number| ns(format!("n{number}.silent.example.")))
            .collect(),
        (RecordType::NS, None) => vec![ns("ns1.shop.example.".into())],
        (RecordType::A, Some(host)) => {
            let number: u8 = host.trim_matches(['n', '.']).parse().unwrap();
            at(query.name(), &[1, 2, 3, 4].map(|last| [127, 1, number, last]))
        }
        (RecordType::A, None) if is_with_silent => at(query.name(), &[[127, 0, 0, 1]]),
        (RecordType::A, None) => at(query.name(), &[[127, 0, 0, 1], [127, 0, 0, 2]]),
        (RecordType::SOA, None) => vec![soa("shop.example.")],
        (RecordType::TXT, None) if has => vec![txt(&asked, VALUE)],
        _ => Vec::new(),
    };
    vec![answer.to_vec().unwrap()]
}

/// What the second address of the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    Has,
    Lacks,
    IsSilent,
}

/// The server, at both addresses.
async fn server(tcp: Tcp, second: Second) -> (DnsServer, DnsServer) {
    loop {
        let first = DnsServer::start(|question, _| answered(question, true, false)).await;
        let beside = SocketAddr::from(([127, 0, 0, 2], first.address.port()));
        let second = DnsServer::at(beside, tcp, move |question, _| match second {
            Second::Has => answered(question, true, false),
            Second::Lacks => answered(question, false, false),
            Second::IsSilent => Vec::new(),
        });
        if let Some(second) = second.await {
            return (first, second);
        }
    }
}

#[tokio::test]
async fn the_address_of_a_server_that_lacks_the_record_is_told() {
    let one = wanted(1);
    for (tcp, second, words) in [
        (Tcp::Taken, Second::Has, None),
        (Tcp::Taken, Second::Lacks, Some("lacks the record by UDP")),
        (
            Tcp::Refused,
            Second::Has,
            Some("has the record by UDP, and by TCP it cannot be reached (connection refused)"),
        ),
        // Who asks turns to the first.
        (Tcp::Taken, Second::IsSilent, None),
    ] {
        let (first, _second) = server(tcp, second).await;
        let inner = Inner::new(settings(&first));
        let lack = unseen(&inner, &one).await.remove(&one[0].name);
        let expected = words.map(|words| format!("ns1.shop.example (127.0.0.2) {words}"));
        assert_eq!(lack.map(|lack| lack.words), expected, "{tcp:?} {second:?}");
    }
}

#[tokio::test]
async fn a_record_that_stands_is_read_at_each_address() {
    let record = &wanted(1)[0].name;
    for (second, expected) in [
        (Second::Lacks, Ok(BTreeSet::new())),
        (
            Second::IsSilent,
            Err("is silent by UDP: it does not answer".to_owned()),
        ),
    ] {
        let (first, _second) = server(Tcp::Taken, second).await;
        let inner = Inner::new(settings(&first));
        let servers = Servers::of(&inner, ZONE).await.unwrap();
        let found = servers.read(&inner, record).await;
        let there = BTreeSet::from([VALUE.as_bytes().to_vec()]);
        let expected = [
            ("ns1.shop.example (127.0.0.1)".to_owned(), Ok(there)),
            ("ns1.shop.example (127.0.0.2)".to_owned(), expected),
        ];
        assert_eq!(found, expected);
    }
}

/// The server of the zone, at its first address, and those of the silent one.
async fn beside_silent() -> (DnsServer, Vec<DnsServer>) {
    loop {
        let first = DnsServer::start(|question, _| answered(question, true, true)).await;
        let all = (0..SERVERS).flat_map(|number| [1, 2, 3, 4].map(|last| [127, 1, number, last]));
        let mut silent = Vec::new();
        for address in all {
            let address = SocketAddr::from((address, first.address.port()));
            silent.extend(DnsServer::at(address, Tcp::Refused, |_, _| Vec::new()).await);
        }
        if silent.len() == 4 * usize::from(SERVERS) {
            return (first, silent);
        }
    }
}

/// The records of a large shard in the silent zone.
fn wanted_of_silent() -> Vec<TxtRecord> {
    let record = |number| TxtRecord {
        zone: SILENT.into(),
        name: format!("_acme-challenge.h{number}.{SILENT}"),
        value: VALUE.into(),
        domain: format!("h{number}.{SILENT}"),
    };
    (0..100).map(record).collect()
}

#[tokio::test]
async fn a_zone_whose_servers_are_all_silent_keeps_no_other_one_waiting() {
    let (first, silent) = beside_silent().await;
    let inner = Inner::new(settings(&first));
    let records = wanted_of_silent();
    let records: Vec<&TxtRecord> = records.iter().collect();
    let servers = Servers::of(&inner, SILENT).await.unwrap();
    let begun = Instant::now();
    let of_silent = async { (servers.unseen(&inner, &records).await, begun.elapsed()) };
    let of_other = async {
        // All places that it gets are taken by then.
        sleep(Duration::from_millis(300)).await;
        let begun = Instant::now();
        let place = zone::place(&inner, "_acme-challenge.h1.shop.example", None).await;
        assert_eq!(place.unwrap().zone, ZONE);
        assert_eq!(unseen(&inner, &wanted(20)).await, BTreeMap::new());
        begun.elapsed()
    };
    let ((lacks, took), other_took) = tokio::join!(of_silent, of_other);
    assert!(other_took < Duration::from_millis(1500), "{other_took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(lacks.len(), 100);
    let start = "n0.silent.example (127.1.0.1) is silent by UDP: it does not answer, n0.silent.example (127.1.0.2) is";
    for lack in lacks.values() {
        assert!(
            lack.words.starts_with(start) && lack.words.ends_with(" and 49 more"),
            "{lack:?}"
        );
    }
    // One question, in two attempts.
    assert!(silent.iter().all(|server| server.asked().len() <= 2));
}

#[tokio::test]
async fn a_look_ends_in_time_and_says_who_was_silent() {
    let (first, silent) = beside_silent().await;
    let inner = Inner::new(settings(&first));
    let records = wanted_of_silent();
    let records: Vec<&TxtRecord> = records.iter().collect();
    let mut servers = Servers::of(&inner, SILENT).await.unwrap();
    let begun = Instant::now();
    servers.until = begun + Duration::from_millis(500);
    assert_eq!(servers.unseen(&inner, &records).await.len(), 100);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(silent.iter().any(|server| server.asked().is_empty()));
    let late = servers.late();
    let start =
        "was not asked within 30 s, since others are silent: n0.silent.example (127.1.0.1), n0.silent";
    assert!(late.starts_with(start), "{late}");
}
