//! What one process has seen and not yet written down.

use std::time::Duration;

use super::{Cause, Suspect};
use crate::endpoint::{Apart, Endpoint};

/// Soon after an epoch has begun is so much later at most, by the clock of whoever was refused, from when it saw the
/// epoch first.
pub(crate) const SOON: Duration = Duration::from_secs(600);

/// What a request had to wait for, once its slot was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum HeldBack {
    /// For nothing, or for something outside the budget.
    #[default]
    No,
    /// For the rate.
    ByRate,
    /// For its endpoint's own rate.
    ByOwnRate,
    /// For an answer, and nothing else: the rate would have allowed it.
    ByInFlight,
}

/// Evidence under one epoch, waiting for the next write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Evidence {
    /// The epoch that it is about.
    pub(crate) epoch: u64,
    /// Requests that went well and that the rate held back.
    pub(crate) proof: u32,
    /// Requests that went well and that the number in flight held back.
    pub(crate) crowded: u32,
    /// Requests that went well and that their endpoint's own rate held back.
    pub(crate) proof_apart: Apart<u32>,
    /// Requests that went well, of each endpoint.
    pub(crate) passed_apart: Apart<u32>,
    /// Requests that went well since an endpoint is suspected: those for it, and all others.
    pub(crate) since_suspected: (u32, u32),
    /// What ends the epoch.
    pub(crate) finding: Option<Finding>,
}

/// Something that changes the state of the search. The first of an epoch counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Finding {
    /// A request was refused, soon after the epoch had begun or not.
    Throttled {
        /// See [`SOON`].
        is_soon: bool,
        /// What it was for.
        endpoint: Endpoint,
    },
    /// The CA cannot be reached.
    Lost(Cause),
    /// A probe got through.
    Back,
    /// The second of two requests in a row got through, or not.
    Pair(bool),
}

impl Evidence {
    /// None yet, about `epoch`.
    pub(crate) fn about(epoch: u64) -> Self {
        Self {
            epoch,
            ..Self::default()
        }
    }

    /// A request was answered, and not refused.
    pub(crate) fn passed(&mut self, endpoint: Endpoint, held_back: HeldBack, suspect: Option<&Suspect>) {
        let count = match held_back {
            HeldBack::ByRate => Some(&mut self.proof),
            HeldBack::ByInFlight => Some(&mut self.crowded),
            HeldBack::ByOwnRate => self.proof_apart.get_mut(endpoint),
            HeldBack::No => None,
        };
        if let Some(count) = count {
            *count = count.saturating_add(1);
        }
        if let Some(count) = self.passed_apart.get_mut(endpoint) {
            *count = count.saturating_add(1);
        }
        if let Some(suspect) = suspect {
            let (own, others) = &mut self.since_suspected;
            let count = if suspect.endpoint == endpoint { own } else { others };
            *count = count.saturating_add(1);
        }
    }

    /// Did a request for `endpoint` go well?
    pub(super) fn has_served(&self, endpoint: Endpoint) -> bool {
        self.passed_apart.get(endpoint).is_some_and(|count| *count > 0)
    }

    /// Takes out the counts that a write has brought to the Lease, or may have: nothing counts twice.
    pub(crate) fn counted(&mut self, brought: &Self) {
        if self.epoch == brought.epoch {
            let less = |count: &mut u32, brought: u32| *count = count.saturating_sub(brought);
            less(&mut self.proof, brought.proof);
            less(&mut self.crowded, brought.crowded);
            less(&mut self.proof_apart.new_nonce, brought.proof_apart.new_nonce);
            less(&mut self.proof_apart.new_order, brought.proof_apart.new_order);
            less(&mut self.passed_apart.new_nonce, brought.passed_apart.new_nonce);
            less(&mut self.passed_apart.new_order, brought.passed_apart.new_order);
            less(&mut self.since_suspected.0, brought.since_suspected.0);
            less(&mut self.since_suspected.1, brought.since_suspected.1);
        }
    }

    /// Takes out what a write has brought to the Lease.
    pub(crate) fn written(&mut self, brought: &Self) {
        self.counted(brought);
        if self.epoch == brought.epoch && self.finding == brought.finding {
            self.finding = None;
        }
    }
}
