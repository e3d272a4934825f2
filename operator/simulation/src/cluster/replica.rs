//! One simulated process.

use std::collections::BTreeMap;

use sancho_limiter::{Durations, Endpoint, Event, Holder, Limiter, Moment, PermitId};

use crate::figures::Figures;

pub(super) struct Replica {
    pub(super) limiter: Limiter,
    pub(super) is_alive: bool,
    /// Counts restarts; what was meant for an earlier life is dropped.
    pub(super) life: u32,
    /// Counts pods; the next process of the same container is in the same one.
    pod: u32,
    pub(super) wake: u64,
    /// Its boot-time clock shows virtual time plus this.
    clock_offset: u64,
    /// Requests without an answer, each with what it is for and the moment at which it was granted.
    pub(super) open: BTreeMap<PermitId, (Endpoint, u64)>,
    /// Its limiter was told what is for newOrder, since that has a rate of its own.
    pub(super) told_apart: bool,
    /// Requests that were not granted yet. They outlive the process, as what users wrote does.
    pub(super) waiting: u32,
    /// Of these, so many are for newOrder, once that has a rate of its own.
    pub(super) new_orders_waiting: u32,
    held_since: Option<u64>,
}

impl Replica {
    pub(super) fn new(number: usize) -> Self {
        Self {
            limiter: Limiter::new(holder(number, 0, 0), Durations::default()),
            is_alive: true,
            life: 0,
            pod: 0,
            wake: 0,
            clock_offset: 1_000_000_000 * number as u64,
            open: BTreeMap::new(),
            told_apart: false,
            waiting: 0,
            new_orders_waiting: 0,
            held_since: None,
        }
    }

    /// Returns how many of its requests the CA need not answer any more.
    pub(super) fn die(&mut self, now: u64, figures: &mut Figures) -> usize {
        self.count_held(now, figures);
        (self.is_alive, self.held_since) = (false, None);
        self.life += 1;
        std::mem::take(&mut self.open).len()
    }

    pub(super) fn live_again(&mut self, number: usize, in_same_pod: bool) {
        self.is_alive = true;
        self.pod += u32::from(!in_same_pod);
        self.limiter = Limiter::new(holder(number, self.pod, self.life), Durations::default());
        self.told_apart = false;
    }

    /// Must its limiter be told anew what waits, since newOrder has a rate of its own now, or has none any more?
    pub(super) fn is_told_wrongly(&self) -> bool {
        self.is_apart() != self.told_apart
    }

    fn is_apart(&self) -> bool {
        self.limiter.budget().sub_rate(Endpoint::NewOrder).is_some()
    }

    /// So many requests wait now, of which one in `one_in` is for newOrder.
    pub(super) fn demand(&mut self, waiting: u32, one_in: u32) -> Event {
        self.waiting = waiting;
        self.told_apart = self.is_apart();
        let new_order = if self.told_apart { waiting / one_in } else { 0 };
        self.new_orders_waiting = new_order;
        Event::MixedDemand {
            new_nonce: 0,
            new_order,
            other: waiting - new_order,
        }
    }

    pub(super) fn clock(&self, now: u64) -> Moment {
        Moment::from_micros(now + self.clock_offset)
    }

    /// The slots that it holds.
    pub(super) fn slots(&self, now: u64) -> impl Iterator<Item = u32> {
        let held = self.limiter.validity(self.clock(now)).map(|(slot, _)| slot);
        held.filter(|_| self.is_alive)
    }

    /// Adds up for how long it has held a slot.
    pub(super) fn count_held(&mut self, now: u64, figures: &mut Figures) {
        if let Some(since) = self.held_since {
            figures.seconds_held += (now - since) as f64 / 1e6;
        }
        let holds_some = self.slots(now).next().is_some();
        self.held_since = holds_some.then_some(now);
    }
}

fn holder(number: usize, pod: u32, life: u32) -> Holder {
    Holder {
        pod_uid: format!("pod-{number}-{pod}"),
        container: "operator".into(),
        process: format!("sancho-{number}-{life}"),
    }
}
