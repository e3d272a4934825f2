//! Issuers and ClusterIssuers: read the spec → key → account → ready.
//!
//! An issuer that is ready has a [`Session`] that orders can be sent with. Its account's URL and its
//! key's thumbprint stand in its status, so that another replica needs no request to be ready too.

mod account;
pub mod allowed;
mod any;
mod ca_names;
mod controller;
mod edition;
pub mod name_caps;
mod roll_over;
mod status;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sancho_crds::{Allowed, IssuerKind, IssuerRef, NameCap};
use tokio::sync::watch;

pub use self::any::AnyIssuer;
pub use self::controller::run;
pub use self::edition::Edition;
use crate::acme::session::Session;
use crate::budget::Budget;

/// Names an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerKey {
    /// The namespace of an Issuer; none for a ClusterIssuer.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl IssuerKey {
    /// The issuer that `reference` in `namespace` speaks of.
    #[must_use]
    pub fn of(reference: &IssuerRef, namespace: &str) -> Self {
        let namespace = match reference.kind() {
            IssuerKind::Issuer => Some(namespace.to_owned()),
            IssuerKind::ClusterIssuer => None,
        };
        Self {
            namespace,
            name: reference.name.clone(),
        }
    }
}

impl std::fmt::Display for IssuerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "Issuer {namespace}/{}", self.name),
            None => write!(f, "ClusterIssuer {}", self.name),
        }
    }
}

/// An issuer that orders can be sent to.
#[derive(Clone)]
pub struct ReadyIssuer {
    /// Its directory URL.
    pub server: String,
    /// Its account.
    pub session: Session,
    /// Its CA's budget.
    pub budget: Budget,
    /// What else its spec says of orders.
    pub terms: IssuerTerms,
}

/// What an issuer says of orders, whatever the account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssuerTerms {
    /// The CA's profile that is asked for, unless a Certificate names another.
    pub profile: Option<String>,
    /// At most so many names in one certificate.
    pub max_names: Option<u32>,
    /// How many the CA turned out to take.
    pub name_caps: Vec<NameCap>,
    /// Which Certificates may use it; all if it does not say.
    pub allowed: Option<Allowed>,
    /// The names that its CA goes by in DNS, if they are known.
    pub issuer_domain_names: Option<Vec<String>>,
    /// Which edition of it says this: after an edit what failed is tried anew.
    pub edition: Edition,
}

impl IssuerTerms {
    fn of<K: AnyIssuer>(issuer: &K) -> Self {
        let (acme, status) = (issuer.acme(), issuer.status());
        Self {
            edition: Edition::of(issuer.meta()),
            allowed: issuer.allowed().cloned(),
            profile: acme.profile.clone(),
            max_names: acme.max_names,
            name_caps: name_caps::in_force(acme, status).cloned().collect(),
            issuer_domain_names: ca_names::recorded(acme, status),
        }
    }

    /// How many names the CA turned out to take in one certificate of this profile.
    #[must_use]
    pub fn most_names(&self, profile: Option<&str>) -> Option<u32> {
        name_caps::of_profile(self.name_caps.iter(), profile)
    }
}

impl ReadyIssuer {
    /// Is it the same account, asked in the same way?
    fn is_same(&self, other: &Self) -> bool {
        self.server == other.server
            && self.session.kid() == other.session.kid()
            && self.session.thumbprint() == other.session.thumbprint()
            && self.session.transport().is_same(other.session.transport())
    }

    /// The same, for requests on behalf of this namespace; see [`crate::gate::Gate::for_tenant`].
    #[must_use]
    pub fn for_tenant(&self, namespace: &str) -> Self {
        Self {
            session: self.session.for_tenant(namespace),
            ..self.clone()
        }
    }
}

/// The issuers that are ready. Cheap to clone.
#[derive(Clone)]
pub struct Issuers {
    inner: Arc<Inner>,
}

struct Inner {
    ready: Mutex<HashMap<IssuerKey, ReadyIssuer>>,
    /// Accounts that the CA was heard to know no longer, by issuer.
    gone: Mutex<HashMap<IssuerKey, String>>,
    changes: watch::Sender<u64>,
}

impl Default for Issuers {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                ready: Mutex::default(),
                gone: Mutex::default(),
                changes: watch::Sender::new(0),
            }),
        }
    }
}

impl Issuers {
    /// The issuer, if it is ready.
    #[must_use]
    pub fn get(&self, key: &IssuerKey) -> Option<ReadyIssuer> {
        self.inner
            .ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    /// How that changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// The CA has said that it does not know the account `kid` of this issuer (a CA that was set up
    /// anew, a staging CA that forgets): the issuer is not ready until it is registered again.
    pub fn account_gone(&self, key: &IssuerKey, kid: &str) {
        let mut ready = self.inner.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.get(key).is_none_or(|issuer| issuer.session.kid() != kid) {
            return;
        }
        ready.remove(key);
        drop(ready);
        self.gone().insert(key.clone(), kid.to_owned());
        self.inner.changes.send_modify(|count| *count += 1);
    }

    /// The account that this issuer is not to be resumed with.
    fn gone_account(&self, key: &IssuerKey) -> Option<String> {
        self.gone().get(key).cloned()
    }

    /// The issuers whose accounts are gone.
    fn with_gone_accounts(&self) -> Vec<IssuerKey> {
        self.gone().keys().cloned().collect()
    }

    fn gone(&self) -> MutexGuard<'_, HashMap<IssuerKey, String>> {
        self.inner.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The issuer does not exist any more.
    fn forget(&self, key: &IssuerKey) {
        self.gone().remove(key);
        self.set(key.clone(), None);
    }

    /// It was registered just now: its account is there, whatever was heard of it before.
    fn registered(&self, key: &IssuerKey) {
        self.gone().remove(key);
    }

    /// From now on the issuer is ready, or not. A look that began before its account was heard to be gone
    /// does not bring that account back, and one that found the same session again keeps its directory,
    /// and wakes nobody unless it says something else of orders. That it is not ready, and perhaps why, is news each time.
    fn set(&self, key: IssuerKey, issuer: Option<ReadyIssuer>) {
        if let Some(issuer) = &issuer {
            let mut gone = self.gone();
            if gone.get(&key).is_some_and(|gone| gone == issuer.session.kid()) {
                return;
            }
            gone.remove(&key);
        }
        let issuer = match (self.get(&key), issuer) {
            (Some(present), Some(issuer)) if present.is_same(&issuer) => {
                if present.terms == issuer.terms {
                    return;
                }
                Some(ReadyIssuer {
                    session: present.session,
                    ..issuer
                })
            }
            (_, issuer) => issuer,
        };
        let mut ready = self.inner.ready.lock().unwrap_or_else(PoisonError::into_inner);
        match issuer {
            Some(issuer) => ready.insert(key, issuer),
            None => ready.remove(&key),
        };
        drop(ready);
        self.inner.changes.send_modify(|count| *count += 1);
    }
}
