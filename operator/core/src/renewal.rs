//! When a certificate is renewed, and when a failed attempt is made again.
//!
//! Each moment has a jitter that is fixed by a seed (the shard), so that every replica computes
//! the same one, and ten thousand shards that were issued in one night are not renewed in one.

//!
//! A CA may suggest when to renew ([`RenewalInfo`], RFC 9773). Its word counts instead of the usual two thirds
//! of the lifetime, and can bring a `renewBefore` that was given forward, but not put it off:
//! [`suggested_renewal_time`].

mod cert_id;
mod go_duration;
mod info;
mod looks;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

pub use cert_id::{CertId, NotACertId};
pub use go_duration::{GoDurationError, parse_go_duration};
pub use info::{RenewalInfo, Unusable, Window};
pub use looks::{Suggestion, heard, look_time};

/// The first wait after a failure.
pub const BACKOFF_MIN: Duration = Duration::from_secs(60);
/// The longest wait after a failure.
pub const BACKOFF_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest wait after a failure once the certificate has expired.
pub const BACKOFF_EXPIRED_MAX: Duration = Duration::from_secs(60 * 60);
/// The longest wait before a name is looked at again that only a look of our own has refused. Looks cost the CA nothing:
/// ten thousand such names, a hundred in a shard, are three looks a second and five writes of a status a minute.
pub const LOOK_AGAIN_MAX: Duration = Duration::from_secs(60 * 60);

/// The first wait before a look at something in the cluster that stands in the way.
pub const OBSTACLE_MIN: Duration = Duration::from_secs(15);
/// The longest wait before such a look.
pub const OBSTACLE_MAX: Duration = Duration::from_secs(10 * 60);

/// A jitter makes a wait longer by up to this share of it.
const BACKOFF_JITTER: f64 = 0.2;
/// However soon the certificate in use expires, a CA is asked about a name that it has refused no more often than this,
/// as long as there is time: Let's Encrypt bears five refusals an hour, and five more at once.
const REFUSED_EVERY: Duration = Duration::from_secs(15 * 60);

/// How much earlier than due a renewal may be made by jitter, in parts of the lifetime: 3 %.
const JITTER: f64 = 0.03;

/// When a certificate that is valid from `not_before` to `not_after` is renewed.
///
/// Due are two thirds of the lifetime, or `renew_before` ahead of the expiry; a `renew_before`
/// that is not shorter than the lifetime would renew without end, and is not heeded. The jitter,
/// fixed by `seed`, makes it up to 3 % of the lifetime earlier, and never by more than half of the
/// time until it is due.
///
/// Guarantees: in whole seconds; before `not_after` and not before `not_before` whenever the
/// lifetime is a second or more; else `not_after`.
pub fn renewal_time(
    not_before: Timestamp,
    not_after: Timestamp,
    renew_before: Option<Duration>,
    seed: &str,
) -> Timestamp {
    let lifetime = not_after.as_second().saturating_sub(not_before.as_second());
    if lifetime <= 0 {
        return not_after;
    }
    let ahead = renew_before
        .and_then(|duration| i64::try_from(duration.as_secs()).ok())
        .filter(|&seconds| seconds > 0 && seconds < lifetime)
        .unwrap_or((lifetime + 2) / 3);
    let due = lifetime - ahead;
    let window = (lifetime as f64 * JITTER).min(due as f64 / 2.0);
    let earlier = (window * fraction(&["renewal", seed])) as i64;
    Timestamp::from_second(not_before.as_second() + due - earlier).unwrap_or(not_after)
}

/// How long before its expiry a certificate that is valid from `not_before` to `not_after` has this share of its
/// lifetime left: `renew_before` of [`renewal_time`], by a `percentage` from 1 to 99.
///
/// Guarantees: in whole seconds, and shorter than the lifetime.
pub fn share_of_lifetime(not_before: Timestamp, not_after: Timestamp, percentage: u32) -> Duration {
    let lifetime = not_after.as_second().saturating_sub(not_before.as_second());
    let lifetime = u64::try_from(lifetime).unwrap_or_default();
    Duration::from_secs(lifetime * u64::from(percentage.min(99)) / 100)
}

