//! A Certificate beside what its object asks for: what it is made of, and what is to be changed in it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kube::api::ObjectMeta;
use sancho_crds::{ADOPT_ANNOTATION, Certificate, CertificateSpec, MADE_FOR_LABEL};
use serde_json::{Map, Value, json};

use super::source::Source;
use super::translate::Wanted;

/// The fields that the object speaks of, whether it says something or nothing. All others are the user's, who may write
/// them into the Certificate.
const FIELDS: [&str; 7] = [
    "secretName",
    "issuerRef",
    "dnsNames",
    "duration",
    "renewBefore",
    "profile",
    "privateKey",
];
/// What `privateKey` has, for a merge patch to take out what is asked for no more.
const KEY_FIELDS: [&str; 3] = ["algorithm", "size", "rotationPolicy"];

/// The labels of a Certificate that is made for `source`. None of the object's own: GitOps tools delete what carries
/// theirs ([`super::tracking`]).
fn labels(source: &Source) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/managed-by".to_owned(), "sancho".to_owned()),
        (MADE_FOR_LABEL.to_owned(), source.kind.word().to_owned()),
    ])
}

/// The Certificate `name`, new.
pub(super) fn created(source: &Source, name: &str, wanted: &Wanted) -> Certificate {
    let adopt = wanted
        .adopt
        .then(|| (ADOPT_ANNOTATION.to_owned(), "true".to_owned()));
    Certificate {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(source.namespace.clone()),
            labels: Some(labels(source)),
            annotations: adopt.map(|pair| BTreeMap::from([pair])),
            owner_references: source.owner.clone().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: wanted.spec.clone(),
        status: None,
    }
}

/// The merge patch that makes `present` what is wanted, with the fields that differ. Nothing if nothing does.
pub(super) fn difference(
    source: &Source,
    present: &Certificate,
    wanted: &Wanted,
) -> Option<(Value, Vec<&'static str>)> {
    let (before, after) = (fields(&present.spec), fields(&wanted.spec));
    let mut spec = Map::new();
    let mut differing = Vec::new();
    for field in FIELDS {
        if before[field] != after[field] {
            spec.insert(field.to_owned(), patch_of(field, &after[field]));
            differing.push(field);
        }
    }
    if wanted.spec.renew_before.is_some() && present.spec.renew_before_percentage.is_some() {
        spec.insert("renewBeforePercentage".to_owned(), Value::Null);
        differing.push("renewBeforePercentage");
    }
    let mut metadata = Map::new();
    let lacking: BTreeMap<String, String> = labels(source)
        .into_iter()
        .filter(|(key, value)| present.labels().get(key) != Some(value))
        .collect();
    if !lacking.is_empty() {
        metadata.insert("labels".to_owned(), json!(lacking));
        differing.push("labels");
    }
    if wanted.adopt && present.annotations().get(ADOPT_ANNOTATION).map(String::as_str) != Some("true") {
        metadata.insert("annotations".to_owned(), json!({ ADOPT_ANNOTATION: "true" }));
        differing.push("annotations");
    }
    if differing.is_empty() {
        return None;
    }
    Some((json!({ "metadata": metadata, "spec": spec }), differing))
}

/// The fields that an object speaks of, those that say nothing as null.
fn fields(spec: &CertificateSpec) -> BTreeMap<&'static str, Value> {
    let all = json!(spec);
    let read = |field: &'static str| {
        let value = match field {
            // The order is the user's business.
            "dnsNames" => json!(spec.dns_names.iter().collect::<BTreeSet<_>>()),
            // With its default.
            "issuerRef" => json!({ "name": spec.issuer_ref.name, "kind": spec.issuer_ref.kind() }),
            field => all.get(field).cloned().unwrap_or_default(),
        };
        (field, value)
    };
    FIELDS.into_iter().map(read).collect()
}

