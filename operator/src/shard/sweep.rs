//! TXT records that no order needs any more: claim → remove from DNS → forget. The same way after an order that went
//! well, after one that failed, and after a crash.
//!
//! # Guarantees
//! - What another shard is seen to need stays, and is looked at again: whoever is the last removes it. One that is seen to
//!   need it only once it is gone has it written again, since a removal can wait long for its permits.
//! - What cannot be removed is tried again for as long as a solver is left that may have written it.
//! - A drive removes for some 20 s; what it does not come to is no failure, and goes on in the next one.
//!
//! # Caveats
//! - It is removed as the issuer's solvers have it now: one that writes elsewhere by then finds nothing to
//!   remove.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use kube::{Resource, ResourceExt};
use sancho_core::order::{AuthorizationState, Stage};
use sancho_core::renewal::retry_time;
use sancho_crds::{CertificateShard, CertificateShardStatus, Claim, Dns01, PresentedRecord};

use super::drive::Stop;
use super::finish;
use super::keep::keep;
use super::looks::{is_issuer_gone, known_labels, solvers};
use super::present::{secrets, txt};
use super::record::Recorder;
use crate::clock;
use crate::context::{Context, full_name};
use crate::found_by;
use crate::solvers::dns01::{By, DnsFault, Patience, TxtRecord};
use crate::solvers::{Labels, remover};

/// A record that another shard needs is looked at again after this time.
const SHARED_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// One that was not asked for, since others took all the time, is asked for after this time.
const TURN_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// One that is held back by the pace of its provider, after this one: each look costs the API server two writes.
const PACE_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// A record could not be removed.
const RECORD_NOT_REMOVED: &str = "DNSRecordNotRemoved";
/// A record is given up, and stays in DNS.
const RECORD_LEFT: &str = "DNSRecordLeft";
/// A record that no solver is for is given up after so many tries, half an hour after the first.
const MOST_WITHOUT_SOLVER: u32 = 6;
/// So many records are named that cannot be removed for the same reason.
const MOST_NAMED: usize = 10;

/// Which of a shard's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that the order under way, if there is one, does not wait for the CA to look at.
    Leftover,
    /// All: nobody goes on with the order.
    All,
}

impl Which {
    fn of(self, status: &CertificateShardStatus) -> impl Iterator<Item = &PresentedRecord> {
        let records = status.dns_records.iter();
        records.filter(move |record| self == Self::All || !is_needed(status, record))
    }

    /// When the first of them is to be removed, if there is one.
    pub(super) fn due(self, shard: &CertificateShard) -> Option<Timestamp> {
        let status = shard.status.as_ref()?;
        let moment = |record: &PresentedRecord| record.next_try.as_ref().map_or(Timestamp::MIN, |at| at.0);
        self.of(status).map(moment).min()
    }
}

/// When a record that no order needs is to be removed, if there is one.
#[must_use]
pub fn due(shard: &CertificateShard) -> Option<Timestamp> {
    Which::Leftover.due(shard)
}

/// Does the order under way, if there is one, wait for the CA to look at this record?
fn is_needed(status: &CertificateShardStatus, record: &PresentedRecord) -> bool {
    let pending = [Stage::New, Stage::Pending].map(Stage::as_str);
    let done = [AuthorizationState::Valid, AuthorizationState::Invalid].map(AuthorizationState::as_str);
    let order = status
        .order
        .as_ref()
        .filter(|order| pending.contains(&order.stage.as_str()));
    let mut authorizations = order.into_iter().flat_map(|order| &order.authorizations);
    authorizations.any(|a| a.name.as_ref() == Some(&record.name) && !done.contains(&a.state.as_str()))
}

/// Does another shard than the one with this UID need the same value at the same place? Two orders of one
/// account for one name may have one challenge.
fn is_shared<'a>(
    record: &PresentedRecord,
    uid: &str,
    shards: impl IntoIterator<Item = &'a CertificateShard>,
) -> bool {
    let mut others = shards
        .into_iter()
        .filter(|shard| shard.metadata.uid.as_deref() != Some(uid));
    others.any(|other| {
        other.status.as_ref().is_some_and(|status| {
            let is_same =
                |one: &&PresentedRecord| (&one.record, &one.value) == (&record.record, &record.value);
            let mut same = status.dns_records.iter().filter(is_same);
            same.any(|one| is_needed(status, one))
        })
    })
}

