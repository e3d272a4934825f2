use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference};
use sancho_crds::{
    CertificateShardSpec, CertificateShardStatus, CertificateSpec, IssuedStatus, IssuerRef,
    KeystorePasswordRef, Keystores, Pkcs12Keystore, ShardFailure,
};

use crate::shard::reform::KEYSTORE_READY;
use crate::target::target;

const SERVER: &str = "https://ca/dir";

const NO_WAIT: BudgetWait = BudgetWait::Is(None);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn certificate() -> Certificate {
    let spec = CertificateSpec {
        secret_name: "x".into(),
        issuer_ref: IssuerRef {
            name: "ca".into(),
            kind: None,
        },
        dns_names: vec!["a.example".into(), "b.example".into()],
        ..Default::default()
    };
    let mut certificate = Certificate::new("x", spec);
    certificate.metadata.generation = Some(2);
    certificate
}

fn shard(index: u32, name: &str, status: CertificateShardStatus) -> CertificateShard {
    let spec = CertificateShardSpec {
        certificate: "x".into(),
        index,
        secret_name: format!("x-{index}"),
        issuer_ref: IssuerRef {
            name: "ca".into(),
            kind: None,
        },
        dns_names: vec![name.into()],
        ..Default::default()
    };
    let mut shard = CertificateShard::new(&format!("x-{index}"), spec);
    shard.status = Some(status);
    shard
}

fn issued(name: &str, end: i64) -> CertificateShardStatus {
    let shard = shard(0, name, CertificateShardStatus::default());
    let issued = IssuedStatus {
        target: target(&shard.spec, SERVER),
        fingerprint: "00".into(),
        not_before: clock::time(at(0)),
        not_after: clock::time(at(end)),
        renewal_time: clock::time(at(end / 2)),
        account_url: None,
        cert_id: None,
        renewal_info: None,
    };
    CertificateShardStatus {
        issued: Some(issued),
        ..Default::default()
    }
}

fn plan(settled: bool) -> PlanStatus {
    PlanStatus {
        generation: 2,
        hash: "h".into(),
        planner: "me".into(),
        settled,
    }
}

fn summed(first: CertificateShardStatus, second: CertificateShardStatus) -> CertificateStatus {
    let (a, b) = (shard(0, "a.example", first), shard(1, "b.example", second));
    let ready = IssuerState::Ready {
        server: SERVER.into(),
    };
    summary(
        &certificate(),
        Some(&plan(true)),
        &[&a, &b],
        &ready,
        &|_, _| None,
        NO_WAIT,
        at(100),
    )
}

fn says(status: &CertificateStatus, kind: &str) -> (String, String) {
    let found = condition(&status.conditions, kind).unwrap();
    (found.status.clone(), found.reason.clone())
}

#[test]
fn all_issued_is_ready() {
    let status = summed(issued("a.example", 900), issued("b.example", 800));
    assert_eq!(says(&status, "Ready"), ("True".into(), "Issued".into()));
    assert_eq!(status.conditions.len(), 1, "{:?}", status.conditions);
    assert_eq!(status.ready.as_deref(), Some("2/2"));
    assert_eq!(status.not_after, Some(clock::time(at(800))));
    assert_eq!(status.waiting_for, None);
}

