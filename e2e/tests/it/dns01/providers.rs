//! Records that are written by providers' APIs. These are the tests' own (see [`sancho_e2e::dns_api`]), and write to BIND,
//! so that Pebble validates what they took.

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::ListParams;
use sancho_e2e::dns_api::{
    ACCESS_KEY_ID, ACME_DNS_KEY, ACME_DNS_SUBDOMAIN, ACME_DNS_USER, Asked, CLIENT, CLIENT_SECRET,
    CLOUDFLARE_KEY, CLOUDFLARE_TOKEN, GROUP, HTTPREQ_PASSWORD, HTTPREQ_USER, PROJECT, Provider,
    SECRET_ACCESS_KEY, SUBSCRIPTION, TENANT,
};

use super::*;
use crate::history::History;
use crate::stories::not_ready;

/// A CA whose names are in two zones of BIND, which the APIs write.
pub(super) fn by_api() -> CaOptions {
    let mut options = by_bind(None);
    options.bind.as_mut().unwrap().api = true;
    options
}

pub(super) fn cloudflare(secret: &str) -> Value {
    json!({ "dns01": { "cloudflare": { "apiTokenSecretRef": { "name": secret, "key": "key" } } } })
}

pub(super) fn route53(id: &str, secret: &str) -> Value {
    json!({ "dns01": { "route53": {
        "accessKeyID": id, "secretAccessKeySecretRef": { "name": secret, "key": "key" },
    } } })
}

pub(super) fn cloud_dns(project: &str, secret: &str) -> Value {
    json!({ "dns01": { "cloudDNS": {
        "project": project, "serviceAccountSecretRef": { "name": secret, "key": "key" },
    } } })
}

pub(super) fn azure_dns(secret: &str) -> Value {
    json!({ "dns01": { "azureDNS": {
        "subscriptionID": SUBSCRIPTION, "resourceGroupName": GROUP, "tenantID": TENANT, "clientID": CLIENT,
        "clientSecretSecretRef": { "name": secret, "key": "key" },
    } } })
}

pub(super) fn acme_dns(world: &World) -> Value {
    json!({ "dns01": { "acmeDNS": {
        "host": world.dns_api().unwrap().origin(), "accountSecretRef": { "name": "accounts", "key": "key" },
    } } })
}

/// The Secret `httpreq`, which says where that is.
async fn apply_httpreq(world: &World) -> Value {
    let api = world.dns_api().unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "httpreq", "namespace": "sancho-system" },
        "stringData": {
            "endpoint": format!("{}/httpreq/", api.origin()), "username": HTTPREQ_USER, "password": HTTPREQ_PASSWORD,
            "ca.crt": api.roots().unwrap(),
        },
    });
    world.cluster.apply_yaml(&secret.to_string()).await.unwrap();
    json!({ "dns01": { "httpreq": { "secretRef": { "name": "httpreq" } } } })
}

/// The Secret `accounts`, with what acme-dns answered when its account was registered.
pub(super) async fn apply_accounts(world: &World) {
    let account = json!({
        "fulldomain": format!("{ACME_DNS_SUBDOMAIN}.{SHOP}"), "subdomain": ACME_DNS_SUBDOMAIN,
        "username": ACME_DNS_USER, "password": ACME_DNS_KEY, "allowfrom": [],
    });
    let accounts = json!({ "www.alias.example": account }).to_string();
    apply_key(world, "accounts", &accounts).await;
}

/// Applies the ClusterIssuer `ca` with Cloudflare for all names, and its token.
async fn apply_cloudflare(world: &World) {
    apply_key(world, "token", CLOUDFLARE_TOKEN).await;
    apply_solvers(world, FAST, json!([cloudflare("token")])).await;
}

/// The same, with Cloudflare for one zone, and rfc2136 for the other.
async fn apply_cloudflare_of_shop(world: &World) {
    apply_key(world, "token", CLOUDFLARE_TOKEN).await;
    apply_of_shop(world, cloudflare("token")).await;
}

