//! What goes on side by side in a round: edits, and what goes wrong with processes, the API server and the CA. Each lane
//! does one thing after the other and leaves nothing behind.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use fastrand::Rng;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use sancho_crds::{Certificate, REVOKE_ANNOTATION};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::diary::Diary;
use super::edit::Edit;
use super::window::Window;
use super::wish::Wish;
use crate::api_proxy::ApiProxy;
use crate::ca::Pebble;
use crate::faults::Fault;
use crate::front::Front;
use crate::injector::api_error;
use crate::replica::Replica;

/// Something that goes wrong, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trouble<K> {
    kind: K,
    time: Duration,
}

/// What happens to a replica's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfProcess {
    /// SIGKILL, and a start after that time.
    Killed,
    /// SIGTERM, and a start once it has ended and that time is over.
    Ended,
    /// SIGSTOP, SIGCONT after that time.
    Stopped,
}

/// What happens to a replica's requests to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfApiServer {
    /// One write in three is answered 500.
    ServerErrors,
    /// One write in three is answered 409.
    Conflicts,
    /// One answer to a write in three is lost.
    AnswersLost,
    /// All connections are closed, and new ones too.
    Cut,
    /// Watches tell nothing.
    WatchesHeld,
    /// Watches end.
    WatchesEnded,
}

/// What happens to the CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfCa {
    /// Its front takes no connection.
    Away,
    /// Everything is answered 503.
    Refuses,
    /// One request in five is answered 500.
    Errors,
    /// One answer in five is lost.
    AnswersLost,
    /// It takes requests and does not answer.
    Hangs,
}

/// The moments at which nobody could keep the budget: a process that is stopped keeps its connections, and wakes with a
/// request that it may be about to send. In microseconds of the front's log.
pub type Excused = Vec<(u64, u64)>;

/// Edits Certificates until then, and notes it in their windows.
pub async fn edits(
    client: &Client,
    wishes: &mut [Wish],
    windows: &mut [Window],
    random: &mut Rng,
    until: Instant,
    diary: &Diary,
) -> Result<()> {
    while pause(random, 300..2500, until).await {
        let index = random.usize(..wishes.len());
        let edit = wishes[index].edit(random);
        windows[index].note(&wishes[index], &edit);
        diary.note(edit.kind(), &format!("{}: {edit}", wishes[index].name));
        apply(client, &wishes[index], Some(&edit)).await?;
    }
    Ok(())
}

/// Has the API server know of a wish, and of the edit that led to it.
pub async fn apply(client: &Client, wish: &Wish, edit: Option<&Edit>) -> Result<()> {
    let certificates: Api<Certificate> = Api::namespaced(client.clone(), "default");
    match edit {
        Some(Edit::Delete) => {
            certificates
                .delete(&wish.name, &DeleteParams::background())
                .await?;
        }
        Some(Edit::Revoke(reason)) => {
            let annotated = json!({ "metadata": { "annotations": { REVOKE_ANNOTATION: reason } } });
            let patch = Patch::Merge(annotated);
            certificates
                .patch(&wish.name, &PatchParams::default(), &patch)
                .await?;
        }
        _ => {
            let user = PatchParams::apply("soak").force();
            let manifest = wish.manifest();
            certificates
                .patch(&wish.name, &user, &Patch::Apply(manifest))
                .await?;
        }
    }
    Ok(())
}

/// Troubles processes until then. All run in the end.
pub async fn processes(
    replicas: &mut [Replica],
    clock: impl Fn() -> u64,
    random: &mut Rng,
    until: Instant,
    diary: &Diary,
) -> Result<Excused> {
    let mut excused = Vec::new();
    while pause(random, 2000..9000, until).await {
        let index = random.usize(..replicas.len());
        let kind = one_of(random, &[OfProcess::Killed, OfProcess::Ended, OfProcess::Stopped]);
        let trouble = Trouble::new(kind, random, 1..25);
        let replica = &mut replicas[index];
        diary.note(kind.name(), &format!("{}: {trouble}", replica.name()));
        let ended = replica.process().exit_status();
        ensure!(
            ended.is_none(),
            "{} has ended by itself: {ended:?}",
            replica.name()
        );
        match kind {
            OfProcess::Killed => {
                replica.process().kill();
                sleep(trouble.time).await;
                replica.restart().await?;
            }
            OfProcess::Ended => {
                replica.process().terminate()?;
                replica.process().wait_exit(Duration::from_secs(60)).await?;
                sleep(trouble.time).await;
                replica.restart().await?;
            }
            OfProcess::Stopped => {
                let from = clock();
                replica.process().stop()?;
                sleep(trouble.time).await;
                replica.process().resume()?;
                excused.push((from, clock()));
            }
        }
    }
    Ok(excused)
}

