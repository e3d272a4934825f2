//! A test runs itself again, inside namespaces of its own: `programs there? -> cgroup, folder -> unshare -> the same test,
//! inside -> everything gone?`.
//!
//! # Guarantees
//!
//! - No packet leaves: the network namespace has a loopback, one bridge without ports, and the Pods' links.
//! - Everything that runs inside ends with it, also when this process is killed: the kernel ends what is in a process
//!   namespace with its first process, and that one with its parent.
//! - What the parts write to `/run`, `/var/lib`, `/var/log` and as temporary files goes to a folder of the test's own. What
//!   the kubelet asks of the machine's kernel it finds set, and nothing is set.
//!
//! # Caveats
//!
//! A process that is killed by SIGKILL leaves its temporary folder and its cgroup, an empty one; the next run removes both.

mod left;
pub(super) mod stale;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use super::cgroups::Cgroup;
use super::{NODE_ADDRESS, config};
use crate::process::{Launch, Process};
use crate::programs;
use left::Machine;

/// Says that this process is inside, and where its files are.
const FOLDER: &str = "SANCHO_NODE_FOLDER";
const CGROUP: &str = "SANCHO_NODE_CGROUP";
/// The namespaces outside, so that nothing is done to these by mistake.
const OUTSIDE: &str = "SANCHO_NODE_OUTSIDE";

/// The programs that it needs, and Debian's packages.
const PROGRAMS: [(&str, &str); 8] = [
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("ipset", "ipset"),
    ("ldd", "libc-bin"),
];

/// The folders that a node's parts write to by default.
const OWN_FOLDERS: [&str; 3] = ["/run", "/var/lib", "/var/log"];

/// The kinds of namespaces that are new inside.
const NAMESPACES: [&str; 3] = ["net", "mnt", "pid"];

/// The inside of a sandbox.
#[derive(Debug)]
pub struct Inside {
    dir: PathBuf,
    cgroup: String,
}

/// Runs the test of this name of this program again, inside, with these environment variables, and shows what it prints.
/// It runs the programs that are `needed` there. Everything is removed after it, also when this process is told to end
/// meanwhile; then it ends.
///
/// # Errors
///
/// When this machine lacks something, with what and how to get it; when the test fails inside; when something is left.
pub async fn run_inside(test: &str, environment: &[(&str, &Path)], needed: &[PathBuf]) -> Result<()> {
    let machine = Machine::look()?;
    let cgroup = Cgroup::create()?;
    let dir = own_folder()?;
    let this = env::current_exe()?;
    for path in needed
        .iter()
        .map(PathBuf::as_path)
        .chain([this.as_path(), dir.path()])
    {
        is_seen_inside(path)?;
    }
    let temporary = dir.path().join("tmp");
    fs::create_dir(&temporary)?;
    let unshare = programs::find("unshare", "util-linux")?;
    let mut launch = Launch::new(unshare)
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        // The first process of a process namespace inherits orphans, and a shell reaps them.
        .args(["/bin/sh", "-c", r#""$0" "$@"; exit $?"#])
        .arg(this.display().to_string())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(FOLDER, dir.path().display().to_string())
        .env(CGROUP, cgroup.path())
        .env(OUTSIDE, namespaces()?.join(" "))
        .env("TMPDIR", temporary.display().to_string());
    for (name, value) in environment {
        launch = launch.env(*name, value.display().to_string());
    }
    let process = Process::spawn("inside", &launch, &dir.path().join("logs"))?;
    let ended = tokio::select! {
        ended = shown_until_its_end(&process) => Some(ended?),
        () = told_to_end() => None,
    };
    process.kill();
    drop(process);
    let cleared = cgroup.remove().and_then(|()| machine.is_as_before(dir.path()));
    match ended {
        Some(status) if status.success() => {
            cleared?;
            Ok(dir.close()?)
        }
        Some(status) => {
            let logs = logs_alone(dir)?;
            let left = cleared
                .err()
                .map(|left| format!("; and {left:#}"))
                .unwrap_or_default();
            bail!(
                "the test failed inside ({status}); the logs are in {}{left}",
                logs.display()
            )
        }
        None => {
            cleared?;
            dir.close()?;
            eprintln!("told to end: everything is removed");
            std::process::exit(130)
        }
    }
}

/// What this machine lacks, in a sentence; `None` if a test can run inside a sandbox here.
pub fn lacking() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a node runs on Linux alone".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a node needs root: run it as root, or with sudo".to_owned());
    }
    let missing = PROGRAMS
        .iter()
        .find_map(|(name, package)| programs::find(name, package).err());
    if let Some(error) = missing {
        return Some(format!("{error:#}"));
    }
    let tried = run(
        "unshare",
        "util-linux",
        &["--net", "--mount", "--pid", "--fork", "true"],
    );
    let refused = tried.err()?;
    Some(format!(
        "a node needs namespaces of its own, and may not make them here; in a container, start that with --privileged: \
         {refused:#}"
    ))
}

impl Inside {
    /// Where this process is: `None` outside.
    ///
    /// # Errors
    ///
    /// When it is said to be inside, and is not.
    pub fn look() -> Result<Option<Self>> {
        let (Some(dir), Ok(cgroup), Ok(outside)) = (env::var_os(FOLDER), env::var(CGROUP), env::var(OUTSIDE))
        else {
            return Ok(None);
        };
        for namespace in namespaces()? {
            if outside.split(' ').any(|other| other == namespace) {
                bail!("{FOLDER} is set, but {namespace} is a namespace of the machine's own: unset it");
            }
        }
        let dir = PathBuf::from(dir);
        Ok(Some(Inside { dir, cgroup }))
    }

