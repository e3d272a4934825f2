//! Claim → next step → request → record, until the certificate is there or there is a wait.

mod ends;
mod names;
mod progress;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use sancho_core::challenge::ChallengeKinds;
use sancho_core::names::Name;
use sancho_core::order::{
    Effect, OrderState, Patience, Reply, Request, Stage, Step, advised, next, overdue, reason, reply,
    waited_for,
};
use sancho_core::renewal::CertId;
use sancho_crds::{
    Certificate, CertificateShard, CertificateShardStatus, Claim, QuarantinedName, unset_condition,
};
use tracing::Instrument;

use super::aside;
use super::decide::{
    Need, Surroundings, asked_by_hand, expiry, is_begun_anew, is_elsewhere, is_renewal, is_renewed_by_hand,
    need,
};
use super::finish::{self, Finish, FinishError};
use super::keep::{give_back, keep};
use super::key;
use super::look::look;
use super::present::{Presented, kinds, present};
use super::profile;
use super::publish::publish;
use super::record::{RecordError, Recorder};
use super::renewal;
use crate::acme::session::Terms;
use crate::clock;
use crate::context::Context;
use crate::issuer::ReadyIssuer;
use crate::metrics::ISSUED;
use crate::order_status::from_status;
use crate::queue::{Priority, ShardKey};
use crate::secrets::SecretError;
use crate::shard::quarantine;
use crate::shard::retry::retry;
use crate::shard::revoke::revoke;
use crate::shard::send::{Sent, send};
use crate::shard::sweep::{Which, sweep};
use crate::traces::{self, OrderTrace};

/// A wait of at most this long is waited for in place; after a longer one the shard is taken up anew.
pub(super) const SHORT_WAIT: Duration = Duration::from_secs(10);

/// Why a drive ended early.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Nothing to do, or somebody else does it.
    #[error("nothing to do")]
    Nothing,
    /// No slot is held any more.
    #[error("no slot is held any more")]
    SlotsLost,
    /// A step could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The API server refused or did not answer.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// A Secret could not be read or written.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// What was seen of a shard's Secret.
#[derive(Debug, Clone, Default)]
pub struct SeenSecret {
    /// It was seen to be deleted.
    pub gone: bool,
    /// What its annotation [`sancho_crds::REVOKE_ANNOTATION`] says.
    pub revoke: Option<String>,
}

/// Drives one shard as far as it goes.
///
/// # Errors
/// [`Stop`] says why it ended before the certificate was there; the shard is looked at again in
/// every case.
pub async fn drive(
    context: &Context,
    issuer: &ReadyIssuer,
    key: &ShardKey,
    secret: SeenSecret,
) -> Result<(), Stop> {
    let api = context.shards(&key.namespace);
    let Some(shard) = api.get_opt(&key.name).await? else {
        return Err(Stop::Nothing);
    };
    let is_gone = secret.gone && finish::is_secret_gone(context, &shard).await;
    let secret_gone = is_gone || is_elsewhere(&shard);
    let holders = issuer.budget.view().borrow().holders.clone();
    let around = Surroundings {
        server: &issuer.server,
        me: &context.replica,
        holders: &holders,
        secret_gone,
        revoke: secret.revoke.as_deref(),
        lacks_renewal_info: issuer.session.lacks_renewal_info(),
        terms: &issuer.terms,
        quotas: &context.quotas,
        account: issuer.session.kid(),
        now: clock::now(),
    };
    let Need::Work(priority) = need(&shard, &around) else {
        return Err(Stop::Nothing);
    };
    // It may have been taken for something else that it needed.
    if aside::work(&shard, priority).writes && !issuer.budget.step_aside(key) {
        return Err(Stop::Nothing);
    }
    match priority {
        Priority::RenewalInfo => return look(context, issuer, Recorder::new(api, shard)).await,
        Priority::Revoke => return revoke(context, issuer, Recorder::new(api, shard)).await,
        Priority::Sweep => {
            let swept = sweep(context, Recorder::new(api, shard), Which::Leftover);
            return tokio::select! {
                swept = swept => swept,
                () = context.is_ending() => Err(Stop::SlotsLost),
            };
        }
        Priority::Retry => return retry(context, issuer, Recorder::new(api, shard)).await,
        Priority::UnderWay | Priority::NearExpiry | Priority::New | Priority::Renewal => {}
    }
    if !is_settled(context, &shard).await? {
        return Err(Stop::Nothing);
    }
    let mut planned = shard.clone();
    if let Some(status) = planned.status.as_mut() {
        let is_under_way = status
            .order
            .as_ref()
            .is_some_and(|order| order.target == quarantine::order_target(&shard, &issuer.server));
        if !is_under_way {
            status.quarantine = quarantine::before_order(&shard);
        }
    }
    let names: Vec<Name> = match quarantine::order_names(&planned)
        .iter()
        .map(|name| Name::parse(name))
        .collect()
    {
        Ok(names) => names,
        // The planner writes only parsed names; somebody else wrote this shard.
        Err(_) => return Err(Stop::Nothing),
    };
    if names.is_empty() {
        return Err(Stop::Nothing);
    }
    let target = quarantine::order_target(&planned, &issuer.server);
    let begun = SystemTime::now();
    let trace = OrderTrace::of(&planned);
    let turn = trace.drive(&planned, &context.replica);
    let mut driven = Driven {
        context,
        trace,
        begun,
        issuer,
        is_renewal: is_renewal(&shard, &target),
        kinds: kinds(context, &shard, &names),
        quarantine: planned.status.unwrap_or_default().quarantine,
        told: BTreeSet::new(),
        recorder: Recorder::new(api, shard),
        target,
        names,
        secret_gone,
        ordered_at: None,
        is_routed: false,
        reread: BTreeSet::new(),
        recorded_at: tokio::time::Instant::now(),
        recording_took: Duration::ZERO,
    };
    driven.claim().instrument(turn.clone()).await?;
    let outcome = driven.run().instrument(turn).await;
    if driven.is_routed {
        let uid = driven.recorder.shard().uid().unwrap_or_default();
        context.routes.drive_ended(&uid);
    }
    outcome
}

