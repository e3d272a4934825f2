//! Certificates for annotated Ingresses and Gateways, by three replicas that all see everything.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::{Api, ResourceExt};
use sancho_crds::Certificate;
use sancho_e2e::cluster::ClusterOptions;
use sancho_e2e::front::{FrontOptions, RateLimit};
use sancho_e2e::manifests::{Budget, certificate, cluster_issuer, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::test_router::edge;
use sancho_e2e::world::{CaOptions, World, WorldOptions};
use serde_json::{Value, json};

use crate::stories::{FAST, apply_issuer, holding_replica, is_ready, judged, orders, ready, secrets, shards};

const PATIENCE: Duration = Duration::from_secs(180);

/// A CA that bears 10 requests a second: 42 names take long enough for a kill in the middle.
const STEADY: Budget = Budget {
    rate: 10.0,
    burst: 0,
    in_flight: 16,
};

/// Three replicas, a CA that bears exactly `budget`, and the garbage collector.
async fn world(budget: Budget) -> World {
    let front = FrontOptions {
        rate: Some(RateLimit {
            per_second: budget.rate,
            burst: budget.burst,
        }),
        ..FrontOptions::default()
    };
    World::start(WorldOptions {
        cluster: ClusterOptions {
            controller_manager: true,
            ..ClusterOptions::default()
        },
        ca: Some(CaOptions {
            front,
            ..CaOptions::default()
        }),
        ..WorldOptions::default()
    })
    .await
    .unwrap()
}

/// An Ingress of the namespace `default`.
fn ingress(name: &str, annotations: &Value, tls: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": { "argocd.argoproj.io/instance": "shop" },
            "annotations": annotations,
        },
        "spec": {
            "defaultBackend": { "service": { "name": "site", "port": { "number": 80 } } },
            "tls": tls,
        },
    })
}

fn by_ca() -> Value {
    json!({ "sancho.dev/cluster-issuer": "ca" })
}

async fn apply(world: &World, manifest: &Value) {
    world.cluster.apply_yaml(&manifest.to_string()).await.unwrap();
}

fn certificates(world: &World) -> Api<Certificate> {
    Api::namespaced(world.cluster.client(), "default")
}

/// Waits until a Certificate asks for just these names, and has them.
async fn issued(world: &World, name: &str, asked: &[String]) -> Certificate {
    let asked: BTreeSet<&String> = asked.iter().collect();
    let what = format!("Certificate {name} with {} names", asked.len());
    wait_for(&what, PATIENCE, &[], async || {
        let certificate = certificates(world).get(name).await?;
        let is = certificate.spec.dns_names.iter().collect::<BTreeSet<_>>() == asked;
        Ok((is && is_ready(&certificate)).then_some(certificate))
    })
    .await
    .unwrap()
}

