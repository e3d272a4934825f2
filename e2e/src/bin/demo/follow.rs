//! Looks at the cluster and the CA's log until the Certificate is ready, and kills in between if asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, CertificateStatus, condition};
use sancho_e2e::replica::NAMESPACE;
use sancho_e2e::screen::Screen;
use sancho_e2e::world::World;

use crate::arguments::Arguments;

/// How often things are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// The API server may fail to answer for this long.
const NO_ANSWER: Duration = Duration::from_secs(30);
/// A plain line no more often than this, unless something happened.
const PLAIN: Duration = Duration::from_secs(2);

/// Follows one Certificate.
pub struct Follower {
    client: Client,
    shards: BTreeMap<String, String>,
    holders: String,
    shown_at: Instant,
    /// The replica that was killed.
    pub killed: Option<String>,
}

impl Follower {
    /// Looks as the administrator does.
    pub fn new(world: &World) -> Self {
        Self {
            client: world.cluster.client(),
            shards: BTreeMap::new(),
            holders: String::new(),
            shown_at: Instant::now(),
            killed: None,
        }
    }

    /// Returns when the Certificate is ready, or (false) when it has taken far too long.
    pub async fn follow(
        &mut self,
        world: &mut World,
        arguments: &Arguments,
        screen: &Screen,
        begin: Instant,
    ) -> Result<bool> {
        let certificates: Api<Certificate> = Api::namespaced(self.client.clone(), "default");
        // Twice what the requests take at the rate, and time for slots to be taken over.
        let requests =
            f64::from(arguments.names) * 2.2 + 10.0 * f64::from(arguments.names / arguments.max_names + 1);
        let patience = Duration::from_secs_f64(120.0 + 2.0 * requests / arguments.ca_rate);
        let mut first_order: Option<Instant> = None;
        let mut answered = Instant::now();
        loop {
            let status = match self.look(&certificates, world, screen).await {
                Ok(status) => status,
                // A busy API server drops a connection now and then.
                Err(_) if answered.elapsed() < NO_ANSWER => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            answered = Instant::now();
            if condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True") {
                return Ok(true);
            }
            if begin.elapsed() > patience {
                screen.say(&format!(
                    "given up after {} s: {:?}",
                    patience.as_secs(),
                    status.waiting_for
                ));
                return Ok(false);
            }
            if first_order.is_none() && self.has_order().await.unwrap_or_default() {
                first_order = Some(Instant::now());
            }
            if let (Some(after), Some(since), None) = (arguments.kill_after, first_order, &self.killed)
                && since.elapsed() >= Duration::from_secs(after)
            {
                // Without an answer to who holds one it is tried again at the next look.
                self.kill(world, screen).await.ok();
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Shows where things stand.
    async fn look(
        &mut self,
        certificates: &Api<Certificate>,
        world: &World,
        screen: &Screen,
    ) -> Result<CertificateStatus> {
        let status = certificates.get("demo").await?.status.unwrap_or_default();
        self.show(world, &status, screen).await?;
        Ok(status)
    }

    async fn has_order(&self) -> Result<bool> {
        let shards: Api<CertificateShard> = Api::namespaced(self.client.clone(), "default");
        let shards = shards.list(&Default::default()).await?;
        Ok(shards.iter().any(|shard| {
            shard
                .status
                .as_ref()
                .is_some_and(|status| status.orders.is_some())
        }))
    }

    /// SIGKILL to a replica that holds a slot, if one does now.
    async fn kill(&mut self, world: &mut World, screen: &Screen) -> Result<()> {
        let holders = self.read_holders().await?;
        let Some(replica) = world
            .replicas
            .iter_mut()
            .find(|replica| holders.contains(&format!("{}-", replica.name())))
        else {
            return Ok(());
        };
        let name = replica.name().to_owned();
        replica.process().kill();
        screen.say(&format!("SIGKILL to {name}, which holds a slot"));
        self.killed = Some(name);
        Ok(())
    }

    async fn read_holders(&self) -> Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        let leases = leases.list(&Default::default()).await?;
        let holders: Vec<String> = leases
            .iter()
            .filter(|lease| lease.name_any().starts_with("sancho-budget"))
            .filter_map(|lease| lease.spec.as_ref()?.holder_identity.clone())
            .collect();
        Ok(holders.join(", "))
    }

    async fn show(&mut self, world: &World, status: &CertificateStatus, screen: &Screen) -> Result<()> {
        let mut news = false;
        let shards: Api<CertificateShard> = Api::namespaced(self.client.clone(), "default");
        for shard in shards.list(&Default::default()).await? {
            let words = shard_words(&shard);
            if self.shards.insert(shard.name_any(), words.clone()) != Some(words.clone())
                && self.shards.len() <= 8
            {
                screen.say(&format!("{}: {words}", shard.name_any()));
            }
        }
        let holders = self.read_holders().await?;
        if holders != self.holders {
            let words = if holders.is_empty() { "nobody" } else { &holders };
            screen.say(&format!("slots: {words}"));
            self.holders = holders;
            news = true;
        }
        if news || screen.is_terminal() || self.shown_at.elapsed() >= PLAIN {
            self.shown_at = Instant::now();
            let ready = u64::from(status.ready_names.unwrap_or_default());
            let names = u64::from(status.names.unwrap_or_default());
            screen.progress(ready, names, &answers(world));
        }
        Ok(())
    }
}

/// A shard in a few words.
fn shard_words(shard: &CertificateShard) -> String {
    let names = shard.spec.dns_names.len();
    let waits = format!("{names} names, waits for the budget");
    let Some(status) = &shard.status else {
        return waits;
    };
    if status.issued.is_some() && status.order.is_none() {
        return format!("{names} names in Secret {}", shard.spec.secret_name);
    }
    match (&status.order, &status.failure) {
        (Some(order), _) => format!("{names} names, order {}", order.stage),
        (None, Some(failure)) => format!("{names} names, {}: {}", failure.reason, failure.message),
        (None, None) if status.claim.is_some() => format!("{names} names, claimed"),
        (None, None) => waits,
    }
}

/// How the CA answered so far, by code.
fn answers(world: &World) -> String {
    let Ok(front) = world.front() else {
        return "the CA runs elsewhere".into();
    };
    front.log().answers()
}
