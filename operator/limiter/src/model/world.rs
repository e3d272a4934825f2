//! The Lease, the processes, and everything that can happen next.

use std::collections::BTreeSet;

use super::process::{PendingWrite, Process, durations};
use crate::budget::{Budget, Source};
use crate::discovery::Stage;
use crate::event::{Event, PermitId, Read, Throttle, WriteOutcome};
use crate::record::Record;
use crate::rules::Rule;

/// So fast that pacing never holds a request back by a tick.
const FAST: f64 = 1000.0;
/// So slow that a takeover comes before the next request may leave.
const SLOW_SPACING: u32 = 8;
/// Two clocks may run apart by so many ticks in a search.
const DRIFT: u32 = 2;

/// The bounds of one search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) start: Start,
    pub(super) replicas: usize,
    pub(super) slots: u32,
    /// When the search ends.
    pub(super) ticks: u32,
    /// How many things may go wrong.
    pub(super) faults: u32,
    /// Requests that each replica has to send.
    pub(super) requests: u32,
    pub(super) broken: Option<Rule>,
}

/// What the Lease is like at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// All slots are free.
    Free,
    /// There is none.
    Absent,
    /// All slots are free, the rate is being searched for, and the CA refuses requests.
    Refused,
    /// One slot, but one replica is configured with a budget for more.
    Grows,
    /// All slots are free, and one replica is configured anew at some time, with a budget for one slot.
    Shrinks,
    /// All slots are free, and the CA bears one request in eight ticks.
    Slow,
}

impl Scenario {
    pub(super) fn most_in_flight(&self) -> usize {
        self.slots as usize
    }

    /// I8: so many ticks after all is well somebody sends: the takeover time, 2 s and a spacing.
    pub(super) fn most_hungry(&self) -> u32 {
        let spacing = if self.start == Start::Slow {
            SLOW_SPACING
        } else {
            0
        };
        6 + spacing
    }

    pub(super) fn rate(&self) -> f64 {
        if self.start == Start::Slow {
            1.0 / f64::from(SLOW_SPACING)
        } else {
            FAST
        }
    }

    /// Has this replica not heard yet of the budget that the last one is configured with?
    pub(super) fn is_news_to(&self, number: usize) -> bool {
        self.start == Start::Grows && number + 1 < self.replicas
    }
}

/// One thing that happens; the number is the process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Pass,
    PassLagging(usize),
    PassLeading(usize),
    Read(usize),
    ReadStale(usize),
    ReadFails(usize),
    WriteLands(usize),
    WriteAnswered(usize),
    WriteIsSlow(usize),
    WriteTimesOut(usize),
    StrayLands(usize),
    CaAnswers(usize, PermitId),
    CaRefuses(usize, PermitId),
    Wake(usize),
    Reconfigure,
    Restart(usize),
    Stop(usize),
    Continue(usize),
    DeleteLease,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    processes: Vec<Process>,
    lease: Option<(Record, String)>,
    /// What the Lease was before its last change.
    former: Option<(Record, String)>,
    versions: u32,
    ticks_left: u32,
    faults_left: u32,
    refusals_left: u32,
    /// Epochs in which a refused request was granted.
    refused_epochs: BTreeSet<u64>,
    /// Epochs in which the CA is out, by the Lease.
    outage_epochs: BTreeSet<u64>,
    /// Ticks since the last request left, where they are to be a spacing apart.
    sent_before: Option<u32>,
    pub(super) has_broken_spacing: bool,
    is_reconfigured: bool,
    /// Ticks since the last fault or request, while requests wait and nothing but the protocol keeps them.
    pub(super) hungry_for: u32,
}

