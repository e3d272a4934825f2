//! Whether a sandbox left anything on the machine.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use super::{output, stale};
use crate::node::config::KERNEL_SETTINGS;

/// Folders of a node's parts that exist on no machine that is none.
const FOLDERS: [&str; 6] = [
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/cni",
    "/run/containerd",
    "/opt/containerd",
    "/usr/libexec/kubernetes",
];

/// What a node could change on a machine, as it was before.
pub(super) struct Machine {
    settings: Vec<(&'static str, String)>,
    folders: Vec<&'static str>,
    links: Vec<String>,
    routes: String,
    rules: String,
}

impl Machine {
    /// Looks at it.
    pub(super) fn look() -> Result<Self> {
        Ok(Machine {
            settings: settings()?,
            folders: folders(),
            links: links()?,
            routes: routes()?,
            rules: rules()?,
        })
    }

    /// Fails with what is not as it was: kernel settings, folders, network links, routes, the kernel's packet filter,
    /// mounts of `dir`, and processes that have anything to do with it and do not end by themselves.
    pub(super) fn is_as_before(&self, dir: &Path) -> Result<()> {
        stale::patiently(|| {
            let left = self.left(&dir.display().to_string())?;
            if !left.is_empty() {
                bail!("the sandbox left something behind: {}", left.join("; "));
            }
            Ok(())
        })
    }

    fn left(&self, dir: &str) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for (before, after) in self.settings.iter().zip(settings()?) {
            if *before != after {
                left.push(format!(
                    "/proc/sys/{} is {} in place of {}",
                    after.0, after.1, before.1
                ));
            }
        }
        let made = folders()
            .into_iter()
            .filter(|folder| !self.folders.contains(folder));
        left.extend(made.map(|folder| format!("the folder {folder}")));
        let made = links()?.into_iter().filter(|link| !self.links.contains(link));
        left.extend(made.map(|link| format!("the network link {link}")));
        for (what, before, after) in [
            ("routes", &self.routes, routes()?),
            ("packet filter", &self.rules, rules()?),
        ] {
            if *before != after {
                left.push(format!("the {what}, now\n{after}"));
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        left.extend(
            mounts
                .lines()
                .filter(|mount| mount.contains(dir))
                .map(|mount| format!("the mount {mount}")),
        );
        left.extend(processes_of(dir)?);
        Ok(left)
    }
}

fn settings() -> Result<Vec<(&'static str, String)>> {
    let read = |(name, _): (&'static str, &str)| -> Result<(&'static str, String)> {
        let text = fs::read_to_string(Path::new("/proc/sys").join(name))?;
        Ok((name, text.trim().to_owned()))
    };
    KERNEL_SETTINGS.into_iter().map(read).collect()
}

fn folders() -> Vec<&'static str> {
    FOLDERS
        .into_iter()
        .filter(|folder| Path::new(folder).exists())
        .collect()
}

fn links() -> Result<Vec<String>> {
    let entries = fs::read_dir("/sys/class/net")?;
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().display().to_string());
    Ok(names.collect())
}

fn routes() -> Result<String> {
    output("ip", "iproute2", &["-4", "route", "show", "table", "all"])
}

/// Without counters, which change by themselves.
fn rules() -> Result<String> {
    output("nft", "nftables", &["--stateless", "list", "ruleset"])
}

/// Processes that were started with something of `dir`: arguments or environment, which all inside inherit.
fn processes_of(dir: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let is_process = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.parse::<u32>().is_ok());
        if !is_process || entry.file_name().to_str() == Some(&std::process::id().to_string()) {
            continue;
        }
        for file in ["cmdline", "environ"] {
            // One that has ended meanwhile is gone.
            let text = fs::read(entry.path().join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            if text.contains(dir) {
                let line = text.replace('\0', " ");
                found.push(format!(
                    "process {}: {}",
                    entry.file_name().display(),
                    line.trim()
                ));
                break;
            }
        }
    }
    Ok(found)
}
