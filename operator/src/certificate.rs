//! Certificates: read → plan → commit → write shards → add up.
//!
//! Every replica plans, from caches that may be stale. What is to change is planned again from live
//! reads and committed by one compare-and-swap on the Certificate's status; the winner writes the
//! shards. Nothing here sends anything to a CA.

mod cap;
mod commit;
mod controller;
mod hand_over;
pub mod preview;
mod rebuild;
mod revoked;
mod summary;
mod tie;
mod wanted;

pub(crate) use self::cap::most_names;
pub use self::controller::run;
pub use self::wanted::assignment_in_secrets;

/// The name of a Certificate: namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}
