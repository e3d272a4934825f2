//! Names that could not be validated, tried again: claim → look → ask the CA for each alone → record.
//!
//! A look costs the CA nothing. It is asked only about a name that it has refused before, or that cannot be looked at
//! from here, and then for its authorization and no certificate: an order of one name that is not finalized. The
//! order that the name then joins finds it authorized already.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt;
use sancho_core::check;
use sancho_core::names::Name;
use sancho_core::order::{
    Effect, Failure, OrderState, Reply, Request, Retry, Stage, Step, advised, next, reply,
};
use sancho_core::response::Scope;
use sancho_crds::{Claim, FoundBy, QuarantinePlace, QuarantinedName};

use super::drive::{Stop, still_claimed};
use super::finish;
use super::looks::{looks, route};
use super::present::{Presented, kinds, present};
use super::quarantine::{self, Finding};
use super::record::Recorder;
use super::send::{Sent, send};
use super::{profile, renewal};
use crate::acme::session::Terms;
use crate::clock;
use crate::context::{Context, full_name};
use crate::issuer::ReadyIssuer;
use crate::order_status::{from_status, to_status};
use crate::routes::write::Written;

/// What came of asking the CA about one name.
enum Answer {
    Authorized,
    Refused(Box<Failure>),
    /// It could not be asked now. That says nothing about the name.
    PutOff(Box<Failure>),
    /// The order waits, and goes on later.
    Waits,
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
    });
    status.quarantine = quarantine::entries(recorder.shard())
        .into_iter()
        .cloned()
        .collect();
    recorder.record(status).await?;
    let now = clock::now();
    let due: Vec<QuarantinedName> = recorder
        .status()
        .quarantine
        .into_iter()
        .filter(|entry| is_due(entry, now) || is_looked_at_along(entry))
        .collect();
    let mut names: Vec<String> = due.iter().map(|entry| entry.name.clone()).collect();
    // One that is served already tells whether anything can be reached from here.
    let mut rest = quarantine::rest_names(recorder.shard()).into_iter();
    names.extend(rest.find(|name| !due.iter().any(|entry| entry.name == *name)));
    let _errand = issuer.budget.errand();
    let written = tokio::select! {
        biased;
        written = route(context, recorder.shard(), &names) => written?,
        () = context.is_ending() => return Err(Stop::SlotsLost),
    };
    let outcome = try_names(context, issuer, &mut recorder, &due, &names, &written, now).await;
    if written.any() {
        let uid = recorder.shard().uid().unwrap_or_default();
        context.routes.drive_ended(&uid);
    }
    outcome
}

/// The same once the routes are written. Of `names` those that are `due` come first.
async fn try_names(
    context: &Context,
    issuer: &ReadyIssuer,
    recorder: &mut Recorder,
    due: &[QuarantinedName],
    names: &[String],
    written: &Written,
    now: Timestamp,
) -> Result<(), Stop> {
    let found = tokio::select! {
        biased;
        found = looks(context, issuer, recorder.shard(), names, written) => found,
        () = context.is_ending() => return Err(Stop::SlotsLost),
    };
    still_claimed(context, issuer, recorder).await?;
    for (entry, finding) in due.iter().zip(found) {
        if !is_due(entry, now) && finding != check::Finding::Passed {
            continue;
        }
        let is_asked = match &finding {
            check::Finding::Failed(_) => false,
            check::Finding::Passed => entry.found_by == FoundBy::Ca,
            check::Finding::Unknown(_) => true,
        } && entry.place != QuarantinePlace::Passing;
        let failed = match finding {
            check::Finding::Failed(fault) => Some(Finding {
                name: entry.name.clone(),
                by: FoundBy::Check,
                reason: fault.reason().to_owned(),
                message: fault.to_string(),
                not_before: None,
            }),
            check::Finding::Passed | check::Finding::Unknown(_) if is_asked => {
                match ask(context, issuer, recorder, &entry.name).await? {
                    Answer::Authorized => None,
                    Answer::Refused(failure) => Some(refusal(&entry.name, &failure)),
                    Answer::PutOff(failure) => Some(Finding {
                        by: entry.found_by,
                        ..refusal(&entry.name, &failure)
                    }),
                    Answer::Waits => return give_back(recorder).await,
                }
            }
            check::Finding::Passed | check::Finding::Unknown(_) => None,
        };
        settle(context, recorder, entry, failed).await?;
    }
    give_back(recorder).await
}

fn is_due(entry: &QuarantinedName, now: Timestamp) -> bool {
    entry.place != QuarantinePlace::Joining && entry.next_try.0 <= now
}

/// What was mended for one name often was for others, and they had better come back in one order. A look costs
/// nothing; the CA is asked only about what is due.
fn is_looked_at_along(entry: &QuarantinedName) -> bool {
    let fails = matches!(entry.place, QuarantinePlace::Out | QuarantinePlace::Served);
    fails && entry.found_by == FoundBy::Check
}

