//! When a CA is asked about a certificate's renewal, and what its answer comes to (RFC 9773 §4.3).
//!
//! [`first_look`] → [`look_time`] → request → [`heard`] → [`look_time`] …
//!
//! Each moment has a jitter that the shard fixes. Looks that were missed, because nobody ran or a
//! clock has jumped, are spread over [`INTERVAL`] again and not made up for at once.

use jiff::{SignedDuration, Timestamp};

use super::info::{RenewalInfo, Unusable};
use super::{backoff, fraction};
use crate::order::Reply;
use crate::shown::shown_within;

/// The time between two looks if the CA names none, and after an answer that is of no use (RFC 9773
/// §4.3.3).
pub const INTERVAL: SignedDuration = SignedDuration::from_hours(6);
/// The bounds of the time that the CA names (RFC 9773 §4.3.2).
pub const RETRY_AFTER_BOUNDS: (SignedDuration, SignedDuration) =
    (SignedDuration::from_mins(1), SignedDuration::from_hours(24));
/// A look that is late by more than this waits for the shard's own moment of an [`INTERVAL`]. So at
/// most a twelfth of all shards is asked about at once, whatever has happened.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

/// So many looks in a row that got no answer are repeated soon.
const TRIES: u32 = 5;
/// How much later than the CA has it the next look may come by jitter.
const SPREAD: f64 = 0.1;
/// A new certificate is not asked about before this part of its lifetime.
const FIRST: i64 = 24;
/// The most characters of an error that are kept.
const ERROR_MAX: usize = 256;

/// What is known of a CA's suggestion for one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The suggestion that counts, if there is one.
    pub info: Option<RenewalInfo>,
    /// When the CA is to be asked next; see [`look_time`].
    pub next_look: Timestamp,
    /// How many looks in a row were in vain.
    pub failures: u32,
    /// Why the last one was in vain, bounded and escaped.
    pub error: Option<String>,
}

impl Suggestion {
    /// Of a certificate that is issued at `now` and valid for `lifetime`: nothing is known, and the
    /// CA is asked after `first_look`.
    pub fn none_yet(now: Timestamp, lifetime: SignedDuration, seed: &str) -> Self {
        Self {
            info: None,
            next_look: plus(now, first_look(lifetime, seed)),
            failures: 0,
            error: None,
        }
    }
}

/// How long after its issuance a certificate is first asked about: a twenty-fourth of its lifetime,
/// at most [`INTERVAL`] and at least a minute, and up to as long again by the jitter that `seed`
/// fixes. A CA that wants every certificate renewed at once is obeyed no faster than that.
pub fn first_look(lifetime: SignedDuration, seed: &str) -> SignedDuration {
    let base = (lifetime / FIRST as i32).clamp(RETRY_AFTER_BOUNDS.0, INTERVAL);
    longer(base, 1.0, seed)
}

/// When a look that is planned for `planned` is made, as things stand at `now`: a moment that is over
/// means now.
///
/// That is at `planned`, unless more than `PATIENCE` has passed since, or it lies further ahead than any
/// answer can have put it (a clock was wrong): then at the next of the shard's own moments, one in
/// each `INTERVAL`, which `seed` fixes.
pub fn look_time(planned: Timestamp, now: Timestamp, seed: &str) -> Timestamp {
    let late = now.duration_since(planned);
    let furthest = longer(RETRY_AFTER_BOUNDS.1, SPREAD, seed);
    if late <= PATIENCE && late >= -furthest {
        return planned;
    }
    let interval = INTERVAL.as_secs();
    let phase = (interval as f64 * fraction(&["look", seed])) as i64;
    let earliest = now.as_second() - PATIENCE.as_secs() + 1;
    Timestamp::from_second(earliest + (phase - earliest).rem_euclid(interval)).unwrap_or(Timestamp::MAX)
}

/// Takes in what came of a look at `now`.
///
/// A usable answer replaces what was known. Where none came (no connection, no answer in time, 5xx, a
/// throttle) what was known still counts and the look is repeated after a backoff, five times;
/// after that, and after any other answer, nothing is known, and the usual rule tells when to renew.
///
/// Guarantees: the next look is at least a minute and at most a day and a tenth away, and not before
/// the answer's own Retry-After, as far as that is within a day.
pub fn heard(last: &Suggestion, reply: &Reply, now: Timestamp, seed: &str) -> Suggestion {
    let retry_after = match reply {
        Reply::Response(response) => response.retry_after(now),
        Reply::Lost | Reply::NotSent => None,
    };
    let bounded = retry_after.map(|until| {
        until
            .duration_since(now)
            .clamp(RETRY_AFTER_BOUNDS.0, RETRY_AFTER_BOUNDS.1)
    });
    let later = |wait| plus(now, longer(wait, SPREAD, seed));
    match answered(reply) {
        Answer::Info(info) => Suggestion {
            info: Some(info),
            next_look: later(bounded.unwrap_or(INTERVAL)),
            failures: 0,
            error: None,
        },
        Answer::None(error) if last.failures < TRIES => {
            let failures = last.failures + 1;
            let pause = SignedDuration::try_from(backoff(failures, seed)).unwrap_or(INTERVAL);
            Suggestion {
                info: last.info.clone(),
                next_look: plus(now, bounded.map_or(pause, |wait| wait.max(pause))),
                failures,
                error: Some(error),
            }
        }
        Answer::None(error) | Answer::Useless(error) => Suggestion {
            info: None,
            next_look: later(bounded.map_or(INTERVAL, |wait| wait.max(INTERVAL))),
            failures: last.failures.saturating_add(1),
            error: Some(error),
        },
    }
}

/// What a reply amounts to (RFC 9773 §4.3.3).
enum Answer {
    Info(RenewalInfo),
    /// No answer, for now.
    None(String),
    /// An answer that another try will not change.
    Useless(String),
}

fn answered(reply: &Reply) -> Answer {
    let response = match reply {
        Reply::Lost => return Answer::None("the CA did not answer in time".to_owned()),
        Reply::NotSent => return Answer::None("the CA could not be reached".to_owned()),
        Reply::Response(response) => response,
    };
    match RenewalInfo::read(response) {
        Ok(info) => Answer::Info(info),
        Err(error) => {
            let words = shown_within(&error.to_string(), ERROR_MAX);
            let is_passing = matches!(response.status, 408 | 425 | 429 | 500..);
            match error {
                Unusable::Refused(_) if is_passing => Answer::None(words),
                Unusable::Refused(_) | Unusable::NotJson(_) | Unusable::Time | Unusable::Window { .. } => {
                    Answer::Useless(words)
                }
            }
        }
    }
}

/// `wait`, and up to `part` of it more by the jitter that `seed` fixes.
fn longer(wait: SignedDuration, part: f64, seed: &str) -> SignedDuration {
    let more = wait.as_secs() as f64 * part * fraction(&["look", seed]);
    wait.saturating_add(SignedDuration::from_secs(more as i64))
}

fn plus(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
