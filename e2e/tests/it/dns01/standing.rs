//! dns-persist-01: records that a person writes once. What is to be written is told, and nothing is written by Sancho.

use sancho_crds::condition;

use super::*;
use crate::plugin::{said, sancho};
use crate::stories::not_ready;

/// The lines of a zone file that `kubectl sancho dns-records` prints for a Certificate.
async fn printed(world: &World, name: &str) -> Vec<String> {
    let text = said(&sancho(world, &["dns-records", name]).await, 0);
    let lines = text.lines().filter(|line| !line.starts_with(';'));
    lines.map(str::to_owned).collect()
}

/// Has a Certificate tried again at once.
async fn retry(world: &World, name: &str) {
    said(&sancho(world, &["retry", name]).await, 0);
}

#[tokio::test]
async fn a_standing_record_is_told_until_it_is_there_and_then_serves_for_good() {
    let world = world(1, FAST, by_bind(None)).await;
    let (bind, front) = (world.bind().unwrap(), world.front().unwrap());
    let mut issuer = cluster_issuer("ca", &front.directory_url(), front.ca_pem(), FAST);
    issuer["spec"]["acme"]["solvers"] = json!([{ "dnsPersist01": {} }]);
    let asked = [SHOP.to_owned(), format!("*.{SHOP}"), format!("www.{SHOP}")];
    // All names or none: so that a retry looks again at once.
    let mut manifest = certificate("shop", "ca", &asked, 20);
    manifest["spec"]["policy"] = json!("Strict");
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    let early = said(&sancho(&world, &["dns-records", "shop"]).await, 1);
    assert!(
        early.contains("; not known yet: ClusterIssuer ca is not there"),
        "{early}"
    );

    // What is missing is told before any order: by the condition, an event, the status and the command, in one line.
    world.cluster.apply_yaml(&issuer.to_string()).await.unwrap();
    issuer_ready(&world).await;
    let lines = printed(&world, "shop").await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    let start = format!(
        "_validation-persist.{SHOP}. 3600 IN TXT \"pebble.letsencrypt.org; accounturi={}",
        front.directory_url().trim_end_matches("/dir")
    );
    assert!(lines[0].starts_with(&start), "{lines:?}");
    assert!(lines[0].ends_with("; policy=wildcard\""), "{lines:?}");
    assert!(!lines[1].contains("policy"), "{lines:?}");
    not_ready(&world, "shop", "StandingRecordMissing", &lines[0]).await;
    let status = said(&sancho(&world, &["status", "shop"]).await, 1);
    assert!(status.contains(&lines[0]), "{status}");

    // One for another account is told, and so is one that serves no wildcard.
    let of_another = lines[0].replace("accounturi=", "accounturi=https://other.example/?");
    bind.add(&[of_another]).await.unwrap();
    retry(&world, "shop").await;
    let words = "the one that is there is for another account, https://other.example/?";
    not_ready(&world, "shop", "StandingRecordWrong", words).await;
    bind.add(&[lines[0].replace("; policy=wildcard", "")])
        .await
        .unwrap();
    retry(&world, "shop").await;
    // The reason is the same, and no event's.
    wait_for(
        "the missing policy to be told",
        Duration::from_secs(60),
        &[],
        async || {
            let status = said(&sancho(&world, &["status", "shop"]).await, 1);
            let words = "the one that is there lacks policy=wildcard";
            anyhow::ensure!(status.contains(words), "{status}");
            Ok(Some(()))
        },
    )
    .await
    .unwrap();
    assert_eq!(orders(&world).await, 0, "the CA was asked in vain");

    // As they are printed they do, beside the others.
    bind.add(&lines).await.unwrap();
    let (texts, serial) = (bind.texts().await.unwrap(), bind.serial(SHOP).await.unwrap());
    retry(&world, "shop").await;
    ready(&world, "shop", Duration::from_secs(60)).await;
    assert_eq!(issued(&world).await, asked.into_iter().collect());

    // A renewal changes nothing in DNS, and asks no more of the CA than that of other names.
    let before = front.log().arrivals.len();
    let first = secrets(&world).await;
    said(&sancho(&world, &["renew", "shop"]).await, 0);
    wait_for("the renewal", Duration::from_secs(60), &[], async || {
        let rests = shards(&world).await.iter().all(|shard| {
            let status = shard.status.clone().unwrap_or_default();
            status.order.is_none() && status.claim.is_none()
        });
        Ok((rests && secrets(&world).await != first).then_some(()))
    })
    .await
    .unwrap();
    let arrivals = front.log().arrivals.split_off(before);
    let of_order = |kind| !matches!(kind, RequestKind::RenewalInfo);
    let requests = arrivals.iter().filter(|arrival| of_order(arrival.kind)).count();
    assert!(requests <= 2 * 3 + 6, "{requests} requests: {arrivals:#?}");
    assert_eq!(bind.serial(SHOP).await.unwrap(), serial, "DNS was changed");
    assert_eq!(bind.texts().await.unwrap(), texts);

    // Where not all names are wanted or none, the others get theirs.
    let host = format!("host.{BLOG}");
    apply_certificate(&world, "mixed", &[format!("www.{SHOP}"), host.clone()], 20).await;
    let mixed = ready(&world, "mixed", Duration::from_secs(60))
        .await
        .status
        .unwrap();
    assert_eq!(mixed.quarantined_names, Some(1));
    let degraded = condition(&mixed.conditions, "Degraded").unwrap();
    let line = printed(&world, "mixed")
        .await
        .into_iter()
        .find(|line| line.contains(&host));
    assert!(degraded.message.contains(&line.unwrap()), "{degraded:?}");
    judged(&world, FAST);
}
