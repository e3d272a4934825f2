//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use sancho_e2e::command_line::{file, new_file, rate};
use sancho_e2e::front::FrontOptions;

/// Has lego, certbot and Sancho ask the same throttling CA for one certificate with the same names, one
/// after the other, and shows how far each came and what the CA saw of it.
///
/// Nothing is tuned: lego and certbot run with their defaults, and Sancho's issuer is given no budget.
/// Needs Rust and Go; of lego and certbot those that are installed are asked. Everything ends with it.
/// Exit status 0 only if Sancho has all names issued.
#[derive(Parser)]
#[command(name = "cargo compare")]
pub struct Arguments {
    /// How many names the certificate has. Sancho takes up to 100 in one.
    #[arg(long, default_value_t = 42, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub names: u32,
    /// How many replicas of Sancho run.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=20))]
    pub replicas: u16,
    /// Requests a second that the CA bears.
    #[arg(long, default_value_t = 10.0, value_parser = rate)]
    pub ca_rate: f64,
    /// Requests beyond that rate that the CA bears at once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub ca_burst: u32,
    /// Connections that the CA bears at once; any number if left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub ca_connections: Option<u32>,
    /// How long each may take, in seconds. Then it is ended.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub limit: u64,
    /// The lego to ask, of version 4 or later; the one in PATH if left out.
    #[arg(long, value_name = "PATH", value_parser = file)]
    pub lego: Option<PathBuf>,
    /// The certbot to ask; the one in PATH if left out.
    #[arg(long, value_name = "PATH", value_parser = file)]
    pub certbot: Option<PathBuf>,
    /// Write the figures to this file as JSON.
    #[arg(long, value_name = "FILE", value_parser = new_file)]
    pub report: Option<PathBuf>,
}

impl Arguments {
    /// What the CA's front refuses.
    pub fn front(&self) -> FrontOptions {
        FrontOptions::limited(self.ca_rate, self.ca_burst, self.ca_connections)
    }

    /// How long each may take.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn left_alone_it_asks_for_what_users_have_reported() {
        let arguments = Arguments::parse_from(["compare"]);
        let front = arguments.front();
        assert_eq!(arguments.names, 42);
        assert_eq!(
            front.refused(),
            "more than 10 requests a second, burst 5, any number of connections"
        );
        assert_eq!(arguments.limit(), Duration::from_secs(300));
    }

    #[test]
    fn every_flag_is_explained() {
        let command = Arguments::command();
        let silent = command.get_arguments().find(|flag| flag.get_help().is_none());
        assert!(silent.is_none(), "{silent:?}");
    }

    #[test]
    fn a_program_that_is_not_there_is_refused_at_once() {
        assert!(Arguments::try_parse_from(["compare", "--lego", "/nowhere/lego"]).is_err());
    }
}
