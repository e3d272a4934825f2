//! What a Certificate asks for: names, policy, assignment → the shards that are to be. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};
use sancho_core::names::DnsName;
use sancho_core::plan::{Group, Plan, PlannedShard, Policy, Strategy, plan};
use sancho_core::renewal::parse_go_duration;
use sancho_core::secret_name::{secret_clash, secret_name};
use sancho_crds::{
    Certificate, CertificateShard, CertificateShardSpec, CertificateSpec, Sharding, ShardingStrategy,
};

use crate::target::digest;

/// The cap if nobody knows a lower one: what every public CA takes (Let's Encrypt's `classic` profile).
const MOST_NAMES: u32 = 100;

/// A Certificate that cannot be planned as it is written: only an edit helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// A CamelCase reason.
    pub(super) reason: &'static str,
    /// What is wrong, where, and how to mend it.
    pub(super) message: String,
}

/// The shards that a Certificate asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    /// A hash of the assignment and of all else that stands in the shards.
    pub(super) hash: String,
    /// The shards' specs, with their objects' names.
    pub(super) shards: Vec<(String, CertificateShardSpec)>,
}

/// Plans `certificate`, given today's assignment. `issuer_cap` is the issuer's `maxNames`.
pub(super) fn wanted(
    certificate: &Certificate,
    issuer_cap: Option<u32>,
    today: &[PlannedShard],
) -> Result<Wanted, Refused> {
    let CertificateSpec {
        secret_name: base,
        issuer_ref,
        dns_names,
        renew_before,
        sharding,
    } = &certificate.spec;
    let mut names = BTreeSet::new();
    for text in dns_names {
        let name = DnsName::parse(text).map_err(|error| Refused {
            reason: "InvalidName",
            message: format!("spec.dnsNames: {error}"),
        })?;
        if !names.insert(name) {
            let message = format!("spec.dnsNames: {text} stands there twice: remove one");
            return Err(Refused {
                reason: "InvalidName",
                message,
            });
        }
    }
    if let Some(text) = renew_before {
        parse_go_duration(text).map_err(|error| Refused {
            reason: "InvalidRenewBefore",
            message: format!("spec.renewBefore: {error}"),
        })?;
    }
    let policy = policy(sharding.as_ref(), issuer_cap)?;
    let Plan { shards } = plan(&names, &policy, today);
    let shards: Vec<(String, CertificateShardSpec)> = shards
        .into_iter()
        .map(|PlannedShard { group, index, names }| {
            let name = shard_object_name(&certificate.name_any(), group.as_deref(), index);
            let spec = CertificateShardSpec {
                certificate: certificate.name_any(),
                secret_name: secret_name(base, group.as_deref(), index),
                group,
                index,
                issuer_ref: issuer_ref.clone(),
                dns_names: names.into_iter().map(String::from).collect(),
                renew_before: renew_before.clone(),
            };
            (name, spec)
        })
        .collect();
    Ok(Wanted {
        hash: hash(&shards),
        shards,
    })
}

fn policy(sharding: Option<&Sharding>, issuer_cap: Option<u32>) -> Result<Policy, Refused> {
    let default = Sharding::default();
    let Sharding {
        max_names,
        strategy,
        groups,
    } = sharding.unwrap_or(&default);
    let cap = [*max_names, issuer_cap, Some(MOST_NAMES)]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(MOST_NAMES);
    let refused = |message: String| Refused {
        reason: "InvalidSharding",
        message: format!("spec.sharding: {message}"),
    };
    if let Some(clash) = secret_clash(groups.iter().map(|group| group.name.as_str())) {
        return Err(refused(clash.to_string()));
    }
    let mut parsed = Vec::new();
    for group in groups {
        let names = group
            .dns_names
            .iter()
            .map(|name| DnsName::parse(name))
            .collect::<Result<_, _>>();
        let names = names.map_err(|error| refused(format!("group {}: {error}", group.name)))?;
        parsed.push(Group {
            name: group.name.clone(),
            names,
        });
    }
    let strategy = match strategy {
        None | Some(ShardingStrategy::Fill) => Strategy::Fill,
        Some(ShardingStrategy::RegisteredDomain) => Strategy::RegisteredDomain,
    };
    let cap = usize::try_from(cap).unwrap_or(1);
    Policy::new(cap, strategy, &parsed).map_err(|error| refused(error.to_string()))
}

