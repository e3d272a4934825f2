//! What a CA sends is not believed: whatever it is, nothing breaks, and little of it is kept or shown.

use proptest::prelude::*;

use super::trouble::each_step;
use super::*;
use crate::response::{LONGEST_URL, Scope, Throttle};
use crate::shown::SHOWN_MAX;

/// A URL that is a byte longer than what is taken.
fn long_url() -> String {
    format!("https://ca.example/{}", "a".repeat(LONGEST_URL - 18))
}

#[test]
fn a_url_that_is_longer_than_any_cas_is_a_malformed_answer() {
    let step = |kind| each_step().into_iter().find(|(step, _)| *step == kind).unwrap().1;
    let long = || json!(long_url());
    let location = Response {
        location: Some(long_url()),
        ..made(order("pending", 1))
    };
    let mut challenge = authorization(0, "pending");
    challenge["challenges"][1]["url"] = long();
    for (kind, answer, what) in [
        ("newOrder", location, "the order"),
        (
            "newOrder",
            made(with(order("pending", 1), "authorizations", json!([long()]))),
            "an authorization",
        ),
        (
            "order",
            ok(with(order("ready", 1), "finalize", long())),
            "finalize",
        ),
        (
            "order",
            ok(with(order("valid", 1), "certificate", long())),
            "the certificate",
        ),
        ("authorization", ok(challenge), "a challenge"),
    ] {
        let failure = step(kind).fails(kind, answer);
        assert_eq!(failure.reason, reason::UNEXPECTED_ANSWER);
        let words = format!("malformed: the URL of {what} has more than 2048 bytes");
        assert!(failure.message.contains(&words), "{}", failure.message);
    }
}

/// Text such as it may stand in any place, long or short.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z:/.\"\\\\]{0,40}",
        Just("x".repeat(5000)),
        Just("\u{202e}".repeat(3000)),
        Just("pending".to_owned()),
        Just("ready".to_owned()),
        Just("valid".to_owned()),
        Just("invalid".to_owned()),
        Just("h0.shop.example".to_owned()),
        Just("urn:ietf:params:acme:error:rateLimited".to_owned()),
        Just("urn:ietf:params:acme:error:malformed".to_owned()),
        Just(
            "too many failed authorizations (5) for \"".to_owned()
                + &"x".repeat(3000)
                + "\" in the last 1h0m0s"
        ),
        Just(long_url()),
        Just(ORDER.to_owned()),
        Just(TOKEN.to_owned()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let field = prop_oneof![
            Just("type".to_owned()),
            Just("detail".to_owned()),
            Just("title".to_owned()),
            Just("status".to_owned()),
            Just("subproblems".to_owned()),
            Just("identifier".to_owned()),
            Just("value".to_owned()),
            Just("identifiers".to_owned()),
            Just("authorizations".to_owned()),
            Just("challenges".to_owned()),
            Just("finalize".to_owned()),
            Just("certificate".to_owned()),
            Just("error".to_owned()),
            Just("expires".to_owned()),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(field, inner, 0..8)
                .prop_map(|fields| fields.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// A problem document with many parts.
fn problem_document() -> impl Strategy<Value = Value> {
    (text(), text(), prop::collection::vec(text(), 0..300)).prop_map(|(kind, detail, names)| {
        let part = |name: String| json!({"type": kind, "detail": detail, "identifier": {"type": "dns", "value": name}});
        json!({"type": kind, "detail": detail, "subproblems": names.into_iter().map(part).collect::<Vec<_>>()})
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        text().prop_map(String::into_bytes),
        value().prop_map(|value| value.to_string().into_bytes()),
        problem_document().prop_map(|value| value.to_string().into_bytes()),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    let status = prop_oneof![
        Just(200),
        Just(201),
        Just(400),
        Just(403),
        Just(429),
        Just(503),
        100u16..600
    ];
    let headers = prop::collection::vec(prop::option::of(text()), 5);
    (status, headers, body()).prop_map(|(status, mut headers, body)| {
        let mut header = || headers.pop().flatten();
        Response {
            status,
            content_type: header(),
            location: header(),
            retry_after: header(),
            date: header(),
            replay_nonce: header(),
            alternates: Vec::new(),
            of_provider: None,
            body,
        }
    })
}

fn is_bounded(text: &str) -> bool {
    text.chars().count() <= 2 * SHOWN_MAX
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_ca_answers_the_machine_goes_on_and_keeps_and_shows_little_of_it(
        step in 0..6usize,
        answers in prop::collection::vec(response(), 1..4),
    ) {
        let (_, mut talk) = each_step().into_iter().nth(step).unwrap();
        for answer in answers {
            let request = match talk.step() {
                Step::Send(request) => request,
                Step::Wait { until, .. } => {
                    talk.now = until;
                    continue;
                }
                Step::Present => {
                    talk.state = talk.state.presented();
                    continue;
                }
                Step::Failed(_) | Step::Restart { .. } => break,
            };
            let (state, effect) = reply(
                talk.state,
                &request,
                &Reply::Response(answer),
                &talk.names,
                &talk.kinds,
                talk.now,
            );
            talk.state = state;
            match effect {
                Effect::Moved | Effect::Issued { .. } => {}
                Effect::Again { message, .. } => prop_assert!(is_bounded(&message), "{}", message),
                Effect::Restart { why } => {
                    prop_assert!(is_bounded(&why), "{}", why);
                    break;
                }
                Effect::Failed(failure) => {
                    prop_assert!(is_bounded(&failure.message), "{}", failure.message);
                    break;
                }
            }
            prop_assert!(talk.state.urls().all(|url| url.len() <= LONGEST_URL));
            for authorization in &talk.state.authorizations {
                prop_assert!(is_bounded(authorization.error.as_deref().unwrap_or_default()));
            }
        }
    }

    #[test]
    fn whatever_a_problem_says_its_words_and_what_it_holds_back_are_bounded(answer in response()) {
        prop_assert!(is_bounded(&answer.problem().message()));
        if let Err(error) = answer.json::<bool>() {
            prop_assert!(is_bounded(&error.to_string()), "{}", error);
        }
        if let Some(Throttle::Quota(quota)) = answer.throttle(now()) {
            let names = match quota.scope {
                Scope::Account | Scope::NameSet => Vec::new(),
                Scope::RegisteredDomain(domain) => vec![domain],
                Scope::Names(names) => names,
            };
            prop_assert!(names.len() <= 100);
            prop_assert!(names.iter().all(|name| (1..=253).contains(&name.len())), "{:?}", names);
        }
    }
}
