use super::*;
use crate::renewal::CertId;

fn renewal() -> Talk {
    let id: CertId = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".parse().unwrap();
    let mut talk = Talk::of(1);
    talk.state = OrderState::replacing(Some(id));
    talk
}

fn replaces(talk: &Talk) -> Option<String> {
    match talk.request() {
        Request::NewOrder { replaces, .. } => replaces.map(String::from),
        other => panic!("not newOrder: {other:?}"),
    }
}

#[test]
fn a_renewal_says_what_it_replaces_as_long_as_no_order_is_made() {
    let mut talk = renewal();
    assert_eq!(
        talk.again("newOrder", Reply::Response(html(503))),
        reason::THROTTLED
    );
    talk.waits();
    assert_eq!(talk.again("newOrder", Reply::Lost), reason::NO_ANSWER);
    talk.waits();
    assert_eq!(
        replaces(&talk).as_deref(),
        Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
    );
    talk.moves("newOrder", made(order("pending", 1)));
}

#[test]
fn where_replaces_is_refused_the_order_is_made_at_once_without_it() {
    for refused in [
        problem(409, "alreadyReplaced", "there is a replacement"),
        problem(400, "malformed", "parsing the identifier failed"),
        problem(404, "malformed", "no such certificate"),
        problem(403, "unauthorized", "the certificate being replaced is not yours"),
        problem(400, "unsupported", "CertID not recognized"),
    ] {
        let mut talk = renewal();
        assert_eq!(
            talk.again("newOrder", Reply::Response(refused.clone())),
            reason::REPLACES_REFUSED
        );
        // No wait, and it stays so.
        assert_eq!(replaces(&talk), None);
        assert_eq!(talk.again("newOrder", Reply::Lost), reason::NO_ANSWER);
        talk.waits();
        assert_eq!(replaces(&talk), None);
        // The same words are a failure now.
        assert!(matches!(talk.answers("newOrder", refused), Effect::Failed(_)));
    }
}

#[test]
fn a_refusal_for_another_reason_is_a_failure_at_once() {
    for refused in [
        problem(400, "rejectedIdentifier", "policy forbids it"),
        problem(403, "unauthorized", "the account is suspended"),
    ] {
        assert!(matches!(
            renewal().answers("newOrder", refused),
            Effect::Failed(_)
        ));
    }
}

#[test]
fn a_ca_that_fails_on_replaces_is_asked_later_without_it() {
    let mut talk = renewal();
    let failed = problem(500, "serverInternal", "could not find an order");
    assert_eq!(
        talk.again("newOrder", Reply::Response(failed)),
        reason::SERVER_ERROR
    );
    talk.waits();
    assert_eq!(replaces(&talk), None);
}
