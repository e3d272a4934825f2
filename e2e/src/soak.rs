//! A soak: Certificates are edited at random while replicas, the API server and the CA are troubled at random, round after
//! round. After each round the troubles end, all comes to rest, and what is there is judged by the last manifests.
//!
//! ```text
//! a round: edits | processes | API server | CA, side by side --> troubles end --> rest --> judged
//! ```
//!
//! Certificates are so short-lived that they are renewed all the time. The seed decides what is done and in which order;
//! when it happens is for the machine to decide, so that two runs of a seed are alike and not the same.
//!
//! # What is judged
//! - Each Certificate is `Ready` with exactly the names of its last manifest, in the Secrets that its `secretName`, groups,
//!   strategy and cap ask for, of the account, with the key, labels and further forms that it asks for; none of their
//!   certificates is revoked or expired, or older than `renewBefore` allows; a deleted one has no shards.
//! - A Secret goes with its shard if `secretDeletionPolicy` says so, and only then.
//! - No order, no claim, no challenge, no key and no annotation to revoke is left.
//! - No TLS Secret was gone that was to stay, or held a key that is not its certificate's, at any time.
//! - No name that a Certificate had all the time was in no Secret at any time, save what was revoked, deleted, asked for
//!   under another `secretName`, or could not be validated.
//! - Keys were kept, or made anew, as `rotationPolicy` had it all the time.
//! - The CA was never asked faster than its budget, save by a process that was stopped in the middle of it.
//! - No replica ended by itself or panicked.

mod diary;
mod edit;
mod found;
mod lanes;
mod left_out;
mod window;
mod wish;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::time::{Instant, sleep};

use crate::api_proxy::ApiProxy;
use crate::ca::{Pebble, PebbleOptions};
use crate::checker::{Bounds, Violation, judge};
use crate::cluster::ClusterOptions;
use crate::figures::{Bound, Figures};
use crate::front::FrontOptions;
use crate::manifests::{Budget, cluster_issuer};
use crate::replica::{Replica, ReplicaOptions};
use crate::secret_watch::SecretWatch;
use crate::world::{CaOptions, World, WorldOptions};
use diary::Diary;
use found::Found;
use lanes::Excused;
use left_out::LeftOut;
use window::Window;
use wish::{ISSUERS, Wish};

/// What the CA bears, and is known to.
const BORNE: Budget = Budget {
    rate: 20.0,
    burst: 5,
    in_flight: 8,
};
/// How long certificates are valid: two thirds of it are well over three minutes.
const VALIDITY: Duration = Duration::from_secs(300);
const REPLICAS: usize = 3;
/// How long all may take to come to rest: a name that was refused twice is tried after four minutes, and comes back at
/// the renewal at the latest.
const PATIENCE: Duration = Duration::from_secs(600);
/// So long it has to stay at rest.
const RESTED: Duration = Duration::from_secs(3);
/// How long after its wake what a stopped process was about to send may arrive.
const WOKEN_US: u64 = 3_000_000;

/// How long and how hard.
#[derive(Debug, Clone, Copy)]
pub struct SoakOptions {
    /// How long edits and troubles go on, over all rounds.
    pub time: Duration,
    /// How long one round takes.
    pub round: Duration,
    /// What decides all that is done.
    pub seed: u64,
    /// How many Certificates there are.
    pub certificates: usize,
}

/// What came of a soak.
#[derive(Debug)]
pub struct Outcome {
    /// What was done, and how it went.
    pub figures: Figures,
    /// All that is not as it must be; one line each.
    pub problems: Vec<String>,
    /// Where the logs of all processes are, if there are problems.
    pub logs: Option<PathBuf>,
}

