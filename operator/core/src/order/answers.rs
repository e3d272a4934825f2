//! What a CA's 2xx answers say, taken into the state.

use jiff::Timestamp;

use super::bodies::{AuthorizationBody, ChallengeBody, OrderBody, is_for};
use super::refusal::{order_failure, unexpected};
use super::reply::trouble;
use super::state::{Authorization, AuthorizationState, OrderState, Stage};
use super::step::{Effect, Failure, Retry, reason};
use crate::challenge::{ChallengeKind, ChallengeKinds, Token};
use crate::names::Name;
use crate::response::{LONGEST_URL, Problem, Response};
use crate::shown::{shown, shown_within};
use crate::standing::check_issuers;

/// The most characters that are kept of one authorization's error: a status holds a hundred.
const ERROR_MAX: usize = 256;

/// newOrder was answered.
pub(super) fn order_made(
    state: &mut OrderState,
    response: &Response,
    names: &[Name],
    now: Timestamp,
) -> Effect {
    let body = response.json::<OrderBody>();
    let Some(location) = response.location.clone() else {
        return match body {
            // Asking again at once would make one order after another.
            Ok(_) => Effect::Failed(unexpected(
                "the CA made an order and did not say where it is (no Location)",
            )),
            Err(_) => trouble(state, response, now),
        };
    };
    if let Err(failure) = check_url("the order", Some(&location)) {
        return Effect::Failed(*failure);
    }
    state.url = Some(location);
    state.stage = Stage::Pending;
    state.polls = 0;
    match body {
        Ok(body) => take_in(state, body, response, names, now),
        // The order exists; polling it tells what this answer did not.
        Err(_) => trouble(state, response, now),
    }
}

/// The order was polled.
pub(super) fn order_polled(
    state: &mut OrderState,
    response: &Response,
    names: &[Name],
    now: Timestamp,
) -> Effect {
    match response.json::<OrderBody>() {
        Ok(body) => {
            state.polls = state.polls.saturating_add(1);
            take_in(state, body, response, names, now)
        }
        Err(_) => trouble(state, response, now),
    }
}

/// Finalize was accepted.
pub(super) fn order_finalized(
    state: &mut OrderState,
    response: &Response,
    names: &[Name],
    now: Timestamp,
) -> Effect {
    state.move_to(Stage::Processing);
    state.note_finalized(now);
    match response.json::<OrderBody>() {
        // Some CAs answer with the order as it was before: ask the order.
        Ok(body) if body.status == "ready" => {
            state.wait_for_progress(response.retry_after(now), now);
            Effect::Moved
        }
        Ok(body) => take_in(state, body, response, names, now),
        Err(_) => trouble(state, response, now),
    }
}

/// The authorization at this place and URL was read.
pub(super) fn authorization_read(
    state: &mut OrderState,
    (index, url): (usize, &str),
    response: &Response,
    names: &[Name],
    kinds: &ChallengeKinds,
    now: Timestamp,
) -> Effect {
    let Ok(body) = response.json::<AuthorizationBody>() else {
        return trouble(state, response, now);
    };
    let is_given_up = state.stage == Stage::Invalid;
    let Some(authorization) = state.authorizations.get_mut(index).filter(|a| a.url == url) else {
        return Effect::Moved;
    };
    // A wildcard's is named after its domain, and says that it is one (§7.1.4).
    let value = match body.wildcard {
        true => format!("*.{}", body.identifier.value),
        false => body.identifier.value.clone(),
    };
    let mut known = names.iter();
    let Some(known) = known.find(|name| name.is(&body.identifier.kind, &value)) else {
        return Effect::Failed(unexpected(&format!(
            "the CA asks for an authorization of {} {value}, which is not in the order",
            body.identifier.kind
        )));
    };
    authorization.name = Some(known.to_string());
    match body.status.as_str() {
        "pending" if is_given_up => authorization.state = AuthorizationState::Pending,
        "pending" => match take_challenge(authorization, known, kinds.of(known), &body.challenges) {
            Ok(()) => {}
            Err(failure) => return Effect::Failed(*failure),
        },
        "valid" => authorization.accept(AuthorizationState::Valid),
        "invalid" => {
            authorization.refuse(
                body.challenges
                    .iter()
                    .find_map(|challenge| challenge.error.as_ref()),
            );
        }
        "deactivated" | "expired" | "revoked" => {
            return Effect::Restart {
                why: shown(&format!("the authorization of {value} is {}", body.status)),
            };
        }
        _ => return trouble(state, response, now),
    }
    if state.authorizations[index].state == AuthorizationState::Invalid {
        state.give_up();
    }
    Effect::Moved
}

