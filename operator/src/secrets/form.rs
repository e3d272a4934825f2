//! What a certificate's Secret has besides certificate and key: `spec.secretTemplate`,
//! `spec.additionalOutputFormats` and `spec.keystores`. Pure.
//!
//! The Secret carries a hash of what was asked for when it was written ([`FORM_ANNOTATION`]), so that the watch, which
//! sees metadata alone, tells whether it is to be written again.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use sancho_crds::{CertificateShardSpec, OutputFormat, SecretTemplate};

use super::keystore::{self, Asked};
use super::{CERT, KEY};
use crate::target::digest;

/// A hash of what the Certificate asked for of the Secret's form; absent if that is nothing.
pub const FORM_ANNOTATION: &str = "sancho.dev/form";

const COMBINED_PEM: &str = "tls-combined.pem";
const DER: &str = "key.der";
/// The keys that hold what is derived from certificate and key. In a Secret of a Certificate they are Sancho's alone,
/// since what another one has left there goes stale at the next renewal.
const DERIVED: [&str; 4] = [COMBINED_PEM, DER, keystore::FIELDS[0], keystore::FIELDS[1]];

/// Whether a template leaves the keys alone that Sancho writes itself. The API server checks more.
///
/// # Errors
/// Which key it is, and what to do.
pub fn check(template: Option<&SecretTemplate>) -> Result<(), String> {
    let Some(SecretTemplate { labels, annotations }) = template else {
        return Ok(());
    };
    let is_own = |key: &&String| key.starts_with("sancho.dev/") || key.contains(".sancho.dev/");
    match labels.keys().chain(annotations.keys()).find(is_own) {
        Some(key) => Err(format!("{key} is written by Sancho itself: take it out")),
        None => Ok(()),
    }
}

/// A hash of what `spec` asks for; nothing if it asks for nothing.
#[must_use]
pub fn mark(spec: &CertificateShardSpec) -> Option<String> {
    mark_with(spec, Asked::of(spec).iter())
}

fn mark_with<'a>(spec: &CertificateShardSpec, keystores: impl Iterator<Item = &'a Asked>) -> Option<String> {
    let keystores: Vec<String> = keystores.flat_map(Asked::words).collect();
    let nothing = SecretTemplate::default();
    let template = spec.secret_template.as_ref().unwrap_or(&nothing);
    if *template == nothing && spec.additional_output_formats.is_empty() && keystores.is_empty() {
        return None;
    }
    let SecretTemplate { labels, annotations } = template;
    let words = |kind, pairs: &BTreeMap<String, String>| {
        let words = pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]);
        std::iter::once(kind).chain(words).collect::<Vec<_>>()
    };
    let mut parts = words("labels:".to_owned(), labels);
    parts.extend(words("annotations:".to_owned(), annotations));
    parts.push("formats:".to_owned());
    parts.extend(formats(spec).map(|format| format!("{format:?}")));
    parts.extend(keystores);
    Some(digest(parts.iter().map(String::as_str)))
}

/// The formats, in an order of their own.
fn formats(spec: &CertificateShardSpec) -> impl Iterator<Item = OutputFormat> {
    let asked = |format: &OutputFormat| {
        spec.additional_output_formats
            .iter()
            .any(|one| one.format == *format)
    };
    [OutputFormat::CombinedPem, OutputFormat::Der]
        .into_iter()
        .filter(asked)
}

/// Whether a Secret with this metadata has the form that `spec` asks for, as far as metadata tells.
#[must_use]
pub fn is_given(metadata: &ObjectMeta, spec: &CertificateShardSpec) -> bool {
    let present = metadata.annotations.as_ref();
    if present.and_then(|annotations| annotations.get(FORM_ANNOTATION)) != mark(spec).as_ref() {
        return false;
    }
    let Some(SecretTemplate { labels, annotations }) = &spec.secret_template else {
        return true;
    };
    is_within(labels, metadata.labels.as_ref()) && is_within(annotations, present)
}

