use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-24T06:00:00Z")
}

fn with_retry_after(status: u16, retry_after: &str, date: Option<&str>) -> Response {
    Response {
        status,
        retry_after: Some(retry_after.to_owned()),
        date: date.map(str::to_owned),
        ..Response::default()
    }
}

#[test]
fn seconds_count_from_the_answer() {
    assert_eq!(
        with_retry_after(503, " 120 ", None).retry_after(now()),
        Some(at("2026-11-24T06:02:00Z"))
    );
}

#[test]
fn a_date_is_converted_by_the_answers_own_date() {
    // The CA's clock is an hour fast.
    let response = with_retry_after(
        503,
        "Tue, 24 Nov 2026 07:01:30 GMT",
        Some("Tue, 24 Nov 2026 07:01:00 GMT"),
    );
    assert_eq!(response.retry_after(now()), Some(at("2026-11-24T06:00:30Z")));
}

#[test]
fn a_date_without_a_date_header_is_taken_as_it_is() {
    let response = with_retry_after(429, "Tue, 24 Nov 2026 06:01:30 GMT", None);
    assert_eq!(response.retry_after(now()), Some(at("2026-11-24T06:01:30Z")));
}

#[test]
fn a_date_in_the_past_is_now() {
    let response = with_retry_after(429, "Mon, 23 Nov 2026 06:01:30 GMT", None);
    assert_eq!(response.retry_after(now()), Some(now()));
}

#[test]
fn nonsense_counts_as_absent_and_huge_waits_are_bounded() {
    for nonsense in ["", "soon", "-5", "1.5", "12 s"] {
        assert_eq!(
            with_retry_after(503, nonsense, None).retry_after(now()),
            None,
            "{nonsense:?}"
        );
    }
    for huge in [
        "99999999",
        "99999999999999999999999999",
        "Wed, 01 Jan 9000 00:00:00 GMT",
    ] {
        assert_eq!(
            with_retry_after(503, huge, None).retry_after(now()),
            Some(now() + RETRY_AFTER_MAX),
            "{huge:?}"
        );
    }
}

#[test]
fn a_throttle_is_pace_unless_a_quota_is_used_up() {
    assert_eq!(
        Response {
            status: 503,
            ..Response::default()
        }
        .throttle(now()),
        Some(Throttle::Pace(None))
    );
    assert_eq!(
        with_retry_after(429, "3600", None).throttle(now()),
        Some(Throttle::Pace(Some(at("2026-11-24T07:00:00Z"))))
    );
    let quota = Response {
        body: br#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates"}"#
            .to_vec(),
        ..with_retry_after(429, "3600", None)
    };
    assert_eq!(
        quota.throttle(now()),
        Some(Throttle::Quota(Quota {
            scope: Scope::NameSet,
            until: at("2026-11-24T07:00:00Z")
        }))
    );
    let pace = Response {
        retry_after: Some("20".to_owned()),
        ..quota
    };
    assert_eq!(
        pace.throttle(now()),
        Some(Throttle::Pace(Some(at("2026-11-24T06:00:20Z"))))
    );
    assert_eq!(with_retry_after(500, "3600", None).throttle(now()), None);
}

#[test]
fn a_problem_document_is_shown_with_its_subproblems() {
    let response = Response {
        status: 403,
        body: br#"{
            "type": "urn:ietf:params:acme:error:malformed", "detail": "Some names are no good",
            "subproblems": [
                {"type": "urn:ietf:params:acme:error:malformed", "detail": "Invalid underscore",
                 "identifier": {"type": "dns", "value": "a_b.example"}},
                {"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "Forbidden",
                 "identifier": {"type": "dns", "value": "example.org"}}
            ]}"#
        .to_vec(),
        ..Response::default()
    };
    let problem = response.problem();
    assert_eq!(problem.kind(), kind::MALFORMED);
    assert_eq!(
        problem.message(),
        "malformed: Some names are no good [a_b.example: malformed: Invalid underscore; \
         example.org: rejectedIdentifier: Forbidden]"
    );
}

#[test]
fn an_html_page_is_told_by_its_title() {
    let body = b"<html>\r\n<head><title>503 Service Temporarily\r\n Unavailable</title></head>\r\n<body>\
        <center><h1>503</h1></center><hr><center>nginx</center></body></html>";
    let response = Response {
        status: 503,
        content_type: Some("text/html".to_owned()),
        body: body.to_vec(),
        ..Response::default()
    };
    assert_eq!(response.problem().kind(), "");
    assert_eq!(
        response.problem().message(),
        "HTTP 503: 503 Service Temporarily Unavailable"
    );
}

#[test]
fn html_without_a_title_plain_text_and_nothing_are_understood() {
    for (body, message) in [
        (&b"<h1>Bad <b>Gateway</b></h1>"[..], "HTTP 502: Bad Gateway"),
        (b"upstream down\x1b[31m\n", "HTTP 502: upstream down\\u{1b}[31m"),
        (b"", "HTTP 502 without a body"),
        (b"{}", "HTTP 502: {}"),
        (b"\"rateLimited\"", "HTTP 502: \"rateLimited\""),
        (b"\xff\xfe", "HTTP 502: \u{fffd}\u{fffd}"),
        (b"<title", "HTTP 502 without a body"),
    ] {
        let response = Response {
            status: 502,
            body: body.to_vec(),
            ..Response::default()
        };
        assert_eq!(response.problem().message(), message);
    }
}

#[test]
fn a_long_detail_is_bounded_and_escaped() {
    let body = serde_json::json!({"type": "x", "detail": "\n\u{202e}".repeat(9999)}).to_string();
    let message = Response {
        status: 400,
        body: body.into_bytes(),
        ..Response::default()
    }
    .problem()
    .message();
    assert_eq!(message.chars().count(), crate::shown::SHOWN_MAX);
    assert!(!message.contains(char::is_control) && !message.contains('\u{202e}'));
}

#[test]
fn a_body_that_is_not_json_says_so_in_words() {
    let response = Response {
        status: 200,
        body: b"<title>Welcome</title>".to_vec(),
        ..Response::default()
    };
    let error = response.json::<serde_json::Value>().unwrap_err().to_string();
    assert!(
        error.starts_with("the CA answered 200 with a body that cannot be read (")
            && error.ends_with(": Welcome")
    );
}
