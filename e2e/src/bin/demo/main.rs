//! `cargo demo`: the main job, on real parts, before your eyes.
//!
//! start everything → apply an issuer and a Certificate → watch → kill, if asked → judge → report

mod arguments;
mod follow;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sancho_e2e::command_line::until_ctrl_c;
use sancho_e2e::front::{FrontOptions, Latency};
use sancho_e2e::manifests::{self, Budget};
use sancho_e2e::replica::ReplicaOptions;
use sancho_e2e::screen::Screen;
use sancho_e2e::world::{CaOptions, World, WorldOptions};

use crate::arguments::Arguments;
use crate::follow::Follower;
use crate::report::Report;

/// Requests that may be unanswered at once, if the CA bears any number of connections.
const IN_FLIGHT: u32 = 16;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::of_process();
    sancho_e2e::pki::install_crypto();
    until_ctrl_c("demo", demo(&arguments)).await
}

/// Says whether all names were issued and nothing was violated.
async fn demo(arguments: &Arguments) -> Result<bool> {
    let screen = Screen::of_stdout();
    screen.say(&format!(
        "starting etcd, kube-apiserver, a CA and {} replicas (the first time ever, the servers are built: \
         about 8 minutes)",
        arguments.replicas
    ));
    let mut world = World::start(world_options(arguments)).await?;
    screen.say(&format!(
        "the control plane runs; KUBECONFIG={}",
        world.cluster.kubeconfig_path().display()
    ));
    if let Some(ca) = &world.ca {
        screen.say(&format!(
            "the CA at {} answers 503 to {}",
            ca.front.origin(),
            front_options(arguments).refused()
        ));
    }
    let started = jiff::Timestamp::now();
    let names = manifests::names(arguments.names);
    world.cluster.apply_yaml(&issuer(arguments, &world)?).await?;
    world
        .cluster
        .apply_yaml(&manifests::certificate("demo", "demo", &names, arguments.max_names).to_string())
        .await?;
    let applied = Instant::now();
    screen.say(&format!(
        "kubectl apply: ClusterIssuer demo, Certificate demo with {} names, at most {} a shard",
        arguments.names, arguments.max_names
    ));
    let mut follower = Follower::new(&world);
    let finished = follower.follow(&mut world, arguments, &screen, applied).await?;
    let seconds = applied.elapsed();
    screen.finish();
    let report = Report::make(&world, arguments, &follower, seconds, started).await?;
    println!(
        "\n$ kubectl get scert,certificateshards\n{}",
        world.cluster.kubectl(&["get", "scert,certificateshards"]).await?
    );
    println!("{}", report.secrets_in_words());
    println!("{}", report.line());
    if let Some(path) = &arguments.report {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let good = finished && report.is_good();
    if !good {
        let logs = world.keep_files();
        if let Ok(front) = world.front() {
            std::fs::write(logs.join("arrivals.json"), serde_json::to_string(&front.log())?)?;
        }
        println!(
            "NOT as it should be: see the figures above; the logs of all processes, and all that the CA saw \
             (arrivals.json), are in {}",
            logs.display()
        );
    }
    if arguments.keep {
        keep(&world).await?;
    }
    Ok(good)
}

/// The issuer, with the budget that the CA bears unless that is to be found out.
fn issuer(arguments: &Arguments, world: &World) -> Result<String> {
    let (server, roots) = match (&arguments.acme_directory, &arguments.acme_ca_bundle) {
        (Some(directory), Some(bundle)) => {
            let roots = std::fs::read_to_string(bundle)
                .with_context(|| format!("cannot read {}", bundle.display()))?;
            (directory.clone(), roots)
        }
        _ => (world.front()?.directory_url(), world.front()?.ca_pem().to_owned()),
    };
    let budget = (!arguments.discover).then_some(Budget {
        rate: arguments.ca_rate,
        burst: arguments.ca_burst,
        in_flight: arguments.ca_connections.unwrap_or(IN_FLIGHT),
    });
    Ok(manifests::cluster_issuer("demo", &server, &roots, budget).to_string())
}

fn world_options(arguments: &Arguments) -> WorldOptions {
    let ca = arguments.acme_directory.is_none().then(|| CaOptions {
        front: front_options(arguments),
        ..CaOptions::default()
    });
    WorldOptions {
        ca,
        http01_listen: arguments.http01_listen,
        replicas: usize::from(arguments.replicas),
        replica: ReplicaOptions::default(),
        ..WorldOptions::default()
    }
}

fn front_options(arguments: &Arguments) -> FrontOptions {
    let round_trip = Duration::from_millis(u64::from(arguments.ca_round_trip));
    let latency = Latency {
        each_way: round_trip / 2,
        jitter: round_trip / 4,
        seed: 1,
    };
    FrontOptions {
        latency: (!round_trip.is_zero()).then_some(latency),
        ..FrontOptions::limited(arguments.ca_rate, arguments.ca_burst, arguments.ca_connections)
    }
}

async fn keep(world: &World) -> Result<()> {
    println!("\nEverything stays up until Ctrl-C. Try, in another terminal:");
    println!(
        "  export KUBECONFIG={}",
        world.cluster.kubeconfig_path().display()
    );
    println!("  kubectl get scert,certificateshards -o wide");
    println!("  kubectl describe scert demo");
    println!("  kubectl describe lease -n sancho-system");
    println!("  kubectl get events --field-selector reason=Issued");
    println!("Logs are in {}", world.log_dir().display());
    Ok(tokio::signal::ctrl_c().await?)
}
