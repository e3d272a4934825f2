//! What the CA suggests for renewals (RFC 9773): heard, obeyed, and told back in `replaces`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, ResourceExt};
use sancho_crds::{CertificateShard, CertificateShardStatus, condition};
use sancho_e2e::arrivals::{Arrival, RequestKind};
use sancho_e2e::ca::PebbleOptions;
use sancho_e2e::front::Fault;
use sancho_e2e::process::wait_for;
use sancho_e2e::world::{CaOptions, World};
use serde_json::json;

use crate::history::History;
use crate::stories::{FAST, apply_certificate, apply_issuer, judged, ready, secrets, shards, world};

/// A new certificate is asked about after a minute or two.
const FIRST_LOOK: Duration = Duration::from_secs(120);
/// For what is due: a slot is to be taken, and a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
const WHY: &str = "https://ca.example/incident-7";

#[tokio::test]
async fn a_certificate_whose_window_is_moved_to_now_is_renewed_soon_and_others_stay() {
    let world = world(2, FAST, valid_for(20 * 60)).await;
    apply_issuer(&world, FAST).await;
    let before = issue(&world, ["moved", "refused", "stays"]).await;
    let now = Timestamp::now();
    let past = (
        now - SignedDuration::from_hours(1),
        now - SignedDuration::from_mins(59),
    );
    let future = (
        now + SignedDuration::from_mins(14),
        now + SignedDuration::from_mins(15),
    );
    suggest(&world, "moved", past, Some(WHY)).await;
    suggest(&world, "refused", past, Some(WHY)).await;
    suggest(&world, "stays", future, None).await;
    // One of the two that are renewed, whichever comes first.
    let told = AtomicBool::new(false);
    world.front().unwrap().set_faults(move |arrival| {
        let is_first = arrival.kind == RequestKind::NewOrder && !told.swap(true, Ordering::Relaxed);
        is_first.then(already_replaced)
    });
    let history = History::start(Api::<CertificateShard>::namespaced(
        world.cluster.client(),
        "default",
    ));

    let after = wait_for(
        "what the CA suggests to be done",
        FIRST_LOOK + PATIENCE,
        &[],
        async || {
            let found = statuses(&world).await;
            let is_new = |name: &str| fingerprint(&found[name]) != fingerprint(&before[name]);
            let is_heard = suggested_window(&found["stays"]).is_some();
            Ok((is_new("moved") && is_new("refused") && is_heard).then_some(found))
        },
    )
    .await
    .unwrap();

    for name in ["moved", "refused"] {
        assert_eq!(after[name].failure, None, "{name}");
        assert_eq!(after[name].orders, Some(2), "{name}");
        assert_eq!(events(&world, name).await, 1, "{name}");
        let versions = history
            .versions()
            .into_iter()
            .filter(|(_, shard)| shard.spec.certificate == name);
        let explained = |(_, shard): (Timestamp, CertificateShard)| {
            let conditions = shard.status.unwrap_or_default().conditions;
            condition(&conditions, "Renewing").is_some_and(|c| c.status == "True" && c.message.contains(WHY))
        };
        assert!(versions.into_iter().any(explained), "{name}");
    }
    let stays = &after["stays"];
    assert_eq!(fingerprint(stays), fingerprint(&before["stays"]));
    let issued = stays.issued.as_ref().unwrap();
    let planned = issued.renewal_time.0;
    let (start, end) = suggested_window(stays).unwrap();
    assert!(
        start <= planned && planned < end,
        "{planned} and not {start} to {end}"
    );
    let said = condition(&stays.conditions, "Ready").unwrap();
    let moment = format!("renewed from {planned} on, as the CA suggests");
    assert!(said.message.contains(&moment), "{said:?}");
    assert_eq!(stays.claim, None);

    // Each was asked about once, by one of the replicas.
    for (name, status) in &before {
        let cert_id = status.issued.as_ref().unwrap().cert_id.as_ref().unwrap();
        let looks = arrivals(&world, |arrival| {
            arrival.kind == RequestKind::RenewalInfo && arrival.path.ends_with(cert_id.as_str())
        });
        assert_eq!(looks, 1, "{name}");
    }
    // Three at first, one that was refused, and two. Pebble may have refused the nonce of any of them besides.
    assert_eq!(world.front().unwrap().log().orders(), 5);
    let is_refused = |arrival: &Arrival| arrival.kind == RequestKind::NewOrder && arrival.status == Some(409);
    assert_eq!(arrivals(&world, is_refused), 1);
    let replaced = usize::from(
        ["moved", "refused"]
            .iter()
            .all(|name| is_found_by_pebble(&before[*name])),
    );
    assert_eq!(replacements(&world), replaced);
    judged(&world, FAST);
}

