//! `cargo tools`: builds the servers and commands that the tests run, and lists where they are.

use std::process::ExitCode;

use clap::Parser;
use sancho_e2e::tools::{self, Tool};

/// Builds etcd, kube-apiserver, kube-controller-manager, kubectl, Pebble and Helm ahead of the
/// tests, and lists where they are.
///
/// A cold build takes about 15 minutes on two cores and needs Go and 5 GB of disk. Programs that
/// the folder KUBEBUILDER_ASSETS has are taken from there.
#[derive(Parser)]
#[command(name = "cargo tools")]
struct Args {
    /// Only these; all of them if none is named.
    #[arg(value_name = "TOOL", value_parser = Tool::ALL.map(Tool::file_name))]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    for tool in Tool::ALL {
        if args.only.is_empty() || args.only.iter().any(|name| name == tool.file_name()) {
            match tools::path(tool) {
                Ok(path) => println!("{}", path.display()),
                Err(error) => {
                    eprintln!("{error:#}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}
