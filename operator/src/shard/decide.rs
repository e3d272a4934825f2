//! What a shard needs now. Pure: the shard, the issuer's server, who is alive, `now`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt;
use sancho_core::order::reason;
use sancho_core::renewal::{CertId, look_time};
use sancho_crds::{CertificateShard, CertificateShardSpec, IssuedStatus, OrderStatus, ShardFailure};
use sancho_limiter::Cost;

use crate::certificate::most_names;
use crate::issuer::allowed::outside;
use crate::issuer::{Edition, IssuerTerms};
use crate::queue::Priority;
use crate::quotas::Quotas;
use crate::shard::keep::busy_until;
use crate::shard::profile::profile;
use crate::shard::quarantine::{held_up_until, is_wanted, next_try, order_names, order_target};
use crate::shard::renewal::{renewal_of_issued, seed};
use crate::shard::revocation;
use crate::shard::sweep;
use crate::target::digest;

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
    /// What the Secret's annotation [`sancho_crds::REVOKE_ANNOTATION`] says, as far as is known.
    pub revoke: Option<&'a str>,
    /// The CA is known to suggest nothing for renewals.
    pub lacks_renewal_info: bool,
    /// What the issuer says of orders.
    pub terms: &'a IssuerTerms,
    /// The CAs' quotas that are used up.
    pub quotas: &'a Quotas,
    /// The issuer's account, by its URL.
    pub account: &'a str,
    /// The wall clock.
    pub now: Timestamp,
}

/// What does `shard` need?
#[must_use]
pub fn need(shard: &CertificateShard, around: &Surroundings<'_>) -> Need {
    let revocation = revocation::due(shard, around.revoke, around.now);
    let work = match revocation {
        Some(at) if at <= around.now => Priority::Revoke,
        _ => match (open_work(shard, around), sweep::due(shard)) {
            (Ok(Priority::UnderWay), _) => Priority::UnderWay,
            (_, Some(at)) if at <= around.now => Priority::Sweep,
            (Ok(priority), _) => priority,
            (Err(until), swept) => {
                let until = [until, revocation, swept].into_iter().flatten().min();
                return Need::Nothing { until };
            }
        },
    };
    let claim = shard.status.as_ref().and_then(|status| status.claim.as_ref());
    match claim.filter(|claim| claim.holder != around.me) {
        Some(claim) if around.holders.contains(&claim.holder) => Need::Claimed,
        Some(claim) => match busy_until(claim, around.now) {
            Some(until) => Need::Nothing { until: Some(until) },
            None => Need::Work(work),
        },
        None => Need::Work(work),
    }
}

/// About how much work of this priority still takes: an order of n pending names 2n + 3 requests and a poll
/// (`sancho_core::order`).
#[must_use]
pub fn cost(shard: &CertificateShard, priority: Priority) -> Cost {
    match priority {
        Priority::RenewalInfo | Priority::Revoke | Priority::Sweep => return 1.into(),
        // An order of one name, up to its authorization.
        Priority::Retry => {
            return Cost {
                requests: 5,
                new_orders: 1,
            };
        }
        Priority::UnderWay | Priority::NearExpiry | Priority::New | Priority::Renewal => {}
    }
    let order = shard.status.as_ref().and_then(|status| status.order.as_ref());
    let (left, new_orders) = match order {
        Some(order) if order.url.is_some() => {
            let by_state = order.authorizations.iter().map(|a| match a.state.as_str() {
                "Unknown" => 2,
                "Pending" => 1,
                _ => 0,
            });
            (by_state.sum::<usize>() + 3, 0)
        }
        _ => (2 * order_names(shard).len() + 4, 1),
    };
    Cost {
        requests: u64::try_from(left).unwrap_or(u64::MAX),
        new_orders,
    }
}

/// The end of the certificate in use, if there is one.
#[must_use]
pub fn expiry(shard: &CertificateShard) -> Option<Timestamp> {
    let issued = shard.status.as_ref()?.issued.as_ref()?;
    Some(issued.not_after.0)
}

/// Has `shard` had a certificate for `target` before, so that an order for it is a renewal?
#[must_use]
pub fn is_renewal(shard: &CertificateShard, target: &str) -> bool {
    let status = shard.status.as_ref();
    let issued = status.and_then(|status| status.issued.as_ref());
    issued.is_some_and(|issued| issued.target == target)
}

/// Was the certificate of `shard` recorded for another Secret than it writes now? What that one holds, if it exists, is
/// not known then.
#[must_use]
pub fn is_elsewhere(shard: &CertificateShard) -> bool {
    let status = shard.status.as_ref().filter(|status| status.issued.is_some());
    let recorded = status.and_then(|status| status.secret_name.as_ref());
    recorded.is_some_and(|recorded| *recorded != shard.spec.secret_name)
}

