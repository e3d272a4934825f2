//! Orders of which names are validated by DNS-01.

use std::collections::BTreeSet;

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
fn before_a_record_is_given_up_its_authorization_is_read_anew_and_may_be_valid() {
    let mut talk = talk();
    talk.moves("authorization", ok(of_domain(true)));
    talk.moves("authorization", ok(of_domain(false)));
    let wildcard = BTreeSet::from([WILDCARD.to_owned()]);
    talk.state = talk.state.clone().unseen(now()).reread(&wildcard);
    talk.moves("authorization", ok(of_domain(true)));
    assert_eq!((talk.step(), talk.state.polls), (Step::Present, 1));

    talk.state = talk.state.clone().reread(&wildcard);
    // Another order of the account has the same authorization, and was faster.
    talk.moves(
        "authorization",
        ok(with(of_domain(true), "status", json!("valid"))),
    );
    assert_eq!(talk.state.to_present().count(), 0);
    assert_eq!(talk.request().kind(), "challenge");
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

/// The wildcard's authorization with a dns-persist-01 challenge that has this beside type, URL and status.
fn with_standing_record(issuers: Value) -> Response {
    let challenge = json!({
        "type": "dns-persist-01", "url": "https://ca.example/persist/1", "status": "pending",
        "accounturi": "https://ca.example/acct/1", "issuer-domain-names": issuers,
    });
    let http = json!({"type": "http-01", "url": challenge_url(0), "status": "pending", "token": TOKEN});
    ok(with(of_domain(true), "challenges", json!([http, challenge])))
}

/// A talk in which the wildcard has a standing record.
fn talk_by_standing_record() -> Talk {
    let mut talk = talk();
    let wildcard = Name::parse(WILDCARD).unwrap();
    talk.kinds = ChallengeKinds::default().and_dns_persist01([wildcard]);
    talk
}

#[test]
fn a_challenge_by_a_standing_record_has_no_token_and_is_answered_once_that_is_seen() {
    let mut talk = talk_by_standing_record();
    talk.moves("authorization", with_standing_record(json!(["ca.example"])));
    talk.moves("authorization", ok(of_domain(false)));
    let taken = &talk.state.authorizations[0];
    assert_eq!(taken.kind, ChallengeKind::DnsPersist01);
    assert_eq!(taken.issuer_domain_names, ["ca.example"]);
    assert_eq!(taken.token, None);
    assert_eq!(talk.step(), Step::Present);
    // As it is after a crash.
    let recorded = serde_json::to_value(&talk.state).unwrap();
    talk.state = serde_json::from_value(recorded).unwrap();
    talk.state = talk.state.clone().presented();
    talk.moves("challenge", ok(json!({"status": "processing"})));
    talk.moves("challenge", ok(json!({"status": "processing"})));
    talk.waits();
    assert_eq!(talk.request().kind(), "order");
}

#[test]
fn a_recorded_challenge_without_the_cas_names_is_not_resumed() {
    let mut talk = talk_by_standing_record();
    talk.moves("authorization", with_standing_record(json!(["ca.example"])));
    talk.state.authorizations[0].issuer_domain_names.clear();
    assert!(matches!(talk.step(), Step::Restart { .. }));
}

#[test]
fn a_ca_that_does_not_say_whose_record_it_looks_for_is_not_asked() {
    for issuers in [
        json!([]),
        json!(null),
        json!("ca.example"),
        json!(["CA.example"]),
        json!(vec!["ca.example"; 11]),
    ] {
        let failure = talk_by_standing_record().fails("authorization", with_standing_record(issuers));
        assert_eq!(failure.reason, reason::UNEXPECTED_ANSWER);
        assert!(
            failure.message.contains("issuer-domain-name"),
            "{}",
            failure.message
        );
    }
    // What is not asked for does not matter.
    let mut talk = talk();
    let mut body = of_domain(true);
    body["challenges"][1]["issuer-domain-names"] = json!({});
    talk.moves("authorization", ok(body));
}

#[test]
fn a_ca_without_dns_persist_01_fails_with_what_it_offers() {
    let failure = talk_by_standing_record().fails("authorization", ok(of_domain(true)));
    assert_eq!(failure.reason, reason::NO_DNS_PERSIST01);
    assert!(
        failure
            .message
            .contains("no dns-persist-01 challenge for *.shop.example, only: dns-01"),
        "{}",
        failure.message
    );
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
