//! From where an order stands to the next step.

use jiff::Timestamp;

use super::refusal::validation_failure;
use super::state::{Authorization, AuthorizationState, OrderState, Stage};
use super::step::{Request, Step};
use crate::names::Name;

/// What to do next for an order of `names` (the shard's, sorted) that stands at `state`.
///
/// A state that cannot be resumed, or whose order has expired, gives [`Step::Restart`].
pub fn next(state: &OrderState, names: &[Name], now: Timestamp) -> Step {
    if let Err(inconsistent) = state.check(names) {
        return Step::Restart {
            why: inconsistent.to_string(),
        };
    }
    if is_expired(state, now) {
        return Step::Restart {
            why: "the order expired before it was finished".to_owned(),
        };
    }
    if let Some(until) = state.not_before.filter(|&until| until > now) {
        return Step::Wait {
            until,
            why: awaited(state.stage),
        };
    }
    let Some(url) = state.url.clone() else {
        return Step::Send(Request::NewOrder {
            names: names.to_vec(),
            replaces: state.replaces.clone(),
        });
    };
    match state.stage {
        // `check` has seen to it that a new order has no URL, and the others what they need; the
        // order itself is what tells anything that is missing.
        Stage::New | Stage::Processing => Step::Send(Request::PollOrder { url }),
        Stage::Pending => match fetch(state) {
            Some(request) => Step::Send(request),
            // Once all are known, so that what is to be written is written together.
            None if state.to_present().next().is_some() => Step::Present,
            None => Step::Send(answer(state).unwrap_or(Request::PollOrder { url })),
        },
        Stage::Ready => match state.finalize_url.clone() {
            Some(url) => Step::Send(Request::Finalize { url }),
            None => Step::Send(Request::PollOrder { url }),
        },
        Stage::Valid => match state.certificate_url.clone() {
            Some(url) => Step::Send(Request::DownloadCertificate { url }),
            None => Step::Send(Request::PollOrder { url }),
        },
        Stage::Invalid => match fetch(state) {
            Some(request) => Step::Send(request),
            None => match validation_failure(state, names) {
                Some(failure) => Step::Failed(failure),
                // No authorization says why: the order's own error does, if anything.
                None => Step::Send(Request::PollOrder { url }),
            },
        },
    }
}

/// Once a certificate is under way or the order is given up, its expiry does not matter any more.
fn is_expired(state: &OrderState, now: Timestamp) -> bool {
    match state.stage {
        Stage::New | Stage::Pending | Stage::Ready => state.expires.is_some_and(|expires| expires <= now),
        Stage::Processing | Stage::Valid | Stage::Invalid => false,
    }
}

fn awaited(stage: Stage) -> &'static str {
    match stage {
        Stage::New => "a new order can be asked for",
        Stage::Pending => "the CA checks the names, or DNS records are seen",
        Stage::Ready => "the order can be finalized",
        Stage::Processing => "the CA issues the certificate",
        Stage::Valid => "the certificate can be downloaded",
        Stage::Invalid => "the reason of the refusal can be read",
    }
}

fn fetch(state: &OrderState) -> Option<Request> {
    let (index, authorization) = first(state, AuthorizationState::Unknown)?;
    Some(Request::FetchAuthorization {
        index,
        url: authorization.url.clone(),
    })
}

fn answer(state: &OrderState) -> Option<Request> {
    let (index, authorization) =
        first(state, AuthorizationState::Pending).or_else(|| first(state, AuthorizationState::Presented))?;
    Some(Request::AnswerChallenge {
        index,
        url: authorization.challenge_url.clone()?,
    })
}

fn first(state: &OrderState, wanted: AuthorizationState) -> Option<(usize, &Authorization)> {
    state
        .authorizations
        .iter()
        .enumerate()
        .find(|(_, a)| a.state == wanted)
}
