use super::*;

#[test]
fn a_refused_order_has_a_named_reason_and_the_cas_words() {
    for (kind, expected) in [
        ("rejectedIdentifier", reason::REJECTED_IDENTIFIER),
        ("unsupportedIdentifier", reason::REJECTED_IDENTIFIER),
        ("malformed", reason::MALFORMED),
        ("invalidProfile", reason::PROFILE_NOT_OFFERED),
        ("unauthorized", reason::UNAUTHORIZED),
        ("userActionRequired", reason::USER_ACTION_REQUIRED),
        ("externalAccountRequired", reason::EXTERNAL_ACCOUNT_REQUIRED),
        ("accountDoesNotExist", reason::ACCOUNT_DOES_NOT_EXIST),
        ("caa", reason::CAA),
        ("dns", reason::VALIDATION_FAILED),
        ("connection", reason::VALIDATION_FAILED),
        ("rateLimited", reason::RATE_LIMITED),
        ("alreadyRevoked", reason::REFUSED),
    ] {
        let failure = Talk::of(1).fails("newOrder", problem(403, kind, "No\u{1b}[1m way"));
        assert_eq!(failure.reason, expected);
        assert_eq!(failure.message, format!("{kind}: No\\u{{1b}}[1m way"));
        assert_eq!(failure.retry, Retry::Backoff);
    }
}

#[test]
fn a_refused_order_tells_which_names_are_to_blame() {
    let body = json!({
        "type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "Policy",
        "subproblems": [
            {"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "Forbidden",
             "identifier": {"type": "dns", "value": "H1.shop.example"}},
            {"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "Forbidden",
             "identifier": {"type": "dns", "value": "stranger.example"}},
        ],
    });
    let failure = Talk::of(3).fails(
        "newOrder",
        Response {
            status: 400,
            ..ok(body)
        },
    );
    assert_eq!(failure.names, [names(3)[1].clone()]);
}

#[test]
fn a_refusal_in_html_is_understood() {
    let failure = Talk::of(1).fails("newOrder", html(403));
    assert_eq!(
        (failure.reason, failure.message.as_str()),
        (reason::REFUSED, "HTTP 403: Oops")
    );
}

#[test]
fn a_redirect_is_no_answer() {
    assert_eq!(
        Talk::of(1).fails("newOrder", html(302)).reason,
        reason::UNEXPECTED_ANSWER
    );
}

#[test]
fn a_short_retry_after_on_a_refusal_is_left_to_the_backoff() {
    let response = Response {
        retry_after: Some("0".to_owned()),
        ..problem(403, "unauthorized", "no")
    };
    assert_eq!(Talk::of(1).fails("newOrder", response).retry, Retry::Backoff);
}

#[test]
fn an_order_for_other_names_is_refused() {
    let failure = Talk::of(1).fails("newOrder", made(order("pending", 2)));
    assert_eq!(failure.reason, reason::UNEXPECTED_ANSWER);
}

#[test]
fn more_authorizations_than_names_are_refused() {
    let urls: Vec<String> = (0..9).map(authorization_url).collect();
    let body = with(order("pending", 1), "authorizations", json!(urls));
    assert_eq!(
        Talk::of(1).fails("newOrder", made(body)).reason,
        reason::UNEXPECTED_ANSWER
    );
}

#[test]
fn an_authorization_of_a_stranger_is_refused() {
    for identifier in [
        json!({"type": "dns", "value": "stranger.example"}),
        json!({"type": "ip", "value": "h0.shop.example"}),
    ] {
        let mut talk = Talk::of(1);
        talk.moves("newOrder", made(order("pending", 1)));
        let body = with(authorization(0, "pending"), "identifier", identifier);
        assert_eq!(
            talk.fails("authorization", ok(body)).reason,
            reason::UNEXPECTED_ANSWER
        );
    }
}

#[test]
fn an_authorization_without_http_01_fails_with_what_is_offered() {
    let mut talk = Talk::of(2);
    talk.moves("newOrder", made(order("pending", 2)));
    let challenges = json!([{"type": "dns-01"}, {"type": "tls-alpn-01"}]);
    let failure = talk.fails(
        "authorization",
        ok(with(authorization(0, "pending"), "challenges", challenges)),
    );
    assert_eq!(failure.reason, reason::NO_HTTP01);
    assert_eq!(failure.names, [names(2)[0].clone()]);
    assert!(failure.message.ends_with("only: dns-01, tls-alpn-01"));
}