/// The same issuer as [`apply_cloudflare`]'s, and a Certificate whose record the account's budget was made for. Without its
/// Lease a first request waits longer than a provider that is away for a moment.
async fn with_cloudflares_budget(world: &World) {
    apply_cloudflare(world).await;
    apply_certificate(world, "first", &[format!("first.{SHOP}")], 20).await;
    ready(world, "first", Duration::from_secs(90)).await;
    no_record_left(world).await;
}

/// What the provider was asked, which is nothing that it refuses for its pace and not more than `most`.
fn asked(world: &World, provider: Provider, most: usize) -> Vec<Asked> {
    let asked = world.dns_api().unwrap().asked();
    let asked: Vec<Asked> = asked.into_iter().filter(|one| one.provider == provider).collect();
    println!("{} requests to {provider:?}: {asked:#?}", asked.len());
    assert!(asked.iter().all(|one| !one.throttled));
    assert!((1..=most).contains(&asked.len()), "{} requests", asked.len());
    asked
}

#[tokio::test]
async fn cloudflare_gets_a_shards_records_in_one_request_for_each_zone_although_a_replica_is_killed() {
    let world = traced(3, FAST, by_api()).await;
    world.dns_api().unwrap().limit(4.0, 60);
    apply_cloudflare(&world).await;
    let wanted = names(42);
    apply_certificate(&world, "shop", &wanted, 21).await;
    some_record(&world).await;
    writer(&world).await.process().kill();

    ready(&world, "shop", Duration::from_secs(120)).await;
    assert_eq!(issued(&world).await, wanted.into_iter().collect());
    assert!(orders(&world).await <= 2, "a recorded order was made again");
    no_record_left(&world).await;
    // Two shards in two zones: each replica finds the zones, each shard writes and removes twice; and what the killed one
    // had done is done again.
    asked(&world, Provider::Cloudflare, 40);
    // All replicas call the account the same.
    let leases: Api<Lease> = Api::namespaced(world.cluster.client(), NAMESPACE);
    let leases = leases.list(&ListParams::default()).await.unwrap();
    let names = leases.iter().map(ResourceExt::name_any);
    let of_account: Vec<String> = names
        .filter(|name| name.starts_with("sancho-budget-dns-cloudflare-"))
        .collect();
    assert_eq!(of_account.len(), 1, "{of_account:?}");
    shown_nowhere(&world, &[CLOUDFLARE_TOKEN]).await;
    judged(&world, FAST);
}

#[tokio::test]
async fn route_53_keeps_every_value_under_one_name_when_several_certificates_and_replicas_write_it() {
    let world = traced(3, FAST, by_api()).await;
    // What it publishes; arrivals are never quite even.
    world.dns_api().unwrap().limit(5.0, 1);
    apply_key(&world, "key", SECRET_ACCESS_KEY).await;
    apply_solvers(&world, FAST, json!([route53(ACCESS_KEY_ID, "key")])).await;
    let wildcard = format!("*.{SHOP}");
    // All validated at `_acme-challenge.shop.example`, where somebody else's record stands.
    let certificates = ["one", "two", "three", "four"];
    for name in certificates {
        let names = [SHOP.to_owned(), wildcard.clone(), format!("{name}.{BLOG}")];
        apply_certificate(&world, name, &names, 20).await;
    }
    for name in certificates {
        ready(&world, name, Duration::from_secs(150)).await;
    }
    assert_eq!(orders(&world).await, 4, "an order failed and was made again");
    no_record_left(&world).await;
    asked(&world, Provider::Route53, 120);
    shown_nowhere(&world, &[SECRET_ACCESS_KEY]).await;
    judged(&world, FAST);
}

