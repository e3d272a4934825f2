//! TXT records for an order's challenges by DNS. DNS-01: place → record in the status → write → seen, or looked at again
//! later. dns-persist-01: they are looked at, once more after the look before the order, since only the challenge says for
//! certain what they have to say.
//!
//! # Guarantees
//! - What may stand in DNS stands in the shard's status, written there before; whoever takes the shard over
//!   knows it. What was written after somebody else took it over is removed again, unless the shard lists it.
//! - A standing record is never written.
//! - All of an order's records are written together, one update or request for each zone. What fails in one
//!   zone is told of its names alone.
//! - Nothing waits here: a record that is not seen yet has the order put off (`notBefore`), and no drive and no slot
//!   is kept for it. So has one that there was no time to write: a drive writes for some 20 s, and the next one goes on with
//!   the rest.
//! - How long a record may take to be seen counts from when it was written. That a provider's pace holds it
//!   back is no fault of its name, and ends with the order at the latest.

mod verdict;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use sancho_core::challenge::{ChallengeKind, ChallengeKinds, Token, dns01_record, dns01_value};
use sancho_core::names::Name;
use sancho_core::order::OrderState;
use sancho_crds::{CertificateShard, Dns01, IssuerKind, PresentedRecord, Solver};

use self::verdict::{Look, Verdict};
use super::drive::Stop;
use super::finish;
use super::keep::{self, keep};
use super::looks::{known_labels, labels, solvers};
use super::orphans::{self, Orphans};
use super::quarantine::Finding;
use super::record::{RecordError, Recorder};
use super::standing::{self, dns_persist01};
use crate::acme::session::Session;
use crate::clock;
use crate::context::{Context, full_name};
use crate::order_status::to_status;
use crate::solvers::dns01::{By, DnsFault, Patience, Place, TxtRecord};
use crate::solvers::{Labels, solver_for};

/// The first wait before a record is looked for again. It grows by half each time that none was written.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest such wait.
const AGAIN_MOST: Duration = Duration::from_secs(15);
/// Records that are seen after so many looks are not worth a word in a condition.
const QUIET_LOOKS: u32 = 3;

/// What came of it.
pub(super) enum Presented {
    /// All records can be seen: the CA may be told.
    Seen(OrderState),
    /// Some were not seen in time: it is to be read first what the CA says of their names by now.
    Doubted(OrderState),
    /// They cannot be seen yet. That is recorded, and the order goes on later.
    Waits,
    /// These names' records cannot be written, or were not seen in time.
    Failed(OrderState, Vec<Finding>),
}

/// By which kind of challenge each of these names of `shard` is validated, as its issuer has it.
pub(super) fn kinds(context: &Context, shard: &CertificateShard, names: &[Name]) -> ChallengeKinds {
    let (solvers, labels) = (solvers(context, shard), labels(context, shard));
    let is_by_dns = |name: &&Name| dns01(&solvers, name.as_str(), &labels).is_some();
    let is_standing = |name: &&Name| dns_persist01(&solvers, name.as_str(), &labels).is_some();
    ChallengeKinds::with_dns01(names.iter().filter(is_by_dns).cloned())
        .and_dns_persist01(names.iter().filter(is_standing).cloned())
}

/// How the TXT record of `name` is written, if it is at all.
pub(super) fn dns01<'a>(solvers: &'a [Solver], name: &str, labels: &Labels) -> Option<&'a Dns01> {
    solver_for(solvers, name, labels)?.dns01.as_ref()
}

/// The Secrets with the credentials of the shard's issuer: of an Issuer's namespace, or of the operator's own for a
/// ClusterIssuer.
pub(super) fn secrets(context: &Context, shard: &CertificateShard) -> Api<Secret> {
    match shard.spec.issuer_ref.kind() {
        IssuerKind::Issuer => context.secrets(&shard.namespace().unwrap_or_default()),
        IssuerKind::ClusterIssuer => context.secrets(&context.namespace),
    }
}

