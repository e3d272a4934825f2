//! What an object's annotations say of its Certificates. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use sancho_core::renewal::parse_go_duration;
use sancho_core::shown::shown_within;
use sancho_crds::{
    ADOPT_ANNOTATION, CLUSTER_ISSUER_ANNOTATION, DURATION_ANNOTATION, ISSUER_ANNOTATION, IssuerKind,
    IssuerRef, KEY_ALGORITHM_ANNOTATION, KEY_ROTATION_ANNOTATION, KEY_SIZE_ANNOTATION, KeyAlgorithm,
    PROFILE_ANNOTATION, PrivateKey, RENEW_BEFORE_ANNOTATION, RotationPolicy,
};

use super::source::Complaint;
use crate::acme::key_kind::KeyKind;

/// What the annotations of an object say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) issuer: IssuerRef,
    pub(super) duration: Option<String>,
    pub(super) renew_before: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) private_key: Option<PrivateKey>,
    /// Secrets that somebody else made may become the Certificates' own.
    pub(super) adopt: bool,
}

/// Annotations by which cert-manager would write the same Secrets.
const CERT_MANAGERS: [&str; 2] = ["cert-manager.io/cluster-issuer", "cert-manager.io/issuer"];

/// The most characters of a value that are shown.
const SHOWN: usize = 60;

/// Reads the annotations. Nothing if they name no issuer of ours: then the object is not ours to look at.
///
/// # Errors
/// All that is wrong in them.
pub(super) fn options(annotations: &BTreeMap<String, String>) -> Result<Option<Options>, Vec<Complaint>> {
    let text = |key: &str| annotations.get(key).map(String::as_str);
    let (name, kind, key) = match (text(CLUSTER_ISSUER_ANNOTATION), text(ISSUER_ANNOTATION)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(vec![Complaint::new(
                "InvalidIssuer",
                format!(
                    "both annotations {CLUSTER_ISSUER_ANNOTATION} and {ISSUER_ANNOTATION} are there: take one of them out"
                ),
            )]);
        }
        (Some(name), None) => (name, IssuerKind::ClusterIssuer, CLUSTER_ISSUER_ANNOTATION),
        (None, Some(name)) => (name, IssuerKind::Issuer, ISSUER_ANNOTATION),
    };
    let mut wrong = Vec::new();
    if let Some(theirs) = CERT_MANAGERS
        .into_iter()
        .find(|theirs| annotations.contains_key(*theirs))
    {
        wrong.push(Complaint::new(
            "InvalidIssuer",
            format!(
                "annotations {key} and {theirs} are both there, so that cert-manager would write the same Secrets: take \
                 one of them out"
            ),
        ));
    }
    if !is_object_name(name) {
        wrong.push(Complaint::new(
            "InvalidIssuer",
            format!(
                "annotation {key} has \"{}\", which is no issuer's name: write that of {}",
                shown_within(name, SHOWN),
                match kind {
                    IssuerKind::ClusterIssuer => "a ClusterIssuer",
                    IssuerKind::Issuer => "an Issuer in this namespace",
                },
            ),
        ));
    }
    let (duration, lifetime) = go_duration(text(DURATION_ANNOTATION), DURATION_ANNOTATION, &mut wrong);
    let (renew_before, ahead) =
        go_duration(text(RENEW_BEFORE_ANNOTATION), RENEW_BEFORE_ANNOTATION, &mut wrong);
    if let (Some(lifetime), Some(ahead)) = (lifetime, ahead)
        && ahead >= lifetime
    {
        wrong.push(Complaint::new(
            INVALID,
            format!("annotation {RENEW_BEFORE_ANNOTATION} is not shorter than {DURATION_ANNOTATION}: make it shorter"),
        ));
    }
    let profile = text(PROFILE_ANNOTATION);
    if profile.is_some_and(|profile| !is_profile(profile)) {
        wrong.push(invalid(
            PROFILE_ANNOTATION,
            profile.unwrap_or_default(),
            "is no profile's name: write one that the CA's directory has under meta.profiles, or take the annotation out",
        ));
    }
    let private_key = private_key(&text, &mut wrong);
    let adopt = match text(ADOPT_ANNOTATION) {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            wrong.push(invalid(
                ADOPT_ANNOTATION,
                other,
                "is neither true nor false: write \"true\", or take it out",
            ));
            false
        }
    };
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(Some(Options {
        issuer: IssuerRef {
            name: name.to_owned(),
            kind: Some(kind),
        },
        duration,
        renew_before,
        profile: profile.map(str::to_owned),
        private_key,
        adopt,
    }))
}

