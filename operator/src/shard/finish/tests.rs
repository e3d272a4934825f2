use sancho_crds::{CertificateShardSpec, IssuerRef};

use super::*;

const TARGET: &str = "wanted";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A shard of two names with this status.
fn shard(status: CertificateShardStatus) -> CertificateShard {
    let spec = CertificateShardSpec {
        certificate: "shop".into(),
        secret_name: "shop-tls".into(),
        issuer_ref: IssuerRef {
            name: "ca".into(),
            kind: None,
        },
        dns_names: vec!["a.example".into(), "b.example".into()],
        ..Default::default()
    };
    let mut shard = CertificateShard::new("shop-0", spec);
    shard.metadata.generation = Some(1);
    shard.status = Some(status);
    shard
}

#[test]
fn a_secret_that_is_in_the_way_is_looked_at_ever_more_rarely_and_anew_after_an_edit() {
    let mut shard = shard(CertificateShardStatus::default());
    let waits = |shard: &CertificateShard| match look_again(shard, TARGET, SECRET_NOT_OURS, at(0)) {
        Retry::At(at) => at.as_second(),
        Retry::Backoff => 0,
    };
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.push(waits(&shard));
        let retry = look_again(&shard, TARGET, SECRET_NOT_OURS, at(0));
        shard.status = Some(failed(&shard, TARGET, SECRET_NOT_OURS, "it is there", retry));
    }
    assert!(
        (15..=18).contains(&seen[0]) && (30..=36).contains(&seen[1]),
        "{seen:?}"
    );
    assert!(
        seen[5..].iter().all(|wait| (480..=600).contains(wait)),
        "{seen:?}"
    );
    // Another obstacle, and an edit.
    let other = look_again(&shard, TARGET, SECRET_NOT_WRITTEN, at(0));
    assert!(matches!(other, Retry::At(next) if next <= at(18)));
    shard.metadata.generation = Some(2);
    assert!((15..=18).contains(&waits(&shard)));
}

/// What says that a certificate for `target` is in use, which ends so many seconds from now.
fn served(target: &str, left: i64) -> CertificateShardStatus {
    let now = clock::now();
    let after = |seconds| clock::time(Timestamp::from_second(now.as_second() + seconds).unwrap());
    let mut status = CertificateShardStatus {
        issued: Some(IssuedStatus {
            target: target.into(),
            fingerprint: "00".into(),
            not_before: after(left - 90_000),
            not_after: after(left),
            renewal_time: after(left - 30_000),
            account_url: None,
            cert_id: None,
            renewal_info: None,
        }),
        ..Default::default()
    };
    show_planned(&mut status, &shard(CertificateShardStatus::default()));
    status
}

/// A condition's status and reason, if it is there.
fn says(status: &CertificateShardStatus, kind: &str) -> Option<(String, String)> {
    let condition = condition(&status.conditions, kind)?;
    Some((condition.status.clone(), condition.reason.clone()))
}

fn pair(status: &str, reason: &str) -> Option<(String, String)> {
    Some((status.into(), reason.into()))
}

#[test]
fn a_renewal_that_fails_leaves_what_is_served_ready_and_says_what_is_wrong() {
    let mut status = served(TARGET, 30_000);
    status.order = Some(crate::order_status::to_status(TARGET, &Default::default()));
    status.claim = Some(sancho_crds::Claim {
        holder: "me".into(),
        busy_until: None,
    });
    let shard = shard(status);
    let status = failed(&shard, TARGET, "Unauthorized", "no", Retry::Backoff);
    assert_eq!(says(&status, "Ready"), pair("True", "Issued"));
    assert_eq!(says(&status, "Renewing"), pair("True", "Unauthorized"));
    assert_eq!(says(&status, "Reconciling"), None);
    let failure = status.failure.clone().unwrap();
    let message = &condition(&status.conditions, "Renewing").unwrap().message;
    assert!(message.starts_with("no (tried again at "), "{message}");
    let wait = failure.retry_time.0.duration_since(clock::now()).as_secs();
    assert!((58..=72).contains(&wait), "{wait}");
    assert_eq!((failure.count, failure.generation), (1, Some(1)));
    assert_eq!((status.order, status.claim), (None, None));
    assert_eq!(status.issued.map(|issued| issued.fingerprint), Some("00".into()));
}