impl World {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let lease = (scenario.start != Start::Absent).then(|| {
            let mut record = Record::new("first".into(), scenario.budget(0), Source::Given, durations());
            record.slots.iter_mut().for_each(|row| row.in_doubt = false);
            if scenario.start == Start::Refused {
                // A refusal lowers the rate at once.
                record.discovery.stage = Stage::Bisecting;
            }
            (record, "0".to_owned())
        });
        Self {
            processes: (0..scenario.replicas)
                .map(|number| Process::new(scenario, number))
                .collect(),
            former: lease.clone(),
            lease,
            versions: 0,
            ticks_left: scenario.ticks,
            faults_left: scenario.faults,
            refusals_left: if scenario.start == Start::Refused { 2 } else { 0 },
            refused_epochs: BTreeSet::new(),
            outage_epochs: BTreeSet::new(),
            sent_before: None,
            has_broken_spacing: false,
            is_reconfigured: false,
            hungry_for: 0,
        }
    }

    /// Everything that can happen next.
    ///
    /// In fair weather a talk with the API server is over before anything else happens, and processes wake in
    /// turn; what is lost by that, one process acting between another's messages, the faults bring back.
    pub(super) fn steps(&self, scenario: &Scenario, steps: &mut Vec<Step>) {
        let may_fail = self.faults_left > 0;
        if let Some((number, process)) = self.processes.iter().enumerate().find(|(_, p)| p.is_talking()) {
            if process.is_reading {
                steps.push(Step::Read(number));
            } else {
                steps.extend(write_step(number, process));
            }
            if may_fail && process.is_reading {
                steps.extend([Step::ReadStale(number), Step::ReadFails(number)]);
            } else if may_fail {
                steps.extend([Step::WriteIsSlow(number), Step::Restart(number)]);
            }
            return;
        }
        if let Some(number) = self.processes.iter().position(Process::is_due) {
            steps.push(Step::Wake(number));
            if may_fail && self.lease.is_some() {
                steps.push(Step::DeleteLease);
            }
            return;
        }
        for (number, process) in self.processes.iter().enumerate() {
            steps.extend(write_step(number, process));
            if process.write.is_some() && !process.is_stopped {
                steps.push(Step::WriteTimesOut(number));
            }
            if process.stray.is_some() {
                steps.push(Step::StrayLands(number));
            }
            if process.is_stopped {
                steps.push(Step::Continue(number));
                continue;
            }
            if let Some(request) = process.open.first() {
                steps.push(Step::CaAnswers(number, request.permit));
                if self.refusals_left > 0 {
                    steps.push(Step::CaRefuses(number, request.permit));
                }
            }
            if may_fail {
                steps.extend([Step::Restart(number), Step::Stop(number)]);
            }
        }
        if may_fail && self.lease.is_some() {
            steps.push(Step::DeleteLease);
        }
        if scenario.start == Start::Shrinks && !self.is_reconfigured {
            steps.push(Step::Reconfigure);
        }
        if self.ticks_left > 0 {
            steps.push(Step::Pass);
            if may_fail {
                steps.extend(
                    (0..scenario.replicas).flat_map(|n| [Step::PassLagging(n), Step::PassLeading(n)]),
                );
            }
        }
    }

    pub(super) fn take(&mut self, scenario: &Scenario, step: Step) {
        match step {
            Step::Pass => self.pass(None, 1),
            Step::PassLagging(number) => self.pass(Some(number), 0),
            Step::PassLeading(number) => self.pass(Some(number), 2),
            Step::Read(number) => self.answer_read(number, shown(self.lease.as_ref())),
            Step::ReadStale(number) => self.answer_read(number, shown(self.former.as_ref())),
            Step::ReadFails(number) => self.answer_read(number, Read::Failed),
            Step::WriteLands(number) => {
                if let Some(mut write) = self.processes[number].write.take() {
                    write.landed = Some(self.land(scenario, &write));
                    self.processes[number].write = Some(write);
                }
            }
            Step::WriteAnswered(number) => {
                if let Some(PendingWrite {
                    id,
                    landed: Some(landed),
                    ..
                }) = self.processes[number].write.take()
                {
                    let outcome = match landed {
                        Ok(version) => WriteOutcome::Acknowledged { version },
                        Err(()) => WriteOutcome::Conflict,
                    };
                    self.processes[number].step(Event::Written { id, outcome });
                }
            }
            Step::WriteIsSlow(number) => {
                if let Some(write) = &mut self.processes[number].write {
                    write.is_slow = true;
                }
            }
            Step::WriteTimesOut(number) => {
                let process = &mut self.processes[number];
                if let Some(write) = process.write.take() {
                    let id = write.id;
                    process.stray = Some(write).filter(|write| write.landed.is_none());
                    process.step(Event::Written {
                        id,
                        outcome: WriteOutcome::Unknown,
                    });
                }
            }
            Step::StrayLands(number) => {
                if let Some(write) = self.processes[number].stray.take() {
                    // Nobody is left to hear how it went.
                    let _ = self.land(scenario, &write);
                }
            }
            Step::CaRefuses(number, permit) => {
                let process = &mut self.processes[number];
                let refused = process.open.iter().find(|request| request.permit == permit);
                self.refused_epochs.extend(refused.map(|request| request.epoch));
                self.refusals_left -= 1;
                process.open.retain(|request| request.permit != permit);
                process.step(Event::Answered {
                    permit,
                    throttle: Some(Throttle { retry_after: None }),
                });
                process.ask();
            }
            Step::CaAnswers(number, permit) => {
                let process = &mut self.processes[number];
                process.open.retain(|request| request.permit != permit);
                process.step(Event::Answered {
                    permit,
                    throttle: None,
                });
                if process.requests > 0 {
                    process.requests -= 1;
                    process.ask();
                }
            }
            Step::Wake(number) => self.processes[number].step(Event::Tick),
            Step::Reconfigure => {
                self.is_reconfigured = true;
                if let Some(process) = self.processes.last_mut() {
                    process.step(Event::Configured {
                        budget: Budget::new(scenario.rate(), 0, 1),
                        source: Source::Given,
                    });
                }
            }
            Step::Restart(number) => self.processes[number].restart(scenario, number),
            Step::Stop(number) => self.processes[number].is_stopped = true,
            Step::Continue(number) => self.processes[number].is_stopped = false,
            Step::DeleteLease => self.former = self.lease.take(),
        }
        if step.is_fault() {
            self.faults_left -= 1;
            self.hungry_for = 0;
        }
        self.note_sent(scenario);
    }

    fn note_sent(&mut self, scenario: &Scenario) {
        let sent: u32 = self
            .processes
            .iter_mut()
            .map(|p| std::mem::take(&mut p.sent))
            .sum();
        if sent == 0 {
            return;
        }
        self.hungry_for = 0;
        if scenario.start == Start::Slow {
            let is_early = self.sent_before.is_some_and(|ticks| ticks < SLOW_SPACING - DRIFT);
            self.has_broken_spacing |= is_early || sent > 1;
            self.sent_before = Some(0);
        }
    }

    fn pass(&mut self, odd: Option<usize>, odd_ticks: u32) {
        self.ticks_left -= 1;
        if let Some(ticks) = &mut self.sent_before {
            // More than a spacing is all the same.
            *ticks = (*ticks + 1).min(SLOW_SPACING);
        }
        match self.hunger() {
            Some(true) => self.hungry_for += 1,
            Some(false) => self.hungry_for = 0,
            None => {}
        }
        for (number, process) in self.processes.iter_mut().enumerate() {
            process.clock += if odd == Some(number) { odd_ticks } else { 1 };
        }
    }

    /// Do requests wait, with nothing unanswered at the CA? A stopped process does not count, and while a talk is
    /// under way nobody can tell.
    fn hunger(&self) -> Option<bool> {
        let mut running = self.processes.iter().filter(|process| !process.is_stopped);
        let waits =
            |process: &Process| process.waiting > 0 && process.limiter.paused_until(process.now()).is_none();
        if running.clone().any(|process| !process.open.is_empty()) || !running.clone().any(waits) {
            return Some(false);
        }
        let is_quiet = running.all(|process| process.write.is_none() && !process.is_reading);
        is_quiet.then_some(true)
    }

    fn answer_read(&mut self, number: usize, read: Read) {
        self.processes[number].is_reading = false;
        self.processes[number].step(Event::Read(read));
    }

    /// The store's compare-and-swap.
    fn land(&mut self, scenario: &Scenario, write: &PendingWrite) -> Result<String, ()> {
        let standing = self.lease.as_ref().map(|(_, version)| version);
        if standing != write.version.as_ref() && scenario.broken != Some(Rule::CompareAndSwap) {
            return Err(());
        }
        self.versions += 1;
        let version = self.versions.to_string();
        if write.record.discovery.outage.is_some() {
            self.outage_epochs.insert(write.record.epoch);
        }
        self.former = self.lease.replace((write.record.clone(), version.clone()));
        Ok(version)
    }

    pub(super) fn slots_are_held_once(&self) -> bool {
        let mut held = BTreeSet::new();
        self.processes
            .iter()
            .flat_map(Process::slots)
            .all(|slot| held.insert(slot))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.processes.iter().map(Process::in_flight).sum()
    }

    pub(super) fn rate(&self) -> f64 {
        self.processes
            .iter()
            .map(|process| process.limiter.rate(process.now()))
            .sum()
    }

    /// I6: the refusals that count are no more than the epochs that they are from.
    pub(super) fn refusals_count_once(&self) -> bool {
        let counted = self
            .lease
            .as_ref()
            .map_or(0, |(record, _)| record.discovery.throttles);
        counted <= self.refused_epochs.len() as u64
    }

    /// Of the requests granted while the CA is out, how many are unanswered in an epoch at most.
    pub(super) fn most_probes(&self) -> usize {
        let all = self.processes.iter().flat_map(|process| &process.open);
        let count = |epoch: &u64| all.clone().filter(|request| request.epoch == *epoch).count();
        self.outage_epochs.iter().map(count).max().unwrap_or(0)
    }

    pub(super) fn expired_slots_rest(&self) -> bool {
        !self.processes.iter().any(|process| process.has_used_expired)
    }

    pub(super) fn pauses_are_kept(&self) -> bool {
        !self.processes.iter().any(|process| process.has_broken_a_pause)
    }

    pub(super) fn all_have_sent(&self) -> bool {
        self.processes.iter().all(|process| process.has_sent)
    }
}

