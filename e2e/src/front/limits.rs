//! What the front refuses: the arithmetic of nginx's `limit_req` and `limit_conn`, without a clock.

use std::time::Duration;

/// A rate with a burst, as `limit_req rate=…r/s burst=… nodelay` has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// Requests per second, to a thousandth.
    pub per_second: f64,
    /// How many may come early.
    pub burst: u32,
}

/// A leaky bucket that counts in thousandths of a request and in whole milliseconds, as nginx
/// does. A refused request leaves no trace in it.
#[derive(Debug, Default)]
pub(crate) struct LeakyBucket {
    last: Option<Level>,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    at_ms: u64,
    excess_milli: u64,
}

impl LeakyBucket {
    /// Whether a request at `now` (since the front's start) is let through.
    pub(crate) fn admit(&mut self, limit: RateLimit, now: Duration) -> bool {
        let at_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let excess_milli = match self.last {
            None => 0,
            Some(last) => {
                let rate_milli = (limit.per_second * 1000.0).round() as u64;
                let leaked = rate_milli.saturating_mul(at_ms.saturating_sub(last.at_ms)) / 1000;
                (last.excess_milli + 1000).saturating_sub(leaked)
            }
        };
        if excess_milli > u64::from(limit.burst) * 1000 {
            return false;
        }
        self.last = Some(Level { at_ms, excess_milli });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(per_second: f64, burst: u32, at_ms: &[u64]) -> Vec<u64> {
        let mut bucket = LeakyBucket::default();
        let limit = RateLimit { per_second, burst };
        let admits = |ms: &&u64| bucket.admit(limit, Duration::from_millis(**ms));
        at_ms.iter().filter(admits).copied().collect()
    }

    #[test]
    fn without_burst_each_request_needs_its_spacing() {
        assert_eq!(admitted(5.0, 0, &[0, 199, 200, 399, 400]), [0, 200, 400]);
    }

    #[test]
    fn a_refused_request_costs_nothing() {
        assert_eq!(admitted(5.0, 0, &[0, 50, 100, 150, 200]), [0, 200]);
    }

    #[test]
    fn the_burst_comes_on_top_of_the_first() {
        assert_eq!(admitted(10.0, 5, &[0; 8]).len(), 6);
        assert_eq!(admitted(10.0, 5, &[0, 0, 0, 0, 0, 0, 100, 100]).len(), 7);
    }

    #[test]
    fn slow_rates_keep_their_thousandths() {
        assert_eq!(admitted(0.5, 0, &[0, 1999, 2000, 4000]), [0, 2000, 4000]);
    }

    #[test]
    fn time_within_one_millisecond_does_not_leak() {
        let mut bucket = LeakyBucket::default();
        let limit = RateLimit {
            per_second: 1000.0,
            burst: 0,
        };
        assert!(bucket.admit(limit, Duration::from_micros(1_000)));
        assert!(!bucket.admit(limit, Duration::from_micros(1_999)));
        assert!(bucket.admit(limit, Duration::from_micros(2_000)));
    }
}
