//! `cargo tools`: builds the servers and commands that the tests run, and lists where they are.

use std::process::ExitCode;

use clap::Parser;
use sancho_e2e::tools::{self, Tool};

/// Builds etcd, kube-apiserver, kube-controller-manager, kubectl, Pebble and Helm ahead of the
/// tests, and lists where they are.
///
/// A cold build takes about 15 minutes on two cores and needs Go and 5 GB of disk. What a node needs besides (kubelet,
/// containerd, runc …) takes 5 more, and libseccomp's headers. Programs that the folder KUBEBUILDER_ASSETS has are taken
/// from there.
#[derive(Parser)]
#[command(name = "cargo tools")]
struct Args {
    /// Only these; all but a node's if none is named.
    #[arg(value_name = "TOOL", value_parser = clap::builder::PossibleValuesParser::new(Tool::all().map(Tool::file_name)))]
    only: Vec<String>,
    /// What a node needs as well, for `cargo e2e-node`; Linux alone.
    #[arg(long, conflicts_with = "only")]
    node: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let wanted: Vec<Tool> = match (args.only.is_empty(), args.node) {
        (true, true) => Tool::all().collect(),
        (true, false) => Tool::USUAL.to_vec(),
        (false, _) => Tool::all()
            .filter(|tool| args.only.iter().any(|name| name == tool.file_name()))
            .collect(),
    };
    match tools::paths(&wanted) {
        Ok(paths) => {
            for path in paths {
                println!("{}", path.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
