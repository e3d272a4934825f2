//! A hundred edits of a Certificate in a burst: they are taken together.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, condition};
use sancho_e2e::manifests;
use sancho_e2e::process::wait_for;
use sancho_e2e::screen::Screen;
use sancho_e2e::world::World;
use serde_json::json;

use crate::ISSUER;
use sancho_e2e::figures::{Bound, Figures};

const NAME: &str = "edited";
/// Names before the first edit; each edit adds one.
const FIRST: usize = 42;
const EDITS: usize = 100;
/// Names in a shard.
const MAX_NAMES: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(300);

/// Makes the edits and adds the figures.
pub async fn measure(world: &World, screen: &Screen, figures: &mut Figures) -> Result<()> {
    let names = manifests::names(u32::try_from(FIRST + EDITS)?);
    let manifest = manifests::certificate(NAME, ISSUER, &names[..FIRST], MAX_NAMES);
    world.cluster.apply_yaml(&manifest.to_string()).await?;
    settled(world, screen).await?;
    let before = assignment(world).await?;
    let orders = world.front()?.log().orders();

    let begin = Timestamp::now();
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    for count in FIRST + 1..=names.len() {
        let edit = json!({ "spec": { "dnsNames": &names[..count] } });
        certificates
            .patch(NAME, &PatchParams::default(), &Patch::Merge(&edit))
            .await?;
    }
    let took = Timestamp::now().duration_since(begin).as_secs_f64();
    settled(world, screen).await?;
    let after = assignment(world).await?;
    let touched = after
        .iter()
        .filter(|(shard, names)| before.get(*shard) != Some(names))
        .count();
    let made = world.front()?.log().orders() - orders;
    // Each plan writes the spec of each shard that it changes once.
    let mut plans: BTreeMap<String, usize> = BTreeMap::new();
    for write in world.writes_by_sancho(begin)? {
        if write.resource == "certificateshards" && write.subresource.is_empty() && write.code < 300 {
            *plans.entry(write.name).or_default() += 1;
        }
    }
    let plans = plans.values().copied().max().unwrap_or_default();
    figures.add(format!("{EDITS} edits: made in"), took, "s", None);
    figures.add("… plans", plans as f64, "", Bound::AtMost(1.0));
    figures.add("… shards touched", touched as f64, "", None);
    figures.add("… orders", made as f64, "", Bound::AtMost(touched as f64));
    Ok(())
}

/// Waits until the Certificate is `Ready` for its present generation.
async fn settled(world: &World, screen: &Screen) -> Result<()> {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    wait_for("all names to be issued", PATIENCE, &[], async || {
        let certificate = certificates.get(NAME).await?;
        let status = certificate.status.unwrap_or_default();
        let (ready, all) = (
            status.ready_names.unwrap_or_default(),
            status.names.unwrap_or_default(),
        );
        screen.progress(u64::from(ready), u64::from(all), "");
        let is_ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
        Ok((is_ready && status.observed_generation == certificate.metadata.generation).then_some(()))
    })
    .await
}

/// The names of each shard.
async fn assignment(world: &World) -> Result<BTreeMap<String, Vec<String>>> {
    let shards: Api<CertificateShard> = Api::namespaced(world.cluster.client(), "default");
    let shards = shards.list(&Default::default()).await?;
    Ok(shards
        .into_iter()
        .map(|shard| (shard.name_any(), shard.spec.dns_names))
        .collect())
}
