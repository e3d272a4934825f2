//! The operator's binary: built by cargo, once, into the folder that this program came from.

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

/// The path of `sancho`, built first if it is absent or older than its sources.
///
/// With `SANCHO_BINARY` set, that one is taken as it is.
///
/// # Errors
///
/// When this program does not stand in cargo's target folder, or the build fails.
pub async fn operator_binary() -> Result<PathBuf> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT.get_or_try_init(find_or_build).await.cloned()
}

async fn find_or_build() -> Result<PathBuf> {
    if let Some(path) = env::var_os("SANCHO_BINARY") {
        return Ok(path.into());
    }
    let this = env::current_exe()?;
    let profile_dir = profile_dir(&this).with_context(|| {
        format!(
            "{} is not in cargo's target folder: set SANCHO_BINARY",
            this.display()
        )
    })?;
    // Cargo knows best what is out of date, and locks the folder itself.
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        // With this package named too, most dependencies get the features that they have already.
        .args([
            "build",
            "--quiet",
            "--package",
            "sancho",
            "--package",
            "sancho-e2e",
            "--bin",
            "sancho",
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
            say("sancho: building the operator, minutes when cargo's cache is cold");
            output.await
        }
    };
    let output = output.context("cargo, to build the operator")?;
    if !output.status.success() {
        bail!(
            "the operator does not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(profile_dir.join("sancho"))
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
