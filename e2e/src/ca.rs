//! Pebble, and pebble-challtestsrv as its DNS: a real ACME CA that takes every name for
//! 127.0.0.1.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::json;

use crate::front::Upstream;
use crate::pki::{self, Authority};
use crate::process::{Launch, Process, free_port, wait_for};
use crate::tools::{self, Tool};

/// How long the two servers may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Pebble answers 400 to requests without one.
const USER_AGENT: &str = "sancho-e2e";

/// Pebble's knobs. The default is Pebble's own default, save that validation does not wait up to
/// 15 s at random.
#[derive(Debug, Clone)]
pub struct PebbleOptions {
    /// Out of 100 good nonces, how many are refused all the same (`PEBBLE_WFE_NONCEREJECT`).
    /// `None`: Pebble's 5.
    pub nonce_reject_percent: Option<u8>,
    /// Out of 100 valid authorizations, how many are used again (`PEBBLE_AUTHZREUSE`). `None`:
    /// Pebble's 50.
    pub authz_reuse_percent: Option<u8>,
    /// Whether validation waits some random seconds first. The most, in whole seconds; zero: none.
    pub validation_sleep: Duration,
    /// How long certificates are valid, in whole seconds.
    pub validity: Duration,
    /// Retry-After on pending authorizations and on orders, in whole seconds.
    pub retry_after: Duration,
    /// Names that are refused with `rejectedIdentifier`, with everything below them.
    pub blocked_domains: Vec<String>,
    /// The profiles that are offered beside `default`: name, description, and how long their certificates are
    /// valid, in whole seconds. Pebble takes any of them for an order that asks for none.
    pub profiles: Vec<(String, String, Duration)>,
    /// The DNS server that it asks in the place of its own.
    pub dns_server: Option<SocketAddr>,
    /// Where its own DNS server listens. `None`: at a free port of 127.0.0.1.
    pub dns_listen: Option<SocketAddr>,
    /// A key ID and its MAC key in base64url: accounts must be bound by it.
    pub external_account: Option<(String, String)>,
}

impl Default for PebbleOptions {
    fn default() -> Self {
        PebbleOptions {
            nonce_reject_percent: None,
            authz_reuse_percent: None,
            validation_sleep: Duration::ZERO,
            validity: Duration::from_secs(90 * 24 * 3600),
            retry_after: Duration::from_secs(3),
            blocked_domains: Vec::new(),
            profiles: Vec::new(),
            dns_server: None,
            dns_listen: None,
            external_account: None,
        }
    }
}

/// A running Pebble. Ends when dropped.
pub struct Pebble {
    server: Process,
    launch: Launch,
    log_dir: PathBuf,
    dns: Process,
    ca_pem: String,
    port: u16,
    management_port: u16,
    dns_server: SocketAddr,
    dns_management_port: u16,
    client: reqwest::Client,
}