#[test]
fn what_is_not_served_is_not_ready_when_it_fails() {
    for status in [
        CertificateShardStatus::default(),
        // It has expired, or is for something else.
        served(TARGET, -1),
        served("before", 30_000),
    ] {
        let status = failed(&shard(status), TARGET, "Unauthorized", "no", Retry::Backoff);
        assert_eq!(says(&status, "Ready"), pair("False", "Unauthorized"));
        assert_eq!(says(&status, "Reconciling"), pair("True", "Unauthorized"));
        assert_eq!(says(&status, "Renewing"), None);
    }
}

#[test]
fn while_names_come_back_what_is_served_without_them_stays_ready() {
    let mut status = served("without them", 30_000);
    assert!(!serves(&status, TARGET, clock::now()));
    status.quarantine = vec![QuarantinedName {
        name: "b.example".into(),
        place: QuarantinePlace::Joining,
        found_by: sancho_crds::FoundBy::Check,
        reason: "NameNotFound".into(),
        message: "it is not there".into(),
        since: clock::time(at(0)),
        count: 1,
        next_try: clock::time(at(0)),
        issuer_generation: None,
        issuer_created: None,
        asked: None,
    }];
    assert!(serves(&status, TARGET, clock::now()));
    let failed = failed(
        &shard(status.clone()),
        TARGET,
        "Unauthorized",
        "no",
        Retry::Backoff,
    );
    assert_eq!(says(&failed, "Ready"), pair("True", "Issued"));
    status.conditions.clear();
    assert!(!serves(&status, TARGET, clock::now()), "it was not ready before");
}

#[test]
fn failures_in_a_row_are_counted_and_an_edit_or_a_quota_is_none() {
    let mut shard = shard(served(TARGET, 30_000));
    let mut fail = |generation, reason: &str, retry| {
        shard.metadata.generation = Some(generation);
        let status = failed(&shard, TARGET, reason, "no", retry);
        let failure = status.failure.clone().unwrap();
        shard.status = Some(status);
        (failure.count, failure.retry_time.0)
    };
    assert_eq!(fail(1, "Unauthorized", Retry::Backoff).0, 1);
    assert_eq!(fail(1, "Unauthorized", Retry::Backoff).0, 2);
    let until = Timestamp::from_second(clock::now().as_second() + 5000).unwrap();
    let quota = fail(1, "RateLimited", Retry::At(until));
    assert_eq!(quota, (2, until));
    assert_eq!(fail(1, "Unauthorized", Retry::Backoff).0, 3);
    assert_eq!(fail(2, "Unauthorized", Retry::Backoff).0, 1);
}

#[test]
fn an_order_that_renews_leaves_ready_alone_and_another_does_not() {
    let working = |mut status: CertificateShardStatus| {
        show_working(&mut status, &shard(CertificateShardStatus::default()), TARGET);
        status
    };
    let renewing = working(served(TARGET, 30_000));
    assert_eq!(says(&renewing, "Ready"), pair("True", "Issued"));
    assert_eq!(says(&renewing, "Renewing"), pair("True", "Ordering"));
    let new = working(served("before", 30_000));
    assert_eq!(says(&new, "Ready"), pair("False", "Ordering"));
    assert_eq!(says(&new, "Reconciling"), pair("True", "Ordering"));
}

#[test]
fn an_obstacle_is_news_once_and_is_no_end_of_what_is_served() {
    let shard = shard(CertificateShardStatus::default());
    let mut status = served(TARGET, 30_000);
    assert!(show_obstacle(&mut status, &shard, "ServerError", "the CA fails"));
    assert!(!show_obstacle(&mut status, &shard, "ServerError", "the CA fails"));
    assert_eq!(says(&status, "Ready"), pair("True", "Issued"));
    assert_eq!(says(&status, "Renewing"), pair("True", "ServerError"));
    let mut status = CertificateShardStatus::default();
    assert!(show_obstacle(&mut status, &shard, "ServerError", "the CA fails"));
    assert_eq!(says(&status, "Ready"), pair("False", "ServerError"));
    show_obstacle_anew(&mut status, &shard, "ServerError", "it fails still");
    let reconciling = condition(&status.conditions, "Reconciling").unwrap();
    assert_eq!(reconciling.message, "it fails still");
}
