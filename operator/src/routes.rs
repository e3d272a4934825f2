//! Routes for challenges: Ingresses and HTTPRoutes that lead `/.well-known/acme-challenge/` of a shard's names to the
//! responder's Service. wanted → written → accepted → looked at → swept.
//!
//! All stand in the operator's namespace, since an Ingress can name only a Service of its own. They have the shard's
//! names as hosts and that path alone, so that whatever else the hosts serve stays as it is.
//!
//! # Guarantees
//! - Who drives a shard writes its routes after its claim is recorded, and before its names are looked at and any
//!   challenge is answered. They stay until the order is done.
//! - A route of a shard that needs none is taken away: soon by who drove it ([`sweep::LINGERS`]), and after a crash by
//!   any replica, within [`sweep::EVERY`] and that. Owner references do not reach into another namespace.
//! - None is taken away that is needed. The version of the shard at the claim is written to the route
//!   ([`CLAIM_ANNOTATION`]), so that each claim changes it; a route is read first, then its shard, and the route is
//!   deleted in the version that was read. Whoever claims the shard after that read writes the route again.
//! - For a solver that is `external` nothing is written, read or waited for.
//!
//! # Caveats
//! - A claim that a dead replica has left keeps its shard's routes until another takes the shard up; a shard that is
//!   paused in that moment has to be resumed for it, or deleted.
//! - That a route counts is told by the names' own paths alone. Where they are not looked at, an Ingress gets a few
//!   seconds, and the CA is asked then.

pub mod accepted;
pub mod sweep;
pub mod wanted;
pub mod write;

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use sancho_crds::CertificateShard;
use tokio::sync::mpsc;

/// The label of a route: its shard's UID.
pub const SHARD_LABEL: &str = "sancho.dev/shard-uid";
/// The annotation of a route that says whose it is: the shard's namespace and name.
pub const SHARD_ANNOTATION: &str = "sancho.dev/shard";
/// The annotation of a route with the shard's version at the claim that it was written for last.
pub const CLAIM_ANNOTATION: &str = "sancho.dev/claim";

/// Where routes are written, and where they lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The operator's namespace.
    pub namespace: String,
    /// The responder's Service in it.
    pub service: String,
    /// Its port.
    pub port: u16,
}

/// The kinds of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `gateway.networking.k8s.io/v1` HTTPRoute.
    HttpRoute,
}

impl Kind {
    /// Both.
    pub const ALL: [Kind; 2] = [Kind::Ingress, Kind::HttpRoute];

    /// The API of this kind in a namespace.
    #[must_use]
    pub fn api(self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        let (group, kind, plural) = match self {
            Self::Ingress => ("networking.k8s.io", "Ingress", "ingresses"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "HTTPRoute", "httproutes"),
        };
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

/// The routes of this replica. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Routes {
    /// Where they are written.
    pub home: Home,
    sweeper: mpsc::UnboundedSender<String>,
}

impl Routes {
    /// Routes in `home`, and the shards (by UID) that [`sweep::run`] is to be told of.
    #[must_use]
    pub fn new(home: Home) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (sweeper, told) = mpsc::unbounded_channel();
        (Self { home, sweeper }, told)
    }

    /// The drive of a shard for which routes were written has ended: they may soon be of no more use.
    pub fn drive_ended(&self, shard_uid: &str) {
        // The sweeper ends with the process.
        let _ = self.sweeper.send(shard_uid.to_owned());
    }
}

/// Does `shard` need routes, as it is recorded? As long as somebody drives it or an order is under way.
#[must_use]
pub fn is_needed(shard: &CertificateShard) -> bool {
    let status = shard.status.as_ref();
    let is_busy = status.is_some_and(|status| status.claim.is_some() || status.order.is_some());
    is_busy && shard.metadata.deletion_timestamp.is_none()
}
