//! One Certificate with many names: how fast, how many requests, how large the objects.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::{Api, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, condition};
use sancho_e2e::arrivals::RequestKind;
use sancho_e2e::manifests;
use sancho_e2e::process::wait_for;
use sancho_e2e::screen::Screen;
use sancho_e2e::world::World;
use serde::Serialize;

use crate::ISSUER;
use crate::arguments::Arguments;
use crate::largest::Largest;
use sancho_e2e::figures::{Bound, Figures};

/// Names in a shard.
const MAX_NAMES: u32 = 100;
const NAME: &str = "many";

/// Issues it and adds the figures.
pub async fn measure(
    world: &World,
    arguments: &Arguments,
    screen: &Screen,
    figures: &mut Figures,
) -> Result<()> {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let shards: Api<CertificateShard> = Api::namespaced(world.cluster.client(), "default");
    let manifest = manifests::certificate(NAME, ISSUER, &manifests::names(arguments.names), MAX_NAMES);
    let largest_shard = Largest::watch(world.cluster.client());
    // Too large for the annotation that client-side apply leaves.
    world
        .cluster
        .kubectl_with_input(&["apply", "--server-side", "-f", "-"], &manifest.to_string())
        .await?;
    let applied = Instant::now();
    let patience = Duration::from_secs(120 + u64::from(arguments.names) / 5);
    let certificate = wait_for("all names to be issued", patience, &[], async || {
        let certificate = certificates.get(NAME).await?;
        let status = certificate.status.clone().unwrap_or_default();
        let ready = status.ready_names.unwrap_or_default();
        screen.progress(u64::from(ready), u64::from(arguments.names), "");
        let is_ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
        Ok(is_ready.then_some(certificate))
    })
    .await?;
    let seconds = applied.elapsed().as_secs_f64();
    let log = world.front()?.log();
    let made = shards.list(&Default::default()).await?.items;
    let (orders, names) = (log.orders(), f64::from(arguments.names));
    let rate = names / seconds;
    figures.add(
        format!("{} names: issued in", arguments.names),
        seconds,
        "s",
        None,
    );
    figures.add("… names", rate, "a second", Bound::AtLeast(20.0));
    figures.add("… orders", orders as f64, "", Bound::AtMost(made.len() as f64));
    let of_order = |shard: &CertificateShard| 2 * shard.spec.dns_names.len() + 6;
    let most: usize = made.iter().map(of_order).sum();
    figures.add(
        "… requests, all in all",
        log.arrivals.len() as f64,
        "",
        Bound::AtMost(most as f64),
    );
    let looks = log
        .arrivals
        .iter()
        .filter(|arrival| arrival.kind == RequestKind::Order);
    figures.add("… of them looks at an order", looks.count() as f64, "", None);
    let nonces = log
        .arrivals
        .iter()
        .filter(|arrival| arrival.kind == RequestKind::Nonce);
    figures.add("… of them for a nonce", nonces.count() as f64, "", None);
    let mut largest = size(&certificate)?;
    let mut which = format!("Certificate {NAME}");
    for shard in &made {
        let size = size(shard)?;
        if size > largest {
            (largest, which) = (size, format!("CertificateShard {}", shard.name_any()));
        }
    }
    let length = certificate.spec.dns_names.first().map_or(0, String::len);
    figures.add(
        format!("… largest object at rest, {which}, with names of {length} characters"),
        largest / 1024.0,
        "KiB",
        Bound::AtMost(256.0),
    );
    let largest = largest_shard.bytes();
    ensure!(largest > 0, "no CertificateShard was seen");
    figures.add(
        "… largest CertificateShard at any time",
        largest as f64 / 1024.0,
        "KiB",
        Bound::AtMost(256.0),
    );
    Ok(())
}

/// In bytes, as the API server stores a custom resource.
fn size(object: &impl Serialize) -> Result<f64> {
    let text = serde_json::to_string(object).context("an object that is no JSON")?;
    Ok(text.len() as f64)
}
