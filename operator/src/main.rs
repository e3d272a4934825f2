//! `sancho`: the operator's binary.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};
use sancho::operator::{self, Settings};
use tracing_subscriber::EnvFilter;

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
}

#[derive(Subcommand)]
enum Command {
    /// Run one replica: all controllers and the HTTP-01 responder.
    Operator(OperatorArgs),
}

#[derive(Args)]
struct OperatorArgs {
    /// Where HTTP-01 challenges are answered.
    #[arg(long, default_value = "0.0.0.0:8080")]
    http_listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are answered.
    #[arg(long, default_value = "0.0.0.0:8081")]
    health_listen: SocketAddr,
    /// The namespaces to watch, separated by commas; all of them if left out.
    #[arg(long, value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// The operator's own namespace: Leases, and the account Secrets of ClusterIssuers.
    #[arg(long, env = "POD_NAMESPACE", default_value = "sancho-system")]
    namespace: String,
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
    start_logs(&cli)?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another crypto provider is installed already"))?;
    match cli.command {
        Command::Operator(args) => operator::run(args.into(), terminated()?).await,
    }
}

impl From<OperatorArgs> for Settings {
    fn from(args: OperatorArgs) -> Self {
        let OperatorArgs {
            http_listen,
            health_listen,
            watch_namespaces,
            namespace,
            pod_name,
            pod_uid,
            container,
        } = args;
        let watch_namespaces = watch_namespaces
            .into_iter()
            .filter(|namespace| !namespace.is_empty())
            .collect();
        Self {
            http_listen,
            health_listen,
            watch_namespaces,
            namespace,
            pod_name,
            pod_uid,
            container,
        }
    }
}

fn start_logs(cli: &Cli) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&cli.log)?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Json => logs.json().flatten_event(true).init(),
        LogFormat::Text => logs.init(),
    }
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
