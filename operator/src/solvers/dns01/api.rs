//! Requests to the API of a DNS provider: permit → send → what is wrong with the answer, if anything.
//!
//! # Guarantees
//! - Each request has a permit of its account's budget, which all replicas share; each permit is reported. A provider that
//!   asks to be left alone is left alone by all of them for as long as it asks.
//! - A request goes to the provider's own host, or to where the operator's command line has it: nothing in an issuer says
//!   where credentials are sent.
//! - Nothing of a header or a body stands in a log.
//! - An account's name, which Leases, metrics and conditions show, tells nothing of its credential: it is a hash with a key that
//!   all replicas have from a Secret, so that nobody else can try passwords by it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::rand;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_core::response::Response;
use sancho_core::shown::shown_within;
use sancho_crds::ProviderName;
use sancho_limiter::Endpoint;
use tokio::sync::{Mutex as AsyncMutex, OnceCell, OwnedMutexGuard, watch};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::changes::Patience;
use super::fault::{
    CREDENTIALS_MISSING, CREDENTIALS_REFUSED, CREDENTIALS_UNREADABLE, DnsFault, PROVIDER_FAILS,
    PROVIDER_THROTTLES,
};
use super::signing::{hex, mac};
use crate::acme::connection::Connections;
use crate::acme::dial::Dialer;
use crate::acme::error::{Lost, NotSent, SendError};
use crate::acme::origin::Origin;
use crate::acme::transport::outcome_of_error;
use crate::budget::{BudgetView, Budgets};
use crate::clock;
use crate::gate::{Gate, Outcome};
use crate::metrics::Metrics;
use crate::proxy::Proxies;
use crate::secrets::SecretError;
use crate::secrets::keys::hash_key;
use crate::target::digest;

/// How long a request waits for its permit. Whoever waits may hold a shard, which goes on later instead. An account's Lease
/// that is new is waited for 15 s, and a slot that another replica uses nearly as long.
const PERMIT_WAIT: Duration = Duration::from_secs(30);
/// A longer pause of its account is not waited for at all.
const PAUSE_WAITED_FOR: Duration = Duration::from_secs(2);
/// The connections to one host that are kept between requests.
const MOST_IDLE: usize = 2;
/// The hosts that connections are kept to.
const MOST_HOSTS: usize = 64;
/// The Secret in the operator's namespace that has the key by which accounts are hashed.
const ACCOUNT_HASHES: &str = "sancho-account-hashes";
/// What is known of so many zones and tokens at once; it can be had again.
const MOST_KNOWN: usize = 1000;

/// A provider whose API is spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    /// Cloudflare.
    Cloudflare,
    /// Amazon Route 53.
    Route53,
    /// Google Cloud DNS.
    CloudDns,
    /// Azure DNS.
    AzureDns,
    /// A server that speaks lego's httpreq.
    HttpReq,
    /// A server of acme-dns.
    AcmeDns,
    /// One of the many by one form.
    Other(ProviderName),
}

impl Provider {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let own = [
            Self::Cloudflare,
            Self::Route53,
            Self::CloudDns,
            Self::AzureDns,
            Self::HttpReq,
            Self::AcmeDns,
        ];
        own.into_iter().chain(ProviderName::ALL.map(Self::Other))
    }

    /// As budgets and metrics name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Route53 => "route53",
            Self::CloudDns => "clouddns",
            Self::AzureDns => "azuredns",
            Self::HttpReq => "httpreq",
            Self::AcmeDns => "acmedns",
            Self::Other(name) => name.word(),
        }
    }

    /// As people name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cloudflare => "Cloudflare",
            Self::Route53 => "Route 53",
            Self::CloudDns => "Google Cloud DNS",
            Self::AzureDns => "Azure DNS",
            Self::HttpReq => "the httpreq server",
            Self::AcmeDns => "acme-dns",
            Self::Other(name) => name.title(),
        }
    }
}

/// Where APIs are, if not at the providers' own hosts: for tests.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    /// `https://HOST:PORT` by provider.
    pub endpoints: BTreeMap<Provider, String>,
    /// PEM certificates of the roots that those are checked against.
    pub roots: Option<Vec<u8>>,
}

