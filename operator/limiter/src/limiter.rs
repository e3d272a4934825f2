//! One budget's limiter in one process: `step(event, now) -> actions`.
//!
//! A step runs `expire -> apply the event -> give up -> permit -> synchronise`, one file beside this one
//! for each that is more than a few lines.

mod figures;
mod give_up;
mod learn;
pub(crate) mod pause;
mod permit;
mod slot;
mod status;
mod sync;
mod turns;
mod view;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use self::learn::Learning;
use self::pause::Paused;
use self::slot::{Phase, Sent, Slot};
use self::turns::Turns;
use self::view::{Adoption, Lease, View};
use self::write::Write;
use crate::budget::{Budget, Source};
use crate::discovery::HeldBack;
use crate::durations::Durations;
use crate::endpoint::{Apart, Endpoint};
use crate::event::{Action, Event, PermitId, Read};
use crate::holder::Holder;
use crate::moment::Moment;
use crate::record::{Record, Unreadable};
use crate::rules::Rule;

pub use self::status::Blocked;

/// One process's part in sharing one budget.
///
/// Pure: it reads no clock and does no I/O. Feed it events by [`step`](Self::step) and perform the actions
/// that come back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limiter {
    me: Holder,
    durations: Durations,
    configured: Option<(Budget, Source)>,
    /// The configuration has changed since the Lease's budget was last known to follow it.
    configuration_is_news: bool,
    demand: u32,
    /// There will be some before long.
    is_busy: bool,
    /// Of these for endpoints with a limit of their own.
    demand_apart: Apart<u32>,
    shutting_down: bool,
    /// The latest `now` seen.
    now: Moment,
    /// When there was work last.
    active_at: Moment,
    view: View,
    reading: bool,
    /// The write that is under way.
    writing: Option<Write>,
    /// A write that may have landed, until a read tells.
    uncertain: Option<Write>,
    /// No reads or writes before this moment: the last one failed.
    quiet_until: Moment,
    /// Start of the last write that is known to have landed.
    renewed_at: Moment,
    last_stamp: u64,
    slots: BTreeMap<u32, Slot>,
    /// [`Action::CloseConnections`] without an answer.
    closings: u32,
    next_permit: u64,
    next_write: u64,
    paused: Paused,
    learning: Learning,
    /// The quickest answer ever.
    quickest: Option<Duration>,
    #[cfg(test)]
    broken: Option<Rule>,
}

impl Limiter {
    /// A limiter that holds nothing and knows nothing yet.
    ///
    /// `me` must name this process and no other, ever; `durations` are its own, the Lease's bind it too.
    pub fn new(me: Holder, durations: Durations) -> Self {
        Self {
            me,
            durations,
            configured: None,
            configuration_is_news: false,
            demand: 0,
            is_busy: false,
            demand_apart: Apart::default(),
            shutting_down: false,
            now: Moment::default(),
            active_at: Moment::default(),
            view: View::new(),
            reading: false,
            writing: None,
            uncertain: None,
            quiet_until: Moment::default(),
            renewed_at: Moment::default(),
            last_stamp: 0,
            slots: BTreeMap::new(),
            closings: 0,
            next_permit: 0,
            next_write: 0,
            paused: Paused::default(),
            learning: Learning::default(),
            quickest: None,
            #[cfg(test)]
            broken: None,
        }
    }

    /// What to do after `event`, which happened before or at `now`.
    ///
    /// `now` is this process's boot-time clock; one that lies before an earlier step's counts as that one.
    /// The actions are to be performed at once, in order.
    pub fn step(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let now = now.max(self.now);
        self.now = now;
        let mut turn = Turn {
            now,
            actions: Vec::new(),
            wake: None,
        };
        let was_active = self.is_active(now);
        self.expire(&mut turn);
        self.apply(event, &mut turn);
        if was_active || self.is_active(now) {
            self.active_at = now;
        }
        self.give_up(&mut turn);
        self.permit(&mut turn);
        self.synchronise(&mut turn);
        for slot in self.slots.values() {
            turn.wake_at(slot.valid_until);
        }
        turn.finish()
    }

