//! CertificateShards: look → decide → claim → drive → record.
//!
//! [`decide`] says what a shard needs, [`watch`] looks at every shard and puts those with work into
//! their budget's queue, [`drive`] takes one and performs it, [`record`] writes each step by
//! compare-and-swap, and [`finish`] publishes what was issued.

pub mod decide;
pub mod drive;
pub mod finish;
pub mod record;
pub mod renewal;
pub mod watch;
