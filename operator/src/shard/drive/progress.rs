//! What is recorded and told while an order is under way.

use std::time::Duration;

use sancho_core::order::{OrderState, Request};
use sancho_crds::{CertificateShard, CertificateShardStatus};

use super::{Driven, Stop, finish};
use crate::order_status::to_status;

/// Progress that can be had again from the CA is recorded at least this often.
const RECORD_EVERY: Duration = Duration::from_secs(1);

impl Driven<'_> {
    /// Records the state at once if the next request must not be sent without it: the order's URL,
    /// a change of stage. What the CA can be asked for again is recorded every second.
    pub(super) async fn save_if_due(
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
        if is_first {
            status.orders = Some(status.orders.unwrap_or_default() + 1);
        }
        show(&mut status, self.recorder.shard());
        self.recorder.record(status).await?;
        self.recorded_at = tokio::time::Instant::now();
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