/// The name of a shard's object. That of a group has a hash in it, since names may have hyphens.
fn shard_object_name(certificate: &str, group: Option<&str>, index: u32) -> String {
    match group {
        None => format!("{certificate}-{index}"),
        Some(group) => {
            let hash: String = digest([group]).chars().take(8).collect();
            format!("{certificate}-g{hash}-{index}")
        }
    }
}

fn hash(shards: &[(String, CertificateShardSpec)]) -> String {
    let parts: Vec<String> = shards
        .iter()
        .map(|(name, spec)| format!("{name} {}", serde_json::to_string(spec).unwrap_or_default()))
        .collect();
    digest(parts.iter().map(String::as_str))
}

/// Today's assignment, as the shards hold it.
pub(super) fn assignment<'a>(shards: impl IntoIterator<Item = &'a CertificateShard>) -> Vec<PlannedShard> {
    let assigned = shards.into_iter().map(|shard| PlannedShard {
        group: shard.spec.group.clone(),
        index: shard.spec.index,
        names: shard
            .spec
            .dns_names
            .iter()
            .filter_map(|name| DnsName::parse(name).ok())
            .collect(),
    });
    assigned.collect()
}

/// Is `shard` one of `certificate`'s?
pub(super) fn is_owned(shard: &CertificateShard, certificate: &Certificate) -> bool {
    shard.namespace() == certificate.namespace()
        && shard
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == certificate.meta().uid.as_ref())
}

/// Another Certificate of the namespace that has, or has the older right to, one of the Secrets.
///
/// One pass over the shards and one over the Certificates, since it is asked at every look.
pub(super) fn clash<'a>(
    certificate: &Certificate,
    wanted: &Wanted,
    others: impl IntoIterator<Item = &'a Certificate>,
    shards: &[&CertificateShard],
) -> Option<Refused> {
    let namespace = certificate.metadata.namespace.as_deref();
    let uid = certificate.metadata.uid.as_deref();
    let mut open: HashSet<&str> = wanted
        .shards
        .iter()
        .map(|(_, spec)| spec.secret_name.as_str())
        .collect();
    let mut holders: Vec<(&str, &str)> = Vec::new();
    for shard in shards
        .iter()
        .filter(|shard| shard.metadata.namespace.as_deref() == namespace)
    {
        let secret = shard.spec.secret_name.as_str();
        for owner in shard.owner_references() {
            if Some(owner.uid.as_str()) == uid {
                open.remove(secret);
            } else if open.contains(secret) {
                holders.push((&owner.uid, secret));
            }
        }
    }
    let held: HashMap<&str, &str> = holders
        .into_iter()
        .filter(|(_, secret)| open.contains(secret))
        .collect();
    let age = |c: &Certificate| (c.creation_timestamp(), c.name_any());
    for other in others {
        let other_uid = other.metadata.uid.as_deref();
        if other_uid == uid || other.metadata.namespace.as_deref() != namespace {
            continue;
        }
        let held = other_uid.and_then(|uid| held.get(uid).copied());
        let claimed = open
            .get(other.spec.secret_name.as_str())
            .filter(|_| age(other) < age(certificate));
        if let Some(secret) = held.or(claimed.copied()) {
            let message = format!(
                "Secret {secret} would be written by Certificate {} and by Certificate {}: choose another \
                 spec.secretName, or a sharding group's name, in one of them",
                certificate.name_any(),
                other.name_any()
            );
            return Some(Refused {
                reason: "SecretNameClash",
                message,
            });
        }
    }
    None
}

