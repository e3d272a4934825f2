//! A cgroup of a test's own, below which the kubelet makes those of its Pods: in every hierarchy that is mounted, made
//! before and removed after.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::sandbox::stale;

/// What a kubelet wants below the root of version 2, of those that the root has (`getSupportedUnifiedControllers` of
/// Kubernetes 1.37).
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "hugetlb", "memory", "pids"];

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
    /// When no cgroup hierarchy is mounted, it cannot be written, or does not give what a kubelet needs.
    pub fn create() -> Result<Self> {
        let hierarchies = hierarchies()?;
        for hierarchy in &hierarchies {
            for left in stale::of_the_dead(hierarchy) {
                stale::patiently(|| remove(&left))?;
            }
            gives_what_is_needed(hierarchy)?;
        }
        let name = stale::name_of_this();
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
        stale::patiently(|| self.folders.iter().try_for_each(|folder| remove(folder)))
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

/// Fails where the root of version 2 keeps from those below it what a kubelet needs there.
fn gives_what_is_needed(hierarchy: &Path) -> Result<()> {
    // By this a kubelet tells the versions: elsewhere it is of version 1, or beside that.
    if hierarchy != Path::new("/sys/fs/cgroup") {
        return Ok(());
    }
    let read = |file: &str| fs::read_to_string(hierarchy.join(file)).unwrap_or_default();
    let kept = kept_back(&read("cgroup.controllers"), &read("cgroup.subtree_control"));
    if !kept.is_empty() {
        bail!(
            "a kubelet needs {} below {}: write +{} to its cgroup.subtree_control, as systemd does; in a container, on the \
             machine",
            kept.join(" and "),
            hierarchy.display(),
            kept.join(" +"),
        );
    }
    Ok(())
}

/// Of what a kubelet needs: what is `there`, and not `given` to the cgroups below.
fn kept_back(there: &str, given: &str) -> Vec<&'static str> {
    let is_in = |list: &str, wanted: &str| list.split_whitespace().any(|one| one == wanted);
    let kept = CONTROLLERS
        .into_iter()
        .filter(|controller| is_in(there, controller) && !is_in(given, controller));
    kept.collect()
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
    fn what_a_root_of_version_2_keeps_back_is_told() {
        let there = "cpuset cpu io memory hugetlb pids rdma misc\n";
        assert_eq!(kept_back(there, "cpu memory pids\n"), ["cpuset", "hugetlb"]);
        assert!(kept_back(there, there).is_empty());
        assert!(
            kept_back("io\n", "").is_empty(),
            "what is not there is not asked for"
        );
    }

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
