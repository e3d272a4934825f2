//! Records are waited for until the servers of their zone show them: which are asked, by what, and what goes on meanwhile.

use std::net::SocketAddr;

use sancho_e2e::bind::THIRD;

use super::*;
use crate::stories::{holders, is_ready, not_ready};

/// A world whose secondary does not answer, of one replica for each of these lists of flags.
async fn silent(replicas: &[&[&str]], ca_asks_primary: bool) -> World {
    let mut ca = by_bind(None);
    ca.bind.as_mut().unwrap().ca_asks_primary = ca_asks_primary;
    let mut world = World::start(WorldOptions {
        ca: Some(ca),
        replicas: 0,
        ..WorldOptions::default()
    })
    .await
    .unwrap();
    for flags in replicas {
        world.add_replica(with_flags(flags)).await.unwrap();
    }
    for replica in &world.replicas {
        replica.ready().await.unwrap();
    }
    world.bind().unwrap().secondary_process().stop().unwrap();
    world
}

fn with_flags(flags: &[&str]) -> ReplicaOptions {
    ReplicaOptions {
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        ..ReplicaOptions::default()
    }
}

/// The same, and a Certificate whose record waits for the secondary.
pub(super) async fn with_silent_secondary(flags: &[&str], ca_asks_primary: bool) -> World {
    let world = silent(&[flags], ca_asks_primary).await;
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &[format!("*.{SHOP}")], 20).await;
    some_record(&world).await;
    world
}

/// So many orders are under way, each with a record that is not seen yet.
async fn is_waiting(world: &World, count: usize) {
    let shards = shards(world).await;
    let statuses = shards.iter().filter_map(|shard| shard.status.as_ref());
    let waiting = statuses.filter(|status| status.order.is_some() && !status.dns_records.is_empty());
    assert_eq!(waiting.count(), count);
}

#[tokio::test]
async fn a_shard_that_waits_for_dns_holds_no_slot_and_no_other_shard_up() {
    // Each sees one namespace: so what is done in the second one is done by the other replica.
    let world = silent(
        &[&["--watch-namespaces=default"], &["--watch-namespaces=tenant"]],
        true,
    )
    .await;
    let responders: Vec<SocketAddr> = world.replicas.iter().map(Replica::responder).collect();
    let create = ["create", "namespace", "tenant"];
    world.cluster.kubectl(&create).await.unwrap();
    let one_at_once = Budget {
        rate: 10.0,
        burst: 0,
        in_flight: 1,
    };
    apply_both(&world, one_at_once).await;
    let wait = async |number: usize| {
        let names = [format!("*.{number}.{SHOP}")];
        apply_certificate(&world, &format!("waits-{number}"), &names, 20).await;
    };
    wait(1).await;
    some_record(&world).await;
    // It takes a slot to begin to look at DNS. Nobody keeps it.
    wait_for("the slot to be free", Duration::from_secs(60), &[], async || {
        Ok(holders(&world).await.is_empty().then_some(()))
    })
    .await
    .unwrap();
    is_waiting(&world, 1).await;

    // More than are driven at once at that rate; and work of the same replica, which goes on.
    for number in 2..=5 {
        wait(number).await;
    }
    world.router.set_responders(vec![responders[0]]);
    let others: Vec<String> = (1..=12).map(|number| format!("host-{number}.{BLOG}")).collect();
    apply_certificate(&world, "goes-on", &others, 4).await;
    ready(&world, "goes-on", Duration::from_secs(60)).await;
    assert_eq!(issued(&world).await, others.into_iter().collect());

    // All wait by then, and leave the slot to the other replica.
    wait_for("the records", Duration::from_secs(60), &[], async || {
        let texts = world.bind().unwrap().texts().await?;
        Ok((texts.len() == 5).then_some(()))
    })
    .await
    .unwrap();
    world.router.set_responders(vec![responders[1]]);
    let mut elsewhere = certificate("elsewhere", "ca", &[format!("www.{BLOG}")], 20);
    elsewhere["metadata"]["namespace"] = json!("tenant");
    world.cluster.apply_yaml(&elsewhere.to_string()).await.unwrap();
    let certificates: Api<Certificate> = Api::namespaced(world.cluster.client(), "tenant");
    wait_for(
        "the other replica's name to be ready",
        Duration::from_secs(60),
        &[],
        async || Ok(is_ready(&certificates.get("elsewhere").await?).then_some(())),
    )
    .await
    .unwrap();
    is_waiting(&world, 5).await;

    world.bind().unwrap().secondary_process().resume().unwrap();
    for number in 1..=5 {
        ready(&world, &format!("waits-{number}"), Duration::from_secs(120)).await;
    }
    no_record_left(&world).await;
    judged(&world, one_at_once);
}

