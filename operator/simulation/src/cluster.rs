//! Replicas, an API server and a CA in virtual time: one queue of happenings, performed in order.
//!
//! The limiters are the real ones. Everything around them is here: messages that take their time, the Lease with
//! its compare-and-swap, the CA, processes that come and go.

mod happen;
mod replica;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use sancho_limiter::{AnswerTime, Budget, Cost, Durations, Event, Moment, Record, Source, Throttle};

use self::happen::{Due, Happening};
use self::replica::Replica;
use crate::ca::{Ca, Limits, Outage, Refusal};
use crate::figures::Figures;
use crate::meter::Meter;
use crate::network::Network;
use crate::random::Random;

const SECOND: u64 = 1_000_000;
/// The run begins when clocks already show something.
const START: u64 = 100 * SECOND;

/// A request as the CA saw it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When, from the clock's zero.
    pub at: Duration,
    /// Who sent it.
    pub replica: usize,
    /// It was refused.
    pub throttled: bool,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Without a word, and its pod with it.
    Killed,
    /// Without a word; the same container starts again at once.
    Restarted,
    /// Told to leave; another pod starts.
    Terminated,
}

/// The simulated cluster.
pub struct Cluster {
    now: u64,
    serial: u64,
    queue: BinaryHeap<Reverse<Due>>,
    lease: Option<(Record, u64)>,
    versions: u64,
    replicas: Vec<Replica>,
    configured: (Budget, Source),
    ca: Ca,
    network: Network,
    random: Random,
    meter: Meter,
    answers: AnswerTime,
    /// One request in so many is for newOrder, if any is.
    pub(crate) new_order_one_in: Option<u32>,
    /// Do replicas see changes of the Lease by a watch, or only when they read it?
    pub watches: bool,
    /// All requests, if they are to be kept.
    pub arrivals: Option<Vec<Arrival>>,
    /// What was counted so far.
    pub figures: Figures,
}

impl Cluster {
    /// `count` replicas that are configured with `budget`, in front of a CA that bears just that.
    pub fn new(count: usize, budget: &Budget) -> Self {
        let limits = Limits {
            refusal: Refusal::Nginx,
            requests_per_second: budget.requests_per_second,
            burst: budget.burst,
            connections: None,
            new_order: None,
        };
        let network = Network {
            round_trip: Duration::from_millis(3),
            jitter: Duration::from_millis(9),
            trouble_per_mille: 0,
        };
        let configured = (budget.clone(), Source::Given);
        let mut cluster = Self::build(count, configured, limits, Vec::new(), network, 42);
        cluster.arrivals = Some(Vec::new());
        cluster
    }

    pub(crate) fn build(
        count: usize,
        configured: (Budget, Source),
        limits: Limits,
        outages: Vec<Outage>,
        network: Network,
        seed: u64,
    ) -> Self {
        let outages = outages
            .into_iter()
            .map(|outage| Outage {
                from: outage.from + Duration::from_micros(START),
                ..outage
            })
            .collect();
        let mut cluster = Self {
            now: START,
            serial: 0,
            queue: BinaryHeap::new(),
            lease: None,
            versions: 0,
            replicas: Vec::new(),
            configured,
            ca: Ca::new(limits, outages, seed),
            network,
            random: Random::new(seed),
            meter: Meter::default(),
            answers: AnswerTime::default(),
            new_order_one_in: None,
            watches: true,
            arrivals: None,
            figures: Figures::new(count),
        };
        for replica in 0..count {
            cluster.replicas.push(Replica::new(replica));
            cluster.configure(replica);
        }
        cluster
    }

    /// With a table that nobody holds anything of, as it stands after an idle time.
    #[must_use]
    pub fn with_free_slots(mut self) -> Self {
        let (budget, source) = self.configured.clone();
        let mut record = Record::new("table".into(), budget, source, Durations::default());
        record.slots.iter_mut().for_each(|row| row.in_doubt = false);
        self.versions += 1;
        self.meter.in_force(&record.budget, self.now);
        self.lease = Some((record, self.versions));
        self
    }

    /// The Lease's content.
    pub fn record(&self) -> Option<&Record> {
        self.lease.as_ref().map(|(record, _)| record)
    }

    /// Somebody deletes the Lease.
    pub fn delete_lease(&mut self) {
        self.lease = None;
    }

