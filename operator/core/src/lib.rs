//! What Sancho decides, without doing it: names → shards → orders → renewal.
//!
//! Nothing here sends, sleeps or looks at a clock. Callers pass `now` in and perform what comes
//! back as data.
#![warn(missing_docs)]

pub mod caa;
pub mod challenge;
pub mod check;
pub mod names;
pub mod order;
pub mod plan;
pub mod renewal;
pub mod response;
pub mod revocation;
pub mod secret_name;
pub mod shown;
pub mod standing;
