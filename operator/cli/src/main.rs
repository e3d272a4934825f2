//! `kubectl sancho`: why is this certificate not ready, who holds the budget, which Secret serves
//! this host.
//!
//! `cluster (reads) -> status | budget | hosts (pure: objects -> view) -> output`
//!
//! It reads with the user's own rights and writes nothing.

mod args;
mod budget;
mod cluster;
mod hosts;
mod output;
mod span;
mod status;

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{CommandFactory, Parser};
use jiff::Timestamp;

use crate::args::{Cli, Command, Which};
use crate::cluster::{Cluster, Scope};
use crate::output::Answer;

/// Everything that was asked for is ready, or there.
const DONE: u8 = 0;
/// Something is not ready, not there, or about to expire.
const NOT_YET: u8 = 1;
/// The question could not be answered.
const FAILED: u8 = 2;

/// How often `--watch` looks.
const WATCH: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

async fn run(cli: &Cli) -> Result<u8> {
    if let Command::Completions { shell } = &cli.command {
        clap_complete::generate(*shell, &mut Cli::command(), "kubectl-sancho", &mut stdout());
        return Ok(DONE);
    }
    let cluster = Cluster::connect(cli.kubeconfig.as_deref(), cli.context.as_deref()).await?;
    let scope = match (cli.all_namespaces, &cli.namespace) {
        (true, _) => Scope::All,
        (false, Some(namespace)) => Scope::Namespace(namespace.clone()),
        (false, None) => Scope::Namespace(cluster.default_namespace().to_owned()),
    };
    if let Command::Status { name, watch: true } = &cli.command {
        return watch(cli, &cluster, &scope, name.as_deref()).await;
    }
    let answer = answer(cli, &cluster, &scope).await?;
    output::print(&answer.text(cli.output)?)?;
    Ok(code(&answer))
}

async fn answer(cli: &Cli, cluster: &Cluster, scope: &Scope) -> Result<Answer> {
    let now = Timestamp::now();
    Ok(match &cli.command {
        Command::Status { name, watch: _ } => {
            let certificates = cluster.certificates(scope, name.as_deref()).await?;
            let shards = cluster.shards(scope).await?;
            let views = status::views(&certificates, &shards, now);
            let as_tree = name.is_some();
            let is_ready = !views.is_empty() && views.iter().all(|view| view.ready);
            Answer::new(&views, is_ready, || status::text(&views, as_tree))?
        }
        Command::Budget { issuer } => {
            let leases = cluster.budget_leases(&cli.operator_namespace).await?;
            let issuers = cluster.cluster_issuers(issuer.as_deref()).await?;
            let views = budget::views(&leases, &issuers, issuer.is_some());
            Answer::new(&views, !views.is_empty(), || budget::text(&views))?
        }
        Command::Which(Which { host }) => {
            let views = hosts::which(host, &cluster.shards(&wide(cli, scope)).await?, now);
            let text = || match views.is_empty() {
                true => format!("no Certificate has the name {host}\n"),
                false => hosts::text(&views),
            };
            Answer::new(&views, views.iter().any(|view| view.ready), text)?
        }
        Command::Expiring { within } => {
            let shards = cluster.shards(&wide(cli, scope)).await?;
            let views = hosts::expiring(&shards, within.0, now);
            let text = || match views.is_empty() {
                true => format!("nothing expires within {}\n", span::text(within.0)),
                false => hosts::text(&views),
            };
            Answer::new(&views, views.is_empty(), text)?
        }
        Command::Completions { .. } => Answer::new(&(), true, String::new)?,
    })
}

/// Questions about hosts are about the whole cluster, unless a namespace is named.
fn wide(cli: &Cli, scope: &Scope) -> Scope {
    match cli.namespace {
        Some(_) => scope.clone(),
        None => Scope::All,
    }
}

/// Prints again whenever something has changed, until everything is ready.
async fn watch(cli: &Cli, cluster: &Cluster, scope: &Scope, name: Option<&str>) -> Result<u8> {
    let is_terminal = stdout().is_terminal();
    let mut shown = String::new();
    loop {
        let answer = answer(cli, cluster, scope).await?;
        let text = answer.text(cli.output)?;
        if text != shown {
            if is_terminal {
                // Clears the screen and goes to its top.
                output::print("\x1b[2J\x1b[H")?;
            } else if !shown.is_empty() {
                output::print("\n")?;
            }
            output::print(&text)?;
            stdout().flush()?;
            shown = text;
        }
        if name.is_some() && answer.is_fine() {
            return Ok(DONE);
        }
        tokio::time::sleep(WATCH).await;
    }
}

fn code(answer: &Answer) -> u8 {
    if answer.is_fine() { DONE } else { NOT_YET }
}