#[tokio::test]
async fn cloud_dns_azure_dns_httpreq_and_acme_dns_write_under_the_same_names_what_a_ca_validates() {
    let mut options = by_api();
    let alias = format!(
        "www A 127.0.0.1
_acme-challenge.www CNAME {ACME_DNS_SUBDOMAIN}.{SHOP}."
    );
    options.bind.as_mut().unwrap().fixed_zones = vec![("alias.example".to_owned(), alias)];
    let world = traced(2, FAST, options).await;
    let key_file = world.dns_api().unwrap().key_file().to_owned();
    apply_key(&world, "google", &key_file).await;
    apply_key(&world, "azure", CLIENT_SECRET).await;
    apply_accounts(&world).await;
    let of_zone = || vec![SHOP.to_owned(), format!("*.{SHOP}"), format!("www.{BLOG}")];
    let alias = vec!["www.alias.example".to_owned(), "*.www.alias.example".to_owned()];
    let all = [
        ("google", cloud_dns(PROJECT, "google"), of_zone()),
        ("azure", azure_dns("azure"), of_zone()),
        ("httpreq", apply_httpreq(&world).await, of_zone()),
        ("acmedns", acme_dns(&world), alias),
    ];
    for (name, solver, names) in &all {
        apply_pair(&world, name, solver.clone(), names).await;
    }
    settings::apply(&world).await;
    for name in all.iter().map(|(name, ..)| *name).chain(["settings"]) {
        let certificate = ready(&world, name, Duration::from_secs(150)).await;
        assert_eq!(
            certificate.status.unwrap().quarantined_names.unwrap_or_default(),
            0
        );
    }
    assert_eq!(orders(&world).await, 5, "an order failed and was made again");
    // acme-dns removes none; its last two stay.
    let bind = world.bind().unwrap();
    wait_for(
        "the records to be gone",
        Duration::from_secs(60),
        &[],
        async || {
            let texts = bind.texts().await?;
            let others = texts
                .iter()
                .filter(|(name, _)| !name.starts_with(ACME_DNS_SUBDOMAIN));
            Ok((others.count() == 0 && texts.len() == 2).then_some(()))
        },
    )
    .await
    .unwrap();
    let asked = world.dns_api().unwrap().asked();
    println!("{asked:#?}");
    let private_key: Value = serde_json::from_str(&key_file).unwrap();
    let line = private_key["private_key"]
        .as_str()
        .unwrap()
        .lines()
        .nth(1)
        .unwrap();
    let basic = format!("{HTTPREQ_USER}:{HTTPREQ_PASSWORD}");
    let sessions = world.dns_api().unwrap().sessions();
    // They end early, and are begun anew.
    let is_ended = |one: &Asked| one.provider == Provider::AzureDns && one.status == 401;
    assert!(asked.iter().any(is_ended));
    let secrets = [
        CLIENT_SECRET,
        HTTPREQ_PASSWORD,
        &basic,
        ACME_DNS_KEY,
        line,
        CLOUDFLARE_KEY,
        SECRET_ACCESS_KEY,
        KEY,
    ];
    let sessions = sessions.iter().map(String::as_str);
    let secrets: Vec<&str> = secrets.into_iter().chain(sessions).collect();
    shown_nowhere(&world, &secrets).await;
    judged(&world, FAST);
}

#[tokio::test]
async fn a_provider_that_asks_to_be_left_alone_is_left_alone_by_all_replicas() {
    let world = world(2, FAST, by_api()).await;
    with_cloudflares_budget(&world).await;
    world.dns_api().unwrap().close_for(Duration::from_secs(15));
    for name in ["one", "two", "three"] {
        apply_certificate(&world, name, &[format!("{name}.{SHOP}")], 20).await;
    }
    for name in ["one", "two", "three"] {
        ready(&world, name, Duration::from_secs(120)).await;
    }
    let asked = world.dns_api().unwrap().asked();
    let refused: Vec<&Asked> = asked.iter().filter(|one| one.throttled).collect();
    // Those that were on their way already, and nobody else.
    assert!((1..=4).contains(&refused.len()), "{asked:#?}");
    let first = refused[0].at;
    let last = refused.last().unwrap().at;
    assert!(
        last - first < Duration::from_secs(2),
        "asked in the pause: {asked:#?}"
    );
    no_record_left(&world).await;
}