#[test]
fn a_certificate_for_an_ingress_tells_all_the_secrets_that_this_has_to_name() {
    let mut of_ingress = certificate();
    of_ingress.metadata.labels = Some([(MADE_FOR_LABEL.to_owned(), "Ingress".to_owned())].into());
    of_ingress.metadata.owner_references = Some(vec![OwnerReference {
        kind: "Ingress".into(),
        name: "web".into(),
        controller: Some(true),
        ..Default::default()
    }]);
    let a = shard(0, "a.example", issued("a.example", 900));
    let b = shard(1, "b.example", issued("b.example", 900));
    let message = |certificate: &Certificate, shards: &[&CertificateShard]| {
        let ready = IssuerState::Ready {
            server: SERVER.into(),
        };
        let status = summary(
            certificate,
            Some(&plan(true)),
            shards,
            &ready,
            &|_, _| None,
            NO_WAIT,
            at(100),
        );
        condition(&status.conditions, "Ready").unwrap().message.clone()
    };
    assert_eq!(
        message(&of_ingress, &[&a, &b]),
        "2 names in 2 Secrets; Ingress web has to name each of them: x-0, x-1"
    );
    assert_eq!(message(&of_ingress, &[&a]), "2 names in 1 Secrets");
    assert_eq!(message(&certificate(), &[&a, &b]), "2 names in 2 Secrets");
}

#[test]
fn a_keystore_that_is_lacking_degrades_and_keeps_nothing_from_being_ready() {
    let with_keystore = |index, name: &str| {
        let mut shard = shard(index, name, issued(name, 900));
        shard.spec.keystores = Some(Keystores {
            pkcs12: Some(Pkcs12Keystore {
                create: true,
                password_secret_ref: KeystorePasswordRef {
                    name: "store".into(),
                    key: None,
                },
                profile: None,
            }),
            jks: None,
        });
        let conditions = &mut shard.status.as_mut().unwrap().conditions;
        let (reason, why) = (KEYSTORE_LACKING, "no password");
        set_condition(
            conditions,
            KEYSTORE_READY,
            false,
            reason,
            why,
            Some(1),
            &clock::time(at(1)),
        );
        shard
    };
    let (one, mut other) = (with_keystore(0, "a.example"), with_keystore(1, "b.example"));
    let degraded = |shards: [&CertificateShard; 2]| {
        let ready = IssuerState::Ready {
            server: SERVER.into(),
        };
        let plan = plan(true);
        let status = summary(
            &certificate(),
            Some(&plan),
            &shards,
            &ready,
            &|_, _| None,
            NO_WAIT,
            at(100),
        );
        assert_eq!(says(&status, "Ready").0, "True");
        condition(&status.conditions, "Degraded").map(|degraded| degraded.message.clone())
    };
    assert_eq!(degraded([&one, &other]).as_deref(), Some("no password"));
    // It is not asked for any more.
    other.spec.keystores = None;
    assert_eq!(degraded([&other, &other]), None);
}

#[test]
fn what_is_not_there_yet_is_counted_and_named() {
    let status = summed(issued("a.example", 900), CertificateShardStatus::default());
    assert_eq!(says(&status, "Ready"), ("False".into(), "Issuing".into()));
    assert_eq!(status.ready.as_deref(), Some("1/2"));
    assert_eq!(status.waiting_for.as_deref(), Some("budget"));
}

#[test]
fn an_expired_certificate_and_one_of_other_names_do_not_count() {
    assert_eq!(
        summed(issued("a.example", 50), issued("b.example", 900)).ready_names,
        Some(1)
    );
    assert_eq!(
        summed(issued("c.example", 900), issued("b.example", 900)).ready_names,
        Some(1)
    );
}

#[test]
fn a_failure_is_shown_in_its_own_words() {
    let failure = ShardFailure {
        reason: "CAAForbids".into(),
        message: "CAA record for a.example".into(),
        target: "t".into(),
        count: 1,
        retry_time: clock::time(at(200)),
        generation: None,
        issuer_generation: None,
        issuer_created: None,
        profile: None,
        most_names: None,
        quota: None,
    };
    let failed = CertificateShardStatus {
        failure: Some(failure),
        ..Default::default()
    };
    let status = summed(failed, issued("b.example", 900));
    assert_eq!(says(&status, "Ready").1, "CAAForbids");
    assert!(status.waiting_for.unwrap().contains("CAA record for a.example"));
}