    fn apply(&mut self, event: Event, turn: &mut Turn) {
        let now = turn.now;
        match event {
            Event::Tick => {}
            Event::Demand(waiting) => {
                (self.demand, self.demand_apart) = (waiting, Apart::default());
            }
            Event::MixedDemand {
                new_nonce,
                new_order,
                other,
            } => {
                self.demand = new_nonce.saturating_add(new_order).saturating_add(other);
                self.demand_apart = Apart { new_nonce, new_order };
            }
            Event::Busy(is_busy) => self.is_busy = is_busy,
            Event::Configured { budget, source } => self.configure(budget, source, now),
            Event::Read(read) => self.read(read, turn),
            Event::Written { id, outcome } => self.written(id, outcome, turn),
            Event::Answered { permit, throttle } => {
                if let Some(sent) = self.settle(permit, Some(now)) {
                    self.learn_answer(permit, sent, throttle, now);
                }
            }
            Event::Begun { permit, endpoint } => self.begun(permit, endpoint, now),
            Event::Lost { permit, unreachable } => {
                if let Some(sent) = self.settle(permit, None) {
                    self.learn_loss(permit, sent, unreachable, now);
                }
            }
            Event::ConnectionsClosed => self.connections_closed(),
            Event::Shutdown => self.shutting_down = true,
        }
    }

    fn read(&mut self, read: Read, turn: &mut Turn) {
        let was_asked = std::mem::take(&mut self.reading);
        match read {
            Read::Found { record, version } => {
                let is_stale = self.adopt(*record, version, turn) == Adoption::Stale;
                if is_stale && was_asked {
                    self.quiet_until = turn.now + self.durations.step;
                }
            }
            Read::Absent => {
                self.view.absent(turn.now);
                self.uncertain = None;
            }
            Read::Unreadable { reason, version } => {
                self.view.unreadable(reason, version, turn.now);
                self.uncertain = None;
            }
            Read::Failed => self.quiet_until = turn.now + self.durations.poll,
        }
    }

    /// Takes note of a record that a read showed.
    fn adopt(&mut self, record: Record, version: String, turn: &mut Turn) -> Adoption {
        let now = turn.now;
        let takeover = self.view.takeover(&self.durations);
        let adoption = self.view.adopt(record.clone(), version, now, false, takeover);
        match adoption {
            Adoption::Stale => return adoption,
            Adoption::Continued => {}
            Adoption::NewTable => self.lapse(),
        }
        self.paused.read(record.pause.as_ref(), now);
        self.configuration_is_news &= !self.follows_configuration(&record);
        self.follow_epoch(&record, now);
        if let Some(write) = self.uncertain.take() {
            if write.brought_budget(&record) {
                self.configuration_is_news =
                    self.configured.is_some() && !self.follows_configuration(&record);
            }
            self.grant(&write, &record, now);
        }
        self.drop_stolen(&record, turn);
        self.shrink_shares(&record, now);
        adoption
    }

    /// The table is another one: what is held lives on until it expires, and is not renewed.
    fn lapse(&mut self) {
        self.uncertain = None;
        self.paused.forget_table();
        for slot in self.slots.values_mut() {
            slot.phase = Phase::Lapsed;
        }
    }

    /// A slot that the current table shows with another holder, or none, is lost at once.
    fn drop_stolen(&mut self, record: &Record, turn: &mut Turn) {
        let me = &self.me;
        let stolen = |number: &u32, slot: &Slot| {
            slot.is_renewed()
                && record
                    .slots
                    .get(*number as usize)
                    .is_none_or(|row| row.holder.as_ref() != Some(me))
        };
        let numbers: Vec<u32> = self
            .slots
            .iter()
            .filter(|(number, slot)| stolen(number, slot))
            .map(|(number, _)| *number)
            .collect();
        self.drop_slots(&numbers, turn);
    }

    /// I3, I4: by this process's own clock, whatever comes in.
    fn expire(&mut self, turn: &mut Turn) {
        let over = self
            .slots
            .iter()
            .filter(|(_, slot)| !self.is_valid(slot, turn.now));
        let numbers: Vec<u32> = over.map(|(number, _)| *number).collect();
        self.drop_slots(&numbers, turn);
    }

    fn drop_slots(&mut self, numbers: &[u32], turn: &mut Turn) {
        let mut permits = Vec::new();
        for number in numbers {
            if let Some(slot) = self.slots.remove(number) {
                permits.extend(slot.in_flight.into_keys());
            }
        }
        if !permits.is_empty() {
            turn.actions.push(Action::Abort { permits });
        }
        if !numbers.is_empty() {
            self.close_connections(turn);
        }
    }