/// Is the certificate of `shard` to be renewed because its Certificate's annotation asks for that?
#[must_use]
pub fn is_renewed_by_hand(shard: &CertificateShard) -> bool {
    let Some(asked) = &shard.spec.renew else {
        return false;
    };
    let status = shard.status.as_ref();
    status.is_some_and(|status| status.issued.is_some() && status.renewed.as_ref() != Some(asked))
}

/// About how much the orders under way still take: those of `shards` that a replica among `holders` drives.
#[must_use]
pub fn cost_under_way<'a>(
    shards: impl Iterator<Item = &'a CertificateShard>,
    holders: &BTreeSet<String>,
) -> Cost {
    let is_driven = |shard: &&CertificateShard| {
        let claim = shard.status.as_ref().and_then(|status| status.claim.as_ref());
        claim.is_some_and(|claim| holders.contains(&claim.holder))
    };
    let left = |shard: &CertificateShard| {
        // What has its certificate and no order is most likely just looked at.
        let status = shard.status.as_ref();
        let is_look = status.is_some_and(|status| status.issued.is_some() && status.order.is_none());
        let priority = if is_look {
            Priority::RenewalInfo
        } else {
            Priority::UnderWay
        };
        cost(shard, priority)
    };
    shards.filter(is_driven).map(left).sum()
}

/// The priority of what is to be done, or when to look again. Names that cannot be validated are tried again while
/// there is nothing else to do.
fn open_work(shard: &CertificateShard, around: &Surroundings<'_>) -> Result<Priority, Option<Timestamp>> {
    // Nothing is asked of the CA for who may not use its issuer, whatever was begun; an edit of either brings a look.
    if is_outside(shard, around.terms) {
        return Err(None);
    }
    if shard.spec.paused == Some(true) && !is_order_under_way(shard, around.server) {
        return Err(None);
    }
    let until = match order_work(shard, around) {
        Err(until) => until,
        work => return work,
    };
    let order = shard.status.as_ref().and_then(|status| status.order.as_ref());
    let waits = order.and_then(|order| order.not_before.as_ref().map(|until| until.0));
    let waits = waits.filter(|until| *until > around.now);
    let next = next_try(shard, around.terms.edition, around.now);
    match next.map(|at| waits.map_or(at, |until| until.max(at))) {
        Some(at) if at <= around.now && !is_order_under_way(shard, around.server) => Ok(Priority::Retry),
        Some(at) => Err(Some(until.map_or(at, |until| until.min(at)))),
        None => Err(until),
    }
}

fn is_order_under_way(shard: &CertificateShard, server: &str) -> bool {
    let order = shard.status.as_ref().and_then(|status| status.order.as_ref());
    order.is_some_and(|order| order.target == order_target(shard, server))
}

/// The same for the shard's own order.
fn order_work(shard: &CertificateShard, around: &Surroundings<'_>) -> Result<Priority, Option<Timestamp>> {
    let names = order_names(shard);
    if names.is_empty() {
        return Err(None);
    }
    let wanted = order_target(shard, around.server);
    // Only what begins is held back.
    let unless_held_back = |priority| {
        // Its planner splits it, and that is an event.
        if is_over_cap(&shard.spec, around) {
            return Err(None);
        }
        let is_renewal = is_renewal(shard, &wanted);
        let quotas = around.quotas;
        match quotas.holding_back(around.account, &names, is_renewal, around.now) {
            Some(held_back) => Err(Some(held_back.until)),
            None => Ok(priority),
        }
    };
    let Some(status) = &shard.status else {
        return unless_held_back(Priority::New);
    };
    let failure = status.failure.as_ref().filter(|failure| failure.target == wanted);
    if failure.is_some_and(|failure| is_refused_for_number(&shard.spec, failure)) {
        return Err(None);
    }
    if let Some(failure) = failure
        && failure.retry_time.0 > around.now
        && !is_begun_anew(shard, failure, around.terms.edition)
        && failure
            .profile
            .as_deref()
            .is_none_or(|refused| profile(&shard.spec, around.terms.profile.as_deref()) == Some(refused))
    {
        return Err(Some(failure.retry_time.0));
    }
    if let Some(order) = &status.order
        && order.target == wanted
    {
        let not_before = order
            .not_before
            .as_ref()
            .filter(|_| !is_to_be_given_up(shard, order));
        return match not_before {
            Some(not_before) if not_before.0 > around.now => Err(Some(not_before.0)),
            _ => Ok(Priority::UnderWay),
        };
    }
    let is_gone = around.secret_gone || is_elsewhere(shard);
    match &status.issued {
        Some(issued) if issued.target == wanted && !is_gone => {
            // Somebody waits for it.
            if is_renewed_by_hand(shard) {
                return unless_held_back(Priority::New);
            }
            // Not the recorded moment: `renewBefore` may have been edited since.
            let renewal = renewal_of_issued(shard, issued);
            if around.now < renewal {
                return match look_at_ca(shard, issued, around) {
                    Some(look) if look <= around.now => Ok(Priority::RenewalInfo),
                    look => Err(Some(look.map_or(renewal, |look| look.min(renewal)))),
                };
            }
            if let Some(until) = held_up_until(shard, issued).filter(|until| around.now < *until) {
                return Err(Some(until));
            }
            let left = issued.not_after.0.as_second() - around.now.as_second();
            let lifetime = issued.not_after.0.as_second() - issued.not_before.0.as_second();
            unless_held_back(if left * 6 < lifetime {
                Priority::NearExpiry
            } else {
                Priority::Renewal
            })
        }
        // Names come back: the others have what they need.
        Some(issued)
            if is_wanted(shard, around.server, &issued.target)
                && !is_gone
                && around.now < issued.not_after.0 =>
        {
            unless_held_back(Priority::Renewal)
        }
        _ => unless_held_back(Priority::New),
    }
}

