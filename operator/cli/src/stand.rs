//! Where a shard stands: done, under way, or what it waits for. Pure.

use jiff::Timestamp;
use sancho::issuer::Edition;
use sancho::quotas::HeldBack;
use sancho::shard::decide::{is_begun_anew, is_renewed_by_hand};
use sancho::shard::quarantine::{held_up_until, next_try, order_names};
use sancho_crds::{CertificateShard, CertificateShardStatus, condition};

use crate::quotas::{Told, issuer};

/// Where a shard stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stand {
    /// It has what is asked for, and no renewal is due.
    Done,
    /// Its order is made or under way.
    UnderWay,
    /// Its Certificate is paused.
    Paused,
    /// What has failed is tried again then.
    Failed(Timestamp),
    /// None of its names can be validated. One of them is tried again then.
    NoName(Option<Timestamp>),
    /// Names that cannot be validated hold its renewal up, until then at the latest.
    HeldUp(Timestamp),
    /// A quota of the CA that is used up holds it back.
    Quota(HeldBack),
    /// It waits for its turn.
    Turn,
}

/// Where `shard` stands, given what shards were `told` of quotas, and the `edition` of its issuer.
pub fn stand(shard: &CertificateShard, told: &Told, edition: Edition, now: Timestamp) -> Stand {
    let none = CertificateShardStatus::default();
    let status = shard.status.as_ref().unwrap_or(&none);
    let is_ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
    let issued = status.issued.as_ref();
    let is_due = issued.is_some_and(|issued| issued.renewal_time.0 <= now) || is_renewed_by_hand(shard);
    let is_done = is_ready && !is_due;
    // One that is done is looked at now and then, which needs a claim as well.
    if status.order.is_some() || status.claim.is_some() && !is_done {
        return Stand::UnderWay;
    }
    if shard.spec.paused == Some(true) {
        return Stand::Paused;
    }
    if is_done {
        return Stand::Done;
    }
    if let Some(failure) = status.failure.as_ref()
        && failure.retry_time.0 > now
        && !is_begun_anew(shard, failure, edition)
    {
        return Stand::Failed(failure.retry_time.0);
    }
    let names = order_names(shard);
    if names.is_empty() {
        return Stand::NoName(next_try(shard, edition, now));
    }
    let held_up = issued.and_then(|issued| held_up_until(shard, issued));
    if let Some(until) = held_up.filter(|until| is_ready && *until > now) {
        return Stand::HeldUp(until);
    }
    let is_renewal = issued.is_some_and(|issued| is_ready || issued.not_after.0 <= now);
    match told.holding_back(&issuer(shard), None, &names, is_renewal, now) {
        Some(held_back) => Stand::Quota(held_back),
        None => Stand::Turn,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
    use sancho_crds::{
        Claim, FoundBy, QuarantinePlace, QuarantinedName, QuotaScope, ShardFailure, ShardQuota,
    };

    use super::*;
    use crate::status::tests::{NOW, at, issued_shard, new_shard};

    const DOMAIN: &str = "example.com";

    /// A shard of this name in `default` that was told of a quota of its domain, until so many seconds from now.
    fn told_of_quota(name: &str, seconds: i64) -> CertificateShard {
        let mut shard = new_shard(name, &["told.example.com"]);
        shard.status = Some(CertificateShardStatus {
            failure: Some(ShardFailure {
                issuer_generation: None,
                issuer_created: None,
                reason: "RateLimited".into(),
                message: "too many certificates".into(),
                target: "t".into(),
                count: 0,
                retry_time: Time(at(NOW + seconds)),
                generation: None,
                profile: None,
                most_names: None,
                quota: Some(ShardQuota {
                    account: "https://ca.example/acct/1".into(),
                    scope: QuotaScope::RegisteredDomain,
                    names: vec![DOMAIN.into()],
                }),
            }),
            ..Default::default()
        });
        shard
    }

    fn of(shard: &CertificateShard, others: &[CertificateShard]) -> Stand {
        stand(shard, &Told::to(others), Edition::default(), at(NOW))
    }

    #[test]
    fn a_quota_that_another_shard_was_told_of_holds_orders_back_and_no_renewals() {
        let others = [told_of_quota("other-0", 600)];
        let new = new_shard("shop-0", &["www.example.com"]);
        let Stand::Quota(held) = of(&new, &others) else {
            panic!("{:?}", of(&new, &others));
        };
        assert_eq!(held.until, at(NOW + 600));
        assert_eq!(of(&new, &[told_of_quota("other-0", 0)]), Stand::Turn);
        let elsewhere = new_shard("shop-0", &["www.example.net"]);
        assert_eq!(of(&elsewhere, &others), Stand::Turn);
        let mut by_another = new.clone();
        by_another.spec.issuer_ref.name = "other".into();
        assert_eq!(of(&by_another, &others), Stand::Turn);
        assert_eq!(
            of(&issued_shard("shop-0", &["www.example.com"], 20), &others),
            Stand::Turn
        );
    }

    #[test]
    fn what_is_issued_is_done_until_its_renewal_is_due_or_asked_for() {
        let mut shard = issued_shard("shop-0", &["a.example"], 90);
        shard.status.as_mut().unwrap().claim = Some(Claim {
            holder: "sancho-0".into(),
            busy_until: None,
        });
        assert_eq!(of(&shard, &[]), Stand::Done);
        shard.spec.renew = Some("now".into());
        assert_eq!(of(&shard, &[]), Stand::UnderWay);
        shard.status.as_mut().unwrap().claim = None;
        assert_eq!(of(&shard, &[]), Stand::Turn);
        shard.spec.paused = Some(true);
        assert_eq!(of(&shard, &[]), Stand::Paused);
    }

    #[test]
    fn names_that_cannot_be_validated_hold_up_a_renewal_or_leave_nothing_to_order() {
        let entry = |place| QuarantinedName {
            issuer_generation: None,
            issuer_created: None,
            asked: None,
            name: "a.example".into(),
            place,
            found_by: FoundBy::Check,
            reason: "NameNotFound".into(),
            message: String::new(),
            since: Time(at(NOW)),
            count: 1,
            next_try: Time(at(NOW + 60)),
        };
        let mut none = new_shard("shop-0", &["a.example"]);
        none.status = Some(CertificateShardStatus {
            quarantine: vec![entry(QuarantinePlace::Out)],
            ..Default::default()
        });
        assert_eq!(of(&none, &[]), Stand::NoName(Some(at(NOW + 60))));
        let mut due = issued_shard("shop-0", &["a.example", "b.example"], 30);
        due.status.as_mut().unwrap().quarantine = vec![entry(QuarantinePlace::Served)];
        assert!(matches!(of(&due, &[]), Stand::HeldUp(until) if until > at(NOW)));
    }

    #[test]
    fn what_has_failed_waits_unless_it_or_its_issuer_was_edited() {
        let mut failed = told_of_quota("shop-0", 600);
        assert_eq!(of(&failed, &[]), Stand::Failed(at(NOW + 600)));
        let failure = failed.status.as_mut().unwrap().failure.as_mut().unwrap();
        failure.generation = Some(1);
        failed.metadata.generation = Some(2);
        assert_eq!(of(&failed, &[]), Stand::Failed(at(NOW + 600)), "a quota stays");
        let failure = failed.status.as_mut().unwrap().failure.as_mut().unwrap();
        failure.reason = "RejectedIdentifier".into();
        assert_eq!(of(&failed, &[]), Stand::Turn);
        let failure = failed.status.as_mut().unwrap().failure.as_mut().unwrap();
        (failure.generation, failure.issuer_generation) = (Some(2), Some(1));
        let once_edited = |generation| {
            let issuer = ObjectMeta {
                generation: Some(generation),
                ..ObjectMeta::default()
            };
            stand(&failed, &Told::default(), Edition::of(&issuer), at(NOW))
        };
        assert_eq!(once_edited(1), Stand::Failed(at(NOW + 600)));
        assert_eq!(once_edited(2), Stand::Turn);
    }
}