/// Are the shards of the Certificate of this shard, which was just read, written as its plan says? Until then a name might
/// still move.
async fn is_settled(context: &Context, shard: &CertificateShard) -> Result<bool, kube::Error> {
    let says_so = |certificate: &Certificate| {
        let plan = certificate
            .status
            .as_ref()
            .and_then(|status| status.plan.as_ref());
        certificate.metadata.deletion_timestamp.is_none() && plan.is_some_and(|plan| plan.settled)
    };
    let (name, namespace) = (&shard.spec.certificate, shard.namespace().unwrap_or_default());
    let seen = context
        .seen
        .certificates
        .get(&ObjectRef::new(name).within(&namespace));
    // Settled after the shard was written last: the read that it saves can be of ten thousand names.
    if seen.is_some_and(|seen| is_newer(&seen.metadata, &shard.metadata) && says_so(&seen)) {
        return Ok(true);
    }
    let certificate = context.certificates(&namespace).get_opt(name).await?;
    Ok(certificate.as_ref().is_some_and(says_so))
}

/// Was `one` written after `other`? Resource versions are numbers that grow, whatever the kind (KEP-5504); where they are
/// none, nothing is known.
fn is_newer(one: &ObjectMeta, other: &ObjectMeta) -> bool {
    let version = |meta: &ObjectMeta| meta.resource_version.as_deref()?.parse::<u64>().ok();
    version(one).is_some_and(|one| version(other).is_some_and(|other| one > other))
}

struct Driven<'a> {
    context: &'a Context,
    /// Where what is done is told to a collector of traces.
    trace: OrderTrace,
    /// When this drive began, or saw the order made.
    begun: SystemTime,
    issuer: &'a ReadyIssuer,
    recorder: Recorder,
    target: String,
    names: Vec<Name>,
    /// By which kind of challenge each is validated.
    kinds: ChallengeKinds,
    /// The names had a certificate before.
    is_renewal: bool,
    /// The names that cannot be validated, as this order takes them.
    quarantine: Vec<QuarantinedName>,
    secret_gone: bool,
    /// When newOrder was answered, if this drive saw it.
    ordered_at: Option<tokio::time::Instant>,
    /// Routes were written, or may have been.
    is_routed: bool,
    /// The names whose authorizations were read anew, since their TXT records were not seen in time.
    reread: BTreeSet<String>,
    /// What events were published about.
    told: BTreeSet<String>,
    recorded_at: tokio::time::Instant,
    /// How long the last record of the order took.
    recording_took: Duration,
}

