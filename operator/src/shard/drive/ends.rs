//! How an order ends, or is put off, other than with its certificate: recorded, counted and told.

use std::time::Duration;

use kube::ResourceExt;
use sancho_core::order::{Failure, OrderState, Retry, advised, reason};
use sancho_crds::CertificateShardStatus;

use super::{Driven, FinishError, ISSUED, Stop, finish};
use crate::clock;
use crate::issuer::IssuerKey;
use crate::metrics::OrderKind;
use crate::quotas;

/// The first pause after a Secret could not be read or written, as a certificate may wait to be shown. It doubles.
const SECRET_AGAIN: Duration = Duration::from_secs(2);
/// The longest such pause.
const SECRET_AGAIN_MOST: Duration = Duration::from_secs(300);
/// The CA does not know the order any more, or it cannot be resumed.
const ORDER_RESTARTED: &str = "OrderRestarted";
/// So many times in a row an order is made again at once because its account was gone.
const REGISTERED_AGAIN: u32 = 4;

impl Driven<'_> {
    /// A Secret cannot be read or written: the order is kept, and goes on after a pause that grows.
    pub(super) async fn put_off(
        &mut self,
        mut state: OrderState,
        error: &FinishError,
    ) -> Result<Option<OrderState>, Stop> {
        let message = error.to_string();
        tracing::warn!(
            shard = self.recorder.shard().name_any(),
            message,
            "a Secret is tried again later"
        );
        let pause = secret_pause(state.polls);
        state.polls = state.polls.saturating_add(1);
        state.not_before = clock::precise().checked_add(pause).ok();
        self.save_obstacle(&state, finish::SECRET_NOT_WRITTEN, &message)
            .await?;
        Ok(None)
    }

    /// The order is over, and tried again later; or its names are left out.
    pub(super) async fn fail(
        &mut self,
        state: &OrderState,
        reason: &str,
        message: &str,
        failure: &Failure,
    ) -> Result<(), Stop> {
        tracing::warn!(
            shard = self.recorder.shard().name_any(),
            order = state.url,
            reason,
            message,
            "order failed"
        );
        self.count(reason);
        let message = advised(reason, message);
        if self.leave_out(reason, &message, failure).await? {
            return Ok(());
        }
        let retry = if reason == reason::ACCOUNT_DOES_NOT_EXIST {
            self.register_again()
        } else {
            failure.retry
        };
        let mut status = self.failed(reason, &message, retry);
        if let Some(recorded) = status.failure.as_mut() {
            let account = self.issuer.session.kid();
            let told = failure.quota.as_ref();
            recorded.profile = (reason == reason::PROFILE_NOT_OFFERED)
                .then(|| self.profile().map(str::to_owned))
                .flatten();
            recorded.most_names = failure.most_names.and_then(|most| u32::try_from(most).ok());
            recorded.quota = told.and_then(|scope| quotas::to_status(scope, account));
        }
        let first = finish::is_news(Some(&self.recorder.status()), &self.target, reason);
        self.recorder.record(status).await?;
        if first {
            finish::tell_failure(self.context, self.recorder.shard(), reason, &message).await;
        }
        Ok(())
    }

    /// The account is gone with all its orders: another order is made as soon as the account is there
    /// again, unless that has not helped before. Each replica may hear of it once, from the same shard.
    fn register_again(&self) -> Retry {
        let shard = self.recorder.shard();
        let issuer = IssuerKey::of(&shard.spec.issuer_ref, &shard.namespace().unwrap_or_default());
        self.context
            .issuers
            .account_gone(&issuer, self.issuer.session.kid());
        let failure = self.recorder.status().failure;
        if failure.is_none_or(|failure| failure.count < REGISTERED_AGAIN) {
            Retry::At(clock::precise())
        } else {
            Retry::Backoff
        }
    }

    /// A URL that may not be asked, a key that does not sign: the order is of no use.
    pub(super) async fn refuse(
        &mut self,
        state: &OrderState,
        reason: &str,
        message: &str,
    ) -> Result<Option<OrderState>, Stop> {
        let failure = Failure {
            reason: reason::UNEXPECTED_ANSWER,
            message: message.to_owned(),
            names: Vec::new(),
            retry: Retry::Backoff,
            quota: None,
            most_names: None,
        };
        if reason != "BudgetClosed" {
            self.fail(state, reason, message, &failure).await?;
        }
        Ok(None)
    }

    /// The order has ended: in a certificate, or for this reason.
    pub(super) fn count(&self, result: &str) {
        let ca = self.issuer.session.transport().origin().to_string();
        let took = self.ordered_at.map(|since| since.elapsed());
        // A Secret that is gone is made anew, whatever it held.
        let kind = match self.is_renewal && !self.secret_gone {
            true => OrderKind::Renewal,
            false => OrderKind::New,
        };
        let metrics = &self.context.metrics;
        metrics.order_ended(&ca, kind, result, took.filter(|_| result == ISSUED));
        let shard = self.recorder.shard();
        self.trace.ended(shard, self.names.len(), self.begun, result);
    }

    /// The order is gone at the CA: begin with another one, after a pause that grows.
    pub(super) async fn restart(&mut self, why: &str) -> Result<(), Stop> {
        tracing::warn!(
            shard = self.recorder.shard().name_any(),
            why,
            "the order is begun anew"
        );
        self.count(ORDER_RESTARTED);
        let (shard, target) = (self.recorder.shard(), &self.target);
        finish::tell_news(self.context, shard, target, ORDER_RESTARTED, why).await;
        let status = self.failed(ORDER_RESTARTED, why, Retry::Backoff);
        Ok(self.recorder.record(status).await?)
    }

    /// The shard's status once this attempt has failed, for a reason that an edit of the issuer may mend.
    pub(super) fn failed(&self, reason: &str, message: &str, retry: Retry) -> CertificateShardStatus {
        let mut status = finish::failed(self.recorder.shard(), &self.target, reason, message, retry);
        if let Some(failure) = status.failure.as_mut() {
            let edition = self.issuer.terms.edition;
            (failure.issuer_created, failure.issuer_generation) = edition.to_record();
        }
        status
    }
}

/// The pause after Secrets could not be read or written so many times before.
fn secret_pause(times: u32) -> Duration {
    SECRET_AGAIN
        .saturating_mul(1 << times.min(10))
        .min(SECRET_AGAIN_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_tried_again_after_two_seconds_and_ever_more_rarely_up_to_five_minutes() {
        let pauses: Vec<u64> = [0, 1, 2, 7, 8, u32::MAX]
            .map(|times| secret_pause(times).as_secs())
            .to_vec();
        assert_eq!(pauses, [2, 4, 8, 256, 300, 300]);
    }
}