#[test]
fn a_token_that_is_none_is_refused() {
    for token in ["../../etc/passwd", "short", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa="] {
        let mut talk = Talk::of(1);
        talk.moves("newOrder", made(order("pending", 1)));
        let mut body = authorization(0, "pending");
        body["challenges"][1]["token"] = json!(token);
        let failure = talk.fails("authorization", ok(body));
        assert_eq!(failure.reason, reason::UNEXPECTED_ANSWER);
        assert!(failure.message.contains("bad token"));
    }
}

#[test]
fn an_invalid_order_reads_its_authorizations_to_learn_why() {
    let mut talk = Talk::answered(3);
    talk.waits();
    talk.moves("order", ok(order("invalid", 3)));
    assert_eq!(talk.state.stage, Stage::Invalid);
    let mut refused = authorization(1, "invalid");
    refused["challenges"][1]["error"] =
        json!({"type": "urn:ietf:params:acme:error:connection", "detail": "Timeout during connect"});
    talk.moves("authorization", ok(authorization(0, "valid")));
    talk.moves("authorization", ok(refused));
    talk.moves("authorization", ok(authorization(2, "pending")));
    let Step::Failed(failure) = talk.step() else {
        panic!("{:?}", talk.step())
    };
    assert_eq!(failure.reason, reason::VALIDATION_FAILED);
    assert_eq!(
        failure.message,
        "h1.shop.example: connection: Timeout during connect"
    );
    assert_eq!(failure.names, [names(3)[1].clone()]);
}

#[test]
fn a_challenge_that_turns_invalid_at_once_ends_the_order_without_answering_the_rest() {
    let mut talk = Talk::of(2);
    talk.moves("newOrder", made(order("pending", 2)));
    talk.moves("authorization", ok(authorization(0, "pending")));
    talk.moves("authorization", ok(authorization(1, "pending")));
    let error = json!({"type": "urn:ietf:params:acme:error:dns", "detail": "NXDOMAIN"});
    talk.moves(
        "challenge",
        ok(json!({"type": "http-01", "status": "invalid", "error": error})),
    );
    let Step::Failed(failure) = talk.step() else {
        panic!("{:?}", talk.step())
    };
    assert_eq!(failure.message, "h0.shop.example: dns: NXDOMAIN");
}

#[test]
fn an_order_that_turns_invalid_after_finalize_gives_its_own_error() {
    let mut talk = Talk::ready(1);
    talk.moves("finalize", ok(order("processing", 1)));
    talk.waits();
    let error = json!({"type": "urn:ietf:params:acme:error:caa", "detail": "CAA record prevents issuance"});
    let failure = talk.fails("order", ok(with(order("invalid", 1), "error", error)));
    assert_eq!(failure.reason, reason::CAA);
    assert_eq!(failure.message, "caa: CAA record prevents issuance");
}

#[test]
fn an_error_that_cannot_be_read_does_not_hide_the_status_beside_it() {
    for error in [
        json!("no"),
        json!({"type": 7}),
        json!({"subproblems": [{"identifier": {}}]}),
    ] {
        let mut talk = Talk::ready(1);
        let failure = talk.fails("finalize", ok(with(order("invalid", 1), "error", error)));
        assert_eq!(failure.reason, reason::ORDER_INVALID);
    }
}

#[test]
fn an_invalid_order_whose_authorizations_say_nothing_is_polled_once_more_for_its_error() {
    let mut talk = Talk::answered(1);
    talk.waits();
    talk.moves("order", ok(order("invalid", 1)));
    talk.moves("authorization", ok(authorization(0, "valid")));
    let failure = talk.fails("order", ok(order("invalid", 1)));
    assert_eq!(failure.reason, reason::ORDER_INVALID);
}

#[test]
fn an_expired_order_is_made_anew() {
    for mut talk in [Talk::answered(1), Talk::ready(1)] {
        talk.now = later(8 * 24 * 3600);
        assert!(matches!(talk.step(), Step::Restart { .. }));
    }
}

