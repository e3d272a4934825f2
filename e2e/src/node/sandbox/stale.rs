//! Folders and cgroups of sandboxes that were killed with their process: they are named after it, and the next run removes
//! them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// What all their names begin with; the id of the process follows, and for a folder a dash and more.
const PREFIX: &str = "sancho-node-";

/// How long the kernel may take to end what was killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The name of this process's own.
pub(in crate::node) fn name_of_this() -> String {
    format!("{PREFIX}{}", std::process::id())
}

/// Those in a folder whose process is gone. One whose id another process has meanwhile stays.
pub(in crate::node) fn of_the_dead(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of_the_dead = entries.filter(|entry| {
        let name = entry.file_name();
        let process = name.to_str().and_then(process_of);
        process.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists())
    });
    of_the_dead.map(|entry| entry.path()).collect()
}

/// The process that something is named after.
fn process_of(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Tries until it succeeds, for as long as what was killed may still be there.
pub(in crate::node) fn patiently(attempt: impl Fn() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_after_a_process_that_is_gone_is_found() {
        let dir = tempfile::tempdir().unwrap();
        // No process has an id as high as that (proc_sys_kernel(5), pid_max).
        let names = ["sancho-node-4194305", "sancho-node-4194305-x7Gq2A"];
        let others = [
            name_of_this(),
            "sancho-node-logs-4194305".to_owned(),
            "sancho-e2e-4194305".to_owned(),
        ];
        for name in names.iter().copied().chain(others.iter().map(String::as_str)) {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut found = of_the_dead(dir.path());
        found.sort();
        assert_eq!(found, names.map(|name| dir.path().join(name)));
    }
}
