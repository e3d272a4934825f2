//! Quotas of the CAs that are used up, and the shards that they hold back.
//!
//! Whoever is told by a CA that a quota is used up records that with the failure of the shard whose order was
//! refused ([`ShardFailure::quota`]). Every replica watches all shards, so every replica knows, and so does the
//! next process. Each account finds out for itself.
//!
//! [`ShardFailure::quota`]: sancho_crds::ShardFailure

pub mod published;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use sancho_core::names::{Name, registered_domain};
use sancho_core::response::Scope;
use sancho_crds::{CertificateShard, QuotaScope, ShardQuota};

use crate::queue::ShardKey;

/// The quotas that are used up. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Quotas {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By the shard that was told so.
    told: BTreeMap<ShardKey, (ShardQuota, Timestamp)>,
    /// The same by the account's URL.
    accounts: HashMap<String, OfAccount>,
}

/// Until when an account may ask for what.
#[derive(Debug, Default)]
struct OfAccount {
    anything: Option<Timestamp>,
    domains: HashMap<String, Timestamp>,
    names: HashMap<String, Timestamp>,
}

/// A quota that holds a shard back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// Until when.
    pub until: Timestamp,
    /// Which quota, in words.
    pub words: String,
}

/// How a quota of `account` stands in a shard's status; nothing if it holds back that shard alone.
#[must_use]
pub fn to_status(scope: &Scope, account: &str) -> Option<ShardQuota> {
    let (scope, names) = match scope {
        Scope::Account => (QuotaScope::Account, Vec::new()),
        Scope::RegisteredDomain(domain) => (QuotaScope::RegisteredDomain, vec![domain.clone()]),
        Scope::Names(names) => (QuotaScope::Names, names.clone()),
        Scope::NameSet => return None,
    };
    Some(ShardQuota {
        account: account.to_owned(),
        scope,
        names,
    })
}

impl Quotas {
    /// Takes note of what a shard says. Returns whether that is news.
    pub fn note(&self, shard: &CertificateShard) -> bool {
        let key = ShardKey::of(shard);
        let failure = shard.status.as_ref().and_then(|status| status.failure.as_ref());
        let told = failure.and_then(|failure| Some((failure.quota.clone()?, failure.retry_time.0)));
        let mut inner = self.lock();
        let is_news = match told {
            Some(told) => inner.told.insert(key, told.clone()) != Some(told),
            None => inner.told.remove(&key).is_some(),
        };
        if is_news {
            inner.sort();
        }
        is_news
    }

    /// The shard does not exist any more. Returns whether it had been told of a quota.
    pub fn forget(&self, key: &ShardKey) -> bool {
        let mut inner = self.lock();
        let is_news = inner.told.remove(key).is_some();
        if is_news {
            inner.sort();
        }
        is_news
    }

    /// Only these shards exist.
    pub fn retain(&self, exists: impl Fn(&ShardKey) -> bool) {
        let mut inner = self.lock();
        inner.told.retain(|key, _| exists(key));
        inner.sort();
    }

