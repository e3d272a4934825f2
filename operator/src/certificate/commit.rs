//! A plan is committed by one compare-and-swap, and its winner writes the shards.
//!
//! read live → plan → commit (`settled: false`) → write shards → `settled: true`
//!
//! # Guarantees
//! - No shard starts an order before its plan is settled, so a plan that is being written harms
//!   nobody.
//! - A planner that ends in the middle is replaced: whoever comes next plans from what is there.
//!
//! # Caveats
//! A planner that is stopped for longer than [`PATIENCE`] in the middle and then goes on may still
//! create shards of the plan that it lost. A name can then stand in two shards until the next look,
//! which that write itself brings about, mends it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, CertificateShardSpec, CertificateShardStatus, PlanStatus};

use super::cap::IssuerCap;
use super::hand_over::{self, Today, has_secret};
use super::rebuild;
use super::wanted::{Refused, Wanted, assignment, is_owned, wanted};
use crate::clock;
use crate::context::{Context, full_name};
use crate::found_by;
use crate::secrets::ties;
use crate::shard::renewal::replanned;

/// How long another planner is left to write its shards.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How a commit went.
#[derive(Debug)]
pub(super) enum Committed {
    /// The shards are as the plan says; this is the Certificate since.
    Settled(Box<Certificate>),
    /// Another planner is at it.
    Busy(PlanStatus),
    /// The Certificate cannot be planned.
    Refused(Refused),
    /// It is gone, or somebody else wrote it in between: look again.
    Again,
}

/// Plans from live reads and makes it so. `server`: the issuer's directory URL, as far as it is known.
/// `patient`: another planner's unsettled plan is left alone.
///
/// # Errors
/// What the API server answered; everything can be repeated.
pub(super) async fn commit(
    context: &Context,
    seen: &Certificate,
    cap: IssuerCap,
    server: Option<&str>,
    patient: bool,
) -> Result<Committed, kube::Error> {
    let namespace = seen.namespace().unwrap_or_default();
    let api = context.certificates(&namespace);
    let Some(certificate) = api.get_opt(&seen.name_any()).await? else {
        return Ok(Committed::Again);
    };
    if certificate.metadata.deletion_timestamp.is_some() || certificate.uid() != seen.uid() {
        return Ok(Committed::Again);
    }
    let old_plan = certificate.status.as_ref().and_then(|status| status.plan.clone());
    let uid = certificate.uid().unwrap_or_default();
    // Shards are written after a plan was committed: where there is none, the watch knows. Should there be one all
    // the same, creating it once more is refused, and the next look sees it.
    let seen = &context.seen.shards;
    let has_none = old_plan.is_none() && seen.is_ready() && seen.find(&found_by::owned_by(&uid)).is_empty();
    let present = if has_none {
        HashMap::new()
    } else {
        owned_shards(context, &certificate).await?
    };
    let today = if present.is_empty() && old_plan.is_none() {
        rebuild::from_secrets(context, &certificate).await?
    } else {
        assignment(present.values())
    };
    let planned = match wanted(&certificate, cap, &today) {
        Ok(planned) => planned,
        Err(refused) => return Ok(Committed::Refused(refused)),
    };
    let planned = with_kept(context, planned, &present, cap, server).await?;
    let generation = certificate.metadata.generation.unwrap_or_default();
    if let Some(plan) = &old_plan
        && !plan.settled
        && !context.is_own(&plan.planner)
        && plan.generation == generation
        && patient
    {
        return Ok(Committed::Busy(plan.clone()));
    }
    let is_written = differences(&planned, &present, server).is_none();
    let plan = PlanStatus {
        generation,
        hash: planned.hash.clone(),
        planner: context.replica.clone(),
        settled: is_written,
    };
    let is_same = old_plan
        .as_ref()
        .is_some_and(|old| (old.generation, &old.hash, old.settled) == (plan.generation, &plan.hash, true));
    if is_written && is_same {
        return Ok(Committed::Settled(Box::new(certificate)));
    }
    let Some(certificate) = swap(context, &certificate, plan.clone()).await? else {
        return Ok(Committed::Again);
    };
    if is_written {
        return Ok(Committed::Settled(Box::new(certificate)));
    }
    if !write(context, &certificate, &planned, &present, server).await? {
        return Ok(Committed::Again);
    }
    let settled = PlanStatus {
        settled: true,
        ..plan
    };
    let Some(certificate) = swap(context, &certificate, settled).await? else {
        return Ok(Committed::Again);
    };
    let changed = differences(&planned, &present, server).map_or(0, |differences| differences.write.len());
    tell(context, &certificate, &planned, changed).await;
    Ok(Committed::Settled(Box::new(certificate)))
}