/// Gives `secret`, which holds certificate and key alone, the form that `spec` asks for, with those of its keystores that
/// could be made. What Sancho writes itself counts before the template.
pub fn give(secret: &mut Secret, spec: &CertificateShardSpec, keystores: Vec<(Asked, Vec<u8>)>) {
    let labels = secret.metadata.labels.get_or_insert_default();
    let annotations = secret.metadata.annotations.get_or_insert_default();
    if let Some(template) = &spec.secret_template {
        for (key, value) in &template.labels {
            labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for (key, value) in &template.annotations {
            annotations.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    // Without one of its keystores it is not as it is asked for, and looked at again.
    if let Some(mark) = mark_with(spec, keystores.iter().map(|(asked, _)| asked)) {
        annotations.insert(FORM_ANNOTATION.to_owned(), mark);
    }
    let data = secret.data.get_or_insert_default();
    for (asked, file) in keystores {
        data.insert(asked.field().to_owned(), ByteString(file));
    }
    let (Some(chain), Some(key)) = (data.get(CERT).cloned(), data.get(KEY).cloned()) else {
        return;
    };
    for format in formats(spec) {
        let (field, value) = match format {
            OutputFormat::CombinedPem => (COMBINED_PEM, Some([key.0.as_slice(), &chain.0].join(&b'\n'))),
            OutputFormat::Der => (
                DER,
                PrivateKeyDer::from_pem_slice(&key.0)
                    .ok()
                    .map(|key| key.secret_der().to_vec()),
            ),
        };
        if let Some(value) = value {
            data.insert(field.to_owned(), ByteString(value));
        }
    }
}

/// Is `present` what `wanted` would make of it?
#[must_use]
pub fn is_same(present: &Secret, wanted: &Secret) -> bool {
    let pairs = |wanted: Option<&BTreeMap<String, String>>, present: Option<&BTreeMap<String, String>>| {
        wanted.is_none_or(|wanted| is_within(wanted, present))
    };
    let (is, asked) = (&present.metadata, &wanted.metadata);
    let mark_of = |metadata: &ObjectMeta| metadata.annotations.as_ref()?.get(FORM_ANNOTATION).cloned();
    let data = |secret: &Secret| secret.data.clone().unwrap_or_default();
    let held = data(present);
    mark_of(is) == mark_of(asked)
        && pairs(asked.labels.as_ref(), is.labels.as_ref())
        && pairs(asked.annotations.as_ref(), is.annotations.as_ref())
        && data(wanted)
            .iter()
            .all(|(field, value)| held.get(field) == Some(value))
        && surplus(present, wanted).is_empty()
}

fn is_within(wanted: &BTreeMap<String, String>, present: Option<&BTreeMap<String, String>>) -> bool {
    let is = |(key, value): (&String, &String)| present.and_then(|present| present.get(key)) == Some(value);
    wanted.iter().all(is)
}

/// The keys of derived data in `present` that are not in `wanted`.
#[must_use]
pub fn surplus(present: &Secret, wanted: &Secret) -> Vec<&'static str> {
    let has =
        |secret: &Secret, field: &str| secret.data.as_ref().is_some_and(|data| data.contains_key(field));
    let is_surplus = |field: &&str| has(present, field) && !has(wanted, field);
    DERIVED.into_iter().filter(is_surplus).collect()
}

#[cfg(test)]
mod tests {
    use sancho_crds::{JksKeystore, KeystorePasswordRef, Keystores, Pkcs12Keystore};

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn spec(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> CertificateShardSpec {
        CertificateShardSpec {
            secret_template: Some(SecretTemplate {
                labels: pairs(labels),
                annotations: pairs(annotations),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_template_is_added_and_overwrites_nothing() {
        let mut secret = Secret::default();
        secret.metadata.labels = Some(pairs(&[("sancho.dev/certificate", "shop")]));
        let spec = spec(
            &[("team", "shop"), ("sancho.dev/certificate", "other")],
            &[("note", "a: b")],
        );
        assert!(!is_given(&secret.metadata, &spec));
        give(&mut secret, &spec, Vec::new());
        let labels = secret.metadata.labels.clone().unwrap();
        assert_eq!(
            labels,
            pairs(&[("team", "shop"), ("sancho.dev/certificate", "shop")])
        );
        assert_eq!(secret.metadata.annotations.as_ref().unwrap()["note"], "a: b");
    }

    #[test]
    fn an_edit_and_what_somebody_else_took_away_show_in_the_metadata() {
        let mut secret = Secret::default();
        let wanted = spec(&[("team", "shop")], &[("note", "x")]);
        give(&mut secret, &wanted, Vec::new());
        assert!(is_given(&secret.metadata, &wanted));
        for other in [
            spec(&[("team", "shop")], &[]),
            spec(&[("team", "shop"), ("note", "x")], &[]),
            spec(&[("team", "blog")], &[("note", "x")]),
            CertificateShardSpec::default(),
        ] {
            assert!(!is_given(&secret.metadata, &other), "{other:?}");
        }
        secret.metadata.labels = None;
        assert!(!is_given(&secret.metadata, &wanted));
    }

    #[test]
    fn formats_are_derived_from_what_is_there_and_known_as_surplus_without_being_asked_for() {
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = key.serialize_pem();
        let mut secret = Secret {
            data: Some(BTreeMap::from([
                (CERT.to_owned(), ByteString(b"chain\n".to_vec())),
                (KEY.to_owned(), ByteString(pem.clone().into_bytes())),
            ])),
            ..Secret::default()
        };
        let plain = secret.clone();
        let wanted = CertificateShardSpec {
            additional_output_formats: [OutputFormat::Der, OutputFormat::CombinedPem]
                .map(|format| sancho_crds::AdditionalOutputFormat { format })
                .to_vec(),
            ..Default::default()
        };
        give(&mut secret, &wanted, Vec::new());
        let data = secret.data.as_ref().unwrap();
        assert_eq!(data["tls-combined.pem"].0, format!("{pem}\nchain\n").into_bytes());
        assert_eq!(data["key.der"].0, key.serialize_der());
        assert!(is_given(&secret.metadata, &wanted));
        assert!(!is_given(&secret.metadata, &CertificateShardSpec::default()));
        assert_eq!(surplus(&secret, &plain), ["tls-combined.pem", "key.der"]);
        assert!(surplus(&secret, &secret).is_empty());
    }

    #[test]
    fn a_secret_without_a_keystore_that_is_asked_for_is_not_as_asked_for() {
        let password = |name: &str| KeystorePasswordRef {
            name: name.to_owned(),
            key: None,
        };
        let both = |create, name: &str, alias: Option<&str>| CertificateShardSpec {
            keystores: Some(Keystores {
                pkcs12: Some(Pkcs12Keystore {
                    create,
                    password_secret_ref: password(name),
                    profile: None,
                }),
                jks: Some(JksKeystore {
                    create,
                    password_secret_ref: password("java"),
                    alias: alias.map(str::to_owned),
                }),
            }),
            ..Default::default()
        };
        let wanted = both(true, "store", None);
        let formed = |made: usize| {
            let mut secret = Secret::default();
            let files = Asked::of(&wanted)
                .into_iter()
                .map(|asked| (asked, b"file".to_vec()));
            give(&mut secret, &wanted, files.take(made).collect());
            secret
        };
        let [none, one, all] = [0, 1, 2].map(formed);
        assert!(!is_given(&none.metadata, &wanted));
        assert!(!is_given(&one.metadata, &wanted));
        assert!(is_given(&all.metadata, &wanted));
        assert!(!is_given(&all.metadata, &both(true, "other", None)));
        assert!(!is_given(&all.metadata, &both(true, "store", Some("server"))));
        assert!(is_given(&all.metadata, &both(true, "store", Some("certificate"))));
        assert!(!is_given(&all.metadata, &both(false, "store", None)));
        assert!(is_given(&ObjectMeta::default(), &both(false, "store", None)));
        assert!(is_same(&all, &all));
        assert!(!is_same(&one, &all));
        assert!(!is_same(&all, &none));
        assert_eq!(surplus(&all, &one), ["keystore.jks"]);
        let mut other = all.clone();
        let data = other.data.get_or_insert_default();
        data.insert("keystore.jks".to_owned(), ByteString(b"other".to_vec()));
        assert!(!is_same(&other, &all));
    }

    #[test]
    fn nothing_asked_for_leaves_no_mark() {
        assert_eq!(mark(&CertificateShardSpec::default()), None);
        assert_eq!(mark(&spec(&[], &[])), None);
        assert!(is_given(&ObjectMeta::default(), &spec(&[], &[])));
    }

    #[test]
    fn sanchos_own_keys_are_refused() {
        let refused = |spec: CertificateShardSpec| check(spec.secret_template.as_ref());
        assert_eq!(
            refused(spec(&[("sancho.dev/index", "1")], &[])).unwrap_err(),
            "sancho.dev/index is written by Sancho itself: take it out"
        );
        assert!(refused(spec(&[], &[("budget.sancho.dev/summary", "")])).is_err());
        assert_eq!(refused(spec(&[("notsancho.dev/a", "1")], &[])), Ok(()));
    }
}
