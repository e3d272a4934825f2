//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// Starts a local cluster, a CA that refuses to be asked too fast, and several replicas of Sancho;
/// applies one Certificate with many names and shows what happens.
///
/// Needs Rust and Go alone. Everything ends with it. Exit status 0 only if all names were issued
/// and the CA never saw more than its budget.
#[derive(Parser)]
#[command(name = "cargo demo")]
pub struct Arguments {
    /// How many names the Certificate has.
    #[arg(long, default_value_t = 42, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub names: u32,
    /// How many names a shard takes: 42 names are three orders of at most 20.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub max_names: u32,
    /// How many replicas of Sancho run.
    #[arg(long, default_value_t = 3)]
    pub replicas: usize,
    /// Requests a second that the CA bears; the issuer is given the same as its budget.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    pub ca_rate: f64,
    /// Requests beyond that rate that the CA bears at once.
    #[arg(long, default_value_t = 0)]
    pub ca_burst: u32,
    /// Connections that the CA bears at once; any number if left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub ca_connections: Option<u32>,
    /// SIGKILL to the replica that holds a slot, so many seconds after the first newOrder. It stays dead.
    #[arg(long)]
    pub kill_after: Option<u64>,
    /// Leave everything running at the end, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
    /// Write the figures to this file as JSON.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Use a CA that runs elsewhere, by its directory URL. What it saw cannot be judged then.
    #[arg(long, requires_all = ["acme_ca_bundle", "http01_listen"])]
    pub acme_directory: Option<String>,
    /// PEM certificates of the roots of that CA's own TLS certificate.
    #[arg(long)]
    pub acme_ca_bundle: Option<PathBuf>,
    /// Where the router to the replicas' HTTP-01 responders listens.
    #[arg(long)]
    pub http01_listen: Option<SocketAddr>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("give a number above 0, such as 5 or 0.2".into()),
    }
}
