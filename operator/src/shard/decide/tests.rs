use super::*;
use crate::target::target;
use sancho_crds::{
    Allowed, CertificateShardSpec, CertificateShardStatus, Claim, FoundBy, IssuerRef, NameCap, OrderStatus,
    PresentedRecord, QuarantinePlace, RenewalInfoStatus, ShardFailure,
};

use sancho_core::response::Scope;

use crate::clock::time;
use crate::quotas::to_status;
use crate::shard::quarantine::{self, Finding, Trial};

const SERVER: &str = "https://ca/dir";
const ACCOUNT: &str = "https://ca/acct/1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn shard(status: CertificateShardStatus) -> CertificateShard {
    let spec = CertificateShardSpec {
        certificate: "shop".into(),
        secret_name: "shop-tls".into(),
        issuer_ref: IssuerRef {
            name: "ca".into(),
            kind: None,
        },
        dns_names: vec!["a.example".into()],
        ..Default::default()
    };
    let mut shard = CertificateShard::new("shop-0", spec);
    shard.status = Some(status);
    shard
}

fn wanted() -> String {
    let shard = shard(CertificateShardStatus::default());
    target(&shard.spec, SERVER)
}

fn issued(target: String) -> IssuedStatus {
    IssuedStatus {
        target,
        fingerprint: "00".into(),
        not_before: time(at(0)),
        not_after: time(at(900)),
        renewal_time: time(at(600)),
        account_url: None,
        cert_id: None,
        renewal_info: None,
    }
}

fn renewal() -> Timestamp {
    renewal_of_issued(&shard(CertificateShardStatus::default()), &issued(wanted()))
}

fn order(not_before: Option<i64>) -> OrderStatus {
    let mut order = crate::order_status::to_status(&wanted(), &Default::default());
    order.not_before = not_before.map(|second| time(at(second)));
    order
}

/// An issuer that says nothing of orders.
static PLAIN: IssuerTerms = IssuerTerms {
    profile: None,
    max_names: None,
    name_caps: Vec::new(),
    allowed: None,
    issuer_domain_names: None,
    edition: Edition {
        created: None,
        generation: None,
    },
};

fn around<'a>(holders: &'a BTreeSet<String>, quotas: &'a Quotas, now: i64) -> Surroundings<'a> {
    Surroundings {
        server: SERVER,
        me: "me",
        holders,
        secret_gone: false,
        revoke: None,
        lacks_renewal_info: false,
        terms: &PLAIN,
        quotas,
        account: ACCOUNT,
        now: at(now),
    }
}

fn needed(status: CertificateShardStatus, holders: &[&str], gone: bool, now: i64) -> Need {
    let holders = holders.iter().map(|h| (*h).to_owned()).collect();
    let quotas = Quotas::default();
    let around = Surroundings {
        secret_gone: gone,
        ..around(&holders, &quotas, now)
    };
    need(&shard(status), &around)
}

#[test]
fn a_new_shard_is_to_be_issued() {
    assert_eq!(
        needed(CertificateShardStatus::default(), &[], false, 0),
        Need::Work(Priority::New)
    );
}

#[test]
fn an_issued_shard_rests_until_its_renewal() {
    let status = CertificateShardStatus {
        issued: Some(issued(wanted())),
        ..Default::default()
    };
    assert_eq!(
        needed(status.clone(), &[], false, 10),
        Need::Nothing {
            until: Some(renewal())
        }
    );
    assert_eq!(
        needed(status.clone(), &[], false, 600),
        Need::Work(Priority::Renewal)
    );
    assert_eq!(needed(status, &[], false, 800), Need::Work(Priority::NearExpiry));
}

/// A replica's clock is an hour before or after the CA's.
#[test]
fn a_clock_that_is_an_hour_wrong_makes_no_work_of_what_was_just_issued_and_renews_it_in_time() {
    const HOUR: i64 = 3600;
    for lifetime in [90 * 24 * HOUR, 160 * HOUR] {
        let issued = IssuedStatus {
            not_after: time(at(lifetime)),
            ..issued(wanted())
        };
        let status = CertificateShardStatus {
            issued: Some(issued.clone()),
            ..Default::default()
        };
        let renewal = renewal_of_issued(&shard(status.clone()), &issued);
        for skew in [-HOUR, HOUR] {
            let until = Some(renewal);
            assert_eq!(needed(status.clone(), &[], false, skew), Need::Nothing { until });
            let due = renewal.as_second() + skew.max(0);
            assert_eq!(
                needed(status.clone(), &[], false, due),
                Need::Work(Priority::Renewal)
            );
        }
        // By the CA's clock it is still valid when the one that is behind renews it.
        assert!(renewal.as_second() + HOUR < lifetime);
    }
}

