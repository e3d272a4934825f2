//! What goes wrong with DNS-01 costs the CA nothing, and is told with its mend.

use sancho_e2e::bind::STRANGER_NAME;

use super::*;
use crate::stories::not_ready;

/// Applies the Issuer `own` of the namespace `default` with this solver, and a Certificate of that name.
pub(super) async fn apply_own(world: &World, solver: Value) {
    let front = world.front().unwrap();
    let mut issuer = cluster_issuer("own", &front.directory_url(), front.ca_pem(), None);
    issuer["kind"] = json!("Issuer");
    issuer["metadata"]["namespace"] = json!("default");
    issuer["spec"]["acme"]["solvers"] = json!([solver]);
    let mut certificate = certificate("own", "own", &[format!("*.{SHOP}")], 20);
    certificate["spec"]["issuerRef"]["kind"] = json!("Issuer");
    for manifest in [issuer, certificate] {
        world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
    }
}

/// The solver with something else in one of its fields.
fn with(mut solver: Value, field: &str, value: Value) -> Value {
    solver["dns01"]["rfc2136"][field] = value;
    solver
}

#[tokio::test]
async fn each_mistake_is_told_with_its_mend_before_the_ca_is_asked() {
    let mut options = by_bind(None);
    let looping =
        "_acme-challenge.one CNAME _acme-challenge.two\n_acme-challenge.two CNAME _acme-challenge.one";
    options.bind.as_mut().unwrap().fixed_zones = vec![("fixed.example".to_owned(), looping.to_owned())];
    let world = traced(1, FAST, options).await;
    let bind = world.bind().unwrap();
    apply_key(&world, "tsig", KEY).await;
    apply_key(&world, "wrong", "d3Jvbmc=").await;
    let good = || solver(bind, KEY_NAME);
    let secret = |name: &str| json!({ "name": name, "key": "key" });
    let wildcard = format!("*.{SHOP}");
    let nobody = json!("127.0.0.3:9");
    let cases = [
        (
            "bad-key",
            with(good(), "tsigSecretSecretRef", secret("wrong")),
            wildcard.as_str(),
            "TSIGRefused",
            "put the key of its configuration into the Secret",
        ),
        (
            "unknown-key",
            with(good(), "tsigKeyName", json!("nobody")),
            &wildcard,
            "TSIGRefused",
            "make dns01.rfc2136.tsigKeyName and tsigAlgorithm those of its configuration",
        ),
        (
            "other-algorithm",
            with(good(), "tsigAlgorithm", json!("HMACSHA512")),
            &wildcard,
            "TSIGRefused",
            "tsigAlgorithm",
        ),
        (
            "no-leave",
            with(good(), "tsigKeyName", json!(STRANGER_NAME)),
            &wildcard,
            "DNSUpdateRefused",
            "grant it in the zone's update-policy or allow-update",
        ),
        (
            "fixed-zone",
            good(),
            "www.fixed.example",
            "DNSUpdateRefused",
            "write TXT records in the zone fixed.example",
        ),
        (
            "no-secret",
            with(good(), "tsigSecretSecretRef", secret("absent")),
            &wildcard,
            "DNSCredentialsMissing",
            "kubectl create secret generic absent --from-literal=key=KEY",
        ),
        (
            "no-domain",
            good(),
            "www.nowhere.invalid",
            "DNSZoneNotFound",
            "does not exist in DNS (NXDOMAIN): register or delegate it",
        ),
        (
            "cname-loop",
            good(),
            "one.fixed.example",
            "CNAMELoop",
            "_acme-challenge.one.fixed.example -> _acme-challenge.two.fixed.example",
        ),
        (
            "no-server",
            with(good(), "nameserver", nobody),
            &wildcard,
            "DNSServerFails",
            "Check dns01.rfc2136.nameserver",
        ),
        (
            "by-http",
            json!({ "http01": { "external": {} } }),
            &wildcard,
            "WildcardNeedsDNS01",
            "add a solver with dns01 to spec.acme.solvers of the issuer",
        ),
    ];
    for (name, solver, dns_name, _, _) in &cases {
        apply_pair(&world, name, solver.clone(), &[(*dns_name).to_owned()]).await;
    }
    apply_own(&world, good()).await;
    for (name, _, _, reason, advice) in &cases {
        not_ready(&world, name, reason, advice).await;
    }
    // The Secret of that name in the operator's namespace is none of a namespace's own issuer.
    let advice = "Secret tsig, with the TSIG key, does not exist: kubectl create secret generic tsig";
    not_ready(&world, "own", "DNSCredentialsMissing", advice).await;
    assert_eq!(orders(&world).await, 0, "the CA was asked in vain");

    // What was mended is tried again by itself; the annotation only saves the wait.
    apply_key(&world, "absent", KEY).await;
    retry_now(&world, "no-secret").await;
    ready(&world, "no-secret", Duration::from_secs(180)).await;
    apply_key_in(&world, "default", "tsig", KEY).await;
    retry_now(&world, "own").await;
    ready(&world, "own", Duration::from_secs(180)).await;
    no_record_left(&world).await;
    shown_nowhere(&world, &[KEY, "d3Jvbmc="]).await;
}

#[tokio::test]
async fn one_zone_that_cannot_be_written_does_not_hold_the_other_one_up() {
    let mut options = by_bind(None);
    options.bind.as_mut().unwrap().fixed_zones = vec![("fixed.example".to_owned(), String::new())];
    let world = world(1, FAST, options).await;
    apply_issuer(&world, FAST).await;
    let good = [format!("*.{SHOP}"), format!("*.{BLOG}")];
    let asked = [&good[..], &["www.fixed.example".to_owned()]].concat();
    apply_certificate(&world, "shop", &asked, 20).await;
    let certificate = ready(&world, "shop", Duration::from_secs(60)).await;
    assert_eq!(certificate.status.unwrap().quarantined_names, Some(1));
    assert_eq!(issued(&world).await, good.into_iter().collect());
    no_record_left(&world).await;
}

#[tokio::test]
async fn records_of_an_issuer_that_is_deleted_in_the_middle_of_an_order_are_told_and_go_once_it_is_back() {
    let world = with_silent_secondary(&[], false).await;
    let issuers: Api<ClusterIssuer> = Api::all(world.cluster.client());
    issuers.delete("ca", &DeleteParams::default()).await.unwrap();
    let events: Api<Event> = Api::namespaced(world.cluster.client(), "default");
    let words = format!("the TXT record _acme-challenge.{SHOP}: its issuer is gone");
    let within = Duration::from_secs(120);
    wait_for("an event that names the record", within, &[], async || {
        let events = events.list(&Default::default()).await?;
        let is_it = |event: &Event| {
            let note = event.note.as_deref().unwrap_or_default();
            event.reason.as_deref() == Some("DNSRecordNotRemoved") && note.starts_with(&words)
        };
        Ok(events.iter().any(is_it).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(world.bind().unwrap().texts().await.unwrap().len(), 1);
    assert_eq!(recorded(&world).await.len(), 1, "nobody knows of it any more");

    world.bind().unwrap().secondary_process().resume().unwrap();
    apply_issuer(&world, FAST).await;
    ready(&world, "shop", Duration::from_secs(120)).await;
    no_record_left(&world).await;
}
