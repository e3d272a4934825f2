//! One process around a real limiter.

use std::time::Duration;

use super::world::{Scenario, Start};
use crate::budget::{Budget, Source};
use crate::durations::Durations;
use crate::endpoint::Endpoint;
use crate::event::{Action, Event, PermitId, Read, WriteId};
use crate::holder::Holder;
use crate::limiter::Limiter;
use crate::moment::Moment;
use crate::record::Record;

/// One tick of every clock.
const TICK: Duration = Duration::from_secs(1);

/// A process and its connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) limiter: Limiter,
    /// Its own clock, in ticks.
    pub(super) clock: u32,
    wake: Option<Moment>,
    pub(super) is_stopped: bool,
    pub(super) is_reading: bool,
    pub(super) write: Option<PendingWrite>,
    /// A write that it has given up waiting for, but that may land yet.
    pub(super) stray: Option<PendingWrite>,
    /// Requests that the CA works on.
    pub(super) open: Vec<Request>,
    /// Until when nothing may be sent, by what the Lease has told it.
    quiet_until: Moment,
    /// The highest revision that it was shown, and the serial of the last pause that it knows.
    shown: (u64, Option<u64>),
    pub(super) has_broken_a_pause: bool,
    pub(super) has_used_expired: bool,
    /// Requests still to be asked for.
    pub(super) requests: u32,
    /// Requests that wait for a permit.
    pub(super) waiting: u32,
    pub(super) has_sent: bool,
    /// Requests that left in the last step.
    pub(super) sent: u32,
    lives: u32,
}

/// A request that the CA works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Request {
    pub(super) permit: PermitId,
    pub(super) slot: u32,
    /// The epoch in which it was granted.
    pub(super) epoch: u64,
}

/// A write on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PendingWrite {
    pub(super) id: WriteId,
    pub(super) record: Record,
    pub(super) version: Option<String>,
    pub(super) is_slow: bool,
    /// The version that it made, or a conflict, once it has reached the store.
    pub(super) landed: Option<Result<String, ()>>,
}

impl Process {
    pub(super) fn new(scenario: &Scenario, number: usize) -> Self {
        let mut process = Self {
            limiter: limiter(scenario, number, 0),
            // No two clocks show the same.
            clock: 100 * (u32::try_from(number).unwrap() + 1),
            wake: None,
            is_stopped: false,
            is_reading: false,
            write: None,
            stray: None,
            open: Vec::new(),
            quiet_until: Moment::default(),
            shown: (0, None),
            has_broken_a_pause: false,
            has_used_expired: false,
            requests: scenario.requests,
            waiting: 0,
            has_sent: false,
            sent: 0,
            lives: 0,
        };
        process.begin(scenario, number);
        process
    }

    fn begin(&mut self, scenario: &Scenario, number: usize) {
        let budget = scenario.budget(number);
        self.step(Event::Configured {
            budget,
            source: Source::Given,
        });
        self.waiting = if scenario.start == Start::Refused { 2 } else { 1 };
        self.step(Event::Demand(self.waiting));
    }

    /// There is one more request to be sent.
    pub(super) fn ask(&mut self) {
        self.waiting = 1;
        self.step(Event::Demand(1));
    }

    /// It dies, and the same container starts another.
    pub(super) fn restart(&mut self, scenario: &Scenario, number: usize) {
        self.lives += 1;
        self.limiter = limiter(scenario, number, self.lives);
        self.stray = self
            .write
            .take()
            .filter(|write| write.landed.is_none())
            .or(self.stray.take());
        (self.is_stopped, self.is_reading, self.wake) = (false, false, None);
        self.open.clear();
        self.begin(scenario, number);
    }

    pub(super) fn now(&self) -> Moment {
        Moment::default() + TICK * self.clock
    }

    /// Has the moment come that it wanted to be woken at?
    pub(super) fn is_due(&self) -> bool {
        !self.is_stopped && self.wake.is_some_and(|wake| wake <= self.now())
    }

    pub(super) fn step(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            self.wake = None;
            self.note_pause(&event);
            for action in self.limiter.step(event, self.now()) {
                match action {
                    Action::Read => self.is_reading = true,
                    Action::Write { id, record, version } => {
                        assert!(self.write.is_none(), "two writes at once");
                        if let Some(pause) = &record.pause {
                            self.shown.1 = Some(pause.serial);
                        }
                        self.write = Some(PendingWrite {
                            id,
                            record: *record,
                            version,
                            is_slow: false,
                            landed: None,
                        });
                    }
                    Action::Permit { id, slot, .. } => {
                        self.has_sent = true;
                        self.sent += 1;
                        self.waiting -= 1;
                        self.has_broken_a_pause |= self.now() < self.quiet_until;
                        self.has_used_expired |= !self.slots().contains(&slot);
                        let epoch = self.limiter.record().map_or(0, |record| record.epoch);
                        self.open.push(Request {
                            permit: id,
                            slot,
                            epoch,
                        });
                        events.push(Event::Begun {
                            permit: id,
                            endpoint: Endpoint::Other,
                        });
                    }
                    Action::Abort { permits } => {
                        self.open.retain(|request| !permits.contains(&request.permit));
                    }
                    Action::CloseConnections => events.push(Event::ConnectionsClosed),
                    Action::WakeAt(moment) => self.wake = Some(moment),
                }
            }
        }
    }

    /// A pause that another has written counts from the moment at which it is seen first.
    fn note_pause(&mut self, event: &Event) {
        let (revision, known) = self.shown;
        if let Event::Read(Read::Found { record, .. }) = event
            && record.revision > revision
        {
            self.shown.0 = record.revision;
            let now = self.now();
            match &record.pause {
                Some(pause) if Some(pause.serial) != known => {
                    self.shown.1 = Some(pause.serial);
                    self.quiet_until = now + pause.remaining;
                }
                Some(_) => {}
                None => self.quiet_until = now,
            }
        }
    }

    /// Is a message under way that arrives before anything else happens?
    pub(super) fn is_talking(&self) -> bool {
        !self.is_stopped && (self.is_reading || self.write.as_ref().is_some_and(|write| !write.is_slow))
    }

    /// The slots that it holds by its own clock.
    pub(super) fn slots(&self) -> Vec<u32> {
        self.limiter.slots_held(self.now())
    }

    /// Unanswered requests, but for those on expired slots that it had no chance to abort yet.
    pub(super) fn in_flight(&self) -> usize {
        let slots = self.slots();
        let had_its_chance = !self.is_stopped && !self.is_due();
        self.open
            .iter()
            .filter(|request| had_its_chance || slots.contains(&request.slot))
            .count()
    }
}

fn limiter(scenario: &Scenario, number: usize, life: u32) -> Limiter {
    let holder = Holder {
        pod_uid: format!("pod{number}"),
        container: "c".into(),
        process: format!("{number}.{life}"),
    };
    Limiter::new(holder, durations()).without(scenario.broken)
}

/// Short ones, in the same order of size as the real ones.
pub(super) fn durations() -> Durations {
    Durations {
        validity: TICK * 2,
        renew_every: TICK,
        takeover: TICK * 4,
        start_margin: Duration::ZERO,
        hold_at_least: TICK,
        hold_at_most: TICK * 2,
        step: Duration::ZERO,
        idle: TICK,
        poll: TICK,
        ..Durations::default()
    }
}

impl Scenario {
    /// The budget that this replica is configured with.
    pub(super) fn budget(&self, number: usize) -> Budget {
        let slots = if self.is_news_to(number) { 1 } else { self.slots };
        Budget::new(self.rate(), slots - 1, slots)
    }
}