#[test]
fn what_was_issued_for_another_secret_does_not_do() {
    let recorded_for = |secret: &str| CertificateShardStatus {
        issued: Some(issued(wanted())),
        secret_name: Some(secret.into()),
        ..Default::default()
    };
    let until = Some(renewal());
    assert_eq!(
        needed(recorded_for("shop-tls"), &[], false, 10),
        Need::Nothing { until }
    );
    assert_eq!(
        needed(recorded_for("old-tls"), &[], false, 10),
        Need::Work(Priority::New)
    );
    assert!(is_wanted(&shard(recorded_for("shop-tls")), SERVER, &wanted()));
    assert!(!is_wanted(&shard(recorded_for("old-tls")), SERVER, &wanted()));
}

#[test]
fn the_ca_is_asked_about_the_renewal_when_it_is_time_and_not_if_it_says_nothing_of_that() {
    let status = CertificateShardStatus {
        issued: Some(IssuedStatus {
            cert_id: Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".into()),
            renewal_info: Some(RenewalInfoStatus {
                suggested_window: None,
                chosen_time: None,
                explanation_url: None,
                next_look: time(at(100)),
                failures: None,
                error: None,
            }),
            ..issued(wanted())
        }),
        ..Default::default()
    };
    let mut shard = shard(status);
    let needed = |shard: &CertificateShard, now, lacks_renewal_info| {
        let (holders, quotas) = Default::default();
        let around = Surroundings {
            lacks_renewal_info,
            ..around(&holders, &quotas, now)
        };
        need(shard, &around)
    };
    let until = |moment| Need::Nothing { until: Some(moment) };
    assert_eq!(needed(&shard, 50, false), until(at(100)));
    assert_eq!(needed(&shard, 100, false), Need::Work(Priority::RenewalInfo));
    assert_eq!(needed(&shard, 100, true), until(renewal()));
    // A renewal that is due is made, and not asked about.
    assert_eq!(needed(&shard, 600, false), Need::Work(Priority::Renewal));
    assert_eq!(cost(&shard, Priority::RenewalInfo), 1.into());
    let of_renewal = Cost {
        requests: 6,
        new_orders: 1,
    };
    assert_eq!(cost(&shard, Priority::Renewal), of_renewal);
    // What somebody else has spoilt is not asked about.
    let issued = shard.status.as_mut().unwrap().issued.as_mut().unwrap();
    issued.cert_id = Some("../account".into());
    assert_eq!(needed(&shard, 100, false), until(renewal()));
}

#[test]
fn an_edited_renew_before_counts_at_once() {
    let status = CertificateShardStatus {
        issued: Some(issued(wanted())),
        ..Default::default()
    };
    let mut shard = shard(status);
    shard.spec.renew_before = Some("800s".into());
    assert_eq!(
        need(&shard, &around(&BTreeSet::new(), &Quotas::default(), 200)),
        Need::Work(Priority::Renewal)
    );
}

#[test]
fn a_renewal_by_hand_is_made_once() {
    let mut shard = shard(CertificateShardStatus {
        issued: Some(issued(wanted())),
        ..Default::default()
    });
    let needed = |shard: &CertificateShard| need(shard, &around(&BTreeSet::new(), &Quotas::default(), 10));
    let rests = Need::Nothing {
        until: Some(renewal()),
    };
    assert_eq!(needed(&shard), rests);
    shard.spec.renew = Some("one".into());
    assert_eq!(needed(&shard), Need::Work(Priority::New));
    shard.status.as_mut().unwrap().renewed = Some("one".into());
    assert_eq!(needed(&shard), rests);
    shard.spec.renew = Some("two".into());
    assert_eq!(needed(&shard), Need::Work(Priority::New));
    shard.spec.renew = None;
    assert_eq!(needed(&shard), rests);
}

#[test]
fn what_is_paused_begins_nothing_and_ends_what_is_under_way() {
    let needed = |status, now| {
        let mut shard = shard(status);
        shard.spec.paused = Some(true);
        need(&shard, &around(&BTreeSet::new(), &Quotas::default(), now))
    };
    let nothing = Need::Nothing { until: None };
    assert_eq!(needed(CertificateShardStatus::default(), 10), nothing);
    let issued = CertificateShardStatus {
        issued: Some(issued(wanted())),
        ..Default::default()
    };
    assert_eq!(needed(issued, 800), nothing);
    let under_way = CertificateShardStatus {
        order: Some(order(None)),
        ..Default::default()
    };
    assert_eq!(needed(under_way, 10), Need::Work(Priority::UnderWay));
}

