//! The permits that are out, and those that nobody has asked for yet.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sancho_limiter::{Endpoint, FairQueue, PermitId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::gate::{Ask, Permit, Report};

/// Permits by the number that they carry outside.
pub(super) struct Permits {
    reports: mpsc::UnboundedSender<(u64, Report)>,
    next: u64,
    open: HashMap<u64, Open>,
    /// By endpoint and tenant.
    asks: FairQueue<(), (Endpoint, Arc<str>), u64>,
    replies: HashMap<u64, (Endpoint, oneshot::Sender<Permit>)>,
    asked: u64,
    unasked: VecDeque<(Endpoint, Permit, Instant)>,
}

struct Open {
    id: PermitId,
    slot: u32,
    validity: watch::Sender<Instant>,
}

impl Permits {
    /// None yet; what becomes of them is told to `reports`.
    pub(super) fn new(reports: mpsc::UnboundedSender<(u64, Report)>) -> Self {
        Self {
            reports,
            next: 0,
            open: HashMap::new(),
            asks: FairQueue::new(1),
            replies: HashMap::new(),
            asked: 0,
            unasked: VecDeque::new(),
        }
    }

    /// Somebody waits for a permit, on behalf of `tenant`.
    pub(super) fn ask(&mut self, ask: Ask, now: Instant) {
        let Ask {
            endpoint,
            tenant,
            reply,
        } = ask;
        self.asked += 1;
        self.asks.put((), &(endpoint, tenant), &self.asked, 1);
        self.replies.insert(self.asked, (endpoint, reply));
        self.unasked.retain(|(_, _, until)| now < *until);
        let fit = self.unasked.iter().position(|(unasked, ..)| *unasked == endpoint);
        if let Some((endpoint, permit, until)) = fit.and_then(|place| self.unasked.remove(place)) {
            self.hand_out(endpoint, permit, until);
        }
    }

    /// How many wait. Those that have gone away are forgotten.
    pub(super) fn waiting(&mut self) -> usize {
        self.replies.retain(|_, (_, reply)| !reply.is_closed());
        if self.replies.len() < self.asks.len() {
            self.asks.retain(|ask| self.replies.contains_key(ask));
        }
        self.asks.len()
    }

    /// How many of those that wait wait for newNonce.
    pub(super) fn waiting_for_new_nonce(&self) -> usize {
        let endpoints = self.replies.values().map(|(endpoint, _)| endpoint);
        endpoints
            .filter(|endpoint| **endpoint == Endpoint::NewNonce)
            .count()
    }

    /// The limiter grants one: it goes to whoever waits longest of the tenant whose turn it is, else
    /// it is kept until `unasked_until`.
    pub(super) fn grant(
        &mut self,
        (id, endpoint): (PermitId, Endpoint),
        slot: u32,
        valid_until: Instant,
        unasked_until: Instant,
    ) {
        let number = self.next;
        self.next += 1;
        let (validity, watched) = watch::channel(valid_until);
        self.open.insert(number, Open { id, slot, validity });
        let permit = Permit::new(number, watched, self.reports.clone());
        self.hand_out(endpoint, permit, unasked_until);
    }

    fn hand_out(&mut self, endpoint: Endpoint, mut permit: Permit, unasked_until: Instant) {
        while let Some(reply) = self.next(endpoint) {
            match reply.send(permit) {
                Ok(()) => return,
                Err(back) => permit = back,
            }
        }
        self.unasked.push_back((endpoint, permit, unasked_until));
    }

    fn next(&mut self, endpoint: Endpoint) -> Option<oneshot::Sender<Permit>> {
        let ask = self.asks.take(|(asked, _)| *asked == endpoint)?;
        self.replies.remove(&ask).map(|(_, reply)| reply)
    }

    /// Returns those that nobody has asked for in time; dropping reports them. Says when to look again.
    pub(super) fn drop_unasked(&mut self, now: Instant) -> Option<Instant> {
        self.unasked.retain(|(_, _, until)| *until > now);
        self.unasked.iter().map(|(_, _, until)| *until).min()
    }

    /// Its name in the limiter.
    pub(super) fn name(&self, number: u64) -> Option<PermitId> {
        self.open.get(&number).map(|open| open.id)
    }

    /// It has come to its end: its name in the limiter.
    pub(super) fn settle(&mut self, number: u64) -> Option<PermitId> {
        self.open.remove(&number).map(|open| open.id)
    }

    /// A slot is valid until then.
    pub(super) fn extend(&self, slot: u32, valid_until: Instant) {
        for open in self.open.values().filter(|open| open.slot == slot) {
            open.validity.send_if_modified(|validity| {
                let moved = *validity != valid_until;
                *validity = valid_until;
                moved
            });
        }
    }

    /// The connections of these are to be closed at once.
    pub(super) fn abort(&self, ids: &[PermitId], now: Instant) {
        for open in self.open.values().filter(|open| ids.contains(&open.id)) {
            open.validity
                .send_modify(|validity| *validity = (*validity).min(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    fn ask(tenant: &str, reply: oneshot::Sender<Permit>) -> Ask {
        Ask {
            endpoint: Endpoint::Other,
            tenant: Arc::from(tenant),
            reply,
        }
    }

    #[test]
    fn tenants_whose_requests_wait_take_turns() {
        let (reports, _received) = mpsc::unbounded_channel();
        let mut permits = Permits::new(reports);
        let mut answers = Vec::new();
        for tenant in ["large", "large", "large", "small"] {
            let (reply, answer) = oneshot::channel();
            permits.ask(ask(tenant, reply), Instant::now());
            answers.push((tenant, answer));
        }
        drop(permits.next(Endpoint::Other));
        drop(permits.next(Endpoint::Other));
        let served = answers.iter_mut().filter_map(|(tenant, answer)| {
            (answer.try_recv().err() == Some(TryRecvError::Closed)).then_some(*tenant)
        });
        assert_eq!(served.collect::<Vec<_>>(), ["large", "small"]);
        assert_eq!(permits.waiting(), 2);
    }

    #[test]
    fn who_has_gone_away_is_forgotten() {
        let (reports, _received) = mpsc::unbounded_channel();
        let mut permits = Permits::new(reports);
        let (reply, answer) = oneshot::channel();
        permits.ask(ask("shop", reply), Instant::now());
        assert_eq!(permits.waiting(), 1);
        drop(answer);
        assert_eq!(permits.waiting(), 0);
    }
}
