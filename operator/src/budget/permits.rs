//! The permits that are out, and those that nobody has asked for yet.

use std::collections::{HashMap, VecDeque};

use sancho_limiter::PermitId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::gate::{Permit, Report};

/// Permits by the number that they carry outside.
pub(super) struct Permits {
    reports: mpsc::UnboundedSender<(u64, Report)>,
    next: u64,
    open: HashMap<u64, Open>,
    asks: VecDeque<oneshot::Sender<Permit>>,
    unasked: VecDeque<(Permit, Instant)>,
}

struct Open {
    id: PermitId,
    slot: u32,
    validity: watch::Sender<Instant>,
}

impl Permits {
    /// None yet; what becomes of them is told to `reports`.
    pub(super) fn new(reports: mpsc::UnboundedSender<(u64, Report)>) -> Self {
        Self {
            reports,
            next: 0,
            open: HashMap::new(),
            asks: VecDeque::new(),
            unasked: VecDeque::new(),
        }
    }

    /// Somebody waits for a permit.
    pub(super) fn ask(&mut self, reply: oneshot::Sender<Permit>, now: Instant) {
        self.asks.push_back(reply);
        while let Some((permit, unasked_until)) = self.unasked.pop_front() {
            if now < unasked_until {
                self.hand_out(permit, unasked_until);
                return;
            }
        }
    }

    /// How many wait. Those that have gone away are forgotten.
    pub(super) fn waiting(&mut self) -> usize {
        self.asks.retain(|reply| !reply.is_closed());
        self.asks.len()
    }

    /// The limiter grants one: it goes to whoever waits longest, else it is kept until `unasked_until`.
    pub(super) fn grant(&mut self, id: PermitId, slot: u32, valid_until: Instant, unasked_until: Instant) {
        let number = self.next;
        self.next += 1;
        let (validity, watched) = watch::channel(valid_until);
        self.open.insert(number, Open { id, slot, validity });
        self.hand_out(Permit::new(number, watched, self.reports.clone()), unasked_until);
    }

    fn hand_out(&mut self, mut permit: Permit, unasked_until: Instant) {
        while let Some(reply) = self.asks.pop_front() {
            match reply.send(permit) {
                Ok(()) => return,
                Err(back) => permit = back,
            }
        }
        self.unasked.push_back((permit, unasked_until));
    }

    /// Returns those that nobody has asked for in time; dropping reports them. Says when to look again.
    pub(super) fn drop_unasked(&mut self, now: Instant) -> Option<Instant> {
        self.unasked.retain(|(_, until)| *until > now);
        self.unasked.iter().map(|(_, until)| *until).min()
    }

    /// Its name in the limiter.
    pub(super) fn name(&self, number: u64) -> Option<PermitId> {
        self.open.get(&number).map(|open| open.id)
    }

    /// It has come to its end: its name in the limiter.
    pub(super) fn settle(&mut self, number: u64) -> Option<PermitId> {
        self.open.remove(&number).map(|open| open.id)
    }

    /// A slot is valid until then.
    pub(super) fn extend(&self, slot: u32, valid_until: Instant) {
        for open in self.open.values().filter(|open| open.slot == slot) {
            open.validity.send_if_modified(|validity| {
                let moved = *validity != valid_until;
                *validity = valid_until;
                moved
            });
        }
    }

    /// The connections of these are to be closed at once.
    pub(super) fn abort(&self, ids: &[PermitId], now: Instant) {
        for open in self.open.values().filter(|open| ids.contains(&open.id)) {
            open.validity.send_replace(now);
        }
    }
}
