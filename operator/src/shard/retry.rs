//! Names that could not be validated, tried again: claim → look → ask the CA for each alone → record.
//!
//! A look costs the CA nothing. It is asked only about a name that it has refused before, or that cannot be looked at
//! from here, and then for its authorization and no certificate: an order of one name that is not finalized. The
//! order that the name then joins finds it authorized already.
//!
//! What the CA refuses for the account's sake, or another reason that is not the name's, is not held against the name.

use std::collections::{BTreeSet, VecDeque};

use kube::ResourceExt;
use sancho_core::check;
use sancho_core::names::Name;
use sancho_core::order::{
    Effect, Failure, OrderState, Reply, Request, Retry, Stage, Step, advised, next, reason, reply,
};
use sancho_core::response::Scope;
use sancho_crds::{
    CertificateShard, Claim, FoundBy, OrderStatus, QuarantinePlace, QuarantinedName, ShardFailure,
};

use super::aside;
use super::drive::{Stop, still_claimed, unless_ending};
use super::finish;
use super::keep;
use super::looks::{looks, route};
use super::present::{Presented, kinds, present};
use super::quarantine::{self, Finding, Trial};
use super::record::Recorder;
use super::send::{Sent, send};
use super::{profile, renewal};
use crate::acme::error::SendError;
use crate::acme::session::Terms;
use crate::clock;
use crate::context::{Context, full_name};
use crate::issuer::{IssuerKey, ReadyIssuer};
use crate::order_status::{from_status, to_status};
use crate::queue::ShardKey;
use crate::quotas::{self, HeldBack};
use crate::routes::write::Written;

/// What came of asking the CA about one name.
enum Answer {
    Authorized,
    /// The name cannot be validated.
    Refused(Finding),
    /// It could not be asked now. That says nothing about the name.
    PutOff(Failure),
    /// The order waits, and goes on later.
    Waits,
}

/// What came of a name.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// As it stood in quarantine.
    entry: QuarantinedName,
    /// Why it fails; nothing if it can be validated.
    failed: Option<Finding>,
}

/// Tries those names of the shard in `recorder` again whose time has come.
///
/// # Errors
/// [`Stop`] if it ended early; what is due stays due.
pub(super) async fn retry(
    context: &Context,
    issuer: &ReadyIssuer,
    mut recorder: Recorder,
) -> Result<(), Stop> {
    let mut status = recorder.status();
    status.claim = Some(Claim {
        holder: context.replica.clone(),
        busy_until: None,
    });
    status.quarantine = quarantine::entries(recorder.shard())
        .into_iter()
        .cloned()
        .collect();
    recorder.record(status).await?;
    let trial = Trial::of(recorder.shard(), issuer.terms.edition, clock::now());
    let tried: Vec<QuarantinedName> = recorder
        .status()
        .quarantine
        .into_iter()
        .filter(|entry| trial.is_due(entry) || is_looked_at_along(entry))
        .collect();
    let mut names: Vec<String> = tried.iter().map(|entry| entry.name.clone()).collect();
    // One that is served already tells whether anything can be reached from here.
    let mut rest = quarantine::rest_names(recorder.shard()).into_iter();
    names.extend(rest.find(|name| !tried.iter().any(|entry| entry.name == *name)));
    let _errand = issuer.budget.errand();
    let written = tokio::select! {
        biased;
        written = route(context, recorder.shard(), &names) => written?,
        () = context.is_ending() => return Err(Stop::SlotsLost),
    };
    let outcome = try_names(context, issuer, &mut recorder, &tried, &names, &written, &trial).await;
    if written.any() {
        let uid = recorder.shard().uid().unwrap_or_default();
        context.routes.drive_ended(&uid);
    }
    outcome
}