/// Soaks, and tells of it line by line on standard output. Ends at the first round with problems.
///
/// # Errors
/// When something cannot be started, or a part that is not Sancho's fails.
pub async fn soak(options: &SoakOptions) -> Result<Outcome> {
    let diary = Diary::new();
    diary.say(&format!(
        "seed {}: starting etcd, kube-apiserver, Pebble and replicas",
        options.seed
    ));
    let mut world = start().await?;
    let mut proxies = Vec::new();
    for _ in 0..REPLICAS {
        let proxy = ApiProxy::start(&world.cluster).await?;
        let replica = world
            .add_replica(ReplicaOptions {
                api_server: Some(proxy.api_server()),
                ..ReplicaOptions::default()
            })
            .await?;
        proxies.push((replica.name().to_owned(), proxy));
    }
    for replica in &world.replicas {
        replica.ready().await?;
    }
    let front = world.front()?;
    for name in ISSUERS {
        let issuer = cluster_issuer(name, &front.directory_url(), front.ca_pem(), BORNE);
        world.cluster.apply_yaml(&issuer.to_string()).await?;
    }

    let mut random = Rng::with_seed(options.seed);
    let wishes = (0..options.certificates).map(|number| Wish::first(number, &mut random));
    let wishes: Vec<Wish> = wishes.collect();
    let client = world.cluster.client();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    let mut soak = Soak {
        windows: wishes.iter().map(Window::new).collect(),
        wishes,
        before: Found::default(),
        secrets: SecretWatch::start(secrets).await?,
        left_out: LeftOut::watch(&client),
        client,
        proxies,
        diary,
        random,
        excused: Vec::new(),
        rounds: 0,
        longest: Duration::ZERO,
    };
    let run = soak.run(&mut world, options).await;
    let problems = match run {
        Ok(problems) => problems,
        Err(error) => {
            let logs = world.keep_files();
            return Err(error.context(format!("the logs of all processes are in {}", logs.display())));
        }
    };
    let figures = soak.figures(&world, &problems).await?;
    let logs = (!problems.is_empty()).then(|| world.keep_files());
    Ok(Outcome {
        figures,
        problems,
        logs,
    })
}

async fn start() -> Result<World> {
    let pebble = PebbleOptions {
        validity: VALIDITY,
        retry_after: Duration::from_secs(1),
        ..PebbleOptions::default()
    };
    World::start(WorldOptions {
        cluster: ClusterOptions {
            controller_manager: true,
            ..ClusterOptions::default()
        },
        ca: Some(CaOptions {
            pebble,
            front: FrontOptions::limited(BORNE.rate, BORNE.burst, Some(BORNE.in_flight)),
            bind: None,
        }),
        replicas: 0,
        ..WorldOptions::default()
    })
    .await
}

struct Soak {
    wishes: Vec<Wish>,
    /// Of each of them, since the last judgement.
    windows: Vec<Window>,
    /// What there was at the last judgement.
    before: Found,
    secrets: SecretWatch,
    left_out: LeftOut,
    client: Client,
    proxies: Vec<(String, ApiProxy)>,
    diary: Diary,
    random: Rng,
    excused: Excused,
    /// Rounds after which all was well.
    rounds: usize,
    /// The longest time until all was at rest.
    longest: Duration,
}

impl Soak {
    /// All rounds. Gives the problems of the first one that has any.
    async fn run(&mut self, world: &mut World, options: &SoakOptions) -> Result<Vec<String>> {
        for wish in &self.wishes {
            lanes::apply(&self.client, wish, None).await?;
        }
        self.rest(world).await?;
        let found = Found::look(&self.client).await?;
        self.begin_window(found);
        let mut left = options.time;
        while !left.is_zero() {
            let time = left.min(options.round);
            left -= time;
            self.diary
                .say(&format!("round {}: {} s", self.rounds + 1, time.as_secs()));
            self.round(world, time).await?;
            let problems = match self.rest(world).await {
                Ok(()) => self.judged(world).await?,
                Err(error) => vec![format!("{error:#}")],
            };
            if !problems.is_empty() {
                return Ok(problems);
            }
            self.rounds += 1;
        }
        Ok(Vec::new())
    }

    /// Edits and troubles for that time. In the end there are none, and nothing is paused.
    async fn round(&mut self, world: &mut World, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        let World { replicas, ca, .. } = world;
        let ca = ca.as_mut().context("no CA")?;
        let (began, began_us) = (Instant::now(), ca.front.now_us());
        let clock = || began_us + u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let [mut one, mut two, mut three, mut four] = [(); 4].map(|()| self.random.fork());
        let ((), excused, (), ()) = tokio::try_join!(
            lanes::edits(
                &self.client,
                &mut self.wishes,
                &mut self.windows,
                &mut one,
                until,
                &self.diary
            ),
            lanes::processes(replicas, clock, &mut two, until, &self.diary),
            lanes::api_server(&self.proxies, &mut three, until, &self.diary),
            lanes::ca(&mut ca.front, &ca.pebble, &mut four, until, &self.diary),
        )?;
        self.excused.extend(excused);
        for wish in self.wishes.iter_mut().filter(|wish| wish.is_paused) {
            wish.is_paused = false;
            if wish.is_there {
                lanes::apply(&self.client, wish, None).await?;
            }
        }
        Ok(())
    }