/// The APIs that this process asks. Each account is known once.
pub(super) struct Apis {
    budgets: Budgets,
    proxies: Proxies,
    metrics: Metrics,
    user_agent: HeaderValue,
    elsewhere: Elsewhere,
    /// Those of the operator's own namespace.
    secrets: Api<Secret>,
    hash_key: OnceCell<Zeroizing<String>>,
    hosts: Mutex<HashMap<(Origin, String), Connections>>,
    known: Mutex<HashMap<Key, (Zeroizing<String>, Instant)>>,
    turns: Mutex<HashMap<Key, Turn>>,
}

/// An account's name, and what is asked of it one after the other or known for a while.
type Key = (String, String);
/// Held by whoever asks.
type Turn = Weak<AsyncMutex<()>>;

/// An account at a provider, and its budget.
pub(super) struct Account {
    apis: Arc<Apis>,
    provider: Provider,
    /// As its budget is named: `dns:route53:1a2b3c4d5e6f7a8b`.
    name: String,
    gate: Gate,
    budget: watch::Receiver<BudgetView>,
    patience: Patience,
    /// The roots that its server is checked against, if not the public ones.
    roots: Option<Zeroizing<String>>,
}

/// One request.
#[derive(Clone)]
pub(super) struct ApiRequest<'a> {
    /// What kind of request it is, for logs and metrics: one of a fixed few words.
    pub(super) kind: &'static str,
    pub(super) method: Method,
    /// The provider's own host, as in `https://api.cloudflare.com`.
    pub(super) host: &'a str,
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Vec<u8>,
}

impl Apis {
    pub(super) fn new(
        budgets: Budgets,
        proxies: Proxies,
        metrics: Metrics,
        replica: &str,
        elsewhere: Elsewhere,
        secrets: Api<Secret>,
    ) -> Arc<Self> {
        let user_agent = format!("sancho/{} ({replica})", env!("CARGO_PKG_VERSION"));
        Arc::new(Self {
            budgets,
            proxies,
            metrics,
            user_agent: HeaderValue::try_from(user_agent).unwrap_or(HeaderValue::from_static("sancho")),
            elsewhere,
            secrets,
            hash_key: OnceCell::new(),
            hosts: Mutex::default(),
            known: Mutex::default(),
            turns: Mutex::default(),
        })
    }

    /// The account at `provider` that these words tell from others: the whole credential, so that nobody who lacks it uses
    /// its budget up. Requests on behalf of `tenant` take turns with those of other tenants.
    ///
    /// # Errors
    /// [`DnsFault`] if the key by which it is hashed cannot be had.
    pub(super) async fn account<'a>(
        self: &Arc<Self>,
        provider: Provider,
        words: impl IntoIterator<Item = &'a str>,
        tenant: &str,
        patience: Patience,
    ) -> Result<Account, DnsFault> {
        let key = self.hash_key.get_or_try_init(|| self.read_hash_key()).await?;
        let name = account_name(provider, words, key);
        let budget = self.budgets.of_provider(&name);
        Ok(Account {
            apis: self.clone(),
            provider,
            name,
            gate: budget.gate().for_tenant(tenant),
            budget: budget.view(),
            patience,
            roots: None,
        })
    }

    /// The key by which accounts are hashed. The first replica makes it.
    async fn read_hash_key(&self) -> Result<Zeroizing<String>, DnsFault> {
        let unusable = |reason, why: &str| {
            DnsFault::new(
                reason,
                &format!(
                    "Secret {ACCOUNT_HASHES} in the operator's namespace, by which accounts at DNS providers are told apart, \
                     cannot be used: {why}"
                ),
            )
        };
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::fill(&mut bytes[..])
            .map_err(|_| unusable(CREDENTIALS_MISSING, "the system has no random numbers"))?;
        let fresh = Zeroizing::new(hex(&bytes[..]));
        hash_key(&self.secrets, ACCOUNT_HASHES, &fresh)
            .await
            .map_err(|error| match error {
                SecretError::NotOurs { whose, .. } => unusable(
                    CREDENTIALS_MISSING,
                    &format!("{whose}: delete it and restart all replicas, and a new one is made"),
                ),
                error => unusable(CREDENTIALS_UNREADABLE, &error.to_string()),
            })
    }

    fn connections(&self, origin: &Origin, roots: Option<&str>) -> Result<Connections, DnsFault> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (origin.clone(), roots.map(|pem| digest([pem])).unwrap_or_default());
        if let Some(connections) = hosts.get(&key) {
            return Ok(connections.clone());
        }
        if hosts.len() >= MOST_HOSTS {
            // What is in use is kept by whoever uses it.
            hosts.clear();
        }
        let roots = roots.map(str::as_bytes).or(self.elsewhere.roots.as_deref());
        let dialer = Dialer::new(origin.clone(), roots, &self.proxies)
            .map_err(|error| DnsFault::new(PROVIDER_FAILS, &error.to_string()))?;
        let connections = Connections::new(dialer, MOST_IDLE);
        hosts.insert(key, connections.clone());
        Ok(connections)
    }
}

