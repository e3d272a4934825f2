//! The only place where this crate looks at a clock.
//!
//! A wall clock that jumps must not have every certificate renewed at once, or be taken for expired. So this machine's counts
//! only as one of three, beside what the API server and the CA say in the `Date` of their answers: where it is far from what
//! both of them say, the one in the middle is gone by. What they said goes on by CLOCK_BOOTTIME, which nobody sets. Where only
//! one of them was heard, nobody can tell who is wrong, and this machine's clock counts.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rustix::time::{ClockId, clock_gettime};
use sancho_limiter::Moment;

/// A machine's clock that is so far from that of others is wrong; less does no harm to what lives for hours.
pub const FAR: SignedDuration = SignedDuration::from_mins(5);

/// Whose clock is heard of besides this machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// The API server.
    ApiServer,
    /// A CA.
    Ca,
}

/// What a witness said, and when.
#[derive(Debug, Clone, Copy)]
struct Said {
    wall: Timestamp,
    at: Moment,
}

static SAID: Mutex<[Option<Said>; 2]> = Mutex::new([None; 2]);

/// A witness has sent an answer just now with this `Date` (RFC 9110 §6.6.1). What is no date is passed over.
pub fn heard(witness: Witness, date: &str) {
    let wall = httpdate::parse_http_date(date.trim()).ok();
    let Some(wall) = wall.and_then(|wall| Timestamp::try_from(wall).ok()) else {
        return;
    };
    let said = Said { wall, at: boot() };
    let mut all = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    all[witness as usize] = Some(said);
    let own = Timestamp::now();
    let ahead = own.duration_since(agreed(own, *all, said.at));
    drop(all);
    if !ahead.is_zero() {
        tracing::debug!(
            seconds = ahead.as_secs(),
            "this machine's clock is ahead of the API server's and the CA's, or behind; theirs counts"
        );
    }
}

/// The wall clock.
#[must_use]
pub fn precise() -> Timestamp {
    let said = *SAID.lock().unwrap_or_else(PoisonError::into_inner);
    agreed(Timestamp::now(), said, boot())
}

/// What this machine's clock says, be it right or wrong: Leases have it, so that people can see how far it is off.
#[must_use]
pub fn own() -> Timestamp {
    Timestamp::now()
}

/// What this machine's clock says, unless it is far from the middle of all three.
fn agreed(own: Timestamp, said: [Option<Said>; 2], now: Moment) -> Timestamp {
    let goes_on = |said: Said| {
        said.wall
            .saturating_add(now.since(said.at))
            .unwrap_or(Timestamp::MAX)
    };
    let [Some(one), Some(other)] = said.map(|said| said.map(goes_on)) else {
        return own;
    };
    let mut all = [own, one, other];
    all.sort_unstable();
    let middle = all[1];
    match own.duration_since(middle).abs() > FAR {
        true => middle,
        false => own,
    }
}

/// The wall clock, in whole seconds: what statuses and certificates speak of.
#[must_use]
pub fn now() -> Timestamp {
    let now = precise();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// A moment as Kubernetes objects write it.
#[must_use]
pub fn time(at: Timestamp) -> Time {
    Time(at)
}

/// The first whole second that is not before `at`: a wait that is written down is not cut short by it.
#[must_use]
pub fn whole_second_after(at: Timestamp) -> Timestamp {
    let second = if at.subsec_nanosecond() > 0 {
        at.as_second().saturating_add(1)
    } else {
        at.as_second()
    };
    Timestamp::from_second(second).unwrap_or(at)
}

/// CLOCK_BOOTTIME: it does not jump, and goes on while the machine sleeps. Slots are judged by it.
#[must_use]
pub fn boot() -> Moment {
    let read = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(read.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(read.tv_nsec).unwrap_or_default();
    Moment::from_micros(u64::try_from(Duration::new(seconds, nanos).as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn said(wall: i64, second: u64) -> Option<Said> {
        Some(Said {
            wall: at(wall),
            at: Moment::from_micros(second * 1_000_000),
        })
    }

    #[test]
    fn a_clock_that_two_others_contradict_is_not_gone_by() {
        let month = 30 * 24 * 3600;
        let now = Moment::from_micros(100 * 1_000_000);
        // The API server said 1,000 at 90, the CA 950 at 40: both mean 1,010 by now.
        let both = [said(1000, 90), said(950, 40)];
        for (own, expected) in [
            (1010, 1010),
            (1010 + 299, 1010 + 299),
            (1010 - 300, 1010 - 300),
            (1010 + 301, 1010),
            (1010 + month, 1010),
            (1010 - month, 1010),
        ] {
            assert_eq!(agreed(at(own), both, now), at(expected), "{own}");
        }
        // One of them is wrong: the other one and this machine agree.
        for wrong in [1000 + month, 1000 - 900] {
            assert_eq!(agreed(at(1010), [said(wrong, 90), said(950, 40)], now), at(1010));
            assert_eq!(agreed(at(1010), [said(950, 40), said(wrong, 90)], now), at(1010));
        }
        // Nobody can tell who is wrong.
        for heard in [[None, None], [said(1000, 90), None], [None, said(1000, 90)]] {
            assert_eq!(agreed(at(1010 + month), heard, now), at(1010 + month));
        }
        // All three differ: the one in the middle is the least wrong.
        let apart = [said(1000, 90), said(950 + 7200, 40)];
        assert_eq!(agreed(at(1010 + month), apart, now), at(1010 + 7200));
    }
}