/// The same of the shards that the watch shows.
fn is_seen_to_be_shared(context: &Context, record: &PresentedRecord, uid: &str) -> bool {
    let shards = context.seen.shards.find(&found_by::listing(record));
    is_shared(record, uid, shards.iter().map(AsRef::as_ref))
}

/// Removes what is due of these records of the shard in `recorder`.
///
/// # Errors
/// [`Stop`] if it could not be recorded; what is due stays due.
pub(super) async fn sweep(context: &Context, mut recorder: Recorder, which: Which) -> Result<(), Stop> {
    let mut status = recorder.status();
    status.claim = Some(Claim {
        holder: context.replica.clone(),
        busy_until: None,
    });
    recorder.record(status).await?;
    let now = clock::now();
    let status = recorder.status();
    let is_due = |record: &&PresentedRecord| record.next_try.as_ref().is_none_or(|at| at.0 <= now);
    let due = which.of(&status).filter(is_due).cloned();
    let shard = recorder.shard().clone();
    let uid = shard.uid().unwrap_or_default();
    let (shared, due): (Vec<PresentedRecord>, Vec<PresentedRecord>) =
        due.partition(|record| is_seen_to_be_shared(context, record, &uid));
    let labels = known_labels(context, &shard);
    let removing = remove(context, &shard, due, labels.as_ref(), Patience::OfDrive);
    let outcome = keep(&mut recorder, removing).await;
    let mut status = recorder.status();
    status.claim = None;
    for record in status
        .dns_records
        .iter_mut()
        .filter(|record| shared.contains(record))
    {
        record.next_try = now.checked_add(SHARED_AGAIN).ok().map(clock::time);
    }
    let told = note(&mut status, outcome, now);
    recorder.record(status).await?;
    tell(context, recorder.shard(), told).await;
    Ok(())
}

/// Events about what there is to be told of `shard`.
async fn tell(context: &Context, shard: &CertificateShard, told: Told) {
    let Told { failed, left } = told;
    if !failed.is_empty() {
        let words = failed
            .iter()
            .map(|(words, records)| format!("the TXT record {}: {words}", named(records)));
        let words = words.collect::<Vec<_>>().join("; ");
        tracing::warn!(shard = full_name(shard), words, "a TXT record is not removed yet");
        let words = format!("{words} (tried again)");
        finish::tell_failure(context, shard, RECORD_NOT_REMOVED, &words).await;
    }
    for PresentedRecord {
        name,
        record,
        value,
        zone,
        ..
    } in left
    {
        tracing::warn!(
            shard = full_name(shard),
            record,
            value,
            zone,
            "a TXT record has to be removed by hand: no solver with dns01 is for its name any more"
        );
        let words = format!(
            "the TXT record {record} \"{value}\" stays in the zone {zone}, since no solver with dns01 is for \
             {name} any more: remove it by hand"
        );
        // Each has an event of its own.
        let about = shard.object_ref(&());
        context.events.once(&about, RECORD_LEFT, "Issue", words).await;
    }
}

/// What there is to be told of removals.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// What went wrong and did not before, and with which records.
    failed: BTreeMap<String, BTreeSet<String>>,
    /// The records that are given up.
    left: Vec<PresentedRecord>,
}

/// The first few of these records.
fn named(records: &BTreeSet<String>) -> String {
    let mut named: Vec<&str> = records.iter().map(String::as_str).take(MOST_NAMED).collect();
    let more = format!("{} more", records.len() - named.len());
    if records.len() > named.len() {
        named.push(&more);
    }
    named.join(", ")
}

