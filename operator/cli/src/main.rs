//! `kubectl sancho`: why is this certificate not ready, who holds the budget, which Secret serves
//! this host.
//!
//! `cluster (reads) -> status | plan | budget | hosts (pure: objects -> view) -> output`
//!
//! It works with the user's own rights. All that it writes are annotations of Certificates and Secrets (`by_hand`).

mod args;
mod budget;
mod by_hand;
mod cluster;
mod dns_records;
mod doctor;
mod editions;
mod hosts;
mod import;
mod manual;
mod output;
mod plan;
mod quotas;
mod span;
mod stand;
mod status;
mod watch;

use std::io::{stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::{CommandFactory, Parser};
use jiff::Timestamp;

use crate::args::{Cli, Command, Revoke, Which};
use crate::by_hand::Change;
use crate::cluster::{Cluster, Scope};
use crate::doctor::Weight;
use crate::output::Answer;
use crate::plan::PlanView;
use crate::status::Looker;

/// Everything that was asked for is ready, or there.
const DONE: u8 = 0;
/// Something is not ready, not there, or about to expire.
const NOT_YET: u8 = 1;
/// The question could not be answered.
const FAILED: u8 = 2;

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
    if let Command::ManPages { directory } = &cli.command {
        let pages = manual::write(directory)?;
        let text = || pages.iter().map(|page| format!("{page}\n")).collect();
        output::print(&Answer::new(&pages, true, text)?.text(cli.output)?)?;
        return Ok(DONE);
    }
    if let Command::ImportFromCertManager { file: Some(file) } = &cli.command {
        let text = read_file(file).with_context(|| format!("{}", file.display()))?;
        let answer = imported(&import::objects(&text)?)?;
        output::print(&answer.text(cli.output)?)?;
        return Ok(code(&answer));
    }
    let cluster = Cluster::connect(cli.kubeconfig.as_deref(), cli.context.as_deref()).await?;
    let scope = match (cli.all_namespaces, &cli.namespace) {
        (true, _) => Scope::All,
        (false, Some(namespace)) => Scope::Namespace(namespace.clone()),
        (false, None) => Scope::Namespace(cluster.default_namespace().to_owned()),
    };
    if let Command::Status { name, watch: true } = &cli.command {
        watch::watch(&mut Looker::new(&cluster, &scope, name.as_deref()), cli.output).await?;
        return Ok(DONE);
    }
    let answer = answer(cli, &cluster, &scope).await?;
    output::print(&answer.text(cli.output)?)?;
    Ok(code(&answer))
}