impl Account {
    /// Waits until nobody else in this process looks for `what`, and keeps others waiting until what comes back is dropped:
    /// of two who look for the same one finds it remembered.
    ///
    /// # Errors
    /// [`DnsFault`] that may pass, if that takes as long as a permit may.
    pub(super) async fn turn(&self, what: &str) -> Result<OwnedMutexGuard<()>, DnsFault> {
        let turn = self.turn_of(what);
        timeout(PERMIT_WAIT, turn).await.map_err(|_| self.waits())
    }

    /// The same with changes of `zone`, which are not to be in one another's way.
    ///
    /// # Errors
    /// [`DnsFault`] that may pass, if others' changes take long.
    pub(super) async fn turn_to_change(&self, zone: &str) -> Result<OwnedMutexGuard<()>, DnsFault> {
        let what = format!("changes of {zone}");
        let turn = self.turn_of(&what);
        timeout(self.patience.waits(), turn)
            .await
            .map_err(|_| DnsFault::not_its_turn(self.provider.name()))
    }

    async fn turn_of(&self, what: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.apis.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.entry((self.name.clone(), what.to_owned())).or_default();
            turn.upgrade().unwrap_or_else(|| {
                let new = Arc::default();
                *turn = Arc::downgrade(&new);
                new
            })
        };
        turn.lock_owned().await
    }

    /// The provider has said that it wants to be left alone for longer than a shard is to be held for.
    fn paused(&self) -> Option<DnsFault> {
        let until = self.budget.borrow().paused_until?;
        let left = until.since(clock::boot());
        (left > PAUSE_WAITED_FOR).then(|| {
            DnsFault::new(
                PROVIDER_THROTTLES,
                &format!(
                    "{} wants to be left alone for {} s more, by what its budget has (kubectl sancho budget, {})",
                    self.provider.name(),
                    left.as_secs(),
                    self.name
                ),
            )
        })
    }

    fn waits(&self) -> DnsFault {
        let name = self.provider.name();
        DnsFault::new(
            PROVIDER_THROTTLES,
            &format!(
                "requests to {name} wait for their turn in the budget that all replicas share (kubectl sancho budget, {})",
                self.name
            ),
        )
    }

    /// What was remembered of `what`, if that still counts.
    pub(super) fn recall(&self, what: &str) -> Option<Zeroizing<String>> {
        let known = self.apis.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, until) = known.get(&(self.name.clone(), what.to_owned()))?;
        (Instant::now() < *until).then(|| value.clone())
    }

    /// Remembers something of this account for so long.
    pub(super) fn remember(&self, what: &str, value: &str, time: Duration) {
        let mut known = self.apis.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            let now = Instant::now();
            known.retain(|_, (_, until)| now < *until);
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
        }
        let value = Zeroizing::new(value.to_owned());
        known.insert(
            (self.name.clone(), what.to_owned()),
            (value, Instant::now() + time),
        );
    }

    /// Forgets it.
    pub(super) fn forget(&self, what: &str) {
        let mut known = self.apis.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&(self.name.clone(), what.to_owned()));
    }

    /// Forgets it, unless something else is remembered by now.
    pub(super) fn forget_if(&self, what: &str, value: &str) {
        let mut known = self.apis.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.name.clone(), what.to_owned());
        if known
            .get(&key)
            .is_some_and(|(remembered, _)| remembered.as_str() == value)
        {
            known.remove(&key);
        }
    }

    /// The same, with the roots that its server is checked against.
    pub(super) fn with_roots(mut self, roots: Option<Zeroizing<String>>) -> Self {
        self.roots = roots;
        self
    }

    /// Where requests to `host` go.
    pub(super) fn origin(&self, host: &str) -> Result<Origin, DnsFault> {
        let elsewhere = self.apis.elsewhere.endpoints.get(&self.provider);
        Origin::of(elsewhere.map_or(host, String::as_str)).map_err(|error| {
            let name = self.provider.name();
            DnsFault::new(
                PROVIDER_FAILS,
                &format!("the API of {name} has no usable address: {error}"),
            )
        })
    }

    /// Sends one request and gives the answer back, unless that says that it was asked too fast, or fails (5xx).
    /// `is_throttle`: which answers say so besides 429 and 503.
    ///
    /// # Errors
    /// [`DnsFault`] that may pass, if there is no answer that says anything about the request.
    pub(super) async fn send(
        &self,
        request: ApiRequest<'_>,
        is_throttle: impl Fn(&Response) -> bool + Copy + Send + 'static,
    ) -> Result<Response, DnsFault> {
        let ApiRequest {
            kind,
            method,
            host,
            path,
            headers,
            body,
        } = request;
        let name = self.provider.name();
        let fails = |words: &str| DnsFault::new(PROVIDER_FAILS, words);
        let origin = self.origin(host)?;
        let connections = self
            .apis
            .connections(&origin, self.roots.as_ref().map(|pem| pem.as_str()))?;
        let mut request = Request::builder()
            .method(method)
            .uri(&path)
            .header(HOST, origin.authority())
            .header(USER_AGENT, &self.apis.user_agent);
        for (header, mut value) in headers {
            value.set_sensitive(true);
            request = request.header(header, value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| fails(&format!("a request to {name} cannot be written")))?;
        if let Some(fault) = self.paused() {
            return Err(fault);
        }
        let asked = Instant::now();
        let Ok(permit) = timeout(PERMIT_WAIT, self.gate.permit(Endpoint::Other)).await else {
            return Err(self.waits());
        };
        let mut permit = permit.map_err(|closed| fails(&closed.to_string()))?;
        self.apis.metrics.permitted(&self.name, asked.elapsed());
        let (metrics, account) = (self.apis.metrics.clone(), self.name.clone());
        // In a task of its own, so that a caller who goes away leaves no outcome unknown.
        let sending = tokio::spawn(async move {
            let begin = Instant::now();
            let answer = connections.exchange(request, &mut permit).await;
            let took = begin.elapsed();
            let code = match &answer {
                Ok(response) => response.status.to_string(),
                Err(error) => error.reason().to_owned(),
            };
            metrics.requested(&account, kind, &code, took);
            tracing::debug!(
                account,
                kind,
                code,
                milliseconds = took.as_millis(),
                "the DNS provider answered"
            );
            if let Err(error) = &answer
                && error.is_about_the_ca()
            {
                permit.unanswered(error.reason(), no_answer(name, error));
            }
            permit.answered(outcome(&answer, is_throttle, Timestamp::now()));
            answer
        });
        let answer = sending.await.unwrap_or_else(|_| Err(Lost::BrokenOff.into()));
        let response = answer.map_err(|error| fails(&no_answer(name, &error)))?;
        if asks_for_a_pause(&response, is_throttle) {
            let wait = response
                .retry_after(Timestamp::now())
                .map(|until| until.duration_since(Timestamp::now()).as_secs().max(0));
            let wait = wait.map_or_else(String::new, |wait| {
                format!(" and wants to be left alone for {wait} s")
            });
            return Err(DnsFault::new(
                PROVIDER_THROTTLES,
                &format!(
                    "{name} says that it is asked too fast{wait}: requests to this account are slowed down"
                ),
            ));
        }
        if response.status >= 500 {
            return Err(fails(&format!(
                "the API of {name} fails (HTTP status {}): see its status page",
                response.status
            )));
        }
        Ok(response)
    }

    /// The provider does not take these credentials.
    pub(super) fn refused(&self, words: &str, mend: &str) -> DnsFault {
        let words = shown_within(words, 160);
        DnsFault::new(
            CREDENTIALS_REFUSED,
            &format!(
                "{} refuses the credentials ({words}): {mend}",
                self.provider.name()
            ),
        )
    }

    /// What was answered is not what its API has.
    pub(super) fn unreadable(&self, response: &Response) -> DnsFault {
        DnsFault::new(
            PROVIDER_FAILS,
            &format!(
                "the API of {} answers with what cannot be read (HTTP status {})",
                self.provider.name(),
                response.status
            ),
        )
    }
}