/// The same once the routes are written. Of `names` those that are `tried` come first.
async fn try_names(
    context: &Context,
    issuer: &ReadyIssuer,
    recorder: &mut Recorder,
    tried: &[QuarantinedName],
    names: &[String],
    written: &Written,
    trial: &Trial,
) -> Result<(), Stop> {
    let shard = recorder.shard().clone();
    let looking = looks(context, issuer, &shard, names, written);
    let found = unless_ending(context, recorder, looking).await?;
    still_claimed(context, issuer, recorder).await?;
    let (settled, mut asked) = sorted(tried, found, trial);
    // One that is asked for already goes on first.
    let order = recorder.status().order;
    let target = |name: &str| quarantine::target_of(recorder.shard(), vec![name.to_owned()], &issuer.server);
    let is_its = |entry: &QuarantinedName| {
        let order = order.as_ref();
        order.is_some_and(|order| order.target == target(&entry.name))
    };
    asked.sort_by_key(|entry| !is_its(entry));
    let kept = order.clone().filter(|_| asked.first().is_some_and(is_its));
    settle(context, recorder, &settled, kept, trial).await?;
    let mut asked = VecDeque::from(asked);
    while let Some(entry) = asked.pop_front() {
        let failed = match ask(context, issuer, recorder, &entry).await? {
            Answer::Authorized => None,
            Answer::Refused(finding) => Some(finding),
            Answer::PutOff(failure) => {
                let is_kept_off = |other: &QuarantinedName| {
                    is_about_all(&failure) || held_back(context, issuer, &other.name).is_some()
                };
                let (others, rest): (VecDeque<_>, VecDeque<_>) = asked.into_iter().partition(is_kept_off);
                asked = rest;
                let names: Vec<QuarantinedName> = std::iter::once(entry).chain(others).collect();
                put_off(context, issuer, recorder, &names, &failure).await?;
                continue;
            }
            Answer::Waits => return give_back(recorder).await,
        };
        let trial = Trial::of(recorder.shard(), issuer.terms.edition, clock::now());
        settle(context, recorder, &[Outcome { entry, failed }], None, &trial).await?;
    }
    give_back(recorder).await
}

/// What was mended for one name often was for others, and they had better come back in one order. A look costs
/// nothing; the CA is asked only about what is due.
fn is_looked_at_along(entry: &QuarantinedName) -> bool {
    let fails = matches!(entry.place, QuarantinePlace::Out | QuarantinePlace::Served);
    fails && entry.found_by == FoundBy::Check
}

/// What is `found` of the names that are `tried`: what came of those that a look alone tells of, and whom the CA is to be
/// asked about.
fn sorted(
    tried: &[QuarantinedName],
    found: Vec<check::Finding>,
    trial: &Trial,
) -> (Vec<Outcome>, Vec<QuarantinedName>) {
    let (mut settled, mut asked) = (Vec::new(), Vec::new());
    for (entry, finding) in tried.iter().cloned().zip(found) {
        let comes_back = entry.place == QuarantinePlace::Passing;
        let failed = match finding {
            check::Finding::Failed(fault) => Some(Finding {
                name: entry.name.clone(),
                by: FoundBy::Check,
                reason: fault.reason().to_owned(),
                message: fault.to_string(),
                not_before: None,
            }),
            check::Finding::Passed if comes_back || entry.found_by == FoundBy::Check => None,
            check::Finding::Unknown(_) if comes_back => None,
            check::Finding::Passed | check::Finding::Unknown(_) => {
                // Else it was looked at along with others, and its own time has not come.
                if trial.is_due(&entry) {
                    asked.push(entry);
                }
                continue;
            }
        };
        settled.push(Outcome { entry, failed });
    }
    (settled, asked)
}

