//! `sancho`: the operator's binary.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use sancho::cluster_issuers;
use sancho::operator::{self, Settings};
use sancho::responder::alone;
use sancho::routes::Home;
use sancho::self_check::SelfCheckSettings;
use sancho::solvers::dns01::{Dns01Settings, Elsewhere, Provider};
use sancho::traces;
use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Watched objects by the ten thousand come and go among what lives for a moment: the C library's allocator keeps the holes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A Kubernetes certificate operator: shards names into ACME orders and shares one request budget.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How logs are written.
    #[arg(long, global = true, value_enum, default_value = "json")]
    log_format: LogFormat,
    /// What is logged, as tracing's EnvFilter reads it.
    #[arg(long, global = true, env = "SANCHO_LOG", default_value = "info")]
    log: String,
    /// Where spans of orders are sent for OpenTelemetry, by OTLP over HTTP: http://COLLECTOR:4318/v1/traces. None are
    /// made if it is left out.
    #[arg(
        long,
        global = true,
        env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        value_name = "URL"
    )]
    traces_endpoint: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run one replica: all controllers and the HTTP-01 responder.
    Operator(Box<OperatorArgs>),
    /// Answer HTTP-01 challenges and nothing else, without a right to any Secret.
    Responder(WatcherArgs),
    /// Apply the ClusterIssuers of a file once. The chart's hook does.
    ClusterIssuers {
        /// A JSON object: the specs by name.
        #[arg(long)]
        file: PathBuf,
    },
}

#[derive(Args)]
struct WatcherArgs {
    /// Where HTTP-01 challenges are answered.
    #[arg(long, default_value = "0.0.0.0:8080")]
    http_listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are answered.
    #[arg(long, default_value = "0.0.0.0:8081")]
    health_listen: SocketAddr,
    /// The namespaces to watch, separated by commas; all of them if left out.
    #[arg(long, value_delimiter = ',', value_parser = namespace)]
    watch_namespaces: Vec<String>,
}

