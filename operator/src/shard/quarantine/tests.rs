use sancho_crds::IssuerRef;

use super::*;

const SERVER: &str = "https://ca/dir";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A shard of a.example, b.example and c.example with a certificate for the names of its next order, valid from 0 to
/// 90,000 and renewed a little before 60,000.
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
    let issued = IssuedStatus {
        target: order_target(&shard, SERVER),
        fingerprint: "00".into(),
        not_before: clock::time(at(0)),
        not_after: clock::time(at(90_000)),
        renewal_time: clock::time(at(60_000)),
        account_url: None,
        cert_id: None,
        renewal_info: None,
    };
    if let Some(status) = shard.status.as_mut() {
        status.issued = Some(issued);
    }
    shard
}

/// An issuer that was created then, and edited so often.
fn edition(created: i64, generation: i64) -> Edition {
    Edition {
        created: Some(at(created)),
        generation: Some(generation),
    }
}

fn trial(shard: &CertificateShard, now: Timestamp) -> Trial {
    Trial::of(shard, edition(-9, 1), now)
}

fn next_try(shard: &CertificateShard) -> Option<Timestamp> {
    super::next_try(shard, edition(-9, 1), at(0))
}

fn after(
    shard: &CertificateShard,
    findings: &[Finding],
    served: &BTreeSet<String>,
    is_renewal: bool,
    now: Timestamp,
) -> Vec<QuarantinedName> {
    super::after(shard, findings, served, is_renewal, &trial(shard, now))
}

/// Of a shard that has no certificate yet.
fn put(quarantine: &mut Vec<QuarantinedName>, finding: &Finding, place: QuarantinePlace, now: Timestamp) {
    let new = CertificateShard {
        status: None,
        ..shard(Vec::new())
    };
    super::put(quarantine, finding, place, &trial(&new, now));
}

fn issued_of(shard: &CertificateShard) -> IssuedStatus {
    shard.status.clone().unwrap().issued.unwrap()
}

fn with(mut shard: CertificateShard, quarantine: Vec<QuarantinedName>) -> CertificateShard {
    shard.status.as_mut().unwrap().quarantine = quarantine;
    shard
}

fn finding(name: &str, by: FoundBy) -> Finding {
    Finding {
        name: name.into(),
        by,
        reason: "NameNotFound".into(),
        message: "it is not there".into(),
        not_before: None,
    }
}

fn places(quarantine: &[QuarantinedName]) -> Vec<(&str, QuarantinePlace)> {
    quarantine.iter().map(|e| (e.name.as_str(), e.place)).collect()
}

fn served() -> BTreeSet<String> {
    ["a", "b", "c"].map(|name| format!("{name}.example")).into()
}

#[test]
fn a_name_that_fails_is_left_out_and_the_others_go_on() {
    let mut shard = shard(Vec::new());
    let out = after(
        &shard,
        &[finding("b.example", FoundBy::Check)],
        &BTreeSet::new(),
        false,
        at(0),
    );
    assert_eq!(places(&out), [("b.example", QuarantinePlace::Out)]);
    assert!((60..=72).contains(&out[0].next_try.0.as_second()));
    shard = with(shard, out);
    assert_eq!(order_names(&shard), ["a.example", "c.example"]);
    // The whole certificate that is there is not what is asked for then.
    assert!(!is_wanted(&shard, SERVER, &issued_of(&shard).target));
}

#[test]
fn the_cas_word_is_tried_again_later_than_our_own() {
    let shard = shard(Vec::new());
    let wait = |by| {
        let out = after(
            &shard,
            &[finding("b.example", by)],
            &BTreeSet::new(),
            false,
            at(0),
        );
        out[0].next_try.0.as_second()
    };
    assert!(wait(FoundBy::Ca) >= 120, "{}", wait(FoundBy::Ca));
    assert!(wait(FoundBy::Check) < 120);
    let told = Finding {
        not_before: Some(at(5000)),
        ..finding("b.example", FoundBy::Ca)
    };
    assert_eq!(
        after(&shard, &[told], &BTreeSet::new(), false, at(0))[0]
            .next_try
            .0,
        at(5000)
    );
}

