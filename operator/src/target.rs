//! What a certificate is for: the hash that tells whether the one in hand is the one that is asked for.

use sancho_crds::{CertificateShardSpec, IssuerKind};
use sha2::{Digest, Sha256};

use crate::acme::key_kind::KeyKind;

/// A hash of the sorted names, of the profile, the duration and the kind of key that the Certificate asks for, of the
/// issuer and its server. Another hash means another certificate.
///
/// The issuer's own profile is not in it: its edit counts from the next order on, and re-issues nothing.
#[must_use]
pub fn target(shard: &CertificateShardSpec, server: &str) -> String {
    let issuer = &shard.issuer_ref;
    let kind = match issuer.kind() {
        IssuerKind::Issuer => "Issuer",
        IssuerKind::ClusterIssuer => "ClusterIssuer",
    };
    let all = [&shard.dns_names, &shard.ip_addresses, &shard.kept_names];
    let mut names: Vec<&str> = all.into_iter().flatten().map(String::as_str).collect();
    names.sort_unstable();
    let parts = [kind, issuer.name.as_str(), server].into_iter().chain(names);
    // No DNS name has a colon in it and no address a letter after f, so that none of these is taken for one.
    let profile = shard.profile.as_ref().map(|profile| format!("profile:{profile}"));
    let duration = shard
        .duration
        .as_ref()
        .map(|duration| format!("duration:{duration}"));
    // The planner refuses a kind that does not exist.
    let key = KeyKind::of(shard.private_key.as_ref())
        .ok()
        .and_then(KeyKind::in_target);
    let asked = [profile.as_deref(), duration.as_deref(), key];
    digest(parts.chain(asked.into_iter().flatten()))
}

/// The first 32 hexadecimal digits of a SHA-256 over the parts, each with its length.
#[must_use]
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sancho_crds::{IssuerRef, KeyAlgorithm, PrivateKey, RotationPolicy};

    fn shard(names: &[&str], issuer: &str, kind: Option<IssuerKind>) -> CertificateShardSpec {
        CertificateShardSpec {
            certificate: "shop".into(),
            secret_name: "shop-tls".into(),
            issuer_ref: IssuerRef {
                name: issuer.into(),
                kind,
            },
            dns_names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn the_order_of_names_does_not_matter_and_everything_else_does() {
        let both = ["a.example", "b.example"];
        let key = |algorithm, size, rotation_policy| CertificateShardSpec {
            private_key: Some(PrivateKey {
                algorithm,
                size,
                rotation_policy,
            }),
            ..shard(&both, "ca", None)
        };
        let base = target(&shard(&both, "ca", None), "https://ca/");
        let same = [
            shard(&["b.example", "a.example"], "ca", None),
            shard(&both, "ca", Some(IssuerKind::Issuer)),
            CertificateShardSpec {
                renew_before: Some("1h".into()),
                ..shard(&both, "ca", None)
            },
            key(Some(KeyAlgorithm::Ecdsa), Some(256), Some(RotationPolicy::Never)),
        ];
        for spec in same {
            assert_eq!(target(&spec, "https://ca/"), base);
        }
        let profile = |profile: &str| CertificateShardSpec {
            profile: Some(profile.into()),
            ..shard(&both, "ca", None)
        };
        let lasting = CertificateShardSpec {
            duration: Some("24h".into()),
            ..shard(&both, "ca", None)
        };
        let with_address = CertificateShardSpec {
            ip_addresses: vec!["2001:db8::1".into()],
            ..shard(&both, "ca", None)
        };
        let others = [
            target(&with_address, "https://ca/"),
            target(&shard(&["a.example"], "ca", None), "https://ca/"),
            target(&shard(&both, "cb", None), "https://ca/"),
            target(
                &shard(&both, "ca", Some(IssuerKind::ClusterIssuer)),
                "https://ca/",
            ),
            target(&shard(&both, "ca", None), "https://cb/"),
            target(&profile("tlsserver"), "https://ca/"),
            target(&profile("shortlived"), "https://ca/"),
            target(&lasting, "https://ca/"),
            target(&key(Some(KeyAlgorithm::Ecdsa), Some(384), None), "https://ca/"),
            target(&key(Some(KeyAlgorithm::Rsa), None, None), "https://ca/"),
            target(&key(Some(KeyAlgorithm::Rsa), Some(4096), None), "https://ca/"),
        ];
        for (position, other) in others.iter().enumerate() {
            assert_ne!(*other, base);
            assert!(!others[..position].contains(other));
        }
    }
}
