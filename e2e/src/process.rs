//! Child processes that end whatever happens, each with a log of its own, and waiting for them.
//!
//! # Guarantees
//!
//! - Dropping a [`Process`] kills it and reaps it, stopped processes included.
//! - On Linux a child also dies with this process, however this one ends: `setpriv` (util-linux)
//!   sets the parent death signal, which survives the `exec`.
//!
//! # Caveats
//!
//! Linux sends the parent death signal when the *thread* that forked ends, not the process. All
//! children are therefore started by one thread that lives as long as the process.

mod ports;
mod wait;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal};

pub use ports::free_port;
pub use wait::wait_for;

/// How often a condition is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(250);

/// A running child process. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    child: Mutex<Child>,
    log: PathBuf,
}

/// What to start: a program, its arguments, and environment variables on top of this process's.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    args: Vec<String>,
    env: BTreeMap<String, String>,
}

impl Launch {
    /// Starts `program` without arguments.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Launch {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The command, wrapped so that it dies with this process where the system can do that.
    fn command(&self) -> Command {
        let mut command = if cfg!(target_os = "linux") {
            let mut command = Command::new("setpriv");
            command.args([
                OsStr::new("--pdeathsig"),
                OsStr::new("KILL"),
                self.program.as_os_str(),
            ]);
            command
        } else {
            Command::new(&self.program)
        };
        command.args(&self.args).envs(&self.env);
        // A group of its own: Ctrl-C is for the program at the terminal, which ends the rest.
        command.process_group(0);
        command
    }
}

impl Process {
    /// Starts a process. Its output goes to `<log_dir>/<name>.log`, appended.
    ///
    /// # Errors
    ///
    /// When the program (or `setpriv`) cannot be started, or the log not be opened.
    pub fn spawn(name: &str, launch: &Launch, log_dir: &Path) -> Result<Self> {
        if !launch.program.is_file() {
            bail!(
                "{} is missing: {name} cannot be started",
                launch.program.display()
            );
        }
        fs::create_dir_all(log_dir)?;
        let log = log_dir.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let mut command = launch.command();
        command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        let child = fork(command).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => anyhow!("setpriv is missing: install the package util-linux"),
            _ => anyhow!("cannot start {name}: {error}"),
        })?;
        let pid = Pid::from_child(&child);
        Ok(Process {
            name: name.to_owned(),
            pid,
            child: Mutex::new(child),
            log,
        })
    }

    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Where its output goes.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The last `lines` lines of its output so far.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// How it ended, or `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// The processor time that it has used so far, its threads and the kernel's work for it included, to a
    /// hundredth of a second. Linux alone tells it.
    ///
    /// # Errors
    ///
    /// When it has ended, or the system does not tell.
    pub fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.pid());
        let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
        cpu_time(&stat).with_context(|| format!("{path}: {stat}"))
    }

    /// The memory that it has in use, in bytes: its resident set. Linux alone tells it.
    ///
    /// # Errors
    ///
    /// When it has ended, or the system does not tell.
    pub fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        resident_bytes(&status).with_context(|| format!("{path}: {status}"))
    }

    /// SIGKILL, and waits until it is gone. Nothing happens to one that has ended.
    pub fn kill(&self) {
        let mut child = self.child();
        // Both fail only for a process that is gone already.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// SIGSTOP: it keeps its sockets and its memory, and does nothing until [`Process::resume`].
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM. Returns at once; see [`Process::wait_exit`].
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    ///
    /// When it still runs after `timeout`.
    pub async fn wait_exit(&self, timeout: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                return Ok(status);
            }
            if start.elapsed() >= timeout {
                bail!(
                    "{} still runs after {timeout:?}\n{}",
                    self.name,
                    self.log_tail(20)
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        // Under the lock, and only while it is not reaped: its id cannot be another's then.
        let mut child = self.child();
        if let Some(status) = child.try_wait()? {
            bail!("{} has ended ({status}), it cannot be sent {signal:?}", self.name);
        }
        rustix::process::kill_process(self.pid, signal).with_context(|| format!("signal to {}", self.name))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From `VmRSS:     4028 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(1024 * line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?)
}

/// utime and stime of a `/proc/PID/stat`, which counts in hundredths of a second (proc_pid_stat(5)).
fn cpu_time(stat: &str) -> Option<Duration> {
    // The name stands in parentheses, and may have some of its own.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: Vec<u64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    match ticks.as_slice() {
        [user, system] => Some(Duration::from_millis((user + system) * 10)),
        _ => None,
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command for the thread that starts processes, and where to answer.
struct Order {
    command: Command,
    answer: mpsc::Sender<io::Result<Child>>,
}

/// Forks on the thread that lives as long as the process.
fn fork(command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for mut order in inbox {
                // The asker waits for the answer, so it is there to take it.
                let _ = order.answer.send(order.command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let gone = || io::Error::other("the thread that starts processes has ended");
    let (answer, result) = mpsc::channel();
    let spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    spawner.send(Order { command, answer }).map_err(|_| gone())?;
    drop(spawner);
    result.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests;
