//! Records that are written by the one form that several providers share. Their APIs are the tests' own (see
//! [`sancho_e2e::dns_api`]), and write to BIND.

use sancho_crds::ProviderName;
use sancho_e2e::dns_api::{Asked, Provider, account, is_published, token};

use super::providers::by_api;
use super::*;
use crate::stories::not_ready;

fn other(name: ProviderName, secret: &str) -> Value {
    let mut settings = json!({ "name": name, "tokenSecretRef": { "name": secret, "key": "key" } });
    if !account(name).is_empty() {
        settings["account"] = json!(account(name));
    }
    json!({ "dns01": { "provider": settings } })
}

/// One of each way to let requests in.
const REFUSING: [ProviderName; 4] = [
    ProviderName::DigitalOcean,
    ProviderName::NameDotCom,
    ProviderName::Linode,
    ProviderName::Scaleway,
];

#[tokio::test]
async fn providers_by_one_form_write_under_the_same_names_at_once_and_keep_each_others_values() {
    let mut options = by_api();
    options.bind.as_mut().unwrap().fixed_zones = vec![("other.example".to_owned(), String::new())];
    let world = traced(2, FAST, options).await;
    apply_key(&world, "wrong", "wrong-but-secret").await;
    for provider in ProviderName::ALL {
        let name = provider.word();
        apply_key(&world, name, &token(provider)).await;
        // All validated at `_acme-challenge.shop.example`, where somebody else's record stands.
        let names = [SHOP.to_owned(), format!("*.{SHOP}"), format!("{name}.{BLOG}")];
        apply_pair(&world, name, other(provider, name), &names).await;
    }
    for provider in REFUSING {
        let name = provider.word();
        let (refused, absent) = (format!("{name}-refused"), format!("{name}-absent"));
        apply_pair(&world, &refused, other(provider, "wrong"), &[format!("*.{SHOP}")]).await;
        let names = ["www.other.example".to_owned()];
        apply_pair(&world, &absent, other(provider, name), &names).await;
    }
    for provider in ProviderName::ALL {
        ready(&world, provider.word(), Duration::from_secs(300)).await;
    }
    for provider in REFUSING {
        let name = provider.word();
        let advice = "put a valid API token into the Secret of dns01.provider.tokenSecretRef";
        let refused = format!("{name}-refused");
        not_ready(&world, &refused, "DNSCredentialsRefused", advice).await;
        let advice = "shows no zone other.example that is served to this token";
        not_ready(&world, &format!("{name}-absent"), "DNSZoneRefused", advice).await;
    }
    assert_eq!(
        orders(&world).await as usize,
        ProviderName::ALL.len(),
        "an order failed and was made again, or the CA was asked in vain"
    );
    no_record_left(&world).await;
    let asked = world.dns_api().unwrap().asked();
    for provider in ProviderName::ALL {
        let its: Vec<&Asked> = asked
            .iter()
            .filter(|one| one.provider == Provider::Other(provider))
            .collect();
        println!("{} requests to {provider:?}: {its:#?}", its.len());
        // Both zones are found by each replica, listed before each change, and three values made and deleted.
        // OVH gives each record that there is by a request of its own.
        let most = if provider == ProviderName::Ovh { 90 } else { 40 };
        assert!(its.len() <= most, "{} requests", its.len());
        // What was answered else was not as it is published.
        assert!(
            its.iter().all(|one| is_published(provider, one.status)),
            "{its:#?}"
        );
    }
    let tokens = ProviderName::ALL.map(token);
    let pairs = ProviderName::ALL.map(|name| format!("{}:{}", account(name), token(name)));
    let sessions = world.dns_api().unwrap().sessions();
    assert!(!sessions.is_empty());
    let all = tokens.iter().chain(&pairs).chain(&sessions).map(String::as_str);
    let secrets: Vec<&str> = all.chain(["wrong-but-secret"]).collect();
    shown_nowhere(&world, &secrets).await;
}

