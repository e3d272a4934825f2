//! One turn: `a front of its own -> the client asks -> what it has, and what the front saw`.
//!
//! Each turn has a fresh front before the same CA: its bucket is empty and its log has nobody else in it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use sancho_crds::{Certificate, condition};
use sancho_e2e::arrivals::ArrivalLog;
use sancho_e2e::certificates::{Leaf, in_secrets};
use sancho_e2e::front::{Front, FrontOptions};
use sancho_e2e::manifests;
use sancho_e2e::process::{Process, free_port, wait_for};
use sancho_e2e::replica::ReplicaOptions;
use sancho_e2e::screen::Screen;
use sancho_e2e::world::World;
use serde::Serialize;

use crate::arguments::Arguments;
use crate::peers::{Job, Peer};
use crate::why::why;

/// Names in one certificate: as many as Sancho takes by itself, so that it asks for one as the peers do.
const IN_ONE: u32 = 100;

/// How often the terminal shows where a turn stands.
const LOOK: Duration = Duration::from_millis(250);
/// The same where it is plain lines.
const PLAIN: Duration = Duration::from_secs(10);

/// How far one came.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// The client.
    pub who: String,
    /// Its version, as it tells it itself.
    pub version: String,
    /// How many of the names stand in a certificate that it has.
    pub issued: usize,
    /// From its start, or from `kubectl apply`, until it ended or had the certificate.
    pub seconds: f64,
    /// What the front saw in that time.
    pub requests: usize,
    /// How many of those it refused.
    pub throttled: usize,
    /// How it ended: an exit status, `ready`, or that it was ended.
    pub ended: String,
    /// If it has not all names: what it said last about it.
    pub why: Option<String>,
}

/// The same without what the front saw.
struct Outcome {
    names: BTreeSet<String>,
    took: Duration,
    ended: String,
    said: Option<String>,
}

/// A peer's turn.
///
/// # Errors
///
/// When it cannot be started; that it fails is a result.
pub async fn of_peer(
    world: &mut World,
    peer: &Peer,
    names: &[String],
    arguments: &Arguments,
    screen: &Screen,
) -> Result<Turn> {
    let who = peer.kind.name();
    new_front(world, arguments.front()).await?;
    let front = world.front()?;
    let dir = world.dir().join(who);
    fs::create_dir_all(&dir)?;
    let roots = dir.join("front.pem");
    fs::write(&roots, front.ca_pem())?;
    let responder = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    world.router.set_responders(vec![responder]);
    let job = Job {
        directory: &front.directory_url(),
        roots: &roots,
        responder,
        dir: &dir,
        names,
    };
    let asked = async {
        let begin = Instant::now();
        let process = Process::spawn(who, &peer.launch(&job), &world.log_dir())?;
        let ended = match process.wait_exit(arguments.limit()).await {
            Ok(status) => status.to_string(),
            Err(_) => {
                process.kill();
                over(arguments)
            }
        };
        let took = begin.elapsed();
        let names = match fs::read(peer.certificate(&job)) {
            Ok(chain) => Leaf::read(&chain)?.dns_names.into_iter().collect(),
            // It has none.
            Err(_) => BTreeSet::new(),
        };
        let log = fs::read(process.log_path()).unwrap_or_default();
        Ok(Outcome {
            names,
            took,
            ended,
            said: why(&String::from_utf8_lossy(&log)),
        })
    };
    let outcome = shown(asked, front, who, names.len(), screen).await?;
    Ok(turn(who, &peer.version, names, outcome, &front.log()))
}

/// Sancho's turn: an issuer without a budget, and a Certificate.
///
/// # Errors
///
/// When a replica cannot be started or the API server does not answer.
pub async fn of_sancho(
    world: &mut World,
    names: &[String],
    arguments: &Arguments,
    screen: &Screen,
) -> Result<Turn> {
    new_front(world, arguments.front()).await?;
    for _ in 0..arguments.replicas {
        world.add_replica(ReplicaOptions::default()).await?;
    }
    for replica in &world.replicas {
        replica.ready().await?;
    }
    let front = world.front()?;
    let issuer = manifests::cluster_issuer("compare", &front.directory_url(), front.ca_pem(), None);
    let certificate = manifests::certificate("compare", "compare", names, IN_ONE);
    let asked = async {
        world.cluster.apply_yaml(&issuer.to_string()).await?;
        world.cluster.apply_yaml(&certificate.to_string()).await?;
        let begin = Instant::now();
        let ended = match ready(world, arguments.limit()).await {
            Ok(()) => "ready".to_owned(),
            Err(_) if begin.elapsed() >= arguments.limit() => over(arguments),
            Err(_) => "a replica ended".to_owned(),
        };
        let took = begin.elapsed();
        let (names, _) = in_secrets(&Api::namespaced(world.cluster.client(), "default")).await?;
        Ok(Outcome {
            names,
            took,
            ended,
            said: ready_condition(world).await?.map(|ready| ready.message),
        })
    };
    let outcome = shown(asked, front, "Sancho", names.len(), screen).await?;
    Ok(turn(
        "Sancho",
        env!("CARGO_PKG_VERSION"),
        names,
        outcome,
        &front.log(),
    ))
}

/// Puts a fresh front in the place of the world's.
async fn new_front(world: &mut World, options: FrontOptions) -> Result<()> {
    let ca = world.ca.as_mut().context("the CA of this world runs elsewhere")?;
    ca.front = Front::start_anywhere(&ca.pebble.upstream(), options).await?;
    Ok(())
}

/// Waits until the Certificate is ready.
async fn ready(world: &World, limit: Duration) -> Result<()> {
    let processes: Vec<&Process> = world
        .replicas
        .iter()
        .map(|replica| &**replica.process())
        .collect();
    wait_for("the Certificate to be ready", limit, &processes, async || {
        let ready = ready_condition(world).await?;
        Ok(ready.filter(|ready| ready.status == "True").map(|_| ()))
    })
    .await
}

/// The Certificate's condition `Ready`, once it has one.
async fn ready_condition(world: &World) -> Result<Option<Condition>> {
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "default");
    let status = certificates.get("compare").await?.status.unwrap_or_default();
    Ok(condition(&status.conditions, "Ready").cloned())
}

fn over(arguments: &Arguments) -> String {
    format!("ended after {} s", arguments.limit)
}

/// Shows where a turn stands until it is over.
async fn shown(
    turn: impl Future<Output = Result<Outcome>>,
    front: &Front,
    who: &str,
    names: usize,
    screen: &Screen,
) -> Result<Outcome> {
    tokio::select! {
        outcome = turn => outcome,
        never = show(front, who, names, screen) => match never {},
    }
}

async fn show(front: &Front, who: &str, names: usize, screen: &Screen) -> Infallible {
    loop {
        tokio::time::sleep(if screen.is_terminal() { LOOK } else { PLAIN }).await;
        let log = front.log();
        // What all have in common: a name is under way once the CA was told to validate it.
        screen.progress(
            log.challenges() as u64,
            names as u64,
            &format!("under way by {who}: {}", log.answers()),
        );
    }
}

fn turn(who: &str, version: &str, names: &[String], outcome: Outcome, log: &ArrivalLog) -> Turn {
    let issued = names.iter().filter(|name| outcome.names.contains(*name)).count();
    Turn {
        who: who.to_owned(),
        version: version.to_owned(),
        issued,
        seconds: (outcome.took.as_secs_f64() * 10.0).round() / 10.0,
        requests: log.arrivals.len(),
        throttled: log.throttled(),
        ended: outcome.ended,
        why: outcome.said.filter(|_| issued < names.len()),
    }
}
