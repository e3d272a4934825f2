//! Certificates for annotated Ingresses and Gateways: the object → wanted Certificates and complaints → decision →
//! write by compare-and-swap.
//!
//! One Certificate is made for each Secret that `spec.tls` or the listeners name, and called after it. It has the object
//! as its controller, so that it goes with it. Nothing of the object is copied but what the annotations say, and the
//! object itself is never written.
//!
//! # Guarantees
//! - Only what differs is written, and only in a Certificate whose controller the object is.
//! - A write is of the object's newest state: after a look at what was seen shows a difference, the Certificate is read,
//!   then the object, and what comes of the two is written to the version of the Certificate that was read. Whoever wrote
//!   that version had read the object before. So every replica may write, and none undoes what another did.
//! - A Certificate is deleted only if its object is there and does not ask for it; one whose object is gone is Kubernetes'
//!   garbage collector's.
//! - While something in an object cannot be understood, what was made for that part stays as it was.
//! - A complaint is an event whose name follows from what it says ([`crate::context::Events::once`]): said once by all
//!   replicas together.
//!
//! # Caveats
//! An event is kept for an hour by most API servers. A complaint is said again when a replica starts or when it had gone
//! meanwhile.

mod compare;
mod controller;
mod decide;
mod gateway;
mod issuer_says;
mod options;
mod source;
pub mod tracking;
mod translate;

use k8s_openapi::api::networking::v1::Ingress;
use kube::Client;
use kube::runtime::watcher;
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};

use self::gateway::Gateway;
use self::source::secrets_of;
use crate::context::Context;
use crate::watching::{apis, watch};

pub use self::controller::{News, tell};

/// How often it is asked whether the Gateway API has been installed.
const GATEWAYS_THERE: Duration = Duration::from_secs(20);

/// Makes Certificates for the Ingresses of these namespaces (of all, if there are none) until `ending` comes.
pub async fn for_ingresses(
    context: Context,
    namespaces: Vec<String>,
    news: mpsc::UnboundedReceiver<News>,
    ending: impl Future<Output = ()>,
) {
    let apis = apis::<Ingress>(&context.client, &namespaces);
    let (seen, objects) = watch(apis, &watcher::Config::default(), secrets_of);
    controller::run(context, seen, objects, news, ending).await;
}

/// The same for Gateways, from the moment on at which the API server knows that kind.
pub async fn for_gateways(
    context: Context,
    namespaces: Vec<String>,
    mut news: mpsc::UnboundedReceiver<News>,
    ending: impl Future<Output = ()>,
) {
    tokio::pin!(ending);
    loop {
        // Who asks is told without a right of its own; an answer that does not come is asked for again.
        if has_gateways(&context.client).await {
            break;
        }
        tokio::select! {
            () = &mut ending => return,
            () = sleep(GATEWAYS_THERE) => {}
        }
        while news.try_recv().is_ok() {}
    }
    tracing::info!("the Gateway API is there: Gateways are looked at");
    let apis = apis::<Gateway>(&context.client, &namespaces);
    let (seen, objects) = watch(apis, &watcher::Config::default(), secrets_of);
    controller::run(context, seen, objects, news, ending).await;
}

async fn has_gateways(client: &Client) -> bool {
    let served = client.list_api_group_resources(gateway::API_VERSION).await;
    served.is_ok_and(|served| {
        served
            .resources
            .iter()
            .any(|resource| resource.name == "gateways")
    })
}
