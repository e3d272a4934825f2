use jiff::Timestamp;
use sancho_core::check::Fault;
use sancho_crds::{CertificateShardSpec, CertificateShardStatus, IssuerRef, QuotaScope};

use super::*;
use crate::issuer::Edition;

const ACCOUNT: &str = "https://ca/acct/1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn entry(name: &str, found_by: FoundBy, next_try: i64) -> QuarantinedName {
    QuarantinedName {
        name: name.into(),
        place: QuarantinePlace::Out,
        found_by,
        reason: "NoAddress".into(),
        message: "it has no address".into(),
        since: clock::time(at(0)),
        count: 3,
        next_try: clock::time(at(next_try)),
        issuer_generation: None,
        issuer_created: None,
        asked: None,
    }
}

fn shard(quarantine: Vec<QuarantinedName>) -> CertificateShard {
    let spec = CertificateShardSpec {
        certificate: "shop".into(),
        secret_name: "shop-tls".into(),
        issuer_ref: IssuerRef {
            name: "ca".into(),
            kind: None,
        },
        dns_names: ["a", "b", "c"].map(|name| format!("{name}.example")).into(),
        ..Default::default()
    };
    let mut shard = CertificateShard::new("shop-0", spec);
    shard.status = Some(CertificateShardStatus {
        quarantine,
        ..Default::default()
    });
    shard
}

fn trial(now: i64) -> Trial {
    Trial::of(&shard(Vec::new()), Edition::default(), at(now))
}

fn refusal(reason: &'static str, quota: Option<Scope>) -> Failure {
    Failure {
        reason,
        message: "no".into(),
        names: Vec::new(),
        retry: Retry::At(at(5000)),
        quota,
        most_names: None,
    }
}

/// Which of these names pass, which fail, and which the CA is asked about, at second 100.
fn sorted_at_100(tried: &[(QuarantinedName, check::Finding)]) -> [Vec<String>; 3] {
    let (entries, found): (Vec<QuarantinedName>, Vec<check::Finding>) = tried.iter().cloned().unzip();
    let (settled, asked) = sorted(&entries, found, &trial(100));
    let (failing, passing): (Vec<Outcome>, Vec<Outcome>) =
        settled.into_iter().partition(|outcome| outcome.failed.is_some());
    let entries = |outcomes: Vec<Outcome>| outcomes.into_iter().map(|outcome| outcome.entry).collect();
    [entries(passing), entries(failing), asked]
        .map(|entries: Vec<QuarantinedName>| entries.into_iter().map(|entry| entry.name).collect())
}

#[test]
fn the_ca_is_asked_about_what_it_has_refused_or_cannot_be_looked_at_once_it_is_due() {
    let unknown = || check::Finding::Unknown("no resolver".into());
    let failed = || check::Finding::Failed(Fault::NoAddress);
    let mut comes_back = entry("back.example", FoundBy::Ca, 50);
    comes_back.place = QuarantinePlace::Passing;
    let tried = [
        (entry("look.example", FoundBy::Check, 50), check::Finding::Passed),
        (
            entry("early.example", FoundBy::Check, 500),
            check::Finding::Passed,
        ),
        (entry("bad.example", FoundBy::Ca, 50), failed()),
        (entry("early-bad.example", FoundBy::Check, 500), failed()),
        (entry("ca.example", FoundBy::Ca, 50), check::Finding::Passed),
        (entry("unknown.example", FoundBy::Check, 50), unknown()),
        (entry("early-unknown.example", FoundBy::Check, 500), unknown()),
        (comes_back, unknown()),
    ];
    let [passing, failing, asked] = sorted_at_100(&tried);
    assert_eq!(passing, ["look.example", "early.example", "back.example"]);
    assert_eq!(failing, ["bad.example", "early-bad.example"]);
    assert_eq!(asked, ["ca.example", "unknown.example"]);
}