/// Troubles the way to the API server until then. It is free in the end.
pub async fn api_server(
    proxies: &[(String, ApiProxy)],
    random: &mut Rng,
    until: Instant,
    diary: &Diary,
) -> Result<()> {
    while pause(random, 1000..6000, until).await {
        let (replica, proxy) = &proxies[random.usize(..proxies.len())];
        let kind = one_of(
            random,
            &[
                OfApiServer::ServerErrors,
                OfApiServer::Conflicts,
                OfApiServer::AnswersLost,
                OfApiServer::Cut,
                OfApiServer::WatchesHeld,
                OfApiServer::WatchesEnded,
            ],
        );
        let trouble = Trouble::new(kind, random, 1..15);
        diary.note(kind.name(), &format!("{replica}: {trouble}"));
        match kind {
            OfApiServer::ServerErrors => writes(proxy, random, || api_error(500)),
            OfApiServer::Conflicts => writes(proxy, random, || api_error(409)),
            OfApiServer::AnswersLost => writes(proxy, random, || Fault::CloseAfter),
            OfApiServer::Cut => proxy.cut(),
            OfApiServer::WatchesHeld => proxy.watches().hold(),
            OfApiServer::WatchesEnded => proxy.watches().end(),
        }
        if kind != OfApiServer::WatchesEnded {
            sleep(trouble.time).await;
        }
        proxy.set_faults(|_| None);
        proxy.watches().release();
        proxy.mend();
    }
    Ok(())
}

/// Has one write in three go wrong. What is new and what is deleted conflicts with nothing.
fn writes(proxy: &ApiProxy, random: &mut Rng, fault: impl Fn() -> Fault + Send + Sync + 'static) {
    let dice = Mutex::new(random.fork());
    proxy.set_faults(move |request| {
        let changes = matches!(request.method.as_str(), "PUT" | "PATCH");
        let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
        (changes && dice.u32(0..3) == 0).then(&fault)
    });
}

/// Troubles the CA until then. It is there in the end.
pub async fn ca(
    front: &mut Front,
    pebble: &Pebble,
    random: &mut Rng,
    until: Instant,
    diary: &Diary,
) -> Result<()> {
    while pause(random, 5000..20_000, until).await {
        let kind = one_of(
            random,
            &[
                OfCa::Away,
                OfCa::Refuses,
                OfCa::Errors,
                OfCa::AnswersLost,
                OfCa::Hangs,
            ],
        );
        let trouble = Trouble::new(kind, random, 1..12);
        diary.note(kind.name(), &format!("CA: {trouble}"));
        match kind {
            OfCa::Away => front.close(),
            OfCa::Refuses => front.set_faults(|_| Some(plain(503))),
            OfCa::Errors => at_ca(front, random, || plain(500)),
            OfCa::AnswersLost => at_ca(front, random, || Fault::CloseAfter),
            OfCa::Hangs => pebble.process().stop()?,
        }
        sleep(trouble.time).await;
        match kind {
            OfCa::Away => front.open().await?,
            OfCa::Hangs => pebble.process().resume()?,
            OfCa::Refuses | OfCa::Errors | OfCa::AnswersLost => front.set_faults(|_| None),
        }
    }
    Ok(())
}

/// Has one request in five go wrong.
fn at_ca(front: &Front, random: &mut Rng, fault: impl Fn() -> Fault + Send + Sync + 'static) {
    let dice = Arc::new(Mutex::new(random.fork()));
    front.set_faults(move |_| {
        let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
        (dice.u32(0..5) == 0).then(&fault)
    });
}

fn plain(status: u16) -> Fault {
    Fault::Answer {
        status,
        headers: Vec::new(),
        body: "for the soak\n".to_owned(),
    }
}

/// Waits so many milliseconds. Says whether there is time left then.
async fn pause(random: &mut Rng, milliseconds: std::ops::Range<u64>, until: Instant) -> bool {
    let end = Instant::now() + Duration::from_millis(random.u64(milliseconds));
    sleep_until(end.min(until)).await;
    Instant::now() < until
}

fn one_of<T: Copy>(random: &mut Rng, all: &[T]) -> T {
    all[random.usize(..all.len())]
}

impl<K> Trouble<K> {
    fn new(kind: K, random: &mut Rng, seconds: std::ops::Range<u64>) -> Self {
        let time = Duration::from_secs(random.u64(seconds));
        Trouble { kind, time }
    }
}

impl<K: Named> fmt::Display for Trouble<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} s", self.kind.name(), self.time.as_secs())
    }
}

/// What is counted together.
trait Named: Copy {
    fn name(self) -> &'static str;
}

impl Named for OfProcess {
    fn name(self) -> &'static str {
        match self {
            OfProcess::Killed => "killed",
            OfProcess::Ended => "ended and started",
            OfProcess::Stopped => "stopped",
        }
    }
}

impl Named for OfApiServer {
    fn name(self) -> &'static str {
        match self {
            OfApiServer::ServerErrors => "API server answers 500",
            OfApiServer::Conflicts => "API server answers 409",
            OfApiServer::AnswersLost => "API server's answers are lost",
            OfApiServer::Cut => "cut off from the API server",
            OfApiServer::WatchesHeld => "watches are held back",
            OfApiServer::WatchesEnded => "watches end",
        }
    }
}

impl Named for OfCa {
    fn name(self) -> &'static str {
        match self {
            OfCa::Away => "CA takes no connection",
            OfCa::Refuses => "CA answers 503",
            OfCa::Errors => "CA answers 500",
            OfCa::AnswersLost => "CA's answers are lost",
            OfCa::Hangs => "CA hangs",
        }
    }
}
