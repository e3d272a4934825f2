//! A CA's answer to one request, as far as decisions depend on it.

mod name_limit;
mod problem;
mod quota;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;

pub(crate) use name_limit::most_names;
pub(crate) use problem::null_as_empty;
pub use problem::{Identifier, Problem, Subproblem, kind};
pub use quota::{Quota, Scope};

use crate::shown::shown_within;

/// The longest wait that a `Retry-After` is believed for: 30 days. No published quota is longer.
pub const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The longest URL that is taken from a CA's answer, in bytes. It goes into a status, as often as an order has names.
pub const LONGEST_URL: usize = 2048;

/// From how long a wait on a `rateLimited` problem of unknown text speaks of a quota that is used up and
/// not of the pace: 5 minutes.
pub const QUOTA_FROM: SignedDuration = SignedDuration::from_mins(5);

/// The most characters that are shown of why a body cannot be read.
const ERROR_SHOWN: usize = 200;

/// An HTTP answer: status, the headers that matter (as they came), and the body, whose size the
/// HTTP edge has already bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status code.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Location`: the URL of what was made.
    pub location: Option<String>,
    /// `Retry-After`: seconds or an HTTP date.
    pub retry_after: Option<String>,
    /// `Date`: the CA's own clock.
    pub date: Option<String>,
    /// `Replay-Nonce`.
    pub replay_nonce: Option<String>,
    /// The URLs of `Link` headers with `rel="alternate"` (RFC 8555 §7.4.2).
    pub alternates: Vec<String>,
    /// What no CA says.
    pub of_provider: Option<Box<OfProvider>>,
    /// The body.
    pub body: Vec<u8>,
}

/// What the API of a DNS provider says in headers that no CA sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfProvider {
    /// `NAME=VALUE` of each `Set-Cookie`: a session.
    pub cookies: Vec<String>,
    /// `opc-next-page`: what the next page of a list is asked for by (Oracle Cloud).
    pub next_page: Option<String>,
}

/// A CA that says "slower".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// It was asked too fast, or is overloaded. The wait ends at the moment given, if it gave one.
    Pace(Option<Timestamp>),
    /// A quota (of an account, a domain, a set of names) is used up. Others may go on sending.
    Quota(Quota),
}

impl Response {
    /// Is it a 2xx?
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The moment before which the CA does not want to be asked again, on the caller's clock.
    ///
    /// Seconds count from `now`, the moment of the answer. A date (RFC 9110 §5.6.7) is first made
    /// a duration by the answer's own `Date`, so that a CA's wrong clock does no harm; without a
    /// `Date` it is taken as it is. Never before `now`, never later than [`RETRY_AFTER_MAX`] from
    /// it; what cannot be read counts as absent.
    pub fn retry_after(&self, now: Timestamp) -> Option<Timestamp> {
        let text = self.retry_after.as_deref()?.trim();
        let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            // More digits than fit are a long wait, not a mistake.
            SignedDuration::from_secs(text.parse().unwrap_or(i64::MAX))
        } else {
            let until = http_date(text)?;
            until.duration_since(self.date.as_deref().and_then(http_date).unwrap_or(now))
        };
        Some(
            now.saturating_add(wait.clamp(SignedDuration::ZERO, RETRY_AFTER_MAX))
                .unwrap_or(Timestamp::MAX),
        )
    }

    /// Does the CA ask for a slower pace, or is a quota used up? Any 429 or 503 does, whatever its
    /// body. A quota is told by the problem `rateLimited`, by its text or with a wait of [`QUOTA_FROM`] or more.
    pub fn throttle(&self, now: Timestamp) -> Option<Throttle> {
        if self.status != 429 && self.status != 503 {
            return None;
        }
        Some(match quota::quota(self, now) {
            Some(quota) => Throttle::Quota(quota),
            None => Throttle::Pace(self.retry_after(now)),
        })
    }

    /// What the CA says is wrong, from a problem document, an HTML page, plain text or nothing.
    pub fn problem(&self) -> Problem {
        Problem::from_response(self)
    }

    /// The body as JSON. The error is fit to be shown.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, NotJson> {
        serde_json::from_slice(&self.body).map_err(|error| NotJson {
            status: self.status,
            // It quotes what stands in the body.
            error: shown_within(&error.to_string(), ERROR_SHOWN),
            body: problem::in_words(self),
        })
    }
}

/// A body that is not the JSON that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the CA answered {status} with a body that cannot be read ({error}): {body}")]
pub struct NotJson {
    /// The HTTP status code.
    pub status: u16,
    /// Where reading failed, bounded and escaped.
    pub error: String,
    /// The body in words, bounded and escaped.
    pub body: String,
}

fn http_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text.trim()).ok()?).ok()
}

#[cfg(test)]
mod tests;