    /// Of a thousand messages so many go wrong from now on.
    pub fn set_trouble(&mut self, per_mille: u64) {
        self.network.trouble_per_mille = per_mille;
    }

    /// The CA answers the next request with this.
    pub fn refuse_next(&mut self, throttle: Throttle) {
        self.ca.next_refusal = Some(throttle);
    }

    /// The CA bears something else from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.ca.set_limits(limits);
    }

    /// Chance begins at `seed` from now on.
    pub fn reseed(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// A whole number less than `bound`, from the run's own chance.
    pub fn random(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    /// The CA, as it stands.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// Virtual time, from the clock's zero.
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.now)
    }

    /// `replica` has so many requests to send.
    pub fn demand(&mut self, replica: usize, requests: u32) {
        self.tell(replica, Event::Demand(requests));
    }

    /// Tells `replica`'s limiter something.
    pub fn tell(&mut self, replica: usize, event: Event) {
        let life = self.replicas[replica].life;
        self.after(Duration::ZERO, Happening::Tell(replica, life, event));
    }

    /// The process dies without a word, and nothing comes after it.
    pub fn kill(&mut self, replica: usize) {
        self.note_end(replica, End::Killed);
        self.die(replica);
    }

    /// The next process of the same container.
    pub fn restart(&mut self, replica: usize) {
        self.note_end(replica, End::Restarted);
        self.die(replica);
        self.replicas[replica].live_again(replica, true);
        self.configure(replica);
    }

    /// The process is told to leave.
    pub fn leave(&mut self, replica: usize) {
        self.note_end(replica, End::Terminated);
        self.tell(replica, Event::Shutdown);
    }

    /// Another pod takes the place of `replica`'s, which must have ended.
    pub(crate) fn replace(&mut self, replica: usize) {
        self.die(replica);
        self.replicas[replica].live_again(replica, false);
        self.configure(replica);
    }

    fn die(&mut self, replica: usize) {
        let now = self.now;
        for _ in 0..self.replicas[replica].die(now, &mut self.figures) {
            self.ca.done();
        }
    }

    fn configure(&mut self, replica: usize) {
        let (budget, source) = self.configured.clone();
        self.tell(replica, Event::Configured { budget, source });
    }

    /// How many slots `replica` holds.
    pub fn slots_held(&self, replica: usize) -> usize {
        self.replicas[replica].slots(self.now).count()
    }

    /// Has `replica` given up everything?
    pub fn is_settled(&self, replica: usize) -> bool {
        self.replicas[replica].limiter.is_settled()
    }

    /// All replicas are configured with other figures from now on.
    pub fn reconfigure(&mut self, budget: &Budget, source: Source) {
        self.configured = (budget.clone(), source);
        for replica in 0..self.replicas.len() {
            self.configure(replica);
        }
    }

    /// How many requests of all replicas still wait.
    pub fn all_waiting(&self) -> u64 {
        let waiting = self.replicas.iter().map(|replica| u64::from(replica.waiting));
        waiting.sum()
    }

    /// How long those that wait take, as a replica would tell.
    pub fn estimate(&self) -> Duration {
        let budget = self
            .record()
            .map_or_else(Budget::unknown_ca, |record| record.budget.clone());
        let pauses = self.replicas.iter().filter_map(|replica| {
            let now: Moment = replica.clock(self.now);
            Some(replica.limiter.paused_until(now)?.since(now))
        });
        let pause = pauses.max().unwrap_or_default();
        let new_orders = self
            .replicas
            .iter()
            .map(|replica| u64::from(replica.new_orders_waiting));
        let cost = Cost {
            requests: self.all_waiting(),
            new_orders: new_orders.sum(),
        };
        self.answers.estimate(cost, &budget, pause)
    }

    /// How many requests of `replica` still wait.
    pub(crate) fn waiting(&self, replica: usize) -> u32 {
        self.replicas[replica].waiting
    }

    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + micros(span);
        while let Some(Reverse(due)) = self.queue.peek()
            && due.at <= end
        {
            if let Some(Reverse(due)) = self.queue.pop() {
                self.now = due.at;
                self.happen(due.happening);
            }
        }
        self.now = end;
        for replica in &mut self.replicas {
            replica.count_held(end, &mut self.figures);
        }
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        self.serial += 1;
        self.queue.push(Reverse(Due {
            at: self.now + micros(delay),
            serial: self.serial,
            happening,
        }));
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
