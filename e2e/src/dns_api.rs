//! The APIs of DNS providers, as they publish them, written for the tests: an HTTPS server that checks what it is asked
//! and writes it to BIND, so that what it took can be validated by a CA.
//!
//! It is no provider. It has the calls that Sancho makes, and refuses what their documents say is refused: a token or
//! signature that is wrong, a zone of somebody else's, a record that is there already or is not, a batch that is too long,
//! a body that is not as it should be, and requests that come too fast.

mod azure_dns;
mod cloud_dns;
mod cloudflare;
mod others;
mod route53;
mod simple;
pub mod webhook;
mod zones;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, header};
use sancho_crds::ProviderName;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use self::zones::Zones;
use crate::bind::Bind;
use crate::listener::{Listener, serve_tls};
use crate::pki::{self, Authority};

pub use self::azure_dns::{CLIENT, CLIENT_SECRET, GOVERNMENT_CLIENT, GROUP, SUBSCRIPTION, TENANT};
pub use self::cloud_dns::PROJECT;
pub use self::cloudflare::{
    EMAIL as CLOUDFLARE_EMAIL, GLOBAL_KEY as CLOUDFLARE_KEY, TOKEN as CLOUDFLARE_TOKEN,
};
pub use self::others::{account, is_published, token};
pub use self::route53::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, hosted_zone_id};
pub use self::simple::{ACME_DNS_KEY, ACME_DNS_SUBDOMAIN, ACME_DNS_USER, HTTPREQ_PASSWORD, HTTPREQ_USER};

/// A provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Cloudflare.
    Cloudflare,
    /// Route 53.
    Route53,
    /// Google Cloud DNS.
    CloudDns,
    /// Azure DNS.
    AzureDns,
    /// lego's httpreq.
    HttpReq,
    /// acme-dns.
    AcmeDns,
    /// One of those that issuers name by one form.
    Other(ProviderName),
}

/// One request that arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Since the start.
    pub at: Duration,
    /// Whose API it asked.
    pub provider: Provider,
    /// `METHOD PATH`, without the query.
    pub what: String,
    /// The answer's status.
    pub status: u16,
    /// Whether it was refused because of the pace.
    pub throttled: bool,
}

/// What is refused.
#[derive(Debug, Clone, Copy)]
struct Limit {
    per_second: f64,
    burst: f64,
}

/// The APIs. They end when dropped.
pub struct DnsApi {
    listener: Listener,
    /// Of those that have an origin of their own.
    others: Vec<(ProviderName, Listener)>,
    roots: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    began: Instant,
    zones: Zones,
    /// Held while a request is carried out: a provider's changes are transactions.
    one_by_one: AsyncMutex<()>,
    asked: Mutex<Vec<Asked>>,
    comments: Mutex<cloudflare::Comments>,
    service: cloud_dns::Service,
    /// The values that acme-dns has, the oldest first.
    kept: Mutex<Vec<String>>,
    /// Sessions that were given out: by whom, and for how many requests each still counts.
    sessions: Mutex<HashMap<String, (Provider, u32)>>,
    /// Before the next request that deletes several records, somebody else has deleted one of them.
    is_one_gone: AtomicBool,
    /// So much later the next change at Cloudflare is carried out.
    delay: Mutex<Option<Duration>>,
    /// Everything is answered as a server does that fails.
    is_failing: AtomicBool,
    /// The zones that Cloudflare's token may read and not edit.
    read_only: Mutex<BTreeSet<String>>,
    pace: Mutex<Pace>,
}

#[derive(Default)]
struct Pace {
    limit: Option<Limit>,
    /// The leaky bucket's level, and when that was.
    level: f64,
    at: Option<Instant>,
    /// Everything is refused until then.
    closed_until: Option<Instant>,
}

/// An answer, before it is written.
struct Answer {
    status: u16,
    kind: &'static str,
    /// What `Set-Cookie` says.
    cookie: Option<String>,
    body: String,
    /// What the next page is asked for by, where a header says so.
    next_page: Option<String>,
}