/// Has the records of the order at `state`, which is for `target`, written as far as they do not stand for
/// good, and looks whether they can be seen. `account`: that of the issuer. `reread`: the names whose
/// authorizations were read anew in this drive, since their records were not seen.
///
/// # Errors
/// [`Stop::Record`] if what is to be known before could not be recorded.
pub(super) async fn present(
    context: &Context,
    recorder: &mut Recorder,
    target: &str,
    state: OrderState,
    account: &Session,
    reread: &mut BTreeSet<String>,
) -> Result<Presented, Stop> {
    let (solvers, labels) = (
        solvers(context, recorder.shard()),
        labels(context, recorder.shard()),
    );
    let asked = asked(&state, &account.thumbprint());
    let standing = standing::of_order(&state, &solvers, &labels);
    let mut faults: BTreeMap<String, DnsFault> = standing::looks(context, account.kid(), &standing).await;
    let mut records = known(recorder.status().dns_records, &asked, &state, clock::now());
    let new = placed(context, (&solvers, &labels), &asked, &records, &mut faults).await;
    if !new.is_empty() {
        records.extend(new);
        // Before anything is written: a crash must leave no record that nobody knows of.
        save(recorder, target, &state, &records, |_, _| ()).await?;
    }
    let unwritten: Vec<PresentedRecord> = records.iter().filter(|record| !record.written).cloned().collect();
    let shard = recorder.shard().clone();
    let writing = write(context, &shard, (&solvers, &labels), &mut records, &mut faults);
    keep(recorder, writing).await;
    let left = records.iter().filter(|record| !record.written).count();
    let pause = match left < unwritten.len() {
        true => AGAIN,
        false => again(state.polls),
    };
    let written = records.iter().filter(|record| record.written);
    let looked_for: Vec<TxtRecord> = written.map(txt).collect();
    let unseen = keep(recorder, context.dns.unseen(&looked_for)).await;
    let look = Look {
        records: &records,
        faults: &faults,
        unseen: &unseen,
        reread,
        looks: state.polls,
        timeout: context.dns.propagation_timeout(),
        now: clock::now(),
    };
    let (until, is_loud) = (look.now + pause, state.polls >= QUIET_LOOKS);
    let verdict = look.verdict();
    let state = match &verdict {
        Verdict::Seen => state.presented(),
        Verdict::Doubted(_) | Verdict::GivenUp(_) => state,
        Verdict::Waits { .. } => state.unseen(until),
    };
    let saved = save(recorder, target, &state, &records, |status, shard| {
        if let Verdict::Waits { reason, words } = &verdict {
            tracing::debug!(
                shard = full_name(shard),
                reason,
                words,
                "records are not seen yet"
            );
            if is_loud {
                finish::show_obstacle_anew(status, shard, reason, words);
            }
        }
    });
    let saved = saved.await;
    if matches!(saved, Err(Stop::Record(RecordError::Displaced))) {
        // Whoever has written or deleted the shard may have taken its records away before these were written.
        let shard = recorder.shard().clone();
        let labels = known_labels(context, &shard);
        orphans::begin(context, Orphans::new(shard, labels, unwritten));
    }
    saved?;
    Ok(match verdict {
        Verdict::Seen => Presented::Seen(state),
        Verdict::Doubted(names) => {
            let state = state.reread(&names);
            reread.extend(names);
            Presented::Doubted(state)
        }
        Verdict::GivenUp(findings) => Presented::Failed(state, findings),
        Verdict::Waits { .. } => Presented::Waits,
    })
}

/// The names of challenges by DNS-01 that wait for their records, and what these have to hold.
fn asked(state: &OrderState, thumbprint: &str) -> Vec<(String, String)> {
    let waiting = state.to_present();
    let by_dns = waiting.filter(|(_, authorization)| authorization.kind == ChallengeKind::Dns01);
    let asked = by_dns.filter_map(|(_, authorization)| {
        let token = Token::parse(authorization.token.as_deref()?).ok()?;
        Some((authorization.name.clone()?, dns01_value(&token, thumbprint)))
    });
    asked.collect()
}

/// Records for those of `asked`, names and values, that are not among `known`. Names whose place in DNS
/// cannot be found have a fault from then on.
async fn placed(
    context: &Context,
    (solvers, labels): (&[Solver], &Labels),
    asked: &[(String, String)],
    known: &[PresentedRecord],
    faults: &mut BTreeMap<String, DnsFault>,
) -> Vec<PresentedRecord> {
    let is_known = |(name, value): &&(String, String)| {
        let mut known = known.iter();
        known.any(|known| known.name == *name && known.value == *value)
    };
    let new: Vec<&(String, String)> = asked.iter().filter(|one| !is_known(one)).collect();
    let places = new.iter().map(|(name, _)| {
        let cnames = dns01(solvers, name, labels).and_then(|settings| settings.cname_strategy);
        let record = dns01_record(name);
        async move { context.dns.place(&record, cnames).await }
    });
    let places = futures::future::join_all(places).await;
    let now = clock::now();
    let mut records = Vec::new();
    for ((name, value), place) in new.into_iter().zip(places) {
        match place {
            Ok(place) => records.push(recorded(name, value, place, now)),
            Err(fault) => _ = faults.insert(name.clone(), fault),
        }
    }
    records
}

