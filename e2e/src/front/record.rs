//! What has arrived, and whether the next request is let through: one lock, one clock, so that
//! the log's order is the limits' order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::{Request, StatusCode, header};

use super::limits::LeakyBucket;
use super::named::Named;
use super::{FrontOptions, Refusal};
use crate::arrivals::{Arrival, ArrivalLog, Connection, RequestKind};

/// The front's record. Cloning gives another handle to the same one.
#[derive(Clone)]
pub(super) struct Record {
    inner: Arc<Inner>,
}

struct Inner {
    start: Instant,
    state: Mutex<State>,
}

struct State {
    options: FrontOptions,
    log: ArrivalLog,
    /// The paths of orders and of their parts, each with its order's.
    orders: HashMap<String, String>,
    bucket: LeakyBucket,
    /// Requests that no limit refused and that have not ended.
    in_flight: u32,
    random: u64,
}

/// Whether a request goes on to the CA.
pub(super) enum Admission {
    Admitted(Entry),
    Refused(Entry, Refusal),
}

/// Time to add to one request.
pub(super) struct Delays {
    pub(super) to: Option<Duration>,
    pub(super) back: Option<Duration>,
}

impl Record {
    pub(super) fn new(options: FrontOptions) -> Self {
        let random = seed(&options);
        let state = State {
            options,
            log: ArrivalLog::default(),
            orders: HashMap::new(),
            bucket: LeakyBucket::default(),
            in_flight: 0,
            random,
        };
        Record {
            inner: Arc::new(Inner {
                start: Instant::now(),
                state: Mutex::new(state),
            }),
        }
    }

    pub(super) fn now_us(&self) -> u64 {
        self.inner.now_us()
    }

    pub(super) fn log(&self) -> ArrivalLog {
        let state = self.inner.state();
        ArrivalLog {
            taken_us: self.now_us(),
            ..state.log.clone()
        }
    }

    pub(super) fn set_options(&self, options: FrontOptions) {
        let mut state = self.inner.state();
        state.random = seed(&options);
        state.options = options;
    }

    /// The time to add to the next request.
    pub(super) fn latency(&self) -> Delays {
        let mut state = self.inner.state();
        match state.options.latency {
            None => Delays { to: None, back: None },
            Some(latency) => {
                let jitter = latency.jitter.mul_f64(state.next_random());
                Delays {
                    to: Some(latency.each_way + jitter),
                    back: Some(latency.each_way),
                }
            }
        }
    }

    /// Notes a new connection. It is noted as closed when the answer is dropped.
    pub(super) fn open(&self, peer: SocketAddr) -> OpenConnection {
        let mut state = self.inner.state();
        let id = state.log.connections.len();
        let opened_us = self.now_us();
        state.log.connections.push(Connection {
            opened_us,
            closed_us: None,
            peer: peer.to_string(),
        });
        OpenConnection {
            record: self.clone(),
            id,
        }
    }

