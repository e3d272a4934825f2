//! BIND 9 as the DNS of the test's zones: a primary that takes signed updates, and a secondary that gets them from there,
//! at once or late. Real servers, as on a machine with Debian's `bind9`.
//!
//! Both listen at one port, at 127.0.0.1 and ::1, since a zone's servers are found by their addresses alone, and named
//! listens at nothing but what an interface has. They are authoritative for the root too, so that what does not exist is NXDOMAIN.
//! A third one, if it is wanted, asks the primary and keeps what it is answered, as recursive servers do.

mod forwarder;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use self::forwarder::Forwarder;
use crate::process::{Launch, Process, free_port, wait_for};
use crate::programs;

/// The name of the key that may update all zones.
pub const KEY_NAME: &str = "sancho-test";
/// That key, hmac-sha256, in base64.
pub const KEY: &str = "c2FuY2hvIHRlc3Qga2V5LCBvZiBubyB1c2UgZWxzZXdoZXJl";
/// The name of the same key, for hmac-sha384.
pub const KEY_384_NAME: &str = "sancho-test-384";
/// The name of the same key, for hmac-sha512.
pub const KEY_512_NAME: &str = "sancho-test-512";
/// Another key of both servers, which may update nothing.
pub const STRANGER_NAME: &str = "stranger";

/// What stands under `_acme-challenge` of each zone from the beginning: somebody else's, and to stay.
pub const OF_ANOTHER: &str = "of-somebody-else";

/// How long both may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const PRIMARY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SECONDARY: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// Where the third server is.
pub const THIRD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// The zones, and how they are served.
#[derive(Debug, Clone, Default)]
pub struct BindOptions {
    /// Zones that the key may update. Every name in them has the address 127.0.0.1.
    pub zones: Vec<String>,
    /// Zones that the key may update as well, in which no name has an address but those of these records, in the master file's
    /// syntax.
    pub bare_zones: Vec<(String, String)>,
    /// Zones that nobody may update, with further records in the master file's syntax.
    pub fixed_zones: Vec<(String, String)>,
    /// The secondary is told nothing and looks for news this often, in whole seconds. `None`: it is told at once.
    pub lag: Option<Duration>,
    /// Whether providers' APIs write the zones, too: see [`crate::dns_api`].
    pub api: bool,
    /// Whether the zones have a third server, at [`THIRD`], which has what the primary has, and takes no TCP: see
    /// [`Bind::third_takes_tcp`].
    pub third: bool,
    /// How long it is kept that a name is not there, in whole seconds: one if nothing is given.
    pub negative_ttl: Option<Duration>,
    /// Whether there is a recursive server that keeps answers: see [`Bind::recursive`].
    pub cache: bool,
    /// Whether the CA asks the primary. If not, it asks the secondary, which hears of news last.
    pub ca_asks_primary: bool,
}

/// Both servers. They end when dropped.
pub struct Bind {
    primary: Process,
    secondary: Process,
    /// And its port.
    cache: Option<(Process, u16)>,
    port: u16,
    zones: Vec<String>,
    ca_asks_primary: bool,
    third: Option<Forwarder>,
}

