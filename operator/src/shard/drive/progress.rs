//! What is recorded and told while an order is under way.

use std::time::Duration;

use sancho_core::challenge::{ChallengeKind, Token};
use sancho_core::order::{OrderState, Request};
use sancho_crds::{CertificateShard, CertificateShardStatus};

use super::{Driven, Stop, finish};
use crate::order_status::to_status;
use crate::shard::keep;

/// Progress that can be had again from the CA is recorded this often.
const RECORD_EVERY: Duration = Duration::from_secs(1);
/// And more rarely where a write takes long: at most one part in so many of the time is spent on it.
const SHARE_OF_WRITES: u32 = 20;
/// But at least this often.
const RECORD_EVERY_AT_MOST: Duration = Duration::from_secs(5);

impl Driven<'_> {
    /// Records the state at once if the next request must not be sent without it: the order's URL,
    /// a change of stage. What the CA can be asked for again is recorded every second, or more rarely where writes take
    /// long: a thousand orders at once are not to keep the API server from everything else.
    pub(super) async fn save_if_due(
        &mut self,
        state: &OrderState,
        request: &Request,
        had_url: bool,
    ) -> Result<(), Stop> {
        let recorded = self.recorder.status().order;
        let moved = recorded.as_ref().map(|order| order.stage.as_str()) != Some(state.stage.as_str());
        let new_order = matches!(request, Request::NewOrder { .. }) || !had_url;
        if moved || new_order || self.recorded_at.elapsed() >= record_every(self.recording_took) {
            self.save(state).await?;
        }
        Ok(())
    }

    /// Records the state before a challenge is answered, if the responders cannot read the token from what is recorded.
    pub(super) async fn save_tokens(&mut self, state: &OrderState) -> Result<(), Stop> {
        let recorded = self.recorder.status().order;
        let recorded = recorded.as_ref().map_or(&[][..], |order| &order.authorizations);
        let are_there = recorded.len() == state.authorizations.len()
            && recorded
                .iter()
                .zip(&state.authorizations)
                .all(|(recorded, is)| recorded.token == is.token && recorded.name == is.name);
        if are_there { Ok(()) } else { self.save(state).await }
    }

    /// Waits until the responders have most likely heard of the token of this authorization.
    pub(super) async fn token_heard(&self, state: &OrderState, index: usize) -> Result<(), Stop> {
        let Some(authorization) = state.authorizations.get(index) else {
            return Ok(());
        };
        let (Some(host), Some(token)) = (&authorization.name, &authorization.token) else {
            return Ok(());
        };
        let Ok(token) = Token::parse(token) else {
            return Ok(());
        };
        if authorization.kind != ChallengeKind::Http01 {
            return Ok(());
        }
        let _errand = self.issuer.budget.errand();
        tokio::select! {
            biased;
            () = self.context.challenges.heard(host, &token) => Ok(()),
            () = self.context.is_ending() => Err(Stop::SlotsLost),
        }
    }

    /// Records a state, and that the order moves on.
    pub(super) async fn save(&mut self, state: &OrderState) -> Result<(), Stop> {
        let target = self.target.clone();
        self.save_with(state, |status, shard| {
            finish::show_working(status, shard, &target)
        })
        .await
    }

    /// Records a state that is still where it was: what the conditions say of it stays.
    pub(super) async fn save_unmoved(&mut self, state: &OrderState) -> Result<(), Stop> {
        self.save_with(state, |_, _| ()).await
    }

    /// Records a state that is still where it was, and what stands in its way, with an event if that is news.
    pub(super) async fn save_obstacle(
        &mut self,
        state: &OrderState,
        reason: &str,
        message: &str,
    ) -> Result<(), Stop> {
        let mut news = false;
        self.save_with(state, |status, shard| {
            news = finish::show_obstacle(status, shard, reason, message);
        })
        .await?;
        if news {
            self.tell_once(reason, message).await;
        }
        Ok(())
    }

    /// An event about an obstacle, once in a drive: the same may come and go with every request.
    async fn tell_once(&mut self, reason: &str, message: &str) {
        if self.told.insert(reason.to_owned()) {
            finish::tell_failure(self.context, self.recorder.shard(), reason, message).await;
        }
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
        keep::done(&mut status);
        if is_first {
            status.orders = Some(status.orders.unwrap_or_default() + 1);
        }
        show(&mut status, self.recorder.shard());
        let begun = tokio::time::Instant::now();
        self.recorder.record(status).await?;
        self.recorded_at = tokio::time::Instant::now();
        self.recording_took = self.recorded_at.duration_since(begun);
        Ok(())
    }

    /// Shows that the CA does not answer, once for each reason.
    pub(super) async fn show_no_answer(&mut self, reason: &str, message: &str) -> Result<(), Stop> {
        let mut status = self.recorder.status();
        if finish::show_obstacle(&mut status, self.recorder.shard(), reason, message) {
            self.recorder.record(status).await?;
            self.tell_once(reason, message).await;
        }
        Ok(())
    }
}

/// How long progress may go unrecorded if the last record took so long.
fn record_every(took: Duration) -> Duration {
    took.saturating_mul(SHARE_OF_WRITES)
        .clamp(RECORD_EVERY, RECORD_EVERY_AT_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_recorded_every_second_and_more_rarely_where_writes_take_long() {
        let after = |milliseconds| record_every(Duration::from_millis(milliseconds)).as_millis();
        assert_eq!(
            [0, 5, 50, 100, 200, 250, 9_000].map(after),
            [1000, 1000, 1000, 2000, 4000, 5000, 5000]
        );
    }
}
