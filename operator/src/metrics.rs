//! What a replica counts, as Prometheus reads it.
//!
//! Labels are bounded: one `ca` for each CA in use, `endpoint` and `code` from fixed lists. No metric has a
//! label for a name or a shard, and one for a Certificate only where that is asked for.

mod api_server;
mod beginning;
mod overview;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub use self::api_server::ApiRequest;
pub use self::overview::Overview;
use crate::budget::BudgetView;

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How an order that went well is counted.
pub const ISSUED: &str = "Issued";

/// Upper ends of the buckets for an answer's time, in seconds; a request is given up after 30.
const ANSWER_SECONDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upper ends of the buckets for a wait, in seconds: a takeover is 15, a pause can be an hour.
const WAIT_SECONDS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0,
];

/// Upper ends of the buckets for an order's time, in seconds.
const ORDER_SECONDS: [f64; 10] = [1.0, 5.0, 15.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 14_400.0];

/// Whether an order is for what had a certificate before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    /// It had none, or one for something else.
    New,
    /// It had one.
    Renewal,
}

impl OrderKind {
    const ALL: [Self; 2] = [Self::New, Self::Renewal];

    fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Renewal => "renewal",
        }
    }
}

/// All that is counted. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    /// By `ca`, of which endpoints and codes there are requests: a family does not tell.
    requested: Mutex<BTreeMap<String, BTreeSet<(&'static str, String)>>>,
    answer: Family<EndpointLabels, Histogram>,
    permits: Family<CaLabels, Counter>,
    wait: Family<CaLabels, Histogram>,
    late: Family<CaLabels, Counter>,
    rate: Family<CaLabels, Figure>,
    rate_held: Family<CaLabels, Figure>,
    burst: Family<CaLabels, Gauge>,
    in_flight: Family<CaLabels, Gauge>,
    source: Family<SourceLabels, Gauge>,
    slots: Family<CaLabels, Gauge>,
    blocked: Family<CaLabels, Gauge>,
    paused: Family<CaLabels, Gauge>,
    pauses: Family<CaLabels, Counter>,
    throttles: Family<CaLabels, Gauge>,
    waiting: Family<CaLabels, Gauge>,
    orders: Family<OrderLabels, Counter>,
    order: Family<CaLabels, Histogram>,
    errors: Family<ErrorLabels, Counter>,
    api_server: api_server::Counters,
    overview: overview::Gauges,
    /// Held while `overview` is set and told.
    told: Mutex<()>,
}