/// As the budget of the account at `provider` is named that these words tell from others.
fn account_name<'a>(provider: Provider, words: impl IntoIterator<Item = &'a str>, key: &str) -> String {
    let hash = hex(mac(key.as_bytes(), &digest(words)).as_ref());
    format!("dns:{}:{}", provider.word(), &hash[..16])
}

fn asks_for_a_pause(response: &Response, is_throttle: impl Fn(&Response) -> bool) -> bool {
    matches!(response.status, 429 | 503) || is_throttle(response)
}

fn outcome(
    answer: &Result<Response, SendError>,
    is_throttle: impl Fn(&Response) -> bool,
    now: Timestamp,
) -> Outcome {
    match answer {
        Ok(response) if asks_for_a_pause(response, is_throttle) => Outcome::Throttled {
            retry_after: response
                .retry_after(now)
                .map(|until| Duration::try_from(until.duration_since(now)).unwrap_or_default()),
        },
        Ok(_) => Outcome::Answered,
        Err(error) => outcome_of_error(error),
    }
}

/// Why there is no answer. An ACME error's own words speak of a CA.
fn no_answer(name: &str, error: &SendError) -> String {
    if let SendError::Lost(Lost::TooLong { limit, .. }) = error {
        return format!(
            "the API of {name} answers with more than the {limit} bytes that are read: use credentials that show fewer \
             zones and records"
        );
    }
    if let SendError::NotSent(NotSent::Proxy { proxy, fault, .. }) = error {
        return format!("the API of {name} is asked through the proxy {proxy}, {fault}");
    }
    let what = match error {
        SendError::NotSent(NotSent::Lookup { .. }) => "its name cannot be resolved",
        SendError::NotSent(NotSent::Refused { .. }) => "it refuses connections",
        SendError::NotSent(NotSent::UnknownRoot { .. } | NotSent::NotInBundle { .. }) => {
            "its TLS certificate comes from a root that is not trusted"
        }
        SendError::NotSent(NotSent::Certificate { .. } | NotSent::Tls { .. }) => "no TLS session comes about",
        SendError::NotSent(NotSent::TimedOut { .. }) | SendError::Lost(Lost::TimedOut { .. }) => {
            "it does not answer in time"
        }
        SendError::Lost(Lost::NotHttp { .. }) => "what answers does not speak HTTP",
        SendError::NotSent(NotSent::SlotEnding)
        | SendError::Lost(Lost::SlotEnded { .. } | Lost::BrokenOff)
        | SendError::Closed(_) => "the request was broken off",
        SendError::NotSent(NotSent::Unreachable { .. } | NotSent::Turned { .. } | NotSent::Proxy { .. })
        | SendError::Lost(Lost::Reset { .. } | Lost::TooLong { .. })
        | SendError::Url(_)
        | SendError::NoNonce { .. }
        | SendError::Directory(_)
        | SendError::Signing(_) => "it cannot be reached",
    };
    format!(
        "the API of {name} cannot be asked ({what}): check network policies, firewalls and the cluster's DNS between \
         the operator and it"
    )
}

/// A header's value, if it can be one.
pub(super) fn header(value: &str) -> Result<HeaderValue, DnsFault> {
    HeaderValue::try_from(value).map_err(|_| {
        DnsFault::new(
            CREDENTIALS_MISSING,
            "a credential has characters that no HTTP header can have: see that the Secret holds it alone, on one line",
        )
    })
}

/// Percent-encoded, all but unreserved characters (RFC 3986 §2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;