impl Pebble {
    /// Starts both servers, with their files in `dir` and their logs in `log_dir`. HTTP-01
    /// validation goes to port `http01_port` of 127.0.0.1, whatever the name; see [`Pebble::lead_names_to`].
    ///
    /// # Errors
    ///
    /// When a tool cannot be had or a server does not start; the end of its log is told.
    pub async fn start(
        dir: &Path,
        log_dir: &Path,
        http01_port: u16,
        options: &PebbleOptions,
    ) -> Result<Self> {
        pki::install_crypto();
        let program = tools::path_async(Tool::Pebble).await?;
        let dns_program = tools::path_async(Tool::PebbleChalltestsrv).await?;
        fs::create_dir_all(dir)?;
        let authority = Authority::new("Sancho test Pebble")?;
        let identity = authority.server("Pebble", &[])?;
        let (certificate, key) = (dir.join("pebble.crt"), dir.join("pebble.key"));
        fs::write(&certificate, identity.certificate)?;
        fs::write(&key, identity.key)?;

        let dns_management_port = free_port()?;
        let own_dns = match options.dns_listen {
            Some(address) => address,
            None => SocketAddr::from(([127, 0, 0, 1], free_port()?)),
        };
        let launch = Launch::new(dns_program)
            .args([
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-doh",
                "",
                "-defaultIPv6",
                "",
            ])
            .args(["-dnsserver".to_owned(), own_dns.to_string()])
            .args([
                "-management".to_owned(),
                format!("127.0.0.1:{dns_management_port}"),
            ]);
        let dns = Process::spawn("pebble-challtestsrv", &launch, log_dir)?;

        let (port, management_port) = (free_port()?, free_port()?);
        let mut profiles = json!({
            "default": { "description": "the usual one", "validityPeriod": options.validity.as_secs() },
        });
        for (name, description, validity) in &options.profiles {
            profiles[name] = json!({ "description": description, "validityPeriod": validity.as_secs() });
        }
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management_port}"),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": http01_port,
            "tlsPort": free_port()?,
            "keyAlgorithm": "ecdsa",
            "domainBlocklist": options.blocked_domains,
            "externalAccountBindingRequired": options.external_account.is_some(),
            "externalAccountMACKeys": BTreeMap::from_iter(options.external_account.clone()),
            "retryAfter": {
                "authz": options.retry_after.as_secs(),
                "order": options.retry_after.as_secs(),
            },
            "profiles": profiles,
        }});
        let dns_server = options.dns_server.unwrap_or(own_dns);
        let config_file = dir.join("pebble.json");
        fs::write(&config_file, config.to_string())?;
        let mut launch = Launch::new(program)
            .args(["-config".to_owned(), config_file.display().to_string()])
            .args(["-dnsserver".to_owned(), dns_server.to_string()]);
        launch = match options.validation_sleep.as_secs() {
            0 => launch.env("PEBBLE_VA_NOSLEEP", "1"),
            seconds => launch.env("PEBBLE_VA_SLEEPTIME", seconds.to_string()),
        };
        for (variable, percent) in [
            ("PEBBLE_WFE_NONCEREJECT", options.nonce_reject_percent),
            ("PEBBLE_AUTHZREUSE", options.authz_reuse_percent),
        ] {
            if let Some(percent) = percent {
                launch = launch.env(variable, percent.to_string());
            }
        }
        let server = Process::spawn("pebble", &launch, log_dir)?;

        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(authority.pem().as_bytes())?])
            .no_proxy()
            .build()?;
        let pebble = Pebble {
            server,
            launch,
            log_dir: log_dir.to_owned(),
            dns,
            ca_pem: authority.pem().to_owned(),
            port,
            management_port,
            dns_server,
            dns_management_port,
            client,
        };
        pebble.ready().await?;
        Ok(pebble)
    }

    async fn ready(&self) -> Result<()> {
        wait_for(
            "Pebble and its DNS",
            START_TIMEOUT,
            &[&self.server, &self.dns],
            async || {
                self.issuer_root_pem().await?;
                let dns = SocketAddr::from(([127, 0, 0, 1], self.dns_management_port));
                tokio::net::TcpStream::connect(dns)
                    .await
                    .context("pebble-challtestsrv")?;
                let directory = format!("{}/dir", self.origin());
                let answer = self
                    .client
                    .get(directory)
                    .header("User-Agent", USER_AGENT)
                    .send()
                    .await?;
                Ok(answer.status().is_success().then_some(()))
            },
        )
        .await
    }

    /// Ends the server and starts it anew at the same addresses, with nothing that it knew: Pebble
    /// keeps accounts, orders and its own root in memory.
    ///
    /// # Errors
    ///
    /// When it does not start; the end of its log is told.
    pub async fn restart(&mut self) -> Result<()> {
        self.server.kill();
        self.server = Process::spawn("pebble", &self.launch, &self.log_dir)?;
        self.ready().await
    }

    /// `https://localhost:PORT`: without any front.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The root of Pebble's own TLS certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What a front needs to know of it.
    pub fn upstream(&self) -> Upstream {
        Upstream {
            origin: self.origin(),
            ca_pem: self.ca_pem.clone(),
        }
    }

    /// The root that Pebble issues under, fresh at each start.
    ///
    /// # Errors
    ///
    /// When Pebble does not answer.
    pub async fn issuer_root_pem(&self) -> Result<String> {
        let url = format!("https://localhost:{}/roots/0", self.management_port);
        Ok(self
            .client
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .text()
            .await?)
    }

    /// Makes the DNS answer with this address for every name, in the place of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When the DNS server's management does not answer.
    pub async fn lead_names_to(&self, address: Ipv4Addr) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/set-default-ipv4", self.dns_management_port);
        let request = self.client.post(url).json(&json!({ "ip": address }));
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// Makes the DNS answer `SERVFAIL` for a name, so that its validation fails.
    ///
    /// # Errors
    ///
    /// When the DNS server's management does not answer.
    pub async fn break_name(&self, name: &str) -> Result<()> {
        self.dns_command("set-servfail", name).await
    }

    /// Undoes [`Pebble::break_name`].
    ///
    /// # Errors
    ///
    /// When the DNS server's management does not answer.
    pub async fn mend_name(&self, name: &str) -> Result<()> {
        self.dns_command("clear-servfail", name).await
    }

    /// Has it suggest to renew the first certificate of a PEM chain between two moments.
    ///
    /// # Errors
    ///
    /// When Pebble does not answer, or does not know the certificate.
    pub async fn suggest(
        &self,
        chain: &[u8],
        window: (Timestamp, Timestamp),
        explanation: Option<&str>,
    ) -> Result<()> {
        let mut info = json!({ "suggestedWindow": { "start": window.0, "end": window.1 } });
        if let Some(url) = explanation {
            info["explanationURL"] = url.into();
        }
        let command = json!({
            "certificate": std::str::from_utf8(chain)?,
            "ariResponse": info.to_string(),
        });
        let url = format!("https://localhost:{}/set-renewal-info/", self.management_port);
        let request = self.client.post(url).header("User-Agent", USER_AGENT);
        let request = request.body(command.to_string());
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// What it says of a certificate, by its serial number: `Status` is `Valid` or `Revoked`.
    ///
    /// # Errors
    ///
    /// When Pebble does not answer, or does not know the certificate.
    pub async fn certificate_status(&self, serial: &[u8]) -> Result<serde_json::Value> {
        let serial: String = serial.iter().map(|byte| format!("{byte:02x}")).collect();
        let url = format!(
            "https://localhost:{}/cert-status-by-serial/{serial}",
            self.management_port
        );
        let request = self.client.get(url).header("User-Agent", USER_AGENT);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Where the DNS server answers that it asks.
    pub fn dns_address(&self) -> SocketAddr {
        self.dns_server
    }

    /// The server process, to be stopped or killed.
    pub fn process(&self) -> &Process {
        &self.server
    }

    async fn dns_command(&self, command: &str, name: &str) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/{command}", self.dns_management_port);
        let name = format!("{}.", name.trim_end_matches('.'));
        let request = self.client.post(url).json(&json!({ "host": name }));
        request.send().await?.error_for_status()?;
        Ok(())
    }
}
