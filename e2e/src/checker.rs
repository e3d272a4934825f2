//! Judges an arrival log: `sort -> rate (I1) -> overlap of requests and of connections (I2)`.
//!
//! Pure, and written apart from the limiter: the two share no code, so that an error in one shows
//! in the other.
//!
//! # The bounds
//!
//! - **I1**: in every window of length W there are at most `1 + burst + rate · (W + jitter)`
//!   arrivals, whatever they were and whatever their answers: refused ones count too.
//! - **I2**: at no moment are more than `max_in_flight` requests unanswered, nor more than that
//!   many TCP connections open.
//!
//! # Caveats
//!
//! - A sender's spacing becomes uneven on its way. `jitter` is how much a pair of requests may
//!   have moved together, [`JITTER`] unless told.
//! - The front sees a connection's end after the sender closed it, by up to the time the end
//!   takes to arrive and be noticed. Each connection's interval is therefore shortened by
//!   `connection_tolerance`, [`CONNECTION_TOLERANCE`] unless told. Requests need none: the front
//!   marks a request as ended before its sender can know the answer.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::arrivals::ArrivalLog;

/// 25 ms: what two loaded cores and loopback do to the spacing of two requests.
pub const JITTER: Duration = Duration::from_millis(25);

/// 50 ms: how late the front may notice that a connection has been closed.
pub const CONNECTION_TOLERANCE: Duration = Duration::from_millis(50);

/// The budget that the log is judged against: the largest in force over its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Requests per second.
    pub per_second: f64,
    /// Requests that may come at once, beyond the first.
    pub burst: u32,
    /// Requests unanswered, and connections open, at once. `None`: not judged.
    pub max_in_flight: Option<u32>,
    /// See the module's caveats.
    pub jitter: Duration,
    /// See the module's caveats.
    pub connection_tolerance: Duration,
}

impl Bounds {
    /// Bounds with the tolerances of this module.
    pub fn new(per_second: f64, burst: u32, max_in_flight: Option<u32>) -> Self {
        Bounds {
            per_second,
            burst,
            max_in_flight,
            jitter: JITTER,
            connection_tolerance: CONNECTION_TOLERANCE,
        }
    }
}

/// What a log shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// All breaches of I1 and I2, in the order of time within each kind.
    pub violations: Vec<Violation>,
    /// All requests.
    pub requests: usize,
    /// Requests that a limit of the front refused.
    pub throttled: usize,
    /// Answers 201 to newOrder.
    pub orders: usize,
    /// The most requests unanswered at once.
    pub peak_in_flight: usize,
    /// The most connections open at once, after the tolerance.
    pub peak_connections: usize,
}

/// One breach.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Violation {
    /// I1: a request too many.
    Rate {
        /// When the request came, in microseconds since the front's start.
        at_us: u64,
        /// Who sent it.
        client: String,
        /// How many came in the window that ends with it, itself included. Requests reported
        /// before are left out, so that one excess is one violation.
        count: usize,
        /// That window's length, in microseconds.
        window_us: u64,
        /// How many were allowed in it.
        allowed: f64,
    },
    /// I2: a request while the allowed number was unanswered.
    InFlight {
        /// When it came.
        at_us: u64,
        /// Who sent it.
        client: String,
        /// How many were unanswered with it.
        count: usize,
    },
    /// I2: a connection while the allowed number was open.
    Connections {
        /// When it was accepted.
        at_us: u64,
        /// Its other end.
        peer: String,
        /// How many were open with it.
        count: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |us: &u64| Duration::from_micros(*us).as_secs_f64();
        match self {
            Violation::Rate {
                at_us,
                client,
                count,
                window_us,
                allowed,
            } => write!(
                f,
                "at {:.3} s {client} sent request {count} in {:.3} s, where {allowed:.2} are allowed",
                seconds(at_us),
                seconds(window_us)
            ),
            Violation::InFlight { at_us, client, count } => {
                write!(
                    f,
                    "at {:.3} s {client} had {count} requests unanswered",
                    seconds(at_us)
                )
            }
            Violation::Connections { at_us, peer, count } => {
                write!(f, "at {:.3} s {peer} opened connection {count}", seconds(at_us))
            }
        }
    }
}

