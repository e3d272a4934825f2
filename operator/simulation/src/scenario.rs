//! One run: who, how long, toward which CA, with which work and which faults.

use std::collections::BTreeSet;
use std::time::Duration;

use sancho_limiter::{Budget, Source};

use crate::ca::{Limits, Outage};
use crate::cluster::Cluster;
use crate::network::Network;
use crate::report::Report;

/// Waiting requests that no run ever works off.
const ENDLESS: u32 = u32::MAX;
/// A process that was told to leave has left after this.
const LEAVING: Duration = Duration::from_secs(30);

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// How many replicas there are.
    pub replicas: usize,
    /// How long the run is, in virtual time.
    pub lasts: Duration,
    /// The same seed gives the same run.
    pub seed: u64,
    /// What the CA bears.
    pub limits: Limits,
    /// The budget that is given; absent: it is to be found out.
    pub given: Option<Budget>,
    /// The ways.
    pub network: Network,
    /// What there is to do.
    pub work: Work,
    /// One replica after another is killed, restarted or told to leave, after a time of up to twice this.
    pub churn: Option<Duration>,
    /// One request in so many is for newOrder. Absent: none is.
    pub new_order_one_in: Option<u32>,
    /// When the CA does not work.
    pub outages: Vec<Outage>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Every replica has more requests than it can ever send.
    Steady,
    /// Once an hour, within its first ten minutes, every replica gets so many requests.
    Hourly(u32),
}

impl Scenario {
    /// A CA that limits like nginx, one replica alone with steady work for an hour, on a loopback network.
    pub fn new(requests_per_second: f64, burst: u32, seed: u64) -> Self {
        Self {
            replicas: 1,
            lasts: Duration::from_secs(3600),
            seed,
            limits: Limits {
                refusal: crate::ca::Refusal::Nginx,
                requests_per_second,
                burst,
                connections: None,
                new_order: None,
            },
            given: None,
            network: Network::loopback(),
            work: Work::Steady,
            churn: None,
            new_order_one_in: None,
            outages: Vec::new(),
        }
    }

    /// The replicas before anything has happened; the Lease has been there before, and nobody holds a slot.
    pub fn cluster(&self) -> Cluster {
        let configured = match &self.given {
            Some(budget) => (budget.clone(), Source::Given),
            None => (Budget::unknown_ca(), Source::Discovered),
        };
        let mut cluster = Cluster::build(
            self.replicas,
            configured,
            self.limits.clone(),
            self.outages.clone(),
            self.network.clone(),
            self.seed,
        )
        .with_free_slots();
        cluster.new_order_one_in = self.new_order_one_in;
        if self.work == Work::Steady {
            for replica in 0..self.replicas {
                cluster.demand(replica, ENDLESS);
            }
        }
        cluster
    }

    /// Runs to the end.
    pub fn run(&self) -> Report {
        let mut cluster = self.cluster();
        self.run_on(&mut cluster, self.lasts);
        Report::new(self, &cluster)
    }

    /// Lets `span` pass, with work and churn coming as they do.
    fn run_on(&self, cluster: &mut Cluster, span: Duration) {
        let end = cluster.now() + span;
        // What comes next, by time; the number tells apart what comes together.
        let mut coming: BTreeSet<(Duration, usize, Coming)> = BTreeSet::new();
        if let Work::Hourly(_) = self.work {
            for replica in 0..self.replicas {
                let at = cluster.now() + self.within_ten_minutes(cluster);
                coming.insert((at, replica, Coming::Work));
            }
        }
        if let Some(churn) = self.churn {
            let at = cluster.now() + random_wait(cluster, churn);
            coming.insert((at, self.replicas, Coming::End));
        }
        while let Some((at, number, what)) = coming.pop_first() {
            if at > end {
                break;
            }
            cluster.run_for(at - cluster.now());
            match what {
                Coming::Work => {
                    if let Work::Hourly(requests) = self.work {
                        let all = cluster.waiting(number).saturating_add(requests);
                        cluster.demand(number, all);
                    }
                    coming.insert((at + Duration::from_secs(3600), number, Coming::Work));
                }
                Coming::Replacement => {
                    let waiting = cluster.waiting(number);
                    cluster.replace(number);
                    cluster.demand(number, waiting);
                }
                Coming::End => {
                    if let Some(replacement) = self.end_one(cluster) {
                        coming.insert((at + LEAVING, replacement, Coming::Replacement));
                    }
                    let wait = self.churn.map_or(span, |churn| random_wait(cluster, churn));
                    // One at a time.
                    coming.insert((at + LEAVING + wait, number, Coming::End));
                }
            }
        }
        cluster.run_for(end - cluster.now());
    }

    /// One process ends, in one of three ways. Returns the replica that another pod will take the place of.
    fn end_one(&self, cluster: &mut Cluster) -> Option<usize> {
        let replica = usize::try_from(cluster.random(self.replicas as u64)).unwrap_or(0);
        let waiting = cluster.waiting(replica);
        match cluster.random(3) {
            0 => {
                cluster.kill(replica);
                Some(replica)
            }
            1 => {
                cluster.restart(replica);
                cluster.demand(replica, waiting);
                None
            }
            _ => {
                cluster.leave(replica);
                Some(replica)
            }
        }
    }

    fn within_ten_minutes(&self, cluster: &mut Cluster) -> Duration {
        Duration::from_millis(cluster.random(600_000))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Coming {
    Work,
    Replacement,
    End,
}

fn random_wait(cluster: &mut Cluster, mean: Duration) -> Duration {
    let millis = u64::try_from(mean.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(cluster.random(millis.saturating_mul(2)))
}
