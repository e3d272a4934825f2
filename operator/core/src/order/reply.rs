//! From the outcome of a request to where the order stands then.
//!
//! throttle? → stale nonce? → server error? → refusal → answer

use jiff::Timestamp;

use super::answers;
use super::refusal::{SHORTEST_WAIT, is_about_number, is_about_replaces, refusal, unexpected, used_up};
use super::state::{AuthorizationState, OrderState, Stage};
use super::step::{Effect, Reply, Request, reason};
use crate::challenge::ChallengeKinds;
use crate::names::Name;
use crate::response::{Problem, Response, Throttle, kind};

/// Once something was asked in vain this often, some 45 minutes after the order last moved, a denial is meant.
const MOST_DENIALS: u32 = 20;

/// Takes in what came of `request`, which [`super::next`] asked for at `state`, for an order of
/// `names`, of which each is validated by its kind of challenge. Gives back the state to record, and what the outcome meant.
///
/// After [`Effect::Failed`] and [`Effect::Restart`] the state is of no use; the caller counts
/// them and spaces the orders that follow.
pub fn reply(
    mut state: OrderState,
    request: &Request,
    reply: &Reply,
    names: &[Name],
    kinds: &ChallengeKinds,
    now: Timestamp,
) -> (OrderState, Effect) {
    state.not_before = None;
    let effect = match reply {
        Reply::NotSent => {
            state.wait_out_trouble(None, now);
            again(reason::NO_ANSWER, "the CA could not be reached".to_owned())
        }
        Reply::Lost => {
            read_back(&mut state, request, now);
            state.wait_out_trouble(None, now);
            again(reason::NO_ANSWER, "the CA did not answer in time".to_owned())
        }
        Reply::Response(response) => answered(&mut state, request, response, names, kinds, now),
    };
    (state, effect)
}

fn answered(
    state: &mut OrderState,
    request: &Request,
    response: &Response,
    names: &[Name],
    kinds: &ChallengeKinds,
    now: Timestamp,
) -> Effect {
    match response.throttle(now) {
        // Without an order there is nothing to keep; with one, it is worth the wait.
        Some(Throttle::Quota(quota)) if matches!(request, Request::NewOrder { .. }) => {
            return Effect::Failed(used_up(response, quota, names, now));
        }
        Some(Throttle::Quota(quota)) => {
            let at_least = now.saturating_add(SHORTEST_WAIT).unwrap_or(now);
            state.wait_out_throttle(Some(quota.until.max(at_least)), now);
            return again(reason::RATE_LIMITED, response.problem().message());
        }
        Some(Throttle::Pace(until)) => {
            state.wait_out_throttle(until, now);
            return again(reason::THROTTLED, response.problem().message());
        }
        None => {}
    }
    match response.status {
        200..300 => accepted(state, request, response, names, kinds, now),
        408 | 425 | 500.. => {
            // Whatever stands before the CA may have given up on a request that the CA received.
            read_back(state, request, now);
            if response.status == 500 {
                // Some CAs fail on a `replaces` that they do not know: that must not go on for ever.
                state.replaces = None;
            }
            trouble(state, response, now)
        }
        400..500 if response.problem().kind() == kind::BAD_NONCE => {
            state.wait_out_trouble(None, now);
            again(reason::BAD_NONCE, response.problem().message())
        }
        400..500 => refused(state, request, response, names, now),
        status => Effect::Failed(unexpected(&format!(
            "the CA answered {} with HTTP {status}, which is no answer to it",
            request.kind()
        ))),
    }
}

fn accepted(
    state: &mut OrderState,
    request: &Request,
    response: &Response,
    names: &[Name],
    kinds: &ChallengeKinds,
    now: Timestamp,
) -> Effect {
    match request {
        Request::NewOrder { .. } => answers::order_made(state, response, names, now),
        Request::FetchAuthorization { index, url } => {
            answers::authorization_read(state, (*index, url), response, names, kinds, now)
        }
        Request::AnswerChallenge { index, url } => {
            answers::challenge_answered(state, *index, url, response, now)
        }
        Request::PollOrder { .. } => answers::order_polled(state, response, names, now),
        Request::Finalize { .. } => answers::order_finalized(state, response, names, now),
        Request::DownloadCertificate { .. } => answers::certificate_read(state, response, now),
    }
}