/// Waits until just these Certificates are there.
async fn only(world: &World, expected: &[&str]) {
    wait_for("the Certificates", PATIENCE, &[], async || {
        let all = certificates(world).list(&Default::default()).await?;
        let present: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
        ensure!(present == expected, "{present:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// The notes of all events with this reason about an object.
async fn notes(world: &World, name: &str, reason: &str) -> Result<Vec<String>> {
    let events: Api<Event> = Api::namespaced(world.cluster.client(), "default");
    let events = events.list(&Default::default()).await?;
    let of_it = events.iter().filter(|event| {
        let about = event.regarding.clone().unwrap_or_default();
        // Not about the Certificate, which may have its name.
        let is_object = matches!(about.kind.as_deref(), Some("Ingress" | "Gateway"));
        is_object && about.name.as_deref() == Some(name) && event.reason.as_deref() == Some(reason)
    });
    Ok(of_it
        .map(|event| event.note.clone().unwrap_or_default())
        .collect())
}

/// Waits until an event about an object says `words`, and gives the notes of all with this reason.
async fn told(world: &World, name: &str, reason: &str, words: &str) -> Vec<String> {
    let what = format!("an event about {name} to say {reason}: … {words} …");
    wait_for(&what, PATIENCE, &[], async || {
        let notes = notes(world, name, reason).await?;
        ensure!(notes.iter().any(|note| note.contains(words)), "{notes:?}");
        Ok(Some(notes))
    })
    .await
    .unwrap()
}

/// What Sancho has written about Certificates themselves since then: the verbs of what was done, with the names.
fn written(world: &World, since: Timestamp) -> Vec<String> {
    let writes = world.writes_by_sancho(since).unwrap();
    let done = writes
        .iter()
        .filter(|write| write.resource == "certificates" && write.subresource.is_empty() && write.code < 300);
    done.map(|write| format!("{} {}", write.verb, write.name))
        .collect()
}

#[tokio::test]
async fn an_ingress_of_42_hosts_has_its_secrets_through_a_kill_edits_a_removal_and_its_own_end() {
    let mut world = world(STEADY).await;
    apply_issuer(&world, STEADY).await;
    let begin = Timestamp::now();
    let all = names(42);
    let entries = |first: &[String], second: &[String]| {
        json!([
            { "secretName": "web-a", "hosts": first },
            { "secretName": "web-b", "hosts": second },
        ])
    };
    apply(
        &world,
        &ingress("web", &by_ca(), &entries(&all[..25], &all[25..])),
    )
    .await;
    wait_for("an order", PATIENCE, &[], async || {
        Ok((orders(&world).await > 0).then_some(()))
    })
    .await
    .unwrap();
    let holder = holding_replica(&world).await;
    world.replicas[holder].process().kill();
    let first = issued(&world, "web-a", &all[..25]).await;
    issued(&world, "web-b", &all[25..]).await;
    world.replicas[holder].restart().await.unwrap();
    world.replicas[holder].ready().await.unwrap();
    judged(&world, STEADY);
    let owner = &first.owner_references()[0];
    assert_eq!(
        (owner.kind.as_str(), owner.name.as_str(), owner.controller),
        ("Ingress", "web", Some(true))
    );
    assert!(!first.labels().contains_key("argocd.argoproj.io/instance"));
    let made = secrets(&world).await;
    assert_eq!(made["web-a"].0, all[..25].iter().cloned().collect());
    assert_eq!(made["web-b"].0, all[25..].iter().cloned().collect());
    // Each was made by one of the three, and nothing was written again.
    assert_eq!(written(&world, begin), ["create web-a", "create web-b"]);
    assert_eq!(notes(&world, "web", "CertificateCreated").await.unwrap().len(), 2);

    // A host goes from one entry to the other, another one away.
    apply(
        &world,
        &ingress("web", &by_ca(), &entries(&all[1..24], &all[24..])),
    )
    .await;
    issued(&world, "web-a", &all[1..24]).await;
    issued(&world, "web-b", &all[24..]).await;

    // Another issuer, of the namespace's own.
    let front = world.front().unwrap();
    let mut own = cluster_issuer("own", &front.directory_url(), front.ca_pem(), None);
    own["kind"] = "Issuer".into();
    own["metadata"]["namespace"] = "default".into();
    apply(&world, &own).await;
    let by_own = json!({ "sancho.dev/issuer": "own" });
    let edit = Timestamp::now();
    apply(
        &world,
        &ingress("web", &by_own, &entries(&all[1..24], &all[24..])),
    )
    .await;
    wait_for("both to be by the other issuer", PATIENCE, &[], async || {
        let all = certificates(&world).list(&Default::default()).await?;
        let is_own =
            |certificate: &Certificate| certificate.spec.issuer_ref.name == "own" && is_ready(certificate);
        Ok(all.iter().all(is_own).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(written(&world, edit), ["patch web-a", "patch web-b"]);

    // An entry goes, and its Certificate; its Secret stays, and is used again when it comes back.
    let before = secrets(&world).await;
    let made = orders(&world).await;
    let one = json!([{ "secretName": "web-a", "hosts": all[1..24] }]);
    apply(&world, &ingress("web", &by_own, &one)).await;
    only(&world, &["web-a"]).await;
    told(&world, "web", "CertificateDeleted", "its Secrets stay").await;
    wait_for(
        "the shards of the other one to be gone",
        PATIENCE,
        &[],
        async || Ok((shards(&world).await.len() == 1).then_some(())),
    )
    .await
    .unwrap();
    apply(
        &world,
        &ingress("web", &by_own, &entries(&all[1..24], &all[24..])),
    )
    .await;
    issued(&world, "web-b", &all[24..]).await;
    assert!(secrets(&world).await == before, "a Secret was written anew");
    assert!(
        orders(&world).await < made,
        "an order was made for what was there"
    );

    // Everything goes with the Ingress but the Secrets.
    world
        .cluster
        .kubectl(&["delete", "ingress", "web"])
        .await
        .unwrap();
    only(&world, &[]).await;
    assert!(secrets(&world).await == before, "a Secret did not stay");
}

#[tokio::test]
async fn a_gateway_has_its_secrets_and_what_is_wrong_is_told_once_whoever_sees_it() {
    let world = world(FAST).await;
    apply_issuer(&world, FAST).await;
    let begin = Timestamp::now();
    let tls = |secret: &str, host: &str| json!([{ "secretName": secret, "hosts": [host] }]);
    let by_both = json!({ "sancho.dev/cluster-issuer": "ca", "sancho.dev/issuer": "ca" });
    let with = |key: &str, value: &str| {
        let mut annotations = by_ca();
        annotations[key] = value.into();
        annotations
    };
    apply(
        &world,
        &certificate("theirs", "ca", &["theirs.demo.example".into()], 20),
    )
    .await;
    let theirs = ready(&world, "theirs", PATIENCE).await;
    let table = [
        (
            "both",
            by_both,
            tls("both", "a.demo.example"),
            "InvalidIssuer",
            "take one of them out",
        ),
        (
            "days",
            with("sancho.dev/duration", "90d"),
            tls("days", "a.demo.example"),
            "InvalidAnnotation",
            "a day is 24h",
        ),
        (
            "bits",
            with("sancho.dev/private-key-size", "4096"),
            tls("bits", "a.demo.example"),
            "InvalidAnnotation",
            "write ECDSA or RSA",
        ),
        // Only the API server knows that a certificate is not to last for so long.
        (
            "long",
            with("sancho.dev/duration", "900000h"),
            tls("long", "a.demo.example"),
            "CertificateRefused",
            "less than ten years",
        ),
        (
            "single",
            by_ca(),
            tls("single", "localhost"),
            "InvalidHost",
            "has one label only",
        ),
        (
            "star",
            by_ca(),
            tls("star", "*.demo.example"),
            "WildcardNeedsDNS01",
            "ClusterIssuer ca has no solver dns01",
        ),
        (
            "hostless",
            by_ca(),
            json!([{ "secretName": "hostless" }]),
            "HostsMissing",
            "has no hosts",
        ),
        (
            "nameless",
            by_ca(),
            json!([{ "hosts": ["a.demo.example"] }]),
            "SecretNameMissing",
            "name the Secret",
        ),
        (
            "foreign",
            by_ca(),
            tls("theirs", "a.demo.example"),
            "CertificateNotOurs",
            "Certificate theirs exists already",
        ),
    ];
    for (name, annotations, tls, ..) in &table {
        apply(&world, &ingress(name, annotations, tls)).await;
    }
    // Two objects with one Secret, of which the first has all hosts, are no mistake.
    let hosts = json!([{ "secretName": "shared", "hosts": ["b.demo.example", "c.demo.example"] }]);
    apply(&world, &ingress("shared", &by_ca(), &hosts)).await;
    issued(
        &world,
        "shared",
        &["b.demo.example".into(), "c.demo.example".into()],
    )
    .await;
    apply(
        &world,
        &ingress("shares", &by_ca(), &tls("shared", "c.demo.example")),
    )
    .await;
    for (name, _, _, reason, words) in &table {
        told(&world, name, reason, words).await;
    }

    more_secrets_than_named(&world).await;
    of_gateway(&world).await;

    // All three replicas have looked by now, and each mistake stands there once.
    for (name, _, _, reason, _) in &table {
        let notes = notes(&world, name, reason).await.unwrap();
        assert_eq!(notes.len(), 1, "{name}: {notes:?}");
    }
    assert!(
        notes(&world, "shares", "CertificateNotOurs")
            .await
            .unwrap()
            .is_empty()
    );
    let untouched = certificates(&world).get("theirs").await.unwrap();
    assert_eq!(untouched.spec, theirs.spec);
    let mut created = written(&world, begin);
    created.sort();
    assert_eq!(
        created,
        [
            "create gate-a",
            "create gate-b",
            "create shared",
            "create star",
            "create wide"
        ]
    );

    // Mended.
    apply(
        &world,
        &ingress("single", &by_ca(), &tls("single", "single.demo.example")),
    )
    .await;
    ready(&world, "single", PATIENCE).await;
}

/// An issuer whose certificates take two names: a Secret that the Ingress does not name is told, until it does.
async fn more_secrets_than_named(world: &World) {
    let front = world.front().unwrap();
    let mut small = cluster_issuer("small", &front.directory_url(), front.ca_pem(), FAST);
    small["spec"]["acme"]["maxNames"] = 2.into();
    apply(world, &small).await;
    let by_small = json!({ "sancho.dev/cluster-issuer": "small" });
    let all: Vec<String> = names(3);
    let one = json!([{ "secretName": "wide", "hosts": all }]);
    apply(world, &ingress("wide", &by_small, &one)).await;
    let split = issued(world, "wide", &all).await;
    let conditions = split.status.unwrap_or_default().conditions;
    let says = conditions.iter().any(|condition| {
        condition
            .message
            .contains("Ingress wide has to name each of them: wide, wide-1")
    });
    assert!(says, "{conditions:?}");
    let made = secrets(world).await;
    let moved: Vec<String> = made["wide-1"].0.iter().cloned().collect();
    let words = format!("1 host ({}) to Secret wide-1", moved[0]);
    told(world, "wide", "MoreSecretsNeeded", &words).await;

    // As told: nothing is written for it, and the API server has taken both entries.
    let since = Timestamp::now();
    let stays: Vec<String> = made["wide"].0.iter().cloned().collect();
    let two = json!([
        { "secretName": "wide", "hosts": stays },
        { "secretName": "wide-1", "hosts": moved },
    ]);
    apply(world, &ingress("wide", &by_small, &two)).await;
    // Whatever would come of it has come once something that was applied later is there.
    let later = json!([{ "secretName": "later", "hosts": ["x"] }]);
    apply(world, &ingress("later", &by_ca(), &later)).await;
    told(world, "later", "InvalidHost", "\"x\"").await;
    assert_eq!(written(world, since), Vec::<String>::new());
    assert!(secrets(world).await == made, "a Secret was written anew");
}

/// Two listeners of a Gateway, whose kind is installed while the replicas run, and some that are not Sancho's.
async fn of_gateway(world: &World) {
    edge::with_gateway(&world.cluster, "Same").await.unwrap();
    let listener = |name: &str, port: u16, tls: Value| {
        json!({
            "name": name,
            "hostname": format!("{name}.gate.demo.example"),
            "port": port,
            "protocol": "HTTPS",
            "tls": tls,
        })
    };
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": { "name": "gate", "namespace": "default", "annotations": by_ca() },
        "spec": {
            "gatewayClassName": "test",
            "listeners": [
                listener("a", 443, json!({ "certificateRefs": [{ "name": "gate-a" }] })),
                listener("b", 444, json!({ "mode": "Terminate", "certificateRefs": [{ "name": "gate-b" }] })),
                listener("c", 445, json!({ "certificateRefs": [{ "name": "gate-c", "namespace": "infra" }] })),
                { "name": "plain", "port": 80, "protocol": "HTTP" },
                {
                    "name": "through", "port": 446, "protocol": "TLS", "hostname": "through.demo.example",
                    "tls": { "mode": "Passthrough" },
                },
            ],
        },
    });
    apply(world, &gateway).await;
    for name in ["a", "b"] {
        let certificate = format!("gate-{name}");
        let made = issued(world, &certificate, &[format!("{name}.gate.demo.example")]).await;
        assert_eq!(made.owner_references()[0].kind, "Gateway");
        assert!(secrets(world).await.contains_key(&certificate));
    }
    let notes = told(
        world,
        "gate",
        "SecretInAnotherNamespace",
        "across namespaces: name one in default",
    )
    .await;
    assert_eq!(notes.len(), 1, "{notes:?}");
}
