//! Objects as the API server shows them, and what is made of them.

use anstream::adapter::strip_str;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sancho_crds::{
    AuthorizationStatus, CertificateShardSpec, CertificateShardStatus, CertificateSpec, CertificateStatus,
    Claim, FoundBy, IssuedStatus, IssuerRef, OrderStatus, QuarantinedName, ShardFailure, set_condition,
};

use super::*;

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

#[test]
fn a_certificate_is_shown_with_all_that_it_waits_for() {
    let mut pending = new_shard("shop-1", &["b.example"]);
    pending.spec.index = 1;
    pending.status = Some(CertificateShardStatus {
        claim: Some(Claim {
            holder: "sancho-0-abc".into(),
        }),
        order: Some(OrderStatus {
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
        }),
        ..Default::default()
    });
    let shards = [pending, issued_shard("shop-0", &["a.example"], 90)];
    let views = views(&[certificate(Some(waiting(2)))], &shards, at(NOW));
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

#[test]
fn a_failure_says_when_it_is_tried_again() {
    let mut shard = new_shard("shop-0", &["a.example"]);
    shard.status = Some(CertificateShardStatus {
        failure: Some(ShardFailure {
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
    let view = shard_view(&shard, at(NOW));
    assert_eq!(view.state, "RejectedIdentifier: not this one; tried again in 5m");
}

#[test]
fn a_name_that_is_left_out_is_shown_with_its_reason_and_its_next_try() {
    let mut shard = issued_shard("shop-0", &["a.example", "b.example"], 90);
    shard.status.as_mut().unwrap().quarantine = vec![QuarantinedName {
        name: "b.example".into(),
        place: QuarantinePlace::Out,
        found_by: FoundBy::Check,
        reason: "NameNotFound".into(),
        message: "make its record".into(),
        since: Time(at(NOW - 120)),
        count: 2,
        next_try: Time(at(NOW + 60)),
    }];
    let view = shard_view(&shard, at(NOW));
    assert_eq!(
        view.open_names["b.example"],
        "left out for 2m: NameNotFound: make its record; tried again in 60s"
    );
    let shards = [shard];
    let is_ready = |host| crate::hosts::which(host, &shards, at(NOW))[0].ready;
    assert!(is_ready("a.example") && !is_ready("b.example"));
}

#[test]
fn a_status_of_an_older_generation_says_nothing() {
    let views = views(&[certificate(Some(waiting(1)))], &[], at(NOW));
    assert_eq!((views[0].ready, views[0].reason.as_str()), (false, "Unseen"));
    assert_eq!(views[0].names, 2);
}
