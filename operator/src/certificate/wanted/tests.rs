use super::*;
use sancho_crds::{IssuerRef, ShardingGroup};

fn certificate(name: &str, secret: &str, names: &[&str], sharding: Option<Sharding>) -> Certificate {
    let spec = CertificateSpec {
        secret_name: secret.into(),
        issuer_ref: IssuerRef {
            name: "ca".into(),
            kind: None,
        },
        dns_names: names.iter().map(|n| (*n).to_owned()).collect(),
        sharding,
        ..Default::default()
    };
    let mut certificate = Certificate::new(name, spec);
    certificate.metadata.uid = Some(format!("uid-{name}"));
    certificate.metadata.namespace = Some("shop".into());
    certificate
}

fn shard_of(certificate: &Certificate, name: &str, spec: &CertificateShardSpec) -> CertificateShard {
    let mut shard = CertificateShard::new(name, spec.clone());
    shard.metadata.namespace = certificate.namespace();
    shard.metadata.owner_references = certificate.controller_owner_ref(&()).map(|owner| vec![owner]);
    shard
}

fn max(max_names: u32) -> Option<Sharding> {
    Some(Sharding {
        max_names: Some(max_names),
        ..Sharding::default()
    })
}

#[test]
fn addresses_stand_beside_names_in_a_field_of_their_own() {
    let mut certificate = certificate("front", "front-tls", &["a.example"], max(2));
    let addresses = |addresses: &[&str]| addresses.iter().map(|&a| a.to_owned()).collect::<Vec<_>>();
    certificate.spec.ip_addresses = addresses(&["2001:db8::1", "192.0.2.1"]);
    let first = wanted(&certificate, IssuerCap::default(), &[]).unwrap();
    let specs: Vec<&CertificateShardSpec> = first.shards.iter().map(|(_, spec)| spec).collect();
    assert_eq!(
        specs.iter().map(|spec| spec.name_count()).collect::<Vec<_>>(),
        [2, 1]
    );
    let mut all: Vec<String> = specs.iter().flat_map(|spec| spec.ip_addresses.clone()).collect();
    all.sort_unstable();
    assert_eq!(all, ["192.0.2.1", "2001:db8::1"]);
    // They stay where they are.
    let shards: Vec<CertificateShard> = first
        .shards
        .iter()
        .map(|(name, spec)| shard_of(&certificate, name, spec))
        .collect();
    let again = wanted(&certificate, IssuerCap::default(), &assignment(&shards)).unwrap();
    assert_eq!(again, first);

    certificate.spec.ip_addresses = addresses(&["2001:DB8::1"]);
    let refused = wanted(&certificate, IssuerCap::default(), &[]).unwrap_err();
    let words = "spec.ipAddresses: \"2001:DB8::1\" is not how";
    assert!(refused.message.contains(words), "{}", refused.message);
    certificate.spec.ip_addresses = Vec::new();
    certificate.spec.dns_names = Vec::new();
    let refused = wanted(&certificate, IssuerCap::default(), &[]).unwrap_err();
    assert!(refused.message.contains("list at least one name"));
}

#[test]
fn secrets_and_objects_are_named_as_published() {
    let groups = vec![ShardingGroup {
        name: "eu".into(),
        dns_names: vec!["c.example".into()],
    }];
    let sharding = Sharding {
        max_names: Some(1),
        strategy: None,
        groups,
    };
    let certificate = certificate(
        "front",
        "front-tls",
        &["a.example", "b.example", "c.example"],
        Some(sharding),
    );
    let wanted = wanted(&certificate, IssuerCap::default(), &[]).unwrap();
    let secrets: Vec<&str> = wanted
        .shards
        .iter()
        .map(|(_, spec)| spec.secret_name.as_str())
        .collect();
    assert_eq!(secrets, ["front-tls", "front-tls-1", "front-tls-eu"]);
    let objects: Vec<&str> = wanted.shards.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(objects[..2], ["front-0", "front-1"]);
    assert!(objects[2].starts_with("front-g"));
}

#[test]
fn the_lower_cap_counts() {
    let names = ["a.example", "b.example", "c.example", "d.example"];
    let count = |sharding, given| {
        let cap = IssuerCap {
            given,
            ..IssuerCap::default()
        };
        wanted(&certificate("x", "x", &names, sharding), cap, &[])
            .unwrap()
            .shards
            .len()
    };
    assert_eq!(count(None, None), 1);
    assert_eq!(count(max(2), None), 2);
    assert_eq!(count(max(2), Some(1)), 4);
    assert_eq!(count(None, Some(2)), 2);
}

#[test]
fn planning_on_top_of_the_written_shards_changes_nothing() {
    let certificate = certificate("x", "x", &["a.example", "b.example", "c.other"], max(2));
    let first = wanted(&certificate, IssuerCap::default(), &[]).unwrap();
    let written: Vec<CertificateShard> = first
        .shards
        .iter()
        .map(|(name, spec)| shard_of(&certificate, name, spec))
        .collect();
    assert_eq!(
        wanted(&certificate, IssuerCap::default(), &assignment(&written)).unwrap(),
        first
    );
}

