//! The cluster-wide limiter: any number of replicas send to one CA, together no faster than one budget.
//!
//! # How it works
//!
//! A [`Budget`] says what a CA bears: requests per second, a burst, requests in flight. It is given, or found out
//! by asking (below). It is cut into a few equal **slots**. A table of the slots stands in one Kubernetes Lease per budget (a [`Record`], see
//! [`Record::to_annotations`]), and is changed only by compare-and-swap on the Lease's `resourceVersion`. The
//! replica that stands in a slot's [`Row`] **holds** it for a short time, renews it while it has work, and
//! paces its own requests by a token bucket that carries the slot's part of the budget. So no request waits
//! for the API server; only the change of a slot from one replica to another does.
//!
//! Each process has one [`Limiter`] per budget. It is a pure state machine: [`Limiter::step`] takes an
//! [`Event`] and the moment, and returns [`Action`]s. An edge around it owns the clock, the Lease's client
//! and the connections to the CA. A request goes out only for an [`Action::Permit`].
//!
//! The life of a slot, as one replica sees it:
//!
//! 1. [`Event::Demand`]: it reads the Lease. A free row is taken by a write; if there is none, one write adds
//!    the replica to the **waiting list**, and it reads once a second until it is its turn. Places in the
//!    list are worth a head start of 200 ms each, and who is passed over leaves the list, so that a dead
//!    waiter costs a moment only.
//! 2. The write's acknowledgement grants the slot, for 10 s from the write's *start*. One write every 3 s
//!    renews all slots of the replica.
//! 3. With others in the list, a replica with more than its fair part gives the surplus back at once. The
//!    last slot goes back once it has been held for 12 s and no request is unanswered, or after 60 s; then no
//!    new request starts, and the slot goes when the last one is answered. Slots are released, never given.
//!    Who still has work joins the end of the list in the same write.
//! 4. Without work for 3 s, one write gives everything back. After that an idle limiter reads and writes
//!    nothing.
//! 5. A replica that dies leaves its row unchanged. Once another has seen it unchanged for 15 s it takes it
//!    over. A later process of the same container takes it at once: the earlier one is known to be dead.
//!
//! Nothing compares the clocks of two machines. What passes through the Lease are durations, counted by each
//! reader from the moment it first sees them. Whether the CA is reached stands there with times of day ([`Contact`]), for
//! people alone: it goes along with writes that are made anyway.
//!
//! # Invariants
//!
//! - **I1, rate.** In any window W the CA sees at most 1 + burst + rate × (W + jitter) requests. The slots'
//!   rates and capacities add up to the budget's. Kept back for jitter: spacings are 2 % wider than the rate
//!   asks for; of a burst, what the rate brings in 15 ms stays unused (never all of a slot's part); at burst
//!   0, where a CA judges each arrival against the one before, the next request leaves one spacing and 5 ms
//!   after the latest moment at which the last one can have arrived (its answer, less the quickest round trip
//!   ever seen). An answer that is overdue is waited for, one more spacing at most; where answers usually take
//!   longer than a third of the spacing, nothing can be told from their absence, and the next leaves one
//!   spacing and 15 ms after the last. These margins are never more than a quarter of the spacing.
//! - **I2, in flight.** Unanswered requests of all replicas never exceed `max_in_flight`. A slot is renewed
//!   while a request is unanswered and released only when none is and the connections are closed. Exception:
//!   what the CA still works on for a dead, stopped or cut-off replica.
//! - **I3, one holder.** At most one replica holds a slot. Validity runs from the start of the acknowledged
//!   write on the holder's clock; a takeover needs an unchanged row for longer than that on the taker's
//!   clock, and its compare-and-swap proves that it is still unchanged. This holds as long as no clock runs
//!   1.5 times as fast as another. A released slot carries the rest of its wait; one taken over, found in
//!   doubt or new starts with an empty bucket.
//! - **I4, no revival.** A slot that has expired on its holder's clock is gone, whatever answer comes late;
//!   its row is taken anew by another write. Nothing starts with less than 2 s of validity left. At expiry
//!   the connections of unanswered requests are to be closed ([`Action::Abort`]).
//! - **I5, shrink before, grow after.** What a write gives up is given up before it is sent, what it gains is
//!   used after its acknowledgement. An unknown outcome gains nothing until a read shows the write's own
//!   stamp, and a conflict is treated the same, since it can be one's own success sent twice. The table
//!   shrinks only by rows that are free or the writer's own. When figures change, the epoch goes up, and a
//!   slot is taken under the new ones only once each other holder has written under the new epoch or is past
//!   its time.
//! - **I7, doubt.** A Lease that is absent or damaged is made anew with every row in doubt: nobody is known to
//!   hold it, and it is taken like a dead holder's, 15 s after it was first seen. So even an answer "absent"
//!   that is out of date does no harm. The price is 15 s at the first start in a cluster. A table known by
//!   another name ([`Record::incarnation`]) ends the renewal of what was held under the former one. A Lease
//!   restored from a backup is noticed by its revision if this process has seen a later one, and then treated
//!   as new after 15 s; otherwise it cannot be told, no more than an edit by hand.
//! - **I8, progress.** With demand and a reachable API server somebody sends within the takeover time, any
//!   pause, 2 s and one spacing of a slot.
//! - **I9, idle is free.** See 4 above.
//!
//! - **I6, refusals.** A refusal (429, 503) of a request that was granted in the current epoch counts once, for all
//!   replicas; of earlier epochs none counts. It pauses the whole budget: for its Retry-After, else for two
//!   spacings, at least 1 s, doubled for each refusal in a row up to 30 s. This process stops at once, the others
//!   when they see the Lease. Then one request at a time goes out as a probe, on slot 0, until one gets through.
//!
//! # What a CA bears
//!
//! [`Discovery`] holds the state of the search, in the Lease beside the budget that is in force, so that it is
//! shared and survives restarts. Its rules are in its module: [`Stage`] names the steps. Each process counts its own
//! answers as evidence under an epoch. Counts go along with the renewals; what ends the epoch (a refusal, enough
//! proof, a try that is due) is written at once by whoever sees it first, and until that write is acknowledged this
//! process grants nothing. So the figures change by compare-and-swap, once per epoch, and I5 holds for them as for
//! any others: lowered before the write, raised after it.
//!
//! A given budget, and the limits that a CA publishes ([`published`]), are a ceiling. Refusals lower the rate below
//! it, and tries bring it back. A limit of newNonce or newOrder alone is a [`SubRate`], published or found out: such
//! requests need a permit for that [`Endpoint`], which counts toward both.
//!
//! What it costs and how well it works is measured by the crate `sancho-simulation` (`cargo simulate`). Caveats: a
//! CA with a large burst lets the doubling run far past its rate before it says no, and is found with more refusals;
//! at burst 0 and a spacing shorter than the round trip the pair tells nothing, and jitter costs rate.
//!
//! `src/model.rs` searches all orders of events, within bounds, for a violation of I1 to I4, I6 and I8, and must
//! find one for each rule that is taken away.
//!
//! # Assumptions
//!
//! - `now` is `CLOCK_BOOTTIME`: it does not stop while the machine sleeps.
//! - Each write is sent once. Its `resourceVersion` is a condition that the API server enforces, also when
//!   the Lease has been deleted meanwhile.
//! - Every read, write and close is answered by its event, with a failure if need be.
//! - A [`Holder`] is never used by two processes.
//!
//! # Caveats
//!
//! A process that is stopped between a permit's check and the request's first byte may send that request when
//! it wakes. No CA can refuse it.

#![warn(missing_docs)]

mod budget;
mod contact;
mod discovery;
mod durations;
mod endpoint;
mod estimate;
mod event;
mod fair;
mod holder;
mod limiter;
#[cfg(test)]
mod model;
mod moment;
mod pacing;
mod record;
mod rules;

pub use self::budget::{Budget, PerSecond, Source, SubRate};
pub use self::contact::{Contact, Failing};
pub use self::discovery::{
    Before, Cause, Discovery, EndpointSearch, LastThrottle, Outage, Stage, Suspect, published,
};
pub use self::durations::Durations;
pub use self::endpoint::Endpoint;
pub use self::estimate::{AnswerTime, Cost};
pub use self::event::{Action, Event, PermitId, Read, Throttle, Unreachable, WriteId, WriteOutcome};
pub use self::fair::FairQueue;
pub use self::holder::{Holder, Waiter};
pub use self::limiter::{Blocked, Limiter};
pub use self::moment::Moment;
pub use self::record::{
    LEASE_LABEL, ORIGIN_ANNOTATION, PREFIX, Pause, Record, Row, Unreadable, VERSION, WRITER_ANNOTATION,
};
