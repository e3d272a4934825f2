//! The order machine's state as a shard's status holds it, and back.

use sancho_core::challenge::ChallengeKind;
use sancho_core::order::{Authorization, OrderState, UnknownWord};
use sancho_crds::{AuthorizationStatus, OrderStatus};

use crate::clock;

/// What is recorded of an order that is for `target`.
#[must_use]
pub fn to_status(target: &str, state: &OrderState) -> OrderStatus {
    let OrderState {
        stage,
        url,
        finalize_url,
        certificate_url,
        expires,
        authorizations,
        polls,
        not_before,
        replaces,
        finalized,
        asked,
    } = state.clone();
    OrderStatus {
        target: target.into(),
        stage: stage.as_str().into(),
        url,
        finalize_url,
        certificate_url,
        expires: expires.map(clock::time),
        authorizations: authorizations.into_iter().map(authorization_to_status).collect(),
        polls,
        not_before: not_before.map(clock::whole_second_after).map(clock::time),
        replaces: replaces.map(String::from),
        finalized: finalized.map(clock::whole_second_after).map(clock::time),
        asked,
    }
}

/// What a recorded order stands for.
///
/// # Errors
/// [`UnknownWord`] if somebody else wrote it: a stage or state that does not exist.
pub fn from_status(status: &OrderStatus) -> Result<OrderState, UnknownWord> {
    let OrderStatus {
        target: _,
        stage,
        url,
        finalize_url,
        certificate_url,
        expires,
        authorizations,
        polls,
        not_before,
        replaces,
        finalized,
        asked,
    } = status.clone();
    Ok(OrderState {
        stage: stage.parse()?,
        url,
        finalize_url,
        certificate_url,
        expires: expires.map(|time| time.0),
        authorizations: authorizations
            .into_iter()
            .map(authorization_from_status)
            .collect::<Result<_, _>>()?,
        polls,
        not_before: not_before.map(|time| time.0),
        // One that cannot be read is left out: the order does without it.
        replaces: replaces.and_then(|text| text.parse().ok()),
        finalized: finalized.map(|time| time.0),
        asked,
    })
}

fn authorization_to_status(authorization: Authorization) -> AuthorizationStatus {
    let Authorization {
        url,
        state,
        name,
        kind,
        challenge_url,
        token,
        issuer_domain_names,
        error,
    } = authorization;
    AuthorizationStatus {
        url,
        state: state.as_str().into(),
        name,
        kind: (kind != ChallengeKind::default()).then(|| kind.as_str().into()),
        challenge_url,
        token,
        issuer_domain_names,
        error,
    }
}

fn authorization_from_status(status: AuthorizationStatus) -> Result<Authorization, UnknownWord> {
    let AuthorizationStatus {
        url,
        state,
        name,
        kind,
        challenge_url,
        token,
        issuer_domain_names,
        error,
    } = status;
    let kind = kind.map(|word| word.parse().map_err(|_| UnknownWord));
    Ok(Authorization {
        url,
        state: state.parse()?,
        name,
        kind: kind.transpose()?.unwrap_or_default(),
        challenge_url,
        token,
        issuer_domain_names,
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use sancho_core::order::{AuthorizationState, Stage};

    #[test]
    fn a_recorded_order_is_the_order() {
        let state = OrderState {
            stage: Stage::Pending,
            url: Some("https://ca/order/1".into()),
            finalize_url: Some("https://ca/finalize/1".into()),
            certificate_url: None,
            expires: Timestamp::from_second(1_800_000_000).ok(),
            authorizations: vec![Authorization {
                url: "https://ca/authz/1".into(),
                state: AuthorizationState::Answered,
                name: Some("a.example".into()),
                kind: ChallengeKind::Dns01,
                challenge_url: Some("https://ca/chall/1".into()),
                token: Some("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0".into()),
                issuer_domain_names: vec!["ca.example".into()],
                error: None,
            }],
            polls: 2,
            not_before: Timestamp::from_second(1_700_000_000).ok(),
            replaces: "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".parse().ok(),
            finalized: Timestamp::from_second(1_600_000_000).ok(),
            asked: Some("by hand".into()),
        };
        assert_eq!(from_status(&to_status("t", &state)), Ok(state));
    }

    #[test]
    fn a_wait_does_not_become_shorter() {
        let state = OrderState {
            not_before: Timestamp::from_millisecond(1_700_000_000_001).ok(),
            ..OrderState::default()
        };
        let recorded = from_status(&to_status("t", &state)).unwrap();
        assert_eq!(recorded.not_before, Timestamp::from_second(1_700_000_001).ok());
    }

    #[test]
    fn what_was_recorded_before_there_were_kinds_is_http_01() {
        let state = OrderState {
            authorizations: vec![Authorization::default()],
            ..OrderState::default()
        };
        let mut status = to_status("t", &state);
        assert_eq!(status.authorizations[0].kind, None);
        assert_eq!(from_status(&status), Ok(state));
        status.authorizations[0].kind = Some("tls-alpn-01".into());
        assert_eq!(from_status(&status), Err(UnknownWord));
    }

    #[test]
    fn a_stage_that_does_not_exist_is_refused() {
        let mut status = to_status("t", &OrderState::default());
        status.stage = "Done".into();
        assert_eq!(from_status(&status), Err(UnknownWord));
    }
}