/// Records what came of names, and that the CA has this `order` for the one that is asked about next; and tells what is
/// new about them.
async fn settle(
    context: &Context,
    recorder: &mut Recorder,
    outcomes: &[Outcome],
    order: Option<OrderStatus>,
    trial: &Trial,
) -> Result<(), Stop> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let mut status = recorder.status();
    status.order = order;
    let news = take_in(recorder.shard(), &mut status.quarantine, outcomes, trial);
    quarantine::show(&mut status, recorder.shard(), trial.now);
    recorder.record(status).await?;
    let shard = recorder.shard();
    if !news.is_empty() {
        let words = quarantine::few(news.into_iter());
        finish::tell_failure(context, shard, quarantine::NAMES_QUARANTINED, &words).await;
    }
    let passing: Vec<String> = outcomes
        .iter()
        .filter(|outcome| outcome.failed.is_none())
        .map(|Outcome { entry, .. }| {
            let entries = quarantine::entries(shard);
            let present = entries.into_iter().find(|present| present.name == entry.name);
            present.map_or_else(
                || format!("{} can be validated again", entry.name),
                quarantine::word,
            )
        })
        .collect();
    if !passing.is_empty() {
        let words = quarantine::few(passing.into_iter());
        tracing::info!(shard = full_name(shard), words, "names pass again");
        context.events.normal(shard, "NamePasses", "Check", words).await;
    }
    Ok(())
}

/// Takes in what came of names. Returns what is new about those that fail.
fn take_in(
    shard: &CertificateShard,
    quarantine: &mut Vec<QuarantinedName>,
    outcomes: &[Outcome],
    trial: &Trial,
) -> Vec<String> {
    let mut news = Vec::new();
    for Outcome { entry, failed } in outcomes {
        let Some(finding) = failed else {
            quarantine::passed(shard, quarantine, &entry.name, trial.now);
            continue;
        };
        let place = match entry.place {
            QuarantinePlace::Served => QuarantinePlace::Served,
            QuarantinePlace::Out | QuarantinePlace::Passing | QuarantinePlace::Joining => {
                QuarantinePlace::Out
            }
        };
        quarantine::put(quarantine, finding, place, trial);
        if finding.reason != entry.reason || place != entry.place {
            news.push(format!("{}: {}: {}", entry.name, finding.reason, finding.message));
        }
    }
    quarantine.sort_by(|one, other| one.name.cmp(&other.name));
    news
}

/// Records that names could not be asked about, and keep what is known of them. What kept them off is told, and noted where
/// others heed it.
async fn put_off(
    context: &Context,
    issuer: &ReadyIssuer,
    recorder: &mut Recorder,
    names: &[QuarantinedName],
    failure: &Failure,
) -> Result<(), Stop> {
    let shard = recorder.shard();
    let trial = Trial::of(shard, issuer.terms.edition, clock::now());
    let mut status = recorder.status();
    status.order = None;
    for entry in names {
        quarantine::put_off(&mut status.quarantine, &entry.name, failure.retry, &trial);
    }
    if let Some(first) = names.first() {
        let target = quarantine::target_of(shard, vec![first.name.clone()], &issuer.server);
        let noted = noted(shard, failure, &target, issuer.session.kid());
        status.failure = noted.or(status.failure);
    }
    quarantine::show(&mut status, shard, trial.now);
    recorder.record(status).await?;
    let shard = recorder.shard();
    if failure.reason == reason::ACCOUNT_DOES_NOT_EXIST {
        let key = IssuerKey::of(&shard.spec.issuer_ref, &shard.namespace().unwrap_or_default());
        context.issuers.account_gone(&key, issuer.session.kid());
    }
    let words = quarantine::few(names.iter().map(|entry| entry.name.clone()));
    let words = format!("the CA cannot be asked about {words} now: {}", failure.message);
    tracing::info!(
        shard = full_name(shard),
        reason = failure.reason,
        words,
        "names are put off"
    );
    finish::tell_failure(context, shard, failure.reason, &words).await;
    Ok(())
}

/// A quota that is used up, as the shard notes it for all replicas. Not in the place of a failure of its own.
fn noted(shard: &CertificateShard, failure: &Failure, target: &str, account: &str) -> Option<ShardFailure> {
    let quota = quotas::to_status(failure.quota.as_ref()?, account)?;
    let Retry::At(until) = failure.retry else {
        return None;
    };
    let present = shard.status.as_ref().and_then(|status| status.failure.as_ref());
    if present.is_some_and(|present| present.quota.is_none()) {
        return None;
    }
    Some(ShardFailure {
        reason: failure.reason.to_owned(),
        message: advised(failure.reason, &failure.message),
        target: target.to_owned(),
        count: 0,
        retry_time: clock::time(clock::whole_second_after(until)),
        generation: shard.metadata.generation,
        issuer_generation: None,
        issuer_created: None,
        profile: None,
        most_names: None,
        quota: Some(quota),
    })
}

