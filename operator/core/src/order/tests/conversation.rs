use super::*;

#[test]
fn an_order_goes_from_new_to_issued() {
    let mut talk = Talk::of(2);
    talk.moves("newOrder", made(order("pending", 2)));
    assert_eq!(talk.state.stage, Stage::Pending);
    assert_eq!(
        talk.request(),
        Request::FetchAuthorization {
            index: 0,
            url: authorization_url(0)
        }
    );
    talk.moves("authorization", ok(authorization(0, "pending")));
    talk.moves("authorization", ok(authorization(1, "pending")));
    assert_eq!(
        talk.request(),
        Request::AnswerChallenge {
            index: 0,
            url: challenge_url(0)
        }
    );
    talk.moves("challenge", ok(json!({"type": "http-01", "status": "pending"})));
    talk.moves(
        "challenge",
        ok(json!({"type": "http-01", "status": "processing"})),
    );
    talk.waits();
    talk.moves("order", ok(order("pending", 2)));
    talk.waits();
    talk.moves("order", ok(order("ready", 2)));
    talk.moves("finalize", ok(order("processing", 2)));
    assert_eq!(talk.state.stage, Stage::Processing);
    talk.waits();
    talk.moves(
        "order",
        ok(with(order("valid", 2), "certificate", json!(CERTIFICATE))),
    );
    assert_eq!(
        talk.request(),
        Request::DownloadCertificate {
            url: CERTIFICATE.to_owned()
        }
    );
    let download = Response {
        status: 200,
        body: CHAIN.into(),
        alternates: vec!["https://ca.example/certificate/1/1".to_owned()],
        ..Response::default()
    };
    assert_eq!(
        talk.answers("certificate", download.clone()),
        Effect::Issued {
            chain: CHAIN.to_owned(),
            alternates: download.alternates
        }
    );
}

#[test]
fn an_order_that_is_ready_at_once_takes_three_requests() {
    let mut talk = Talk::of(42);
    talk.moves("newOrder", made(order("ready", 42)));
    talk.moves(
        "finalize",
        ok(with(order("valid", 42), "certificate", json!(CERTIFICATE))),
    );
    let download = Response {
        status: 200,
        body: CHAIN.into(),
        ..Response::default()
    };
    assert!(matches!(
        talk.answers("certificate", download),
        Effect::Issued { .. }
    ));
}

#[test]
fn authorizations_that_are_valid_already_are_not_answered() {
    let mut talk = Talk::of(2);
    talk.moves("newOrder", made(order("pending", 2)));
    talk.moves("authorization", ok(authorization(0, "valid")));
    talk.moves("authorization", ok(authorization(1, "pending")));
    assert_eq!(
        talk.request(),
        Request::AnswerChallenge {
            index: 1,
            url: challenge_url(1)
        }
    );
}

#[test]
fn a_challenge_that_is_checked_already_is_not_answered_again() {
    let mut talk = Talk::of(1);
    talk.moves("newOrder", made(order("pending", 1)));
    let mut body = authorization(0, "pending");
    body["challenges"][1]["status"] = json!("processing");
    talk.moves("authorization", ok(body));
    assert_eq!(talk.request().kind(), "order");
}

#[test]
fn a_finalize_that_is_valid_at_once_needs_no_poll() {
    let mut talk = Talk::ready(1);
    talk.moves(
        "finalize",
        ok(with(order("valid", 1), "certificate", json!(CERTIFICATE))),
    );
    assert_eq!(talk.request().kind(), "certificate");
}

#[test]
fn a_finalize_that_still_says_ready_is_not_repeated_but_polled() {
    let mut talk = Talk::ready(1);
    talk.moves("finalize", ok(order("ready", 1)));
    talk.waits();
    talk.moves("order", ok(order("processing", 1)));
    assert_eq!(talk.state.stage, Stage::Processing);
}

#[test]
fn polls_come_ever_more_rarely_but_at_least_every_thirty_seconds() {
    let mut talk = Talk::answered(1);
    let mut waits = Vec::new();
    for _ in 0..12 {
        waits.push(talk.waits());
        talk.moves("order", ok(order("pending", 1)));
    }
    assert_eq!(waits[0], SignedDuration::from_secs(1));
    assert_eq!(waits[1], SignedDuration::from_millis(1500));
    assert!(waits.is_sorted());
    assert_eq!(waits[11], SignedDuration::from_secs(30));
}

#[test]
fn many_challenges_are_given_more_time_before_the_first_poll() {
    assert_eq!(Talk::answered(42).waits(), SignedDuration::from_millis(2500));
}

#[test]
fn a_poll_waits_as_long_as_the_ca_says() {
    let mut talk = Talk::answered(1);
    talk.waits();
    let response = Response {
        retry_after: Some("17".to_owned()),
        ..ok(order("pending", 1))
    };
    talk.moves("order", response);
    assert_eq!(talk.waits(), SignedDuration::from_secs(17));
}

#[test]
fn retry_after_on_a_challenge_delays_the_poll_and_not_the_other_challenges() {
    let mut talk = Talk::of(2);
    talk.moves("newOrder", made(order("pending", 2)));
    talk.moves("authorization", ok(authorization(0, "pending")));
    talk.moves("authorization", ok(authorization(1, "pending")));
    let taken = Response {
        retry_after: Some("5".to_owned()),
        ..ok(json!({"type": "http-01"}))
    };
    talk.moves("challenge", taken.clone());
    talk.moves("challenge", taken);
    assert_eq!(talk.waits(), SignedDuration::from_secs(5));
}

#[test]
fn the_count_of_polls_starts_anew_when_the_order_moves() {
    let mut talk = Talk::answered(1);
    for _ in 0..5 {
        talk.waits();
        talk.moves("order", ok(order("pending", 1)));
    }
    assert_eq!(talk.state.polls, 5);
    talk.waits();
    talk.moves("order", ok(order("ready", 1)));
    assert_eq!(talk.state.polls, 0);
}

#[test]
fn lists_that_are_null_are_empty() {
    let mut talk = Talk::answered(1);
    talk.waits();
    let body = json!({"status": "ready", "identifiers": null, "authorizations": null, "error": null});
    talk.moves("order", ok(body));
    assert_eq!(
        talk.request(),
        Request::Finalize {
            url: FINALIZE.to_owned()
        }
    );
}

#[test]
fn a_name_in_upper_case_is_the_same_name() {
    let mut talk = Talk::of(1);
    let identifiers = json!([{"type": "dns", "value": "H0.shop.EXAMPLE"}]);
    talk.moves(
        "newOrder",
        made(with(order("pending", 1), "identifiers", identifiers)),
    );
    let body = with(
        authorization(0, "pending"),
        "identifier",
        json!({"type": "dns", "value": "H0.Shop.Example"}),
    );
    talk.moves("authorization", ok(body));
    assert_eq!(
        talk.state.authorizations[0].name.as_deref(),
        Some("h0.shop.example")
    );
}

#[test]
fn an_address_is_an_identifier_of_its_own_type() {
    let mut talk = Talk::of(1);
    talk.names = vec![Name::ip("2001:db8::1").unwrap()];
    let identifiers = json!([{"type": "ip", "value": "2001:db8:0::1"}]);
    talk.moves(
        "newOrder",
        made(with(order("pending", 1), "identifiers", identifiers)),
    );
    let body = with(
        authorization(0, "pending"),
        "identifier",
        json!({"type": "ip", "value": "2001:db8::1"}),
    );
    talk.moves("authorization", ok(body));
    assert_eq!(talk.state.authorizations[0].name.as_deref(), Some("2001:db8::1"));
}