/// The compare-and-swap. Nothing comes back if somebody else wrote in between.
async fn swap(
    context: &Context,
    certificate: &Certificate,
    plan: PlanStatus,
) -> Result<Option<Certificate>, kube::Error> {
    let mut wanted = certificate.clone();
    let mut status = wanted.status.take().unwrap_or_default();
    status.plan = Some(plan);
    wanted.status = Some(status);
    let api = context.certificates(&certificate.namespace().unwrap_or_default());
    match api
        .replace_status(&certificate.name_any(), &PostParams::default(), &wanted)
        .await
    {
        Ok(certificate) => Ok(Some(certificate)),
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// The Certificate's shards, by name, by a quorum read.
async fn owned_shards(
    context: &Context,
    certificate: &Certificate,
) -> Result<HashMap<String, CertificateShard>, kube::Error> {
    let api = context.shards(&certificate.namespace().unwrap_or_default());
    let label = crate::secrets::label_value(&certificate.name_any());
    let params = ListParams::default().labels(&format!("{}={label}", crate::secrets::CERTIFICATE_LABEL));
    let shards = api.list(&params).await?.items.into_iter();
    Ok(shards
        .filter(|shard| is_owned(shard, certificate))
        .map(|shard| (shard.name_any(), shard))
        .collect())
}

/// `planned`, with what shards have to keep, from live reads of the Secrets that matter.
async fn with_kept(
    context: &Context,
    planned: Wanted,
    present: &HashMap<String, CertificateShard>,
    cap: IssuerCap,
    server: Option<&str>,
) -> Result<Wanted, kube::Error> {
    let now = clock::now();
    let mut certified = HashMap::new();
    for shard in hand_over::losing(&planned, present.values(), now) {
        let secrets = context.secrets(&shard.namespace().unwrap_or_default());
        let secret = secrets.get_opt(&shard.spec.secret_name).await?;
        let chain = secret.as_ref().and_then(crate::secrets::chain);
        // What holds no certificate serves nothing.
        let names = chain.and_then(|chain| crate::chain::names(chain).ok());
        let names: BTreeSet<String> = names.unwrap_or_default().into_iter().collect();
        certified.insert(shard.name_any(), names);
    }
    let today = Today {
        shards: present.values().collect(),
        certified,
        has_secret: &|shard| has_secret(context, shard),
        server,
        most_names: cap.with(None),
        now,
    };
    Ok(hand_over::with_kept(planned, &today))
}

/// What is to be written and what is to be deleted; nothing if all is as planned.
struct Differences<'a> {
    write: Vec<&'a (String, CertificateShardSpec)>,
    delete: Vec<&'a CertificateShard>,
}

fn differences<'a>(
    planned: &'a Wanted,
    present: &'a HashMap<String, CertificateShard>,
    server: Option<&str>,
) -> Option<Differences<'a>> {
    // A spec that was written without the planned moment that follows from it is written once more.
    let is_written = |shard: &CertificateShard, spec: &CertificateShardSpec| {
        shard.spec == *spec && restated(shard, server).is_none()
    };
    let names: HashSet<&str> = planned.shards.iter().map(|(name, _)| name.as_str()).collect();
    let write: Vec<_> = planned
        .shards
        .iter()
        .filter(|(name, spec)| present.get(name).is_none_or(|shard| !is_written(shard, spec)))
        .collect();
    let delete: Vec<_> = present
        .iter()
        .filter(|(name, _)| !names.contains(name.as_str()))
        .map(|(_, shard)| shard)
        .collect();
    (!write.is_empty() || !delete.is_empty()).then_some(Differences { write, delete })
}

/// Are the shards in the watch's store as planned? A hint that saves live reads.
pub(super) fn is_as_planned(planned: &Wanted, seen: &[&CertificateShard]) -> bool {
    let seen: HashMap<&str, &CertificateShard> = seen
        .iter()
        .filter_map(|shard| Some((shard.metadata.name.as_deref()?, *shard)))
        .collect();
    let is_there =
        |name: &str, spec: &CertificateShardSpec| seen.get(name).is_some_and(|shard| shard.spec == *spec);
    seen.len() == planned.shards.len() && planned.shards.iter().all(|(name, spec)| is_there(name, spec))
}