#[test]
fn an_order_that_the_ca_has_lost_is_made_anew() {
    let mut polled = Talk::answered(1);
    polled.waits();
    assert!(
        polled
            .restarts("order", problem(404, "malformed", "No order for ID 1"))
            .contains("No order for ID")
    );
    Talk::ready(1).restarts("finalize", html(404));
    let mut fetched = Talk::of(1);
    fetched.moves("newOrder", made(order("pending", 1)));
    fetched.restarts(
        "authorization",
        problem(404, "malformed", "Expired authorization"),
    );
}

#[test]
fn an_authorization_that_is_over_makes_the_order_anew() {
    for status in ["deactivated", "expired", "revoked"] {
        let mut talk = Talk::of(1);
        talk.moves("newOrder", made(order("pending", 1)));
        let why = talk.restarts("authorization", ok(authorization(0, status)));
        assert_eq!(why, format!("the authorization of h0.shop.example is {status}"));
    }
}

#[test]
fn a_challenge_that_is_not_pending_any_more_is_looked_at() {
    let mut talk = Talk::of(1);
    talk.moves("newOrder", made(order("pending", 1)));
    talk.moves("authorization", ok(authorization(0, "pending")));
    let refusal = problem(400, "malformed", "Cannot update challenge with status valid");
    assert_eq!(
        talk.again("challenge", Reply::Response(refusal)),
        reason::REPEATED
    );
    talk.moves("authorization", ok(authorization(0, "valid")));
    assert_eq!(talk.request().kind(), "order");
    assert_eq!(talk.state.authorizations[0].error, None);
}

#[test]
fn a_challenge_that_is_pending_and_refused_twice_fails() {
    let mut talk = Talk::of(1);
    talk.moves("newOrder", made(order("pending", 1)));
    talk.moves("authorization", ok(authorization(0, "pending")));
    let refusal = problem(400, "malformed", "I do not like it");
    talk.again("challenge", Reply::Response(refusal.clone()));
    talk.moves("authorization", ok(authorization(0, "pending")));
    assert_eq!(
        talk.fails("challenge", refusal).message,
        "malformed: I do not like it"
    );
}

#[test]
fn an_order_that_is_not_ready_for_finalize_is_polled() {
    let mut talk = Talk::ready(1);
    let refusal = problem(403, "orderNotReady", "The order is processing");
    assert_eq!(talk.again("finalize", Reply::Response(refusal)), reason::REPEATED);
    talk.waits();
    talk.moves("order", ok(order("processing", 1)));
    talk.waits();
    talk.moves(
        "order",
        ok(with(order("valid", 1), "certificate", json!(CERTIFICATE))),
    );
    assert_eq!(talk.request().kind(), "certificate");
}

#[test]
fn a_key_that_the_ca_does_not_take_fails_with_advice() {
    for kind in ["badCSR", "badPublicKey"] {
        let failure = Talk::ready(1).fails("finalize", problem(400, kind, "key too small"));
        assert_eq!(failure.reason, reason::BAD_CSR);
        assert_eq!(failure.message, format!("{kind}: key too small"));
        assert!(advised(failure.reason, &failure.message).contains("spec.privateKey"));
    }
}

#[test]
fn an_order_that_falls_back_to_pending_looks_at_its_authorizations_again() {
    let mut talk = Talk::ready(1);
    talk.again("finalize", Reply::Lost);
    talk.waits();
    talk.moves("order", ok(order("pending", 1)));
    assert_eq!(talk.request().kind(), "authorization");
}

#[test]
fn an_order_with_too_many_names_tells_how_many_the_ca_takes() {
    let refused = problem(400, "malformed", "Order cannot contain more than 25 identifiers");
    let failure = Talk::of(42).fails("newOrder", refused.clone());
    assert_eq!(
        (failure.reason, failure.most_names),
        (reason::TOO_MANY_NAMES, Some(25))
    );
    // A renewal is not asked for once more without `replaces`.
    let mut talk = Talk::of(42);
    talk.state = OrderState::replacing("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".parse().ok());
    assert_eq!(talk.fails("newOrder", refused).most_names, Some(25));
}

#[test]
fn dates_that_the_ca_does_not_take_are_told_from_other_refusals() {
    for words in [
        "NotBefore and NotAfter are not supported",
        "the requested validity is too long",
    ] {
        let failure = Talk::of(1).fails("newOrder", problem(400, "malformed", words));
        assert_eq!(failure.reason, reason::DURATION_REFUSED, "{words}");
    }
}
