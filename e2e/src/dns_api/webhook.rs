//! A DNS webhook of cert-manager's kind, written from its published API types
//! (<https://github.com/cert-manager/cert-manager/blob/master/pkg/acme/webhook/apis/acme/v1alpha1/types.go>) and put behind the API
//! server's aggregation layer. It writes to BIND.
//!
//! It believes nobody but the API server: who asks has to come with a certificate of its front proxy.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, header};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use super::zones::Zones;
use crate::bind::Bind;
use crate::cluster::Cluster;
use crate::listener::{Listener, serve_tls};
use crate::pki::{self, Authority};
use crate::process::wait_for;

/// The API group that it stands in.
pub const GROUP: &str = "dns.webhook.example";
/// The solver that it has.
pub const SOLVER: &str = "bind";
/// What an issuer's `config` has to say as its `token`. In the zone that it has as `refused` no record is written.
pub const TOKEN: &str = "what-the-issuer-says-to-the-webhook";
const NAMESPACE: &str = "default";
const SERVICE: &str = "dns-webhook";

/// `ChallengePayload`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Payload {
    api_version: String,
    kind: String,
    request: ChallengeRequest,
}

/// One record that it was asked to write or remove.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ChallengeRequest {
    /// What the answer repeats.
    pub uid: String,
    /// `Present` or `CleanUp`.
    pub action: String,
    /// `dns-01`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The domain that is validated.
    pub dns_name: String,
    /// The record's value.
    pub key: String,
    /// Where `config` may name Secrets.
    pub resource_namespace: String,
    /// Where the record stands.
    #[serde(rename = "resolvedFQDN")]
    pub resolved_fqdn: String,
    /// The zone that it is in.
    pub resolved_zone: String,
    /// Never, of Sancho.
    pub allow_ambient_credentials: bool,
    /// What the issuer says.
    pub config: Value,
}

#[derive(Serialize)]
struct ChallengeResponse {
    uid: String,
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Value>,
}

/// A running webhook. Ends when dropped.
pub struct DnsWebhook {
    _listener: Listener,
    shared: Arc<Shared>,
}

struct Shared {
    zones: Zones,
    asked: Mutex<Vec<ChallengeRequest>>,
}

impl DnsWebhook {
    /// Starts it, and has the API server of `cluster` lead to it. It writes the zones of `bind`.
    ///
    /// # Errors
    ///
    /// When the API server does not come to know it.
    pub async fn start(cluster: &Cluster, bind: &Bind) -> Result<Self> {
        pki::install_crypto();
        let authority = Authority::new("Sancho test webhook")?;
        let tls = TlsAcceptor::from(Arc::new(tls(&authority, cluster.ca_pem())?));
        let shared = Arc::new(Shared {
            zones: Zones::new(bind.primary(), bind.zones().to_vec()),
            asked: Mutex::default(),
        });
        let state = shared.clone();
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let listener = Listener::start("dns-webhook", address, move |stream, _| {
            let (state, tls) = (state.clone(), tls.clone());
            serve_tls(tls, stream, move |request| answer(state.clone(), request))
        })
        .await?;
        let port = listener.address().port();
        // No node and no kube-proxy run here: the name leads to this machine.
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": SERVICE, "namespace": NAMESPACE },
            "spec": { "type": "ExternalName", "externalName": "localhost", "ports": [{ "port": port }] },
        });
        let api_service = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": { "name": format!("v1alpha1.{GROUP}") },
            "spec": {
                "group": GROUP, "version": "v1alpha1", "groupPriorityMinimum": 1000, "versionPriority": 15,
                "caBundle": STANDARD.encode(authority.pem()),
                "service": { "name": SERVICE, "namespace": NAMESPACE, "port": port },
            },
        });
        for manifest in [service, api_service] {
            cluster.apply_yaml(&manifest.to_string()).await?;
        }
        wait_for(
            "the API server to lead to the webhook",
            Duration::from_secs(60),
            &[],
            async || {
                let request = Request::get(format!("/apis/{GROUP}/v1alpha1")).body(Vec::new())?;
                let resources = cluster.client().request_text(request).await?;
                Ok(resources.contains(SOLVER).then_some(()))
            },
        )
        .await?;
        Ok(Self {
            _listener: listener,
            shared,
        })
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<ChallengeRequest> {
        self.shared
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A server that is asked by whoever has a client certificate of these roots.
fn tls(authority: &Authority, clients: &str) -> Result<ServerConfig> {
    let identity = authority.server("DNS webhook", &[&format!("{SERVICE}.{NAMESPACE}.svc")])?;
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.as_bytes())?)?;
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build()?;
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let (status, body) = match result(&shared, &head, &body).await {
        Ok(body) => (200, body),
        Err((status, words)) => (status, failure(status, &words)),
    };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.to_string().into()))
        .unwrap_or_default()
}