impl DnsApi {
    /// Starts the APIs for the zones of `bind`, with their files in `dir`.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn start(dir: &Path, bind: &Bind) -> Result<Self> {
        pki::install_crypto();
        fs::create_dir_all(dir)?;
        let authority = Authority::new("Sancho test DNS providers")?;
        let roots = dir.join("roots.pem");
        fs::write(&roots, authority.pem())?;
        let tls = TlsAcceptor::from(Arc::new(authority.server_config("DNS provider")?));
        let shared = Arc::new(Shared {
            began: Instant::now(),
            zones: Zones::new(bind.primary(), bind.zones().to_vec()),
            one_by_one: AsyncMutex::default(),
            asked: Mutex::default(),
            comments: Mutex::default(),
            service: cloud_dns::Service::new()?,
            kept: Mutex::default(),
            sessions: Mutex::default(),
            is_one_gone: AtomicBool::new(false),
            delay: Mutex::default(),
            is_failing: AtomicBool::new(false),
            read_only: Mutex::default(),
            pace: Mutex::default(),
        });
        let listen = async |provider: Option<Provider>| {
            let (state, tls) = (shared.clone(), tls.clone());
            let address = (Ipv4Addr::LOCALHOST, 0).into();
            Listener::start("dns-api", address, move |stream, _| {
                let (state, tls) = (state.clone(), tls.clone());
                serve_tls(tls, stream, move |request| {
                    answer(state.clone(), provider, request)
                })
            })
            .await
        };
        let listener = listen(None).await?;
        let mut others = Vec::new();
        for name in ProviderName::ALL {
            others.push((name, listen(Some(Provider::Other(name))).await?));
        }
        Ok(Self {
            listener,
            others,
            roots,
            shared,
        })
    }

    /// The flags by which a replica asks here.
    pub fn flags(&self) -> Vec<String> {
        let origin = self.origin();
        let others = self.others.iter().map(|(name, listener)| {
            let port = listener.address().port();
            format!(
                "--dns01-provider-endpoint={}=https://localhost:{port}",
                name.word()
            )
        });
        let mut flags: Vec<String> = others.collect();
        flags.extend([
            format!("--dns01-provider-endpoint=cloudflare={origin}"),
            format!("--dns01-provider-endpoint=route53={origin}"),
            format!("--dns01-provider-endpoint=clouddns={origin}"),
            format!("--dns01-provider-endpoint=azuredns={origin}"),
            format!("--dns01-provider-roots={}", self.roots.display()),
        ]);
        flags
    }

    /// Where httpreq and acme-dns are, which have no host of their own.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.listener.address().port())
    }

    /// The root that their certificates come from, in PEM.
    ///
    /// # Errors
    ///
    /// When the file is gone.
    pub fn roots(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.roots)?)
    }

    /// The key file of the service account at Google Cloud.
    pub fn key_file(&self) -> &str {
        &self.shared.service.file
    }

    /// The sessions that were given out so far.
    pub fn sessions(&self) -> Vec<String> {
        lock(&self.shared.sessions).keys().cloned().collect()
    }

    /// Somebody else deletes one of the records that are deleted together next (Scaleway).
    pub fn lose_one(&self) {
        self.shared.is_one_gone.store(true, Ordering::Relaxed);
    }

    /// Carries the next change at Cloudflare out so much later; those that come after it meanwhile.
    pub fn delay_next(&self, time: Duration) {
        *lock(&self.shared.delay) = Some(time);
    }

    /// Whether it fails from now on, whatever it is asked.
    pub fn fail(&self, is_failing: bool) {
        self.shared.is_failing.store(is_failing, Ordering::Relaxed);
    }

    /// Whether Cloudflare's token may edit this zone from now on; it may read it in any case.
    pub fn let_edit(&self, zone: &str, is_let: bool) {
        let mut read_only = lock(&self.shared.read_only);
        match is_let {
            true => _ = read_only.remove(zone),
            false => _ = read_only.insert(zone.to_owned()),
        }
    }

    /// What has arrived so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// Refuses more requests than so many a second from now on.
    pub fn limit(&self, per_second: f64, burst: u32) {
        lock(&self.shared.pace).limit = Some(Limit {
            per_second,
            burst: f64::from(burst),
        });
    }

    /// Refuses everything for so long, and says so.
    pub fn close_for(&self, time: Duration) {
        lock(&self.shared.pace).closed_until = Some(Instant::now() + time);
    }
}

impl Shared {
    /// Gives out what lets in in place of credentials, by `AUTHORIZATION: Bearer` mostly. It ends after so many `requests`, long
    /// before its time: who is asked with one that has ended says so.
    fn new_session(&self, of: Provider, requests: u32) -> String {
        let mut sessions = lock(&self.sessions);
        let session = format!("session-{}-of-no-use-elsewhere", sessions.len());
        sessions.insert(session.clone(), (of, requests));
        session
    }

    fn has_session(&self, of: Provider, head: &Parts) -> bool {
        let session = text(head, header::AUTHORIZATION).strip_prefix("Bearer ");
        session.is_some_and(|session| self.is_session(of, session))
    }

