//! Claim → next step → request → record, until the certificate is there or there is a wait.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use sancho_core::names::DnsName;
use sancho_core::order::{Effect, OrderState, Reply, Request, Stage, Step, advised, next, reason, reply};
use sancho_crds::{CertificateShard, CertificateShardStatus, Claim};

use super::decide::{Need, Surroundings, need};
use super::finish::{self, Finish};
use super::record::{RecordError, Recorder};
use crate::clock;
use crate::context::Context;
use crate::issuer::{IssuerKey, ReadyIssuer};
use crate::order_status::{from_status, to_status};
use crate::queue::ShardKey;
use crate::target::target;

/// A wait of at most this long is waited for in place; after a longer one the shard is taken up anew.
const SHORT_WAIT: Duration = Duration::from_secs(10);
/// The first pause after a Secret could not be read or written. It doubles up to half an hour.
const SECRET_AGAIN: Duration = Duration::from_secs(30);
/// Progress that can be had again from the CA is recorded at least this often.
const RECORD_EVERY: Duration = Duration::from_secs(1);

/// So many times in a row an order is made again at once because its account was gone.
const REGISTERED_AGAIN: u32 = 4;

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
}

/// Drives one shard as far as it goes. `secret_gone`: its Secret was seen to be deleted.
///
/// # Errors
/// [`Stop`] says why it ended before the certificate was there; the shard is looked at again in
/// every case.
pub async fn drive(
    context: &Context,
    issuer: &ReadyIssuer,
    key: &ShardKey,
    secret_gone: bool,
) -> Result<(), Stop> {
    let api = context.shards(&key.namespace);
    let Some(shard) = api.get_opt(&key.name).await? else {
        return Err(Stop::Nothing);
    };
    let secret_gone = secret_gone && finish::is_secret_gone(context, &shard).await;
    let holders = issuer.budget.view().borrow().holders.clone();
    let around = Surroundings {
        server: &issuer.server,
        me: &context.replica,
        holders: &holders,
        secret_gone,
        now: clock::now(),
    };
    if !matches!(need(&shard, &around), Need::Work(_)) {
        return Err(Stop::Nothing);
    }
    if !is_settled(context, key, &shard.spec.certificate).await? {
        return Err(Stop::Nothing);
    }
    let names: Vec<DnsName> = match shard
        .spec
        .dns_names
        .iter()
        .map(|name| DnsName::parse(name))
        .collect()
    {
        Ok(names) => names,
        // The planner writes only parsed names; somebody else wrote this shard.
        Err(_) => return Err(Stop::Nothing),
    };
    let target = target(&shard.spec.dns_names, &shard.spec.issuer_ref, &issuer.server);
    let mut driven = Driven {
        context,
        issuer,
        recorder: Recorder::new(api, shard),
        target,
        names,
        secret_gone,
        recorded_at: tokio::time::Instant::now(),
    };
    driven.claim().await?;
    driven.run().await
}

/// Are the shards of this Certificate written as its plan says? Until then a name might still move.
async fn is_settled(context: &Context, key: &ShardKey, certificate: &str) -> Result<bool, kube::Error> {
    let certificate = context.certificates(&key.namespace).get_opt(certificate).await?;
    let Some(certificate) = certificate.filter(|c| c.metadata.deletion_timestamp.is_none()) else {
        return Ok(false);
    };
    Ok(certificate
        .status
        .and_then(|status| status.plan)
        .is_some_and(|plan| plan.settled))
}

struct Driven<'a> {
    context: &'a Context,
    issuer: &'a ReadyIssuer,
    recorder: Recorder,
    target: String,
    names: Vec<DnsName>,
    secret_gone: bool,
    recorded_at: tokio::time::Instant,
}

