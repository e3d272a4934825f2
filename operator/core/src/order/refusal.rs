//! From a CA's "no" to a named reason, its own words and the names that it is about.

use jiff::{SignedDuration, Timestamp};

use super::state::{AuthorizationState, OrderState};
use super::step::{Failure, Retry, reason};
use crate::names::Name;
use crate::response::{Problem, QUOTA_FROM, Quota, Response, kind, most_names};
use crate::shown::shown;

/// A quota that is "used up" for no time at all is not asked about in a busy loop.
pub(super) const SHORTEST_WAIT: SignedDuration = SignedDuration::from_secs(10);

/// The failure that a 4xx answer amounts to.
pub(super) fn refusal(response: &Response, names: &[Name], now: Timestamp) -> Failure {
    let problem = response.problem();
    // A short wait is the backoff's business: without it, a "Retry-After: 0" would be a busy loop.
    let wait = response
        .retry_after(now)
        .filter(|until| until.duration_since(now) >= QUOTA_FROM);
    let retry = wait.map_or(Retry::Backoff, Retry::At);
    if let Some(most) = most_names(&problem, names.len()) {
        return Failure {
            most_names: Some(most),
            ..failure(&problem, names, reason::TOO_MANY_NAMES)
        };
    }
    let reason = match reason_of(&problem) {
        reason::MALFORMED | reason::REFUSED | reason::UNAUTHORIZED if is_about_dates(&problem) => {
            reason::DURATION_REFUSED
        }
        other => other,
    };
    Failure {
        retry,
        ..failure(&problem, names, reason)
    }
}

/// Does the answer refuse the dates that the certificate was to have? ACME has no type for it: Boulder writes
/// `NotBefore and NotAfter are not supported` (2026-11).
fn is_about_dates(problem: &Problem) -> bool {
    let words = problem.message().to_ascii_lowercase();
    ["notafter", "not after", "notbefore", "validity"]
        .iter()
        .any(|word| words.contains(word))
}

/// Is it the number of names that the answer refuses?
pub(super) fn is_about_number(problem: &Problem, names: &[Name]) -> bool {
    most_names(problem, names.len()).is_some()
}

/// Does a refusal of newOrder speak of its `replaces` (RFC 9773 §5), or may it? Another request tells. CAs
/// have no type of their own for a certificate that they do not know, or that is another account's.
pub(super) fn is_about_replaces(status: u16, problem: &Problem) -> bool {
    let words = problem.message().to_ascii_lowercase();
    matches!(status, 404 | 409)
        || matches!(problem.kind(), kind::ALREADY_REPLACED | kind::MALFORMED)
        || ["replac", "certid"].iter().any(|word| words.contains(word))
}

/// The failure that an answer amounts to which says that `quota` is used up.
pub(super) fn used_up(response: &Response, quota: Quota, names: &[Name], now: Timestamp) -> Failure {
    let at_least = now.saturating_add(SHORTEST_WAIT).unwrap_or(now);
    Failure {
        retry: Retry::At(quota.until.max(at_least)),
        quota: Some(quota.scope),
        ..failure(&response.problem(), names, reason::RATE_LIMITED)
    }
}

/// The failure that an invalid order's own error amounts to.
pub(super) fn order_failure(problem: Option<&Problem>, names: &[Name]) -> Failure {
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
            quota: None,
            most_names: None,
        },
    }
}

/// The failure that the authorizations of an invalid order tell; none if none is invalid.
pub(super) fn validation_failure(state: &OrderState, names: &[Name]) -> Option<Failure> {
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
        quota: None,
        most_names: None,
    })
}

/// An answer that does not fit the question.
pub(super) fn unexpected(message: &str) -> Failure {
    Failure {
        reason: reason::UNEXPECTED_ANSWER,
        message: shown(message),
        names: Vec::new(),
        retry: Retry::Backoff,
        quota: None,
        most_names: None,
    }
}

fn failure(problem: &Problem, names: &[Name], reason: &'static str) -> Failure {
    let about = problem
        .subproblems
        .iter()
        .filter_map(|part| part.identifier.as_ref());
    let mut about = known(about.map(|identifier| identifier.value.as_str()), names);
    let message = problem.message();
    if about.is_empty() && matches!(reason, reason::REJECTED_IDENTIFIER | reason::CAA) {
        // Not every CA has subproblems; some name the name in their words.
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '*' | ':');
        let words = message.split(|c: char| !is_of_name(c));
        about = known(words.map(|word| word.trim_end_matches(['.', ':'])), names);
    }
    Failure {
        reason,
        message,
        names: about,
        retry: Retry::Backoff,
        quota: None,
        most_names: None,
    }
}

/// Those of `names` that the CA mentions, sorted and once each.
fn known<'a>(mentioned: impl Iterator<Item = &'a str>, names: &[Name]) -> Vec<Name> {
    let mut found: Vec<Name> = mentioned
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
        kind::BAD_CSR | kind::BAD_PUBLIC_KEY => reason::BAD_CSR,
        kind::CAA => reason::CAA,
        kind::CONNECTION | kind::DNS | kind::INCORRECT_RESPONSE | kind::TLS => reason::VALIDATION_FAILED,
        kind::EXTERNAL_ACCOUNT_REQUIRED => reason::EXTERNAL_ACCOUNT_REQUIRED,
        kind::INVALID_PROFILE => reason::PROFILE_NOT_OFFERED,
        kind::MALFORMED => reason::MALFORMED,
        kind::RATE_LIMITED => reason::RATE_LIMITED,
        kind::REJECTED_IDENTIFIER | kind::UNSUPPORTED_IDENTIFIER => reason::REJECTED_IDENTIFIER,
        kind::UNAUTHORIZED => reason::UNAUTHORIZED,
        kind::USER_ACTION_REQUIRED => reason::USER_ACTION_REQUIRED,
        // ACME lets a CA use types of its own, and HTTP edges answer without any.
        _ => reason::REFUSED,
    }
}
