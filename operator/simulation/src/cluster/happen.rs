//! What happens, one at a time.

use std::cmp::Ordering;
use std::time::Duration;

use sancho_limiter::{Action, Endpoint, Event, PermitId, Read, Record, WriteId, WriteOutcome};

use super::{Arrival, Cluster, End};
use crate::ca::Answer;
use crate::network::Network;

/// Something that will happen.
pub(super) enum Happening {
    Tell(usize, u32, Event),
    Tick(usize, u32, u64),
    ReadArrives(usize, u32),
    WriteArrives(usize, u32, WriteId, Box<Record>, Option<String>),
    /// Its sender has given up waiting for it.
    StrayWriteArrives(Box<Record>, Option<String>),
    RequestArrives(usize, u32, PermitId, Endpoint),
    /// The answer leaves the CA.
    RequestDone(usize, u32, PermitId, Answer, Duration),
    Answered(usize, u32, PermitId, Answer),
}

/// A happening and its time; those of one time in the order in which they were planned.
pub(super) struct Due {
    pub(super) at: u64,
    pub(super) serial: u64,
    pub(super) happening: Happening,
}

impl Cluster {
    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tell(replica, life, event) => self.step(replica, life, event),
            Happening::Tick(replica, life, wake) => {
                if self.replicas[replica].wake == wake {
                    self.step(replica, life, Event::Tick);
                }
            }
            Happening::ReadArrives(replica, life) => {
                self.figures.lease_reads += 1;
                let (read, delay) = if self.network.is_trouble(&mut self.random) {
                    (Read::Failed, Duration::from_secs(2))
                } else {
                    (self.read(), Network::way_to_api_server(&mut self.random))
                };
                self.after(delay, Happening::Tell(replica, life, Event::Read(read)));
            }
            Happening::WriteArrives(replica, life, id, record, version) => {
                self.write_arrives(replica, life, id, record, version);
            }
            Happening::StrayWriteArrives(record, version) => {
                self.land(&record, version);
            }
            Happening::RequestArrives(replica, life, permit, endpoint) => {
                self.request_arrives(replica, life, permit, endpoint);
            }
            Happening::RequestDone(replica, life, permit, answer, back) => {
                if self.is_open(replica, life, permit) {
                    self.ca.done();
                    self.after(back, Happening::Answered(replica, life, permit, answer));
                }
            }
            Happening::Answered(replica, life, permit, answer) => {
                if self.is_open(replica, life, permit) {
                    if let Some((_, sent)) = self.replicas[replica].open.remove(&permit) {
                        self.answers.note(Duration::from_micros(self.now - sent));
                    }
                    self.step(replica, life, event(permit, answer));
                }
            }
        }
    }

    fn is_open(&self, replica: usize, life: u32, permit: PermitId) -> bool {
        let replica = &self.replicas[replica];
        replica.life == life && replica.open.contains_key(&permit)
    }

    fn write_arrives(
        &mut self,
        replica: usize,
        life: u32,
        id: WriteId,
        record: Box<Record>,
        version: Option<String>,
    ) {
        let (outcome, delay) = if !self.network.is_trouble(&mut self.random) {
            let outcome = self.land(&record, version);
            (outcome, Network::way_to_api_server(&mut self.random))
        } else {
            match self.random.below(3) {
                0 => {}
                1 => drop(self.land(&record, version)),
                _ => {
                    let delay = self.random.up_to(Duration::from_secs(20));
                    self.after(delay, Happening::StrayWriteArrives(record, version));
                }
            }
            (WriteOutcome::Unknown, Duration::from_secs(2))
        };
        self.after(
            delay,
            Happening::Tell(replica, life, Event::Written { id, outcome }),
        );
    }

    /// The API server's compare-and-swap.
    fn land(&mut self, record: &Record, version: Option<String>) -> WriteOutcome {
        self.figures.lease_writes += 1;
        if self.lease.as_ref().map(|(_, version)| version.to_string()) != version {
            self.figures.lease_conflicts += 1;
            return WriteOutcome::Conflict;
        }
        self.versions += 1;
        // Through the annotations, as it would be.
        let record = match Record::from_annotations(&record.to_annotations()) {
            Ok(record) => record,
            Err(unreadable) => {
                self.figures.violation(self.now, unreadable.to_string());
                return WriteOutcome::Refused;
            }
        };
        self.meter.in_force(&record.budget, self.now);
        if record.discovery.is_settled() && self.figures.settled_at.is_none() {
            self.figures.settled_at = Some(self.now());
        }
        self.lease = Some((record, self.versions));
        self.tell_watches();
        WriteOutcome::Acknowledged {
            version: self.versions.to_string(),
        }
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
        for replica in 0..self.replicas.len() {
            if !self.watches || self.network.is_trouble(&mut self.random) {
                continue;
            }
            let (read, life) = (self.read(), self.replicas[replica].life);
            let delay = Network::way_to_api_server(&mut self.random);
            self.after(delay, Happening::Tell(replica, life, Event::Read(read)));
        }
    }

    fn request_arrives(&mut self, replica: usize, life: u32, permit: PermitId, endpoint: Endpoint) {
        if !self.is_open(replica, life, permit) {
            return;
        }
        let answer = self.ca.arrive(endpoint, self.now);
        let throttled = matches!(answer, Answer::Refused(_));
        let at = self.now();
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.push(Arrival {
                at,
                replica,
                throttled,
            });
        }
        self.figures.arrival(replica, at, endpoint, answer);
        let work = if self.network.is_trouble(&mut self.random) {
            self.random.up_to(Duration::from_secs(25))
        } else {
            Duration::from_millis(1) + self.random.up_to(Duration::from_millis(10))
        };
        let back = self.network.way_to_ca(&mut self.random);
        match answer {
            Answer::Served => self.after(work, Happening::RequestDone(replica, life, permit, answer, back)),
            // Refused at the door.
            Answer::Refused(_) => {
                self.ca.done();
                self.after(back, Happening::Answered(replica, life, permit, answer));
            }
            Answer::None(_) => self.after(back, Happening::Answered(replica, life, permit, answer)),
        }
    }

    fn step(&mut self, index: usize, life: u32, event: Event) {
        let now = self.now;
        let replica = &mut self.replicas[index];
        if !replica.is_alive || replica.life != life {
            return;
        }
        let event = match (event, self.new_order_one_in) {
            (Event::Demand(waiting), Some(one_in)) => replica.demand(waiting, one_in),
            (Event::Demand(waiting), None) => {
                replica.waiting = waiting;
                Event::Demand(waiting)
            }
            (event, _) => event,
        };
        let is_about_slots = matches!(event, Event::Read(_) | Event::Written { .. });
        let actions = replica.limiter.step(event, replica.clock(now));
        replica.wake += 1;
        replica.count_held(now, &mut self.figures);
        for action in actions {
            self.perform(index, life, action);
        }
        if self.new_order_one_in.is_some() && self.replicas[index].is_told_wrongly() {
            let waiting = self.replicas[index].waiting;
            self.step(index, life, Event::Demand(waiting));
        }
        if is_about_slots {
            self.check_one_holder(index);
        }
    }

    /// I3: nobody else holds what this replica holds.
    fn check_one_holder(&mut self, index: usize) {
        let now = self.now;
        for slot in self.replicas[index].slots(now) {
            let mut others = self.replicas.iter().enumerate();
            if others.any(|(other, replica)| other != index && replica.slots(now).any(|held| held == slot)) {
                self.figures
                    .violation(now, format!("I3: slot {slot} is held twice"));
            }
        }
    }

    fn perform(&mut self, index: usize, life: u32, action: Action) {
        match action {
            Action::Read => {
                let delay = Network::way_to_api_server(&mut self.random);
                self.after(delay, Happening::ReadArrives(index, life));
            }
            Action::Write { id, record, version } => {
                let delay = Network::way_to_api_server(&mut self.random);
                self.after(delay, Happening::WriteArrives(index, life, id, record, version));
            }
            Action::Permit {
                id, slot, endpoint, ..
            } => self.send(index, life, id, slot, endpoint),
            Action::Abort { permits } => {
                for permit in permits {
                    if self.replicas[index].open.remove(&permit).is_some() {
                        self.ca.done();
                    }
                }
            }
            Action::CloseConnections => {
                let event = Event::ConnectionsClosed;
                self.after(Duration::from_millis(1), Happening::Tell(index, life, event));
            }
            Action::WakeAt(moment) => {
                let replica = &self.replicas[index];
                let (delay, wake) = (moment.since(replica.clock(self.now)), replica.wake);
                self.after(delay, Happening::Tick(index, life, wake));
            }
        }
    }

    fn send(&mut self, index: usize, life: u32, permit: PermitId, slot: u32, granted: Endpoint) {
        let one_in = self.new_order_one_in;
        let replica = &mut self.replicas[index];
        // Where newOrder has no rate of its own, a permit is used for whatever comes.
        let endpoint = match one_in {
            Some(one_in) if !replica.told_apart && self.random.below(u64::from(one_in)) == 0 => {
                Endpoint::NewOrder
            }
            _ => granted,
        };
        replica.open.insert(permit, (endpoint, self.now));
        replica.waiting = replica.waiting.saturating_sub(1);
        if granted == Endpoint::NewOrder {
            replica.new_orders_waiting = replica.new_orders_waiting.saturating_sub(1);
        }
        let in_flight: usize = self.replicas.iter().map(|replica| replica.open.len()).sum();
        if let Some(excess) = self.meter.leaves(endpoint, self.now, in_flight) {
            self.figures.violation(self.now, excess);
        }
        self.figures.slot_used(slot, Duration::from_micros(self.now));
        // The pause between the permit and the request's first byte.
        let start = self.random.up_to(Duration::from_micros(500));
        let delay = start + self.network.way_to_ca(&mut self.random);
        self.after(delay, Happening::RequestArrives(index, life, permit, endpoint));
        self.after(
            start,
            Happening::Tell(index, life, Event::Begun { permit, endpoint }),
        );
    }

    /// A process ends in this way: how long do its slots lie idle?
    pub(super) fn note_end(&mut self, index: usize, end: End) {
        let (now, spacing) = (self.now(), self.slot_spacing());
        let slots: Vec<u32> = self.replicas[index].slots(self.now).collect();
        for slot in slots {
            self.figures.slot_left(slot, end, now, spacing);
        }
    }

    fn slot_spacing(&self) -> Duration {
        self.record().map_or(Duration::ZERO, |record| {
            record.budget.spacing() * u32::try_from(record.slots.len()).unwrap_or(u32::MAX)
        })
    }
}

fn event(permit: PermitId, answer: Answer) -> Event {
    match answer {
        Answer::Served => Event::Answered {
            permit,
            throttle: None,
        },
        Answer::Refused(throttle) => Event::Answered {
            permit,
            throttle: Some(throttle),
        },
        Answer::None(unreachable) => Event::Lost {
            permit,
            unreachable: Some(unreachable),
        },
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.serial) == (other.at, other.serial)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}