async fn result(shared: &Shared, head: &Parts, body: &[u8]) -> Result<Value, (u16, String)> {
    let version = format!("{GROUP}/v1alpha1");
    let path = head.uri.path().trim_end_matches('/');
    if head.method == Method::GET && path == format!("/apis/{version}") {
        let resource = json!({
            "name": SOLVER, "singularName": SOLVER, "namespaced": false, "kind": "ChallengePayload", "verbs": ["create"],
        });
        return Ok(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [resource],
        }));
    }
    if head.method != Method::POST || path != format!("/apis/{version}/{SOLVER}") {
        return Err((404, "no such call".into()));
    }
    let payload: Payload = serde_json::from_slice(body).map_err(|error| (400, error.to_string()))?;
    let is_known =
        payload.api_version == "webhook.acme.cert-manager.io/v1alpha1" && payload.kind == "ChallengePayload";
    if !is_known || payload.request.kind != "dns-01" {
        return Err((400, "not a ChallengePayload for dns-01".into()));
    }
    let request = payload.request;
    shared
        .asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request.clone());
    let refused = request.config["refused"].as_str();
    let is_present = request.action == "Present";
    let refused = refused.filter(|zone| is_present && request.resolved_zone == format!("{zone}."));
    let status = match (refused, request.config["token"].as_str()) {
        (Some(zone), _) => Some(json!({
            "status": "Failure", "message": format!("{zone} is not the account's"), "reason": "Forbidden", "code": 403,
        })),
        // As cert-manager's library has it.
        (None, Some(TOKEN)) => write(shared, &request)
            .await
            .err()
            .map(|error| json!({ "metadata": {}, "status": "Failed", "message": format!("{error:#}") })),
        (None, _) => Some(
            json!({ "metadata": {}, "status": "Failed", "message": "config.token is not the webhook's" }),
        ),
    };
    let response = ChallengeResponse {
        uid: request.uid,
        success: status.is_none(),
        status,
    };
    Ok(json!({
        "apiVersion": payload.api_version, "kind": payload.kind, "response": response,
    }))
}

async fn write(shared: &Shared, request: &ChallengeRequest) -> Result<()> {
    let name = request.resolved_fqdn.strip_suffix('.').context("no full name")?;
    let zone = request
        .resolved_zone
        .strip_suffix('.')
        .context("no full name of a zone")?;
    anyhow::ensure!(name.ends_with(zone), "{name} is not in {zone}");
    let before = shared.zones.texts(zone).await?;
    let mut after = before.clone();
    let at = after.entry(name.to_owned()).or_default();
    if at.values.is_empty() {
        at.ttl = 60;
    }
    match request.action.as_str() {
        "Present" => _ = at.values.insert(request.key.clone()),
        "CleanUp" => _ = at.values.remove(&request.key),
        other => anyhow::bail!("no action {other}"),
    }
    shared.zones.replace(zone, &before, &after).await
}

fn failure(status: u16, words: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": words, "code": status })
}
