use k8s_openapi::api::networking::v1::Ingress;
use sancho_crds::IssuerKind;
use serde_json::{Value, json};

use super::*;

fn ingress(annotations: &Value, tls: &Value) -> Source {
    let manifest = json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "u", "annotations": annotations },
        "spec": { "tls": tls },
    });
    Source::of(&serde_json::from_value::<Ingress>(manifest).unwrap())
}

fn by_ca(tls: &Value) -> Translation {
    translation(
        &ingress(&json!({ "sancho.dev/cluster-issuer": "ca" }), tls),
        &BTreeMap::new(),
    )
}

fn names_of<'a>(translated: &'a Translation, certificate: &str) -> Vec<&'a str> {
    let spec = &translated.certificates[certificate].spec;
    spec.dns_names.iter().map(String::as_str).collect()
}

#[test]
fn one_certificate_for_each_secret_with_the_hosts_of_all_its_entries() {
    let translated = by_ca(&json!([
        { "secretName": "a-tls", "hosts": ["b.example.com", "a.example.com"] },
        { "secretName": "b-tls", "hosts": ["*.example.org"] },
        { "secretName": "a-tls", "hosts": ["c.example.com", "a.example.com"] },
    ]));
    assert_eq!(translated.complaints, []);
    assert!(translated.deletes);
    assert_eq!(translated.certificates.len(), 2);
    assert_eq!(
        names_of(&translated, "a-tls"),
        ["a.example.com", "b.example.com", "c.example.com"]
    );
    assert_eq!(names_of(&translated, "b-tls"), ["*.example.org"]);
    let spec = &translated.certificates["a-tls"].spec;
    assert_eq!(spec.secret_name, "a-tls");
    assert_eq!(
        (spec.issuer_ref.name.as_str(), spec.issuer_ref.kind()),
        ("ca", IssuerKind::ClusterIssuer)
    );
}

#[test]
fn an_object_that_is_not_annotated_asks_for_nothing_and_what_was_made_for_it_goes() {
    let tls = json!([{ "secretName": "a-tls", "hosts": ["a.example.com"] }]);
    let translated = translation(
        &ingress(&json!({ "sancho.dev/duration": "?" }), &tls),
        &BTreeMap::new(),
    );
    assert!(translated.certificates.is_empty() && translated.complaints.is_empty() && translated.deletes);
    assert!(by_ca(&Value::Null).deletes);
}

#[test]
fn while_an_annotation_is_wrong_everything_stays_as_it_is() {
    let tls = json!([{ "secretName": "a-tls", "hosts": ["a.example.com"] }]);
    let both = json!({ "sancho.dev/cluster-issuer": "ca", "sancho.dev/issuer": "ca" });
    let translated = translation(&ingress(&both, &tls), &BTreeMap::new());
    assert!(translated.certificates.is_empty() && !translated.deletes);
    assert_eq!(translated.complaints[0].reason, "InvalidIssuer");
}

#[test]
fn an_entry_that_is_wrong_keeps_its_certificate_and_the_others_go_on() {
    let table = [
        (
            json!({ "secretName": "bad" }),
            "HostsMissing",
            "spec.tls[1] (Secret bad) has no hosts",
        ),
        (
            json!({ "secretName": "bad", "hosts": [] }),
            "HostsMissing",
            "write them there",
        ),
        (
            json!({ "secretName": "bad", "hosts": ["ok.example.com", "localhost"] }),
            "InvalidHost",
            "has one label only",
        ),
        (
            json!({ "secretName": "bad", "hosts": ["a_b.example.com"] }),
            "InvalidHost",
            "has an underscore",
        ),
        (
            json!({ "secretName": "bad", "hosts": ["a.*.example.com"] }),
            "InvalidHost",
            "'*' that is not its leftmost label",
        ),
        (
            json!({ "secretName": "bad", "hosts": ["192.0.2.1"] }),
            "InvalidHost",
            "of your own with spec.ipAddresses",
        ),
    ];
    for (entry, reason, words) in table {
        let translated = by_ca(&json!([{ "secretName": "good", "hosts": ["a.example.com"] }, entry]));
        assert_eq!(translated.certificates.keys().collect::<Vec<_>>(), ["good"]);
        assert_eq!(translated.kept, BTreeSet::from(["bad".to_owned()]));
        assert!(translated.deletes);
        let [complaint] = translated.complaints.as_slice() else {
            panic!("{:?}", translated.complaints);
        };
        assert_eq!(complaint.reason, reason);
        assert!(
            complaint.message.contains(words),
            "{} lacks {words}",
            complaint.message
        );
    }
}

#[test]
fn one_wrong_entry_of_two_for_a_secret_keeps_its_certificate() {
    let translated = by_ca(&json!([
        { "secretName": "a-tls", "hosts": ["a.example.com"] },
        { "secretName": "a-tls", "hosts": ["localhost"] },
    ]));
    assert!(translated.certificates.is_empty());
    assert!(translated.kept.contains("a-tls"));
}

#[test]
fn while_a_secrets_name_is_wrong_nothing_is_deleted() {
    let long = "a".repeat(181);
    for (secret, reason) in [
        (json!(null), "SecretNameMissing"),
        (json!(""), "SecretNameMissing"),
        (json!("Web_TLS"), "InvalidSecretName"),
        (json!(long), "InvalidSecretName"),
    ] {
        let translated = by_ca(&json!([
            { "secretName": secret, "hosts": ["a.example.com"] },
            { "secretName": "good", "hosts": ["a.example.com"] },
        ]));
        assert!(!translated.deletes);
        assert_eq!(translated.complaints[0].reason, reason);
        assert!(translated.complaints[0].message.starts_with("spec.tls[0]"));
        assert!(translated.certificates.contains_key("good"));
    }
}

#[test]
fn an_entry_for_a_further_secret_of_a_certificate_is_no_certificate_of_its_own() {
    let tls = json!([
        { "secretName": "web", "hosts": ["a.example.com", "b.example.com"] },
        { "secretName": "web-1", "hosts": ["c.example.com"] },
    ]);
    let source = ingress(&json!({ "sancho.dev/issuer": "ca" }), &tls);
    let parts = BTreeMap::from([("web-1".to_owned(), "web".to_owned())]);
    let translated = translation(&source, &parts);
    assert_eq!(translated.certificates.keys().collect::<Vec<_>>(), ["web"]);
    assert_eq!(
        names_of(&translated, "web"),
        ["a.example.com", "b.example.com", "c.example.com"]
    );
    let listed = &translated.certificates["web"].listed;
    assert_eq!(listed["c.example.com"], BTreeSet::from(["web-1".to_owned()]));
    // Unless the first Secret is named no more.
    let alone = ingress(
        &json!({ "sancho.dev/issuer": "ca" }),
        &json!([{ "secretName": "web-1", "hosts": ["c.example.com"] }]),
    );
    assert_eq!(
        translation(&alone, &parts)
            .certificates
            .keys()
            .collect::<Vec<_>>(),
        ["web-1"]
    );
}
