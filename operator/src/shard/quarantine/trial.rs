//! Under what names were tried: by that their waits are over after an edit, or by hand. Pure.

use jiff::Timestamp;
use sancho_core::order::reason;
use sancho_crds::{CertificateShard, CertificateShardSpec, IssuerKind, QuarantinePlace, QuarantinedName};

use crate::clock;
use crate::issuer::Edition;
use crate::shard::decide::expiry;
use crate::target::digest;

/// A try of names: when, and what bears on what comes of it beside the names' own DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// When.
    pub now: Timestamp,
    /// The end of the certificate in use.
    pub(super) not_after: Option<Timestamp>,
    issuer: Edition,
    asked: String,
}

impl Trial {
    /// A try of names of `shard`, whose issuer is at this edition.
    #[must_use]
    pub fn of(shard: &CertificateShard, issuer: Edition, now: Timestamp) -> Self {
        let CertificateShardSpec {
            issuer_ref,
            profile,
            retry,
            ..
        } = &shard.spec;
        let kind = match issuer_ref.kind() {
            IssuerKind::Issuer => "Issuer",
            IssuerKind::ClusterIssuer => "ClusterIssuer",
        };
        let optional = [profile, retry].map(|text| text.as_deref().unwrap_or_default());
        Self {
            now,
            not_after: expiry(shard),
            issuer,
            asked: digest([kind, issuer_ref.name.as_str()].into_iter().chain(optional)),
        }
    }

    /// Is this name to be tried in this trial?
    #[must_use]
    pub fn is_due(&self, entry: &QuarantinedName) -> bool {
        self.time_of(entry).is_some_and(|at| at <= self.now)
    }

    /// When a name is tried again or comes back.
    #[must_use]
    pub fn time_of(&self, entry: &QuarantinedName) -> Option<Timestamp> {
        match entry.place {
            QuarantinePlace::Joining => None,
            _ if self.is_begun_anew(entry) => Some(self.now),
            _ => Some(entry.next_try.0),
        }
    }

    /// Was the name tried under other circumstances, so that its wait is over? Not if it waits for its turn to come back,
    /// or for a quota. What an older version has recorded waits as well.
    pub(super) fn is_begun_anew(&self, entry: &QuarantinedName) -> bool {
        use QuarantinePlace::{Out, Served};
        let is_other = entry.asked.as_ref().is_some_and(|asked| *asked != self.asked)
            || Edition::of_name(entry).is_before(self.issuer);
        is_other && matches!(entry.place, Out | Served) && entry.reason != reason::RATE_LIMITED
    }

    /// Notes in `entry` that it was tried.
    pub(super) fn mark(&self, entry: &mut QuarantinedName, next: Timestamp) {
        entry.next_try = clock::time(clock::whole_second_after(next));
        (entry.issuer_created, entry.issuer_generation) = self.issuer.to_record();
        entry.asked = Some(self.asked.clone());
    }
}