/// Records what came of one name, and tells what is new about it.
async fn settle(
    context: &Context,
    recorder: &mut Recorder,
    entry: &QuarantinedName,
    failed: Option<Finding>,
) -> Result<(), Stop> {
    let now = clock::now();
    let mut status = recorder.status();
    status.order = None;
    let quarantine = &mut status.quarantine;
    let name = &entry.name;
    let news = match &failed {
        Some(finding) => {
            let place = match entry.place {
                QuarantinePlace::Served => QuarantinePlace::Served,
                QuarantinePlace::Out | QuarantinePlace::Passing | QuarantinePlace::Joining => {
                    QuarantinePlace::Out
                }
            };
            quarantine::put(quarantine, finding, place, now);
            quarantine.sort_by(|one, other| one.name.cmp(&other.name));
            (finding.reason != entry.reason || place != entry.place)
                .then(|| format!("{name}: {}: {}", finding.reason, finding.message))
        }
        None => {
            quarantine::passed(recorder.shard(), quarantine, name, now);
            None
        }
    };
    quarantine::show(&mut status, recorder.shard(), now);
    recorder.record(status).await?;
    let shard = recorder.shard();
    if let Some(words) = news {
        finish::tell_failure(context, shard, quarantine::NAMES_QUARANTINED, &words).await;
    }
    if failed.is_none() {
        let entries = quarantine::entries(shard);
        let words = entries.into_iter().find(|entry| entry.name == *name);
        let words = words.map_or_else(|| format!("{name} can be validated again"), quarantine::word);
        tracing::info!(shard = full_name(shard), name, words, "a name passes again");
        context.events.normal(shard, "NamePasses", "Check", words).await;
    }
    Ok(())
}

/// The claim is given up.
async fn give_back(recorder: &mut Recorder) -> Result<(), Stop> {
    let mut status = recorder.status();
    status.claim = None;
    Ok(recorder.record(status).await?)
}

fn refusal(name: &str, failure: &Failure) -> Finding {
    Finding {
        name: name.to_owned(),
        by: FoundBy::Ca,
        reason: failure.reason.to_owned(),
        message: advised(failure.reason, &failure.message),
        not_before: match failure.retry {
            Retry::At(at) => Some(at),
            Retry::Backoff => None,
        },
    }
}

/// Asks the CA for the authorization of one name. The order is recorded in the shard's place for one, so that every
/// replica answers its challenge and another goes on with it; nobody takes it for the shard's own, since it is for
/// something else.
async fn ask(
    context: &Context,
    issuer: &ReadyIssuer,
    recorder: &mut Recorder,
    name: &str,
) -> Result<Answer, Stop> {
    let Ok(parsed) = Name::parse(name) else {
        return Err(Stop::Nothing);
    };
    let names = [parsed];
    let kinds = kinds(context, recorder.shard(), &names);
    let target = quarantine::target_of(recorder.shard(), vec![name.to_owned()], &issuer.server);
    let profile =
        profile::profile(&recorder.shard().spec, issuer.terms.profile.as_deref()).map(str::to_owned);
    let terms = Terms {
        profile: profile.as_deref(),
        not_after: renewal::not_after(recorder.shard(), clock::now()),
        csr: &[],
    };
    let mut state = resumed(issuer, recorder, &target, &names).unwrap_or_default();
    let mut reread = BTreeSet::new();
    let account = issuer.session.kid();
    let is_held_back = |now| {
        let held_back = context
            .quotas
            .holding_back(account, &[name.to_owned()], false, now);
        held_back.map(|held_back| used_up(held_back.until, held_back.words))
    };
    loop {
        if matches!(state.stage, Stage::Ready | Stage::Processing | Stage::Valid) {
            return Ok(Answer::Authorized);
        }
        let now = Timestamp::now();
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
                let presenting = present(context, recorder, &target, state, &issuer.session, &mut reread);
                let presented = tokio::select! {
                    biased;
                    presented = presenting => presented?,
                    () = context.is_ending() => return Err(Stop::SlotsLost),
                };
                match presented {
                    Presented::Seen(next) | Presented::Doubted(next) => state = next,
                    Presented::Waits => return Ok(Answer::Waits),
                    Presented::Failed(_, findings) => {
                        let words = findings.into_iter().next().map(|finding| finding.message);
                        return Ok(Answer::PutOff(Box::new(broken_off(words.unwrap_or_default()))));
                    }
                }
                continue;
            }
            Step::Failed(failure) => return Ok(Answer::Refused(Box::new(failure))),
            Step::Restart { why } => return Ok(Answer::PutOff(Box::new(broken_off(why)))),
        };
        if let Request::NewOrder { .. } = request
            && let Some(failure) = is_held_back(now)
        {
            return Ok(Answer::PutOff(Box::new(failure)));
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
                return Ok(Answer::PutOff(Box::new(failure)));
            }
        };
        let answer = match answer {
            Ok(response) => Reply::Response(response),
            Err(error) => match error.reply() {
                Some(reply) => reply,
                None => return Ok(Answer::PutOff(Box::new(broken_off(error.to_string())))),
            },
        };
        let (moved, effect) = reply(state, &request, &answer, &names, &kinds, Timestamp::now());
        state = moved;
        match effect {
            Effect::Moved | Effect::Again { .. } => record(recorder, &target, &state).await?,
            // It is never finalized here.
            Effect::Issued { .. } => return Ok(Answer::Authorized),
            Effect::Failed(failure) => return Ok(Answer::Refused(Box::new(failure))),
            Effect::Restart { why } => return Ok(Answer::PutOff(Box::new(broken_off(why)))),
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

fn used_up(until: Timestamp, words: String) -> Failure {
    Failure {
        reason: sancho_core::order::reason::RATE_LIMITED,
        message: words,
        names: Vec::new(),
        retry: Retry::At(until),
        quota: None::<Scope>,
        most_names: None,
    }
}

fn broken_off(why: String) -> Failure {
    Failure {
        reason: sancho_core::order::reason::ORDER_INVALID,
        message: why,
        names: Vec::new(),
        retry: Retry::Backoff,
        quota: None,
        most_names: None,
    }
}