#[test]
fn a_name_that_is_left_out_degrades_a_certificate_that_is_ready() {
    let spec_of_two = |status: CertificateShardStatus| {
        let mut shard = shard(0, "a.example", status);
        shard.spec.dns_names.push("b.example".into());
        shard
    };
    let mut status = issued("a.example", 900);
    status.quarantine = vec![sancho_crds::QuarantinedName {
        name: "b.example".into(),
        place: sancho_crds::QuarantinePlace::Out,
        found_by: sancho_crds::FoundBy::Check,
        reason: "NameNotFound".into(),
        message: "make its record".into(),
        since: clock::time(at(50)),
        count: 1,
        next_try: clock::time(at(110)),
        issuer_generation: None,
        issuer_created: None,
        asked: None,
    }];
    let ready = IssuerState::Ready {
        server: SERVER.into(),
    };
    let sum = |shard: &CertificateShard| {
        let certificate = certificate();
        let none = |_: &[String], _: bool| None;
        summary(
            &certificate,
            Some(&plan(true)),
            &[shard],
            &ready,
            &none,
            NO_WAIT,
            at(100),
        )
    };
    let mut shard = spec_of_two(status);
    let degraded = sum(&shard);
    assert_eq!(says(&degraded, "Ready").0, "True");
    assert_eq!(
        says(&degraded, "Degraded"),
        ("True".into(), "NamesQuarantined".into())
    );
    assert_eq!(
        (degraded.ready_names, degraded.quarantined_names),
        (Some(1), Some(1))
    );

    // Under Strict it is all or nothing.
    shard.spec.policy = Some(sancho_crds::NamePolicy::Strict);
    let strict = sum(&shard);
    assert_eq!(says(&strict, "Ready").0, "False");
    assert_eq!(strict.quarantined_names, None);
}

#[test]
fn an_unsettled_plan_is_not_ready() {
    let shard = shard(0, "a.example", issued("a.example", 900));
    let ready = IssuerState::Ready {
        server: SERVER.into(),
    };
    let status = summary(
        &certificate(),
        Some(&plan(false)),
        &[&shard],
        &ready,
        &|_, _| None,
        NO_WAIT,
        at(100),
    );
    assert_eq!(says(&status, "Ready").1, "Planning");
}

#[test]
fn a_missing_issuer_is_named() {
    let missing = IssuerState::Missing {
        issuer: "Issuer shop/ca".into(),
    };
    let status = summary(
        &certificate(),
        None,
        &[],
        &missing,
        &|_, _| None,
        NO_WAIT,
        at(100),
    );
    assert_eq!(says(&status, "Ready").1, "IssuerNotFound");
    assert!(status.waiting_for.unwrap().contains("Issuer shop/ca"));
}

#[test]
fn a_shard_that_anothers_quota_holds_back_says_so() {
    let words = "a quota of the CA for the registered domain b.example, used up until then";
    let holding_back = |names: &[String], is_renewal: bool| {
        (names == ["www.b.example"] && !is_renewal).then(|| HeldBack {
            until: at(200),
            words: words.into(),
        })
    };
    let waits = shard(1, "www.b.example", CertificateShardStatus::default());
    let ready = IssuerState::Ready {
        server: SERVER.into(),
    };
    let status = summary(
        &certificate(),
        Some(&plan(true)),
        &[&waits],
        &ready,
        &holding_back,
        NO_WAIT,
        at(100),
    );
    assert!(status.waiting_for.unwrap().contains(words));
    let limited = condition(&status.conditions, "RateLimited").unwrap();
    assert!(limited.status == "True" && limited.message.contains(words));
}

#[test]
fn the_same_state_is_the_same_status() {
    let mut certificate = certificate();
    let shard = shard(0, "a.example", issued("a.example", 900));
    let ready = IssuerState::Ready {
        server: SERVER.into(),
    };
    let first = summary(
        &certificate,
        Some(&plan(true)),
        &[&shard],
        &ready,
        &|_, _| None,
        NO_WAIT,
        at(100),
    );
    certificate.status = Some(first.clone());
    assert_eq!(
        summary(
            &certificate,
            Some(&plan(true)),
            &[&shard],
            &ready,
            &|_, _| None,
            NO_WAIT,
            at(200)
        ),
        first
    );
}

