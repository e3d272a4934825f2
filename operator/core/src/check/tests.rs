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
