//! At most how many names a certificate of an issuer has. Pure.

use sancho_crds::{Acme, Certificate, CertificateShard, IssuerStatus, ShardFailure};

use crate::issuer::name_caps;
use crate::shard::quarantine::order_target;

/// What every public CA takes, if nobody knows better.
const MOST_NAMES: u32 = 100;

/// The origins of Let's Encrypt, production and staging.
const LETS_ENCRYPT: [&str; 2] = [
    "https://acme-v02.api.letsencrypt.org/",
    "https://acme-staging-v02.api.letsencrypt.org/",
];

/// How many names a certificate of each profile of Let's Encrypt takes, from
/// <https://letsencrypt.org/docs/profiles/> as of 2026-09.
const LETS_ENCRYPT_PROFILES: [(&str, u32); 3] = [("classic", 100), ("shortlived", 25), ("tlsserver", 25)];

/// At most how many names the issuer at `server` takes in a certificate of `profile`, which has this `maxNames` and turned out
/// to take so many.
pub(crate) fn most_names(
    server: &str,
    profile: Option<&str>,
    given: Option<u32>,
    learned: Option<u32>,
) -> u32 {
    let cap = IssuerCap {
        given,
        published: published(server, profile),
        learned,
    };
    cap.with(None)
}

/// What is known of an issuer's cap for one profile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct IssuerCap {
    /// Its `maxNames`.
    pub(super) given: Option<u32>,
    /// What the CA publishes.
    pub(super) published: Option<u32>,
    /// What it turned out to take.
    pub(super) learned: Option<u32>,
}

impl IssuerCap {
    /// That of an issuer whose orders ask for `profile`.
    pub(super) fn of(acme: &Acme, status: Option<&IssuerStatus>, profile: Option<&str>) -> Self {
        Self {
            given: acme.max_names,
            published: published(&acme.server, profile),
            learned: name_caps::of_profile(name_caps::in_force(acme, status), profile),
        }
    }

    /// What a Certificate's own status tells of its issuer's cap, where the issuer cannot be read.
    pub(super) fn told_by(certificate: Option<&Certificate>) -> Self {
        let learned = certificate.and_then(|certificate| {
            let sharding = certificate.spec.sharding.as_ref();
            let own = sharding.and_then(|sharding| sharding.max_names);
            let in_force = certificate.status.as_ref()?.max_names?;
            own.is_none_or(|own| in_force < own).then_some(in_force)
        });
        Self {
            learned,
            ..Self::default()
        }
    }

    /// The cap of a Certificate with this `maxNames`: the lower one of those that are given, else what the CA
    /// publishes, and never more than it turned out to take.
    pub(super) fn with(self, max_names: Option<u32>) -> u32 {
        let given = [max_names, self.given].into_iter().flatten().min();
        let wanted = given.or(self.published).unwrap_or(MOST_NAMES);
        wanted.min(self.learned.unwrap_or(MOST_NAMES)).min(MOST_NAMES)
    }
}

/// The lowest cap that one of `shards`, as they are now, was told by the CA at `server`: the failure that has it.
pub(super) fn told<'a>(shards: &[&'a CertificateShard], server: &str) -> Option<(u32, &'a ShardFailure)> {
    let told = shards.iter().filter_map(|shard| {
        let failure = shard.status.as_ref()?.failure.as_ref()?;
        let is_its = failure.target == order_target(shard, server);
        failure.most_names.filter(|_| is_its).map(|most| (most, failure))
    });
    told.min_by_key(|(most, _)| *most)
}

fn published(server: &str, profile: Option<&str>) -> Option<u32> {
    let profile = profile?;
    LETS_ENCRYPT.iter().find(|origin| server.starts_with(**origin))?;
    let known = LETS_ENCRYPT_PROFILES.iter().find(|(name, _)| *name == profile);
    known.map(|(_, cap)| *cap)
}

#[cfg(test)]
mod tests {
    use sancho_crds::{CertificateSpec, CertificateStatus, Sharding};

    use super::*;

    #[test]
    fn what_is_given_counts_before_what_is_published() {
        let cap = |given, published| IssuerCap {
            given,
            published,
            learned: None,
        };
        assert_eq!(cap(None, None).with(None), 100);
        assert_eq!(cap(None, Some(25)).with(None), 25);
        assert_eq!(cap(Some(40), Some(25)).with(None), 40);
        assert_eq!(cap(Some(40), Some(25)).with(Some(30)), 30);
        assert_eq!(cap(Some(40), None).with(Some(50)), 40);
        assert_eq!(cap(None, None).with(Some(1000)), 100);
        let learned = IssuerCap {
            learned: Some(20),
            ..cap(Some(40), Some(25))
        };
        assert_eq!(learned.with(Some(30)), 20);
        assert_eq!(learned.with(Some(10)), 10);
    }

    #[test]
    fn a_certificates_status_tells_its_issuers_cap_unless_its_own_is_as_low() {
        let told = |own, in_force| {
            let mut certificate = Certificate::new("shop", CertificateSpec::default());
            certificate.spec.sharding = Some(Sharding {
                max_names: own,
                ..Default::default()
            });
            certificate.status = Some(CertificateStatus {
                max_names: in_force,
                ..Default::default()
            });
            IssuerCap::told_by(Some(&certificate)).with(Some(90))
        };
        assert_eq!(told(None, Some(25)), 25);
        assert_eq!(told(Some(40), Some(25)), 25);
        assert_eq!(told(Some(20), Some(20)), 90);
        assert_eq!(told(Some(20), None), 90);
        assert_eq!(IssuerCap::told_by(None).with(None), 100);
    }

    #[test]
    fn the_profiles_of_lets_encrypt_are_known_and_those_of_others_are_not() {
        let server = "https://acme-v02.api.letsencrypt.org/directory";
        assert_eq!(published(server, Some("tlsserver")), Some(25));
        assert_eq!(published(server, Some("classic")), Some(100));
        assert_eq!(published(server, Some("new")), None);
        assert_eq!(published(server, None), None);
        assert_eq!(published("https://ca.example/directory", Some("tlsserver")), None);
        let lookalike = "https://acme-v02.api.letsencrypt.org.evil.example/directory";
        assert_eq!(published(lookalike, Some("tlsserver")), None);
    }
}
