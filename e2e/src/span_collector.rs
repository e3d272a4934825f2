//! A collector of OpenTelemetry's spans: it takes what comes by OTLP over HTTP, as its protobuf types are published, and
//! keeps it. No product.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;

use crate::listener::{Listener, serve_http};

/// The path of the protocol.
const PATH: &str = "/v1/traces";

/// A span as it came.
#[derive(Debug, Clone)]
pub struct Span {
    /// Which trace it is of, in hexadecimal digits.
    pub trace: String,
    /// Its own identity.
    pub id: String,
    /// The span that it is part of; empty if that is none.
    pub parent: String,
    /// What was done.
    pub name: String,
    /// When it began and ended, in Unix nanoseconds.
    pub time: (u64, u64),
    /// What is said of it, and who sent it, as text.
    pub attributes: BTreeMap<String, String>,
}

/// A collector on a free port of 127.0.0.1. Ends when it is dropped.
pub struct SpanCollector {
    listener: Listener,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl SpanCollector {
    /// Starts one.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let kept = spans.clone();
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let listener = Listener::start("collector", address, move |stream, _| {
            let kept = kept.clone();
            serve_http(stream, move |request| answer(kept.clone(), request))
        })
        .await?;
        Ok(Self { listener, spans })
    }

    /// Where spans are sent.
    pub fn endpoint(&self) -> String {
        format!("http://{}{PATH}", self.listener.address())
    }

    /// What has come so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(kept: Arc<Mutex<Vec<Span>>>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let is_known = request.uri().path() == PATH && request.method() == hyper::Method::POST;
    let body = request.into_body().collect().await;
    let export = body
        .ok()
        .filter(|_| is_known)
        .and_then(|body| ExportTraceServiceRequest::decode(body.to_bytes()).ok());
    let mut response = Response::new(Full::default());
    let Some(export) = export else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    for of_one in export.resource_spans {
        let sender = texts(&of_one.resource.unwrap_or_default().attributes);
        for span in of_one.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let mut attributes = sender.clone();
            attributes.extend(texts(&span.attributes));
            kept.push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                time: (span.start_time_unix_nano, span.end_time_unix_nano),
                attributes,
            });
        }
    }
    let taken = ExportTraceServiceResponse::default().encode_to_vec();
    *response.body_mut() = Full::from(taken);
    let media_type = hyper::header::HeaderValue::from_static("application/x-protobuf");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, media_type);
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &AnyValue| match value.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::BoolValue(is) => Some(is.to_string()),
        _ => None,
    };
    let pairs = attributes.iter().filter_map(|pair| {
        let value = text(pair.value.as_ref()?)?;
        Some((pair.key.clone(), value))
    });
    pairs.collect()
}
