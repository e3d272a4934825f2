use std::net::Ipv4Addr;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn refused() -> Finding {
    Finding::Failed(Fault::Refused { address: HERE })
}

fn foreign() -> Finding {
    let (address, status) = (HERE, 404);
    Finding::Failed(Fault::Foreign { address, status })
}

fn servfail() -> Finding {
    let word = "SERVFAIL".into();
    Finding::Failed(Fault::DnsFailed { word })
}

fn absent() -> Finding {
    Finding::Failed(Fault::NameNotFound)
}

fn is_unknown(finding: &Finding) -> bool {
    matches!(finding, Finding::Unknown(_))
}

#[test]
fn a_name_that_fails_while_another_passes_is_at_fault() {
    for bad in [refused(), foreign(), servfail(), absent()] {
        let round = vec![bad.clone(), Finding::Passed];
        assert_eq!(judged(round.clone()), round);
    }
}

#[test]
fn when_everything_is_silent_nothing_is_held_against_a_name() {
    assert!(judged(vec![refused(), refused()]).iter().all(is_unknown));
    assert!(judged(vec![servfail(), servfail()]).iter().all(is_unknown));
    assert!(judged(vec![refused(), servfail()]).iter().any(is_unknown));
}

#[test]
fn what_a_names_own_servers_answer_needs_no_witness() {
    for bad in [foreign(), absent(), Finding::Failed(Fault::NoAddress)] {
        assert_eq!(judged(vec![bad.clone()]), [bad]);
    }
}

#[test]
fn that_another_name_leads_elsewhere_does_not_prove_our_way_out() {
    let round = judged(vec![foreign(), refused(), servfail()]);
    assert_eq!(round[0], foreign());
    assert!(is_unknown(&round[1]));
    // But it proves that our resolver answers.
    assert_eq!(round[2], servfail());
}

fn no_record(is_passing: bool) -> Finding {
    Finding::Failed(Fault::NoRecord {
        reason: "DNSProviderFails",
        words: "the API fails".into(),
        is_passing,
    })
}

#[test]
fn what_may_pass_costs_no_name_its_place_unless_it_lasts() {
    let (passing, lasting) = (no_record(true), no_record(false));
    // Two zones at two providers, of which one fails.
    let round = [passing.clone(), Finding::Passed];
    assert!(holds_up(&round, false));
    assert!(!holds_up(&round, true));
    let not_looked_at = Finding::Unknown("the check is turned off".into());
    assert!(!holds_up(&[passing.clone(), not_looked_at], true));
    // Nobody could go on.
    for round in [vec![passing.clone()], vec![passing.clone(), lasting.clone()]] {
        assert!(holds_up(&round, false) && holds_up(&round, true));
    }
    // What does not pass holds nobody up.
    for round in [
        vec![lasting, foreign(), Finding::Passed],
        vec![Finding::Passed],
        vec![],
    ] {
        assert!(!holds_up(&round, false) && !holds_up(&round, true));
    }
    // It is not judged by others' looks as what is at a name's own address is.
    assert_eq!(judged(vec![passing.clone()]), [passing]);
}
