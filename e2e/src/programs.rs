//! Programs that the tests need and that are no Go tools of ours: from the system's packages, or wherever the
//! environment says.

use std::env;
use std::path::{Path, PathBuf};

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

/// libfaketime, by which a process sees another time of day: what `SANCHO_FAKETIME` says, else where Debian's package
/// `faketime` puts it.
///
/// # Errors
///
/// When it is not there; the error says how to get it.
pub fn faketime() -> Result<PathBuf> {
    const VARIABLE: &str = "SANCHO_FAKETIME";
    const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
    if let Some(path) = env::var_os(VARIABLE).map(PathBuf::from) {
        if !path.is_file() {
            bail!("{VARIABLE} is {}, where there is no file", path.display());
        }
        return Ok(path);
    }
    let folder = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    let found = Path::new(&folder).join(LIBRARY);
    if found.is_file() {
        return Ok(found);
    }
    bail!(
        "this test needs libfaketime, which is not at {}: `apt-get install faketime` on Debian, or name the library with \
         {VARIABLE}",
        found.display()
    )
}