impl Bind {
    /// Starts both, with their files in `dir` and their logs in `log_dir`.
    ///
    /// # Errors
    ///
    /// When there is no `named`, or one does not start; the end of its log is told.
    pub async fn start(dir: &Path, log_dir: &Path, options: &BindOptions) -> Result<Self> {
        let named = programs::find("named", "bind9")?;
        let port = free_port()?;
        let bare = options.bare_zones.iter().map(|(zone, _)| zone.clone());
        let zones: Vec<String> = options.zones.iter().cloned().chain(bare).collect();
        let run = |name: &str, (address, port): (IpAddr, u16), zones: String| -> Result<Process> {
            let home = dir.join(name);
            fs::create_dir_all(&home)?;
            let config = home.join("named.conf");
            fs::write(&config, configuration(&home, address, port) + &zones)?;
            let launch = Launch::new(&named)
                .args(["-g", "-n", "1", "-c"])
                .arg(config.display().to_string());
            Process::spawn(name, &launch, log_dir)
        };
        let primary = run(
            "named-primary",
            (PRIMARY, port),
            primary_zones(dir, port, options)?,
        )?;
        let secondary = run(
            "named-secondary",
            (SECONDARY, port),
            secondary_zones(port, options),
        )?;
        let cache = match options.cache {
            true => {
                // Nobody finds it by a zone, and so it may be elsewhere.
                let own = free_port()?;
                Some((run("named-cache", (PRIMARY, own), cache_zones(port))?, own))
            }
            false => None,
        };
        let third = match options.third {
            true => Some(Forwarder::start((THIRD, port).into(), (PRIMARY, port).into()).await?),
            false => None,
        };
        let bind = Bind {
            primary,
            secondary,
            cache,
            port,
            zones,
            ca_asks_primary: options.ca_asks_primary,
            third,
        };
        let all: Vec<&Process> = [&bind.primary, &bind.secondary]
            .into_iter()
            .chain(bind.cache.as_ref().map(|(cache, _)| cache))
            .collect();
        wait_for("the DNS servers", START_TIMEOUT, &all, async || {
            if bind.cache.is_some() {
                TcpStream::connect(bind.recursive()).await?;
            }
            for zone in &bind.zones {
                for server in [bind.primary(), bind.secondary()] {
                    transfer(server, zone).await?;
                }
            }
            Ok(Some(()))
        })
        .await?;
        Ok(bind)
    }

    /// Where the primary answers.
    pub fn primary(&self) -> SocketAddr {
        (PRIMARY, self.port).into()
    }

    /// Where the secondary answers.
    pub fn secondary(&self) -> SocketAddr {
        (SECONDARY, self.port).into()
    }

    /// Where a recursive server answers: the one that keeps answers, if there is one, else the primary.
    pub fn recursive(&self) -> SocketAddr {
        match &self.cache {
            Some((_, port)) => (PRIMARY, *port).into(),
            None => self.primary(),
        }
    }

    /// The one that the CA is to ask.
    pub fn of_ca(&self) -> SocketAddr {
        if self.ca_asks_primary {
            self.primary()
        } else {
            self.secondary()
        }
    }

    /// Has the third server take TCP from now on.
    ///
    /// # Errors
    ///
    /// When there is none, or its port is taken.
    pub async fn third_takes_tcp(&self) -> Result<()> {
        let third = self.third.as_ref().context("the zones have no third server")?;
        third.take_tcp().await
    }

    /// The zones that can be updated.
    pub fn zones(&self) -> &[String] {
        &self.zones
    }

    /// The secondary's process, to be stopped.
    pub fn secondary_process(&self) -> &Process {
        &self.secondary
    }

    /// All TXT records of others than [`OF_ANOTHER`] that the primary has in the zones that can be updated: names
    /// without a final dot, and values.
    ///
    /// # Errors
    ///
    /// When it does not answer, or somebody's own record is gone.
    pub async fn texts(&self) -> Result<BTreeSet<(String, String)>> {
        let mut texts = BTreeSet::new();
        for zone in &self.zones {
            for answer in transfer(self.primary(), zone).await? {
                for record in answer.answers {
                    if let RData::TXT(text) = record.data {
                        let name = record.name.to_ascii();
                        let value = String::from_utf8_lossy(&text.txt_data.concat()).into_owned();
                        texts.insert((name.trim_end_matches('.').to_owned(), value));
                    }
                }
            }
            let of_another = (format!("_acme-challenge.{zone}"), OF_ANOTHER.to_owned());
            if !texts.remove(&of_another) {
                bail!("the record of another is gone from {zone}");
            }
        }
        Ok(texts)
    }

    /// Adds records, each given as a line of a zone file, and waits until the secondary has them too.
    ///
    /// # Errors
    ///
    /// When there is no `nsupdate`, or BIND refuses a record.
    pub async fn add(&self, lines: &[String]) -> Result<()> {
        let added = lines.iter().map(|line| format!("update add {line}\nsend\n"));
        self.update(&added.collect::<String>()).await
    }

    /// Has one CAA record at `name` that lets this CA issue, in the place of those that were there, and waits until the
    /// secondary has it too.
    ///
    /// # Errors
    ///
    /// When there is no `nsupdate`, or BIND refuses the record.
    pub async fn set_caa(&self, name: &str, ca: &str) -> Result<()> {
        let (gone, there) = (format!("{name}. CAA"), format!("{name}. 60 CAA 0 issue \"{ca}\""));
        self.update(&format!("update delete {gone}\nupdate add {there}\nsend\n"))
            .await
    }

