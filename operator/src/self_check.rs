//! Look before asking: does a name's path lead to Sancho, through DNS and the public way that a CA takes?
//!
//! name → addresses (`dns`; an address is its own) → GET the check's token (`http`) → finding → judged by the round
//!
//! Beside that: do the CAA records of the names let the CA issue for them (`caa`)?
//!
//! # Guarantees
//! All names of a round are looked at at once, a bounded number in the process; nothing is sent to a CA.
//! What is answered is compared and never shown: a name may lead anywhere, inside the cluster too. Addresses that
//! are link-local, where clouds keep their secrets, are not asked at all.

mod any_certificate;
mod caa;
mod dns;
mod http;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use sancho_core::challenge::Token;
use sancho_core::check::{Fault, Finding, judged, reaches_nothing};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::dns::Addresses;
use self::http::Fetcher;

/// So many names are looked at at once by one process.
const MOST_AT_ONCE: usize = 128;
/// A name that fails is looked at once more after a pause: a responder or a load balancer may just restart.
const LOOKS: u32 = 2;
const PAUSE: Duration = Duration::from_secs(1);
/// How long one look may take, redirects included.
const LOOK_TIMEOUT: Duration = Duration::from_secs(8);

/// So long a route that was just written may take to count: controllers reload now and then only.
const ROUTE_WITHIN: Duration = Duration::from_secs(30);
/// So long it may take for a name when another name's counts already.
const ROUTE_BEHIND: Duration = Duration::from_secs(5);
/// So long it may take while nothing answers at any name. A controller that reloads answers; where nothing does, most
/// likely nothing can be reached from here, and waiting tells no more.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// So long a gateway may fail to reach the responders.
const GATEWAY_WITHIN: Duration = Duration::from_secs(15);

/// How looks are made.
#[derive(Debug, Clone)]
pub struct SelfCheckSettings {
    /// Whether they are made at all.
    pub enabled: bool,
    /// The DNS resolvers to ask; the system's if there are none.
    pub resolvers: Vec<SocketAddr>,
    /// The port at which CAs ask: 80 (RFC 8555 §8.3), save in tests.
    pub port: u16,
}

/// Makes looks. Cheap to clone.
#[derive(Clone)]
pub struct SelfCheck {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    /// Why there is no resolver, if there is none.
    resolver: Result<TokioResolver, String>,
    fetcher: Fetcher,
    places: Semaphore,
}

impl SelfCheck {
    /// Looks as `settings` have it. A resolver that cannot be set up makes every finding unknown.
    #[must_use]
    pub fn new(settings: &SelfCheckSettings) -> Self {
        let inner = settings.enabled.then(|| {
            let resolver = dns::resolver(&settings.resolvers);
            if let Err(words) = &resolver {
                tracing::warn!(
                    words,
                    "names are not looked at before the CA is asked: no resolver"
                );
            }
            Arc::new(Inner {
                resolver,
                fetcher: Fetcher::new(settings.port),
                places: Semaphore::new(MOST_AT_ONCE),
            })
        });
        Self { inner }
    }

    /// Are looks made at all?
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.inner.is_some()
    }

    /// One finding for each of `names`: whether `answer` is what their path answers for `token`. Those whose route was
    /// just written are looked at until it counts, within [`ROUTE_WITHIN`], or [`ANSWER_WITHIN`] if nothing answers, and those before which a gateway fails until it
    /// does not, within [`GATEWAY_WITHIN`].
    pub async fn round(
        &self,
        names: &[String],
        token: &Token,
        answer: &str,
        is_just_routed: impl Fn(&str) -> bool,
    ) -> Vec<Finding> {
        let Some(inner) = &self.inner else {
            return vec![Finding::Unknown("the check is turned off".into()); names.len()];
        };
        let looks = names.iter().map(|name| inner.look(name, token, answer));
        let mut found = futures::future::join_all(looks).await;
        let begun = Instant::now();
        let mut until = begun + ROUTE_WITHIN;
        let mut counts = false;
        loop {
            let routed = || (0..names.len()).filter(|number| is_just_routed(&names[*number]));
            if !counts && routed().any(|number| found[number] == Finding::Passed) {
                counts = true;
                until = until.min(Instant::now() + ROUTE_BEHIND);
            }
            let now = Instant::now();
            let is_waited_for = now < until && (now < begun + ANSWER_WITHIN || !reaches_nothing(&found));
            let is_open = |number: &usize| match &found[*number] {
                Finding::Failed(fault) => {
                    (is_waited_for && fault.may_be_early() && is_just_routed(&names[*number]))
                        || (now < begun + GATEWAY_WITHIN && fault.is_of_gateway())
                }
                Finding::Passed | Finding::Unknown(_) => false,
            };
            let open: Vec<usize> = (0..names.len()).filter(is_open).collect();
            if open.is_empty() {
                return judged(found);
            }
            tokio::time::sleep(PAUSE).await;
            let again = open
                .iter()
                .map(|number| inner.placed(&names[*number], token, answer));
            for (number, finding) in open.iter().zip(futures::future::join_all(again).await) {
                found[*number] = finding;
            }
        }
    }
}

impl Inner {
    /// One look, in a place of its own.
    async fn placed(&self, name: &str, token: &Token, answer: &str) -> Finding {
        let _place = self.places.acquire().await;
        self.once(name, token, answer).await
    }

    async fn look(&self, name: &str, token: &Token, answer: &str) -> Finding {
        let _place = self.places.acquire().await;
        let mut finding = self.once(name, token, answer).await;
        for _ in 1..LOOKS {
            if !matches!(finding, Finding::Failed(_)) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            finding = self.once(name, token, answer).await;
        }
        tracing::debug!(name, ?finding, "looked at a name's own path");
        finding
    }

    async fn once(&self, name: &str, token: &Token, answer: &str) -> Finding {
        let resolver = match &self.resolver {
            Ok(resolver) => resolver,
            Err(words) => return Finding::Unknown(words.clone()),
        };
        let addresses = match name.parse() {
            Ok(address) => Ok(Addresses::of(address)),
            Err(_) => dns::addresses(resolver, name).await,
        };
        let Addresses { v4, v6 } = match addresses {
            Ok(addresses) => addresses,
            Err(finding) => return finding,
        };
        let ask = |address: Option<IpAddr>| async move {
            let address = address?;
            let asked = self.fetcher.ask(resolver, name, address, token, answer);
            let timed_out = Finding::Failed(Fault::TimedOut { address });
            Some(
                tokio::time::timeout(LOOK_TIMEOUT, asked)
                    .await
                    .unwrap_or(timed_out),
            )
        };
        let (four, six) = tokio::join!(ask(v4.map(IpAddr::V4)), ask(v6.map(IpAddr::V6)));
        both(four, six)
    }
}

/// What the two address families come to. CAs prefer IPv6, and take IPv4 if nothing answers there.
fn both(four: Option<Finding>, six: Option<Finding>) -> Finding {
    match (four, six) {
        (Some(Finding::Passed), Some(Finding::Failed(Fault::Foreign { address, status }))) => {
            Finding::Failed(Fault::Ipv6Elsewhere { address, status })
        }
        (Some(Finding::Passed), Some(Finding::Failed(fault @ Fault::Redirect { .. }))) => {
            Finding::Failed(fault)
        }
        (Some(Finding::Passed), _) | (_, Some(Finding::Passed)) => Finding::Passed,
        (Some(only), _) | (None, Some(only)) => only,
        (None, None) => Finding::Failed(Fault::NoAddress),
    }
}

#[cfg(test)]
mod tests;
