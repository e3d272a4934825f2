//! What Sancho costs: nothing when idle, and the API server little for a budget in use.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};
use sancho_e2e::cluster::Write;
use sancho_e2e::manifests::{certificate, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::NAMESPACE;
use sancho_e2e::world::{CaOptions, World};
use serde_json::json;

use crate::history::History;
use crate::stories::{FAST, apply_issuer, holders, judged, ready, world};

const CERTIFICATES: u32 = 100;
/// Lease writes a second for each replica that holds slots, at most: one every 3 s, and a little.
const RENEWALS: f64 = 0.35;
/// Processor time in an idle minute, at most. One that turns in a circle uses most of a core.
const IDLE_WORK: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_hundred_issued_certificates_cost_no_write_and_no_work_and_a_busy_budget_few_writes() {
    let begin = Timestamp::now();
    let world = world(3, FAST, CaOptions::default()).await;
    let leases = History::start(Api::<Lease>::namespaced(world.cluster.client(), NAMESPACE));
    apply_issuer(&world, FAST).await;
    let items: Vec<_> = names(CERTIFICATES)
        .into_iter()
        .enumerate()
        .map(|(number, name)| certificate(&format!("shop-{number}"), "ca", &[name], 20))
        .collect();
    // Among them an Ingress that has one made, and one whose mistake all three replicas see.
    let by_ingress = |name: &str, host: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": name, "namespace": "default", "annotations": { "sancho.dev/cluster-issuer": "ca" },
            },
            "spec": {
                "defaultBackend": { "service": { "name": "site", "port": { "number": 80 } } },
                "tls": [{ "secretName": name, "hosts": [host] }],
            },
        })
    };
    let ingresses = [
        by_ingress("by-ingress", "by-ingress.demo.example"),
        by_ingress("wrong", "localhost"),
    ];
    let items: Vec<_> = items.into_iter().chain(ingresses).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    world.cluster.apply_yaml(&list.to_string()).await.unwrap();
    for number in 0..CERTIFICATES {
        ready(&world, &format!("shop-{number}"), Duration::from_secs(180)).await;
    }
    ready(&world, "by-ingress", Duration::from_secs(60)).await;
    judged(&world, FAST);

    wait_for(
        "the slots to be given up",
        Duration::from_secs(30),
        &[],
        async || Ok(holders(&world).await.is_empty().then_some(())),
    )
    .await
    .unwrap();
    let writes = world.writes_by_sancho(begin).unwrap();
    assert!(
        writes.len() > 3 * CERTIFICATES as usize,
        "the audit log misses writes"
    );
    let usage = Usage::of(&leases.versions());
    assert!(usage.taken >= 3, "not every replica held a slot: {usage:?}");
    let cost = usage.lease_writes(&writes);
    let most = RENEWALS * usage.held.as_secs_f64() + 2.0 * usage.taken as f64;
    assert!(
        cost as f64 <= most,
        "{cost} Lease writes, at most {most:.1}: {usage:?}"
    );

    let quiet_since = wait_for(
        "Sancho to have nothing more to write",
        Duration::from_secs(60),
        &[],
        async || Ok(quiet_since(&world.writes_by_sancho(begin)?, Timestamp::now())),
    )
    .await
    .unwrap();
    let before = cpu_times(&world);
    // The time itself is what is judged here.
    tokio::time::sleep(Duration::from_secs(60)).await;
    for (replica, (before, after)) in world
        .replicas
        .iter()
        .zip(before.into_iter().zip(cpu_times(&world)))
    {
        let used = after - before;
        assert!(
            used <= IDLE_WORK,
            "{} used {used:?} of an idle minute",
            replica.name()
        );
    }
    let idle = world.writes_by_sancho(quiet_since).unwrap();
    assert!(idle.is_empty(), "written in an idle minute: {idle:?}");
}

/// The processor time that each replica has used so far.
fn cpu_times(world: &World) -> Vec<Duration> {
    let replicas = world.replicas.iter();
    replicas
        .map(|replica| replica.process().cpu_time().unwrap())
        .collect()
}

/// The moment of now, if nothing was written for a few seconds before it.
fn quiet_since(writes: &[Write], now: Timestamp) -> Option<Timestamp> {
    let last = writes.iter().map(|write| write.at).max()?;
    (now.duration_since(last).as_secs() >= 5).then_some(now)
}

/// How a budget's slots were used, as all versions of its Lease tell.
#[derive(Debug)]
struct Usage {
    /// When the first slot was taken.
    begin: Timestamp,
    /// The time for which a replica held slots, added up over the replicas.
    held: Duration,
    /// How often a replica took slots. Each time is one hand-over: a write that takes, and, before or in
    /// the end, one that releases.
    taken: usize,
}

impl Usage {
    fn of(versions: &[(Timestamp, Lease)]) -> Self {
        let mut of_budget = versions
            .iter()
            .filter(|(_, lease)| lease.name_any().starts_with("sancho-budget"))
            .map(|(at, lease)| (*at, slots(lease)))
            .skip_while(|(_, slots)| slots.is_empty());
        let mut last = of_budget.next().unwrap();
        let mut usage = Usage {
            begin: last.0,
            held: Duration::ZERO,
            taken: 1,
        };
        for (at, slots) in of_budget {
            let time = Duration::try_from(at.duration_since(last.0)).unwrap();
            usage.held += time * u32::try_from(last.1.len()).unwrap();
            let took = |(who, count): &(&String, &u32)| last.1.get(*who).is_none_or(|had| had < *count);
            usage.taken += slots.iter().filter(took).count();
            last = (at, slots);
        }
        usage
    }

    /// The Lease writes from the first slot's use on. One that was refused wrote nothing. What comes
    /// before is the making of the Lease and of its waiting list.
    fn lease_writes(&self, writes: &[Write]) -> usize {
        writes
            .iter()
            .filter(|write| write.resource == "leases" && write.at >= self.begin && write.code < 300)
            .count()
    }
}

/// How many slots each process holds. The Lease says `PROCESS 1/3, PROCESS 2/3`.
fn slots(lease: &Lease) -> BTreeMap<String, u32> {
    let identity = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref());
    let parts = identity.into_iter().flat_map(|identity| identity.split(", "));
    parts
        .map(|part| {
            let (process, share) = part.split_once(' ').unwrap();
            (
                process.to_owned(),
                share.split_once('/').unwrap().0.parse().unwrap(),
            )
        })
        .collect()
}
