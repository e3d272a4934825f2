//! Routes for challenges: by Ingress and by Gateway, from the CA through a test router to the replicas.

pub mod ground;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, ResourceExt};
use sancho_crds::condition;
use sancho_e2e::manifests::{Budget, names};
use sancho_e2e::process::wait_for;
use sancho_e2e::replica::{NAMESPACE, ReplicaOptions};
use sancho_e2e::test_router::edge;
use serde_json::json;

use self::ground::{Kind, apply_issuer, hosts, no_routes, refuse_dots, routed_world, routes, user_site};
use crate::history::History;
use crate::stories::{
    FAST, SLOW, apply_certificate, holding_replica, judged, orders, ready, secrets, shards,
};

/// All names that stand in a Secret's certificate.
async fn issued(world: &sancho_e2e::world::World) -> BTreeSet<String> {
    let secrets = secrets(world).await;
    secrets.into_values().flat_map(|(names, _)| names).collect()
}

#[tokio::test]
async fn names_are_issued_through_ingresses_that_leave_a_users_own_alone_and_are_gone_in_the_end() {
    let world = routed_world(3, SLOW).await;
    let asked = names(42);
    let site = user_site(&world, &asked[0]).await;
    // A controller takes its time.
    let lag = Duration::from_secs(4);
    world.test_router.as_ref().unwrap().set_lag(lag);
    let solver = json!([{ "http01": { "ingress": {
        "ingressClassName": "test",
        "ingressTemplate": { "metadata": { "annotations": { "example.com/timeout": "5" } } },
    } } }]);
    apply_issuer(&world, SLOW, &solver).await;
    apply_certificate(&world, "shop", &asked, 20).await;

    let seen = wait_for(
        "an order whose names are routed",
        Duration::from_secs(90),
        &[],
        async || {
            let routes = routes(&world, Kind::Ingress).await?;
            Ok((orders(&world).await > 0 && !routes.is_empty()).then_some(routes))
        },
    )
    .await
    .unwrap();
    for route in &seen {
        assert_eq!(route["spec"]["ingressClassName"], "test");
        assert_eq!(route["metadata"]["annotations"]["example.com/timeout"], "5");
        assert!(
            route["metadata"]["annotations"]["sancho.dev/shard"]
                .as_str()
                .unwrap()
                .starts_with("default/shop")
        );
        for rule in route["spec"]["rules"].as_array().unwrap() {
            assert_eq!(rule["http"]["paths"][0]["path"], "/.well-known/acme-challenge");
        }
    }
    let holder = holding_replica(&world).await;
    world.replicas[holder].process().kill();

    ready(&world, "shop", Duration::from_secs(240)).await;
    assert_eq!(issued(&world).await, asked.into_iter().collect());
    judged(&world, SLOW);
    assert!(orders(&world).await <= 3, "a recorded order was made again");
    no_routes(&world, Duration::from_secs(90)).await;
    let answers = site.stop().await;
    assert!(answers.len() > 20, "asked {} times", answers.len());
    let wrong: Vec<_> = answers
        .iter()
        .filter(|answer| *answer != "the user's own page")
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Where no Pod may leave by port 80. Looks take their time, and the one slot goes round meanwhile: a look that another
/// replica began anew each time would never end.
#[tokio::test]
async fn replicas_that_can_look_at_no_name_take_no_shard_from_one_another_and_ask_the_ca() {
    let one_slot = Budget {
        rate: 5.0,
        burst: 2,
        in_flight: 4,
    };
    let mut world = routed_world(0, one_slot).await;
    for _ in 0..3 {
        let options = ReplicaOptions {
            // Nothing listens there.
            flags: vec!["--self-check-port=1".to_owned()],
            ..ReplicaOptions::default()
        };
        world.add_replica(options).await.unwrap().ready().await.unwrap();
    }
    let asked = names(42);
    let solver = json!([{ "http01": { "ingress": { "ingressClassName": "test" } } }]);
    apply_issuer(&world, one_slot, &solver).await;
    apply_certificate(&world, "shop", &asked, 20).await;
    ready(&world, "shop", Duration::from_secs(180)).await;
    assert_eq!(issued(&world).await, asked.into_iter().collect());
    assert_eq!(orders(&world).await, 3);
    judged(&world, one_slot);
}

#[tokio::test]
async fn a_route_stays_while_its_shard_is_busy_with_another_replica_and_with_a_second_order() {
    let world = routed_world(2, SLOW).await;
    let seen = History::start(Api::<Ingress>::namespaced(world.cluster.client(), NAMESPACE));
    let solver = json!([{ "http01": { "ingress": { "ingressClassName": "test" } } }]);
    apply_issuer(&world, SLOW, &solver).await;
    let asked = names(20);
    apply_certificate(&world, "shop", &asked, 20).await;
    let driving = wait_for(
        "an order whose challenges are to be answered",
        Duration::from_secs(90),
        &[],
        async || {
            let shard = shards(&world).await.pop();
            let status = shard.and_then(|shard| shard.status).unwrap_or_default();
            let is_pending = status.order.is_some_and(|order| order.stage == "Pending");
            let holder = status.claim.filter(|_| is_pending).map(|claim| claim.holder);
            let mut replicas = world.replicas.iter();
            Ok(holder.and_then(|holder| replicas.position(|replica| holder.contains(replica.name()))))
        },
    )
    .await
    .unwrap();
    world.replicas[driving].process().kill();
    ready(&world, "shop", Duration::from_secs(240)).await;

    // The route lingers, for just that.
    let renew = ["annotate", "scert", "shop", "sancho.dev/renew=now"];
    world.cluster.kubectl(&renew).await.unwrap();
    wait_for("the second order", Duration::from_secs(120), &[], async || {
        let shard = shards(&world).await.pop();
        let status = shard.and_then(|shard| shard.status).unwrap_or_default();
        let is_done = status.order.is_none() && status.claim.is_none() && status.renewed.is_some();
        Ok(is_done.then_some(()))
    })
    .await
    .unwrap();
    no_routes(&world, Duration::from_secs(90)).await;

    let mut uids: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
    let mut claims = BTreeSet::new();
    for (_, route) in seen.versions() {
        claims.insert(route.annotations()["sancho.dev/claim"].clone());
        uids.entry(route.name_any()).or_default().insert(route.uid());
    }
    assert_eq!(uids.len(), 1, "{uids:?}");
    assert!(
        uids.values().all(|uids| uids.len() == 1),
        "a route was made anew: {uids:?}"
    );
    // By the first replica, by the other one, and for the second order.
    assert!(claims.len() >= 3, "it was written for {claims:?}");
}

#[tokio::test]
async fn names_are_issued_through_three_http_routes_of_a_gateway_and_none_is_left() {
    let world = routed_world(2, FAST).await;
    edge::with_gateway(&world.cluster, "All").await.unwrap();
    let solver = json!([{ "http01": { "gatewayHTTPRoute": {
        "parentRefs": [{ "name": "front", "namespace": "infra" }],
        "labels": { "team": "shop" },
    } } }]);
    apply_issuer(&world, FAST, &solver).await;
    let asked = names(42);
    apply_certificate(&world, "shop", &asked, 100).await;
    let seen = wait_for("three HTTPRoutes", Duration::from_secs(60), &[], async || {
        let routes = routes(&world, Kind::HttpRoute).await?;
        Ok((routes.len() == 3).then_some(routes))
    })
    .await
    .unwrap();
    let all: BTreeSet<String> = seen.iter().flat_map(hosts).collect();
    assert_eq!(all, asked.iter().cloned().collect());
    assert!(
        seen.iter()
            .all(|route| hosts(route).len() <= 16 && route["metadata"]["labels"]["team"] == "shop")
    );
    ready(&world, "shop", Duration::from_secs(120)).await;
    assert_eq!(issued(&world).await, asked.into_iter().collect());
    assert_eq!(orders(&world).await, 1);
    no_routes(&world, Duration::from_secs(30)).await;
}

#[tokio::test]
async fn a_gateway_that_refuses_the_operators_namespace_is_told_and_costs_the_ca_nothing_until_it_is_mended()
{
    let world = routed_world(1, FAST).await;
    edge::with_gateway(&world.cluster, "Same").await.unwrap();
    // Beside the Certificate, if it is not said where.
    let solver = json!([{ "http01": { "gatewayHTTPRoute": { "parentRefs": [{ "name": "front", "namespace": "infra" }] } } }]);
    apply_issuer(&world, FAST, &solver).await;
    apply_certificate(&world, "shop", &names(3), 20).await;
    let words = wait_for(
        "the shard to say what is wrong",
        Duration::from_secs(90),
        &[],
        async || {
            let shards = shards(&world).await;
            let status = shards
                .first()
                .and_then(|shard| shard.status.clone())
                .unwrap_or_default();
            let degraded = condition(&status.conditions, "Degraded").cloned();
            Ok(degraded
                .filter(|degraded| degraded.status == "True")
                .map(|degraded| degraded.message))
        },
    )
    .await
    .unwrap();
    for part in [
        "RouteNotAccepted",
        "Gateway infra/front",
        "NotAllowedByListeners",
        "allowedRoutes.namespaces",
    ] {
        assert!(words.contains(part), "no {part} in {words}");
    }
    assert_eq!(orders(&world).await, 0, "no order was made in vain");
    no_routes(&world, Duration::from_secs(30)).await;

    edge::allow_routes(&world.cluster, "All").await.unwrap();
    ready(&world, "shop", Duration::from_secs(180)).await;
    assert_eq!(issued(&world).await, names(3).into_iter().collect());
    no_routes(&world, Duration::from_secs(30)).await;
}

#[tokio::test]
async fn solvers_of_both_kinds_share_an_issuer_by_their_selectors_and_what_is_lacking_is_told() {
    let world = routed_world(1, FAST).await;
    let solvers = json!([
        { "http01": { "ingress": { "ingressClassName": "test" } } },
        {
            "selector": { "dnsZones": ["gate.example"] },
            "http01": { "gatewayHTTPRoute": { "parentRefs": [{ "name": "front", "namespace": "infra" }] } },
        },
    ]);
    apply_issuer(&world, FAST, &solvers).await;
    let asked: Vec<String> = [
        "a.gate.example",
        "b.gate.example",
        "a.other.example",
        "b.other.example",
    ]
    .map(str::to_owned)
    .to_vec();
    // The Gateway API is not there yet: its names are left out, the others are not.
    apply_certificate(&world, "shop", &asked, 20).await;
    let certificate = ready(&world, "shop", Duration::from_secs(120)).await;
    let conditions = certificate.status.unwrap_or_default().conditions;
    let degraded = condition(&conditions, "Degraded").unwrap();
    assert!(
        degraded.message.contains("install the Gateway API"),
        "{degraded:?}"
    );
    assert_eq!(issued(&world).await, asked[2..].iter().cloned().collect());

    edge::with_gateway(&world.cluster, "All").await.unwrap();
    let all: BTreeSet<String> = asked.iter().cloned().collect();
    wait_for("all names", Duration::from_secs(240), &[], async || {
        Ok((issued(&world).await == all).then_some(()))
    })
    .await
    .unwrap();
    no_routes(&world, Duration::from_secs(60)).await;
}

#[tokio::test]
async fn a_controller_that_takes_no_dot_in_a_prefix_gets_its_own_type_of_path() {
    let world = routed_world(1, FAST).await;
    refuse_dots(&world).await;
    let solver = json!([{ "http01": { "ingress": { "ingressClassName": "test" } } }]);
    apply_issuer(&world, FAST, &solver).await;
    apply_certificate(&world, "shop", &names(3), 20).await;
    let seen = wait_for("a route", Duration::from_secs(60), &[], async || {
        Ok(routes(&world, Kind::Ingress).await?.pop())
    })
    .await
    .unwrap();
    let path = &seen["spec"]["rules"][0]["http"]["paths"][0];
    assert_eq!(path["pathType"], "ImplementationSpecific");
    ready(&world, "shop", Duration::from_secs(90)).await;
    assert_eq!(issued(&world).await, names(3).into_iter().collect());
}

#[tokio::test]
async fn what_a_crash_has_left_is_swept_up_and_what_is_not_ours_is_not() {
    let budget = Budget {
        rate: 1.0,
        burst: 0,
        in_flight: 1,
    };
    let mut world = routed_world(1, budget).await;
    apply_issuer(
        &world,
        budget,
        &json!([{ "http01": { "ingress": { "ingressClassName": "test" } } }]),
    )
    .await;
    apply_certificate(&world, "shop", &names(10), 20).await;
    wait_for("a route", Duration::from_secs(60), &[], async || {
        Ok((!routes(&world, Kind::Ingress).await?.is_empty()).then_some(()))
    })
    .await
    .unwrap();
    world.replicas[0].process().kill();
    let delete = ["delete", "certificates.sancho.dev", "shop", "-n", "default"];
    world.cluster.kubectl(&delete).await.unwrap();
    let delete = ["delete", "certificateshards.sancho.dev", "--all", "-n", "default"];
    world.cluster.kubectl(&delete).await.unwrap();
    let own = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": { "name": "own", "namespace": NAMESPACE },
        "spec": { "defaultBackend": { "service": { "name": "own", "port": { "number": 80 } } } },
    });
    world.cluster.apply_yaml(&own.to_string()).await.unwrap();
    world.replicas[0].restart().await.unwrap();
    wait_for("the sweep", Duration::from_secs(60), &[], async || {
        let left = routes(&world, Kind::Ingress).await?;
        Ok((left.len() == 1 && left[0]["metadata"]["name"] == "own").then_some(()))
    })
    .await
    .unwrap();
}