/// A challenge was accepted for checking.
pub(super) fn challenge_answered(
    state: &mut OrderState,
    index: usize,
    url: &str,
    response: &Response,
    now: Timestamp,
) -> Effect {
    let Some(authorization) = state
        .authorizations
        .get_mut(index)
        .filter(|a| a.challenge_url.as_deref() == Some(url))
    else {
        return Effect::Moved;
    };
    // A 2xx says that the CA took it, even if the body cannot be read.
    let body = response.json::<ChallengeBody>().ok();
    match body.as_ref().and_then(|body| body.status.as_deref()) {
        Some("invalid") => {
            authorization.refuse(body.as_ref().and_then(|body| body.error.as_ref()));
            state.give_up();
            return Effect::Moved;
        }
        Some("valid") => authorization.accept(AuthorizationState::Valid),
        _ => authorization.accept(AuthorizationState::Answered),
    }
    state.polls = 0;
    if !state.has_work() && state.has(AuthorizationState::Answered) {
        state.wait_for_progress(response.retry_after(now), now);
    }
    Effect::Moved
}

/// The certificate was downloaded.
pub(super) fn certificate_read(state: &mut OrderState, response: &Response, now: Timestamp) -> Effect {
    match std::str::from_utf8(&response.body) {
        Ok(chain) if chain.contains("-----BEGIN CERTIFICATE-----") => Effect::Issued {
            chain: chain.to_owned(),
            alternates: response.alternates.clone(),
        },
        _ => trouble(state, response, now),
    }
}

fn take_in(
    state: &mut OrderState,
    body: OrderBody,
    response: &Response,
    names: &[Name],
    now: Timestamp,
) -> Effect {
    let OrderBody {
        status,
        expires,
        identifiers,
        authorizations,
        finalize,
        certificate,
        error,
    } = body;
    if !is_for(&identifiers, names) {
        return Effect::Failed(unexpected(
            "the CA's order is for other names than were asked for",
        ));
    }
    let urls = [
        ("finalize", finalize.as_ref()),
        ("the certificate", certificate.as_ref()),
    ];
    let urls = urls
        .into_iter()
        .chain(authorizations.iter().map(|url| ("an authorization", Some(url))));
    for (what, url) in urls {
        if let Err(failure) = check_url(what, url) {
            return Effect::Failed(*failure);
        }
    }
    state.expires = expires.and_then(|text| text.parse().ok()).or(state.expires);
    state.finalize_url = finalize.or(state.finalize_url.take());
    state.certificate_url = certificate.or(state.certificate_url.take());
    for url in authorizations {
        if !state.authorizations.iter().any(|known| known.url == url) {
            state.authorizations.push(Authorization {
                url,
                ..Authorization::default()
            });
        }
        if state.authorizations.len() > names.len() {
            return Effect::Failed(unexpected("the CA's order has more authorizations than names"));
        }
    }
    match status.as_str() {
        "pending" => {
            if state.stage > Stage::Pending {
                // What was thought to be authorized is not.
                state.set_all(AuthorizationState::Unknown);
                state.finalized = None;
            }
            state.move_to(Stage::Pending);
            if !state.has_work() {
                state.wait_for_progress(response.retry_after(now), now);
            }
        }
        "ready" if state.finalize_url.is_none() => {
            return Effect::Failed(unexpected("the CA's order is ready and has no finalize URL"));
        }
        "ready" => {
            state.set_all(AuthorizationState::Valid);
            state.move_to(Stage::Ready);
        }
        "processing" => {
            state.set_all(AuthorizationState::Valid);
            state.move_to(Stage::Processing);
            state.note_finalized(now);
            state.wait_for_progress(response.retry_after(now), now);
        }
        "valid" if state.certificate_url.is_none() => {
            state.move_to(Stage::Processing);
            state.note_finalized(now);
            return trouble(state, response, now);
        }
        "valid" => {
            state.set_all(AuthorizationState::Valid);
            state.move_to(Stage::Valid);
            state.note_finalized(now);
        }
        "invalid" if state.stage == Stage::Invalid => {
            return Effect::Failed(order_failure(error.as_ref(), names));
        }
        "invalid" => {
            state.give_up();
            if !state.has(AuthorizationState::Unknown) && !state.has(AuthorizationState::Invalid) {
                return Effect::Failed(order_failure(error.as_ref(), names));
            }
        }
        "deactivated" | "expired" | "revoked" => {
            return Effect::Restart {
                why: format!("the order is {status}"),
            };
        }
        _ => return trouble(state, response, now),
    }
    Effect::Moved
}