    /// Has `nsupdate` carry out these commands, as a zone's owner would.
    async fn update(&self, commands: &str) -> Result<()> {
        let nsupdate = programs::find("nsupdate", "bind9-dnsutils")?;
        let script = format!(
            "server {PRIMARY} {}\nkey hmac-sha256:{KEY_NAME} {KEY}\n{commands}",
            self.port
        );
        let mut child = Command::new(nsupdate)
            .args(["-t", "20"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut input = child.stdin.take().context("nsupdate has no input")?;
        input.write_all(script.as_bytes()).await?;
        drop(input);
        let ended = child.wait_with_output().await?;
        if !ended.status.success() {
            let words = String::from_utf8_lossy(&ended.stderr).into_owned();
            bail!("nsupdate ends with {}: {words}", ended.status);
        }
        wait_for(
            "the secondary to have the records",
            Duration::from_secs(20),
            &[&self.primary, &self.secondary],
            async || {
                for zone in &self.zones {
                    if serial(self.secondary(), zone).await? != serial(self.primary(), zone).await? {
                        return Ok(None);
                    }
                }
                Ok(Some(()))
            },
        )
        .await
    }

    /// The serial number of a zone at the primary: it began with 1, and grows with each update that changed something.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn serial(&self, zone: &str) -> Result<u32> {
        serial(self.primary(), zone).await
    }
}

/// The serial number of a zone at a server.
async fn serial(server: SocketAddr, zone: &str) -> Result<u32> {
    let answers = transfer(server, zone).await?;
    let mut records = answers.into_iter().flat_map(|answer| answer.answers);
    records
        .find_map(|record| match record.data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        })
        .with_context(|| format!("{zone} has no SOA"))
}

fn configuration(home: &Path, address: IpAddr, port: u16) -> String {
    let home = home.display();
    let (four, six) = match address {
        IpAddr::V4(_) => (address.to_string(), "none".to_owned()),
        IpAddr::V6(_) => ("none".to_owned(), address.to_string()),
    };
    format!(
        r#"
options {{
    directory "{home}";
    pid-file none;
    session-keyfile "{home}/session.key";
    managed-keys-directory "{home}";
    listen-on port {port} {{ {four}; }};
    listen-on-v6 port {port} {{ {six}; }};
    recursion yes;
    allow-recursion {{ any; }};
    dnssec-validation no;
    allow-query {{ any; }};
    allow-transfer {{ any; }};
    allow-notify {{ any; }};
    notify no;
    notify-delay 0;
    notify-rate 1000;
    startup-notify-rate 1000;
    serial-query-rate 1000;
    min-refresh-time 1;
    min-retry-time 1;
    transfer-source 127.0.0.1;
    transfers-per-ns 100;
}};
controls {{ }};
key "{KEY_NAME}" {{ algorithm hmac-sha256; secret "{KEY}"; }};
key "{KEY_384_NAME}" {{ algorithm hmac-sha384; secret "{KEY}"; }};
key "{KEY_512_NAME}" {{ algorithm hmac-sha512; secret "{KEY}"; }};
key "{STRANGER_NAME}" {{ algorithm hmac-sha256; secret "{KEY}"; }};
"#
    )
}

