use k8s_openapi::api::networking::v1::Ingress;
use kube::Resource;
use sancho_crds::CertificateShardSpec;

use super::*;

fn source(uid: &str, tls: &Value) -> Source {
    let manifest = json!({
        "metadata": {
            "name": "web", "namespace": "shop", "uid": uid,
            "annotations": { "sancho.dev/cluster-issuer": "ca" },
        },
        "spec": { "tls": tls },
    });
    Source::of(&serde_json::from_value::<Ingress>(manifest).unwrap())
}

fn web(hosts: &[&str]) -> Source {
    source("u", &json!([{ "secretName": "web-tls", "hosts": hosts }]))
}

/// The Certificate that is made for `source`, as the API server has it then.
fn made(source: &Source, name: &str) -> Certificate {
    let decision = decided(source, &[], &[]);
    let Some(Action::Create(new)) = decision.actions.get(name) else {
        panic!("{decision:?}");
    };
    let mut certificate = new.as_ref().clone();
    certificate.metadata.uid = Some(format!("uid of {name}"));
    certificate.metadata.resource_version = Some("7".into());
    certificate
}

fn shard(certificate: &Certificate, secret: &str, names: &[&str]) -> CertificateShard {
    let spec = CertificateShardSpec {
        secret_name: secret.into(),
        dns_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..CertificateShardSpec::default()
    };
    let mut shard = CertificateShard::new(secret, spec);
    shard.metadata.owner_references = certificate.controller_owner_ref(&()).map(|owner| vec![owner]);
    shard
}

fn decided(source: &Source, certificates: &[Certificate], shards: &[CertificateShard]) -> Decision {
    by_issuer(source, certificates, shards, None)
}

fn by_issuer(
    source: &Source,
    certificates: &[Certificate],
    shards: &[CertificateShard],
    issuer: Option<&IssuerSays>,
) -> Decision {
    let certificates: Vec<_> = certificates.iter().cloned().map(Arc::new).collect();
    let shards: Vec<_> = shards.iter().cloned().map(Arc::new).collect();
    decide(
        source,
        &Around {
            certificates: &certificates,
            shards: &shards,
            issuer: &|_| issuer.cloned(),
        },
    )
}

fn reasons(decision: &Decision) -> Vec<&str> {
    decision
        .complaints
        .iter()
        .map(|complaint| complaint.reason)
        .collect()
}

#[test]
fn what_is_missing_is_created_once_and_then_nothing_is_to_be_done() {
    let source = web(&["b.example.com", "a.example.com"]);
    let certificate = made(&source, "web-tls");
    assert_eq!(certificate.spec.dns_names, ["a.example.com", "b.example.com"]);
    assert_eq!(decided(&source, &[certificate], &[]), Decision::default());
}

#[test]
fn an_edit_changes_the_certificate_in_the_version_that_was_read() {
    let certificate = made(&web(&["a.example.com"]), "web-tls");
    let edited = web(&["a.example.com", "b.example.com"]);
    let decision = decided(&edited, &[certificate], &[]);
    let Action::Update {
        patch,
        fields,
        version,
    } = &decision.actions["web-tls"]
    else {
        panic!("{decision:?}");
    };
    assert_eq!(
        (fields.as_slice(), version.as_deref()),
        (&["dnsNames"][..], Some("7"))
    );
    assert_eq!(
        patch["spec"],
        json!({ "dnsNames": ["a.example.com", "b.example.com"] })
    );
}

#[test]
fn what_is_asked_for_no_more_is_deleted_and_what_cannot_be_understood_stays() {
    let certificate = made(&web(&["a.example.com"]), "web-tls");
    let delete = Action::Delete {
        uid: certificate.uid(),
        version: Some("7".into()),
    };
    let removed = source("u", &json!([]));
    assert_eq!(
        decided(&removed, std::slice::from_ref(&certificate), &[]).actions["web-tls"],
        delete
    );
    let mut bare = web(&["a.example.com"]);
    bare.annotations.clear();
    assert_eq!(
        decided(&bare, std::slice::from_ref(&certificate), &[]).actions["web-tls"],
        delete
    );

    let mut going = removed.clone();
    going.is_going = true;
    let mut wrong = web(&["b.example.com"]);
    wrong
        .annotations
        .insert("sancho.dev/duration".into(), "90d".into());
    for source in [
        going,
        wrong,
        web(&["localhost"]),
        source("u", &json!([{ "hosts": ["a.example.com"] }])),
    ] {
        let decision = decided(&source, std::slice::from_ref(&certificate), &[]);
        assert!(decision.actions.is_empty(), "{decision:?}");
    }
}

