//! What goes into a step and what comes out of it.

use std::time::Duration;

use crate::budget::{Budget, Source};
use crate::endpoint::Endpoint;
use crate::moment::Moment;
use crate::record::{Record, Unreadable};

/// Names one write by one limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub(crate) u64);

/// Names one permit of one limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermitId(pub(crate) u64);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The moment of the last [`Action::WakeAt`] has come. One too many does no harm.
    Tick,
    /// So many requests wait now, those that a permit was already returned for not counted.
    /// None of them is for newNonce.
    Demand(u32),
    /// The same, with requests among them for endpoints that have a limit of their own.
    MixedDemand {
        /// Requests for newNonce.
        new_nonce: u32,
        /// Requests for newOrder.
        new_order: u32,
        /// All others.
        other: u32,
    },
    /// Work is under way that will ask for permits, and does something else first, or not any more: meanwhile the slots
    /// that are held are not idle.
    Busy(bool),
    /// The budget is configured so, now or anew.
    Configured {
        /// The figures.
        budget: Budget,
        /// Where they come from.
        source: Source,
    },
    /// The Lease was read: the answer to [`Action::Read`], or told by a watch.
    Read(Read),
    /// The answer to [`Action::Write`]; each write gets exactly one.
    Written {
        /// Which write.
        id: WriteId,
        /// How it went.
        outcome: WriteOutcome,
    },
    /// The permit's request leaves now: its connection is there, it is signed. At burst 0 nothing is
    /// granted on a slot between a permit and this.
    Begun {
        /// Which permit.
        permit: PermitId,
        /// What it is used for.
        endpoint: Endpoint,
    },
    /// The permit's request was answered.
    Answered {
        /// Which permit.
        permit: PermitId,
        /// Set if the answer was 429 or 503.
        throttle: Option<Throttle>,
    },
    /// The permit's request got no answer and its connection is closed, or it was never sent.
    Lost {
        /// Which permit.
        permit: PermitId,
        /// Set if that is the CA's doing, or the network's; not if this process broke it off.
        unreachable: Option<Unreachable>,
    },
    /// The answer to [`Action::CloseConnections`]; each one gets exactly one.
    ConnectionsClosed,
    /// Give everything up and send nothing more.
    Shutdown,
}

/// What a read of the Lease showed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Read {
    /// A record.
    Found {
        /// The record.
        record: Box<Record>,
        /// The Lease's `resourceVersion`.
        version: String,
    },
    /// There is no Lease.
    Absent,
    /// There is one, but its content could not be used.
    Unreadable {
        /// Why.
        reason: Unreadable,
        /// The Lease's `resourceVersion`.
        version: String,
    },
    /// No answer, or an error.
    Failed,
}

/// How a write of the Lease went.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WriteOutcome {
    /// It is in place.
    Acknowledged {
        /// The Lease's new `resourceVersion`.
        version: String,
    },
    /// The Lease has another `resourceVersion`, exists already, or is gone.
    Conflict,
    /// It was refused for certain and changed nothing: not allowed, invalid, never sent.
    Refused,
    /// It may have landed, or may yet: no answer in time, a broken connection, a 5xx.
    Unknown,
}

/// A 429 or 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Throttle {
    /// Its Retry-After as a time from now, if it had one.
    pub retry_after: Option<Duration>,
}

/// Why the CA gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// It refuses connections.
    Refused,
    /// The connection broke off.
    Reset,
    /// No connection or no answer in time.
    TimedOut,
    /// Its name has no address, or there is no way to it.
    NoRoute,
}

/// What to do. Actions are to be performed at once, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read the Lease with a quorum read (no `resourceVersion`), answered by [`Event::Read`].
    Read,
    /// Write the Lease, once, with a time limit of 2 to 3 s and no retry beneath.
    Write {
        /// To be named in [`Event::Written`].
        id: WriteId,
        /// The content.
        record: Box<Record>,
        /// The `resourceVersion` to replace; `None` to create the Lease.
        version: Option<String>,
    },
    /// Send one request.
    Permit {
        /// To be named in [`Event::Answered`] or [`Event::Lost`].
        id: PermitId,
        /// The slot that it is counted on.
        slot: u32,
        /// What it may be used for.
        endpoint: Endpoint,
        /// Not to be started at this moment or later; return it by [`Event::Lost`] then.
        start_by: Moment,
    },
    /// Close the connections of these permits now, whatever becomes of the requests.
    Abort {
        /// Which permits; nothing need be said about them any more.
        permits: Vec<PermitId>,
    },
    /// Close every connection that carries no request, answered by [`Event::ConnectionsClosed`].
    CloseConnections,
    /// Send [`Event::Tick`] at this moment. It replaces the one before; after a step without it no tick is
    /// needed, whatever an earlier step said.
    WakeAt(Moment),
}