#[test]
fn what_came_of_several_names_is_taken_in_together_and_only_news_are_told() {
    let names = ["a.example", "b.example", "c.example"];
    let mut quarantine: Vec<QuarantinedName> = names.map(|name| entry(name, FoundBy::Check, 50)).to_vec();
    let shard = shard(quarantine.clone());
    let failed = |entry: &QuarantinedName, reason: &str| Outcome {
        failed: Some(Finding {
            name: entry.name.clone(),
            by: FoundBy::Check,
            reason: reason.into(),
            message: "mend it".into(),
            not_before: None,
        }),
        entry: entry.clone(),
    };
    let outcomes = [
        failed(&quarantine[2], "NameNotFound"),
        failed(&quarantine[0], "NoAddress"),
        Outcome {
            entry: quarantine[1].clone(),
            failed: None,
        },
    ];
    let news = take_in(&shard, &mut quarantine, &outcomes, &trial(100));
    assert_eq!(news, ["c.example: NameNotFound: mend it"]);
    let places: Vec<_> = quarantine
        .iter()
        .map(|e| (e.name.as_str(), e.place, e.count))
        .collect();
    assert_eq!(
        places,
        [
            ("a.example", QuarantinePlace::Out, 4),
            ("b.example", QuarantinePlace::Joining, 3),
            ("c.example", QuarantinePlace::Out, 4),
        ]
    );
}

#[test]
fn what_the_ca_refuses_for_the_accounts_sake_is_not_held_against_the_name() {
    let answer = |reason, quota| match refused("a.example", refusal(reason, quota)) {
        Answer::Refused(finding) => Some(finding),
        Answer::Authorized | Answer::PutOff(_) | Answer::Waits => None,
    };
    for reason in [
        reason::ACCOUNT_DOES_NOT_EXIST,
        reason::EXTERNAL_ACCOUNT_REQUIRED,
        reason::USER_ACTION_REQUIRED,
        reason::UNAUTHORIZED,
        reason::MALFORMED,
    ] {
        assert_eq!(answer(reason, None), None, "{reason}");
    }
    for scope in [Scope::Account, Scope::RegisteredDomain("example".into())] {
        assert_eq!(answer(reason::RATE_LIMITED, Some(scope)), None);
    }
    let of_name = answer(reason::VALIDATION_FAILED, None).unwrap();
    assert_eq!((of_name.by, of_name.not_before), (FoundBy::Ca, Some(at(5000))));
    let names = Scope::Names(vec!["a.example".into()]);
    let limited = answer(reason::RATE_LIMITED, Some(names)).unwrap();
    assert_eq!(limited.not_before, Some(at(5000)));
}

#[test]
fn what_is_the_accounts_keeps_all_names_off() {
    for reason in [reason::ACCOUNT_DOES_NOT_EXIST, reason::UNAUTHORIZED] {
        assert!(is_about_all(&refusal(reason, None)), "{reason}");
    }
    let limited = |scope| refusal(reason::RATE_LIMITED, Some(scope));
    assert!(is_about_all(&limited(Scope::Account)));
    assert!(!is_about_all(&limited(Scope::RegisteredDomain("example".into()))));
    assert!(!is_about_all(&broken_off("the order is gone".into())));
}

#[test]
fn a_quota_that_is_used_up_is_noted_for_all_but_not_in_the_place_of_a_failure() {
    let noted = |shard: &CertificateShard, failure: &Failure| noted(shard, failure, "target", ACCOUNT);
    let limited = refusal(
        reason::RATE_LIMITED,
        Some(Scope::RegisteredDomain("example".into())),
    );
    let mut shard = shard(Vec::new());
    let quota = noted(&shard, &limited).unwrap();
    assert_eq!(
        (quota.count, quota.retry_time.0, quota.target.as_str()),
        (0, at(5000), "target")
    );
    let scope = quota.quota.clone().unwrap();
    assert_eq!(
        (
            scope.account.as_str(),
            scope.scope,
            scope.names.join(" ").as_str()
        ),
        (ACCOUNT, QuotaScope::RegisteredDomain, "example")
    );
    let unauthorized = refusal(reason::UNAUTHORIZED, None);
    assert_eq!(noted(&shard, &unauthorized), None);
    // Of one quota after another the last counts; what the shard itself has failed for stays.
    shard.status.as_mut().unwrap().failure = Some(quota.clone());
    assert!(noted(&shard, &limited).is_some());
    shard.status.as_mut().unwrap().failure = Some(ShardFailure { quota: None, ..quota });
    assert_eq!(noted(&shard, &limited), None);
}