const INVALID: &str = "InvalidAnnotation";

fn invalid(key: &str, value: &str, words: &str) -> Complaint {
    Complaint::new(
        INVALID,
        format!("annotation {key}: \"{}\" {words}", shown_within(value, SHOWN)),
    )
}

fn go_duration(
    text: Option<&str>,
    key: &str,
    wrong: &mut Vec<Complaint>,
) -> (Option<String>, Option<Duration>) {
    match text.map(parse_go_duration).transpose() {
        Ok(parsed) => (text.map(str::to_owned), parsed),
        Err(error) => {
            wrong.push(Complaint::new(INVALID, format!("annotation {key}: {error}")));
            (None, None)
        }
    }
}

fn private_key<'a>(
    text: &impl Fn(&str) -> Option<&'a str>,
    wrong: &mut Vec<Complaint>,
) -> Option<PrivateKey> {
    let before = wrong.len();
    let mut word = |key: &str, words: &str, known: &[&str]| {
        let value = text(key)?;
        if !known.contains(&value) {
            wrong.push(invalid(key, value, words));
        }
        Some(value)
    };
    let algorithm = word(
        KEY_ALGORITHM_ANNOTATION,
        "is no algorithm: write ECDSA, RSA or Ed25519",
        &["ECDSA", "RSA", "Ed25519"],
    );
    let rotation = word(
        KEY_ROTATION_ANNOTATION,
        "is no policy: write Always or Never",
        &["Always", "Never"],
    );
    let size = text(KEY_SIZE_ANNOTATION);
    let parsed = size.and_then(|size| size.parse::<u32>().ok());
    if let (Some(size), None) = (size, parsed) {
        wrong.push(invalid(
            KEY_SIZE_ANNOTATION,
            size,
            "is no number of bits: write one such as 384 or 4096",
        ));
    }
    let key = PrivateKey {
        algorithm: algorithm.and_then(|algorithm| match algorithm {
            "ECDSA" => Some(KeyAlgorithm::Ecdsa),
            "RSA" => Some(KeyAlgorithm::Rsa),
            "Ed25519" => Some(KeyAlgorithm::Ed25519),
            _ => None,
        }),
        size: parsed,
        rotation_policy: rotation.and_then(|rotation| match rotation {
            "Always" => Some(RotationPolicy::Always),
            "Never" => Some(RotationPolicy::Never),
            _ => None,
        }),
    };
    if wrong.len() == before
        && let Err(error) = KeyKind::of(Some(&key))
    {
        wrong.push(Complaint::new(
            INVALID,
            format!("annotations {KEY_ALGORITHM_ANNOTATION} and {KEY_SIZE_ANNOTATION}: {error}"),
        ));
    }
    (key != PrivateKey::default()).then_some(key)
}