#[tokio::test]
async fn a_provider_that_is_waited_for_longer_than_records_may_take_to_be_seen_costs_no_name() {
    let replica = ReplicaOptions {
        flags: vec!["--dns01-propagation-timeout=10".to_owned()],
        ..ReplicaOptions::default()
    };
    let world = world_of(1, replica, FAST, by_api()).await;
    with_cloudflares_budget(&world).await;
    let history = History::start(Api::namespaced(world.cluster.client(), "default"));
    // Longer than a request waits for its permit.
    world.dns_api().unwrap().close_for(Duration::from_secs(45));
    apply_certificate(&world, "second", &[format!("second.{SHOP}")], 20).await;
    ready(&world, "second", Duration::from_secs(120)).await;
    never_left_out(&history);
    assert_eq!(orders(&world).await, 2);
    no_record_left(&world).await;
}

#[tokio::test]
async fn a_provider_that_fails_for_a_moment_takes_no_name_out_of_a_certificate_with_others() {
    let world = world(1, FAST, by_api()).await;
    let api = world.dns_api().unwrap();
    apply_cloudflare_of_shop(&world).await;
    let history = History::start(Api::namespaced(world.cluster.client(), "default"));
    api.fail(true);
    let asked = [format!("*.{SHOP}"), format!("*.{BLOG}")];
    apply_certificate(&world, "shop", &asked, 20).await;
    let words = "the API of Cloudflare fails (HTTP status 500)";
    not_ready(&world, "shop", "DNSProviderFails", words).await;
    assert_eq!(orders(&world).await, 0, "the CA was asked in vain");
    api.fail(false);
    ready(&world, "shop", Duration::from_secs(150)).await;
    assert_eq!(issued(&world).await, asked.into_iter().collect());
    never_left_out(&history);
    no_record_left(&world).await;
}

/// No shard ever had a name that cannot be validated.
fn never_left_out(history: &History<CertificateShard>) {
    let versions = history.versions();
    let statuses = versions.iter().filter_map(|(_, shard)| shard.status.as_ref());
    let left_out: Vec<_> = statuses.flat_map(|status| &status.quarantine).collect();
    assert!(left_out.is_empty(), "{left_out:?}");
}

#[tokio::test]
async fn names_of_a_zone_that_a_token_may_only_read_are_left_out_with_its_words_and_no_others() {
    let world = world(1, FAST, by_api()).await;
    apply_cloudflare(&world).await;
    // The token shows the zone, so that a look says nothing. It is the first one in the order of their names.
    world.dns_api().unwrap().let_edit(BLOG, false);
    let good = [SHOP.to_owned(), format!("*.{SHOP}")];
    let bad = [format!("*.{BLOG}"), format!("www.{BLOG}")];
    apply_certificate(&world, "shop", &[&good[..], &bad[..]].concat(), 20).await;
    let certificate = ready(&world, "shop", Duration::from_secs(120)).await;
    assert_eq!(certificate.status.unwrap().quarantined_names, Some(2));
    assert_eq!(issued(&world).await, good.into_iter().collect());
    assert_eq!(shards(&world).await.len(), 1, "no order was for both zones");
    let quarantined = quarantined(&world).await;
    let names: Vec<&String> = quarantined.iter().map(|entry| &entry.name).collect();
    assert_eq!(names, bad.iter().collect::<Vec<_>>());
    for entry in &quarantined {
        assert_eq!(entry.reason, "DNSUpdateRefused");
        let words = format!("Cloudflare does not let these credentials read or write the zone {BLOG}");
        assert!(entry.message.starts_with(&words), "{}", entry.message);
    }
    no_record_left(&world).await;
}

