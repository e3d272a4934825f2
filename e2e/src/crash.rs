//! Kills an operator at a chosen call to the API server or the CA: each of its writes and requests
//! is seen by a proxy, which kills it before the call is forwarded, before the answer is passed on,
//! or after.
//!
//! The kill is a SIGKILL, and the process is gone before anything else happens to the call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api_proxy::{ApiProxy, ApiRequest};
use crate::arrivals::Arrival;
use crate::faults::Fault;
use crate::front::Front;
use crate::process::Process;

/// When a process dies, seen from one of its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The server never sees the call.
    BeforeServer,
    /// The server has dealt with the call; its answer reaches nobody.
    BeforeAnswer,
    /// The answer has arrived, and little more has been done.
    AfterAnswer,
}

impl Moment {
    /// All of them, in the order of time.
    pub const ALL: [Moment; 3] = [Moment::BeforeServer, Moment::BeforeAnswer, Moment::AfterAnswer];
}

/// A call and a moment: where a process dies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CrashPoint {
    /// What the call is, as [`Crasher::calls`] has it.
    pub call: String,
    /// The how manieth of these, from 1.
    pub nth: usize,
    /// When.
    pub moment: Moment,
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, nth, moment } = self;
        let moment = match moment {
            Moment::BeforeServer => "before it is forwarded",
            Moment::BeforeAnswer => "before its answer",
            Moment::AfterAnswer => "after its answer",
        };
        write!(f, "{call} #{nth}, {moment}")
    }
}

/// Sees the writes to the API server and the requests to the CA, and kills at one of them.
pub struct Crasher {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order of arrival, up to the kill.
    calls: Vec<String>,
    armed: Option<Armed>,
    has_fired: bool,
}

struct Armed {
    point: CrashPoint,
    /// Whoever of them makes the call dies.
    processes: Vec<Arc<Process>>,
}

impl Crasher {
    /// Sees everything that passes `front`, and each replica's proxy to the API server. Takes the place
    /// of their faults. The replicas are named as their processes are.
    pub fn between<'a>(proxies: impl IntoIterator<Item = (&'a str, &'a ApiProxy)>, front: &Front) -> Self {
        let shared = Arc::new(Shared::default());
        for (replica, proxy) in proxies {
            let (seen, replica) = (shared.clone(), replica.to_owned());
            proxy.set_faults(move |request| {
                let call = request.is_write().then(|| api_call(request))?;
                seen.arrived(call, &replica)
            });
        }
        let seen = shared.clone();
        front.set_faults(move |arrival| {
            // A replica signs with its pod's name, a dash and something of its process.
            let replica = arrival.client.rsplit_once('-').map_or("", |(name, _)| name);
            seen.arrived(ca_call(arrival), replica)
        });
        Crasher { shared }
    }

    /// Forgets what was seen, and kills nobody from now on.
    pub fn record(&self) {
        *self.shared.state() = State::default();
    }

    /// Forgets what was seen, and kills at `point`, once, the one of `processes` that makes the call.
    pub fn arm(&self, point: CrashPoint, processes: Vec<Arc<Process>>) {
        *self.shared.state() = State {
            armed: Some(Armed { point, processes }),
            ..State::default()
        };
    }

    /// The calls since [`Crasher::record`] or [`Crasher::arm`] and up to the kill: `PUT
    /// certificates/shop/status`, `CA newOrder`. Of Leases and Events the resource alone.
    pub fn calls(&self) -> Vec<String> {
        self.shared.state().calls.clone()
    }

    /// How often each call was seen.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in self.calls() {
            *counts.entry(call).or_default() += 1;
        }
        counts
    }

    /// Whether the process is dead by now.
    pub fn has_fired(&self) -> bool {
        self.shared.state().has_fired
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(self: &Arc<Self>, call: String, replica: &str) -> Option<Fault> {
        let mut state = self.state();
        if state.has_fired {
            return None;
        }
        let nth = 1 + state.calls.iter().filter(|seen| **seen == call).count();
        state.calls.push(call);
        let is_it = |armed: &Armed| {
            armed.point.nth == nth && state.calls.last().is_some_and(|call| *call == armed.point.call)
        };
        if !state.armed.as_ref().is_some_and(is_it) {
            return None;
        }
        let Armed { point, processes } = state.armed.take()?;
        drop(state);
        let process = processes.into_iter().find(|process| process.name() == replica)?;
        let shared = self.clone();
        let kill = move || {
            process.kill();
            shared.state().has_fired = true;
        };
        Some(match point.moment {
            Moment::BeforeServer => {
                kill();
                Fault::CloseBefore
            }
            Moment::BeforeAnswer => Fault::BeforeAnswer(Box::new(kill)),
            Moment::AfterAnswer => Fault::AfterAnswer(Box::new(kill)),
        })
    }
}

/// `/apis/GROUP/VERSION/namespaces/NAMESPACE/RESOURCE/NAME/SUBRESOURCE`, without what says where.
fn api_call(request: &ApiRequest) -> String {
    let mut parts = request.path.trim_start_matches('/').split('/');
    let before_resource = if parts.next() == Some("api") { 1 } else { 2 };
    let mut parts: Vec<&str> = parts.skip(before_resource).collect();
    if parts.len() > 2 && parts[0] == "namespaces" {
        parts.drain(..2);
    }
    // Their names differ from run to run.
    if matches!(parts.first(), Some(&("leases" | "events"))) {
        parts.truncate(1);
    }
    format!("{} {}", request.method, parts.join("/"))
}

fn ca_call(arrival: &Arrival) -> String {
    format!("CA {:?}", arrival.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str) -> String {
        api_call(&ApiRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            user_agent: String::new(),
        })
    }

    #[test]
    fn a_write_is_named_by_what_it_changes() {
        let shard = "/apis/sancho.dev/v1alpha1/namespaces/default/certificateshards/shop-0/status";
        assert_eq!(call("PUT", shard), "PUT certificateshards/shop-0/status");
        let secrets = "/api/v1/namespaces/default/secrets";
        assert_eq!(call("POST", secrets), "POST secrets");
        let issuer = "/apis/sancho.dev/v1alpha1/clusterissuers/ca/status";
        assert_eq!(call("PUT", issuer), "PUT clusterissuers/ca/status");
        let lease = "/apis/coordination.k8s.io/v1/namespaces/sancho-system/leases/sancho-budget-x";
        assert_eq!(call("PUT", lease), "PUT leases");
    }
}
