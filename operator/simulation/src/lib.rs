//! The limiter's proof by simulation: real limiters, a simulated API server, network and CA, virtual time.
//!
//! A [`Scenario`] says what is run; [`Scenario::run`] gives a [`Report`]. Chance comes from the scenario's seed
//! alone, and no clock is read, so that a run that fails replays exactly.
//!
//! # Guarantees
//!
//! The limiters run the crate `sancho-limiter`'s own [`step`](sancho_limiter::Limiter::step), and what they write
//! passes through the Lease's annotations. Each request that leaves is judged against the budget in force, and
//! each slot that is taken against all other holders.
//!
//! # Caveats
//!
//! Clocks of replicas show different times but run alike; clocks that drift or stop are the model's part, in
//! `sancho-limiter`. A request that the CA serves is served whatever becomes of its sender.

#![warn(missing_docs)]

mod ca;
mod cluster;
mod figures;
mod meter;
mod network;
mod random;
mod report;
mod scenario;

pub use self::ca::{Answer, Ca, Limits, Outage, Refusal};
pub use self::cluster::{Arrival, Cluster, End};
pub use self::figures::Figures;
pub use self::network::Network;
pub use self::random::Random;
pub use self::report::{Report, Takeovers};
pub use self::scenario::{Scenario, Work};