#[test]
fn a_name_that_stands_there_twice_counts_once() {
    let of = |names: &[&str]| wanted(&certificate("x", "x", names, None), IssuerCap::default(), &[]).unwrap();
    assert_eq!(
        of(&["b.example", "a.example", "b.example"]),
        of(&["a.example", "b.example"])
    );
}

#[test]
fn a_bad_name_and_a_bad_group_are_refused_with_words() {
    let refusal = |names: &[&str], sharding| {
        wanted(&certificate("x", "x", names, sharding), IssuerCap::default(), &[]).unwrap_err()
    };
    assert!(refusal(&["a.*.example"], None).message.contains("leftmost label"));
    let groups = vec![ShardingGroup {
        name: "1".into(),
        dns_names: vec!["a.example".into()],
    }];
    let sharding = Sharding {
        groups,
        ..Sharding::default()
    };
    assert!(
        refusal(&["a.example"], Some(sharding))
            .message
            .contains("rename the group")
    );
}

#[test]
fn a_percentage_stands_in_every_shard_and_is_refused_when_it_is_of_no_use() {
    let mut certificate = certificate("x", "x", &["a.example", "b.example"], max(1));
    certificate.spec.renew_before_percentage = Some(33);
    let planned = wanted(&certificate, IssuerCap::default(), &[]).unwrap();
    assert!(
        planned
            .shards
            .iter()
            .all(|(_, spec)| spec.renew_before_percentage == Some(33))
    );
    certificate.spec.renew_before = Some("1h".into());
    let message = wanted(&certificate, IssuerCap::default(), &[])
        .unwrap_err()
        .message;
    assert!(message.contains("remove one of them"), "{message}");
    certificate.spec.renew_before = None;
    certificate.spec.renew_before_percentage = Some(100);
    assert!(wanted(&certificate, IssuerCap::default(), &[]).is_err());
}

#[test]
fn a_duration_stands_in_every_shard_and_must_be_longer_than_renew_before() {
    let mut certificate = certificate("x", "x", &["a.example", "b.example"], max(1));
    certificate.spec.duration = Some("2160h".into());
    certificate.spec.renew_before = Some("720h".into());
    let planned = wanted(&certificate, IssuerCap::default(), &[]).unwrap();
    assert!(
        planned
            .shards
            .iter()
            .all(|(_, spec)| spec.duration.as_deref() == Some("2160h"))
    );
    certificate.spec.renew_before = Some("2160h".into());
    let refused = wanted(&certificate, IssuerCap::default(), &[]).unwrap_err();
    assert_eq!(refused.reason, "InvalidRenewBefore");
    certificate.spec.duration = Some("90d".into());
    assert_eq!(
        wanted(&certificate, IssuerCap::default(), &[])
            .unwrap_err()
            .reason,
        "InvalidDuration"
    );
}

#[test]
fn a_renewal_by_hand_and_a_pause_stand_in_every_shard() {
    let mut certificate = certificate("x", "x", &["a.example", "b.example"], max(1));
    let mut planned = |key: &str, value: &str| {
        certificate.metadata.annotations = Some([(key.to_owned(), value.to_owned())].into());
        wanted(&certificate, IssuerCap::default(), &[]).unwrap()
    };
    let (first, second) = (planned(RENEW_ANNOTATION, "1"), planned(RENEW_ANNOTATION, "2"));
    assert_ne!(first.hash, second.hash);
    assert!(first.shards.iter().all(|(_, spec)| spec.renew.is_some()));
    assert_ne!(first.shards[1].1.renew, second.shards[1].1.renew);
    let paused = planned(PAUSED_ANNOTATION, "true");
    assert!(paused.shards.iter().all(|(_, spec)| spec.paused == Some(true)));
    assert_eq!(planned(PAUSED_ANNOTATION, "false").shards[0].1.paused, None);
    let adopting = planned(ADOPT_ANNOTATION, "true");
    assert!(adopting.shards.iter().all(|(_, spec)| spec.adopt == Some(true)));
    assert_eq!(planned(ADOPT_ANNOTATION, "yes").shards[0].1.adopt, None);
}

#[test]
fn a_secret_of_another_certificate_is_refused_with_both_named() {
    let first = certificate("x", "x", &["a.example", "b.example"], max(1));
    let second = certificate("y", "x-1", &["c.example"], None);
    let planned = wanted(&first, IssuerCap::default(), &[]).unwrap();
    let shards: Vec<CertificateShard> = planned
        .shards
        .iter()
        .map(|(name, spec)| shard_of(&first, name, spec))
        .collect();
    let shards: Vec<&CertificateShard> = shards.iter().collect();
    let refused = clash(
        &second,
        &wanted(&second, IssuerCap::default(), &[]).unwrap(),
        [&first, &second],
        &shards,
    )
    .unwrap();
    assert!(refused.message.contains("Certificate y") && refused.message.contains("Certificate x"));
    assert_eq!(clash(&first, &planned, [&first, &second], &shards), None);
}
