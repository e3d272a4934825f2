//! Takes routes away that no shard needs: routes → shard → delete in the version that was read.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, ListParams, Preconditions};
use kube::{Api, ResourceExt};
use sancho_crds::CertificateShard;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Kind, SHARD_ANNOTATION, SHARD_LABEL, is_needed};
use crate::context::Context;
use crate::due::Due;

/// All routes are looked at this often, for what a crash left.
pub const EVERY: Duration = Duration::from_secs(60);

/// So long a route stays after its shard was seen to need none: a shard is often taken up again at once, and a route
/// that went and came back would be gone for a moment in the eyes of its controller, just after a look has passed.
pub const LINGERS: Duration = Duration::from_secs(10);

/// Sweeps until `ending` comes: routes of shards whose UIDs are `told`, and now and then all of them.
pub async fn run(
    context: Context,
    mut told: mpsc::UnboundedReceiver<String>,
    ending: impl Future<Output = ()>,
) {
    let mut all = tokio::time::interval(EVERY);
    all.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut due: Due<Instant, String> = Due::default();
    tokio::pin!(ending);
    loop {
        let next = due.next();
        tokio::select! {
            () = &mut ending => return,
            Some(uid) = told.recv() => due.set(&uid, Instant::now() + LINGERS),
            _ = all.tick() => {
                for uid in unneeded(&context).await {
                    due.set_latest(&uid, Instant::now() + LINGERS);
                }
            }
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                while let Some(uid) = due.take(Instant::now()) {
                    for kind in Kind::ALL {
                        // Where the API is not there, or not for us, there is nothing of ours.
                        if let Err(error) = sweep(&context, kind, &uid).await {
                            tracing::debug!(?kind, uid, %error, "routes are swept again later");
                        }
                    }
                }
            }
        }
    }
}

/// The UIDs of shards that have routes and need none.
async fn unneeded(context: &Context) -> BTreeSet<String> {
    let mut uids = BTreeSet::new();
    for kind in Kind::ALL {
        let api = kind.api(&context.client, &context.routes.home.namespace);
        let Ok(routes) = api.list(&ListParams::default().labels(SHARD_LABEL)).await else {
            continue;
        };
        for route in routes {
            if let (Ok(false), Some(uid)) =
                (is_in_use(context, &route).await, route.labels().get(SHARD_LABEL))
            {
                uids.insert(uid.clone());
            }
        }
    }
    uids
}

/// Deletes the routes of this kind of the shard with this UID, if it needs none.
async fn sweep(context: &Context, kind: Kind, uid: &str) -> Result<(), kube::Error> {
    let api = kind.api(&context.client, &context.routes.home.namespace);
    let selector = format!("{SHARD_LABEL}={uid}");
    for route in api.list(&ListParams::default().labels(&selector)).await? {
        let name = route.name_any();
        match delete_unneeded(context, &api, &route).await {
            Ok(true) => tracing::debug!(?kind, name, "a route is of no more use"),
            Ok(false) => {}
            Err(error) => tracing::debug!(?kind, name, %error, "a route is swept again later"),
        }
    }
    Ok(())
}

/// Deletes `route` if no shard needs it; says whether it did.
async fn delete_unneeded(
    context: &Context,
    api: &Api<DynamicObject>,
    route: &DynamicObject,
) -> Result<bool, kube::Error> {
    if is_in_use(context, route).await? {
        return Ok(false);
    }
    let params = DeleteParams::default().preconditions(Preconditions {
        uid: route.uid(),
        resource_version: route.resource_version(),
    });
    match api.delete(&route.name_any(), &params).await {
        Ok(_) => Ok(true),
        // Somebody was faster, or needs it again.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Does the shard that `route` says it is for need it? One that says nothing sensible is not ours to judge.
async fn is_in_use(context: &Context, route: &DynamicObject) -> Result<bool, kube::Error> {
    let Some((namespace, name)) = route
        .annotations()
        .get(SHARD_ANNOTATION)
        .and_then(|whose| whose.split_once('/'))
    else {
        return Ok(true);
    };
    let shard = context.shards(namespace).get_opt(name).await?;
    let is_its = |shard: &CertificateShard| route.labels().get(SHARD_LABEL) == shard.uid().as_ref();
    Ok(shard.is_some_and(|shard| is_its(&shard) && is_needed(&shard)))
}
