use super::*;
use crate::response::Scope;

/// The machine before each kind of request.
pub(super) fn each_step() -> [(&'static str, Talk); 6] {
    let mut fetching = Talk::of(1);
    fetching.moves("newOrder", made(order("pending", 1)));
    let mut answering = Talk::of(1);
    answering.moves("newOrder", made(order("pending", 1)));
    answering.moves("authorization", ok(authorization(0, "pending")));
    let mut polling = Talk::answered(1);
    polling.waits();
    let mut downloading = Talk::ready(1);
    downloading.moves(
        "finalize",
        ok(with(order("valid", 1), "certificate", json!(CERTIFICATE))),
    );
    [
        ("newOrder", Talk::of(1)),
        ("authorization", fetching),
        ("challenge", answering),
        ("order", polling),
        ("finalize", Talk::ready(1)),
        ("certificate", downloading),
    ]
}

fn after(talk: &Talk, seconds: i64) -> Option<Timestamp> {
    Some(talk.now + SignedDuration::from_secs(seconds))
}

#[test]
fn a_throttle_changes_nothing_but_the_time_at_every_step() {
    for status in [429, 503] {
        for (kind, mut talk) in each_step() {
            let before = talk.state.clone();
            let request = talk.request();
            assert_eq!(talk.again(kind, Reply::Response(html(status))), reason::THROTTLED);
            assert_eq!(
                talk.state,
                OrderState {
                    not_before: after(&talk, 2),
                    ..before
                }
            );
            talk.waits();
            assert_eq!(talk.request(), request);
        }
    }
}

#[test]
fn a_throttle_is_waited_out_as_long_as_the_ca_says_in_both_forms() {
    for (retry_after, date) in [
        ("90", None),
        (
            "Tue, 24 Nov 2026 09:01:30 GMT",
            Some("Tue, 24 Nov 2026 09:00:00 GMT"),
        ),
    ] {
        for status in [429, 503] {
            for (kind, mut talk) in each_step() {
                let response = Response {
                    retry_after: Some(retry_after.to_owned()),
                    date: date.map(str::to_owned),
                    ..html(status)
                };
                let polls = talk.state.polls;
                assert_eq!(talk.again(kind, Reply::Response(response)), reason::THROTTLED);
                assert_eq!(talk.state.not_before, after(&talk, 90), "{kind}");
                assert_eq!(talk.state.polls, polls);
            }
        }
    }
}

#[test]
fn a_thousand_throttles_are_no_failure() {
    let mut talk = Talk::ready(1);
    for _ in 0..1000 {
        assert_eq!(
            talk.again("finalize", Reply::Response(html(503))),
            reason::THROTTLED
        );
        assert_eq!(talk.waits(), SignedDuration::from_secs(2));
    }
}

#[test]
fn a_quota_ends_a_new_order_and_says_until_when() {
    let mut talk = Talk::of(1);
    let quota = Response {
        retry_after: Some("86400".to_owned()),
        ..problem(
            429,
            "rateLimited",
            "too many certificates (50) already issued for \"shop.example\"",
        )
    };
    let failure = talk.fails("newOrder", quota);
    assert_eq!(failure.reason, reason::RATE_LIMITED);
    assert_eq!(failure.retry, Retry::At(later(86400)));
    assert_eq!(
        failure.quota,
        Some(Scope::RegisteredDomain("shop.example".into()))
    );
    assert!(
        failure
            .message
            .starts_with("rateLimited: too many certificates (50)")
    );
}

#[test]
fn a_quota_later_on_is_waited_out_since_the_order_is_worth_it() {
    let mut talk = Talk::ready(1);
    let quota = Response {
        retry_after: Some("3600".to_owned()),
        ..problem(429, "rateLimited", "later")
    };
    assert_eq!(
        talk.again("finalize", Reply::Response(quota)),
        reason::RATE_LIMITED
    );
    assert_eq!(talk.waits(), SignedDuration::from_secs(3600));
    // One that is full again at once is not asked about at once.
    let account = Response {
        retry_after: Some("0".to_owned()),
        ..problem(429, "rateLimited", "too many new orders (300) from this account")
    };
    assert_eq!(
        talk.again("finalize", Reply::Response(account)),
        reason::RATE_LIMITED
    );
    assert_eq!(talk.waits(), SignedDuration::from_secs(10));
    assert_eq!(talk.request().kind(), "finalize");
}

#[test]
fn a_bad_nonce_is_the_same_request_again() {
    for (kind, mut talk) in each_step() {
        let request = talk.request();
        let stale = problem(400, "badNonce", "stale");
        assert_eq!(talk.again(kind, Reply::Response(stale)), reason::BAD_NONCE);
        assert_eq!(talk.waits(), SignedDuration::from_secs(1));
        assert_eq!(talk.request(), request);
    }
}

#[test]
fn server_errors_are_waited_out_ever_longer_and_never_fail() {
    let mut talk = Talk::of(1);
    let mut waits = Vec::new();
    for i in 0..30 {
        let response = if i % 2 == 0 {
            html(502)
        } else {
            problem(500, "serverInternal", "database is down")
        };
        assert_eq!(
            talk.again("newOrder", Reply::Response(response)),
            reason::SERVER_ERROR
        );
        waits.push(talk.waits());
    }
    assert_eq!(waits[0], SignedDuration::from_secs(1));
    assert!(waits.is_sorted());
    assert_eq!(waits[29], SignedDuration::from_secs(300));
}

#[test]
fn a_read_that_is_denied_without_a_reason_of_acme_is_asked_again_for_a_while() {
    for kind in ["authorization", "order", "certificate"] {
        for status in [401, 403] {
            let (_, mut talk) = each_step().into_iter().find(|(step, _)| *step == kind).unwrap();
            let request = talk.request();
            let begun = talk.now;
            while talk.state.polls < 20 {
                assert_eq!(
                    talk.again(kind, Reply::Response(html(status))),
                    reason::SERVER_ERROR
                );
                talk.waits();
                assert_eq!(talk.request(), request);
            }
            let waited = talk.now.duration_since(begun).as_mins();
            assert!((30..60).contains(&waited), "{waited} min");
            assert_eq!(talk.fails(kind, html(status)).reason, reason::REFUSED);
        }
    }
}

#[test]
fn a_read_that_the_ca_denies_for_its_reason_is_not_asked_again() {
    for kind in ["authorization", "order", "certificate"] {
        let (_, mut talk) = each_step().into_iter().find(|(step, _)| *step == kind).unwrap();
        let failure = talk.fails(kind, problem(403, "unauthorized", "the account is suspended"));
        assert_eq!(failure.reason, reason::UNAUTHORIZED);
    }
}

#[test]
fn a_success_that_cannot_be_read_is_asked_again() {
    for kind in ["authorization", "order", "certificate"] {
        let (_, mut talk) = each_step().into_iter().find(|(step, _)| *step == kind).unwrap();
        let request = talk.request();
        assert_eq!(talk.again(kind, Reply::Response(html(200))), reason::SERVER_ERROR);
        talk.waits();
        assert_eq!(talk.request(), request);
    }
}

#[test]
fn an_unreadable_answer_to_new_order_with_a_location_is_no_second_order() {
    let mut talk = Talk::of(2);
    let garbled = Response {
        status: 201,
        location: Some(ORDER.to_owned()),
        ..html(201)
    };
    assert_eq!(
        talk.again("newOrder", Reply::Response(garbled)),
        reason::SERVER_ERROR
    );
    talk.waits();
    talk.moves("order", ok(order("pending", 2)));
    assert_eq!(
        talk.request(),
        Request::FetchAuthorization {
            index: 0,
            url: authorization_url(0)
        }
    );
}

#[test]
fn a_success_without_location_is_not_asked_again_at_once() {
    let failure = Talk::of(1).fails("newOrder", ok(order("pending", 1)));
    assert_eq!(failure.reason, reason::UNEXPECTED_ANSWER);
    assert!(failure.message.contains("no Location"));
}

#[test]
fn a_request_that_was_not_sent_is_sent_again() {
    for (kind, mut talk) in each_step() {
        let request = talk.request();
        assert_eq!(talk.again(kind, Reply::NotSent), reason::NO_ANSWER);
        talk.waits();
        assert_eq!(talk.request(), request);
    }
}

#[test]
fn a_lost_new_order_is_asked_for_again() {
    let mut talk = Talk::of(1);
    assert_eq!(talk.again("newOrder", Reply::Lost), reason::NO_ANSWER);
    talk.waits();
    assert_eq!(talk.request().kind(), "newOrder");
}

#[test]
fn a_lost_read_is_read_again() {
    for kind in ["authorization", "order", "certificate"] {
        let (_, mut talk) = each_step().into_iter().find(|(step, _)| *step == kind).unwrap();
        talk.again(kind, Reply::Lost);
        talk.waits();
        assert_eq!(talk.request().kind(), kind);
    }
}

#[test]
fn a_lost_challenge_is_looked_at_before_it_is_answered_again() {
    for outcome in [Reply::Lost, Reply::Response(html(504))] {
        let (_, mut talk) = each_step().into_iter().nth(2).unwrap();
        talk.again("challenge", outcome);
        talk.waits();
        let mut body = authorization(0, "pending");
        talk.moves("authorization", ok(body.clone()));
        assert_eq!(talk.request().kind(), "challenge", "it was not received");
        talk.again("challenge", Reply::Lost);
        talk.waits();
        body["challenges"][1]["status"] = json!("processing");
        talk.moves("authorization", ok(body));
        assert_eq!(talk.request().kind(), "order", "it was received");
    }
}

#[test]
fn a_lost_finalize_is_looked_at_before_it_is_repeated() {
    for outcome in [Reply::Lost, Reply::Response(html(504))] {
        let mut talk = Talk::ready(1);
        talk.again("finalize", outcome);
        talk.waits();
        talk.moves("order", ok(order("ready", 1)));
        assert_eq!(talk.request().kind(), "finalize", "it was not received");
        talk.again("finalize", Reply::Lost);
        talk.waits();
        talk.moves(
            "order",
            ok(with(order("valid", 1), "certificate", json!(CERTIFICATE))),
        );
        assert_eq!(talk.request().kind(), "certificate", "it was received");
    }
}

#[test]
fn a_finalize_that_is_lost_again_and_again_waits_ever_longer() {
    let mut talk = Talk::ready(1);
    let mut waits = Vec::new();
    for _ in 0..8 {
        talk.again("finalize", Reply::Lost);
        waits.push(talk.waits());
        talk.moves("order", ok(order("ready", 1)));
    }
    assert!(
        waits.is_sorted() && waits[7] > SignedDuration::from_secs(20),
        "{waits:?}"
    );
}

#[test]
fn a_valid_order_without_its_certificate_url_is_polled_again() {
    let mut talk = Talk::ready(1);
    assert_eq!(
        talk.again("finalize", Reply::Response(ok(order("valid", 1)))),
        reason::SERVER_ERROR
    );
    talk.waits();
    talk.moves(
        "order",
        ok(with(order("valid", 1), "certificate", json!(CERTIFICATE))),
    );
}

#[test]
fn an_unknown_status_is_asked_again() {
    let mut talk = Talk::answered(1);
    talk.waits();
    assert_eq!(
        talk.again("order", Reply::Response(ok(order("considering", 1)))),
        reason::SERVER_ERROR
    );
}