#[test]
fn a_name_that_is_served_holds_its_renewal_up_while_there_is_time() {
    let shard = shard(Vec::new());
    let found = [finding("b.example", FoundBy::Check)];
    let held = after(&shard, &found, &served(), true, at(60_001));
    assert_eq!(places(&held), [("b.example", QuarantinePlace::Served)]);
    let shard = with(shard, held);
    assert_eq!(order_names(&shard).len(), 3, "nothing is left out");
    let until = held_up_until(&shard, &issued_of(&shard)).unwrap();
    let renewal = renewal_of_issued(&shard, &issued_of(&shard));
    assert_eq!(until.as_second(), (renewal.as_second() + 90_000) / 2);

    // Then the CA is asked, and only its word counts.
    let unchanged = after(&shard, &found, &served(), true, until);
    assert_eq!(places(&unchanged), [("b.example", QuarantinePlace::Served)]);
    let refused = [finding("b.example", FoundBy::Ca)];
    let out = after(&shard, &refused, &served(), true, until);
    assert_eq!(places(&out), [("b.example", QuarantinePlace::Out)]);
}

#[test]
fn what_the_ca_refused_of_a_renewal_is_left_out_once_there_is_no_time_left() {
    let shard = shard(Vec::new());
    let refused = [finding("b.example", FoundBy::Ca)];
    let held = after(&shard, &refused, &served(), true, at(60_001));
    assert_eq!(places(&held), [("b.example", QuarantinePlace::Served)]);
    let shard = with(shard, held);
    let until = held_up_until(&shard, &issued_of(&shard)).unwrap();
    // Then it is asked for once more, and left out if the CA refuses it again.
    let again = before_order(&shard);
    assert_eq!(places(&again), [("b.example", QuarantinePlace::Served)]);
    let late = after(
        &shard,
        &[finding("b.example", FoundBy::Ca)],
        &served(),
        true,
        until,
    );
    assert_eq!(places(&late), [("b.example", QuarantinePlace::Out)]);
}

#[test]
fn a_look_alone_lets_no_certificate_expire() {
    let looked = ["a.example", "b.example", "c.example"].map(|name| finding(name, FoundBy::Check));
    let held = after(&shard(Vec::new()), &looked, &served(), true, at(60_001));
    let shard = with(shard(Vec::new()), held.clone());
    let until = held_up_until(&shard, &issued_of(&shard)).unwrap();
    assert!(until < at(80_000), "{until}");
    // Then nothing changes by a look, and the CA is asked.
    assert_eq!(after(&shard, &looked, &served(), true, until), held);
    assert!(is_urgent(&shard, until) && !is_urgent(&shard, at(60_001)));
}

#[test]
fn when_all_served_names_fail_they_are_served_to_the_end() {
    let shard = shard(Vec::new());
    let refused = ["a.example", "b.example", "c.example"].map(|name| finding(name, FoundBy::Ca));
    let held = after(&shard, &refused, &served(), true, at(89_000));
    assert!(held.iter().all(|entry| entry.place == QuarantinePlace::Served));
    let shard = with(shard, held);
    assert_eq!(held_up_until(&shard, &issued_of(&shard)), Some(at(90_000)));
    let late = before_order(&shard);
    assert!(late.iter().all(|entry| entry.place == QuarantinePlace::Served));
}

#[test]
fn an_edit_drops_no_served_name_without_the_cas_word() {
    let shard = shard(Vec::new());
    let found = after(
        &shard,
        &[finding("b.example", FoundBy::Check)],
        &served(),
        false,
        at(10),
    );
    assert_eq!(found, Vec::new());
    let found = after(
        &shard,
        &[finding("b.example", FoundBy::Ca)],
        &served(),
        false,
        at(10),
    );
    assert_eq!(places(&found), [("b.example", QuarantinePlace::Out)]);
}

#[test]
fn a_name_that_passes_comes_back_and_the_others_stay_served_meanwhile() {
    let mut quarantine = Vec::new();
    put(
        &mut quarantine,
        &finding("b.example", FoundBy::Check),
        QuarantinePlace::Out,
        at(0),
    );
    let shard = shard(quarantine.clone());
    let before = issued_of(&shard).target;
    passed(&shard, &mut quarantine, "b.example", at(100));
    assert_eq!(places(&quarantine), [("b.example", QuarantinePlace::Joining)]);
    let joining = with(shard, quarantine);
    assert_eq!(order_names(&joining).len(), 3);
    assert_ne!(order_target(&joining, SERVER), before);
    assert!(is_wanted(&joining, SERVER, &before));
    assert_eq!(next_try(&joining), None);

    let mut status = joining.status.clone().unwrap();
    issued(&mut status, &joining, at(200));
    assert_eq!((status.quarantine.len(), status.joins.len()), (0, 1));

    // If it fails after all, what is there is what is asked for.
    let again = after(
        &joining,
        &[finding("b.example", FoundBy::Ca)],
        &["a.example".to_owned()].into(),
        false,
        at(200),
    );
    assert_eq!((again[0].place, again[0].count), (QuarantinePlace::Out, 2));
    let back = with(joining, again);
    assert_eq!(order_target(&back, SERVER), before);
}