/// Takes down what came of removals.
fn note(
    status: &mut CertificateShardStatus,
    outcomes: Vec<(PresentedRecord, Result<(), DnsFault>)>,
    now: Timestamp,
) -> Told {
    let mut told = Told::default();
    for (record, outcome) in outcomes {
        let is_it = |other: &PresentedRecord| (&other.name, &other.value) == (&record.name, &record.value);
        let failures = record.failures.unwrap_or_default().saturating_add(1);
        match outcome {
            Ok(()) => status.dns_records.retain(|other| !is_it(other)),
            Err(fault) if fault.is_without_solver() && failures >= MOST_WITHOUT_SOLVER => {
                status.dns_records.retain(|other| !is_it(other));
                told.left.push(record);
            }
            Err(fault) if fault.is_of_pace() => {
                let again = match fault.is_not_asked_yet() {
                    true => TURN_AGAIN,
                    false => PACE_AGAIN,
                };
                let at = now.checked_add(again).ok().map(clock::time);
                for other in status.dns_records.iter_mut().filter(|other| is_it(other)) {
                    other.next_try.clone_from(&at);
                }
            }
            Err(fault) => {
                let at = clock::time(retry_time(now, failures, None, &record.value));
                for other in status.dns_records.iter_mut().filter(|other| is_it(other)) {
                    other.failures = Some(failures);
                    other.next_try = Some(at.clone());
                }
                if failures == 1 {
                    told.failed.entry(fault.words).or_default().insert(record.record);
                }
            }
        }
    }
    told
}

/// Removes these records, by as few requests as can be: as many as there is time for. `labels`: those of the shard's
/// Certificate, if they are known.
pub(super) async fn remove(
    context: &Context,
    shard: &CertificateShard,
    records: Vec<PresentedRecord>,
    labels: Option<&Labels>,
    patience: Patience,
) -> Vec<(PresentedRecord, Result<(), DnsFault>)> {
    let solvers = solvers(context, shard);
    let secrets = secrets(context, shard);
    let tenant = shard.namespace().unwrap_or_default();
    let is_gone = is_issuer_gone(context, shard) == Some(true);
    let mut by_way: BTreeMap<Option<&Dns01>, Vec<PresentedRecord>> = BTreeMap::new();
    for record in records {
        let settings = remover(&solvers, &record.name, labels);
        by_way.entry(settings).or_default().push(record);
    }
    let removals = by_way.into_iter().map(|(settings, records)| {
        let by = settings.map(|settings| By {
            settings,
            secrets: &secrets,
            tenant: &tenant,
            patience,
        });
        async move {
            let texts: Vec<TxtRecord> = records.iter().map(txt).collect();
            let came = match by {
                Some(by) => {
                    let came = context.dns.remove(by, &texts).await;
                    put_back(context, shard, by, &records).await;
                    came
                }
                None => {
                    let fault = |record: &PresentedRecord| match is_gone {
                        true => DnsFault::no_issuer(),
                        false => DnsFault::no_solver(&record.name),
                    };
                    records.iter().map(|record| Err(fault(record))).collect()
                }
            };
            records.into_iter().zip(came).collect::<Vec<_>>()
        }
    });
    let outcomes = futures::future::join_all(removals).await;
    outcomes.into_iter().flatten().collect()
}

/// Writes those of `records` of `shard` again that another one is seen to need, now that they are removed. It recorded them
/// before it wrote them: so whoever wrote one before it was removed is seen, as far as the watch has come.
async fn put_back(context: &Context, shard: &CertificateShard, by: By<'_>, records: &[PresentedRecord]) {
    let uid = shard.uid().unwrap_or_default();
    let needed = records
        .iter()
        .filter(|record| is_seen_to_be_shared(context, record, &uid));
    let needed: Vec<TxtRecord> = needed.map(txt).collect();
    if needed.is_empty() {
        return;
    }
    for (record, outcome) in needed.iter().zip(context.dns.write(by, &needed).await) {
        let Err(fault) = outcome else { continue };
        tracing::warn!(
            shard = full_name(shard),
            record = record.name,
            words = fault.words,
            "a TXT record was removed that another shard has come to need, and cannot be written again"
        );
    }
}

#[cfg(test)]
mod tests;
