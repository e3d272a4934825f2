//! CertificateShards: look → decide → claim → drive → record.
//!
//! [`decide`] says what a shard needs, [`watch`] looks at every shard and puts those with work into their
//! budget's queue, [`drive`] takes one and performs it, [`record`] writes each step by compare-and-swap, and
//! [`publish`] writes what was issued into its Secret. [`finish`] has the other ends of that way. `adopt`
//! takes a Secret over that somebody else made, `key` has the key that it is for, and `look` asks the CA when
//! to renew it. `revoke` has it revoked. `present` has TXT records written for its challenges, and [`sweep`]
//! has them removed, as `orphans` does those that no shard lists any more and `forsaken` those whose issuer is
//! gone; a shard is driven `aside` meanwhile. `standing` looks at those that stand for good. [`reform`] gives a
//! Secret another form without the CA.

pub mod adopt;
mod aside;
pub mod decide;
pub mod drive;
pub mod finish;
mod forsaken;
mod keep;
mod key;
mod look;
mod looks;
mod orphans;
mod present;
pub mod profile;
pub mod publish;
pub mod quarantine;
pub mod record;
pub mod reform;
pub mod renewal;
mod retry;
pub mod revocation;
mod revoke;
mod send;
mod standing;
pub mod sweep;
pub mod watch;