#[test]
fn the_fourth_name_to_come_back_in_a_week_waits_for_its_turn_or_the_renewal() {
    let mut quarantine = Vec::new();
    put(
        &mut quarantine,
        &finding("b.example", FoundBy::Check),
        QuarantinePlace::Out,
        at(0),
    );
    let mut shard = shard(quarantine.clone());
    shard.status.as_mut().unwrap().joins = [10, 20, 30].map(|second| clock::time(at(second))).into();
    passed(&shard, &mut quarantine, "b.example", at(100));
    let renewal = renewal_of_issued(&shard, &issued_of(&shard));
    assert_eq!(places(&quarantine), [("b.example", QuarantinePlace::Passing)]);
    assert_eq!(quarantine[0].next_try.0, renewal);
    assert!(word(&quarantine[0]).contains("re-issued 3 times in 7 days"));
    // A renewal takes it along.
    let waiting = with(shard, quarantine);
    assert_eq!(order_names(&waiting), ["a.example", "c.example"]);
    let along = before_order(&waiting);
    assert_eq!(places(&along), [("b.example", QuarantinePlace::Joining)]);
}

#[test]
fn strict_shards_and_names_that_are_gone_have_no_quarantine() {
    let mut quarantine = Vec::new();
    for name in ["b.example", "gone.example"] {
        put(
            &mut quarantine,
            &finding(name, FoundBy::Check),
            QuarantinePlace::Out,
            at(0),
        );
    }
    let mut shard = shard(quarantine);
    assert_eq!(entries(&shard).len(), 1);
    shard.spec.policy = Some(NamePolicy::Strict);
    assert_eq!(entries(&shard), Vec::<&QuarantinedName>::new());
    assert_eq!(order_names(&shard).len(), 3);
}

#[test]
fn conditions_name_a_few_and_say_when_none_is_left() {
    let mut quarantine = Vec::new();
    for name in ["a.example", "b.example", "c.example"] {
        put(
            &mut quarantine,
            &finding(name, FoundBy::Check),
            QuarantinePlace::Out,
            at(0),
        );
    }
    let shard = shard(quarantine);
    let mut status = shard.status.clone().unwrap();
    show(&mut status, &shard, at(0));
    let degraded = condition(&status.conditions, "Degraded").unwrap();
    assert_eq!(
        (degraded.status.as_str(), degraded.reason.as_str()),
        ("True", NAMES_QUARANTINED)
    );
    let ready = condition(&status.conditions, "Ready").unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "NameNotFound")
    );

    status.quarantine.clear();
    show(&mut status, &shard, at(0));
    assert_eq!(condition(&status.conditions, "Degraded").unwrap().status, "False");
}

/// b.example, which was tried so often and is due.
fn tried(by: FoundBy, count: u32) -> QuarantinedName {
    QuarantinedName {
        name: "b.example".into(),
        place: QuarantinePlace::Served,
        found_by: by,
        reason: "NameNotFound".into(),
        message: "it is not there".into(),
        since: clock::time(at(0)),
        count,
        next_try: clock::time(at(0)),
        issuer_generation: None,
        issuer_created: None,
        asked: None,
    }
}

#[test]
fn a_name_is_tried_sooner_as_what_is_served_expires_and_looked_at_within_the_hour() {
    let wait = |by, left: i64| {
        let now = at(90_000 - left);
        let mut quarantine = vec![tried(by, 20)];
        let trial = trial(&shard(Vec::new()), now);
        super::put(
            &mut quarantine,
            &finding("b.example", by),
            QuarantinePlace::Served,
            &trial,
        );
        quarantine[0].next_try.0.as_second() - now.as_second()
    };
    for (by, left, waits) in [
        (FoundBy::Ca, 90_000, 7500..=9000),
        (FoundBy::Ca, 7200, 750..=900),
        (FoundBy::Ca, 600, 250..=300),
        (FoundBy::Ca, -1, 3000..=3600),
        (FoundBy::Check, 90_000, 3000..=3600),
        (FoundBy::Check, 3600, 300..=360),
        (FoundBy::Check, -1, 3000..=3600),
    ] {
        let wait = wait(by, left);
        assert!(waits.contains(&wait), "{by:?}, {left} s before: {wait}");
    }
    // Without a certificate that could expire the CA is asked once a day at last.
    let mut quarantine = vec![tried(FoundBy::Ca, 20)];
    let refused = finding("b.example", FoundBy::Ca);
    put(&mut quarantine, &refused, QuarantinePlace::Out, at(0));
    let wait = quarantine[0].next_try.0.as_second();
    assert!((72_000..=86_400).contains(&wait), "{wait}");
}

