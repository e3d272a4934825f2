//! Objects as the API server shows them, and what is made of them.

use anstream::adapter::strip_str;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sancho::issuer::Edition;
use sancho_crds::{
    AuthorizationStatus, CertificateShardSpec, CertificateShardStatus, CertificateSpec, Claim, ClusterIssuer,
    FoundBy, IssuedStatus, IssuerRef, OrderStatus, QuarantinePlace, QuarantinedName, QuotaScope,
    ShardFailure, ShardQuota, set_condition,
};

use super::*;
use crate::editions::tests::edited;

pub const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn issuer() -> IssuerRef {
    IssuerRef {
        name: "ca".into(),
        kind: Some(IssuerKind::ClusterIssuer),
    }
}

fn views(certificates: &[Certificate], shards: &[CertificateShard]) -> Vec<CertificateView> {
    super::views(certificates, shards, &Editions::default(), at(NOW))
}

/// A shard that nobody has looked at.
pub fn new_shard(name: &str, dns_names: &[&str]) -> CertificateShard {
    let spec = CertificateShardSpec {
        certificate: "shop".into(),
        secret_name: format!("{name}-tls"),
        issuer_ref: issuer(),
        dns_names: names(dns_names),
        ..Default::default()
    };
    let mut shard = CertificateShard::new(name, spec);
    shard.metadata.namespace = Some("default".into());
    shard
}

/// A shard whose certificate has `days` left.
pub fn issued_shard(name: &str, dns_names: &[&str], days: i64) -> CertificateShard {
    let mut shard = new_shard(name, dns_names);
    let end = NOW + days * DAY;
    let mut status = CertificateShardStatus {
        issued: Some(IssuedStatus {
            target: "t".into(),
            fingerprint: "00".into(),
            not_before: Time(at(end - 90 * DAY)),
            not_after: Time(at(end)),
            renewal_time: Time(at(end - 30 * DAY)),
            account_url: None,
            cert_id: None,
            renewal_info: None,
        }),
        ..Default::default()
    };
    set_condition(
        &mut status.conditions,
        "Ready",
        true,
        "Issued",
        "",
        None,
        &Time(at(NOW)),
    );
    shard.status = Some(status);
    shard
}

/// A Certificate with two names.
pub fn certificate(status: Option<CertificateStatus>) -> Certificate {
    let spec = CertificateSpec {
        secret_name: "shop-tls".into(),
        issuer_ref: issuer(),
        dns_names: names(&["a.example", "b.example"]),
        ..Default::default()
    };
    let mut certificate = Certificate::new("shop", spec);
    certificate.metadata.namespace = Some("default".into());
    certificate.metadata.generation = Some(2);
    certificate.status = status;
    certificate
}

fn waiting(generation: i64) -> CertificateStatus {
    let mut status = CertificateStatus {
        observed_generation: Some(generation),
        ready_names: Some(1),
        ..Default::default()
    };
    set_condition(
        &mut status.conditions,
        "Ready",
        false,
        "Issuing",
        "1 of 2 names in 1 of 2 shards; waits for order Pending",
        Some(generation),
        &Time(at(NOW)),
    );
    status
}

/// An order for `b.example`.
fn pending_order() -> OrderStatus {
    OrderStatus {
        target: "t".into(),
        stage: "Pending".into(),
        url: Some("https://ca/order/1".into()),
        finalize_url: None,
        certificate_url: None,
        expires: None,
        authorizations: vec![AuthorizationStatus {
            url: "https://ca/authz/1".into(),
            state: "Answered".into(),
            name: Some("b.example".into()),
            kind: None,
            challenge_url: None,
            token: None,
            issuer_domain_names: Vec::new(),
            error: None,
        }],
        polls: 0,
        not_before: None,
        replaces: None,
        finalized: None,
        asked: None,
    }
}

#[test]
fn a_certificate_is_shown_with_all_that_it_waits_for() {
    let mut pending = new_shard("shop-1", &["b.example"]);
    pending.spec.index = 1;
    pending.status = Some(CertificateShardStatus {
        claim: Some(Claim {
            holder: "sancho-0-abc".into(),
            busy_until: None,
        }),
        order: Some(pending_order()),
        ..Default::default()
    });
    let shards = [pending, issued_shard("shop-0", &["a.example"], 90)];
    let views = views(&[certificate(Some(waiting(2)))], &shards);
    assert_eq!(
        strip_str(&text(&views, true)).to_string(),
        "Certificate default/shop  not ready  1/2 names  ClusterIssuer ca\n\
         │ Issuing: 1 of 2 names in 1 of 2 shards; waits for order Pending\n\
         ├─ Secret shop-0-tls  Ready  1 names  expires in 90d, renewed in 60d\n\
         └─ Secret shop-1-tls  not ready  1 names  order Pending (1 Answered of its names)  [sancho-0-abc]\n\
         \x20    b.example  Answered\n"
    );
    let line = text(&views, false);
    assert!(line.lines().nth(1).unwrap().starts_with("default"), "{line}");
    assert!(line.contains("1/2"), "{line}");
}

