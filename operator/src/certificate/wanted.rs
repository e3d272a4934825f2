//! What a Certificate asks for: names, policy, assignment → the shards that are to be. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};
use sancho_core::names::{Name, NameError};
use sancho_core::plan::{Group, Plan, PlannedShard, Policy, Strategy, plan};
use sancho_core::renewal::parse_go_duration;
use sancho_core::secret_name::{secret_clash, secret_name};
use sancho_crds::{
    Certificate, CertificateShard, CertificateShardSpec, CertificateSpec, PAUSED_ANNOTATION,
    RENEW_ANNOTATION, RETRY_ANNOTATION, REVOKE_ANNOTATION, RevocationReason, Sharding, ShardingStrategy,
};

use super::cap::IssuerCap;
use crate::acme::key_kind::KeyKind;
use crate::secrets::form;
use crate::target::digest;

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

/// Plans `certificate`, given its issuer's cap and today's assignment.
pub(super) fn wanted(
    certificate: &Certificate,
    cap: IssuerCap,
    today: &[PlannedShard],
) -> Result<Wanted, Refused> {
    let CertificateSpec {
        secret_name: base,
        issuer_ref,
        dns_names,
        ip_addresses,
        duration,
        renew_before,
        renew_before_percentage,
        profile,
        private_key,
        secret_template,
        additional_output_formats,
        keystores,
        policy: name_policy,
        sharding,
    } = &certificate.spec;
    let mut names = BTreeSet::new();
    for text in dns_names {
        take_name(&mut names, "dnsNames", text, Name::dns)?;
    }
    for text in ip_addresses {
        take_name(&mut names, "ipAddresses", text, Name::ip)?;
    }
    if names.is_empty() {
        return Err(Refused {
            reason: "InvalidName",
            message: "spec.dnsNames and spec.ipAddresses are empty: list at least one name".to_owned(),
        });
    }
    let parsed =
        |text: &Option<String>, reason, field| match text.as_deref().map(parse_go_duration).transpose() {
            Ok(duration) => Ok(duration),
            Err(error) => Err(Refused {
                reason,
                message: format!("spec.{field}: {error}"),
            }),
        };
    let lifetime = parsed(duration, "InvalidDuration", "duration")?;
    let ahead = parsed(renew_before, "InvalidRenewBefore", "renewBefore")?;
    if let (Some(lifetime), Some(ahead)) = (lifetime, ahead)
        && ahead >= lifetime
    {
        return Err(Refused {
            reason: "InvalidRenewBefore",
            message: "spec.renewBefore: it is not shorter than spec.duration: make it shorter".to_owned(),
        });
    }
    check_percentage(*renew_before_percentage, renew_before.is_some())?;
    let annotation = |key| certificate.annotations().get(key).map(String::as_str);
    let retry = annotation(RETRY_ANNOTATION).map(|value| digest([value]));
    let renew = annotation(RENEW_ANNOTATION).map(|value| digest([value]));
    // A reason that is none is told by the summary, and is no reason not to plan.
    let revoke = annotation(REVOKE_ANNOTATION).and_then(|value| RevocationReason::parse(value).ok());
    let paused = (annotation(PAUSED_ANNOTATION) == Some("true")).then_some(true);
    KeyKind::of(private_key.as_ref()).map_err(|error| Refused {
        reason: "InvalidPrivateKey",
        message: format!("spec.privateKey: {error}"),
    })?;
    form::check(secret_template.as_ref()).map_err(|message| Refused {
        reason: "InvalidSecretTemplate",
        message: format!("spec.secretTemplate: {message}"),
    })?;
    let policy = policy(sharding.as_ref(), cap)?;
    let Plan { shards } = plan(&names, &policy, today);
    let shards: Vec<(String, CertificateShardSpec)> = shards
        .into_iter()
        .map(|PlannedShard { group, index, names }| {
            let name = shard_object_name(&certificate.name_any(), group.as_deref(), index);
            let (addresses, names): (Vec<Name>, Vec<Name>) =
                names.into_iter().partition(|name| name.address().is_some());
            let spec = CertificateShardSpec {
                certificate: certificate.name_any(),
                secret_name: secret_name(base, group.as_deref(), index),
                group,
                index,
                renew: renew.clone(),
                paused,
                revoke,
                issuer_ref: issuer_ref.clone(),
                dns_names: names.into_iter().map(String::from).collect(),
                ip_addresses: addresses.into_iter().map(String::from).collect(),
                duration: duration.clone(),
                renew_before: renew_before.clone(),
                renew_before_percentage: *renew_before_percentage,
                profile: profile.clone(),
                retry: retry.clone(),
                private_key: private_key.clone(),
                secret_template: secret_template.clone(),
                additional_output_formats: additional_output_formats.clone(),
                keystores: keystores.clone(),
                policy: *name_policy,
            };
            (name, spec)
        })
        .collect();
    Ok(Wanted {
        hash: hash(&shards),
        shards,
    })
}