#[tokio::test]
async fn a_zone_that_can_be_written_no_more_keeps_its_own_records_and_no_others() {
    let world = world(1, FAST, by_api()).await;
    let (api, bind) = (world.dns_api().unwrap(), world.bind().unwrap());
    apply_cloudflare(&world).await;
    // The order waits with its records in both zones until this one answers.
    bind.secondary_process().stop().unwrap();
    apply_certificate(&world, "shop", &[format!("*.{SHOP}"), format!("*.{BLOG}")], 20).await;
    wait_for(
        "a record in each zone",
        Duration::from_secs(90),
        &[],
        async || Ok((bind.texts().await?.len() == 2).then_some(())),
    )
    .await
    .unwrap();
    api.let_edit(BLOG, false);
    bind.secondary_process().resume().unwrap();
    ready(&world, "shop", Duration::from_secs(120)).await;
    let within = Duration::from_secs(60);
    wait_for("the other record to be gone", within, &[], async || {
        let records = recorded(&world).await;
        let is_left = |record: &PresentedRecord| record.zone == BLOG && record.failures.is_some();
        Ok((records.len() == 1 && records.iter().all(is_left)).then_some(()))
    })
    .await
    .unwrap();
    let left = bind.texts().await.unwrap();
    let left: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(left, [format!("_acme-challenge.{BLOG}")]);
    api.let_edit(BLOG, true);
    // It is tried again after a minute, and then after two.
    no_record_left_within(&world, Duration::from_secs(240)).await;
}

/// Cloudflare's part in a world whose order waits with its record in DNS until BIND's secondary goes on.
async fn waiting(world: &World) {
    apply_cloudflare(world).await;
    world.bind().unwrap().secondary_process().stop().unwrap();
    apply_certificate(world, "shop", &[format!("*.{SHOP}")], 20).await;
}

/// More Certificates wait for the provider than one replica works at.
#[tokio::test]
async fn who_waits_for_a_provider_that_wants_to_be_left_alone_keeps_nobody_else_waiting() {
    let world = world(1, FAST, by_api()).await;
    let api = world.dns_api().unwrap();
    apply_cloudflare_of_shop(&world).await;
    api.close_for(Duration::from_secs(240));
    let waiting: Vec<String> = (0..20).map(|number| format!("shop-{number}")).collect();
    for name in &waiting {
        apply_certificate(&world, name, &[format!("{name}.{SHOP}")], 20).await;
    }
    wait_for("a refusal", Duration::from_secs(90), &[], async || {
        Ok(api.asked().iter().any(|one| one.throttled).then_some(()))
    })
    .await
    .unwrap();

    apply_certificate(&world, "blog", &[format!("www.{BLOG}")], 20).await;
    ready(&world, "blog", Duration::from_secs(60)).await;
    assert!(api.asked().iter().all(|one| one.throttled), "{:#?}", api.asked());
}

#[tokio::test]
async fn records_of_a_deleted_certificate_are_removed_once_the_provider_answers_again() {
    let world = world(1, FAST, by_api()).await;
    let api = world.dns_api().unwrap();
    waiting(&world).await;
    some_record(&world).await;
    api.fail(true);
    let before = api.asked().len();
    delete(&world, "shop").await;
    wait_for("a try in vain", Duration::from_secs(60), &[], async || {
        let asked = api.asked();
        let mut since = asked[before..].iter();
        Ok(since.any(|one| one.status == 500).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(world.bind().unwrap().texts().await.unwrap().len(), 1);
    api.fail(false);
    no_record_left(&world).await;
}

#[tokio::test]
async fn a_record_that_is_written_after_its_shard_was_deleted_is_removed() {
    let world = world(1, FAST, by_api()).await;
    let api = world.dns_api().unwrap();
    api.delay_next(Duration::from_secs(10));
    waiting(&world).await;
    wait_for("a recorded record", Duration::from_secs(90), &[], async || {
        Ok((!recorded(&world).await.is_empty()).then_some(()))
    })
    .await
    .unwrap();
    delete(&world, "shop").await;
    let is_change = |one: &Asked| one.what.starts_with("POST ");
    wait_for("the write", Duration::from_secs(60), &[], async || {
        Ok(api.asked().iter().any(is_change).then_some(()))
    })
    .await
    .unwrap();
    no_record_left(&world).await;
    let asked = api.asked();
    assert_eq!(asked.iter().filter(|one| is_change(one)).count(), 2, "{asked:#?}");
}