impl Driven<'_> {
    /// Writes this replica's claim. An order that is for something else is dropped.
    async fn claim(&mut self) -> Result<(), Stop> {
        let mut status = self.recorder.status();
        status.claim = Some(Claim {
            holder: self.context.replica.clone(),
            busy_until: None,
        });
        if self.secret_gone {
            status.issued = None;
        }
        if status.quarantine != self.quarantine {
            status.quarantine.clone_from(&self.quarantine);
            quarantine::show(&mut status, self.recorder.shard(), clock::now());
        }
        if status
            .order
            .as_ref()
            .is_some_and(|order| order.target != self.target)
        {
            status.order = None;
        }
        if let Some(failure) = status.failure.as_mut()
            && is_begun_anew(self.recorder.shard(), failure, self.issuer.terms.edition)
        {
            // It still tells that its wait is over, until the attempt that begins now has come to something.
            failure.count = 0;
        }
        if status.order.is_none() {
            finish::show_working(&mut status, self.recorder.shard(), &self.target);
        }
        Ok(self.recorder.record(status).await?)
    }

    async fn run(&mut self) -> Result<(), Stop> {
        let is_resumed = self.recorder.status().order.is_some();
        if !is_resumed {
            let account = self.issuer.session.kid();
            match finish::before_order(self.context, self.recorder.shard(), &self.target, account).await {
                Finish::Go => {}
                Finish::Record(status) => return Ok(self.recorder.record(*status).await?),
            }
            if !self.is_held_back() && !self.all_pass().await? {
                return Ok(());
            }
        }
        let Some(mut state) = self.state() else {
            return self.restart("the recorded order cannot be resumed").await;
        };
        if state.stage == Stage::Valid {
            match self.published().await {
                Ok(None) => {}
                Ok(Some(status)) => {
                    self.recorder.record(status).await?;
                    self.count(ISSUED);
                    finish::tell_issued(self.context, self.recorder.shard()).await;
                    return Ok(());
                }
                Err(error) => {
                    self.put_off(state, &error.into()).await?;
                    return Ok(());
                }
            }
        }
        if is_resumed {
            self.route_open_challenges(&state).await?;
        }
        loop {
            let now = clock::precise();
            match next(&state, &self.names, now) {
                Step::Send(request) => match self.send(state, &request).await? {
                    Some(next) => state = next,
                    None => return Ok(()),
                },
                Step::Present => match self.present(state).await? {
                    Some(next) => state = next,
                    None => return Ok(()),
                },
                Step::Wait { until, why } => {
                    self.save_unmoved(&state).await?;
                    if !self.wait(until, why).await? {
                        return Ok(());
                    }
                }
                Step::Failed(failure) => {
                    return self
                        .fail(&state, failure.reason, &failure.message, &failure)
                        .await;
                }
                Step::Restart { why } => return self.restart(&why).await,
            }
        }
    }

    /// The recorded order, or one that is to be made; nothing if what is recorded cannot be resumed.
    fn state(&self) -> Option<OrderState> {
        let status = self.recorder.status();
        let Some(recorded) = status.order.as_ref().filter(|order| order.target == self.target) else {
            let asked = Some(asked_by_hand(&self.recorder.shard().spec));
            let replacing = OrderState::replacing(self.replaced());
            return Some(OrderState { asked, ..replacing });
        };
        let transport = self.issuer.session.transport();
        match from_status(recorded) {
            Ok(state)
                if state.check(&self.names).is_ok()
                    && state.urls().all(|url| transport.admit(url).is_ok()) =>
            {
                Some(state)
            }
            _ => None,
        }
    }

    /// The certificate in use, if it is this account's: whether its names are still the shard's or not, the
    /// order's takes its place.
    fn replaced(&self) -> Option<CertId> {
        let issued = self.recorder.status().issued?;
        let is_ours = issued.account_url.as_deref() == Some(self.issuer.session.kid());
        issued.cert_id.filter(|_| is_ours)?.parse().ok()
    }

    /// What there is to record if the Secret holds the certificate already.
    async fn published(&self) -> Result<Option<CertificateShardStatus>, SecretError> {
        let account = self.issuer.session.kid();
        finish::published(self.context, self.recorder.shard(), &self.target, account).await
    }

    /// Sends one request and records its answer. What the request depends on is recorded before.
    /// Nothing comes back once the order has ended, well or badly.
    async fn send(&mut self, state: OrderState, request: &Request) -> Result<Option<OrderState>, Stop> {
        let csr = match request {
            Request::Finalize { .. } => match key::csr(self.context, self.recorder.shard()).await {
                Ok(csr) => csr,
                Err(error) => return self.put_off(state, &error).await,
            },
            Request::AnswerChallenge { index, .. } => {
                self.save_tokens(&state).await?;
                self.token_heard(&state, *index).await?;
                Vec::new()
            }
            // Another may have been told of a quota while this one waited for its turn.
            Request::NewOrder { .. } if self.is_held_back() => return Err(Stop::Nothing),
            Request::NewOrder { .. } if self.is_too_early().await? => {
                let mut status = self.recorder.status();
                status.claim = None;
                for kind in ["Renewing", "Reconciling"] {
                    unset_condition(&mut status.conditions, kind);
                }
                self.recorder.record(status).await?;
                return Ok(None);
            }
            Request::NewOrder { .. }
            | Request::FetchAuthorization { .. }
            | Request::PollOrder { .. }
            | Request::DownloadCertificate { .. } => Vec::new(),
        };
        let profile = self.profile().map(str::to_owned);
        let terms = Terms {
            profile: profile.as_deref(),
            not_after: renewal::not_after(self.recorder.shard(), clock::now()),
            csr: &csr,
        };
        // Until the answer is recorded no slot is released.
        let (answer, _unrecorded) = match send(self.issuer, request, terms).await {
            Ok((Sent::Answer(answer), unrecorded)) => (answer, unrecorded),
            Err(Stop::SlotsLost) if state.url.is_some() => {
                // Whoever goes on with it would ask again for what is not recorded.
                self.save_unmoved(&state).await?;
                return Err(Stop::SlotsLost);
            }
            Err(stop) => return Err(stop),
            Ok((Sent::NotOffered(offered), _unrecorded)) => {
                let failure = profile::not_offered(
                    &self.recorder.shard().spec,
                    profile.as_deref(),
                    &offered,
                    clock::now(),
                );
                self.fail(&state, failure.reason, &failure.message, &failure)
                    .await?;
                return Ok(None);
            }
        };
        let answer = match answer {
            Ok(response) => {
                tracing::debug!(
                    shard = self.recorder.shard().name_any(),
                    order = state.url,
                    request = request.kind(),
                    status = response.status,
                    "answer"
                );
                Reply::Response(response)
            }
            Err(error) => match error.reply() {
                Some(reply) => {
                    if error.is_about_the_ca() {
                        self.show_no_answer(error.reason(), &error.to_string()).await?;
                    }
                    reply
                }
                None => return self.refuse(&state, error.reason(), &error.to_string()).await,
            },
        };
        let had_url = state.url.is_some();
        let (mut state, effect) = reply(
            state,
            request,
            &answer,
            &self.names,
            &self.kinds,
            clock::precise(),
        );
        if !had_url && state.url.is_some() {
            self.ordered_at = Some(tokio::time::Instant::now());
        }
        match self.unless_overdue(&mut state, effect) {
            Effect::Moved => self.save_if_due(&state, request, had_url).await?,
            Effect::Again { reason, message } => {
                tracing::info!(
                    shard = self.recorder.shard().name_any(),
                    request = request.kind(),
                    reason,
                    message,
                    "asked in vain, asked again later"
                );
                match reason {
                    reason::THROTTLED | reason::SERVER_ERROR | reason::RATE_LIMITED => {
                        self.save_obstacle(&state, reason, &advised(reason, &message))
                            .await?;
                    }
                    // What the CA cannot be asked for is shown already; the rest ends by itself.
                    _ => self.save_unmoved(&state).await?,
                }
            }
            Effect::Issued { chain, alternates: _ } => {
                let (shard, account) = (self.recorder.shard(), self.issuer.session.kid());
                let publishing = tracing::info_span!(target: traces::TARGET, "publish");
                let finished = publish(self.context, shard, &self.target, account, &chain)
                    .instrument(publishing)
                    .await;
                match finished {
                    Err(FinishError::Displaced) => return Err(Stop::Record(RecordError::Displaced)),
                    Ok(status) => self.recorder.record(status).await?,
                    Err(error) => return self.put_off(state, &error).await,
                }
                self.count(ISSUED);
                finish::tell_issued(self.context, self.recorder.shard()).await;
                return Ok(None);
            }
            Effect::Failed(mut failure) => {
                if failure.reason == reason::PROFILE_NOT_OFFERED {
                    let offered = self.issuer.session.known_profiles().await;
                    let spec = &self.recorder.shard().spec;
                    failure.message = profile::refused(spec, profile.as_deref(), &offered, &failure.message);
                }
                self.fail(&state, failure.reason, &failure.message, &failure)
                    .await?;
                return Ok(None);
            }
            Effect::Restart { why } => {
                self.restart(&why).await?;
                return Ok(None);
            }
        }
        Ok(Some(state))
    }

    /// What an answer meant, save that a certificate that does not come is not waited for without end.
    fn unless_overdue(&self, state: &mut OrderState, effect: Effect) -> Effect {
        let is_in_vain = matches!(
            effect,
            Effect::Moved
                | Effect::Again {
                    reason: reason::SERVER_ERROR,
                    ..
                }
        );
        let shard = self.recorder.shard();
        let asked = asked_by_hand(&shard.spec);
        let patience = Patience {
            not_after: expiry(shard),
            asked: Some(asked.as_str()),
        };
        if let Some(until) = waited_for(state, patience) {
            state.not_before = state.not_before.map(|at| at.min(until));
        }
        match overdue(state, patience, clock::precise()) {
            Some(failure) if is_in_vain => Effect::Failed(failure),
            Some(_) | None => effect,
        }
    }

    /// The CA's profile that a new order asks for.
    fn profile(&self) -> Option<&str> {
        profile::profile(&self.recorder.shard().spec, self.issuer.terms.profile.as_deref())
    }

    /// Is it this machine's clock alone that has the renewal due? Nobody asks the CA for a certificate before its clock was
    /// heard.
    async fn is_too_early(&self) -> Result<bool, Stop> {
        let shard = self.recorder.shard();
        let issued = shard.status.as_ref().and_then(|status| status.issued.as_ref());
        let issued = issued.filter(|_| self.is_renewal && !self.secret_gone && !is_renewed_by_hand(shard));
        let Some(renewal) = issued.map(|issued| renewal::renewal_of_issued(shard, issued)) else {
            return Ok(false);
        };
        tokio::select! {
            biased;
            // What is wrong with the CA is told by the request itself.
            _ = self.issuer.session.warm(None) => {}
            () = self.issuer.budget.lost() => return Err(Stop::SlotsLost),
        }
        Ok(Timestamp::now() >= renewal && clock::now() < renewal)
    }

    /// Does a quota hold back a new order of these names?
    fn is_held_back(&self) -> bool {
        let names = quarantine::order_names(self.recorder.shard());
        let account = self.issuer.session.kid();
        let quotas = &self.context.quotas;
        quotas
            .holding_back(account, &names, self.is_renewal, clock::now())
            .is_some()
    }

    /// Waits in place, or says that it is too long for that. Slots may come and go meanwhile.
    async fn wait(&self, until: Timestamp, why: &str) -> Result<bool, Stop> {
        let wait = Duration::try_from(until.duration_since(clock::precise())).unwrap_or_default();
        if wait > SHORT_WAIT {
            return Ok(false);
        }
        tracing::debug!(shard = self.recorder.shard().name_any(), why, ?wait, "waiting");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.issuer.budget.lost() => {}
        }
        // The claim counts only with a slot: without one somebody else may have gone on.
        if self.issuer.budget.view().borrow().held == 0 {
            Err(Stop::SlotsLost)
        } else {
            Ok(true)
        }
    }
}

/// Does `work`, which takes its time and needs no slot, and keeps the claim of `recorder`'s shard meanwhile.
///
/// # Errors
/// [`Stop::SlotsLost`] if the process is to end: then others may take the shard over at once.
pub(super) async fn unless_ending<T>(
    context: &Context,
    recorder: &mut Recorder,
    work: impl Future<Output = T>,
) -> Result<T, Stop> {
    tokio::select! {
        biased;
        done = keep(recorder, work) => return Ok(done),
        () = context.is_ending() => {}
    }
    give_back(recorder).await;
    Err(Stop::SlotsLost)
}

/// After something that took its time, and before the CA is asked: a slot is held, and nobody else has taken `recorder`'s
/// shard over meanwhile. The claim counts only with a slot.
///
/// # Errors
/// [`Stop::Record`] if somebody has written the shard, [`Stop::SlotsLost`] if the process is to end.
pub(super) async fn still_claimed(
    context: &Context,
    issuer: &ReadyIssuer,
    recorder: &mut Recorder,
) -> Result<(), Stop> {
    unless_ending(context, recorder, issuer.budget.want_slot()).await?;
    Ok(recorder.confirm().await?)
}
