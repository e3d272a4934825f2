//! One ACME order (RFC 8555 §7.1.6) as a machine: [`next`] says what to send or how long to wait,
//! [`reply`] takes the answer in. Neither sends, and neither looks at a clock.
//!
//! newOrder → authorizations → (DNS records) → challenges → order polls → finalize → order polls → certificate
//!
//! # Guarantees
//! - An order of *n* pending names takes 2n + 3 requests and its polls: the order is polled and
//!   never each authorization. An order that is ready at once takes 3.
//! - Once an [`OrderState`] with a `url` is recorded, no second order is made for it, unless the
//!   CA has lost or ended the first ([`Step::Restart`], [`Effect::Restart`]).
//! - The CA is told to check a challenge by DNS only once the caller has said that its record can be seen
//!   ([`Step::Present`]). The records of an order are asked for all at once, when all its authorizations are known.
//! - A finalized order that comes to no end is given up ([`overdue()`]): after a day, or sooner where the certificate in use
//!   expires or the user asks for it.
//! - What the CA refuses because of `replaces` (RFC 9773 §5) is asked for once more without it, and is no
//!   failure.
//! - 429, 503 and a missing answer are never failures: the state stays and waits. So are 401 and 403 to a read that
//!   carry none of ACME's reasons, up to a number.
//!
//! # Assumptions
//! The caller records the state that [`reply`] gives back before it performs what [`next`] says
//! of it; URLs from the state ([`OrderState::urls`]) are checked by whoever sends.
//!
//! # Caveats
//! If the answer to newOrder is lost, the CA may hold an order that nobody knows; the machine asks
//! for another one.

mod advice;
mod answers;
mod bodies;
mod next;
mod overdue;
mod pace;
mod refusal;
mod reply;
mod state;
mod step;

pub use advice::advised;
pub use next::next;
pub use overdue::{Patience, overdue, waited_for};
pub use reply::reply;
pub use state::{Authorization, AuthorizationState, Inconsistent, OrderState, Stage, UnknownWord};
pub use step::{Effect, Failure, Reply, Request, Retry, Step, reason};

#[cfg(test)]
mod tests;