type Figure = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CaLabels {
    ca: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    ca: String,
    endpoint: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    ca: String,
    endpoint: &'static str,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OrderLabels {
    ca: String,
    kind: &'static str,
    result: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    ca: String,
    source: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sancho");
        let requests = Family::default();
        registry.register(
            "ca_requests",
            "Requests to the CA by endpoint and code: the HTTP status, or a word where no answer came",
            Family::clone(&requests),
        );
        let answer: Family<EndpointLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(ANSWER_SECONDS));
        registry.register_with_unit(
            "ca_request_duration",
            "From a request's permit to its whole answer",
            Unit::Seconds,
            answer.clone(),
        );
        let permits = Family::default();
        registry.register(
            "budget_permits",
            "Permits to send one request",
            Family::clone(&permits),
        );
        let wait: Family<CaLabels, Histogram> = Family::new_with_constructor(|| Histogram::new(WAIT_SECONDS));
        registry.register_with_unit(
            "budget_wait",
            "How long requests waited for their permits",
            Unit::Seconds,
            wait.clone(),
        );
        let late = Family::default();
        registry.register(
            "late_sends",
            "Requests that may have left after their slot had ended, because the process had been stopped",
            Family::clone(&late),
        );
        let pauses = Family::default();
        registry.register(
            "budget_pauses",
            "Pauses of the whole budget that this replica has seen begin, after a refusal or with the CA out of reach",
            Family::clone(&pauses),
        );
        let orders = Family::default();
        registry.register(
            "orders",
            "Orders that have ended: new, or a renewal of what had a certificate; Issued, or the reason why not",
            Family::clone(&orders),
        );
        let order: Family<CaLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(ORDER_SECONDS));
        registry.register_with_unit(
            "order_duration",
            "From newOrder to the written Secret, of orders that one replica has seen through",
            Unit::Seconds,
            order.clone(),
        );
        let errors: Family<ErrorLabels, Counter> = Family::default();
        // From 0 on, as what is begun with a budget.
        for kind in KINDS {
            let _ = errors.get_or_create(&ErrorLabels { kind });
        }
        registry.register(
            "reconcile_errors",
            "Looks at an object of this kind that ended early, by an error of the API server or a Secret's, and are made again",
            Family::clone(&errors),
        );
        let api_server = api_server::Counters::registered(&mut registry);
        let overview = overview::Gauges::registered(&mut registry);
        let mut gauges = |name: &str, help: &str| {
            let family: Family<CaLabels, Gauge> = Family::default();
            registry.register(name, help, family.clone());
            family
        };
        let burst = gauges(
            "budget_burst",
            "Requests beyond the rate that all replicas together may send at once",
        );
        let in_flight = gauges(
            "budget_max_in_flight",
            "Requests that all replicas together may leave unanswered",
        );
        let slots = gauges("budget_slots_held", "Slots of the budget that this replica holds");
        let blocked = gauges(
            "budget_blocked",
            "1 while this replica may not send as the rate allows: a pause, one probe at a time, or no slot is held",
        );
        let paused = gauges("budget_paused", "1 during a pause of the whole budget");
        let throttles = gauges(
            "budget_throttles",
            "Refusals of the CA (429 or 503) that have counted since the budget's Lease was made, over all replicas",
        );
        let waiting = gauges("orders_waiting", "Shards that wait for the budget");
        let mut figures = |name: &str, help: &str| {
            let family: Family<CaLabels, Figure> = Family::default();
            registry.register(name, help, family.clone());
            family
        };
        let rate = figures(
            "budget_requests_per_second",
            "Requests a second that all replicas together may send",
        );
        let rate_held = figures(
            "budget_held_requests_per_second",
            "Requests a second that this replica's slots allow",
        );
        let source = Family::default();
        registry.register(
            "budget_source",
            "1 for where the budget comes from: given, published by the CA, or found out",
            Family::clone(&source),
        );
        let inner = Inner {
            registry,
            requests,
            requested: Mutex::default(),
            answer,
            permits,
            wait,
            late,
            rate,
            rate_held,
            burst,
            in_flight,
            source,
            slots,
            blocked,
            paused,
            pauses,
            throttles,
            waiting,
            orders,
            order,
            errors,
            api_server,
            overview,
            told: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

impl Metrics {
    /// Everything in the OpenMetrics text format, of [`MEDIA_TYPE`].
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Only the writer can fail, and a String does not.
        let _ = encode(&mut text, &self.inner.registry);
        text
    }

    /// The same, with what there is. Who asks at the same time waits: series are taken away and made anew for each.
    #[must_use]
    pub fn text_with(&self, overview: &Overview) -> String {
        let _alone = self.inner.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.overview.set(overview);
        self.text()
    }

    /// A request waited so long for its permit, and has it.
    pub fn permitted(&self, ca: &str, waited: Duration) {
        let labels = CaLabels { ca: ca.to_owned() };
        self.inner.permits.get_or_create(&labels).inc();
        self.inner
            .wait
            .get_or_create(&labels)
            .observe(waited.as_secs_f64());
    }

    /// A request has come to its end. `code` is the HTTP status, or a word of a fixed list.
    pub fn requested(&self, ca: &str, endpoint: &'static str, code: &str, took: Duration) {
        let mut requested = self
            .inner
            .requested
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        requested
            .entry(ca.to_owned())
            .or_default()
            .insert((endpoint, code.to_owned()));
        drop(requested);
        let labels = RequestLabels {
            ca: ca.to_owned(),
            endpoint,
            code: code.to_owned(),
        };
        self.inner.requests.get_or_create(&labels).inc();
        let labels = EndpointLabels {
            ca: ca.to_owned(),
            endpoint,
        };
        self.inner
            .answer
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// An order has ended: `result` is [`ISSUED`], or a reason of a fixed list. `took` is given if it was seen from its
    /// beginning.
    pub fn order_ended(&self, ca: &str, kind: OrderKind, result: &str, took: Option<Duration>) {
        let labels = OrderLabels {
            ca: ca.to_owned(),
            kind: kind.word(),
            result: result.to_owned(),
        };
        self.inner.orders.get_or_create(&labels).inc();
        if let Some(took) = took {
            let labels = CaLabels { ca: ca.to_owned() };
            self.inner
                .order
                .get_or_create(&labels)
                .observe(took.as_secs_f64());
        }
    }

    /// A look at an object of this kind ended early.
    pub fn reconcile_error(&self, kind: &'static str) {
        self.inner.errors.get_or_create(&ErrorLabels { kind }).inc();
    }

    /// A request to the API server was answered with this HTTP status, or `error` where it was not.
    pub fn api_requested(&self, request: ApiRequest, code: String, took: Duration) {
        self.inner.api_server.count(request, code, took);
    }

    /// A request may have left after its slot had ended.
    pub fn late(&self, ca: &str) {
        let labels = CaLabels { ca: ca.to_owned() };
        self.inner.late.get_or_create(&labels).inc();
    }

    /// A pause of the whole budget begins.
    pub fn paused(&self, ca: &str) {
        let labels = CaLabels { ca: ca.to_owned() };
        self.inner.pauses.get_or_create(&labels).inc();
    }

    /// Where a budget stands, with so many shards in its queue.
    pub fn budget(&self, ca: &str, view: &BudgetView, waiting: usize) {
        let inner = &self.inner;
        let labels = CaLabels { ca: ca.to_owned() };
        inner.rate.get_or_create(&labels).set(view.rate);
        inner.rate_held.get_or_create(&labels).set(view.rate_held);
        inner.burst.get_or_create(&labels).set(i64::from(view.burst));
        inner
            .in_flight
            .get_or_create(&labels)
            .set(i64::from(view.max_in_flight));
        inner.slots.get_or_create(&labels).set(i64::from(view.held));
        inner
            .blocked
            .get_or_create(&labels)
            .set(i64::from(view.blocked.is_some()));
        inner
            .paused
            .get_or_create(&labels)
            .set(i64::from(view.paused_until.is_some()));
        inner
            .throttles
            .get_or_create(&labels)
            .set(i64::try_from(view.throttles).unwrap_or(i64::MAX));
        inner
            .waiting
            .get_or_create(&labels)
            .set(i64::try_from(waiting).unwrap_or(i64::MAX));
        for source in SOURCES {
            let labels = SourceLabels {
                ca: ca.to_owned(),
                source,
            };
            let is_its = source == view.source;
            inner.source.get_or_create(&labels).set(i64::from(is_its));
        }
    }

    /// Nothing is told of this budget any more, which is not used: those of credentials that are changed would add up.
    pub fn forget(&self, ca: &str) {
        let inner = &self.inner;
        let labels = CaLabels { ca: ca.to_owned() };
        for counter in [&inner.permits, &inner.late, &inner.pauses] {
            counter.remove(&labels);
        }
        for histogram in [&inner.wait, &inner.order] {
            histogram.remove(&labels);
        }
        for figure in [&inner.rate, &inner.rate_held] {
            figure.remove(&labels);
        }
        for gauge in [
            &inner.burst,
            &inner.in_flight,
            &inner.slots,
            &inner.blocked,
            &inner.paused,
            &inner.throttles,
            &inner.waiting,
        ] {
            gauge.remove(&labels);
        }
        for source in SOURCES {
            inner.source.remove(&SourceLabels {
                ca: ca.to_owned(),
                source,
            });
        }
        let mut requested = inner.requested.lock().unwrap_or_else(PoisonError::into_inner);
        for (endpoint, code) in requested.remove(ca).unwrap_or_default() {
            inner.answer.remove(&EndpointLabels {
                ca: ca.to_owned(),
                endpoint,
            });
            inner.requests.remove(&RequestLabels {
                ca: ca.to_owned(),
                endpoint,
                code,
            });
        }
    }
}

/// The kinds of objects that are looked at.
const KINDS: [&str; 7] = [
    "Certificate",
    "CertificateShard",
    "ClusterIssuer",
    "Gateway",
    "Ingress",
    "Issuer",
    "Secret",
];
/// Where budgets come from.
const SOURCES: [&str; 3] = ["given", "published", "discovered"];

#[cfg(test)]
mod tests;