/// Has the shard or its issuer, now at this edition, been edited since it failed, or is it to be tried again by hand? That
/// does not help against a quota.
#[must_use]
pub fn is_begun_anew(shard: &CertificateShard, failure: &ShardFailure, issuer: Edition) -> bool {
    let is_edited = failure.generation.is_some() && failure.generation != shard.metadata.generation;
    let is_begun_anew = is_edited || Edition::of_failure(failure).is_before(issuer);
    is_begun_anew && failure.reason != reason::RATE_LIMITED
}

/// Does a certificate not come that the user has another attempt made for? Then it is not waited for as long as the CA says.
fn is_to_be_given_up(shard: &CertificateShard, order: &OrderStatus) -> bool {
    let is_asked = order
        .asked
        .as_ref()
        .is_some_and(|asked| *asked != asked_by_hand(&shard.spec));
    order.finalized.is_some() && is_asked
}

/// What the user asks for by hand: another value means another attempt.
#[must_use]
pub fn asked_by_hand(spec: &CertificateShardSpec) -> String {
    digest([&spec.retry, &spec.renew].map(|text| text.as_deref().unwrap_or_default()))
}

/// May it not use its issuer?
fn is_outside(shard: &CertificateShard, terms: &IssuerTerms) -> bool {
    if terms.allowed.is_none() {
        return false;
    }
    let namespace = shard.namespace().unwrap_or_default();
    let spec = &shard.spec;
    let names = [&spec.dns_names, &spec.ip_addresses, &spec.kept_names];
    let names = names.into_iter().flatten().map(String::as_str);
    outside(terms.allowed.as_ref(), "", &namespace, names).is_some()
}

/// Has it more names than the CA turned out to take, or with those that it keeps for others more than the issuer takes?
fn is_over_cap(spec: &CertificateShardSpec, around: &Surroundings<'_>) -> bool {
    let profile = profile(spec, around.terms.profile.as_deref());
    let learned = around.terms.most_names(profile);
    let most = match spec.kept_names.is_empty() {
        true => learned,
        false => Some(most_names(
            around.server,
            profile,
            around.terms.max_names,
            learned,
        )),
    };
    most.is_some_and(|most| exceeds(spec, most))
}

/// Was it refused because it has too many names? Asking for the same ones again is of no use.
fn is_refused_for_number(spec: &CertificateShardSpec, failure: &ShardFailure) -> bool {
    failure.most_names.is_some_and(|most| exceeds(spec, most))
}

fn exceeds(spec: &CertificateShardSpec, most: u32) -> bool {
    let names = spec.name_count() + spec.kept_names.len();
    u32::try_from(names).is_ok_and(|names| names > most)
}

/// When the CA is to be asked about the renewal of what is issued, if it is at all. Not if somebody has written
/// a certID that is none.
fn look_at_ca(
    shard: &CertificateShard,
    issued: &IssuedStatus,
    around: &Surroundings<'_>,
) -> Option<Timestamp> {
    if around.lacks_renewal_info {
        return None;
    }
    issued.cert_id.as_ref()?.parse::<CertId>().ok()?;
    let planned = issued.renewal_info.as_ref()?.next_look.0;
    Some(look_time(planned, around.now, &seed(shard)))
}

#[cfg(test)]
mod tests;
