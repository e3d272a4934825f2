//! A slot that this process holds.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::budget::Share;
use crate::discovery::HeldBack;
use crate::endpoint::{Apart, Endpoint};
use crate::event::PermitId;
use crate::moment::Moment;
use crate::pacing::Pacer;

/// This part of the interval between two requests changes little about their rate: one in so many.
const LITTLE: u32 = 8;

/// A held slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    /// It may be used before this moment.
    pub(super) valid_until: Moment,
    /// When this process took it.
    pub(super) since: Moment,
    pub(super) pacer: Pacer,
    /// Of the endpoints that have a limit of their own.
    pub(super) apart: Apart<Option<PacerApart>>,
    /// Permits without an answer.
    pub(super) in_flight: BTreeMap<PermitId, Sent>,
    /// When last one of as many permits as may be was answered.
    pub(super) free_since: Moment,
    /// What has kept the next request back so far.
    pub(super) held_back: HeldBack,
    /// The permit that was granted last.
    pub(super) last: Option<PermitId>,
    pub(super) phase: Phase,
}

/// A permit without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sent {
    /// When it was granted or, once begun, when its request left.
    pub(super) at: Moment,
    /// Its request has left.
    pub(super) has_begun: bool,
    /// The epoch in which it was granted.
    pub(super) epoch: u64,
    /// What it is used for, as far as is known.
    pub(super) endpoint: Endpoint,
    pub(super) held_back: HeldBack,
}

/// The pacer of an endpoint that has a limit of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PacerApart {
    pub(super) pacer: Pacer,
    /// The endpoint's next request was asked for before this limit allowed it.
    pub(super) holds_back: bool,
    /// The permit of its request that left last.
    pub(super) last: Option<PermitId>,
    /// The quickest answer ever: other requests' say nothing about this endpoint's.
    quickest: Option<Duration>,
}

/// How far a slot is on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// In use.
    Open,
    /// To be given up: no new permits.
    Draining,
    /// Nothing is unanswered; the connections are being closed.
    Closing,
    /// May be released by the next write.
    Closed,
    /// The table that it stood in is gone: no new permits, no renewal.
    Lapsed,
}

impl Slot {
    pub(super) fn new(valid_until: Moment, since: Moment, pacer: Pacer, apart: Apart<Option<Pacer>>) -> Self {
        let Apart { new_nonce, new_order } = apart;
        Self {
            valid_until,
            since,
            pacer,
            apart: Apart {
                new_nonce: new_nonce.map(PacerApart::new),
                new_order: new_order.map(PacerApart::new),
            },
            in_flight: BTreeMap::new(),
            free_since: since,
            held_back: HeldBack::No,
            last: None,
            phase: Phase::Open,
        }
    }

    /// When the next request may be granted, by the rate; `None`: not before one that was granted has left.
    pub(super) fn ready_at(&self) -> Option<Moment> {
        let unbegun = self.in_flight.values().filter(|sent| !sent.has_begun).count();
        // At burst 0 the CA judges each arrival against the one before.
        if unbegun > 0 && self.pacer.share().spaced {
            return None;
        }
        self.pacer.ready_at(u32::try_from(unbegun).unwrap_or(u32::MAX))
    }

    /// When the next request for `endpoint` may be granted by the limit that this has of its own; `None`: not before
    /// one that was granted has left, or not on this slot.
    pub(super) fn own_ready_at(&self, endpoint: Endpoint, own: &PacerApart) -> Option<Moment> {
        let unbegun = self
            .in_flight
            .values()
            .filter(|sent| !sent.has_begun && sent.endpoint == endpoint)
            .count();
        if unbegun > 0 && own.pacer.share().spaced {
            return None;
        }
        own.pacer.ready_at(u32::try_from(unbegun).unwrap_or(u32::MAX))
    }

    /// May a request for `endpoint` be granted at `now`, as far as its own limit goes, if it has any?
    pub(super) fn is_due_apart(&self, endpoint: Endpoint, now: Moment) -> bool {
        self.own(endpoint)
            .is_none_or(|own| self.own_ready_at(endpoint, own).is_some_and(|ready| ready <= now))
    }

