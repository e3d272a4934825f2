use std::net::{Ipv4Addr, SocketAddr};

use hickory_proto::rr::rdata::CAA;
use tokio::net::UdpSocket;

use super::*;
use crate::dns_server::{By, DnsServer, answer_to, caa, cname, name};
use crate::self_check::SelfCheckSettings;

const HTTP: ChallengeKind = ChallengeKind::Http01;

fn check(resolver: SocketAddr, enabled: bool) -> SelfCheck {
    SelfCheck::new(&SelfCheckSettings {
        enabled,
        resolvers: vec![resolver],
        port: 80,
    })
}

async fn verdicts(check: &SelfCheck, names: &[&str], identities: &[&str]) -> Vec<Verdict> {
    let identities: Vec<String> = identities.iter().map(|identity| (*identity).to_owned()).collect();
    let asker = Asker {
        identities: &identities,
        account: "https://ca.example/acct/1",
    };
    let names: Vec<(&str, ChallengeKind)> = names.iter().map(|name| (*name, HTTP)).collect();
    check.caa(&names, asker).await
}

fn words(verdicts: &[Verdict]) -> Vec<&str> {
    let word = |verdict: &Verdict| match verdict {
        Verdict::Allowed => "allowed",
        Verdict::Forbidden { .. } => "forbidden",
        Verdict::Unknown(_) => "unknown",
    };
    verdicts.iter().map(word).collect()
}

#[tokio::test]
async fn domains_that_names_share_are_asked_for_once() {
    let server = DnsServer::with(|at, _| match at {
        "shop.example." => vec![caa(at, "ca.example")],
        _ => Vec::new(),
    })
    .await;
    let names: Vec<String> = (0..300).map(|number| format!("h{number}.shop.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = verdicts(&check(server.address, true), &names, &["ca.example"]).await;
    assert!(found.iter().all(|verdict| *verdict == Verdict::Allowed));
    let asked = server.asked();
    let of_domain = asked.iter().filter(|(_, at, _)| at == "shop.example.").count();
    assert_eq!((asked.len(), of_domain), (301, 1));
    assert!(asked.iter().all(|(_, _, kind)| *kind == RecordType::CAA));
}

#[tokio::test]
async fn records_are_found_where_cnames_lead_and_above_the_name_and_what_fails_is_unknown() {
    let server = DnsServer::start(|question, _| {
        let at = question.queries[0].name().to_ascii().to_ascii_lowercase();
        let mut answer = answer_to(question);
        match at.as_str() {
            // The target's records come first, and somebody else's among them.
            "alias.shop.example." => {
                answer.answers = vec![
                    caa("target.cdn.example.", "else.example"),
                    caa("stranger.example.", "ca.example"),
                    cname("Alias.shop.example.", "target.cdn.example."),
                ];
            }
            // Of a target without records the parent does not count (RFC 8659 §3).
            "bare.shop.example." => {
                answer.answers = vec![cname("bare.shop.example.", "none.closed.example.")];
            }
            "closed.example." => answer.answers = vec![caa("closed.example.", "else.example")],
            "gone.shop.example." => answer.metadata.response_code = ResponseCode::NXDomain,
            "broken.shop.example." => answer.metadata.response_code = ResponseCode::ServFail,
            "refused.shop.example." => answer.metadata.response_code = ResponseCode::Refused,
            _ => {}
        }
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let names = [
        "alias.shop.example",
        "bare.shop.example",
        "www.closed.example",
        "gone.shop.example",
        "broken.shop.example",
        "refused.shop.example",
        "192.0.2.1",
    ];
    let found = verdicts(&check(server.address, true), &names, &["ca.example"]).await;
    assert_eq!(
        words(&found),
        [
            "forbidden",
            "allowed",
            "forbidden",
            "allowed",
            "unknown",
            "unknown",
            "allowed"
        ]
    );
    let Verdict::Forbidden { words, .. } = &found[0] else {
        panic!()
    };
    assert!(
        words.contains("target.cdn.example. CAA 0 issue \"else.example\""),
        "{words}"
    );
    let Verdict::Unknown(why) = &found[4] else {
        panic!()
    };
    assert!(
        why.contains("broken.shop.example") && why.contains("Server Failure"),
        "{why}"
    );
}

#[tokio::test]
async fn an_answer_that_is_too_long_for_udp_is_asked_for_by_tcp() {
    let server = DnsServer::start(|question, by| {
        let mut answer = answer_to(question);
        match by {
            By::Udp => answer.metadata.truncation = true,
            By::Tcp => {
                let at = question.queries[0].name().to_ascii();
                let others = (0..200).map(|number| caa(&at, &format!("ca{number}.else.example")));
                answer.answers = others.chain([caa(&at, "ca.example")]).collect();
            }
        }
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let found = verdicts(
        &check(server.address, true),
        &["www.shop.example"],
        &["ca.example"],
    )
    .await;
    assert_eq!(words(&found), ["allowed"]);
    let found = verdicts(
        &check(server.address, true),
        &["www.shop.example"],
        &["not-listed.example"],
    )
    .await;
    assert_eq!(words(&found), ["forbidden"]);
    assert!(server.asked().iter().any(|(by, ..)| *by == By::Tcp));
}

#[tokio::test]
async fn nothing_is_asked_where_looks_are_turned_off_or_the_ca_publishes_no_names() {
    let server = DnsServer::with(|at, _| vec![caa(at, "else.example")]).await;
    let names = ["www.shop.example"];
    for (enabled, identities) in [(false, &["ca.example"][..]), (true, &[])] {
        let found = verdicts(&check(server.address, enabled), &names, identities).await;
        assert_eq!(words(&found), ["allowed"]);
    }
    assert_eq!(server.asked(), []);
}

#[tokio::test]
async fn a_resolver_that_is_silent_forbids_nothing() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let check = check(silent.local_addr().unwrap(), true);
    let begun = Instant::now();
    let found = verdicts(&check, &["a.shop.example", "b.shop.example"], &["ca.example"]).await;
    assert_eq!(words(&found), ["unknown", "unknown"]);
    assert!(begun.elapsed() < WITHIN + Duration::from_secs(2));
}

#[test]
fn a_set_of_records_is_read_the_same_in_any_order() {
    let asked = name("a.example.");
    let mut answers = vec![
        cname("a.example.", "b.example."),
        caa("b.example.", "one.example"),
        caa("c.example.", "two.example"),
    ];
    let unknown_kind = CAA::new_issue(true, None, Vec::new());
    answers.push(Record::from_rdata(
        name("b.example."),
        1,
        RData::CAA(unknown_kind),
    ));
    let sorted = |look: Look| match look {
        Look::Records { owner, mut records } => {
            records.sort_by(|one, other| one.value.cmp(&other.value));
            (owner, records)
        }
        other => panic!("{other:?}"),
    };
    let first = sorted(read(&asked, &answers));
    assert_eq!((first.0.as_str(), first.1.len()), ("b.example", 2));
    for _ in 0..answers.len() {
        answers.rotate_left(1);
        assert_eq!(sorted(read(&asked, &answers)), first);
    }
    let circle = [
        cname("a.example.", "b.example."),
        cname("b.example.", "a.example."),
    ];
    assert!(matches!(read(&asked, &circle), Look::Unknown(_)));
}