#[test]
fn a_deleted_secret_and_other_names_are_issued_again() {
    let status = CertificateShardStatus {
        issued: Some(issued(wanted())),
        ..Default::default()
    };
    assert_eq!(needed(status, &[], true, 10), Need::Work(Priority::New));
    let status = CertificateShardStatus {
        issued: Some(issued("other".into())),
        ..Default::default()
    };
    assert_eq!(needed(status, &[], false, 10), Need::Work(Priority::New));
}

#[test]
fn an_order_under_way_goes_on_when_its_wait_is_over() {
    let status = |wait| CertificateShardStatus {
        order: Some(order(wait)),
        ..Default::default()
    };
    assert_eq!(
        needed(status(None), &[], false, 10),
        Need::Work(Priority::UnderWay)
    );
    assert_eq!(
        needed(status(Some(20)), &[], false, 10),
        Need::Nothing { until: Some(at(20)) }
    );
    assert_eq!(
        needed(status(Some(20)), &[], false, 20),
        Need::Work(Priority::UnderWay)
    );
}

#[test]
fn records_that_no_order_needs_are_removed_before_anything_is_begun_and_after_what_is_under_way() {
    let record = |next_try: Option<i64>| PresentedRecord {
        name: "a.example".into(),
        record: "_acme-challenge.a.example".into(),
        zone: "a.example".into(),
        value: "v".into(),
        since: time(at(0)),
        written: true,
        failures: None,
        next_try: next_try.map(|second| time(at(second))),
    };
    let status = |order, next_try| CertificateShardStatus {
        order,
        dns_records: vec![record(next_try)],
        ..Default::default()
    };
    let needed = |status| needed(status, &[], false, 10);
    assert_eq!(needed(status(None, None)), Need::Work(Priority::Sweep));
    assert_eq!(
        needed(status(Some(order(None)), None)),
        Need::Work(Priority::UnderWay)
    );
    assert_eq!(needed(status(None, Some(20))), Need::Work(Priority::New));
    let rests = CertificateShardStatus {
        issued: Some(issued(wanted())),
        ..status(None, Some(20))
    };
    assert_eq!(needed(rests), Need::Nothing { until: Some(at(20)) });
}

#[test]
fn a_failure_holds_back_only_what_failed() {
    let failure = |target: String| ShardFailure {
        reason: "CAAForbids".into(),
        message: String::new(),
        target,
        count: 1,
        retry_time: time(at(60)),
        generation: None,
        issuer_generation: None,
        issuer_created: None,
        profile: None,
        most_names: None,
        quota: None,
    };
    let status = CertificateShardStatus {
        failure: Some(failure(wanted())),
        ..Default::default()
    };
    assert_eq!(
        needed(status, &[], false, 10),
        Need::Nothing { until: Some(at(60)) }
    );
    let status = CertificateShardStatus {
        failure: Some(failure("other".into())),
        ..Default::default()
    };
    assert_eq!(needed(status, &[], false, 10), Need::Work(Priority::New));
}

#[test]
fn a_profile_that_is_not_offered_holds_back_only_itself() {
    let mut shard = shard(CertificateShardStatus {
        failure: Some(ShardFailure {
            reason: "ProfileNotOffered".into(),
            message: String::new(),
            target: wanted(),
            count: 1,
            retry_time: time(at(60)),
            generation: None,
            issuer_generation: None,
            issuer_created: None,
            profile: Some("gone".into()),
            most_names: None,
            quota: None,
        }),
        ..Default::default()
    });
    let needed = |shard: &CertificateShard, profile: Option<&str>| {
        let (holders, quotas) = Default::default();
        let terms = IssuerTerms {
            profile: profile.map(str::to_owned),
            ..IssuerTerms::default()
        };
        let around = Surroundings {
            terms: &terms,
            ..around(&holders, &quotas, 10)
        };
        need(shard, &around)
    };
    assert_eq!(
        needed(&shard, Some("gone")),
        Need::Nothing { until: Some(at(60)) }
    );
    for mended in [Some("classic"), None] {
        assert_eq!(needed(&shard, mended), Need::Work(Priority::New));
    }
    // The Certificate's counts, and is another target.
    shard.spec.profile = Some("classic".into());
    assert_eq!(needed(&shard, Some("gone")), Need::Work(Priority::New));
}