/// A URL that is far longer than any CA's is not kept: whoever reads statuses would pay for it.
fn check_url(what: &str, url: Option<&String>) -> Result<(), Box<Failure>> {
    if url.is_none_or(|url| url.len() <= LONGEST_URL) {
        return Ok(());
    }
    Err(Box::new(unexpected(&format!(
        "the CA's answer is malformed: the URL of {what} has more than {LONGEST_URL} bytes"
    ))))
}

impl OrderState {
    /// Going on starts the count of vain attempts anew; going back, after a look at what came of
    /// a lost request, does not, so that waits grow even if that happens again and again.
    fn move_to(&mut self, stage: Stage) {
        if stage > self.stage {
            self.polls = 0;
        }
        self.stage = stage;
    }

    /// It is finalized now, if it was not before: its certificate is waited for from then on.
    pub(super) fn note_finalized(&mut self, now: Timestamp) {
        self.finalized = self.finalized.or(Some(now));
    }

    /// The CA has given the order up: those authorizations that may say why are to be read.
    fn give_up(&mut self) {
        self.move_to(Stage::Invalid);
        for authorization in &mut self.authorizations {
            if authorization.state == AuthorizationState::Answered {
                authorization.state = AuthorizationState::Unknown;
            }
        }
    }

    fn set_all(&mut self, state: AuthorizationState) {
        for authorization in &mut self.authorizations {
            authorization.state = state;
        }
    }

    fn has(&self, state: AuthorizationState) -> bool {
        self.authorizations
            .iter()
            .any(|authorization| authorization.state == state)
    }

    /// Is there anything to fetch or to answer?
    fn has_work(&self) -> bool {
        use AuthorizationState::{Pending, Presented, Unknown};
        [Unknown, Pending, Presented]
            .into_iter()
            .any(|state| self.has(state))
    }
}

impl Authorization {
    /// Keeps the CA's words.
    pub(super) fn note(&mut self, problem: &Problem) {
        self.error = Some(shown_within(&problem.message(), ERROR_MAX));
    }

    fn refuse(&mut self, problem: Option<&Problem>) {
        self.state = AuthorizationState::Invalid;
        self.error = None;
        if let Some(problem) = problem {
            self.note(problem);
        }
    }

    fn accept(&mut self, state: AuthorizationState) {
        self.state = state;
        self.error = None;
    }
}

/// Takes the challenge of this kind, of a pending authorization of `name`, in.
fn take_challenge(
    authorization: &mut Authorization,
    name: &Name,
    kind: ChallengeKind,
    challenges: &[ChallengeBody],
) -> Result<(), Box<Failure>> {
    let Some(challenge) = challenges
        .iter()
        .find(|challenge| challenge.kind == kind.as_str())
    else {
        let kinds: Vec<&str> = challenges
            .iter()
            .map(|challenge| challenge.kind.as_str())
            .collect();
        let (reason, word) = match kind {
            ChallengeKind::Http01 => (reason::NO_HTTP01, "HTTP-01"),
            ChallengeKind::Dns01 => (reason::NO_DNS01, "DNS-01"),
            ChallengeKind::DnsPersist01 => (reason::NO_DNS_PERSIST01, "dns-persist-01"),
        };
        return Err(Box::new(Failure {
            reason,
            message: shown(&format!(
                "the CA offers no {word} challenge for {name}, only: {}",
                kinds.join(", ")
            )),
            names: vec![name.clone()],
            retry: Retry::Backoff,
            quota: None,
            most_names: None,
        }));
    };
    let malformed = |what: &str| Box::new(unexpected(&format!("the CA's challenge for {name} has {what}")));
    let url = challenge.url.as_ref().ok_or_else(|| malformed("no URL"))?;
    check_url("a challenge", Some(url))?;
    (authorization.token, authorization.issuer_domain_names) = match kind {
        ChallengeKind::Http01 | ChallengeKind::Dns01 => {
            let token = challenge.token.as_ref().ok_or_else(|| malformed("no token"))?;
            Token::parse(token).map_err(|error| malformed(&format!("a bad token: {error}")))?;
            (Some(token.clone()), Vec::new())
        }
        // A token, should it have one, is of no use.
        ChallengeKind::DnsPersist01 => {
            let issuers = &challenge.issuer_domain_names;
            check_issuers(issuers).map_err(|error| malformed(&error.to_string()))?;
            (None, issuers.clone())
        }
    };
    authorization.kind = kind;
    authorization.challenge_url = Some(url.clone());
    match challenge.status.as_deref() {
        Some("processing" | "valid") => authorization.accept(AuthorizationState::Answered),
        Some("invalid") => authorization.refuse(challenge.error.as_ref()),
        _ => authorization.state = AuthorizationState::Pending,
    }
    Ok(())
}