/// Does what kept one name off keep all others off as well?
fn is_about_all(failure: &Failure) -> bool {
    match &failure.quota {
        Some(scope) => *scope == Scope::Account,
        None => matches!(
            failure.reason,
            reason::ACCOUNT_DOES_NOT_EXIST
                | reason::EXTERNAL_ACCOUNT_REQUIRED
                | reason::PROFILE_NOT_OFFERED
                | reason::UNAUTHORIZED
                | reason::USER_ACTION_REQUIRED
        ),
    }
}

/// The quota that holds back a new order of this name, if one does.
fn held_back(context: &Context, issuer: &ReadyIssuer, name: &str) -> Option<HeldBack> {
    let names = [name.to_owned()];
    let account = issuer.session.kid();
    context.quotas.holding_back(account, &names, false, clock::now())
}

/// The claim is given up.
async fn give_back(recorder: &mut Recorder) -> Result<(), Stop> {
    let mut status = recorder.status();
    status.claim = None;
    Ok(recorder.record(status).await?)
}

/// What a refusal of the order for this name alone means.
fn refused(name: &str, failure: Failure) -> Answer {
    if !quarantine::is_blamed_alone(&failure) {
        return Answer::PutOff(failure);
    }
    Answer::Refused(Finding {
        name: name.to_owned(),
        by: FoundBy::Ca,
        reason: failure.reason.to_owned(),
        message: advised(failure.reason, &failure.message),
        not_before: match failure.retry {
            Retry::At(at) => Some(at),
            Retry::Backoff => None,
        },
    })
}

