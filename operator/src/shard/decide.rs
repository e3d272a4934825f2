//! What a shard needs now. Pure: the shard, the issuer's server, who is alive, `now`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sancho_crds::CertificateShard;

use crate::queue::Priority;
use crate::shard::renewal::renewal_of;
use crate::target::target;

/// What a shard needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Nothing before that moment, if there is one.
    Nothing {
        /// When to look again.
        until: Option<Timestamp>,
    },
    /// Somebody who drives it.
    Work(Priority),
    /// Another replica that holds a slot drives it.
    Claimed,
}

/// What a decision looks at, besides the shard.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The issuer's directory URL.
    pub server: &'a str,
    /// This replica.
    pub me: &'a str,
    /// The replicas that hold slots of the budget, as far as is known.
    pub holders: &'a BTreeSet<String>,
    /// The Secret was seen to be deleted.
    pub secret_gone: bool,
    /// The wall clock.
    pub now: Timestamp,
}

/// What does `shard` need?
#[must_use]
pub fn need(shard: &CertificateShard, around: &Surroundings<'_>) -> Need {
    let work = match open_work(shard, around) {
        Ok(priority) => priority,
        Err(until) => return Need::Nothing { until },
    };
    let claim = shard.status.as_ref().and_then(|status| status.claim.as_ref());
    match claim {
        Some(claim) if claim.holder != around.me && around.holders.contains(&claim.holder) => Need::Claimed,
        _ => Need::Work(work),
    }
}

/// About how many requests a shard's order still takes: 2n + 3 and a poll for n pending names
/// (`sancho_core::order`).
#[must_use]
pub fn requests(shard: &CertificateShard) -> u64 {
    let order = shard.status.as_ref().and_then(|status| status.order.as_ref());
    let left = match order {
        Some(order) if order.url.is_some() => {
            let by_state = order.authorizations.iter().map(|a| match a.state.as_str() {
                "Unknown" => 2,
                "Pending" => 1,
                _ => 0,
            });
            by_state.sum::<usize>() + 3
        }
        _ => 2 * shard.spec.dns_names.len() + 4,
    };
    u64::try_from(left).unwrap_or(u64::MAX)
}