#[tokio::test]
async fn a_record_that_is_not_seen_in_time_is_told_with_the_server_that_lacks_it() {
    let world = with_silent_secondary(&["--dns01-propagation-timeout=5"], false).await;
    not_ready(&world, "shop", "DNSRecordNotSeen", "ns2.shop.example (::1)").await;
    no_record_left(&world).await;

    world.bind().unwrap().secondary_process().resume().unwrap();
    ready(&world, "shop", Duration::from_secs(180)).await;
    no_record_left(&world).await;
}

/// The CA of [`by_bind`], whose zones have a third server, which takes no TCP.
fn with_third() -> CaOptions {
    let mut ca = by_bind(None);
    ca.bind.as_mut().unwrap().third = true;
    ca
}

#[tokio::test]
async fn a_server_that_takes_no_tcp_is_told_and_waited_for() {
    let world = world(1, FAST, with_third()).await;
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &[format!("*.{SHOP}")], 20).await;
    let told = format!(
        "the TXT record _acme-challenge.{SHOP} is not seen everywhere yet: ns3.{SHOP} ({THIRD}) has the record by UDP, \
         and by TCP it cannot be reached (connection refused)"
    );
    wait_for(&told, Duration::from_secs(120), &[], async || {
        let shards = shards(&world).await;
        let statuses = shards.into_iter().filter_map(|shard| shard.status);
        let conditions: Vec<_> = statuses.flat_map(|status| status.conditions).collect();
        let mut all = conditions.iter();
        let is_told = all.any(|one| one.reason == "WaitsForDNS" && one.message == told);
        anyhow::ensure!(is_told, "it says {conditions:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    world.bind().unwrap().third_takes_tcp().await.unwrap();
    ready(&world, "shop", Duration::from_secs(120)).await;
    no_record_left(&world).await;
}

#[tokio::test]
async fn udp_alone_does_where_a_server_takes_no_tcp_if_that_is_wanted() {
    let replica = with_flags(&["--dns01-propagation-without-tcp"]);
    let world = world_of(1, replica, FAST, with_third()).await;
    apply_issuer(&world, FAST).await;
    apply_certificate(&world, "shop", &[format!("*.{SHOP}")], 20).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    no_record_left(&world).await;
}

#[tokio::test]
async fn recursive_servers_alone_are_asked_if_that_is_wanted() {
    let world = with_silent_secondary(&["--dns01-recursive-nameservers-only"], true).await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    no_record_left(&world).await;
}

#[tokio::test]
async fn a_recursive_server_that_keeps_what_was_there_before_is_waited_for() {
    let mut ca = by_bind(None);
    let bind = ca.bind.as_mut().unwrap();
    // It keeps that nothing is there for 15 s, and the wildcard's CNAME for 30 s.
    bind.bare_zones = [
        ("bare.example", "www A 127.0.0.1\nlb A 127.0.0.1"),
        ("wild.example", "* 30 CNAME lb.bare.example."),
    ]
    .map(|(zone, records)| (zone.to_owned(), records.to_owned()))
    .to_vec();
    bind.negative_ttl = Some(Duration::from_secs(15));
    bind.cache = true;
    let replica = with_flags(&[
        "--dns01-recursive-nameservers-only",
        "--dns01-propagation-timeout=3",
    ]);
    let world = world_of(1, replica, FAST, ca).await;
    apply_issuer(&world, FAST).await;
    let asked = ["www.bare.example", "www.wild.example"].map(str::to_owned);
    apply_certificate(&world, "shop", &asked, 20).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    assert_eq!(issued(&world).await, asked.into());
    assert_eq!(orders(&world).await, 1, "an order was given up too early");
    no_record_left(&world).await;
}