/// Those that take all values of a change by one request.
const SEVERAL: [ProviderName; 7] = [
    ProviderName::AutoDns,
    ProviderName::DnsMadeEasy,
    ProviderName::HostingDe,
    ProviderName::OracleCloud,
    ProviderName::Scaleway,
    ProviderName::Spaceship,
    ProviderName::YandexCloud,
];

#[tokio::test]
async fn a_shards_values_go_by_one_request_where_the_api_has_it() {
    let world = world(1, FAST, by_api()).await;
    for provider in SEVERAL {
        let name = provider.word();
        apply_key(&world, name, &token(provider)).await;
        let names: Vec<String> = (1..=12)
            .map(|number| format!("host-{number}.{name}.{SHOP}"))
            .collect();
        apply_pair(&world, name, other(provider, name), &names).await;
    }
    for provider in SEVERAL {
        ready(&world, provider.word(), Duration::from_secs(120)).await;
    }
    no_record_left(&world).await;
    let asked = world.dns_api().unwrap().asked();
    for provider in SEVERAL {
        let its: Vec<&Asked> = asked
            .iter()
            .filter(|one| one.provider == Provider::Other(provider))
            .collect();
        // The zone is found, and listed before each of two changes; sessions end after some requests.
        assert!((5..=8).contains(&its.len()), "{provider:?}: {its:#?}");
    }
}

#[tokio::test]
async fn a_value_that_somebody_else_deletes_meanwhile_does_not_keep_the_others_there() {
    let world = world(1, FAST, by_api()).await;
    let provider = ProviderName::Scaleway;
    let (name, api) = (provider.word(), world.dns_api().unwrap());
    apply_key(&world, name, &token(provider)).await;
    api.lose_one();
    let names: Vec<String> = (1..=6).map(|number| format!("host-{number}.{SHOP}")).collect();
    apply_pair(&world, name, other(provider, name), &names).await;
    ready(&world, name, Duration::from_secs(120)).await;
    no_record_left(&world).await;
    let asked = api.asked();
    let gone = asked.iter().filter(|one| one.status == 404).count();
    assert_eq!(gone, 1, "{asked:#?}");
}

/// More Certificates than one replica works at, of so many names that it takes minutes to write them all at the provider's pace.
#[tokio::test]
async fn who_waits_for_a_provider_that_is_slow_keeps_nobody_else_waiting() {
    let world = world(1, FAST, by_api()).await;
    let provider = ProviderName::EasyDns;
    // What it publishes; each value is a request.
    world.dns_api().unwrap().limit(1.0, 3);
    apply_key(&world, provider.word(), &token(provider)).await;
    apply_of_shop(&world, other(provider, provider.word())).await;
    let slow: Vec<String> = (0..20).map(|number| format!("shop-{number}")).collect();
    for name in &slow {
        let hosts = (0..25).map(|number| format!("host-{number}.{name}.{SHOP}"));
        apply_certificate(&world, name, &hosts.collect::<Vec<_>>(), 25).await;
    }
    // A drive ends before all are there, and what is there is known.
    let within = Duration::from_secs(120);
    wait_for("an order with a part of its records", within, &[], async || {
        let shards = shards(&world).await;
        let mut listed = shards
            .iter()
            .filter_map(|shard| Some(&shard.status.as_ref()?.dns_records));
        let is_part = |records: &Vec<PresentedRecord>| {
            let written = records.iter().filter(|record| record.written).count();
            written > 0 && written < records.len()
        };
        Ok(listed.any(is_part).then_some(()))
    })
    .await
    .unwrap();

    apply_certificate(&world, "blog", &[format!("www.{BLOG}")], 20).await;
    ready(&world, "blog", Duration::from_secs(60)).await;
    let issued = issued(&world).await;
    assert!(issued.len() < slow.len() * 25, "it was not slow");
}
