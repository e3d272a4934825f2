//! A simulated API server and CA with several limiters, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sancho_limiter::{
    Action, Budget, Durations, Event, Holder, Limiter, Moment, PermitId, Read, Record, Source, Throttle,
    WriteId, WriteOutcome,
};

const MILLI: u64 = 1000;
const SECOND: u64 = 1_000_000;

/// What will happen at a point in virtual time.
enum Happening {
    Tell(usize, u32, Event),
    Tick(usize, u32, u64),
    ReadArrives(usize, u32),
    WriteArrives(usize, u32, WriteId, Box<Record>, Option<String>),
    /// Its sender has given up waiting for it.
    StrayWriteArrives(Box<Record>, Option<String>),
    RequestArrives(usize, u32, PermitId),
    RequestDone(usize, u32, PermitId, Option<Throttle>),
}

/// One process.
struct Replica {
    limiter: Limiter,
    alive: bool,
    /// Counts restarts; what was meant for an earlier life is dropped.
    life: u32,
    wake: u64,
    /// Its boot-time clock shows virtual time plus this.
    clock_offset: u64,
    open: BTreeSet<PermitId>,
    held_micros: u64,
}

/// A request as the CA saw it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub at: Duration,
    pub replica: usize,
    pub throttled: bool,
}

pub struct Cluster {
    now: u64,
    serial: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    pub lease: Option<(Record, u64)>,
    versions: u64,
    replicas: Vec<Replica>,
    ca: Budget,
    ca_full_at: f64,
    ca_in_flight: u32,
    pub ca_most_in_flight: u32,
    /// Answer the next request with this.
    pub next_throttle: Option<Throttle>,
    pub watches: bool,
    /// Of a thousand messages so many go wrong.
    pub trouble: u64,
    pub seed: u64,
    pub arrivals: Vec<Arrival>,
    pub writes: u64,
    pub conflicts: u64,
    pub reads: u64,
}

impl Cluster {
    /// `count` replicas that share `budget`, in front of a CA that bears just that.
    pub fn new(count: usize, budget: &Budget) -> Self {
        let mut cluster = Self {
            now: 100 * SECOND,
            serial: 0,
            queue: BTreeMap::new(),
            lease: None,
            versions: 0,
            replicas: Vec::new(),
            ca: budget.clone(),
            ca_full_at: 0.0,
            ca_in_flight: 0,
            ca_most_in_flight: 0,
            next_throttle: None,
            watches: true,
            trouble: 0,
            seed: 42,
            arrivals: Vec::new(),
            writes: 0,
            conflicts: 0,
            reads: 0,
        };
        for replica in 0..count {
            cluster.replicas.push(Replica {
                limiter: Limiter::new(holder(replica, 0), Durations::default()),
                alive: true,
                life: 0,
                wake: 0,
                clock_offset: 1000 * SECOND * replica as u64,
                open: BTreeSet::new(),
                held_micros: 0,
            });
            cluster.tell(
                replica,
                Event::Configured {
                    budget: budget.clone(),
                    source: Source::Given,
                },
            );
        }
        cluster
    }

    /// A table that nobody holds anything of, as it stands after an idle time.
    pub fn with_free_slots(mut self) -> Self {
        let mut record = Record::new(
            "table".into(),
            self.ca.clone(),
            Source::Given,
            Durations::default(),
        );
        record.slots.iter_mut().for_each(|row| row.in_doubt = false);
        self.versions += 1;
        self.lease = Some((record, self.versions));
        self
    }

    pub fn now(&self) -> Duration {
        Duration::from_micros(self.now)
    }

    pub fn demand(&mut self, replica: usize, requests: u32) {
        self.tell(replica, Event::Demand(requests));
    }

    pub fn tell(&mut self, replica: usize, event: Event) {
        let life = self.replicas[replica].life;
        self.at(0, Happening::Tell(replica, life, event));
    }

    /// The process dies without a word.
    pub fn kill(&mut self, replica: usize) {
        self.replicas[replica].alive = false;
        self.replicas[replica].life += 1;
        self.ca_in_flight -= self.replicas[replica].open.len() as u32;
        self.replicas[replica].open.clear();
    }

