//! DNS-01 by a webhook of cert-manager's kind, through the API server's aggregation layer.

use sancho_e2e::dns_api::webhook::{DnsWebhook, GROUP, SOLVER, TOKEN};

use super::mistakes::apply_own;
use super::*;
use crate::stories::not_ready;

fn webhook(token: &str) -> Value {
    json!({ "dns01": { "webhook": {
        "groupName": GROUP, "solverName": SOLVER, "config": { "token": token, "more": [1, { "of": "it" }] },
    } } })
}

#[tokio::test]
async fn a_webhook_of_cert_managers_writes_the_records_once_sancho_may_ask_it() {
    let world = world(1, FAST, by_bind(None)).await;
    let hook = DnsWebhook::start(&world.cluster, world.bind().unwrap())
        .await
        .unwrap();
    let names = [SHOP.to_owned(), format!("*.{SHOP}"), format!("www.{BLOG}")];
    apply_pair(&world, "refused", webhook(TOKEN), &names).await;
    not_ready(
        &world,
        "refused",
        "DNSUpdateRefused",
        "let its service account create bind in the API group dns.webhook.example",
    )
    .await;
    assert!(hook.asked().is_empty());

    // As charts of webhooks do for cert-manager's service account.
    let cluster = &world.cluster;
    for command in [
        "create clusterrole dns-webhook --verb=create --resource=bind.dns.webhook.example",
        "create clusterrolebinding dns-webhook --clusterrole=dns-webhook --serviceaccount=sancho-system:sancho",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        cluster.kubectl(&words).await.unwrap();
    }
    apply_pair(&world, "shop", webhook(TOKEN), &names).await;
    ready(&world, "shop", Duration::from_secs(90)).await;
    no_record_left(&world).await;
    let asked = hook.asked();
    println!("{asked:#?}");
    let of = |action: &str| asked.iter().filter(|one| one.action == action).count();
    assert!(of("Present") >= 3 && of("CleanUp") >= 3);
    let first = &asked[0];
    assert!(asked.iter().all(|one| one.resource_namespace == "sancho-system"));
    assert_eq!(first.config["more"], json!([1, { "of": "it" }]));
    assert!(!first.allow_ambient_credentials);
    let domains: BTreeSet<&str> = asked.iter().map(|one| one.dns_name.as_str()).collect();
    assert_eq!(domains, [SHOP, &format!("www.{BLOG}")].into());

    // That of an Issuer may name Secrets of its namespace, and no other.
    apply_own(&world, webhook(TOKEN)).await;
    ready(&world, "own", Duration::from_secs(90)).await;
    no_record_left(&world).await;
    let asked = hook.asked();
    let of_issuer = asked.iter().filter(|one| one.resource_namespace == "default");
    let actions: BTreeSet<&str> = of_issuer.map(|one| one.action.as_str()).collect();
    assert_eq!(actions, ["CleanUp", "Present"].into());

    // What it refuses for good is left out, and the others are issued.
    let mut refusing = webhook(TOKEN);
    refusing["dns01"]["webhook"]["config"]["refused"] = json!(BLOG);
    let (good, bad) = (format!("good.{SHOP}"), format!("bad.{BLOG}"));
    apply_pair(&world, "partly", refusing, &[good.clone(), bad.clone()]).await;
    let certificate = ready(&world, "partly", Duration::from_secs(120)).await;
    assert_eq!(certificate.status.unwrap().quarantined_names, Some(1));
    let (names, _) = secrets(&world).await.remove("partly-tls").unwrap();
    assert_eq!(names, [good].into());
    let left_out = quarantined(&world).await;
    let left_out = left_out.iter().find(|entry| entry.name == bad).unwrap();
    assert_eq!(left_out.reason, "DNSUpdateRefused");
    let words = format!("refuses the TXT record _acme-challenge.bad.{BLOG}: {BLOG} is not the account's");
    assert!(left_out.message.contains(&words), "{}", left_out.message);
    no_record_left(&world).await;

    // What it gives no code for may pass: it is told, and tried again.
    apply_pair(&world, "failing", webhook("another"), &[format!("fails.{SHOP}")]).await;
    wait_for(
        "the webhook's words to be told",
        Duration::from_secs(60),
        &[],
        async || {
            let shards = shards(&world).await;
            let told = shards
                .iter()
                .filter_map(|shard| serde_json::to_string(&shard.status).ok());
            let told: Vec<String> = told.collect();
            Ok(told
                .iter()
                .any(|status| status.contains("config.token is not the webhook's"))
                .then_some(()))
        },
    )
    .await
    .unwrap();
}
