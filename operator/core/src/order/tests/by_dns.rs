//! Orders of which names are validated by DNS-01.

use super::*;
use crate::challenge::ChallengeKind;

const APEX: &str = "shop.example";
const WILDCARD: &str = "*.shop.example";

/// A talk about a domain and its wildcard, whose order is made.
fn talk() -> Talk {
    let mut talk = Talk::of(2);
    talk.names = [WILDCARD, APEX].map(|name| Name::parse(name).unwrap()).to_vec();
    let identifiers = json!([{"type": "dns", "value": WILDCARD}, {"type": "dns", "value": APEX}]);
    let body = with(order("pending", 2), "identifiers", identifiers);
    talk.moves("newOrder", made(body));
    talk
}

/// An authorization of the domain, or of the wildcard, which is named after it.
fn of_domain(wildcard: bool) -> Value {
    let identifier = json!({"type": "dns", "value": APEX});
    let body = with(authorization(0, "pending"), "identifier", identifier);
    with(body, "wildcard", json!(wildcard))
}

fn with_dns01(names: &[&str]) -> ChallengeKinds {
    ChallengeKinds::with_dns01(names.iter().map(|name| Name::parse(name).unwrap()))
}

#[test]
fn a_wildcards_authorization_is_told_from_its_domains() {
    let mut talk = talk();
    talk.moves("authorization", ok(of_domain(true)));
    talk.moves("authorization", ok(of_domain(false)));
    let known: Vec<_> = talk
        .state
        .authorizations
        .iter()
        .map(|a| (a.name.as_deref(), a.kind, a.challenge_url.as_deref()))
        .collect();
    let (by_dns, by_http) = ("https://ca.example/dns/1", challenge_url(0));
    assert_eq!(
        known,
        [
            (Some(WILDCARD), ChallengeKind::Dns01, Some(by_dns)),
            (Some(APEX), ChallengeKind::Http01, Some(by_http.as_str())),
        ]
    );
}

#[test]
fn an_authorization_of_a_wildcard_that_was_not_asked_for_is_refused() {
    let mut talk = Talk::of(1);
    talk.moves("newOrder", made(order("pending", 1)));
    let body = with(authorization(0, "pending"), "wildcard", json!(true));
    let failure = talk.fails("authorization", ok(body));
    assert_eq!(failure.reason, reason::UNEXPECTED_ANSWER);
    assert!(
        failure.message.contains("*.h0.shop.example"),
        "{}",
        failure.message
    );
}

#[test]
fn records_are_asked_for_once_all_are_known_and_nothing_is_answered_before_they_are_seen() {
    let mut talk = talk();
    talk.kinds = with_dns01(&[APEX]);
    talk.moves("authorization", ok(of_domain(true)));
    assert_eq!(talk.request().kind(), "authorization");
    talk.moves("authorization", ok(of_domain(false)));
    assert_eq!(talk.step(), Step::Present);
    assert_eq!(talk.state.to_present().count(), 2);

    talk.state = talk.state.clone().unseen(later(5));
    assert_eq!(talk.waits(), SignedDuration::from_secs(5));
    assert_eq!(talk.step(), Step::Present);
    talk.state = talk.state.clone().presented();
    talk.moves("challenge", ok(json!({"status": "processing"})));
    talk.moves("challenge", ok(json!({"status": "processing"})));
    talk.waits();
    assert_eq!(talk.request().kind(), "order");
}

#[test]
fn an_answer_that_was_lost_is_read_back_and_its_record_looked_at_again() {
    let mut talk = talk();
    talk.moves("authorization", ok(of_domain(true)));
    talk.moves("authorization", ok(of_domain(false)));
    talk.state = talk.state.clone().presented();
    // The domain's own challenge is by HTTP, and needs no record.
    talk.moves("challenge", ok(json!({"status": "processing"})));
    assert_eq!(talk.again("challenge", Reply::Lost), reason::NO_ANSWER);
    talk.waits();
    talk.moves("authorization", ok(of_domain(true)));
    assert_eq!(talk.step(), Step::Present);
}

#[test]
fn a_ca_without_dns_01_fails_with_what_it_offers() {
    let mut talk = talk();
    let challenges = json!([{"type": "http-01"}]);
    let failure = talk.fails(
        "authorization",
        ok(with(of_domain(true), "challenges", challenges)),
    );
    assert_eq!(failure.reason, reason::NO_DNS01);
    assert_eq!(failure.names, [Name::parse(WILDCARD).unwrap()]);
    assert!(failure.message.contains("only: http-01"), "{}", failure.message);
}

#[test]
fn an_order_that_was_recorded_before_there_was_dns_01_goes_on_by_http() {
    let recorded = json!({
        "stage": "Pending", "url": ORDER, "polls": 0,
        "authorizations": [{
            "url": authorization_url(0), "state": "Pending", "name": "h0.shop.example",
            "challengeUrl": challenge_url(0), "token": TOKEN,
        }],
    });
    let mut talk = Talk::of(1);
    talk.state = serde_json::from_value(recorded.clone()).unwrap();
    assert_eq!(talk.request().kind(), "challenge");
    assert_eq!(serde_json::to_value(&talk.state).unwrap(), recorded);
}
