//! Builds one tool: `cache hit? -> lock -> cache hit now? -> Go new enough? -> go build -> rename`.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::Tool;
use crate::progress::say;

/// Free space below which no build is tried: the largest program and its link step.
const LEAST_FREE_BYTES: u64 = 1 << 30;

/// What a cold build of everything takes: Go's module and build caches and the programs.
const COLD_BUILD_BYTES: u64 = 5 << 30;

/// The paths in the cache of tools of one module; those that are not there are built, all at once.
pub(super) fn cached(tools: &[Tool]) -> Result<Vec<(Tool, PathBuf)>> {
    let Some(first) = tools.first() else {
        return Ok(Vec::new());
    };
    let module = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tools")
        .join(first.module());
    let dir = cache_dir()?.join("sancho/tools").join(module_hash(&module)?);
    let programs: Vec<(Tool, PathBuf)> = tools
        .iter()
        .map(|tool| (*tool, dir.join(tool.file_name())))
        .collect();
    let absent = || -> Vec<Tool> {
        let absent = programs.iter().filter(|(_, program)| !program.is_file());
        absent.map(|(tool, _)| *tool).collect()
    };
    if absent().is_empty() {
        return Ok(programs);
    }
    build(&module, &dir, absent).with_context(|| format!("cannot build {}", names(&absent())))?;
    Ok(programs)
}

/// Builds what is `absent` in `dir`, unless another process does meanwhile.
fn build(module: &Path, dir: &Path, absent: impl Fn() -> Vec<Tool>) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("the cache folder {}", dir.display()))?;
    // The lock ends with its file, and so with this process, however that ends.
    let lock = File::create(dir.join("lock"))?;
    if lock.try_lock().is_err() {
        say(&format!(
            "{}: another process builds, waiting for it",
            names(&absent())
        ));
        lock.lock()?;
    }
    let absent = absent();
    if absent.is_empty() {
        return Ok(());
    }
    check_go(module)?;
    check_disk(dir)?;
    // In another folder first: a killed build leaves nothing that looks like a program.
    let partial = dir.join("partial");
    fs::create_dir_all(&partial)?;
    go_build(&absent, module, &partial)?;
    for tool in absent {
        fs::rename(partial.join(tool.built_name()), dir.join(tool.file_name()))?;
    }
    Ok(fs::remove_dir_all(&partial)?)
}

fn names(tools: &[Tool]) -> String {
    let names: Vec<&str> = tools.iter().map(|tool| tool.file_name()).collect();
    names.join(", ")
}

