use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use sancho_crds::{
    CertificateShardStatus, CertificateSpec, CertificateStatus, IssuedStatus, IssuerRef, Sharding,
    set_condition,
};

use super::*;

const SERVER: &str = "https://ca.example/dir";
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn acme() -> Acme {
    serde_json::from_value(serde_json::json!({
        "server": SERVER,
        "privateKeySecretRef": { "name": "account" },
        "solvers": [{ "http01": { "external": {} } }],
    }))
    .unwrap()
}

fn certificate(names: &[&str]) -> Certificate {
    let spec = CertificateSpec {
        secret_name: "shop".into(),
        issuer_ref: IssuerRef {
            name: "ca".into(),
            kind: None,
        },
        dns_names: names.iter().map(|name| (*name).to_owned()).collect(),
        sharding: Some(Sharding {
            max_names: Some(2),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut certificate = Certificate::new("shop", spec);
    certificate.metadata.uid = Some("uid".into());
    certificate.metadata.namespace = Some("web".into());
    certificate
}

fn of(certificate: &Certificate, shards: &[CertificateShard]) -> Preview {
    preview(certificate, &around(&[], shards, Some(&acme())), NOW).unwrap()
}

fn around<'a>(
    certificates: &'a [Certificate],
    shards: &'a [CertificateShard],
    acme: Option<&'a Acme>,
) -> Around<'a> {
    Around {
        certificates,
        shards,
        in_secrets: &[],
        acme,
        allowed: None,
        issuer: None,
        granted: &[],
        holding_back: &nothing,
    }
}

/// No quota is used up.
fn nothing(_names: &[String], _is_renewal: bool) -> Option<HeldBack> {
    None
}

/// Its shards, all issued.
fn issued(certificate: &Certificate) -> Vec<CertificateShard> {
    let planned = wanted(certificate, IssuerCap::default(), &[]).unwrap();
    let shards = planned.shards.into_iter().map(|(name, spec)| {
        let mut shard = CertificateShard::new(&name, spec);
        shard.metadata.namespace = certificate.namespace();
        shard.metadata.owner_references = certificate.controller_owner_ref(&()).map(|owner| vec![owner]);
        shard.status = Some(CertificateShardStatus {
            issued: Some(IssuedStatus {
                target: target(&shard.spec, SERVER),
                fingerprint: String::new(),
                not_before: Time(Timestamp::UNIX_EPOCH),
                not_after: Time(Timestamp::MAX),
                renewal_time: Time(Timestamp::MAX),
                account_url: None,
                cert_id: None,
                renewal_info: None,
            }),
            ..Default::default()
        });
        shard
    });
    shards.collect()
}

fn fates(preview: &Preview) -> Vec<Fate> {
    preview.shards.iter().map(|shard| shard.fate).collect()
}

#[test]
fn a_new_certificate_is_all_new_and_the_same_again_costs_nothing() {
    let certificate = certificate(&["a.example", "b.example", "c.example"]);
    let first = of(&certificate, &[]);
    assert_eq!(fates(&first), [Fate::New, Fate::New]);
    assert_eq!(first.cost.new_orders, 2);
    let again = of(&certificate, &issued(&certificate));
    assert_eq!(fates(&again), [Fate::Kept, Fate::Kept]);
    assert_eq!(again.cost, Cost::default());
}

#[test]
fn one_more_name_touches_one_shard_and_says_which_name() {
    let shards = issued(&certificate(&["a.example", "b.example", "c.example"]));
    let more = of(
        &certificate(&["a.example", "b.example", "c.example", "d.example"]),
        &shards,
    );
    let touched: Vec<&PreviewedShard> = more.shards.iter().filter(|s| s.fate != Fate::Kept).collect();
    let [touched] = touched.as_slice() else {
        panic!("{more:?}");
    };
    assert_eq!(touched.fate, Fate::Reissued);
    assert_eq!(touched.added, ["d.example"]);
    assert_eq!(more.cost.new_orders, 1);
}

#[test]
fn shards_without_names_are_retired_and_another_profile_reissues_all() {
    let before = certificate(&["a.example", "b.example", "c.example"]);
    let shards = issued(&before);
    let fewer = of(&certificate(&["a.example", "b.example"]), &shards);
    assert_eq!(fewer.retired.len() + fewer.shards.len(), 2, "{fewer:?}");
    let mut other = before.clone();
    other.spec.profile = Some("tlsserver".into());
    let other = of(&other, &shards);
    assert_eq!(fates(&other), [Fate::Reissued, Fate::Reissued]);
    assert_eq!(other.shards[0].because, ["another profile"]);
}

#[test]
fn a_quota_holds_back_the_orders_that_it_counts_and_nothing_that_is_kept() {
    let before = certificate(&["a.example", "b.example", "c.example"]);
    let shards = issued(&before);
    let (acme, until) = (acme(), Timestamp::UNIX_EPOCH);
    let holding_back = |names: &[String], is_renewal: bool| {
        let words = format!("{}{}", names.join(" "), if is_renewal { " again" } else { "" });
        Some(HeldBack { until, words })
    };
    let held = |certificate: &Certificate| {
        let around = Around {
            holding_back: &holding_back,
            ..around(&[], &shards, Some(&acme))
        };
        let preview = preview(certificate, &around, NOW).unwrap();
        let held = preview.shards.into_iter().map(|shard| shard.held_back);
        held.map(|held| held.map(|held| held.words)).collect::<Vec<_>>()
    };
    let words = |words: &str| Some(words.to_owned());
    assert_eq!(held(&before), [None, None]);
    let more = certificate(&["a.example", "b.example", "c.example", "d.example"]);
    assert_eq!(held(&more), [None, words("c.example d.example")]);
    let mut again = before.clone();
    let annotation = (sancho_crds::RENEW_ANNOTATION.to_owned(), "now".to_owned());
    again.metadata.annotations = Some([annotation].into());
    assert_eq!(
        held(&again),
        [words("a.example b.example again"), words("c.example again")]
    );
}

#[test]
fn what_is_no_renewal_counts_toward_the_quotas_that_the_ca_publishes() {
    let mut acme = acme();
    acme.server = "https://acme-v02.api.letsencrypt.org/directory".into();
    let before = certificate(&["a.example", "b.example", "c.example"]);
    let mut shards = issued(&before);
    for shard in &mut shards {
        let issued = shard.status.as_mut().unwrap().issued.as_mut().unwrap();
        issued.target = target(&shard.spec, &acme.server);
    }
    let granted = [Granted {
        at: NOW,
        names: vec!["x.c.example".into()],
        by_account: false,
    }];
    let of = |certificate: &Certificate, shards: &[CertificateShard]| {
        let around = Around {
            granted: &granted,
            ..around(&[], shards, Some(&acme))
        };
        let preview = preview(certificate, &around, NOW).unwrap();
        let quotas = preview.quotas.iter();
        let left: Vec<(u32, u32)> = quotas.map(|quota| (quota.left, quota.wanted)).collect();
        (preview.counted, left)
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    // Of the account, and of each of the three domains.
    let (counted, left) = of(&before, &[]);
    assert_eq!(
        counted,
        [names(&["a.example", "b.example"]), names(&["c.example"])]
    );
    assert_eq!(left, [(300, 2), (50, 1), (50, 1), (49, 1)]);
    let more = certificate(&["a.example", "b.example", "c.example", "x.c.example"]);
    let (counted, left) = of(&more, &shards);
    assert_eq!(counted, [names(&["c.example", "x.c.example"])]);
    assert_eq!(left, [(300, 1), (49, 1)]);
    let mut again = before.clone();
    let annotation = (sancho_crds::RENEW_ANNOTATION.to_owned(), "now".to_owned());
    again.metadata.annotations = Some([annotation].into());
    assert_eq!(of(&again, &shards), (Vec::new(), Vec::new()));
    // What waits for its first certificate orders as well, once.
    shards[1].status = None;
    let (counted, _) = of(&before, &shards);
    assert_eq!(counted, [names(&["c.example"])]);
}

#[test]
fn a_revocation_reissues_what_is_revoked() {
    let mut certificate = certificate(&["a.example", "b.example", "c.example"]);
    let shards = issued(&certificate);
    let annotation = (sancho_crds::REVOKE_ANNOTATION.to_owned(), "superseded".to_owned());
    certificate.metadata.annotations = Some([annotation].into());
    let revoked = of(&certificate, &shards);
    assert_eq!(fates(&revoked), [Fate::Reissued, Fate::Reissued]);
    assert_eq!(revoked.shards[0].because, ["revoked"]);
}

#[test]
fn an_issuer_that_is_not_known_is_taken_for_the_one_of_today() {
    let before = certificate(&["a.example", "b.example", "c.example"]);
    let mut shards = issued(&before);
    let of = |certificate: &Certificate, shards: &[CertificateShard]| {
        preview(certificate, &around(&[], shards, None), NOW).unwrap()
    };
    for shard in &mut shards {
        let status = shard.status.as_mut().unwrap();
        let now = Time(Timestamp::UNIX_EPOCH);
        set_condition(&mut status.conditions, "Ready", true, "Issued", "", None, &now);
    }
    assert_eq!(fates(&of(&before, &shards)), [Fate::Kept, Fate::Kept]);
    let more = of(
        &certificate(&["a.example", "b.example", "c.example", "d.example"]),
        &shards,
    );
    assert_eq!(more.cost.new_orders, 1, "{more:?}");
    // What is issued is not what is asked for already.
    shards[0].status.as_mut().unwrap().conditions.clear();
    assert_eq!(fates(&of(&before, &shards)), [Fate::Reissued, Fate::Kept]);
}

#[test]
fn of_an_issuer_that_is_not_known_the_certificate_tells_how_many_names_it_takes() {
    let names: Vec<String> = (0..60).map(|number| format!("n{number}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut edited = certificate(&names);
    edited.spec.sharding = None;
    let shards = |in_force: Option<u32>| {
        let mut present = edited.clone();
        present.status = Some(CertificateStatus {
            max_names: in_force,
            ..Default::default()
        });
        let preview = preview(&edited, &around(&[present], &[], None), NOW).unwrap();
        preview.shards.len()
    };
    assert_eq!(shards(None), 1);
    assert_eq!(shards(Some(25)), 3);
}

#[test]
fn what_the_operator_would_refuse_is_refused() {
    let mut bad = certificate(&["a.example"]);
    bad.spec.renew_before = Some("soon".into());
    let acme = acme();
    let around = around(&[], &[], Some(&acme));
    let refused = preview(&bad, &around, NOW).unwrap_err();
    assert!(refused.starts_with("spec.renewBefore: "), "{refused}");
    let allowed = Allowed {
        namespaces: Vec::new(),
        domains: vec!["other.example".into()],
    };
    let around = Around {
        allowed: Some(&allowed),
        ..around
    };
    let refused = preview(&certificate(&["a.example"]), &around, NOW).unwrap_err();
    assert!(
        refused.contains("does not allow a.example: it allows other.example"),
        "{refused}"
    );
}
