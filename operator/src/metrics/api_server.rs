//! Requests to the API server, counted.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper ends of the buckets for an answer's time, in seconds; a request is given up after 60.
const ANSWER_SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

/// What was asked of the API server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ApiRequest {
    /// As RBAC has it: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// The resource with its subresource, `certificates/status` for one; empty for what is no resource.
    pub resource: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    verb: &'static str,
    resource: String,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verb {
    verb: &'static str,
}

/// The counters.
pub(super) struct Counters {
    requests: Family<Answered, Counter>,
    took: Family<Verb, Histogram>,
}

impl Counters {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let requests = Family::default();
        registry.register(
            "api_requests",
            "Requests to the API server by verb, resource and code: the HTTP status, or error where no answer came",
            Family::clone(&requests),
        );
        let took: Family<Verb, Histogram> = Family::new_with_constructor(|| Histogram::new(ANSWER_SECONDS));
        registry.register_with_unit(
            "api_request_duration",
            "From a request to the API server to the head of its answer; without watches",
            Unit::Seconds,
            took.clone(),
        );
        Self { requests, took }
    }

    pub(super) fn count(&self, request: ApiRequest, code: String, took: Duration) {
        let ApiRequest { verb, resource } = request;
        if verb != "watch" {
            let took = took.as_secs_f64();
            self.took.get_or_create(&Verb { verb }).observe(took);
        }
        let answered = Answered { verb, resource, code };
        self.requests.get_or_create(&answered).inc();
    }
}