#[derive(Args)]
struct OperatorArgs {
    #[command(flatten)]
    watcher: WatcherArgs,
    /// The operator's own namespace: Leases, and the account Secrets of ClusterIssuers.
    #[arg(long, env = "POD_NAMESPACE", default_value = "sancho-system")]
    namespace: String,
    /// Have /metrics tell of each Certificate when it ends and whether it is ready: two series for each.
    #[arg(long)]
    metrics_per_certificate: bool,
    /// Make Certificates for Ingresses and Gateways that have the annotation sancho.dev/cluster-issuer or
    /// sancho.dev/issuer.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    ingress_annotations: bool,
    /// Look at each name's own path, and at its CAA records, before a CA is asked about it. `false` where this process
    /// cannot reach the names' public addresses.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    self_check: bool,
    /// The DNS resolvers that are asked for that, as addresses with port (1.1.1.1:53), separated by commas; those of
    /// /etc/resolv.conf if left out.
    #[arg(long, value_delimiter = ',')]
    self_check_resolvers: Vec<SocketAddr>,
    /// The port at which CAs ask for HTTP-01 answers. All public ones ask at 80.
    #[arg(long, default_value_t = 80)]
    self_check_port: u16,
    /// The recursive DNS servers that are asked where TXT records for DNS-01 are to be written, as addresses with port,
    /// separated by commas; those of /etc/resolv.conf if left out.
    #[arg(long, value_delimiter = ',')]
    dns01_recursive_nameservers: Vec<SocketAddr>,
    /// Look for TXT records at the recursive servers alone: where the zones' own cannot be reached from here.
    #[arg(long)]
    dns01_recursive_nameservers_only: bool,
    /// Have it do that a zone's servers show a TXT record by UDP: where no TCP gets from here to their port 53, or they take
    /// none. A CA that asks by TCP may fail then.
    #[arg(long)]
    dns01_propagation_without_tcp: bool,
    /// The port of the zones' own servers. All public ones answer at 53.
    #[arg(long, default_value_t = 53)]
    dns01_port: u16,
    /// How many seconds a TXT record may take to be seen at all servers of its zone.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    dns01_propagation_timeout: u32,
    /// Where the API of a DNS provider is asked in the place of its own host: `route53=https://localhost:8443`. For
    /// tests. Nothing in an issuer says where credentials are sent.
    #[arg(long, hide = true, value_parser = provider_endpoint)]
    dns01_provider_endpoint: Vec<(Provider, String)>,
    /// A file with the PEM certificates that those are checked against.
    #[arg(long, hide = true, value_parser = pem)]
    dns01_provider_roots: Option<Arc<[u8]>>,
    /// The Service in the operator's own namespace that leads to the responders, and its port: where the Ingresses and
    /// HTTPRoutes lead that are written for challenges.
    #[arg(long, default_value = "sancho-responder:80", value_parser = service)]
    responder_service: (String, u16),
    /// The pod's name.
    #[arg(long, env = "POD_NAME", default_value = "sancho")]
    pod_name: String,
    /// The pod's UID. With it a restarted container takes the slots of its dead predecessor at once.
    #[arg(long, env = "POD_UID", default_value = "")]
    pod_uid: String,
    /// The container's name.
    #[arg(long, env = "CONTAINER_NAME", default_value = "sancho")]
    container: String,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person.
    Text,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let traces = match cli.traces_endpoint.as_deref().filter(|url| !url.is_empty()) {
        Some(endpoint) => Some(traces::start(endpoint, &instance(&cli.command))?),
        None => None,
    };
    start_logs(&cli, traces.as_ref())?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another crypto provider is installed already"))?;
    let outcome = match cli.command {
        Command::Operator(args) => operator::run((*args).into(), terminated()?).await,
        Command::Responder(args) => alone::run(args.into(), terminated()?).await,
        Command::ClusterIssuers { file } => cluster_issuers::apply(&file).await,
    };
    if let Some(traces) = traces {
        // What is still to be sent keeps a thread waiting.
        let sent = tokio::task::spawn_blocking(move || traces.shutdown()).await?;
        if let Err(error) = sent {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
    outcome
}

/// Who sends spans, as a collector sees it.
fn instance(command: &Command) -> String {
    match command {
        Command::Operator(args) => args.pod_name.clone(),
        Command::Responder(_) => "responder".to_owned(),
        Command::ClusterIssuers { .. } => "cluster-issuers".to_owned(),
    }
}

/// `PROVIDER=https://HOST:PORT`.
fn provider_endpoint(text: &str) -> Result<(Provider, String), String> {
    let parts = text.split_once('=').and_then(|(word, url)| {
        let provider = Provider::all().find(|provider| provider.word() == word)?;
        Some((provider, url.to_owned()))
    });
    parts.ok_or_else(|| {
        let words: Vec<&str> = Provider::all().map(Provider::word).collect();
        format!("write PROVIDER=URL, with one of {}", words.join(", "))
    })
}

/// What a file holds.
fn pem(path: &str) -> Result<Arc<[u8]>, String> {
    let read = std::fs::read(path).map(Arc::from);
    read.map_err(|error| format!("{path} cannot be read: {error}"))
}

/// A namespace's name: a DNS label (RFC 1123).
fn namespace(text: &str) -> Result<String, String> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = (1..=63).contains(&text.len())
        && text.chars().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_label {
        Ok(text.to_owned())
    } else {
        Err("a namespace's name has 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -".into())
    }
}

/// A Service's name and one of its ports.
fn service(text: &str) -> Result<(String, u16), String> {
    let (name, port) = text
        .split_once(':')
        .ok_or("write the Service's name and port, as in sancho-responder:80")?;
    let port: u16 = port.parse().map_err(|_| "a port is a number from 1 to 65535")?;
    if port == 0 {
        return Err("a port is a number from 1 to 65535".into());
    }
    Ok((
        namespace(name).map_err(|words| words.replace("namespace", "Service"))?,
        port,
    ))
}

impl WatcherArgs {
    /// The namespaces, each once: one that is watched twice would be seen twice.
    fn namespaces(&self) -> Vec<String> {
        let all: BTreeSet<String> = self.watch_namespaces.iter().cloned().collect();
        all.into_iter().collect()
    }
}

impl From<WatcherArgs> for alone::Settings {
    fn from(args: WatcherArgs) -> Self {
        let watch_namespaces = args.namespaces();
        let WatcherArgs {
            http_listen,
            health_listen,
            watch_namespaces: _,
        } = args;
        Self {
            http_listen,
            health_listen,
            watch_namespaces,
        }
    }
}

impl From<OperatorArgs> for Settings {
    fn from(args: OperatorArgs) -> Self {
        let OperatorArgs {
            watcher,
            namespace,
            metrics_per_certificate,
            ingress_annotations,
            self_check,
            self_check_resolvers,
            self_check_port,
            dns01_recursive_nameservers,
            dns01_recursive_nameservers_only,
            dns01_propagation_without_tcp,
            dns01_port,
            dns01_propagation_timeout,
            dns01_provider_endpoint,
            dns01_provider_roots,
            responder_service: (service, port),
            pod_name,
            pod_uid,
            container,
        } = args;
        let alone::Settings {
            http_listen,
            health_listen,
            watch_namespaces,
        } = watcher.into();
        Self {
            http_listen,
            health_listen,
            watch_namespaces,
            routes: Home {
                namespace: namespace.clone(),
                service,
                port,
            },
            namespace,
            metrics_per_certificate,
            ingress_annotations,
            self_check: SelfCheckSettings {
                enabled: self_check,
                resolvers: self_check_resolvers,
                port: self_check_port,
            },
            dns01: Dns01Settings {
                recursive: dns01_recursive_nameservers,
                recursive_only: dns01_recursive_nameservers_only,
                without_tcp: dns01_propagation_without_tcp,
                port: dns01_port,
                propagation_timeout: Duration::from_secs(dns01_propagation_timeout.into()),
                elsewhere: Elsewhere {
                    endpoints: dns01_provider_endpoint.into_iter().collect(),
                    roots: dns01_provider_roots.map(|pem| pem.to_vec()),
                },
            },
            pod_name,
            pod_uid,
            container,
        }
    }
}

fn start_logs(cli: &Cli, traces: Option<&SdkTracerProvider>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&cli.log)?;
    let is_traced = |metadata: &Metadata<'_>| metadata.target() == traces::TARGET;
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = match cli.log_format {
        LogFormat::Json => logs.json().flatten_event(true).boxed(),
        LogFormat::Text => logs.boxed(),
    };
    let logs = logs.with_filter(filter.and(filter_fn(move |metadata| !is_traced(metadata))));
    let spans = traces.map(|traces| {
        let spans = tracing_opentelemetry::layer().with_tracer(traces.tracer("sancho"));
        spans
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_traced))
    });
    tracing_subscriber::registry().with(spans).with(logs).try_init()?;
    Ok(())
}

/// Returns when the process is asked to end: SIGTERM, or Ctrl-C at a terminal.
fn terminated() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(list: &str) -> Option<Vec<String>> {
        let words = ["sancho", "responder", "--watch-namespaces", list];
        match Cli::try_parse_from(words).ok()?.command {
            Command::Responder(args) => Some(alone::Settings::from(args).watch_namespaces),
            Command::Operator(_) | Command::ClusterIssuers { .. } => None,
        }
    }

    #[test]
    fn a_service_is_given_with_its_port() {
        assert_eq!(
            service("sancho-responder:80").unwrap(),
            ("sancho-responder".into(), 80)
        );
        for wrong in [
            "sancho-responder",
            "sancho-responder:0",
            "sancho-responder:http",
            ":80",
            "a/b:80",
        ] {
            assert!(service(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn namespaces_are_watched_once_each_and_only_real_names() {
        assert_eq!(watched("shop,blog,shop").unwrap(), ["blog", "shop"]);
        for wrong in ["", "shop,", "Shop", "shop/blog", "-shop"] {
            assert_eq!(watched(wrong), None, "{wrong}");
        }
    }
}
