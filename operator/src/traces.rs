//! Spans of orders for OpenTelemetry. Off unless there is a collector to send them to.
//!
//! All that is done for one order is one trace, whichever replicas do it: its identity follows from the shard.
//!
//! ```text
//! certificate order         to its end, from the beginning of the turn that saw it
//!   drive                   one replica's turn
//!     look at names         before the CA is asked
//!     newOrder, challenge …  one request, with all that is sent for it
//!       permit              its wait for the budget
//!       send                from the permit to the whole answer
//!     publish               the Secret
//! ```

use std::cell::Cell;
use std::time::SystemTime;

use anyhow::Context as _;
use kube::ResourceExt;
use opentelemetry::trace::{Span as _, SpanBuilder, Tracer as _};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracerProvider};
use sancho_crds::CertificateShard;
use sha2::{Digest, Sha256};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of all spans that are meant for a collector. Logs leave them out.
pub const TARGET: &str = "sancho::traces";
/// Who makes the spans.
const SCOPE: &str = "sancho";

/// Begins to send spans to the collector at `endpoint`, a URL as `http://collector:4318/v1/traces`: OTLP over HTTP.
///
/// # Errors
/// The URL cannot be asked.
pub fn start(endpoint: &str, instance: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| {
            format!("cannot send traces to {endpoint}: write a URL as http://HOST:4318/v1/traces")
        })?;
    let resource = Resource::builder()
        .with_service_name("sancho")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_id_generator(Ids::default())
        .with_resource(resource)
        .build();
    global::set_tracer_provider(provider.clone());
    Ok(provider)
}

thread_local! {
    /// The identity of the span that this thread makes next, if it is a given one.
    static GIVEN: Cell<Option<OrderTrace>> = const { Cell::new(None) };
}

/// Random identities, but for given ones.
#[derive(Debug, Default)]
struct Ids {
    random: RandomIdGenerator,
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        let given = GIVEN.get().map(|given| given.trace);
        given.unwrap_or_else(|| self.random.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        let given = GIVEN.get().map(|given| given.root);
        given.unwrap_or_else(|| self.random.new_span_id())
    }
}

/// The trace of one order, and its first span: the same on every replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderTrace {
    trace: TraceId,
    root: SpanId,
}

impl OrderTrace {
    /// The trace of the order that `shard` stands at: of the one that is recorded, or of its next.
    #[must_use]
    pub fn of(shard: &CertificateShard) -> Self {
        let status = shard.status.as_ref();
        let orders = status.and_then(|status| status.orders).unwrap_or_default();
        let is_made = status
            .and_then(|status| status.order.as_ref())
            .is_some_and(|order| order.url.is_some());
        let number = if is_made { orders } else { orders + 1 };
        let hash = Sha256::digest(format!("{}/{number}", shard.uid().unwrap_or_default()));
        let (mut trace, mut root) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&hash[..16]);
        root.copy_from_slice(&hash[16..24]);
        Self {
            trace: TraceId::from_bytes(trace),
            root: SpanId::from_bytes(root),
        }
    }

    /// The span of one replica's turn with the order of `shard`.
    #[must_use]
    pub fn drive(&self, shard: &CertificateShard, replica: &str) -> Span {
        let span = tracing::info_span!(
            target: TARGET,
            "drive",
            "k8s.namespace.name" = shard.namespace().unwrap_or_default(),
            "sancho.shard" = shard.name_any(),
            "sancho.replica" = replica,
        );
        let (sampled, state) = (TraceFlags::SAMPLED, TraceState::default());
        let root = SpanContext::new(self.trace, self.root, sampled, true, state);
        // Without a collector there is nothing that could take it.
        let _ = span.set_parent(Context::new().with_remote_span_context(root));
        span
    }

    /// The order has ended, with this result.
    pub fn ended(&self, shard: &CertificateShard, names: usize, begun: SystemTime, result: &str) {
        let certificate = shard.spec.certificate.clone();
        let attributes = [
            KeyValue::new("k8s.namespace.name", shard.namespace().unwrap_or_default()),
            KeyValue::new("sancho.certificate", certificate),
            KeyValue::new("sancho.shard", shard.name_any()),
            KeyValue::new("sancho.names", i64::try_from(names).unwrap_or(i64::MAX)),
            KeyValue::new("sancho.result", result.to_owned()),
        ];
        let order = SpanBuilder::from_name("certificate order")
            .with_start_time(begun)
            .with_attributes(attributes);
        GIVEN.set(Some(*self));
        let mut span = global::tracer(SCOPE).build_with_context(order, &Context::new());
        GIVEN.set(None);
        span.end();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shard(status: serde_json::Value) -> CertificateShard {
        serde_json::from_value(json!({
            "metadata": { "name": "a-0", "uid": "u" },
            "spec": { "certificate": "a", "index": 0, "secretName": "a", "issuerRef": { "name": "ca" } },
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_trace_is_one_orders_before_and_after_it_is_made_and_the_next_has_another() {
        let order = |url: &str| json!({ "target": "t", "stage": "pending", "url": url });
        let first = OrderTrace::of(&shard(json!({})));
        assert_eq!(
            first,
            OrderTrace::of(&shard(json!({ "orders": 1, "order": order("https://ca/1") })))
        );
        let second = OrderTrace::of(&shard(json!({ "orders": 1 })));
        assert_ne!(first, second);
        assert_eq!(
            second,
            OrderTrace::of(&shard(json!({ "orders": 2, "order": order("https://ca/2") })))
        );
    }
}