/// Could an object be called that (RFC 1123 subdomain)?
pub(super) fn is_object_name(text: &str) -> bool {
    let is_outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(is_outer)
            && label.ends_with(is_outer)
            && label.chars().all(|c| is_outer(c) || c == '-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_profile(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    (1..=64).contains(&text.len()) && text.chars().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Options>, Vec<Complaint>> {
        let annotations = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        options(&annotations.collect())
    }

    #[test]
    fn what_annotations_say_stands_in_the_certificate() {
        assert_eq!(
            read(&[("example.com/a", "b"), ("sancho.dev/duration", "x")]),
            Ok(None)
        );
        let all = [
            ("sancho.dev/cluster-issuer", "letsencrypt"),
            ("sancho.dev/duration", "2160h"),
            ("sancho.dev/renew-before", "720h"),
            ("sancho.dev/profile", "tlsserver"),
            ("sancho.dev/private-key-algorithm", "RSA"),
            ("sancho.dev/private-key-size", "4096"),
            ("sancho.dev/private-key-rotation-policy", "Never"),
            ("sancho.dev/adopt", "true"),
            ("kubernetes.io/tls-acme", "true"),
        ];
        let options = read(&all).unwrap().unwrap();
        assert_eq!(options.issuer.name, "letsencrypt");
        assert_eq!(options.issuer.kind, Some(IssuerKind::ClusterIssuer));
        assert_eq!(options.duration.as_deref(), Some("2160h"));
        assert_eq!(options.renew_before.as_deref(), Some("720h"));
        assert_eq!(options.profile.as_deref(), Some("tlsserver"));
        let key = PrivateKey {
            algorithm: Some(KeyAlgorithm::Rsa),
            size: Some(4096),
            rotation_policy: Some(RotationPolicy::Never),
        };
        assert_eq!(options.private_key, Some(key));
        assert!(options.adopt);
        let plain = read(&[("sancho.dev/issuer", "own")]).unwrap().unwrap();
        assert_eq!(plain.issuer.kind, Some(IssuerKind::Issuer));
        assert_eq!((plain.private_key, plain.adopt), (None, false));
    }

    #[test]
    fn each_mistake_is_told_with_its_place_and_its_mend() {
        let table: [(&[(&str, &str)], &str); 14] = [
            (
                &[("sancho.dev/issuer", "a"), ("sancho.dev/cluster-issuer", "a")],
                "both annotations sancho.dev/cluster-issuer and sancho.dev/issuer are there: take one of them out",
            ),
            (
                &[("sancho.dev/issuer", "")],
                "sancho.dev/issuer has \"\", which is no issuer's name: write that of an Issuer",
            ),
            (
                &[("sancho.dev/cluster-issuer", "Let's Encrypt")],
                "write that of a ClusterIssuer",
            ),
            (
                &[
                    ("sancho.dev/issuer", "a"),
                    ("cert-manager.io/cluster-issuer", "a"),
                ],
                "cert-manager would write the same Secrets: take one of them out",
            ),
            (
                &[("sancho.dev/issuer", "a"), ("sancho.dev/duration", "90d")],
                "sancho.dev/duration: \"90d\" has the unit \"d\"",
            ),
            (
                &[("sancho.dev/issuer", "a"), ("sancho.dev/renew-before", "")],
                "sancho.dev/renew-before: \"\" is not a duration",
            ),
            (
                &[
                    ("sancho.dev/issuer", "a"),
                    ("sancho.dev/duration", "1h"),
                    ("sancho.dev/renew-before", "60m"),
                ],
                "sancho.dev/renew-before is not shorter than sancho.dev/duration: make it shorter",
            ),
            (
                &[("sancho.dev/issuer", "a"), ("sancho.dev/profile", "tls server")],
                "\"tls server\" is no profile's name",
            ),
            (
                &[
                    ("sancho.dev/issuer", "a"),
                    ("sancho.dev/private-key-algorithm", "rsa"),
                ],
                "\"rsa\" is no algorithm: write ECDSA, RSA or Ed25519",
            ),
            (
                &[("sancho.dev/issuer", "a"), ("sancho.dev/private-key-size", "big")],
                "\"big\" is no number of bits",
            ),
            (
                &[
                    ("sancho.dev/issuer", "a"),
                    ("sancho.dev/private-key-size", "4096"),
                ],
                "size without algorithm: write ECDSA or RSA as algorithm too",
            ),
            (
                &[
                    ("sancho.dev/issuer", "a"),
                    ("sancho.dev/private-key-algorithm", "RSA"),
                    ("sancho.dev/private-key-size", "1024"),
                ],
                "an RSA key's size is 2048, 3072 or 4096",
            ),
            (
                &[
                    ("sancho.dev/issuer", "a"),
                    ("sancho.dev/private-key-rotation-policy", "never"),
                ],
                "\"never\" is no policy: write Always or Never",
            ),
            (
                &[("sancho.dev/issuer", "a"), ("sancho.dev/adopt", "yes")],
                "\"yes\" is neither true nor false",
            ),
        ];
        for (annotations, words) in table {
            let wrong = read(annotations).unwrap_err();
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            assert!(
                wrong[0].message.contains(words),
                "{} lacks {words}",
                wrong[0].message
            );
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let wrong = read(&[
            ("sancho.dev/issuer", "A"),
            ("sancho.dev/duration", "x"),
            ("sancho.dev/private-key-size", "y"),
        ]);
        assert_eq!(wrong.unwrap_err().len(), 3);
    }
}
