//! The peers: where they are, which version they are, how a user calls them, where they put a certificate.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sancho_e2e::process::Launch;
use tokio::process::Command;

/// How long a peer may take to tell its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(60);

/// The contact of each account.
const EMAIL: &str = "ops@demo.example";

/// Who else can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// go-acme/lego.
    Lego,
    /// The EFF's certbot.
    Certbot,
}

/// A peer that is installed.
#[derive(Debug)]
pub struct Peer {
    /// Which one.
    pub kind: Kind,
    /// As it tells it itself.
    pub version: String,
    program: PathBuf,
}

/// One certificate to be had.
pub struct Job<'a> {
    /// The CA's directory.
    pub directory: &'a str,
    /// A file with the root of the CA's own TLS certificate, PEM.
    pub roots: &'a Path,
    /// Where challenges are to be answered.
    pub responder: SocketAddr,
    /// A folder for the account and the certificate.
    pub dir: &'a Path,
    /// The names, at least one.
    pub names: &'a [String],
}

impl Kind {
    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Lego => "lego",
            Kind::Certbot => "certbot",
        }
    }
}

impl Peer {
    /// The one that is `given`, else the one in `path`. `None`: it is not installed.
    ///
    /// # Errors
    ///
    /// When it does not tell its version.
    pub async fn find(kind: Kind, given: Option<&Path>, path: &OsStr) -> Result<Option<Self>> {
        let program = match given {
            // Else a bare name would be looked for in PATH.
            Some(given) => Some(std::path::absolute(given)?),
            None => in_path(kind.name(), path),
        };
        match program {
            Some(program) => Ok(Some(Peer {
                kind,
                version: ask_version(&program).await?,
                program,
            })),
            None => Ok(None),
        }
    }

    /// How a user calls it for an HTTP-01 certificate, everything else by its defaults.
    pub fn launch(&self, job: &Job<'_>) -> Launch {
        let launch = Launch::new(&self.program)
            // Proxies that the environment names are not for loopback.
            .env("NO_PROXY", "localhost,127.0.0.1")
            .env("no_proxy", "localhost,127.0.0.1");
        match self.kind {
            Kind::Lego => launch
                .args(lego(job, takes_flags_after_run(&self.version)))
                .env("LEGO_CA_CERTIFICATES", job.roots.display().to_string()),
            Kind::Certbot => launch
                .args(certbot(job))
                .env("REQUESTS_CA_BUNDLE", job.roots.display().to_string()),
        }
    }

    /// Where it puts the certificate.
    pub fn certificate(&self, job: &Job<'_>) -> PathBuf {
        let first = job.names.first().map_or("", String::as_str);
        match self.kind {
            Kind::Lego => job.dir.join("certificates").join(format!("{first}.crt")),
            Kind::Certbot => job.dir.join("config/live").join(first).join("cert.pem"),
        }
    }
}

fn lego(job: &Job<'_>, flags_after_run: bool) -> Vec<String> {
    let listen = job.responder.to_string();
    let (port_flag, dir) = (
        if flags_after_run {
            "--http.address"
        } else {
            "--http.port"
        },
        job.dir.display().to_string(),
    );
    let mut flags = strings(&["--server", job.directory, "--email", EMAIL, "--accept-tos"]);
    flags.extend(strings(&["--path", &dir, "--http", port_flag, &listen]));
    flags.extend(each("--domains", job.names));
    let run = "run".to_owned();
    if flags_after_run {
        flags.insert(0, run);
    } else {
        flags.push(run);
    }
    flags
}

fn certbot(job: &Job<'_>) -> Vec<String> {
    let dir = |name: &str| job.dir.join(name).display().to_string();
    let port = job.responder.port().to_string();
    let address = job.responder.ip().to_string();
    let mut flags = strings(&["certonly", "--non-interactive", "--agree-tos", "--email", EMAIL]);
    flags.extend(strings(&["--server", job.directory, "--standalone"]));
    flags.extend(strings(&["--http-01-port", &port, "--http-01-address", &address]));
    for (flag, name) in [
        ("--config-dir", "config"),
        ("--work-dir", "work"),
        ("--logs-dir", "logs"),
    ] {
        flags.extend([flag.to_owned(), dir(name)]);
    }
    flags.extend(each("--domain", job.names));
    flags
}