fn primary_zones(dir: &Path, port: u16, options: &BindOptions) -> Result<String> {
    let refresh = options.lag.map_or(3600, |lag| lag.as_secs().max(1));
    let negative = options.negative_ttl.map_or(1, |negative| negative.as_secs());
    let home = dir.join("named-primary");
    fs::create_dir_all(&home)?;
    let head = format!(
        "$TTL 60\n@ SOA ns1 hostmaster 1 {refresh} 1 86400 {negative}\n@ NS ns1\n@ NS ns2\nns1 A {PRIMARY}\nns2 AAAA {SECONDARY}\n"
    );
    let head = match options.third {
        true => format!("{head}@ NS ns3\nns3 A {THIRD}\n"),
        false => head,
    };
    let notify = match options.lag {
        None => format!("notify explicit; also-notify port {port} {{ {SECONDARY}; }};"),
        Some(_) => String::new(),
    };
    let mut text = String::new();
    let mut add = |zone: &str, records: &str, rest: &str| -> Result<()> {
        let file = match zone {
            "." => home.join("root.zone"),
            zone => home.join(format!("{zone}.zone")),
        };
        fs::write(&file, format!("{head}{records}\n"))?;
        writeln!(
            text,
            "zone \"{zone}\" {{ type primary; file \"{}\"; {rest} }};",
            file.display()
        )?;
        Ok(())
    };
    add(".", "", "")?;
    let others = format!("_acme-challenge TXT \"{OF_ANOTHER}\"");
    for (number, zone) in options.zones.iter().enumerate() {
        // Either way that BIND has to give leave.
        let update = match number % 2 {
            0 => format!(
                "allow-update {{ key {KEY_NAME}; key {KEY_384_NAME}; key {KEY_512_NAME}; }}; {notify}"
            ),
            _ => format!("update-policy {{ grant {KEY_NAME} subdomain {zone}. TXT; }}; {notify}"),
        };
        add(zone, &format!("@ A 127.0.0.1\n* A 127.0.0.1\n{others}"), &update)?;
    }
    for (zone, records) in &options.bare_zones {
        let update = format!("allow-update {{ key {KEY_NAME}; }}; {notify}");
        add(zone, &format!("{others}\n{records}"), &update)?;
    }
    for (zone, records) in &options.fixed_zones {
        add(zone, &format!("@ A 127.0.0.1\n{records}"), "")?;
    }
    Ok(text)
}

fn secondary_zones(port: u16, options: &BindOptions) -> String {
    let root = ["."].into_iter();
    let others = options.bare_zones.iter().chain(&options.fixed_zones);
    let others = others.map(|(zone, _)| zone.as_str());
    let all = root.chain(options.zones.iter().map(String::as_str)).chain(others);
    all.enumerate()
        .map(|(number, zone)| {
            format!(
                "zone \"{zone}\" {{ type secondary; file \"{number}.zone\"; primaries port {port} {{ {PRIMARY}; }}; \
                 masterfile-format text; }};\n"
            )
        })
        .collect()
}

fn cache_zones(port: u16) -> String {
    format!("zone \".\" {{ type forward; forward only; forwarders port {port} {{ {PRIMARY}; }}; }};\n")
}

/// The whole zone, as a server sends it (AXFR, RFC 5936).
pub(crate) async fn transfer(server: SocketAddr, zone: &str) -> Result<Vec<Message>> {
    let zone = Name::from_ascii(format!("{zone}."))?;
    let mut question = Message::query();
    question.add_query(Query::query(zone.clone(), RecordType::AXFR));
    let bytes = question.to_vec()?;
    let mut stream = TcpStream::connect(server).await?;
    stream.write_u16(u16::try_from(bytes.len())?).await?;
    stream.write_all(&bytes).await?;
    let mut answers = Vec::new();
    let mut ends = 0;
    // It begins and ends with the SOA.
    while ends < 2 {
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        let answer = Message::from_vec(&answer)?;
        if answer.answers.is_empty() {
            bail!("{server} does not transfer {zone}: {}", answer.response_code);
        }
        let is_soa = |record: &&hickory_proto::rr::Record| record.record_type() == RecordType::SOA;
        ends += answer.answers.iter().filter(is_soa).count();
        answers.push(answer);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_serve_the_zones() {
        let dir = tempfile::tempdir().unwrap();
        let options = BindOptions {
            zones: vec!["shop.example".to_owned()],
            ..BindOptions::default()
        };
        let bind = Bind::start(dir.path(), &dir.path().join("logs"), &options)
            .await
            .unwrap();
        assert_eq!(bind.texts().await.unwrap(), BTreeSet::new());
        assert_eq!(bind.serial("shop.example").await.unwrap(), 1);
        let answers = transfer(bind.secondary(), "shop.example").await.unwrap();
        assert!(answers[0].answers.len() > 3);
        let line = "a.shop.example. 60 IN TXT \"one; \" \"two\"".to_owned();
        bind.add(&[line]).await.unwrap();
        let added = ("a.shop.example".to_owned(), "one; two".to_owned());
        assert_eq!(bind.texts().await.unwrap(), BTreeSet::from([added]));
        let elsewhere = bind
            .add(&["a.elsewhere.example. 60 IN TXT \"x\"".to_owned()])
            .await;
        assert!(elsewhere.is_err());
    }
}
