//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use sancho_e2e::command_line::{file, new_file, rate};

/// Starts a local cluster, a CA that refuses to be asked too fast, and several replicas of Sancho;
/// applies one Certificate with many names and shows what happens.
///
/// Needs Rust and Go alone. Everything ends with it. Exit status 0 only if all names were issued and the
/// CA never saw more than its budget, or refused at most 10 requests with --discover.
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
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=20))]
    pub replicas: u16,
    /// Requests a second that the CA bears; the issuer is given the same as its budget.
    #[arg(long, default_value_t = 5.0, value_parser = rate)]
    pub ca_rate: f64,
    /// Requests beyond that rate that the CA bears at once.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub ca_burst: u32,
    /// Connections that the CA bears at once; any number if left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub ca_connections: Option<u32>,
    /// How far away the CA is, in milliseconds there and back; each request takes up to a quarter of that longer.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub ca_round_trip: u32,
    /// Give the issuer no budget: Sancho finds out what the CA bears. It is refused a few times while it
    /// learns, at most 10 times if all is well; violations are not counted then.
    #[arg(long)]
    pub discover: bool,
    /// SIGKILL to the replica that holds a slot, so many seconds after the first newOrder. It stays dead.
    #[arg(long, value_name = "SECONDS")]
    pub kill_after: Option<u64>,
    /// Leave everything running at the end, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
    /// Write the figures to this file as JSON.
    #[arg(long, value_name = "FILE", value_parser = new_file)]
    pub report: Option<PathBuf>,
    /// Use a CA that runs elsewhere, by its directory URL; the issuer is given --ca-rate, --ca-burst and
    /// --ca-connections as its budget. What that CA saw cannot be judged.
    #[arg(long, value_name = "URL", value_parser = https, requires_all = ["acme_ca_bundle", "http01_listen"])]
    pub acme_directory: Option<String>,
    /// PEM certificates of the roots of that CA's own TLS certificate.
    #[arg(long, value_name = "FILE", value_parser = file, requires = "acme_directory")]
    pub acme_ca_bundle: Option<PathBuf>,
    /// Where the router to the replicas' HTTP-01 responders listens, such as 127.0.0.1:5002.
    #[arg(long, value_name = "ADDR")]
    pub http01_listen: Option<SocketAddr>,
}

impl Arguments {
    /// Those of this process. Ends it, with words on what to give instead, if they cannot be.
    pub fn of_process() -> Self {
        let arguments = Self::parse();
        if arguments.kill_after.is_some() && arguments.replicas < 2 {
            let words = "--kill-after needs --replicas 2 or more: the one that is killed stays dead";
            Self::command().error(ErrorKind::ValueValidation, words).exit();
        }
        arguments
    }
}

fn https(text: &str) -> Result<String, String> {
    if text.starts_with("https://") {
        Ok(text.into())
    } else {
        Err("give an https URL, such as https://localhost:14000/dir".into())
    }
}