impl Driven<'_> {
    /// Writes this replica's claim. An order that is for something else is dropped.
    async fn claim(&mut self) -> Result<(), Stop> {
        let mut status = self.recorder.status();
        status.claim = Some(Claim {
            holder: self.context.replica.clone(),
        });
        if self.secret_gone {
            status.issued = None;
        }
        if status
            .order
            .as_ref()
            .is_some_and(|order| order.target != self.target)
        {
            status.order = None;
        }
        if status.order.is_none() {
            finish::show_working(&mut status, self.recorder.shard(), &self.target);
        }
        Ok(self.recorder.record(status).await?)
    }

    async fn run(&mut self) -> Result<(), Stop> {
        if self.recorder.status().order.is_none() {
            match finish::before_order(self.context, self.recorder.shard(), &self.target).await? {
                Finish::Go => {}
                Finish::Record(status) => return Ok(self.recorder.record(*status).await?),
            }
        }
        let Some(mut state) = self.state() else {
            return self.restart("the recorded order cannot be resumed").await;
        };
        if state.stage == Stage::Valid
            && let Some(status) = finish::published(self.context, self.recorder.shard(), &self.target).await
        {
            self.recorder.record(status).await?;
            finish::tell_issued(self.context, self.recorder.shard()).await;
            return Ok(());
        }
        loop {
            let now = Timestamp::now();
            match next(&state, &self.names, now) {
                Step::Send(request) => match self.send(state, &request).await? {
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
            return Some(OrderState::default());
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

    /// Sends one request and records its answer. What the request depends on is recorded before.
    /// Nothing comes back once the order has ended, well or badly.
    async fn send(&mut self, state: OrderState, request: &Request) -> Result<Option<OrderState>, Stop> {
        let csr = match request {
            Request::Finalize { .. } => match finish::csr(self.context, self.recorder.shard()).await {
                Ok(csr) => csr,
                Err(error) => return self.put_off(state, &error).await,
            },
            Request::AnswerChallenge { .. } => {
                // The responders read the token from the recorded state.
                self.save(&state).await?;
                Vec::new()
            }
            Request::NewOrder { .. }
            | Request::FetchAuthorization { .. }
            | Request::PollOrder { .. }
            | Request::DownloadCertificate { .. } => Vec::new(),
        };
        // Drives share the directory: while one fetches it the others wait, and hold nothing up.
        let warmed = tokio::select! {
            biased;
            warmed = self.issuer.session.warm() => warmed,
            () = self.issuer.budget.lost() => return Err(Stop::SlotsLost),
        };
        // Ends when the answer is recorded: until then no slot is released.
        let _unrecorded = self.issuer.budget.unrecorded().begin();
        let answer = match warmed {
            Ok(None) => tokio::select! {
                biased;
                answer = self.issuer.session.perform(request, &csr) => answer,
                () = self.issuer.budget.lost() => return Err(Stop::SlotsLost),
            },
            Ok(Some(throttle)) => Ok(throttle),
            Err(error) => Err(error),
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
        let (state, effect) = reply(state, request, &answer, &self.names, Timestamp::now());
        match effect {
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
                    reason::THROTTLED | reason::SERVER_ERROR => {
                        self.save_obstacle(&state, reason, &advised(reason, &message))
                            .await?;
                    }
                    // What the CA cannot be asked for is shown already; the rest ends by itself.
                    _ => self.save_unmoved(&state).await?,
                }
            }
            Effect::Issued { chain, alternates: _ } => {
                let shard = self.recorder.shard();
                let finished = finish::publish(self.context, shard, &self.target, &chain).await;
                match finished {
                    Ok(status) => self.recorder.record(status).await?,
                    Err(error) => return self.put_off(state, &error).await,
                }
                finish::tell_issued(self.context, self.recorder.shard()).await;
                return Ok(None);
            }
            Effect::Failed(failure) => {
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

    /// A Secret cannot be read or written: the order is kept, and goes on after a pause that grows.
    async fn put_off(
        &mut self,
        mut state: OrderState,
        error: &finish::FinishError,
    ) -> Result<Option<OrderState>, Stop> {
        let message = error.to_string();
        tracing::warn!(
            shard = self.recorder.shard().name_any(),
            message,
            "a Secret is tried again later"
        );
        let pause = SECRET_AGAIN.saturating_mul(1 << state.polls.min(5));
        state.polls = state.polls.saturating_add(1);
        state.not_before = Timestamp::now().checked_add(pause).ok();
        self.save_obstacle(&state, finish::SECRET_NOT_WRITTEN, &message)
            .await?;
        Ok(None)
    }

    /// Records the state at once if the next request must not be sent without it: the order's URL,
    /// a change of stage. What the CA can be asked for again is recorded every second.
    async fn save_if_due(
        &mut self,
        state: &OrderState,
        request: &Request,
        had_url: bool,
    ) -> Result<(), Stop> {
        let recorded = self.recorder.status().order;
        let moved = recorded.as_ref().map(|order| order.stage.as_str()) != Some(state.stage.as_str());
        let new_order = matches!(request, Request::NewOrder { .. }) || !had_url;
        // Another answer to the same challenge would be refused, or make the CA check once more.
        let answered = matches!(request, Request::AnswerChallenge { .. });
        if moved || new_order || answered || self.recorded_at.elapsed() >= RECORD_EVERY {
            self.save(state).await?;
        }
        Ok(())
    }

    /// Records a state, and that the order moves on.
    async fn save(&mut self, state: &OrderState) -> Result<(), Stop> {
        let target = self.target.clone();
        self.save_with(state, |status, shard| {
            finish::show_working(status, shard, &target)
        })
        .await
    }

    /// Records a state that is still where it was: what the conditions say of it stays.
    async fn save_unmoved(&mut self, state: &OrderState) -> Result<(), Stop> {
        self.save_with(state, |_, _| ()).await
    }

    /// Records a state that is still where it was, and what stands in its way, with an event if that is news.
    async fn save_obstacle(&mut self, state: &OrderState, reason: &str, message: &str) -> Result<(), Stop> {
        let mut news = false;
        self.save_with(state, |status, shard| {
            news = finish::show_obstacle(status, shard, reason, message);
        })
        .await?;
        if news {
            finish::tell_failure(self.context, self.recorder.shard(), reason, message).await;
        }
        Ok(())
    }

    async fn save_with(
        &mut self,
        state: &OrderState,
        show: impl FnOnce(&mut CertificateShardStatus, &CertificateShard),
    ) -> Result<(), Stop> {
        let mut status = self.recorder.status();
        let is_first = status
            .order
            .as_ref()
            .and_then(|order| order.url.as_ref())
            .is_none()
            && state.url.is_some();
        status.order = Some(to_status(&self.target, state));
        if is_first {
            status.orders = Some(status.orders.unwrap_or_default() + 1);
        }
        show(&mut status, self.recorder.shard());
        self.recorder.record(status).await?;
        self.recorded_at = tokio::time::Instant::now();
        Ok(())
    }

    /// Waits in place, or says that it is too long for that. Slots may come and go meanwhile.
    async fn wait(&self, until: Timestamp, why: &str) -> Result<bool, Stop> {
        let wait = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
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

    async fn fail(
        &mut self,
        state: &OrderState,
        reason: &str,
        message: &str,
        failure: &sancho_core::order::Failure,
    ) -> Result<(), Stop> {
        tracing::warn!(
            shard = self.recorder.shard().name_any(),
            order = state.url,
            reason,
            message,
            "order failed"
        );
        let message = advised(reason, message);
        let retry = if reason == reason::ACCOUNT_DOES_NOT_EXIST {
            self.register_again()
        } else {
            failure.retry
        };
        let status = finish::failed(self.recorder.shard(), &self.target, reason, &message, retry);
        let first = self.is_news(reason);
        self.recorder.record(status).await?;
        if first {
            finish::tell_failure(self.context, self.recorder.shard(), reason, &message).await;
        }
        Ok(())
    }

    /// The account is gone with all its orders: another order is made as soon as the account is there
    /// again, unless that has not helped before. Each replica may hear of it once, from the same shard.
    fn register_again(&self) -> sancho_core::order::Retry {
        let shard = self.recorder.shard();
        let issuer = IssuerKey::of(&shard.spec.issuer_ref, &shard.namespace().unwrap_or_default());
        self.context
            .issuers
            .account_gone(&issuer, self.issuer.session.kid());
        let failure = self.recorder.status().failure;
        if failure.is_none_or(|failure| failure.count < REGISTERED_AGAIN) {
            sancho_core::order::Retry::At(Timestamp::now())
        } else {
            sancho_core::order::Retry::Backoff
        }
    }

    /// A URL that may not be asked, a key that does not sign: the order is of no use.
    async fn refuse(
        &mut self,
        state: &OrderState,
        reason: &str,
        message: &str,
    ) -> Result<Option<OrderState>, Stop> {
        let failure = sancho_core::order::Failure {
            reason: reason::UNEXPECTED_ANSWER,
            message: message.to_owned(),
            names: Vec::new(),
            retry: sancho_core::order::Retry::Backoff,
        };
        if reason != "BudgetClosed" {
            self.fail(state, reason, message, &failure).await?;
        }
        Ok(None)
    }

    /// Shows that the CA does not answer, once for each reason.
    async fn show_no_answer(&mut self, reason: &str, message: &str) -> Result<(), Stop> {
        let mut status = self.recorder.status();
        if finish::show_obstacle(&mut status, self.recorder.shard(), reason, message) {
            self.recorder.record(status).await?;
            finish::tell_failure(self.context, self.recorder.shard(), reason, message).await;
        }
        Ok(())
    }

    /// The order is gone at the CA: begin with another one, after a pause that grows.
    async fn restart(&mut self, why: &str) -> Result<(), Stop> {
        tracing::warn!(
            shard = self.recorder.shard().name_any(),
            why,
            "the order is begun anew"
        );
        let status = finish::failed(
            self.recorder.shard(),
            &self.target,
            "OrderRestarted",
            why,
            sancho_core::order::Retry::Backoff,
        );
        Ok(self.recorder.record(status).await?)
    }

    fn is_news(&self, reason: &str) -> bool {
        let status: CertificateShardStatus = self.recorder.status();
        status
            .failure
            .is_none_or(|failure| failure.reason != reason || failure.target != self.target)
    }
}
