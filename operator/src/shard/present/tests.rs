use super::verdict::RECORD_NOT_SEEN;
use super::*;
use crate::solvers::dns01::Lack;

const TIMEOUT: Duration = Duration::from_secs(600);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn record(name: &str, written: bool, since: i64) -> PresentedRecord {
    let place = Place {
        record: dns01_record(name),
        zone: name.to_owned(),
    };
    PresentedRecord {
        written,
        ..recorded(name, "v", place, at(since))
    }
}

fn fault(reason: &'static str) -> DnsFault {
    DnsFault {
        reason,
        words: "it fails".into(),
        is_about_names: false,
    }
}

/// What is said of these records, of which those of `unseen` are lacking, after so many looks, when the CA
/// has nothing new of their names.
fn said(
    records: &[PresentedRecord],
    faults: &[(&str, &'static str)],
    unseen: &[&str],
    looks: u32,
    now: i64,
) -> Verdict {
    let faults: BTreeMap<String, DnsFault> = faults
        .iter()
        .map(|(name, reason)| ((*name).to_owned(), fault(reason)))
        .collect();
    let lack = || Lack {
        words: "ns2 lacks the record".into(),
        is_of_tcp: false,
        kept: Duration::ZERO,
    };
    let unseen: BTreeMap<String, Lack> = unseen.iter().map(|name| (dns01_record(name), lack())).collect();
    let all: BTreeSet<String> = records.iter().map(|record| record.name.clone()).collect();
    let look = Look {
        records,
        faults: &faults,
        unseen: &unseen,
        reread: &all,
        looks,
        timeout: TIMEOUT,
        now: at(now),
    };
    look.verdict()
}

fn given_up(verdict: Verdict) -> Vec<(String, String)> {
    match verdict {
        Verdict::GivenUp(findings) => findings.into_iter().map(|f| (f.name, f.reason)).collect(),
        Verdict::Seen | Verdict::Doubted(_) | Verdict::Waits { .. } => Vec::new(),
    }
}

fn told(name: &str, reason: &str) -> (String, String) {
    (name.to_owned(), reason.to_owned())
}

fn reason(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Waits { reason, .. } => reason,
        Verdict::Seen | Verdict::Doubted(_) | Verdict::GivenUp(_) => "",
    }
}

#[test]
fn a_record_is_looked_for_again_ever_more_rarely() {
    let pauses: Vec<u64> = [0, 1, 4, 7, 8, u32::MAX]
        .map(|times| again(times).as_secs())
        .to_vec();
    assert_eq!(pauses, [1, 1, 5, 15, 15, 15]);
}

#[test]
fn a_record_may_take_so_long_to_be_seen_from_when_it_was_written() {
    let mut waiting = record("a.example", false, 0);
    note(&mut waiting, &Ok(()), at(1000));
    let records = [waiting];
    assert_eq!(said(&records, &[], &[], 0, 1000), Verdict::Seen);
    assert_eq!(
        reason(&said(&records, &[], &["a.example"], 50, 1599)),
        "WaitsForDNS"
    );
    let late = said(&records, &[], &["a.example"], 50, 1600);
    assert_eq!(given_up(late), [told("a.example", RECORD_NOT_SEEN)]);
}

#[test]
fn before_a_record_is_given_up_the_ca_is_asked_once_what_it_says_of_its_name() {
    let records = [record("a.example", true, 0), record("b.example", true, 0)];
    let lack = Lack {
        words: "ns2 lacks the record".into(),
        is_of_tcp: false,
        kept: Duration::ZERO,
    };
    let unseen = BTreeMap::from([(dns01_record("a.example"), lack)]);
    let verdict = |reread: &BTreeSet<String>, now| {
        let look = Look {
            records: &records,
            faults: &BTreeMap::new(),
            unseen: &unseen,
            reread,
            looks: 50,
            timeout: TIMEOUT,
            now: at(now),
        };
        look.verdict()
    };
    let none = BTreeSet::new();
    assert_eq!(reason(&verdict(&none, 599)), "WaitsForDNS");
    let doubted = BTreeSet::from(["a.example".to_owned()]);
    assert_eq!(verdict(&none, 600), Verdict::Doubted(doubted.clone()));
    let last = given_up(verdict(&doubted, 600));
    assert_eq!(last, [told("a.example", RECORD_NOT_SEEN)]);
}

#[test]
fn that_a_provider_is_waited_for_is_no_fault_of_a_name_and_does_not_count() {
    let throttles = "DNSProviderThrottles";
    let mut record = record("a.example", false, 0);
    let waits = said(
        std::slice::from_ref(&record),
        &[("a.example", throttles)],
        &[],
        900,
        90_000,
    );
    assert_eq!(reason(&waits), throttles);
    note(&mut record, &Err(fault(throttles)), at(90_000));
    assert!(!record.written);
    // A fault after that is one that has just begun.
    let fails = [("a.example", "DNSProviderFails")];
    let records = [record];
    assert_eq!(
        reason(&said(&records, &fails, &[], 901, 90_599)),
        "DNSProviderFails"
    );
    assert_eq!(given_up(said(&records, &fails, &[], 901, 90_600)).len(), 1);
}

#[test]
fn a_fault_that_may_pass_is_waited_out_and_another_is_told_at_once() {
    let records = [record("a.example", false, 0), record("b.example", true, 0)];
    let fails = [("a.example", "DNSServerFails")];
    assert_eq!(reason(&said(&records, &fails, &[], 9, 599)), "DNSServerFails");
    assert_eq!(given_up(said(&records, &fails, &[], 9, 600)).len(), 1);
    let refused = [("a.example", "DNSUpdateRefused")];
    let at_once = given_up(said(&records, &refused, &["b.example"], 0, 1));
    assert_eq!(at_once, [told("a.example", "DNSUpdateRefused")]);
    // Its place in DNS is not known.
    let unplaced = [("c.example", "DNSServerFails")];
    assert_eq!(reason(&said(&records, &unplaced, &[], 44, 599)), "DNSServerFails");
    assert_eq!(given_up(said(&records, &unplaced, &[], 45, 599)).len(), 1);
}

#[test]
fn a_record_that_another_order_left_is_waited_for_anew() {
    let asked = [("a.example".to_owned(), "v".to_owned())];
    let left = record("a.example", true, 0);
    let first = OrderState::default();
    let known_to = |state: &OrderState, left: &PresentedRecord| {
        let of_another = record("b.example", true, 0);
        let mut records = known(vec![left.clone(), of_another], &asked, state, at(5));
        assert_eq!(records.len(), 1);
        records.remove(0)
    };
    let again = known_to(&first, &left);
    assert_eq!((again.since.0, again.written), (at(5), true));
    // Its removal was tried.
    let doubtful = PresentedRecord {
        failures: Some(1),
        ..left.clone()
    };
    assert!(!known_to(&first, &doubtful).written);
    let later = OrderState { polls: 1, ..first };
    assert_eq!(known_to(&later, &left), left);
}

#[test]
fn what_was_not_asked_for_yet_goes_before_what_failed_and_is_recorded_as_it_is_written() {
    let mut records = [
        record("slow", false, 0),
        record("b", false, 0),
        record("c", false, 0),
    ];
    // The first one takes all the time.
    for (record, reason) in records
        .iter_mut()
        .zip(["DNSProviderFails", "DNSNotAskedYet", "DNSNotAskedYet"])
    {
        note(record, &Err(fault(reason)), at(60));
    }
    let mut asked: Vec<&mut PresentedRecord> = records.iter_mut().collect();
    by_turn(&mut asked);
    let names: Vec<&str> = asked.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "slow"]);
    for (record, outcome) in asked
        .into_iter()
        .zip([Ok(()), Ok(()), Err(fault("DNSNotAskedYet"))])
    {
        note(record, &outcome, at(80));
    }
    assert_eq!(records.map(|record| record.written), [false, true, true]);
}
