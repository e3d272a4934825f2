//! Something that goes wrong at a chosen call to the API server or the CA: each of a replica's writes and requests is
//! seen by a proxy, which kills the replica, refuses the call, loses or delays its answer, or makes the replica's
//! watches stale.
//!
//! A kill is a SIGKILL, and the process is gone before anything else happens to the call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::api_proxy::{ApiProxy, ApiRequest, Watches};
use crate::arrivals::Arrival;
use crate::faults::Fault;
use crate::front::Front;
use crate::process::Process;

/// How late an answer comes: later than a slot of the budget is valid.
const LATE: Duration = Duration::from_secs(12);

/// How long watches are held back.
const HELD: Duration = Duration::from_secs(5);

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

/// What goes wrong at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Whoever makes the call dies.
    Kill(Moment),
    /// The API server says that somebody else has changed the object (409), and has done nothing.
    Conflict,
    /// The API server says 500, and has done nothing.
    ServerError,
    /// The API server does it, and the connection closes before the answer.
    AnswerLost,
    /// The API server does it, and answers 12 s later.
    AnswerLate,
    /// It is done and answered. Whoever made it hears nothing by its watches for 5 s from then on.
    WatchesHeld,
    /// It is done and answered. The watches of whoever made it end.
    WatchesEnded,
}

impl Trouble {
    /// All kills, in the order of time.
    pub const KILLS: [Trouble; 3] = [
        Trouble::Kill(Moment::BeforeServer),
        Trouble::Kill(Moment::BeforeAnswer),
        Trouble::Kill(Moment::AfterAnswer),
    ];

    /// All that an API server does to a client. They happen to calls of the API server alone.
    pub const OF_API_SERVER: [Trouble; 6] = [
        Trouble::Conflict,
        Trouble::ServerError,
        Trouble::AnswerLost,
        Trouble::AnswerLate,
        Trouble::WatchesHeld,
        Trouble::WatchesEnded,
    ];

    /// Can it happen to this call, as [`FaultInjector::calls`] has it?
    pub fn can_happen_to(self, call: &str) -> bool {
        let is_of_ca = call.starts_with("CA ");
        match self {
            Trouble::Kill(_) => true,
            // What is new conflicts with nothing; what is deleted without a version neither.
            Trouble::Conflict => call.starts_with("PUT ") || call.starts_with("PATCH "),
            _ => !is_of_ca,
        }
    }
}

/// A call and what goes wrong at it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultPoint {
    /// What the call is, as [`FaultInjector::calls`] has it.
    pub call: String,
    /// The how manieth of these, from 1.
    pub nth: usize,
    /// What goes wrong.
    pub trouble: Trouble,
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, nth, trouble } = self;
        let trouble = match trouble {
            Trouble::Kill(Moment::BeforeServer) => "killed before it is forwarded",
            Trouble::Kill(Moment::BeforeAnswer) => "killed before its answer",
            Trouble::Kill(Moment::AfterAnswer) => "killed after its answer",
            Trouble::Conflict => "answered 409",
            Trouble::ServerError => "answered 500",
            Trouble::AnswerLost => "done, and its answer lost",
            Trouble::AnswerLate => "done, and its answer late",
            Trouble::WatchesHeld => "and watches held back from then on",
            Trouble::WatchesEnded => "and watches ended",
        };
        write!(f, "{call} #{nth}, {trouble}")
    }
}

/// Sees the writes to the API server and the requests to the CA, and has something go wrong at one of them.
pub struct FaultInjector {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order of arrival, up to what went wrong.
    calls: Vec<String>,
    armed: Option<Armed>,
    has_fired: bool,
}

struct Armed {
    point: FaultPoint,
    /// Whoever of them makes the call dies.
    processes: Vec<Arc<Process>>,
}

