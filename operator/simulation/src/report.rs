//! The figures of a run, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::cluster::{Cluster, End};
use crate::scenario::{Scenario, Work};

/// What a run came to. Serialises as the JSON that `--report` writes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Replicas.
    pub replicas: usize,
    /// Virtual hours.
    pub hours: f64,
    /// The seed; the same one gives the same run.
    pub seed: u64,
    /// How often an invariant was broken: requests over the budget in force, slots held twice.
    pub violations: u64,
    /// The first of them in words.
    pub violations_shown: Vec<String>,
    /// Requests that the CA served.
    pub served: u64,
    /// The part of the CA's rate that was used, from 0 to 1; only with steady work.
    pub utilisation: Option<f64>,
    /// Refused requests, all together.
    pub throttled: u64,
    /// Of these, before the rate was found.
    pub throttled_learning: u64,
    /// The most in one hour after that.
    pub throttled_per_hour_after: u64,
    /// Seconds until the rate was found; absent if it is still searched for.
    pub learned_after_seconds: Option<f64>,
    /// The budget in force at the end.
    pub requests_per_second: f64,
    /// The burst in force at the end.
    pub burst: u32,
    /// The requests in flight allowed at the end.
    pub max_in_flight: u32,
    /// The fewest requests of a replica as a part of an equal share; only with steady work.
    pub least_share: Option<f64>,
    /// The longest time from a process's end to the next request on a slot that it held, one spacing of the
    /// slot taken off; only with steady work.
    pub takeover_seconds: Takeovers,
    /// Writes of the Lease.
    pub lease_writes: u64,
    /// Writes of the Lease a second for each replica that holds slots, two for each hand-over taken off.
    pub lease_writes_per_second: f64,
}

/// Longest takeovers, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Takeovers {
    /// After a process was killed with its pod.
    pub killed: Option<f64>,
    /// After a process was killed and its container started again.
    pub restarted: Option<f64>,
    /// After a process was told to leave.
    pub terminated: Option<f64>,
}

impl Report {
    /// The figures of `scenario`, run on `cluster`.
    pub fn new(scenario: &Scenario, cluster: &Cluster) -> Self {
        let figures = &cluster.figures;
        let is_steady = scenario.work == Work::Steady;
        let seconds = scenario.lasts.as_secs_f64();
        let served = figures.all_served();
        let share = served as f64 / figures.served.len() as f64;
        let least = figures.served.iter().min().copied().unwrap_or(0) as f64;
        let budget = cluster.record().map(|record| &record.budget);
        let turns = cluster.record().map_or(0, |record| record.turns);
        let takeover = |end: End| {
            let longest = figures.longest_takeover.get(&end);
            longest.filter(|_| is_steady).map(Duration::as_secs_f64)
        };
        let start = cluster.now().as_secs_f64() - seconds;
        Self {
            replicas: scenario.replicas,
            hours: seconds / 3600.0,
            seed: scenario.seed,
            violations: figures.violations,
            violations_shown: figures.violations_shown.clone(),
            served,
            utilisation: is_steady.then(|| served as f64 / (seconds * scenario.limits.requests_per_second)),
            throttled: figures.throttled(),
            throttled_learning: figures.throttled_learning,
            throttled_per_hour_after: figures.most_throttled_in_an_hour(),
            learned_after_seconds: figures.settled_at.map(|at| at.as_secs_f64() - start),
            requests_per_second: budget.map_or(0.0, |budget| budget.requests_per_second),
            burst: budget.map_or(0, |budget| budget.burst),
            max_in_flight: budget.map_or(0, |budget| budget.max_in_flight),
            least_share: (is_steady && served > 0).then(|| least / share),
            takeover_seconds: Takeovers {
                killed: takeover(End::Killed),
                restarted: takeover(End::Restarted),
                terminated: takeover(End::Terminated),
            },
            lease_writes: figures.lease_writes,
            lease_writes_per_second: (figures.lease_writes as f64 - 2.0 * turns as f64).max(0.0)
                / figures.seconds_held.max(1.0),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            replicas,
            hours,
            seed,
            violations,
            violations_shown,
            served,
            utilisation,
            throttled,
            throttled_learning,
            throttled_per_hour_after,
            learned_after_seconds,
            requests_per_second,
            burst,
            max_in_flight,
            least_share,
            takeover_seconds,
            lease_writes,
            lease_writes_per_second,
        } = self;
        writeln!(f, "replicas           {replicas}")?;
        writeln!(f, "hours              {hours} (seed {seed})")?;
        writeln!(f, "violations         {violations}")?;
        for words in violations_shown {
            writeln!(f, "                   {words}")?;
        }
        writeln!(f, "requests served    {served}")?;
        if let Some(utilisation) = utilisation {
            writeln!(f, "of the CA's rate   {:.1} %", utilisation * 100.0)?;
        }
        writeln!(
            f,
            "throttled          {throttled}: {throttled_learning} while learning, then at most \
             {throttled_per_hour_after} an hour"
        )?;
        match learned_after_seconds {
            Some(seconds) => writeln!(f, "rate found after   {seconds:.0} s")?,
            None => writeln!(f, "rate found after   not yet")?,
        }
        writeln!(
            f,
            "budget at the end  {requests_per_second} requests a second, burst {burst}, {max_in_flight} in flight"
        )?;
        if let Some(share) = least_share.filter(|_| *replicas > 1) {
            writeln!(f, "least share        {:.0} % of an equal one", share * 100.0)?;
        }
        let Takeovers {
            killed,
            restarted,
            terminated,
        } = takeover_seconds;
        for (how, seconds) in [
            ("a kill", killed),
            ("a restart", restarted),
            ("SIGTERM", terminated),
        ] {
            if let Some(seconds) = seconds {
                writeln!(f, "takeover           {seconds:.1} s after {how}")?;
            }
        }
        write!(
            f,
            "Lease writes       {lease_writes}, {lease_writes_per_second:.2} a second per holder beside hand-overs"
        )
    }
}