#[test]
fn a_wait_for_the_budget_is_told_in_round_words_by_one_replica() {
    let ready = IssuerState::Ready {
        server: SERVER.into(),
    };
    let shard = shard(0, "a.example", CertificateShardStatus::default());
    let told = |certificate: &Certificate, wait| {
        let status = summary(
            certificate,
            Some(&plan(true)),
            &[&shard],
            &ready,
            &|_, _| None,
            wait,
            at(100),
        );
        let limited = condition(&status.conditions, "RateLimited").cloned();
        (status, limited.map(|limited| limited.message))
    };
    let mut certificate = certificate();
    let (_, message) = told(&certificate, BudgetWait::Is(Some(Duration::from_secs(59))));
    assert_eq!(message, None);
    let about = "about 5 min until the request budget has come to all its orders";
    let (status, message) = told(&certificate, BudgetWait::Is(Some(Duration::from_secs(400))));
    assert_eq!(message.as_deref(), Some(about));
    certificate.status = Some(status);
    let (_, message) = told(&certificate, BudgetWait::SaidByAnother);
    assert_eq!(message.as_deref(), Some(about));
    let (_, message) = told(&certificate, BudgetWait::Is(None));
    assert_eq!(message, None);
}

#[test]
fn long_waits_are_told_in_hours_and_days() {
    let told = |hours: u64| rounded(Duration::from_secs(hours * 3600));
    assert_eq!(told(1), "about 1 h");
    assert_eq!(told(23), "about 20 h");
    assert_eq!(told(24 * 4), "about 3 days");
    assert_eq!(told(24 * 56), "about 45 days");
}

#[test]
fn a_plan_that_published_quotas_stretch_says_how_long() {
    let shards: Vec<CertificateShard> = (0..60)
        .map(|n| {
            shard(
                n,
                &format!("n{n}.shop.example"),
                CertificateShardStatus::default(),
            )
        })
        .collect();
    let shards: Vec<&CertificateShard> = shards.iter().collect();
    let said = |server: &str| {
        let issuer = IssuerState::Ready {
            server: server.into(),
        };
        let plan = plan(true);
        let status = summary(
            &certificate(),
            Some(&plan),
            &shards,
            &issuer,
            &|_, _| None,
            NO_WAIT,
            at(100),
        );
        let limited = condition(&status.conditions, "RateLimited").cloned();
        let ready = condition(&status.conditions, "Ready").unwrap().message.clone();
        (limited, ready)
    };
    let (limited, ready) = said("https://acme-v02.api.letsencrypt.org/directory");
    let Condition { reason, message, .. } = limited.unwrap();
    assert_eq!(reason, "StretchedByQuotas");
    // Ten over 50, at 50 a week.
    assert!(message.starts_with("about 1 days or more"), "{message}");
    assert!(message.contains("60 of shop.example are open"), "{message}");
    assert!(ready.ends_with(&message), "{ready}");
    assert_eq!(said(SERVER).0, None);
}

#[test]
fn what_is_refused_waits_for_an_edit_and_no_longer_for_the_budget() {
    let mut certificate = certificate();
    let mut status = CertificateStatus::default();
    for kind in ["Reconciling", "RateLimited"] {
        let conditions = &mut status.conditions;
        set_condition(conditions, kind, true, "Some", "", Some(1), &clock::time(at(50)));
    }
    certificate.status = Some(status);
    let no = Refused {
        reason: "InvalidName",
        message: "it is none".into(),
    };
    let status = refused(&certificate, &no, at(100));
    let kinds: Vec<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(kinds, ["Ready", "Stalled"]);
    assert_eq!(says(&status, "Stalled").0, "True");
}