#[test]
fn waits_begin_anew_by_hand_and_at_an_edit_of_the_issuer_and_not_when_other_names_come() {
    let mut quarantine = vec![tried(FoundBy::Ca, 7)];
    let refused = finding("b.example", FoundBy::Ca);
    put(&mut quarantine, &refused, QuarantinePlace::Out, at(0));
    assert_eq!(quarantine[0].count, 8);
    let waits = Some(quarantine[0].next_try.0);
    let shard = shard(quarantine);
    let next = |shard: &CertificateShard, generation| super::next_try(shard, edition(-9, generation), at(5));
    assert_eq!(next(&shard, 1), waits);
    assert_eq!(next(&shard, 2), Some(at(5)), "the issuer was edited");
    assert_eq!(next(&shard, 0), waits, "this replica is behind");
    let anew = super::next_try(&shard, edition(-1, 1), at(5));
    assert_eq!(anew, Some(at(5)), "the issuer was made anew");
    let edited = |edit: fn(&mut CertificateShardSpec)| {
        let mut shard = shard.clone();
        edit(&mut shard.spec);
        shard
    };
    let other_names = edited(|spec| spec.dns_names.push("d.example".into()));
    assert_eq!(next(&other_names, 1), waits);
    for asked in [
        edited(|spec| spec.retry = Some("now".into())),
        edited(|spec| spec.profile = Some("classic".into())),
        edited(|spec| spec.issuer_ref.name = "other".into()),
    ] {
        assert_eq!(next(&asked, 1), Some(at(5)));
        // It is counted anew, and that is over then.
        let mut quarantine = asked.status.clone().unwrap().quarantine;
        let trial = trial(&asked, at(5));
        super::put(&mut quarantine, &refused, QuarantinePlace::Out, &trial);
        assert_eq!(quarantine[0].count, 1);
        let next = next(&with(asked, quarantine), 1).unwrap();
        assert!((125..=150).contains(&next.as_second()), "{next}");
    }

    // A quota is not used less for it, and what an older version has recorded waits.
    let by_hand = |change: fn(&mut QuarantinedName)| {
        let mut shard = edited(|spec| spec.retry = Some("now".into()));
        change(&mut shard.status.as_mut().unwrap().quarantine[0]);
        next(&shard, 1)
    };
    assert_eq!(by_hand(|entry| entry.reason = "RateLimited".into()), waits);
    assert_eq!(by_hand(|entry| entry.place = QuarantinePlace::Passing), waits);
    assert_eq!(by_hand(|entry| entry.asked = None), waits);
}

#[test]
fn a_name_that_is_looked_at_along_with_others_waits_anew_and_is_not_counted() {
    let mut quarantine = Vec::new();
    let found = finding("b.example", FoundBy::Check);
    for second in [0, 70] {
        put(&mut quarantine, &found, QuarantinePlace::Out, at(second));
    }
    let (count, before) = (quarantine[0].count, quarantine[0].next_try.0);
    assert_eq!(count, 2);
    put(&mut quarantine, &found, QuarantinePlace::Out, at(75));
    assert_eq!(quarantine[0].count, count);
    assert!(quarantine[0].next_try.0 > before);
    // What the CA says counts whenever it says it.
    let refused = finding("b.example", FoundBy::Ca);
    put(&mut quarantine, &refused, QuarantinePlace::Out, at(76));
    assert_eq!(quarantine[0].count, count + 1);
}

#[test]
fn a_name_that_could_not_be_asked_for_keeps_what_is_known_of_it_and_is_put_off() {
    let put_off_at_10 = |retry| {
        let mut quarantine = vec![tried(FoundBy::Ca, 3)];
        let trial = trial(&shard(Vec::new()), at(10));
        put_off(&mut quarantine, "b.example", retry, &trial);
        let entry = quarantine.remove(0);
        assert!(!trial.is_due(&entry));
        assert_eq!(
            (entry.count, entry.found_by, entry.reason.as_str()),
            (3, FoundBy::Ca, "NameNotFound")
        );
        entry.next_try.0.as_second() - 10
    };
    assert!((3000..=3600).contains(&put_off_at_10(Retry::Backoff)));
    assert_eq!(put_off_at_10(Retry::At(at(5010))), 5000);
    assert!((60..=72).contains(&put_off_at_10(Retry::At(at(10)))));
}
