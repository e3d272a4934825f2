//! Leave to send, from the held slots.

use super::slot::Phase;
use super::{Limiter, Turn};
use crate::event::{Action, PermitId};

impl Limiter {
    /// Grants what the slots allow now, and wakes when they allow more.
    pub(super) fn permit(&mut self, turn: &mut Turn) {
        let now = turn.now;
        if self.demand == 0 || self.shutting_down || self.newer_format().is_some() {
            return;
        }
        if let Some(until) = self.paused.until(now) {
            turn.wake_at(until);
            return;
        }
        let margin = self.durations.start_margin;
        while self.demand > 0 {
            let ready = self
                .slots
                .iter()
                .filter(|(_, slot)| slot.phase == Phase::Open && self.is_valid(slot, now + margin))
                .filter(|(_, slot)| !slot.awaits_begin())
                .filter(|(_, slot)| slot.in_flight.len() < slot.pacer.share().in_flight as usize)
                .filter_map(|(number, slot)| Some((slot.pacer.ready_at()?, *number)))
                .min();
            let Some((ready, number)) = ready else {
                return;
            };
            if ready > now {
                turn.wake_at(ready);
                return;
            }
            let Some(slot) = self.slots.get_mut(&number) else {
                return;
            };
            let id = PermitId(self.next_permit);
            self.next_permit += 1;
            self.demand -= 1;
            slot.pacer.spend(now);
            slot.in_flight.insert(id, now);
            slot.last = Some(id);
            slot.unbegun = Some(id);
            // A permit that lies about would leave beside later ones, so it does not last.
            let start_by = slot.valid_until.before(margin).min(now + margin);
            turn.actions.push(Action::Permit {
                id,
                slot: number,
                start_by,
            });
        }
    }
}
