//! Leave to send, from the held slots.

use super::learn::Leave;
use super::slot::{HeldBack, Phase, Sent, Slot};
use super::{Limiter, Turn};
use crate::event::{Action, Endpoint, PermitId};
use crate::moment::Moment;
use crate::rules::Rule;

impl Limiter {
    /// Grants what the slots allow now, and wakes when they allow more.
    pub(super) fn permit(&mut self, turn: &mut Turn) {
        let now = turn.now;
        if self.demand == 0 {
            // Who asks next has not waited yet.
            self.slots
                .values_mut()
                .for_each(|slot| slot.held_back = HeldBack::No);
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
                .filter(|(_, slot)| !slot.awaits_begin() && !slot.is_full())
                .filter_map(|(number, slot)| {
                    let (at, endpoint) = self.next_on(slot, leave, now)?;
                    Some((at, endpoint == Endpoint::Other, *number, endpoint))
                })
                .min_by_key(|(at, is_other, number, _)| (*at, *is_other, *number));
            let Some((ready, _, number, endpoint)) = ready else {
                return;
            };
            if ready > now {
                turn.wake_at(ready);
                self.wait_for_rate();
                return;
            }
            let epoch = self.view.record().map_or(0, |record| record.epoch);
            let Some(slot) = self.slots.get_mut(&number) else {
                return;
            };
            let id = PermitId(self.next_permit);
            self.next_permit += 1;
            self.demand -= 1;
            slot.pacer.spend(now);
            if endpoint == Endpoint::NewNonce {
                self.new_nonce_demand -= 1;
                if let Some(pacer) = &mut slot.new_nonce {
                    pacer.spend(now);
                }
            }
            let held_back = std::mem::take(&mut slot.held_back);
            slot.in_flight.insert(
                id,
                Sent {
                    at: now,
                    epoch,
                    held_back,
                },
            );
            slot.last = Some(id);
            slot.unbegun = Some(id);
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
            Leave::Nothing | Leave::Probe | Leave::Paced => slot.pacer.ready_at()?,
        };
        // A slot without a part of newNonce's own limit sends none.
        let own = slot.new_nonce.as_ref().map(|pacer| pacer.ready_at());
        let for_new_nonce = match own {
            _ if self.new_nonce_demand == 0 => None,
            None => Some((ready, Endpoint::NewNonce)),
            Some(own) => own.map(|own| (own.max(ready), Endpoint::NewNonce)),
        };
        let for_other = (self.demand > self.new_nonce_demand).then_some((ready, Endpoint::Other));
        match (for_new_nonce, for_other) {
            (Some(new_nonce), Some(other)) if other.0 < new_nonce.0 => Some(other),
            (new_nonce, other) => new_nonce.or(other),
        }
    }

    /// Requests wait, and nothing but the rate keeps them back.
    fn wait_for_rate(&mut self) {
        for slot in self.slots.values_mut() {
            if slot.phase == Phase::Open && !slot.is_full() {
                slot.held_back = HeldBack::ByRate;
            }
        }
    }
}
