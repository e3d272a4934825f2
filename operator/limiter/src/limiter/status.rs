//! What a limiter can say about itself.

use std::fmt;

use super::Limiter;
use super::slot::Phase;
use super::view::Lease;
use crate::budget::{Budget, Source};
use crate::discovery::Cause;
use crate::holder::Holder;
use crate::moment::Moment;
use crate::record::{Record, Unreadable};

/// Why nothing is sent although requests wait.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Blocked {
    /// The Lease could not be read yet.
    LeaseUnread,
    /// The Lease cannot be used: written by a newer release, or damaged and being made anew.
    LeaseUnreadable(Unreadable),
    /// There is no Lease yet; one is being made.
    LeaseAbsent,
    /// The CA asked for a pause, or refused requests.
    Paused {
        /// Its end.
        until: Moment,
        /// Why, if the Lease says so already.
        cause: Option<Cause>,
    },
    /// Other replicas, or dead ones, hold all slots that this one could have.
    NoSlot {
        /// The place in the waiting list, from 0, once listed.
        position: Option<usize>,
    },
    /// A slot is held, but its validity runs out and no renewal gets through.
    NotRenewed,
    /// The CA refused or could not be reached, and this replica or another sends one request at a time until one
    /// gets through.
    Probing(Cause),
    /// The budget's rate or the requests in flight are used up for now.
    Pacing,
    /// The process gives everything up.
    ShuttingDown,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaseUnread => f.write_str("the budget's Lease could not be read"),
            Self::LeaseUnreadable(reason) => reason.fmt(f),
            Self::LeaseAbsent => f.write_str("the budget's Lease does not exist yet"),
            Self::Paused {
                cause: Some(cause), ..
            } => write!(f, "{cause}: a probe goes out after a pause"),
            Self::Paused { cause: None, .. } => f.write_str("the CA refused a request"),
            Self::NoSlot {
                position: Some(position),
            } => {
                write!(
                    f,
                    "waiting for a slot of the budget, place {} in the list",
                    position + 1
                )
            }
            Self::NoSlot { position: None } => f.write_str("waiting for a slot of the budget"),
            Self::NotRenewed => f.write_str("the budget's Lease cannot be renewed"),
            Self::Probing(cause) => {
                write!(f, "{cause}: one request at a time is sent until one gets through")
            }
            Self::Pacing => f.write_str("waiting for the budget's rate"),
            Self::ShuttingDown => f.write_str("shutting down"),
        }
    }
}

impl Limiter {
    /// The numbers of the slots that are held now.
    pub fn slots_held(&self, now: Moment) -> Vec<u32> {
        self.slots
            .iter()
            .filter(|(_, slot)| slot.valid_until > now)
            .map(|(number, _)| *number)
            .collect()
    }

    /// The slots that are held now, each with the end of its validity.
    pub fn validity(&self, now: Moment) -> impl Iterator<Item = (u32, Moment)> {
        let held = self.slots.iter().filter(move |(_, slot)| slot.valid_until > now);
        held.map(|(number, slot)| (*number, slot.valid_until))
    }

    /// How many requests the slots that are kept (not being given up) may have unanswered: as many
    /// connections may stay open when [`Action::CloseConnections`](crate::Action::CloseConnections) is performed.
    pub fn connections_kept(&self) -> u32 {
        let kept = self.slots.values().filter(|slot| slot.phase == Phase::Open);
        kept.map(|slot| slot.pacer.share().in_flight).sum()
    }

    /// The holders whose rows have changed within the takeover time, by this process's clock: those
    /// that may be alive, each with the moment from which it counts as dead if its row stays so. A
    /// hint, for the Lease may have been seen late. An earlier process of this container is dead.
    pub fn live_holders(&self, now: Moment) -> impl Iterator<Item = (&Holder, Moment)> {
        let takeover = self.view.takeover(&self.durations);
        let rows = self
            .view
            .record()
            .into_iter()
            .flat_map(|record| record.slots.iter().enumerate());
        rows.filter_map(move |(number, row)| {
            let until = self.view.open_from(number, takeover)?;
            Some((row.holder.as_ref()?, until))
        })
        .filter(move |(holder, until)| *until > now && !self.me.succeeds(holder))
    }

    /// The requests per second that the held slots allow.
    pub fn rate(&self, now: Moment) -> f64 {
        self.slots
            .values()
            .filter(|slot| self.is_valid(slot, now))
            .map(|slot| 1.0 / slot.pacer.share().interval.as_secs_f64())
            .sum()
    }

    /// The budget that binds this process: the lower of the Lease's and its own configuration.
    pub fn budget(&self) -> Budget {
        self.effective_budget()
    }

    /// Where the budget comes from.
    pub fn source(&self) -> Source {
        match (self.view.record(), &self.configured) {
            (Some(record), _) => record.source,
            (None, Some((_, source))) => *source,
            (None, None) => Source::Discovered,
        }
    }

    /// The Lease's content as last seen.
    pub fn record(&self) -> Option<&Record> {
        self.view.record()
    }

    /// The end of the pause of the whole budget, if there is one now.
    pub fn paused_until(&self, now: Moment) -> Option<Moment> {
        self.paused.until(now)
    }

    /// The place in the waiting list, from 0.
    pub fn waiting_position(&self) -> Option<usize> {
        self.view.record()?.position(&self.me)
    }

    /// The number of permits without an answer.
    pub fn in_flight(&self) -> usize {
        self.slots.values().map(|slot| slot.in_flight.len()).sum()
    }

    /// Is nothing held, under way or in doubt? After [`Event::Shutdown`](crate::Event::Shutdown) the process
    /// may end once this is so.
    pub fn is_settled(&self) -> bool {
        self.slots.is_empty()
            && self.writing.is_none()
            && self.uncertain.is_none()
            && self
                .view
                .record()
                .is_none_or(|record| record.held_by(&self.me) == 0 && record.position(&self.me).is_none())
    }

    /// Why nothing is sent although requests wait; `None` if nothing waits.
    pub fn blocked(&self, now: Moment) -> Option<Blocked> {
        if self.demand == 0 {
            return None;
        }
        if self.shutting_down {
            return Some(Blocked::ShuttingDown);
        }
        let outage = self
            .view
            .record()
            .and_then(|record| record.discovery.outage.as_ref());
        let cause = outage.map(|outage| outage.cause);
        if let Some(until) = self.paused.until(now) {
            return Some(Blocked::Paused { until, cause });
        }
        let held = || self.slots.values().filter(|slot| self.is_valid(slot, now));
        Some(match &self.view.lease {
            Lease::Unreadable {
                reason: reason @ Unreadable::Newer { .. },
                ..
            } => Blocked::LeaseUnreadable(reason.clone()),
            _ if held().any(|slot| self.is_valid(slot, now + self.durations.start_margin)) => {
                cause.map_or(Blocked::Pacing, Blocked::Probing)
            }
            _ if held().next().is_some() => Blocked::NotRenewed,
            Lease::Unreadable { reason, .. } => Blocked::LeaseUnreadable(reason.clone()),
            Lease::Unseen => Blocked::LeaseUnread,
            Lease::Absent => Blocked::LeaseAbsent,
            Lease::Found { record, .. } => Blocked::NoSlot {
                position: record.position(&self.me),
            },
        })
    }
}