    /// Notes a request and asks the limits: `limit_req`, then `limit_conn`, as nginx does.
    pub(super) fn arrive<B>(&self, connection: u64, peer: SocketAddr, request: &Request<B>) -> Admission {
        let (client, path) = (client(request, peer), request.uri().path());
        let mut state = self.inner.state();
        let now = self.inner.start.elapsed();
        let State {
            options,
            bucket,
            in_flight,
            ..
        } = &mut *state;
        let over = options.rate.is_some_and(|limit| !bucket.admit(limit, now))
            || options.max_in_flight.is_some_and(|max| *in_flight >= max);
        let refusal = over.then(|| options.refusal.clone());
        if !over {
            *in_flight += 1;
        }
        let index = state.log.arrivals.len();
        let order = state.orders.get(path).cloned();
        state.log.arrivals.push(Arrival {
            at_us: micros(now),
            ended_us: None,
            connection,
            method: request.method().to_string(),
            kind: RequestKind::of_path(path),
            path: path.to_owned(),
            status: None,
            throttled: over,
            client,
            order,
        });
        drop(state);
        let entry = Entry {
            record: self.clone(),
            index,
        };
        match refusal {
            None => Admission::Admitted(entry),
            Some(refusal) => Admission::Refused(entry, refusal),
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> u64 {
        micros(self.start.elapsed())
    }
}

impl State {
    /// From 0 up to 1, by Marsaglia's xorshift.
    fn next_random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A request that has not ended. Dropped, it has: answered, or its client has gone away.
pub(super) struct Entry {
    record: Record,
    index: usize,
}

impl Entry {
    /// What is noted about it.
    pub(super) fn arrival(&self) -> Arrival {
        self.record.inner.state().log.arrivals[self.index].clone()
    }

    /// Notes its answer. Its end is noted when it is dropped.
    pub(super) fn answered(&self, status: StatusCode) {
        self.record.inner.state().log.arrivals[self.index].status = Some(status.as_u16());
    }

    /// Notes what its answer names: requests for that are about the same order from now on.
    pub(super) fn names(&self, named: Named) {
        let Named { order, parts } = named;
        let mut state = self.record.inner.state();
        let State { log, orders, .. } = &mut *state;
        let arrival = &mut log.arrivals[self.index];
        if let Some(made) = order {
            orders.insert(made.clone(), made.clone());
            arrival.order = Some(made);
        }
        if let Some(order) = &arrival.order {
            orders.extend(parts.into_iter().map(|part| (part, order.clone())));
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.record.inner.state();
        let now_us = self.record.now_us();
        let arrival = &mut state.log.arrivals[self.index];
        arrival.ended_us = Some(now_us);
        if !arrival.throttled {
            state.in_flight -= 1;
        }
    }
}

/// A connection that is open. Dropped, it is noted as closed.
pub(super) struct OpenConnection {
    record: Record,
    id: usize,
}

impl OpenConnection {
    pub(super) fn id(&self) -> u64 {
        self.id as u64
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut state = self.record.inner.state();
        let now_us = self.record.now_us();
        state.log.connections[self.id].closed_us = Some(now_us);
    }
}

fn client<B>(request: &Request<B>, peer: SocketAddr) -> String {
    let agent = request
        .headers()
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok());
    let Some(agent) = agent else {
        return peer.to_string();
    };
    let replica = agent
        .split_once("(replica ")
        .and_then(|(_, rest)| rest.split_once(')'));
    replica.map_or(agent, |(name, _)| name).to_owned()
}

fn seed(options: &FrontOptions) -> u64 {
    // The generator stays at 0 if it starts there.
    options
        .latency
        .map_or(1, |latency| latency.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_orders_answers_name_is_about_that_order() {
        let record = Record::new(FrontOptions::default());
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let arrive = |path: &str| {
            let request = Request::builder().uri(path).body(()).unwrap();
            match record.arrive(0, peer, &request) {
                Admission::Admitted(entry) | Admission::Refused(entry, _) => entry,
            }
        };
        let parts = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect();
        arrive("/order-plz").names(Named {
            order: Some("/my-order/1".to_owned()),
            parts: parts(&["/authZ/1"]),
        });
        arrive("/authZ/1").names(Named {
            order: None,
            parts: parts(&["/chalZ/1"]),
        });
        // Its making is not known here, and so its challenges are nobody's.
        arrive("/authZ/9").names(Named {
            order: None,
            parts: parts(&["/chalZ/9"]),
        });
        for path in ["/chalZ/1", "/my-order/1", "/chalZ/9", "/nonce-plz"] {
            drop(arrive(path));
        }
        let log = record.log();
        let known = log.arrivals.iter().filter(|arrival| arrival.order.is_some());
        let known: Vec<&str> = known.map(|arrival| arrival.path.as_str()).collect();
        assert_eq!(known, ["/order-plz", "/authZ/1", "/chalZ/1", "/my-order/1"]);
        assert_eq!(log.by_order().len(), 1);
    }
}