    /// The next process of the same container.
    pub fn restart(&mut self, replica: usize) {
        self.kill(replica);
        let life = self.replicas[replica].life;
        self.replicas[replica].alive = true;
        self.replicas[replica].limiter = Limiter::new(holder(replica, life), Durations::default());
        let event = Event::Configured {
            budget: self.ca.clone(),
            source: Source::Given,
        };
        self.tell(replica, event);
    }

    pub fn slots_held(&self, replica: usize) -> usize {
        let replica = &self.replicas[replica];
        if replica.alive {
            replica.limiter.slots_held(replica.clock(self.now)).len()
        } else {
            0
        }
    }

    pub fn is_settled(&self, replica: usize) -> bool {
        self.replicas[replica].limiter.is_settled()
    }

    /// Seconds that each replica held at least one slot, added up.
    pub fn seconds_held(&self) -> f64 {
        self.replicas
            .iter()
            .map(|replica| replica.held_micros as f64 / 1e6)
            .sum()
    }

    pub fn throttled(&self) -> usize {
        self.arrivals.iter().filter(|arrival| arrival.throttled).count()
    }

    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span.as_micros() as u64;
        while let Some(entry) = self.queue.first_entry() {
            let at = entry.key().0;
            if at > end {
                break;
            }
            let happening = entry.remove();
            self.pass_to(at);
            self.happen(happening);
            self.check_one_holder();
        }
        self.pass_to(end);
    }

    fn pass_to(&mut self, at: u64) {
        for index in 0..self.replicas.len() {
            if self.slots_held(index) > 0 {
                self.replicas[index].held_micros += at - self.now;
            }
        }
        self.now = at;
    }

    /// I3, at every moment.
    fn check_one_holder(&self) {
        let mut taken = BTreeSet::new();
        for replica in self.replicas.iter().filter(|replica| replica.alive) {
            for slot in replica.limiter.slots_held(replica.clock(self.now)) {
                assert!(
                    taken.insert(slot),
                    "slot {slot} is held twice at {:?}",
                    self.now()
                );
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tell(replica, life, event) => self.step(replica, life, event),
            Happening::Tick(replica, life, wake) => {
                if self.replicas[replica].wake == wake {
                    self.step(replica, life, Event::Tick);
                }
            }
            Happening::ReadArrives(replica, life) => {
                self.reads += 1;
                let (read, delay) = if self.is_trouble() {
                    (Read::Failed, 2 * SECOND)
                } else {
                    (self.read(), self.api_delay())
                };
                self.at(delay, Happening::Tell(replica, life, Event::Read(read)));
            }
            Happening::WriteArrives(replica, life, id, record, version) => {
                self.write_arrives(replica, life, id, record, version);
            }
            Happening::StrayWriteArrives(record, version) => {
                self.land(&record, version);
            }
            Happening::RequestArrives(replica, life, permit) => self.request_arrives(replica, life, permit),
            Happening::RequestDone(replica, life, permit, throttle) => {
                if self.replicas[replica].open.remove(&permit) {
                    self.ca_in_flight -= 1;
                    self.step(replica, life, Event::Answered { permit, throttle });
                }
            }
        }
    }

    fn write_arrives(
        &mut self,
        replica: usize,
        life: u32,
        id: WriteId,
        record: Box<Record>,
        version: Option<String>,
    ) {
        let (outcome, delay) = if !self.is_trouble() {
            (self.land(&record, version), self.api_delay())
        } else {
            match self.random(3) {
                0 => {}
                1 => drop(self.land(&record, version)),
                _ => {
                    let delay = self.random(20 * SECOND);
                    self.at(delay, Happening::StrayWriteArrives(record, version));
                }
            }
            (WriteOutcome::Unknown, 2 * SECOND)
        };
        self.at(
            delay,
            Happening::Tell(replica, life, Event::Written { id, outcome }),
        );
    }

    /// The API server's compare-and-swap.
    fn land(&mut self, record: &Record, version: Option<String>) -> WriteOutcome {
        self.writes += 1;
        if self.lease.as_ref().map(|(_, version)| version.to_string()) != version {
            self.conflicts += 1;
            return WriteOutcome::Conflict;
        }
        self.versions += 1;
        // Through the annotations, as it would be.
        let record = Record::from_annotations(&record.to_annotations()).unwrap();
        self.lease = Some((record, self.versions));
        self.tell_watches();
        WriteOutcome::Acknowledged {
            version: self.versions.to_string(),
        }
    }

    fn is_trouble(&mut self) -> bool {
        self.random(1000) < self.trouble
    }

    fn read(&self) -> Read {
        match &self.lease {
            Some((record, version)) => Read::Found {
                record: Box::new(record.clone()),
                version: version.to_string(),
            },
            None => Read::Absent,
        }
    }

    fn tell_watches(&mut self) {
        if self.watches {
            for replica in 0..self.replicas.len() {
                if self.is_trouble() {
                    continue;
                }
                let (read, delay, life) = (self.read(), self.api_delay(), self.replicas[replica].life);
                self.at(delay, Happening::Tell(replica, life, Event::Read(read)));
            }
        }
    }

    /// A leaky bucket like nginx's `limit_req` with `nodelay`.
    fn request_arrives(&mut self, replica: usize, life: u32, permit: PermitId) {
        if self.replicas[replica].life != life {
            return;
        }
        let now = self.now as f64 / 1e6;
        let spacing = 1.0 / self.ca.requests_per_second;
        let full_at = self.ca_full_at.max(now);
        let is_excess = full_at - now > f64::from(self.ca.burst) * spacing + 0.001;
        let throttle = match self.next_throttle.take() {
            Some(throttle) => Some(throttle),
            None if is_excess => Some(Throttle { retry_after: None }),
            None => {
                self.ca_full_at = full_at + spacing;
                None
            }
        };
        let at = self.now();
        self.arrivals.push(Arrival {
            at,
            replica,
            throttled: throttle.is_some(),
        });
        let slow = if self.is_trouble() { 25_000 } else { 20 };
        let delay = 2 * MILLI + self.random(slow * MILLI);
        self.at(delay, Happening::RequestDone(replica, life, permit, throttle));
    }

    fn step(&mut self, index: usize, life: u32, event: Event) {
        let replica = &mut self.replicas[index];
        if !replica.alive || replica.life != life {
            return;
        }
        let actions = replica.limiter.step(event, replica.clock(self.now));
        replica.wake += 1;
        for action in actions {
            self.perform(index, life, action);
        }
    }

    fn perform(&mut self, index: usize, life: u32, action: Action) {
        match action {
            Action::Read => {
                let delay = self.api_delay();
                self.at(delay, Happening::ReadArrives(index, life));
            }
            Action::Write { id, record, version } => {
                let delay = self.api_delay();
                self.at(delay, Happening::WriteArrives(index, life, id, record, version));
            }
            Action::Permit { id, start_by, .. } => {
                let replica = &mut self.replicas[index];
                assert!(replica.clock(self.now) < start_by);
                replica.open.insert(id);
                self.ca_in_flight += 1;
                self.ca_most_in_flight = self.ca_most_in_flight.max(self.ca_in_flight);
                let delay = MILLI + self.random(3 * MILLI);
                self.at(delay, Happening::RequestArrives(index, life, id));
                self.at(0, Happening::Tell(index, life, Event::Begun { permit: id }));
            }
            Action::Abort { permits } => {
                for permit in permits {
                    if self.replicas[index].open.remove(&permit) {
                        self.ca_in_flight -= 1;
                    }
                }
            }
            Action::CloseConnections => {
                self.at(MILLI, Happening::Tell(index, life, Event::ConnectionsClosed));
            }
            Action::WakeAt(moment) => {
                let replica = &self.replicas[index];
                let delay = moment.since(replica.clock(self.now)).as_micros() as u64;
                self.at(delay, Happening::Tick(index, life, replica.wake));
            }
        }
    }

    fn at(&mut self, delay: u64, happening: Happening) {
        self.serial += 1;
        self.queue.insert((self.now + delay, self.serial), happening);
    }

    fn api_delay(&mut self) -> u64 {
        MILLI + self.random(4 * MILLI)
    }

    pub fn random(&mut self, below: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }
}

impl Replica {
    fn clock(&self, now: u64) -> Moment {
        Moment::from_micros(now + self.clock_offset)
    }
}

fn holder(replica: usize, life: u32) -> Holder {
    Holder {
        pod_uid: format!("pod-{replica}"),
        container: "operator".into(),
        process: format!("sancho-{replica}-{life}"),
    }
}