#[test]
fn an_edit_ends_the_wait_after_a_failure_and_not_that_for_a_quota() {
    let failed = |reason: &str, generation| {
        let mut shard = shard(CertificateShardStatus {
            failure: Some(ShardFailure {
                reason: reason.into(),
                message: String::new(),
                target: wanted(),
                count: 7,
                retry_time: time(at(60)),
                generation,
                issuer_generation: None,
                issuer_created: None,
                profile: None,
                most_names: None,
                quota: None,
            }),
            ..Default::default()
        });
        shard.metadata.generation = Some(2);
        need(&shard, &around(&BTreeSet::new(), &Quotas::default(), 10))
    };
    let waits = Need::Nothing { until: Some(at(60)) };
    assert_eq!(failed("Refused", Some(2)), waits);
    assert_eq!(failed("Refused", Some(1)), Need::Work(Priority::New));
    assert_eq!(failed("RateLimited", Some(1)), waits);
    // Recorded by a version that did not note it.
    assert_eq!(failed("Refused", None), waits);
}

#[test]
fn an_issuer_that_is_edited_or_made_anew_ends_the_wait_after_a_failure_too() {
    let failed = |reason: &str, recorded: Option<(i64, i64)>| {
        let shard = shard(CertificateShardStatus {
            failure: Some(ShardFailure {
                reason: reason.into(),
                message: String::new(),
                target: wanted(),
                count: 7,
                retry_time: time(at(60)),
                generation: None,
                issuer_generation: recorded.map(|(_, generation)| generation),
                issuer_created: recorded.map(|(created, _)| time(at(created))),
                profile: None,
                most_names: None,
                quota: None,
            }),
            ..Default::default()
        });
        let terms = IssuerTerms {
            edition: Edition {
                created: Some(at(5)),
                generation: Some(2),
            },
            ..IssuerTerms::default()
        };
        let (holders, quotas) = Default::default();
        let around = Surroundings {
            terms: &terms,
            ..around(&holders, &quotas, 10)
        };
        need(&shard, &around)
    };
    let waits = Need::Nothing { until: Some(at(60)) };
    for (created, generation) in [(5, 1), (1, 2), (1, 3)] {
        let recorded = Some((created, generation));
        assert_eq!(failed("Unauthorized", recorded), Need::Work(Priority::New));
        assert_eq!(failed("RateLimited", recorded), waits);
    }
    assert_eq!(failed("Unauthorized", Some((5, 2))), waits);
    // This replica has not seen the edit yet, or the issuer has nothing to do with it.
    assert_eq!(failed("Unauthorized", Some((5, 3))), waits);
    assert_eq!(failed("Unauthorized", Some((6, 1))), waits);
    assert_eq!(failed("SecretNotOurs", None), waits);
}

#[test]
fn names_that_are_left_out_are_tried_when_it_is_time_and_at_once_by_hand() {
    let mut shard = shard(CertificateShardStatus::default());
    shard.spec.dns_names.push("b.example".into());
    let refused = Finding {
        name: "b.example".into(),
        by: FoundBy::Ca,
        reason: "CAAForbids".into(),
        message: String::new(),
        not_before: None,
    };
    let mut status = CertificateShardStatus::default();
    let trial = Trial::of(&shard, PLAIN.edition, at(0));
    quarantine::put(&mut status.quarantine, &refused, QuarantinePlace::Out, &trial);
    let next = status.quarantine[0].next_try.0;
    shard.status = Some(status.clone());
    status.issued = Some(issued(order_target(&shard, SERVER)));
    shard.status = Some(status);
    let needed =
        |shard: &CertificateShard, now| need(shard, &around(&BTreeSet::new(), &Quotas::default(), now));
    assert_eq!(needed(&shard, 10), Need::Nothing { until: Some(next) });
    assert_eq!(needed(&shard, next.as_second()), Need::Work(Priority::Retry));
    shard.spec.retry = Some("now".into());
    assert_eq!(needed(&shard, 10), Need::Work(Priority::Retry));
}

