//! A finalized order that comes to no end: until when its certificate is waited for.
//!
//! A CA may take its time (RFC 8555 §7.4: "processing"), and a second order beside one that is merely slow would be of no
//! use. But one that hangs for ever must not keep a certificate from being renewed.

use jiff::{SignedDuration, Timestamp};

use super::state::{OrderState, Stage};
use super::step::{Failure, Retry, reason};

/// The longest wait. CAs issue within seconds, under load within minutes; where people look at an order, within a day.
pub(super) const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// The shortest wait, however soon the certificate in use expires.
const SHORTEST: SignedDuration = SignedDuration::from_mins(5);
/// The longest wait once it has expired.
const ONCE_EXPIRED: SignedDuration = SignedDuration::from_hours(1);
/// The shortest wait where the user asks for another attempt.
const BY_HAND: SignedDuration = SignedDuration::from_mins(1);

/// What bears on how long a certificate is waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience<'a> {
    /// The end of the certificate in use.
    pub not_after: Option<Timestamp>,
    /// What the user asks for by hand, as in [`OrderState::asked`].
    pub asked: Option<&'a str>,
}

/// The failure that a finalized order amounts to which was just asked about in vain: if its certificate was waited for until
/// the order expires, or for a day; for a quarter of what was left of the certificate in use, if that is less; or for a
/// minute, if the user has asked for another attempt since the order was begun.
pub fn overdue(state: &OrderState, patience: Patience<'_>, now: Timestamp) -> Option<Failure> {
    let since = state.finalized?;
    // One that has just moved is asked about once more at least.
    let is_stuck = matches!(state.stage, Stage::Ready | Stage::Processing | Stage::Valid) && state.polls > 0;
    if !is_stuck || now < waited_for(state, patience)? {
        return None;
    }
    let what = match state.stage {
        Stage::Valid => "the certificate cannot be downloaded",
        _ => "the CA does not come to an end",
    };
    let url = state.url.as_deref().unwrap_or_default();
    Some(Failure {
        reason: reason::ORDER_OVERDUE,
        message: format!(
            "{what} since the order {url} was finalized at {}: it is given up",
            whole_second(since)
        ),
        names: Vec::new(),
        retry: Retry::Backoff,
        quota: None,
        most_names: None,
    })
}

/// Until when the certificate of a finalized order is waited for. To be asked about then, whatever the CA says: it may say
/// that it wants to be left alone for longer.
pub fn waited_for(state: &OrderState, patience: Patience<'_>) -> Option<Timestamp> {
    let since = state.finalized?;
    let is_by_hand = state.asked.is_some() && state.asked.as_deref() != patience.asked;
    let until = waited_until(since, state.expires, patience.not_after);
    Some(match is_by_hand {
        true => until.min(plus(since, BY_HAND)),
        false => until,
    })
}

fn waited_until(since: Timestamp, expires: Option<Timestamp>, not_after: Option<Timestamp>) -> Timestamp {
    let end = plus(since, LONGEST);
    let end = expires.map_or(end, |expires| end.min(expires));
    let end = match not_after.map(|not_after| not_after.duration_since(since)) {
        None => end,
        Some(left) if left.is_positive() => end.min(plus(since, left / 4)),
        Some(_) => end.min(plus(since, ONCE_EXPIRED)),
    };
    end.max(plus(since, SHORTEST))
}

fn plus(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