fn refused(
    state: &mut OrderState,
    request: &Request,
    response: &Response,
    names: &[Name],
    now: Timestamp,
) -> Effect {
    let problem = response.problem();
    let is_gone = matches!(response.status, 404 | 410) && state.stage != Stage::Invalid;
    match request {
        Request::NewOrder {
            replaces: Some(_), ..
        } if is_about_replaces(response.status, &problem) && !is_about_number(&problem, names) => {
            state.replaces = None;
            again(reason::REPLACES_REFUSED, problem.message())
        }
        Request::NewOrder { .. } => Effect::Failed(refusal(response, names, now)),
        _ if is_gone => Effect::Restart {
            why: format!(
                "the CA does not know the order's {} any more: {}",
                request.kind(),
                problem.message()
            ),
        },
        // No CA says it like that, but a gateway before it whose rules have changed, say. The order is as it was.
        Request::FetchAuthorization { .. }
        | Request::PollOrder { .. }
        | Request::DownloadCertificate { .. }
            if is_unexplained_denial(response, &problem) && state.polls < MOST_DENIALS =>
        {
            trouble(state, response, now)
        }
        // Perhaps it was answered before, and that was not recorded yet: look, at once, since there may be more of them.
        // If it is still pending then, and refused again, the CA means it.
        Request::AnswerChallenge { index, .. }
            if (problem.kind() == kind::MALFORMED || response.status == 409)
                && state
                    .authorizations
                    .get(*index)
                    .is_some_and(|a| a.error.is_none()) =>
        {
            read_back(state, request, now);
            if let Some(authorization) = state.authorizations.get_mut(*index) {
                authorization.note(&problem);
            }
            again(reason::REPEATED, problem.message())
        }
        // The same, or the CA is not that far yet: the order tells.
        Request::Finalize { .. } if problem.kind() == kind::ORDER_NOT_READY => {
            read_back(state, request, now);
            state.wait_out_trouble(response.retry_after(now), now);
            again(reason::REPEATED, problem.message())
        }
        Request::FetchAuthorization { .. }
        | Request::AnswerChallenge { .. }
        | Request::PollOrder { .. }
        | Request::Finalize { .. }
        | Request::DownloadCertificate { .. } => Effect::Failed(refusal(response, names, now)),
    }
}

/// Is access denied without one of ACME's reasons?
fn is_unexplained_denial(response: &Response, problem: &Problem) -> bool {
    matches!(response.status, 401 | 403) && problem.kind().is_empty()
}

/// Makes the next step a look at what came of `request`, where repeating it blindly would not do.
/// An order that is pending does not tell which challenges were answered, so it is the
/// authorization that is read; of finalize the order tells.
fn read_back(state: &mut OrderState, request: &Request, now: Timestamp) {
    match request {
        Request::AnswerChallenge { index, .. } => {
            if let Some(authorization) = state.authorizations.get_mut(*index) {
                authorization.state = AuthorizationState::Unknown;
            }
        }
        Request::Finalize { .. } => {
            state.stage = Stage::Processing;
            state.note_finalized(now);
        }
        Request::NewOrder { .. }
        | Request::FetchAuthorization { .. }
        | Request::PollOrder { .. }
        | Request::DownloadCertificate { .. } => {}
    }
}

/// A server error, or an answer that cannot be read: the same again, later.
pub(super) fn trouble(state: &mut OrderState, response: &Response, now: Timestamp) -> Effect {
    state.wait_out_trouble(response.retry_after(now), now);
    again(reason::SERVER_ERROR, response.problem().message())
}

fn again(reason: &'static str, message: String) -> Effect {
    Effect::Again { reason, message }
}