impl FaultInjector {
    /// Sees everything that passes `front`, and each replica's proxy to the API server. Takes the place
    /// of their faults. The replicas are named as their processes are.
    pub fn between<'a>(proxies: impl IntoIterator<Item = (&'a str, &'a ApiProxy)>, front: &Front) -> Self {
        let shared = Arc::new(Shared::default());
        for (replica, proxy) in proxies {
            let (seen, replica) = (shared.clone(), replica.to_owned());
            let watches = proxy.watches().clone();
            proxy.set_faults(move |request| {
                let call = request.is_write().then(|| api_call(request))?;
                seen.arrived(call, &replica, Some(&watches))
            });
        }
        let seen = shared.clone();
        front.set_faults(move |arrival| {
            // A replica signs with its pod's name, a dash and something of its process.
            let replica = arrival.client.rsplit_once('-').map_or("", |(name, _)| name);
            seen.arrived(ca_call(arrival), replica, None)
        });
        FaultInjector { shared }
    }

    /// Forgets what was seen; nothing goes wrong from now on.
    pub fn record(&self) {
        *self.shared.state() = State::default();
    }

    /// Forgets what was seen, and has it go wrong at `point`, once. If it is a kill, the one of `processes` that makes the
    /// call dies.
    pub fn arm(&self, point: FaultPoint, processes: Vec<Arc<Process>>) {
        *self.shared.state() = State {
            armed: Some(Armed { point, processes }),
            ..State::default()
        };
    }

    /// The calls since [`FaultInjector::record`] or [`FaultInjector::arm`] and up to what went wrong: `PUT
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

    /// Whether it has gone wrong: a process that was to die is dead by now.
    pub fn has_fired(&self) -> bool {
        self.shared.state().has_fired
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(self: &Arc<Self>, call: String, replica: &str, watches: Option<&Watches>) -> Option<Fault> {
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
        let Trouble::Kill(moment) = point.trouble else {
            state.has_fired = true;
            return of_api_server(point.trouble, watches);
        };
        drop(state);
        let process = processes.into_iter().find(|process| process.name() == replica)?;
        let shared = self.clone();
        let kill = move || {
            process.kill();
            shared.state().has_fired = true;
        };
        Some(match moment {
            Moment::BeforeServer => {
                kill();
                Fault::CloseBefore
            }
            Moment::BeforeAnswer => Fault::BeforeAnswer(Box::new(kill)),
            Moment::AfterAnswer => Fault::AfterAnswer(Box::new(kill)),
        })
    }
}

/// What is done to the call for a trouble that is no kill.
fn of_api_server(trouble: Trouble, watches: Option<&Watches>) -> Option<Fault> {
    match trouble {
        Trouble::Kill(_) => None,
        Trouble::Conflict => Some(api_error(409)),
        Trouble::ServerError => Some(api_error(500)),
        Trouble::AnswerLost => Some(Fault::CloseAfter),
        Trouble::AnswerLate => Some(Fault::AnswerLate(LATE)),
        Trouble::WatchesHeld => {
            let watches = watches?.clone();
            watches.hold();
            tokio::spawn(async move {
                tokio::time::sleep(HELD).await;
                watches.release();
            });
            None
        }
        Trouble::WatchesEnded => {
            let watches = watches?.clone();
            Some(Fault::AfterAnswer(Box::new(move || watches.end())))
        }
    }
}

/// The API server's refusal with this status: 409 or 500.
pub fn api_error(status: u16) -> Fault {
    let (reason, message) = match status {
        409 => (
            "Conflict",
            "the object has been modified; please apply your changes to the latest version",
        ),
        _ => ("InternalError", "etcdserver: leader changed"),
    };
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": status,
    });
    Fault::Answer {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string(),
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
    fn nothing_conflicts_with_what_is_new_and_no_trouble_but_a_kill_is_made_at_a_request_to_the_ca() {
        assert!(Trouble::Conflict.can_happen_to("PUT certificates/shop/status"));
        assert!(!Trouble::Conflict.can_happen_to("POST secrets"));
        assert!(Trouble::ServerError.can_happen_to("POST secrets"));
        let at_ca = |trouble: &Trouble| trouble.can_happen_to("CA NewOrder");
        assert!(Trouble::KILLS.iter().all(at_ca));
        assert!(!Trouble::OF_API_SERVER.iter().any(at_ca));
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