#[test]
fn a_certificate_that_was_not_made_for_the_object_is_left_alone() {
    let web = web(&["a.example.com"]);
    let mut by_hand = made(&web, "web-tls");
    by_hand.metadata.owner_references = None;
    let decision = decided(&web, std::slice::from_ref(&by_hand), &[]);
    assert!(decision.actions.is_empty());
    assert_eq!(reasons(&decision), ["CertificateNotOurs"]);
    assert!(
        decision.complaints[0]
            .message
            .contains("it was not made for this object and is left as it is")
    );
    // Nor is it deleted when the object names it no more.
    assert_eq!(
        decided(&source("u", &json!([])), &[by_hand], &[]),
        Decision::default()
    );

    // The same Secret in two objects: fine if the other one has all names.
    let mut others = made(&web, "web-tls");
    let owner = &mut others.metadata.owner_references.as_mut().unwrap()[0];
    (owner.uid, owner.name) = ("other".into(), "other".into());
    assert_eq!(
        decided(&web, std::slice::from_ref(&others), &[]),
        Decision::default()
    );
    others.spec.dns_names = vec!["b.example.com".into()];
    let decision = decided(&web, &[others], &[]);
    assert!(
        decision.complaints[0]
            .message
            .contains("it is made for Ingress other and lacks hosts of this one")
    );
}

#[test]
fn what_an_earlier_object_of_that_name_had_is_waited_for() {
    let certificate = made(&web(&["a.example.com"]), "web-tls");
    let again = source(
        "another",
        &json!([{ "secretName": "web-tls", "hosts": ["a.example.com"] }]),
    );
    assert_eq!(
        decided(&again, std::slice::from_ref(&certificate), &[]),
        Decision::default()
    );
    let mut going = certificate;
    going.metadata.deletion_timestamp = Some(crate::clock::time(crate::clock::now()));
    assert_eq!(
        decided(&web(&["b.example.com"]), &[going], &[]),
        Decision::default()
    );
}

#[test]
fn secrets_that_the_object_has_to_name_are_told_until_it_does() {
    let all = ["a.example.com", "b.example.com", "c.example.com"];
    let source_of = |first: &[&str], second: &[&str]| {
        source(
            "u",
            &json!([
                { "secretName": "web-tls", "hosts": first },
                { "secretName": "web-tls-1", "hosts": second },
            ]),
        )
    };
    let one = web(&all);
    let certificate = made(&one, "web-tls");
    let shards = [
        shard(&certificate, "web-tls", &all[..1]),
        shard(&certificate, "web-tls-1", &all[1..]),
    ];
    let certificates = [certificate];
    let decision = decided(&one, &certificates, &shards);
    assert!(decision.actions.is_empty());
    assert_eq!(reasons(&decision), ["MoreSecretsNeeded"]);
    let words = "they stand in 2 Secrets. Move them to entries of spec.tls of their own: 2 hosts (b.example.com, \
                 c.example.com) to Secret web-tls-1.";
    assert!(
        decision.complaints[0].message.contains(words),
        "{:?}",
        decision.complaints
    );

    // As told: nothing is written, and nothing is wrong.
    let listed = source_of(&all[..1], &all[1..]);
    assert_eq!(decided(&listed, &certificates, &shards), Decision::default());
    // One host in the wrong entry.
    let decision = decided(&source_of(&all[..2], &all[2..]), &certificates, &shards);
    assert!(decision.actions.is_empty());
    assert!(
        decision.complaints[0]
            .message
            .contains("own: 1 host (b.example.com) to Secret web-tls-1.")
    );
}

#[test]
fn what_the_issuer_says_against_it_is_told_and_the_certificate_is_made_all_the_same() {
    let web = web(&["*.example.com", "a.example.com"]);
    let by = |solvers: Value| IssuerSays {
        solvers: serde_json::from_value(solvers).unwrap(),
        allowed: None,
    };
    let by_http = by(json!([{ "http01": { "external": {} } }]));
    let decision = by_issuer(&web, &[], &[], Some(&by_http));
    assert_eq!(decision.actions.len(), 1, "the other name gets its certificate");
    assert_eq!(reasons(&decision), ["WildcardNeedsDNS01"]);
    let words = "*.example.com can be validated by DNS alone, and ClusterIssuer ca";
    assert!(decision.complaints[0].message.contains(words));
    let by_dns = by(json!([{ "dns01": { "rfc2136": { "nameserver": "192.0.2.53" } } }]));
    let decision = by_issuer(&web, &[], &[], Some(&by_dns));
    assert_eq!(reasons(&decision), Vec::<&str>::new());

    let elsewhere = IssuerSays {
        allowed: Some(sancho_crds::Allowed {
            namespaces: vec!["bank".into()],
            domains: Vec::new(),
        }),
        ..by_dns
    };
    let decision = by_issuer(&web, &[], &[], Some(&elsewhere));
    assert_eq!(decision.actions.len(), 1);
    assert_eq!(reasons(&decision), ["NotAllowedByIssuer"]);
    let words = "Secret web-tls: ClusterIssuer ca does not allow namespace shop";
    assert!(decision.complaints[0].message.starts_with(words));
}
