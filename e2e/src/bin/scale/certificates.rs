//! Many Certificates of one name: issued, left alone for a minute, and found again by replicas that start.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use kube::Api;
use kube::api::{ListParams, PostParams};
use sancho_crds::{Certificate, condition};
use sancho_e2e::manifests;
use sancho_e2e::process::wait_for;
use sancho_e2e::screen::Screen;
use sancho_e2e::world::World;

use crate::ISSUER;
use crate::arguments::Arguments;
use sancho_e2e::figures::{Bound, Figures};

/// Created at once.
const AT_ONCE: usize = 16;
/// Listed at once.
const PAGE: u32 = 500;
/// Nothing was written for so long: it is over.
const QUIET: i64 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// Issues them and adds the figures.
pub async fn measure(
    world: &mut World,
    arguments: &Arguments,
    screen: &Screen,
    figures: &mut Figures,
) -> Result<()> {
    issue(world, arguments.certificates, screen, figures).await?;
    idle(world, screen, figures).await?;
    restart(world, screen, figures).await
}

async fn issue(world: &World, count: u32, screen: &Screen, figures: &mut Figures) -> Result<()> {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let began = Instant::now();
    stream::iter(manifests::names(count).into_iter().enumerate())
        .map(|(number, name)| {
            let certificates = certificates.clone();
            async move {
                let manifest = manifests::certificate(&format!("shop-{number}"), ISSUER, &[name], 20);
                let certificate: Certificate = serde_json::from_value(manifest)?;
                certificates.create(&PostParams::default(), &certificate).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    screen.say(&format!("{count} Certificates are created"));
    let patience = Duration::from_secs(120 + u64::from(count) / 4);
    wait_for("all Certificates to be ready", patience, &[], async || {
        let ready = count_ready(&certificates).await?;
        screen.progress(u64::from(ready), u64::from(count), "");
        // Lists of thousands are work for everybody.
        let is_done = ready == count;
        if !is_done {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        Ok(is_done.then_some(()))
    })
    .await?;
    let seconds = began.elapsed().as_secs_f64();
    figures.add(
        format!("{count} Certificates of one name: issued in"),
        seconds,
        "s",
        None,
    );
    figures.add("… Certificates", f64::from(count) / seconds, "a second", None);
    let requests = world.front()?.log().arrivals.len();
    figures.add(
        "… requests, all in all",
        requests as f64,
        "",
        Bound::AtMost(8.0 * f64::from(count)),
    );
    Ok(())
}

async fn count_ready(certificates: &Api<Certificate>) -> Result<u32> {
    let mut ready = 0;
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let found = certificates.list(&page).await?;
        for certificate in &found.items {
            let status = certificate.status.as_ref();
            let conditions = status
                .map(|status| status.conditions.as_slice())
                .unwrap_or_default();
            ready += u32::from(condition(conditions, "Ready").is_some_and(|ready| ready.status == "True"));
        }
        match found.metadata.continue_.filter(|more| !more.is_empty()) {
            Some(more) => page = ListParams::default().limit(PAGE).continue_token(&more),
            None => return Ok(ready),
        }
    }
}

async fn idle(world: &World, screen: &Screen, figures: &mut Figures) -> Result<()> {
    let begin = Timestamp::now();
    wait_for("Sancho to have nothing more to do", 5 * MINUTE, &[], async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = Timestamp::now();
        let last = world.writes_by_sancho(begin)?.iter().map(|write| write.at).max();
        Ok((now.duration_since(last.unwrap_or(begin)).as_secs() >= QUIET).then_some(()))
    })
    .await?;
    screen.say("nothing more is written; a minute of this");
    let (begin, used) = (Timestamp::now(), used(world)?);
    // The time itself is what is measured here.
    tokio::time::sleep(MINUTE).await;
    let writes = world.writes_by_sancho(begin)?.len();
    figures.add(
        "… API writes in an idle minute",
        writes as f64,
        "",
        Bound::AtMost(0.0),
    );
    let mut most = (0.0_f64, 0.0_f64);
    for (replica, before) in world.replicas.iter().zip(used) {
        let process = replica.process();
        let part = (process.cpu_time()? - before).as_secs_f64() / MINUTE.as_secs_f64();
        most.0 = most.0.max(100.0 * part);
        most.1 = most.1.max(process.resident_bytes()? as f64 / 1e6);
    }
    figures.add(
        "… processor of the busiest replica in it",
        most.0,
        "%",
        Bound::AtMost(1.0),
    );
    figures.add(
        "… memory of the largest replica",
        most.1,
        "MB",
        Bound::AtMost(100.0),
    );
    Ok(())
}

fn used(world: &World) -> Result<Vec<Duration>> {
    world
        .replicas
        .iter()
        .map(|replica| replica.process().cpu_time())
        .collect()
}

/// All replicas end and start again at once.
async fn restart(world: &mut World, screen: &Screen, figures: &mut Figures) -> Result<()> {
    for replica in &world.replicas {
        replica.process().terminate()?;
    }
    for replica in &world.replicas {
        replica.process().wait_exit(Duration::from_secs(30)).await?;
    }
    let requests = world.front()?.log().arrivals.len();
    let (begin, began) = (Timestamp::now(), Instant::now());
    for replica in &mut world.replicas {
        replica.restart().await?;
    }
    for replica in &world.replicas {
        replica.ready().await?;
    }
    figures.add(
        "… after a restart: ready in",
        began.elapsed().as_secs_f64(),
        "s",
        None,
    );
    let asked = world.front()?.log().arrivals.len();
    ensure!(asked >= requests, "the CA's log is shorter than it was");
    figures.add(
        "… requests to the CA until then",
        (asked - requests) as f64,
        "",
        Bound::AtMost(0.0),
    );
    let manifest = manifests::certificate("late", ISSUER, &["late.demo.example".into()], 20);
    world.cluster.apply_yaml(&manifest.to_string()).await?;
    wait_for(
        "the first request for a new Certificate",
        2 * MINUTE,
        &[],
        async || {
            let asked_more = world.front()?.log().arrivals.len() > asked;
            Ok(asked_more.then_some(()))
        },
    )
    .await?;
    figures.add(
        "… and at work on a new Certificate in",
        began.elapsed().as_secs_f64(),
        "s",
        Bound::AtMost(10.0),
    );
    screen.say("at work again");
    // The time itself is what is measured here.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let writes = world.writes_by_sancho(begin)?.len();
    // Of the one new Certificate, and of the budget's Lease.
    figures.add(
        "… API writes from the restart until 10 s later",
        writes as f64,
        "",
        Bound::AtMost(60.0),
    );
    // As an upgrade does it.
    let replica = world.replicas.first_mut().context("no replica")?;
    replica.process().terminate()?;
    replica.process().wait_exit(Duration::from_secs(30)).await?;
    let began = Instant::now();
    replica.restart().await?;
    replica.ready().await?;
    figures.add(
        "… a replica that is restarted alone: ready in",
        began.elapsed().as_secs_f64(),
        "s",
        None,
    );
    Ok(())
}
