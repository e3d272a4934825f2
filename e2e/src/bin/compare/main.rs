//! `cargo compare`: the same names from the same throttling CA, by lego, by certbot and by Sancho.
//!
//! find the peers → start everything but replicas → a turn for each peer → a turn for Sancho → table

mod arguments;
mod peers;
mod report;
mod turn;
mod why;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::command_line::until_ctrl_c;
use sancho_e2e::screen::Screen;
use sancho_e2e::world::{CaOptions, World, WorldOptions};
use sancho_e2e::{binaries, manifests, pki};

use crate::arguments::Arguments;
use crate::peers::{Kind, Peer};
use crate::report::{LeftOut, Report};
use crate::turn::Turn;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    pki::install_crypto();
    until_ctrl_c("compare", compare(&arguments)).await
}

/// Says whether Sancho has all names issued.
async fn compare(arguments: &Arguments) -> Result<bool> {
    let screen = Screen::of_stdout();
    let (peers, left_out) = find(arguments, &screen).await?;
    screen.say(
        "starting etcd, kube-apiserver and a CA (the first time ever, the servers are built: about 8 minutes)",
    );
    let pebble = PebbleOptions {
        // Pebble refuses good nonces at random, to try its clients. What is compared here is how they bear a
        // limit, and certbot gives up at two such refusals in a row.
        nonce_reject_percent: Some(0),
        ..PebbleOptions::default()
    };
    let options = WorldOptions {
        ca: Some(CaOptions {
            pebble,
            ..CaOptions::default()
        }),
        // They come with Sancho's turn, so that the peers have the machine to themselves.
        replicas: 0,
        ..WorldOptions::default()
    };
    let (mut world, _) = tokio::try_join!(World::start(options), binaries::operator())?;
    let names = manifests::names(arguments.names);
    screen.say(&format!(
        "{} names in one certificate, of a CA that answers 503 to {}",
        names.len(),
        arguments.front().refused()
    ));
    let mut turns = Vec::new();
    for peer in &peers {
        let turn = turn::of_peer(&mut world, peer, &names, arguments, &screen).await?;
        said(&screen, turn, &mut turns);
    }
    let turn = turn::of_sancho(&mut world, &names, arguments, &screen).await?;
    let all_issued = turn.issued == names.len();
    said(&screen, turn, &mut turns);
    screen.finish();
    let report = Report::new(arguments, names.len(), turns, left_out);
    println!("\n{}", report.table());
    if let Some(path) = &arguments.report {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !all_issued {
        let logs = world.keep_files();
        println!(
            "NOT as it should be: Sancho has not all names; the logs of all processes are in {}",
            logs.display()
        );
    }
    Ok(all_issued)
}

/// The peers that are installed, and those that are not. Each of the latter is told of.
async fn find(arguments: &Arguments, screen: &Screen) -> Result<(Vec<Peer>, Vec<LeftOut>)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let (mut peers, mut left_out) = (Vec::new(), Vec::new());
    for (kind, given) in [(Kind::Lego, &arguments.lego), (Kind::Certbot, &arguments.certbot)] {
        let who = kind.name();
        match Peer::find(kind, given.as_deref(), &path).await? {
            Some(peer) => peers.push(peer),
            None => {
                screen.say(&format!("{who} is not in PATH, left out; --{who} PATH names it"));
                left_out.push(LeftOut {
                    who: who.to_owned(),
                    why: "not in PATH".to_owned(),
                });
            }
        }
    }
    Ok((peers, left_out))
}

fn said(screen: &Screen, turn: Turn, turns: &mut Vec<Turn>) {
    screen.say(&format!(
        "{}: {} names in {:.1} s, {}",
        turn.who, turn.issued, turn.seconds, turn.ended
    ));
    turns.push(turn);
}