/// The priority of what is to be done, or when to look again.
fn open_work(shard: &CertificateShard, around: &Surroundings<'_>) -> Result<Priority, Option<Timestamp>> {
    let spec = &shard.spec;
    let wanted = target(&spec.dns_names, &spec.issuer_ref, around.server);
    let Some(status) = &shard.status else {
        return Ok(Priority::New);
    };
    if let Some(failure) = &status.failure
        && failure.target == wanted
        && failure.retry_time.0 > around.now
    {
        return Err(Some(failure.retry_time.0));
    }
    if let Some(order) = &status.order
        && order.target == wanted
    {
        return match &order.not_before {
            Some(not_before) if not_before.0 > around.now => Err(Some(not_before.0)),
            _ => Ok(Priority::UnderWay),
        };
    }
    match &status.issued {
        Some(issued) if issued.target == wanted && !around.secret_gone => {
            // Not the recorded moment: `renewBefore` may have been edited since.
            let renewal = renewal_of(shard, issued.not_before.0, issued.not_after.0);
            if around.now < renewal {
                return Err(Some(renewal));
            }
            let left = issued.not_after.0.as_second() - around.now.as_second();
            let lifetime = issued.not_after.0.as_second() - issued.not_before.0.as_second();
            Ok(if left * 6 < lifetime {
                Priority::NearExpiry
            } else {
                Priority::Renewal
            })
        }
        _ => Ok(Priority::New),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sancho_crds::{
        CertificateShardSpec, CertificateShardStatus, Claim, IssuedStatus, IssuerRef, OrderStatus,
        ShardFailure,
    };

    use crate::clock::time;

    const SERVER: &str = "https://ca/dir";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn shard(status: CertificateShardStatus) -> CertificateShard {
        let spec = CertificateShardSpec {
            certificate: "shop".into(),
            group: None,
            index: 0,
            secret_name: "shop-tls".into(),
            issuer_ref: IssuerRef {
                name: "ca".into(),
                kind: None,
            },
            dns_names: vec!["a.example".into()],
            renew_before: None,
        };
        let mut shard = CertificateShard::new("shop-0", spec);
        shard.status = Some(status);
        shard
    }

    fn wanted() -> String {
        let shard = shard(CertificateShardStatus::default());
        target(&shard.spec.dns_names, &shard.spec.issuer_ref, SERVER)
    }

    fn issued(target: String) -> IssuedStatus {
        IssuedStatus {
            target,
            fingerprint: "00".into(),
            not_before: time(at(0)),
            not_after: time(at(900)),
            renewal_time: time(at(600)),
        }
    }

    fn renewal() -> Timestamp {
        renewal_of(&shard(CertificateShardStatus::default()), at(0), at(900))
    }

    fn order(not_before: Option<i64>) -> OrderStatus {
        let mut order = crate::order_status::to_status(&wanted(), &Default::default());
        order.not_before = not_before.map(|second| time(at(second)));
        order
    }

    fn needed(status: CertificateShardStatus, holders: &[&str], gone: bool, now: i64) -> Need {
        let holders = holders.iter().map(|h| (*h).to_owned()).collect();
        let around = Surroundings {
            server: SERVER,
            me: "me",
            holders: &holders,
            secret_gone: gone,
            now: at(now),
        };
        need(&shard(status), &around)
    }

    #[test]
    fn a_new_shard_is_to_be_issued() {
        assert_eq!(
            needed(CertificateShardStatus::default(), &[], false, 0),
            Need::Work(Priority::New)
        );
    }

    #[test]
    fn an_issued_shard_rests_until_its_renewal() {
        let status = CertificateShardStatus {
            issued: Some(issued(wanted())),
            ..Default::default()
        };
        assert_eq!(
            needed(status.clone(), &[], false, 10),
            Need::Nothing {
                until: Some(renewal())
            }
        );
        assert_eq!(
            needed(status.clone(), &[], false, 600),
            Need::Work(Priority::Renewal)
        );
        assert_eq!(needed(status, &[], false, 800), Need::Work(Priority::NearExpiry));
    }

    #[test]
    fn an_edited_renew_before_counts_at_once() {
        let status = CertificateShardStatus {
            issued: Some(issued(wanted())),
            ..Default::default()
        };
        let mut shard = shard(status);
        shard.spec.renew_before = Some("800s".into());
        let holders = BTreeSet::new();
        let around = Surroundings {
            server: SERVER,
            me: "me",
            holders: &holders,
            secret_gone: false,
            now: at(200),
        };
        assert_eq!(need(&shard, &around), Need::Work(Priority::Renewal));
    }

    #[test]
    fn a_deleted_secret_and_other_names_are_issued_again() {
        let status = CertificateShardStatus {
            issued: Some(issued(wanted())),
            ..Default::default()
        };
        assert_eq!(needed(status, &[], true, 10), Need::Work(Priority::New));
        let status = CertificateShardStatus {
            issued: Some(issued("other".into())),
            ..Default::default()
        };
        assert_eq!(needed(status, &[], false, 10), Need::Work(Priority::New));
    }

    #[test]
    fn an_order_under_way_goes_on_when_its_wait_is_over() {
        let status = |wait| CertificateShardStatus {
            order: Some(order(wait)),
            ..Default::default()
        };
        assert_eq!(
            needed(status(None), &[], false, 10),
            Need::Work(Priority::UnderWay)
        );
        assert_eq!(
            needed(status(Some(20)), &[], false, 10),
            Need::Nothing { until: Some(at(20)) }
        );
        assert_eq!(
            needed(status(Some(20)), &[], false, 20),
            Need::Work(Priority::UnderWay)
        );
    }

    #[test]
    fn a_failure_holds_back_only_what_failed() {
        let failure = |target: String| ShardFailure {
            reason: "CAAForbids".into(),
            message: String::new(),
            target,
            count: 1,
            retry_time: time(at(60)),
        };
        let status = CertificateShardStatus {
            failure: Some(failure(wanted())),
            ..Default::default()
        };
        assert_eq!(
            needed(status, &[], false, 10),
            Need::Nothing { until: Some(at(60)) }
        );
        let status = CertificateShardStatus {
            failure: Some(failure("other".into())),
            ..Default::default()
        };
        assert_eq!(needed(status, &[], false, 10), Need::Work(Priority::New));
    }

    #[test]
    fn a_claim_counts_only_while_its_owner_holds_a_slot() {
        let status = CertificateShardStatus {
            claim: Some(Claim {
                holder: "other".into(),
            }),
            order: Some(order(None)),
            ..Default::default()
        };
        assert_eq!(
            needed(status.clone(), &["other", "third"], false, 10),
            Need::Claimed
        );
        assert_eq!(
            needed(status.clone(), &["third"], false, 10),
            Need::Work(Priority::UnderWay)
        );
        let mine = CertificateShardStatus {
            claim: Some(Claim { holder: "me".into() }),
            ..status
        };
        assert_eq!(needed(mine, &["me"], false, 10), Need::Work(Priority::UnderWay));
    }
}
