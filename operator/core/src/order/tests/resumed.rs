use super::*;

#[test]
fn a_recorded_state_comes_back_as_it_was() {
    let mut talk = Talk::answered(3);
    talk.waits();
    talk.moves("order", ok(order("pending", 3)));
    let recorded = serde_json::to_value(&talk.state).unwrap();
    assert_eq!(recorded["stage"], "Pending");
    assert_eq!(recorded["authorizations"][0]["challengeUrl"], challenge_url(0));
    assert_eq!(
        serde_json::from_value::<OrderState>(recorded).unwrap(),
        talk.state
    );
    let empty = serde_json::to_value(OrderState::default()).unwrap();
    assert_eq!(empty, json!({"stage": "New", "polls": 0}));
}

#[test]
fn the_words_of_a_status_are_read_back() {
    for stage in [
        Stage::New,
        Stage::Pending,
        Stage::Ready,
        Stage::Processing,
        Stage::Valid,
        Stage::Invalid,
    ] {
        assert_eq!(stage.as_str().parse(), Ok(stage));
        assert_eq!(json!(stage), json!(stage.as_str()));
    }
    for state in [
        AuthorizationState::Unknown,
        AuthorizationState::Pending,
        AuthorizationState::Presented,
        AuthorizationState::Answered,
        AuthorizationState::Valid,
        AuthorizationState::Invalid,
    ] {
        assert_eq!(state.as_str().parse(), Ok(state));
        assert_eq!(json!(state), json!(state.as_str()));
    }
    assert_eq!("pending".parse::<Stage>(), Err(UnknownWord));
}

#[test]
fn every_url_of_a_state_is_listed_for_the_check() {
    let mut talk = Talk::answered(1);
    talk.state.certificate_url = Some(CERTIFICATE.to_owned());
    let urls: Vec<&str> = talk.state.urls().collect();
    assert_eq!(
        urls,
        [
            ORDER,
            FINALIZE,
            CERTIFICATE,
            &authorization_url(0),
            &challenge_url(0)
        ]
    );
}

#[test]
fn a_state_that_was_tampered_with_is_not_resumed() {
    let tamper = |change: fn(&mut OrderState)| {
        let mut talk = Talk::of(2);
        talk.moves("newOrder", made(order("pending", 2)));
        talk.moves("authorization", ok(authorization(0, "pending")));
        change(&mut talk.state);
        match talk.step() {
            Step::Restart { why } => assert_eq!(why, talk.state.check(&talk.names).unwrap_err().to_string()),
            other => panic!("resumed: {other:?}"),
        }
    };
    tamper(|state| state.url = None);
    tamper(|state| state.stage = Stage::New);
    tamper(|state| state.stage = Stage::Valid);
    tamper(|state| {
        state.stage = Stage::Ready;
        state.finalize_url = None;
    });
    tamper(|state| state.authorizations[0].name = Some("stranger.example".to_owned()));
    tamper(|state| state.authorizations[0].token = Some("../x".to_owned()));
    tamper(|state| state.authorizations[0].token = None);
    tamper(|state| state.authorizations[0].challenge_url = None);
    tamper(|state| state.authorizations[0].name = None);
}

#[test]
fn an_answer_to_a_request_of_another_state_changes_nothing() {
    let talk = Talk::answered(1);
    for (request, body) in [
        (
            Request::FetchAuthorization {
                index: 7,
                url: authorization_url(7),
            },
            authorization(0, "valid"),
        ),
        (
            Request::AnswerChallenge {
                index: 0,
                url: challenge_url(9),
            },
            json!({"type": "http-01"}),
        ),
    ] {
        let (state, effect) = reply(
            talk.state.clone(),
            &request,
            &Reply::Response(ok(body)),
            &talk.names,
            &talk.kinds,
            talk.now,
        );
        assert_eq!(effect, Effect::Moved);
        assert_eq!(
            state,
            OrderState {
                not_before: None,
                ..talk.state.clone()
            }
        );
    }
}