/// Where `shard` stands, of a Certificate that is not ready for this reason and waits for this.
fn state_of(shard: &CertificateShard, reason: &str, waiting_for: &str) -> String {
    let status = CertificateStatus {
        waiting_for: Some(waiting_for.to_owned()),
        ..Default::default()
    };
    let owner = owner(&status, reason, None);
    shard_view(shard, &owner, &Told::default(), Edition::default(), at(NOW)).state
}

/// The same, of one whose orders are being made.
fn state(shard: &CertificateShard) -> String {
    state_of(shard, "Issuing", "budget")
}

#[test]
fn a_shard_without_an_order_says_what_it_really_waits_for() {
    let mut shard = new_shard("shop-0", &["a.example"]);
    assert_eq!(state(&shard), "waits for the budget");
    assert_eq!(
        state_of(
            &shard,
            "IssuerNotFound",
            "ClusterIssuer ca, which does not exist: create it"
        ),
        "waits for ClusterIssuer ca, which does not exist: create it"
    );
    assert_eq!(
        state_of(&shard, NOT_ALLOWED, "an edit"),
        "waits for its Certificate to be allowed by its issuer"
    );
    assert_eq!(state_of(&shard, "Planning", "the plan"), "waits for the plan");
    let unseen = state_of(&shard, "Unseen", "");
    assert_eq!(unseen, "waits for a replica to look at its Certificate");
    // Its own words count before these.
    let mut status = CertificateShardStatus::default();
    let (conditions, now) = (&mut status.conditions, Time(at(NOW)));
    set_condition(
        conditions,
        "Reconciling",
        true,
        "Revoked",
        "it is revoked",
        None,
        &now,
    );
    shard.status = Some(status);
    assert_eq!(state(&shard), "Revoked: it is revoked; waits for the budget");
    shard.metadata.generation = Some(2);
    assert_eq!(
        state(&shard),
        "waits for the budget",
        "they are about an earlier generation"
    );
    shard.spec.paused = Some(true);
    assert_eq!(state(&shard), "paused");
}

#[test]
fn an_order_that_waits_for_dns_says_so_and_when_it_is_looked_at_again() {
    let mut shard = new_shard("shop-0", &["a.example"]);
    let mut status = CertificateShardStatus {
        order: Some(OrderStatus {
            not_before: Some(Time(at(NOW + 30))),
            ..pending_order()
        }),
        ..Default::default()
    };
    let (conditions, now) = (&mut status.conditions, Time(at(NOW)));
    set_condition(
        conditions,
        "Reconciling",
        true,
        "WaitsForDNS",
        "not seen yet",
        None,
        &now,
    );
    shard.status = Some(status);
    assert_eq!(
        state(&shard),
        "order Pending (1 Answered of its names); WaitsForDNS: not seen yet; looked at again in 30s"
    );
    let conditions = &mut shard.status.as_mut().unwrap().conditions;
    set_condition(
        conditions,
        "Reconciling",
        true,
        "Ordering",
        "the order is Pending",
        None,
        &now,
    );
    assert_eq!(
        state_of(&shard, "IssuerNotReady", "ClusterIssuer ca: no answer"),
        "order Pending (1 Answered of its names); looked at again in 30s; waits for ClusterIssuer ca: no answer"
    );
}

#[test]
fn a_quota_of_another_shard_is_told_and_for_how_long() {
    let mut told = new_shard("other-0", &["www.example.com"]);
    told.status = Some(CertificateShardStatus {
        failure: Some(ShardFailure {
            issuer_generation: None,
            issuer_created: None,
            reason: "RateLimited".into(),
            message: "too many certificates".into(),
            target: "t".into(),
            count: 0,
            retry_time: Time(at(NOW + 3600)),
            generation: None,
            profile: None,
            most_names: None,
            quota: Some(ShardQuota {
                account: "https://ca.example/acct/1".into(),
                scope: QuotaScope::RegisteredDomain,
                names: vec!["example.com".into()],
            }),
        }),
        ..Default::default()
    });
    let shard = new_shard("shop-0", &["shop.example.com"]);
    let views = views(&[certificate(Some(waiting(2)))], &[told, shard]);
    // Both are of the same Certificate here.
    let states: Vec<&str> = views[0].shards.iter().map(|shard| shard.state.as_str()).collect();
    assert_eq!(
        states,
        [
            "RateLimited: too many certificates; tried again in 1h",
            "waits for a quota of the CA for the registered domain example.com, used up until 2027-01-15T09:00:00Z (1h)",
        ]
    );
}