    fn close_connections(&mut self, turn: &mut Turn) {
        self.closings += 1;
        turn.actions.push(Action::CloseConnections);
    }

    /// The permit's request leaves, perhaps long after the permit was granted.
    fn begun(&mut self, permit: PermitId, endpoint: Endpoint, now: Moment) {
        let quickest = self.quickest;
        for slot in self.slots.values_mut() {
            if let Some(sent) = slot.in_flight.get_mut(&permit).filter(|sent| !sent.has_begun) {
                if sent.endpoint != endpoint {
                    // It waited for something else than what it is.
                    sent.held_back = HeldBack::No;
                }
                (sent.at, sent.has_begun, sent.endpoint) = (now, true, endpoint);
                slot.begun(permit, endpoint, now, quickest);
            }
        }
    }

    /// Takes the permit out of its slot; `answered` is when its answer came. Returns what was noted of it.
    fn settle(&mut self, permit: PermitId, answered: Option<Moment>) -> Option<Sent> {
        let (due_apart, now) = (self.wanted(), self.now);
        let slot = self
            .slots
            .values_mut()
            .find(|slot| slot.in_flight.contains_key(&permit))?;
        let was_full = slot.is_full();
        let sent = slot.in_flight.remove(&permit)?;
        if was_full {
            slot.free_since = now;
        }
        if let Some(answered) = answered {
            let trip = answered.since(sent.at);
            let quickest = self.quickest.map_or(trip, |quickest| quickest.min(trip));
            self.quickest = Some(quickest);
            if !sent.has_begun {
                // Whatever was told of it before, it has left.
                slot.begun(permit, sent.endpoint, sent.at, Some(quickest));
            }
            slot.answered(permit, sent.endpoint, sent.at, answered, quickest);
        }
        let is_due = slot.ready_at().is_some_and(|ready| ready <= now);
        if was_full && is_due && due_apart.iter().any(|endpoint| slot.is_due_apart(*endpoint, now)) {
            slot.held_back = HeldBack::ByInFlight;
        }
        Some(sent)
    }

    /// Is there work that could be done before long?
    fn is_active(&self, now: Moment) -> bool {
        let is_work =
            self.demand > 0 || self.is_busy || self.slots.values().any(|slot| !slot.in_flight.is_empty());
        let is_paused_long = self
            .paused
            .until(now)
            .is_some_and(|until| until > now + self.durations.idle);
        is_work && !is_paused_long && !self.shutting_down && self.newer_format().is_none()
    }

    /// Does it want slots?
    fn wants_slots(&self, now: Moment) -> bool {
        self.demand > 0 && self.is_active(now)
    }

    fn newer_format(&self) -> Option<&Unreadable> {
        match &self.view.lease {
            Lease::Unreadable {
                reason: reason @ Unreadable::Newer { .. },
                ..
            } => Some(reason),
            Lease::Unreadable { .. } | Lease::Unseen | Lease::Absent | Lease::Found { .. } => None,
        }
    }

    fn turns<'a>(&'a self, record: &'a Record, now: Moment) -> Turns<'a> {
        let takeover = self.view.takeover(&self.durations);
        Turns::new(record, &self.me, |number| {
            self.view
                .open_from(number as usize, takeover)
                .is_some_and(|open| open <= now)
        })
    }

    /// The same limiter without one of its rules.
    #[cfg(test)]
    pub(crate) fn without(mut self, rule: Option<Rule>) -> Self {
        self.broken = rule;
        self
    }

    /// I3: may the slot be used at `now`, by this process's own clock?
    fn is_valid(&self, slot: &Slot, now: Moment) -> bool {
        slot.valid_until > now || !self.keeps(Rule::ExpireByOwnClock)
    }

    #[cfg(test)]
    fn keeps(&self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the tests' counterpart reads the switch in it")]
    fn keeps(&self, _rule: Rule) -> bool {
        true
    }
}

/// One step under way.
struct Turn {
    now: Moment,
    actions: Vec<Action>,
    wake: Option<Moment>,
}

impl Turn {
    fn wake_at(&mut self, moment: Moment) {
        self.wake = Some(self.wake.map_or(moment, |wake| wake.min(moment)));
    }

    fn finish(mut self) -> Vec<Action> {
        if let Some(wake) = self.wake {
            self.actions.push(Action::WakeAt(wake));
        }
        self.actions
    }
}