    /// Does this session still count? For one request less from now on.
    fn is_session(&self, of: Provider, session: &str) -> bool {
        let mut sessions = lock(&self.sessions);
        match sessions.get_mut(session) {
            Some((whose, left)) if *whose == of && *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

impl Pace {
    /// How long to stay away, if this request is one too many.
    fn refuses(&mut self, now: Instant) -> Option<Duration> {
        if let Some(until) = self.closed_until.filter(|until| now < *until) {
            return Some(until - now);
        }
        let limit = self.limit?;
        let since = self.at.map_or(Duration::ZERO, |at| now - at);
        self.level = (self.level - since.as_secs_f64() * limit.per_second).max(0.0);
        self.at = Some(now);
        if self.level + 1.0 > limit.burst + 1.0 {
            return Some(Duration::from_secs(1));
        }
        self.level += 1.0;
        None
    }
}

/// Answers a request that came to the origin of `of`, or to that of all the others. What has come whole is carried through
/// although who asked may be gone: a provider makes a change whole or not at all.
async fn answer(
    shared: Arc<Shared>,
    of: Option<Provider>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let carried_through = match body.collect().await {
        Ok(body) => tokio::spawn(carry_through(shared, of, head, body.to_bytes()))
            .await
            .ok(),
        Err(_) => None,
    };
    carried_through.unwrap_or_else(|| {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

async fn carry_through(
    shared: Arc<Shared>,
    of: Option<Provider>,
    head: Parts,
    body: Bytes,
) -> Response<Full<Bytes>> {
    let provider = match (of, head.uri.path()) {
        (Some(provider), _) => provider,
        (None, path) if path.starts_with("/client/v4/") => Provider::Cloudflare,
        (None, path) if path.starts_with("/dns/v1/") || path == "/token" => Provider::CloudDns,
        (None, path) if path.starts_with("/subscriptions/") || azure_dns::is_login(path) => {
            Provider::AzureDns
        }
        (None, path) if path.starts_with("/httpreq/") => Provider::HttpReq,
        (None, "/update") => Provider::AcmeDns,
        (None, _) => Provider::Route53,
    };
    let is_change = provider == Provider::Cloudflare && head.method == Method::POST;
    let delay = if is_change {
        lock(&shared.delay).take()
    } else {
        None
    };
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    let wait = lock(&shared.pace).refuses(Instant::now());
    let answered = match (wait, provider) {
        _ if shared.is_failing.load(Ordering::Relaxed) => Answer {
            status: 500,
            kind: "text/plain",
            body: "internal server error".to_owned(),
            cookie: None,
            next_page: None,
        },
        (Some(_), Provider::Cloudflare) => cloudflare::throttled(),
        (Some(_), Provider::Route53) => route53::throttled(),
        (Some(_), Provider::CloudDns) => cloud_dns::throttled(),
        (Some(_), Provider::AzureDns | Provider::HttpReq | Provider::AcmeDns) => azure_dns::throttled(),
        (Some(_), Provider::Other(name)) => others::throttled(name),
        (None, provider) => {
            let _alone = shared.one_by_one.lock().await;
            match provider {
                Provider::Cloudflare => cloudflare::answer(&shared, &head, &body).await,
                Provider::Route53 => route53::answer(&shared, &head, &body).await,
                Provider::CloudDns if head.uri.path() == "/token" => cloud_dns::token(&shared, &head, &body),
                Provider::CloudDns => cloud_dns::answer(&shared, &head, &body).await,
                Provider::AzureDns if azure_dns::is_login(head.uri.path()) => {
                    azure_dns::token(&shared, &head, &body)
                }
                Provider::AzureDns => azure_dns::answer(&shared, &head, &body).await,
                Provider::HttpReq => simple::httpreq(&shared, &head, &body).await,
                Provider::AcmeDns => simple::acme_dns(&shared, &head, &body).await,
                Provider::Other(name) => others::answer(&shared, name, &head, &body).await,
            }
        }
    };
    lock(&shared.asked).push(Asked {
        at: shared.began.elapsed(),
        provider,
        what: format!("{} {}", head.method, head.uri.path()),
        status: answered.status,
        throttled: wait.is_some(),
    });
    let mut response = Response::builder()
        .status(answered.status)
        .header(header::CONTENT_TYPE, answered.kind);
    if let Some(wait) = wait.filter(|_| !matches!(provider, Provider::Route53 | Provider::CloudDns)) {
        response = response.header(header::RETRY_AFTER, wait.as_secs_f64().ceil().to_string());
    }
    if let Some(page) = answered.next_page {
        response = response.header("opc-next-page", page);
    }
    if let Some(cookie) = answered.cookie {
        response = response.header(header::SET_COOKIE, cookie);
    }
    response.body(Full::new(answered.body.into())).unwrap_or_default()
}

/// A parameter of the query.
fn parameter(head: &Parts, name: &str) -> Option<String> {
    let pairs = head.uri.query()?.split('&');
    let found = pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)?;
    Some(decoded(found.1))
}

/// What stands for percent-encoded text.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A header's text.
fn text(head: &Parts, name: impl header::AsHeaderName) -> &str {
    let value = head.headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