#[test]
fn nothing_is_asked_for_who_may_not_use_the_issuer() {
    let terms = |domain: &str| IssuerTerms {
        allowed: Some(Allowed {
            namespaces: vec!["shop".into()],
            domains: vec![domain.into()],
        }),
        ..IssuerTerms::default()
    };
    let needed = |shard: &CertificateShard, domain: &str| {
        let (holders, quotas) = Default::default();
        let terms = terms(domain);
        let around = Surroundings {
            terms: &terms,
            ..around(&holders, &quotas, 10)
        };
        need(shard, &around)
    };
    let nothing = Need::Nothing { until: None };
    let mut shard = shard(CertificateShardStatus::default());
    let domain = shard.spec.dns_names[0].clone();
    shard.metadata.namespace = Some("shop".into());
    assert_eq!(needed(&shard, &domain), Need::Work(Priority::New));
    assert_eq!(needed(&shard, "other.example"), nothing);
    // Nor is an order gone on with.
    let target = target(&shard.spec, SERVER);
    let order = crate::order_status::to_status(&target, &Default::default());
    shard.status.as_mut().unwrap().order = Some(order);
    assert_eq!(needed(&shard, &domain), Need::Work(Priority::UnderWay));
    assert_eq!(needed(&shard, "other.example"), nothing);
    shard.metadata.namespace = Some("bank".into());
    assert_eq!(needed(&shard, &domain), nothing);
}

#[test]
fn more_names_than_the_ca_takes_are_asked_for_no_more() {
    let cap = NameCap {
        profile: None,
        max_names: 1,
        message: String::new(),
        server: SERVER.into(),
        given: None,
    };
    let terms = IssuerTerms {
        name_caps: vec![cap],
        ..IssuerTerms::default()
    };
    let needed = |shard: &CertificateShard, terms| {
        let (holders, quotas) = Default::default();
        let around = Surroundings {
            terms,
            ..around(&holders, &quotas, 10_000)
        };
        need(shard, &around)
    };
    // By what another shard was told: nothing new is begun, and an order under way goes on.
    let mut shard = shard(CertificateShardStatus::default());
    assert_eq!(needed(&shard, &terms), Need::Work(Priority::New));
    shard.spec.dns_names.push("b.example".into());
    assert_eq!(needed(&shard, &terms), Need::Nothing { until: None });
    let target = target(&shard.spec, SERVER);
    let order = crate::order_status::to_status(&target, &Default::default());
    shard.status.as_mut().unwrap().order = Some(order);
    assert_eq!(needed(&shard, &terms), Need::Work(Priority::UnderWay));
    // What is kept for others counts, and for that what the issuer is said to take.
    let given = IssuerTerms {
        max_names: Some(2),
        ..IssuerTerms::default()
    };
    let mut keeping = CertificateShard {
        status: None,
        ..shard.clone()
    };
    assert_eq!(needed(&keeping, &given), Need::Work(Priority::New));
    keeping.spec.kept_names = vec!["c.example".into()];
    assert_eq!(needed(&keeping, &given), Need::Nothing { until: None });
    assert_eq!(needed(&keeping, &PLAIN), Need::Work(Priority::New));
    keeping.spec.kept_names = (0..99).map(|number| format!("{number}.example")).collect();
    assert_eq!(needed(&keeping, &PLAIN), Need::Nothing { until: None });
    // By what it was told itself, as long as the issuer does not say so.
    shard.status = Some(CertificateShardStatus {
        failure: Some(ShardFailure {
            reason: "TooManyNames".into(),
            message: String::new(),
            target,
            count: 1,
            retry_time: time(at(60)),
            generation: None,
            issuer_generation: None,
            issuer_created: None,
            profile: None,
            most_names: Some(1),
            quota: None,
        }),
        ..Default::default()
    });
    assert_eq!(needed(&shard, &PLAIN), Need::Nothing { until: None });
    shard.spec.dns_names.pop();
    assert_eq!(needed(&shard, &PLAIN), Need::Work(Priority::New));
}

#[test]
fn a_quota_that_another_was_told_of_holds_back_what_is_not_under_way() {
    let quotas = Quotas::default();
    let mut told = shard(CertificateShardStatus {
        failure: Some(ShardFailure {
            reason: "RateLimited".into(),
            message: String::new(),
            target: wanted(),
            count: 0,
            retry_time: time(at(60)),
            generation: None,
            issuer_generation: None,
            issuer_created: None,
            profile: None,
            most_names: None,
            quota: to_status(&Scope::RegisteredDomain("a.example".into()), ACCOUNT),
        }),
        ..Default::default()
    });
    told.metadata.name = Some("told".into());
    quotas.note(&told);
    let holders = BTreeSet::new();
    let needed = |status, now| need(&shard(status), &around(&holders, &quotas, now));
    let new = CertificateShardStatus::default();
    assert_eq!(needed(new.clone(), 10), Need::Nothing { until: Some(at(60)) });
    assert_eq!(needed(new, 60), Need::Work(Priority::New));
    let under_way = CertificateShardStatus {
        order: Some(order(None)),
        ..Default::default()
    };
    assert_eq!(needed(under_way, 10), Need::Work(Priority::UnderWay));
    let to_be_renewed = CertificateShardStatus {
        issued: Some(issued(wanted())),
        ..Default::default()
    };
    assert_eq!(needed(to_be_renewed, 800), Need::Work(Priority::NearExpiry));
}