#[test]
fn how_long_the_budget_takes_is_told_once() {
    let limited = |reason: &str, message: &str| {
        let mut status = waiting(2);
        let (conditions, now) = (&mut status.conditions, Time(at(NOW)));
        set_condition(conditions, "RateLimited", true, reason, message, Some(2), &now);
        status
    };
    let text = |status, as_tree| {
        let views = views(&[certificate(Some(status))], &[]);
        strip_str(&text(&views, as_tree)).to_string()
    };
    let budget = limited("WaitsForBudget", "about 10 min until all are there");
    let tree = text(budget.clone(), true);
    assert!(
        tree.ends_with("\n│ WaitsForBudget: about 10 min until all are there\n"),
        "{tree}"
    );
    let table = text(budget, false);
    assert!(
        table.ends_with("waits for order Pending; about 10 min until all are there\n"),
        "{table}"
    );
    let quota = text(limited("QuotaUsedUp", "waits for order Pending"), true);
    assert!(!quota.contains("QuotaUsedUp"), "{quota}");
    // What shards of other namespaces were told is not known.
    let limited = limited("QuotaUsedUp", "a quota of the CA for the issuer's account");
    let shard = new_shard("shop-0", &["a.example"]);
    let views = views(&[certificate(Some(limited))], &[shard]);
    assert_eq!(
        views[0].shards[0].state,
        "waits for the budget, or for the quota that its Certificate tells"
    );
    let limited = views[0].rate_limited.as_deref().unwrap();
    assert!(limited.starts_with("QuotaUsedUp: a quota"), "{limited}");
}

#[test]
fn a_renewal_that_is_due_says_so() {
    let shard = issued_shard("shop-0", &["a.example"], 20);
    assert_eq!(
        state(&shard),
        "expires in 20d, its renewal is due; waits for the budget"
    );
}

#[test]
fn a_failure_says_when_it_is_tried_again() {
    let mut shard = new_shard("shop-0", &["a.example"]);
    shard.status = Some(CertificateShardStatus {
        failure: Some(ShardFailure {
            issuer_generation: None,
            issuer_created: None,
            reason: "RejectedIdentifier".into(),
            message: "not this one".into(),
            target: "t".into(),
            count: 1,
            retry_time: Time(at(NOW + 300)),
            generation: None,
            profile: None,
            most_names: None,
            quota: None,
        }),
        ..Default::default()
    });
    assert_eq!(
        state(&shard),
        "RejectedIdentifier: not this one; tried again in 5m"
    );
    // Its turn is there, and its issuer is not.
    let failure = shard.status.as_mut().unwrap().failure.as_mut();
    failure.unwrap().retry_time = Time(at(NOW));
    assert_eq!(
        state(&shard),
        "RejectedIdentifier: not this one; waits for the budget"
    );
    assert_eq!(
        state_of(&shard, "IssuerNotReady", "ClusterIssuer ca: no answer"),
        "RejectedIdentifier: not this one; waits for ClusterIssuer ca: no answer"
    );
}

#[test]
fn a_name_that_is_left_out_is_shown_with_its_reason_and_its_next_try() {
    let mut shard = issued_shard("shop-0", &["a.example", "b.example"], 90);
    shard.status.as_mut().unwrap().quarantine = vec![QuarantinedName {
        issuer_generation: Some(1),
        issuer_created: None,
        asked: None,
        name: "b.example".into(),
        place: QuarantinePlace::Out,
        found_by: FoundBy::Check,
        reason: "NameNotFound".into(),
        message: "make its record".into(),
        since: Time(at(NOW - 120)),
        count: 2,
        next_try: Time(at(NOW + 60)),
    }];
    let owner = owner(&CertificateStatus::default(), "Issued", None);
    for (generation, next) in [(1, "60s"), (2, "0s")] {
        let issuer: ClusterIssuer = edited("ca", generation);
        let edition = Edition::of(&issuer.metadata);
        let view = shard_view(&shard, &owner, &Told::default(), edition, at(NOW));
        assert_eq!(
            view.open_names["b.example"],
            format!("left out for 2m: NameNotFound: make its record; tried again in {next}")
        );
    }
    let shards = [shard];
    let is_ready = |host| crate::hosts::which(host, &shards, at(NOW))[0].ready;
    assert!(is_ready("a.example") && !is_ready("b.example"));
}

#[test]
fn a_status_of_an_older_generation_says_nothing() {
    let views = views(&[certificate(Some(waiting(1)))], &[]);
    assert_eq!((views[0].ready, views[0].reason.as_str()), (false, "Unseen"));
    assert_eq!(views[0].names, 2);
}