/// The assignment as the Secrets hold it, when the shards are gone: those that are marked as this
/// Certificate's, each with the names of the chain in it.
pub(super) fn assignment_in_secrets(secrets: &[Secret], certificate: &str) -> Vec<PlannedShard> {
    use crate::secrets::{CERTIFICATE_ANNOTATION, GROUP_ANNOTATION, INDEX_ANNOTATION};
    let read = secrets.iter().filter_map(|secret| {
        let annotations = secret.annotations();
        if annotations.get(CERTIFICATE_ANNOTATION).map(String::as_str) != Some(certificate) {
            return None;
        }
        let names = crate::chain::names(crate::secrets::chain(secret)?).ok()?;
        Some(PlannedShard {
            group: annotations.get(GROUP_ANNOTATION).cloned(),
            index: annotations.get(INDEX_ANNOTATION)?.parse().ok()?,
            names: names
                .iter()
                .filter_map(|name| DnsName::parse(name).ok())
                .collect(),
        })
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sancho_crds::{IssuerRef, ShardingGroup};

    fn certificate(name: &str, secret: &str, names: &[&str], sharding: Option<Sharding>) -> Certificate {
        let spec = CertificateSpec {
            secret_name: secret.into(),
            issuer_ref: IssuerRef {
                name: "ca".into(),
                kind: None,
            },
            dns_names: names.iter().map(|n| (*n).to_owned()).collect(),
            renew_before: None,
            sharding,
        };
        let mut certificate = Certificate::new(name, spec);
        certificate.metadata.uid = Some(format!("uid-{name}"));
        certificate.metadata.namespace = Some("shop".into());
        certificate
    }

    fn shard_of(certificate: &Certificate, name: &str, spec: &CertificateShardSpec) -> CertificateShard {
        let mut shard = CertificateShard::new(name, spec.clone());
        shard.metadata.namespace = certificate.namespace();
        shard.metadata.owner_references = certificate.controller_owner_ref(&()).map(|owner| vec![owner]);
        shard
    }

    fn max(max_names: u32) -> Option<Sharding> {
        Some(Sharding {
            max_names: Some(max_names),
            ..Sharding::default()
        })
    }

    #[test]
    fn secrets_and_objects_are_named_as_published() {
        let groups = vec![ShardingGroup {
            name: "eu".into(),
            dns_names: vec!["c.example".into()],
        }];
        let sharding = Sharding {
            max_names: Some(1),
            strategy: None,
            groups,
        };
        let certificate = certificate(
            "front",
            "front-tls",
            &["a.example", "b.example", "c.example"],
            Some(sharding),
        );
        let wanted = wanted(&certificate, None, &[]).unwrap();
        let secrets: Vec<&str> = wanted
            .shards
            .iter()
            .map(|(_, spec)| spec.secret_name.as_str())
            .collect();
        assert_eq!(secrets, ["front-tls", "front-tls-1", "front-tls-eu"]);
        let objects: Vec<&str> = wanted.shards.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(objects[..2], ["front-0", "front-1"]);
        assert!(objects[2].starts_with("front-g"));
    }

    #[test]
    fn the_lower_cap_counts() {
        let names = ["a.example", "b.example", "c.example", "d.example"];
        let count = |sharding, issuer| {
            wanted(&certificate("x", "x", &names, sharding), issuer, &[])
                .unwrap()
                .shards
                .len()
        };
        assert_eq!(count(None, None), 1);
        assert_eq!(count(max(2), None), 2);
        assert_eq!(count(max(2), Some(1)), 4);
        assert_eq!(count(None, Some(2)), 2);
    }

    #[test]
    fn planning_on_top_of_the_written_shards_changes_nothing() {
        let certificate = certificate("x", "x", &["a.example", "b.example", "c.other"], max(2));
        let first = wanted(&certificate, None, &[]).unwrap();
        let written: Vec<CertificateShard> = first
            .shards
            .iter()
            .map(|(name, spec)| shard_of(&certificate, name, spec))
            .collect();
        assert_eq!(wanted(&certificate, None, &assignment(&written)).unwrap(), first);
    }

    #[test]
    fn a_bad_name_a_duplicate_and_a_bad_group_are_refused_with_words() {
        let refusal = |names: &[&str], sharding| {
            wanted(&certificate("x", "x", names, sharding), None, &[]).unwrap_err()
        };
        assert!(refusal(&["*.a.example"], None).message.contains("DNS-01"));
        assert!(
            refusal(&["a.example", "a.example"], None)
                .message
                .contains("twice")
        );
        let groups = vec![ShardingGroup {
            name: "1".into(),
            dns_names: vec!["a.example".into()],
        }];
        let sharding = Sharding {
            groups,
            ..Sharding::default()
        };
        assert!(
            refusal(&["a.example"], Some(sharding))
                .message
                .contains("rename the group")
        );
    }

    #[test]
    fn a_secret_of_another_certificate_is_refused_with_both_named() {
        let first = certificate("x", "x", &["a.example", "b.example"], max(1));
        let second = certificate("y", "x-1", &["c.example"], None);
        let planned = wanted(&first, None, &[]).unwrap();
        let shards: Vec<CertificateShard> = planned
            .shards
            .iter()
            .map(|(name, spec)| shard_of(&first, name, spec))
            .collect();
        let shards: Vec<&CertificateShard> = shards.iter().collect();
        let refused = clash(
            &second,
            &wanted(&second, None, &[]).unwrap(),
            [&first, &second],
            &shards,
        )
        .unwrap();
        assert!(refused.message.contains("Certificate y") && refused.message.contains("Certificate x"));
        assert_eq!(clash(&first, &planned, [&first, &second], &shards), None);
    }
}