    /// What holds the next order of these names by `account` (its URL) back at `now`, if anything: the quota that
    /// lasts longest.
    ///
    /// CAs count renewals of the same names apart, so a quota of a registered domain holds back none.
    #[must_use]
    pub fn holding_back(
        &self,
        account: &str,
        names: &[String],
        is_renewal: bool,
        now: Timestamp,
    ) -> Option<HeldBack> {
        let inner = self.lock();
        let of_account = inner.accounts.get(account)?;
        let mut longest: Option<(Timestamp, String)> = None;
        let mut consider = |until: Option<&Timestamp>, subject: &dyn Fn() -> String| {
            if let Some(until) = until
                && *until > now
                && longest.as_ref().is_none_or(|(longest, _)| longest < until)
            {
                longest = Some((*until, subject()));
            }
        };
        consider(of_account.anything.as_ref(), &|| {
            "the issuer's account".to_owned()
        });
        if !of_account.names.is_empty() {
            for name in names {
                consider(of_account.names.get(name), &|| name.clone());
            }
        }
        if !is_renewal && !of_account.domains.is_empty() {
            for name in names.iter().filter_map(|name| Name::parse(name).ok()) {
                let domain = registered_domain(&name);
                let subject = || format!("the registered domain {domain}");
                consider(of_account.domains.get(domain), &subject);
            }
        }
        let (until, subject) = longest?;
        let words = format!("a quota of the CA for {subject}, used up until {until}");
        Some(HeldBack { until, words })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn sort(&mut self) {
        self.accounts.clear();
        for (quota, until) in self.told.values() {
            let of_account = self.accounts.entry(quota.account.clone()).or_default();
            let of_names = match quota.scope {
                QuotaScope::Account => {
                    of_account.anything = of_account.anything.max(Some(*until));
                    continue;
                }
                QuotaScope::RegisteredDomain => &mut of_account.domains,
                QuotaScope::Names => &mut of_account.names,
            };
            for name in &quota.names {
                let end = of_names.entry(name.clone()).or_insert(*until);
                *end = (*end).max(*until);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sancho_crds::{CertificateShardSpec, CertificateShardStatus, IssuerRef, ShardFailure};

    use crate::clock::time;

    const ACCOUNT: &str = "https://ca.example/acct/1";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A shard that was told of a quota, used up until second `until`.
    fn told(name: &str, scope: &Scope, until: i64) -> CertificateShard {
        let spec = CertificateShardSpec {
            certificate: "shop".into(),
            secret_name: name.into(),
            issuer_ref: IssuerRef {
                name: "ca".into(),
                kind: None,
            },
            dns_names: vec!["a.example.com".into()],
            ..Default::default()
        };
        let failure = ShardFailure {
            reason: "RateLimited".into(),
            message: "no more".into(),
            target: "t".into(),
            count: 0,
            retry_time: time(at(until)),
            generation: None,
            issuer_generation: None,
            issuer_created: None,
            profile: None,
            most_names: None,
            quota: to_status(scope, ACCOUNT),
        };
        let mut shard = CertificateShard::new(name, spec);
        shard.status = Some(CertificateShardStatus {
            failure: Some(failure),
            ..Default::default()
        });
        shard
    }

    /// Until when an order of `names` is held back at second 10 by a quota that is used up until second 100.
    fn held(scope: &Scope, account: &str, names: &[&str], is_renewal: bool) -> Option<Timestamp> {
        let quotas = Quotas::default();
        let shard = told("told", scope, 100);
        assert_eq!(quotas.note(&shard), *scope != Scope::NameSet);
        assert!(!quotas.note(&shard), "known already");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let held = quotas.holding_back(account, &names, is_renewal, at(10));
        assert_eq!(
            quotas.holding_back(account, &names, is_renewal, at(100)),
            None,
            "it is over"
        );
        held.map(|held| held.until)
    }

    #[test]
    fn an_account_holds_back_all_of_its_own_and_none_of_others() {
        assert_eq!(
            held(&Scope::Account, ACCOUNT, &["b.example.org"], true),
            Some(at(100))
        );
        let other = "https://ca.example/acct/2";
        assert_eq!(held(&Scope::Account, other, &["b.example.org"], false), None);
    }

    #[test]
    fn a_registered_domain_holds_back_new_orders_of_its_names() {
        let domain = Scope::RegisteredDomain("example.com".into());
        let names = ["x.example.net", "b.example.com"];
        assert_eq!(held(&domain, ACCOUNT, &names, false), Some(at(100)));
        assert_eq!(held(&domain, ACCOUNT, &names, true), None, "a renewal");
        assert_eq!(held(&domain, ACCOUNT, &["b.example.net"], false), None);
    }

    #[test]
    fn names_hold_back_who_has_one_of_them_and_a_set_only_itself() {
        let names = Scope::Names(vec!["a.example.com".into()]);
        let both = ["a.example.com", "c.example.com"];
        assert_eq!(held(&names, ACCOUNT, &both, true), Some(at(100)));
        assert_eq!(held(&names, ACCOUNT, &["c.example.com"], false), None);
        assert_eq!(held(&Scope::NameSet, ACCOUNT, &both, false), None);
    }

    #[test]
    fn the_quota_that_lasts_longest_is_told_and_goes_with_the_shards_that_were_told_of_it() {
        let quotas = Quotas::default();
        let domain = Scope::RegisteredDomain("example.com".into());
        quotas.note(&told("one", &domain, 50));
        quotas.note(&told("two", &domain, 70));
        quotas.note(&told("three", &Scope::Account, 60));
        let words = |quotas: &Quotas| {
            let names = ["b.example.com".to_owned()];
            let held = quotas.holding_back(ACCOUNT, &names, false, at(10));
            held.map(|held| held.words)
        };
        let domain =
            "a quota of the CA for the registered domain example.com, used up until 1970-01-01T00:01:10Z";
        assert_eq!(words(&quotas).as_deref(), Some(domain));
        assert!(quotas.forget(&ShardKey::of(&told("two", &Scope::Account, 0))));
        let account = "a quota of the CA for the issuer's account, used up until 1970-01-01T00:01:00Z";
        assert_eq!(words(&quotas).as_deref(), Some(account));
        quotas.retain(|_| false);
        assert_eq!(words(&quotas), None);
    }
}