/// Judges a log against a budget. O(n log n).
pub fn judge(log: &ArrivalLog, bounds: &Bounds) -> Verdict {
    let requests: Vec<Interval<'_>> = log
        .arrivals
        .iter()
        .map(|arrival| Interval {
            from_us: arrival.at_us,
            to_us: arrival.ended_us.unwrap_or(u64::MAX),
            who: &arrival.client,
        })
        .collect();
    let tolerance_us = micros(bounds.connection_tolerance);
    let connections: Vec<Interval<'_>> = log
        .connections
        .iter()
        .map(|connection| Interval {
            from_us: connection.opened_us,
            to_us: connection.closed_us.map_or(u64::MAX, |us| {
                us.saturating_sub(tolerance_us).max(connection.opened_us)
            }),
            who: &connection.peer,
        })
        .collect();

    let mut violations = rate_violations(&requests, bounds);
    let (peak_in_flight, excess) = overlap(&requests, bounds.max_in_flight);
    violations.extend(
        excess
            .into_iter()
            .map(|Excess { at_us, who, count }| Violation::InFlight {
                at_us,
                client: who.to_owned(),
                count,
            }),
    );
    let (peak_connections, excess) = overlap(&connections, bounds.max_in_flight);
    violations.extend(
        excess
            .into_iter()
            .map(|Excess { at_us, who, count }| Violation::Connections {
                at_us,
                peer: who.to_owned(),
                count,
            }),
    );
    Verdict {
        violations,
        requests: log.arrivals.len(),
        throttled: log.throttled(),
        orders: log.orders(),
        peak_in_flight,
        peak_connections,
    }
}

/// Something that lasts from one time to another, the end excluded.
struct Interval<'a> {
    from_us: u64,
    to_us: u64,
    who: &'a str,
}

/// One interval too many.
struct Excess<'a> {
    at_us: u64,
    who: &'a str,
    count: usize,
}

/// I1 for all windows at once.
///
/// With arrivals numbered by k, the window from i to j holds j − i + 1 of them and is allowed
/// 1 + burst + rate · (tⱼ − tᵢ + jitter). So xⱼ − xᵢ ≤ burst + rate · jitter with xₖ = k − rate · tₖ,
/// and it is enough to keep the least x so far. An arrival that breaks the bound is reported and
/// not numbered: the fewest that would have to be left out are reported.
fn rate_violations(requests: &[Interval<'_>], bounds: &Bounds) -> Vec<Violation> {
    struct Lowest {
        x: f64,
        number: usize,
        at_us: u64,
    }
    let mut sorted: Vec<&Interval<'_>> = requests.iter().collect();
    sorted.sort_by_key(|request| request.from_us);
    let slack = f64::from(bounds.burst) + bounds.per_second * bounds.jitter.as_secs_f64();
    let mut violations = Vec::new();
    let mut lowest: Option<Lowest> = None;
    let mut number = 0;
    for request in sorted {
        let seconds = Duration::from_micros(request.from_us).as_secs_f64();
        let x = number as f64 - bounds.per_second * seconds;
        match &lowest {
            // A millionth of a request is rounding.
            Some(low) if x - low.x > slack + 1e-6 => {
                let window_us = request.from_us - low.at_us;
                let window = Duration::from_micros(window_us).as_secs_f64();
                violations.push(Violation::Rate {
                    at_us: request.from_us,
                    client: request.who.to_owned(),
                    count: number - low.number + 1,
                    window_us,
                    allowed: 1.0 + slack + bounds.per_second * window,
                });
                continue;
            }
            Some(low) if x >= low.x => {}
            _ => {
                lowest = Some(Lowest {
                    x,
                    number,
                    at_us: request.from_us,
                })
            }
        }
        number += 1;
    }
    violations
}

/// The most intervals that hold at once, and those that began while `max` held.
fn overlap<'a>(intervals: &[Interval<'a>], max: Option<u32>) -> (usize, Vec<Excess<'a>>) {
    let mut starts: Vec<&Interval<'a>> = intervals.iter().collect();
    starts.sort_by_key(|interval| interval.from_us);
    let mut ends: Vec<u64> = intervals.iter().map(|interval| interval.to_us).collect();
    ends.sort_unstable();
    let (mut open, mut peak, mut ended) = (0_usize, 0, 0);
    let mut excess = Vec::new();
    for start in starts {
        open += 1;
        // An interval that ends as another starts does not overlap it.
        while ends[ended] <= start.from_us && open > 1 {
            open -= 1;
            ended += 1;
        }
        peak = peak.max(open);
        if max.is_some_and(|max| open > max as usize) {
            excess.push(Excess {
                at_us: start.from_us,
                who: start.who,
                count: open,
            });
        }
    }
    (peak, excess)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
