//! Man pages, one for each command.

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::args::Cli;

/// Writes `kubectl-sancho.1` and a page for each command into `directory`, which is made if it is absent.
/// Returns their names.
///
/// # Errors
/// When they cannot be written.
pub fn write(directory: &Path) -> Result<Vec<String>> {
    let at = || format!("{}", directory.display());
    std::fs::create_dir_all(directory).with_context(at)?;
    // Under this name a page is found by man, and kubectl finds the plugin.
    let command = Cli::command().bin_name("kubectl-sancho");
    clap_mangen::generate_to(command, directory).with_context(at)?;
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(at)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("kubectl-sancho") && name.ends_with(".1") {
            pages.push(name);
        }
    }
    pages.sort();
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        let pages = write(directory.path()).unwrap();
        for page in [
            "kubectl-sancho.1",
            "kubectl-sancho-status.1",
            "kubectl-sancho-renew.1",
        ] {
            assert!(pages.iter().any(|name| name == page), "no {page} in {pages:?}");
        }
        let main = std::fs::read_to_string(directory.path().join("kubectl-sancho.1")).unwrap();
        assert!(main.contains("Exit status"), "{main}");
    }
}