#[test]
fn requests_are_under_way_where_a_holder_drives_a_shard() {
    let driven_by = |holder: &str| {
        shard(CertificateShardStatus {
            claim: Some(Claim {
                holder: holder.into(),
                busy_until: None,
            }),
            ..Default::default()
        })
    };
    let shards = [
        driven_by("me"),
        driven_by("other"),
        driven_by("dead"),
        shard(CertificateShardStatus::default()),
    ];
    let holders = ["me".to_owned(), "other".to_owned()].into();
    let each = cost(&shards[0], Priority::UnderWay);
    assert_eq!(cost_under_way(shards.iter(), &holders), each + each);
}

#[test]
fn a_claim_counts_only_while_its_owner_holds_a_slot() {
    let status = CertificateShardStatus {
        claim: Some(Claim {
            holder: "other".into(),
            busy_until: None,
        }),
        order: Some(order(None)),
        ..Default::default()
    };
    assert_eq!(
        needed(status.clone(), &["other", "third"], false, 10),
        Need::Claimed
    );
    assert_eq!(
        needed(status.clone(), &["third"], false, 10),
        Need::Work(Priority::UnderWay)
    );
    let mine = CertificateShardStatus {
        claim: Some(Claim {
            holder: "me".into(),
            busy_until: None,
        }),
        ..status
    };
    assert_eq!(needed(mine, &["me"], false, 10), Need::Work(Priority::UnderWay));
}

#[test]
fn a_claim_whose_owner_looks_at_names_counts_without_a_slot_for_some_time() {
    let claimed_by = |holder: &str| CertificateShardStatus {
        claim: Some(Claim {
            holder: holder.into(),
            busy_until: Some(time(at(40))),
        }),
        ..Default::default()
    };
    assert_eq!(
        needed(claimed_by("other"), &["third"], false, 10),
        Need::Nothing { until: Some(at(40)) }
    );
    assert_eq!(
        needed(claimed_by("other"), &["third"], false, 40),
        Need::Work(Priority::New)
    );
    assert_eq!(needed(claimed_by("other"), &["other"], false, 10), Need::Claimed);
    assert_eq!(
        needed(claimed_by("me"), &["third"], false, 10),
        Need::Work(Priority::New)
    );
}

#[test]
fn what_is_to_be_revoked_goes_before_everything_else_of_its_shard_and_a_refusal_lets_others_pass() {
    let mut shard = shard(CertificateShardStatus {
        issued: Some(issued(wanted())),
        order: Some(order(None)),
        ..Default::default()
    });
    let holders = BTreeSet::new();
    let quotas = Quotas::default();
    let around = |revoke: Option<&'static str>, now| Surroundings {
        revoke,
        ..around(&holders, &quotas, now)
    };
    assert_eq!(need(&shard, &around(None, 10)), Need::Work(Priority::UnderWay));
    let asked = around(Some("keyCompromise"), 10);
    assert_eq!(need(&shard, &asked), Need::Work(Priority::Revoke));
    shard.spec.revoke = Some(sancho_crds::RevocationReason::Superseded);
    assert_eq!(need(&shard, &around(None, 10)), Need::Work(Priority::Revoke));

    let by = sancho_crds::RevocationAskedBy::Certificate;
    let asked = (sancho_crds::RevocationReason::Superseded, by);
    shard.status = Some(revocation::recorded(&shard, ("01", "00"), asked));
    shard.status = Some(revocation::refused(&shard, at(70), "no", true));
    assert_eq!(
        need(&shard, &around(None, 10)),
        Need::Nothing { until: Some(at(70)) }
    );
    assert_eq!(need(&shard, &around(None, 70)), Need::Work(Priority::Revoke));
    shard.status.as_mut().unwrap().issued.as_mut().unwrap().not_after = time(at(20));
    let priority = need(&shard, &around(None, 18));
    assert_eq!(priority, Need::Work(Priority::NearExpiry));
}