/// A merge patch keeps what it does not speak of, in objects within the object too.
fn patch_of(field: &str, value: &Value) -> Value {
    match value {
        Value::Object(key) if field == "privateKey" => {
            let all = KEY_FIELDS.map(|field| (field.to_owned(), key.get(field).cloned().unwrap_or_default()));
            Value::Object(Map::from_iter(all))
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::networking::v1::Ingress;
    use sancho_crds::{IssuerKind, IssuerRef, KeyAlgorithm, PrivateKey};

    use super::super::tracking::is_tracking_label;
    use super::*;

    fn source() -> Source {
        let manifest = json!({ "metadata": { "name": "web", "namespace": "shop", "uid": "u",
            "labels": { "argocd.argoproj.io/instance": "shop" } } });
        Source::of(&serde_json::from_value::<Ingress>(manifest).unwrap())
    }

    fn wanted(names: &[&str]) -> Wanted {
        Wanted {
            spec: CertificateSpec {
                secret_name: "web-tls".into(),
                issuer_ref: IssuerRef {
                    name: "ca".into(),
                    kind: Some(IssuerKind::ClusterIssuer),
                },
                dns_names: names.iter().map(|name| (*name).to_owned()).collect(),
                ..CertificateSpec::default()
            },
            adopt: false,
            listed: BTreeMap::new(),
        }
    }

    /// What the API server makes of a merge patch (RFC 7396).
    fn patched(certificate: &Certificate, patch: &Value) -> Certificate {
        let mut value = json!(certificate);
        json_patch::merge(&mut value, patch);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_new_certificate_is_owned_and_has_nothing_of_the_objects_labels() {
        let made = created(&source(), "web-tls", &wanted(&["a.example"]));
        assert_eq!(made.metadata.namespace.as_deref(), Some("shop"));
        let labels: Vec<&str> = made.labels().keys().map(String::as_str).collect();
        assert_eq!(labels, ["app.kubernetes.io/managed-by", "sancho.dev/made-for"]);
        assert!(!labels.into_iter().any(is_tracking_label));
        assert_eq!(made.owner_references()[0].uid, "u");
        assert!(made.metadata.annotations.is_none());
        assert_eq!(difference(&source(), &made, &wanted(&["a.example"])), None);
    }

    #[test]
    fn what_the_object_says_is_mended_and_what_it_does_not_speak_of_stays() {
        let mut present = created(&source(), "web-tls", &wanted(&["b.example", "a.example"]));
        present.spec.private_key = Some(PrivateKey {
            algorithm: Some(KeyAlgorithm::Ecdsa),
            size: Some(384),
            rotation_policy: None,
        });
        present.spec.renew_before_percentage = Some(20);
        present.spec.duration = Some("90h".into());
        present.metadata.labels = Some(BTreeMap::from([("team".to_owned(), "shop".to_owned())]));
        let mut to_be = wanted(&["a.example", "b.example"]);
        to_be.adopt = true;
        to_be.spec.private_key = Some(PrivateKey {
            algorithm: Some(KeyAlgorithm::Rsa),
            ..PrivateKey::default()
        });
        to_be.spec.renew_before = Some("24h".into());
        let (patch, differing) = difference(&source(), &present, &to_be).unwrap();
        assert_eq!(
            differing,
            [
                "duration",
                "renewBefore",
                "privateKey",
                "renewBeforePercentage",
                "labels",
                "annotations"
            ]
        );
        let after = patched(&present, &patch);
        assert_eq!(after.spec.private_key, to_be.spec.private_key);
        assert_eq!(after.spec.duration, None);
        assert_eq!(after.spec.renew_before_percentage, None);
        assert_eq!(after.labels()["team"], "shop");
        assert_eq!(after.annotations()["sancho.dev/adopt"], "true");
        assert_eq!(difference(&source(), &after, &to_be), None);

        let mut by_hand = after;
        by_hand.spec.policy = Some(sancho_crds::NamePolicy::Strict);
        by_hand.spec.ip_addresses = vec!["192.0.2.1".into()];
        assert_eq!(difference(&source(), &by_hand, &to_be), None);
    }

    #[test]
    fn an_issuer_without_a_kind_is_an_issuer() {
        let mut to_be = wanted(&["a.example"]);
        to_be.spec.issuer_ref.kind = Some(IssuerKind::Issuer);
        let mut present = created(&source(), "web-tls", &to_be);
        present.spec.issuer_ref.kind = None;
        assert_eq!(difference(&source(), &present, &to_be), None);
        let (patch, _) = difference(&source(), &present, &wanted(&["a.example"])).unwrap();
        assert_eq!(patch["spec"]["issuerRef"]["kind"], "ClusterIssuer");
    }
}
