//! Sancho's binaries: built by cargo, once, into the folder that this program came from.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::progress::say;

/// A build that takes longer is talked about.
const PATIENCE: Duration = Duration::from_secs(3);

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Names an operator to take as it is.
const GIVEN: &str = "SANCHO_BINARY";
/// The operator.
const OPERATOR: &str = "sancho";
/// The kubectl plugin, which is a package of the same name.
const PLUGIN: &str = "kubectl-sancho";

/// The path of `sancho`, built first if it is absent or older than its sources.
///
/// With `SANCHO_BINARY` set, that one is taken as it is.
///
/// # Errors
///
/// When this program does not stand in cargo's target folder, or the build fails.
pub async fn operator() -> Result<PathBuf> {
    match env::var_os(GIVEN) {
        Some(path) => Ok(path.into()),
        None => Ok(built().await?.join(OPERATOR)),
    }
}

/// The path of `kubectl-sancho`, built like the operator. With `SANCHO_BINARY` set, the one beside
/// that is taken.
///
/// # Errors
///
/// As for [`operator`].
pub async fn plugin() -> Result<PathBuf> {
    match env::var_os(GIVEN) {
        Some(path) => Ok(Path::new(&path).with_file_name(PLUGIN)),
        None => Ok(built().await?.join(PLUGIN)),
    }
}

/// The folder of both, once they are built.
async fn built() -> Result<PathBuf> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT.get_or_try_init(build).await.cloned()
}

async fn build() -> Result<PathBuf> {
    let this = env::current_exe()?;
    let profile_dir = profile_dir(&this)
        .with_context(|| format!("{} is not in cargo's target folder: set {GIVEN}", this.display()))?;
    // Cargo knows best what is out of date, and locks the folder itself.
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        // With this package named too, most dependencies get the features that they have already.
        .args([
            "build",
            "--quiet",
            "--package",
            OPERATOR,
            "--package",
            PLUGIN,
            "--package",
            "sancho-e2e",
            "--bin",
            OPERATOR,
            "--bin",
            PLUGIN,
        ])
        .arg("--target-dir")
        .arg(profile_dir.parent().unwrap_or(profile_dir))
        .current_dir(REPOSITORY)
        .stdin(Stdio::null());
    if profile_dir.ends_with("release") {
        build.arg("--release");
    }
    let output = build.output();
    tokio::pin!(output);
    let output = match tokio::time::timeout(PATIENCE, &mut output).await {
        Ok(output) => output,
        Err(_) => {
            say("sancho: building the operator and the plugin, minutes when cargo's cache is cold");
            output.await
        }
    };
    let output = output.context("cargo, to build the operator and the plugin")?;
    if !output.status.success() {
        bail!(
            "the operator or the plugin does not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(profile_dir.to_owned())
}

/// `target/debug` for `target/debug/demo` and `target/debug/deps/it-0123`.
fn profile_dir(program: &Path) -> Option<&Path> {
    let dir = program.parent()?;
    let dir = if dir.ends_with("deps") { dir.parent()? } else { dir };
    (dir.ends_with("debug") || dir.ends_with("release")).then_some(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_read_from_where_this_program_stands() {
        let dir = |path: &'static str| profile_dir(Path::new(path));
        assert_eq!(dir("/t/debug/deps/it-0123"), Some(Path::new("/t/debug")));
        assert_eq!(dir("/t/release/demo"), Some(Path::new("/t/release")));
        assert_eq!(dir("/usr/bin/demo"), None);
    }
}
