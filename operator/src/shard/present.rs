//! TXT records for an order's challenges by DNS. DNS-01: place → record in the status → write → seen, or looked at again
//! later. dns-persist-01: they are looked at, once more after the look before the order, since only the challenge says for
//! certain what they have to say.
//!
//! # Guarantees
//! - What may stand in DNS stands in the shard's status, written there before; whoever takes the shard over knows it.
//! - A standing record is never written.
//! - All of an order's records are written together, one update or request for each zone. What fails in one zone is told
//!   of its names alone.
//! - Nothing waits here: a record that is not seen yet has the order put off (`notBefore`), and no drive and no slot
//!   is kept for it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use sancho_core::challenge::{ChallengeKind, ChallengeKinds, Token, dns01_record, dns01_value};
use sancho_core::names::Name;
use sancho_core::order::OrderState;
use sancho_crds::{CertificateShard, Dns01, FoundBy, IssuerKind, PresentedRecord, Solver};

use super::drive::Stop;
use super::finish;
use super::looks::{labels, solvers};
use super::quarantine::Finding;
use super::record::Recorder;
use super::standing::{self, dns_persist01};
use crate::acme::session::Session;
use crate::clock;
use crate::context::{Context, full_name};
use crate::order_status::to_status;
use crate::solvers::dns01::{By, DnsFault, Place, TxtRecord};
use crate::solvers::{Labels, solver_for};

/// The record could not be seen everywhere in time.
pub const RECORD_NOT_SEEN: &str = "DNSRecordNotSeen";
/// The first wait before a record is looked for again. It grows by half each time.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest such wait.
const AGAIN_MOST: Duration = Duration::from_secs(15);
/// Records that are seen after so many looks are not worth a word in a condition.
const QUIET_LOOKS: u32 = 3;
/// After so many looks, some ten minutes, a name whose place in DNS cannot be found is given up.
const MOST_LOOKS: u32 = 45;