    /// Waits until everything has come to rest as the last manifests ask for.
    async fn rest(&mut self, world: &World) -> Result<()> {
        let begin = Instant::now();
        let mut since: Option<Instant> = None;
        let mut told = begin;
        loop {
            let problems = self.problems(world).await;
            let problems = problems.unwrap_or_else(|error| vec![format!("{error:#}")]);
            for replica in &world.replicas {
                let ended = replica.process().exit_status();
                ensure!(
                    ended.is_none(),
                    "{} has ended by itself: {ended:?}",
                    replica.name()
                );
            }
            if problems.is_empty() {
                let rested = *since.get_or_insert_with(Instant::now);
                if rested.elapsed() >= RESTED {
                    let took = rested - begin;
                    self.longest = self.longest.max(took);
                    self.diary.say(&format!(
                        "at rest after {:.0} s, and all as asked for",
                        took.as_secs_f64()
                    ));
                    return Ok(());
                }
            } else {
                since = None;
            }
            ensure!(
                begin.elapsed() < PATIENCE,
                "not at rest after {} s:\n{}",
                PATIENCE.as_secs(),
                problems.join("\n")
            );
            if told.elapsed() > Duration::from_secs(20) {
                told = Instant::now();
                let first = problems.first().map_or("", String::as_str);
                let first: String = first.chars().take(160).collect();
                self.diary
                    .say(&format!("{} are still to come, {first} …", problems.len()));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// What is not as the last manifests ask for at this moment.
    async fn problems(&self, world: &World) -> Result<Vec<String>> {
        let found = Found::look(&self.client).await?;
        let mut problems = found.problems(&self.wishes, Timestamp::now());
        if problems.is_empty() {
            problems = revoked(&found, world.pebble()?).await?;
        }
        Ok(problems)
    }

    /// What must not have happened at any time so far. What comes after is judged on its own.
    async fn judged(&mut self, world: &World) -> Result<Vec<String>> {
        let found = Found::look(&self.client).await?;
        let mut problems = self.of_secrets();
        problems.extend(found.problems_of_keys(&self.before, &self.wishes, &self.windows));
        let (violations, _) = self.violations(world)?;
        problems.extend(violations.iter().map(Violation::to_string));
        for replica in &world.replicas {
            let log = std::fs::read(replica.process().log_path())?;
            let log = String::from_utf8_lossy(&log);
            let panics = log.lines().filter(|line| line.contains("panicked at"));
            problems.extend(panics.map(|line| format!("{}: {line}", replica.name())));
        }
        if problems.is_empty() {
            self.begin_window(found);
        }
        Ok(problems)
    }

    /// Secrets that were gone or unfit at any time since the last judgement, and names that were in none.
    fn of_secrets(&self) -> Vec<String> {
        let may_go = |secret: &str| {
            let mut all = self.wishes.iter().zip(&self.windows);
            all.any(|(wish, window)| window.is_deleting() && wish.has_secret(secret))
        };
        let mut problems = self.secrets.violations_but_gone(may_go);
        let left_out = self.left_out.names();
        for window in &self.windows {
            let mut names = window.served();
            names.retain(|name| !left_out.contains(name));
            problems.extend(self.secrets.lost(&names));
        }
        problems
    }

    /// All that was seen so far is judged, and this is there.
    fn begin_window(&mut self, found: Found) {
        self.before = found;
        self.windows = self.wishes.iter().map(Window::new).collect();
        self.secrets.begin_anew();
        self.left_out.begin_anew();
    }

    /// What the CA was asked too fast or too much at once, and how often that was by a process that had been stopped.
    fn violations(&self, world: &World) -> Result<(Vec<Violation>, usize)> {
        let bounds = Bounds::new(BORNE.rate, BORNE.burst, Some(BORNE.in_flight));
        let violations = judge(&world.front()?.log(), &bounds).violations;
        Ok(without_excused(violations, &self.excused))
    }

    async fn figures(&self, world: &World, problems: &[String]) -> Result<Figures> {
        let mut figures = Figures::default();
        let count = |number: usize| number as f64;
        for (kind, number) in self.diary.counts() {
            figures.add(kind, count(number), "", None);
        }
        let log = world.front()?.log();
        figures.add("requests to the CA", count(log.arrivals.len()), "", None);
        figures.add("… refused by its front", count(log.throttled()), "", None);
        figures.add("orders", count(log.orders()), "", None);
        let found = Found::look(&self.client).await?;
        figures.add("shards in the end", count(found.shards()), "", None);
        figures.add(
            "versions of TLS Secrets",
            count(self.secrets.versions()),
            "",
            None,
        );
        let memory: Result<Vec<u64>> = world
            .replicas
            .iter()
            .map(Replica::process)
            .map(|p| p.resident_bytes())
            .collect();
        let most = memory?.into_iter().max().unwrap_or_default();
        figures.add("most memory of a replica", most as f64 / 1e6, "MB", None);
        let longest = self.longest.as_secs_f64();
        figures.add("longest time until all was at rest", longest, "s", None);
        figures.add(
            "rounds after which all was as asked for",
            count(self.rounds),
            "",
            None,
        );
        let (violations, excused) = self.violations(world)?;
        figures.add(
            "requests over the budget, of processes that were stopped",
            count(excused),
            "",
            None,
        );
        figures.add("… others", count(violations.len()), "", Bound::AtMost(0.0));
        let bad = self.of_secrets().len();
        figures.add(
            "Secrets gone or unfit, and names lost, at any time",
            count(bad),
            "",
            Bound::AtMost(0.0),
        );
        figures.add("problems", count(problems.len()), "", Bound::AtMost(0.0));
        Ok(figures)
    }
}

/// Which of the certificates that are served the CA has revoked.
async fn revoked(found: &Found, pebble: &Pebble) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (secret, leaf) in found.served() {
        let status = pebble.certificate_status(&leaf.serial).await?;
        if status["Status"] != "Valid" {
            problems.push(format!("Secret {secret}: its certificate is revoked: {status}"));
        }
    }
    Ok(problems)
}

/// Leaves out what a process that was stopped can be blamed for, and tells how much that was: what overlaps while it is
/// stopped, and one request that leaves when it wakes.
fn without_excused(violations: Vec<Violation>, excused: &[(u64, u64)]) -> (Vec<Violation>, usize) {
    let all = violations.len();
    let mut woken: BTreeSet<u64> = BTreeSet::new();
    let mut left = violations;
    left.retain(|violation| match violation {
        Violation::InFlight { at_us, .. } | Violation::Connections { at_us, .. } => !excused
            .iter()
            .any(|(from, to)| (*from..=*to + WOKEN_US).contains(at_us)),
        Violation::Rate { at_us, .. } => {
            let stop = excused
                .iter()
                .find(|(_, to)| (*to..=*to + WOKEN_US).contains(at_us) && !woken.contains(to));
            stop.is_none_or(|(_, to)| !woken.insert(*to))
        }
    });
    let excused = all - left.len();
    (left, excused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(at_us: u64) -> Violation {
        Violation::Rate {
            at_us,
            client: "a".into(),
            count: 2,
            window_us: 1,
            allowed: 1.0,
        }
    }

    fn in_flight(at_us: u64) -> Violation {
        Violation::InFlight {
            at_us,
            client: "a".into(),
            count: 2,
        }
    }

    #[test]
    fn a_process_that_was_stopped_is_excused_for_one_request_at_its_wake_and_for_what_overlaps() {
        let stopped = [(10_000_000, 20_000_000)];
        let left = |violations: Vec<Violation>| without_excused(violations, &stopped).0.len();
        assert_eq!(left(vec![rate(20_500_000)]), 0);
        assert_eq!(left(vec![rate(20_500_000), rate(20_600_000)]), 1);
        assert_eq!(
            left(vec![rate(15_000_000)]),
            1,
            "it sends nothing while it is stopped"
        );
        assert_eq!(left(vec![in_flight(15_000_000), in_flight(16_000_000)]), 0);
        assert_eq!(left(vec![in_flight(5_000_000), in_flight(30_000_000)]), 2);
    }
}
