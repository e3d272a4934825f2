//! `cargo soak`: edits, faults and renewals at random against the real parts, judged round after round.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use sancho_e2e::command_line::until_ctrl_c;
use sancho_e2e::soak::{SoakOptions, soak};

/// Starts a local cluster, a CA that refuses to be asked too fast and three replicas of Sancho; edits Certificates and
/// troubles replicas, API server and CA at random, and judges what is there after each round.
///
/// Needs Rust and Go alone. Prints its seed; the same seed does the same things in the same order. Exit status 0 only if
/// all was as the last manifests asked for, and nothing happened that must not.
#[derive(Parser)]
#[command(name = "cargo soak")]
struct Arguments {
    /// How many minutes edits and troubles go on. Between rounds it is waited for all to come to rest, which takes about
    /// as long again.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    minutes: u16,
    /// How many minutes a round takes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    round: u16,
    /// What decides all that is done; any other one each time if left out.
    #[arg(long)]
    seed: Option<u64>,
    /// How many Certificates there are.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    certificates: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    sancho_e2e::pki::install_crypto();
    until_ctrl_c("soak", run(&arguments)).await
}

/// Says whether all is well.
async fn run(arguments: &Arguments) -> Result<bool> {
    let minutes = |minutes: u16| Duration::from_secs(60 * u64::from(minutes));
    let options = SoakOptions {
        time: minutes(arguments.minutes),
        round: minutes(arguments.round),
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000)),
        certificates: arguments.certificates.into(),
    };
    let outcome = soak(&options).await?;
    println!("\nseed {}\n\n{}", options.seed, outcome.figures.table());
    for problem in &outcome.problems {
        println!("{problem}");
    }
    if let Some(logs) = &outcome.logs {
        println!("the logs of all processes are in {}", logs.display());
    }
    Ok(outcome.problems.is_empty() && outcome.figures.are_good())
}