/// When a certificate is renewed for which the CA suggests `suggested`, a moment of its window
/// ([`Window::moment`]).
///
/// At that moment, but no later than `renew_before`, if it is given, asks for; and if it is not, no
/// later than when a sixth of the lifetime is left, whatever the CA says: a certificate that works is
/// not put at risk. With the jitter of [`renewal_time`], so that many that are bounded so do not
/// come together. A moment that is over means now.
///
/// Guarantees: before `not_after` and not before `not_before`, as [`renewal_time`].
pub fn suggested_renewal_time(
    not_before: Timestamp,
    not_after: Timestamp,
    renew_before: Option<Duration>,
    suggested: Timestamp,
    seed: &str,
) -> Timestamp {
    let lifetime = not_after.as_second().saturating_sub(not_before.as_second());
    let sixth = u64::try_from(lifetime / 6).ok().map(Duration::from_secs);
    let latest = renewal_time(not_before, not_after, renew_before.or(sixth), seed);
    suggested.max(not_before).min(latest)
}

/// How long to wait after `count` failures in a row: [`BACKOFF_MIN`] after the first, then twice as
/// long each time up to [`BACKOFF_MAX`], with up to a fifth added by a jitter that `seed` and
/// `count` fix. The longest wait has it too.
pub fn backoff(count: u32, seed: &str) -> Duration {
    backoff_within((BACKOFF_MIN, BACKOFF_MAX), count, seed)
}

/// The same from `least` up to `most`, but `least` in any case.
fn backoff_within((least, most): (Duration, Duration), count: u32, seed: &str) -> Duration {
    let doublings = count.saturating_sub(1).min(31);
    let base = least
        .saturating_mul(1 << doublings)
        // Room for the jitter: else what has failed often would come together once more.
        .min(most.div_f64(1.0 + BACKOFF_JITTER))
        .max(least);
    let jitter = BACKOFF_JITTER * fraction(&["backoff", seed, &count.to_string()]);
    base.mul_f64(1.0 + jitter)
}

/// When to try again after `count` failures in a row: after [`backoff`], sooner as the expiry of
/// the certificate that is in use nears (after at most a tenth of what is left of it), and at
/// the latest every [`BACKOFF_EXPIRED_MAX`] once it has expired. Never sooner than [`BACKOFF_MIN`]
/// from `now`. In whole seconds.
pub fn retry_time(now: Timestamp, count: u32, not_after: Option<Timestamp>, seed: &str) -> Timestamp {
    let most = longest_wait(now, not_after);
    later(now, backoff_within((BACKOFF_MIN, most), count, seed))
}

/// The same for a name that a look of our own has refused: at the latest after [`LOOK_AGAIN_MAX`].
pub fn look_again_time(now: Timestamp, count: u32, not_after: Option<Timestamp>, seed: &str) -> Timestamp {
    let most = longest_wait(now, not_after).min(LOOK_AGAIN_MAX);
    later(now, backoff_within((BACKOFF_MIN, most), count, seed))
}

/// The same for a name that the CA has refused, which counts that by the hour: every 12 to 15 minutes at most, until half
/// an hour before the expiry; from then on after half of what is left each time, so that a name that is mended at the
/// last moment does not miss it.
pub fn ask_again_time(now: Timestamp, count: u32, not_after: Option<Timestamp>, seed: &str) -> Timestamp {
    let half = not_after.map(|end| left(now, end) / 2).unwrap_or_default();
    let most = longest_wait(now, not_after).max(half.min(REFUSED_EVERY));
    later(now, backoff_within((BACKOFF_MIN, most), count, seed))
}

/// When to look again at something in the cluster that stands in the way, after `count` looks in vain: nobody tells when it
/// is gone. From [`OBSTACLE_MIN`] to [`OBSTACLE_MAX`]. In whole seconds.
pub fn obstacle_time(now: Timestamp, count: u32, seed: &str) -> Timestamp {
    later(now, backoff_within((OBSTACLE_MIN, OBSTACLE_MAX), count, seed))
}

fn longest_wait(now: Timestamp, not_after: Option<Timestamp>) -> Duration {
    match not_after.map(|end| left(now, end)) {
        None => BACKOFF_MAX,
        Some(left) if left.is_zero() => BACKOFF_EXPIRED_MAX,
        Some(left) => BACKOFF_MAX.min(left / 10),
    }
}

/// How long a certificate is still valid that ends at `not_after`; no time at all once it has expired.
fn left(now: Timestamp, not_after: Timestamp) -> Duration {
    Duration::try_from(not_after.duration_since(now)).unwrap_or_default()
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let moment = now
        .saturating_add(SignedDuration::from_secs(wait.as_secs() as i64))
        .unwrap_or(Timestamp::MAX);
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

/// A number from 0 to 1 (not included) that the parts fix and that nothing else does.
fn fraction(parts: &[&str]) -> f64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    // 53 bits are what an f64 holds exactly.
    let bits = digest
        .iter()
        .take(7)
        .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte))
        >> 3;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests;