/// Those of the shard's recorded TXT records that are what is asked for now.
fn known(
    recorded: Vec<PresentedRecord>,
    asked: &[(String, String)],
    state: &OrderState,
    now: Timestamp,
) -> Vec<PresentedRecord> {
    let is_asked_for = |record: &PresentedRecord| {
        asked
            .iter()
            .any(|(name, value)| record.name == *name && record.value == *value)
    };
    let mut records: Vec<PresentedRecord> = recorded.into_iter().filter(is_asked_for).collect();
    for record in &mut records {
        // One that is left from another order: CAs hand the same token out again. Who was to remove it may have done so and
        // not answered, or may have left it to another shard that needed it.
        let was_to_go = record.failures.is_some() || record.next_try.is_some();
        if was_to_go || state.polls == 0 {
            record.since = clock::time(now);
        }
        if was_to_go {
            record.written = false;
            (record.failures, record.next_try) = (None, None);
        }
    }
    records
}

fn recorded(name: &str, value: &str, place: Place, now: Timestamp) -> PresentedRecord {
    let Place { record, zone } = place;
    PresentedRecord {
        name: name.to_owned(),
        record,
        zone,
        value: value.to_owned(),
        since: clock::time(now),
        written: false,
        failures: None,
        next_try: None,
    }
}

/// Writes those that are not known to be written, with as few requests as can be: as many as there is time for.
async fn write(
    context: &Context,
    shard: &CertificateShard,
    (solvers, labels): (&[Solver], &Labels),
    records: &mut [PresentedRecord],
    faults: &mut BTreeMap<String, DnsFault>,
) {
    let mut by_way: BTreeMap<&Dns01, Vec<&mut PresentedRecord>> = BTreeMap::new();
    for record in records.iter_mut().filter(|record| !record.written) {
        match dns01(solvers, &record.name, labels) {
            Some(settings) => by_way.entry(settings).or_default().push(record),
            None => _ = faults.insert(record.name.clone(), DnsFault::no_solver(&record.name)),
        }
    }
    let secrets = secrets(context, shard);
    let tenant = shard.namespace().unwrap_or_default();
    let writes = by_way.into_iter().map(|(settings, mut records)| {
        by_turn(&mut records);
        let by = By {
            settings,
            secrets: &secrets,
            tenant: &tenant,
            patience: Patience::OfDrive,
        };
        async move {
            let texts: Vec<TxtRecord> = records.iter().map(|record| txt(record)).collect();
            let outcomes = context.dns.write(by, &texts).await;
            (records, outcomes)
        }
    });
    for (records, outcomes) in futures::future::join_all(writes).await {
        let now = clock::now();
        for (record, outcome) in records.into_iter().zip(outcomes) {
            note(record, &outcome, now);
            if let Err(fault) = outcome {
                faults.insert(record.name.clone(), fault);
            }
        }
    }
}

/// The order in which records are asked for. What was not asked for the last time has been waited for since then, and goes
/// before what has failed for longer: one that always takes all the time is not to keep the others from their turn.
fn by_turn(records: &mut [&mut PresentedRecord]) {
    records.sort_by_key(|record| Reverse(record.since.0));
}

/// Takes down what came of the writing of a record, and from when on it is waited for.
fn note(record: &mut PresentedRecord, outcome: &Result<(), DnsFault>, now: Timestamp) {
    match outcome {
        Ok(()) => record.written = true,
        // It was not asked for, and will be.
        Err(fault) if fault.is_of_pace() => {}
        Err(_) => return,
    }
    record.since = clock::time(now);
}

/// Records the order and its TXT records; others that the shard has stay until they are swept up.
async fn save(
    recorder: &mut Recorder,
    target: &str,
    state: &OrderState,
    records: &[PresentedRecord],
    show: impl FnOnce(&mut sancho_crds::CertificateShardStatus, &CertificateShard),
) -> Result<(), Stop> {
    let mut status = recorder.status();
    status.dns_records.retain(|old| {
        !records
            .iter()
            .any(|new| new.name == old.name && new.value == old.value)
    });
    status.dns_records.extend_from_slice(records);
    status.order = Some(to_status(target, state));
    keep::done(&mut status);
    show(&mut status, recorder.shard());
    Ok(recorder.record(status).await?)
}

/// The record as it stands in DNS.
pub(super) fn txt(record: &PresentedRecord) -> TxtRecord {
    TxtRecord {
        zone: record.zone.clone(),
        name: record.record.clone(),
        value: record.value.clone(),
        domain: record.name.trim_start_matches("*.").to_owned(),
    }
}

/// The pause after records were looked for in vain so many times before.
fn again(times: u32) -> Duration {
    AGAIN.mul_f64(1.5_f64.powi(times.min(10) as i32)).min(AGAIN_MOST)
}

#[cfg(test)]
mod tests;
