//! Which of the CA's profiles an order asks for, and what is said when the CA does not offer it. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sancho_core::order::{Failure, Retry, reason};
use sancho_core::shown::shown_within;
use sancho_crds::CertificateShardSpec;

/// The CA may offer it by then.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(10);
/// The most characters that are shown of a profile's name, and of its description.
const SHOWN: usize = 60;
/// The most profiles that are named.
const MOST_SHOWN: usize = 10;

/// The profile that an order of `shard` asks for: its Certificate's, else the issuer's.
#[must_use]
pub fn profile<'a>(shard: &'a CertificateShardSpec, of_issuer: Option<&'a str>) -> Option<&'a str> {
    shard.profile.as_deref().or(of_issuer)
}

/// The failure of an order that is not made, because the CA's directory lacks its profile.
pub(super) fn not_offered(
    shard: &CertificateShardSpec,
    profile: Option<&str>,
    offered: &BTreeMap<String, String>,
    now: Timestamp,
) -> Failure {
    Failure {
        reason: reason::PROFILE_NOT_OFFERED,
        message: advice(shard, profile, offered),
        names: Vec::new(),
        retry: Retry::At(now.saturating_add(LOOK_AGAIN).unwrap_or(now)),
        quota: None,
        most_names: None,
    }
}

/// What is said when the CA refuses a profile in these words.
pub(super) fn refused(
    shard: &CertificateShardSpec,
    profile: Option<&str>,
    offered: &BTreeMap<String, String>,
    words: &str,
) -> String {
    format!("{}; the CA's words: {words}", advice(shard, profile, offered))
}

fn advice(shard: &CertificateShardSpec, profile: Option<&str>, offered: &BTreeMap<String, String>) -> String {
    let field = match shard.profile {
        Some(_) => "spec.profile of the Certificate",
        None => "spec.acme.profile of the issuer",
    };
    let profile = profile.unwrap_or_default();
    let offers: Vec<String> = offered
        .iter()
        .take(MOST_SHOWN)
        .map(|(name, description)| match description.as_str() {
            "" => shown_within(name, SHOWN),
            text => format!("{} ({})", shown_within(name, SHOWN), shown_within(text, SHOWN)),
        })
        .collect();
    if offers.is_empty() {
        format!("the CA offers no profiles, and so not {profile:?} either: take it out of {field}")
    } else {
        format!(
            "the CA does not take the profile {profile:?}: choose another one in {field}, or leave it out; it \
             offers {}",
            offers.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sancho_crds::IssuerRef;

    fn shard(profile: Option<&str>) -> CertificateShardSpec {
        CertificateShardSpec {
            certificate: "shop".into(),
            secret_name: "shop-tls".into(),
            issuer_ref: IssuerRef {
                name: "ca".into(),
                kind: None,
            },
            dns_names: vec!["a.example".into()],
            profile: profile.map(str::to_owned),
            ..Default::default()
        }
    }

    #[test]
    fn the_certificates_profile_wins() {
        assert_eq!(profile(&shard(None), None), None);
        assert_eq!(profile(&shard(None), Some("classic")), Some("classic"));
        assert_eq!(
            profile(&shard(Some("shortlived")), Some("classic")),
            Some("shortlived")
        );
    }

    #[test]
    fn what_is_offered_is_told_with_the_field_to_edit() {
        let offered = [("classic", "as ever"), ("odd", ""), ("rtl", "\u{202e}x")];
        let offered = offered
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into();
        let failure = not_offered(
            &shard(Some("gone")),
            Some("gone"),
            &offered,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(
            failure.message,
            "the CA does not take the profile \"gone\": choose another one in spec.profile of the Certificate, or \
             leave it out; it offers classic (as ever), odd, rtl (\\u{202e}x)"
        );
        assert_eq!(failure.retry, Retry::At(Timestamp::from_second(600).unwrap()));
        let words = refused(&shard(None), Some("gone"), &BTreeMap::new(), "no");
        assert_eq!(
            words,
            "the CA offers no profiles, and so not \"gone\" either: take it out of spec.acme.profile of the \
             issuer; the CA's words: no"
        );
    }
}
