//! What one process has seen and not yet written down.

use super::Cause;

/// Evidence under one epoch, waiting for the next write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Evidence {
    /// The epoch that it is about.
    pub(crate) epoch: u64,
    /// Requests that went well and that the rate held back.
    pub(crate) proof: u32,
    /// Requests that went well and that the number in flight held back.
    pub(crate) crowded: u32,
    /// What ends the epoch.
    pub(crate) finding: Option<Finding>,
}

/// Something that changes the state of the search. The first of an epoch counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Finding {
    /// A request was refused.
    Throttled,
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

    /// Takes out what a write has brought to the Lease.
    pub(crate) fn written(&mut self, brought: &Self) {
        if self.epoch == brought.epoch {
            self.proof = self.proof.saturating_sub(brought.proof);
            self.crowded = self.crowded.saturating_sub(brought.crowded);
            if self.finding == brought.finding {
                self.finding = None;
            }
        }
    }
}
