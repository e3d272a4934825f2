//! Quotas of CAs that are used up, as shards tell them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt;
use sancho::issuer::IssuerKey;
use sancho::quotas::{HeldBack, Quotas};
use sancho_crds::CertificateShard;

/// What some shards were told of quotas.
#[derive(Debug, Default)]
pub struct Told {
    quotas: Quotas,
    /// The accounts that were told so, by URL.
    accounts: BTreeMap<IssuerKey, BTreeSet<String>>,
}

impl Told {
    /// What `shards` were told.
    pub fn to(shards: &[CertificateShard]) -> Self {
        let mut told = Self::default();
        told.note(shards);
        told
    }

    /// Takes note of what `shards` say now.
    pub fn note(&mut self, shards: &[CertificateShard]) {
        for shard in shards {
            self.quotas.note(shard);
            let failure = shard.status.as_ref().and_then(|status| status.failure.as_ref());
            if let Some(quota) = failure.and_then(|failure| failure.quota.as_ref()) {
                let accounts = self.accounts.entry(issuer(shard)).or_default();
                accounts.insert(quota.account.clone());
            }
        }
    }

    /// The quota that holds the next order of these names at `issuer` back, if one does: of those the one that lasts
    /// longest. `account`: the issuer's, by URL; if it is not known, those count that its shards were told of.
    pub fn holding_back(
        &self,
        issuer: &IssuerKey,
        account: Option<&str>,
        names: &[String],
        is_renewal: bool,
        now: Timestamp,
    ) -> Option<HeldBack> {
        let of = |account: &str| self.quotas.holding_back(account, names, is_renewal, now);
        if let Some(account) = account {
            return of(account);
        }
        let accounts = self.accounts.get(issuer)?.iter();
        accounts
            .filter_map(|account| of(account))
            .max_by_key(|held| held.until)
    }
}

/// The issuer of a shard.
pub fn issuer(shard: &CertificateShard) -> IssuerKey {
    IssuerKey::of(&shard.spec.issuer_ref, &shard.namespace().unwrap_or_default())
}