    /// Was the next request for `endpoint` kept back by the endpoint's own limit, and by nothing else for much longer?
    ///
    /// Others' requests are paced as well, so that its turn comes up to one of their intervals later; later than that,
    /// and the CA does not see the endpoint's own rate.
    pub(super) fn is_held_back_apart(&self, endpoint: Endpoint) -> bool {
        self.own(endpoint).is_some_and(|own| {
            let little = (own.pacer.share().interval / LITTLE).max(self.pacer.share().interval);
            let ready = self.own_ready_at(endpoint, own).map(|ready| ready + little);
            own.holds_back && ready >= self.ready_at() && ready >= Some(self.free_since)
        })
    }

    /// A request for `endpoint` leaves at `at`.
    pub(super) fn begun(
        &mut self,
        permit: PermitId,
        endpoint: Endpoint,
        at: Moment,
        quickest: Option<Duration>,
    ) {
        self.pacer.begun(at, quickest);
        if let Some(own) = self.own_mut(endpoint) {
            own.pacer.begun(at, own.quickest);
            own.last = Some(permit);
        }
    }

    /// The answer to a request for `endpoint` that left at `left` has come at `now`.
    pub(super) fn answered(
        &mut self,
        permit: PermitId,
        endpoint: Endpoint,
        left: Moment,
        now: Moment,
        quickest: Duration,
    ) {
        if self.last == Some(permit) {
            self.pacer.answered(left, now, quickest);
        }
        if let Some(own) = self.own_mut(endpoint) {
            let trip = now.since(left);
            let quickest = own.quickest.map_or(trip, |quickest| quickest.min(trip));
            own.quickest = Some(quickest);
            if own.last == Some(permit) {
                own.pacer.answered(left, now, quickest);
            }
        }
    }

    /// What is left at `now` of the waits of the endpoints that have a limit of their own.
    pub(super) fn waits_apart(&self, now: Moment) -> BTreeMap<Endpoint, u64> {
        let waits = Endpoint::APART.into_iter().filter_map(|endpoint| {
            let millis = self.own(endpoint)?.pacer.wait(now).as_micros().div_ceil(1000);
            Some((endpoint, u64::try_from(millis).unwrap_or(u64::MAX)))
        });
        waits.collect()
    }

    /// Are as many requests unanswered as may be?
    pub(super) fn is_full(&self) -> bool {
        self.in_flight.len() >= self.pacer.share().in_flight as usize
    }

    /// Changes what it carries.
    pub(super) fn reshare(&mut self, share: Share, apart: &Apart<Option<Share>>, now: Moment) {
        self.pacer.reshare(share, now);
        for endpoint in Endpoint::APART {
            let share = apart.get(endpoint).copied().flatten();
            match (self.apart.get_mut(endpoint), share) {
                (Some(Some(own)), Some(share)) => own.pacer.reshare(share, now),
                (Some(own), share) => *own = share.map(|share| PacerApart::new(Pacer::empty(share, now))),
                (None, _) => {}
            }
        }
    }

    /// What it carries of the limit that `endpoint` has of its own.
    pub(super) fn share_apart(&self, endpoint: Endpoint) -> Option<Share> {
        Some(self.own(endpoint)?.pacer.share())
    }

    /// The pacer of the limit that `endpoint` has of its own.
    pub(super) fn own(&self, endpoint: Endpoint) -> Option<&PacerApart> {
        self.apart.get(endpoint)?.as_ref()
    }

    /// The same, to be changed.
    pub(super) fn own_mut(&mut self, endpoint: Endpoint) -> Option<&mut PacerApart> {
        self.apart.get_mut(endpoint)?.as_mut()
    }

    /// Does it stand in the table, to be renewed?
    pub(super) fn is_renewed(&self) -> bool {
        self.phase != Phase::Lapsed
    }
}

impl PacerApart {
    fn new(pacer: Pacer) -> Self {
        Self {
            pacer,
            holds_back: false,
            last: None,
            quickest: None,
        }
    }
}