fn cache_dir() -> Result<PathBuf> {
    let absolute = |variable| {
        env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME says where the cache folder is")
}

/// The hash of go.mod and go.sum, and of the program where it is our own, in hexadecimal.
fn module_hash(module: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for name in ["go.mod", "go.sum", "main.go"] {
        let path = module.join(name);
        if name == "main.go" && !path.is_file() {
            continue;
        }
        let content = fs::read(&path).with_context(|| path.display().to_string())?;
        hash.update(u64::try_from(content.len())?.to_be_bytes());
        hash.update(content);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Go must be there and be what go.mod asks for. Go since 1.21 fetches a newer Go by itself, if
/// it may.
fn check_go(module: &Path) -> Result<()> {
    let wanted = go_version_wanted(&fs::read_to_string(module.join("go.mod"))?);
    let output = match Command::new("go").arg("version").current_dir(module).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "Go is missing. Install Go {wanted} or later from https://go.dev/dl/, or set KUBEBUILDER_ASSETS to \
             a folder that has the programs"
        ),
        Err(error) => return Err(error).context("go version"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let has = said
        .split_whitespace()
        .nth(2)
        .unwrap_or_default()
        .trim_start_matches("go");
    if !output.status.success() || version(has) < version(&wanted) {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!(
            "Go is too old: {wanted} or later is needed. Install it from https://go.dev/dl/\n{}{}",
            said.trim_end(),
            why.trim_end()
        );
    }
    Ok(())
}

/// The version of the `go` line in a go.mod.
fn go_version_wanted(go_mod: &str) -> String {
    go_mod
        .lines()
        .find_map(|line| line.strip_prefix("go "))
        .unwrap_or("1.21")
        .trim()
        .to_owned()
}

/// The numbers of a version, as far as they go.
fn version(text: &str) -> Vec<u32> {
    text.split('.').map_while(|part| part.parse().ok()).collect()
}

fn check_disk(dir: &Path) -> Result<()> {
    for place in [Some(dir.to_owned()), go_build_cache()].into_iter().flatten() {
        let Ok(stat) = rustix::fs::statvfs(&place) else {
            continue;
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let gigabytes = free as f64 / f64::from(1 << 30);
        if free < LEAST_FREE_BYTES {
            bail!(
                "the disk is nearly full: {gigabytes:.1} GB are free at {}. A first build of all tools needs 5 GB; \
                 free some, or point XDG_CACHE_HOME, GOCACHE and GOMODCACHE elsewhere",
                place.display()
            );
        }
        if free < COLD_BUILD_BYTES {
            say(&format!(
                "{gigabytes:.1} GB are free at {}; a first build of all tools needs 5 GB",
                place.display()
            ));
        }
    }
    Ok(())
}

fn go_build_cache() -> Option<PathBuf> {
    let output = Command::new("go").args(["env", "GOCACHE"]).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_dir().then_some(path)
}

/// Runs one build for all into the folder `output`, and shows how far it is: `-v` names each package as it is compiled.
fn go_build(tools: &[Tool], module: &Path, output: &Path) -> Result<()> {
    let first = *tools.first().context("nothing to build")?;
    let names = names(tools);
    let jobs = thread::available_parallelism().map_or(2, usize::from);
    let flags = env::var("GOFLAGS").unwrap_or_default();
    let mut command = Command::new("go");
    command
        .args(["build", "-v", "-trimpath", "-buildvcs=false"])
        // No debugger is to read them: a tenth of the time.
        .arg("-gcflags=all=-dwarf=false")
        .arg(format!("-ldflags={}", linker_flags(first, module)?))
        .arg(format!("-tags={}", first.tags()))
        .arg("-o")
        .arg(output)
        .args(tools.iter().map(|tool| tool.package()))
        .current_dir(module)
        .env("GOFLAGS", format!("{flags} -p={jobs}").trim())
        .env("CGO_ENABLED", if first.needs_c() { "1" } else { "0" })
        // The compiler collects its garbage less often, up to this much of it: a fifth of the time.
        .env("GOGC", "400")
        .env("GOMEMLIMIT", "2GiB")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let start = Instant::now();
    say(&format!("{names}: building, minutes when Go's cache is cold"));
    let mut child = command.spawn().context("go build")?;
    let packages = AtomicU32::new(0);
    let done = AtomicBool::new(false);
    let stderr = child.stderr.take();
    let (status, complaints) = thread::scope(|scope| {
        scope.spawn(|| show_progress(&names, start, &packages, &done));
        let complaints = stderr
            .map(|stderr| read_packages(stderr, &packages))
            .unwrap_or_default();
        let status = child.wait();
        done.store(true, Ordering::Release);
        (status, complaints)
    });
    if !status?.success() {
        let hint = if complaints.contains("no space left on device") {
            "\nThe disk is full: a first build of all tools needs 5 GB."
        } else if complaints.contains("libseccomp") {
            "\nlibseccomp is missing: `apt-get install libseccomp-dev pkg-config` on Debian."
        } else {
            ""
        };
        bail!("go build in {}:\n{complaints}{hint}", module.display());
    }
    say(&format!("{names}: built in {}", minutes(start.elapsed())));
    Ok(())
}

/// Counts lines that name a package and keeps the others.
fn read_packages(stderr: impl Read, packages: &AtomicU32) -> String {
    let mut complaints = String::new();
    for line in BufReader::new(stderr).lines().map_while(io::Result::ok) {
        let is_package = !line.is_empty() && !line.starts_with('#') && !line.contains([' ', '\t']);
        if is_package {
            packages.fetch_add(1, Ordering::Relaxed);
        } else if !line.starts_with("go: downloading ") {
            complaints.push_str(&line);
            complaints.push('\n');
        }
    }
    complaints
}

/// A line now and then: often enough to see that it lives, rarely enough for a log.
fn show_progress(names: &str, start: Instant, packages: &AtomicU32, done: &AtomicBool) {
    const EVERY: Duration = Duration::from_secs(15);
    let mut shown = start;
    while !done.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(100));
        if shown.elapsed() >= EVERY {
            shown = Instant::now();
            let count = packages.load(Ordering::Relaxed);
            let passed = minutes(start.elapsed());
            say(&format!("{names}: {passed}, {count} packages compiled"));
        }
    }
}

/// Kubernetes takes its version from the linker; without it clients take it for 0.0.0.
fn linker_flags(tool: Tool, module: &Path) -> Result<String> {
    let mut flags = "-s -w".to_owned();
    if tool.module() == "kubernetes" {
        let go_mod = fs::read_to_string(module.join("go.mod"))?;
        let version = go_mod
            .lines()
            .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"))
            .and_then(|rest| rest.split_whitespace().next())
            .context("go.mod requires no k8s.io/kubernetes")?;
        let mut numbers = version.split('.');
        let (major, minor) = (
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        );
        for (name, value) in [
            ("gitVersion", format!("v{version}")),
            ("gitMajor", major.into()),
            ("gitMinor", minor.into()),
        ] {
            flags.push_str(&format!(" -X k8s.io/component-base/version.{name}={value}"));
        }
    }
    Ok(flags)
}

fn minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{seconds} s")
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_module_with_a_go_version() {
        for tool in Tool::all() {
            let module = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tools")
                .join(tool.module());
            let go_mod = fs::read_to_string(module.join("go.mod")).unwrap();
            assert!(go_mod.contains(tool.package()), "{tool:?}");
            assert!(
                version(&go_version_wanted(&go_mod)) >= version("1.26"),
                "{tool:?}"
            );
            assert_eq!(module_hash(&module).unwrap().len(), 64);
        }
    }

    #[test]
    fn tools_of_one_module_are_built_alike() {
        for tool in Tool::all() {
            let mut fellows = Tool::all().filter(|other| other.module() == tool.module());
            assert!(
                fellows.all(|other| (other.tags(), other.needs_c()) == (tool.tags(), tool.needs_c())),
                "{tool:?}"
            );
            assert!(
                tool.package().split('/').any(|part| part == tool.built_name()),
                "{tool:?}"
            );
        }
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(version("1.9.1") < version("1.26.0"));
        assert!(version("1.26.8") > version("1.26.0"));
        assert!(
            version("1.27rc1") < version("1.26.0"),
            "a release candidate is taken for too old"
        );
    }

    #[test]
    fn kubernetes_gets_its_version() {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/kubernetes");
        let flags = linker_flags(Tool::Kubectl, &module).unwrap();
        assert!(flags.contains("version.gitVersion=v1."), "{flags}");
    }

    #[test]
    fn packages_are_counted_and_complaints_kept() {
        let output =
            "go: downloading example.com/a v1.0.0\nexample.com/a\nunsafe\n# example.com/b\nb.go:1: no\n";
        let packages = AtomicU32::new(0);
        assert_eq!(
            read_packages(output.as_bytes(), &packages),
            "# example.com/b\nb.go:1: no\n"
        );
        assert_eq!(packages.load(Ordering::Relaxed), 2);
    }
}
