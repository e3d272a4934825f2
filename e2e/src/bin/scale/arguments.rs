//! The command line.

use std::fmt;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use sancho_e2e::command_line::new_file;

/// Starts a local cluster, a CA that refuses nothing and replicas of Sancho, and measures what large numbers cost.
///
/// Needs Rust and Go alone. With 10,000 names and 10,000 Certificates it takes about half an hour on two cores; other
/// work on the machine makes the figures worse. Exit status 0 only if all figures are within their bounds.
#[derive(Parser)]
#[command(name = "cargo scale")]
pub struct Arguments {
    /// What to measure; everything if left out.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// How many names the one Certificate has.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub names: u32,
    /// How many Certificates of one name there are.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub certificates: u32,
    /// How many replicas of Sancho run.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=10))]
    pub replicas: u16,
    /// Write the figures to this file as JSON.
    #[arg(long, value_name = "FILE", value_parser = new_file)]
    pub report: Option<PathBuf>,
}

/// What is measured in a world of its own.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// One Certificate with many names.
    Names,
    /// A hundred edits of a Certificate in a burst.
    Edits,
    /// Many Certificates of one name: issued, idle, restarted.
    Certificates,
}

impl Arguments {
    /// What to measure.
    pub fn parts(&self) -> Vec<Part> {
        if self.parts.is_empty() {
            Part::value_variants().to_vec()
        } else {
            self.parts.clone()
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Names => "one Certificate with many names",
            Part::Edits => "a hundred edits in a burst",
            Part::Certificates => "many Certificates",
        })
    }
}