async fn answer(cli: &Cli, cluster: &Cluster, scope: &Scope) -> Result<Answer> {
    let now = Timestamp::now();
    Ok(match &cli.command {
        Command::Status { name, watch: _ } => {
            let views = Looker::new(cluster, scope, name.as_deref()).look(now).await?;
            status::answer(&views, name.is_some())?
        }
        Command::Budget { issuer } => {
            let home = &cli.operator_namespace;
            let views = budget::budgets(cluster, scope, home, issuer.as_deref(), now).await?;
            Answer::new(&views, !views.is_empty(), || budget::text(&views))?
        }
        Command::Plan { file } => {
            let text = read_file(file).with_context(|| format!("{}", file.display()))?;
            let home = match scope {
                Scope::Namespace(namespace) => namespace.as_str(),
                Scope::All => cluster.default_namespace(),
            };
            let edited =
                plan::read(&import::objects(&text)?, home).with_context(|| format!("{}", file.display()))?;
            let plans = plan::plans(cluster, &cli.operator_namespace, &edited, now).await?;
            let is_accepted = plans.views.iter().all(PlanView::is_accepted);
            Answer::new(&plans.views, is_accepted, || plan::text(&plans))?
        }
        Command::Which(Which { host }) => {
            let views = hosts::which(host, &cluster.shards(&wide(cli, scope)).await?, now);
            let text = || match views.is_empty() {
                true => format!("no Certificate has the name {host}\n"),
                false => hosts::text(&views),
            };
            Answer::new(&views, views.iter().any(|view| view.ready), text)?
        }
        Command::DnsRecords(named) => {
            let mut views = Vec::new();
            // They only tell more.
            let shards = cluster::if_allowed(cluster.shards(scope).await)?.unwrap_or_default();
            for certificate in cluster.certificates(scope, Some(&named.name)).await? {
                let issuer = cluster.issuer(&certificate).await?;
                views.push(dns_records::view(&certificate, issuer.as_ref(), &shards));
            }
            let are_known = views.iter().all(|view| view.unknown.is_none());
            Answer::new(&views, are_known, || dns_records::text(&views))?
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
        Command::Renew(named) => change(cluster, scope, &named.name, Change::Renew(now)).await?,
        Command::Retry(named) => change(cluster, scope, &named.name, Change::Retry(now)).await?,
        Command::Revoke(asked) => revoke(cluster, scope, asked).await?,
        Command::Pause(named) => change(cluster, scope, &named.name, Change::Pause).await?,
        Command::Resume(named) => change(cluster, scope, &named.name, Change::Resume).await?,
        Command::Doctor => {
            let facts = doctor::survey(cluster, &wide(cli, scope), &cli.operator_namespace).await?;
            let findings = doctor::findings(&facts, now);
            let is_fine = findings.iter().all(|finding| finding.weight == Weight::Fine);
            Answer::new(&findings, is_fine, || doctor::text(&findings))?
        }
        Command::ImportFromCertManager { .. } => {
            imported(&cluster.of_cert_manager(&wide(cli, scope)).await?)?
        }
        Command::Completions { .. } | Command::ManPages { .. } => Answer::new(&(), true, String::new)?,
    })
}

/// What cert-manager's `objects` become.
fn imported(objects: &[serde_json::Value]) -> Result<Answer> {
    let imported = import::import(objects);
    let is_whole = !imported.is_empty() && imported.iter().all(|one| one.manifest.is_some());
    let text = import::text(&imported)?;
    Answer::new(&imported, is_whole, || text)
}

/// The text of a file, or of standard input for `-`.
fn read_file(file: &Path) -> std::io::Result<String> {
    match file.to_str() {
        Some("-") => std::io::read_to_string(stdin()),
        _ => std::fs::read_to_string(file),
    }
}

/// Has Sancho do something with one Certificate.
async fn change(cluster: &Cluster, scope: &Scope, name: &str, change: Change) -> Result<Answer> {
    let found = cluster.certificates(scope, Some(name)).await?;
    let [certificate] = found.as_slice() else {
        return Err(anyhow!(
            "{} namespaces have a Certificate {name}: name one by -n",
            found.len()
        ));
    };
    let written = change.on(certificate).map_err(|refused| anyhow!(refused))?;
    cluster.annotate(&written).await?;
    Answer::new(&written, true, || by_hand::text(&written))
}

/// Has a Certificate's certificates revoked, or that of one Secret.
async fn revoke(cluster: &Cluster, scope: &Scope, asked: &Revoke) -> Result<Answer> {
    let Revoke {
        name,
        secret,
        reason,
        yes,
    } = asked;
    if !yes {
        return Err(anyhow!(
            "what is revoked cannot be taken back, and clients may refuse it before another one is there: say --yes \
             if it is meant"
        ));
    }
    let Some(secret) = secret else {
        let name = name.as_deref().unwrap_or_default();
        return change(cluster, scope, name, Change::Revoke(*reason)).await;
    };
    let found = cluster.secret(scope, secret).await?;
    let written = by_hand::revoke_secret(*reason, &found).map_err(|refused| anyhow!(refused))?;
    cluster.annotate(&written).await?;
    Answer::new(&written, true, || by_hand::text(&written))
}

/// Questions about hosts, and about what is wrong, are about the whole cluster, unless a namespace is named.
fn wide(cli: &Cli, scope: &Scope) -> Scope {
    match cli.namespace {
        Some(_) => scope.clone(),
        None => Scope::All,
    }
}

fn code(answer: &Answer) -> u8 {
    if answer.is_fine() { DONE } else { NOT_YET }
}
