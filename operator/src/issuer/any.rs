//! What Issuers and ClusterIssuers have in common.

use std::fmt::Debug;
use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use sancho_crds::{Acme, Allowed, ClusterIssuer, Issuer, IssuerStatus};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::IssuerKey;
use crate::budget::Figures;
use crate::context::Context;

/// What both kinds have in common.
pub trait AnyIssuer:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The CA and the account.
    fn acme(&self) -> &Acme;
    /// The budget, where it may be given.
    fn budget(&self) -> Option<Figures>;
    /// Which Certificates may use it, if it says so.
    fn allowed(&self) -> Option<&Allowed>;
    /// The status.
    fn status(&self) -> Option<&IssuerStatus>;
    /// A copy with another status.
    fn with_status(&self, status: IssuerStatus) -> Self;
    /// As the watch shows it.
    fn seen(context: &Context, key: &IssuerKey) -> Option<Arc<Self>>;
    /// All that the watch shows.
    fn all_seen(context: &Context) -> Vec<Arc<Self>>;
    /// Where it is read and written.
    fn api(&self, context: &Context) -> Api<Self>;
    /// Does its status speak of its present spec?
    fn is_current(&self) -> bool {
        let observed = self.status().and_then(|status| status.observed_generation);
        observed.is_some() && observed == self.meta().generation
    }
    /// Its key.
    fn key(&self) -> IssuerKey {
        IssuerKey {
            namespace: self.namespace(),
            name: self.name_any(),
        }
    }
}

impl AnyIssuer for Issuer {
    fn acme(&self) -> &Acme {
        &self.spec.acme
    }
    fn budget(&self) -> Option<Figures> {
        None
    }
    fn allowed(&self) -> Option<&Allowed> {
        None
    }
    fn status(&self) -> Option<&IssuerStatus> {
        self.status.as_ref()
    }
    fn with_status(&self, status: IssuerStatus) -> Self {
        Self {
            status: Some(status),
            ..self.clone()
        }
    }
    fn seen(context: &Context, key: &IssuerKey) -> Option<Arc<Self>> {
        context
            .seen
            .issuers
            .get(&ObjectRef::new(&key.name).within(key.namespace.as_deref()?))
    }
    fn all_seen(context: &Context) -> Vec<Arc<Self>> {
        context.seen.issuers.each().collect()
    }
    fn api(&self, context: &Context) -> Api<Self> {
        Api::namespaced(context.client.clone(), &self.namespace().unwrap_or_default())
    }
}

impl AnyIssuer for ClusterIssuer {
    fn acme(&self) -> &Acme {
        &self.spec.acme
    }
    fn budget(&self) -> Option<Figures> {
        let given = self.spec.budget.as_ref()?;
        if (given.requests_per_second, given.burst, given.max_in_flight) == (None, None, None) {
            return None;
        }
        let cautious = sancho_limiter::Budget::unknown_ca();
        Some(Figures {
            requests_per_second: given.requests_per_second.unwrap_or(cautious.requests_per_second),
            burst: given.burst.unwrap_or(cautious.burst),
            max_in_flight: given.max_in_flight.unwrap_or(cautious.max_in_flight),
        })
    }
    fn allowed(&self) -> Option<&Allowed> {
        self.spec.allowed.as_ref()
    }
    fn status(&self) -> Option<&IssuerStatus> {
        self.status.as_ref()
    }
    fn with_status(&self, status: IssuerStatus) -> Self {
        Self {
            status: Some(status),
            ..self.clone()
        }
    }
    fn seen(context: &Context, key: &IssuerKey) -> Option<Arc<Self>> {
        context.seen.cluster_issuers.get(&ObjectRef::new(&key.name))
    }
    fn all_seen(context: &Context) -> Vec<Arc<Self>> {
        context.seen.cluster_issuers.each().collect()
    }
    fn api(&self, context: &Context) -> Api<Self> {
        Api::all(context.client.clone())
    }
}
