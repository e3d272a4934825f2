//! Issuers and ClusterIssuers: read the spec → key → account → ready.
//!
//! An issuer that is ready has a [`Session`] that orders can be sent with. Its account's URL and its
//! key's thumbprint stand in its status, so that another replica needs no request to be ready too.

mod account;
mod controller;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sancho_crds::{IssuerKind, IssuerRef};
use tokio::sync::watch;

pub use self::controller::{AnyIssuer, run};
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
}

impl ReadyIssuer {
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
    changes: watch::Sender<u64>,
}

impl Default for Issuers {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                ready: Mutex::default(),
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

    fn set(&self, key: IssuerKey, issuer: Option<ReadyIssuer>) {
        let mut ready = self.inner.ready.lock().unwrap_or_else(PoisonError::into_inner);
        match issuer {
            Some(issuer) => ready.insert(key, issuer),
            None => ready.remove(&key),
        };
        drop(ready);
        self.inner.changes.send_modify(|count| *count += 1);
    }
}
