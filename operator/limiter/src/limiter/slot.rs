//! A slot that this process holds.

use std::collections::BTreeMap;

use crate::budget::Share;
use crate::event::PermitId;
use crate::moment::Moment;
use crate::pacing::Pacer;

/// A held slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    /// It may be used before this moment.
    pub(super) valid_until: Moment,
    /// When this process took it.
    pub(super) since: Moment,
    pub(super) pacer: Pacer,
    /// Of newNonce, if that has a limit of its own.
    pub(super) new_nonce: Option<Pacer>,
    /// Permits without an answer.
    pub(super) in_flight: BTreeMap<PermitId, Sent>,
    /// What has kept the next request back so far.
    pub(super) held_back: HeldBack,
    /// The permit that was granted last, while its request has not left.
    pub(super) unbegun: Option<PermitId>,
    /// The permit that was granted last.
    pub(super) last: Option<PermitId>,
    pub(super) phase: Phase,
}

/// A permit without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sent {
    /// When it was granted or, once begun, when its request left.
    pub(super) at: Moment,
    /// The epoch in which it was granted.
    pub(super) epoch: u64,
    pub(super) held_back: HeldBack,
}

/// What a request had to wait for, once its slot was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum HeldBack {
    /// For nothing, or for something outside the budget.
    #[default]
    No,
    ByRate,
    /// For an answer, and nothing else: the rate would have allowed it.
    ByInFlight,
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
    pub(super) fn new(valid_until: Moment, since: Moment, pacer: Pacer, new_nonce: Option<Share>) -> Self {
        Self {
            valid_until,
            since,
            pacer,
            new_nonce: new_nonce.map(|share| Pacer::empty(share, since)),
            in_flight: BTreeMap::new(),
            held_back: HeldBack::No,
            unbegun: None,
            last: None,
            phase: Phase::Open,
        }
    }

    /// At burst 0 the CA judges each arrival against the one before: until that one has left, nobody knows
    /// when the next may.
    pub(super) fn awaits_begin(&self) -> bool {
        self.unbegun.is_some() && self.pacer.share().spaced
    }

    /// Are as many requests unanswered as may be?
    pub(super) fn is_full(&self) -> bool {
        self.in_flight.len() >= self.pacer.share().in_flight as usize
    }

    /// Changes what it carries.
    pub(super) fn reshare(&mut self, share: Share, new_nonce: Option<Share>, now: Moment) {
        self.pacer.reshare(share, now);
        match (&mut self.new_nonce, new_nonce) {
            (Some(pacer), Some(share)) => pacer.reshare(share, now),
            (pacer @ None, Some(share)) => *pacer = Some(Pacer::empty(share, now)),
            (pacer, None) => *pacer = None,
        }
    }

    /// Does it stand in the table, to be renewed?
    pub(super) fn is_renewed(&self) -> bool {
        self.phase != Phase::Lapsed
    }
}