impl Step {
    fn is_fault(self) -> bool {
        match self {
            Self::PassLagging(_)
            | Self::PassLeading(_)
            | Self::ReadStale(_)
            | Self::ReadFails(_)
            | Self::WriteIsSlow(_)
            | Self::Restart(_)
            | Self::Stop(_)
            | Self::DeleteLease => true,
            Self::Pass
            | Self::Read(_)
            | Self::WriteLands(_)
            | Self::WriteAnswered(_)
            | Self::WriteTimesOut(_)
            | Self::StrayLands(_)
            | Self::CaAnswers(..)
            | Self::CaRefuses(..)
            | Self::Wake(_)
            | Self::Reconfigure
            | Self::Continue(_) => false,
        }
    }
}

/// The next stage of a write that is under way.
fn write_step(number: usize, process: &Process) -> Option<Step> {
    let write = process.write.as_ref()?;
    match write.landed {
        None => Some(Step::WriteLands(number)),
        Some(_) if process.is_stopped => None,
        Some(_) => Some(Step::WriteAnswered(number)),
    }
}

fn shown(lease: Option<&(Record, String)>) -> Read {
    match lease {
        Some((record, version)) => Read::Found {
            record: Box::new(record.clone()),
            version: version.clone(),
        },
        None => Read::Absent,
    }
}
