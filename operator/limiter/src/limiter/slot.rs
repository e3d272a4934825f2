//! A slot that this process holds.

use std::collections::BTreeMap;

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
    /// Permits without an answer, and when they were granted or, once begun, when they left.
    pub(super) in_flight: BTreeMap<PermitId, Moment>,
    /// The permit that was granted last, while its request has not left.
    pub(super) unbegun: Option<PermitId>,
    /// The permit that was granted last.
    pub(super) last: Option<PermitId>,
    pub(super) phase: Phase,
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
    pub(super) fn new(valid_until: Moment, since: Moment, pacer: Pacer) -> Self {
        Self {
            valid_until,
            since,
            pacer,
            in_flight: BTreeMap::new(),
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

    /// Does it stand in the table, to be renewed?
    pub(super) fn is_renewed(&self) -> bool {
        self.phase != Phase::Lapsed
    }
}
