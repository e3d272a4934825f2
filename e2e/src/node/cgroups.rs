//! A cgroup of a test's own, below which the kubelet makes those of its Pods: in every hierarchy that is mounted, made
//! before and removed after.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What the names of all such cgroups begin with; the id of the process that made it follows.
const PREFIX: &str = "sancho-node-";

/// How long the processes in it may take to be gone, once they were killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cgroup of this process. Removed when dropped, with everything below it.
#[derive(Debug)]
pub struct Cgroup {
    name: String,
    folders: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes it. Those that killed processes left behind are removed first.
    ///
    /// # Errors
    ///
    /// When no cgroup hierarchy is mounted, or it cannot be written.
    pub fn create() -> Result<Self> {
        let hierarchies = hierarchies()?;
        for stale in hierarchies.iter().flat_map(|hierarchy| stale(hierarchy)) {
            remove(&stale)?;
        }
        let name = format!("{PREFIX}{}", std::process::id());
        let mut cgroup = Cgroup {
            name: name.clone(),
            folders: Vec::new(),
        };
        for hierarchy in &hierarchies {
            let folder = hierarchy.join(&name);
            fs::create_dir(&folder)
                .with_context(|| format!("cannot make the cgroup {}", folder.display()))?;
            // A cpuset without processors takes no process.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(all) = fs::read(hierarchy.join(file)) {
                    fs::write(folder.join(file), all)?;
                }
            }
            cgroup.folders.push(folder);
        }
        Ok(cgroup)
    }

    /// Its path in every hierarchy.
    pub fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Removes it, once no process is in it any more.
    ///
    /// # Errors
    ///
    /// When one still is after some time.
    pub fn remove(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let result = self.folders.iter().try_for_each(|folder| remove(folder));
            match result {
                Err(_) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
                result => return result,
            }
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("{error:#}");
        }
    }
}

/// Where the hierarchies are mounted: those of version 1, the one of version 2, or both. runc uses all that there are.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("what is mounted")?;
    let found = of_mounts(&mounts);
    if found.is_empty() {
        bail!("no cgroup hierarchy is mounted: a kubelet needs one");
    }
    Ok(found)
}

/// The same, of a mountinfo (proc_pid_mountinfo(5)).
fn of_mounts(mounts: &str) -> Vec<PathBuf> {
    let hierarchies = mounts.lines().filter_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let is_one = ["cgroup", "cgroup2"].contains(&system.split_whitespace().next()?);
        is_one.then(|| mount.split_whitespace().nth(4).map(PathBuf::from))?
    });
    hierarchies.collect()
}

/// Those in a hierarchy whose process is gone.
fn stale(hierarchy: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(hierarchy).into_iter().flatten().flatten();
    let of_the_dead = entries.filter(|entry| {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        id.is_some_and(|id| !Path::new("/proc").join(id).exists())
    });
    of_the_dead.map(|entry| entry.path()).collect()
}

/// Removes a cgroup and those below it. One that is gone is fine.
fn remove(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path())?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("the cgroup {} is left", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let mounts = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n\
                      31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n";
        assert_eq!(
            of_mounts(mounts),
            [
                Path::new("/sys/fs/cgroup/unified"),
                Path::new("/sys/fs/cgroup/cpu")
            ]
        );
    }
}