/// Asks the CA for the authorization of one name. The order is recorded in the shard's place for one, so that every
/// replica answers its challenge and another goes on with it; nobody takes it for the shard's own, since it is for
/// something else.
async fn ask(
    context: &Context,
    issuer: &ReadyIssuer,
    recorder: &mut Recorder,
    entry: &QuarantinedName,
) -> Result<Answer, Stop> {
    let name = &entry.name;
    let Ok(parsed) = Name::parse(name) else {
        return Err(Stop::Nothing);
    };
    let names = [parsed];
    let kinds = kinds(context, recorder.shard(), &names);
    let target = quarantine::target_of(recorder.shard(), vec![name.clone()], &issuer.server);
    let profile =
        profile::profile(&recorder.shard().spec, issuer.terms.profile.as_deref()).map(str::to_owned);
    let terms = Terms {
        profile: profile.as_deref(),
        not_after: renewal::not_after(recorder.shard(), clock::now()),
        csr: &[],
    };
    let mut state = resumed(issuer, recorder, &target, &names).unwrap_or_default();
    let mut reread = BTreeSet::new();
    loop {
        if matches!(state.stage, Stage::Ready | Stage::Processing | Stage::Valid) {
            return Ok(Answer::Authorized);
        }
        let now = clock::precise();
        let request = match next(&state, &names, now) {
            Step::Send(request) => request,
            Step::Wait { until, .. } => {
                record(recorder, &target, &state).await?;
                let wait = std::time::Duration::try_from(until.duration_since(now)).unwrap_or_default();
                if wait > super::drive::SHORT_WAIT {
                    return Ok(Answer::Waits);
                }
                tokio::select! {
                    () = tokio::time::sleep(wait) => continue,
                    () = issuer.budget.lost() => return Err(Stop::SlotsLost),
                }
            }
            Step::Present => {
                if !aside::has_room(&issuer.budget, recorder.shard(), &to_status(&target, &state)) {
                    record(recorder, &target, &state).await?;
                    return Ok(Answer::Waits);
                }
                let key = ShardKey::of(recorder.shard());
                let presenting = present(context, recorder, &target, state, &issuer.session, &mut reread);
                let presented = tokio::select! {
                    biased;
                    presented = aside::stepping_aside(&issuer.budget, &key, presenting) => Some(presented?),
                    () = context.is_ending() => None,
                };
                let Some(presented) = presented else {
                    keep::give_back(recorder).await;
                    return Err(Stop::SlotsLost);
                };
                match presented {
                    Presented::Seen(next) | Presented::Doubted(next) => state = next,
                    Presented::Waits => return Ok(Answer::Waits),
                    Presented::Failed(_, findings) => {
                        let Some(finding) = findings.into_iter().next() else {
                            return Err(Stop::Nothing);
                        };
                        // One that the CA has refused is asked about alone the next time, too: a look at where its record
                        // is to be does not tell whether it is seen there.
                        let by = entry.found_by;
                        return Ok(Answer::Refused(Finding { by, ..finding }));
                    }
                }
                continue;
            }
            Step::Failed(failure) => return Ok(refused(name, failure)),
            Step::Restart { why } => return Ok(Answer::PutOff(broken_off(why))),
        };
        if let Request::NewOrder { .. } = request
            && let Some(held_back) = held_back(context, issuer, name)
        {
            return Ok(Answer::PutOff(used_up(held_back)));
        }
        if let Request::AnswerChallenge { .. } = request {
            // The responders read the token from the recorded state.
            record(recorder, &target, &state).await?;
        }
        let (answer, _unrecorded) = match send(issuer, &request, terms).await? {
            (Sent::Answer(answer), unrecorded) => (answer, unrecorded),
            (Sent::NotOffered(offered), _unrecorded) => {
                let spec = &recorder.shard().spec;
                let failure = profile::not_offered(spec, profile.as_deref(), &offered, clock::now());
                return Ok(Answer::PutOff(failure));
            }
        };
        let answer = match answer {
            Ok(response) => Reply::Response(response),
            // The process is ending.
            Err(SendError::Closed(_)) => return Err(Stop::SlotsLost),
            Err(error) => match error.reply() {
                Some(reply) => reply,
                None => return Ok(Answer::PutOff(broken_off(error.to_string()))),
            },
        };
        let (moved, effect) = reply(state, &request, &answer, &names, &kinds, clock::precise());
        state = moved;
        match effect {
            Effect::Moved | Effect::Again { .. } => record(recorder, &target, &state).await?,
            // It is never finalized here.
            Effect::Issued { .. } => return Ok(Answer::Authorized),
            Effect::Failed(failure) => return Ok(refused(name, failure)),
            Effect::Restart { why } => return Ok(Answer::PutOff(broken_off(why))),
        }
    }
}

/// The order for this name that is recorded, if one is and can be resumed.
fn resumed(issuer: &ReadyIssuer, recorder: &Recorder, target: &str, names: &[Name]) -> Option<OrderState> {
    let order = recorder.status().order.filter(|order| order.target == target)?;
    let state = from_status(&order).ok()?;
    let transport = issuer.session.transport();
    let is_sound = state.check(names).is_ok() && state.urls().all(|url| transport.admit(url).is_ok());
    is_sound.then_some(state)
}

async fn record(recorder: &mut Recorder, target: &str, state: &OrderState) -> Result<(), Stop> {
    let mut status = recorder.status();
    status.order = Some(to_status(target, state));
    Ok(recorder.record(status).await?)
}

fn used_up(held_back: HeldBack) -> Failure {
    Failure {
        reason: reason::RATE_LIMITED,
        message: held_back.words,
        names: Vec::new(),
        retry: Retry::At(held_back.until),
        quota: None,
        most_names: None,
    }
}

fn broken_off(why: String) -> Failure {
    Failure {
        reason: reason::ORDER_INVALID,
        message: why,
        names: Vec::new(),
        retry: Retry::Backoff,
        quota: None,
        most_names: None,
    }
}

#[cfg(test)]
mod tests;
