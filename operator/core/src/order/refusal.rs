//! From a CA's "no" to a named reason, its own words and the names that it is about.

use jiff::Timestamp;

use super::state::{AuthorizationState, OrderState};
use super::step::{Failure, Retry, reason};
use crate::names::DnsName;
use crate::response::{Problem, QUOTA_FROM, Response, kind};
use crate::shown::shown;

/// The failure that a 4xx answer amounts to.
pub(super) fn refusal(response: &Response, names: &[DnsName], now: Timestamp) -> Failure {
    let problem = response.problem();
    // A short wait is the backoff's business: without it, a "Retry-After: 0" would be a busy loop.
    let wait = response
        .retry_after(now)
        .filter(|until| until.duration_since(now) >= QUOTA_FROM);
    let retry = wait.map_or(Retry::Backoff, Retry::At);
    Failure {
        retry,
        ..failure(&problem, names, reason_of(&problem))
    }
}

/// The failure that an invalid order's own error amounts to.
pub(super) fn order_failure(problem: Option<&Problem>, names: &[DnsName]) -> Failure {
    match problem {
        Some(problem) => {
            let reason = match reason_of(problem) {
                // In an order's error these speak of a name, not of the account or the request.
                reason::UNAUTHORIZED | reason::REFUSED | reason::MALFORMED => reason::ORDER_INVALID,
                other => other,
            };
            failure(problem, names, reason)
        }
        None => Failure {
            reason: reason::ORDER_INVALID,
            message: "the CA gave the order up and does not say why".to_owned(),
            names: Vec::new(),
            retry: Retry::Backoff,
        },
    }
}

/// The failure that the authorizations of an invalid order tell; none if none is invalid.
pub(super) fn validation_failure(state: &OrderState, names: &[DnsName]) -> Option<Failure> {
    let refused: Vec<_> = state
        .authorizations
        .iter()
        .filter(|a| a.state == AuthorizationState::Invalid)
        .collect();
    if refused.is_empty() {
        return None;
    }
    let words: Vec<String> = refused
        .iter()
        .map(|authorization| {
            let name = authorization.name.as_deref().unwrap_or("a name");
            let error = authorization.error.as_deref().unwrap_or("no reason was given");
            format!("{name}: {error}")
        })
        .collect();
    let failed = refused.iter().filter_map(|a| a.name.as_deref());
    Some(Failure {
        reason: reason::VALIDATION_FAILED,
        message: shown(&words.join("; ")),
        names: known(failed, names),
        retry: Retry::Backoff,
    })
}

/// An answer that does not fit the question.
pub(super) fn unexpected(message: &str) -> Failure {
    Failure {
        reason: reason::UNEXPECTED_ANSWER,
        message: shown(message),
        names: Vec::new(),
        retry: Retry::Backoff,
    }
}

fn failure(problem: &Problem, names: &[DnsName], reason: &'static str) -> Failure {
    let about = problem
        .subproblems
        .iter()
        .filter_map(|part| part.identifier.as_ref());
    Failure {
        reason,
        message: problem.message(),
        names: known(about.map(|identifier| identifier.value.as_str()), names),
        retry: Retry::Backoff,
    }
}

/// Those of `names` that the CA mentions, sorted and once each.
fn known<'a>(mentioned: impl Iterator<Item = &'a str>, names: &[DnsName]) -> Vec<DnsName> {
    let mut found: Vec<DnsName> = mentioned
        .filter_map(|text| names.iter().find(|name| name.as_str().eq_ignore_ascii_case(text)))
        .cloned()
        .collect();
    found.sort();
    found.dedup();
    found
}

fn reason_of(problem: &Problem) -> &'static str {
    match problem.kind() {
        kind::ACCOUNT_DOES_NOT_EXIST => reason::ACCOUNT_DOES_NOT_EXIST,
        kind::BAD_CSR => reason::BAD_CSR,
        kind::CAA => reason::CAA,
        kind::CONNECTION | kind::DNS | kind::INCORRECT_RESPONSE | kind::TLS => reason::VALIDATION_FAILED,
        kind::EXTERNAL_ACCOUNT_REQUIRED => reason::EXTERNAL_ACCOUNT_REQUIRED,
        kind::MALFORMED => reason::MALFORMED,
        kind::RATE_LIMITED => reason::RATE_LIMITED,
        kind::REJECTED_IDENTIFIER | kind::UNSUPPORTED_IDENTIFIER => reason::REJECTED_IDENTIFIER,
        kind::UNAUTHORIZED => reason::UNAUTHORIZED,
        kind::USER_ACTION_REQUIRED => reason::USER_ACTION_REQUIRED,
        // ACME lets a CA use types of its own, and HTTP edges answer without any.
        _ => reason::REFUSED,
    }
}