fn each(flag: &str, values: &[String]) -> impl Iterator<Item = String> {
    values
        .iter()
        .flat_map(move |value| [flag.to_owned(), value.clone()])
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// lego 5 moved its flags behind the subcommand. Builds of lego 4 from source call themselves `dev`.
fn takes_flags_after_run(version: &str) -> bool {
    let major = version.split('.').next().unwrap_or_default();
    major.parse::<u32>().is_ok_and(|major| major >= 5)
}

/// The first program of this name in the folders of `path`.
fn in_path(name: &str, path: &OsStr) -> Option<PathBuf> {
    let runs = |found: Metadata| found.is_file() && found.permissions().mode() & 0o111 != 0;
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|program| program.metadata().is_ok_and(runs))
}

async fn ask_version(program: &Path) -> Result<String> {
    let said = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = tokio::time::timeout(VERSION_TIMEOUT, said)
        .await
        .with_context(|| format!("{} --version takes too long", program.display()))?
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(
        said.status.success(),
        "{} --version: {}",
        program.display(),
        String::from_utf8_lossy(&said.stderr).trim_end()
    );
    Ok(version(&String::from_utf8_lossy(&said.stdout)))
}

/// The version in a line such as `lego version v5.6.0 linux/amd64` or `certbot 5.8.0`, else its last word
/// but the platform: `dev`.
fn version(said: &str) -> String {
    let words: Vec<&str> = said
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .filter(|word| !word.contains('/'))
        .collect();
    let number = |word: &&str| {
        let digits = word.trim_start_matches('v');
        digits.starts_with(|first: char| first.is_ascii_digit())
    };
    let found = words.iter().copied().find(number).or(words.last().copied());
    found.unwrap_or("?").trim_start_matches('v').to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_version_is_read_as_each_tells_it() {
        assert_eq!(version("lego version v5.6.0 linux/amd64\n"), "5.6.0");
        assert_eq!(version("lego version dev linux/amd64\n"), "dev");
        assert_eq!(version("certbot 5.8.0\n"), "5.8.0");
        assert_eq!(version(""), "?");
    }

    #[test]
    fn only_lego_5_and_later_takes_its_flags_after_run() {
        let job = (5002, ["a.example".to_owned(), "b.example".to_owned()]);
        let job = Job {
            directory: "https://localhost:1/dir",
            roots: Path::new("/r"),
            responder: (Ipv4Addr::LOCALHOST, job.0).into(),
            dir: Path::new("/d"),
            names: &job.1,
        };
        let called = |version: &str| lego(&job, takes_flags_after_run(version));
        assert_eq!(called("5.6.0").first().unwrap(), "run");
        for version in ["4.35.2", "dev"] {
            assert_eq!(called(version).last().unwrap(), "run");
        }
        for version in ["4.35.2", "5.6.0"] {
            let flags = called(version).join(" ");
            assert!(
                flags.contains("--domains a.example --domains b.example"),
                "{flags}"
            );
            assert!(flags.contains(" 127.0.0.1:5002 "), "{flags}");
        }
    }

    #[test]
    fn what_cannot_be_run_is_passed_over_in_path() {
        let dir = tempfile::tempdir().unwrap();
        let put = |folder: &str, mode: u32| {
            let folder = dir.path().join(folder);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("lego"), "").unwrap();
            fs::set_permissions(folder.join("lego"), fs::Permissions::from_mode(mode)).unwrap();
            folder
        };
        let path = std::env::join_paths([dir.path().join("absent"), put("plain", 0o644), put("good", 0o755)]);
        assert_eq!(
            in_path("lego", &path.unwrap()),
            Some(dir.path().join("good/lego"))
        );
        assert_eq!(in_path("lego", OsStr::new("")), None);
    }
}
