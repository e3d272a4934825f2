//! What a Certificate asks for: names, policy, assignment → the shards that are to be. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};
use sancho_core::names::{Name, NameError};
use sancho_core::plan::{Group, Plan, PlannedShard, Policy, Strategy, plan};
use sancho_core::renewal::parse_go_duration;
use sancho_core::secret_name::{secret_clash, secret_name};
use sancho_crds::{
    ADOPT_ANNOTATION, Allowed, Certificate, CertificateShard, CertificateShardSpec, CertificateSpec,
    PAUSED_ANNOTATION, RENEW_ANNOTATION, RETRY_ANNOTATION, REVOKE_ANNOTATION, RevocationReason, Sharding,
    ShardingStrategy,
};

use super::cap::IssuerCap;
use crate::acme::key_kind::KeyKind;
use crate::issuer::IssuerKey;
use crate::issuer::allowed::outside;
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
        secret_deletion_policy,
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
    let is_true = |key| (annotation(key) == Some("true")).then_some(true);
    let (paused, adopt) = (is_true(PAUSED_ANNOTATION), is_true(ADOPT_ANNOTATION));
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
                adopt,
                revoke,
                issuer_ref: issuer_ref.clone(),
                dns_names: names.into_iter().map(String::from).collect(),
                ip_addresses: addresses.into_iter().map(String::from).collect(),
                // What it keeps follows from what today's shards serve.
                kept_names: Vec::new(),
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
                secret_deletion_policy: *secret_deletion_policy,
            };
            (name, spec)
        })
        .collect();
    Ok(Wanted {
        hash: hash(&shards),
        shards,
    })
}

/// Why `certificate` may not use its issuer, which allows `allowed`, and how to mend that. Nothing if it may.
pub(super) fn not_allowed(certificate: &Certificate, allowed: Option<&Allowed>) -> Option<String> {
    let namespace = certificate.namespace().unwrap_or_default();
    let spec = &certificate.spec;
    let issuer = IssuerKey::of(&spec.issuer_ref, &namespace).to_string();
    let names = spec.dns_names.iter().chain(&spec.ip_addresses);
    outside(allowed, &issuer, &namespace, names.map(String::as_str))
}

/// Adds one name to `names`, as `parse` reads it. One that stands there twice counts once.
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
    names.insert(parse(text).map_err(|error| refused(error.to_string()))?);
    Ok(())
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
    // Those without names of their own are left for what they keep alone.
    let shards = shards.into_iter().filter(|shard| shard.spec.name_count() > 0);
    let assigned = shards.map(|shard| PlannedShard {
        group: shard.spec.group.clone(),
        index: shard.spec.index,
        names: shard
            .spec
            .own_names()
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
mod tests;
