//! The permits that are out, and those that nobody has asked for yet.

use std::collections::{BTreeMap, HashMap, VecDeque};
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
    /// The endpoints that the budget limits apart; for all others any permit will do.
    apart: Vec<Endpoint>,
    /// By endpoint, as far as that is limited apart, and tenant.
    asks: FairQueue<(), (Endpoint, Arc<str>), u64>,
    waiting: BTreeMap<u64, Ask>,
    asked: u64,
    unasked: VecDeque<(Endpoint, Permit, Instant)>,
}

struct Open {
    id: PermitId,
    slot: u32,
    validity: watch::Sender<Instant>,
    /// Its slot has ended: another that has the same number is none of its business.
    is_aborted: bool,
    /// When its request left.
    begun: Option<Instant>,
}

impl Permits {
    /// None yet; what becomes of them is told to `reports`.
    pub(super) fn new(reports: mpsc::UnboundedSender<(u64, Report)>) -> Self {
        Self {
            reports,
            next: 0,
            open: HashMap::new(),
            apart: Vec::new(),
            asks: FairQueue::new(1),
            waiting: BTreeMap::new(),
            asked: 0,
            unasked: VecDeque::new(),
        }
    }

    /// The budget limits these endpoints apart from now on. Those that wait already wait for what they are then.
    pub(super) fn limit_apart(&mut self, endpoints: Vec<Endpoint>) {
        if endpoints == self.apart {
            return;
        }
        self.apart = endpoints;
        self.asks = FairQueue::new(1);
        for (number, ask) in &self.waiting {
            let endpoint = limited(&self.apart, ask.endpoint);
            self.asks.put((), &(endpoint, ask.tenant.clone()), number, 0, 1);
        }
    }

    /// Somebody waits for a permit.
    pub(super) fn ask(&mut self, ask: Ask, now: Instant) {
        self.asked += 1;
        let endpoint = limited(&self.apart, ask.endpoint);
        self.asks
            .put((), &(endpoint, ask.tenant.clone()), &self.asked, 0, 1);
        self.waiting.insert(self.asked, ask);
        self.unasked.retain(|(_, _, until)| now < *until);
        let fit = self.unasked.iter().position(|(unasked, ..)| *unasked == endpoint);
        if let Some((endpoint, permit, until)) = fit.and_then(|place| self.unasked.remove(place)) {
            self.hand_out(endpoint, permit, until);
        }
    }

    /// How many wait. Those that have gone away are forgotten.
    pub(super) fn waiting(&mut self) -> usize {
        self.waiting.retain(|_, ask| !ask.reply.is_closed());
        if self.waiting.len() < self.asks.len() {
            self.asks.retain(|number| self.waiting.contains_key(number));
        }
        self.asks.len()
    }

    /// How many of those that wait wait for `endpoint`, if that is limited apart.
    pub(super) fn waiting_for(&self, endpoint: Endpoint) -> usize {
        let waiting = self.waiting.values();
        waiting
            .filter(|ask| limited(&self.apart, ask.endpoint) == endpoint)
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
        self.open.insert(
            number,
            Open {
                id,
                slot,
                validity,
                is_aborted: false,
                begun: None,
            },
        );
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
        let ask = self.asks.take(|_, (asked, _)| *asked == endpoint)?;
        self.waiting.remove(&ask).map(|ask| ask.reply)
    }

    /// Returns those that nobody has asked for in time; dropping reports them. Says when to look again.
    pub(super) fn drop_unasked(&mut self, now: Instant) -> Option<Instant> {
        self.unasked.retain(|(_, _, until)| *until > now);
        self.unasked.iter().map(|(_, _, until)| *until).min()
    }

    /// Its request leaves at `now`. Returns its name in the limiter.
    pub(super) fn begin(&mut self, number: u64, now: Instant) -> Option<PermitId> {
        let open = self.open.get_mut(&number)?;
        open.begun = Some(now);
        Some(open.id)
    }

    /// It has come to its end: its name in the limiter, and when its request left.
    pub(super) fn settle(&mut self, number: u64) -> Option<(PermitId, Option<Instant>)> {
        self.open.remove(&number).map(|open| (open.id, open.begun))
    }

    /// A slot is valid until then.
    pub(super) fn extend(&self, slot: u32, valid_until: Instant) {
        let on_it = |open: &&Open| open.slot == slot && !open.is_aborted;
        for open in self.open.values().filter(on_it) {
            open.validity.send_if_modified(|validity| {
                let moved = *validity != valid_until;
                *validity = valid_until;
                moved
            });
        }
    }

    /// The connections of these are to be closed at once.
    pub(super) fn abort(&mut self, ids: &[PermitId], now: Instant) {
        for open in self.open.values_mut().filter(|open| ids.contains(&open.id)) {
            open.is_aborted = true;
            open.validity
                .send_modify(|validity| *validity = (*validity).min(now));
        }
    }
}

/// The endpoint, if it is among those that are limited apart.
fn limited(apart: &[Endpoint], endpoint: Endpoint) -> Endpoint {
    if apart.contains(&endpoint) {
        endpoint
    } else {
        Endpoint::Other
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
    fn who_waits_for_what_is_limited_apart_from_now_on_gets_no_other_permit() {
        let (reports, _received) = mpsc::unbounded_channel();
        let mut permits = Permits::new(reports);
        let mut answers = Vec::new();
        for endpoint in [Endpoint::NewOrder, Endpoint::Other] {
            let (reply, answer) = oneshot::channel();
            permits.ask(
                Ask {
                    endpoint,
                    ..ask("shop", reply)
                },
                Instant::now(),
            );
            answers.push(answer);
        }
        assert_eq!(permits.waiting_for(Endpoint::NewOrder), 0);
        permits.limit_apart(vec![Endpoint::NewOrder]);
        assert_eq!(permits.waiting_for(Endpoint::NewOrder), 1);
        drop(permits.next(Endpoint::Other));
        assert_eq!(answers[0].try_recv().err(), Some(TryRecvError::Empty));
        assert_eq!(answers[1].try_recv().err(), Some(TryRecvError::Closed));
        assert!(permits.next(Endpoint::Other).is_none());
        permits.limit_apart(Vec::new());
        assert!(permits.next(Endpoint::Other).is_some());
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