/// Adds one name to `names`, as `parse` reads it.
fn take_name(
    names: &mut BTreeSet<Name>,
    field: &str,
    text: &str,
    parse: impl Fn(&str) -> Result<Name, NameError>,
) -> Result<(), Refused> {
    let refused = |message: String| Refused {
        reason: "InvalidName",
        message: format!("spec.{field}: {message}"),
    };
    let name = parse(text).map_err(|error| refused(error.to_string()))?;
    if names.insert(name) {
        Ok(())
    } else {
        Err(refused(format!("{text} stands there twice: remove one")))
    }
}

fn check_percentage(percentage: Option<u32>, has_renew_before: bool) -> Result<(), Refused> {
    let wrong = match percentage {
        None => return Ok(()),
        Some(_) if has_renew_before => "say the same as spec.renewBefore in another way: remove one of them",
        Some(1..=99) => return Ok(()),
        Some(_) => "must be from 1 to 99 percent of the lifetime",
    };
    Err(Refused {
        reason: "InvalidRenewBefore",
        message: format!("spec.renewBeforePercentage: {wrong}"),
    })
}

fn policy(sharding: Option<&Sharding>, cap: IssuerCap) -> Result<Policy, Refused> {
    let default = Sharding::default();
    let Sharding {
        max_names,
        strategy,
        groups,
    } = sharding.unwrap_or(&default);
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
            .map(|name| Name::dns(name))
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
    let cap = usize::try_from(cap.with(*max_names)).unwrap_or(1);
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
            .names()
            .iter()
            .filter_map(|name| Name::parse(name).ok())
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
pub fn assignment_in_secrets(secrets: &[Secret], certificate: &str) -> Vec<PlannedShard> {
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
            names: names.iter().filter_map(|name| Name::parse(name).ok()).collect(),
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
            sharding,
            ..Default::default()
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
    fn addresses_stand_beside_names_in_a_field_of_their_own() {
        let mut certificate = certificate("front", "front-tls", &["a.example"], max(2));
        let addresses = |addresses: &[&str]| addresses.iter().map(|&a| a.to_owned()).collect::<Vec<_>>();
        certificate.spec.ip_addresses = addresses(&["2001:db8::1", "192.0.2.1"]);
        let first = wanted(&certificate, IssuerCap::default(), &[]).unwrap();
        let specs: Vec<&CertificateShardSpec> = first.shards.iter().map(|(_, spec)| spec).collect();
        assert_eq!(
            specs.iter().map(|spec| spec.name_count()).collect::<Vec<_>>(),
            [2, 1]
        );
        let mut all: Vec<String> = specs.iter().flat_map(|spec| spec.ip_addresses.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, ["192.0.2.1", "2001:db8::1"]);
        // They stay where they are.
        let shards: Vec<CertificateShard> = first
            .shards
            .iter()
            .map(|(name, spec)| shard_of(&certificate, name, spec))
            .collect();
        let again = wanted(&certificate, IssuerCap::default(), &assignment(&shards)).unwrap();
        assert_eq!(again, first);

        for (wrong, words) in [
            (
                addresses(&["2001:DB8::1"]),
                "spec.ipAddresses: \"2001:DB8::1\" is not how",
            ),
            (
                addresses(&["::1", "::1"]),
                "spec.ipAddresses: ::1 stands there twice",
            ),
        ] {
            certificate.spec.ip_addresses = wrong;
            let refused = wanted(&certificate, IssuerCap::default(), &[]).unwrap_err();
            assert!(refused.message.contains(words), "{}", refused.message);
        }
        certificate.spec.ip_addresses = Vec::new();
        certificate.spec.dns_names = Vec::new();
        let refused = wanted(&certificate, IssuerCap::default(), &[]).unwrap_err();
        assert!(refused.message.contains("list at least one name"));
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
        let wanted = wanted(&certificate, IssuerCap::default(), &[]).unwrap();
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
        let count = |sharding, given| {
            let cap = IssuerCap {
                given,
                ..IssuerCap::default()
            };
            wanted(&certificate("x", "x", &names, sharding), cap, &[])
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
        let first = wanted(&certificate, IssuerCap::default(), &[]).unwrap();
        let written: Vec<CertificateShard> = first
            .shards
            .iter()
            .map(|(name, spec)| shard_of(&certificate, name, spec))
            .collect();
        assert_eq!(
            wanted(&certificate, IssuerCap::default(), &assignment(&written)).unwrap(),
            first
        );
    }

    #[test]
    fn a_bad_name_a_duplicate_and_a_bad_group_are_refused_with_words() {
        let refusal = |names: &[&str], sharding| {
            wanted(&certificate("x", "x", names, sharding), IssuerCap::default(), &[]).unwrap_err()
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
    fn a_percentage_stands_in_every_shard_and_is_refused_when_it_is_of_no_use() {
        let mut certificate = certificate("x", "x", &["a.example", "b.example"], max(1));
        certificate.spec.renew_before_percentage = Some(33);
        let planned = wanted(&certificate, IssuerCap::default(), &[]).unwrap();
        assert!(
            planned
                .shards
                .iter()
                .all(|(_, spec)| spec.renew_before_percentage == Some(33))
        );
        certificate.spec.renew_before = Some("1h".into());
        let message = wanted(&certificate, IssuerCap::default(), &[])
            .unwrap_err()
            .message;
        assert!(message.contains("remove one of them"), "{message}");
        certificate.spec.renew_before = None;
        certificate.spec.renew_before_percentage = Some(100);
        assert!(wanted(&certificate, IssuerCap::default(), &[]).is_err());
    }

    #[test]
    fn a_duration_stands_in_every_shard_and_must_be_longer_than_renew_before() {
        let mut certificate = certificate("x", "x", &["a.example", "b.example"], max(1));
        certificate.spec.duration = Some("2160h".into());
        certificate.spec.renew_before = Some("720h".into());
        let planned = wanted(&certificate, IssuerCap::default(), &[]).unwrap();
        assert!(
            planned
                .shards
                .iter()
                .all(|(_, spec)| spec.duration.as_deref() == Some("2160h"))
        );
        certificate.spec.renew_before = Some("2160h".into());
        let refused = wanted(&certificate, IssuerCap::default(), &[]).unwrap_err();
        assert_eq!(refused.reason, "InvalidRenewBefore");
        certificate.spec.duration = Some("90d".into());
        assert_eq!(
            wanted(&certificate, IssuerCap::default(), &[])
                .unwrap_err()
                .reason,
            "InvalidDuration"
        );
    }

    #[test]
    fn a_renewal_by_hand_and_a_pause_stand_in_every_shard() {
        let mut certificate = certificate("x", "x", &["a.example", "b.example"], max(1));
        let mut planned = |key: &str, value: &str| {
            certificate.metadata.annotations = Some([(key.to_owned(), value.to_owned())].into());
            wanted(&certificate, IssuerCap::default(), &[]).unwrap()
        };
        let (first, second) = (planned(RENEW_ANNOTATION, "1"), planned(RENEW_ANNOTATION, "2"));
        assert_ne!(first.hash, second.hash);
        assert!(first.shards.iter().all(|(_, spec)| spec.renew.is_some()));
        assert_ne!(first.shards[1].1.renew, second.shards[1].1.renew);
        let paused = planned(PAUSED_ANNOTATION, "true");
        assert!(paused.shards.iter().all(|(_, spec)| spec.paused == Some(true)));
        assert_eq!(planned(PAUSED_ANNOTATION, "false").shards[0].1.paused, None);
    }

    #[test]
    fn a_secret_of_another_certificate_is_refused_with_both_named() {
        let first = certificate("x", "x", &["a.example", "b.example"], max(1));
        let second = certificate("y", "x-1", &["c.example"], None);
        let planned = wanted(&first, IssuerCap::default(), &[]).unwrap();
        let shards: Vec<CertificateShard> = planned
            .shards
            .iter()
            .map(|(name, spec)| shard_of(&first, name, spec))
            .collect();
        let shards: Vec<&CertificateShard> = shards.iter().collect();
        let refused = clash(
            &second,
            &wanted(&second, IssuerCap::default(), &[]).unwrap(),
            [&first, &second],
            &shards,
        )
        .unwrap();
        assert!(refused.message.contains("Certificate y") && refused.message.contains("Certificate x"));
        assert_eq!(clash(&first, &planned, [&first, &second], &shards), None);
    }
}