/// Writes the shards. Says whether all of it went through; if not, somebody else is at it too.
async fn write(
    context: &Context,
    certificate: &Certificate,
    planned: &Wanted,
    present: &HashMap<String, CertificateShard>,
    server: Option<&str>,
) -> Result<bool, kube::Error> {
    let api = context.shards(&certificate.namespace().unwrap_or_default());
    let Some(Differences { write, delete }) = differences(planned, present, server) else {
        return Ok(true);
    };
    let secrets = context.secrets(&certificate.namespace().unwrap_or_default());
    // A name leaves its old shard before it enters the new one.
    for shard in delete {
        // Its own spec has the policy of before, and is not written any more.
        let mut retired = shard.clone();
        retired.spec.secret_deletion_policy = certificate.spec.secret_deletion_policy;
        if !ties::tie(&secrets, &retired, &retired.spec.secret_name).await? {
            return Ok(false);
        }
        // As it was read: who was stopped meanwhile retires nothing that is needed again.
        let preconditions = Preconditions {
            uid: shard.uid(),
            resource_version: shard.resource_version(),
        };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match api.delete(&shard.name_any(), &params).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(kube::Error::Api(status)) if status.code == 409 => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    let (change, create): (Vec<_>, Vec<_>) = write
        .into_iter()
        .partition(|(name, _)| present.contains_key(name));
    for (name, spec) in change.into_iter().chain(create) {
        let written = match present.get(name) {
            Some(shard) => change_shard(&api, shard, spec, server).await,
            None => {
                api.create(&PostParams::default(), &new_shard(certificate, name, spec))
                    .await
            }
        };
        match written {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Writes a shard's spec, and its planned renewal if that follows from it.
async fn change_shard(
    api: &Api<CertificateShard>,
    shard: &CertificateShard,
    spec: &CertificateShardSpec,
    server: Option<&str>,
) -> Result<CertificateShard, kube::Error> {
    let name = shard.name_any();
    let changed = CertificateShard {
        spec: spec.clone(),
        ..shard.clone()
    };
    let written = api.replace(&name, &PostParams::default(), &changed).await?;
    match restated(&written, server) {
        Some(status) => {
            let restated = CertificateShard {
                status: Some(status),
                ..written
            };
            api.replace_status(&name, &PostParams::default(), &restated).await
        }
        None => Ok(written),
    }
}

/// What follows from a shard's spec for its status, if it does not say so: the planned renewal, and that a revocation
/// is not asked for any more, so that the next request is a new one.
fn restated(shard: &CertificateShard, server: Option<&str>) -> Option<CertificateShardStatus> {
    let replanned = replanned(shard, server);
    let status = replanned.as_ref().or(shard.status.as_ref())?;
    if shard.spec.revoke.is_some() || status.revoke_seen.is_none() {
        return replanned;
    }
    Some(CertificateShardStatus {
        revoke_seen: None,
        ..status.clone()
    })
}

fn new_shard(certificate: &Certificate, name: &str, spec: &CertificateShardSpec) -> CertificateShard {
    let label = (
        crate::secrets::CERTIFICATE_LABEL.to_owned(),
        crate::secrets::label_value(&spec.certificate),
    );
    CertificateShard {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: certificate.namespace(),
            labels: Some([label].into()),
            owner_references: certificate.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: spec.clone(),
        status: None::<CertificateShardStatus>,
    }
}

async fn tell(context: &Context, certificate: &Certificate, planned: &Wanted, changed: usize) {
    let names: usize = planned.shards.iter().map(|(_, spec)| spec.name_count()).sum();
    let note = format!(
        "{names} names in {} shards, {changed} of them new or changed",
        planned.shards.len()
    );
    tracing::info!(certificate = full_name(certificate), note, "planned");
    context.events.normal(certificate, "Planned", "Plan", note).await;
}

#[cfg(test)]
mod tests {
    use sancho_crds::RevocationReason;

    use super::*;

    #[test]
    fn a_revocation_that_is_not_asked_for_any_more_is_forgotten_with_the_next_write() {
        let reason = Some(RevocationReason::Superseded);
        let mut shard = CertificateShard::new("shop-0", CertificateShardSpec::default());
        assert_eq!(restated(&shard, None), None);
        shard.status = Some(CertificateShardStatus {
            revoke_seen: reason,
            orders: Some(1),
            ..Default::default()
        });
        let forgotten = CertificateShardStatus {
            orders: Some(1),
            ..Default::default()
        };
        assert_eq!(restated(&shard, None), Some(forgotten));
        shard.spec.revoke = reason;
        assert_eq!(restated(&shard, None), None);
    }
}