#[tokio::test]
async fn a_ca_without_renewal_info_in_its_directory_is_not_asked_and_the_old_rule_holds() {
    // Two thirds of it, less the jitter, come after the first look would.
    let world = world(2, FAST, valid_for(240)).await;
    let front = world.front().unwrap();
    let url = |path: &str| format!("{}/{path}", front.origin());
    let directory = json!({
        "newNonce": url("nonce-plz"), "newAccount": url("sign-me-up"), "newOrder": url("order-plz"),
    });
    front.set_faults(move |arrival| {
        (arrival.kind == RequestKind::Directory).then(|| Fault::Answer {
            status: 200,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: directory.to_string(),
        })
    });
    apply_issuer(&world, FAST).await;
    let before = issue(&world, ["first", "second"]).await;
    let now = Timestamp::now();
    let past = (
        now - SignedDuration::from_hours(1),
        now - SignedDuration::from_mins(59),
    );
    for (name, status) in &before {
        suggest(&world, name, past, None).await;
        let issued = status.issued.as_ref().unwrap();
        let next_look = issued.renewal_info.as_ref().unwrap().next_look.0;
        assert!(
            next_look + SignedDuration::from_secs(20) < issued.renewal_time.0,
            "{issued:?}"
        );
    }
    let after = wait_for(
        "both to be renewed",
        Duration::from_secs(160) + PATIENCE,
        &[],
        async || {
            let found = statuses(&world).await;
            let is_new = |name: &String| fingerprint(&found[name]) != fingerprint(&before[name]);
            Ok(before.keys().all(is_new).then_some(found))
        },
    )
    .await
    .unwrap();
    for (name, status) in &before {
        let planned = status.issued.as_ref().unwrap().renewal_time.0;
        let renewed = after[name].issued.as_ref().unwrap().not_before.0;
        assert!(
            renewed >= planned,
            "{name} was renewed at {renewed}, and not from {planned} on"
        );
        assert_eq!(after[name].orders, Some(2), "{name}");
    }
    assert_eq!(
        arrivals(&world, |arrival| arrival.kind == RequestKind::RenewalInfo),
        0
    );
    assert_eq!(replacements(&world), 0);
    judged(&world, FAST);
}

fn valid_for(seconds: u64) -> CaOptions {
    let pebble = PebbleOptions {
        validity: Duration::from_secs(seconds),
        ..PebbleOptions::default()
    };
    CaOptions {
        pebble,
        ..CaOptions::default()
    }
}

/// Issues Certificates of one name each. Their shards' statuses, by Certificate.
async fn issue<const N: usize>(
    world: &World,
    certificates: [&str; N],
) -> BTreeMap<String, CertificateShardStatus> {
    for name in certificates {
        apply_certificate(world, name, &[format!("{name}.demo.example")], 20).await;
    }
    for name in certificates {
        ready(world, name, Duration::from_secs(60)).await;
    }
    statuses(world).await
}

async fn statuses(world: &World) -> BTreeMap<String, CertificateShardStatus> {
    let shards = shards(world).await.into_iter();
    shards
        .map(|shard| (shard.spec.certificate, shard.status.unwrap_or_default()))
        .collect()
}

fn fingerprint(status: &CertificateShardStatus) -> &str {
    let issued = status.issued.as_ref();
    issued.map_or("", |issued| issued.fingerprint.as_str())
}

fn suggested_window(status: &CertificateShardStatus) -> Option<(Timestamp, Timestamp)> {
    let info = status.issued.as_ref()?.renewal_info.as_ref()?;
    let window = info.suggested_window.as_ref()?;
    Some((window.start.0, window.end.0))
}

/// Has the CA suggest a window for what is in a Certificate's only Secret.
async fn suggest(world: &World, certificate: &str, window: (Timestamp, Timestamp), why: Option<&str>) {
    let secrets = secrets(world).await;
    let (_, chain) = &secrets[&format!("{certificate}-tls")];
    world.pebble().unwrap().suggest(chain, window, why).await.unwrap();
}

fn already_replaced() -> Fault {
    Fault::Answer {
        status: 409,
        headers: vec![("Content-Type".into(), "application/problem+json".into())],
        body: json!({
            "type": "urn:ietf:params:acme:error:alreadyReplaced",
            "detail": "the certificate has a replacement",
        })
        .to_string(),
    }
}

/// How many events have told of an explanation for the shards of a Certificate.
async fn events(world: &World, certificate: &str) -> usize {
    let events: Api<Event> = Api::namespaced(world.cluster.client(), "default");
    let shards = shards(world).await;
    let shard = shards
        .iter()
        .find(|shard| shard.spec.certificate == certificate)
        .unwrap();
    let is_it = |event: &&Event| {
        let about = event.regarding.as_ref().and_then(|about| about.name.as_ref());
        event.reason.as_deref() == Some("RenewalSuggested")
            && about == Some(&shard.name_any())
            && event.note.as_deref().unwrap_or_default().contains(WHY)
    };
    let events = events.list(&Default::default()).await.unwrap();
    let told = events.iter().filter(is_it);
    told.map(|event| 1 + event.series.as_ref().map_or(0, |series| series.count as usize))
        .sum()
}

fn arrivals(world: &World, which: impl Fn(&Arrival) -> bool) -> usize {
    let log = world.front().unwrap().log();
    log.arrivals.iter().filter(|arrival| which(arrival)).count()
}

/// Can Pebble find this certificate by what `replaces` says? It looks for the serial number without a leading zero byte;
/// RFC 9773 §4.1 has that byte, where the number is short and its next bit is set: one in 512 of Pebble's.
fn is_found_by_pebble(status: &CertificateShardStatus) -> bool {
    let cert_id = status.issued.as_ref().unwrap().cert_id.as_ref().unwrap();
    let (_, serial) = cert_id.as_str().split_once('.').unwrap();
    URL_SAFE_NO_PAD.decode(serial).unwrap()[0] != 0
}

/// How many orders Pebble has made that say what they replace.
fn replacements(world: &World) -> usize {
    let log = fs::read_to_string(world.pebble().unwrap().process().log_path()).unwrap();
    log.matches("is a replacement of").count()
}
