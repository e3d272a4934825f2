//! Leave to send, from the held slots.

use super::learn::Leave;
use super::slot::{Phase, Sent, Slot};

use super::{Limiter, Turn};
use crate::discovery::HeldBack;
use crate::endpoint::{Apart, Endpoint};
use crate::event::{Action, PermitId};
use crate::moment::Moment;
use crate::rules::Rule;

impl Limiter {
    /// Grants what the slots allow now, and wakes when they allow more.
    pub(super) fn permit(&mut self, turn: &mut Turn) {
        let now = turn.now;
        let wanted = self.wanted();
        for slot in self.slots.values_mut() {
            // Who asks next has not waited yet.
            if !wanted.iter().any(|endpoint| slot.is_due_apart(*endpoint, now)) {
                slot.held_back = HeldBack::No;
            }
        }
        if self.demand == 0 || self.shutting_down || self.newer_format().is_some() {
            return;
        }
        if let Some(until) = self.paused.until(now)
            && self.keeps(Rule::PauseAll)
        {
            turn.wake_at(until);
            return;
        }
        let margin = self.durations.start_margin;
        self.note_own_rates(now);
        while self.demand > 0 {
            let leave = self.leave(now);
            if leave == Leave::Nothing || (leave == Leave::Probe && self.in_flight() > 0) {
                return;
            }
            let ready = self
                .slots
                .iter()
                .filter(|(number, _)| **number == 0 || leave != Leave::Probe)
                .filter(|(_, slot)| slot.phase == Phase::Open && self.is_valid(slot, now + margin))
                .filter(|(_, slot)| !slot.is_full())
                .filter_map(|(number, slot)| {
                    let (at, endpoint) = self.next_on(slot, leave, now)?;
                    Some((at, endpoint, *number))
                })
                .min();
            let Some((ready, endpoint, number)) = ready else {
                return;
            };
            if ready > now {
                turn.wake_at(ready);
                self.wait_for_rate(now);
                return;
            }
            let epoch = self.view.record().map_or(0, |record| record.epoch);
            let Some(slot) = self.slots.get_mut(&number) else {
                return;
            };
            let id = PermitId(self.next_permit);
            self.next_permit += 1;
            self.demand -= 1;
            if let Some(demand) = self.demand_apart.get_mut(endpoint) {
                *demand -= 1;
            }
            let mut held_back = std::mem::take(&mut slot.held_back);
            if slot.is_held_back_apart(endpoint) {
                held_back = HeldBack::ByOwnRate;
            }
            if let Some(own) = slot.own_mut(endpoint) {
                own.holds_back = false;
            }
            slot.in_flight.insert(
                id,
                Sent {
                    at: now,
                    has_begun: false,
                    epoch,
                    endpoint,
                    held_back,
                },
            );
            slot.last = Some(id);
            // A permit that lies about would leave beside later ones, so it does not last.
            let start_by = slot.valid_until.before(margin).min(now + margin);
            turn.actions.push(Action::Permit {
                id,
                slot: number,
                endpoint,
                start_by,
            });
            self.granted(id, leave);
        }
    }

    /// The next request that may leave on `slot`: when, and for what.
    fn next_on(&self, slot: &Slot, leave: Leave, now: Moment) -> Option<(Moment, Endpoint)> {
        let ready = match leave {
            Leave::AtOnce => now,
            Leave::Rested => slot.pacer.rested_at(),
            Leave::Nothing | Leave::Probe | Leave::Paced => slot.ready_at()?,
        };
        let ways = self
            .wanted()
            .into_iter()
            .filter_map(|endpoint| match slot.own(endpoint) {
                None => Some((ready, endpoint)),
                // A slot without a part of an endpoint's own limit sends it nothing.
                Some(own) => {
                    let own = slot.own_ready_at(endpoint, own)?;
                    Some((own.max(ready), endpoint))
                }
            });
        // The first of several that may leave at once.
        ways.min_by_key(|(at, _)| *at)
    }

    /// What requests wait for, as far as it is limited apart.
    pub(super) fn wanted(&self) -> Vec<Endpoint> {
        let all = Endpoint::APART.into_iter().chain([Endpoint::Other]);
        all.filter(|endpoint| self.waiting_for(*endpoint) > 0).collect()
    }

    fn waiting_for(&self, endpoint: Endpoint) -> u32 {
        let Apart { new_nonce, new_order } = self.demand_apart;
        let other = self.demand.saturating_sub(new_nonce).saturating_sub(new_order);
        self.demand_apart.get(endpoint).copied().unwrap_or(other)
    }

    /// Requests wait: where nothing but the rate keeps them back, that is noted.
    fn wait_for_rate(&mut self, now: Moment) {
        let wanted = self.wanted();
        for slot in self.slots.values_mut() {
            let is_by_rate = slot.ready_at().is_none_or(|ready| ready > now)
                && wanted.iter().any(|endpoint| slot.is_due_apart(*endpoint, now));
            if slot.phase == Phase::Open && !slot.is_full() && is_by_rate {
                slot.held_back = HeldBack::ByRate;
            }
        }
    }

    /// Notes where an endpoint's own rate keeps its requests back; whether something else does so for longer is seen
    /// once they may leave.
    fn note_own_rates(&mut self, now: Moment) {
        let wanted = self.wanted();
        for slot in self.slots.values_mut() {
            for endpoint in Endpoint::APART {
                let is_due = slot.is_due_apart(endpoint, now);
                if let Some(own) = slot.own_mut(endpoint) {
                    own.holds_back = wanted.contains(&endpoint) && (own.holds_back || !is_due);
                }
            }
        }
    }
}