/// What came of it.
pub(super) enum Presented {
    /// All records can be seen: the CA may be told.
    Seen(OrderState),
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

/// Has the records of the order at `state`, which is for `target`, written as far as they do not stand for good, and looks
/// whether they can be seen. `account`: that of the issuer.
///
/// # Errors
/// [`Stop::Record`] if what is to be known before could not be recorded.
pub(super) async fn present(
    context: &Context,
    recorder: &mut Recorder,
    target: &str,
    state: OrderState,
    account: &Session,
) -> Result<Presented, Stop> {
    let (now, thumbprint) = (clock::now(), account.thumbprint());
    let (solvers, labels) = (
        solvers(context, recorder.shard()),
        labels(context, recorder.shard()),
    );
    let asked: Vec<(String, String)> = state
        .to_present()
        .filter(|(_, authorization)| authorization.kind == ChallengeKind::Dns01)
        .filter_map(|(_, authorization)| {
            let token = Token::parse(authorization.token.as_deref()?).ok()?;
            Some((authorization.name.clone()?, dns01_value(&token, &thumbprint)))
        })
        .collect();
    let standing = standing::of_order(&state, &solvers, &labels);
    let mut faults: BTreeMap<String, DnsFault> = standing::looks(context, account.kid(), &standing).await;
    let mut records = known(recorder, &asked, &state, now);
    let new: Vec<&(String, String)> = asked
        .iter()
        .filter(|(name, value)| {
            !records
                .iter()
                .any(|known| known.name == *name && known.value == *value)
        })
        .collect();
    if !new.is_empty() {
        let places = new.iter().map(|(name, _)| {
            let cnames = dns01(&solvers, name, &labels).and_then(|settings| settings.cname_strategy);
            let record = dns01_record(name);
            async move { context.dns.place(&record, cnames).await }
        });
        let places = futures::future::join_all(places).await;
        for ((name, value), place) in new.into_iter().zip(places) {
            match place {
                Ok(place) => records.push(recorded(name, value, place, now)),
                Err(fault) => _ = faults.insert(name.clone(), fault),
            }
        }
        // Before anything is written: a crash must leave no record that nobody knows of.
        save(recorder, target, &state, &records, |_, _| ()).await?;
    }
    write(context, recorder, (&solvers, &labels), &mut records, &mut faults).await;
    let written: Vec<&PresentedRecord> = records.iter().filter(|record| record.written).collect();
    let looked_for: Vec<TxtRecord> = written.iter().map(|record| txt(record)).collect();
    let unseen = context.dns.unseen(&looked_for).await;
    if faults.is_empty() && unseen.is_empty() {
        let state = state.presented();
        save(recorder, target, &state, &records, |_, _| ()).await?;
        return Ok(Presented::Seen(state));
    }
    let since = |name: &str| records.iter().find(|r| r.name == name).map(|r| r.since.0);
    let timeout = context.dns.propagation_timeout();
    let is_over = |name: &str| since(name).map_or(state.polls >= MOST_LOOKS, |since| since + timeout <= now);
    let lacking = written.iter().filter_map(|record| {
        let lack = unseen.get(&record.record)?;
        Some((record, lack))
    });
    let mut findings: Vec<Finding> = faults
        .iter()
        .filter(|(name, fault)| !fault.is_passing() || is_over(name))
        .map(|(name, fault)| finding(name, fault.reason, fault.words.clone()))
        .collect();
    let late = lacking.clone().filter(|(record, _)| is_over(&record.name));
    findings.extend(late.map(|(record, lack)| {
        let words = format!(
            "the TXT record {} was not seen at all DNS servers of its zone within {} s: {}: {}",
            record.record,
            timeout.as_secs(),
            lack.words,
            lack.mend()
        );
        finding(&record.name, RECORD_NOT_SEEN, words)
    }));
    if !findings.is_empty() {
        save(recorder, target, &state, &records, |_, _| ()).await?;
        return Ok(Presented::Failed(state, findings));
    }
    let obstacle = match (faults.values().next(), lacking.clone().next()) {
        (Some(fault), _) => Some((fault.reason, fault.words.clone())),
        (None, Some((record, lack))) => Some((
            "WaitsForDNS",
            format!(
                "the TXT record {} is not seen everywhere yet: {}",
                record.record, lack.words
            ),
        )),
        (None, None) => None,
    };
    tracing::debug!(
        shard = full_name(recorder.shard()),
        ?obstacle,
        "records are not seen yet"
    );
    let is_loud = state.polls >= QUIET_LOOKS;
    let until = now + again(state.polls);
    let state = state.unseen(until);
    save(recorder, target, &state, &records, |status, shard| {
        if let Some((reason, words)) = obstacle.filter(|_| is_loud) {
            finish::show_obstacle_anew(status, shard, reason, &words);
        }
    })
    .await?;
    Ok(Presented::Waits)
}

/// Those of the shard's recorded TXT records that are what is asked for now.
fn known(
    recorder: &Recorder,
    asked: &[(String, String)],
    state: &OrderState,
    now: Timestamp,
) -> Vec<PresentedRecord> {
    let records = recorder.status().dns_records.into_iter();
    let is_asked_for = |record: &PresentedRecord| {
        asked
            .iter()
            .any(|(name, value)| record.name == *name && record.value == *value)
    };
    let mut records: Vec<PresentedRecord> = records.filter(is_asked_for).collect();
    if state.polls == 0 {
        // One that is left from another order: CAs hand the same token out again.
        for record in &mut records {
            record.since = clock::time(now);
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

/// Writes those that are not known to be written, with as few requests as can be.
async fn write(
    context: &Context,
    recorder: &Recorder,
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
    let secrets = secrets(context, recorder.shard());
    let tenant = recorder.shard().namespace().unwrap_or_default();
    for (settings, records) in by_way {
        let texts: Vec<TxtRecord> = records.iter().map(|record| txt(record)).collect();
        let by = By {
            settings,
            secrets: &secrets,
            tenant: &tenant,
        };
        let outcomes = context.dns.write(by, &texts).await;
        for (record, outcome) in records.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => record.written = true,
                Err(fault) => _ = faults.insert(record.name.clone(), fault),
            }
        }
    }
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
    show(&mut status, recorder.shard());
    Ok(recorder.record(status).await?)
}

fn finding(name: &str, reason: &str, message: String) -> Finding {
    Finding {
        name: name.to_owned(),
        by: FoundBy::Check,
        reason: reason.to_owned(),
        message,
        not_before: None,
    }
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
mod tests {
    use super::*;

    #[test]
    fn a_record_is_looked_for_again_ever_more_rarely() {
        let pauses: Vec<u64> = [0, 1, 4, 7, 8, u32::MAX]
            .map(|times| again(times).as_secs())
            .to_vec();
        assert_eq!(pauses, [1, 1, 5, 15, 15, 15]);
    }
}
