//! The only place where this crate looks at a clock.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rustix::time::{ClockId, clock_gettime};
use sancho_limiter::Moment;

/// The wall clock, in whole seconds: what statuses and certificates speak of.
#[must_use]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
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
