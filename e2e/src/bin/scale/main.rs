//! `cargo scale`: what large numbers cost, on real parts.
//!
//! one Certificate with many names → a hundred edits in a burst → many Certificates → an idle minute → a restart

mod arguments;
mod certificates;
mod edits;
mod largest;
mod names;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::cluster::ClusterOptions;
use sancho_e2e::command_line::until_ctrl_c;
use sancho_e2e::manifests::{self, Budget};
use sancho_e2e::screen::Screen;
use sancho_e2e::world::{CaOptions, World, WorldOptions};

use crate::arguments::{Arguments, Part};
use sancho_e2e::figures::Figures;

/// More than this machine and this CA can do.
const NO_LIMIT: Budget = Budget {
    rate: 1000.0,
    burst: 100,
    in_flight: 64,
};
/// The issuer of all Certificates.
const ISSUER: &str = "ca";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    sancho_e2e::pki::install_crypto();
    until_ctrl_c("scale", scale(&arguments)).await
}

/// Says whether all figures are as they should be.
async fn scale(arguments: &Arguments) -> Result<bool> {
    let screen = Screen::of_stdout();
    let mut figures = Figures::default();
    for part in arguments.parts() {
        screen.say(&format!(
            "{part}: starting etcd, kube-apiserver, Pebble and replicas"
        ));
        let mut world = start(arguments).await?;
        let measured = match part {
            Part::Names => names::measure(&world, arguments, &screen, &mut figures).await,
            Part::Edits => edits::measure(&world, &screen, &mut figures).await,
            Part::Certificates => certificates::measure(&mut world, arguments, &screen, &mut figures).await,
        };
        if measured.is_err() {
            let logs = world.keep_files();
            screen.say(&format!("the logs of all processes are in {}", logs.display()));
        }
        measured?;
    }
    screen.finish();
    println!("\n{}", figures.table());
    if let Some(path) = &arguments.report {
        let text = serde_json::to_string_pretty(&figures)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(figures.are_good())
}

/// A world whose CA refuses nothing, with an issuer for it.
async fn start(arguments: &Arguments) -> Result<World> {
    let world = World::start(WorldOptions {
        replicas: usize::from(arguments.replicas),
        cluster: ClusterOptions::default(),
        // Pebble refuses one good nonce in twenty unless it is told not to: requests that are nobody's doing.
        ca: Some(CaOptions {
            pebble: PebbleOptions {
                nonce_reject_percent: Some(0),
                ..PebbleOptions::default()
            },
            ..CaOptions::default()
        }),
        ..WorldOptions::default()
    })
    .await?;
    let front = world.front()?;
    let issuer = manifests::cluster_issuer(ISSUER, &front.directory_url(), front.ca_pem(), NO_LIMIT);
    world.cluster.apply_yaml(&issuer.to_string()).await?;
    Ok(world)
}
