//! Programs that the tests need and that are no Go tools of ours: from the system's packages, or wherever the
//! environment says.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The program `name` of Debian's package `package`: what the environment variable `SANCHO_<NAME>` says, else where
/// packages put it.
///
/// # Errors
///
/// When it is not there; the error says how to get it.
pub fn find(name: &str, package: &str) -> Result<PathBuf> {
    let variable = format!("SANCHO_{}", name.to_uppercase());
    if let Some(path) = env::var_os(&variable) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("{variable} is {}, where there is no file", path.display());
        }
        return Ok(path);
    }
    let in_path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&in_path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file()).with_context(|| {
        format!(
            "this test needs `{name}`, which is not here: `apt-get install {package}` on Debian, or name the program \
             with {variable}"
        )
    })
}
