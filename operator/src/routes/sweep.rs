//! Takes routes away that no shard needs: routes → shard → delete in the version that was read.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, ListParams, Preconditions};
use kube::{Api, ResourceExt};
use sancho_crds::CertificateShard;
use tokio::sync::mpsc;

use super::{Kind, SHARD_ANNOTATION, SHARD_LABEL, is_needed};
use crate::context::Context;

/// All routes are looked at this often, for what a crash left.
pub const EVERY: Duration = Duration::from_secs(60);

/// Sweeps until `ending` comes: routes of shards whose UIDs are `told` at once, all of them now and then.
pub async fn run(
    context: Context,
    mut told: mpsc::UnboundedReceiver<String>,
    ending: impl Future<Output = ()>,
) {
    let mut all = tokio::time::interval(EVERY);
    all.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tokio::pin!(ending);
    loop {
        let selectors = tokio::select! {
            () = &mut ending => return,
            _ = all.tick() => vec![SHARD_LABEL.to_owned()],
            Some(uid) = told.recv() => {
                let mut uids = BTreeSet::from([uid]);
                while let Ok(uid) = told.try_recv() {
                    uids.insert(uid);
                }
                uids.iter().map(|uid| format!("{SHARD_LABEL}={uid}")).collect()
            }
        };
        for selector in selectors {
            for kind in Kind::ALL {
                // Where the API is not there, or not for us, there is nothing of ours.
                if let Err(error) = sweep(&context, kind, &selector).await {
                    tracing::debug!(?kind, selector, %error, "routes are swept again later");
                }
            }
        }
    }
}

/// Deletes those of the selected routes that no shard needs.
async fn sweep(context: &Context, kind: Kind, selector: &str) -> Result<(), kube::Error> {
    let api = kind.api(&context.client, &context.routes.home.namespace);
    for route in api.list(&ListParams::default().labels(selector)).await? {
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