    /// Gives the sandbox its folders, its kernel settings and its network. To be done once, before anything is started.
    ///
    /// # Errors
    ///
    /// What a command says that fails.
    pub fn prepare(&self) -> Result<()> {
        for folder in OWN_FOLDERS {
            let own = self.own(folder);
            fs::create_dir_all(&own)?;
            bind(&own, Path::new(folder))?;
        }
        for (name, value) in config::KERNEL_SETTINGS {
            let own = self.dir.join("kernel").join(name.replace('/', "."));
            fs::create_dir_all(self.dir.join("kernel"))?;
            fs::write(&own, format!("{value}\n"))?;
            bind(&own, &Path::new("/proc/sys").join(name))?;
        }
        let address = format!("{NODE_ADDRESS}/24");
        for command in [
            "link set lo up",
            "link add node0 type bridge",
            &format!("address add {address} dev node0"),
            "link set node0 up",
            // Addresses of Services are on no link; the rules lead them on.
            "route add default dev node0",
        ] {
            let words: Vec<&str> = command.split(' ').collect();
            run("ip", "iproute2", &words)?;
        }
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        Ok(())
    }

    /// A folder for the test's files, outside those that are the sandbox's own.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of its cgroup in every hierarchy.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// The logs of all processes, one file each. They stay when the test fails.
    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("logs")
    }

    fn own(&self, folder: &str) -> PathBuf {
        own(&self.dir, folder)
    }
}

/// Fails for what lies in a folder that is another one inside.
fn is_seen_inside(path: &Path) -> Result<()> {
    let path = fs::canonicalize(path).with_context(|| path.display().to_string())?;
    if let Some(folder) = OWN_FOLDERS.iter().find(|folder| path.starts_with(folder)) {
        bail!(
            "{} lies in {folder}, which is the node's own inside. CARGO_TARGET_DIR, XDG_CACHE_HOME and TMPDIR say where what \
             cargo builds, tools and temporary files are",
            path.display()
        );
    }
    Ok(())
}

/// A new folder, beside which none is left of processes that are gone.
fn own_folder() -> Result<TempDir> {
    for left in stale::of_the_dead(&env::temp_dir()) {
        stale::patiently(|| Ok(fs::remove_dir_all(&left)?))
            .with_context(|| format!("{}, which a killed test left", left.display()))?;
    }
    let prefix = format!("{}-", stale::name_of_this());
    Ok(tempfile::Builder::new().prefix(&prefix).tempdir()?)
}

/// Where what is written to `/var/log` really is: `DIR/var-log`.
fn own(dir: &Path, folder: &str) -> PathBuf {
    dir.join(folder.trim_start_matches('/').replace('/', "-"))
}

/// Those that this process is in, as `net:[4026531840]`.
fn namespaces() -> Result<Vec<String>> {
    let read = |kind: &str| -> Result<String> {
        let link = fs::read_link(format!("/proc/self/ns/{kind}"))?;
        Ok(link.display().to_string())
    };
    NAMESPACES.into_iter().map(read).collect()
}

fn bind(own: &Path, over: &Path) -> Result<()> {
    let paths = [own, over].map(|path| path.display().to_string());
    run("mount", "mount", &["--no-mtab", "--bind", &paths[0], &paths[1]])
}

fn run(program: &str, package: &str, args: &[&str]) -> Result<()> {
    output(program, package, args).map(drop)
}

/// What a command prints; an error if it fails.
fn output(program: &str, package: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(programs::find(program, package)?)
        .args(args)
        .output()
        .with_context(|| program.to_owned())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", args.join(" "), said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Prints what the process prints, as it comes, until it ends.
async fn shown_until_its_end(process: &Process) -> Result<ExitStatus> {
    let mut shown = 0;
    loop {
        // Asked first: what it printed before its end is there then.
        let ended = process.exit_status();
        let text = fs::read(process.log_path())?;
        let text = String::from_utf8_lossy(&text);
        let whole_lines = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text[shown.min(whole_lines)..whole_lines].lines() {
            if !is_of_the_harness(line) {
                println!("{line}");
            }
        }
        shown = whole_lines;
        if let Some(status) = ended {
            return Ok(status);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Its own test is this test, and not one more.
fn is_of_the_harness(line: &str) -> bool {
    let words = ["", "ok", "FAILED", "running 1 test"];
    words.contains(&line) || line.starts_with("test ")
}

/// Ends when this process is told to end by a signal that can be heard.
async fn told_to_end() {
    let heard = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = heard(SignalKind::interrupt()) => {}
        () = heard(SignalKind::terminate()) => {}
        () = heard(SignalKind::hangup()) => {}
    }
}

/// Keeps what is worth reading, the processes' and the Pods' logs, in a folder that no later run removes.
fn logs_alone(dir: TempDir) -> Result<PathBuf> {
    let logs = tempfile::Builder::new()
        .prefix("sancho-node-logs-")
        .tempdir()?
        .keep();
    for (folder, name) in [
        (dir.path().join("logs"), "processes"),
        (own(dir.path(), "/var/log"), "pods"),
    ] {
        if folder.is_dir() {
            fs::rename(&folder, logs.join(name))?;
        }
    }
    dir.close()?;
    Ok(logs)
}
